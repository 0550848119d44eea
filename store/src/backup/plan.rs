//! Which files, and how much of each, make up the copy.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    DatasetName, Error, accounts,
    dataset::DATASETS_FOLDER,
    delta::{LOG_FOLDER, Log, version_in_name},
    disk::Disk,
    recovery,
    shared::Shared,
    wal::SegmentId,
};

/// How a file is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Take {
    /// All of it; it is never written to again, so a second name for it will do.
    Link,
    /// This many bytes from its start.
    Start,
    /// All of it, also when it was replaced by another version meanwhile.
    Newest,
}

/// One file of the copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Relative to the data folder.
    pub(super) path: PathBuf,
    /// Its bytes, or those of its start.
    pub(super) bytes: u64,
    pub(super) take: Take,
}

/// Everything to copy.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) folder: PathBuf,
    pub(super) incarnation: String,
    /// Folders that must be there even if nothing is in them.
    pub(super) folders: Vec<PathBuf>,
    pub(super) parts: Vec<Part>,
}

impl Plan {
    /// Removals must be held. The WAL is cut last, and segments trimmed meanwhile are in it all the same.
    pub(super) fn of_running(shared: &Shared) -> Result<Self, Error> {
        let mut plan = Self::new(&shared.config.folder, shared.incarnation.to_string());
        let mut segments: BTreeMap<SegmentId, u64> = shared.wal.sizes().into_iter().collect();
        for dataset in shared.all_datasets() {
            plan.table(&*shared.disk, &dataset.log.lock())?;
        }
        plan.table(&*shared.disk, shared.accounts_table.lock().log())?;
        segments.extend(shared.wal.sizes());
        plan.wal(segments);
        plan.others(&*shared.disk)?;
        Ok(plan)
    }

    /// Nobody writes to the folder; `disk` is read-only.
    pub(super) fn of_stopped(disk: &Arc<dyn Disk>, folder: &Path) -> Result<Self, Error> {
        let mut plan = Self::new(folder, recovery::read_incarnation(&**disk, folder)?.to_string());
        let tables = folder.join(DATASETS_FOLDER);
        let names = recovery::list_if_there(&**disk, &tables)?.into_iter().filter(|entry| entry.is_dir);
        let names = names.filter_map(|entry| DatasetName::from_stored(&entry.name));
        let roots = names.map(|name| (tables.join(name.as_str()), name));
        for (root, name) in roots.chain([(folder.join(accounts::FOLDER), DatasetName::system("ingest"))]) {
            let log = Log::open(Arc::clone(disk), folder, &root).map_err(|source| Error::delta(&name, source))?;
            log.map_or(Ok(()), |log| plan.table(&**disk, &log))?;
        }
        let wal = recovery::list_if_there(&**disk, &folder.join("wal"))?.into_iter();
        plan.wal(wal.filter_map(|entry| Some((SegmentId::from_file_name(&entry.name)?, entry.bytes))).collect());
        plan.others(&**disk)?;
        Ok(plan)
    }

    fn new(folder: &Path, incarnation: String) -> Self {
        let folders = vec![PathBuf::from(DATASETS_FOLDER), PathBuf::from("wal")];
        Self { folder: folder.to_path_buf(), incarnation, folders, parts: Vec::new() }
    }

    /// Bytes of all parts.
    pub(super) fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// Live files, and the log from the second newest checkpoint on, as the store itself keeps it.
    fn table(&mut self, disk: &dyn Disk, log: &Log) -> Result<(), Error> {
        let Some(newest) = log.state().version else { return Ok(()) };
        let root = log.root().strip_prefix(&self.folder).unwrap_or(log.root()).to_path_buf();
        for (_, add) in log.state().files.values() {
            let bytes = u64::try_from(add.size).unwrap_or(0);
            self.parts.push(Part { path: root.join(&add.path), bytes, take: Take::Link });
        }
        let folder = log.root().join(LOG_FOLDER);
        let entries = disk.list(&folder).map_err(|source| Error::folder("list", &folder, source))?;
        let named =
            |entry: &crate::disk::DirEntry| version_in_name(&entry.name).filter(|(version, _)| *version <= newest);
        let mut checkpoints: Vec<u64> = entries
            .iter()
            .filter_map(named)
            .filter(|(_, is_checkpoint)| *is_checkpoint)
            .map(|(version, _)| version)
            .collect();
        checkpoints.sort_unstable_by(|left, right| right.cmp(left));
        let first = checkpoints.get(1).or(checkpoints.first()).copied().unwrap_or(0);
        for entry in entries {
            // Without the hint `_last_checkpoint`: it may be replaced by one for a later checkpoint, and readers only save time by it.
            if named(&entry).is_some_and(|(version, _)| version >= first) {
                self.parts.push(Part {
                    path: root.join(LOG_FOLDER).join(&entry.name),
                    bytes: entry.bytes,
                    take: Take::Link,
                });
            }
        }
        Ok(())
    }

    fn wal(&mut self, segments: BTreeMap<SegmentId, u64>) {
        let part = |(id, bytes): (SegmentId, u64)| Part {
            path: Path::new("wal").join(id.file_name()),
            bytes,
            take: Take::Start,
        };
        self.parts.extend(segments.into_iter().map(part));
    }

    /// What stands beside the tables and the WAL.
    fn others(&mut self, disk: &dyn Disk) -> Result<(), Error> {
        for name in [recovery::FORMAT_FILE, "keys.json"] {
            let entries = recovery::list_if_there(disk, &self.folder)?;
            let entry = entries.into_iter().find(|entry| entry.name == name);
            self.parts.extend(entry.map(|entry| Part { path: name.into(), bytes: entry.bytes, take: Take::Newest }));
        }
        for folder in ["metrics", "wal/quarantine", "deletions"] {
            for entry in
                recovery::list_if_there(disk, &self.folder.join(folder))?.into_iter().filter(|entry| !entry.is_dir)
            {
                self.parts.push(Part {
                    path: Path::new(folder).join(&entry.name),
                    bytes: entry.bytes,
                    take: Take::Newest,
                });
            }
        }
        Ok(())
    }
}
