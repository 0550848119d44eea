//! HTTP bodies -> validated events and changes, handed to `store`.
//!
//! Not here: SQL, forecasts, files. `ingest` never sees `query`.
//!
//! Invariants: a body is read, decompressed and split within named limits; one bad event never sinks its neighbours;
//! 200 leaves only after `Store::append` said the events are durable and visible.

mod body;
mod changes;
mod config;
mod error;
mod routes;
mod split;
mod stats;

use std::sync::Arc;

use bytes::Bytes;
pub use changes::{Change, ChangeKind, ChangeStatus, Changes, Declared};
pub use config::Config;
pub use error::Error;
pub use routes::routes;
use store::{AppendOptions, Clock, DatasetName, Reject, Store, Timestamp};
use tokio::sync::Semaphore;

/// The door for events: limits, decoding, durable append. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Intake {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: Config,
    store: Store,
    changes: Changes,
    clock: Arc<dyn Clock>,
    /// Bytes of bodies being worked on, in KiB permits: full means 503, never silent loss.
    in_flight: Semaphore,
    stats: stats::Stats,
}

/// One request as it came in, its body within `Config::body_bytes_max`.
#[derive(Debug)]
pub struct Request {
    /// Where the events go.
    pub dataset: DatasetName,
    /// The body, still compressed.
    pub body: Bytes,
    /// What the headers say about the body.
    pub format: body::Format,
    /// Makes a repeat of the whole request count once.
    pub idempotency_key: Option<String>,
    /// History: old times are taken, first sights draw no line.
    pub import: bool,
}

/// What became of a request's events, all of it durable.
#[derive(Debug)]
pub struct Accepted {
    /// Events stored by this request.
    pub accepted: u32,
    /// Events that were stored before.
    pub duplicates: u32,
    /// Events refused, in request order.
    pub rejected: Vec<Reject>,
}

impl Intake {
    /// Opens the door over a store; `changes` receives what first sights infer.
    #[must_use]
    pub fn new(config: Config, store: Store, changes: Changes, clock: Arc<dyn Clock>) -> Self {
        let in_flight = Semaphore::new(kib(config.in_flight_bytes_max));
        Self { inner: Arc::new(Inner { config, store, changes, clock, in_flight, stats: stats::Stats::default() }) }
    }

    /// Takes one request: decompress, split, decode, append. Returns after its events are fsynced and visible.
    ///
    /// # Errors
    /// The body is over a limit, not JSON at all, or the store is busy or cannot write. Single bad events are no error.
    pub async fn accept(&self, request: Request) -> Result<Accepted, Error> {
        let inner = &self.inner;
        let _permit = inner
            .in_flight
            .try_acquire_many(kib(request.body.len()).try_into().unwrap_or(u32::MAX))
            .map_err(|_| Error::Overloaded)?;
        let options = AppendOptions { idempotency_key: request.idempotency_key.clone(), import: request.import };
        let (decoded, lines) = in_place_if_large(request.body.len(), || inner.decode(&request, &options))?;
        let mut rejected = decoded.rejects().to_vec();
        lines.name_in(&mut rejected);
        inner.stats.count(&rejected);
        let receipt = inner.store.append(&request.dataset, decoded, options).await?;
        inner.stats.accept(receipt.accepted, inner.clock.now());
        inner.changes.sighted(&receipt.first_sights).await?;
        Ok(Accepted { accepted: receipt.accepted, duplicates: receipt.duplicates, rejected })
    }

    /// Events stored per second, averaged over the last ten.
    #[must_use]
    pub fn events_per_second(&self, now: Timestamp) -> f64 {
        self.inner.stats.events_per_second(now)
    }

    /// Prometheus text of this stage (`yellowline_ingest_*`).
    #[must_use]
    pub fn metrics_text(&self) -> String {
        self.inner.stats.text()
    }
}

impl Inner {
    fn decode(&self, request: &Request, options: &AppendOptions) -> Result<(store::Decoded, split::Lines), Error> {
        let plain = body::decompress(&request.body, request.format.encoding, self.config.decompressed_bytes_max)?;
        let split = split::split(&plain, request.format.media, self.config.events_per_request_max)?;
        if split.events.is_empty() {
            return Err(Error::Malformed { reason: "there is no event in the body", position: 0 });
        }
        let decoded = self.store.decode(&request.dataset, &split.events, self.clock.now(), options);
        Ok((decoded, split.lines))
    }
}

/// Decoding a large body takes milliseconds: tell the runtime, so that other connections go on.
fn in_place_if_large<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    const LARGE_BYTES: usize = 256 * 1024;
    let multi_threaded =
        tokio::runtime::Handle::current().runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread;
    if bytes > LARGE_BYTES && multi_threaded { tokio::task::block_in_place(work) } else { work() }
}

fn kib(bytes: usize) -> usize {
    bytes.div_ceil(1024)
}
