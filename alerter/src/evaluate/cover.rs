//! Tells each new change which metrics would notice what it breaks.

use store::{DatasetName, Timestamp};

use super::Core;
use crate::{change::Change, coverage, history::DAY_MINUTES};

/// Changes older than this are not told any more: what covered them then is not known now.
const TOLD_MINUTES: i64 = DAY_MINUTES;

/// Changes told in one round at most.
const ROUND_MAX: usize = 100;

impl Core {
    /// Stores the coverage of changes that have none yet. Waits until every metric knows its past.
    pub(super) async fn cover_changes(&mut self, now: Timestamp) {
        let changes = self.changes();
        if self.is_loading() {
            return;
        }
        let earliest = now.minutes() - TOLD_MINUTES;
        let is_new = |change: &&Change| {
            change.time.minutes() >= earliest && coverage::is_asked(change) && !self.covered.contains(&key(change))
        };
        let fresh: Vec<Change> = changes.iter().filter(is_new).take(ROUND_MAX).cloned().collect();
        if fresh.is_empty() {
            return;
        }
        let mut events = Vec::new();
        for change in &fresh {
            let watchers = self.tracked.values().map(crate::track::Tracked::watcher);
            let coverage = coverage::coverage(change, watchers, change.time.minutes());
            if let Some(warning) = &coverage.warning {
                tracing::warn!(change = %change.id, "{warning}");
            }
            events.extend(coverage::events(change, &coverage));
        }
        let dataset = DatasetName::system("change_coverage");
        match self.store.append_values(&dataset, &events).await {
            Ok(_) => {
                let current: std::collections::BTreeSet<(String, i64)> = changes.iter().map(key).collect();
                self.covered.retain(|known| current.contains(known));
                self.covered.extend(fresh.iter().map(key));
            }
            Err(source) => {
                let error = crate::Error::Append { dataset: dataset.to_string(), source };
                tracing::error!(error = %error.chain(), "the coverage of changes waits for the store");
            }
        }
    }
}

fn key(change: &Change) -> (String, i64) {
    (change.id.clone(), change.json.get("revision").and_then(serde_json::Value::as_i64).unwrap_or(1))
}
