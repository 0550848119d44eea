//! How much does a durable event cost? Posts wide events (281 columns, 2.2 KB) to a real `yellowline serve` over HTTP.
//!
//!     cargo build --release && cargo bench --workspace --bench ingest -- --seconds 60 --steady 600 --soak 20
//!
//! MB are 10^6 bytes of uncompressed JSON. `MB/cpu-s` divides what was acknowledged by the CPU the server used in the same
//! window; `life` does so from start to end of the process, the last flush to Parquet included. The fdatasync probe runs beside
//! the load on the same disk. Load and server share the machine.

#![expect(clippy::print_stdout, reason = "a bench prints its table")]

mod merge;
mod options;
mod restart;
mod run;
mod soak;
mod yardstick;

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use anyhow::ensure;
use benches::{client::Connection, load::Plan, machine, server::Server};
use options::Options;
use run::{Bench, HEAD, row};

fn main() -> anyhow::Result<()> {
    let Some(options) = Options::parse()? else { return Ok(()) };
    let bench = Bench::new(&options, machine::now());
    println!("{}", machine::describe());
    println!(
        "{} --parts {} --seconds {} --steady {} --soak {} --repeat {} --seed {}",
        options.binary.display(),
        options.parts.join(","),
        options.seconds,
        options.steady_s,
        options.soak_minutes,
        options.repeat,
        options.seed
    );
    println!();
    if options.wants("matrix") {
        matrix(&bench)?;
    }
    if options.wants("steady") {
        println!("{HEAD}");
        let plan = bench.plan(options.steady_s);
        row(&bench, &format!("{} s, batches of 100, 16 connections", options.steady_s), &plan, idle)?;
        println!();
    }
    let mut pace = None;
    if options.wants("half") || (options.wants("soak") && options.soak_minutes > 0) {
        pace = Some(half(&bench)?);
    }
    if options.wants("merge") {
        merge::merge(&bench)?;
    }
    if options.wants("restart") {
        restart::restart(&bench)?;
    }
    if options.wants("yardstick") {
        yardstick::yardstick(&bench)?;
    }
    if let (true, Some(pace)) = (options.wants("soak") && options.soak_minutes > 0, pace) {
        soak::soak(&bench, pace)?;
    }
    Ok(())
}

fn idle(_server: &Server, _stop: &AtomicBool) {}

/// 1 to 256 connections, single events and batches, plain and gzip.
fn matrix(bench: &Bench<'_>) -> anyhow::Result<()> {
    println!("{HEAD}");
    for connections in [1, 16, 64, 256] {
        for batch in [1, 100] {
            for gzip in [false, true] {
                let plan = Plan { connections, batch, gzip, ..bench.plan(bench.options.seconds) };
                let name = format!(
                    "{connections} connections, {}, {}",
                    if batch == 1 { "single events" } else { "batches of 100" },
                    if gzip { "gzip" } else { "plain" }
                );
                row(bench, &name, &plan, idle)?;
            }
        }
    }
    println!();
    Ok(())
}

/// Latency at half of what the server takes, alone and with a heavy query beside; the pace in requests per second.
fn half(bench: &Bench<'_>) -> anyhow::Result<f64> {
    println!("{HEAD}");
    let plan = bench.plan(bench.options.seconds);
    let full = row(bench, "full load, 16 connections, batches of 100", &plan, idle)?;
    let pace = full.report.acks as f64 / full.window_s / 2.0;
    let plan = Plan { pace: Some(pace), ..plan };
    let half = row(bench, "half load", &plan, idle)?;
    let answered = AtomicU64::new(0);
    let query = |server: &Server, stop: &AtomicBool| query_on_and_on(server, stop, &answered);
    let beside = row(bench, "half load, a heavy query beside", &plan, query)?;
    let answered = answered.into_inner();
    ensure!(answered > 0, "the heavy query was never answered");
    println!();
    for (name, outcome) in
        [("half load", &half), (format!("with a heavy query beside, answered {answered} times").as_str(), &beside)]
    {
        println!(
            "{name}: ack p99 {:.1} ms; 2 x fdatasync p99 + 5 ms = {:.1} ms",
            outcome.report.latencies.quantile_ms(0.99),
            2.0 * outcome.syncs.quantile_ms(0.99) + 5.0
        );
    }
    println!();
    Ok(pace)
}

/// Groups everything by guest and counts different traces, over and over.
fn query_on_and_on(server: &Server, stop: &AtomicBool, answered: &AtomicU64) {
    const SQL: &str = "SELECT \"user.id\", count(*), avg(duration_ms), count(DISTINCT trace_id) FROM shop.events GROUP BY 1 ORDER BY 2 DESC LIMIT 10";
    let mut connection = Connection::new(server.address, Duration::from_secs(120));
    while !stop.load(Ordering::Relaxed) {
        // Before the first event there is no table yet.
        let answer = connection.post_json("/api/v1/sql", &serde_json::json!({ "sql": SQL }));
        if answer.is_ok_and(|answer| answer.status == 200) {
            answered.fetch_add(1, Ordering::Relaxed);
        } else {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
