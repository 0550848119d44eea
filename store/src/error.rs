//! What can go wrong in the store: each variant names the deed and the thing, the cause is its source.

use std::{io, path::PathBuf, sync::Arc};

use crate::{DatasetName, catalog::CatalogError, parquet, reassemble::ReassembleError};

pub use crate::delta::DeltaError;

/// An error of the store.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Settings that cannot be used.
    #[error("settings of the store are wrong: {problems}")]
    Config {
        /// One sentence per problem.
        problems: String,
    },
    /// The data folder cannot be created, listed or written.
    #[error("could not {deed} {path}: check that the folder exists and this user may write to it")]
    Folder {
        /// What was tried.
        deed: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// Another process has the data folder open.
    #[error("the data folder {path} is in use by another process: stop it first, or use another folder")]
    FolderInUse {
        /// The data folder.
        path: PathBuf,
    },
    /// The data folder was written by a newer version of this program.
    #[error("{path} has format version {version}, this program reads up to {known}: start the newer program again")]
    NewerFormat {
        /// The file that says so.
        path: PathBuf,
        /// Its version.
        version: u64,
        /// Ours.
        known: u64,
    },
    /// The data folder is open for reading only.
    #[error("this node is read-only (store.read_only): send events and changes to the node that writes")]
    ReadOnly,
    /// A folder that must be new has something in it.
    #[error("{path} is not empty: name a folder that does not exist, or an empty one")]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// A backup must not be written to: two nodes would give out the same numbers.
    #[error(
        "{path} is a backup: make a data folder of it with `yellowline restore`, or show it with `serve --read-only`"
    )]
    Backup {
        /// The folder.
        path: PathBuf,
    },
    /// Whoever asked for a backup or restore does not wait for it any more.
    #[error("{path} was given up half-way and is incomplete: remove it")]
    Interrupted {
        /// The folder.
        path: PathBuf,
    },
    /// A file that must be readable is not what it should be.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The Delta log of a dataset could not be read or written.
    #[error("the Delta log of dataset {dataset} failed")]
    Delta {
        /// The dataset.
        dataset: DatasetName,
        /// What happened.
        #[source]
        source: Arc<DeltaError>,
    },
    /// The schema kept in the Delta log could not be understood.
    #[error("could not restore the columns of dataset {dataset}: {reason}")]
    Catalog {
        /// The dataset.
        dataset: DatasetName,
        /// What is wrong.
        reason: String,
    },
    /// The bounds of queue or memory are reached: nothing was stored, try again later.
    #[error("the store is busy: {bound} is reached, try again in {retry_after_s} s")]
    Busy {
        /// The setting that bounds it.
        bound: &'static str,
        /// When to try again, in seconds.
        retry_after_s: u64,
    },
    /// The events could not be made durable: nothing was acknowledged. The next request tries with a new file.
    #[error("could not write events to the write-ahead log")]
    WriteWal {
        /// What the operating system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The same idempotency key came with other events before.
    #[error("idempotency key {key:?} was used before with other events: use a new key for new events")]
    IdempotencyKeyReused {
        /// The key.
        key: String,
    },
    /// The store is closed or closing.
    #[error("the store is closed")]
    Closed,
    /// Events of ours were refused by the decoder.
    #[error("an event for {dataset} was refused: {message}")]
    OwnEventRefused {
        /// The dataset.
        dataset: DatasetName,
        /// The decoder's reason.
        message: String,
    },
    /// Unflushed events could not be turned into Parquet.
    #[error("could not write Parquet files of dataset {dataset}")]
    Encode {
        /// The dataset.
        dataset: DatasetName,
        /// What happened.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// A data file could not be read.
    #[error("could not read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What happened.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// A stored event could not be put together again.
    #[error("could not rebuild an event from its columns")]
    Reassemble {
        /// What happened.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// A panic left the memory of a dataset without some events. They are in the WAL.
    #[error("unflushed events of dataset {dataset} are damaged in memory: restart the process, which replays them")]
    Torn {
        /// The dataset.
        dataset: DatasetName,
    },
    /// Files could not be merged, or rows not be removed from them; the old files are as they were.
    #[error("could not rewrite {files} files of day {day} of dataset {dataset}")]
    Rewrite {
        /// The dataset.
        dataset: DatasetName,
        /// The day, `2026-11-20`.
        day: String,
        /// How many files.
        files: usize,
        /// What happened.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// A deletion's predicate could not be evaluated.
    #[error("could not find the rows to delete")]
    Match {
        /// What happened.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// Nobody asked for this deletion, or it was withdrawn.
    #[error("there is no deletion {id} under way")]
    NoDeletion {
        /// The id.
        id: String,
    },
    /// A deletion waits: the WAL still has segments from before it.
    #[error("the write-ahead log still holds events from before the deletion: see why they cannot be flushed")]
    WalHeld,
    /// A thread of the store could not be started or has died.
    #[error("the store's {thread} thread does not run: restart the process")]
    Thread {
        /// Which one.
        thread: &'static str,
    },
}

impl Error {
    /// Seconds after which the same request may succeed; `None` when repeating it is useless.
    #[must_use]
    pub fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::Busy { retry_after_s, .. } => Some(*retry_after_s),
            Self::ReadOnly => Some(30),
            Self::WriteWal { .. } | Self::Closed | Self::Thread { .. } => Some(5),
            _ => None,
        }
    }

    pub(crate) fn folder(deed: &'static str, path: &std::path::Path, source: io::Error) -> Self {
        Self::Folder { deed, path: path.to_path_buf(), source: Arc::new(source) }
    }

    pub(crate) fn delta(dataset: &DatasetName, source: DeltaError) -> Self {
        Self::Delta { dataset: dataset.clone(), source: Arc::new(source) }
    }

    pub(crate) fn catalog(dataset: &DatasetName, source: &CatalogError) -> Self {
        Self::Catalog { dataset: dataset.clone(), reason: describe(source) }
    }

    pub(crate) fn encode(dataset: &DatasetName, source: parquet::EncodeError) -> Self {
        Self::Encode { dataset: dataset.clone(), source: Arc::new(source) }
    }

    pub(crate) fn read(path: &std::path::Path, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Read { path: path.to_path_buf(), source: Arc::new(source) }
    }

    pub(crate) fn reassemble(source: ReassembleError) -> Self {
        Self::Reassemble { source: Arc::new(source) }
    }
}

/// An error with its causes on one line, for the log.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
