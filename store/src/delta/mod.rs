//! The Delta log of one table: which Parquet files it consists of, and how far the WAL is in them.
//!
//! # Limits
//! - Plain Delta Lake, reader version 1 / writer version 2: Spark, Trino, DuckDB, ClickHouse and Polars read it while we run.
//!   A table that asks for more (another writer was here) is refused.
//! - One committer: the process that holds the folder's lock. A version that is already there is an error, never overwritten.
//!
//! # Files, below `<table>/_delta_log/`
//! | name | content |
//! |---|---|
//! | `<20 digits>.json` | one commit: a JSON action per line. commitInfo, then protocol and metaData if new, then add, remove, txn |
//! | `<20 digits>.checkpoint.parquet` | classic (V1) checkpoint, zstd: all actions still valid at that version |
//! | `_last_checkpoint` | `{"version","size","numOfAddFiles"}`: a hint, ignored when broken |
//! | `*.tmp` | being written, or left by a crash; removed at open |
//! | `<20 digits>.json.cut` | a newest commit found incomplete after a power cut, set aside |
//!
//! `txn`: for datasets appId = incarnation (uuid text), version = the last `seq` in the files: the exact cut between WAL and
//! files. For the table of counts: appId = incarnation, version = the last lsn counted.
//! Rows that are gone on purpose are counted: txn appId = `yellowline.removed_rows`, version = how many rows of the table
//! retention and deletes have taken so far; `yellowline.lost_rows` is the same for rows a repair gave up. So at any commit
//! rows of live files + removed + lost = sum of the incarnations' versions.
//! `add.stats` has numRecords and the range of few columns; `add.tags` holds `yellowline.*` values the catalog keeps per file,
//! and the file's CRC32C.
//!
//! # A commit
//! temporary file, fdatasync, hard link to its final name (fails if there is one), fsync of the folder: 0.4 to 0.6 ms whatever
//! the number of live files. When the last step fails the commit is visible but may not survive a power cut: the log takes
//! no more commits then until it is opened again, and the WAL is kept.

mod action;
mod checkpoint;
mod files;
pub(crate) mod inspect;
mod read;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

pub(crate) use action::{Action, Add, Format, Metadata, Protocol, Remove, Txn};
pub(crate) use files::{COMPACTED_TAG, DAY_COLUMN, checksum_of, checksum_tag, data_file, format_day, received_max};

use crate::{
    Timestamp,
    disk::{Disk, create_dirs, discard, write_file},
};

/// appId of the txn that counts rows taken by retention and deletes.
pub(crate) const REMOVED_ROWS: &str = "yellowline.removed_rows";
/// appId of the txn that counts rows a repair gave up.
pub(crate) const LOST_ROWS: &str = "yellowline.lost_rows";
/// Name of the log's folder in a table.
pub(crate) const LOG_FOLDER: &str = "_delta_log";

/// Why a log could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DeltaError {
    /// A file of the log could not be read.
    #[error("could not read {path}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A file of the log is no Delta log file.
    #[error("{path} is damaged: {reason}; restore it from a backup, or move the table's folder away to start it anew")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The table needs a newer program, or another writer changed it.
    #[error("{path} asks for Delta reader version {reader} and writer version {writer}; this program knows 1 and 2")]
    Newer {
        /// The table's folder.
        path: PathBuf,
        /// Its minReaderVersion.
        reader: i32,
        /// Its minWriterVersion.
        writer: i32,
    },
    /// Nothing of the commit is visible; it can be tried again.
    #[error("could not write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The version exists: someone else writes to this table.
    #[error("{path} was written by another program: only one may write to a table")]
    Conflict {
        /// The commit's file.
        path: PathBuf,
    },
    /// The commit is visible, but may not survive a power cut.
    #[error("could not make {path} durable: the table takes no more commits until a restart")]
    Uncertain {
        /// The commit's file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// An earlier commit ended as `Conflict` or `Uncertain`.
    #[error("{path} takes no more commits until a restart, because of an earlier error")]
    Stopped {
        /// The table's folder.
        path: PathBuf,
    },
}

/// What the log says the table is.
#[derive(Debug, Clone, Default)]
pub(crate) struct TableState {
    /// Version of the newest commit; `None` before the first.
    pub(crate) version: Option<u64>,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) metadata: Option<Metadata>,
    /// Live files by path, each with the version that added it.
    pub(crate) files: BTreeMap<String, (u64, Arc<Add>)>,
    pub(crate) txns: BTreeMap<String, Txn>,
    /// Removed files that may still be on disk.
    pub(crate) removed: BTreeMap<String, Remove>,
}

impl TableState {
    /// The version of an application's txn; 0 when it has none.
    pub(crate) fn txn(&self, app_id: &str) -> u64 {
        self.txns.get(app_id).map_or(0, |txn| u64::try_from(txn.version).unwrap_or(0))
    }

    fn apply(&mut self, version: u64, action: Action) {
        if let Some(protocol) = action.protocol {
            self.protocol = Some(protocol);
        }
        if let Some(metadata) = action.meta_data {
            self.metadata = Some(metadata);
        }
        if let Some(txn) = action.txn {
            self.txns.insert(txn.app_id.clone(), txn);
        }
        if let Some(add) = action.add {
            self.removed.remove(&add.path);
            self.files.insert(add.path.clone(), (version, Arc::new(add)));
        }
        if let Some(remove) = action.remove {
            self.files.remove(&remove.path);
            self.removed.insert(remove.path.clone(), remove);
        }
    }
}

/// The log of one table, open for commits.
#[derive(Debug)]
pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    /// The data folder, which exists and is durable.
    base: PathBuf,
    root: PathBuf,
    state: TableState,
    /// Versions of the newest and the second newest checkpoint.
    checkpoints: [Option<u64>; 2],
    stopped: bool,
}

impl Log {
    /// A table that does not exist yet; its folders are made at the first commit.
    pub(crate) fn new(disk: Arc<dyn Disk>, base: &Path, root: &Path) -> Self {
        Self {
            disk,
            base: base.to_path_buf(),
            root: root.to_path_buf(),
            state: TableState::default(),
            checkpoints: [None; 2],
            stopped: false,
        }
    }

    pub(crate) fn state(&self) -> &TableState {
        &self.state
    }

    /// The table's folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// True after an error that only a restart clears.
    pub(crate) fn stopped(&self) -> bool {
        self.stopped
    }

    /// Commits since the newest checkpoint.
    pub(crate) fn commits_since_checkpoint(&self) -> u64 {
        match (self.state.version, self.checkpoints[0]) {
            (Some(version), Some(checkpoint)) => version.saturating_sub(checkpoint),
            (Some(version), None) => version + 1,
            (None, _) => 0,
        }
    }

    /// The action that adds to a counter kept as the txn `app_id`.
    pub(crate) fn count(&self, app_id: &str, more: u64, now: Timestamp) -> Action {
        let version = i64::try_from(self.state.txn(app_id) + more).unwrap_or(i64::MAX);
        Txn { app_id: app_id.to_owned(), version, last_updated: Some(now.0 / 1000) }.into()
    }

    /// Makes the actions part of the table, all or none. Files named by `add` actions must be durable before.
    ///
    /// # Errors
    /// `Write`: nothing happened. `Conflict`, `Uncertain`, `Stopped`: no more commits until the log is opened again.
    pub(crate) fn commit(&mut self, actions: Vec<Action>, operation: &str, now: Timestamp) -> Result<u64, DeltaError> {
        if self.stopped {
            return Err(DeltaError::Stopped { path: self.root.clone() });
        }
        let version = self.state.version.map_or(0, |version| version + 1);
        let folder = self.root.join(LOG_FOLDER);
        if version == 0 {
            create_dirs(&*self.disk, &self.base, &folder)
                .map_err(|source| DeltaError::Write { path: folder.clone(), source })?;
        }
        let path = folder.join(file_name(version));
        let temporary = folder.join(format!("{version:020}.tmp"));
        discard(&*self.disk, &temporary);
        write_file(&*self.disk, &temporary, &commit_bytes(&actions, operation, now))
            .map_err(|source| DeltaError::Write { path: temporary.clone(), source })?;
        let linked = self.disk.hard_link(&temporary, &path);
        self.settle(linked, &temporary, &path)?;
        for action in actions {
            self.state.apply(version, action);
        }
        self.state.version = Some(version);
        Ok(version)
    }

    /// Judges the link, makes it durable, removes the temporary name.
    fn settle(&mut self, linked: io::Result<()>, temporary: &Path, path: &Path) -> Result<(), DeltaError> {
        if let Err(source) = linked {
            if source.kind() == io::ErrorKind::AlreadyExists {
                self.stopped = true;
                return Err(DeltaError::Conflict { path: path.to_path_buf() });
            }
            // An error does not prove that nothing happened (network file systems): look.
            if !matches!(self.disk.exists(path), Ok(false)) {
                self.stopped = true;
                return Err(DeltaError::Uncertain { path: path.to_path_buf(), source });
            }
            discard(&*self.disk, temporary);
            return Err(DeltaError::Write { path: path.to_path_buf(), source });
        }
        let synced = self.disk.sync_dir(&self.root.join(LOG_FOLDER));
        discard(&*self.disk, temporary);
        synced.map_err(|source| {
            self.stopped = true;
            DeltaError::Uncertain { path: path.to_path_buf(), source }
        })
    }
}

fn file_name(version: u64) -> String {
    format!("{version:020}.json")
}

/// The version in the name of a commit.
fn version_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".json")?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

/// The version in the name of a commit or a checkpoint, and whether it is a checkpoint.
pub(crate) fn version_in_name(name: &str) -> Option<(u64, bool)> {
    let commit = version_of(name).map(|version| (version, false));
    commit.or_else(|| checkpoint::version_of(name).map(|version| (version, true)))
}

fn commit_bytes(actions: &[Action], operation: &str, now: Timestamp) -> Vec<u8> {
    let info = serde_json::json!({
        "timestamp": now.0 / 1000,
        "operation": operation,
        "operationParameters": {},
        "isBlindAppend": actions.iter().all(|action| action.remove.is_none()),
        "engineInfo": concat!("yellowline/", env!("CARGO_PKG_VERSION")),
    });
    let first = Action { commit_info: Some(info), ..Action::default() };
    let mut bytes = Vec::new();
    for action in std::iter::once(&first).chain(actions) {
        // Strings, numbers and maps with string keys: serialising them cannot fail.
        serde_json::to_writer(&mut bytes, action).unwrap_or_default();
        bytes.push(b'\n');
    }
    bytes
}
