//! Privacy deletion over HTTP: what was deleted is in no file of the data folder, whatever its form, also after a kill.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use serde_json::{Value, json};

use crate::server::{DEADLINE, Server, answer, run, yellowline};

const SECRET: &str = "carol.secret@example.com";
/// Many small files, checkpoints and merges; few columns, so that most keys stand in `rest`.
const BUSY: [(&str, &str); 6] = [
    ("YELLOWLINE_STORE__MEMTABLE_ROWS_MAX", "60"),
    ("YELLOWLINE_STORE__CHECKPOINT_COMMITS", "3"),
    ("YELLOWLINE_STORE__COMPACT_INTERVAL_S", "1"),
    ("YELLOWLINE_STORE__COMPACT_FILES_MIN", "3"),
    ("YELLOWLINE_STORE__FILE_COLUMNS_MAX", "6"),
    ("YELLOWLINE_STORE__WAL_SEGMENT_BYTES_MAX", "20000"),
];

fn start(data: &Path) -> Server {
    Server::start_with(data, &["--listen", "127.0.0.1:0"], &BUSY)
}

/// Every third event is the secret user's; the value stands wherever an event can hold one.
fn event(n: u64) -> Value {
    let user = ["ann@example.com", "bob@example.com", SECRET][usize::try_from(n % 3).unwrap()];
    let mut event = json!({
        "id": format!("{user}-{n}"),
        "time": format!("2026-11-{:02}T10:00:00Z", 10 + n % 4),
        "n": n,
        "user": {"email": user},
        "status": 200,
        "messages": [{"level": "info", "template": format!("mail to {user}"), "text": format!("mail to {user} sent")}],
        "list": [user, "x"],
        "odd": [[user], {"deep": user}],
    });
    // its flattening cannot be undone: the text is kept as it came
    if n.is_multiple_of(5) {
        event["a"] = json!({"b": user});
        event["a.b"] = json!(user);
    }
    event[format!("rare{}", n % 30)] = json!(format!("of {user}"));
    event
}

async fn send(server: &Server, numbers: std::ops::Range<u64>) {
    let count = numbers.end - numbers.start;
    let events: Vec<Value> = numbers.map(event).collect();
    let (status, answer) = server.post("/events/shop", &json!(events)).await;
    assert_eq!((status, &answer["accepted"]), (200, &json!(count)), "{answer}");
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}

/// A file as it is, what its zstd frames hold, and, of Parquet, all values. Empty for one removed meanwhile.
fn spellings(path: &Path) -> Vec<Vec<u8>> {
    let Ok(bytes) = fs::read(path) else { return Vec::new() };
    let mut all = vec![path.display().to_string().into_bytes()];
    let frames = bytes.windows(4).enumerate().filter(|(_, four)| *four == [0x28, 0xB5, 0x2F, 0xFD]);
    for (start, _) in frames {
        let mut decoder = zstd::stream::read::Decoder::new(&bytes[start..]).unwrap().single_frame();
        let mut plain = Vec::new();
        // What only looks like a frame, or is cut, gives as much as it can.
        drop(std::io::Read::read_to_end(&mut decoder, &mut plain));
        all.push(plain);
    }
    if path.extension().is_some_and(|extension| extension == "parquet") {
        let rows = fs::File::open(path).ok().and_then(|file| query::parquet_as_ndjson(file).ok());
        all.extend(rows.into_iter().flatten().map(|row| row.unwrap().into_bytes()));
    }
    all.push(bytes);
    all
}

/// The files, relative to the folder, that hold a value in any spelling.
fn holding(data: &Path, value: &str) -> Vec<String> {
    let has = |bytes: &Vec<u8>| bytes.windows(value.len()).any(|window| window == value.as_bytes());
    let found = files_below(data).into_iter().filter(|path| spellings(path).iter().any(has));
    found.map(|path| path.strip_prefix(data).unwrap().display().to_string()).collect()
}

/// Looks at a deletion until it is done.
async fn until_done(server: &Server, id: &str) -> Value {
    let begin = Instant::now();
    loop {
        let (status, deletion) = server.get(&format!("/datasets/shop/deletions/{id}")).await;
        assert_eq!(status, 200, "{deletion}");
        assert_eq!(deletion["error"], Value::Null);
        if deletion["state"] == "done" {
            return deletion;
        }
        assert!(begin.elapsed() < DEADLINE, "{deletion}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_deleted_value_is_in_no_file_of_the_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let server = start(data);
    for batch in 0..10 {
        send(&server, batch * 30..batch * 30 + 30).await;
    }
    // Flushes run behind: the value shall stand in both kinds of files before it is deleted.
    let begin = Instant::now();
    while !["wal/", ".parquet"].iter().all(|kind| holding(data, SECRET).iter().any(|file| file.contains(kind))) {
        assert!(begin.elapsed() < DEADLINE, "{:?}", holding(data, SECRET));
        tokio::task::yield_now().await;
    }
    let asked =
        json!({"predicate": format!("user.email = '{SECRET}'"), "reason": "erasure request 17", "actor": "dpo"});
    let (status, deletion) = server.post("/datasets/shop/deletions", &asked).await;
    assert_eq!(status, 202, "{deletion}");
    let id = deletion["id"].as_str().unwrap();
    // Whatever it was doing: the request is durable.
    server.kill();
    let server = start(data);
    let done = until_done(&server, id).await;
    assert_eq!((&done["rows_deleted"], &done["predicate"]), (&json!(100), &Value::Null), "{done}");
    assert!(done["done_at"].as_str() > done["requested_at"].as_str(), "{done}");
    assert_eq!(holding(data, SECRET), [] as [String; 0], "while the server runs");
    assert_eq!(
        server.rows("select count(*), count(distinct n), sum(n) from events").await[0],
        json!([200, 200, (0..300).filter(|n| n % 3 != 2).sum::<u64>()])
    );
    assert_eq!(server.value("select count(*) from message_templates where template like '%secret%'").await, 0);
    let (status, kept) = server.get("/events/shop/bob@example.com-25").await;
    assert_eq!((status, &kept), (200, &event(25)));
    assert_eq!(server.get(&format!("/events/shop/{SECRET}-2")).await.0, 404);

    let record = server.rows("select id, state, reason, actor, rows_deleted from system.deletions").await;
    assert_eq!(record, [json!([id, "done", "erasure request 17", "dpo", 100])]);
    let (_, all) = server.get("/datasets/shop/deletions").await;
    assert_eq!(all["deletions"], json!([done]));
    send(&server, 300..330).await;
    server.stop();
    assert!(!holding(data, SECRET).is_empty(), "a deletion is of what was there before");
    let (code, out, err) = run(yellowline().args(["verify", "--data"]).arg(data));
    assert_eq!(code, 0, "{out}{err}");
}

#[tokio::test]
async fn the_record_names_the_key_a_deletion_was_asked_with() {
    let folder = tempfile::tempdir().unwrap();
    let (code, key, text) = run(yellowline()
        .args(["keys", "create", "--name", "dpo-tool", "--scope", "admin", "--data"])
        .arg(folder.path()));
    assert_eq!(code, 0, "{text}");
    let server = start(folder.path());
    let post =
        |path: &str, body: &Value| answer(server.http.post(server.path(path)).bearer_auth(key.trim()).json(body));
    let get = |path: &str| answer(server.http.get(server.path(path)).bearer_auth(key.trim()));
    assert_eq!(post("/events/shop", &json!([event(1), event(2)])).await.0, 200);
    let asked = json!({"predicate": "n = 1", "actor": "somebody else"});
    let (status, mut deletion) = post("/datasets/shop/deletions", &asked).await;
    let begin = Instant::now();
    while deletion["state"] != "done" {
        assert_eq!(
            (&deletion["actor"], &deletion["key"]),
            (&asked["actor"], &json!("dpo-tool")),
            "{status}: {deletion}"
        );
        assert!(begin.elapsed() < DEADLINE, "{deletion}");
        deletion = get(&format!("/datasets/shop/deletions/{}", deletion["id"].as_str().unwrap())).await.1;
    }
    assert_eq!(deletion["key"], "dpo-tool", "also from the record");
    let (_, recorded) = post("/sql", &json!({"sql": "SELECT actor, key, rows_deleted FROM system.deletions"})).await;
    assert_eq!(recorded["rows"], json!([["somebody else", "dpo-tool", 1]]));
}

#[tokio::test]
async fn the_command_deletes_and_waits() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path());
    send(&server, 0..90).await;
    let asked = format!("user.email = '{SECRET}' AND n >= 30");
    let (code, out, err) =
        run(yellowline().args(["delete", "--dataset", "shop", "--where", &asked, "--server", &server.url]));
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("done: ") && out.contains(" 20 events deleted"), "{out}");
    assert_eq!(server.value("select count(*) from events").await, 70);
    let (code, _, err) = run(yellowline().args(["delete", "-d", "shop", "--where", "nn = 1", "--server", &server.url]));
    assert_eq!((code, err.contains("there is no column \"nn\"")), (1, true), "{err}");
    let record = server.rows("select state, rows_deleted from system.deletions").await;
    assert_eq!(record, [json!(["done", 20])]);
    // Our own datasets, too, all revisions of a row.
    server.post("/changes", &json!({"kind": "note", "title": format!("seen by {SECRET}")})).await;
    let asked = format!("title LIKE '%{SECRET}'");
    let (code, out, err) =
        run(yellowline().args(["delete", "-d", "system.changes", "--where", &asked, "--server", &server.url]));
    assert_eq!((code, out.contains(" 1 events deleted")), (0, true), "{out}{err}");
    assert_eq!(server.value("select count(*) from system.changes").await, 0);
}

#[tokio::test]
async fn what_is_wrong_with_a_deletion_is_told_before_anything_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path());
    send(&server, 0..30).await;
    let column = |at: u64| json!({"line": 1, "column": at});
    for (predicate, status, code, position) in [
        ("user.emial = 'x'", 400, "unknown_column", column(1)),
        ("n = 1 AND", 400, "sql_syntax", Value::Null),
        ("n = 1) OR (n = 2", 400, "sql_syntax", column(6)),
        ("n = 1; DROP TABLE events", 400, "sql_syntax", column(6)),
        ("n IN (SELECT max(n) FROM events)", 400, "sql_invalid", column(1)),
        ("n = (SELECT 1)", 400, "sql_invalid", column(6)),
        ("random() < 0.5", 400, "sql_invalid", Value::Null),
        ("count(*) > 1", 400, "sql_invalid", Value::Null),
        ("user.email ~ '('", 400, "sql_invalid", Value::Null),
        ("n", 400, "sql_invalid", Value::Null),
        ("", 400, "sql_syntax", Value::Null),
    ] {
        let (found, body) = server.post("/datasets/shop/deletions", &json!({"predicate": predicate})).await;
        let error = &body["error"];
        assert_eq!((found, error["code"].as_str()), (status, Some(code)), "{predicate}: {body}");
        assert!(error["position"] == position || position.is_null(), "{predicate}: {body}");
    }
    for (path, body, status, code) in [
        ("/datasets/shopp/deletions", json!({"predicate": "n = 1"}), 404, "unknown_dataset"),
        ("/datasets/shop/deletions", json!({"where": "n = 1"}), 400, "invalid_request"),
        (
            "/datasets/shop/deletions",
            json!({"predicate": "user.email = 'Ann@Example.com'", "reason": "ann@example.com asked"}),
            400,
            "invalid_request",
        ),
    ] {
        let (found, answer) = server.post(path, &body).await;
        assert_eq!((found, answer["error"]["code"].as_str()), (status, Some(code)), "{body}: {answer}");
    }
    let unknown = "/datasets/shop/deletions/01J0000000000000000000000";
    assert_eq!(server.get(unknown).await.0, 404);
    assert_eq!(answer(server.http.delete(server.path(unknown))).await.0, 404);
    assert_eq!(server.get("/datasets/shop/deletions").await.1, json!({"deletions": []}));
    assert_eq!(server.value("select count(*) from events").await, 30);
}

#[tokio::test]
async fn a_predicate_that_fails_on_a_row_is_told_and_can_be_withdrawn() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path());
    send(&server, 0..30).await;
    let (status, deletion) = server.post("/datasets/shop/deletions", &json!({"predicate": "100 / (n - 5) > 99"})).await;
    assert_eq!(status, 202, "{deletion}");
    let path = format!("/datasets/shop/deletions/{}", deletion["id"].as_str().unwrap());
    let begin = Instant::now();
    loop {
        let (_, shown) = server.get(&path).await;
        if shown["error"].as_str().is_some_and(|error| error.contains("nullif(divisor, 0)")) {
            break;
        }
        assert!(begin.elapsed() < DEADLINE, "{shown}");
        tokio::task::yield_now().await;
    }
    // By now they are in files: a query says the same of them as of events in memory.
    let (status, refused) =
        server.post("/sql", &json!({"sql": "SELECT 1 FROM shop.events WHERE 100 / (n - 5) > 99"})).await;
    assert_eq!((status, refused["error"]["code"].as_str()), (400, Some("sql_invalid")), "{refused}");
    assert_eq!(answer(server.http.delete(server.path(&path))).await.0, 204);
    let (_, shown) = server.get(&path).await;
    assert_eq!((shown["state"].as_str(), &shown["predicate"]), (Some("withdrawn"), &Value::Null));
    assert_eq!(server.value("select count(*) from events").await, 30);
}
