//! Which keys name the environment, the rollout and the unit is a setting, the same for every reader.

use query::{Config, Measure, MetricQuery, TimeRange};
use store::{Aliases, DatasetName, Timestamp};

use crate::house::House;

const EVENTS: &[&str] = &[
    r#"{"time":"2026-11-20T14:00:10Z","id":"1","env":"live","build":"b7","service":{"name":"web","version":"1.0"},"account":{"id":"x"},"user":{"id":"u1"},"experiments":{"13":"A"}}"#,
    r#"{"time":"2026-11-20T14:00:20Z","id":"2","env":"live","service":{"name":"web","version":"1.1"},"account":{"id":"x"},"user":{"id":"u2"},"experiments":{"13":"A"}}"#,
    r#"{"time":"2026-11-20T14:00:30Z","id":"3","environment":"test","rollout":"r9","user":{"id":"u3"},"experiments":{"13":"B"}}"#,
];

async fn house() -> House {
    let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
    let aliases = Aliases {
        environment: keys(&["env"]),
        rollout: keys(&["build", "service.version"]),
        unit: keys(&["account.id", "user.id"]),
    };
    let store_config = store::Config { aliases, ..store::Config::default() };
    House::of(Config { threads: 2, ..Config::default() }, store_config).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_metrics_and_first_sights_use_the_same_keys() {
    let house = house().await;
    let receipt = house.send("shop", EVENTS).await;
    let mut sights: Vec<String> = receipt
        .first_sights
        .iter()
        .map(|sight| {
            format!("{} {}={} in {:?}", sight.dimension, sight.target, sight.value, sight.environment.as_deref())
        })
        .collect();
    sights.sort();
    assert_eq!(
        sights,
        [
            "experiment 13=A in Some(\"live\")",
            "experiment 13=B in None",
            "rollout rollout=b7 in Some(\"live\")",
            "version service.version=1.0 in Some(\"live\")",
            "version service.version=1.1 in Some(\"live\")",
        ]
    );
    let rows = house.rows("SELECT environment, rollout FROM events ORDER BY id").await.unwrap();
    assert_eq!(rows, ["live | b7", "live | 1.1", "NULL | NULL"]);
    let rows = house.rows("SELECT variant, unit_id FROM exposures ORDER BY 1, 2").await.unwrap();
    assert_eq!(rows, ["A | x", "B | u3"]);
    assert_eq!(house.row("SELECT variant, units FROM srm_check('13') ORDER BY 1").await, "A | 1 ; B | 1");
    let metric = MetricQuery {
        name: "all".to_owned(),
        dataset: DatasetName::from_user("shop").unwrap(),
        environment: Some("live".to_owned()),
        measure: Measure::Count,
        filter: None,
        slices: vec!["rollout".to_owned()],
    };
    let at = |text| Timestamp::parse_rfc3339(text).unwrap();
    let range = TimeRange { from: at("2026-11-20T14:00:00Z"), to: at("2026-11-20T14:01:00Z") };
    let series = house.engine.minute_counts(&[metric], range).await.unwrap();
    let mut counts: Vec<(String, f64)> = series
        .iter()
        .map(|one| {
            let slice = one.slice.as_ref().map_or_else(String::new, |(_, value)| value.clone());
            (slice, one.minutes.iter().map(|minute| minute.count).sum())
        })
        .collect();
    counts.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(counts, [(String::new(), 2.0), ("1.1".to_owned(), 1.0), ("b7".to_owned(), 1.0)]);
    // Our own events keep the keys we write.
    house.own("changes", &[serde_json::json!({"id":"c","revision":1,"kind":"note","status":"succeeded","title":"t","time":"2026-11-20T14:00:00Z","environment":"live"})]).await;
    assert_eq!(house.row("SELECT environment FROM system.changes").await, "live");
}
