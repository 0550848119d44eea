//! Minute series: what they count, and that a scan of memory and files counts the same.

use query::{Measure, MetricQuery, MinuteSeries, TimeRange};
use store::{DatasetName, Timestamp};

use crate::house::House;

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

fn range(from: &str, to: &str) -> TimeRange {
    TimeRange { from: at(from), to: at(to) }
}

fn metric(name: &str, measure: Measure, filter: Option<&str>, slices: &[&str]) -> MetricQuery {
    MetricQuery {
        name: name.to_owned(),
        dataset: DatasetName::from_user("shop").unwrap(),
        environment: Some("production".to_owned()),
        measure,
        filter: filter.map(ToOwned::to_owned),
        slices: slices.iter().map(|slice| (*slice).to_owned()).collect(),
    }
}

/// `name[slice]: minute count/denominator sum rows, …`, minutes counted from 14:00.
fn show(series: &[MinuteSeries]) -> Vec<String> {
    let base = at("2026-11-20T14:00:00Z").minutes();
    series
        .iter()
        .map(|one| {
            let slice = one.slice.as_ref().map(|(column, value)| format!("[{column}={value}]")).unwrap_or_default();
            let minutes: Vec<String> = one
                .minutes
                .iter()
                .map(|point| {
                    let minute = point.minute - base;
                    format!("{minute} {}/{} {} {}", point.count, point.denominator, point.sum, point.rows)
                })
                .collect();
            format!("{}{slice}: {}", one.metric, minutes.join(", "))
        })
        .collect()
}

const EVENTS: &[&str] = &[
    r#"{"time":"2026-11-20T14:00:10Z","id":"1","environment":"production","route":"/pay","status":200,"ms":100,"country":"NL","booking":{"total":10}}"#,
    r#"{"time":"2026-11-20T14:00:20Z","id":"2","environment":"production","route":"/pay","status":500,"ms":900,"country":"DE","sample_rate":4}"#,
    r#"{"time":"2026-11-20T14:00:30Z","id":"3","environment":"staging","route":"/pay","status":200,"ms":100,"country":"NL"}"#,
    r#"{"time":"2026-11-20T14:02:00Z","id":"4","deployment":{"environment":{"name":"production"}},"route":"/pay","status":200,"ms":700,"country":"NL","booking":{"total":2.5}}"#,
    r#"{"time":"2026-11-20T14:02:59.999999Z","id":"5","environment":"production","route":"/home","status":404,"country":7}"#,
];

fn metrics() -> Vec<MetricQuery> {
    vec![
        metric("bookings", Measure::Count, Some("route = '/pay' AND status = 200"), &["country"]),
        metric("revenue", Measure::Sum { value: "booking.total".into() }, None, &[]),
        metric("errors", Measure::Ratio { denominator: "route = '/pay'".into() }, Some("status >= 500"), &[]),
        metric("slow", Measure::Latency { value: "ms".into(), threshold_ms: 500.0 }, Some("route = '/pay'"), &[]),
    ]
}

const EXPECT: &[&str] = &[
    "bookings: 0 1/0 1 1, 2 1/0 1 1",
    "bookings[country=NL]: 0 1/0 1 1, 2 1/0 1 1",
    "revenue: 0 1/0 10 1, 2 1/0 2.5 1",
    "errors: 0 4/5 4 1, 2 0/1 0 0",
    "slow: 0 4/5 4 1, 2 1/1 1 1",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_scan_counts_all_metrics_hot_and_flushed() {
    let house = House::new().await;
    house.send("shop", &EVENTS[..2]).await;
    house.store.flush().await.unwrap();
    house.send("shop", &EVENTS[2..]).await;
    let hour = range("2026-11-20T14:00:00Z", "2026-11-20T15:00:00Z");
    assert_eq!(show(&house.engine.minute_counts(&metrics(), hour).await.unwrap()), EXPECT);
    house.store.flush().await.unwrap();
    assert_eq!(show(&house.engine.minute_counts(&metrics(), hour).await.unwrap()), EXPECT);
    // a metric alone filters in the scan; the numbers are the same
    for (one, expect) in [(1, 2..3), (2, 3..4), (3, 4..5)] {
        let alone = house.engine.minute_counts(&metrics()[one..=one], hour).await.unwrap();
        assert_eq!(show(&alone), EXPECT[expect]);
    }
    let presence = house.engine.minute_presence(&metrics()[0].dataset, Some("production"), hour).await.unwrap();
    let base = at("2026-11-20T14:00:00Z").minutes();
    assert_eq!(presence, [(base, 2), (base + 2, 2)]);
    let any = house.engine.minute_presence(&metrics()[0].dataset, None, hour).await.unwrap();
    assert_eq!(any, [(base, 3), (base + 2, 2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_range_is_exclusive_to_the_microsecond() {
    let house = House::new().await;
    house.send("shop", EVENTS).await;
    let count = async |from, to| {
        let series =
            house.engine.minute_counts(&[metric("all", Measure::Count, None, &[])], range(from, to)).await.unwrap();
        series[0].minutes.iter().map(|point| point.rows).sum::<u64>()
    };
    assert_eq!(count("2026-11-20T14:00:00Z", "2026-11-20T14:02:00Z").await, 2);
    assert_eq!(count("2026-11-20T14:02:00Z", "2026-11-20T14:03:00Z").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_datasets_nobody_sent_yet_count_nothing() {
    let house = House::new().await;
    let hour = range("2026-11-20T14:00:00Z", "2026-11-20T15:00:00Z");
    let early = metric("early", Measure::Sum { value: "no.such".into() }, Some("no.key = 'x'"), &["no.slice"]);
    assert_eq!(show(&house.engine.minute_counts(std::slice::from_ref(&early), hour).await.unwrap()), ["early: "]);
    house.send("shop", EVENTS).await;
    assert_eq!(show(&house.engine.minute_counts(std::slice::from_ref(&early), hour).await.unwrap()), ["early: "]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_is_checked_part_by_part() {
    let house = House::new().await;
    house.send("shop", EVENTS).await;
    let check = async |measure, filter, slices: &[&str]| {
        let checked = house.engine.check_metric(&metric("m", measure, filter, slices)).await;
        checked.map_err(|error| {
            let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            format!("{} | {error} | {source}", error.code())
        })
    };
    assert_eq!(check(Measure::Count, Some("route = '/pay'"), &["country"]).await, Ok(()));
    let unknown = check(Measure::Count, Some("rout = '/pay'"), &[]).await.unwrap_err();
    assert!(unknown.starts_with("unknown_column | metric m: filter \"rout = '/pay'\""), "{unknown}");
    assert!(unknown.contains("did you mean \"route\""), "{unknown}");
    let slice = check(Measure::Count, None, &["contry"]).await.unwrap_err();
    assert!(slice.contains("did you mean \"country\"?"), "{slice}");
    let smuggled = check(Measure::Count, Some("true) OR (true"), &[]).await.unwrap_err();
    assert!(smuggled.starts_with("sql_syntax"), "{smuggled}");
    let value = check(Measure::Sum { value: "messages".into() }, None, &[]).await.unwrap_err();
    assert!(value.starts_with("unknown_column | metric m: value"), "{value}");
    let no_condition = check(Measure::Ratio { denominator: "route".into() }, None, &[]).await.unwrap_err();
    assert!(no_condition.starts_with("sql_invalid | metric m: denominator"), "{no_condition}");
}
