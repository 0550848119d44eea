//! A store in a temporary folder with a clock set by hand, and an engine over it.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering::Relaxed},
};

use arrow::{
    array::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};
use query::{Config, Engine, Error, SqlRequest};
use store::{AppendOptions, Clock, DatasetName, Receipt, Store, Timestamp};
use tempfile::TempDir;

/// 2026-11-20T14:10:00Z
pub(crate) const NOW: &str = "2026-11-20T14:10:00Z";

#[derive(Debug)]
struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Relaxed))
    }
}

/// All of it; the folder goes with it.
pub(crate) struct House {
    pub(crate) store: Store,
    pub(crate) engine: Engine,
    _folder: TempDir,
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::with(Config { threads: 2, ..Config::default() }).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        Self::of(config, store::Config::default()).await
    }

    /// One whose store has these settings; its folder and the time between flushes are the house's.
    pub(crate) async fn of(config: Config, store_config: store::Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(HandClock(AtomicI64::new(Timestamp::parse_rfc3339(NOW).unwrap().0)));
        let store_config = store::Config { folder: folder.path().to_owned(), flush_interval_s: 86_400, ..store_config };
        let store = Store::open(store_config, clock.clone()).await.unwrap();
        let engine = Engine::new(config, store.clone(), clock).unwrap();
        Self { store, engine, _folder: folder }
    }

    /// Stores events, each one JSON text.
    pub(crate) async fn send<E: AsRef<str>>(&self, dataset: &str, events: &[E]) -> Receipt {
        let dataset = DatasetName::from_user(dataset).unwrap();
        let slices: Vec<&[u8]> = events.iter().map(|event| event.as_ref().as_bytes()).collect();
        let options = AppendOptions { import: true, ..AppendOptions::default() };
        let decoded = self.store.decode(&dataset, &slices, Timestamp::parse_rfc3339(NOW).unwrap(), &options);
        assert!(decoded.rejects().is_empty(), "{:?}", decoded.rejects());
        self.store.append(&dataset, decoded, options).await.unwrap()
    }

    pub(crate) async fn own(&self, dataset: &str, events: &[serde_json::Value]) {
        self.store.append_values(&DatasetName::system(dataset), events).await.unwrap();
    }

    /// Rows of a query as text, cells joined by ` | `.
    pub(crate) async fn rows(&self, sql: &str) -> Result<Vec<String>, Error> {
        let request = SqlRequest { sql: sql.to_owned(), ..SqlRequest::default() };
        let (batches, _) = self.engine.sql(request).await?.collect().await?;
        Ok(batches.iter().flat_map(texts).collect())
    }

    /// The only row of a query.
    pub(crate) async fn row(&self, sql: &str) -> String {
        self.rows(sql).await.unwrap_or_else(|error| panic!("{sql}: {} {error:?}", error.code())).join(" ; ")
    }

    pub(crate) async fn error(&self, sql: &str) -> Error {
        self.rows(sql).await.expect_err(sql)
    }
}

pub(crate) fn texts(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<_> =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap()).collect();
    (0..batch.num_rows())
        .map(|row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" | "))
        .collect()
}
