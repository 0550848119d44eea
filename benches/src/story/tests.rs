use super::*;

const NOW: i64 = 1_795_184_404_000_000; // 2026-11-20 14:20:04 UTC, a Friday
const DAY: i64 = 24 * 60 * MINUTE;

fn story() -> Story {
    let mut story = Story::past(42, NOW - 10 * DAY, NOW - 80 * MINUTE);
    story.busy_hour(NOW);
    story.activate(NOW, Some("http://127.0.0.1:1/experiments/13".to_owned()));
    story
}

#[test]
fn the_incident_hides_among_five_other_changes_of_the_hour() {
    let story = story();
    let hour: Vec<&Change> = story
        .changes()
        .iter()
        .filter(|change| {
            change.environment == "production" && (change.time - NOW).abs() < 60 * MINUTE && change.time != NOW
        })
        .collect();
    assert!(hour.len() >= 5, "{hour:#?}");
    assert_eq!(hour.iter().filter(|change| (change.time - NOW).abs() < 3 * MINUTE).count(), 2);
    let staging: Vec<_> = story
        .changes()
        .iter()
        .filter(|change| change.environment == "staging" && change.time / MINUTE == NOW / MINUTE)
        .collect();
    assert_eq!(staging.len(), 1);
    let activation = story.changes().iter().find(|change| change.time == NOW).unwrap();
    assert_eq!(
        (activation.kind, activation.experiment.as_deref(), activation.share),
        ("experiment", Some("13"), Some(0.8))
    );
    assert_eq!(activation.title, "experiment 13 (one-step checkout) \u{2192} 80 %");
    assert_eq!(serde_json::to_value(activation).unwrap()["off"]["body"], serde_json::json!({"share": 0}));
}

#[test]
fn experiment_13_was_never_active_before_and_takes_about_55_percent() {
    let story = story();
    let share = |time| story.share(Environment::Production, 13, time);
    assert!(share(NOW - 1).abs() < 1e-9 && (share(NOW) - 0.8).abs() < 1e-9);
    let lost = (0..40_000)
        .filter(|&user| {
            let mut random = Random::of(1, 2, u64::from(user));
            let is_mobile = random.chance(0.58);
            story.payment_breaks(Environment::Production, user, is_mobile, random.unit(), NOW)
        })
        .count();
    assert!((0.53..0.57).contains(&(lost as f64 / 40_000.0)), "{lost}");
    assert!(!story.payment_breaks(Environment::Staging, 1, true, 0.0, NOW));
}

#[test]
fn a_guest_stays_in_the_variant_when_the_share_rises() {
    let mut story = Story::default();
    story.ramp(Environment::Production, 5, 0.2, 0);
    story.ramp(Environment::Production, 5, 0.6, 10);
    let in_b = |user, time| story.in_variant_b(Environment::Production, 5, user, time);
    assert!((0..5000).filter(|&user| in_b(user, 0)).all(|user| in_b(user, 10)));
    let share = (0..5000).filter(|&user| in_b(user, 10)).count() as f64 / 5000.0;
    assert!((0.57..0.63).contains(&share), "{share}");
}

#[test]
fn an_ordinary_week_has_all_kinds_and_unique_keys_in_order_of_time() {
    let story = story();
    let kinds: std::collections::BTreeSet<_> = story.changes().iter().map(|change| change.kind).collect();
    for kind in ["deploy", "config", "experiment", "schema", "chaos", "maintenance", "note"] {
        assert!(kinds.contains(kind), "{kind} is missing");
    }
    let keys: std::collections::BTreeSet<_> = story.changes().iter().map(|change| &change.dedup_key).collect();
    assert_eq!(keys.len(), story.changes().len());
    assert!(story.changes().is_sorted_by_key(|change| change.time));
    assert!((20..150).contains(&story.changes().len()), "{}", story.changes().len());
}

#[test]
fn a_deploy_reaches_the_instances_one_by_one() {
    let story = story();
    let deploy =
        story.changes().iter().rfind(|change| change.kind == "deploy" && change.environment == "production").unwrap();
    let version = |instance, time| story.release(Environment::Production, Service::Web, instance, time).version.clone();
    assert_eq!(Some(version(0, deploy.time)), deploy.version);
    assert_ne!(version(7, deploy.time), version(0, deploy.time));
    assert_eq!(version(7, deploy.time + 140 * SECOND), version(0, deploy.time));
}

#[test]
fn a_seed_repeats_its_story() {
    let json = |seed| serde_json::to_string(Story::past(seed, NOW - 7 * DAY, NOW).changes()).unwrap();
    assert_eq!(json(7), json(7));
    assert_ne!(json(7), json(8));
}
