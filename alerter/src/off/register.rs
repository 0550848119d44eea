//! Which changes were turned off, and what each attempt came to: the events of `system.off_actions`. No I/O.
//!
//! A change is turned off once: who presses again gets the first answer. An attempt is stored before it is made, so that one
//! whose answer nobody saw (a crash, no connection) leaves its trace.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value, json};
use store::Timestamp;

use super::{Call, OffAction};

/// Who wants a change turned off, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Presser {
    /// As they said.
    pub(crate) actor: Option<String>,
    /// Name of the API key.
    pub(crate) key: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) request_id: Option<String>,
}

/// One attempt, before its answer.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) call: Call,
    /// The change as the API shows it.
    pub(crate) change: Value,
    pub(crate) alert_id: String,
    pub(crate) metric: String,
    pub(crate) presser: Presser,
    /// Counted from 1 per change, over restarts.
    pub(crate) number: u32,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// 2xx.
    Done { status: u16, answer: String },
    /// Another status: the target says no.
    Refused { status: u16, answer: String },
    /// Nobody knows whether it arrived.
    NoAnswer { reason: String },
}

impl Attempt {
    fn event(&self, kind: &str, now: Timestamp) -> Map<String, Value> {
        let Value::Object(event) = json!({
            "id": format!("{}:{}:{kind}", self.call.change, self.number),
            "time": now.to_rfc3339(),
            "type": kind,
            "change_id": self.call.change,
            "change_title": self.call.title,
            "change_kind": self.change.get("kind"),
            "environment": self.change.get("environment"),
            "alert_id": self.alert_id,
            "metric": self.metric,
            "attempt": self.number,
            "method": self.call.method,
            "url": self.call.url,
            "body": self.call.body_text(),
            "actor": self.presser.actor,
            "key": self.presser.key,
            "reason": self.presser.reason,
            "request_id": self.presser.request_id,
        }) else {
            return Map::new();
        };
        event.into_iter().filter(|(_, value)| !value.is_null()).collect()
    }

    /// What is stored before the call.
    pub(crate) fn started(&self, now: Timestamp) -> Value {
        Value::Object(self.event("started", now))
    }

    /// What is stored after it.
    pub(crate) fn ended(&self, ended: &Ended, elapsed_ms: i64, now: Timestamp) -> Value {
        let (kind, status, answer) = match ended {
            Ended::Done { status, answer } => ("done", Some(*status), answer),
            Ended::Refused { status, answer } => ("refused", Some(*status), answer),
            Ended::NoAnswer { reason } => ("no_answer", None, reason),
        };
        let mut event = self.event(kind, now);
        event.insert("elapsed_ms".into(), json!(elapsed_ms));
        event.insert("answer".into(), json!(answer));
        if let Some(status) = status {
            event.insert("status".into(), json!(status));
        }
        Value::Object(event)
    }

    /// What the alert remembers of a call that was answered with success.
    pub(crate) fn action(&self, status: u16, answer: &str, at: Timestamp) -> OffAction {
        OffAction {
            change: self.call.change.clone(),
            title: self.call.title.clone(),
            kind: self.change.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned(),
            call: self.call.shown(),
            at,
            actor: self.presser.actor.clone(),
            key: self.presser.key.clone(),
            reason: self.presser.reason.clone(),
            status,
            answer: answer.to_owned(),
            outcome: None,
            judged_at: None,
        }
    }
}

#[derive(Debug, Default)]
struct Known {
    attempts: u32,
    done: Option<OffAction>,
    /// One press at a time; others wait for its answer.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Register {
    changes: BTreeMap<String, Known>,
}

impl Register {
    /// Rebuilt from the events of `system.off_actions`.
    pub(crate) fn restored(events: &[Value]) -> Self {
        let mut register = Self::default();
        for event in events {
            let text = |key: &str| event.get(key).and_then(Value::as_str).map(str::to_owned);
            let Some(change) = text("change_id") else { continue };
            let known = register.changes.entry(change.clone()).or_default();
            let number = event.get("attempt").and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
            known.attempts = known.attempts.max(number.unwrap_or(0));
            let time = text("time").and_then(|time| Timestamp::parse_rfc3339(&time));
            if let (Some("done"), Some(at)) = (text("type").as_deref(), time) {
                let call = [text("method"), text("url"), text("body")].map(Option::unwrap_or_default).join(" ");
                let status = event.get("status").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
                known.done = Some(OffAction {
                    change,
                    title: text("change_title").unwrap_or_default(),
                    kind: text("change_kind").unwrap_or_default(),
                    call: call.trim_end().to_owned(),
                    at,
                    actor: text("actor"),
                    key: text("key"),
                    reason: text("reason"),
                    status: status.unwrap_or(200),
                    answer: text("answer").unwrap_or_default(),
                    outcome: None,
                    judged_at: None,
                });
            }
        }
        register
    }

    /// What must be held while a change is being turned off.
    pub(crate) fn turn(&mut self, change: &str) -> Arc<tokio::sync::Mutex<()>> {
        self.changes.entry(change.to_owned()).or_default().turn.clone()
    }

    /// The switching-off of a change that was answered with success.
    pub(crate) fn done(&self, change: &str) -> Option<&OffAction> {
        self.changes.get(change)?.done.as_ref()
    }

    /// Number of the next attempt.
    pub(crate) fn attempt(&mut self, change: &str) -> u32 {
        let known = self.changes.entry(change.to_owned()).or_default();
        known.attempts += 1;
        known.attempts
    }

    /// A change was turned off.
    pub(crate) fn take(&mut self, action: OffAction) {
        let known = self.changes.entry(action.change.clone()).or_default();
        known.done = Some(action);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_turned_off_is_known_after_a_restart_and_what_was_only_tried_is_not() {
        let attempt = |change: &str, number| Attempt {
            call: Call {
                change: change.into(),
                title: "experiment 13".into(),
                method: "POST".into(),
                url: "https://f.example/13".into(),
                body: Some(json!({"share": 0})),
            },
            change: json!({"id": change, "kind": "experiment", "environment": null}),
            alert_id: "a".into(),
            metric: "bookings".into(),
            presser: Presser { actor: Some("j.doe".into()), key: Some("oncall".into()), ..Presser::default() },
            number,
        };
        let now = Timestamp::from_minutes(29_919_730);
        let done = Ended::Done { status: 204, answer: String::new() };
        let events = [
            attempt("one", 1).started(now),
            attempt("one", 1).ended(&Ended::NoAnswer { reason: "no answer in time".into() }, 15_000, now),
            attempt("one", 2).started(now),
            attempt("two", 1).started(now),
            attempt("two", 1).ended(&done, 12, now),
        ];
        assert!(events.iter().all(|event| event.as_object().unwrap().values().all(|value| !value.is_null())));
        let mut register = Register::restored(&events);
        assert_eq!(register.done("one"), None);
        assert_eq!(register.attempt("one"), 3);
        assert_eq!(register.done("two"), Some(&attempt("two", 1).action(204, "", now)));
    }
}
