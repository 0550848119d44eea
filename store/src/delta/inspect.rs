//! A log looked through file by file, for `verify`: every commit and every checkpoint, not only those an open needs.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

use super::{Action, LOG_FOLDER, Protocol, TableState, checkpoint, file_name, read::parse, version_of};
use crate::{disk::Disk, error::describe};

/// The hint where the newest checkpoint is.
pub(crate) const HINT_FILE: &str = "_last_checkpoint";

/// What is wrong with a file of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// The newest commit is not whole: a power cut. Its events are in the WAL.
    CutCommit,
    /// A commit that cannot be read, but that a whole checkpoint stands for.
    Spare,
    /// Commits are missing that a whole checkpoint stands for.
    SpareGap,
    /// A commit that cannot be read, or is missing, and nothing stands for.
    Commit,
    /// A checkpoint that cannot be read, or that says something else than the commits; opening can do without it.
    Checkpoint,
    /// The hint where the newest checkpoint is cannot be read; only other engines use it.
    Hint,
    /// The table asks for another version of Delta Lake, or lacks what every table has.
    Protocol,
    /// Left by a crash; removed at the next start.
    Temporary,
}

/// A finding about a file of the log.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) path: PathBuf,
    pub(crate) reason: String,
}

/// What a log says, and what is wrong with it.
#[derive(Debug, Default)]
pub(crate) struct Inspection {
    /// As [`super::Log::open`] will see it; `version` is `None` when there is no table.
    pub(crate) state: TableState,
    pub(crate) faults: Vec<Fault>,
}

/// Reads all of a table's log.
///
/// # Errors
/// When the folder cannot be listed or a file not be read at all.
pub(crate) fn inspect(disk: &dyn Disk, root: &Path) -> io::Result<Inspection> {
    let folder = root.join(LOG_FOLDER);
    let mut inspection = Inspection::default();
    if !disk.exists(&folder)? {
        return Ok(inspection);
    }
    let mut files = LogFiles::default();
    for entry in disk.list(&folder)? {
        let path = folder.join(&entry.name);
        if entry.name.ends_with(".tmp") {
            inspection.fault(FaultKind::Temporary, &path, "left by a crash");
        } else if let Some(version) = version_of(&entry.name) {
            files.commits.insert(version, parse(&disk.read(&path)?));
        } else if let Some(version) = checkpoint::version_of(&entry.name) {
            files.checkpoints.insert(version, checkpoint::decode(disk.read(&path)?).map_err(|error| describe(&error)));
        } else if entry.name == HINT_FILE {
            inspection.check_hint(&path, &disk.read(&path)?);
        }
    }
    inspection.walk(&folder, files);
    Ok(inspection)
}

/// Each file's actions, or why it has none.
#[derive(Debug, Default)]
struct LogFiles {
    commits: BTreeMap<u64, Result<Vec<Action>, String>>,
    checkpoints: BTreeMap<u64, Result<Vec<Action>, String>>,
}

impl Inspection {
    fn fault(&mut self, kind: FaultKind, path: &Path, reason: impl Into<String>) {
        self.faults.push(Fault { kind, path: path.to_path_buf(), reason: reason.into() });
    }

    fn check_hint(&mut self, path: &Path, bytes: &[u8]) {
        let version = serde_json::from_slice::<serde_json::Value>(bytes).ok().and_then(|hint| hint["version"].as_u64());
        if version.is_none() {
            self.fault(FaultKind::Hint, path, "it is no JSON object with a version");
        }
    }

    /// Goes through all versions: applies commits, and compares with each checkpoint on the way.
    fn walk(&mut self, folder: &Path, files: LogFiles) {
        let LogFiles { mut commits, checkpoints } = files;
        let newest_whole = checkpoints.iter().rev().find(|(_, actions)| actions.is_ok()).map(|(version, _)| *version);
        let newest = commits.keys().chain(checkpoints.keys()).max().copied();
        let versions: BTreeSet<u64> = commits.keys().chain(checkpoints.keys()).copied().collect();
        let mut begun = false;
        for version in versions {
            let (path, expected) =
                (folder.join(file_name(version)), self.state.version.map_or(0, |version| version + 1));
            let covered = newest_whole.is_some_and(|checkpoint| checkpoint >= version);
            match commits.remove(&version) {
                Some(Ok(actions)) if version == expected => {
                    actions.into_iter().for_each(|action| self.state.apply(version, action));
                    self.state.version = Some(version);
                    begun = true;
                }
                // Log cleanup leaves a checkpoint and what came after it; commits before are on their way out.
                Some(Ok(_)) if !begun && covered => {}
                Some(Ok(_)) => {
                    let reason = format!("commit {expected} before it is missing");
                    self.fault(if covered { FaultKind::SpareGap } else { FaultKind::Commit }, &path, reason);
                    if !covered {
                        return;
                    }
                    // One finding for all up to the checkpoint.
                    begun = false;
                }
                Some(Err(reason)) if covered => {
                    self.fault(FaultKind::Spare, &path, reason);
                    begun = false;
                }
                Some(Err(reason)) if Some(version) == newest => self.fault(FaultKind::CutCommit, &path, reason),
                Some(Err(reason)) => return self.fault(FaultKind::Commit, &path, reason),
                None => {}
            }
            if let Some(checkpoint) = checkpoints.get(&version) {
                begun |= self.compare(&folder.join(checkpoint::file_name(version)), version, checkpoint);
            }
        }
        self.check_protocol(folder);
    }

    /// Judges a checkpoint by what the commits led to; goes on from it where they do not lead there. True when it is whole.
    fn compare(&mut self, path: &Path, version: u64, actions: &Result<Vec<Action>, String>) -> bool {
        let actions = match actions {
            Ok(actions) => actions,
            Err(reason) => {
                self.fault(FaultKind::Checkpoint, path, reason.clone());
                return false;
            }
        };
        let mut said = TableState { version: Some(version), ..TableState::default() };
        actions.iter().for_each(|action| said.apply(version, action.clone()));
        let same = said.files.keys().eq(self.state.files.keys())
            && said
                .txns
                .iter()
                .all(|(app, txn)| self.state.txns.get(app).is_some_and(|own| own.version == txn.version))
            && said.metadata == self.state.metadata;
        if self.state.version == Some(version) {
            if !same {
                self.fault(FaultKind::Checkpoint, path, "it names other files or versions than the commits up to it");
            }
        } else {
            self.state = said;
        }
        true
    }

    fn check_protocol(&mut self, folder: &Path) {
        if self.state.version.is_none() {
            return;
        }
        let ours = Protocol::OURS;
        let reason = match &self.state.protocol {
            None => "no commit says which version of Delta Lake it is".to_owned(),
            Some(protocol)
                if protocol.min_reader_version > ours.min_reader_version
                    || protocol.min_writer_version > ours.min_writer_version =>
            {
                format!(
                    "it asks for Delta reader {} and writer {}",
                    protocol.min_reader_version, protocol.min_writer_version
                )
            }
            Some(_) if self.state.metadata.is_none() => "no commit says what its columns are".to_owned(),
            Some(_) => return,
        };
        self.fault(FaultKind::Protocol, folder, reason);
    }
}
