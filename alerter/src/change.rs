//! A change line as the alerter reads it from `system.changes`.

use std::{collections::BTreeMap, fmt};

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::Timestamp;

use crate::off::OffAction;

/// What kind of change a line stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// New code.
    Deploy,
    /// New settings.
    Config,
    /// An experiment's activation.
    Experiment,
    /// A feature flag's.
    Flag,
    /// New tables or columns.
    Schema,
    /// A fault injected on purpose.
    Chaos,
    /// Announced work.
    Maintenance,
    /// A remark.
    Note,
}

/// The fields the alerter works with; `json` is the whole row for everybody else.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Its id.
    pub id: String,
    /// What kind it is.
    pub kind: ChangeKind,
    /// When it took effect.
    pub time: Timestamp,
    /// Where; `None` means everywhere.
    pub environment: Option<String>,
    /// Seen in the data instead of announced.
    pub inferred: bool,
    /// The whole change as `GET /changes/{id}` shows it.
    pub json: Value,
}

impl Change {
    /// Reads one row; `None` for rows that are no usable change.
    #[must_use]
    pub fn from_json(json: &Value) -> Option<Self> {
        let text = |key: &str| json.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        Some(Self {
            id: text("id")?.to_owned(),
            kind: serde_json::from_value(json.get("kind")?.clone()).ok()?,
            time: Timestamp::parse_rfc3339(text("time")?)?,
            environment: text("environment").map(str::to_owned),
            inferred: json.get("inferred").and_then(Value::as_bool).unwrap_or(false),
            json: json.clone(),
        })
    }

    /// A text field of the change.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.json.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// How a sentence names the line: "the yellow activation line of experiment 13".
    #[must_use]
    pub fn phrase(&self) -> String {
        let target = self.text("target").or_else(|| self.text("title")).unwrap_or("an unnamed change");
        let title = self.text("title").unwrap_or(target);
        let off = self.json.get("share").and_then(Value::as_f64) == Some(0.0) && !self.inferred;
        match self.kind {
            ChangeKind::Experiment if off => {
                format!("the switching-off line of experiment {}", self.text("experiment").unwrap_or(target))
            }
            ChangeKind::Flag if off => format!("the switching-off line of flag {target}"),
            ChangeKind::Experiment => {
                activation("experiment", self.text("experiment").unwrap_or(target), self.text("variant"), self.inferred)
            }
            ChangeKind::Flag => activation("flag", target, self.text("variant"), self.inferred),
            ChangeKind::Deploy => {
                let version =
                    self.text("version").or_else(|| self.text("rollout")).or_else(|| self.text("revision_ref"));
                let what = match (self.text("service"), version) {
                    (Some(service), Some(version)) => format!("{service} {version}"),
                    (None, Some(version)) => version.to_owned(),
                    _ => title.to_owned(),
                };
                if self.inferred { format!("the first events of {what}") } else { format!("the deploy line of {what}") }
            }
            ChangeKind::Config => format!("the config change line of {target}"),
            ChangeKind::Schema => format!("the schema change line of {target}"),
            ChangeKind::Chaos => format!("the chaos line of {target}"),
            ChangeKind::Maintenance => format!("the maintenance line of {target}"),
            ChangeKind::Note => format!("the note \u{201c}{title}\u{201d}"),
        }
    }
}

/// Id of the change that says that a change was turned off.
pub(crate) fn off_id(change: &str) -> String {
    format!("off-{change}")
}

/// Where the alerter's own lines are drawn: whoever keeps the changes merges them with what others report of the same thing.
pub trait Lines: fmt::Debug + Send + Sync {
    /// Stores a row of [`turned_off`]; the error says why it could not.
    fn draw(&self, row: Value) -> BoxFuture<'_, Result<(), String>>;
}

/// The row of `system.changes` that says a change was turned off from an incident (`console`: its page). Written as one revision of
/// its own, so that every chart shows the line.
#[must_use]
pub fn turned_off(change: &Value, action: &OffAction, console: &str) -> Value {
    let id = off_id(&action.change);
    let field = |key: &str| change.get(key).cloned().unwrap_or(Value::Null);
    let gradual = matches!(action.kind.as_str(), "experiment" | "flag");
    json!({
        "id": format!("{id}/1"), "change_id": id, "revision": 1, "kind": action.kind,
        "status": if gradual { "succeeded" } else { "rolled_back" },
        "title": format!("turned off: {}", action.title), "time": action.at.to_rfc3339(),
        "environment": field("environment"), "service": field("service"), "rollout": field("rollout"),
        "version": field("version"), "experiment": field("experiment"), "variant": field("variant"),
        "share": if gradual { json!(0.0) } else { Value::Null }, "target": field("target"), "owner": field("owner"),
        "actor": action.by(), "url": console, "source": "yellowline", "inferred": false, "dedup_key": id,
    })
}

fn activation(what: &str, name: &str, variant: Option<&str>, inferred: bool) -> String {
    match (inferred, variant) {
        (false, _) => format!("the yellow activation line of {what} {name}"),
        (true, Some(variant)) => format!("the first events of variant {variant} of {what} {name}"),
        (true, None) => format!("the first events of {what} {name}"),
    }
}

/// The current state of each change: the highest revision of each id, without those merged into another one.
#[must_use]
pub fn latest(rows: &[Value]) -> Vec<Change> {
    let mut newest: BTreeMap<String, (i64, Value)> = BTreeMap::new();
    for row in rows.iter().filter_map(as_shown) {
        let Some(id) = row.get("id").and_then(Value::as_str).map(str::to_owned) else { continue };
        let revision = row.get("revision").and_then(Value::as_i64).unwrap_or(1);
        if newest.get(&id).is_none_or(|(known, _)| revision >= *known) {
            newest.insert(id, (revision, row));
        }
    }
    let mut changes: Vec<Change> = newest
        .into_values()
        .filter(|(_, row)| row.get("status").and_then(Value::as_str) != Some("merged"))
        .filter_map(|(_, row)| Change::from_json(&row))
        .collect();
    changes.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
    changes
}

/// A stored row as the API shows it: the event's own id differs per revision, so the change's is kept beside it, and the
/// free-form `off` is kept as text.
fn as_shown(row: &Value) -> Option<Value> {
    let mut row = row.as_object()?.clone();
    if let Some(id) = row.remove("change_id") {
        row.insert("id".into(), id);
    }
    if let Some(off) = row.get("off").and_then(Value::as_str) {
        let off = serde_json::from_str(off).unwrap_or(Value::Null);
        row.insert("off".into(), off);
    }
    Some(Value::Object(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_revision_counts_and_merged_lines_are_gone() {
        let row = |id: &str, revision: i64, status: &str| {
            json!({"id": format!("{id}/{revision}"), "change_id": id, "off": "{\"url\":\"https://x.example\"}", "revision": revision, "kind": "deploy", "status": status, "title": format!("{id}{revision}"),
                   "time": "2026-11-20T14:10:00.000000Z"})
        };
        let rows = [row("a", 2, "succeeded"), row("a", 1, "started"), row("b", 1, "started"), row("b", 2, "merged")];
        let changes = latest(&rows);
        assert_eq!(changes.len(), 1);
        assert_eq!((changes[0].id.as_str(), changes[0].text("title")), ("a", Some("a2")));
        assert_eq!(changes[0].json["off"]["url"], "https://x.example");
    }

    #[test]
    fn each_kind_has_its_words() {
        let check = |fields: Value, expect: &str| {
            let mut row = json!({"id": "x", "time": "2026-11-20T14:10:00Z"});
            row.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            assert_eq!(Change::from_json(&row).unwrap().phrase(), expect);
        };
        check(json!({"kind": "experiment", "experiment": "13"}), "the yellow activation line of experiment 13");
        check(
            json!({"kind": "experiment", "experiment": "13", "variant": "B", "inferred": true}),
            "the first events of variant B of experiment 13",
        );
        check(json!({"kind": "flag", "target": "new-pay"}), "the yellow activation line of flag new-pay");
        check(json!({"kind": "flag", "target": "new-pay", "share": 0}), "the switching-off line of flag new-pay");
        check(json!({"kind": "deploy", "service": "web", "version": "2.1"}), "the deploy line of web 2.1");
        check(json!({"kind": "config", "target": "pay.timeout"}), "the config change line of pay.timeout");
        check(json!({"kind": "note", "title": "campaign"}), "the note \u{201c}campaign\u{201d}");
    }
}
