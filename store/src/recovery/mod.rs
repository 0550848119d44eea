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
//! A folder without `store.json` and `wal/` is taken as restored from a backup: it gets a new incarnation, so that its new
//! events are never mistaken for old ones.

mod chain;
mod ids;
mod litter;
mod pipeline;
mod replay;

use std::{collections::BTreeSet, io, path::Path, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    Clock, Config, DatasetName, Error, FirstSight,
    accounts::{Accounts, AccountsTable},
    dataset::{DATASETS_FOLDER, Dataset},
    delta::Log,
    disk::{Disk, DiskLock, create_dirs, parent, replace_file},
    quarantine::Quarantined,
    shared::{Shared, SharedParts},
    writer::WriterStart,
};

/// Version of the data folder's layout that this code writes, and the highest it reads.
const FORMAT: u64 = 1;
const FORMAT_FILE: &str = "store.json";
const LOCK_FILE: &str = "LOCK";

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
    let mut isolated = BTreeSet::new();
    loop {
        match open_isolating(config.clone(), Arc::clone(clock), Arc::clone(disk), &isolated) {
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
    let lock = take_folder(&*disk, &folder)?;
    let incarnation = read_or_create_format(&*disk, &folder, &*clock)?;
    let text: Arc<str> = incarnation.to_string().into();
    let datasets = open_datasets(&disk, &folder, &text)?;
    let accounts_table = AccountsTable::open(&disk, &folder, &text, config.checkpoint_commits)?;
    let now = clock.now();
    let counts = accounts_table.read(now, config.accounts_days)?;
    let accounts = Accounts::new(counts, accounts_table.lsn(), config.datasets_max, config.accounts_days, now);
    litter::remove(&*disk, datasets.iter().map(|dataset| dataset.log.lock()), &accounts_table);
    let parts = SharedParts { config, clock, disk, incarnation, accounts, accounts_table, lock };
    let shared = Arc::new(Shared::new(parts, datasets));
    replay::replay(shared, isolated)
}

/// Makes sure the folder exists, can be written, and is ours.
fn take_folder(disk: &dyn Disk, folder: &Path) -> Result<Box<dyn DiskLock>, Error> {
    let there = |path: &Path| path.as_os_str().is_empty() || disk.exists(path).unwrap_or(false);
    let base = folder.ancestors().find(|ancestor| there(ancestor)).unwrap_or(Path::new("/"));
    create_dirs(disk, base, folder).map_err(|source| Error::folder("create", folder, source))?;
    let path = folder.join(LOCK_FILE);
    disk.lock(&path).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => Error::FolderInUse { path: folder.to_path_buf() },
        _ => Error::folder("lock", &path, source),
    })
}

fn read_or_create_format(disk: &dyn Disk, folder: &Path, clock: &dyn Clock) -> Result<uuid::Uuid, Error> {
    let path = folder.join(FORMAT_FILE);
    let wal = folder.join("wal");
    let read_error = |source| Error::folder("read", &path, source);
    if disk.exists(&path).map_err(read_error)? {
        let bytes = disk.read(&path).map_err(read_error)?;
        let version =
            serde_json::from_slice::<serde_json::Value>(&bytes).ok().and_then(|value| value["format"].as_u64());
        if let Some(version) = version.filter(|version| *version > FORMAT) {
            return Err(Error::NewerFormat { path, version, known: FORMAT });
        }
        let format: FormatFile = serde_json::from_slice(&bytes)
            .map_err(|error| Error::Damaged { path: path.clone(), reason: error.to_string() })?;
        // Its entry may be unsynced when the process that made it was killed.
        disk.sync_dir(folder).map_err(|source| Error::folder("sync", folder, source))?;
        make_folder(disk, folder, &wal)?;
        return uuid::Uuid::parse_str(&format.incarnation)
            .map_err(|error| Error::Damaged { path: path.clone(), reason: error.to_string() });
    }
    if disk.exists(&wal).map_err(read_error)? && !disk.list(&wal).map_err(read_error)?.is_empty() {
        let reason =
            "it is missing, but there is a WAL: restore it from a backup, or move the folder wal away".to_owned();
        return Err(Error::Damaged { path, reason });
    }
    make_folder(disk, folder, &wal)?;
    let incarnation = uuid::Uuid::new_v4();
    let format =
        FormatFile { format: FORMAT, incarnation: incarnation.to_string(), created_at: clock.now().to_rfc3339() };
    let text = serde_json::json!(format).to_string();
    // The folder's own entry may be unsynced when an earlier attempt stopped half-way.
    disk.sync_dir(parent(folder))
        .or_else(|error| if error.kind() == io::ErrorKind::PermissionDenied { Ok(()) } else { Err(error) })
        .and_then(|()| replace_file(disk, &path, text.as_bytes()))
        .map_err(|source| Error::folder("write", &path, source))?;
    Ok(incarnation)
}

fn make_folder(disk: &dyn Disk, base: &Path, path: &Path) -> Result<(), Error> {
    create_dirs(disk, base, path).map_err(|source| Error::folder("create", path, source))
}

fn open_datasets(disk: &Arc<dyn Disk>, folder: &Path, incarnation: &str) -> Result<Vec<Dataset>, Error> {
    let tables = folder.join(DATASETS_FOLDER);
    make_folder(&**disk, folder, &tables)?;
    let entries = disk.list(&tables).map_err(|source| Error::folder("list", &tables, source))?;
    let mut datasets = Vec::new();
    for entry in entries.into_iter().filter(|entry| entry.is_dir) {
        let Some(name) = DatasetName::from_stored(&entry.name) else {
            tracing::warn!(folder = %entry.name, "ignoring a folder that is no dataset");
            continue;
        };
        let root = tables.join(&entry.name);
        let log = Log::open(Arc::clone(disk), folder, &root).map_err(|source| Error::delta(&name, source))?;
        // Without a commit there are no events in files; those in the WAL will create the dataset.
        if let Some(log) = log {
            datasets.push(Dataset::restore(name, log, incarnation)?);
        }
    }
    Ok(datasets)
}
