//! What plans must look like: filters, projections and limits reach the files.

use crate::house::House;

async fn house() -> House {
    let house = House::new().await;
    let event = |n: usize| {
        let price = if n.is_multiple_of(2) { n.to_string() } else { format!("{n}.5") };
        let (minute, second, route) = (n / 60, n % 60, n % 7);
        format!(
            r#"{{"time":"2026-11-20T13:{minute:02}:{second:02}Z","id":"e{n}","n":{n},"price":{price},"route":"/r{route}","service":{{"name":"web"}}}}"#
        )
    };
    let events: Vec<String> = (0..2_000).map(event).collect();
    house.send("shop", &events[..1_000]).await;
    house.store.flush().await.unwrap();
    house.send("shop", &events[1_000..]).await;
    house
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mixed_column_against_an_integer_is_judged_by_both_siblings_statistics() {
    let plan = house().await.row("EXPLAIN SELECT route FROM events WHERE price > 5 AND service.name = 'web'").await;
    assert!(plan.contains("pruning_predicate=(price_null_count@1 != row_count@2 AND price_max@0 > 5 OR"), "{plan}");
    assert!(plan.contains("required_guarantees=[service.name in (web)]"), "{plan}");
    // only what the statement needs is read, and rows are filtered while decoding
    assert!(plan.contains("projection=[route], file_type=parquet, predicate=(price@0 > 5"), "{plan}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_latest_events_need_no_file_when_the_hot_ones_are_newer() {
    let plan = house().await.row("EXPLAIN ANALYZE SELECT * FROM events ORDER BY time DESC LIMIT 5").await;
    assert!(plan.contains("dynamic_rg_pruning=eligible"), "{plan}");
    assert!(plan.contains("TopK(fetch=5)"), "{plan}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counting_all_events_reads_nothing() {
    let plan = house().await.row("EXPLAIN SELECT count(*) FROM events").await;
    assert!(plan.contains("expr=[2000 as count(*)]"), "{plan}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_outside_the_time_range_are_not_even_planned() {
    let house = house().await;
    let plan = house.row("EXPLAIN SELECT count(*) FROM events WHERE time > '2026-11-21'").await;
    assert!(!plan.contains("parquet"), "{plan}");
    let plan = house.row("EXPLAIN SELECT count(*) FROM events WHERE _day = DATE '2026-11-19'").await;
    assert!(!plan.contains("parquet"), "{plan}");
    let hot_only = house.row("EXPLAIN SELECT count(*) FROM events WHERE time >= '2026-11-20T13:20:00Z'").await;
    assert!(!hot_only.contains("parquet"), "{hot_only}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_tell_nothing_of_the_machine() {
    let plan = house().await.row("EXPLAIN SELECT * FROM events").await;
    assert!(plan.contains("file_groups={1 group: [[shop/_day=2026-11-20/part-"), "{plan}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_in_compares_with_distinct_values() {
    let plan = house()
        .await
        .row("EXPLAIN SELECT route FROM events WHERE route NOT IN (SELECT route FROM events WHERE n > 5)")
        .await;
    assert!(plan.contains("Aggregate: groupBy=[[events.route]]"), "{plan}");
}
