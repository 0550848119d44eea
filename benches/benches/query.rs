//! How long do an engineer's questions take? Loads events into a real `yellowline serve`, asks over HTTP, restarts it (so that
//! everything lies in files) and asks again.
//!
//!     cargo build --release && cargo bench --workspace --bench query -- --events 1000000
//!
//! First run and median of the next five, wall time at the client, JSON answers. Constants are drawn from the seed.

#![expect(clippy::print_stdout, reason = "a bench prints its table")]

#[path = "options/mod.rs"]
mod options;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use benches::{
    client::Connection,
    load::{self, Plan},
    machine,
    random::Random,
    server::Server,
    site::{Profile, Site},
    story::Story,
};
use options::Options;

const MINUTE: i64 = 60_000_000;
/// Warm runs per question.
const WARM_RUNS: usize = 5;

/// One question with its constants in place.
struct Question {
    name: &'static str,
    sql: String,
}

fn main() -> anyhow::Result<()> {
    let Some(options) = Options::parse("query")? else { return Ok(()) };
    let folder = tempfile::tempdir_in(&options.folder).context("could not make a data folder")?;
    let data = folder.path().join("data");
    println!("{}", machine::describe());
    println!("{} --events {} --seed {}", options.binary.display(), options.events, options.seed);
    let server = Server::start(&options.binary, &data)?;
    let begin = Instant::now();
    fill(&options, &server)?;
    println!(
        "loaded {} events in {:.1} s, {} MB resident",
        options.events,
        begin.elapsed().as_secs_f64(),
        server.resident_bytes()? / 1_000_000
    );
    let questions = questions(options.seed);
    println!();
    println!("| question | rows | first ms | warm ms | after a restart: first | warm ms |");
    println!("|---|---|---|---|---|---|");
    let before = questions.iter().map(|question| ask(&server, question)).collect::<anyhow::Result<Vec<_>>>()?;
    server.stop()?;
    let bytes = size_of(&data)?;
    let begin = Instant::now();
    let server = Server::start(&options.binary, &data)?;
    let restart_ms = begin.elapsed().as_secs_f64() * 1e3;
    for (question, before) in questions.iter().zip(before) {
        let after = ask(&server, question)?;
        if before.rows != after.rows {
            bail!("{}: {} rows before the restart, {} after it", question.name, before.rows, after.rows);
        }
        println!(
            "| {} | {} | {:.1} | {:.1} | {:.1} | {:.1} |",
            question.name, before.rows, before.first_ms, before.warm_ms, after.first_ms, after.warm_ms
        );
    }
    println!();
    println!("restart {restart_ms:.0} ms; {:.1} MB on disk", bytes as f64 / 1e6);
    Ok(())
}

fn fill(options: &Options, server: &Server) -> anyhow::Result<()> {
    let now = machine::now();
    let site = Site::new(options.seed, Profile::Wide);
    let story = Story::past(options.seed, now - 10 * 1440 * MINUTE, now);
    let plan = Plan {
        connections: 4,
        batch: 500,
        gzip: false,
        warm_up: Duration::ZERO,
        window: Duration::from_secs(24 * 3600),
        pace: None,
        events_max: Some(options.events),
        // Some 35,000 events a minute.
        from_minute: now / MINUTE - i64::try_from(options.events / 25_000).unwrap_or(0) - 60,
        seed: options.seed,
    };
    load::run(&plan, &site, &story, server.address, "shop", || {})?;
    Ok(())
}

/// What asking showed.
struct Times {
    rows: usize,
    first_ms: f64,
    warm_ms: f64,
}

fn ask(server: &Server, question: &Question) -> anyhow::Result<Times> {
    let mut connection = Connection::new(server.address, Duration::from_secs(120));
    let body = serde_json::json!({ "sql": question.sql, "dataset": "shop" });
    let mut once = || -> anyhow::Result<(usize, f64)> {
        let begin = Instant::now();
        let answer = connection.post_json("/api/v1/sql", &body)?;
        let elapsed_ms = begin.elapsed().as_secs_f64() * 1e3;
        if answer.status != 200 {
            bail!("{}: {}", question.sql, answer.text());
        }
        Ok((answer.json()["rows"].as_array().map_or(0, Vec::len), elapsed_ms))
    };
    let (rows, first_ms) = once()?;
    let mut warm = (0..WARM_RUNS).map(|_| once().map(|(_, ms)| ms)).collect::<anyhow::Result<Vec<_>>>()?;
    warm.sort_by(f64::total_cmp);
    Ok(Times { rows, first_ms, warm_ms: warm[WARM_RUNS / 2] })
}

/// The ten kinds of questions, with constants of the seed.
fn questions(seed: u64) -> Vec<Question> {
    let mut random = Random::of(seed, 50, 0);
    let experiment = random.between(30, 190);
    let country = random.pick(&["NL", "DE", "GB", "FR", "US"]);
    let word = random.pick(&["declined", "no longer available", "fell back", "not on sale"]);
    let hour = random.between(0, 23);
    let question = |name, sql: String| Question { name, sql };
    vec![
        question(
            "bookings per minute",
            "SELECT date_trunc('minute', time) AS minute, count(*) AS bookings FROM events WHERE route = '/checkout/pay' AND status = 200 GROUP BY 1 ORDER BY 1".into(),
        ),
        question(
            "count, mean and p95 of the duration by variant",
            format!("SELECT \"experiments.{experiment}\" AS variant, count(*), avg(duration_ms), approx_percentile_cont(duration_ms, 0.95) FROM events WHERE \"experiments.{experiment}\" IS NOT NULL GROUP BY 1 ORDER BY 1"),
        ),
        question(
            "messages of variant B that A never says",
            format!("SELECT template, count(*) FILTER (WHERE variant = 'B') AS b FROM (SELECT unnest(\"messages.template\") AS template, \"experiments.{experiment}\" AS variant FROM events WHERE \"experiments.{experiment}\" IS NOT NULL) GROUP BY 1 HAVING count(*) FILTER (WHERE variant = 'A') = 0 ORDER BY 2 DESC"),
        ),
        question(
            "one guest's last events",
            "SELECT time, route, status FROM events WHERE user.id = (SELECT max(user.id) FROM events WHERE status = 503) ORDER BY time DESC LIMIT 100".into(),
        ),
        question(
            "slowest routes of failing requests",
            "SELECT route, service.name, count(*), approx_percentile_cont(duration_ms, 0.99) AS p99 FROM events WHERE status >= 400 GROUP BY 1, 2 ORDER BY p99 DESC LIMIT 20".into(),
        ),
        question(
            "SQL time by section and variant",
            "SELECT section, variant, count(*), sum(sql_ms) / sum(n) AS per_execution_ms FROM (SELECT unnest(\"probes.section\") AS section, unnest(\"probes.variant\") AS variant, unnest(\"probes.sql_ms\") AS sql_ms, unnest(\"probes.count\") AS n FROM events) GROUP BY 1, 2 ORDER BY 1, 2".into(),
        ),
        question(
            "messages holding a word",
            format!("SELECT date_trunc('minute', time) AS minute, count(*) FROM events WHERE array_to_string(\"messages.text\", ' ') LIKE '%{word}%' GROUP BY 1 ORDER BY 1"),
        ),
        question("distinct guests by country", "SELECT country, count(DISTINCT user.id) FROM events GROUP BY 1 ORDER BY 2 DESC".into()),
        question("the latest hundred", "SELECT time, route, status, duration_ms FROM events ORDER BY time DESC LIMIT 100".into()),
        question(
            "what differs for the failing ones",
            format!("SELECT 'os' AS dimension, os AS value, count(*) FILTER (WHERE status >= 400) AS bad, count(*) AS whole FROM events WHERE country = '{country}' AND date_part('minute', time) >= {} GROUP BY 2 UNION ALL SELECT 'browser', browser, count(*) FILTER (WHERE status >= 400), count(*) FROM events WHERE country = '{country}' GROUP BY 2", hour),
        ),
    ]
}

fn size_of(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).with_context(|| format!("could not read {}", folder.display()))? {
        let entry = entry?;
        let file = entry.metadata()?;
        bytes += if file.is_dir() { size_of(&entry.path())? } else { file.len() };
    }
    Ok(bytes)
}
