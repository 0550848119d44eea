//! The routes, as `docs/api.md` has them.

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode, header},
};
use http_body_util::BodyExt;
use query::{Config, routes};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::house::House;

pub(crate) struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answered {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", self.text()))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn ask(router: &Router, request: Request<Body>) -> Answered {
    let response = router.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Answered { status, headers, body: response.into_body().collect().await.unwrap().to_bytes().to_vec() }
}

pub(crate) async fn get(router: &Router, path: &str) -> Answered {
    ask(router, Request::get(format!("/api/v1{path}")).header("x-request-id", "r1").body(Body::empty()).unwrap()).await
}

async fn post(router: &Router, body: &Value, accept: &str) -> Answered {
    let request = Request::post("/api/v1/sql").header(header::ACCEPT, accept).header("x-request-id", "r1");
    ask(router, request.body(Body::from(body.to_string())).unwrap()).await
}

const EVENTS: &[&str] = &[
    r#"{"time":"2026-11-20T14:00:00.000001Z","id":"a","n":1,"big":9007199254740993,"price":2.5,"ok":true,"tags":["x","y"],"items":[{"a":1}],"country":"NL"}"#,
    r#"{"time":"2026-11-20T14:01:00Z","id":"b","n":2,"price":null,"country":"DE","text":"say \"hi\", then\ngo"}"#,
    r#"{"time":"2026-11-20T14:02:00Z","id":"c","country":"NL"}"#,
];

async fn shop() -> (House, Router) {
    let house = House::new().await;
    house.send("shop", EVENTS).await;
    let router = routes(house.engine.clone());
    (house, router)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sql_answers_json_with_types_and_stats() {
    let (_house, router) = shop().await;
    let sql = "SELECT time, n, big, price, ok, tags, items FROM events ORDER BY time LIMIT 2";
    let answered = post(&router, &json!({"sql": sql, "dataset": "shop"}), "application/json").await;
    assert_eq!(answered.status, StatusCode::OK, "{}", answered.text());
    let body = answered.json();
    let columns: Vec<String> =
        body["columns"].as_array().unwrap().iter().map(|c| format!("{} {}", c["name"], c["type"])).collect();
    assert_eq!(
        columns.join(", ").replace('"', ""),
        "time timestamp, n bigint, big bigint, price double, ok boolean, tags list, items json"
    );
    assert_eq!(
        body["rows"][0],
        json!(["2026-11-20T14:00:00.000001Z", 1, "9007199254740993", 2.5, true, ["x", "y"], [{"a": 1}]])
    );
    assert_eq!(body["rows"][1], json!(["2026-11-20T14:01:00.000000Z", 2, null, null, null, null, null]));
    let stats = &body["stats"];
    assert_eq!((&stats["rows_returned"], &stats["truncated"]), (&json!(2), &json!(false)));
    assert_eq!(stats["fresh_to"], "2026-11-20T14:02:00.000000Z");
    assert_eq!(answered.header("yellowline-query-id"), stats["query_id"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sql_answers_ndjson_csv_and_arrow() {
    let (_house, router) = shop().await;
    let body = json!({"sql": "SELECT id, text, big, id AS id FROM events ORDER BY time"});
    let lines = post(&router, &body, "application/x-ndjson").await;
    assert_eq!(lines.header("content-type"), "application/x-ndjson");
    let first: Value = serde_json::from_str(lines.text().lines().next().unwrap()).unwrap();
    assert_eq!(first, json!({"id": "a", "text": null, "big": "9007199254740993", "id_1": "a"}));

    let csv = post(&router, &body, "text/csv").await;
    assert_eq!(csv.text(), "id,text,big,id_1\na,,9007199254740993,a\nb,\"say \"\"hi\"\", then\ngo\",,b\nc,,,c\n");
    assert!(csv.header("yellowline-stats").contains("\"rows_returned\":3"));

    let arrow = post(&router, &body, "application/vnd.apache.arrow.stream, application/json;q=0.5").await;
    assert_eq!(arrow.header("content-type"), "application/vnd.apache.arrow.stream");
    let stats: Value = serde_json::from_str(arrow.header("yellowline-stats")).unwrap();
    assert_eq!(stats["rows_returned"], 3);
    let reader = arrow::ipc::reader::StreamReader::try_new(arrow.body.as_slice(), None).unwrap();
    let types: Vec<String> = reader.schema().fields().iter().map(|field| field.data_type().to_string()).collect();
    assert_eq!(types, ["Utf8", "Utf8", "Int64", "Utf8"]);
    assert_eq!(reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 3);

    let empty = post(&router, &json!({"sql": "SELECT id FROM events WHERE n > 9"}), "application/json").await.json();
    assert_eq!((&empty["rows"], &empty["columns"][0]["name"]), (&json!([]), &json!("id")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_have_code_message_request_and_place() {
    let (_house, router) = shop().await;
    let check = async |body: Value, status: u16, code: &str, position: Value| {
        let answered = post(&router, &body, "*/*").await;
        let error = answered.json()["error"].clone();
        assert_eq!((answered.status.as_u16(), &error["code"]), (status, &json!(code)), "{error}");
        assert_eq!(error["request_id"], "r1");
        assert_eq!(error.get("position").cloned().unwrap_or_default(), position, "{error}");
    };
    check(json!({"sql": "SELECT n\nFROM events WHER x"}), 400, "sql_syntax", json!({"line": 2, "column": 18})).await;
    check(json!({"sql": "SELECT n,\n  rout FROM events"}), 400, "unknown_column", json!({"line": 2, "column": 3}))
        .await;
    check(json!({"sql": "SELECT 1 FROM nowhere"}), 400, "unknown_table", json!({"line": 1, "column": 15})).await;
    check(json!({"sql": "DROP TABLE events"}), 400, "read_only", Value::Null).await;
    check(json!({"sql": "SELECT sqrt('x' || n, 2) FROM events"}), 400, "sql_invalid", Value::Null).await;
    check(json!({"sql": "SELECT 1", "limt": 5}), 400, "invalid_request", Value::Null).await;
    check(json!([1]), 400, "invalid_request", Value::Null).await;
    let slow = "SELECT max(a.value) FROM generate_series(1, 100000000) AS a(value) CROSS JOIN generate_series(1, 1000) AS b(value)";
    check(json!({"sql": slow, "timeout_ms": 30}), 408, "deadline_exceeded", Value::Null).await;
    let answered = post(&router, &json!({"sql": "SELECT 1"}), "text/html").await;
    assert_eq!((answered.status.as_u16(), &answered.json()["error"]["code"]), (406, &json!("not_acceptable")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_result_streams_and_says_when_it_breaks_off() {
    let house = House::with(Config { threads: 2, ..Config::default() }).await;
    let router = routes(house.engine.clone());
    let sql = "SELECT 1000000 / (100000 - value) AS x, repeat('y', 100) AS y FROM generate_series(1, 200000)";
    let body = json!({"sql": sql, "limit": 1_000_000});
    let answered = post(&router, &body, "application/json").await;
    assert_eq!(answered.status, StatusCode::OK);
    let document = answered.json();
    assert_eq!(document["error"]["code"], "sql_invalid", "{}", document["error"]);
    assert!(document["rows"].as_array().unwrap().len() > 10_000);

    let request = Request::post("/api/v1/sql").header(header::ACCEPT, "text/csv");
    let response = router.oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.into_body().collect().await.is_err(), "a part must not look like the whole");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_queries_are_listed_and_deleted() {
    let (house, router) = shop().await;
    let endless = "SELECT value FROM generate_series(1, 1000000000)";
    let request = query::SqlRequest { sql: endless.to_owned(), limit: Some(1_000_000), ..query::SqlRequest::default() };
    let answer = house.engine.sql(request).await.unwrap();
    let listed = get(&router, "/queries").await.json();
    assert_eq!((&listed["queries"][0]["id"], &listed["queries"][0]["sql"]), (&json!(answer.id()), &json!(endless)));
    assert_eq!(listed["queries"][0]["started_at"], "2026-11-20T14:10:00.000000Z");
    let path = format!("/api/v1/queries/{}", answer.id());
    let delete = |path: &str| Request::delete(path).body(Body::empty()).unwrap();
    assert_eq!(ask(&router, delete(&path)).await.status, StatusCode::NO_CONTENT);
    let unknown = ask(&router, delete("/api/v1/queries/none")).await;
    assert_eq!((unknown.status, &unknown.json()["error"]["code"]), (StatusCode::NOT_FOUND, &json!("query_not_found")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schema_routes_tell_what_there_is() {
    let (_house, router) = shop().await;
    let datasets = get(&router, "/datasets").await.json();
    let shop = &datasets["datasets"][0];
    assert_eq!(
        (&shop["name"], &shop["events"], &shop["last_event"]),
        (&json!("shop"), &json!(3), &json!("2026-11-20T14:02:00.000000Z"))
    );

    let columns = get(&router, "/datasets/shop/columns").await.json();
    assert_eq!(
        columns["columns"][0],
        json!({"name": "country", "type": "text", "class": "text", "system": false, "shares": {"text": 1.0}, "values": 3})
    );
    assert!(
        columns["columns"]
            .as_array()
            .unwrap()
            .iter()
            .any(|column| column["name"] == "time" && column["system"] == true)
    );
    let own = get(&router, "/datasets/system.changes/columns").await.json();
    assert!(
        own["columns"].as_array().unwrap().iter().any(|column| column["name"] == "share" && column["type"] == "double")
    );

    let values = get(&router, "/datasets/shop/values?column=country&limit=5").await.json();
    assert_eq!(
        values,
        json!({"column": "country", "values": [{"value": "NL", "count": 2}, {"value": "DE", "count": 1}]})
    );
    let later = get(&router, "/datasets/shop/values?column=country&prefix=N&from=2026-11-20T14:01:00Z").await.json();
    assert_eq!(later["values"], json!([{"value": "NL", "count": 1}]));

    let unknown = get(&router, "/datasets/shp/columns").await;
    assert_eq!((unknown.status.as_u16(), unknown.json()["error"]["code"].clone()), (404, json!("unknown_dataset")));
    assert!(unknown.text().contains("did you mean shop?"));
    assert_eq!(get(&router, "/datasets/shop/values").await.json()["error"]["code"], "invalid_request");
    assert_eq!(get(&router, "/datasets/shop/values?column=contry").await.json()["error"]["code"], "unknown_column");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_comes_back_as_it_was_sent() {
    let (house, router) = shop().await;
    for place in ["hot", "flushed"] {
        for (id, sent) in [("a", EVENTS[0]), ("c", EVENTS[2])] {
            let answered = get(&router, &format!("/events/shop/{id}")).await;
            assert_eq!(answered.json(), serde_json::from_str::<Value>(sent).unwrap(), "{place}");
        }
        house.store.flush().await.unwrap();
    }
    let missing = get(&router, "/events/shop/zzz").await;
    assert_eq!((missing.status.as_u16(), missing.json()["error"]["code"].clone()), (404, json!("event_not_found")));
    assert_eq!(get(&router, "/events/nope/a").await.status.as_u16(), 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_come_newest_first_in_their_last_revision() {
    let (house, router) = shop().await;
    assert_eq!(get(&router, "/changes").await.json(), json!({"changes": []}));
    let change = |id: &str, revision: u64, minute: u64, rest: Value| {
        let mut row = json!({
            "id": format!("{id}/{revision}"), "change_id": id, "revision": revision, "kind": "deploy", "status": "succeeded",
            "title": id, "time": format!("2026-11-20T14:{minute:02}:00.000000Z"), "source": "api", "inferred": false,
        });
        row.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        row
    };
    house
        .own(
            "changes",
            &[
                change("old", 1, 1, json!({"environment": "staging", "end_time": "2026-11-20T14:30:00Z"})),
                change("c", 1, 2, json!({"environment": "production", "share": 1, "off": "{\"url\":\"https://x\",\"body\":{\"n\":1}}"})),
                change("c", 2, 2, json!({"environment": "production", "status": "merged", "merged_into": "d"})),
                change("d", 1, 3, json!({"service": "web"})),
            ],
        )
        .await;
    let ids = async |query: &str| {
        let body = get(&router, &format!("/changes{query}")).await.json();
        body["changes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|change| change["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(ids("").await, "d c old");
    assert_eq!(ids("?limit=1").await, "d");
    assert_eq!(ids("?environment=production").await, "d c");
    assert_eq!(ids("?service=api").await, "c old");
    assert_eq!(ids("?from=2026-11-20T14:02:30Z").await, "d old");
    assert_eq!(ids("?to=2026-11-20T14:02:00Z").await, "old");

    let one = get(&router, "/changes/c").await.json();
    assert_eq!((&one["revision"], &one["status"], &one["merged_into"]), (&json!(2), &json!("merged"), &json!("d")));
    assert_eq!(
        (&one["time"], &one["selector"], &one["inferred"]),
        (&json!("2026-11-20T14:02:00.000000Z"), &json!(null), &json!(false))
    );
    assert_eq!(get(&router, "/changes/zzz").await.json()["error"]["code"], "change_not_found");
    assert_eq!(get(&router, "/changes?from=yesterday").await.json()["error"]["code"], "invalid_request");
}
