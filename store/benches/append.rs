//! What one core stores: events decoded, made durable, flushed, without HTTP.
//!
//! `cargo bench -p yellowline-store --bench append [-- seconds folder]`
#![expect(clippy::print_stdout, reason = "the numbers are the result")]

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use benches::{
    rates::Rates,
    site::{Profile, Site, Traffic},
    story::Story,
};
use store::{AppendOptions, Clock, Config, DatasetName, Store, Timestamp};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MINUTE_US: i64 = 60_000_000;
const EVENTS: u32 = 40_000;

#[derive(Debug)]
struct WallClock;

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "the bench is its own main")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// User and system time of this process in seconds, of ticks of 10 ms.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// User and system time in seconds of each thread by name.
fn threads_s() -> std::collections::BTreeMap<String, f64> {
    let mut threads = std::collections::BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let Some((head, tail)) = stat.rsplit_once(')') else { continue };
        let ticks: f64 = tail.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
        *threads.entry(head.split_once('(').map_or(head, |(_, name)| name).to_owned()).or_default() += ticks / 100.0;
    }
    threads
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let seconds = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(10);
    let scratch = tempfile::tempdir().expect("a folder for the data");
    let folder = arguments.next().map_or_else(|| scratch.path().to_path_buf(), PathBuf::from);
    let now = WallClock.now().0;
    let site = Site::new(7, Profile::Wide);
    let minute = now / MINUTE_US - 60;
    let rates = Rates::with_rate_at(7, minute, 60.0);
    let story = Story::past(7, now - 3 * 1440 * MINUTE_US, now);
    let mut lines = Vec::new();
    Traffic::from(&site, &rates, minute).write_until(&story, i64::MAX, EVENTS, &mut lines);
    let events: Arc<Vec<Vec<u8>>> =
        Arc::new(lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect());
    let average = lines.len() / events.len();
    println!("{} events of {average} bytes on average", events.len());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().expect("a runtime");
    if std::env::args().any(|argument| argument == "restart") {
        runtime.block_on(restart(folder.join("restart"), &events));
        return;
    }
    for (name, tasks, batch) in [("batches of 100, 16 tasks", 16, 100), ("single events, 64 tasks", 64, 1)] {
        let folder = folder.join(format!("{tasks}"));
        runtime.block_on(measure(name, tasks, batch, seconds, folder, Arc::clone(&events)));
    }
}

/// How long a start takes after a kill with a gigabyte of events in the WAL, and with a million ids to remember.
async fn restart(folder: PathBuf, events: &[Vec<u8>]) {
    const GIGA: u64 = 1_000_000_000;
    let config = Config {
        folder,
        flush_interval_s: 86_400,
        memtable_bytes_max: 16 * GIGA,
        memtable_rows_max: GIGA,
        memory_bytes_max: 32 * GIGA,
        wal_bytes_max: 16 * GIGA,
        ..Config::default()
    };
    let dataset = DatasetName::from_user("shop").expect("a name");
    let options = AppendOptions::default();
    let store = Store::open(config.clone(), Arc::new(WallClock)).await.expect("the store opens");
    let mut bytes = 0;
    while bytes < GIGA {
        for batch in events.chunks(200) {
            let slices: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
            bytes += slices.iter().map(|slice| slice.len() as u64).sum::<u64>();
            let decoded = store.decode(&dataset, &slices, WallClock.now(), &options);
            store.append(&dataset, decoded, options.clone()).await.expect("an append");
        }
    }
    drop(store);
    for config in [config.clone(), Config { folder: config.folder.clone(), ..Config::default() }] {
        let (cpu, started) = (cpu_s(), WallClock.now().0);
        let store = Store::open(config, Arc::new(WallClock)).await.expect("the store opens again");
        println!(
            "start with {bytes} bytes of events in the WAL: {} ms, {:.1} CPU-s, peak memory {} MB",
            (WallClock.now().0 - started) / 1000,
            cpu_s() - cpu,
            resident_mb()
        );
        drop(store);
    }
    let config = Config { folder: config.folder.clone(), ..Config::default() };
    let store = Store::open(config.clone(), Arc::new(WallClock)).await.expect("the store opens again");
    let small = DatasetName::from_user("small").expect("a name");
    for first in (0..1_000_000_u32).step_by(1000) {
        let texts: Vec<String> = (first..first + 1000).map(|n| format!("{{\"id\":\"order-{n}\",\"n\":{n}}}")).collect();
        let slices: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        let decoded = store.decode(&small, &slices, WallClock.now(), &options);
        store.append(&small, decoded, options.clone()).await.expect("an append");
    }
    store.close().await.expect("closing");
    drop(store);
    let started = WallClock.now().0;
    let store = Store::open(config, Arc::new(WallClock)).await.expect("the store opens again");
    println!("clean start with a million ids to remember: {} ms", (WallClock.now().0 - started) / 1000);
    for line in store
        .metrics_text()
        .lines()
        .filter(|line| line.starts_with("yellowline_store_dedup") || line.starts_with("yellowline_store_replayed"))
    {
        println!("  {line}");
    }
}

async fn measure(name: &str, tasks: usize, batch: usize, seconds: u64, folder: PathBuf, events: Arc<Vec<Vec<u8>>>) {
    let config = Config { folder, ..Config::default() };
    let store = Store::open(config, Arc::new(WallClock)).await.expect("the store opens");
    let dataset = DatasetName::from_user("shop").expect("a name");
    let (stop, bytes, acks, busy) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicU64::new(0)),
    );
    let (cpu, started) = (cpu_s(), WallClock.now().0);
    let mut running = Vec::new();
    for task in 0..tasks {
        let (store, dataset, events) = (store.clone(), dataset.clone(), Arc::clone(&events));
        let (stop, bytes, acks, busy) = (Arc::clone(&stop), Arc::clone(&bytes), Arc::clone(&acks), Arc::clone(&busy));
        running.push(tokio::spawn(async move {
            let mut next = task * events.len() / tasks;
            while !stop.load(Relaxed) {
                let slices: Vec<&[u8]> = (0..batch).map(|n| events[(next + n) % events.len()].as_slice()).collect();
                next += batch;
                let options = AppendOptions::default();
                let decoded = store.decode(&dataset, &slices, WallClock.now(), &options);
                match store.append(&dataset, decoded, options).await {
                    Ok(_) => {
                        acks.fetch_add(1, Relaxed);
                        bytes.fetch_add(slices.iter().map(|slice| slice.len() as u64).sum(), Relaxed);
                    }
                    Err(error) => {
                        assert!(error.retry_after_s().is_some(), "{error:?}");
                        busy.fetch_add(1, Relaxed);
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            }
        }));
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    stop.store(true, Relaxed);
    for task in running {
        task.await.expect("a task");
    }
    store.flush().await.expect("a flush");
    report(
        name,
        &store,
        cpu_s() - cpu,
        WallClock.now().0 - started,
        bytes.load(Relaxed),
        acks.load(Relaxed),
        busy.load(Relaxed),
    );
    store.close().await.expect("closing");
}

#[expect(clippy::cast_precision_loss, reason = "shown to people")]
fn report(name: &str, store: &Store, cpu: f64, wall_us: i64, bytes: u64, acks: u64, busy: u64) {
    let (megabytes, wall) = (bytes as f64 / 1e6, wall_us as f64 / 1e6);
    let disk: u64 = store.datasets().iter().map(|dataset| dataset.bytes_on_disk).sum();
    println!(
        "{name}: {:.0} MB/s per core, {:.0} MB/s, {:.0} acks/s, busy {busy}, {megabytes:.0} MB in {wall:.1} s and {cpu:.1} CPU-s",
        megabytes / cpu,
        megabytes / wall,
        acks as f64 / wall
    );
    println!("  CPU seconds by thread {:?}", threads_s());
    println!("  on disk {:.1}:1, peak memory {} MB", bytes as f64 / disk.max(1) as f64, resident_mb());
    for line in store.metrics_text().lines().filter(|line| !line.starts_with('#')) {
        if line.contains("_sum")
            || line.contains("_count")
            || line.contains("wal_") && !line.contains("bucket")
            || line.contains("flushes")
        {
            println!("  {line}");
        }
    }
}
