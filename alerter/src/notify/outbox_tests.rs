use super::*;
use crate::{
    alert::{TransitionKind, sample},
    definition::{ChannelKind, Secret},
};

fn channel(name: &str, fallback: Option<&str>) -> (String, Channel) {
    let channel = Channel {
        name: name.into(),
        kind: ChannelKind::Webhook,
        url: Some("http://127.0.0.1/".into()),
        secret: Some(Secret::Env("S".into())),
        fallback: fallback.map(str::to_owned),
        changes: false,
        file: "c.toml".into(),
        line: 1,
    };
    (name.to_owned(), channel)
}

fn outbox() -> Outbox {
    let mut outbox = Outbox::new(Limits { deliveries_max: 3, hours_max: 24, fallback_after_s: 120 });
    outbox.set_channels(&[channel("oncall", Some("chat")), channel("chat", None)].into());
    outbox
}

fn transition(kind: TransitionKind, number: u32) -> Transition {
    let mut transition = sample::transition(kind);
    transition.id = format!("{}:{number}", transition.alert.id);
    transition
}

fn retry(after_s: Option<u64>) -> Outcome {
    Outcome::Retry { after_s, error: "answered 500".into() }
}

/// Minutes after the sample's trigger.
fn at(seconds: i64) -> Timestamp {
    sample::alert().paged_at.plus_seconds(seconds)
}

#[test]
fn a_channel_that_answers_500_for_ten_minutes_gets_the_page_after() {
    let mut outbox = outbox();
    assert!(outbox.put(&transition(TransitionKind::Triggered, 1), at(0)));
    let mut attempts = 0;
    let mut second = 0;
    while second < 600 {
        for (key, _, channel) in outbox.take_due(at(second)) {
            if channel.name == "oncall" {
                attempts += 1;
                outbox.apply(key, retry(None), at(second));
            } else {
                outbox.apply(key, Outcome::Delivered, at(second));
            }
        }
        outbox.sweep(at(second));
        second += 1;
    }
    assert!((10..30).contains(&attempts), "{attempts} attempts in ten minutes");
    let (_, _, health) = outbox.health().find(|(name, ..)| *name == "oncall").unwrap();
    assert_eq!(health.failing_since, Some(at(0)));
    let fallback: Vec<Receipt> = outbox.take_unwritten();
    assert_eq!((fallback.len(), fallback[0].channel.as_str()), (1, "chat"));
    assert_eq!(fallback[0].fallback_of.as_deref(), Some("oncall"));
    let due = outbox.take_due(at(660));
    outbox.apply(due[0].0, Outcome::Delivered, at(660));
    let receipts = outbox.take_unwritten();
    assert_eq!((receipts.len(), receipts[0].delivered), (1, true));
    assert!(outbox.take_due(at(10_000)).is_empty(), "delivered once");
}

#[test]
fn resolve_waits_for_its_trigger_but_not_for_other_incidents() {
    let mut outbox = outbox();
    outbox.put(&transition(TransitionKind::Triggered, 1), at(0));
    outbox.put(&transition(TransitionKind::Resolved, 2), at(0));
    let mut other = transition(TransitionKind::Triggered, 1);
    other.alert.dedup_key = "other".into();
    outbox.put(&other, at(0));
    let first = outbox.take_due(at(0));
    assert_eq!((first.len(), first[0].1.transition.kind), (1, TransitionKind::Triggered));
    assert!(outbox.take_due(at(0)).is_empty(), "one at a time per channel");
    outbox.apply(first[0].0, retry(None), at(0));
    let second = outbox.take_due(at(1));
    assert_eq!(second[0].1.transition.alert.dedup_key, "other");
    outbox.apply(second[0].0, Outcome::Delivered, at(1));
    let again = outbox.take_due(at(6));
    assert_eq!(again[0].1.transition.kind, TransitionKind::Triggered);
    outbox.apply(again[0].0, Outcome::Delivered, at(6));
    assert_eq!(outbox.take_due(at(6))[0].1.transition.kind, TransitionKind::Resolved);
}

#[test]
fn retry_after_pauses_the_whole_channel() {
    let mut outbox = outbox();
    outbox.put(&transition(TransitionKind::Triggered, 1), at(0));
    let mut other = transition(TransitionKind::Triggered, 1);
    other.alert.dedup_key = "other".into();
    outbox.put(&other, at(0));
    let due = outbox.take_due(at(0));
    outbox.apply(due[0].0, retry(Some(30)), at(0));
    assert!(outbox.take_due(at(29)).is_empty());
    assert_eq!(outbox.take_due(at(30)).len(), 1);
}

#[test]
fn a_dead_channel_hands_over_and_comes_back_with_a_new_definition() {
    let mut outbox = outbox();
    outbox.put(&transition(TransitionKind::Triggered, 1), at(0));
    let due = outbox.take_due(at(0));
    outbox.apply(due[0].0, Outcome::Gone { error: "answered 410".into() }, at(0));
    assert_eq!(outbox.take_due(at(0))[0].1.channel, "chat");
    outbox.put(&transition(TransitionKind::Resolved, 2), at(1));
    assert_eq!(outbox.sweep(at(1)), 1);
    let receipts = outbox.take_unwritten();
    assert!(receipts.iter().all(|receipt| !receipt.delivered && receipt.channel == "oncall"), "{receipts:?}");
    let mut changed = channel("oncall", None);
    changed.1.line = 9;
    outbox.set_channels(&[changed, channel("chat", None)].into());
    assert!(outbox.health().all(|(_, _, health)| !health.dead));
}

#[test]
fn what_has_no_receipt_is_sent_again_after_a_restart() {
    let transitions = [transition(TransitionKind::Triggered, 1), transition(TransitionKind::Resolved, 2)];
    let mut before = outbox();
    before.put(&transitions[0], at(0));
    let due = before.take_due(at(0));
    before.apply(due[0].0, Outcome::Delivered, at(0));
    let stored: Vec<Value> = before.take_unwritten().iter().map(Receipt::to_event).collect();
    let receipts: Vec<Receipt> = stored.iter().filter_map(Receipt::from_event).collect();
    let mut after = outbox();
    after.restore(&transitions, receipts, at(60));
    let due = after.take_due(at(60));
    assert_eq!((due.len(), due[0].1.transition.kind), (1, TransitionKind::Resolved));
}

#[test]
fn limits_are_kept_and_old_notifications_given_up() {
    let mut outbox = outbox();
    for n in 0..3 {
        assert!(outbox.put(&transition(TransitionKind::Triggered, n), at(0)));
    }
    assert!(!outbox.put(&transition(TransitionKind::Triggered, 9), at(0)), "full");
    assert_eq!(outbox.sweep(at(25 * 3600)), 3);
    assert!(outbox.take_unwritten().iter().all(|receipt| !receipt.delivered));
}
