//! A copy of a data folder at one instant, taken while the node runs, and a new node made of it.
//!
//! A backup is a plain folder with the files of a data folder, so `verify` checks it, `serve --read-only` shows it, and any
//! Delta reader reads its tables. It consists of
//! - what each table is at some commit: its live files and the part of its log that leads there;
//! - the WAL up to one synced group. It was cut after the tables were looked at, and nothing was removed in between, so it
//!   holds everything the tables lack: the backup is what a crash at the instant of the cut would have left;
//! - `store.json`, `keys.json`, `metrics/`, and `wal/quarantine/`;
//! - `backup.json`, the manifest, written last.
//!
//! Immutable files are hard-linked where source and target share a file system, else copied. While a backup is being written,
//! and when it was interrupted, the folder holds a file `INCOMPLETE`, and nothing opens it.
//!
//! A restored node is a new incarnation: its events are numbered from 1 again, so that none of them is taken for one the
//! old node stored after the backup.

mod copy;
mod manifest;
mod plan;
mod restore;

use std::{ops::ControlFlow, path::Path, sync::Arc};

pub use self::manifest::{BackupFile, Manifest};
pub(crate) use self::manifest::{MANIFEST_FILE, read_manifest};
pub use self::restore::restore;
use self::{copy::Copier, plan::Plan};
use crate::{
    Clock, Error, Timestamp,
    disk::{Disk, ReadOnlyDisk, create_dirs, write_file},
    recovery,
    shared::Shared,
    verify::Progress,
};

/// There while a backup or a restore is being written.
pub(crate) const INCOMPLETE_FILE: &str = "INCOMPLETE";

/// Told now and then how far it is; breaks to give up.
pub type OnProgress<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// What a backup or a restore wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Summary {
    /// Files.
    pub files: u64,
    /// Of these, hard links to the node's own files.
    pub linked: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Copies a running node.
///
/// # Errors
/// As [`crate::Store::backup`].
pub(crate) fn of_running(shared: &Shared, target: &Path, on_progress: OnProgress<'_>) -> Result<Summary, Error> {
    // Until the end: what the plan names must be there when its turn comes.
    let _hold = shared.removals.hold();
    begin(&*shared.outside, target)?;
    let plan = Plan::of_running(shared)?;
    write(&*shared.outside, &plan, target, shared.clock.now(), on_progress)
}

/// Copies the data folder of a node that does not run.
///
/// # Errors
/// `FolderInUse` while a server runs on it, `NotEmpty`, and when files cannot be read or written.
pub fn of_stopped(
    folder: &Path,
    target: &Path,
    clock: &dyn Clock,
    disk: &Arc<dyn Disk>,
    on_progress: OnProgress<'_>,
) -> Result<Summary, Error> {
    let reader: Arc<dyn Disk> = Arc::new(ReadOnlyDisk(Arc::clone(disk)));
    let _lock = recovery::lock(&*reader, folder)?;
    refuse_incomplete(&*reader, folder)?;
    let plan = Plan::of_stopped(&reader, folder)?;
    begin(&**disk, target)?;
    write(&**disk, &plan, target, clock.now(), on_progress)
}

/// Makes the target, which must be empty, and marks it as incomplete.
fn begin(disk: &dyn Disk, target: &Path) -> Result<(), Error> {
    let failed = |source| Error::folder("create", target, source);
    if disk.exists(target).map_err(failed)? && !disk.list(target).map_err(failed)?.is_empty() {
        return Err(Error::NotEmpty { path: target.to_path_buf() });
    }
    let there = |path: &Path| path.as_os_str().is_empty() || disk.exists(path).unwrap_or(false);
    let base = target.ancestors().find(|ancestor| there(ancestor)).unwrap_or(Path::new("/"));
    create_dirs(disk, base, target)
        .and_then(|()| {
            write_file(
                disk,
                &target.join(INCOMPLETE_FILE),
                b"a backup or restore is being written here, or was interrupted\n",
            )
        })
        .and_then(|()| disk.sync_dir(target))
        .map_err(failed)
}

/// From here on the folder is whole.
fn finish(disk: &dyn Disk, target: &Path) -> Result<(), Error> {
    let path = target.join(INCOMPLETE_FILE);
    disk.remove_file(&path)
        .and_then(|()| disk.sync_dir(target))
        .map_err(|source| Error::folder("remove", &path, source))
}

fn write(
    disk: &dyn Disk,
    plan: &Plan,
    target: &Path,
    now: Timestamp,
    on_progress: OnProgress<'_>,
) -> Result<Summary, Error> {
    let mut copier = Copier::new(disk, &plan.folder, target, plan.bytes(), on_progress);
    copier.folders(&plan.folders)?;
    for part in &plan.parts {
        copier.part(part)?;
    }
    let (files, summary) = copier.finish()?;
    Manifest::new(now.to_rfc3339(), plan.incarnation.clone(), files).write(disk, target)?;
    finish(disk, target)?;
    Ok(summary)
}

/// Refuses a folder that is still being written, or was left half-way.
pub(crate) fn refuse_incomplete(disk: &dyn Disk, folder: &Path) -> Result<(), Error> {
    let path = folder.join(INCOMPLETE_FILE);
    if disk.exists(&path).map_err(|source| Error::folder("read", &path, source))? {
        let reason = "the backup or restore into this folder is still being written, or was interrupted: remove the folder and begin again";
        return Err(Error::Damaged { path, reason: reason.to_owned() });
    }
    Ok(())
}

/// True for a folder that holds a backup's manifest.
pub(crate) fn is_backup(disk: &dyn Disk, folder: &Path) -> Result<bool, Error> {
    let path = folder.join(MANIFEST_FILE);
    disk.exists(&path).map_err(|source| Error::folder("read", &path, source))
}
