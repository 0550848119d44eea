//! What each segment on disk still holds that is nowhere else: decides which may be removed.

use std::collections::VecDeque;

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::SegmentId;
use crate::DatasetName;

/// Content of one segment.
#[derive(Debug, Clone, Default)]
pub(crate) struct SegmentContent {
    pub(crate) id: SegmentId,
    pub(crate) bytes: u64,
    /// Number of the last record; 0 for none.
    pub(crate) last_lsn: u64,
    /// Last seq of each dataset in here.
    pub(crate) last_seqs: HashMap<DatasetName, u64>,
}

/// All segments, oldest first; the last one may still be written to.
#[derive(Debug, Default)]
pub(crate) struct WalIndex {
    segments: Mutex<VecDeque<SegmentContent>>,
}

/// Segments that can go, and what keeps the next one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Trim {
    pub(crate) ids: Vec<SegmentId>,
    /// Datasets that must be flushed before more can go.
    pub(crate) held_by: Vec<DatasetName>,
    /// True when the counts must be flushed before more can go.
    pub(crate) held_by_counts: bool,
}

impl WalIndex {
    pub(crate) fn push(&self, content: SegmentContent) {
        self.segments.lock().push_back(content);
    }

    /// Notes a synced group in the newest segment.
    pub(crate) fn note(&self, bytes: u64, last_lsn: u64, seqs: impl Iterator<Item = (DatasetName, u64)>) {
        let mut segments = self.segments.lock();
        let Some(segment) = segments.back_mut() else { return };
        segment.bytes = segment.bytes.max(bytes);
        segment.last_lsn = segment.last_lsn.max(last_lsn);
        for (dataset, seq) in seqs {
            let last = segment.last_seqs.entry(dataset).or_default();
            *last = (*last).max(seq);
        }
    }

    /// The oldest closed segments of which everything is in files: `flushed` tells a dataset's last seq in files.
    pub(crate) fn trim(&self, counted_lsn: u64, flushed: impl Fn(&DatasetName) -> u64) -> Trim {
        let segments = self.segments.lock();
        let mut trim = Trim::default();
        for segment in segments.iter().take(segments.len().saturating_sub(1)) {
            let held_by: Vec<DatasetName> = segment
                .last_seqs
                .iter()
                .filter(|(dataset, seq)| flushed(dataset) < **seq)
                .map(|(dataset, _)| dataset.clone())
                .collect();
            let held_by_counts = segment.last_lsn > counted_lsn;
            if held_by_counts || !held_by.is_empty() {
                return Trim { held_by, held_by_counts, ..trim };
            }
            trim.ids.push(segment.id);
        }
        trim
    }

    /// The oldest segment.
    pub(crate) fn oldest(&self) -> Option<SegmentId> {
        self.segments.lock().front().map(|segment| segment.id)
    }

    /// Forgets a removed segment.
    pub(crate) fn remove(&self, id: SegmentId) {
        self.segments.lock().retain(|segment| segment.id != id);
    }

    /// All segments, each with how much of it counts: what was synced, or, of those found at start, all.
    pub(crate) fn sizes(&self) -> Vec<(SegmentId, u64)> {
        self.segments.lock().iter().map(|segment| (segment.id, segment.bytes)).collect()
    }

    /// Number of segments and their bytes.
    pub(crate) fn size(&self) -> (u64, u64) {
        let segments = self.segments.lock();
        (segments.len() as u64, segments.iter().map(|segment| segment.bytes).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_go_oldest_first_once_everything_in_them_is_elsewhere() {
        let (shop, mail) = (DatasetName::system("shop"), DatasetName::system("mail"));
        let index = WalIndex::default();
        let segment = |id, lsn, seqs: &[(&DatasetName, u64)]| SegmentContent {
            id: SegmentId(id),
            bytes: 10,
            last_lsn: lsn,
            last_seqs: seqs.iter().map(|(name, seq)| ((*name).clone(), *seq)).collect(),
        };
        index.push(segment(1, 5, &[(&shop, 3)]));
        index.push(segment(2, 9, &[(&shop, 6), (&mail, 1)]));
        index.push(segment(3, 10, &[]));
        let flushed = |shop_seq, mail_seq| {
            let shop = shop.clone();
            move |name: &DatasetName| if *name == shop { shop_seq } else { mail_seq }
        };
        assert_eq!(
            index.trim(9, flushed(2, 1)),
            Trim { ids: vec![], held_by: vec![shop.clone()], held_by_counts: false }
        );
        assert_eq!(
            index.trim(5, flushed(6, 0)),
            Trim { ids: vec![SegmentId(1)], held_by: vec![mail], held_by_counts: true }
        );
        assert_eq!(index.trim(99, flushed(6, 1)).ids, [SegmentId(1), SegmentId(2)], "the newest one stays");
        index.remove(SegmentId(1));
        assert_eq!(index.size(), (2, 20));
    }
}
