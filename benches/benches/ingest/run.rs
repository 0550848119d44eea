//! One run of load on a fresh data folder, and its row.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::Context;
use benches::{
    client::Connection,
    load::{self, Plan, Report},
    machine::{Latencies, SyncProbe},
    server::Server,
    site::{Profile, Site},
    story::Story,
};

use crate::options::Options;

pub(crate) const MINUTE: i64 = 60_000_000;

/// What all runs share.
pub(crate) struct Bench<'a> {
    pub(crate) options: &'a Options,
    pub(crate) site: Site,
    pub(crate) story: Story,
    pub(crate) now: i64,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(options: &'a Options, now: i64) -> Self {
        let site = Site::new(options.seed, Profile::Wide);
        let story = Story::past(options.seed, now - 3 * 1440 * MINUTE, now);
        Self { options, site, story, now }
    }

    /// Batches of 100, plain, 16 connections, as fast as they are acknowledged.
    pub(crate) fn plan(&self, seconds: u64) -> Plan {
        // Two minutes of the site's life pass in a second of load at most; all of it shall lie in the past.
        let minutes = i64::try_from(seconds).unwrap_or(600) * 2 + 60;
        Plan {
            connections: 16,
            batch: 100,
            gzip: false,
            warm_up: Duration::from_secs((seconds / 5).min(20)),
            window: Duration::from_secs(seconds),
            pace: None,
            events_max: None,
            from_minute: self.now / MINUTE - minutes,
            seed: self.options.seed,
        }
    }
}

/// What one run showed.
pub(crate) struct Outcome {
    pub(crate) report: Report,
    pub(crate) window_s: f64,
    pub(crate) syncs: Latencies,
    /// JSON acknowledged per server CPU-second inside the window, and from start to end, the last flush included.
    pub(crate) per_cpu: f64,
    pub(crate) per_cpu_life: f64,
    pub(crate) peak_mb: u64,
    /// JSON against the files it became.
    pub(crate) ratio: f64,
}

pub(crate) const HEAD: &str = "| run | MB/cpu-s | life | MB/s | events/s | acks/s | ack p50 ms | p99 | fdatasync p50 ms | p99 | peak RSS MB | JSON : disk | refused |
|---|---|---|---|---|---|---|---|---|---|---|---|---|";

/// One run; `beside` works until it is told to stop.
pub(crate) fn run(
    bench: &Bench<'_>,
    plan: &Plan,
    beside: impl Fn(&Server, &AtomicBool) + Sync,
) -> anyhow::Result<Outcome> {
    let folder = tempfile::tempdir_in(&bench.options.folder).context("could not make a data folder")?;
    let data = folder.path().join("data");
    let server = Server::start(&bench.options.binary, &data)?;
    let probe = SyncProbe::start(folder.path());
    let mut edges = Vec::new();
    let stop = AtomicBool::new(false);
    let report = std::thread::scope(|scope| {
        scope.spawn(|| beside(&server, &stop));
        let report = load::run(plan, &bench.site, &bench.story, server.address, "shop", || {
            edges.push((Instant::now(), server.cpu()));
        });
        stop.store(true, Ordering::Relaxed);
        report
    })?;
    let [(begin, Ok(cpu_begin)), (end, Ok(cpu_end))] = &edges[..] else { anyhow::bail!("the run had no window") };
    let peak_mb = server.peak_bytes()? / 1_000_000;
    let syncs = probe.stop().context("the fdatasync probe failed")?;
    let life_bytes = total_json_bytes(&server, &report)? as f64;
    let life_cpu_s = server.stop()?.total_s();
    Ok(Outcome {
        window_s: end.duration_since(*begin).as_secs_f64(),
        per_cpu: report.json_bytes as f64 / 1e6 / (cpu_end.total_s() - cpu_begin.total_s()),
        per_cpu_life: life_bytes / 1e6 / life_cpu_s,
        peak_mb,
        ratio: life_bytes / bytes_below(&data.join("datasets/shop"))? as f64,
        syncs,
        report,
    })
}

/// JSON acknowledged since the server's start: events it counts times the mean size inside the window.
fn total_json_bytes(server: &Server, report: &Report) -> anyhow::Result<u64> {
    Ok(count(server)? * report.json_bytes / report.events.max(1))
}

/// Events the server has.
pub(crate) fn count(server: &Server) -> anyhow::Result<u64> {
    let mut connection = Connection::new(server.address, Duration::from_secs(60));
    let answer =
        connection.post_json("/api/v1/sql", &serde_json::json!({ "sql": "SELECT count(*) FROM shop.events" }))?;
    answer.json()["rows"][0][0].as_u64().with_context(|| format!("no count: {}", answer.text()))
}

/// Bytes of all files below a folder.
pub(crate) fn bytes_below(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    let entries = std::fs::read_dir(folder).with_context(|| format!("could not list {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_below(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

/// Runs a row as often as asked for, prints its medians, and gives the run back that is the median in JSON per CPU-second.
pub(crate) fn row(
    bench: &Bench<'_>,
    name: &str,
    plan: &Plan,
    beside: impl Fn(&Server, &AtomicBool) + Sync,
) -> anyhow::Result<Outcome> {
    let mut runs = Vec::new();
    for _ in 0..bench.options.repeat {
        runs.push(run(bench, plan, &beside)?);
    }
    let columns = [
        median(&runs, 1, |run| run.per_cpu),
        median(&runs, 1, |run| run.per_cpu_life),
        median(&runs, 1, |run| run.report.json_bytes as f64 / 1e6 / run.window_s),
        median(&runs, 0, |run| run.report.events as f64 / run.window_s),
        median(&runs, 0, |run| run.report.acks as f64 / run.window_s),
        median(&runs, 2, |run| run.report.latencies.quantile_ms(0.5)),
        median(&runs, 1, |run| run.report.latencies.quantile_ms(0.99)),
        median(&runs, 2, |run| run.syncs.quantile_ms(0.5)),
        median(&runs, 1, |run| run.syncs.quantile_ms(0.99)),
        median(&runs, 0, |run| run.peak_mb as f64),
        median(&runs, 1, |run| run.ratio),
        median(&runs, 0, |run| run.report.refused as f64),
    ];
    println!("| {name} | {} |", columns.join(" | "));
    runs.sort_by(|left, right| left.per_cpu.total_cmp(&right.per_cpu));
    Ok(runs.swap_remove(runs.len() / 2))
}

fn median(runs: &[Outcome], digits: usize, value: impl Fn(&Outcome) -> f64) -> String {
    let mut values: Vec<f64> = runs.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    format!("{:.digits$}", values[values.len() / 2])
}
