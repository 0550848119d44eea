//! Asked before it is needed: what a rule would have paged for, and who would notice a change.

use axum::http::StatusCode;
use serde_json::json;

use crate::world::{NORMAL, Play, World, at, metric};

const HALF: Play = Play { success: 0.45, alive: true };

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_replayed_before_it_is_saved_and_changes_are_told_who_would_notice() {
    let tried = metric("").replace("\"bookings\"\ntitle", "\"tried\"\ntitle");
    let mut world = World::start(60.0).await;
    world.import_weeks(3).await;
    world.play(30, NORMAL).await;
    let onset = world.minute;
    world.play(20, HALF).await;
    world.play(40, NORMAL).await;
    assert_eq!(world.receiver.taken("alert.triggered").len(), 1);
    let alert = world.get("/api/v1/alerts").await["alerts"][0].clone();
    assert_eq!(alert["state"], "resolved", "20 minutes after a recovery at 60 a minute it is over: {alert}");

    // The rule in force: the incident of today, with the alert it became.
    let ask = |name: &str, body| (format!("/api/v1/metrics/{name}/backtest"), Some(body));
    let (path, body) = ask("bookings", json!({"days": 1}));
    let (status, found) = world.http("POST", &path, body).await;
    assert_eq!(status, StatusCode::OK, "{found}");
    let pages = found["pages"].as_array().unwrap();
    let ours = pages.iter().find(|page| page["alert_id"] == alert["id"]).unwrap_or_else(|| panic!("{found}"));
    let about = at(onset - 2, 0).to_rfc3339()..=at(onset + 2, 0).to_rfc3339();
    assert!(about.contains(&ours["onset"].as_str().unwrap().to_owned()), "{ours}");
    assert!(ours["score"].as_f64().unwrap() >= ours["threshold"].as_f64().unwrap());
    assert!(ours["missed"].as_f64().unwrap() > 300.0, "{ours}");
    assert_eq!((&found["history"], &found["parent_metrics"]), (&json!("points"), &json!(1)));

    // A wider gate would have slept through it, but for the error budget.
    let (path, body) = ask("bookings", json!({"days": 1, "smallest_drop": 0.9}));
    let (_, found) = world.http("POST", &path, body).await;
    assert!(found["pages"].as_array().unwrap().iter().all(|page| page["burn"].is_object()), "{found}");

    // A definition nobody saved counts raw events; after an hour and a half of them it is still learning.
    let (path, body) = ask("tried", json!({"definition": tried, "days": 1}));
    let (status, found) = world.http("POST", &path, body).await;
    assert_eq!((status, &found["history"]), (StatusCode::OK, &json!("raw events")), "{found}");
    assert_eq!((&found["minutes_judged"], &found["minutes_learning"]), (&json!(0), &json!(90)));
    for (body, code) in [
        (json!({"definition": "[[metric]]\nname = \"tried\"\n"}), "invalid_definition"),
        (json!({"days": 0}), "invalid_request"),
        (json!({"direction": "sideways"}), "invalid_request"),
    ] {
        let (path, body) = ask("bookings", body);
        let (status, answer) = world.http("POST", &path, body).await;
        assert_eq!((status, &answer["error"]["code"]), (StatusCode::BAD_REQUEST, &json!(code)), "{answer}");
    }
    let (path, body) = ask("none", json!({}));
    assert_eq!(world.http("POST", &path, body).await.0, StatusCode::NOT_FOUND);

    // Would you notice?
    world.change("13", "experiment", "production", world.minute).await;
    world.change("14", "experiment", "staging", world.minute).await;
    world.play(1, NORMAL).await;
    let seen = world.get("/api/v1/changes/13/coverage").await;
    assert_eq!((&seen["covers"][0]["metric"], &seen["warning"]), (&json!("bookings"), &json!(null)), "{seen}");
    assert!(seen["covers"][0]["outage_minutes"].as_f64().unwrap() < 5.0, "{seen}");
    let unseen = world.get("/api/v1/changes/14/coverage").await;
    assert!(unseen["warning"].as_str().unwrap().contains("no metric in staging"), "{unseen}");
    assert_eq!(world.http("GET", "/api/v1/changes/15/coverage", None).await.0, StatusCode::NOT_FOUND);
    world.play(1, NORMAL).await;
    let told = world.rows("SELECT change_id, metric, warning FROM system.change_coverage ORDER BY change_id").await;
    assert_eq!(told.len(), 2, "each once: {told:?}");
    assert_eq!((told[0].as_str(), told[1].contains("staging")), ("13 bookings ", true), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_metrics_that_fall_together_are_one_page() {
    let payments = metric("").replace("\"bookings\"", "\"payments\"").replace("Bookings", "Payments");
    let mut world = World::start_with(60.0, &format!("{}{payments}", metric(""))).await;
    world.import_weeks(3).await;
    world.import_into("payments", 3).await;
    world.play(20, NORMAL).await;
    world.play(20, HALF).await;
    assert_eq!(world.receiver.taken("alert.triggered").len(), 1, "one cause, one page");
    let open = world.get("/api/v1/alerts?state=open").await["alerts"].as_array().unwrap().clone();
    assert_eq!(open.len(), 2, "both are recorded: {open:?}");
    let (leader, part) = if open[0]["part_of"].is_null() { (&open[0], &open[1]) } else { (&open[1], &open[0]) };
    assert_eq!(part["part_of"], leader["id"]);
    assert_eq!(leader["joined"], json!([part["title"]]));
    assert!(leader["explanation"].as_str().unwrap().contains("left their expectation with it"), "{leader}");
    world.play(40, NORMAL).await;
    assert_eq!((world.receiver.taken("alert.triggered").len(), world.receiver.taken("alert.resolved").len()), (1, 1));
}
