//! What is known of one incident, as it is stored in `system.alerts`, told to channels and shown by the API.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use store::Timestamp;

use crate::{
    burn::Burn,
    forecast::Sources,
    ledger::reversal::Outcome,
    notify::Links,
    off::{Call, OffAction, Recovery},
    rule::Condition,
    suspect::Suspect,
    told::told,
};

/// A timestamp as RFC 3339 text.
pub(crate) mod rfc3339 {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use store::Timestamp;

    pub(crate) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&time.to_rfc3339())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        Timestamp::parse_rfc3339(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is no RFC 3339 time")))
    }

    pub(crate) mod option {
        use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
        use store::Timestamp;

        #[expect(clippy::ref_option, reason = "the signature serde asks for")]
        pub(crate) fn serialize<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => serializer.serialize_str(&time.to_rfc3339()),
                None => serializer.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
            let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
            Timestamp::parse_rfc3339(&text)
                .map(Some)
                .ok_or_else(|| D::Error::custom(format!("{text:?} is no RFC 3339 time")))
        }
    }
}

/// Where an incident stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Open, nobody has taken it.
    Firing,
    /// Open, somebody has.
    Acknowledged,
    /// Over.
    Resolved,
}

/// Why it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The metric left its expectation.
    Deviation,
    /// Nothing of any kind arrived from the source.
    Silence,
    /// A plain rule's condition holds.
    Rule,
    /// Those exposed to a change do worse than the others in the same minutes.
    Control,
}

/// The kind of quantity, which decides the wording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measured {
    /// Things that are counted.
    Count,
    /// An amount.
    Sum,
    /// A share.
    Ratio,
    /// A share of slow requests.
    Latency,
}

/// A person's word on whether the page was right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feedback {
    /// True when there was a real problem.
    pub verdict: bool,
    /// Who says so.
    pub actor: Option<String>,
    /// In their words.
    pub note: Option<String>,
    /// When.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
}

/// A slice's part of the loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Child {
    /// `country=NL`
    pub slice: String,
    /// Missed in this slice since the onset.
    pub missed: f64,
    /// Its part of what all slices of the column missed, 0 to 1.
    pub share: f64,
}

/// One incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// `bookings-20261120T1410`
    pub id: String,
    /// The same on trigger, acknowledge and resolve; deterministic in (metric, slice, onset).
    pub dedup_key: String,
    /// Name of the metric.
    pub metric: String,
    /// Its title.
    pub title: String,
    /// `country=NL`; `None` for the metric itself.
    pub slice: Option<String>,
    /// Dataset of the metric.
    pub dataset: String,
    /// Environment of the metric.
    pub environment: Option<String>,
    /// Plural noun of what is counted.
    pub unit: String,
    /// Kind of quantity.
    pub measured: Measured,
    /// Latency: the threshold.
    pub threshold_ms: Option<f64>,
    /// The market's zone, for times of day in sentences.
    pub zone: String,
    /// Why it was opened.
    pub cause: Cause,
    /// `down` or `up`: which way it went.
    pub direction: String,
    /// Where it stands.
    pub state: State,
    /// When it was opened.
    #[serde(with = "rfc3339")]
    pub paged_at: Timestamp,
    /// Likeliest beginning.
    #[serde(with = "rfc3339")]
    pub onset: Timestamp,
    /// Earliest plausible beginning.
    #[serde(with = "rfc3339")]
    pub onset_from: Timestamp,
    /// Latest plausible beginning.
    #[serde(with = "rfc3339")]
    pub onset_to: Timestamp,
    /// When it was over.
    #[serde(default, with = "rfc3339::option")]
    pub resolved_at: Option<Timestamp>,
    /// Expected per minute since the onset (for shares: of the numerator).
    pub expected_per_minute: f64,
    /// Seen per minute since the onset.
    pub seen_per_minute: f64,
    /// `expected - seen`; negative when too much was seen.
    pub deficit_per_minute: f64,
    /// Shares: expected share, 0 to 1.
    pub expected_share: Option<f64>,
    /// Shares: seen share, 0 to 1.
    pub seen_share: Option<f64>,
    /// Missed since the onset, in units; negative when too much was seen.
    pub missed: f64,
    /// Lower end of its 95 % interval.
    pub missed_low: f64,
    /// Upper end of its 95 % interval.
    pub missed_high: f64,
    /// Expected in minutes nothing is known of: "unknown, up to n".
    pub unknown_up_to: f64,
    /// Part of the 28 days' error budget this incident used, 1 = all of it.
    pub budget_share: Option<f64>,
    /// The score that paged.
    pub score: f64,
    /// Its window.
    pub window_minutes: usize,
    /// The score past which that window pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// What the window spent of the error budget, when that paged although no deviation passed the gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burn: Option<Burn>,
    /// What entered the expectation, in numbers: growth a week, the levels of last week, last month and last year, the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<Sources>,
    /// What entered the expectation: "growth", "last week" …
    #[serde(default)]
    pub sources: Vec<String>,
    /// Candidate changes, best first.
    #[serde(default)]
    pub suspects: Vec<Suspect>,
    /// Share of an unknown cause.
    pub unknown_share: f64,
    /// Slices by their part of the loss.
    #[serde(default)]
    pub children: Vec<Child>,
    /// Owner of the metric.
    pub owner: Option<String>,
    /// Its runbook.
    pub runbook: Option<String>,
    /// Who acknowledged.
    pub acknowledged_by: Option<String>,
    /// When.
    #[serde(default, with = "rfc3339::option")]
    pub acknowledged_at: Option<Timestamp>,
    /// In their words.
    pub acknowledge_note: Option<String>,
    /// What a person said of it.
    pub feedback: Option<Feedback>,
    /// Since when it is the new normal: the start of the first whole local day at the new level.
    #[serde(default, with = "rfc3339::option")]
    pub level_shifted_at: Option<Timestamp>,
    /// Channels told of it.
    #[serde(default)]
    pub channels: Vec<String>,
    /// The silence that kept it from being sent.
    pub silenced_by: Option<String>,
    /// Id of the change, for an incident that its concurrent control opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found_by: Option<String>,
    /// What a plain rule found.
    pub condition: Option<Condition>,
    /// The open incident whose page speaks for this one.
    pub part_of: Option<String>,
    /// Titles of the metrics that this page speaks for.
    #[serde(default)]
    pub joined: Vec<String>,
    /// Changes that were turned off from it, in order.
    #[serde(default)]
    pub off_actions: Vec<OffAction>,
    /// Secret part of the address of its picture.
    pub picture: Option<String>,
}

impl Alert {
    /// The suspects a sentence may name (see [`crate::suspect::Ranking::named`]).
    #[must_use]
    pub fn named_suspects(&self) -> &[Suspect] {
        crate::suspect::named(&self.suspects, self.unknown_share)
    }

    /// How to turn the likeliest change off, if it said how.
    #[must_use]
    pub fn off(&self) -> Option<Call> {
        Call::of(&self.named_suspects().first()?.change)
    }

    /// Switching-offs since the incident began (again).
    pub fn offs_since_onset(&self) -> impl Iterator<Item = &OffAction> {
        self.off_actions.iter().filter(|action| action.at >= self.onset)
    }

    /// Ends the watch over what was turned off; its suspect is thereby confirmed or refuted.
    pub(crate) fn settle_off(&mut self, recovery: Recovery, now: Timestamp) {
        for action in self.off_actions.iter_mut().filter(|action| action.outcome.is_none()) {
            (action.outcome, action.judged_at) = (Some(recovery), Some(now));
            if let Some(suspect) = self.suspects.iter_mut().find(|suspect| suspect.id() == action.change) {
                suspect.outcome = Outcome::of(recovery);
            }
        }
    }

    /// True until it is resolved.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state != State::Resolved
    }
}

/// What happened to an incident. Each is an event of `system.alerts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransitionKind {
    /// Opened.
    Triggered,
    /// It broke out again within the hour after its end.
    Retriggered,
    /// Better known: onset, suspects, slices. Not sent.
    Updated,
    /// Taken by a person.
    Acknowledged,
    /// Over.
    Resolved,
    /// A person's verdict. Not sent.
    Feedback,
    /// A person turned a change off. Not sent.
    TurnedOff,
    /// It is known whether that helped. Not sent.
    OffJudged,
}

impl TransitionKind {
    /// The word in `system.alerts`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Triggered => "triggered",
            Self::Retriggered => "retriggered",
            Self::Updated => "updated",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
            Self::Feedback => "feedback",
            Self::TurnedOff => "turned_off",
            Self::OffJudged => "off_judged",
        }
    }

    /// The action channels know; `None` when they are not told.
    #[must_use]
    pub fn action(self) -> Option<Action> {
        match self {
            Self::Triggered | Self::Retriggered => Some(Action::Trigger),
            Self::Acknowledged => Some(Action::Acknowledge),
            Self::Resolved => Some(Action::Resolve),
            Self::Updated | Self::Feedback | Self::TurnedOff | Self::OffJudged => None,
        }
    }
}

/// What a channel is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Page.
    Trigger,
    /// Somebody has it.
    Acknowledge,
    /// It is over.
    Resolve,
}

impl Action {
    /// The word in the API and in PagerDuty's `event_action`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::Acknowledge => "acknowledge",
            Self::Resolve => "resolve",
        }
    }
}

/// One transition with the incident as it was then.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// `bookings-20261120T1410:3`, the id of its event: a repeated write is the same event.
    pub id: String,
    /// Counted from 1 within the incident.
    pub number: u32,
    /// What happened.
    pub kind: TransitionKind,
    /// When.
    pub time: Timestamp,
    /// True when channels are to be told.
    pub notify: bool,
    /// The incident after it.
    pub alert: Alert,
}

impl Transition {
    /// The event for `system.alerts`: the incident and what was told of it.
    pub(crate) fn to_event(&self, links: &Links) -> Value {
        let mut event = Map::new();
        event.insert("time".into(), json!(self.time.to_rfc3339()));
        event.insert("id".into(), json!(self.id));
        event.insert("type".into(), json!(self.kind));
        event.insert("alert_id".into(), json!(self.alert.id));
        event.insert("number".into(), json!(self.number));
        event.insert("notify".into(), json!(self.notify));
        if let Ok(Value::Object(fields)) = serde_json::to_value(&self.alert) {
            event.extend(fields.into_iter().filter(|(key, value)| key != "id" && !value.is_null()));
        }
        event.extend(told(&self.alert, self.time, links).into_iter().filter(|(_, value)| !value.is_null()));
        Value::Object(event)
    }

    /// Reads an event back. `None` for the other events of that dataset (silences).
    #[must_use]
    pub fn from_event(event: &Value) -> Option<Self> {
        let text = |key: &str| event.get(key).and_then(Value::as_str);
        let mut fields = event.as_object()?.clone();
        fields.insert("id".into(), json!(text("alert_id")?));
        Some(Self {
            id: text("id")?.to_owned(),
            number: u32::try_from(event.get("number")?.as_u64()?).ok()?,
            kind: serde_json::from_value(event.get("type")?.clone()).ok()?,
            time: Timestamp::parse_rfc3339(text("time")?)?,
            notify: event.get("notify")?.as_bool()?,
            alert: serde_json::from_value(Value::Object(fields)).ok()?,
        })
    }
}

#[cfg(test)]
pub(crate) mod sample {
    //! The incident of PRODUCT.md's sentence, for tests.
    use super::*;

    pub(crate) fn minute(minute: i64) -> Timestamp {
        // 2026-11-20T14:10Z
        Timestamp::from_minutes(29_919_730 + minute)
    }

    pub(crate) fn suspect(id: &str, phrase: &str, share: f64, lag_minutes: f64) -> Suspect {
        Suspect {
            change: json!({"id": id, "kind": "experiment", "title": "experiment 13 \u{2192} 80 %", "actor": "j.doe",
                "owner": "search-team", "url": "https://git.example/c/1",
                "off": {"url": "https://flags.example/13/off", "method": "POST", "body": {}}}),
            share,
            timing_bits: 7.8,
            control_bits: 0.0,
            dose_bits: 0.0,
            reversal_bits: 0.0,
            prior_bits: -3.9,
            prior: 0.02,
            verdict: crate::suspect::Verdict::NoControl,
            control: None,
            outcome: None,
            wording: "began at".into(),
            phrase: phrase.into(),
            lag_minutes,
            near: true,
        }
    }

    pub(crate) fn alert() -> Alert {
        Alert {
            id: "bookings-20261120T1410".into(),
            dedup_key: "yellowline:bookings::20261120T1410".into(),
            metric: "bookings".into(),
            title: "Bookings".into(),
            slice: None,
            dataset: "shop".into(),
            environment: Some("production".into()),
            unit: "bookings".into(),
            measured: Measured::Count,
            threshold_ms: None,
            zone: "Europe/Amsterdam".into(),
            cause: Cause::Deviation,
            direction: "down".into(),
            state: State::Firing,
            paged_at: minute(10),
            onset: minute(0),
            onset_from: minute(-1),
            onset_to: minute(1),
            resolved_at: None,
            expected_per_minute: 67.2,
            seen_per_minute: 30.1,
            deficit_per_minute: 37.1,
            expected_share: None,
            seen_share: None,
            missed: 371.0,
            missed_low: 318.2,
            missed_high: 424.4,
            unknown_up_to: 0.0,
            budget_share: Some(0.18),
            score: 14.2,
            window_minutes: 5,
            threshold: None,
            burn: None,
            basis: None,
            sources: vec!["growth".into(), "last week".into()],
            suspects: vec![suspect("01J1", "the yellow activation line of experiment 13", 0.81, 0.5)],
            unknown_share: 0.12,
            children: vec![
                Child { slice: "country=NL".into(), missed: 230.0, share: 0.62 },
                Child { slice: "country=DE".into(), missed: 90.0, share: 0.24 },
            ],
            owner: Some("checkout-team".into()),
            runbook: Some("https://wiki.example/bookings".into()),
            acknowledged_by: None,
            acknowledged_at: None,
            acknowledge_note: None,
            feedback: None,
            level_shifted_at: None,
            channels: vec!["oncall".into()],
            silenced_by: None,
            found_by: None,
            condition: None,
            part_of: None,
            joined: Vec::new(),
            off_actions: Vec::new(),
            picture: Some("0123456789abcdef0123456789abcdef".into()),
        }
    }

    pub(crate) fn off_action() -> OffAction {
        OffAction {
            change: "01J1".into(),
            title: "experiment 13 \u{2192} 80 %".into(),
            kind: "experiment".into(),
            call: "POST https://flags.example/13/off {}".into(),
            at: minute(14),
            actor: Some("a.turing".into()),
            key: Some("oncall".into()),
            reason: None,
            status: 200,
            answer: "ok".into(),
            outcome: None,
            judged_at: None,
        }
    }

    pub(crate) fn transition(kind: TransitionKind) -> Transition {
        let alert = alert();
        Transition { id: format!("{}:1", alert.id), number: 1, kind, time: alert.paged_at, notify: true, alert }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transition_survives_its_event() {
        let transition = sample::transition(TransitionKind::Triggered);
        let event = transition.to_event(&Links::new("https://yellowline.example", &[]));
        assert_eq!(event["suspect_actor"], "j.doe");
        assert_eq!(event["links"]["console"], "https://yellowline.example/alerts/bookings-20261120T1410");
        assert_eq!(event["alert_id"], "bookings-20261120T1410");
        assert_eq!(event["id"], "bookings-20261120T1410:1");
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(Transition::from_event(&serde_json::from_str(&text).unwrap()), Some(transition));
    }
}
