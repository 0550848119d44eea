//! Definition files while the alerter runs.

use crate::world::{NORMAL, World, metric};

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_keeps_its_last_good_version_and_is_loud() {
    let mut world = World::start(20.0).await;
    world.play(3, NORMAL).await;
    std::fs::write(world.path("shop.toml"), metric("smalest_drop = 0.3")).unwrap();
    world.play(1, NORMAL).await;
    let metrics = world.get("/api/v1/metrics").await;
    assert_eq!(metrics["metrics"][0]["smallest_drop"], 0.12, "the last good version stays in force");
    let error = metrics["metrics"][0]["error"].as_str().unwrap();
    assert!(error.contains("shop.toml:13") && error.contains("did you mean `smallest_drop`?"), "{error}");
    assert_eq!(world.alerter.status().problems.len(), 1);
    assert!(world.alerter.metrics_text().contains("yellowline_alerter_definition_problems 1"));
    std::fs::write(world.path("shop.toml"), metric("smallest_drop = 0.3")).unwrap();
    world.play(1, NORMAL).await;
    let metrics = world.get("/api/v1/metrics").await;
    assert_eq!((&metrics["metrics"][0]["smallest_drop"], &metrics["metrics"][0]["error"]), (&0.3.into(), &().into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_that_does_not_work_is_named_with_its_metric() {
    let mut world = World::start_with(20.0, &metric("").replace("status = 200", "status ==== 200")).await;
    world.play(2, NORMAL).await;
    let metrics = world.get("/api/v1/metrics").await;
    assert!(metrics["metrics"][0]["error"].is_string(), "{metrics}");
    std::fs::write(world.path("shop.toml"), metric("")).unwrap();
    world.play(2, NORMAL).await;
    let metrics = world.get("/api/v1/metrics").await;
    assert!(metrics["metrics"][0]["error"].is_null(), "{metrics}");
    assert_eq!(metrics["metrics"][0]["state"], "learning");
}
