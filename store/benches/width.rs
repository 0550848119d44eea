//! What known columns cost: events of 80 keys into datasets that know 80, 1,000 and 5,000 columns, and events whose keys vary.
//!
//! `cargo bench -p yellowline-store --bench width [-- events folder]`
#![expect(clippy::print_stdout, reason = "the numbers are the result")]

use std::{
    fmt::Write as _,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use store::{AppendOptions, Clock, Config, DatasetName, Store, Timestamp};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 100;
/// Keys of one event.
const KEYS: usize = 80;
/// Keys below one prefix: more of them at once would be taken for ids.
const SIBLINGS: usize = 100;
/// Each measurement is the median of so many.
const ROUNDS: usize = 5;

#[derive(Debug)]
struct WallClock;

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "the bench is its own main")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// User and system time of this process, of ticks of 10 ms.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    Duration::from_millis(10 * ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>())
}

/// An event with `KEYS` keys from `first` on, of `width` there are.
fn event(number: usize, first: usize, width: usize) -> String {
    let mut text = String::from("{");
    for key in (first..first + KEYS).map(|key| key % width) {
        let separator = if text.len() > 1 { "," } else { "" };
        let value = number.wrapping_mul(31).wrapping_add(key);
        // writing to a String cannot fail
        let _written = match key % 3 {
            0 => write!(text, "{separator}\"p{}.k{key}\":{}", key / SIBLINGS, value % 1000),
            1 => write!(text, "{separator}\"p{}.k{key}\":\"value {}\"", key / SIBLINGS, value % 50),
            _ => write!(text, "{separator}\"p{}.k{key}\":{}.5", key / SIBLINGS, value % 100),
        };
    }
    text.push('}');
    text
}

async fn append(store: &Store, dataset: &DatasetName, events: &[String]) {
    for batch in events.chunks(BATCH) {
        let slices: Vec<&[u8]> = batch.iter().map(String::as_bytes).collect();
        let options = AppendOptions::default();
        let decoded = store.decode(dataset, &slices, WallClock.now(), &options);
        store.append(dataset, decoded, options).await.expect("an append");
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[expect(clippy::cast_precision_loss, reason = "shown to people")]
async fn measure(folder: PathBuf, known: usize, varies: bool, count: usize) {
    // Nothing is flushed but when asked.
    let config = Config { folder, flush_interval_s: 86_400, memtable_rows_max: 1 << 40, ..Config::default() };
    let config = Config { memtable_bytes_max: config.memory_bytes_max, ..config };
    let store = Store::open(config, Arc::new(WallClock)).await.expect("the store opens");
    let dataset = DatasetName::from_user("wide").expect("a name");
    let all: Vec<String> = (0..known.div_ceil(KEYS)).map(|part| event(part, part * KEYS, known)).collect();
    append(&store, &dataset, &all).await;
    store.flush().await.expect("a flush");
    let events: Vec<String> =
        (0..count).map(|number| event(number, if varies { number * KEYS } else { 0 }, known)).collect();
    let (mut append_us, mut flush_ms) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let before = cpu();
        append(&store, &dataset, &events).await;
        append_us.push((cpu() - before).as_secs_f64() * 1e6 / count as f64);
        let begin = Instant::now();
        store.flush().await.expect("a flush");
        flush_ms.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    let columns = store.snapshot(&dataset).map_or(0, |snapshot| snapshot.schema.columns.len());
    let keys = if varies { "ever others" } else { "the same" };
    println!("| {columns} | {keys} | {:.1} | {:.0} |", median(append_us), median(flush_ms));
    store.close().await.expect("closing");
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let count = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let scratch = tempfile::tempdir().expect("a folder for the data");
    let folder = arguments.next().map_or_else(|| scratch.path().to_path_buf(), PathBuf::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    println!("{count} events of {KEYS} keys, appended in batches of {BATCH}; medians of {ROUNDS}");
    println!();
    println!("| known columns | keys of an event | append, CPU us per event | flush ms |");
    println!("|---|---|---|---|");
    for (known, varies) in [(80, false), (1_000, false), (5_000, false), (1_000, true), (5_000, true)] {
        runtime.block_on(measure(folder.join(format!("{known}-{varies}")), known, varies, count));
    }
}
