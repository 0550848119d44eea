//! Exposed against control: who belongs to which group, and that a scan of memory and files counts the same.

use query::{ExposedSums, Exposure, Measure, MetricQuery, TimeRange};
use store::{DatasetName, Timestamp};

use crate::house::House;

/// 14:00 in minutes.
fn base() -> i64 {
    Timestamp::parse_rfc3339("2026-11-20T14:00:00Z").unwrap().minutes()
}

fn payments() -> MetricQuery {
    MetricQuery {
        name: "payments".to_owned(),
        dataset: DatasetName::from_user("shop").unwrap(),
        environment: Some("production".to_owned()),
        measure: Measure::Count,
        filter: Some("route = '/pay' AND status = 200".to_owned()),
        slices: Vec::new(),
    }
}

fn exposure(exposed: &str, control: &str, by_unit: bool, before_from: Option<i64>) -> Exposure {
    Exposure { exposed: exposed.into(), control: control.into(), by_unit, since: base() - 2, before_from }
}

/// The experiment is tagged on the search only; hosts are on every event.
fn event(minute: i64, user: &str, route: &str, host: &str, variant: Option<&str>) -> String {
    let time = Timestamp::from_minutes(base() + minute).to_rfc3339();
    let tags = variant.map_or_else(String::new, |variant| format!(r#","experiments":{{"7":"{variant}"}}"#));
    format!(
        r#"{{"time":"{time}","environment":"production","user":{{"id":"{user}"}},"route":"{route}","status":200,"host":{{"name":"{host}"}}{tags}}}"#
    )
}

async fn counted(house: &House) -> Vec<ExposedSums> {
    let range = TimeRange { from: Timestamp::from_minutes(base() - 60), to: Timestamp::from_minutes(base() + 5) };
    let exposures = [
        exposure("\"experiments.7\" = 'B'", "\"experiments.7\" <> 'B'", true, None),
        exposure("\"host.name\" = 'web-1'", "NOT (\"host.name\" = 'web-1')", false, Some(i64::MIN / 2)),
        exposure("\"experiments.nobody\" = 'B'", "\"experiments.nobody\" <> 'B'", true, None),
    ];
    house.engine.exposed_counts(&payments(), &exposures, range, base()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_keep_their_group_on_pages_that_know_nothing_of_it() {
    let house = House::new().await;
    let events = [
        // Met the change before the onset, pays twice since.
        event(-1, "b1", "/search", "web-2", Some("B")),
        event(1, "b1", "/pay", "web-1", None),
        event(2, "b1", "/pay", "web-1", None),
        // Met it and never came back.
        event(0, "b2", "/search", "web-2", Some("B")),
        event(0, "a1", "/search", "web-2", Some("A")),
        event(3, "a1", "/pay", "web-2", None),
        // Long before the change; and one who never met it.
        event(-40, "a1", "/pay", "web-1", None),
        event(-40, "z", "/pay", "web-2", None),
    ];
    house.send("shop", &events[..4]).await;
    house.store.flush().await.unwrap();
    house.send("shop", &events[4..]).await;
    for _ in 0..2 {
        let [people, hosts, nobody] = <[ExposedSums; 3]>::try_from(counted(&house).await).unwrap();
        let of = |sums: query::GroupSums| (sums.value, sums.squares, sums.trials);
        assert_eq!(people.after.map(of), [(2.0, 4.0, 2.0), (1.0, 1.0, 1.0)], "one paid twice, one vanished");
        assert!(people.of_units && people.before_minutes == 0);
        assert_eq!(people.shares[0], Some(0.5));
        assert_eq!(hosts.before.map(|sums| sums.value), [1.0, 1.0]);
        assert_eq!((hosts.before_minutes, hosts.of_units), (60, false));
        // No minute since has both hosts with a part of the events.
        assert_eq!(hosts.after.map(|sums| sums.trials), [0.0, 0.0]);
        assert_eq!(nobody, ExposedSums { shares: vec![None; 5], ..ExposedSums::default() });
        house.store.flush().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_that_moves_compares_minute_with_minute() {
    let house = House::new().await;
    // A rolling deploy: one of four hosts in the first minute, three of four in the second; all lose half in the second.
    let mut events = Vec::new();
    for (minute, exposed, paid) in [(0, 1, 4), (1, 3, 2)] {
        for host in 0..4 {
            let name = if host < exposed { "web-1" } else { "web-2" };
            for number in 0..4 {
                let route = if number < paid { "/pay" } else { "/search" };
                events.push(event(minute, &format!("u{minute}{host}{number}"), route, name, None));
            }
        }
    }
    house.send("shop", &events).await;
    let hosts = &counted(&house).await[1];
    let rate = |sums: query::GroupSums| sums.value / sums.trials;
    assert!(rate(hosts.after[0]) < rate(hosts.after[1]) - 0.2, "summed up, the new version looks worse: {hosts:?}");
    assert!((rate(hosts.matched[0]) - rate(hosts.matched[1])).abs() < 1e-12, "{hosts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_selector_that_is_no_condition_is_refused() {
    let house = House::new().await;
    house.send("shop", &[event(0, "a", "/pay", "web-1", None)]).await;
    for (condition, good) in
        [("\"host.name\" = 'web-1'", true), ("5 % of guests from .jp", false), ("nobody = 1", false)]
    {
        assert_eq!(house.engine.check_condition(&payments(), condition).await.is_ok(), good, "{condition}");
    }
}
