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
//!
//! One deletion at a time, on the caller's thread and at the pace of merging. Meanwhile the files of its dataset are neither merged
//! nor dropped by age ([`Dataset::rewriting`]); other datasets go on.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use serde::{Deserialize, Serialize};

use crate::{
    DatasetName, Error, Snapshot, Timestamp,
    compact::{self, NotDone},
    dataset::Dataset,
    delta::{LOG_FOLDER, REMOVED_ROWS},
    disk::{create_dirs, parent, replace_file},
    flush::roll_wal,
    maintenance::Pace,
    metrics::Metrics,
    parquet::RowKeys,
    recovery::litter,
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
    /// Who asked for it, as the request says.
    #[serde(default)]
    pub actor: String,
    /// Name of the API key the request came with.
    #[serde(default)]
    pub key: Option<String>,
    /// When it was requested, RFC 3339.
    pub requested_at: String,
    /// Data files to look through.
    #[serde(default)]
    pub files: u64,
    /// Of these, looked through, and written anew where a row matched.
    #[serde(default)]
    pub files_done: u64,
    /// True once no live file has a matching row.
    pub rewritten: bool,
    /// True once nothing of the WAL is from before that.
    #[serde(default)]
    pub wal_cleared: bool,
    /// Rows deleted so far.
    pub rows: u64,
    /// Files that are no longer live and still there: queries read them, or a backup copies them.
    pub files_held: u64,
}

impl Deletion {
    /// True when what it means is in no file of the folder any more.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.rewritten && self.wal_cleared && self.files_held == 0
    }

    /// The instant of the request.
    #[must_use]
    pub fn requested(&self) -> Timestamp {
        Timestamp::parse_rfc3339(&self.requested_at).unwrap_or(Timestamp(0))
    }
}

/// What is deleted, why, and who asks.
#[derive(Debug, Clone, Copy)]
pub struct DeletionRequest<'a> {
    /// The predicate; the store does not read it.
    pub predicate: &'a str,
    /// Why, for the record.
    pub reason: &'a str,
    /// Who asks, as the request says.
    pub actor: &'a str,
    /// Name of the API key the request came with.
    pub key: Option<&'a str>,
}

/// Tells which rows a deletion means: SQL is the query engine's.
pub trait RowMatcher: Send + Sync {
    /// Calls `found` with `_incarnation` and `seq` of each matching row of a snapshot of one file. Blocks.
    ///
    /// # Errors
    /// When the predicate cannot be evaluated; the deletion stays pending.
    fn matching(
        &self,
        file: &Snapshot,
        found: &mut dyn FnMut(&str, i64),
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
}

/// The deletion under way.
#[derive(Debug, Default)]
pub(crate) struct Erasing {
    /// Held by the one that is carried out.
    turn: Mutex<()>,
    /// Its progress. Locked while a request's file is removed, so that none is withdrawn and carried out at once.
    current: Mutex<Option<Deletion>>,
}

impl Erasing {
    /// True while this one is carried out.
    pub(crate) fn is_current(&self, id: &str) -> bool {
        self.current.lock().as_ref().is_some_and(|current| current.id == id)
    }
}

/// Makes a request durable.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn request(shared: &Shared, dataset: &DatasetName, request: DeletionRequest<'_>) -> Result<Deletion, Error> {
    if shared.config.read_only {
        return Err(Error::ReadOnly);
    }
    let now = shared.clock.now();
    let milliseconds = u64::try_from(now.0.div_euclid(1000)).unwrap_or(0);
    let deletion = Deletion {
        id: ulid::Ulid::from_parts(milliseconds, uuid::Uuid::new_v4().as_u128()).to_string(),
        dataset: dataset.to_string(),
        predicate: request.predicate.to_owned(),
        reason: request.reason.to_owned(),
        actor: request.actor.to_owned(),
        key: request.key.map(str::to_owned),
        requested_at: now.to_rfc3339(),
        files: 0,
        files_done: 0,
        rewritten: false,
        wal_cleared: false,
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
        let bytes = match shared.disk.read(&path) {
            // forgotten since the folder was listed
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            bytes => bytes.map_err(|source| Error::folder("read", &path, source))?,
        };
        let deletion: Deletion =
            serde_json::from_slice(&bytes).map_err(|error| Error::Damaged { path, reason: error.to_string() })?;
        let current = shared.erasing.current.lock().clone();
        all.push(current.filter(|current| current.id == deletion.id).unwrap_or(deletion));
    }
    Ok(all)
}

/// Removes a request that is done, or that nobody wants any more; false for one that is being carried out.
///
/// # Errors
/// When its file cannot be removed.
pub(crate) fn forget(shared: &Shared, id: &str) -> Result<bool, Error> {
    let current = shared.erasing.current.lock();
    if current.as_ref().is_some_and(|current| current.id == id) {
        return Ok(false);
    }
    remove(shared, &path_of(shared, id)).map(|()| true)
}

fn path_of(shared: &Shared, id: &str) -> PathBuf {
    shared.config.folder.join(FOLDER).join(format!("{id}.json"))
}

fn save(shared: &Shared, deletion: &Deletion) -> Result<(), Error> {
    let path = path_of(shared, &deletion.id);
    let text = serde_json::json!(deletion).to_string();
    replace_file(&*shared.disk, &path, text.as_bytes()).map_err(|source| Error::folder("write", &path, source))
}

/// Removes a file durably; one that is not there is fine.
fn remove(shared: &Shared, path: &Path) -> Result<(), Error> {
    let removed = match shared.disk.remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    };
    removed.and_then(|()| shared.disk.sync_dir(parent(path))).map_err(|source| Error::folder("remove", path, source))
}

/// Carries a request out as far as it goes now; what came of it.
///
/// # Errors
/// What was done stays done; try again.
pub(crate) fn carry_out(shared: &Shared, deletion: Deletion, matcher: &dyn RowMatcher) -> Result<Deletion, Error> {
    if shared.config.read_only {
        return Err(Error::ReadOnly);
    }
    let _turn = shared.erasing.turn.lock();
    {
        let mut current = shared.erasing.current.lock();
        let path = path_of(shared, &deletion.id);
        if !shared.disk.exists(&path).map_err(|source| Error::folder("read", &path, source))? {
            return Err(Error::NoDeletion { id: deletion.id });
        }
        *current = Some(deletion.clone());
    }
    let _current = Current(&shared.erasing);
    let mut work = Work { shared, deletion };
    let name = DatasetName::from_stored(&work.deletion.dataset);
    match name.and_then(|name| shared.dataset(&name)) {
        Some(dataset) => work.run(&dataset, matcher)?,
        None => (work.deletion.rewritten, work.deletion.wal_cleared) = (true, true),
    }
    Ok(work.deletion)
}

/// Nothing is under way any more, also after a panic.
struct Current<'a>(&'a Erasing);

impl Drop for Current<'_> {
    fn drop(&mut self) {
        *self.0.current.lock() = None;
    }
}

/// One request and how far it is.
struct Work<'a> {
    shared: &'a Shared,
    deletion: Deletion,
}

impl Work<'_> {
    fn run(&mut self, dataset: &Dataset, matcher: &dyn RowMatcher) -> Result<(), Error> {
        if !self.deletion.rewritten {
            self.rewrite(dataset, matcher)?;
            self.deletion.rewritten = true;
            self.note(true)?;
        }
        if !self.deletion.wal_cleared {
            self.clear_wal()?;
            self.deletion.wal_cleared = true;
            self.note(true)?;
        }
        self.deletion.files_held = remove_replaced(self.shared, dataset)?;
        if self.deletion.files_held == 0 {
            cut_log(dataset, &self.deletion.id)?;
            let folder = dataset.root().join(LOG_FOLDER);
            self.shared.disk.sync_dir(&folder).map_err(|source| Error::folder("sync", &folder, source))?;
            self.deletion.files_held = self.shared.removals.waiting();
        }
        Ok(())
    }

    /// Shows how far it is; `durably` also to the next start.
    fn note(&self, durably: bool) -> Result<(), Error> {
        *self.shared.erasing.current.lock() = Some(self.deletion.clone());
        if durably { save(self.shared, &self.deletion) } else { Ok(()) }
    }

    /// Looks through all files, and writes those anew that have matching rows.
    fn rewrite(&mut self, dataset: &Dataset, matcher: &dyn RowMatcher) -> Result<(), Error> {
        // From here on files come by flushes only, with later events.
        let _alone = dataset.rewriting.lock();
        flush_all(self.shared)?;
        let Some(mut one) = dataset.snapshot() else { return Ok(()) };
        one.hot.clear();
        let files = std::mem::take(&mut one.files);
        (self.deletion.files, self.deletion.files_done) = (files.len() as u64, 0);
        let pace = Pace::new(self.shared);
        for file in files {
            self.deletion.rows = dataset.log.lock().state().txn(&app_id(&self.deletion.id));
            self.note(false)?;
            if self.shared.maintenance.is_stopping() {
                return Err(Error::Closed);
            }
            let mut rows = RowKeys::default();
            one.files = vec![Arc::clone(&file)];
            matcher
                .matching(&one, &mut |incarnation, seq| rows.insert(incarnation, seq))
                .map_err(|source| Error::Match { source: source.into() })?;
            if rows.len() > 0 {
                self.erase_from(dataset, file, rows, &|bytes| pace.go_on(bytes))?;
            }
            self.deletion.files_done += 1;
        }
        self.deletion.rows = dataset.log.lock().state().txn(&app_id(&self.deletion.id));
        // What a crash left of a flush or merge is in no snapshot. A start removes it, but not that of a table without a commit.
        let log = dataset.log.lock();
        litter::of(&*self.shared.disk, &log)
            .into_iter()
            .try_for_each(|path| remove(self.shared, &dataset.root().join(path)))
    }

    /// Writes one file anew without some rows, and counts them in the same commit.
    fn erase_from(
        &self,
        dataset: &Dataset,
        file: Arc<crate::DataFile>,
        rows: RowKeys,
        go_on: &dyn Fn(u64) -> bool,
    ) -> Result<(), Error> {
        let count = rows.len() as u64;
        let counters = [app_id(&self.deletion.id), REMOVED_ROWS.to_owned()];
        let counters = counters.each_ref().map(String::as_str);
        compact::take_out(self.shared, dataset, file, rows, &counters, go_on).map_err(|not_done| match not_done {
            NotDone::GivenUp => Error::Closed,
            NotDone::BadFile(_, error) | NotDone::Failed(error) => error,
        })?;
        Metrics::add(&self.shared.metrics.deletion_files_total, 1);
        Metrics::add(&self.shared.metrics.deletion_rows_total, count);
        Ok(())
    }

    /// Nothing of the WAL, damaged bytes included, is from before this call.
    fn clear_wal(&self) -> Result<(), Error> {
        let rolled = roll_wal(self.shared)?;
        flush_all(self.shared)?;
        if self.shared.wal.oldest().is_some_and(|oldest| oldest <= rolled) {
            return Err(Error::WalHeld);
        }
        // A power cut must not bring a removed segment back once it is noted that there is none.
        let folder = self.shared.wal_folder();
        self.shared.disk.sync_dir(&folder).map_err(|source| Error::folder("sync", &folder, source))?;
        empty_quarantine(self.shared)
    }
}

fn app_id(id: &str) -> String {
    format!("deletion/{id}")
}

fn flush_all(shared: &Shared) -> Result<(), Error> {
    shared.flush.ask().recv().unwrap_or(Err(Error::Closed))
}

/// Removes all files that are no longer live; how many queries still read.
fn remove_replaced(shared: &Shared, dataset: &Dataset) -> Result<u64, Error> {
    let expired = dataset.log.lock().expired(i64::MAX, &|path| dataset.is_held(path));
    for path in expired {
        remove(shared, &dataset.root().join(Path::new(&path)))?;
        dataset.log.lock().forget_removed(&path);
    }
    Ok(dataset.log.lock().state().removed.len() as u64)
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
fn empty_quarantine(shared: &Shared) -> Result<(), Error> {
    let folder = shared.wal_folder().join("quarantine");
    for entry in shared.disk.list(&folder).unwrap_or_default() {
        tracing::warn!(
            file = entry.name,
            "removing quarantined bytes of the WAL: a privacy deletion cannot search them"
        );
        remove(shared, &folder.join(&entry.name))?;
    }
    Ok(())
}
