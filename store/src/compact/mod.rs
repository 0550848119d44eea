//! Small files to large ones: the files of a day merged by time, as one commit that changes no data.
//!
//! # What holds all the while
//! - A query reads the files of its snapshot: old ones stay on disk until no snapshot has them and `store.removed_files_s` passed.
//! - The commit removes the old files and adds the new ones at once; `txn` is not touched, so the cut between WAL and files stays.
//! - Before the commit nothing refers to the new files (a start removes them), after it nothing new refers to the old ones.
//! - Memory: one batch per file read at that time, one row group of the file written. A job has `store.compact_files_max` files.
//!
//! # Columns
//! A new file chooses its typed columns anew: the most frequent `store.file_columns_max` of its rows. A key that became frequent moves
//! from `rest` to a column, one that became rare, or that no event had for `store.column_unused_days`, moves to `rest`. Neither
//! changes what an event or a query returns.

mod plan;

use std::{
    io,
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use hashbrown::HashSet;

pub(crate) use self::plan::{Policy, backlog, pick};
use crate::{
    DataFile, Error, Timestamp,
    catalog::{VariantId, values_of},
    dataset::Dataset,
    delta::{Action, Add, COMPACTED_TAG, DeltaError, Remove, data_file, format_day},
    disk::discard,
    flush::PartFile,
    metrics::Metrics,
    parquet::{Input, ParquetOptions, Rewrite, RewriteError, RowKeys},
    shared::Shared,
};

/// What becomes of some files of one day.
#[derive(Debug)]
pub(crate) struct Change {
    /// In order of their commits.
    pub(crate) files: Vec<Arc<DataFile>>,
    /// Rows to leave out; none for a mere merge.
    pub(crate) without: Option<Arc<RowKeys>>,
    /// Further actions of the commit.
    pub(crate) actions: Vec<Action>,
}

impl Change {
    pub(crate) fn merge(files: Vec<Arc<DataFile>>) -> Self {
        Self { files, without: None, actions: Vec::new() }
    }
}

/// Why nothing was changed.
#[derive(Debug)]
pub(crate) enum NotDone {
    /// Something more urgent came up, or a file is no longer live.
    GivenUp,
    /// A file that cannot be read or understood.
    BadFile(String, Error),
    /// Anything else.
    Failed(Error),
}

/// Writes one file anew without some rows; the same commit adds them to counters kept as txns.
///
/// # Errors
/// As [`rewrite`].
pub(crate) fn take_out(
    shared: &Shared,
    dataset: &Dataset,
    file: Arc<DataFile>,
    rows: RowKeys,
    counters: &[&str],
    go_on: &dyn Fn(u64) -> bool,
) -> Result<(), NotDone> {
    let (now, count) = (shared.clock.now(), rows.len() as u64);
    // Nobody else takes rows out meanwhile: see `Dataset::rewriting`.
    let actions = {
        let log = dataset.log.lock();
        counters.iter().map(|counter| log.count(counter, count, now)).collect()
    };
    rewrite(shared, dataset, &Change { files: vec![file], without: Some(Arc::new(rows)), actions }, go_on)
}

/// Writes files anew and replaces the old ones by one commit.
///
/// # Errors
/// Everything is as it was, apart from litter when the disk does not even remove.
pub(crate) fn rewrite(
    shared: &Shared,
    dataset: &Dataset,
    change: &Change,
    go_on: &dyn Fn(u64) -> bool,
) -> Result<(), NotDone> {
    let started = shared.clock.now();
    let mut created = Vec::new();
    let written = write(shared, dataset, change, go_on, &mut created);
    let committed = written.and_then(|adds| commit(shared, dataset, change, adds));
    if committed.is_err() && !dataset.stopped.load(Relaxed) {
        created.iter().for_each(|path| discard(&*shared.disk, &dataset.root().join(path)));
    }
    committed?;
    if change.without.is_none() {
        shared.metrics.compaction.record_us(shared.clock.now().0 - started.0);
    }
    Ok(())
}

fn write(
    shared: &Shared,
    dataset: &Dataset,
    change: &Change,
    go_on: &dyn Fn(u64) -> bool,
    created: &mut Vec<String>,
) -> Result<Vec<Add>, NotDone> {
    let Some(first) = change.files.first() else { return Err(NotDone::GivenUp) };
    let counts = counts_of(dataset, &change.files).ok_or(NotDone::GivenUp)?;
    let inputs = open(shared, dataset, change)?;
    let rewrite = Rewrite {
        day: first.day,
        catalog: &dataset.catalog,
        inputs: &inputs,
        counts: &counts,
        unused: &unused(shared, dataset, first.day),
        options: ParquetOptions::of(&shared.config),
        file_bytes_max: shared.config.compact_file_bytes_max,
        go_on,
    };
    let mut create = || PartFile::begin(shared, dataset, first.day, created);
    let files = rewrite.run(&mut create).map_err(|error| not_done(dataset, change, error))?;
    let mut adds = Vec::with_capacity(files.len());
    for (file, part) in files {
        let mut add = part.finish(shared, dataset, file).map_err(NotDone::Failed)?;
        add.data_change = change.without.is_some();
        add.tags.get_or_insert_default().insert(COMPACTED_TAG.to_owned(), "true".to_owned());
        adds.push(add);
    }
    check_rows(dataset, change, &adds)?;
    Ok(adds)
}

fn open(shared: &Shared, dataset: &Dataset, change: &Change) -> Result<Vec<Input>, NotDone> {
    let open = |file: &Arc<DataFile>| {
        let path = dataset.root().join(&file.path);
        let bad = |error: Error| NotDone::BadFile(file.path.clone(), error);
        let opened = shared.disk.open(&path).map_err(|source| bad(Error::read(&path, source)))?;
        let input =
            Input::open(&file.path, opened, file.time_min.0).map_err(|source| bad(Error::read(&path, source)))?;
        Ok(match &change.without {
            Some(rows) => input.without(Arc::clone(rows)),
            None => input,
        })
    };
    change.files.iter().map(open).collect()
}

fn not_done(dataset: &Dataset, change: &Change, error: RewriteError) -> NotDone {
    if matches!(error, RewriteError::Stopped) {
        return NotDone::GivenUp;
    }
    let path = match &error {
        RewriteError::Merge(error) => Some(error.path().to_owned()),
        _ => None,
    };
    let error = failed(dataset, change, error);
    path.map_or_else(|| NotDone::Failed(error.clone()), |path| NotDone::BadFile(path, error.clone()))
}

fn failed(dataset: &Dataset, change: &Change, source: impl std::error::Error + Send + Sync + 'static) -> Error {
    let day = change.files.first().map_or(0, |file| file.day);
    Error::Rewrite {
        dataset: dataset.name.clone(),
        day: format_day(day),
        files: change.files.len(),
        source: Arc::new(source),
    }
}

/// Rows of the new files are the rows of the old ones, those left out apart: checked before anything is replaced.
fn check_rows(dataset: &Dataset, change: &Change, adds: &[Add]) -> Result<(), NotDone> {
    let before: u64 = change.files.iter().map(|file| file.rows).sum();
    let after: u64 = adds.iter().map(|add| data_file(add).rows).sum();
    let removed = change.without.as_ref().map_or(0, |rows| rows.len() as u64);
    if before == after + removed {
        return Ok(());
    }
    let text = format!("{before} rows became {after}, {removed} were to be removed: the old files stay");
    Err(NotDone::Failed(failed(dataset, change, io::Error::new(io::ErrorKind::InvalidData, text))))
}

fn commit(shared: &Shared, dataset: &Dataset, change: &Change, adds: Vec<Add>) -> Result<(), NotDone> {
    let now = shared.clock.now();
    let mut log = dataset.log.lock();
    if log.stopped() {
        let source = DeltaError::Stopped { path: dataset.root().to_path_buf() };
        return Err(NotDone::Failed(Error::delta(&dataset.name, source)));
    }
    if change.files.iter().any(|file| !log.state().files.contains_key(&file.path)) {
        return Err(NotDone::GivenUp);
    }
    let erases = change.without.is_some();
    let removes = change.files.iter().map(|file| removal(file, now, erases));
    let actions: Vec<Action> =
        removes.chain(adds.iter().cloned().map(Action::from)).chain(change.actions.iter().cloned()).collect();
    if let Err(error) = log.commit(actions, if erases { "DELETE" } else { "OPTIMIZE" }, now) {
        dataset.note_stop(&log, &shared.metrics);
        return Err(NotDone::Failed(Error::delta(&dataset.name, error)));
    }
    let files: Vec<Arc<DataFile>> = adds.iter().map(|add| Arc::new(data_file(add))).collect();
    if !erases {
        count_merge(&shared.metrics, change, &files, now);
    }
    dataset.replace(&change.files, files);
    Ok(())
}

fn count_merge(metrics: &Metrics, change: &Change, files: &[Arc<DataFile>], now: Timestamp) {
    Metrics::add(&metrics.compactions_total, 1);
    Metrics::add(&metrics.compaction_input_files_total, change.files.len() as u64);
    Metrics::add(&metrics.compaction_read_bytes_total, change.files.iter().map(|file| file.bytes).sum());
    Metrics::add(&metrics.compaction_written_bytes_total, files.iter().map(|file| file.bytes).sum());
    Metrics::set(&metrics.compaction_last_timestamp_seconds, u64::try_from(now.seconds()).unwrap_or(0));
}

/// The action that takes a file out of the table.
pub(crate) fn removal(file: &DataFile, now: Timestamp, data_change: bool) -> Action {
    Remove {
        path: file.path.clone(),
        deletion_timestamp: Some(now.0 / 1000),
        data_change,
        size: i64::try_from(file.bytes).ok(),
    }
    .into()
}

/// Non-null values of each column in these files; `None` when one is no longer live.
fn counts_of(dataset: &Dataset, files: &[Arc<DataFile>]) -> Option<Vec<u64>> {
    let log = dataset.log.lock();
    let mut counts: Vec<u64> = Vec::new();
    for file in files {
        let (_, add) = log.state().files.get(&file.path)?;
        for (variant, count) in add.tags.iter().flat_map(values_of).enumerate() {
            if counts.len() <= variant {
                counts.resize(variant + 1, 0);
            }
            counts[variant] += count;
        }
    }
    Some(counts)
}

/// Columns without a value since `store.column_unused_days`; none for a file of those days itself.
fn unused(shared: &Shared, dataset: &Dataset, day: i32) -> HashSet<VariantId> {
    let days = i32::try_from(shared.config.column_unused_days).unwrap_or(i32::MAX);
    let since = shared.clock.now().day().saturating_sub(days);
    let mut unused = HashSet::new();
    if day >= since {
        return unused;
    }
    let snapshot = dataset.snapshot();
    let hot = snapshot.iter().flat_map(|snapshot| &snapshot.hot);
    let in_memory: HashSet<String> =
        hot.flat_map(|hot| hot.batch.schema_ref().fields().iter().map(|field| field.name().clone())).collect();
    for (variant, physical) in (0..).zip(dataset.catalog.physicals()) {
        if !in_memory.contains(&*physical.name) {
            unused.insert(variant);
        }
    }
    for (_, add) in dataset.log.lock().state().files.values() {
        if data_file(add).day >= since {
            for (count, variant) in add.tags.iter().flat_map(values_of).zip(0..) {
                if count > 0 {
                    unused.remove(&variant);
                }
            }
        }
    }
    unused
}

/// Removes files that are no longer live, once their time is over and nobody here reads them.
pub(crate) fn remove_expired(shared: &Shared, dataset: &Dataset, removed_files_s: u64) {
    let kept_ms = i64::try_from(removed_files_s.saturating_mul(1000)).unwrap_or(i64::MAX);
    let before_ms = (shared.clock.now().0 / 1000).saturating_sub(kept_ms);
    let expired = {
        let log = dataset.log.lock();
        if log.stopped() {
            return;
        }
        log.expired(before_ms, &|path| dataset.is_held(path))
    };
    for path in expired {
        let file = dataset.root().join(Path::new(&path));
        match shared.disk.remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %file.display(), %error, "could not remove an unused file; tried again");
            }
            _ => dataset.log.lock().forget_removed(&path),
        }
    }
}
