//! `explain_diff`: does it find planted cuts, is it silent on healthy data, how long does it take?
//!
//!     cargo build --release && cargo bench --workspace --bench explain -- --events 290000
//!
//! `--input FILE --selection SQL [--baseline SQL]` asks of a foreign file (NDJSON, or Parquet by its ending) instead.
//!
//! Seeds, effects and rates of the planted bugs were fixed before the search was tuned: 80 clear ones, 20 near the detection limit, 100
//! healthy sets of correlated traffic. Times are wall time at the client of a real server whose events lie in files.

#![expect(clippy::print_stdout, reason = "a bench prints its table")]

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringViewArray};
use benches::{
    client::Connection,
    load::{self, Plan},
    machine,
    planted::Rows,
    server::Server,
    site::{Profile, Site},
    story::Story,
};
use query::explain::{Cause, Collector, Facts, Options as Search, causes};
use serde_json::{Value, json};

/// Rows of one planted set.
const ROWS: usize = 30_000;
/// Every fifth bug is near the limit.
const NEAR_EVERY: u64 = 5;
/// Share of the rows that fail for other reasons.
const BASE_RATE: f64 = 0.004;
/// Share of the rows in a clear bug's cut that fail.
const CLEAR_RATE: f64 = 0.4;
/// Rows expected to fail in a cut near the limit.
const NEAR_BAD: f64 = 14.0;
/// Columns of the timed question.
const COLUMNS: usize = 60;
const RUNS: usize = 3;
const MINUTE: i64 = 60_000_000;
const BATCH: usize = 2_000;
const TIMEOUT: Duration = Duration::from_secs(300);

/// What to do.
struct Options {
    server: PathBuf,
    folder: PathBuf,
    events: u64,
    sets: u64,
    input: Option<PathBuf>,
    selection: Option<String>,
    baseline: Option<String>,
}

const USAGE: &str = "options: --server FILE  --folder DIR  --events N (of the timed question; 0 = none)  --sets N (planted sets; default 100)
         --input FILE --selection SQL [--baseline SQL]";

fn main() -> anyhow::Result<()> {
    let Some(options) = parse()? else { return Ok(()) };
    println!("{}", machine::describe());
    if let Some(input) = &options.input {
        return foreign(&options, input);
    }
    planted(options.sets);
    if options.events > 0 { speed(&options) } else { Ok(()) }
}

fn parse() -> anyhow::Result<Option<Options>> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("../target"), PathBuf::from);
    let mut options = Options {
        server: target.join("release/yellowline"),
        folder: std::env::temp_dir(),
        events: 290_000,
        sets: 100,
        input: None,
        selection: None,
        baseline: None,
    };
    let mut words = std::env::args().skip(1);
    let mut is_bench = false;
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value\n{USAGE}"));
        match word.as_str() {
            "--bench" => is_bench = true,
            "--server" => options.server = value()?.into(),
            "--folder" => options.folder = value()?.into(),
            "--events" => options.events = value()?.replace('_', "").parse()?,
            "--sets" => options.sets = value()?.parse()?,
            "--input" => options.input = Some(value()?.into()),
            "--selection" => options.selection = Some(value()?),
            "--baseline" => options.baseline = Some(value()?),
            _ => bail!("unknown option {word}\n{USAGE}"),
        }
    }
    // `cargo test` runs the bench to see that it builds.
    Ok(is_bench.then_some(options))
}

/// Planted bugs and healthy sets.
fn planted(sets: u64) {
    let (mut clear, mut near, mut reported) = ((0, 0), (0, 0), 0);
    let begin = Instant::now();
    for set in 0..sets {
        let order = 1 + usize::try_from(set).unwrap_or(0) % 3;
        let mut rows = Rows::of(1_000 + set, ROWS);
        let cut = rows.cut(2_000 + set, order);
        let is_near = set % NEAR_EVERY == NEAR_EVERY - 1;
        let inside = (0..ROWS).filter(|row| rows.is_in(&cut, *row)).count() as f64;
        let rate = if is_near { (NEAR_BAD / inside).min(1.0) } else { CLEAR_RATE };
        rows.fail(3_000 + set, BASE_RATE, &cut, rate);
        let found = search(&rows);
        let expect = rows.sql(&cut);
        let is_first =
            found.first().is_some_and(|first| first.predicate == expect || first.equivalents.contains(&expect));
        let counts = if is_near { &mut near } else { &mut clear };
        counts.0 += u64::from(is_first);
        counts.1 += 1;
        if !is_first {
            let first = found.first().map(|first| format!("{} ({:.1} bits)", first.predicate, first.score_bits));
            println!(
                "set {set}{}: {expect}, found {}",
                if is_near { " (near)" } else { "" },
                first.unwrap_or_default()
            );
        }
        let mut healthy = Rows::of(5_000 + set, ROWS);
        healthy.fail(6_000 + set, BASE_RATE * 2.0, &[], 0.0);
        reported += u64::from(!search(&healthy).is_empty());
    }
    println!("clear bugs named first {} of {}, near the limit {} of {}", clear.0, clear.1, near.0, near.1);
    println!(
        "healthy sets with a report {reported} of {sets}; {:.0} ms a set",
        begin.elapsed().as_secs_f64() * 500.0 / sets as f64
    );
}

fn search(rows: &Rows) -> Vec<Cause> {
    let texts = |values: &Vec<String>| Arc::new(values.iter().map(Some).collect::<StringViewArray>()) as ArrayRef;
    let mut arrays: Vec<ArrayRef> = rows.columns.iter().map(|(_, values)| texts(values)).collect();
    arrays.push(Arc::new(Int64Array::from(rows.amount.clone())));
    let names: Vec<String> =
        rows.columns.iter().map(|(name, _)| *name).chain(["amount"]).map(ToOwned::to_owned).collect();
    let types: Vec<_> = arrays.iter().map(|array| array.data_type().clone()).collect();
    let mut collector = Collector::new(&types);
    collector.add(&BooleanArray::from(rows.bad.clone()), &arrays, Some(&texts(&rows.users)), None);
    causes(&Facts::merge(&names, vec![collector]), &Search::default(), &|| false)
}

/// One day, or more, of wide events in files; the failing payments against the others, 60 columns, three conditions, distinct users.
fn speed(options: &Options) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(&options.folder).context("could not make a data folder")?;
    let data = folder.path().join("data");
    let server = Server::start(&options.server, &data)?;
    fill(options, &server)?;
    server.stop()?;
    let server = Server::start(&options.server, &data)?;
    let mut connection = Connection::new(server.address, TIMEOUT);
    let columns = connection.get("/api/v1/datasets/shop/columns")?.json();
    let listed = columns["columns"].as_array().cloned().unwrap_or_default();
    let is_dimension = |column: &&Value| {
        let name = column["name"].as_str().unwrap_or_default();
        matches!(column["class"].as_str(), Some("text" | "number" | "boolean"))
            && !name.starts_with("error")
            && !name.ends_with("_id")
    };
    let on: Vec<&str> =
        listed.iter().filter(is_dimension).filter_map(|column| column["name"].as_str()).take(COLUMNS).collect();
    let body = json!({"selection": "status >= 500", "baseline": "status < 500", "on": on, "timeout_ms": 300_000});
    println!("\n| events | columns | run | ms | bad | first cut |\n|---|---|---|---|---|---|");
    for run in 1..=RUNS {
        let begin = Instant::now();
        let answer = connection.post_json("/api/v1/explain-diff", &body)?;
        let elapsed_ms = begin.elapsed().as_secs_f64() * 1e3;
        if answer.status != 200 {
            bail!("{}", answer.text());
        }
        let rows = answer.json()["rows"].clone();
        println!("| {} | {} | {run} | {elapsed_ms:.0} | {} | {} |", options.events, on.len(), rows[0][12], rows[0][0]);
    }
    println!("{} MB resident", server.resident_bytes()? / 1_000_000);
    Ok(())
}

fn fill(options: &Options, server: &Server) -> anyhow::Result<()> {
    let now = machine::now();
    let site = Site::new(42, Profile::Wide);
    let mut story = Story::past(42, now - 10 * 1440 * MINUTE, now);
    story.activate(now - 30 * MINUTE, None);
    let plan = Plan {
        connections: 4,
        batch: 500,
        gzip: false,
        warm_up: Duration::ZERO,
        window: Duration::from_secs(24 * 3600),
        pace: None,
        events_max: Some(options.events),
        // Some 35,000 events a minute; the bug is live in part of them.
        from_minute: now / MINUTE - i64::try_from(options.events / 35_000).unwrap_or(0) - 30,
        seed: 42,
    };
    load::run(&plan, &site, &story, server.address, "shop", || {})?;
    Ok(())
}

/// Asks one question of a file's events.
fn foreign(options: &Options, input: &Path) -> anyhow::Result<()> {
    let selection = options.selection.as_deref().context("--input needs --selection 'a condition of SQL'")?;
    let folder = tempfile::tempdir_in(&options.folder).context("could not make a data folder")?;
    let server = Server::start(&options.server, &folder.path().join("data"))?;
    let mut connection = Connection::new(server.address, TIMEOUT);
    let file = std::fs::File::open(input).with_context(|| format!("could not open {}", input.display()))?;
    let mut events = 0;
    let mut body: Vec<u8> = Vec::new();
    let mut send = |line: &str, is_last: bool| -> anyhow::Result<()> {
        if !line.is_empty() {
            body.extend_from_slice(line.as_bytes());
            body.push(b'\n');
            events += 1;
        }
        if !body.is_empty() && (is_last || events % BATCH == 0) {
            let headers = [("content-type", "application/x-ndjson")];
            let answer = connection.send("POST", "/api/v1/events/input?import=true", &headers, &body)?;
            if answer.status != 200 {
                bail!("{}", answer.text());
            }
            body.clear();
        }
        Ok(())
    };
    if input.extension().is_some_and(|ending| ending == "parquet") {
        for line in query::parquet_as_ndjson(file)? {
            send(&line?, false)?;
        }
    } else {
        for line in BufReader::new(file).lines() {
            send(&line?, false)?;
        }
    }
    send("", true)?;
    let question =
        json!({"selection": selection, "baseline": options.baseline, "dataset": "input", "timeout_ms": 300_000});
    let begin = Instant::now();
    let answer = connection.post_json("/api/v1/explain-diff", &question)?;
    println!("{events} events, {:.0} ms", begin.elapsed().as_secs_f64() * 1e3);
    if answer.status != 200 {
        bail!("{}", answer.text());
    }
    let answer = answer.json();
    let names: Vec<&str> =
        answer["columns"].as_array().into_iter().flatten().filter_map(|column| column["name"].as_str()).collect();
    for row in answer["rows"].as_array().into_iter().flatten() {
        println!();
        for (name, value) in names.iter().zip(row.as_array().into_iter().flatten()) {
            println!("{name:>18}  {value}");
        }
    }
    Ok(())
}
