//! Payloads against the published limits of their receivers, and against golden files: a change of a payload is a change of a
//! file under `golden/` that a reviewer sees (`YELLOWLINE_GOLDEN=write` rewrites them).

use serde_json::Value;
use store::Timestamp;

use super::{Links, message_id, off::OffTarget, pagerduty, published, request, slack, webhook};
use crate::{
    alert::{Cause, Measured, State, Transition, TransitionKind, sample},
    definition::{Channel, ChannelKind},
    off::OffAction,
    suspect::Suspect,
};

fn links() -> Links {
    let target =
        OffTarget { url: "https://flags.example".into(), secret_file: Some("flags.key".into()), secret_env: None };
    Links::new("https://yellowline.example/", &[target])
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
    let outcome = Some(crate::off::Recovery::Recovered);
    resolve.alert.off_actions =
        vec![OffAction { outcome, judged_at: Some(sample::minute(17)), ..sample::off_action() }];
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
    suspect.change["title"] = long.clone().into();
    suspect.change["url"] = format!("https://git.example/{long}").into();
    alert.runbook = Some(format!("https://wiki.example/{long}"));
    alert.off_actions = vec![OffAction { title: long.clone(), reason: Some(long.clone()), ..sample::off_action() }; 3];
    alert.acknowledged_by = Some(long.clone());
    (alert.dataset, alert.environment) = (long.clone(), Some(long.clone()));
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

fn keys_within(value: &Value, known: &[&str]) {
    for key in value.as_object().unwrap().keys() {
        assert!(known.contains(&key.as_str()), "{key:?} is not in the schema");
    }
}

/// The payload of an event, checked against what is published.
fn checked_pagerduty(transition: &Transition) -> Value {
    let body = pagerduty::payload("0123456789abcdef0123456789abcdef", transition, &links()).unwrap();
    published::pagerduty_event(&body).unwrap();
    serde_json::from_slice(&body).unwrap()
}

fn checked_slack(transition: &Transition, with_picture: bool) -> Value {
    let message = slack::payload(transition, &links(), with_picture);
    published::slack_message(&serde_json::to_vec(&message).unwrap()).unwrap();
    message
}

#[test]
fn pagerduty_payloads_keep_the_published_limits() {
    for (name, transition) in transitions() {
        golden(&format!("pagerduty_{name}"), &checked_pagerduty(&transition));
    }
    for kind in [TransitionKind::Triggered, TransitionKind::Acknowledged, TransitionKind::Resolved] {
        checked_pagerduty(&Transition { kind, ..worst() });
    }
}

#[test]
fn a_page_too_large_loses_its_details_not_itself() {
    let mut huge = worst();
    huge.alert.suspects[0].change["off"]["body"] = "x".repeat(600_000).into();
    let event = checked_pagerduty(&huge);
    assert!(event["payload"].get("custom_details").is_none() && event["payload"]["summary"].is_string());
}

#[test]
fn slack_messages_keep_the_published_limits() {
    for (name, transition) in transitions() {
        let message = checked_slack(&transition, true);
        golden(&format!("slack_{name}"), &message);
    }
    for kind in [TransitionKind::Triggered, TransitionKind::Acknowledged, TransitionKind::Resolved] {
        checked_slack(&Transition { kind, ..worst() }, true);
    }
    let mut silent = sample::transition(TransitionKind::Retriggered);
    silent.alert.cause = Cause::Silence;
    checked_slack(&silent, true);
    let without = checked_slack(&silent, false);
    assert!(!without.to_string().contains("/pictures/"));
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
        changes: false,
        file: "c.toml".into(),
        line: 1,
    };
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let transition = sample::transition(TransitionKind::Triggered);
    let at =
        |seconds| request(&channel, secret, &transition, &links(), true, Timestamp(0).plus_seconds(seconds)).unwrap();
    let (first, second) = (at(0), at(60));
    let header = |request: &super::Request, name: &str| {
        request.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone()).unwrap()
    };
    assert_eq!(header(&first, "webhook-id"), header(&second, "webhook-id"));
    assert_eq!(header(&first, "webhook-id"), message_id(&channel, &transition));
    assert_ne!(header(&first, "webhook-signature"), header(&second, "webhook-signature"));
    assert!(!format!("{first:?}{channel:?}").contains("whsec_"));
}
