//! The table of counts read through, and added up per dataset.

use std::collections::BTreeMap;

use super::{Checker, repair::Repair, table};
use crate::{
    DatasetName, Error,
    accounts::{AccountsTable, Counts, FOLDER},
    delta::TableState,
};

/// All counts ever written, per dataset.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) counts: BTreeMap<DatasetName, Counts>,
    /// The last record of the WAL in them.
    pub(super) lsn: u64,
    /// False when the table's log has no commit.
    pub(super) is_logged: bool,
}

/// Checks the table's log and files, and that each of its rows adds up.
///
/// # Errors
/// When the folder cannot be listed.
pub(super) fn check(checker: &mut Checker<'_>, incarnation: &str) -> Result<Counted, Error> {
    let root = checker.folder.join(FOLDER);
    let state = table::check_log(checker, &root)?;
    let mut counted = Counted { lsn: state.txn(incarnation), is_logged: state.version.is_some(), ..Counted::default() };
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

/// Files of counts whose log is lost, when the WAL does not have all records from the first on either.
///
/// # Errors
/// When the folder cannot be listed.
pub(super) fn check_lost_log(
    checker: &mut Checker<'_>,
    counted: &Counted,
    first_lsn: Option<u64>,
) -> Result<(), Error> {
    if counted.is_logged || first_lsn == Some(1) {
        return Ok(());
    }
    for path in table::stray_files(checker, &checker.folder.join(FOLDER), &TableState::default())? {
        let decode = |bytes| AccountsTable::decode_checked(bytes, &mut BTreeMap::new());
        if checker.disk.read(&path).is_ok_and(|bytes| decode(bytes).is_ok()) {
            let text = "the log of the counts has no commit, and these counts are nowhere else; a start is refused";
            checker.problem("file_orphan", &path, text.to_owned(), Some(Repair::MoveAside { path: path.clone() }));
        }
    }
    Ok(())
}
