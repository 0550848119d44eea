//! A window of event ids: a queue of hashes in order of arrival, and hash tables of places in it.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
};

use hashbrown::{HashTable, hash_table::Entry};

use crate::Timestamp;

/// Hashes per chunk of the queue; a chunk leaves the window as a whole (about 1 ms of work).
const CHUNK_IDS: usize = 8192;
/// Tables are split so that growing one stops the writer for milliseconds, not for a second.
const SHARDS: usize = 64;

/// What is remembered of one event id of one dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct IdHash {
    low: u64,
    high: u32,
}

/// 12 bytes without padding.
type Packed = [u32; 3];

impl IdHash {
    #[expect(clippy::cast_possible_truncation, reason = "splits a word in two")]
    fn pack(self) -> Packed {
        [self.low as u32, (self.low >> 32) as u32, self.high]
    }
    fn unpack(packed: Packed) -> Self {
        Self { low: u64::from(packed[0]) | u64::from(packed[1]) << 32, high: packed[2] }
    }
    fn shard(self) -> usize {
        self.high as usize % SHARDS
    }
}

/// Hashes ids with keys drawn at start, so that nobody can choose ids that collide.
#[derive(Debug, Clone, Default)]
pub(crate) struct IdHasher {
    low: RandomState,
    high: RandomState,
}

impl IdHasher {
    pub(crate) fn hash(&self, dataset: &str, id: &str) -> IdHash {
        IdHash { low: self.low.hash_one((dataset, id)), high: (self.high.hash_one((dataset, id)) >> 32) as u32 }
    }
}

#[derive(Debug)]
struct Chunk {
    ids: Vec<Packed>,
    oldest: Timestamp,
    newest: Timestamp,
}

/// Fills a chunk that is closed because of its age. No id hashes to it in practice, and none is looked up by it.
const PADDING: Packed = [0; 3];
/// A chunk is closed after this share of the window, so that ids leave at most that much late.
const CHUNKS_PER_WINDOW: i64 = 16;

/// Ids seen within the window. Not `Sync` on purpose: one thread decides.
#[derive(Debug)]
pub(crate) struct IdWindow {
    chunks: VecDeque<Chunk>,
    /// Place of the first id of the first chunk; places wrap around.
    first_place: u32,
    tables: Vec<HashTable<u32>>,
    ids: usize,
    window_us: i64,
    ids_max: usize,
    /// Newest time of what left before its age: what came later is all remembered.
    pushed_out: Option<Timestamp>,
}

impl IdWindow {
    pub(crate) fn new(window_s: u64, ids_max: u64) -> Self {
        Self {
            chunks: VecDeque::new(),
            first_place: 0,
            tables: (0..SHARDS).map(|_| HashTable::new()).collect(),
            ids: 0,
            window_us: i64::try_from(window_s.saturating_mul(1_000_000)).unwrap_or(i64::MAX),
            ids_max: usize::try_from(ids_max).unwrap_or(usize::MAX),
            pushed_out: None,
        }
    }

    /// Makes room for about so many ids at once: growing step by step looks up each id several times in memory.
    pub(crate) fn reserve(&mut self, ids: usize) {
        let (chunks, first_place) = (&self.chunks, self.first_place);
        for table in &mut self.tables {
            table.reserve(ids.min(self.ids_max) / SHARDS, |known| {
                at(chunks, first_place, *known).map_or(0, |id| id.low)
            });
        }
    }

    /// Remembers an id; false when it is a duplicate.
    pub(crate) fn insert(&mut self, id: IdHash, received_at: Timestamp) -> bool {
        self.expire(received_at);
        self.open_chunk(received_at);
        let (place, first_place) = (self.place_after_last(), self.first_place);
        let chunks = &self.chunks;
        // One look into the table for both: it is rarely in a cache.
        let entry = self.tables[id.shard()].entry(
            id.low,
            |known| at(chunks, first_place, *known) == Some(id),
            |known| at(chunks, first_place, *known).map_or(0, |id| id.low),
        );
        let Entry::Vacant(vacant) = entry else { return false };
        vacant.insert(place);
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.ids.push(id.pack());
            chunk.newest = chunk.newest.max(received_at);
        }
        self.ids += 1;
        true
    }

    #[cfg(test)]
    fn contains(&self, id: IdHash) -> bool {
        self.tables[id.shard()].find(id.low, |place| at(&self.chunks, self.first_place, *place) == Some(id)).is_some()
    }

    /// Forgets the newest `count` ids again: the group that brought them was not made durable.
    pub(crate) fn rewind(&mut self, count: usize) {
        let mut left = count;
        while left > 0 {
            let Some(chunk) = self.chunks.back() else { return };
            let Some(packed) = chunk.ids.last().copied() else {
                self.chunks.pop_back();
                continue;
            };
            if packed != PADDING {
                self.remove(IdHash::unpack(packed));
                self.ids -= 1;
                left -= 1;
            }
            if let Some(chunk) = self.chunks.back_mut() {
                chunk.ids.pop();
            }
        }
    }

    /// How many ids are remembered.
    pub(crate) fn len(&self) -> usize {
        self.ids
    }

    /// For how many seconds every id is remembered; the configured window while nothing was pushed out by number.
    pub(crate) fn effective_window_s(&self, now: Timestamp) -> u64 {
        let configured = self.window_us / 1_000_000;
        let reaches = self.pushed_out.map(|newest| (now.0 - newest.0) / 1_000_000);
        u64::try_from(reaches.map_or(configured, |age| age.clamp(0, configured))).unwrap_or(0)
    }

    /// Makes sure the last chunk takes another id.
    fn open_chunk(&mut self, now: Timestamp) {
        let share = self.window_us / CHUNKS_PER_WINDOW;
        match self.chunks.back_mut() {
            Some(last) if last.ids.len() < CHUNK_IDS && now.0.saturating_sub(last.oldest.0) <= share => return,
            Some(last) => last.ids.resize(CHUNK_IDS, PADDING),
            None => {}
        }
        self.chunks.push_back(Chunk { ids: Vec::new(), oldest: now, newest: now });
    }

    /// Drops chunks older than the window, and the oldest ones beyond the number allowed.
    fn expire(&mut self, now: Timestamp) {
        while let Some(front) = self.chunks.front() {
            let old = now.0.saturating_sub(front.newest.0) > self.window_us;
            let too_many = self.ids >= self.ids_max && self.chunks.len() > 1;
            if !old && !too_many {
                return;
            }
            if !old {
                self.pushed_out = Some(front.newest);
            }
            for index in 0..front.ids.len() {
                let packed = self.chunks[0].ids[index];
                if packed != PADDING {
                    self.remove(IdHash::unpack(packed));
                    self.ids -= 1;
                }
            }
            self.chunks.pop_front();
            self.first_place = self.first_place.wrapping_add(u32::try_from(CHUNK_IDS).unwrap_or(u32::MAX));
        }
    }

    fn remove(&mut self, id: IdHash) {
        let (chunks, first_place) = (&self.chunks, self.first_place);
        if let Ok(entry) =
            self.tables[id.shard()].find_entry(id.low, |place| at(chunks, first_place, *place) == Some(id))
        {
            entry.remove();
        }
    }

    fn place_after_last(&self) -> u32 {
        let whole = self.chunks.len().saturating_sub(1) * CHUNK_IDS;
        let last = self.chunks.back().map_or(0, |chunk| chunk.ids.len());
        self.first_place.wrapping_add(u32::try_from(whole + last).unwrap_or(u32::MAX))
    }
}

/// The id at a place. Every chunk but the last is full, so a place finds its chunk by division.
fn at(chunks: &VecDeque<Chunk>, first_place: u32, place: u32) -> Option<IdHash> {
    let offset = place.wrapping_sub(first_place) as usize;
    chunks.get(offset / CHUNK_IDS)?.ids.get(offset % CHUNK_IDS).copied().map(IdHash::unpack)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: i64) -> Timestamp {
        Timestamp(n * 1_000_000)
    }

    #[test]
    fn an_id_counts_once_within_the_window() {
        let hasher = IdHasher::default();
        let mut window = IdWindow::new(3600, 1_000_000);
        assert!(window.insert(hasher.hash("shop", "a"), second(0)));
        assert!(!window.insert(hasher.hash("shop", "a"), second(3540)));
        assert!(window.insert(hasher.hash("other", "a"), second(3540)), "ids are per dataset");
    }

    #[test]
    fn old_ids_leave_by_age_and_by_number() {
        let hasher = IdHasher::default();
        let id = |n: usize| hasher.hash("shop", &n.to_string());
        let mut window = IdWindow::new(64, 3 * CHUNK_IDS as u64);
        assert!((0..100).all(|n| window.insert(id(n), second(0))));
        assert!((100..200).all(|n| window.insert(id(n), second(10))));
        assert!((200..300).all(|n| window.insert(id(n), second(65))));
        assert_eq!(window.len(), 200, "the first hundred is older than the window");
        assert!(!window.contains(id(50)) && window.contains(id(150)));
        assert!((300..10 * CHUNK_IDS).all(|n| window.insert(id(n), second(66))));
        assert!(window.len() <= 3 * CHUNK_IDS && window.len() > 2 * CHUNK_IDS);
        assert!(!window.contains(id(7 * CHUNK_IDS - 300)));
        assert!((8 * CHUNK_IDS..10 * CHUNK_IDS).all(|n| window.contains(id(n))));
        assert_eq!(window.effective_window_s(second(70)), 4);
        assert!((20 * CHUNK_IDS..21 * CHUNK_IDS + 1).all(|n| window.insert(id(n), second(67))));
        assert_eq!(window.effective_window_s(second(70)), 4, "said also when room was just made");
    }

    #[test]
    fn a_failed_group_is_forgotten_and_nothing_else() {
        let hasher = IdHasher::default();
        let id = |n: usize| hasher.hash("shop", &n.to_string());
        let mut window = IdWindow::new(3600, 1_000_000);
        let kept = CHUNK_IDS - 10;
        assert!((0..kept).all(|n| window.insert(id(n), second(0))));
        assert!((kept..kept + 3 * CHUNK_IDS).all(|n| window.insert(id(n), second(600))));
        window.rewind(3 * CHUNK_IDS);
        assert_eq!(window.len(), kept);
        assert!((0..kept).all(|n| window.contains(id(n))));
        assert!((kept..kept + 3 * CHUNK_IDS).all(|n| !window.contains(id(n))));
        assert!((kept..kept + 100).all(|n| window.insert(id(n), second(600))));
        assert!((0..kept + 100).all(|n| !window.insert(id(n), second(601))));
    }
}
