//! Prefixes that grow without end: ids used as keys.
//!
//! More than [`SIBLINGS_MAX`] new names under one prefix within a minute of receipt collapse it: from there on a name below it that has
//! no column yet gets none, and its values go to `rest` under that name. Columns settled before stay. Judged at insert, in the
//! order of the WAL and by the records' `received_at`, and kept in the Delta log: a replay comes to the same columns.
//! The event itself is no prefix, and experiments are never collapsed.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashSet;
use serde::{Deserialize, Serialize};

use super::trie::EXPERIMENTS;

/// New names under one prefix in a minute that are still taken for names (DESIGN: width).
const SIBLINGS_MAX: u32 = 200;

#[derive(Debug, Default)]
pub(super) struct Growth {
    state: State,
    /// Every column's name and all prefixes of it.
    known: HashSet<Box<str>>,
}

/// What the Delta log keeps.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct State {
    collapsed: BTreeSet<String>,
    /// Minute since 1970 in which the last new name was received.
    minute: i64,
    /// New names under each prefix in that minute.
    new: BTreeMap<String, u32>,
}

impl Growth {
    /// Whether a name that has no column yet may become one.
    pub(super) fn admit(&mut self, name: &str, minute: i64) -> bool {
        if name.starts_with(EXPERIMENTS) {
            return true;
        }
        if is_below(&self.state.collapsed, name) {
            return false;
        }
        if minute != self.state.minute {
            self.state.minute = minute;
            self.state.new.clear();
        }
        for (prefix, child) in levels(name) {
            if self.known.contains(child) {
                continue;
            }
            let siblings = self.state.new.entry(prefix.to_owned()).or_default();
            *siblings += 1;
            if *siblings > SIBLINGS_MAX {
                tracing::warn!(
                    prefix,
                    siblings,
                    "more new keys below a prefix in a minute than names are: they look like ids, and go to the column `rest` from now on"
                );
                self.state.new.remove(prefix);
                self.state.collapsed.insert(prefix.to_owned());
                return false;
            }
        }
        self.learn(name);
        true
    }

    /// Notes a column.
    pub(super) fn learn(&mut self, name: &str) {
        self.known.insert(name.into());
        for (prefix, _) in levels(name) {
            if !self.known.contains(prefix) {
                self.known.insert(prefix.into());
            }
        }
    }

    /// The collapsed prefixes.
    pub(super) fn collapsed(&self) -> BTreeSet<String> {
        self.state.collapsed.clone()
    }

    /// For the Delta log; `None` while there is nothing to tell. Changes only with a new name.
    pub(super) fn to_code(&self) -> Option<String> {
        let is_empty = self.state.collapsed.is_empty() && self.state.new.is_empty();
        (!is_empty).then(|| serde_json::json!(self.state).to_string())
    }

    /// The inverse of `to_code`; columns are learnt one by one.
    pub(super) fn from_code(code: &str) -> Result<Self, serde_json::Error> {
        Ok(Self { state: serde_json::from_str(code)?, known: HashSet::new() })
    }
}

/// Each prefix of a name, and the prefix or name one level below it: `a.b.c` has (`a`, `a.b`) and (`a.b`, `a.b.c`).
fn levels(name: &str) -> impl Iterator<Item = (&str, &str)> {
    name.match_indices('.').map(|(dot, _)| {
        let below = name[dot + 1..].find('.').map_or(name.len(), |next| dot + 1 + next);
        (&name[..dot], &name[..below])
    })
}

/// Whether a name stands below one of these prefixes.
pub(crate) fn is_below(prefixes: &BTreeSet<String>, name: &str) -> bool {
    !prefixes.is_empty() && levels(name).any(|(prefix, _)| prefixes.contains(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_collapses_at_the_first_name_too_many_of_a_minute() {
        let mut growth = Growth::default();
        for id in 0..SIBLINGS_MAX {
            assert!(growth.admit(&format!("orders.{id}.price"), 7), "{id}");
            assert!(growth.admit(&format!("orders.{id}.count"), 7), "{id}");
        }
        assert!(!growth.admit("orders.next.price", 7));
        assert!(!growth.admit("orders.later", 8));
        assert!(!growth.admit("orders.17.tax", 8), "new below an old one");
        assert!(growth.admit("order.17", 8));
        assert_eq!(growth.collapsed(), BTreeSet::from(["orders".to_owned()]));
    }

    #[test]
    fn slow_growth_top_names_and_experiments_are_taken() {
        let mut growth = Growth::default();
        for name in 0..5 * SIBLINGS_MAX {
            assert!(growth.admit(&format!("slow.{name}"), i64::from(name / SIBLINGS_MAX)), "{name}");
            assert!(growth.admit(&format!("top{name}"), 1));
            assert!(growth.admit(&format!("experiments.{name}"), 1));
        }
        assert!(growth.collapsed().is_empty());
    }

    #[test]
    fn counting_goes_on_after_a_restart() {
        let mut growth = Growth::default();
        let names: Vec<String> = (0..SIBLINGS_MAX).map(|id| format!("cart.{id}")).collect();
        assert!(names.iter().all(|name| growth.admit(name, 3)));
        let mut restored = Growth::from_code(&growth.to_code().unwrap()).unwrap();
        names.iter().for_each(|name| restored.learn(name));
        assert!(!restored.admit("cart.next", 3));
        let again = Growth::from_code(&restored.to_code().unwrap()).unwrap();
        assert_eq!(again.collapsed(), restored.collapsed());
    }
}
