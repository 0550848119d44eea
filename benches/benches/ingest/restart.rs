//! How long a start takes: after a clean stop, and after `kill -9` with a gigabyte of JSON in the WAL.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use benches::{
    load::{self, Plan},
    server::Server,
};

use crate::run::{Bench, bytes_below, count};

/// Nothing is flushed while the WAL fills.
const NO_FLUSH: [(&str, &str); 5] = [
    ("YELLOWLINE_STORE__FLUSH_INTERVAL_S", "86400"),
    ("YELLOWLINE_STORE__MEMTABLE_BYTES_MAX", "16000000000"),
    ("YELLOWLINE_STORE__MEMTABLE_ROWS_MAX", "1000000000"),
    ("YELLOWLINE_STORE__MEMORY_BYTES_MAX", "32000000000"),
    ("YELLOWLINE_STORE__WAL_BYTES_MAX", "16000000000"),
];
/// After a start, until memory is looked at.
const REST: Duration = Duration::from_secs(3);

pub(crate) fn restart(bench: &Bench<'_>) -> anyhow::Result<()> {
    println!("| start | ready s | CPU-s | JSON in the WAL, MB | s per GB | peak RSS MB | RSS MB 3 s later | events |");
    println!("|---|---|---|---|---|---|---|---|");
    for _ in 0..bench.options.repeat {
        let folder = tempfile::tempdir_in(&bench.options.folder).context("could not make a data folder")?;
        let data = folder.path().join("data");
        let (events, json) = fill_wal(bench, &data)?;
        ensure!(bytes_below(&data.join("wal"))? > 0, "nothing is in the WAL");
        let server = started(bench, "after kill -9", &data, events, json)?;
        server.stop()?;
        started(bench, "clean", &data, events, 0)?.stop()?;
    }
    println!();
    Ok(())
}

/// Loads events into the WAL alone and kills the server; how many were acknowledged, and their bytes.
fn fill_wal(bench: &Bench<'_>, data: &Path) -> anyhow::Result<(u64, u64)> {
    const EVENT_BYTES: u64 = 2_200;
    let server = Server::start_with(&bench.options.binary, data, &NO_FLUSH)?;
    let plan = Plan {
        warm_up: Duration::ZERO,
        window: Duration::from_secs(3_600),
        events_max: Some(bench.options.wal_bytes / EVENT_BYTES),
        ..bench.plan(600)
    };
    let report = load::run(&plan, &bench.site, &bench.story, server.address, "shop", || {})?;
    server.kill();
    Ok((report.events, report.json_bytes))
}

fn started(bench: &Bench<'_>, name: &str, data: &Path, events: u64, json: u64) -> anyhow::Result<Server> {
    let begin = Instant::now();
    let server = Server::start(&bench.options.binary, data)?;
    let ready_s = begin.elapsed().as_secs_f64();
    let cpu_s = server.cpu()?.total_s();
    let found = count(&server)?;
    ensure!(found >= events, "{events} events were acknowledged, {found} are there after the start");
    std::thread::sleep(REST);
    let per_gb = if json > 0 { format!("{:.2}", ready_s / (json as f64 / 1e9)) } else { "-".to_owned() };
    println!(
        "| {name} | {ready_s:.2} | {cpu_s:.2} | {} | {per_gb} | {} | {} | {found} |",
        json / 1_000_000,
        server.peak_bytes()? / 1_000_000,
        server.resident_bytes()? / 1_000_000,
    );
    Ok(server)
}
