//! Opening a data folder: lock, format, tables, then the WAL on top of them.
//!
//! | file | content |
//! |---|---|
//! | `LOCK` | locked (flock) by the process that has the folder open |
//! | `store.json` | `{"format": 1, "incarnation": "<uuid>", "created_at": "…"}` |
//! | `wal/` | module `wal` |
//! | `datasets/<name>/` | a Delta table per dataset: `_delta_log/`, `_day=2026-11-20/part-<ulid>.parquet` |
//! | `accounts/` | the Delta table of counts, module `accounts` |
//!
//! A folder without `store.json` and `wal/` is taken as tables somebody copied: it gets a new incarnation, so that its new
//! events are never mistaken for old ones. So does a restored backup ([`reincarnate`]).
//!
//! Read-only (`store.read_only`): nothing is written, not even the lock file; what a start would mend stays as it is, and what
//! the WAL holds beyond the tables must fit in memory.

pub(crate) mod chain;
mod ids;
pub(crate) mod litter;
mod pipeline;
mod reincarnate;
mod replay;

use std::{collections::BTreeSet, io, path::Path, sync::Arc};

pub(crate) use reincarnate::reincarnate;
use serde::{Deserialize, Serialize};

use crate::{
    Clock, Config, DatasetName, Error, FirstSight,
    accounts::{Accounts, AccountsTable},
    backup,
    dataset::{DATASETS_FOLDER, Dataset},
    delta::Log,
    disk::{DirEntry, Disk, DiskLock, HoldingDisk, ReadOnlyDisk, create_dirs, parent, replace_file},
    quarantine::Quarantined,
    shared::{Shared, SharedParts},
    writer::WriterStart,
};

/// Version of the data folder's layout that this code writes, and the highest it reads.
const FORMAT: u64 = 1;
pub(crate) const FORMAT_FILE: &str = "store.json";
pub(crate) const LOCK_FILE: &str = "LOCK";

#[derive(Debug, Serialize, Deserialize)]
struct FormatFile {
    format: u64,
    incarnation: String,
    created_at: String,
}

/// An opened folder, before its threads run.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) shared: Arc<Shared>,
    pub(crate) start: WriterStart,
    /// New versions, rollouts and variants in the replayed events.
    pub(crate) sights: Vec<FirstSight>,
    pub(crate) quarantined: Vec<Quarantined>,
}

/// Opens or creates the folder and replays its WAL. Where events of a dataset together damage memory, once more, taking them
/// one by one.
///
/// # Errors
/// When the folder cannot be used, belongs to a newer version or another process, or a table is damaged.
pub(crate) fn open(config: &Config, clock: &Arc<dyn Clock>, disk: &Arc<dyn Disk>) -> Result<Opened, Error> {
    isolating(|isolated| open_isolating(config.clone(), Arc::clone(clock), Arc::clone(disk), isolated))
}

/// Tries again, with the events of a dataset taken one by one, when together they damaged memory.
fn isolating(attempt: impl Fn(&BTreeSet<DatasetName>) -> Result<Opened, Error>) -> Result<Opened, Error> {
    let mut isolated = BTreeSet::new();
    loop {
        match attempt(&isolated) {
            Err(Error::Torn { dataset }) if isolated.insert(dataset.clone()) => {
                tracing::error!(%dataset, "replaying panicked: its events are taken one by one");
            }
            outcome => return outcome,
        }
    }
}

fn open_isolating(
    config: Config,
    clock: Arc<dyn Clock>,
    disk: Arc<dyn Disk>,
    isolated: &BTreeSet<DatasetName>,
) -> Result<Opened, Error> {
    let problems = config.problems();
    if !problems.is_empty() {
        return Err(Error::Config { problems: problems.join("; ") });
    }
    let folder = config.folder.clone();
    let outside = Arc::clone(&disk);
    let disk: Arc<dyn Disk> = if config.read_only { Arc::new(ReadOnlyDisk(disk)) } else { disk };
    let lock = take_folder(&config, &*disk)?;
    backup::refuse_incomplete(&*disk, &folder)?;
    if config.read_only {
        let incarnation = read_incarnation(&*disk, &folder)?;
        return open_locked(config, clock, [disk, outside], (lock, incarnation), isolated);
    }
    if backup::is_backup(&*disk, &folder)? {
        return Err(Error::Backup { path: folder });
    }
    let incarnation = read_or_create_format(&*disk, &folder, &*clock)?;
    open_locked(config, clock, [disk, outside], (lock, incarnation), isolated)
}

/// Opens a folder that is ours and whole. Two disks: the folder's, and the one for writing elsewhere.
fn open_locked(
    config: Config,
    clock: Arc<dyn Clock>,
    [disk, outside]: [Arc<dyn Disk>; 2],
    (lock, incarnation): (Box<dyn DiskLock>, uuid::Uuid),
    isolated: &BTreeSet<DatasetName>,
) -> Result<Opened, Error> {
    let folder = config.folder.clone();
    let removals = HoldingDisk::new(disk);
    let disk: Arc<dyn Disk> = Arc::<HoldingDisk>::clone(&removals);
    let text: Arc<str> = incarnation.to_string().into();
    let (datasets, mut strays) = open_datasets(&disk, &config, &text)?;
    let accounts_table = AccountsTable::open(&disk, &folder, &text, config.checkpoint_commits)?;
    strays.note_accounts(&*disk, &accounts_table);
    let now = clock.now();
    let counts = accounts_table.read(now, config.accounts_days)?;
    let accounts = Accounts::new(counts, accounts_table.lsn(), config.datasets_max, config.accounts_days, now);
    let parts = SharedParts { config, clock, disk, removals, outside, incarnation, accounts, accounts_table, lock };
    let shared = Arc::new(Shared::new(parts, datasets));
    let opened = replay::replay(shared, isolated, &strays)?;
    if !opened.shared.config.read_only {
        litter::remove(&opened.shared);
    }
    Ok(opened)
}

/// Makes sure the folder exists, can be written, and is ours; read-only, that nobody writes to it.
fn take_folder(config: &Config, disk: &dyn Disk) -> Result<Box<dyn DiskLock>, Error> {
    let folder = config.folder.as_path();
    if !config.read_only {
        let there = |path: &Path| path.as_os_str().is_empty() || disk.exists(path).unwrap_or(false);
        let base = folder.ancestors().find(|ancestor| there(ancestor)).unwrap_or(Path::new("/"));
        create_dirs(disk, base, folder).map_err(|source| Error::folder("create", folder, source))?;
    }
    lock(disk, folder)
}

/// Takes the lock of a data folder: alone, or, of a read-only disk, beside other readers.
pub(crate) fn lock(disk: &dyn Disk, folder: &Path) -> Result<Box<dyn DiskLock>, Error> {
    let path = folder.join(LOCK_FILE);
    disk.lock(&path).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => Error::FolderInUse { path: folder.to_path_buf() },
        _ => Error::folder("lock", &path, source),
    })
}

/// Whose folder this is, as `store.json` says.
///
/// # Errors
/// When there is none, it is damaged, or of a newer version.
pub(crate) fn read_incarnation(disk: &dyn Disk, folder: &Path) -> Result<uuid::Uuid, Error> {
    let path = folder.join(FORMAT_FILE);
    let bytes = disk.read(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => {
            Error::Damaged { path: path.clone(), reason: "it is missing: this is no data folder".to_owned() }
        }
        _ => Error::folder("read", &path, source),
    })?;
    let version = serde_json::from_slice::<serde_json::Value>(&bytes).ok().and_then(|value| value["format"].as_u64());
    if let Some(version) = version.filter(|version| *version > FORMAT) {
        return Err(Error::NewerFormat { path, version, known: FORMAT });
    }
    let damaged = |reason: String| Error::Damaged { path: path.clone(), reason };
    let format: FormatFile = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    uuid::Uuid::parse_str(&format.incarnation).map_err(|error| damaged(error.to_string()))
}

/// The entries of a folder; none when it is not there.
pub(crate) fn list_if_there(disk: &dyn Disk, folder: &Path) -> Result<Vec<DirEntry>, Error> {
    match disk.list(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(|source| Error::folder("list", folder, source)),
    }
}

fn read_or_create_format(disk: &dyn Disk, folder: &Path, clock: &dyn Clock) -> Result<uuid::Uuid, Error> {
    let path = folder.join(FORMAT_FILE);
    let wal = folder.join("wal");
    let read_error = |source| Error::folder("read", &path, source);
    if disk.exists(&path).map_err(read_error)? {
        let incarnation = read_incarnation(disk, folder)?;
        // Its entry may be unsynced when the process that made it was killed.
        disk.sync_dir(folder).map_err(|source| Error::folder("sync", folder, source))?;
        make_folder(disk, folder, &wal)?;
        return Ok(incarnation);
    }
    if disk.exists(&wal).map_err(read_error)? && !disk.list(&wal).map_err(read_error)?.is_empty() {
        let reason =
            "it is missing, but there is a WAL: restore it from a backup, or move the folder wal away".to_owned();
        return Err(Error::Damaged { path, reason });
    }
    make_folder(disk, folder, &wal)?;
    let incarnation = uuid::Uuid::new_v4();
    write_format(disk, folder, incarnation, clock)?;
    Ok(incarnation)
}

fn write_format(disk: &dyn Disk, folder: &Path, incarnation: uuid::Uuid, clock: &dyn Clock) -> Result<(), Error> {
    let path = folder.join(FORMAT_FILE);
    let format =
        FormatFile { format: FORMAT, incarnation: incarnation.to_string(), created_at: clock.now().to_rfc3339() };
    let text = serde_json::json!(format).to_string();
    // The folder's own entry may be unsynced when an earlier attempt stopped half-way.
    disk.sync_dir(parent(folder))
        .or_else(|error| if error.kind() == io::ErrorKind::PermissionDenied { Ok(()) } else { Err(error) })
        .and_then(|()| replace_file(disk, &path, text.as_bytes()))
        .map_err(|source| Error::folder("write", &path, source))
}

fn make_folder(disk: &dyn Disk, base: &Path, path: &Path) -> Result<(), Error> {
    create_dirs(disk, base, path).map_err(|source| Error::folder("create", path, source))
}

fn open_datasets(
    disk: &Arc<dyn Disk>,
    config: &Config,
    incarnation: &str,
) -> Result<(Vec<Dataset>, litter::Strays), Error> {
    let folder = config.folder.as_path();
    let tables = folder.join(DATASETS_FOLDER);
    let entries = list_if_there(&**disk, &tables)?;
    let (mut datasets, mut strays) = (Vec::new(), litter::Strays::default());
    for entry in entries.into_iter().filter(|entry| entry.is_dir) {
        let Some(name) = DatasetName::from_stored(&entry.name) else {
            tracing::warn!(folder = %entry.name, "ignoring a folder that is no dataset");
            continue;
        };
        let root = tables.join(&entry.name);
        let log = Log::open(Arc::clone(disk), folder, &root).map_err(|source| Error::delta(&name, source))?;
        let log = log.unwrap_or_else(|| Log::new(Arc::clone(disk), folder, &root));
        strays.note(disk, &name, &log, incarnation)?;
        // Without a commit, the events in the WAL will create the dataset.
        if log.state().version.is_some() {
            datasets.push(Dataset::restore(name, log, incarnation, &config.aliases)?);
        }
    }
    Ok((datasets, strays))
}
