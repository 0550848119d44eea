//! One dataset: its log against its files, its files against what the log says of them, and every event once.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use hashbrown::HashMap;
use serde_json::Value;

use super::{
    Checker, DatasetReport,
    data_file::{self, Facts, Row},
    repair::Repair,
    seqs::Incarnations,
    wal::WalEvents,
};
use crate::{
    DataFile, DatasetName, Error, Timestamp,
    accounts::Counts,
    dedup::{IdHash, IdHasher},
    delta::{
        Add, DAY_COLUMN, LOST_ROWS, REMOVED_ROWS, TableState, checksum_of, data_file as described, format_day,
        inspect::{Fault, FaultKind, inspect},
    },
    writer::Ulids,
};

/// Gaps named in a finding.
const GAPS_SHOWN: usize = 5;

/// What a dataset is checked against.
#[derive(Debug)]
pub(super) struct Against<'a> {
    pub(super) incarnation: &'a str,
    pub(super) incarnation_bytes: &'a [u8; 16],
    pub(super) wal: &'a [WalEvents],
    pub(super) counts: Counts,
    /// False when the counts of this dataset may stand under another name.
    pub(super) counts_are_whole: bool,
    /// Events of this dataset that a start could not decode and set aside.
    pub(super) set_aside: u64,
    /// Ids received from then on must be there once.
    pub(super) ids_since: Timestamp,
    pub(super) ids_max: usize,
}

/// Checks the log of a table; the state an open will find.
///
/// # Errors
/// When the folder cannot be listed or a file of the log not be read.
pub(super) fn check_log(checker: &mut Checker<'_>, root: &Path) -> Result<TableState, Error> {
    let inspection = inspect(checker.disk, root).map_err(|source| Error::folder("read", root, source))?;
    for Fault { kind, path, reason } in inspection.faults {
        let aside = Some(Repair::MoveAside { path: path.clone() });
        match kind {
            FaultKind::Temporary => checker.note("log_temporary", &path, "left by a crash; the next start removes it"),
            FaultKind::CutCommit => {
                let text = format!("the newest commit is cut ({reason}): a power loss; its events are in the WAL");
                checker.problem("log_cut", &path, text, aside);
            }
            FaultKind::Spare => {
                let text = format!("{reason}; a later checkpoint stands for it");
                checker.problem("log_spare", &path, text, aside);
            }
            FaultKind::SpareGap => {
                checker.note("log_gap", &path, &format!("{reason}; a later checkpoint stands for it"))
            }
            FaultKind::Commit => {
                checker.problem(
                    "log_commit",
                    &path,
                    format!("{reason}: the table cannot be opened; restore a backup"),
                    None,
                );
            }
            FaultKind::Checkpoint => {
                checker.problem("log_checkpoint", &path, format!("{reason}; the log can be read without it"), aside);
            }
            FaultKind::Hint => checker.problem("log_hint", &path, reason, aside),
            FaultKind::Protocol => checker.problem("log_protocol", &path, reason, None),
        }
    }
    Ok(inspection.state)
}

/// Checks that a live file is there, has its size, and the checksum it was written with; false when reading it is no use.
pub(super) fn check_bytes(checker: &mut Checker<'_>, root: &Path, add: &Add) -> bool {
    let path = root.join(&add.path);
    let drop_file = || Some(Repair::DropFile { root: root.to_path_buf(), add: Box::new(add.clone()) });
    let (bytes, crc32c) = match data_file::checksum(checker.disk, &path) {
        Ok(read) => read,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = format!("the log names it, it is not there: {} rows are lost", described(add).rows);
            checker.problem("file_missing", &path, text, drop_file());
            return false;
        }
        Err(error) => {
            checker.problem("file_unreadable", &path, error.to_string(), None);
            return false;
        }
    };
    checker.progress(bytes);
    if i64::try_from(bytes) != Ok(add.size) {
        let text = format!("it has {bytes} bytes, the log says {}", add.size);
        checker.problem("file_size", &path, text, drop_file());
        return false;
    }
    if checksum_of(add).is_some_and(|written| written != crc32c) {
        let text = "its checksum is not the one it was written with: bytes have changed on the disk".to_owned();
        checker.problem("file_checksum", &path, text, drop_file());
        return false;
    }
    true
}

/// Checks one dataset.
///
/// # Errors
/// When its folder cannot be read.
pub(super) fn check(
    checker: &mut Checker<'_>,
    name: &DatasetName,
    state: &TableState,
    against: &Against<'_>,
) -> Result<DatasetReport, Error> {
    let root = checker.folder.join(crate::dataset::DATASETS_FOLDER).join(name.as_str());
    let mut check = TableCheck {
        checker,
        name,
        root,
        state,
        against,
        seqs: Incarnations::default(),
        ids: Ids::new(against),
        report: DatasetReport::new(name),
        columns: columns_of(state),
    };
    for (_, add) in state.files.values() {
        check.live_file(add);
    }
    check.wal_events();
    let is_explained = check.totals();
    check.strays(is_explained)?;
    Ok(check.report)
}

struct TableCheck<'a, 'b> {
    checker: &'a mut Checker<'b>,
    name: &'a DatasetName,
    root: PathBuf,
    state: &'a TableState,
    against: &'a Against<'a>,
    seqs: Incarnations,
    ids: Ids,
    report: DatasetReport,
    columns: BTreeSet<String>,
}

/// Ids of the window, and where a second one was found.
struct Ids {
    hasher: IdHasher,
    seen: HashMap<IdHash, Timestamp>,
    made_here: Ulids,
    since: Timestamp,
    max: usize,
}

impl Ids {
    fn new(against: &Against<'_>) -> Self {
        let made_here = Ulids::new(against.incarnation_bytes);
        Self {
            hasher: IdHasher::default(),
            seen: HashMap::new(),
            made_here,
            since: against.ids_since,
            max: against.ids_max,
        }
    }

    /// True when it is there a second time.
    fn is_double(&mut self, dataset: &str, id: &str, received_at: Timestamp) -> bool {
        if received_at < self.since || self.seen.len() >= self.max || self.made_here.made(id) {
            return false;
        }
        self.seen.insert(self.hasher.hash(dataset, id), received_at).is_some()
    }
}

/// Doubles found in one file.
#[derive(Default)]
struct Doubles {
    seqs: u64,
    first: Option<(String, u64)>,
    ids: u64,
    first_id: Option<String>,
}

impl TableCheck<'_, '_> {
    fn live_file(&mut self, add: &Arc<Add>) {
        self.report.files += 1;
        self.report.bytes += u64::try_from(add.size).unwrap_or(0);
        if !check_bytes(self.checker, &self.root, add) {
            return;
        }
        let path = self.root.join(&add.path);
        let mut doubles = Doubles::default();
        let (seqs, ids, name) = (&mut self.seqs, &mut self.ids, self.name.as_str());
        let mut each = |row: Row<'_>| {
            if !seqs.set(row.incarnation).insert(row.seq) {
                doubles.seqs += 1;
                doubles.first.get_or_insert_with(|| (row.incarnation.to_owned(), row.seq));
            }
            if ids.is_double(name, row.event_id, row.received_at) {
                doubles.ids += 1;
                doubles.first_id.get_or_insert_with(|| row.event_id.to_owned());
            }
        };
        match data_file::facts(self.checker.disk, &path, checksum_of(add).is_none(), &mut each) {
            Ok(facts) => {
                self.report.rows_in_files += facts.rows;
                self.compare(&path, add, &facts);
                self.tell_doubles(&path, &doubles);
            }
            Err(reason) => {
                let repair = Repair::DropFile { root: self.root.clone(), add: Box::new((**add).clone()) };
                self.checker.problem("file_damaged", &path, reason, Some(repair));
            }
        }
    }

    /// The log's word on a file against the file.
    fn compare(&mut self, path: &Path, add: &Add, facts: &Facts) {
        let said = described(add);
        let mut wrong = wrong_statistics(add, &said, facts);
        if said.rows != facts.rows {
            wrong.push(format!("it has {} rows, the log says {}", facts.rows, said.rows));
        }
        if !wrong.is_empty() {
            let repair =
                Repair::Describe { root: self.root.clone(), add: Box::new(add.clone()), facts: describe(facts) };
            self.checker.problem("file_statistics", path, wrong.join("; "), Some(repair));
        }
        let day_of = |us: i64| us.div_euclid(86_400_000_000);
        if facts.rows > 0 && (day_of(facts.time.0), day_of(facts.time.1)) != (said.day.into(), said.day.into()) {
            let text = format!("it is filed under {}, but has events of other days", format_day(said.day));
            self.checker.problem("file_day", path, text, None);
        }
        if !facts.sorted_by_time {
            self.checker.problem(
                "file_order",
                path,
                "its rows are not in order of time, as its footer says".to_owned(),
                None,
            );
        }
        let unknown: Vec<&str> =
            facts.columns.iter().map(String::as_str).filter(|name| !self.columns.contains(*name)).collect();
        if !unknown.is_empty() {
            let text = format!("the table's schema lacks its columns {}", unknown.join(", "));
            self.checker.problem("file_columns", path, text, None);
        }
    }

    fn tell_doubles(&mut self, path: &Path, doubles: &Doubles) {
        if let Some((incarnation, seq)) = &doubles.first {
            let text = format!(
                "{} events are in other files, too; the first is number {seq} of incarnation {incarnation}",
                doubles.seqs
            );
            self.checker.problem("seq_double", path, text, None);
        }
        if let Some(id) = &doubles.first_id {
            let text =
                format!("{} event ids were stored a second time within the window; the first is {id:?}", doubles.ids);
            self.checker.problem("id_double", path, text, None);
        }
    }

    /// What the WAL holds beyond the files.
    fn wal_events(&mut self) {
        let flushed = self.state.txn(self.against.incarnation);
        let (mut doubles, mut id_doubles) = (0_u64, 0_u64);
        for events in self.against.wal.iter().filter(|events| events.last_seq > flushed) {
            let set = self.seqs.set(self.against.incarnation);
            for seq in events.first_seq.max(flushed + 1)..=events.last_seq {
                let new = set.insert(seq);
                doubles += u64::from(!new);
                self.report.rows_in_wal += u64::from(new);
            }
            for id in &events.ids {
                id_doubles += u64::from(self.ids.is_double(self.name.as_str(), id, events.received_at));
            }
        }
        let wal = self.checker.folder.join("wal");
        if doubles > 0 {
            let text = format!(
                "{doubles} events of {} stand in files as well, beyond what the log says is in them",
                self.name
            );
            self.checker.problem("seq_double", &wal, text, None);
        }
        if id_doubles > 0 {
            let text = format!("{id_doubles} event ids of {} were stored a second time within the window", self.name);
            self.checker.problem("id_double", &wal, text, None);
        }
    }

    /// Every number given out is there, or gone on purpose; and as many were counted as stored. True when all of that holds.
    fn totals(&mut self) -> bool {
        let mut lasts: BTreeMap<&str, u64> = self
            .state
            .txns
            .keys()
            .filter(|app| uuid::Uuid::parse_str(app).is_ok())
            .map(|app| (app.as_str(), self.state.txn(app)))
            .collect();
        let wal_last = self.against.wal.iter().map(|events| events.last_seq).max().unwrap_or(0);
        let own = lasts.entry(self.against.incarnation).or_default();
        *own = (*own).max(wal_last);
        let given_out: u64 = lasts.values().sum();
        let there: u64 = self.seqs.iter().map(|(_, set)| set.len()).sum();
        self.report.rows_removed = self.state.txn(REMOVED_ROWS);
        self.report.rows_lost = self.state.txn(LOST_ROWS);
        self.report.stored = self.against.counts.stored;
        self.report.received = self.against.counts.received();
        let beyond: Vec<&str> = self
            .seqs
            .iter()
            .filter(|(name, set)| set.len() > 0 && !lasts.contains_key(name))
            .map(|(name, _)| name)
            .collect();
        if !beyond.is_empty() {
            let text = format!("its files hold events of incarnation {}, which no commit covers", beyond.join(", "));
            self.checker.problem("seq_beyond", &self.root, text, None);
        }
        let gone = self.report.rows_removed + self.report.rows_lost;
        let missing = given_out.saturating_sub(there);
        // An event set aside is in the WAL until that is trimmed.
        let explained = gone + self.against.set_aside.min(missing.saturating_sub(gone));
        let is_explained = missing == explained;
        if !is_explained && beyond.is_empty() {
            self.tell_missing(&lasts, missing, explained);
        }
        let counts_agree = self.against.counts.stored == given_out || !self.against.counts_are_whole;
        if !counts_agree {
            let text = format!(
                "system.ingest says {} events were stored, {given_out} numbers were given out",
                self.against.counts.stored
            );
            self.checker.problem("accounts_differ", &self.root, text, None);
        }
        is_explained && counts_agree
    }

    fn tell_missing(&mut self, lasts: &BTreeMap<&str, u64>, missing: u64, explained: u64) {
        let mut gaps = Vec::new();
        for (incarnation, last) in lasts {
            let found = self.seqs.set(incarnation).gaps(*last, GAPS_SHOWN);
            gaps.extend(found.into_iter().map(|(first, last)| format!("{first} to {last} of {incarnation}")));
        }
        gaps.truncate(GAPS_SHOWN);
        let text = format!(
            "{missing} numbered events are not there, {explained} of them removed on purpose, given up or set aside; missing: {}",
            gaps.join(", ")
        );
        self.checker.problem("seq_gap", &self.root, text, None);
        if let Some(count) = missing.checked_sub(explained).filter(|count| *count > 0) {
            self.report.rows_unexplained = count;
        }
    }

    /// Files no commit names.
    fn strays(&mut self, is_explained: bool) -> Result<(), Error> {
        for path in stray_files(self.checker, &self.root, self.state)? {
            let mut alone = 0_u64;
            let seqs = &mut self.seqs;
            let mut each = |row: Row<'_>| alone += u64::from(!seqs.set(row.incarnation).contains(row.seq));
            let read = data_file::facts(self.checker.disk, &path, true, &mut each);
            if read.is_ok() && alone > 0 && !is_explained {
                let text = format!(
                    "no commit names it, and {alone} of its events are nowhere else: set it aside before a start"
                );
                self.checker.problem("file_orphan", &path, text, Some(Repair::MoveAside { path: path.clone() }));
            } else {
                self.checker.note("file_orphan", &path, "no commit names it, and it holds nothing that is missing: left by a crash, the next start removes it");
            }
        }
        Ok(())
    }
}

/// Data files that are neither live nor waiting for their removal.
pub(super) fn stray_files(checker: &Checker<'_>, root: &Path, state: &TableState) -> Result<Vec<PathBuf>, Error> {
    let mut strays = Vec::new();
    if !checker.disk.exists(root).unwrap_or(false) {
        return Ok(strays);
    }
    let list = |folder: &Path| checker.disk.list(folder).map_err(|source| Error::folder("list", folder, source));
    for day in list(root)?.into_iter().filter(|entry| entry.is_dir && entry.name.starts_with(DAY_COLUMN)) {
        for file in list(&root.join(&day.name))? {
            let path = format!("{}/{}", day.name, file.name);
            if !state.files.contains_key(&path) && !state.removed.contains_key(&path) {
                strays.push(root.join(path));
            }
        }
    }
    Ok(strays)
}

fn columns_of(state: &TableState) -> BTreeSet<String> {
    let text = state.metadata.as_ref().map_or("", |metadata| metadata.schema_string.as_str());
    let schema: Value = serde_json::from_str(text).unwrap_or_default();
    let fields = schema["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
    fields.iter().filter_map(|field| field["name"].as_str().map(str::to_owned)).collect()
}

/// Bounds that leave rows of the file out: queries would skip it wrongly.
fn wrong_statistics(add: &Add, said: &DataFile, facts: &Facts) -> Vec<String> {
    let stats: Value = add.stats.as_deref().and_then(|stats| serde_json::from_str(stats).ok()).unwrap_or_default();
    let received = |bound: &str| stats[bound]["received_at"].as_str().and_then(Timestamp::parse_rfc3339);
    let seq = |bound: &str| stats[bound]["seq"].as_i64();
    let mut wrong = Vec::new();
    let mut compare = |column: &str, min: Option<i64>, max: Option<i64>, real: data_file::Range| {
        if min.is_some_and(|min| min > real.0) || max.is_some_and(|max| max < real.1) {
            wrong.push(format!("{column} goes from {} to {}, the log says {min:?} to {max:?}", real.0, real.1));
        }
    };
    if facts.rows > 0 {
        compare("time", Some(said.time_min.0), Some(said.time_max.0), facts.time);
        compare(
            "received_at",
            received("minValues").map(|t| t.0),
            received("maxValues").map(|t| t.0),
            facts.received_at,
        );
        compare("seq", seq("minValues"), seq("maxValues"), facts.seq);
    }
    wrong
}

/// The statistics the log should hold of a file.
fn describe(facts: &Facts) -> String {
    crate::parquet::statistics(facts.rows, facts.time, facts.received_at, facts.seq)
}
