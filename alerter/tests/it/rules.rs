//! Plain rules on a real engine: a share that goes over its bound, a group that falls silent, a restart.

use axum::http::StatusCode;
use serde_json::json;

use crate::world::{NORMAL, Play, World, metric};

const RULES: &str = r#"
[[rule]]
name = "failures"
title = "Failed payments"
dataset = "shop"
environment = "production"
kind = "ratio"
sql = """SELECT sum(CASE WHEN status = 500 THEN 1 ELSE 0 END) AS numerator, count(*) AS denominator
FROM events WHERE route = '/pay' AND time >= $from AND time < $to"""
above = 0.2
least = 20
window_minutes = 3
for_minutes = 2
keep_firing_minutes = 2
channels = ["hook"]

[[rule]]
name = "searches"
dataset = "shop"
kind = "absence"
sql = "SELECT route, count(*) AS value FROM events WHERE route = '/search' AND time >= $from AND time < $to GROUP BY route"
window_minutes = 2
compare_minutes = 30
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_fires_once_through_a_restart_and_ends() {
    let mut world = World::start_with(60.0, &format!("{}{RULES}", metric(""))).await;
    world.play(10, NORMAL).await;
    assert_eq!(world.receiver.count(), 0);
    let bad = Play { success: 0.6, alive: true };
    world.play(3, bad).await;
    assert_eq!(world.receiver.count(), 0, "not for long enough");
    world.play(3, bad).await;
    let pages = world.receiver.taken("alert.triggered");
    assert_eq!(pages.len(), 1);
    let sentence = pages[0]["data"]["sentence"].as_str().unwrap();
    assert!(
        sentence.starts_with("Failed payments: ") && sentence.contains(" % in 3 minutes, above 20 %"),
        "{sentence}"
    );
    assert_eq!(pages[0]["data"]["condition"]["kind"], "ratio");
    let mut world = world.restart(1).await;
    world.play(2, bad).await;
    assert_eq!(world.receiver.taken("alert.triggered").len(), 1, "a restart pages nothing twice");
    world.play(8, NORMAL).await;
    assert_eq!((world.receiver.taken("alert.triggered").len(), world.receiver.taken("alert.resolved").len()), (1, 1));

    let rules = world.get("/api/v1/rules").await["rules"].as_array().unwrap().clone();
    assert_eq!((&rules[0]["name"], &rules[0]["groups"][0]["state"]), (&json!("failures"), &json!("ok")));
    assert_eq!(rules[1]["groups"][0]["group"], "route=/search");
    let points =
        world.rows("SELECT DISTINCT metric FROM system.metric_points WHERE definition = 'rule' ORDER BY 1").await;
    assert_eq!(points, ["failures", "searches"]);
    let hour = |body| Some(json!({"from": "2026-11-20T12:00:00Z", "definition": body}));
    let (status, found) = world.http("POST", "/api/v1/rules/failures/backtest", hour(json!(null))).await;
    assert_eq!((status, found["pages"].as_array().unwrap().len()), (StatusCode::OK, 1), "{found}");
    let strict = RULES.replace("above = 0.2", "above = 0.9");
    let (_, found) = world.http("POST", "/api/v1/rules/failures/backtest", hour(json!(strict))).await;
    assert_eq!(found["pages"].as_array().unwrap().len(), 0, "{found}");
}
