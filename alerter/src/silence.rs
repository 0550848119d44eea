//! Silences: a person says that a metric shall not page for a while. Incidents are recorded all the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::Timestamp;

use crate::alert::rfc3339;

/// One silence, as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Its id.
    pub id: String,
    /// The metric, or `*` for all.
    pub metric: String,
    /// When it was set.
    #[serde(with = "rfc3339")]
    pub from: Timestamp,
    /// When it ends by itself.
    #[serde(with = "rfc3339")]
    pub until: Timestamp,
    /// Who set it.
    pub actor: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

impl Silence {
    /// True while it holds for a metric.
    #[must_use]
    pub fn covers(&self, metric: &str, now: Timestamp) -> bool {
        (self.metric == "*" || self.metric == metric) && self.from <= now && now < self.until
    }

    /// Its event in `system.alerts`.
    pub(crate) fn created_event(&self) -> Value {
        json!({
            "time": self.from.to_rfc3339(),
            "id": format!("{}:created", self.id),
            "type": "silence_created",
            "silence_id": self.id,
            "metric": self.metric,
            "until": self.until.to_rfc3339(),
            "actor": self.actor,
            "reason": self.reason,
        })
    }

    /// The event of its early end.
    pub(crate) fn ended_event(&self, now: Timestamp) -> Value {
        json!({
            "time": now.to_rfc3339(),
            "id": format!("{}:ended", self.id),
            "type": "silence_ended",
            "silence_id": self.id,
            "metric": self.metric,
        })
    }
}

/// The silences that the events of `system.alerts` leave in force or to come.
pub(crate) fn restored(events: &[Value]) -> BTreeMap<String, Silence> {
    let mut silences = BTreeMap::new();
    for event in events {
        let text = |key: &str| event.get(key).and_then(Value::as_str).map(str::to_owned);
        let time = |key: &str| text(key).and_then(|text| Timestamp::parse_rfc3339(&text));
        let Some(id) = text("silence_id") else { continue };
        match text("type").as_deref() {
            Some("silence_created") => {
                if let (Some(metric), Some(from), Some(until)) = (text("metric"), time("time"), time("until")) {
                    let silence =
                        Silence { id: id.clone(), metric, from, until, actor: text("actor"), reason: text("reason") };
                    silences.insert(id, silence);
                }
            }
            Some("silence_ended") => {
                silences.remove(&id);
            }
            _ => {}
        }
    }
    silences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silences_come_back_from_their_events() {
        let now = Timestamp::from_minutes(29_919_730);
        let silence = |id: &str, metric: &str| Silence {
            id: id.into(),
            metric: metric.into(),
            from: now,
            until: now.plus_seconds(3600),
            actor: Some("j.doe".into()),
            reason: None,
        };
        let (a, b) = (silence("a", "bookings"), silence("b", "*"));
        let events = [a.created_event(), b.created_event(), a.ended_event(now.plus_seconds(60))];
        let restored = restored(&events);
        assert_eq!(restored.into_values().collect::<Vec<_>>(), std::slice::from_ref(&b));
        assert!(b.covers("bookings", now) && !b.covers("bookings", now.plus_seconds(3600)));
        assert!(!a.covers("revenue", now));
    }
}
