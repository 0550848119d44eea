//! What the benches take from the command line.

use std::path::PathBuf;

use anyhow::{Context, bail};

/// Options of a bench, each with a default.
#[derive(Debug)]
pub(crate) struct Options {
    /// The binary under load.
    pub(crate) binary: PathBuf,
    /// Where data folders are made; name one on the disk in question.
    pub(crate) folder: PathBuf,
    /// Length of a run, seconds.
    pub(crate) seconds: u64,
    /// Events to load before questions are asked.
    pub(crate) events: u64,
    /// Seed of the events and of the questions' constants.
    pub(crate) seed: u64,
}

const USAGE: &str = "options: --server FILE (default target/release/yellowline, or YELLOWLINE_BENCH_SERVER)
         --folder DIR (where data folders are made; default the system's temporary folder)
         --seconds N (length of a run; default 20)  --events N (default 1000000)  --seed N (default 42)";

impl Options {
    /// `None` when only help was asked for, or when `cargo test` runs the bench to see that it builds.
    pub(crate) fn parse(bench: &str) -> anyhow::Result<Option<Self>> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let named = std::env::var_os("YELLOWLINE_BENCH_SERVER").map(PathBuf::from);
        let mut options = Self {
            binary: named.unwrap_or_else(|| target.join("release/yellowline")),
            folder: std::env::temp_dir(),
            seconds: 20,
            events: 1_000_000,
            seed: 42,
        };
        let mut words = std::env::args().skip(1);
        let mut is_bench = false;
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value\n{USAGE}"));
            match word.as_str() {
                "--bench" => is_bench = true,
                "--server" => options.binary = value()?.into(),
                "--folder" => options.folder = value()?.into(),
                "--seconds" => options.seconds = number(&value()?)?,
                "--events" => options.events = number(&value()?)?,
                "--seed" => options.seed = number(&value()?)?,
                "--help" => {
                    eprintln!("bench {bench}\n{USAGE}");
                    return Ok(None);
                }
                _ => bail!("unknown option {word}\n{USAGE}"),
            }
        }
        if !is_bench {
            return Ok(None);
        }
        if !options.binary.is_file() {
            bail!("no server at {}: run `cargo build --release`, or name one with --server", options.binary.display());
        }
        Ok(Some(options))
    }
}

fn number(text: &str) -> anyhow::Result<u64> {
    text.replace('_', "").parse().with_context(|| format!("{text} is no whole number"))
}
