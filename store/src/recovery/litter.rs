//! Removes data files that no commit names: a flush was stopped between writing them and its commit.
//!
//! A table without any commit is looked at more closely: its log may have been removed, and then these files are all there is. They are
//! litter when the WAL has every event in them: it holds the dataset from its first event on, as after a first flush that was cut off.
//! Otherwise the start is refused.

use std::{collections::BTreeMap, ops::RangeInclusive, path::Path, sync::Arc};

use bytes::Bytes;

use crate::{
    DatasetName, Error,
    accounts::AccountsTable,
    delta::{DAY_COLUMN, LOG_FOLDER, Log},
    disk::{Disk, discard},
    verify,
};

/// Looks through the tables. What cannot be listed is left alone: litter costs space, nothing else.
pub(super) fn remove(
    disk: &dyn Disk,
    logs: impl Iterator<Item = impl std::ops::Deref<Target = Log>>,
    accounts: &AccountsTable,
) {
    for log in logs {
        remove_of(disk, &log);
    }
    remove_of(disk, accounts.log());
}

fn remove_of(disk: &dyn Disk, log: &Log) {
    if log.set_aside() || log.state().version.is_none() {
        // The commit set aside may name files somebody wants to look at; so may a log that is gone.
        return;
    }
    for path in of(disk, log) {
        tracing::info!(path, table = %log.root().display(), "removing a data file of an unfinished flush");
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

/// Tables without a commit that have whole data files: what the WAL must have for these to be litter.
#[derive(Debug, Default)]
pub(super) struct Unlogged {
    /// Per dataset, the numbers in each of its files.
    datasets: BTreeMap<DatasetName, Vec<RangeInclusive<u64>>>,
    /// True when the counts are such a table.
    accounts: bool,
}

impl Unlogged {
    /// Notes a dataset whose log has no commit.
    ///
    /// # Errors
    /// When it has events of another incarnation: the WAL cannot have them.
    pub(super) fn note(
        &mut self,
        disk: &Arc<dyn Disk>,
        name: &DatasetName,
        log: &Log,
        ours: &str,
    ) -> Result<(), Error> {
        let mut files = Vec::new();
        for path in of(&**disk, log) {
            let (mut first, mut last, mut is_foreign) = (u64::MAX, 0, false);
            let mut each = |row: verify::Row<'_>| {
                (first, last) = (first.min(row.seq), last.max(row.seq));
                is_foreign |= row.incarnation != ours;
            };
            match verify::facts(&**disk, &log.root().join(&path), false, &mut each) {
                Ok(_) if is_foreign => return Err(lost(log.root())),
                Ok(_) => files.push(first..=last),
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

    /// Looks whether the counts are such a table.
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
    let reason = "it has no commit, but beside it are data files with events that the write-ahead log does not have: restore the folder \
                  from a backup, or let `yellowline verify --repair` set these files aside in quarantine/";
    Error::Damaged { path: root.join(LOG_FOLDER), reason: reason.to_owned() }
}
