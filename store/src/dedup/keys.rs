//! A window of idempotency keys, each with the digest of the request it came with and the WAL segment that holds it.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::Digest;
use crate::{
    Timestamp,
    wal::{
        SegmentId,
        record::{CarriedKey, KeyEntry},
    },
};

/// What is known of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyAnswer {
    New,
    /// The same events came with it before.
    Repeated,
    /// Other events came with it before.
    Reused,
}

#[derive(Debug, Clone)]
struct Entry {
    digest: Digest,
    received_at: Timestamp,
    /// The receipt by the window's clock.
    seen_at: Timestamp,
    /// The newest segment that holds the key; it must be carried over before that one is removed.
    segment: SegmentId,
}

type Key = (String, String);

/// Keys seen within the window, per dataset.
#[derive(Debug)]
pub(crate) struct KeyWindow {
    entries: HashMap<Key, Entry>,
    /// In order of arrival, with when it was seen; one whose entry was seen at another time is out of date.
    order: VecDeque<(Key, Timestamp)>,
    window_us: i64,
    keys_max: usize,
}

impl KeyWindow {
    pub(crate) fn new(window_s: u64, keys_max: u64) -> Self {
        Self {
            entries: HashMap::new(),
            order: VecDeque::new(),
            window_us: i64::try_from(window_s.saturating_mul(1_000_000)).unwrap_or(i64::MAX),
            keys_max: usize::try_from(keys_max).unwrap_or(usize::MAX),
        }
    }

    pub(crate) fn look_up(&self, dataset: &str, entry: &KeyEntry, now: Timestamp) -> KeyAnswer {
        match self.entries.get(&(dataset.to_owned(), entry.key.clone())) {
            Some(known) if now.0.saturating_sub(known.seen_at.0) > self.window_us => KeyAnswer::New,
            Some(known) if known.digest == entry.digest => KeyAnswer::Repeated,
            Some(_) => KeyAnswer::Reused,
            None => KeyAnswer::New,
        }
    }

    /// Remembers a key that was new. `seen_at`: its receipt by the window's clock. `segment`: where the WAL holds it.
    pub(crate) fn insert(
        &mut self,
        dataset: &str,
        entry: &KeyEntry,
        received_at: Timestamp,
        seen_at: Timestamp,
        segment: SegmentId,
    ) {
        let key = (dataset.to_owned(), entry.key.clone());
        let new = Entry { digest: entry.digest, received_at, seen_at, segment };
        let known = self.entries.insert(key.clone(), new);
        // A carried copy of a key only moves to another segment.
        if known.is_none_or(|known| known.received_at != received_at || known.seen_at != seen_at) {
            self.order.push_back((key, seen_at));
        }
        self.expire(seen_at);
    }

    /// Forgets the newest `count` keys: the group that brought them was not made durable.
    pub(crate) fn rewind(&mut self, count: usize) {
        for _ in 0..count {
            if let Some((key, _)) = self.order.pop_back() {
                self.entries.remove(&key);
            }
        }
    }

    /// Keys whose only copy is in a segment up to `through`, and are still needed at `now`.
    pub(crate) fn held_through(&self, through: SegmentId, now: Timestamp) -> Vec<CarriedKey> {
        let needed =
            |entry: &&Entry| entry.segment <= through && now.0.saturating_sub(entry.seen_at.0) <= self.window_us;
        self.order
            .iter()
            .filter_map(|(key, seen_at)| {
                Some((key, self.entries.get(key).filter(|entry| entry.seen_at == *seen_at).filter(needed)?))
            })
            .map(|((dataset, key), entry)| CarriedKey {
                received_at: entry.received_at,
                dataset: dataset.clone(),
                entry: KeyEntry { key: key.clone(), digest: entry.digest },
            })
            .collect()
    }

    /// Notes that the WAL holds these keys in `segment` as well now.
    pub(crate) fn carried(&mut self, keys: &[CarriedKey], segment: SegmentId) {
        for key in keys {
            if let Some(entry) = self.entries.get_mut(&(key.dataset.clone(), key.entry.key.clone())) {
                entry.segment = segment;
            }
        }
    }

    /// How many keys are remembered.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How far back a key is recognised, in seconds; the configured window while none was pushed out by number.
    pub(crate) fn effective_window_s(&self, now: Timestamp) -> u64 {
        let configured = self.window_us / 1_000_000;
        let oldest = self.order.front().filter(|_| self.order.len() >= self.keys_max);
        let reach = oldest.map_or(configured, |(_, seen_at)| ((now.0 - seen_at.0) / 1_000_000).clamp(0, configured));
        u64::try_from(reach).unwrap_or(0)
    }

    fn expire(&mut self, now: Timestamp) {
        while let Some((key, seen_at)) = self.order.front() {
            let old = now.0.saturating_sub(seen_at.0) > self.window_us;
            if !old && self.order.len() <= self.keys_max {
                return;
            }
            if self.entries.get(key).is_some_and(|entry| entry.seen_at == *seen_at) {
                self.entries.remove(key);
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str, body: &str) -> KeyEntry {
        KeyEntry { key: key.to_owned(), digest: Digest::of_events(&[body.as_bytes()]) }
    }

    #[test]
    fn a_key_is_repeated_reused_or_new_again_after_the_window() {
        let mut window = KeyWindow::new(3600, 10);
        window.insert("shop", &entry("k", "{}"), Timestamp(0), Timestamp(0), SegmentId(1));
        let at = |seconds: i64| Timestamp(seconds * 1_000_000);
        assert_eq!(window.look_up("shop", &entry("k", "{}"), at(3540)), KeyAnswer::Repeated);
        assert_eq!(window.look_up("shop", &entry("k", "{ }"), at(3540)), KeyAnswer::Reused);
        assert_eq!(window.look_up("other", &entry("k", "{}"), at(3540)), KeyAnswer::New);
        assert_eq!(window.look_up("shop", &entry("k", "{ }"), at(3601)), KeyAnswer::New);
    }

    #[test]
    fn keys_are_bounded_rewound_and_carried() {
        let mut window = KeyWindow::new(3600, 3);
        for n in 0..5_u64 {
            window.insert("shop", &entry(&n.to_string(), ""), Timestamp(0), Timestamp(0), SegmentId(n));
        }
        assert_eq!(window.len(), 3);
        assert_eq!(window.effective_window_s(Timestamp(7_000_000)), 7);
        window.rewind(1);
        assert_eq!(window.look_up("shop", &entry("4", ""), Timestamp(0)), KeyAnswer::New);
        let held = window.held_through(SegmentId(2), Timestamp(0));
        assert_eq!(held.iter().map(|key| key.entry.key.as_str()).collect::<Vec<_>>(), ["2"]);
        window.carried(&held, SegmentId(9));
        assert!(window.held_through(SegmentId(3), Timestamp(0)).iter().all(|key| key.entry.key == "3"));
    }
}
