//! PagerDuty Events API v2: trigger, acknowledge, resolve under one dedup key.

use serde_json::{Value, json};

use super::{Links, shortened};
use crate::{
    alert::{Action, Alert, Transition},
    sentence,
};

/// `payload.summary`, in characters.
const SUMMARY_CHARACTERS_MAX: usize = 1024;
/// The whole body, in bytes.
const BODY_BYTES_MAX: usize = 512_000;
/// Texts of links.
const LINK_TEXT_CHARACTERS_MAX: usize = 200;

/// The body of one event. When it would be too large the details are left out first: the page itself always fits.
pub(super) fn payload(routing_key: &str, transition: &Transition, links: &Links) -> Result<Vec<u8>, String> {
    let mut event = event(routing_key, transition, links);
    let bytes = super::to_bytes(&event)?;
    if bytes.len() <= BODY_BYTES_MAX {
        return Ok(bytes);
    }
    if let Some(payload) = event.get_mut("payload").and_then(Value::as_object_mut) {
        payload.remove("custom_details");
    }
    super::to_bytes(&event)
}

fn event(routing_key: &str, transition: &Transition, links: &Links) -> Value {
    let alert = &transition.alert;
    let action = transition.kind.action().unwrap_or(Action::Trigger);
    let mut event = json!({
        "routing_key": routing_key,
        "event_action": action.as_str(),
        "dedup_key": alert.dedup_key,
    });
    if action != Action::Trigger {
        return event;
    }
    let summary = sentence::short(alert, transition.time);
    event["payload"] = json!({
        "summary": shortened(&summary, SUMMARY_CHARACTERS_MAX),
        "source": source(alert),
        "severity": "critical",
        "timestamp": transition.time.to_rfc3339(),
        "component": alert.dataset,
        "group": alert.environment.as_deref().unwrap_or("all environments"),
        "class": alert.metric,
        "custom_details": details(alert, transition),
    });
    event["client"] = json!("Yellowline");
    event["client_url"] = json!(links.console(&alert.id));
    event["links"] = hrefs(alert, links);
    event
}

/// What is affected: "shop/production bookings".
fn source(alert: &Alert) -> String {
    let environment = alert.environment.as_ref().map_or_else(String::new, |name| format!("/{name}"));
    let slice = alert.slice.as_ref().map_or_else(String::new, |slice| format!(" {slice}"));
    format!("{}{environment} {}{slice}", alert.dataset, alert.metric)
}

fn details(alert: &Alert, transition: &Transition) -> Value {
    let suspects: Vec<Value> = alert
        .suspects
        .iter()
        .map(|suspect| {
            json!({
                "change": suspect.phrase,
                "wording": suspect.wording,
                "share": suspect.share,
                "timing_bits": suspect.timing_bits,
                "actor": suspect.change.get("actor"),
                "url": suspect.change.get("url"),
            })
        })
        .collect();
    json!({
        "explanation": sentence::long(alert, transition.time),
        "onset": alert.onset.to_rfc3339(),
        "expected_per_minute": alert.expected_per_minute,
        "seen_per_minute": alert.seen_per_minute,
        "missed": alert.missed,
        "missed_low": alert.missed_low,
        "missed_high": alert.missed_high,
        "budget_share": alert.budget_share,
        "suspects": suspects,
        "unknown_share": alert.unknown_share,
        "owner": alert.owner,
        "off": alert.off(),
    })
}

fn hrefs(alert: &Alert, links: &Links) -> Value {
    let mut hrefs = vec![json!({"href": links.console(&alert.id), "text": "Alert in Yellowline"})];
    if let Some(runbook) = &alert.runbook {
        hrefs.push(json!({"href": runbook, "text": "Runbook"}));
    }
    for suspect in alert.named_suspects() {
        if let Some(url) = suspect.change.get("url").and_then(Value::as_str) {
            hrefs.push(json!({"href": url, "text": shortened(&suspect.phrase, LINK_TEXT_CHARACTERS_MAX)}));
        }
    }
    Value::Array(hrefs)
}
