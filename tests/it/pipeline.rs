//! The life of an event, numbered as in ARCHITECTURE.md, over the real interfaces.

use serde_json::{Value, json};

use crate::server::{Server, answer, run, yellowline};

fn booking(id: u32, variant: &str, status: u32) -> Value {
    json!({
        "id": format!("e{id}"),
        "environment": "production",
        "service": {"name": "web", "version": "2026.47.2"},
        "route": "/checkout/pay",
        "status": status,
        "duration_ms": 12.5,
        "experiments": {"13": variant},
        "messages": [{"level": "error", "template": "payment form not ready", "text": "payment form not ready"}],
        "user": {"id": 9_007_199_254_740_993_i64},
    })
}

#[tokio::test]
async fn an_event_is_durable_queryable_and_comes_back_as_sent() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let events: Vec<_> = (0..100)
        .map(|id| booking(id, if id % 2 == 0 { "A" } else { "B" }, if id % 4 == 1 { 500 } else { 200 }))
        .collect();

    // 1-5: accepted, durable, visible at once.
    let (status, answer) = server.post("/events/shop", &json!(events)).await;
    assert_eq!((status, &answer["accepted"], &answer["duplicates"]), (200, &json!(100), &json!(0)), "{answer}");
    assert_eq!(server.value("select count(*) from events").await, 100);
    let failed = r#"select "experiments.13" as variant, count(*) from events where status = 500 group by 1"#;
    assert_eq!(server.rows(failed).await, [json!(["B", 25])]);
    assert_eq!(server.value("select count(*) from shop.messages where text like '%not ready%'").await, 100);

    // A repeat counts once.
    let (status, answer) = server.post("/events/shop", &json!([events[0], booking(100, "A", 200), events[1]])).await;
    assert_eq!((status, &answer["accepted"], &answer["duplicates"]), (200, &json!(1), &json!(2)), "{answer}");

    // Nothing is lost or doubled by kill -9, and 64-bit integers are exact.
    server.kill();
    let server = Server::start(folder.path());
    assert_eq!(server.value("select count(distinct event_id) from events").await, 101);
    assert_eq!(server.value("select count(*) from events where user.id = 9007199254740993").await, 101);
    assert_eq!(server.get("/events/shop/e7").await, (200, events[7].clone()));

    // 6-7: after a clean stop everything is in Parquet; the answers stay the same.
    server.stop();
    let server = Server::start(folder.path());
    assert_eq!(server.rows(failed).await, [json!(["B", 25])]);
    let (_, datasets) = server.get("/datasets").await;
    let shop = datasets["datasets"].as_array().unwrap().iter().find(|dataset| dataset["name"] == "shop").unwrap();
    assert!(shop["files"].as_u64().unwrap() >= 1, "{shop}");
    assert_eq!(server.get("/events/shop/e7").await, (200, events[7].clone()));

    // The account adds up.
    let account =
        "select sum(received), sum(stored), sum(duplicates), sum(rejected) from system.ingest where dataset = 'shop'";
    assert_eq!(server.rows(account).await, [json!([103, 101, 2, 0])]);
}

#[tokio::test]
async fn a_change_is_drawn_once_and_inferred_ones_merge_into_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let change = json!({"experiment": "13", "share": 0.8, "environment": "production", "actor": "release-bot", "dedup_key": "run-1",
        "off": {"url": "https://flags.example/13/off", "method": "POST", "body": {"on": false}}});
    let (status, first) = server.post("/changes", &change).await;
    assert_eq!((status, &first["title"]), (201, &json!("experiment 13 → 80 %")), "{first}");
    let (status, again) = server.post("/changes", &change).await;
    assert_eq!((status, &again["id"]), (200, &first["id"]));

    let (_, listed) = server.get("/changes?environment=production").await;
    assert_eq!(listed["changes"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["changes"][0]["off"], change["off"]);
    let (_, one) = server.get(&format!("/changes/{}", first["id"].as_str().unwrap())).await;
    assert_eq!(one["actor"], "release-bot");
    let by_sql = "select kind, share, actor from system.changes where experiment = '13'";
    assert_eq!(server.rows(by_sql).await, [json!(["experiment", 0.8, "release-bot"])]);

    server.kill();
    let server = Server::start(folder.path());
    let (status, again) = server.post("/changes", &change).await;
    assert_eq!((status, &again["id"]), (200, &first["id"]), "the dedup key outlives a kill");
}

#[tokio::test]
async fn the_command_line_asks_and_imports() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let csv = folder.path().join("past.csv");
    std::fs::write(&csv, "time,route,status\n2024-01-05T10:00:00Z,/a,200\n2024-01-05T10:01:00Z,/b,500\n").unwrap();
    let (code, out, err) =
        run(yellowline().args(["import", "events", "--dataset", "shop", "--server", &server.url]).arg(&csv));
    assert_eq!((code, out.as_str()), (0, "2 events stored, 0 known before, 0 rejected\n"), "{err}");
    let sql = "select time, route from events where status = 500";
    let (code, out, err) =
        run(yellowline().args(["sql", sql, "--dataset", "shop", "--output", "csv", "--server", &server.url]));
    assert_eq!((code, out.as_str()), (0, "time,route\n2024-01-05T10:01:00.000000Z,/b\n"), "{err}");
    let (code, _, err) = run(yellowline().args(["sql", "select nothing from nowhere", "--server", &server.url]));
    assert_eq!(code, 1);
    assert!(err.contains("nowhere"), "{err}");
}

#[tokio::test]
async fn every_documented_route_exists() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (status, document) = server.get("/openapi.json").await;
    assert_eq!(status, 200);
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 15, "{paths:?}");
    for (path, methods) in paths {
        let path = path.replace("{dataset}", "shop").replace("{id}", "none").replace("{name}", "none");
        for method in methods.as_object().unwrap().keys() {
            let method = reqwest::Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let (status, body) = answer(server.http.request(method.clone(), format!("{}{path}", server.url))).await;
            assert_ne!(body["error"]["code"], "no_such_route", "{method} {path}");
            assert_ne!(status, 405, "{method} {path}");
        }
    }
}
