//! Turning a suspect off: confirmed, allowed, signed, called once, drawn, and judged by whether the metric recovers.

use serde_json::{Value, json};

use crate::world::{NORMAL, Play, World, metric};

const HALF: Play = Play { success: 0.45, alive: true };

/// An open incident with experiment 13 and a deploy as suspects, both with a way to turn them off.
async fn incident() -> (World, Value) {
    incident_of(8).await
}

/// The same, some minutes after its beginning.
async fn incident_of(minutes: i64) -> (World, Value) {
    let mut world = World::start_with(60.0, &metric("")).await;
    world.import_weeks(4).await;
    world.play(30, NORMAL).await;
    let onset = world.minute;
    world
        .change_with("web", "deploy", onset - 4, json!({"off": world.receiver.off("/web", json!({"to": "previous"}))}))
        .await;
    world.change_with("13", "experiment", onset, json!({"off": world.receiver.off("/13", json!({"share": 0}))})).await;
    world.play(minutes, HALF).await;
    let alert = world.get("/api/v1/alerts?state=open").await["alerts"][0].clone();
    assert!(alert.is_object(), "no incident");
    (world, alert)
}

async fn press(world: &World, alert: &Value, body: Value) -> (u16, Value) {
    let path = format!("/api/v1/alerts/{}/off", alert["id"].as_str().unwrap());
    let (status, answer) = world.http("POST", &path, Some(body)).await;
    (status.as_u16(), answer)
}

fn code(answer: &Value) -> &str {
    answer["error"]["code"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_press_turns_the_suspect_off_once_and_the_incident_says_that_it_recovered() {
    let (mut world, alert) = incident().await;
    assert_eq!((&alert["off"]["change"], &alert["off"]["allowed"]), (&json!("13"), &json!(true)));
    let (status, answer) = press(&world, &alert, json!({"change": "13"})).await;
    assert_eq!((status, code(&answer)), (409, "confirm_required"), "{answer}");
    assert_eq!(answer["call"]["body"], json!({"share": 0}));
    assert_eq!(answer["call"]["confirm"], alert["off"]["confirm"]);
    let (status, answer) = press(&world, &alert, json!({"change": "13", "confirm": "0011223344556677"})).await;
    assert_eq!((status, code(&answer)), (409, "confirm_outdated"), "{answer}");
    assert!(world.receiver.offs().is_empty(), "nothing was called yet");

    let order =
        json!({"change": "13", "confirm": alert["off"]["confirm"], "actor": "a.turing", "reason": "checkout broken"});
    let both = tokio::join!(press(&world, &alert, order.clone()), press(&world, &alert, order.clone()));
    let called = [&both.0, &both.1].map(|(status, answer)| {
        assert_eq!(*status, 200, "{answer}");
        answer["called"].as_bool().unwrap()
    });
    assert_eq!(called.iter().filter(|called| **called).count(), 1, "two presses, one call");
    let offs = world.receiver.offs();
    assert_eq!(offs.len(), 1);
    assert_eq!(
        (offs[0].path.as_str(), offs[0].method.as_str(), offs[0].body.as_str()),
        ("/off/13", "POST", "{\"share\":0}")
    );
    assert!(offs[0].is_signed(), "the call is signed");

    world.play(4, NORMAL).await;
    let path = format!("/api/v1/alerts/{}", alert["id"].as_str().unwrap());
    let open = world.get(&path).await;
    assert_eq!((&open["state"], &open["off_actions"][0]["outcome"]), (&json!("firing"), &json!("recovered")), "{open}");
    let sentence = open["sentence"].as_str().unwrap();
    assert!(
        sentence.contains("a.turing turned off \u{201c}experiment 13\u{201d} at ")
            && sentence.ends_with(": recovered after off."),
        "{sentence}"
    );
    world.play(40, NORMAL).await;
    let ended = world.receiver.taken("alert.resolved");
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0]["data"]["off_outcome"], "recovered");
    assert!(ended[0]["data"]["sentence"].as_str().unwrap().ends_with("recovered after off."));

    let audit = "SELECT type, change_id, actor, reason, CAST(status AS VARCHAR) FROM system.off_actions ORDER BY time, type DESC";
    let who = "13 a.turing checkout broken";
    assert_eq!(world.rows(audit).await, [format!("started {who} "), format!("done {who} 200")]);
    let learnt = "SELECT change_id, outcome FROM system.suspect_changes WHERE outcome IS NOT NULL";
    assert_eq!(world.rows(learnt).await, ["13 confirmed"]);
    let line = "SELECT kind, title, actor, source, CAST(share AS VARCHAR) FROM system.changes WHERE id = 'off-13'";
    assert_eq!(world.rows(line).await, ["experiment turned off: experiment 13 a.turing yellowline 0.0"]);
    let told = "SELECT off_outcome, suspect_actor, explanation FROM system.alerts WHERE type = 'resolved'";
    let told = world.rows(told).await;
    assert!(told[0].starts_with("recovered j.doe According to "), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_one_has_not_recovered_and_the_right_one_has() {
    let (mut world, alert) = incident().await;
    let confirm = |change: &str| {
        let offers = alert["offers"].as_array().unwrap();
        offers.iter().find(|offer| offer["change"] == change).unwrap()["confirm"].clone()
    };
    let (status, answer) = press(&world, &alert, json!({"change": "web", "confirm": confirm("web")})).await;
    assert_eq!(status, 200, "{answer}");
    world.play(12, HALF).await;
    let path = format!("/api/v1/alerts/{}", alert["id"].as_str().unwrap());
    let open = world.get(&path).await;
    assert_eq!(open["off_actions"][0]["outcome"], "not_recovered", "{}", open["off_actions"]);
    let (status, answer) = press(&world, &alert, json!({"change": "13", "confirm": confirm("13")})).await;
    assert_eq!(status, 200, "{answer}");
    world.play(5, NORMAL).await;
    let open = world.get(&path).await;
    let outcomes: Vec<&str> =
        open["off_actions"].as_array().unwrap().iter().filter_map(|action| action["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["not_recovered", "recovered"]);
    let verdicts = "SELECT change_id, outcome FROM system.suspect_changes WHERE outcome IS NOT NULL ORDER BY outcome";
    assert_eq!(world.rows(verdicts).await, ["13 confirmed", "web refuted"]);
    let learnt = async |world: &World, kind: &str| {
        let alert = world.get(&path).await;
        let suspects = alert["suspects"].as_array().unwrap().clone();
        let outcome = suspects.iter().find(|suspect| suspect["change"]["kind"] == kind).unwrap()["outcome"].clone();
        outcome.as_str().unwrap().to_owned()
    };
    let world = world.restart(1).await;
    assert_eq!(
        (learnt(&world, "deploy").await, learnt(&world, "experiment").await),
        ("refuted".into(), "confirmed".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_open_incident_that_names_the_change_watches_its_own_metric() {
    let twin = metric("").replace("\"bookings\"\ntitle = \"Bookings\"", "\"paid\"\ntitle = \"Paid\"");
    let mut world = World::start_with(60.0, &format!("{}{twin}", metric(""))).await;
    world.import_weeks(4).await;
    world.import_into("paid", 4).await;
    world.play(20, NORMAL).await;
    world.change_with("13", "experiment", world.minute, json!({"off": world.receiver.off("/13", json!({}))})).await;
    world.play(6, HALF).await;
    let open = world.get("/api/v1/alerts?state=open").await["alerts"].clone();
    assert_eq!(open.as_array().unwrap().len(), 2, "{open}");
    let order = json!({"change": "13", "confirm": open[0]["off"]["confirm"]});
    assert_eq!(press(&world, &open[0], order).await.0, 200);
    world.play(3, NORMAL).await;
    for alert in open.as_array().unwrap() {
        let now = world.get(&format!("/api/v1/alerts/{}", alert["id"].as_str().unwrap())).await;
        assert_eq!(now["off_outcome"], "recovered", "{}", now["sentence"]);
    }
    assert_eq!(world.receiver.offs().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_soon_after_the_page_moves_neither_the_onset_nor_the_blame() {
    let (mut world, alert) = incident_of(4).await;
    let order = json!({"change": "13", "confirm": alert["off"]["confirm"]});
    let (status, answer) = press(&world, &alert, order).await;
    assert_eq!(status, 200, "{answer}");
    // The minute of the press is partly of both.
    world.play(1, Play { success: 0.9, alive: true }).await;
    world.play(10, NORMAL).await;
    let path = format!("/api/v1/alerts/{}", alert["id"].as_str().unwrap());
    let now = world.get(&path).await;
    assert_eq!((&now["onset"], &now["suspect_change"]), (&alert["onset"], &json!("13")), "{}", now["sentence"]);
    assert_eq!(now["off_outcome"], "recovered");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_said_precisely_and_may_be_pressed_again() {
    let (mut world, alert) = incident().await;
    let order = json!({"change": "13", "confirm": alert["off"]["confirm"]});
    *world.receiver.off_status.lock() = 500;
    let (status, answer) = press(&world, &alert, order.clone()).await;
    assert_eq!((status, code(&answer)), (502, "off_failed"), "{answer}");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("NOT turned off: POST http://127.0.0.1:") && message.contains("answered with 500: no"),
        "{message}"
    );
    assert!(world.get("/api/v1/alerts?state=open").await["alerts"][0]["off_actions"].as_array().unwrap().is_empty());
    assert!(
        world.rows("SELECT id FROM system.changes WHERE id = 'off-13'").await.is_empty(),
        "no line for what did not happen"
    );

    // A redirect is not followed.
    *world.receiver.off_status.lock() = 302;
    let (status, answer) = press(&world, &alert, order.clone()).await;
    assert_eq!((status, code(&answer)), (502, "off_failed"), "{answer}");
    assert_eq!(world.receiver.offs().len(), 2, "called twice, and the redirect's target never");

    *world.receiver.off_status.lock() = 200;
    let (status, answer) = press(&world, &alert, order.clone()).await;
    assert_eq!((status, &answer["called"]), (200, &json!(true)), "{answer}");
    let ids: Vec<String> = world.receiver.offs().iter().map(|off| off.id()).collect();
    assert_eq!(ids, ["off_13", "off_13", "off_13"], "so that the target can drop repeats");

    world = world.restart(1).await;
    world.look(20).await;
    let (status, answer) = press(&world, &alert, order).await;
    assert_eq!((status, &answer["called"]), (200, &json!(false)), "known after a restart: {answer}");
    assert_eq!(world.receiver.offs().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_listed_targets_and_changes_of_the_environment_are_called() {
    let (world, alert) = incident().await;
    let foreign = json!({"off": {"url": "http://169.254.169.254/latest", "method": "POST"}});
    world.change_with("evil", "config", world.minute - 1, foreign).await;
    world.change_with("mute", "config", world.minute - 1, json!({})).await;
    let staging = json!({"environment": "staging", "off": world.receiver.off("/s", json!({}))});
    world.change_with("staging", "config", world.minute - 1, staging).await;
    world.look(30).await;
    let check = async |change: &str, status: u16, expect: &str| {
        let (got, answer) = press(&world, &alert, json!({"change": change, "confirm": "x"})).await;
        assert_eq!((got, code(&answer)), (status, expect), "{change}: {answer}");
    };
    check("evil", 403, "off_target_not_allowed").await;
    check("mute", 409, "no_off_action").await;
    check("staging", 409, "other_environment").await;
    check("none", 404, "change_not_found").await;
    let (status, answer) = world.http("POST", "/api/v1/alerts/none/off", Some(json!({"change": "13"}))).await;
    assert_eq!((status.as_u16(), code(&answer)), (404, "alert_not_found"));
    assert!(world.receiver.offs().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_picture_needs_its_secret_address_and_expires() {
    let (mut world, alert) = incident().await;
    let url = alert["links"]["picture"].as_str().unwrap();
    let path = url.split_once("/pictures/").map(|(_, rest)| format!("/pictures/{rest}")).unwrap();
    let png = world.bytes(&path).await;
    assert_eq!((png.0.as_u16(), &png.1[..8]), (200, &b"\x89PNG\r\n\x1a\n"[..]));
    assert_eq!(world.bytes(&format!("/pictures/{}.png", "0".repeat(32))).await.0.as_u16(), 404);
    let id = alert["id"].as_str().unwrap();
    assert_eq!(world.bytes(&format!("/api/v1/alerts/{id}/picture")).await.0.as_u16(), 200);
    world.play(70, NORMAL).await;
    assert_eq!(world.bytes(&path).await.0.as_u16(), 200, "also after the end, for a while");
    world.set_clock(world.minute + 8 * 1440);
    assert_eq!(world.bytes(&path).await.0.as_u16(), 404);
}
