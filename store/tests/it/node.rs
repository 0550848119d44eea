//! A store on a simulated disk, with a clock set by hand.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use store::{AppendOptions, Clock, Config, DatasetName, Error, Receipt, Store, Timestamp, disk::FaultyDisk};

/// 2026-11-20T14:00:00Z
pub(crate) const START: i64 = 1_795_183_200_000_000;

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub(crate) struct FakeClock {
    now: AtomicI64,
    elapsed_us: AtomicU64,
}

impl FakeClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { now: AtomicI64::new(START), elapsed_us: AtomicU64::new(0) })
    }
    /// Time goes by.
    pub(crate) fn advance_s(&self, seconds: u64) {
        self.elapsed_us.fetch_add(seconds * 1_000_000, Relaxed);
        self.set_by_s(i64::try_from(seconds).unwrap());
    }
    /// Somebody sets the clock, forward or back.
    pub(crate) fn set_by_s(&self, seconds: i64) {
        self.now.fetch_add(seconds * 1_000_000, Relaxed);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Relaxed))
    }
    fn elapsed(&self) -> Duration {
        Duration::from_micros(self.elapsed_us.load(Relaxed))
    }
}

pub(crate) fn shop() -> DatasetName {
    DatasetName::from_user("shop").unwrap()
}

pub(crate) fn config() -> Config {
    Config { folder: PathBuf::from("/data"), compact_interval_s: 0, ..Config::default() }
}

pub(crate) async fn open(disk: &FaultyDisk, clock: &Arc<FakeClock>) -> Result<Store, Error> {
    open_with(disk, clock, config()).await
}

pub(crate) async fn open_with(disk: &FaultyDisk, clock: &Arc<FakeClock>, config: Config) -> Result<Store, Error> {
    let clock: Arc<dyn Clock> = Arc::<FakeClock>::clone(clock);
    Store::open_on(config, clock, Arc::new(disk.clone())).await
}

pub(crate) async fn send(
    store: &Store,
    clock: &FakeClock,
    events: &[String],
    key: Option<&str>,
) -> Result<Receipt, Error> {
    send_to(store, clock, &shop(), events, key).await
}

pub(crate) async fn send_to(
    store: &Store,
    clock: &FakeClock,
    dataset: &DatasetName,
    events: &[String],
    key: Option<&str>,
) -> Result<Receipt, Error> {
    let slices: Vec<&[u8]> = events.iter().map(String::as_bytes).collect();
    let options = AppendOptions { idempotency_key: key.map(str::to_owned), import: false };
    let decoded = store.decode(dataset, &slices, clock.now(), &options);
    store.append(dataset, decoded, options).await
}

/// An event with a unique number.
pub(crate) fn event(n: u64) -> String {
    format!(r#"{{"n":{n},"route":"/checkout/pay","status":200,"duration_ms":{}.5}}"#, n % 97)
}

/// How often each numbered event is there.
pub(crate) fn numbers(store: &Store, dataset: &DatasetName) -> BTreeMap<u64, u32> {
    try_numbers(store, dataset).unwrap()
}

pub(crate) fn try_numbers(store: &Store, dataset: &DatasetName) -> Result<BTreeMap<u64, u32>, Error> {
    let mut seen = BTreeMap::new();
    for event in store.read_events(dataset)? {
        *seen.entry(event["n"].as_u64().unwrap()).or_default() += 1;
    }
    Ok(seen)
}

/// Rows of a snapshot, in memory and in files.
pub(crate) fn places(store: &Store) -> (usize, u64) {
    let snapshot = store.snapshot(&shop()).unwrap();
    let hot = snapshot.hot.iter().map(|hot| hot.batch.num_rows()).sum();
    (hot, snapshot.files.iter().map(|file| file.rows).sum())
}

pub(crate) fn metric(store: &Store, name: &str) -> u64 {
    let text = store.metrics_text();
    let line = text.lines().find(|line| line.starts_with(&format!("yellowline_store_{name} "))).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}
