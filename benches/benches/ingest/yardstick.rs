//! What others take for the same events: DuckDB and chDB load them from a file, without HTTP, acknowledgements and fsync.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    process::Command,
};

use anyhow::{Context, bail};
use benches::{load::Feed, rates::Rates, site::Traffic};

use crate::run::{Bench, MINUTE};

const SCRIPT: &str = include_str!("yardstick.py");

pub(crate) fn yardstick(bench: &Bench<'_>) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(&bench.options.folder).context("could not make a folder")?;
    let events = folder.path().join("events.ndjson");
    let bytes = write_events(bench, &events)?;
    let python = packages(&bench.options.packages)?;
    let script = folder.path().join("yardstick.py");
    std::fs::write(&script, SCRIPT).context("could not write the script")?;
    println!("{} events, {} MB, loaded from a file, no fsync, all cores:", bench.options.events, bytes / 1_000_000);
    println!();
    println!("| engine | MB/cpu-s | MB/s | wall s | peak RSS MB | JSON : disk | rows |");
    println!("|---|---|---|---|---|---|---|");
    for engine in ["duckdb", "chdb"] {
        for run in 0..bench.options.repeat {
            let target = folder.path().join(format!("{engine}-{run}"));
            let status = Command::new(&python).arg(&script).arg(engine).arg(&events).arg(&target).status();
            if !status.with_context(|| format!("could not run {}", python.display()))?.success() {
                println!("| {engine} | failed | | | | | |");
            }
        }
    }
    println!();
    Ok(())
}

/// The load's events as one file.
fn write_events(bench: &Bench<'_>, path: &Path) -> anyhow::Result<u64> {
    const BATCH: u32 = 1_000;
    let minute = bench.now / MINUTE - 600;
    let rates = Rates::new(bench.options.seed, 2_000.0, minute);
    let mut feed = Feed::new(Traffic::from(&bench.site, &rates, minute), BATCH);
    let mut out = BufWriter::new(File::create(path).with_context(|| format!("could not create {}", path.display()))?);
    let (mut left, mut bytes) = (bench.options.events, 0);
    while left > 0 {
        let count = u32::try_from(left).unwrap_or(BATCH).min(BATCH);
        let lines = feed.next(&bench.story, count);
        out.write_all(lines).context("could not write the events")?;
        bytes += lines.len() as u64;
        left -= u64::from(count);
    }
    out.flush().context("could not write the events")?;
    Ok(bytes)
}

/// The Python of an environment that has both packages; made once.
fn packages(folder: &Path) -> anyhow::Result<std::path::PathBuf> {
    let python = folder.join("bin/python");
    let has_both = |python: &Path| {
        Command::new(python).args(["-c", "import duckdb, chdb"]).output().is_ok_and(|done| done.status.success())
    };
    if has_both(&python) {
        return Ok(python);
    }
    for (program, arguments) in [
        (Path::new("python3"), vec!["-m", "venv", folder.to_str().context("the target folder is no UTF-8")?]),
        (&python, vec!["-m", "pip", "install", "--quiet", "duckdb", "chdb"]),
    ] {
        let status = Command::new(program).args(&arguments).status();
        if !status.with_context(|| format!("could not run {}", program.display()))?.success() {
            bail!(
                "{} {} failed: the yardstick needs python3 and its packages duckdb and chdb",
                program.display(),
                arguments.join(" ")
            );
        }
    }
    Ok(python)
}
