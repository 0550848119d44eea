//! What merging files costs those beside it, and what it saves them: the same load with and without it, and a query over all events.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use benches::{
    client::Connection,
    load::{self, Plan},
    machine::{Latencies, SyncProbe},
    server::Server,
};

use crate::run::Bench;

/// Many small files, so that there is much to merge.
const FLUSH_ROWS: (&str, &str) = ("YELLOWLINE_STORE__MEMTABLE_ROWS_MAX", "10000");
const WAYS: [(&str, &str); 2] = [("without", "0"), ("with", "1")];
/// Requests of 100 events per second: well below what the server takes.
const PACE: f64 = 60.0;
/// Between two queries.
const PAUSE: Duration = Duration::from_millis(200);
const SQL: &str = "SELECT route, count(*), avg(duration_ms) FROM shop.events GROUP BY 1 ORDER BY 2 DESC";

pub(crate) fn merge(bench: &Bench<'_>) -> anyhow::Result<()> {
    println!(
        "| merging | acks/s | ack p50 ms | p99 | fdatasync p99 ms | query p50 ms | p95 | queries | files at the end | merges |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for _ in 0..bench.options.repeat {
        for (name, interval_s) in WAYS {
            run(bench, name, interval_s)?;
        }
    }
    println!();
    Ok(())
}

fn run(bench: &Bench<'_>, name: &str, interval_s: &str) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(&bench.options.folder).context("could not make a data folder")?;
    let settings = [FLUSH_ROWS, ("YELLOWLINE_STORE__COMPACT_INTERVAL_S", interval_s)];
    let server = Server::start_with(&bench.options.binary, &folder.path().join("data"), &settings)?;
    let probe = SyncProbe::start(folder.path());
    let plan = Plan { pace: Some(PACE), ..bench.plan(bench.options.seconds) };
    let (stop, queries) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let report = std::thread::scope(|scope| {
        scope.spawn(|| ask_on_and_on(&server, &stop, &queries));
        let report = load::run(&plan, &bench.site, &bench.story, server.address, "shop", || {});
        stop.store(true, Ordering::Relaxed);
        report
    })?;
    let syncs = probe.stop().context("the fdatasync probe failed")?;
    let queries = Latencies::new(queries.into_inner().unwrap_or_else(PoisonError::into_inner));
    println!(
        "| {name} | {:.0} | {:.2} | {:.1} | {:.1} | {:.1} | {:.1} | {} | {} | {} |",
        report.acks as f64 / bench.options.seconds as f64,
        report.latencies.quantile_ms(0.5),
        report.latencies.quantile_ms(0.99),
        syncs.quantile_ms(0.99),
        queries.quantile_ms(0.5),
        queries.quantile_ms(0.95),
        queries.len(),
        value(&server, "SELECT files FROM system.upkeep WHERE dataset = 'shop'")?,
        metric(&server, "yellowline_store_compactions_total")?,
    );
    server.stop()?;
    Ok(())
}

fn ask_on_and_on(server: &Server, stop: &AtomicBool, micros: &Mutex<Vec<u32>>) {
    let mut connection = Connection::new(server.address, Duration::from_secs(120));
    while !stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        let answer = connection.post_json("/api/v1/sql", &serde_json::json!({ "sql": SQL }));
        // Before the first event there is no table yet.
        if answer.is_ok_and(|answer| answer.status == 200) {
            let taken = u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX);
            micros.lock().unwrap_or_else(PoisonError::into_inner).push(taken);
        }
        std::thread::sleep(PAUSE);
    }
}

fn value(server: &Server, sql: &str) -> anyhow::Result<serde_json::Value> {
    let mut connection = Connection::new(server.address, Duration::from_secs(60));
    let answer = connection.post_json("/api/v1/sql", &serde_json::json!({ "sql": sql }))?;
    Ok(answer.json()["rows"][0][0].clone())
}

fn metric(server: &Server, name: &str) -> anyhow::Result<String> {
    let text = Connection::new(server.address, Duration::from_secs(60)).get("/metrics")?;
    let text = text.text().into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map(ToOwned::to_owned).with_context(|| format!("there is no metric {name}"))
}
