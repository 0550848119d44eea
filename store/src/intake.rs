//! From raw events to a request in the writer's line, and back to a receipt. Everything that can be done in the requester's
//! thread is done here: decoding, hashing ids, compressing.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::oneshot;

use crate::{
    DatasetName, Error, Timestamp,
    dataset::Dataset,
    decode::{self, DecodeOptions, Rows},
    dedup::Digest,
    error::describe,
    shared::Shared,
    wal::{KeyEntry, Payload},
    writer::{Reply, Request, Work, write_error},
};

/// One event that could not be taken: its place in the request and why. `code` is a stable `snake_case` word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Place in the request, from 0.
    pub index: u32,
    /// Stable word for programs.
    pub code: &'static str,
    /// Sentence for people.
    pub message: String,
}

/// The accepted events of one request, decoded into typed cells. Opaque outside `store`.
#[derive(Debug)]
pub struct Decoded {
    /// `None` when nothing was accepted and the dataset does not exist.
    dataset: Option<Arc<Dataset>>,
    rows: Rows,
    /// Instead of those of `rows`, when the dataset itself cannot be taken.
    refused: Vec<Reject>,
    received_at: Timestamp,
    /// Of all events, also refused ones; only when there is an idempotency key.
    digest: Option<Digest>,
}

impl Decoded {
    /// Number of accepted events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True when no event was accepted. Append it all the same: the rejects are counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The events that were not accepted.
    #[must_use]
    pub fn rejects(&self) -> &[Reject] {
        if self.refused.is_empty() { self.rows.rejects() } else { &self.refused }
    }
}

/// What one `append` did, after it became durable and visible.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// Events stored.
    pub accepted: u32,
    /// Events whose id was seen before, or all of a request whose idempotency key was.
    pub duplicates: u32,
    /// Values of release dimensions never seen before in this dataset (see `FirstSight`).
    pub first_sights: Vec<FirstSight>,
}

/// First event that carries a service.version, rollout or experiment variant never seen before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstSight {
    /// Where it was seen.
    pub dataset: DatasetName,
    /// `version`, `rollout` or `experiment`
    pub dimension: &'static str,
    /// The event's environment.
    pub environment: Option<String>,
    /// The event's service.
    pub service: Option<String>,
    /// `service.version`, `rollout`, or the experiment's name
    pub target: String,
    /// The new version, rollout or variant.
    pub value: String,
    /// The event's time.
    pub time: Timestamp,
    /// True in the dataset's first hour and for imports: recorded as seen, no change line inferred.
    pub silent: bool,
}

/// How a request is to be taken.
#[derive(Debug, Clone, Default)]
pub struct AppendOptions {
    /// The same key again with the same events: all duplicates; with other events: refused. At most 256 bytes by contract.
    pub idempotency_key: Option<String>,
    /// History: exempt from the past-time limit; first sights are silent.
    pub import: bool,
}

/// See [`crate::Store::decode`].
pub(crate) fn decode(
    shared: &Shared,
    name: &DatasetName,
    events: &[&[u8]],
    received_at: Timestamp,
    options: &AppendOptions,
) -> Decoded {
    let decode_options = DecodeOptions { import: options.import, ..DecodeOptions::default() };
    let digest = options.idempotency_key.as_ref().map(|_| Digest::of_events(events));
    let decode = |dataset: &Dataset| decode::decode(&dataset.catalog, events, received_at, &decode_options);
    if let Some(dataset) = shared.dataset(name) {
        let rows = decode(&dataset);
        return Decoded { dataset: Some(dataset), rows, refused: Vec::new(), received_at, digest };
    }
    // A dataset comes into being with its first acceptable event, not with a misspelt name and garbage.
    let fresh = shared.new_dataset(name);
    let rows = decode(&fresh);
    if rows.is_empty() {
        return Decoded { dataset: None, rows, refused: Vec::new(), received_at, digest };
    }
    match shared.register(Arc::clone(&fresh)) {
        Some(dataset) if Arc::ptr_eq(&dataset, &fresh) => {
            Decoded { dataset: Some(dataset), rows, refused: Vec::new(), received_at, digest }
        }
        Some(dataset) => {
            let rows = decode(&dataset);
            Decoded { dataset: Some(dataset), rows, refused: Vec::new(), received_at, digest }
        }
        None => {
            Decoded { dataset: None, rows: Rows::default(), refused: too_many(shared, events), received_at, digest }
        }
    }
}

fn too_many(shared: &Shared, events: &[&[u8]]) -> Vec<Reject> {
    let message = format!(
        "there are {} datasets already: raise store.datasets_max or use one of them",
        shared.config.datasets_max
    );
    (0_u32..)
        .zip(events)
        .map(|(index, _)| Reject { index, code: "too_many_datasets", message: message.clone() })
        .collect()
}

/// See [`crate::Store::append`].
pub(crate) async fn append(
    shared: &Shared,
    name: &DatasetName,
    decoded: Decoded,
    options: AppendOptions,
) -> Result<Receipt, Error> {
    shared.admit(name)?;
    let (reply, answer) = oneshot::channel();
    let (request, bytes) = request(shared, name, decoded, options, reply)?;
    shared.enqueue(Work::Append(Box::new(request)), bytes)?;
    answer.await.unwrap_or(Err(Error::Thread { thread: "writer or applier" }))
}

/// Puts an event of ours in line whatever its length, for a thread of the store, which cannot wait for an answer.
pub(crate) fn append_unanswered(shared: &Shared, name: &DatasetName, event: &serde_json::Value) {
    let options = AppendOptions::default();
    let decoded = decode(shared, name, &[event.to_string().as_bytes()], shared.clock.now(), &options);
    let (reply, _) = oneshot::channel();
    let queued = request(shared, name, decoded, options, reply)
        .and_then(|(request, _)| shared.queue.push_own(Work::Append(Box::new(request))).map_err(|_| Error::Closed));
    if let Err(error) = queued {
        tracing::error!(dataset = %name, error = %describe(&error), "could not store an event of our own");
    }
}

fn request(
    shared: &Shared,
    name: &DatasetName,
    decoded: Decoded,
    options: AppendOptions,
    reply: Reply,
) -> Result<(Request, usize), Error> {
    let rejected = by_code(decoded.rejects());
    let Decoded { dataset, rows, received_at, digest, .. } = decoded;
    let payload = Payload::from_events((0..rows.len()).map(|row| rows.raw(row))).map_err(write_error)?;
    let bytes = rows.bytes() + payload.bytes.len();
    let key = options.idempotency_key.zip(digest).map(|(key, digest)| KeyEntry { key, digest });
    let ids = hash_ids(shared, name, &rows);
    let import = options.import;
    let request = Request {
        name: dataset.as_ref().map_or(name, |dataset| &dataset.name).clone(),
        dataset,
        rows,
        payload,
        ids,
        key,
        received_at,
        import,
        rejected,
        reply,
    };
    Ok((request, bytes))
}

fn by_code(rejects: &[Reject]) -> Vec<(String, u32)> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for reject in rejects {
        *counts.entry(reject.code).or_default() += 1;
    }
    counts.into_iter().map(|(code, count)| (code.to_owned(), count)).collect()
}

/// Empty when no event has an id of its own.
fn hash_ids(shared: &Shared, name: &DatasetName, rows: &Rows) -> Vec<Option<crate::dedup::IdHash>> {
    let has_ids = (0..rows.len()).any(|row| rows.id(row).is_some());
    let hash = |row| rows.id(row).map(|id| shared.ids.hash(name.as_str(), id));
    if has_ids { (0..rows.len()).map(hash).collect() } else { Vec::new() }
}
