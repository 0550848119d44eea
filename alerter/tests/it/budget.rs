//! Pages for what is spent of the error budget, where no drop is deep enough.

use serde_json::json;

use crate::world::{NORMAL, Play, World, metric};

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_below_the_gate_pages_for_the_budget_it_spends() {
    let mut world = World::start_with(60.0, &metric("smallest_drop = 0.9\nburn_1h = 0.03\nburn_6h = 0.0")).await;
    world.import_weeks(4).await;
    world.play(60, NORMAL).await;
    world.play(45, Play { success: 0.4, alive: true }).await;
    let pages = world.receiver.taken("alert.triggered");
    assert_eq!(pages.len(), 1);
    let alert = &pages[0]["data"];
    let burn = &alert["burn"];
    assert_eq!(
        (&burn["window_minutes"], &burn["limit"], &alert["window_minutes"]),
        (&json!(60), &json!(0.03), &json!(60))
    );
    assert!(burn["spent"].as_f64().unwrap() >= 0.03 && burn["z"].as_f64() >= burn["threshold"].as_f64(), "{burn}");
    let open = world.get("/api/v1/alerts?state=open").await;
    let explanation = open["alerts"][0]["explanation"].as_str().unwrap();
    assert!(
        explanation.contains("of the error budget of 28 days went in 60 minutes, where 3 % pages"),
        "{explanation}"
    );
    let known = world.get("/api/v1/metrics").await["metrics"][0]["burn"].clone();
    assert_eq!((&known["limit_1h"], &known["limit_6h"]), (&json!(0.03), &json!(0.0)), "{known}");
    assert!(known["allowed"].as_f64().unwrap() > 1000.0 && known["last"]["spent"].as_f64().unwrap() > 0.03, "{known}");
    world.play(45, NORMAL).await;
    assert_eq!((world.receiver.taken("alert.resolved").len(), world.receiver.count()), (1, 2));

    let path = "/api/v1/metrics/bookings/backtest";
    let (_, found) = world.http("POST", path, Some(json!({"days": 1}))).await;
    assert_eq!(found["pages"][0]["burn"]["limit"], json!(0.03), "{found}");
}
