//! What a restart, a stuck alerter and late events must not do: page twice, page for what is over, take a page back unsaid.

use serde_json::json;

use crate::world::{NORMAL, Play, World, at, shop};

const HALF: Play = Play { success: 0.4, alive: true };

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_goes_on_through_a_restart_and_one_that_ended_is_not_told_again() {
    let mut world = World::start(60.0).await;
    world.import_weeks(4).await;
    world.play(60, NORMAL).await;
    world.play(12, HALF).await;
    assert_eq!(world.receiver.taken("alert.triggered").len(), 1);
    let mut world = world.restart(5).await;
    world.play(10, HALF).await;
    assert_eq!(world.receiver.count(), 1, "the same incident, told once");
    assert_eq!(world.get("/api/v1/alerts?state=open").await["alerts"].as_array().unwrap().len(), 1);
    world.play(70, NORMAL).await;
    assert_eq!(world.receiver.taken("alert.resolved").len(), 1);
    // The slow windows remember the drop for three hours; what it hid stays hidden.
    let mut world = world.restart(1).await;
    world.play(30, NORMAL).await;
    assert_eq!((world.receiver.count(), world.state().await.as_str()), (2, "ok"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_began_and_ended_while_nobody_looked_is_recorded_and_wakes_nobody() {
    let mut world = World::start(60.0).await;
    world.import_weeks(4).await;
    world.play(30, NORMAL).await;
    let onset = world.minute + 10;
    world.events(world.minute..onset, NORMAL).await;
    world.events(onset..onset + 20, HALF).await;
    world.events(onset + 20..onset + 90, NORMAL).await;
    world.minute = onset + 90;
    world.look(11).await;
    assert_eq!(world.receiver.count(), 0);
    let known = world.get("/api/v1/alerts").await;
    let alerts = known["alerts"].as_array().unwrap();
    assert_eq!((alerts.len(), &alerts[0]["state"]), (1, &json!("resolved")), "{known}");
    let began = alerts[0]["onset"].as_str().unwrap();
    let about = at(onset - 2, 0).to_rfc3339()..=at(onset + 2, 0).to_rfc3339();
    assert!(about.contains(&began.to_owned()), "{began}");
}

#[tokio::test(flavor = "multi_thread")]
async fn late_events_refund_a_page_and_end_it_aloud() {
    let mut world = World::start(60.0).await;
    world.import_weeks(4).await;
    world.play(60, NORMAL).await;
    let from = world.minute;
    for _ in 0..6 {
        let search = json!({"time": at(world.minute, 1).to_rfc3339(), "environment": "production", "route": "/search"});
        world.store.append_values(&shop(), &[search]).await.unwrap();
        world.minute += 1;
        world.look(11).await;
    }
    assert_eq!(world.receiver.taken("alert.triggered").len(), 1, "bookings stopped, searches did not");
    let missed = world.get("/api/v1/alerts").await["alerts"][0]["missed"].as_f64().unwrap();
    assert!(missed > 200.0, "{missed}");
    world.events(from..world.minute, NORMAL).await;
    world.play(40, NORMAL).await;
    assert_eq!((world.receiver.taken("alert.resolved").len(), world.receiver.count()), (1, 2));
    let after = world.get("/api/v1/alerts").await["alerts"][0]["missed"].as_f64().unwrap();
    assert!(after.abs() < missed / 2.0, "they came after all: {after} of {missed}");
}
