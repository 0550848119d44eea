//! The write-ahead log: what is acknowledged is here first, and synced.
//!
//! # Limits
//! - One process, one writer thread, one open segment. Segments are append-only and closed at
//!   `store.wal_segment_bytes_max`; the whole log is kept below `store.wal_bytes_max` by flushing.
//! - A record holds one request of one dataset; its frame is shorter than 2^31 bytes.
//! - Format version 1. A newer one is refused at open.
//!
//! # Files
//! `<folder>/wal/<id>.wal`, `id` = 16 hexadecimal digits, growing, with gaps. All integers are little-endian.
//! `<folder>/wal/quarantine/` holds the bytes of frames found damaged and the events that could not be decoded again.
//!
//! # Segment header (88 bytes)
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | magic `YLWALSEG` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | reserved, 0 |
//! | 16 | 16 | incarnation (uuid) |
//! | 32 | 8 | id of this segment |
//! | 40 | 8 | id of the segment before, 0 = none |
//! | 48 | 8 | **valid bytes of the segment before**: what follows them there is void |
//! | 56 | 8 | how many of those are known to be synced; the rest is copied into this segment |
//! | 64 | 8 | lsn of the first record |
//! | 72 | 8 | seed of the checksums in this file (random, so that no event can contain a valid frame) |
//! | 80 | 4 | reserved, 0 |
//! | 84 | 4 | CRC32C of bytes 0..84 |
//!
//! The header is written and synced (file and folder) before the first frame. It seals the segment before: after a failed
//! write or sync the file is abandoned, never written or synced again, and the next segment's header says how much of it
//! counts. So events that were refused with an error do not come back at the next start, once anything later was acknowledged.
//!
//! After a crash nothing proves that the last group of the newest segment was synced: it may be there only because the
//! page cache survived the process, and syncing it again would prove nothing if the first sync had failed. So the first group
//! of the next segment is a copy of it (records keep their numbers, and a number counts once).
//!
//! # Frame
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | magic `YLR1` |
//! | 4 | 4 | length `n` of the body |
//! | 8 | 4 | CRC32C of bytes 12..21+n, seeded |
//! | 12 | 8 | bytes of this file known to be synced when this frame was written: those before its group |
//! | 20 | 1 | kind: 1 a record, 2 a zstd block of records, 3 idempotency keys carried over from a trimmed segment |
//! | 21 | n | body |
//!
//! Kind 2: `u32` length when decompressed, then zstd of records, each with its `u32` length before it.
//! Requests below 16 KiB that wait together are compressed together; larger ones alone, by the thread of the requester.
//!
//! Kind 3: entries of `u64` received_at (µs), `u8` length and dataset, `u16` length and key, 16 bytes digest. Without an entry
//! it is a **mark**: a frame that says, like every one, how much of the file is synced. The writer adds one, synced, when a
//! second went by after a group without another one, and at a clean stop.
//!
//! # Record
//! | size | field |
//! |---|---|
//! | 8 | lsn: number of this record, growing by 1 over all segments of the incarnation |
//! | 1 | flags: 1 import, 2 idempotency key present, 4 payload is zstd |
//! | 1 | content type: 1 = JSON objects, each with its `u32` length before it |
//! | 1 | decoder version, 1 |
//! | 1, d | length and name of the dataset |
//! | 8 | received_at, µs since 1970 UTC |
//! | 8 | seq of the first stored event; event i has seq + i |
//! | 4 | number of stored events, 0 for a counts-only record |
//! | 4 | number of duplicates in the request (not stored) |
//! | 16 | ULID of the first stored event; event i has ULID + i unless it brought an id |
//! | 2, k, 16 | (flag 2) length and text of the idempotency key, first 16 bytes of the SHA-256 of the request's events |
//! | 1 | number of reasons for rejection, then for each: 1 + r code, 4 count |
//! | 4 | length of the payload when decompressed |
//! | rest | payload: the bytes of the stored events only |
//!
//! # Reading after a crash
//! In a sealed segment every frame below the seal must be whole; what is not is damage. In the last segment the first
//! frame that is not whole is either the torn end of the last, never acknowledged, write (cut there) or damage: it is damage
//! when any later frame says that the file had been synced beyond it. Damaged bytes are copied to `quarantine/`, counted and
//! reported at error level, and reading goes on at the next whole frame.
//!
//! Not told apart: damage inside the very last group when the process ended, uncleanly, less than a second after it. Its bytes
//! are taken for a torn write; nothing that follows could prove otherwise. From the next group or mark on it is damage.

pub(crate) mod compress;
pub(crate) mod frame;
pub(crate) mod index;
pub(crate) mod record;
pub(crate) mod segment;

pub(crate) use frame::{Frame, FrameKind, scan, write_frame};
pub(crate) use index::{SegmentContent, WalIndex};
pub(crate) use record::{CarriedKey, KeyEntry, Payload, Record, split_events};
pub(crate) use segment::{HEADER_BYTES, HeaderError, Seal, Segment, SegmentHeader, SegmentId};

/// Version of the segments' layout that this code writes, and the highest it reads.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// Payloads from this size are compressed alone, by the requester's thread; smaller ones together, by the writer's.
/// (zstd-1 reaches 4.7:1 at 64 KB blocks and 5.5:1 at 1 MB; a 2 KB event alone would reach about 2:1.)
pub(crate) const COMPRESS_ALONE_BYTES: usize = 16 * 1024;
