//! Queries that run, and those that ran: what `GET /queries`, `DELETE /queries/{id}` and `system.queries` show.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use store::{Clock, Timestamp};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::{answer::Stats, catalog::QueryRow, error::Error};

/// A running query as `GET /queries` lists it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct RunningQuery {
    /// ULID, also in the header `Yellowline-Query-Id`.
    pub id: String,
    /// The text as sent.
    pub sql: String,
    /// RFC 3339.
    pub started_at: String,
    /// Milliseconds since then.
    pub elapsed_ms: f64,
}

#[derive(Debug)]
struct Running {
    sql: String,
    started_at: Timestamp,
    started: Instant,
    cancel: CancellationToken,
}

/// All queries of one engine.
#[derive(Debug)]
pub(crate) struct Registry {
    clock: Arc<dyn Clock>,
    running: Mutex<BTreeMap<String, Running>>,
    finished: Mutex<VecDeque<QueryRow>>,
    history_max: usize,
}

impl Registry {
    pub(crate) fn new(clock: Arc<dyn Clock>, history_max: usize) -> Self {
        Self { clock, running: Mutex::default(), finished: Mutex::default(), history_max }
    }

    pub(crate) fn start(self: &Arc<Self>, sql: &str) -> Ticket {
        let started_at = self.clock.now();
        let milliseconds = u64::try_from(started_at.0.div_euclid(1_000)).unwrap_or_default();
        let id = Ulid::from_parts(milliseconds, uuid::Uuid::new_v4().as_u128()).to_string();
        let cancel = CancellationToken::new();
        let started = Instant::now();
        let running = Running { sql: sql.to_owned(), started_at, started, cancel: cancel.clone() };
        self.running.lock().insert(id.clone(), running);
        Ticket { id, started, started_at, cancel, registry: Arc::clone(self), outcome: None }
    }

    pub(crate) fn running(&self) -> Vec<RunningQuery> {
        let entry = |(id, query): (&String, &Running)| RunningQuery {
            id: id.clone(),
            sql: query.sql.clone(),
            started_at: query.started_at.to_rfc3339(),
            elapsed_ms: query.started.elapsed().as_secs_f64() * 1e3,
        };
        self.running.lock().iter().map(entry).collect()
    }

    pub(crate) fn running_count(&self) -> usize {
        self.running.lock().len()
    }

    /// Stops a query; its client gets `query_cancelled`.
    pub(crate) fn cancel(&self, id: &str) -> Result<(), Error> {
        match self.running.lock().get(id) {
            Some(query) => {
                query.cancel.cancel();
                Ok(())
            }
            None => Err(Error::QueryNotFound { id: id.to_owned() }),
        }
    }

    /// Stops the queries that run for longer than this; how many.
    pub(crate) fn cancel_older_than(&self, age: std::time::Duration) -> usize {
        let running = self.running.lock();
        let old = running.values().filter(|query| query.started.elapsed() > age);
        old.inspect(|query| query.cancel.cancel()).count()
    }

    /// The rows of `system.queries`: running ones and the latest finished ones.
    pub(crate) fn rows(&self) -> Vec<QueryRow> {
        let running = self.running.lock();
        let rows = running.iter().map(|(id, query)| QueryRow {
            id: id.clone(),
            sql: query.sql.clone(),
            state: "running",
            started_at: query.started_at,
            elapsed_ms: query.started.elapsed().as_secs_f64() * 1e3,
            rows_returned: 0,
            rows_scanned: 0,
            bytes_scanned: 0,
            files_scanned: 0,
            error: None,
        });
        rows.chain(self.finished.lock().iter().cloned()).collect()
    }

    fn finish(&self, id: &str, stats: &Stats, error: Option<(&'static str, String)>) {
        let Some(query) = self.running.lock().remove(id) else { return };
        let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let row = QueryRow {
            id: id.to_owned(),
            sql: query.sql,
            state: if error.is_some() { "failed" } else { "succeeded" },
            started_at: query.started_at,
            elapsed_ms: query.started.elapsed().as_secs_f64() * 1e3,
            rows_returned: count(stats.rows_returned),
            rows_scanned: count(stats.rows_scanned),
            bytes_scanned: count(stats.bytes_scanned),
            files_scanned: count(stats.files_scanned),
            error: error.map(|(code, message)| format!("{code}: {message}")),
        };
        let mut finished = self.finished.lock();
        finished.push_front(row);
        finished.truncate(self.history_max);
    }
}

/// A query's place in the registry, given back when dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) id: String,
    pub(crate) started: Instant,
    pub(crate) started_at: Timestamp,
    pub(crate) cancel: CancellationToken,
    registry: Arc<Registry>,
    outcome: Option<(Stats, Option<(&'static str, String)>)>,
}

impl Ticket {
    /// Notes how it ended, for the history.
    pub(crate) fn end(&mut self, stats: Stats, error: Option<&Error>) {
        self.outcome = Some((stats, error.map(|error| (error.code(), error.to_string()))));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let cancelled = || (Stats::default(), Some(("query_cancelled", "the client went away".to_owned())));
        let (stats, error) = self.outcome.take().unwrap_or_else(cancelled);
        self.registry.finish(&self.id, &stats, error);
    }
}
