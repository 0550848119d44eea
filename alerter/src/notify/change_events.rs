//! PagerDuty change events: every yellow line also beside the incidents of the service that is paged. They notify nobody.
//!
//! For `pagerduty` channels with `changes = true`. A change is told within the hour after it, once: each end is an event of
//! `system.notifications` with `type` `change`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use store::Timestamp;

use super::{Links, Outcome, URL_BYTES_MAX, shortened};
use crate::change::Change;

/// `payload.summary`, in characters.
const SUMMARY_CHARACTERS_MAX: usize = 1024;
/// `payload.source` and details, in characters; the schema names no bound.
const TEXT_CHARACTERS_MAX: usize = 255;
/// Changes older than this are not told any more.
const TOLD_SECONDS: i64 = 3600;
/// Seconds between two attempts.
const RETRY_S: i64 = 30;

/// The address of change events beside that of events.
pub(crate) fn address(events: &str) -> Option<String> {
    events.strip_suffix("/enqueue").map(|base| format!("{base}/change/enqueue"))
}

/// The body of one event.
pub(crate) fn payload(routing_key: &str, change: &Change, links: &Links) -> Value {
    let short = |key: &str| change.text(key).map(|text| shortened(text, TEXT_CHARACTERS_MAX));
    let details = ["kind", "environment", "service", "version", "rollout", "experiment", "variant", "actor", "owner"];
    let details: serde_json::Map<String, Value> =
        details.iter().filter_map(|key| Some(((*key).to_owned(), short(key)?.into()))).collect();
    let mut hrefs = vec![json!({"href": links.public_url, "text": "Yellowline"})];
    if let Some(url) = change.text("url").filter(|url| url.len() <= URL_BYTES_MAX) {
        hrefs.push(json!({"href": url, "text": "Change"}));
    }
    json!({
        "routing_key": routing_key,
        "payload": {
            "summary": shortened(change.text("title").unwrap_or(&change.id), SUMMARY_CHARACTERS_MAX),
            "source": short("service").or_else(|| short("environment")).unwrap_or_else(|| "yellowline".to_owned()),
            "timestamp": change.time.to_rfc3339(),
            "custom_details": details,
        },
        "links": hrefs,
    })
}

/// Which channel was told of which change, and what waits.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    told: BTreeSet<(String, String)>,
    /// Attempts so far and when the next one is due.
    waiting: BTreeMap<(String, String), (u32, Timestamp)>,
}

impl Feed {
    /// Rebuilt from the events of `system.notifications`.
    pub(crate) fn restored(events: &[Value]) -> Self {
        let text = |event: &Value, key: &str| event.get(key).and_then(Value::as_str).map(str::to_owned);
        let ours = events.iter().filter(|event| text(event, "type").as_deref() == Some("change"));
        let told = ours.filter_map(|event| Some((text(event, "channel")?, text(event, "change_id")?))).collect();
        Self { told, waiting: BTreeMap::new() }
    }

    /// The next change a channel is to be told of: one at a time, which keeps well below the receiver's rate.
    pub(crate) fn next<'a>(&self, channel: &str, changes: &'a [Change], now: Timestamp) -> Option<&'a Change> {
        let recent = |change: &&Change| (now.plus_seconds(-TOLD_SECONDS)..=now).contains(&change.time);
        let due = |change: &&Change| {
            let key = (channel.to_owned(), change.id.clone());
            !self.told.contains(&key) && self.waiting.get(&key).is_none_or(|(_, next)| *next <= now)
        };
        changes.iter().filter(|change| !change.inferred).filter(recent).find(due)
    }

    /// What an attempt led to; the event to store when that was its end.
    pub(crate) fn apply(&mut self, channel: &str, change: &Change, outcome: &Outcome, now: Timestamp) -> Option<Value> {
        let key = (channel.to_owned(), change.id.clone());
        let attempts = self.waiting.get(&key).map_or(0, |(attempts, _)| *attempts) + 1;
        let (state, error) = match outcome {
            Outcome::Retry { after_s, .. } => {
                let wait = after_s.and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(0).max(RETRY_S);
                self.waiting.insert(key, (attempts, now.plus_seconds(wait)));
                return None;
            }
            Outcome::Delivered => ("delivered", None),
            Outcome::Refused { error } | Outcome::Gone { error } => ("failed", Some(error)),
        };
        self.waiting.remove(&key);
        self.told.insert(key);
        let mut event = json!({
            "id": format!("change:{}:{channel}", change.id), "time": now.to_rfc3339(), "type": "change",
            "change_id": change.id, "channel": channel, "state": state, "attempts": attempts,
        });
        if let Some(error) = error {
            event["last_error"] = json!(error);
        }
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{alert::sample::minute, notify::published};

    fn change(id: &str, at: i64) -> Change {
        let long = "<&>\u{1f525}\"".repeat(1000);
        Change::from_json(
            &json!({"id": id, "kind": "experiment", "title": long, "service": long, "url": "https://x.example/1",
            "time": minute(at).to_rfc3339(), "actor": long}),
        )
        .unwrap()
    }

    #[test]
    fn a_payload_keeps_the_published_limits() {
        let links = Links::new("https://yellowline.example", &[]);
        let body = payload(&"0".repeat(32), &change("a", 0), &links);
        published::pagerduty_change(&serde_json::to_vec(&body).unwrap()).unwrap();
        assert_eq!(body["payload"]["summary"].as_str().unwrap().chars().count(), 1024);
        assert_eq!(body["links"].as_array().unwrap().len(), 2);
        assert_eq!(
            address("https://events.pagerduty.com/v2/enqueue").unwrap(),
            "https://events.pagerduty.com/v2/change/enqueue"
        );
    }

    #[test]
    fn a_change_is_told_once_and_again_only_after_a_failure() {
        let (mut feed, now) = (Feed::default(), minute(1));
        let changes = [change("old", -120), change("a", 0), change("future", 5)];
        let next = |feed: &Feed, now| feed.next("pager", &changes, now).map(|change| change.id.clone());
        assert_eq!(next(&feed, now).as_deref(), Some("a"));
        let retry = Outcome::Retry { after_s: None, error: "answered 500".into() };
        assert!(feed.apply("pager", &changes[1], &retry, now).is_none());
        assert_eq!(next(&feed, now), None, "not at once");
        let event = feed.apply("pager", &changes[1], &Outcome::Delivered, now.plus_seconds(30)).unwrap();
        assert_eq!((&event["state"], &event["attempts"]), (&json!("delivered"), &json!(2)));
        assert_eq!(next(&feed, now.plus_seconds(60)), None);
        assert_eq!(next(&Feed::restored(&[event]), now.plus_seconds(60)), None, "also after a restart");
    }
}
