//! `Engine`: the handle of this crate.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use arrow::array::RecordBatch;
use datafusion::{
    common::DataFusionError,
    execution::TaskContext,
    physical_plan::{ExecutionPlan, execute_stream},
};
use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;
use store::{Clock, DatasetName, Snapshot, Store};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::{
    answer::{Answer, Stats, stop},
    catalog::{Catalog, Facts, Source},
    config::Config,
    error::Error,
    limits::Threads,
    metrics::Metrics,
    names::Unknown,
    parse::parse,
    registry::{Registry, RunningQuery, Ticket},
    session::{Session, Statements},
};

/// Batches a slow client may lag behind before the query waits for it.
const BATCHES_AHEAD: usize = 2;

/// A question as `POST /sql` has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SqlRequest {
    /// One statement.
    pub sql: String,
    /// The dataset unqualified table names live in.
    pub dataset: Option<String>,
    /// Milliseconds it may take; capped by `timeout_ms_max`.
    pub timeout_ms: Option<u64>,
    /// Rows wanted; capped by `rows_max`.
    pub limit: Option<usize>,
}

/// Answers SQL over the store. Cloning shares everything.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) session: Session,
    threads: Threads,
    registry: Arc<Registry>,
    slots: Arc<Semaphore>,
    metrics: Metrics,
}

impl Inner {
    /// Runs a task on the query threads. `None` only while the process ends.
    pub(crate) fn spawn<F>(&self, task: F) -> Option<tokio::task::JoinHandle<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.threads.spawn(task)
    }

    pub(crate) fn end_queries_older_than(&self, age: Duration) -> usize {
        self.registry.cancel_older_than(age)
    }
}

impl Source for Inner {
    fn names(&self) -> Vec<DatasetName> {
        Source::names(&self.store)
    }

    fn snapshot(&self, dataset: &DatasetName) -> Option<Snapshot> {
        self.store.snapshot(dataset)
    }

    fn facts(&self) -> Facts {
        Facts { queries: self.registry.rows(), ..self.store.facts() }
    }

    fn files(&self) -> Vec<store::FileSummary> {
        self.store.files()
    }

    fn upkeep(&self) -> Vec<store::Upkeep> {
        self.store.upkeep()
    }
}

impl Engine {
    /// Starts the query threads.
    ///
    /// # Errors
    /// When they cannot be started.
    pub fn new(config: Config, store: Store, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let inner = Inner {
            session: Session::new(&config)?,
            threads: Threads::start(config.thread_count())?,
            registry: Arc::new(Registry::new(Arc::clone(&clock), config.history_max)),
            slots: Arc::new(Semaphore::new(config.concurrent_max)),
            metrics: Metrics::default(),
            config,
            store,
            clock,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Runs a user's query. Returns once it is planned; the rows stream from the answer, under the same deadline.
    ///
    /// Dropping the future or the answer stops the query.
    ///
    /// # Errors
    /// Those of `docs/api.md`; later ones come with the rows.
    pub async fn sql(&self, request: SqlRequest) -> Result<Answer, Error> {
        let config = &self.inner.config;
        if request.sql.len() > config.sql_bytes_max {
            let message = format!("the SQL text has {} bytes, the most is {}", request.sql.len(), config.sql_bytes_max);
            return Err(Error::Request { message });
        }
        let Ok(slot) = Arc::clone(&self.inner.slots).try_acquire_owned() else {
            self.inner.metrics.refused();
            return Err(Error::TooMany { concurrent_max: config.concurrent_max });
        };
        let timeout_ms = request.timeout_ms.unwrap_or(config.timeout_ms).clamp(1, config.timeout_ms_max);
        let rows = request.limit.unwrap_or(config.rows).min(config.rows_max);
        let bounds = Bounds { timeout_ms, rows: Some(rows), unknown: Unknown::Refused };
        self.start(request.sql, request.dataset, bounds, Some(slot)).await
    }

    /// All rows of a query of our own: no row cap, no slot, the longest deadline.
    ///
    /// # Errors
    /// As [`Engine::sql`].
    pub async fn rows(&self, sql: &str, default_dataset: Option<&str>) -> Result<Vec<RecordBatch>, Error> {
        let bounds = Bounds { timeout_ms: self.inner.config.timeout_ms_max, rows: None, unknown: Unknown::Refused };
        let answer = self.start(sql.to_owned(), default_dataset.map(ToOwned::to_owned), bounds, None).await?;
        Ok(answer.collect().await?.0)
    }

    /// The queries running now, oldest first.
    #[must_use]
    pub fn queries(&self) -> Vec<RunningQuery> {
        self.inner.registry.running()
    }

    /// Stops a running query.
    ///
    /// # Errors
    /// `query_not_found`.
    pub fn cancel(&self, id: &str) -> Result<(), Error> {
        self.inner.registry.cancel(id)
    }

    /// Prometheus text lines of this stage.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        self.inner.metrics.text(self.inner.registry.running_count())
    }

    pub(crate) async fn start(
        &self,
        sql: String,
        dataset: Option<String>,
        bounds: Bounds,
        slot: Option<OwnedSemaphorePermit>,
    ) -> Result<Answer, Error> {
        let ticket = self.inner.registry.start(&sql);
        let (id, started_at, cancel) = (ticket.id.clone(), ticket.started_at, ticket.cancel.clone());
        let _stop = stop(&cancel);
        let stats = Arc::new(Mutex::new(Stats { query_id: id.clone(), ..Stats::default() }));
        let (to_schema, schema) = oneshot::channel();
        let (to_batches, batches) = mpsc::channel(BATCHES_AHEAD);
        let query = Running {
            inner: Arc::clone(&self.inner),
            sql,
            dataset,
            bounds,
            _slot: slot,
            ticket,
            stats: Arc::clone(&stats),
            to_batches,
        };
        let task = self.inner.threads.spawn(query.run(to_schema));
        match schema.await {
            Ok(Ok(schema)) => Ok(Answer { id, schema, started_at, batches, stats, _stop }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(broken(task).await),
        }
    }

    /// Runs a computation over events on the query threads.
    pub(crate) async fn on_threads<F, T>(&self, task: F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>> + Send + 'static,
        T: Send + 'static,
    {
        match self.inner.threads.spawn(task) {
            Some(handle) => match handle.await {
                Ok(result) => result,
                Err(error) => Err(failed(DataFusionError::External(Box::new(error)))),
            },
            None => Err(Error::Cancelled),
        }
    }
}

/// The bounds of one query.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) timeout_ms: u64,
    pub(crate) rows: Option<usize>,
    pub(crate) unknown: Unknown,
}

/// A task that ended without an answer: it panicked, or the process ends.
async fn broken(task: Option<tokio::task::JoinHandle<()>>) -> Error {
    match task {
        Some(handle) => match handle.await {
            Ok(()) => Error::Cancelled,
            Err(error) => failed(DataFusionError::External(Box::new(error))),
        },
        None => Error::Cancelled,
    }
}

fn failed(error: DataFusionError) -> Error {
    Error::Engine { operation: "running", source: Box::new(error) }
}

/// A query on the query threads.
struct Running {
    inner: Arc<Inner>,
    sql: String,
    dataset: Option<String>,
    bounds: Bounds,
    /// Given back before the ticket: a query no longer listed has freed its slot.
    _slot: Option<OwnedSemaphorePermit>,
    ticket: Ticket,
    stats: Arc<Mutex<Stats>>,
    to_batches: mpsc::Sender<Result<RecordBatch, Error>>,
}

type ToSchema = oneshot::Sender<Result<arrow::datatypes::SchemaRef, Error>>;

impl Running {
    /// Plans, sends the schema, sends the rows; whatever happens first of end, deadline and cancel ends it.
    async fn run(mut self, to_schema: ToSchema) {
        let deadline = self.ticket.started + Duration::from_millis(self.bounds.timeout_ms);
        let cancel = self.ticket.cancel.clone();
        let mut to_schema = Some(to_schema);
        let mut physical = None;
        let result = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Error::Cancelled),
            () = tokio::time::sleep_until(deadline) => Err(Error::Deadline { timeout_ms: self.bounds.timeout_ms }),
            result = AssertUnwindSafe(self.rows(&mut to_schema, &mut physical)).catch_unwind() => {
                // Rows may be on their way: without an error the client would take them for all there are.
                result.unwrap_or_else(|_| Err(failed(DataFusionError::Internal("a query panicked".to_owned()))))
            }
        };
        let elapsed = self.ticket.started.elapsed();
        let stats = {
            let mut stats = self.stats.lock();
            stats.elapsed_ms = (elapsed.as_secs_f64() * 1e5).round() / 1e2;
            if let Some(plan) = &physical {
                stats.count(plan);
            }
            stats.clone()
        };
        self.inner.metrics.ended(result.is_ok(), elapsed, stats.rows_scanned, stats.bytes_scanned);
        self.ticket.end(stats, result.as_ref().err());
        let Self { inner, _slot: slot, ticket, to_batches, .. } = self;
        let id = ticket.id.clone();
        // The client that reads the last word finds the query no longer listed, and its slot free.
        drop(slot);
        drop(ticket);
        let Err(error) = result else { return };
        tracing::debug!(query = %id, code = error.code(), error = &error as &dyn std::error::Error, "query failed");
        // The client may be gone: then nobody is left to tell.
        match to_schema.take() {
            Some(to_schema) => drop(to_schema.send(Err(error))),
            None => last_word(to_batches, error, Duration::from_millis(inner.config.timeout_ms)),
        }
    }

    async fn rows(
        &mut self,
        to_schema: &mut Option<ToSchema>,
        physical: &mut Option<Arc<dyn ExecutionPlan>>,
    ) -> Result<(), Error> {
        let command = parse(&self.sql)?;
        let mut statements = self.inner.session.at(self.inner.clock.now());
        let inner = Arc::clone(&self.inner);
        let catalog = Catalog::new(inner.as_ref(), self.dataset.as_deref());
        let plan = statements.plan(command, &catalog, self.bounds.unknown, self.bounds.rows).await?;
        let plan = statements.physical(&plan).await?;
        *physical = Some(Arc::clone(&plan));
        self.stats.lock().fresh_to = catalog.fresh_to().map(store::Timestamp::to_rfc3339);
        drop(catalog);
        if let Some(to_schema) = to_schema.take() {
            // A client that left before the first row: the cancel token says so next.
            drop(to_schema.send(Ok(plan.schema())));
        }
        self.stream(&statements, plan).await
    }

    async fn stream(&self, statements: &Statements, plan: Arc<dyn ExecutionPlan>) -> Result<(), Error> {
        let context = Arc::new(TaskContext::from(statements.state()));
        let mut stream = execute_stream(plan, context).map_err(|error| statements.error("starting to read", error))?;
        let mut left = self.bounds.rows.unwrap_or(usize::MAX);
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(|error| statements.error("reading", error))?;
            let kept = if batch.num_rows() > left { batch.slice(0, left) } else { batch.clone() };
            left -= kept.num_rows();
            {
                let mut stats = self.stats.lock();
                stats.rows_returned += kept.num_rows() as u64;
                stats.truncated |= kept.num_rows() < batch.num_rows();
            }
            if kept.num_rows() > 0 && self.to_batches.send(Ok(kept)).await.is_err() {
                return Err(Error::Cancelled);
            }
            if self.stats.lock().truncated {
                break;
            }
        }
        Ok(())
    }
}

/// Sends the error behind the batches. When they fill the channel it waits for its place there; a client that reads no
/// further within the grace is cut off without a word.
fn last_word(to_batches: mpsc::Sender<Result<RecordBatch, Error>>, error: Error, grace: Duration) {
    if let Err(mpsc::error::TrySendError::Full(error)) = to_batches.try_send(Err(error)) {
        tokio::spawn(async move { drop(to_batches.send_timeout(error, grace).await) });
    }
}
