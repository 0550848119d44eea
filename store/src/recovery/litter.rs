//! Removes data files that no commit names: a flush was stopped between writing them and its commit.

use std::path::Path;

use crate::{
    accounts::AccountsTable,
    delta::{DAY_COLUMN, Log},
    disk::{Disk, discard},
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
    if log.set_aside() {
        // The commit set aside may name files somebody wants to look at.
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
