//! Data files that no commit names.
//!
//! They are litter when a crash came between writing them and their commit: the WAL, or other files, have every event in them. But the
//! commit may have been lost, or the whole log, and then they are all there is. So what they hold beyond the commits is compared with
//! the WAL while that is replayed: if it lacks such an event, the start is refused; if not, they are removed.

use std::{collections::BTreeMap, ops::RangeInclusive, path::Path, sync::Arc};

use bytes::Bytes;

use crate::{
    DatasetName, Error,
    accounts::AccountsTable,
    delta::{DAY_COLUMN, LOG_FOLDER, Log},
    disk::{Disk, discard},
    shared::Shared,
    verify,
};

/// Removes what a crash left, once nothing in it is missing elsewhere. What cannot be listed is left alone: litter costs space, nothing else.
pub(super) fn remove(shared: &Shared) {
    for dataset in shared.all_datasets() {
        remove_of(&*shared.disk, &dataset.log.lock());
    }
    remove_of(&*shared.disk, shared.accounts_table.lock().log());
}

fn remove_of(disk: &dyn Disk, log: &Log) {
    let state = log.state();
    if state.version.is_none() {
        return;
    }
    let litter = of(disk, log);
    if litter.is_empty() {
        return;
    }
    let is_there = |path: &String| disk.exists(&log.root().join(path)).unwrap_or(false);
    if !state.files.keys().all(is_there) {
        tracing::error!(table = %log.root().display(), "data files that the log names are gone: those that it does not name are left alone");
        return;
    }
    for path in litter {
        tracing::info!(path, table = %log.root().display(), "removing a data file of an unfinished flush or merge");
        discard(disk, &log.root().join(&path));
    }
}

/// Data files that no commit names, relative to the table. Nothing may be writing to the table meanwhile.
pub(crate) fn of(disk: &dyn Disk, log: &Log) -> Vec<String> {
    let state = log.state();
    let mut litter = Vec::new();
    for day in list(disk, log.root()).filter(|name| name.starts_with(DAY_COLUMN)) {
        for file in list(disk, &log.root().join(&day)) {
            let path = format!("{day}/{file}");
            let is_ours = file.starts_with("part-") && file.ends_with(".parquet");
            if is_ours && !state.files.contains_key(&path) && !state.removed.contains_key(&path) {
                litter.push(path);
            }
        }
    }
    litter
}

fn list(disk: &dyn Disk, folder: &Path) -> impl Iterator<Item = String> + use<> {
    disk.list(folder).unwrap_or_default().into_iter().map(|entry| entry.name)
}

/// Whole data files that no commit names: what the WAL must have for these to be litter.
#[derive(Debug, Default)]
pub(super) struct Strays {
    /// Per dataset, the numbers in each of its files that no commit covers.
    datasets: BTreeMap<DatasetName, Vec<RangeInclusive<u64>>>,
    /// True when there are whole files of counts, and their log has no commit.
    accounts: bool,
}

impl Strays {
    /// Notes those of a dataset.
    ///
    /// # Errors
    /// When its log has no commit and they have events of another incarnation: the WAL cannot have them.
    pub(super) fn note(
        &mut self,
        disk: &Arc<dyn Disk>,
        name: &DatasetName,
        log: &Log,
        ours: &str,
    ) -> Result<(), Error> {
        let covered = log.state().txn(ours);
        let mut files = Vec::new();
        for path in of(&**disk, log) {
            let (mut first, mut last, mut is_foreign) = (u64::MAX, 0, false);
            let mut each = |row: verify::Row<'_>| {
                if row.incarnation != ours {
                    is_foreign = true;
                } else if row.seq > covered {
                    // What is covered is in other files, or was removed from them: a merge was cut off.
                    (first, last) = (first.min(row.seq), last.max(row.seq));
                }
            };
            match verify::facts(&**disk, &log.root().join(&path), false, &mut each) {
                Ok(_) if is_foreign && log.state().version.is_none() => return Err(lost(log.root())),
                Ok(_) if first <= last => files.push(first..=last),
                Ok(_) => {}
                // A file is whole before it is committed.
                Err(reason) => {
                    tracing::info!(path, reason, table = %log.root().display(), "a data file was never finished");
                }
            }
        }
        if !files.is_empty() {
            self.datasets.insert(name.clone(), files);
        }
        Ok(())
    }

    /// Looks whether the counts are in files without a log.
    pub(super) fn note_accounts(&mut self, disk: &dyn Disk, table: &AccountsTable) {
        let log = table.log();
        let is_whole = |bytes: Bytes| AccountsTable::decode_checked(bytes, &mut BTreeMap::new()).is_ok();
        let read = |path: String| disk.read(&log.root().join(path)).is_ok_and(is_whole);
        self.accounts = log.state().version.is_none() && of(disk, log).into_iter().any(read);
    }

    /// Told of events of a dataset that the WAL lacks.
    ///
    /// # Errors
    /// When files may have them.
    pub(super) fn refuse_gap(
        &self,
        (name, root): (&DatasetName, &Path),
        missing: RangeInclusive<u64>,
    ) -> Result<(), Error> {
        let mut files = self.datasets.get(name).into_iter().flatten();
        let may_hold = |file: &RangeInclusive<u64>| file.start() <= missing.end() && missing.start() <= file.end();
        if files.any(may_hold) { Err(lost(root)) } else { Ok(()) }
    }

    /// Told of the first record the WAL lacks.
    ///
    /// # Errors
    /// When files may have it.
    pub(super) fn refuse_accounts_gap(&self, table: &AccountsTable) -> Result<(), Error> {
        if self.accounts { Err(lost(table.log().root())) } else { Ok(()) }
    }

    /// Looks whether the WAL went as far as the files: `applied` tells the last number of a dataset in it, and `lsn` is its last record.
    ///
    /// # Errors
    /// When it did not.
    pub(super) fn refuse_rest(
        &self,
        tables: &Path,
        applied: impl Fn(&DatasetName) -> u64,
        (accounts, lsn): (&AccountsTable, u64),
    ) -> Result<(), Error> {
        for name in self.datasets.keys() {
            self.refuse_gap((name, &tables.join(name.as_str())), applied(name) + 1..=u64::MAX)?;
        }
        if lsn == 0 { self.refuse_accounts_gap(accounts) } else { Ok(()) }
    }
}

fn lost(root: &Path) -> Error {
    let reason = "commits are missing from it: beside it are data files with events that neither it nor the write-ahead log has. \
                  Restore the folder from a backup, or let `yellowline verify --repair` set these files aside in quarantine/";
    Error::Damaged { path: root.join(LOG_FOLDER), reason: reason.to_owned() }
}
