//! First sights: values of service.version, rollout and experiment variants never seen before in a dataset.
//!
//! What was seen is a set of 64-bit hashes, one per (environment, service, dimension, target, value): a look-up per row and
//! dimension costs some nanoseconds, and the set is small enough to be persisted with the Delta log, so it outlives retention.

use hashbrown::HashSet;

use crate::catalog::trie::Role;

/// Sights remembered at most; beyond it the oldest are forgotten, and would be reported again.
const SEEN_MAX: usize = 50_000;

#[derive(Debug, Default)]
pub(crate) struct Sights {
    seen: HashSet<u64>,
    /// In order of first occurrence.
    order: Vec<u64>,
}

impl Sights {
    /// True if this value was never seen; remembers it.
    #[inline]
    pub(crate) fn is_new(&mut self, hash: u64) -> bool {
        let is_new = self.seen.insert(hash);
        if is_new {
            self.remember(hash);
        }
        is_new
    }

    #[cold]
    fn remember(&mut self, hash: u64) {
        if self.order.len() >= SEEN_MAX {
            for old in self.order.drain(..SEEN_MAX / 2) {
                self.seen.remove(&old);
            }
        }
        self.order.push(hash);
    }

    /// As persisted: 16 hexadecimal digits per sight.
    pub(crate) fn to_code(&self) -> String {
        self.order.iter().map(|hash| format!("{hash:016x}")).collect()
    }

    /// The inverse of `to_code`; what cannot be read is left out, to be seen again.
    pub(crate) fn from_code(code: &str) -> Self {
        let hash = |chunk: &[u8]| u64::from_str_radix(std::str::from_utf8(chunk).ok()?, 16).ok();
        let order: Vec<u64> = code.as_bytes().chunks(16).filter_map(hash).collect();
        Self { seen: order.iter().copied().collect(), order }
    }
}

/// Hash of one sight: FNV-1a over the parts with a separator that no UTF-8 text holds, mixed so that all bits count. Fixed
/// for ever, since hashes are persisted.
pub(crate) fn hash(parts: &[&str]) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.bytes().chain([0xff]) {
            state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    state = (state ^ (state >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    state ^ (state >> 32)
}

/// Name of the dimension a role stands for, as in `FirstSight`.
pub(crate) fn dimension(role: Role) -> Option<&'static str> {
    match role {
        Role::Version => Some("version"),
        Role::Rollout(_) => Some("rollout"),
        Role::Experiment => Some("experiment"),
        Role::None | Role::Environment(_) | Role::Service => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_new_once_and_after_a_restart_still_known() {
        let mut sights = Sights::default();
        let key = hash(&["production", "web", "version", "service.version", "1.0"]);
        assert!(sights.is_new(key));
        assert!(!sights.is_new(key));
        let mut restored = Sights::from_code(&sights.to_code());
        assert!(!restored.is_new(key));
        assert!(restored.is_new(hash(&["production", "web", "version", "service.version", "1.1"])));
    }

    #[test]
    fn the_oldest_sights_are_forgotten_at_the_bound() {
        let mut sights = Sights::default();
        for number in 0..SEEN_MAX as u64 {
            assert!(sights.is_new(number));
        }
        assert!(sights.is_new(u64::MAX));
        assert!(sights.is_new(0));
        assert!(!sights.is_new(SEEN_MAX as u64 - 1));
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
    }
}
