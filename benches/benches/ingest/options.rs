//! What this bench takes from the command line.

use std::path::PathBuf;

use anyhow::{Context, bail};

/// Options, each with a default.
#[derive(Debug)]
pub(crate) struct Options {
    /// The binary under load.
    pub(crate) binary: PathBuf,
    /// Where data folders are made; name one on the disk in question.
    pub(crate) folder: PathBuf,
    /// Where the Python packages of the yardstick are kept between runs.
    pub(crate) packages: PathBuf,
    /// Parts to run, in the order of `PARTS`.
    pub(crate) parts: Vec<String>,
    /// Length of a run of the matrix and of the rows beside it, seconds.
    pub(crate) seconds: u64,
    /// Length of the steady run, seconds.
    pub(crate) steady_s: u64,
    /// Length of the soak, minutes; 0 leaves it out.
    pub(crate) soak_minutes: u64,
    /// Runs of each row; their medians are printed.
    pub(crate) repeat: usize,
    /// Events the yardstick loads.
    pub(crate) events: u64,
    /// Bytes of JSON in the WAL when the server is killed.
    pub(crate) wal_bytes: u64,
    /// Seed of the events.
    pub(crate) seed: u64,
}

/// The parts of the bench, in order.
pub(crate) const PARTS: [&str; 7] = ["matrix", "steady", "half", "merge", "restart", "yardstick", "soak"];

const USAGE: &str = "options: --server FILE (default target/release/yellowline, or YELLOWLINE_BENCH_SERVER)
         --folder DIR (where data folders are made; default the system's temporary folder)
         --parts matrix,steady,half,merge,restart,yardstick,soak (default all; soak needs --soak)
         --seconds N (length of a run; default 20)  --steady N (seconds of the steady run; default 600)
         --soak MINUTES (default 0: none)  --repeat N (runs per row, medians are printed; default 1)
         --events N (of the yardstick; default 200000)  --wal-bytes N (JSON in the WAL at the kill; default 1000000000)
         --seed N (default 42)";

impl Options {
    /// `None` when only help was asked for, or when `cargo test` runs the bench to see that it builds.
    pub(crate) fn parse() -> anyhow::Result<Option<Self>> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let named = std::env::var_os("YELLOWLINE_BENCH_SERVER").map(PathBuf::from);
        let mut options = Self {
            binary: named.unwrap_or_else(|| target.join("release/yellowline")),
            folder: std::env::temp_dir(),
            packages: target.join("bench-python"),
            parts: PARTS.map(str::to_owned).to_vec(),
            seconds: 20,
            steady_s: 600,
            soak_minutes: 0,
            repeat: 1,
            events: 200_000,
            wal_bytes: 1_000_000_000,
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
                "--parts" => options.parts = parts(&value()?)?,
                "--seconds" => options.seconds = number(&value()?)?,
                "--steady" => options.steady_s = number(&value()?)?,
                "--soak" => options.soak_minutes = number(&value()?)?,
                "--repeat" => options.repeat = usize::try_from(number(&value()?)?)?.max(1),
                "--events" => options.events = number(&value()?)?,
                "--wal-bytes" => options.wal_bytes = number(&value()?)?,
                "--seed" => options.seed = number(&value()?)?,
                "--help" => {
                    eprintln!("bench ingest\n{USAGE}");
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

    pub(crate) fn wants(&self, part: &str) -> bool {
        self.parts.iter().any(|wanted| wanted == part)
    }
}

fn parts(text: &str) -> anyhow::Result<Vec<String>> {
    let parts: Vec<String> = text.split(',').map(|part| part.trim().to_owned()).collect();
    match parts.iter().find(|part| !PARTS.contains(&part.as_str())) {
        Some(part) => bail!("there is no part {part}\n{USAGE}"),
        None => Ok(parts),
    }
}

fn number(text: &str) -> anyhow::Result<u64> {
    text.replace('_', "").parse().with_context(|| format!("{text} is no whole number"))
}
