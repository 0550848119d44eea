//! Points: imported, backfilled, re-opened by late events, shown with their band.

use serde_json::json;

use crate::world::{NOON, NORMAL, World, at, shop};

#[tokio::test(flavor = "multi_thread")]
async fn a_metric_counts_the_past_that_was_there_before_it() {
    let mut world = World::start(20.0).await;
    std::fs::remove_file(world.path("shop.toml")).unwrap();
    world.events(NOON - 600..NOON, NORMAL).await;
    world.play(2, NORMAL).await;
    std::fs::write(world.path("shop.toml"), crate::world::metric("")).unwrap();
    world.play(2, NORMAL).await;
    let path = format!(
        "/api/v1/metrics/bookings/points?from={}&to={}",
        at(NOON - 600, 0).to_rfc3339(),
        at(NOON, 0).to_rfc3339()
    );
    let points = world.get(&path).await;
    let actual = points["actual"].as_array().unwrap();
    assert_eq!(actual.len(), 600);
    for (i, minute) in (NOON - 600..NOON).enumerate() {
        assert_eq!(actual[i].as_f64(), Some(f64::from(world.rates.at(minute).total())), "minute {i}");
    }
    let child = world.get(&format!("{path}&slice=country%3DNL")).await;
    assert!(child["actual"].as_array().unwrap().iter().any(|count| count.as_f64().is_some_and(|count| count > 0.0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn imported_history_brings_a_band_that_goes_on_into_the_future() {
    let mut world = World::start(60.0).await;
    assert_eq!(world.alerter.import("none", None, b"").await.unwrap().map(|imported| imported.imported), None);
    world.import_weeks(3).await;
    world.play(10, NORMAL).await;
    let from = at(world.minute - 5, 0).to_rfc3339();
    let to = at(world.minute + 60, 0).to_rfc3339();
    let points = world.get(&format!("/api/v1/metrics/bookings/points?from={from}&to={to}")).await;
    let number = |name: &str, index: usize| points[name][index].as_f64();
    assert_eq!(points["time_ms"].as_array().unwrap().len(), 65);
    for index in 0..65 {
        let (low, mid, high) =
            (number("lower", index).unwrap(), number("expected", index).unwrap(), number("upper", index).unwrap());
        assert!(low < mid && mid < high, "{index}: {low} {mid} {high}");
        assert_eq!(number("actual", index).is_some(), index < 5, "{index}");
    }
    let metrics = world.get("/api/v1/metrics").await;
    let metric = &metrics["metrics"][0];
    assert_eq!((&metric["state"], &metric["alerts_from"]), (&json!("ok"), &json!(null)));
    assert!(metric["visible_drop"]["50_percent_minutes"].as_f64().unwrap() < 15.0);
    let hours = world.get(&format!("/api/v1/metrics/bookings/points?from={from}&to={to}&step_s=3600")).await;
    assert!(hours["actual"][0].as_f64().unwrap() < 120.0, "means per minute");
}

#[tokio::test(flavor = "multi_thread")]
async fn late_events_reopen_their_minute() {
    let mut world = World::start(20.0).await;
    world.play(5, NORMAL).await;
    let minute = world.minute - 3;
    let late = json!({"time": at(minute, 30).to_rfc3339(), "environment": "production", "route": "/pay", "status": 200, "country": "NL"});
    world.store.append_values(&shop(), &[late.clone(), late]).await.unwrap();
    world.play(1, NORMAL).await;
    let path = format!(
        "/api/v1/metrics/bookings/points?from={}&to={}",
        at(minute, 0).to_rfc3339(),
        at(minute + 1, 0).to_rfc3339()
    );
    let points = world.get(&path).await;
    assert_eq!(points["actual"][0].as_f64(), Some(f64::from(world.rates.at(minute).total() + 2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_cannot_be_read_are_named() {
    let world = World::start(20.0).await;
    let csv = format!("time,count\n{},5\nnonsense,6\n", at(NOON - 10, 0).to_rfc3339());
    let (status, answer) = csv_post(&world, csv).await;
    assert_eq!(status, 200);
    assert_eq!((&answer["imported"], &answer["rejected"][0]["line"]), (&json!(1), &json!(3)));
    let (status, answer) = csv_post(&world, "a,b\nc,d\n".to_owned()).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("malformed_csv")));
}

async fn csv_post(world: &World, csv: String) -> (u16, serde_json::Value) {
    use tower::ServiceExt as _;
    let request = axum::http::Request::post("/api/v1/metrics/bookings/points").header("content-type", "text/csv");
    let response = alerter::routes(world.alerter.clone())
        .oneshot(request.body(axum::body::Body::from(csv)).unwrap())
        .await
        .unwrap();
    let status = response.status().as_u16();
    let bytes = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap())
}
