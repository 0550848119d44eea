//! Turning a change off: the one HTTP call its sender named, what came of it, and whether the metric recovered. Pure.
//!
//! Whether it helped is judged by a sequential test. Each whole minute after the switching-off adds how much likelier it is at
//! the expectation than at what the incident was; the sum restarts at zero when it falls below (a CUSUM), because a
//! switching-off takes an unknown time to arrive. [`EVIDENCE`] says when that is enough.

pub(crate) mod register;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use store::Timestamp;

use crate::{alert::rfc3339, history::Minute, onset::Point, score::Recent};

/// Minutes after a switching-off in which recovery is awaited.
pub const WATCH_MINUTES: i64 = 30;
/// Minutes a switching-off may take to arrive everywhere before "not recovered" is said.
const GRACE_MINUTES: i64 = 10;
/// Log likelihood ratio that decides: over a watch of 30 minutes an incident that goes on reaches it by chance in less than
/// 30 e^-8 = 1 % of cases (Page's bound for a CUSUM).
const EVIDENCE: f64 = 8.0;
/// An incident is taken to be at least this far from its expectation, and to have left at least this much of it.
const HARM_MIN: f64 = 0.05;
/// An answer is kept up to this many characters.
pub(crate) const ANSWER_CHARACTERS_MAX: usize = 500;

/// The call that turns a change off, as its sender declared it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Call {
    /// Id of the change.
    pub change: String,
    /// Its title.
    pub title: String,
    /// `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// Where to.
    pub url: String,
    /// What is sent, as JSON; nothing when absent.
    pub body: Option<Value>,
}

impl Call {
    /// The call of a change as the API shows it; `None` when it has none.
    #[must_use]
    pub fn of(change: &Value) -> Option<Self> {
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let off = change.get("off").filter(|off| off.is_object())?;
        let id = text(change, "id")?;
        Some(Self {
            title: text(change, "title").unwrap_or_else(|| id.clone()),
            change: id,
            method: text(off, "method").unwrap_or_else(|| "POST".to_owned()),
            url: text(off, "url")?,
            body: off.get("body").filter(|body| !body.is_null()).cloned(),
        })
    }

    /// The bytes that are sent.
    #[must_use]
    pub fn body_text(&self) -> String {
        self.body.as_ref().map_or_else(String::new, Value::to_string)
    }

    /// What a person confirms: 16 hexadecimal digits over method, address and body, so that nothing else is called than what
    /// was shown.
    #[must_use]
    pub fn confirm(&self) -> String {
        let text = format!("{}\u{0}{}\u{0}{}\u{0}{}", self.change, self.method, self.url, self.body_text());
        hex::encode(&Sha256::digest(text.as_bytes())[..8])
    }

    /// `POST https://flags.example/13/off {"share":0}`, for people.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("{} {} {}", self.method, self.url, self.body_text()).trim_end().to_owned()
    }
}

/// What became of the metric after a change was turned off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recovery {
    /// It came back to its expectation.
    Recovered,
    /// It did not.
    NotRecovered,
    /// Too little came to tell, or another change was turned off before it could be told.
    Unclear,
}

impl Recovery {
    /// "recovered after off".
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Recovered => "recovered after off",
            Self::NotRecovered => "not recovered after off",
            Self::Unclear => "unclear whether it recovered after off",
        }
    }

    /// The word in the API and in SQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::NotRecovered => "not_recovered",
            Self::Unclear => "unclear",
        }
    }
}

/// A change that was turned off from an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffAction {
    /// Id of the change.
    pub change: String,
    /// Its title.
    pub title: String,
    /// Kind of the change: what is learnt from it is learnt per kind.
    pub kind: String,
    /// The call, for people.
    pub call: String,
    /// When the answer came.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    /// Who pressed, as they said.
    pub actor: Option<String>,
    /// Name of the API key that was used.
    pub key: Option<String>,
    /// Why, in their words.
    pub reason: Option<String>,
    /// HTTP status of the answer.
    pub status: u16,
    /// The first characters of the answer.
    pub answer: String,
    /// What became of the metric; `None` while that is watched.
    pub outcome: Option<Recovery>,
    /// When that was told.
    #[serde(default, with = "rfc3339::option")]
    pub judged_at: Option<Timestamp>,
}

impl OffAction {
    /// Who did it: the person, else the key, else nobody known.
    #[must_use]
    pub fn by(&self) -> &str {
        self.actor.as_deref().or(self.key.as_deref()).unwrap_or("somebody")
    }
}

/// What is known of an incident's noise, for [`judge`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// Over-dispersion of the counts.
    pub phi: f64,
    /// Amount of one event; 1 for counts.
    pub unit: f64,
}

/// Judges the minutes after a switching-off against those of the incident before it. `minute` is the last one judged; points
/// without data are NaN. `None` while it cannot be told yet.
#[must_use]
pub fn judge(off: Minute, before: &[Point], after: &[Point], noise: Noise, minute: Minute) -> Option<Recovery> {
    let known = |points: &[Point]| points.iter().filter(|point| !point.value.is_nan()).copied().collect::<Vec<Point>>();
    let (seen, expected) = known(before)
        .iter()
        .fold((0.0, 0.0), |(seen, expected), point| (seen + point.value, expected + point.expected));
    let harm = seen / expected.max(f64::MIN_POSITIVE);
    let harm =
        if harm < 1.0 { harm.clamp(HARM_MIN, 1.0 - HARM_MIN) } else { harm.clamp(1.0 + HARM_MIN, 1.0 / HARM_MIN) };
    let (mut climbed, mut all) = (0.0_f64, 0.0_f64);
    for point in known(after) {
        let recent = Recent {
            seen: point.value / noise.unit,
            expected: point.expected / noise.unit,
            phi: noise.phi,
            ..Recent::default()
        };
        let step = recent.evidence_of_recovery(harm);
        climbed = (climbed + step).max(0.0);
        all += step;
        if climbed >= EVIDENCE {
            return Some(Recovery::Recovered);
        }
    }
    let waited = minute - off;
    if waited >= GRACE_MINUTES && all <= -EVIDENCE {
        return Some(Recovery::NotRecovered);
    }
    (waited >= WATCH_MINUTES).then_some(if all < 0.0 { Recovery::NotRecovered } else { Recovery::Unclear })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOISE: Noise = Noise { phi: 1.2, unit: 1.0 };

    fn points(values: &[f64]) -> Vec<Point> {
        let at = |(minute, value): (i64, &f64)| Point { minute, value: *value, expected: 67.0, exposure: 0.0 };
        (0..).zip(values).map(at).collect()
    }

    fn check(before: f64, after: &[f64], expect: Option<Recovery>) {
        let (before, minutes) = (points(&[before; 10]), i64::try_from(after.len()).unwrap());
        assert_eq!(judge(0, &before, &points(after), NOISE, minutes), expect, "{before:?} {after:?}");
    }

    #[test]
    fn a_rate_that_comes_back_has_recovered_soon() {
        check(30.0, &[65.0], Some(Recovery::Recovered));
        check(30.0, &[], None);
        // The switching-off takes four minutes to arrive.
        check(30.0, &[31.0, 28.0, 30.0, 33.0, 66.0], Some(Recovery::Recovered));
        // A small harm takes longer to tell.
        check(57.0, &[66.0, 68.0], None);
        check(57.0, &[67.0; 30], Some(Recovery::Recovered));
        check(110.0, &[66.0, 70.0], Some(Recovery::Recovered));
    }

    #[test]
    fn one_that_stays_has_not_but_only_after_a_grace() {
        check(30.0, &[30.0; 9], None);
        check(30.0, &[30.0; 10], Some(Recovery::NotRecovered));
        check(110.0, &[110.0; 10], Some(Recovery::NotRecovered));
    }

    #[test]
    fn without_data_it_cannot_be_told() {
        check(30.0, &[f64::NAN; 29], None);
        check(30.0, &[f64::NAN; 30], Some(Recovery::Unclear));
    }

    #[test]
    fn a_confirmation_holds_for_one_call_only() {
        let change = json!({"id": "01J1", "title": "experiment 13", "off": {"url": "https://f.example/13", "body": {"share": 0}}});
        let call = Call::of(&change).unwrap();
        assert_eq!(call.shown(), "POST https://f.example/13 {\"share\":0}");
        for (key, value) in
            [("url", json!("https://f.example/14")), ("method", json!("PUT")), ("body", json!({"share": 1}))]
        {
            let mut other = change.clone();
            other["off"][key] = value;
            assert_ne!(Call::of(&other).unwrap().confirm(), call.confirm(), "{key}");
        }
        assert_eq!(Call::of(&json!({"id": "01J2", "off": null})), None);
    }
}
