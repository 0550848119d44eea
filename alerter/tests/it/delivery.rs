//! The outbox against real sockets: broken receivers, restarts, signatures.

use alerter::sentence::Part;

use crate::world::{NORMAL, Play, World};

const OUT: Play = Play { success: 0.2, alive: true };

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_answers_500_for_ten_minutes_gets_the_page_once_after() {
    let mut world = World::start(60.0).await;
    world.import_weeks(4).await;
    world.play(20, NORMAL).await;
    *world.receiver.status.lock() = 500;
    world.play(12, OUT).await;
    assert_eq!(world.receiver.count(), 0);
    let status = world.alerter.status();
    assert_eq!((status.delivery_failures, status.alerts_open), (1, 1));
    let hook = status.channels.iter().find(|channel| channel.name == "hook").unwrap();
    assert!(hook.last_error.as_deref().unwrap().contains("answered 500"));
    assert!(world.alerter.metrics_text().contains("yellowline_alerter_channel_failing{channel=\"hook\"} 1"));
    *world.receiver.status.lock() = 204;
    world.play(10, OUT).await;
    assert_eq!(world.receiver.taken("alert.triggered").len(), 1);
    assert_eq!(world.alerter.status().delivery_failures, 0);
    let headers = world.receiver.last_headers();
    assert!(headers["webhook-id"].to_str().unwrap().starts_with("msg_bookings-"));
    assert!(headers["webhook-signature"].to_str().unwrap().starts_with("v1,"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_without_a_receipt_is_sent_after_a_restart_and_only_once() {
    let mut world = World::start(60.0).await;
    world.import_weeks(4).await;
    world.play(20, NORMAL).await;
    *world.receiver.status.lock() = 503;
    world.play(10, OUT).await;
    let open = world.get("/api/v1/alerts?state=open").await;
    assert_eq!(open["alerts"][0]["notifications"][0]["state"], "pending");
    *world.receiver.status.lock() = 200;
    let mut world = world.restart(2).await;
    world.look(30).await;
    let pages = world.receiver.taken("alert.triggered");
    assert_eq!(pages.len(), 1, "sent after the restart");
    assert_eq!(pages[0]["data"]["id"], open["alerts"][0]["id"]);
    world.play(10, OUT).await;
    assert_eq!(world.receiver.taken("alert.triggered").len(), 1, "the restart opened nothing anew");
    let mut world = world.restart(1).await;
    world.play(3, OUT).await;
    assert_eq!(world.receiver.taken("alert.triggered").len(), 1, "its receipt is known");
    world.play(60, NORMAL).await;
    assert_eq!(world.receiver.taken("alert.resolved").len(), 1);
    let parts: Vec<Part> =
        serde_json::from_value(world.receiver.taken("alert.resolved")[0]["data"]["sentence_parts"].clone()).unwrap();
    assert!(parts[0].text.starts_with("We expected"));
}
