//! A restored folder becomes a new node: what only the old one's WAL has goes to the tables, then numbers start anew.

use std::{path::Path, sync::Arc};

use super::{isolating, list_if_there, open_locked, read_incarnation, take_folder, write_format};
use crate::{
    Clock, Config, Error,
    disk::Disk,
    threads::Threads,
    wal::{CarriedKey, FrameKind, HEADER_BYTES, Seal, Segment, SegmentHeader, SegmentId, write_frame},
    writer::{random_bytes, write_error},
};

/// Flushes everything under the old incarnation, then replaces the WAL by one of a new incarnation that holds the
/// idempotency keys still in their window, and nothing else.
///
/// # Errors
/// When the folder cannot be opened or written; it must not be used then.
pub(crate) fn reincarnate(config: &Config, clock: &Arc<dyn Clock>, disk: &Arc<dyn Disk>) -> Result<(), Error> {
    let folder = config.folder.clone();
    let opened = isolating(|isolated| {
        let lock = take_folder(config, &**disk)?;
        let old = read_incarnation(&**disk, &folder)?;
        open_locked(config.clone(), Arc::clone(clock), [Arc::clone(disk), Arc::clone(disk)], (lock, old), isolated)
    })?;
    let keys = opened.start.keys.held_through(SegmentId(u64::MAX), clock.now());
    let shared = opened.shared;
    let threads = Threads::start(&shared, opened.start)?;
    let flushed = shared.flush.ask().recv().unwrap_or(Err(Error::Closed));
    threads.stop();
    flushed?;
    let incarnation = uuid::Uuid::new_v4();
    replace_wal(&**disk, &shared.wal_folder(), incarnation, &keys)?;
    write_format(&**disk, &folder, incarnation, &**clock)
}

fn replace_wal(disk: &dyn Disk, wal: &Path, incarnation: uuid::Uuid, keys: &[CarriedKey]) -> Result<(), Error> {
    let old: Vec<SegmentId> =
        list_if_there(disk, wal)?.iter().filter_map(|entry| SegmentId::from_file_name(&entry.name)).collect();
    let header = SegmentHeader {
        incarnation: *incarnation.as_bytes(),
        id: SegmentId(old.iter().map(|id| id.0).max().unwrap_or(0) + 1),
        previous: Seal::default(),
        first_lsn: 1,
        seed: u64::from_le_bytes(random_bytes()),
    };
    let mut segment = Segment::create(disk, wal, header).map_err(write_error)?;
    let mut bytes = Vec::new();
    write_frame(&mut bytes, header.seed, HEADER_BYTES as u64, FrameKind::Keys, |out| {
        keys.iter().for_each(|key| key.encode(out));
    });
    segment.append(&bytes).map_err(write_error)?;
    for id in old {
        let path = wal.join(id.file_name());
        disk.remove_file(&path).map_err(|source| Error::folder("remove", &path, source))?;
    }
    disk.sync_dir(wal).map_err(|source| Error::folder("sync", wal, source))
}
