//! Which segment files belong to the WAL, and how much of each counts: the headers say so, newest to oldest.

use std::{io, path::Path};

use crate::{
    Error,
    disk::{Disk, discard},
    wal::{FORMAT_VERSION, HEADER_BYTES, HeaderError, Seal, SegmentHeader, SegmentId},
};

/// The folder of segments, and whose it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WalFolder<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) path: &'a Path,
    pub(crate) incarnation: &'a [u8; 16],
}

/// A segment of the chain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) id: SegmentId,
    /// `None`: the header is damaged, so its frames cannot be checked.
    pub(crate) header: Option<SegmentHeader>,
    /// How much of it counts; `None` for the newest, and where the next header is gone.
    pub(crate) seal: Option<Seal>,
}

/// The chain, oldest first. Files beside it were given up before anything in them was acknowledged: they are removed.
///
/// # Errors
/// When a file cannot be read, is of a newer version, or belongs to another incarnation.
pub(crate) fn of(folder: WalFolder<'_>, present: &[SegmentId]) -> Result<Vec<Link>, Error> {
    let mut newest_first: Vec<SegmentId> = present.to_vec();
    newest_first.sort_unstable_by(|left, right| right.cmp(left));
    let mut chain: Vec<Link> = Vec::new();
    // What the header of the next newer segment says about the one before it.
    let mut before: Option<Seal> = None;
    for id in newest_first {
        if before.is_some_and(|seal| id > seal.id) {
            remove(folder, id);
            continue;
        }
        let head = head(folder, id)?;
        // A missing `previous` was trimmed; older files then hold only what is in the tables too.
        let seal = before.filter(|seal| seal.id == id);
        match SegmentHeader::decode(&head.bytes) {
            Ok(header) => {
                check_incarnation(folder, &header)?;
                chain.push(Link { id, header: Some(header), seal });
                before = Some(header.previous);
            }
            Err(HeaderError::Newer(version)) => {
                let path = folder.path.join(id.file_name());
                return Err(Error::NewerFormat { path, version: version.into(), known: FORMAT_VERSION.into() });
            }
            // A segment is synced with its header before its first frame: this one was never used.
            Err(HeaderError::Damaged) if seal.is_none() && head.length <= HEADER_BYTES as u64 => remove(folder, id),
            Err(HeaderError::Damaged) => {
                chain.push(Link { id, header: None, seal });
                before = None;
            }
        }
    }
    chain.reverse();
    Ok(chain)
}

struct Head {
    bytes: bytes::Bytes,
    length: u64,
}

fn head(folder: WalFolder<'_>, id: SegmentId) -> Result<Head, Error> {
    let path = folder.path.join(id.file_name());
    let read = || -> io::Result<Head> {
        let file = folder.disk.open(&path)?;
        let length = file.len();
        let bytes = file.read_at(0, usize::try_from(length).unwrap_or(usize::MAX).min(HEADER_BYTES))?;
        Ok(Head { bytes, length })
    };
    read().map_err(|source| Error::folder("read", &path, source))
}

fn remove(folder: WalFolder<'_>, id: SegmentId) {
    tracing::info!(segment = %id.file_name(), "removing a WAL segment that was given up before it was used");
    discard(folder.disk, &folder.path.join(id.file_name()));
}

fn check_incarnation(folder: WalFolder<'_>, header: &SegmentHeader) -> Result<(), Error> {
    if header.incarnation == *folder.incarnation {
        return Ok(());
    }
    let path = folder.path.join(header.id.file_name());
    let reason = format!(
        "it belongs to incarnation {}, store.json says {}: restore the store.json it was written with, or move the folder wal away",
        uuid::Uuid::from_bytes(header.incarnation),
        uuid::Uuid::from_bytes(*folder.incarnation)
    );
    Err(Error::Damaged { path, reason })
}
