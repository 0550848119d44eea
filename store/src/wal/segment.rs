//! One segment file: its header, appending groups to it, reading it. Layout: see the module `wal`.

use std::{
    io::{self, Write},
    path::Path,
};

use super::{FORMAT_VERSION, record::Reader};
use crate::disk::{Disk, DiskFile, discard};

const MAGIC: [u8; 8] = *b"YLWALSEG";
/// Length of the header of a segment.
pub(crate) const HEADER_BYTES: usize = 88;

/// Number of a segment: growing, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct SegmentId(pub(crate) u64);

impl SegmentId {
    /// The file's name in the folder `wal`.
    pub(crate) fn file_name(self) -> String {
        format!("{:016x}.wal", self.0)
    }

    /// The id in a file's name; `None` for other files.
    pub(crate) fn from_file_name(name: &str) -> Option<Self> {
        let digits = name.strip_suffix(".wal")?;
        if digits.len() != 16 {
            return None;
        }
        u64::from_str_radix(digits, 16).ok().map(Self)
    }
}

/// How much of a segment counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Seal {
    /// Id 0: there is no segment.
    pub(crate) id: SegmentId,
    /// What follows these bytes is void.
    pub(crate) bytes: u64,
    /// Up to here it is known to be synced.
    pub(crate) synced: u64,
}

/// The first 88 bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) incarnation: [u8; 16],
    pub(crate) id: SegmentId,
    /// The segment before this one.
    pub(crate) previous: Seal,
    /// Number of the first record.
    pub(crate) first_lsn: u64,
    /// Seed of the checksums of the frames.
    pub(crate) seed: u64,
}

/// Why a file's first bytes are no usable header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderError {
    /// Not whole: the file was being created when the power went, or is damaged.
    Damaged,
    /// Written by a newer version of this program.
    Newer(u32),
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.incarnation);
        let previous = self.previous;
        for field in [self.id.0, previous.id.0, previous.bytes, previous.synced, self.first_lsn, self.seed] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        let mut header = [0; HEADER_BYTES];
        header.copy_from_slice(&bytes);
        header
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        Self::read(bytes).ok_or(HeaderError::Damaged)?
    }

    fn read(bytes: &[u8]) -> Option<Result<Self, HeaderError>> {
        let header = bytes.get(..HEADER_BYTES)?;
        let mut reader = Reader(header);
        if reader.take(8)? != MAGIC {
            return None;
        }
        let version = reader.u32()?;
        // A newer version may lay out the rest differently, the checksum's place included: only the version is asked.
        if version > FORMAT_VERSION {
            return Some(Err(HeaderError::Newer(version)));
        }
        let stored = u32::from_le_bytes(header[HEADER_BYTES - 4..].try_into().ok()?);
        if crc32c::crc32c(&header[..HEADER_BYTES - 4]) != stored {
            return None;
        }
        reader.take(4)?;
        let incarnation = reader.take(16)?.try_into().ok()?;
        Some(Ok(Self {
            incarnation,
            id: SegmentId(reader.u64()?),
            previous: Seal { id: SegmentId(reader.u64()?), bytes: reader.u64()?, synced: reader.u64()? },
            first_lsn: reader.u64()?,
            seed: reader.u64()?,
        }))
    }
}

/// The segment being written. Everything up to `synced` is durable.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    file: Box<dyn DiskFile>,
    synced: u64,
    /// The last thing in it is a mark.
    marked: bool,
}

impl Segment {
    /// Creates the file with its header, synced together with its folder: an empty segment is whole before it is used.
    pub(crate) fn create(disk: &dyn Disk, folder: &Path, header: SegmentHeader) -> io::Result<Self> {
        let path = folder.join(header.id.file_name());
        let mut file = disk.create(&path)?;
        let finish = file.write_all(&header.encode()).and_then(|()| file.sync()).and_then(|()| disk.sync_dir(folder));
        // Unsynced leftovers hold nothing acknowledged; the chain of headers goes around them.
        finish.inspect_err(|_| discard(disk, &path))?;
        Ok(Self { header, file, synced: HEADER_BYTES as u64, marked: true })
    }

    /// Writes one group and syncs it. After an error the segment must be dropped: the file is never touched again.
    pub(crate) fn append(&mut self, group: &[u8]) -> io::Result<()> {
        self.file.write_all(group)?;
        self.file.sync()?;
        self.synced += group.len() as u64;
        self.marked = false;
        Ok(())
    }

    /// Notes that the last group was a mark.
    pub(crate) fn set_marked(&mut self) {
        self.marked = true;
    }

    /// True when everything in it is proven to be synced by what follows it.
    pub(crate) fn is_marked(&self) -> bool {
        self.marked
    }

    /// How much of it counts: what was synced.
    pub(crate) fn seal(&self) -> Seal {
        Seal { id: self.header.id, bytes: self.synced, synced: self.synced }
    }

    /// Length of what is known to be durable.
    pub(crate) fn synced(&self) -> u64 {
        self.synced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            incarnation: [7; 16],
            id: SegmentId(3),
            previous: Seal { id: SegmentId(2), bytes: 812, synced: 700 },
            first_lsn: 44,
            seed: 5,
        }
    }

    #[test]
    fn a_header_survives_the_round_trip_and_any_flipped_bit_is_seen() {
        let bytes = header().encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header()));
        for place in 0..HEADER_BYTES {
            let mut damaged = bytes;
            damaged[place] ^= 0x10;
            assert!(SegmentHeader::decode(&damaged).is_err(), "byte {place}");
        }
        assert_eq!(SegmentHeader::decode(&bytes[..HEADER_BYTES - 1]), Err(HeaderError::Damaged));
    }

    #[test]
    fn a_newer_format_is_told_from_damage() {
        let mut bytes = header().encode();
        bytes[8] = 2;
        assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderError::Newer(2)));
    }

    #[test]
    fn file_names_sort_by_id() {
        assert!(SegmentId(0x0f).file_name() < SegmentId(0x10).file_name());
        assert_eq!(SegmentId::from_file_name(&SegmentId(77).file_name()), Some(SegmentId(77)));
        assert_eq!(SegmentId::from_file_name("77.wal"), None);
    }
}
