//! A new node from a backup.

use std::{
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use super::{
    MANIFEST_FILE, OnProgress, Summary, begin,
    copy::Copier,
    finish,
    plan::{Part, Take},
    read_manifest, refuse_incomplete,
};
use crate::{Clock, Config, Error, disk::Disk, recovery};

/// Makes a data folder (`config.folder`, absent or empty) from a backup: copies and checks every file, writes what only the
/// WAL has to the tables, and begins a new incarnation. Idempotency keys that are still in their window come along.
///
/// # Errors
/// `NotEmpty`; when the backup is incomplete or damaged; when files cannot be read or written. What was written until then is
/// marked as incomplete: remove it and try again.
pub fn restore(
    source: &Path,
    config: &Config,
    clock: &Arc<dyn Clock>,
    disk: &Arc<dyn Disk>,
    on_progress: OnProgress<'_>,
) -> Result<Summary, Error> {
    refuse_incomplete(&**disk, source)?;
    let manifest = read_manifest(&**disk, source)?;
    let target = config.folder.clone();
    begin(&**disk, &target)?;
    let total = manifest.files.iter().map(|file| file.bytes).sum();
    let mut copier = Copier::new(&**disk, source, &target, total, on_progress);
    copier.folders(&["datasets".into(), "wal".into()])?;
    for file in &manifest.files {
        let is_below = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_)));
        if !is_below(Path::new(&file.path)) {
            let reason = format!("it names {:?}, which is no path below it", file.path);
            return Err(Error::Damaged { path: source.join(MANIFEST_FILE), reason });
        }
        let part = Part { path: PathBuf::from(&file.path), bytes: file.bytes, take: Take::Start };
        let copied = copier.part(&part)?;
        if copied.crc32c != file.crc32c {
            let reason = format!("its checksum is not the one in {MANIFEST_FILE}: this backup cannot be restored");
            return Err(Error::Damaged { path: source.join(&file.path), reason });
        }
    }
    let (_, summary) = copier.finish()?;
    recovery::reincarnate(config, clock, disk)?;
    finish(&**disk, &target)?;
    Ok(summary)
}
