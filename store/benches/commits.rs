//! What a commit of the Delta log costs with many live files, and how long opening such a table takes.
//!
//! `cargo bench -p yellowline-store --bench commits [-- files folder]`
//!
//! The table is filled by flushes of events of many days, a file each; at each mark single events are flushed, and the disk's
//! operations on the log timed: from the first on a commit's temporary file to its removal, both syncs included. Opening is timed
//! on the closed folder at each mark, the WAL being empty. Nothing is merged meanwhile.
#![expect(clippy::print_stdout, reason = "the numbers are the result")]

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use store::{
    AppendOptions, Clock, Config, DatasetName, Store, Timestamp,
    disk::{DirEntry, Disk, DiskFile, DiskLock, DiskRead, RealDisk},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Files one flush makes while the table is filled: a day each.
const DAYS: u64 = 100;
/// Commits timed at each mark.
const COMMITS: usize = 200;
/// Openings timed at each mark.
const OPENINGS: usize = 3;
const MARKS: [u64; 7] = [10, 100, 1_000, 5_000, 10_000, 20_000, 50_000];

#[derive(Debug)]
struct WallClock;

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "the bench is its own main")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// The real disk, which notes how long each commit of one dataset's log took.
#[derive(Debug, Default)]
struct Timed {
    begun: Mutex<Option<Instant>>,
    commits: Mutex<Vec<Duration>>,
}

impl Timed {
    fn is_commit(path: &Path) -> bool {
        let text = path.to_string_lossy();
        text.contains("datasets/bench/_delta_log/0") && text.ends_with(".tmp") && !text.contains("checkpoint")
    }

    fn take(&self) -> Vec<Duration> {
        std::mem::take(&mut self.commits.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Disk for Timed {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.create(path)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let removed = RealDisk.remove_file(path);
        if Self::is_commit(path) {
            let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
            // A commit clears the way for its temporary file, and removes that file at its end.
            match (removed.is_ok(), begun.take()) {
                (true, Some(at)) => self.commits.lock().unwrap_or_else(PoisonError::into_inner).push(at.elapsed()),
                _ => *begun = Some(Instant::now()),
            }
        }
        removed
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir(path)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        RealDisk.exists(path)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<DirEntry>> {
        RealDisk.list(folder)
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskRead>> {
        RealDisk.open(path)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.hard_link(from, to)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        RealDisk.sync_dir(folder)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        RealDisk.lock(path)
    }
    fn lock_shared(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        RealDisk.lock_shared(path)
    }
}

/// An event of a day with the keys of a usual one.
fn event(number: u64, day: u64) -> String {
    let time = chrono::DateTime::from_timestamp(WallClock.now().seconds(), 0).unwrap_or_default()
        - chrono::Duration::days(i64::try_from(day).unwrap_or(0));
    format!(
        r#"{{"time":"{}","n":{number},"route":"/checkout/pay","status":200,"duration_ms":{}.5,"user":{{"id":"u-{number}"}},"country":"NL"}}"#,
        time.to_rfc3339(),
        number % 97
    )
}

async fn append(store: &Store, dataset: &DatasetName, events: &[String]) -> Result<(), store::Error> {
    let slices: Vec<&[u8]> = events.iter().map(String::as_bytes).collect();
    let options = AppendOptions::default();
    let decoded = store.decode(dataset, &slices, WallClock.now(), &options);
    store.append(dataset, decoded, options).await.map(drop)
}

fn milliseconds(mut all: Vec<Duration>, share: f64) -> f64 {
    all.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let at = ((all.len() as f64 * share) as usize).min(all.len().saturating_sub(1));
    all.get(at).map_or(f64::NAN, |duration| duration.as_secs_f64() * 1e3)
}

struct Bench {
    config: Config,
    disk: Arc<Timed>,
    dataset: DatasetName,
    sent: u64,
}

impl Bench {
    async fn open(&self) -> Result<Store, store::Error> {
        let disk: Arc<dyn Disk> = Arc::<Timed>::clone(&self.disk);
        Store::open_on(self.config.clone(), Arc::new(WallClock), disk).await
    }

    /// Fills the table up to so many files.
    async fn fill(&mut self, store: &Store, files: u64) -> Result<(), store::Error> {
        loop {
            let there = store.snapshot(&self.dataset).map_or(0, |snapshot| snapshot.files.len() as u64);
            let days = files.saturating_sub(there).min(DAYS);
            if days == 0 {
                return Ok(());
            }
            let events: Vec<String> = (0..days).map(|day| event(self.sent + day, day)).collect();
            append(store, &self.dataset, &events).await?;
            store.flush().await?;
            self.sent += days;
        }
    }

    /// A row of the table.
    async fn mark(&mut self, store: Store, files: u64) -> Result<Store, store::Error> {
        self.disk.take();
        let mut flushes = Vec::with_capacity(COMMITS);
        for _ in 0..COMMITS {
            append(&store, &self.dataset, &[event(self.sent, 0)]).await?;
            self.sent += 1;
            let begin = Instant::now();
            store.flush().await?;
            flushes.push(begin.elapsed());
        }
        let commits = self.disk.take();
        store.close().await?;
        drop(store);
        let mut openings = Vec::with_capacity(OPENINGS);
        let mut open = None;
        for _ in 0..OPENINGS {
            drop(open.take());
            let begin = Instant::now();
            open = Some(self.open().await?);
            openings.push(begin.elapsed());
        }
        println!(
            "| {files} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.0} |",
            commits.len(),
            milliseconds(commits.clone(), 0.5),
            milliseconds(commits.clone(), 0.95),
            milliseconds(commits, 1.0),
            milliseconds(flushes, 0.5),
            milliseconds(openings, 0.5)
        );
        match open {
            Some(store) => Ok(store),
            None => self.open().await,
        }
    }
}

async fn run(folder: PathBuf, files: u64) -> Result<(), store::Error> {
    // Nothing is flushed or merged but when asked; the checkpoints are the usual ones.
    let config = Config { folder, flush_interval_s: 86_400, compact_interval_s: 0, ..Config::default() };
    let Some(dataset) = DatasetName::from_user("bench") else { return Ok(()) };
    let mut bench = Bench { config, disk: Arc::default(), dataset, sent: 0 };
    let mut store = bench.open().await?;
    for mark in MARKS.into_iter().filter(|mark| *mark <= files) {
        bench.fill(&store, mark).await?;
        store = bench.mark(store, mark).await?;
    }
    store.close().await
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let files = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let scratch = tempfile::tempdir().expect("a folder for the data");
    let folder = arguments.next().map_or_else(|| scratch.path().to_path_buf(), PathBuf::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    println!(
        "| live files at least | commits | median ms | p95 | worst | flush of an event, median ms | open, median ms |"
    );
    println!("|---|---|---|---|---|---|---|");
    runtime.block_on(run(folder, files)).expect("the bench runs to its end");
}
