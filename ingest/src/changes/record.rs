//! One change: its fields, and how a sender's JSON becomes one.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::Timestamp;

/// What changed. The legend (colour, dash) follows it everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// A version was rolled out.
    Deploy,
    /// A setting changed.
    Config,
    /// An experiment was activated, ramped or switched off.
    Experiment,
    /// A feature flag moved.
    Flag,
    /// A database schema changed.
    Schema,
    /// A fault was injected on purpose.
    Chaos,
    /// Planned work.
    Maintenance,
    /// A person's remark.
    Note,
}

/// How far a change has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeStatus {
    /// Under way.
    Started,
    /// Done.
    Succeeded,
    /// Given up.
    Failed,
    /// Undone.
    RolledBack,
    /// A line of ours, inferred or turned off, that turned out to be `merged_into` another.
    Merged,
}

/// One revision of a change, as stored in `system.changes` and answered by the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are described once, in docs/api.md")]
pub struct Change {
    pub id: String,
    pub revision: u32,
    pub kind: ChangeKind,
    pub status: ChangeStatus,
    pub title: String,
    pub time: String,
    pub end_time: Option<String>,
    pub environment: Option<String>,
    pub service: Option<String>,
    pub rollout: Option<String>,
    pub version: Option<String>,
    pub experiment: Option<String>,
    pub variant: Option<String>,
    pub share: Option<f64>,
    pub selector: Option<String>,
    pub target: Option<String>,
    pub actor: Option<String>,
    pub owner: Option<String>,
    pub revision_ref: Option<String>,
    pub url: Option<String>,
    pub off: Option<Value>,
    pub source: String,
    pub inferred: bool,
    pub dedup_key: Option<String>,
    pub merged_into: Option<String>,
}

impl Default for Change {
    fn default() -> Self {
        Self {
            id: String::new(),
            revision: 1,
            kind: ChangeKind::Note,
            status: ChangeStatus::Succeeded,
            title: String::new(),
            time: String::new(),
            end_time: None,
            environment: None,
            service: None,
            rollout: None,
            version: None,
            experiment: None,
            variant: None,
            share: None,
            selector: None,
            target: None,
            actor: None,
            owner: None,
            revision_ref: None,
            url: None,
            off: None,
            source: "api".to_owned(),
            inferred: false,
            dedup_key: None,
            merged_into: None,
        }
    }
}

/// Fields a sender may set; the rest is ours.
const SETTABLE: [&str; 22] = [
    "id",
    "kind",
    "status",
    "title",
    "time",
    "end_time",
    "environment",
    "service",
    "rollout",
    "version",
    "experiment",
    "variant",
    "share",
    "selector",
    "target",
    "actor",
    "owner",
    "revision_ref",
    "url",
    "off",
    "source",
    "dedup_key",
];

impl Change {
    /// Reads a sender's JSON, fills what can be told from the rest, and reports all problems at once.
    ///
    /// # Errors
    /// The text lists each field that is wrong and what to send instead.
    pub fn declared(body: &Value, now: Timestamp) -> Result<Self, String> {
        let Value::Object(fields) = body else {
            return Err(
                "a change is one JSON object, such as {\"kind\":\"deploy\",\"service\":\"web\",\"version\":\"1.2\"}"
                    .into(),
            );
        };
        let mut problems = Vec::new();
        let mut clean = Map::new();
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
            match check_field(name, value) {
                Ok(value) => drop(clean.insert(name.clone(), value)),
                Err(problem) => problems.push(problem),
            }
        }
        let mut change = if problems.is_empty() {
            serde_json::from_value::<Self>(Value::Object(clean.clone())).map_err(|error| error.to_string())?
        } else {
            Self::default()
        };
        if !clean.contains_key("kind") {
            change.kind = change.kind_from_fields();
        }
        if problems.is_empty() && change.title.is_empty() && !change.names_something() {
            problems.push("say what changed: `title`, or a `kind` with service, version, experiment or target".into());
        }
        if !problems.is_empty() {
            return Err(problems.join("; "));
        }
        change.fill(now);
        Ok(change)
    }

    /// The event to store: this change with its time, so that SQL finds it by time.
    #[must_use]
    pub fn to_row(&self) -> Value {
        let mut row = serde_json::to_value(self).unwrap_or_default();
        // The event's own id must differ per revision: the store counts a repeated id once.
        row["change_id"] = Value::String(self.id.clone());
        row["id"] = Value::String(format!("{}/{}", self.id, self.revision));
        // A free-form object: kept as JSON text, so that it comes back with all its types.
        row["off"] = self.off.as_ref().map_or(Value::Null, |off| Value::String(off.to_string()));
        row
    }

    /// Reads `to_row` back.
    pub(super) fn from_row(mut row: Value) -> Option<Self> {
        let fields = row.as_object_mut()?;
        let id = fields.remove("change_id")?;
        fields.insert("id".into(), id);
        if let Some(Value::String(off)) = fields.get("off") {
            let off = serde_json::from_str(off).unwrap_or_default();
            fields.insert("off".into(), off);
        }
        serde_json::from_value(row).ok()
    }

    /// When it happened.
    pub(super) fn instant(&self) -> Timestamp {
        Timestamp::parse_rfc3339(&self.time).unwrap_or_default()
    }

    /// The next revision of this line of ours: it was `id` all along.
    pub(super) fn merged_into(&self, id: &str) -> Self {
        let mut next = self.clone();
        next.revision += 1;
        next.status = ChangeStatus::Merged;
        next.merged_into = Some(id.to_owned());
        next
    }

    fn kind_from_fields(&self) -> ChangeKind {
        if self.experiment.is_some() {
            ChangeKind::Experiment
        } else if self.version.is_some() || self.rollout.is_some() {
            ChangeKind::Deploy
        } else {
            ChangeKind::Note
        }
    }

    fn names_something(&self) -> bool {
        [&self.service, &self.version, &self.rollout, &self.experiment, &self.target]
            .iter()
            .any(|field| field.is_some())
    }

    fn fill(&mut self, now: Timestamp) {
        if self.id.is_empty() {
            let milliseconds = u64::try_from(now.0 / 1000).unwrap_or_default();
            self.id = ulid::Ulid::from_parts(milliseconds, rand::random()).to_string();
        }
        if self.time.is_empty() {
            self.time = now.to_rfc3339();
        }
        if self.target.is_none() {
            self.target = self.experiment.clone().or_else(|| self.service.clone());
        }
        if self.title.is_empty() {
            self.title = self.title_from_fields();
        }
    }

    fn title_from_fields(&self) -> String {
        let target = self.target.as_deref().unwrap_or_default();
        let share = self.share.map(|share| format!(" → {} %", (share * 1000.0).round() / 10.0)).unwrap_or_default();
        let title = match self.kind {
            ChangeKind::Deploy => {
                let version = self.version.as_deref().or(self.rollout.as_deref()).unwrap_or_default();
                format!("deploy {} {version}", self.service.as_deref().unwrap_or(target))
            }
            ChangeKind::Experiment => {
                let variant = self.variant.as_deref().map(|variant| format!(" {variant}")).unwrap_or_default();
                format!("experiment {target}{variant}{share}")
            }
            ChangeKind::Flag => format!("flag {target}{share}"),
            ChangeKind::Config => format!("config {target}"),
            ChangeKind::Schema => format!("schema {target}"),
            ChangeKind::Chaos => format!("chaos {target}"),
            ChangeKind::Maintenance => format!("maintenance {target}"),
            ChangeKind::Note => target.to_owned(),
        };
        title.trim().replace("  ", " ")
    }
}

/// Checks one field of a sender and brings it to its stored form.
fn check_field(name: &str, value: &Value) -> Result<Value, String> {
    const TEXT_BYTES_MAX: usize = 4096;
    match name {
        "kind" | "status" => check_word(name, value),
        "time" | "end_time" => check_time(name, value),
        "share" => match value.as_f64() {
            Some(share) if (0.0..=1.0).contains(&share) => Ok(value.clone()),
            _ => Err(format!("`share` is {value}: send a number from 0 to 1 (0.8 for 80 %)")),
        },
        "off" => check_off(value),
        "url" => match value.as_str() {
            Some(url) if is_http(url) => Ok(value.clone()),
            _ => Err(format!("`url` is {value}: send an http or https address")),
        },
        _ if SETTABLE.contains(&name) => match value {
            Value::String(text) if text.len() <= TEXT_BYTES_MAX => Ok(value.clone()),
            Value::Number(number) => Ok(Value::String(number.to_string())),
            Value::String(_) => Err(format!("`{name}` is longer than {TEXT_BYTES_MAX} bytes")),
            _ => Err(format!("`{name}` must be text")),
        },
        _ => Err(format!("`{name}` is no field of a change: use one of {}", SETTABLE.join(", "))),
    }
}

fn check_word(name: &str, value: &Value) -> Result<Value, String> {
    let known = if name == "kind" {
        serde_json::from_value::<ChangeKind>(value.clone()).is_ok()
    } else {
        // `merged` is ours alone.
        matches!(serde_json::from_value::<ChangeStatus>(value.clone()), Ok(status) if status != ChangeStatus::Merged)
    };
    let words = if name == "kind" {
        "deploy, config, experiment, flag, schema, chaos, maintenance, note"
    } else {
        "started, succeeded, failed, rolled_back"
    };
    if known { Ok(value.clone()) } else { Err(format!("`{name}` is {value}: use one of {words}")) }
}

/// RFC 3339, or epoch seconds or milliseconds.
fn check_time(name: &str, value: &Value) -> Result<Value, String> {
    const MILLISECONDS_FROM: f64 = 1e11;
    let time = match value {
        Value::String(text) => Timestamp::parse_rfc3339(text),
        Value::Number(number) => number.as_f64().filter(|epoch| (0.0..1e14).contains(epoch)).map(|epoch| {
            let seconds = if epoch < MILLISECONDS_FROM { epoch } else { epoch / 1000.0 };
            #[expect(clippy::cast_possible_truncation, reason = "below 1e17 by the range check")]
            Timestamp((seconds * 1e6) as i64)
        }),
        _ => None,
    };
    time.map(|time| Value::String(time.to_rfc3339())).ok_or_else(|| {
        format!("`{name}` is {value}: send RFC 3339 (2026-11-20T14:10:00Z) or epoch seconds or milliseconds")
    })
}

fn check_off(value: &Value) -> Result<Value, String> {
    let known = ["url", "method", "body"];
    let fields = value.as_object().ok_or("`off` must be {\"url\", \"method\", \"body\"}")?;
    if let Some(unknown) = fields.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("`off.{unknown}` is unknown: use url, method, body"));
    }
    if !fields.get("url").and_then(Value::as_str).is_some_and(is_http) {
        return Err("`off.url` must be an http or https address".into());
    }
    match fields.get("method").map(|method| method.as_str()) {
        None | Some(Some("POST" | "PUT" | "PATCH" | "DELETE")) => Ok(value.clone()),
        Some(_) => Err("`off.method` must be POST, PUT, PATCH or DELETE".into()),
    }
}

fn is_http(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

    #[test]
    fn what_is_missing_is_told_from_the_rest() {
        let change = Change::declared(&json!({"experiment": 13, "variant": "B", "share": 0.8}), NOW).unwrap();
        assert_eq!((change.kind, change.title.as_str()), (ChangeKind::Experiment, "experiment 13 B → 80 %"));
        assert_eq!(change.target.as_deref(), Some("13"));
        assert_eq!(change.time, NOW.to_rfc3339());
        let deploy =
            Change::declared(&json!({"service": "web", "version": "2026.47.2", "time": 1_794_999_000}), NOW).unwrap();
        assert_eq!((deploy.kind, deploy.title.as_str()), (ChangeKind::Deploy, "deploy web 2026.47.2"));
        assert_eq!(deploy.instant(), Timestamp(1_794_999_000_000_000));
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let bad =
            json!({"kind": "deployment", "share": 80, "time": "yesterday", "tittle": "x", "off": {"url": "ftp://x"}});
        let text = Change::declared(&bad, NOW).unwrap_err();
        for part in [
            "`kind` is \"deployment\"",
            "`share` is 80",
            "`time` is \"yesterday\"",
            "`tittle` is no field",
            "`off.url`",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(Change::declared(&json!({}), NOW).unwrap_err().contains("say what changed"));
        assert!(Change::declared(&json!({"title": "x", "status": "merged"}), NOW).is_err());
    }

    #[test]
    fn a_row_comes_back_as_the_change() {
        let off =
            json!({"url": "https://flags.example/13", "method": "POST", "body": {"on": false, "n": [1, {"a": null}]}});
        let change = Change::declared(&json!({"experiment": "13", "off": off, "dedup_key": "k"}), NOW).unwrap();
        assert_eq!(Change::from_row(change.to_row()).unwrap(), change);
    }
}
