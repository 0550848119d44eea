//! How the files of each dataset fare, for people: what `system.files` and `system.upkeep` show.

use std::sync::Arc;

use crate::{
    DataFile, DatasetName, Timestamp,
    catalog::values_of,
    compact::{self, Policy},
    dataset::Dataset,
    delta::REMOVED_ROWS,
    erase,
    shared::Shared,
};

/// A live data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSummary {
    /// Which dataset it belongs to.
    pub dataset: DatasetName,
    /// The file; its path begins below the dataset's folder.
    pub file: Arc<DataFile>,
    /// How many keys have a value in it, siblings of different types counted apart.
    pub columns: u64,
}

/// The files of one dataset, its log, and what is to be done about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upkeep {
    /// Which dataset.
    pub dataset: DatasetName,
    /// Live data files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that merging would save, by its rules.
    pub backlog_files: u64,
    /// When the newest live file that merging made was written.
    pub merged_at: Option<Timestamp>,
    /// Files that are no longer live and still on disk.
    pub removed_files: u64,
    /// Events taken out by retention and deletions, ever.
    pub removed_events: u64,
    /// Deletions asked for that are not done.
    pub deletions: u64,
    /// Events in no file yet.
    pub unflushed_events: u64,
    /// Version of the newest commit of the Delta log; `None` before the first.
    pub log_version: Option<u64>,
    /// Commits since its newest checkpoint.
    pub log_commits: u64,
    /// True when its log takes no more commits until a restart.
    pub stopped: bool,
}

/// All live data files, by dataset, oldest commit first.
pub(crate) fn files(shared: &Shared) -> Vec<FileSummary> {
    shared.all_datasets().iter().flat_map(|dataset| files_of(dataset)).collect()
}

fn files_of(dataset: &Dataset) -> Vec<FileSummary> {
    let files = dataset.files();
    let log = dataset.log.lock();
    // A file replaced between the two looks is no longer live.
    let live = files.into_iter().filter_map(|file| Some((log.state().files.get(&file.path)?, file)));
    live.map(|((_, add), file)| FileSummary {
        dataset: dataset.name.clone(),
        columns: add.tags.iter().flat_map(values_of).filter(|values| *values > 0).count() as u64,
        file,
    })
    .collect()
}

/// How all datasets fare.
pub(crate) fn all(shared: &Shared) -> Vec<Upkeep> {
    let pending = erase::pending(shared).unwrap_or_default();
    let (policy, now) = (Policy::of(&shared.config), shared.clock.now());
    let of = |dataset: &Arc<Dataset>| {
        let (files, unflushed_events) = (dataset.files(), dataset.hot().rows);
        let log = dataset.log.lock();
        Upkeep {
            dataset: dataset.name.clone(),
            files: files.len() as u64,
            bytes: files.iter().map(|file| file.bytes).sum(),
            backlog_files: compact::backlog(&files, now, &policy) as u64,
            merged_at: files.iter().filter(|file| file.compacted).map(|file| file.written_at).max(),
            removed_files: log.state().removed.len() as u64,
            removed_events: log.state().txn(REMOVED_ROWS),
            deletions: pending.iter().filter(|deletion| deletion.dataset == dataset.name.as_str()).count() as u64,
            unflushed_events,
            log_version: log.state().version,
            log_commits: log.commits_since_checkpoint(),
            stopped: log.stopped(),
        }
    };
    shared.all_datasets().iter().map(of).collect()
}
