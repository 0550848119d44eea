//! Is a data folder what it should be? Every byte is read; nothing is written unless repairs were asked for.
//!
//! What is checked:
//! - the WAL: headers, checksums, that records follow each other without a gap, that payloads decompress and decode;
//! - Delta logs: every commit and checkpoint, also those an open would not need, and that they agree;
//! - data files: there, of the size and with the checksum (CRC32C) they were written with, rows as many, in the day and
//!   within the bounds the log says; files no commit names;
//! - events: each number given out is in exactly one place, file or WAL, unless retention or a delete took it;
//! - accounts: received = stored + duplicates + rejected in each row, stored = numbers given out;
//! - ids of the deduplication window once each; idempotency keys unambiguous;
//! - of a backup: every file against the manifest.
//!
//! Findings are *notes* (a crash leaves such; the next start mends it) or *problems*. Repairs never delete: see `repair`.
//!
//! Memory: one bit per event for the numbers, 32 bytes per event of the deduplication window.

mod accounts;
mod data_file;
mod repair;
mod seqs;
mod table;
mod wal;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Serialize;

pub(crate) use self::data_file::{Row, checksum, facts};
use self::repair::{Repair, Workshop};
use crate::{
    Clock, DatasetName, Error, Timestamp, backup,
    dataset::DATASETS_FOLDER,
    delta::{TableState, received_max},
    disk::{Disk, ReadOnlyDisk},
    error::describe,
    recovery,
};

/// How to look.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data folder, or a backup.
    pub folder: PathBuf,
    /// Mend what can be mended.
    pub repair: bool,
    /// `store.dedup_window_s`: within it an id must not be stored twice.
    pub dedup_window_s: u64,
    /// `store.dedup_ids_max`: ids looked at for that.
    pub dedup_ids_max: u64,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Normal after a crash; the next start mends it.
    Note,
    /// Something is lost, doubled, damaged or wrong.
    Problem,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Stable word for programs.
    pub code: &'static str,
    /// The file or folder, relative to the data folder.
    pub file: String,
    /// Sentence for people.
    pub message: String,
    /// What a repair did about it.
    pub repaired: Option<String>,
}

/// One dataset in figures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DatasetReport {
    /// Its name.
    pub name: String,
    /// Live files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Events in them.
    pub rows_in_files: u64,
    /// Events only the WAL has.
    pub rows_in_wal: u64,
    /// Events taken by retention and deletes.
    pub rows_removed: u64,
    /// Events given up by repairs.
    pub rows_lost: u64,
    /// Events missing without an explanation.
    pub rows_unexplained: u64,
    /// Events received, as `system.ingest` says.
    pub received: u64,
    /// Events stored, as `system.ingest` says.
    pub stored: u64,
}

impl DatasetReport {
    fn new(name: &DatasetName) -> Self {
        Self { name: name.to_string(), ..Self::default() }
    }
}

/// What was looked at and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Per dataset, by name.
    pub datasets: Vec<DatasetReport>,
    /// Segments of the WAL.
    pub wal_segments: u64,
    /// Their bytes.
    pub wal_bytes: u64,
    /// Records in them.
    pub wal_records: u64,
    /// Bytes read and checked.
    pub bytes_checked: u64,
    /// Everything found, in the order it was found.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Number of problems, and how many of them were mended.
    #[must_use]
    pub fn problems(&self) -> (usize, usize) {
        let problems = self.findings.iter().filter(|finding| finding.severity == Severity::Problem);
        problems.fold((0, 0), |(all, mended), finding| (all + 1, mended + usize::from(finding.repaired.is_some())))
    }
}

/// How far a check has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Bytes read.
    pub done: u64,
    /// Bytes there are.
    pub total: u64,
}

/// Checks a folder nobody writes to; with repairs, mends it and checks again.
///
/// # Errors
/// `FolderInUse` while a server runs on it; when it is no data folder, or cannot be read at all.
pub fn verify(
    options: &Options,
    clock: &dyn Clock,
    disk: &Arc<dyn Disk>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, Error> {
    let folder = &options.folder;
    let reader: Arc<dyn Disk> = Arc::new(ReadOnlyDisk(Arc::clone(disk)));
    let _lock = recovery::lock(if options.repair { &**disk } else { &*reader }, folder)?;
    let (mut report, repairs) = check(options, &reader, progress)?;
    if !options.repair || repairs.is_empty() {
        return Ok(report);
    }
    let workshop = Workshop { disk, folder, now: clock.now() };
    for (index, repair) in repair::in_order(repairs) {
        match workshop.mend(&repair) {
            Ok(done) => report.findings[index].repaired = Some(done),
            Err(error) => {
                tracing::error!(error = %describe(&error), file = report.findings[index].file, "could not mend")
            }
        }
    }
    let (after, _) = check(options, &reader, progress)?;
    Ok(merged(report, after))
}

/// What was found and mended, then what is left.
fn merged(before: Report, mut after: Report) -> Report {
    let mended = before.findings.into_iter().filter(|finding| finding.repaired.is_some());
    after.findings = mended.chain(after.findings).collect();
    after
}

/// Gathers findings.
struct Checker<'a> {
    disk: &'a dyn Disk,
    folder: &'a Path,
    dedup_window_us: u64,
    findings: Vec<Finding>,
    repairs: Vec<(usize, Repair)>,
    progress: &'a mut dyn FnMut(Progress),
    done: u64,
    total: u64,
}

impl Checker<'_> {
    fn find(&mut self, severity: Severity, code: &'static str, path: &Path, message: String) {
        let file = path.strip_prefix(self.folder).unwrap_or(path).display().to_string();
        self.findings.push(Finding { severity, code, file, message, repaired: None });
    }

    fn note(&mut self, code: &'static str, path: &Path, message: &str) {
        self.find(Severity::Note, code, path, message.to_owned());
    }

    fn problem(&mut self, code: &'static str, path: &Path, message: String, repair: Option<Repair>) {
        self.find(Severity::Problem, code, path, message);
        self.repairs.extend(repair.map(|repair| (self.findings.len() - 1, repair)));
    }

    fn progress(&mut self, bytes: u64) {
        self.done += bytes;
        (self.progress)(Progress { done: self.done, total: self.total.max(self.done) });
    }
}

fn check(
    options: &Options,
    disk: &Arc<dyn Disk>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Report, Vec<(usize, Repair)>), Error> {
    let folder = options.folder.as_path();
    let dedup_window_us = options.dedup_window_s.saturating_mul(1_000_000);
    let mut checker = Checker {
        disk: &**disk,
        folder,
        dedup_window_us,
        findings: Vec::new(),
        repairs: Vec::new(),
        progress,
        done: 0,
        total: 0,
    };
    backup::refuse_incomplete(&**disk, folder)?;
    let incarnation = recovery::read_incarnation(&**disk, folder)?;
    let text = incarnation.to_string();
    let names = datasets(&mut checker)?;
    checker.total = sizes(&checker, folder, 0)?;
    if backup::is_backup(&**disk, folder)? {
        check_manifest(&mut checker)?;
    }
    let counted = accounts::check(&mut checker, &text)?;
    let wal = wal::check(&mut checker, incarnation.as_bytes(), counted.lsn)?;
    accounts::check_lost_log(&mut checker, &counted, wal.first_lsn)?;
    let mut states: BTreeMap<DatasetName, TableState> = BTreeMap::new();
    let all: BTreeSet<DatasetName> = names.into_iter().chain(wal.events.keys().cloned()).collect();
    for name in all {
        let state = table::check_log(&mut checker, &folder.join(DATASETS_FOLDER).join(name.as_str()))?;
        states.insert(name, state);
    }
    let ids_since = newest_receipt(&states, &wal).0.saturating_sub(i64::try_from(dedup_window_us).unwrap_or(i64::MAX));
    let mut report =
        Report { wal_segments: wal.segments, wal_bytes: wal.bytes, wal_records: wal.records, ..Report::default() };
    let counts_are_whole = !counted.counts.contains_key(&DatasetName::system("other"));
    for (name, state) in &states {
        let mut counts = counted.counts.get(name).cloned().unwrap_or_default();
        counts.add(&wal.counts.get(name).cloned().unwrap_or_default());
        let against = table::Against {
            incarnation: &text,
            incarnation_bytes: incarnation.as_bytes(),
            wal: wal.events.get(name).map(Vec::as_slice).unwrap_or_default(),
            counts,
            counts_are_whole,
            set_aside: events_set_aside(&checker, name),
            ids_since: Timestamp(ids_since),
            ids_max: usize::try_from(options.dedup_ids_max).unwrap_or(usize::MAX),
        };
        let dataset = table::check(&mut checker, name, state, &against)?;
        report.datasets.push(dataset);
    }
    tell_quarantine(&mut checker);
    report.bytes_checked = checker.done;
    report.findings = checker.findings;
    Ok((report, checker.repairs))
}

/// The folders of datasets.
fn datasets(checker: &mut Checker<'_>) -> Result<Vec<DatasetName>, Error> {
    let tables = checker.folder.join(DATASETS_FOLDER);
    let list_error = |source| Error::folder("list", &tables, source);
    if !checker.disk.exists(&tables).map_err(list_error)? {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in checker.disk.list(&tables).map_err(list_error)? {
        match DatasetName::from_stored(&entry.name).filter(|_| entry.is_dir) {
            Some(name) => names.push(name),
            None => checker.note("stranger", &tables.join(&entry.name), "this is no dataset; it is left alone"),
        }
    }
    Ok(names)
}

/// Bytes below a folder that will be read: data files and WAL segments.
fn sizes(checker: &Checker<'_>, folder: &Path, depth: u32) -> Result<u64, Error> {
    let mut bytes = 0;
    for entry in checker.disk.list(folder).map_err(|source| Error::folder("list", folder, source))? {
        let is_data =
            entry.name.ends_with(".wal") || (entry.name.starts_with("part-") && entry.name.ends_with(".parquet"));
        bytes += if is_data { entry.bytes } else { 0 };
        // datasets/<name>/_day=…/
        if entry.is_dir && depth < 4 && entry.name != repair::QUARANTINE_FOLDER {
            bytes += sizes(checker, &folder.join(&entry.name), depth + 1)?;
        }
    }
    Ok(bytes)
}

fn check_manifest(checker: &mut Checker<'_>) -> Result<(), Error> {
    let manifest = backup::read_manifest(checker.disk, checker.folder)?;
    for file in &manifest.files {
        let path = checker.folder.join(&file.path);
        match checksum(checker.disk, &path) {
            Ok((bytes, crc32c)) if (bytes, crc32c) == (file.bytes, file.crc32c) => {}
            Ok((bytes, _)) => {
                let text =
                    format!("it is not what was backed up: {bytes} bytes of {}, or another checksum", file.bytes);
                checker.problem("backup_file", &path, text, None);
            }
            Err(error) => {
                checker.problem("backup_file", &path, format!("it was backed up, and cannot be read: {error}"), None)
            }
        }
    }
    Ok(())
}

fn newest_receipt(states: &BTreeMap<DatasetName, TableState>, wal: &wal::WalContent) -> Timestamp {
    let files = states.values().flat_map(|state| state.files.values()).map(|(_, add)| received_max(add));
    let events = wal.events.values().flatten().map(|events| events.received_at);
    files.filter(|received| received.0 < i64::MAX).chain(events).max().unwrap_or_default()
}

/// Events of the WAL that a start could not decode: `wal/quarantine/<dataset>-<seq>.json`.
fn events_set_aside(checker: &Checker<'_>, name: &DatasetName) -> u64 {
    let listed = checker.disk.list(&checker.folder.join("wal").join("quarantine")).unwrap_or_default();
    let is_one = |file: &str| {
        let seq = file.strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix('-')?.strip_suffix(".json"));
        seq.is_some_and(|seq| seq.parse::<u64>().is_ok())
    };
    listed.iter().filter(|entry| is_one(&entry.name)).count() as u64
}

fn tell_quarantine(checker: &mut Checker<'_>) {
    for folder in [checker.folder.join(repair::QUARANTINE_FOLDER), checker.folder.join("wal").join("quarantine")] {
        let count = checker.disk.list(&folder).map_or(0, |listed| listed.len());
        if count > 0 {
            checker.note(
                "quarantine",
                &folder,
                &format!("{count} entries were set aside here; look at them, then remove them"),
            );
        }
    }
}
