//! Mending what `verify` found. Nothing is deleted: what is taken out of the tables or the log goes to
//! `<data>/quarantine/<time>/`, under the path it had.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    Error, Timestamp,
    delta::{Action, Add, LOST_ROWS, Log, Remove, Txn, data_file},
    disk::{Disk, create_dirs, parent},
    error::describe,
};

/// Folder of what repairs set aside.
pub(super) const QUARANTINE_FOLDER: &str = "quarantine";

/// What can be done about a finding.
#[derive(Debug, Clone)]
pub(super) enum Repair {
    /// Nothing needs the file.
    MoveAside { path: PathBuf },
    /// A live file that is gone or damaged: the table does without it, and says how many rows that cost.
    DropFile { root: PathBuf, add: Box<Add> },
    /// A good file of which the log says something wrong: it is described anew.
    Describe { root: PathBuf, add: Box<Add>, facts: String },
}

/// Where and when repairs are made.
pub(super) struct Workshop<'a> {
    pub(super) disk: &'a Arc<dyn Disk>,
    pub(super) folder: &'a Path,
    pub(super) now: Timestamp,
}

impl Workshop<'_> {
    /// Does it, and says what was done.
    ///
    /// # Errors
    /// When the disk refuses; nothing is lost then.
    pub(super) fn mend(&self, repair: &Repair) -> Result<String, Error> {
        match repair {
            Repair::MoveAside { path } => self.move_aside(path),
            Repair::DropFile { root, add } => {
                let rows = data_file(add).rows;
                let remove = Remove {
                    path: add.path.clone(),
                    deletion_timestamp: Some(self.now.0 / 1000),
                    data_change: true,
                    size: Some(add.size),
                };
                let version = self.commit(root, |log| {
                    let lost = i64::try_from(log.state().txn(LOST_ROWS).saturating_add(rows)).unwrap_or(i64::MAX);
                    let lost =
                        Txn { app_id: LOST_ROWS.to_owned(), version: lost, last_updated: Some(self.now.0 / 1000) };
                    vec![remove.into(), lost.into()]
                })?;
                let path = root.join(&add.path);
                let file = if self.exists(&path)? { self.move_aside(&path)? } else { "there was no file".to_owned() };
                Ok(format!("taken out of the table by commit {version}, with its {rows} rows; {file}"))
            }
            Repair::Describe { root, add, facts } => {
                let mut add = (**add).clone();
                add.stats = Some(facts.clone());
                // The rows are the same: other engines that follow changes must not see them again.
                add.data_change = false;
                let version = self.commit(root, |_| vec![add.into()])?;
                Ok(format!("described anew by commit {version}"))
            }
        }
    }

    fn exists(&self, path: &Path) -> Result<bool, Error> {
        self.disk.exists(path).map_err(|source| Error::folder("read", path, source))
    }

    fn commit(&self, root: &Path, actions: impl FnOnce(&Log) -> Vec<Action>) -> Result<u64, Error> {
        let damaged = |reason: String| Error::Damaged { path: root.to_path_buf(), reason };
        let log = Log::open(Arc::clone(self.disk), self.folder, root).map_err(|error| damaged(describe(&error)))?;
        let mut log = log.ok_or_else(|| damaged("its log is empty".to_owned()))?;
        let actions = actions(&log);
        log.commit(actions, "REPAIR", self.now).map_err(|error| damaged(describe(&error)))
    }

    /// Moves a file to the quarantine, under the path it had in the data folder.
    fn move_aside(&self, path: &Path) -> Result<String, Error> {
        let relative = path.strip_prefix(self.folder).unwrap_or(path);
        let stamp = self.now.to_rfc3339().replace(':', "-");
        let target = self.folder.join(QUARANTINE_FOLDER).join(stamp).join(relative);
        create_dirs(&**self.disk, self.folder, parent(&target))
            .and_then(|()| self.link_over(path, &target))
            .map_err(|source| Error::folder("move aside", path, source))?;
        Ok(format!("moved to {}", target.strip_prefix(self.folder).unwrap_or(&target).display()))
    }

    /// A rename that replaces nothing.
    fn link_over(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.hard_link(from, to)?;
        self.disk.sync_dir(parent(to))?;
        self.disk.remove_file(from)?;
        self.disk.sync_dir(parent(from))
    }
}

/// Each repair once: several findings may lead to the same one.
pub(super) fn in_order(repairs: Vec<(usize, Repair)>) -> Vec<(usize, Repair)> {
    // Files of the log first: a table must open before it can be committed to.
    let (log, tables): (Vec<_>, Vec<_>) =
        repairs.into_iter().partition(|(_, repair)| matches!(repair, Repair::MoveAside { .. }));
    let mut dropped: BTreeMap<PathBuf, ()> = BTreeMap::new();
    let fresh = |(_, repair): &(usize, Repair)| match repair {
        Repair::DropFile { root, add } | Repair::Describe { root, add, .. } => {
            dropped.insert(root.join(&add.path), ()).is_none()
        }
        Repair::MoveAside { .. } => true,
    };
    log.into_iter().chain(tables.into_iter().filter(fresh)).collect()
}
