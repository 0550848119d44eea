//! What is told of an incident beside its numbers: the sentence in all its lengths, the suspect it names, and where to go. The same
//! fields are stored in `system.alerts`, answered by the API and sent by webhooks. Pure.

use serde_json::{Map, Value, json};
use store::Timestamp;

use crate::{alert::Alert, notify::Links, sentence};

/// The fields; `now` decides the words.
pub(crate) fn told(alert: &Alert, now: Timestamp, links: &Links) -> Map<String, Value> {
    let named = alert.named_suspects().first();
    let of_change = |key: &str| named.and_then(|suspect| suspect.change.get(key)).cloned().unwrap_or(Value::Null);
    let last_off = alert.offs_since_onset().last();
    let fields = json!({
        "sentence": sentence::short(alert, now),
        "explanation": sentence::long(alert, now),
        "headline": sentence::headline(alert, now),
        "suspect": named.map(|suspect| suspect.phrase.as_str()),
        "suspect_change": of_change("id"),
        "suspect_share": named.map(|suspect| suspect.share),
        "suspect_actor": of_change("actor"),
        "suspect_owner": of_change("owner"),
        "off_call": alert.off().map(|call| call.shown()),
        "off_outcome": last_off.and_then(|action| action.outcome).map(|outcome| outcome.as_str()),
        "links": {
            "console": links.console(&alert.id),
            "change": of_change("url"),
            "runbook": alert.runbook,
            "picture": links.picture(alert, now),
            "off": alert.off().map(|call| links.turn_off(&alert.id, &call.change)),
        },
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
