//! Retries do not double: event ids and idempotency keys seen lately.
//!
//! Both live with the WAL's writer thread alone, which decides in the order of the log. Bounds: `store.dedup_window_s`,
//! `store.dedup_ids_max` (at 20 M ids: 240 MB of hashes and at most 170 MB of tables), `store.dedup_keys_max`.
//! Ids are compared by 96 bits of two keyed hashes: among 20 M ids two different ones agree with a chance of 1e-14.
//! After a restart both are rebuilt: ids from the WAL and from column `event_id` of recent files, keys from the WAL,
//! which carries keys over when it drops a segment.
//!
//! # When the clock is set
//! While the process runs, age is measured by [`WindowClock`], which runs on when the clock of the machine is set forward or
//! back: neither empties the window nor freezes it. A start has only the times of receipt to go by and compares them with
//! the clock as it is then: what was received "in the future" counts as received at the start, and a clock that was set
//! forward by more than the window looks like a long stop, so ids from before it are forgotten.

mod clock;
mod ids;
mod keys;

pub(crate) use clock::WindowClock;
pub(crate) use ids::{IdHash, IdHasher, IdWindow};
pub(crate) use keys::{KeyAnswer, KeyWindow};
use sha2::{Digest as _, Sha256};

/// The first 16 bytes of a SHA-256: tells whether two requests carry the same events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest(pub(crate) [u8; 16]);

impl Digest {
    /// Over all events of a request, refused ones included, in order.
    pub(crate) fn of_events(events: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for event in events {
            hasher.update((event.len() as u64).to_le_bytes());
            hasher.update(event);
        }
        let mut digest = [0; 16];
        digest.copy_from_slice(&hasher.finalize()[..16]);
        Self(digest)
    }
}
