//! When nothing comes: an outage of the source, or our own.

use crate::world::{NORMAL, Play, World};

const DEAD: Play = Play { success: 1.0, alive: false };

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_source_pages_after_two_minutes_and_ends_when_it_is_back() {
    let mut world = World::start(60.0).await;
    world.import_weeks(4).await;
    world.play(90, NORMAL).await;
    world.play(2, DEAD).await;
    let pages = world.receiver.taken("alert.triggered");
    assert_eq!(pages.len(), 1, "after two minutes");
    let alert = &pages[0]["data"];
    assert_eq!(alert["cause"], "silence");
    let sentence = alert["sentence"].as_str().unwrap();
    assert!(
        sentence.contains("bookings per minute, but nothing of any kind has arrived since 14:30 CET"),
        "{sentence}"
    );
    assert_eq!(world.state().await, "silent");
    world.play(10, DEAD).await;
    let open = world.get("/api/v1/alerts?state=open").await;
    let explanation = open["alerts"][0]["explanation"].as_str().unwrap();
    assert!(explanation.contains("unknown, up to"), "{explanation}");
    assert!(open["alerts"][0]["missed"].as_f64().unwrap().abs() < 1e-9, "unknown is not missed");
    world.play(30, NORMAL).await;
    assert_eq!((world.receiver.count(), world.receiver.taken("alert.resolved").len()), (2, 1));
    assert_eq!(world.state().await, "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_downtime_is_no_outage_and_what_came_in_it_is_made_up() {
    let mut world = World::start(60.0).await;
    world.import_weeks(4).await;
    world.play(60, NORMAL).await;
    let mut world = world.restart(30).await;
    world.play(60, NORMAL).await;
    assert_eq!(world.receiver.count(), 0, "NO DATA, not an outage");
    assert_eq!(world.state().await, "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn minutes_nobody_looked_at_are_made_up() {
    let mut world = World::start(60.0).await;
    world.import_weeks(4).await;
    world.play(30, NORMAL).await;
    // The alerter is stuck for half an hour; ingest is not. The drop is in that time and lasts.
    let half = Play { success: 0.4, alive: true };
    world.events(world.minute..world.minute + 10, NORMAL).await;
    world.events(world.minute + 10..world.minute + 30, half).await;
    let onset = world.minute + 10;
    world.minute += 30;
    world.look(11).await;
    let pages = world.receiver.taken("alert.triggered");
    assert_eq!(pages.len(), 1);
    let began = pages[0]["data"]["onset"].as_str().unwrap();
    let near = |minute: i64| began == crate::world::at(minute, 0).to_rfc3339();
    assert!(near(onset) || near(onset - 1) || near(onset + 1), "{began}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_survives_a_restart_without_a_second_page() {
    let mut world = World::start(60.0).await;
    world.import_weeks(4).await;
    world.play(70, NORMAL).await;
    world.play(5, DEAD).await;
    assert_eq!(world.receiver.count(), 1);
    let mut world = world.restart(3).await;
    world.play(5, DEAD).await;
    assert_eq!((world.receiver.count(), world.state().await.as_str()), (1, "silent"));
    world.play(20, NORMAL).await;
    assert_eq!(world.receiver.taken("alert.resolved").len(), 1);
    assert_eq!(world.receiver.count(), 2);
}
