//! Payloads against the published limits of their receivers, and against golden files: a change of a payload is a change of a
//! file under `golden/` that a reviewer sees (`YELLOWLINE_GOLDEN=write` rewrites them).

use serde_json::Value;
use store::Timestamp;

use super::{Links, message_id, pagerduty, request, slack, webhook};
use crate::{
    alert::{Cause, Measured, State, Transition, TransitionKind, sample},
    definition::{Channel, ChannelKind},
    suspect::Suspect,
};

fn links() -> Links {
    Links::new("https://yellowline.example/")
}

/// A transition of each kind as it would be sent.
fn transitions() -> Vec<(&'static str, Transition)> {
    let trigger = sample::transition(TransitionKind::Triggered);
    let mut acknowledge = sample::transition(TransitionKind::Acknowledged);
    acknowledge.alert.state = State::Acknowledged;
    acknowledge.alert.acknowledged_by = Some("a.turing".into());
    acknowledge.alert.acknowledged_at = Some(sample::minute(12));
    acknowledge.time = sample::minute(12);
    let mut resolve = sample::transition(TransitionKind::Resolved);
    resolve.alert.state = State::Resolved;
    resolve.alert.resolved_at = Some(sample::minute(49));
    resolve.time = sample::minute(49);
    vec![("trigger", trigger), ("acknowledge", acknowledge), ("resolve", resolve)]
}

/// The sample with everything as long and as odd as it can get.
fn worst() -> Transition {
    let mut worst = sample::transition(TransitionKind::Triggered);
    let long = "<&>\u{1f525}\"\\ ".repeat(2000);
    let alert = &mut worst.alert;
    (alert.title, alert.unit, alert.owner) = (long.clone(), long.clone(), Some(long.clone()));
    alert.measured = Measured::Sum;
    alert.dedup_key = "k".repeat(255);
    let mut suspect: Suspect = alert.suspects[0].clone();
    suspect.phrase = format!("the {long}");
    suspect.change["actor"] = long.clone().into();
    suspect.change["off"]["body"] = long.clone().into();
    alert.suspects = vec![suspect; 8];
    alert.slice = Some(long);
    worst
}

fn golden(name: &str, payload: &Value) {
    let path = format!("{}/src/notify/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = format!("{}\n", serde_json::to_string_pretty(payload).unwrap());
    if std::env::vars().any(|(key, value)| key == "YELLOWLINE_GOLDEN" && value == "write") {
        std::fs::write(&path, &text).unwrap();
    }
    let expect = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expect, "{path} differs: see the module's doc");
}

fn text(value: &Value, characters_max: usize) -> &str {
    let text = value.as_str().unwrap_or_else(|| panic!("{value} is no string"));
    assert!(!text.is_empty() && text.chars().count() <= characters_max, "{} characters", text.chars().count());
    text
}

fn keys_within(value: &Value, known: &[&str]) {
    for key in value.as_object().unwrap().keys() {
        assert!(known.contains(&key.as_str()), "{key:?} is not in the schema");
    }
}

/// Events API v2 as published: required keys, closed sets, lengths, 512 KB.
fn check_pagerduty(body: &[u8]) -> Value {
    assert!(body.len() <= 512_000, "{} bytes", body.len());
    let event: Value = serde_json::from_slice(body).unwrap();
    keys_within(
        &event,
        &["routing_key", "event_action", "dedup_key", "payload", "client", "client_url", "links", "images"],
    );
    assert_eq!(text(&event["routing_key"], 32).len(), 32);
    text(&event["dedup_key"], 255);
    let action = text(&event["event_action"], 20);
    assert!(["trigger", "acknowledge", "resolve"].contains(&action));
    if action != "trigger" {
        return event;
    }
    let payload = &event["payload"];
    keys_within(
        payload,
        &["summary", "source", "severity", "timestamp", "component", "group", "class", "custom_details"],
    );
    text(&payload["summary"], 1024);
    text(&payload["source"], 100_000);
    assert!(["critical", "error", "warning", "info"].contains(&text(&payload["severity"], 10)));
    assert!(chrono::DateTime::parse_from_rfc3339(text(&payload["timestamp"], 40)).is_ok());
    for link in event["links"].as_array().unwrap() {
        keys_within(link, &["href", "text"]);
        assert!(text(&link["href"], 3000).starts_with("https://"));
        text(&link["text"], 1000);
    }
    event
}

/// Block Kit's limits for the blocks we use.
fn check_slack(message: &Value) {
    keys_within(message, &["text", "blocks"]);
    text(&message["text"], 40_000);
    let blocks = message["blocks"].as_array().unwrap();
    assert!(blocks.len() <= 50);
    for block in blocks {
        match text(&block["type"], 20) {
            "header" => {
                assert_eq!(block["text"]["type"], "plain_text");
                text(&block["text"]["text"], 150);
            }
            "section" => {
                if let Some(fields) = block.get("fields") {
                    assert!((1..=10).contains(&fields.as_array().unwrap().len()));
                    fields.as_array().unwrap().iter().for_each(|field| check_mrkdwn(field, 2000));
                } else {
                    check_mrkdwn(&block["text"], 3000);
                }
            }
            "context" => {
                let elements = block["elements"].as_array().unwrap();
                assert!((1..=10).contains(&elements.len()));
                elements.iter().for_each(|element| check_mrkdwn(element, 3000));
            }
            "actions" => {
                let elements = block["elements"].as_array().unwrap();
                assert!((1..=25).contains(&elements.len()));
                for button in elements {
                    text(&button["text"]["text"], 75);
                    text(&button["url"], 3000);
                }
            }
            other => panic!("block {other:?}"),
        }
    }
}

fn check_mrkdwn(object: &Value, characters_max: usize) {
    assert_eq!(object["type"], "mrkdwn");
    let text = text(&object["text"], characters_max);
    let rest = text.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
    assert!(!rest.contains(['<', '>', '&']), "unescaped or half an entity: {rest:?}");
}

#[test]
fn pagerduty_payloads_keep_the_published_limits() {
    let key = "0123456789abcdef0123456789abcdef";
    for (name, transition) in transitions() {
        let event = check_pagerduty(&pagerduty::payload(key, &transition, &links()).unwrap());
        golden(&format!("pagerduty_{name}"), &event);
    }
    check_pagerduty(&pagerduty::payload(key, &worst(), &links()).unwrap());
}

#[test]
fn a_page_too_large_loses_its_details_not_itself() {
    let mut huge = worst();
    huge.alert.suspects[0].change["off"]["body"] = "x".repeat(600_000).into();
    let event = check_pagerduty(&pagerduty::payload(&"0".repeat(32), &huge, &links()).unwrap());
    assert!(event["payload"].get("custom_details").is_none() && event["payload"]["summary"].is_string());
}

#[test]
fn slack_messages_keep_the_published_limits() {
    for (name, transition) in transitions() {
        let message = slack::payload(&transition, &links());
        check_slack(&message);
        golden(&format!("slack_{name}"), &message);
    }
    check_slack(&slack::payload(&worst(), &links()));
    let mut silent = sample::transition(TransitionKind::Retriggered);
    silent.alert.cause = Cause::Silence;
    check_slack(&slack::payload(&silent, &links()));
}

#[test]
fn webhooks_follow_the_standard() {
    for (name, transition) in transitions() {
        let body = webhook::payload(&transition, &links());
        assert!(serde_json::to_vec(&body).unwrap().len() < 20_000);
        keys_within(&body, &["type", "timestamp", "data"]);
        golden(&format!("webhook_{name}"), &body);
    }
}

#[test]
fn repeats_of_a_notification_carry_one_id_and_no_secret_shows() {
    let channel = Channel {
        name: "hook".into(),
        kind: ChannelKind::Webhook,
        url: Some("https://hooks.example/in".into()),
        secret: None,
        fallback: None,
        file: "c.toml".into(),
        line: 1,
    };
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let transition = sample::transition(TransitionKind::Triggered);
    let at = |seconds| request(&channel, secret, &transition, &links(), Timestamp(0).plus_seconds(seconds)).unwrap();
    let (first, second) = (at(0), at(60));
    let header = |request: &super::Request, name: &str| {
        request.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone()).unwrap()
    };
    assert_eq!(header(&first, "webhook-id"), header(&second, "webhook-id"));
    assert_eq!(header(&first, "webhook-id"), message_id(&channel, &transition));
    assert_ne!(header(&first, "webhook-signature"), header(&second, "webhook-signature"));
    assert!(!format!("{first:?}{channel:?}").contains("whsec_"));
}
