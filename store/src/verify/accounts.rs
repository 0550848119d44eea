//! The table of counts read through, and added up per dataset.

use std::collections::BTreeMap;

use super::{Checker, table};
use crate::{
    DatasetName, Error,
    accounts::{AccountsTable, Counts, FOLDER},
};

/// All counts ever written, per dataset.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) counts: BTreeMap<DatasetName, Counts>,
    /// The last record of the WAL in them.
    pub(super) lsn: u64,
}

/// Checks the table's log and files, and that each of its rows adds up.
///
/// # Errors
/// When the folder cannot be listed.
pub(super) fn check(checker: &mut Checker<'_>, incarnation: &str) -> Result<Counted, Error> {
    let root = checker.folder.join(FOLDER);
    let state = table::check_log(checker, &root)?;
    let mut counted = Counted { lsn: state.txn(incarnation), ..Counted::default() };
    for (_, add) in state.files.values() {
        let path = root.join(&add.path);
        if !table::check_bytes(checker, &root, add) {
            continue;
        }
        let bytes = match checker.disk.read(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                checker.problem("file_unreadable", &path, error.to_string(), None);
                continue;
            }
        };
        let mut places = BTreeMap::new();
        match AccountsTable::decode_checked(bytes, &mut places) {
            Ok(0) => {}
            Ok(wrong) => {
                let text = format!("in {wrong} rows received is not stored + duplicates + rejected");
                checker.problem("accounts_row", &path, text, None);
            }
            Err(error) => checker.problem("file_unreadable", &path, error.to_string(), None),
        }
        for ((name, _), counts) in places {
            counted.counts.entry(name).or_default().add(&counts);
        }
    }
    Ok(counted)
}
