//! The outbox against real sockets: broken receivers, restarts, signatures.

use alerter::sentence::Part;

use crate::world::{NORMAL, Play, World, metric};

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

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_told_to_the_pager_once_also_over_a_restart() {
    let mut world = World::start(60.0).await;
    world.import_weeks(4).await;
    world.change("old", "deploy", "production", world.minute - 90).await;
    world.change("13", "experiment", "production", world.minute).await;
    world.play(3, NORMAL).await;
    let summaries = |world: &World| -> Vec<String> {
        let lines = world.receiver.lines.lock();
        lines.iter().map(|line| line["payload"]["summary"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(summaries(&world), ["experiment 13"]);
    let mut world = world.restart(1).await;
    world.play(2, NORMAL).await;
    assert_eq!(summaries(&world), ["experiment 13"]);
    let told = world.rows("SELECT type, change_id, channel, state FROM system.notifications").await;
    assert_eq!(told, ["change 13 pager delivered"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_the_chat_cannot_load_does_not_cost_the_page() {
    for (no_pictures, images) in [(false, 1), (true, 0)] {
        let mut world = World::start_with(60.0, &metric("").replace("[\"hook\"]", "[\"chat\"]")).await;
        *world.receiver.no_pictures.lock() = no_pictures;
        world.import_weeks(4).await;
        world.play(20, NORMAL).await;
        world.play(8, OUT).await;
        let messages = world.receiver.chat.lock().clone();
        assert_eq!(messages.len(), 1, "{messages:?}");
        let blocks = messages[0]["blocks"].as_array().unwrap();
        assert_eq!(blocks.iter().filter(|block| block["type"] == "image").count(), images);
        assert_eq!(world.alerter.status().delivery_failures, 0);
    }
}
