//! The questions over HTTP, their help, their places of errors, and their bounds.

use axum::{Router, body::Body, http::Request};
use http_body_util::BodyExt;
use query::{Config, Error, SqlRequest, routes};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::house::House;

async fn ask(router: &Router, request: Request<Body>) -> (u16, Value) {
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap())
}

async fn post(router: &Router, path: &str, body: Value) -> (u16, Value) {
    ask(router, Request::post(format!("/api/v1{path}")).body(Body::from(body.to_string())).unwrap()).await
}

async fn get(router: &Router, path: &str) -> (u16, Value) {
    ask(router, Request::get(format!("/api/v1{path}")).body(Body::empty()).unwrap()).await
}

/// Users of two countries; those of `jp` fail in variant B.
fn events(count: usize) -> Vec<String> {
    let event = |n: usize| {
        let (country, variant) =
            (if n.is_multiple_of(5) { "jp" } else { "de" }, if n.is_multiple_of(2) { "A" } else { "B" });
        let status = if country == "jp" && variant == "B" { 500 } else { 200 };
        format!(
            r#"{{"id":"e{n}","time":"2026-11-20T14:00:00Z","trace_id":"t{}","status":{status},"country":"{country}","experiments":{{"13":"{variant}"}},"user":{{"id":"u{n}"}},"duration_ms":{}}}"#,
            n / 2,
            10 + n % 7
        )
    };
    (0..count).map(event).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_are_requests_too() {
    let house = House::new().await;
    house.send("shop", &events(400)).await;
    let router = routes(house.engine.clone());
    let (status, answer) =
        post(&router, "/explain-diff", json!({"selection": "status >= 500", "timeout_ms": 60_000})).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["rows"][0][0], r#""country" = 'jp' AND "experiments.13" = 'B'"#);
    assert_eq!(answer["columns"][0]["name"], "predicate");
    let (status, answer) = post(&router, "/explain-diff", json!({"selection": "statu >= 500"})).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("unknown_column")));
    let (status, answer) = post(&router, "/explain-diff", json!({"selction": "x"})).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("invalid_request")), "{answer}");

    let (status, answer) = post(&router, "/compare", json!({"experiment": 13, "metric": "status = 500"})).await;
    assert_eq!((status, &answer["rows"][0][4], &answer["rows"][0][5]), (200, &json!(0.0), &json!(0.2)), "{answer}");
    let (status, answer) =
        post(&router, "/compare", json!({"experiment": "13", "metric": "status = 500", "by": "section"})).await;
    assert_eq!((status, &answer["columns"][0]["name"]), (200, &json!("section")), "{answer}");

    let (_, help) = get(&router, "/functions").await;
    let named =
        |name: &str| help["functions"].as_array().unwrap().iter().find(|one| one["name"] == name).cloned().unwrap();
    assert_eq!(named("explain_diff")["kind"], "table");
    assert_eq!(named("approx_percentile_cont")["kind"], "aggregate");

    let (status, trace) = get(&router, "/traces/t7").await;
    assert_eq!((status, trace["events"].as_array().map(Vec::len)), (200, Some(2)), "{trace}");
    assert_eq!(get(&router, "/traces/none").await.1["error"]["code"], "trace_not_found");
}

/// Every example of the help is a statement that plans, over a dataset that has what the examples speak of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_of_the_help_works() {
    let house = House::new().await;
    let event = |variant: &str, n: usize| {
        format!(
            r#"{{"id":"{variant}{n}","rollout":"64fd32f","status":{},"duration_ms":5,"cart":{{"total":3.5}},"items":[{{"sku":"x","n":1,"price":2.5,"gift":true}}],"experiments":{{"13":"{variant}"}},"messages":[{{"level":"error","text":"no {n}"}}],"probes":[{{"section":"pay","experiment":"13","variant":"{variant}","count":1,"sql_ms":2.5,"sql":"SELECT 1"}}]}}"#,
            if n == 0 { 500 } else { 200 }
        )
    };
    let events: Vec<String> = ["A", "B"].iter().flat_map(|variant| (0..3).map(move |n| event(variant, n))).collect();
    house.send("shop", &events).await;
    house.send("shop", &[r#"{"rollout":"before"}"#]).await;
    let (_, help) = get(&routes(house.engine.clone()), "/functions").await;
    let mut asked = 0;
    for one in help["functions"].as_array().unwrap() {
        let example = one["example"].as_str().unwrap();
        if !example.is_empty() {
            house.rows(example).await.unwrap_or_else(|error| panic!("{example}: {error} {error:?}"));
            asked += 1;
        }
    }
    assert!(asked >= 20, "{asked}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_in_texts_have_their_place_in_the_statement() {
    let house = House::new().await;
    house.send("shop", &events(10)).await;
    let place = async |sql: &str| house.error(sql).await.position().map(|at| (at.line, at.column));
    assert_eq!(place("SELECT * FROM explain_diff('status >= 500 AND contry = 1')").await, Some((1, 47)));
    assert_eq!(place("SELECT *\nFROM explain_diff('status >= 500',\n  'contry = ''de''')").await, Some((3, 4)));
    assert_eq!(place("SELECT * FROM explain_diff('country = ''de'' AND contry = 1')").await, Some((1, 50)));
    assert_eq!(place("SELECT * FROM compare_variants('14', 'status')").await, Some((1, 32)));
    assert_eq!(place("SELECT * FROM srm_check('13', share => ['A=1'])").await, Some((1, 31)));
    assert_eq!(place("SELECT * FROM explain_dif('x')").await, Some((1, 15)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_keeps_the_bounds_of_a_query() {
    let house = House::with(Config { threads: 2, memory_bytes_max: 200_000, ..Config::default() }).await;
    house.send("shop", &events(4_000)).await;
    let error = house.error("SELECT * FROM explain_diff('status >= 500')").await;
    assert!(matches!(error, Error::Memory { .. }), "{error:?}");

    let house = House::new().await;
    house.send("shop", &events(4_000)).await;
    // The series keeps it busy until the deadline, however fast the answer is.
    let asked = SqlRequest {
        sql:
            "SELECT max(value), count(predicate) FROM explain_diff('status >= 500'), generate_series(1, 1000000000000)"
                .to_owned(),
        timeout_ms: Some(1),
        ..SqlRequest::default()
    };
    let ended = async { house.engine.sql(asked).await?.collect().await };
    let ended = ended.await;
    assert!(matches!(ended, Err(Error::Deadline { timeout_ms: 1 })), "{ended:?}");
    assert!(house.engine.queries().is_empty());
}
