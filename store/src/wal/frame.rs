//! Frames of a segment: checksummed, and found again after damage. Layout: see the module `wal`.

use std::ops::Range;

use super::{
    Seal,
    record::{Reader, put_u32},
};

const MAGIC: [u8; 4] = *b"YLR1";
/// Magic, length, checksum, synced length, kind.
pub(crate) const FRAME_HEADER_BYTES: usize = 21;
const CHECKED_FROM: usize = 12;

/// What the body of a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Record,
    Block,
    Keys,
}

impl FrameKind {
    fn code(self) -> u8 {
        match self {
            Self::Record => 1,
            Self::Block => 2,
            Self::Keys => 3,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Record),
            2 => Some(Self::Block),
            3 => Some(Self::Keys),
            _ => None,
        }
    }
}

/// A whole frame as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// Place in the file.
    pub(crate) at: usize,
    pub(crate) kind: FrameKind,
    /// Bytes of the file known to be synced when this frame was written.
    pub(crate) synced: u64,
    pub(crate) body: &'a [u8],
}

impl Frame<'_> {
    /// True when its only purpose is to say that what is before it was synced.
    pub(crate) fn is_mark(&self) -> bool {
        self.kind == FrameKind::Keys && self.body.is_empty()
    }
}

/// Appends a frame; `body` writes its body.
pub(crate) fn write_frame(out: &mut Vec<u8>, seed: u64, synced: u64, kind: FrameKind, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&synced.to_le_bytes());
    out.push(kind.code());
    body(out);
    let mut length = Vec::with_capacity(4);
    put_u32(&mut length, out.len() - start - FRAME_HEADER_BYTES);
    out[start + 4..start + 8].copy_from_slice(&length);
    let checksum = checksum(seed, &out[start + 4..start + 8], &out[start + CHECKED_FROM..]);
    out[start + 8..start + 12].copy_from_slice(&checksum.to_le_bytes());
}

fn checksum(seed: u64, length: &[u8], rest: &[u8]) -> u32 {
    let seeded = crc32c::crc32c(&seed.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(seeded, length), rest)
}

/// The frame that starts at a place, and where it ends; `None` when there is no whole one.
fn read_frame(file: &[u8], at: usize, seed: u64) -> Option<(Frame<'_>, usize)> {
    let bytes = file.get(at..)?;
    let mut reader = Reader(bytes);
    if reader.take(4)? != MAGIC {
        return None;
    }
    let body_bytes = reader.u32()? as usize;
    let stored = reader.u32()?;
    let total = FRAME_HEADER_BYTES.checked_add(body_bytes)?;
    let checked = bytes.get(CHECKED_FROM..total)?;
    if checksum(seed, &bytes[4..8], checked) != stored {
        return None;
    }
    let synced = reader.u64()?;
    let kind = FrameKind::from_code(*reader.take(1)?.first()?)?;
    Some((Frame { at, kind, synced, body: reader.take(body_bytes)? }, at + total))
}

/// What a segment's bytes hold after its header.
#[derive(Debug, Default)]
pub(crate) struct Scan<'a> {
    /// Whole frames in order. Those from `proven` on may not be durable.
    pub(crate) frames: Vec<Frame<'a>>,
    /// Places before `proven` that are not whole frames.
    pub(crate) damaged: Vec<Range<usize>>,
    /// What was synced for sure: the seal says so, or a later frame.
    pub(crate) proven: usize,
    /// Where the valid part ends: beyond it is the torn end of a write that was never acknowledged.
    pub(crate) end: usize,
}

/// Reads all frames from `start`. `seal`: what the next segment says about this one; `None` for the newest.
pub(crate) fn scan<'a>(bytes: &'a [u8], start: usize, seed: u64, seal: Option<&Seal>) -> Scan<'a> {
    let narrow = |length: u64| usize::try_from(length).unwrap_or(usize::MAX);
    let window = &bytes[..seal.map_or(usize::MAX, |seal| narrow(seal.bytes)).min(bytes.len())];
    let (mut frames, mut gaps) = (Vec::new(), Vec::new());
    let mut position = start;
    while position < window.len() {
        if let Some((frame, end)) = read_frame(window, position, seed) {
            frames.push(frame);
            position = end;
        } else {
            let resume = next_frame(window, position + 1, seed).unwrap_or(window.len());
            gaps.push(position..resume);
            position = resume;
        }
    }
    let said = frames.iter().map(|frame| narrow(frame.synced)).max().unwrap_or(start);
    let proven = seal.map_or(said, |seal| narrow(seal.synced)).max(start);
    let torn = gaps.iter().map(|gap| gap.start).find(|start| *start >= proven);
    frames.retain(|frame| torn.is_none_or(|torn| frame.at < torn));
    gaps.retain(|gap| gap.start < proven);
    if window.len() < proven {
        gaps.push(window.len()..proven);
    }
    Scan { frames, damaged: gaps, proven, end: torn.unwrap_or(window.len()).max(proven) }
}

fn next_frame(bytes: &[u8], from: usize, seed: u64) -> Option<usize> {
    let candidates = bytes.get(from..)?.windows(MAGIC.len()).enumerate().filter(|(_, window)| *window == MAGIC);
    candidates.map(|(offset, _)| from + offset).find(|at| read_frame(bytes, *at, seed).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::SegmentId;

    const SEED: u64 = 99;

    /// Groups of frames as the writer leaves them: all frames of a group carry the length synced before the group.
    fn file(groups: &[&[&[u8]]]) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = vec![0; 80];
        let mut starts = Vec::new();
        for group in groups {
            let synced = bytes.len() as u64;
            for body in *group {
                starts.push(bytes.len());
                write_frame(&mut bytes, SEED, synced, FrameKind::Record, |out| out.extend_from_slice(body));
            }
        }
        (bytes, starts)
    }

    fn check(bytes: &[u8], sealed: Option<u64>, bodies: &[&[u8]], damaged: usize) {
        let seal = sealed.map(|synced| Seal { id: SegmentId(1), bytes: synced, synced });
        let scan = scan(bytes, 80, SEED, seal.as_ref());
        assert_eq!(scan.frames.iter().map(|frame| frame.body).collect::<Vec<_>>(), bodies);
        assert_eq!(scan.damaged.len(), damaged, "{:?}", scan.damaged);
    }

    #[test]
    fn the_torn_end_of_the_last_write_is_cut_at_the_last_whole_frame() {
        let (bytes, starts) = file(&[&[b"one"], &[b"two", b"three"]]);
        check(&bytes, None, &[b"one", b"two", b"three"], 0);
        for length in starts[2]..bytes.len() {
            check(&bytes[..length], None, &[b"one", b"two"], 0);
        }
        // Pages of one unsynced write may arrive out of order: the first frame gone, the second whole.
        let mut reordered = bytes.clone();
        reordered[starts[1]..starts[2]].fill(0);
        check(&reordered, None, &[b"one"], 0);
    }

    #[test]
    fn damage_before_a_synced_group_is_reported_and_skipped() {
        let (mut bytes, starts) = file(&[&[b"one", b"two"], &[b"three"]]);
        bytes[starts[1] + FRAME_HEADER_BYTES] ^= 1;
        check(&bytes, None, &[b"one", b"three"], 1);
        bytes[starts[1] + 4] = 0xff;
        check(&bytes, None, &[b"one", b"three"], 1);
    }

    #[test]
    fn below_a_seal_everything_must_be_whole_and_above_it_nothing_counts() {
        let (bytes, starts) = file(&[&[b"one"], &[b"two"]]);
        check(&bytes, Some(starts[1] as u64), &[b"one"], 0);
        check(&bytes[..starts[1] - 1], Some(starts[1] as u64), &[], 2);
        check(&bytes[..starts[1]], Some(bytes.len() as u64), &[b"one"], 1);
    }

    #[test]
    fn what_is_only_proven_by_the_page_cache_is_told_apart() {
        let (bytes, starts) = file(&[&[b"one"], &[b"two", b"three"]]);
        assert_eq!(scan(&bytes, 80, SEED, None).proven, starts[1]);
        let seal = Seal { id: SegmentId(1), bytes: bytes.len() as u64, synced: starts[1] as u64 };
        let whole = scan(&bytes, 80, SEED, Some(&seal));
        assert_eq!((whole.frames.len(), whole.proven, whole.end), (3, starts[1], bytes.len()));
        let lost = scan(&bytes[..starts[2] + 3], 80, SEED, Some(&seal));
        assert_eq!((lost.frames.len(), lost.damaged.len(), lost.end), (2, 0, starts[2]));
    }

    #[test]
    fn bytes_inside_an_event_are_never_taken_for_a_frame() {
        let mut forged = Vec::new();
        write_frame(&mut forged, SEED + 1, u64::MAX, FrameKind::Record, |out| out.extend_from_slice(b"forged"));
        let (mut bytes, starts) = file(&[&[&forged], &[b"two"]]);
        bytes[starts[0]] = 0;
        check(&bytes, None, &[b"two"], 1);
    }
}
