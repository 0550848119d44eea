//! Sets of sequence numbers: one bit per event, so that gaps and doubles are found exactly.

use std::collections::BTreeMap;

/// Numbers per chunk.
const CHUNK: u64 = 65_536;
const WORDS: usize = 1_024;

/// A set of numbers from 1 on: 8 KiB per 65,536 numbers that are near each other.
#[derive(Debug, Default)]
pub(super) struct SeqSet {
    chunks: BTreeMap<u64, Box<[u64; WORDS]>>,
    len: u64,
}

impl SeqSet {
    /// False when it was there already.
    pub(super) fn insert(&mut self, seq: u64) -> bool {
        let words = self.chunks.entry(seq / CHUNK).or_insert_with(|| Box::new([0; WORDS]));
        let place = usize::try_from(seq % CHUNK).unwrap_or(0);
        let bit = 1_u64 << (place % 64);
        let new = words[place / 64] & bit == 0;
        words[place / 64] |= bit;
        self.len += u64::from(new);
        new
    }

    pub(super) fn contains(&self, seq: u64) -> bool {
        let place = usize::try_from(seq % CHUNK).unwrap_or(0);
        self.chunks.get(&(seq / CHUNK)).is_some_and(|words| words[place / 64] & (1 << (place % 64)) != 0)
    }

    /// How many numbers it holds.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The first `limit` ranges of numbers from 1 to `last` that are not in it.
    pub(super) fn gaps(&self, last: u64, limit: usize) -> Vec<(u64, u64)> {
        let mut gaps: Vec<(u64, u64)> = Vec::new();
        let mut seq = 1;
        while seq <= last {
            let chunk_end = (seq / CHUNK * CHUNK).saturating_add(CHUNK - 1).min(last);
            // A chunk that is not there is missing as a whole.
            let end = if self.chunks.contains_key(&(seq / CHUNK)) { seq } else { chunk_end };
            if end > seq || !self.contains(seq) {
                let full = gaps.len() == limit;
                match gaps.last_mut() {
                    Some(gap) if gap.1 + 1 == seq => gap.1 = end,
                    _ if full => return gaps,
                    _ => gaps.push((seq, end)),
                }
            }
            seq = end + 1;
        }
        gaps
    }
}

/// The sets of one dataset, per incarnation.
#[derive(Debug, Default)]
pub(super) struct Incarnations {
    sets: Vec<(String, SeqSet)>,
    /// Rows of one file mostly share theirs.
    newest: usize,
}

impl Incarnations {
    pub(super) fn set(&mut self, incarnation: &str) -> &mut SeqSet {
        if self.sets.get(self.newest).is_none_or(|(name, _)| name != incarnation) {
            self.newest = self.sets.iter().position(|(name, _)| name == incarnation).unwrap_or_else(|| {
                self.sets.push((incarnation.to_owned(), SeqSet::default()));
                self.sets.len() - 1
            });
        }
        &mut self.sets[self.newest].1
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &SeqSet)> {
        self.sets.iter().map(|(name, set)| (name.as_str(), set))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_and_doubles_are_found_across_chunks() {
        let mut set = SeqSet::default();
        for seq in (1..=200_000).filter(|seq| !(65_530..=131_080).contains(seq) && *seq != 7) {
            assert!(set.insert(seq));
        }
        assert!(!set.insert(8) && set.contains(8) && !set.contains(7));
        assert_eq!(set.len(), 200_000 - 1 - (131_080 - 65_530 + 1));
        assert_eq!(set.gaps(200_000, 9), [(7, 7), (65_530, 131_080)]);
        assert_eq!(set.gaps(200_000, 1), [(7, 7)]);
        assert_eq!(set.gaps(200_003, 9)[2], (200_001, 200_003));
        assert_eq!(SeqSet::default().gaps(0, 9), []);
        assert_eq!(SeqSet::default().gaps(70_000, 9), [(1, 70_000)]);
    }
}
