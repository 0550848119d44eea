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
/// What is affected, in characters; the schema names no bound.
const SOURCE_CHARACTERS_MAX: usize = 255;
/// One detail, in characters.
const DETAIL_CHARACTERS_MAX: usize = 2000;
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
    // An acknowledge or resolve needs no payload; with one, the incident's log says what is known by then.
    let summary = sentence::short(alert, transition.time);
    event["payload"] = json!({
        "summary": shortened(&summary, SUMMARY_CHARACTERS_MAX),
        "source": shortened(&source(alert), SOURCE_CHARACTERS_MAX),
        "severity": "critical",
        "timestamp": transition.time.to_rfc3339(),
        "component": alert.dataset,
        "group": shortened(alert.environment.as_deref().unwrap_or("all environments"), SOURCE_CHARACTERS_MAX),
        "class": alert.metric,
        "custom_details": details(alert, transition, links),
    });
    if action != Action::Trigger {
        return event;
    }
    event["client"] = json!("Yellowline");
    event["client_url"] = json!(links.console(&alert.id));
    event["links"] = hrefs(alert, links);
    if let Some(picture) = links.reachable_picture(alert, transition.time) {
        let alt = shortened(&sentence::caption(alert, transition.time), LINK_TEXT_CHARACTERS_MAX);
        event["images"] = json!([{"src": picture, "href": links.console(&alert.id), "alt": alt}]);
    }
    event
}

/// What is affected: "shop/production bookings".
fn source(alert: &Alert) -> String {
    let environment = alert.environment.as_ref().map_or_else(String::new, |name| format!("/{name}"));
    let slice = alert.slice.as_ref().map_or_else(String::new, |slice| format!(" {slice}"));
    format!("{}{environment} {}{slice}", alert.dataset, alert.metric)
}

fn details(alert: &Alert, transition: &Transition, links: &Links) -> Value {
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
        "off": alert.off().map(|call| shortened(&call.shown(), DETAIL_CHARACTERS_MAX)),
        "off_actions": alert.off_actions,
        "picture": links.reachable_picture(alert, transition.time),
    })
}

fn hrefs(alert: &Alert, links: &Links) -> Value {
    let mut hrefs: Vec<Value> = Vec::new();
    let mut link = |href: &str, text: &str| {
        if href.len() <= super::URL_BYTES_MAX {
            hrefs.push(json!({"href": href, "text": shortened(text, LINK_TEXT_CHARACTERS_MAX)}));
        }
    };
    link(&links.console(&alert.id), "Alert in Yellowline");
    if let Some(call) = alert.off().filter(|call| links.off_target(call).is_ok()) {
        link(&links.turn_off(&alert.id, &call.change), &format!("Turn it off: {}", call.title));
    }
    if let Some(runbook) = &alert.runbook {
        link(runbook, "Runbook");
    }
    for suspect in alert.named_suspects() {
        if let Some(url) = suspect.change.get("url").and_then(Value::as_str) {
            link(url, &suspect.phrase);
        }
    }
    Value::Array(hrefs)
}
