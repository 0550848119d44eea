//! Opening a log: newest whole checkpoint, then the commits after it.

use std::{io, path::Path, sync::Arc};

use super::{Action, DeltaError, LOG_FOLDER, Log, Protocol, TableState, checkpoint, file_name, version_of};
use crate::disk::{Disk, discard};

/// What a log's folder holds.
struct Listing {
    commits: Vec<u64>,
    checkpoints: Vec<u64>,
}

impl Log {
    /// Reads the log of a table; `None` when there is no commit in it.
    ///
    /// # Errors
    /// When it cannot be read, is damaged before its newest commit, or asks for a newer program.
    pub(crate) fn open(disk: Arc<dyn Disk>, base: &Path, root: &Path) -> Result<Option<Self>, DeltaError> {
        let folder = root.join(LOG_FOLDER);
        let read = |source| DeltaError::Read { path: folder.clone(), source };
        if !disk.exists(&folder).map_err(read)? {
            return Ok(None);
        }
        let listing = list(&*disk, &folder).map_err(read)?;
        if listing.commits.is_empty() && listing.checkpoints.is_empty() {
            return Ok(None);
        }
        // A process that was killed between linking a commit and syncing the folder left a commit that a power cut may still
        // take away; from here on it is relied upon.
        disk.sync_dir(&folder).map_err(|source| DeltaError::Write { path: folder.clone(), source })?;
        let mut log = Self::new(disk, base, root);
        log.load_checkpoint(&folder, &listing.checkpoints)?;
        log.load_commits(&folder, &listing)?;
        if log.state.version.is_none() {
            return Ok(None);
        }
        log.check_protocol()?;
        Ok(Some(log))
    }

    fn load_checkpoint(&mut self, folder: &Path, versions: &[u64]) -> Result<(), DeltaError> {
        for (index, &version) in versions.iter().enumerate().rev() {
            let path = folder.join(checkpoint::file_name(version));
            let bytes = self.disk.read(&path).map_err(|source| DeltaError::Read { path: path.clone(), source })?;
            match checkpoint::decode(bytes) {
                Ok(actions) => {
                    let mut state = TableState::default();
                    for action in actions {
                        state.apply(version, action);
                    }
                    state.version = Some(version);
                    self.state = state;
                    self.checkpoints = [Some(version), index.checked_sub(1).map(|before| versions[before])];
                    return Ok(());
                }
                Err(error) => {
                    tracing::error!(path = %path.display(), error = %error, "ignoring a damaged Delta checkpoint")
                }
            }
        }
        Ok(())
    }

    fn load_commits(&mut self, folder: &Path, listing: &Listing) -> Result<(), DeltaError> {
        let first = self.state.version.map_or(0, |version| version + 1);
        let newest = listing.commits.last().copied();
        for (expected, version) in (first..).zip(listing.commits.iter().copied().filter(|version| *version >= first)) {
            let path = folder.join(file_name(version));
            if version != expected {
                let reason = format!("commit {expected} before it is missing");
                return Err(DeltaError::Damaged { path, reason });
            }
            let bytes = self.disk.read(&path).map_err(|source| DeltaError::Read { path: path.clone(), source })?;
            match parse(&bytes) {
                Ok(actions) => {
                    actions.into_iter().for_each(|action| self.state.apply(version, action));
                    self.state.version = Some(version);
                }
                Err(reason) if Some(version) == newest => return self.set_aside_cut(folder, version, &reason),
                Err(reason) => return Err(DeltaError::Damaged { path, reason }),
            }
        }
        Ok(())
    }

    /// A newest commit cut by a power loss: its events are still in the WAL, which is trimmed only after the log is synced.
    fn set_aside_cut(&mut self, folder: &Path, version: u64, reason: &str) -> Result<(), DeltaError> {
        let path = folder.join(file_name(version));
        tracing::error!(path = %path.display(), reason, "the newest Delta commit is incomplete: set aside, its events are replayed from the WAL");
        let aside = folder.join(format!("{}.cut", file_name(version)));
        let moved = self.disk.rename(&path, &aside).and_then(|()| self.disk.sync_dir(folder));
        match moved {
            // Whoever only reads goes on without it.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(()),
            moved => moved.map_err(|source| DeltaError::Write { path, source }),
        }
    }

    fn check_protocol(&self) -> Result<(), DeltaError> {
        let ours = Protocol::OURS;
        let Some(protocol) = &self.state.protocol else {
            return Err(DeltaError::Damaged {
                path: self.root.join(LOG_FOLDER),
                reason: "it has no protocol action".to_owned(),
            });
        };
        if protocol.min_reader_version > ours.min_reader_version
            || protocol.min_writer_version > ours.min_writer_version
        {
            let (reader, writer) = (protocol.min_reader_version, protocol.min_writer_version);
            return Err(DeltaError::Newer { path: self.root.clone(), reader, writer });
        }
        if self.state.metadata.is_none() {
            return Err(DeltaError::Damaged {
                path: self.root.join(LOG_FOLDER),
                reason: "it has no metaData action".to_owned(),
            });
        }
        Ok(())
    }
}

fn list(disk: &dyn Disk, folder: &Path) -> io::Result<Listing> {
    let mut listing = Listing { commits: Vec::new(), checkpoints: Vec::new() };
    for entry in disk.list(folder)? {
        if entry.name.ends_with(".tmp") {
            discard(disk, &folder.join(&entry.name));
        } else if let Some(version) = version_of(&entry.name) {
            listing.commits.push(version);
        } else if let Some(version) = checkpoint::version_of(&entry.name) {
            listing.checkpoints.push(version);
        }
    }
    listing.commits.sort_unstable();
    listing.checkpoints.sort_unstable();
    Ok(listing)
}

/// The actions of a commit; the reason when it is not whole. Every commit of ours ends with a line feed.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Action>, String> {
    if bytes.last() != Some(&b'\n') {
        return Err("it does not end with a line feed".to_owned());
    }
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .enumerate()
        .map(|(index, line)| serde_json::from_slice(line).map_err(|error| format!("line {}: {error}", index + 1)))
        .collect()
}
