//! How much does a durable event cost? Posts wide events (281 columns, 2.2 KB) to a real `yellowline serve` over HTTP.
//!
//!     cargo build --release && cargo bench -p yellowline-benches --bench ingest -- --seconds 60
//!
//! MB are 10^6 bytes of uncompressed JSON. `MB/cpu-s` divides what was acknowledged by the CPU the server used in the same
//! window; `life` does so from start to end of the process, the last flush to Parquet included. The fdatasync probe runs beside
//! the load on the same disk.

#![expect(clippy::print_stdout, reason = "a bench prints its table")]

#[path = "options/mod.rs"]
mod options;

use std::time::Duration;

use anyhow::Context;
use benches::{
    load::{self, Plan, Report},
    machine::{self, Latencies, SyncProbe},
    server::Server,
    site::{Profile, Site},
    story::Story,
};
use options::Options;

const MINUTE: i64 = 60_000_000;

/// What one run showed.
struct Outcome {
    report: Report,
    window_s: f64,
    cpu_s: f64,
    life_cpu_s: f64,
    life_json_bytes: u64,
    resident_mb: u64,
    syncs: Latencies,
}

fn main() -> anyhow::Result<()> {
    let Some(options) = Options::parse("ingest")? else { return Ok(()) };
    let site = Site::new(options.seed, Profile::Wide);
    let now = machine::now();
    let story = Story::past(options.seed, now - 3 * 1440 * MINUTE, now);
    println!("{}", machine::describe());
    println!("{} --seconds {} --seed {}", options.binary.display(), options.seconds, options.seed);
    println!();
    println!(
        "| run | MB/cpu-s | life | MB/s | events/s | acks/s | ack p50 | p99 ms | fdatasync p50 | p99 ms | RSS MB | refused |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    let base = plan(&options, now);
    let full = run(&options, &site, &story, &base)?;
    print("batches of 100, 4 connections", &full);
    let gzip = Plan { gzip: true, ..base.clone() };
    print("the same, gzip", &run(&options, &site, &story, &gzip)?);
    let single = Plan { connections: 64, batch: 1, ..base.clone() };
    print("single events, 64 connections", &run(&options, &site, &story, &single)?);
    let pace = full.report.acks as f64 / full.window_s / 2.0;
    let half = run(&options, &site, &story, &Plan { pace: Some(pace), ..base })?;
    print("batches of 100, half load", &half);
    let limit = 2.0 * half.syncs.quantile_ms(0.99) + 5.0;
    println!();
    println!(
        "half load: ack p99 {:.1} ms; 2 x fdatasync p99 + 5 ms = {limit:.1} ms",
        half.report.latencies.quantile_ms(0.99)
    );
    Ok(())
}

fn plan(options: &Options, now: i64) -> Plan {
    // Two minutes of the site's life pass in a second of load at most; all of it shall lie in the past.
    let minutes = i64::try_from(options.seconds).unwrap_or(600) * 2 + 60;
    Plan {
        connections: 4,
        batch: 100,
        gzip: false,
        warm_up: Duration::from_secs(options.seconds / 5),
        window: Duration::from_secs(options.seconds),
        pace: None,
        events_max: None,
        from_minute: now / MINUTE - minutes,
        seed: options.seed,
    }
}

/// One run on a fresh data folder.
fn run(options: &Options, site: &Site, story: &Story, plan: &Plan) -> anyhow::Result<Outcome> {
    let folder = tempfile::tempdir_in(&options.folder).context("could not make a data folder")?;
    let server = Server::start(&options.binary, &folder.path().join("data"))?;
    let probe = SyncProbe::start(folder.path());
    let mut edges = Vec::new();
    let report = load::run(plan, site, story, server.address, "shop", || {
        edges.push((std::time::Instant::now(), server.cpu()));
    })?;
    let [(begin, cpu_begin), (end, cpu_end)] = &edges[..] else { anyhow::bail!("the run had no window") };
    let cpu_of = |cpu: &Result<benches::server::Cpu, _>| cpu.as_ref().map(|cpu| cpu.total_s()).unwrap_or_default();
    let resident_mb = server.resident_bytes()? / 1_000_000;
    let syncs = probe.stop().context("the fdatasync probe failed")?;
    let life_json_bytes = total_json_bytes(&server, &report)?;
    Ok(Outcome {
        window_s: end.duration_since(*begin).as_secs_f64(),
        cpu_s: cpu_of(cpu_end) - cpu_of(cpu_begin),
        life_cpu_s: server.stop()?.total_s(),
        life_json_bytes,
        resident_mb,
        syncs,
        report,
    })
}

/// JSON acknowledged since the server's start: events it counts times the mean size inside the window.
fn total_json_bytes(server: &Server, report: &Report) -> anyhow::Result<u64> {
    let mut connection = benches::client::Connection::new(server.address, Duration::from_secs(60));
    let answer =
        connection.post_json("/api/v1/sql", &serde_json::json!({ "sql": "SELECT count(*) FROM shop.events" }))?;
    let events = answer.json()["rows"][0][0].as_u64().with_context(|| format!("no count: {}", answer.text()))?;
    Ok(events * report.json_bytes / report.events.max(1))
}

fn print(name: &str, outcome: &Outcome) {
    let Outcome { report, window_s, .. } = outcome;
    let megabytes = report.json_bytes as f64 / 1e6;
    println!(
        "| {name} | {:.1} | {:.1} | {:.1} | {:.0} | {:.0} | {:.2} | {:.1} | {:.2} | {:.1} | {} | {} |",
        megabytes / outcome.cpu_s,
        outcome.life_json_bytes as f64 / 1e6 / outcome.life_cpu_s,
        megabytes / window_s,
        report.events as f64 / window_s,
        report.acks as f64 / window_s,
        report.latencies.quantile_ms(0.5),
        report.latencies.quantile_ms(0.99),
        outcome.syncs.quantile_ms(0.5),
        outcome.syncs.quantile_ms(0.99),
        outcome.resident_mb,
        report.refused,
    );
}
