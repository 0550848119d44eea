//! Privacy deletion: the rows a predicate means leave every file of the data folder.
//!
//! # What is promised
//! Of the events acknowledged before the request, those that match are gone from every answer at once per file, and afterwards from
//! every file: data files are written anew without them, the WAL is rolled and what lies before is removed, replaced files are
//! removed as soon as no query reads them, the Delta log is cut at a fresh checkpoint, and `wal/quarantine`, which nobody can search, is
//! emptied. Values live on in backups, in other datasets, and in names of keys. A deleted id may be used again.
//!
//! # How
//! A request is a file `deletions/<id>.json`, durable before it is answered, removed when all is done; it holds the predicate and so perhaps
//! the value, hence it is not an event. Each step can be repeated: after a crash the request is carried out from its start. How many rows
//! were deleted is kept in the Delta log itself (`txn` with appId `deletion/<id>`), in the commit that deletes them, so it is exact.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{
    DatasetName, Error, Snapshot, Timestamp,
    compact::{self, Change, NotDone},
    dataset::Dataset,
    delta::{Log, REMOVED_ROWS},
    disk::{create_dirs, discard, parent, replace_file},
    flush::roll_wal,
    parquet::RowKeys,
    shared::Shared,
};

/// Folder of requests below the data folder.
const FOLDER: &str = "deletions";

/// A request to delete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// ULID.
    pub id: String,
    /// Which dataset.
    pub dataset: String,
    /// The predicate as sent; the store does not read it.
    pub predicate: String,
    /// Why, for the record.
    pub reason: String,
    /// When it was requested, RFC 3339.
    pub requested_at: String,
    /// True once no live file has a matching row.
    pub rewritten: bool,
    /// Rows deleted so far.
    pub rows: u64,
    /// Replaced files that queries still read.
    pub files_held: u64,
}

/// Tells which rows a deletion means: SQL is the query engine's.
pub trait RowMatcher: Send + Sync {
    /// `_incarnation` and `seq` of the matching rows of a snapshot of one file.
    ///
    /// # Errors
    /// When the predicate cannot be evaluated; the deletion stays pending.
    fn matching(&self, file: &Snapshot) -> Result<Vec<(String, i64)>, Box<dyn std::error::Error + Send + Sync>>;
}

/// Makes a request durable.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn request(
    shared: &Shared,
    dataset: &DatasetName,
    predicate: &str,
    reason: &str,
) -> Result<Deletion, Error> {
    let now = shared.clock.now();
    let milliseconds = u64::try_from(now.0.div_euclid(1000)).unwrap_or(0);
    let deletion = Deletion {
        id: ulid::Ulid::from_parts(milliseconds, uuid::Uuid::new_v4().as_u128()).to_string(),
        dataset: dataset.to_string(),
        predicate: predicate.to_owned(),
        reason: reason.to_owned(),
        requested_at: now.to_rfc3339(),
        rewritten: false,
        rows: 0,
        files_held: 0,
    };
    let folder = shared.config.folder.join(FOLDER);
    create_dirs(&*shared.disk, &shared.config.folder, &folder)
        .map_err(|source| Error::folder("create", &folder, source))?;
    save(shared, &deletion)?;
    Ok(deletion)
}

/// All requests that are not forgotten, oldest first.
///
/// # Errors
/// When they cannot be read.
pub(crate) fn pending(shared: &Shared) -> Result<Vec<Deletion>, Error> {
    let folder = shared.config.folder.join(FOLDER);
    let read = |source| Error::folder("read", &folder, source);
    if !shared.disk.exists(&folder).map_err(read)? {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    for entry in shared.disk.list(&folder).map_err(read)? {
        if !entry.name.ends_with(".json") {
            continue;
        }
        let path = folder.join(&entry.name);
        let bytes = shared.disk.read(&path).map_err(|source| Error::folder("read", &path, source))?;
        let deletion = serde_json::from_slice(&bytes);
        all.push(deletion.map_err(|error| Error::Damaged { path, reason: error.to_string() })?);
    }
    Ok(all)
}

/// Removes a request that is done.
///
/// # Errors
/// When its file cannot be removed.
pub(crate) fn forget(shared: &Shared, id: &str) -> Result<(), Error> {
    let path = path_of(shared, id);
    let removed = shared.disk.remove_file(&path).and_then(|()| shared.disk.sync_dir(parent(&path)));
    removed.map_err(|source| Error::folder("remove", &path, source))
}

fn path_of(shared: &Shared, id: &str) -> PathBuf {
    shared.config.folder.join(FOLDER).join(format!("{id}.json"))
}

fn save(shared: &Shared, deletion: &Deletion) -> Result<(), Error> {
    let path = path_of(shared, &deletion.id);
    let text = serde_json::json!(deletion).to_string();
    replace_file(&*shared.disk, &path, text.as_bytes()).map_err(|source| Error::folder("write", &path, source))
}

/// Carries a request out as far as it goes now; what came of it. Done when `rewritten` and no file is held.
///
/// # Errors
/// What was done stays done; try again.
pub(crate) fn carry_out(
    shared: &Shared,
    mut deletion: Deletion,
    matcher: &dyn RowMatcher,
    go_on: &dyn Fn(u64) -> bool,
) -> Result<Deletion, Error> {
    let name = DatasetName::from_stored(&deletion.dataset);
    let Some(dataset) = name.and_then(|name| shared.dataset(&name)) else {
        deletion.rewritten = true;
        return Ok(deletion);
    };
    if !deletion.rewritten {
        flush_all(shared)?;
        for file in dataset.files() {
            let Some(snapshot) = dataset.snapshot() else { break };
            let one = Snapshot { hot: Vec::new(), files: vec![Arc::clone(&file)], ..snapshot };
            let rows = matcher.matching(&one).map_err(|source| Error::Match { source: source.into() })?;
            if !rows.is_empty() {
                let rows: RowKeys = rows.iter().map(|(incarnation, seq)| (incarnation.as_str(), *seq)).collect();
                erase_from(shared, &dataset, &deletion.id, file, rows, go_on)?;
            }
        }
        deletion.rows = dataset.log.lock().state().txn(&app_id(&deletion.id));
        deletion.rewritten = true;
        save(shared, &deletion)?;
    }
    let rolled = roll_wal(shared)?;
    flush_all(shared)?;
    if shared.wal.oldest().is_some_and(|oldest| oldest <= rolled) {
        return Err(Error::WalHeld);
    }
    empty_quarantine(shared);
    deletion.files_held = remove_replaced(shared, &dataset)?;
    if deletion.files_held == 0 {
        cut_log(&dataset, &deletion.id)?;
    }
    Ok(deletion)
}

fn app_id(id: &str) -> String {
    format!("deletion/{id}")
}

fn flush_all(shared: &Shared) -> Result<(), Error> {
    shared.flush.ask().recv().unwrap_or(Err(Error::Closed))
}

/// Writes one file anew without some rows, and counts them in the same commit.
fn erase_from(
    shared: &Shared,
    dataset: &Arc<Dataset>,
    id: &str,
    file: Arc<crate::DataFile>,
    rows: RowKeys,
    go_on: &dyn Fn(u64) -> bool,
) -> Result<(), Error> {
    let now = shared.clock.now();
    // only this thread deletes rows, so nobody counts in between
    let counts =
        |log: &Log| [app_id(id).as_str(), REMOVED_ROWS].map(|counter| log.count(counter, rows.len() as u64, now));
    let actions = counts(&dataset.log.lock()).to_vec();
    let change = Change { files: vec![file], without: Some(Arc::new(rows)), actions };
    compact::rewrite(shared, dataset, &change, go_on).map_err(|not_done| match not_done {
        NotDone::GivenUp => Error::Closed,
        NotDone::BadFile(_, error) | NotDone::Failed(error) => error,
    })
}

/// Removes all files that are no longer live; how many queries still read.
fn remove_replaced(shared: &Shared, dataset: &Dataset) -> Result<u64, Error> {
    let (expired, held) = {
        let mut log = dataset.log.lock();
        let expired = log.take_expired(i64::MAX, &|path| dataset.is_held(path));
        (expired, log.state().removed.len() as u64)
    };
    for path in expired {
        let path = dataset.root().join(Path::new(&path));
        match shared.disk.remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::folder("remove", &path, error));
            }
            _ => shared.disk.sync_dir(parent(&path)).map_err(|source| Error::folder("sync", &path, source))?,
        }
    }
    Ok(held)
}

/// A log that tells nothing of what was before: one checkpoint, and no commit older than it.
fn cut_log(dataset: &Dataset, id: &str) -> Result<(), Error> {
    let _one_at_a_time = dataset.checkpointing.lock();
    let checkpoint = {
        let mut log = dataset.log.lock();
        log.forget_txn(&app_id(id));
        log.checkpoint()
    };
    let Some(checkpoint) = checkpoint else { return Ok(()) };
    let cut = || {
        checkpoint.write()?;
        dataset.log.lock().note_checkpoint(&checkpoint);
        checkpoint.remove_before(checkpoint.version())
    };
    cut().map_err(|error| Error::delta(&dataset.name, error))
}

/// Damaged bytes of the WAL may hold anything.
fn empty_quarantine(shared: &Shared) {
    let folder = shared.wal_folder().join("quarantine");
    for entry in shared.disk.list(&folder).unwrap_or_default() {
        tracing::warn!(
            file = entry.name,
            "removing quarantined bytes of the WAL: a privacy deletion cannot search them"
        );
        discard(&*shared.disk, &folder.join(&entry.name));
    }
}

/// When a deletion was requested.
impl Deletion {
    /// The instant of the request.
    #[must_use]
    pub fn requested(&self) -> Timestamp {
        Timestamp::parse_rfc3339(&self.requested_at).unwrap_or(Timestamp(0))
    }
}
