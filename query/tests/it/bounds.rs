//! Every bound is kept, and says so.

use query::{Config, Engine, Error, SqlRequest};

use crate::house::House;

/// Sorts more rows than any test waits for.
const ENDLESS: &str =
    "SELECT a.value FROM generate_series(1, 100000000) AS a(value) CROSS JOIN generate_series(1, 1000) AS b(value)";

fn request(sql: &str) -> SqlRequest {
    SqlRequest { sql: sql.to_owned(), ..SqlRequest::default() }
}

/// More rows than ever fit between engine and client: it runs until somebody stops it.
fn endless() -> SqlRequest {
    SqlRequest { limit: Some(1_000_000), ..request(ENDLESS) }
}

fn small() -> Config {
    Config { threads: 2, ..Config::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_past_its_deadline_ends() {
    let house = House::with(small()).await;
    let sql = format!("SELECT max(value) FROM ({ENDLESS}) AS x(value)");
    let asked = SqlRequest { timeout_ms: Some(50), ..request(&sql) };
    let ended = async { house.engine.sql(asked).await?.collect().await };
    let error = ended.await.unwrap_err();
    assert!(matches!(error, Error::Deadline { timeout_ms: 50 }), "{error:?}");
    assert!(error.to_string().contains("raise timeout_ms"));
    assert!(house.engine.queries().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deadline_holds_while_rows_stream_to_a_slow_client() {
    let house = House::with(small()).await;
    let asked = SqlRequest { timeout_ms: Some(300), ..endless() };
    let mut answer = house.engine.sql(asked).await.unwrap();
    let mut last = Ok(());
    while let Some(batch) = answer.next().await {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        last = batch.map(drop);
    }
    assert!(matches!(last, Err(Error::Deadline { .. })), "{last:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_beyond_the_limit_are_cut_and_said() {
    let house = House::with(Config { rows: 3, rows_max: 5, ..small() }).await;
    let ask = async |sql: &str, limit| {
        let asked = SqlRequest { limit, ..request(sql) };
        let (batches, stats) = house.engine.sql(asked).await.unwrap().collect().await.unwrap();
        (batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), stats.truncated)
    };
    let ten = "SELECT value FROM generate_series(1, 10)";
    assert_eq!(ask(ten, None).await, (3, true));
    assert_eq!(ask(ten, Some(4)).await, (4, true));
    assert_eq!(ask(ten, Some(100)).await, (5, true));
    assert_eq!(ask("SELECT value FROM generate_series(1, 3)", None).await, (3, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_query_too_many_is_refused_and_cancel_makes_room() {
    let house = House::with(Config { concurrent_max: 1, ..small() }).await;
    let mut first = house.engine.sql(endless()).await.unwrap();
    let error = house.engine.sql(request("SELECT 1")).await.unwrap_err();
    assert_eq!(error.code(), "too_many_queries");
    // our own queries do not wait for users'
    assert_eq!(house.engine.rows("SELECT 1", None).await.unwrap().len(), 1);

    let running = house.engine.queries();
    assert_eq!((running.len(), running[0].id.as_str(), running[0].sql.as_str()), (1, first.id(), ENDLESS));
    house.engine.cancel(first.id()).unwrap();
    let mut last = None;
    while let Some(batch) = first.next().await {
        last = batch.err();
    }
    assert_eq!(last.map(|error| error.code()), Some("query_cancelled"));
    assert_eq!(house.engine.cancel("nobody").unwrap_err().code(), "query_not_found");
    until_idle(&house.engine).await;
    assert_eq!(house.rows("SELECT 1").await.unwrap(), ["1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_stops_its_query() {
    let house = House::with(Config { concurrent_max: 1, ..small() }).await;
    drop(house.engine.sql(endless()).await.unwrap());
    until_idle(&house.engine).await;
    let sql = "SELECT state, error FROM system.queries WHERE sql LIKE '%generate_series%' AND state <> 'running'";
    assert_eq!(house.row(sql).await, "failed | query_cancelled: the query was cancelled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_needs_too_much_memory_fails_alone() {
    let house = House::with(Config { memory_bytes_max: 16 << 20, ..small() }).await;
    let texts = "SELECT md5(CAST(value AS VARCHAR)) AS text FROM generate_series(1, 1000000)";
    let error = house.error(&format!("SELECT text, count(*) FROM ({texts}) GROUP BY text ORDER BY 2")).await;
    assert_eq!(error.code(), "memory_exceeded", "{error:?}");
    assert_eq!(house.row("SELECT 1").await, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_too_long_is_refused() {
    let house = House::with(Config { sql_bytes_max: 1_000, ..small() }).await;
    let error = house.error(&format!("SELECT '{}'", "x".repeat(1_000))).await;
    assert_eq!(error.code(), "invalid_request");
}

/// Waits until no query runs: the end of a task is noticed a moment after its last row.
async fn until_idle(engine: &Engine) {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while !engine.queries().is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "a query never ended");
        tokio::task::yield_now().await;
    }
}
