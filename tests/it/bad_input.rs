//! Bad input gets a precise error that says what to do, and nothing is lost.

use std::{io::Write, os::unix::fs::PermissionsExt};

use serde_json::{Value, json};

use crate::server::{Server, answer, run, run_within_deadline, yellowline};

/// Posts raw bytes and checks status and error code.
async fn refused(
    server: &Server,
    body: impl Into<reqwest::Body>,
    headers: &[(&str, &str)],
    expected: (u16, &str),
) -> Value {
    let mut request = server.http.post(server.path("/events/shop")).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (status, answer) = answer(request).await;
    assert_eq!((status, answer["error"]["code"].as_str().unwrap_or_default()), expected, "{answer}");
    assert!(answer["error"]["request_id"].as_str().is_some_and(|id| id.len() == 26), "{answer}");
    answer
}

#[tokio::test]
async fn bodies_that_cannot_be_taken_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let json_type = ("content-type", "application/json");
    refused(&server, "{\"a\": ", &[json_type], (400, "nothing_accepted")).await;
    refused(&server, "hello", &[json_type], (400, "malformed_json")).await;
    refused(&server, "[{\"a\":1}", &[json_type], (400, "malformed_json")).await;
    refused(&server, "[]", &[json_type], (400, "malformed_json")).await;
    refused(&server, "", &[json_type], (400, "malformed_json")).await;
    refused(&server, "a=1", &[("content-type", "application/x-www-form-urlencoded")], (415, "unsupported_media_type"))
        .await;
    refused(&server, "{}", &[("content-encoding", "br")], (415, "unsupported_encoding")).await;
    refused(&server, "{}", &[("content-encoding", "gzip")], (400, "bad_compression")).await;
    refused(&server, vec![b' '; 17 << 20], &[json_type], (413, "body_too_large")).await;
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    bomb.write_all(&vec![b' '; 65 << 20]).unwrap();
    let answer =
        refused(&server, bomb.finish().unwrap(), &[("content-encoding", "gzip")], (413, "body_too_large")).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("decompressed"), "{answer}");
}

#[tokio::test]
async fn one_bad_line_among_good_ones_costs_only_itself() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let lines = "{\"n\":1}\n{\"n\":\n\n{\"n\":3}\n[4]\n";
    let (status, taken) = crate::server::answer(server.http.post(server.path("/events/shop")).body(lines)).await;
    assert_eq!((status, &taken["accepted"]), (200, &json!(2)), "{taken}");
    let rejected = taken["rejected"].as_array().unwrap();
    assert_eq!(rejected.iter().map(|reject| reject["index"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 3]);
    assert!(rejected[0]["message"].as_str().unwrap().starts_with("line 2: "), "{taken}");
    assert_eq!(server.value("select sum(n) from events").await, 4);
}

#[tokio::test]
async fn idempotency_keys_cover_whole_requests() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let post = |body: &'static str| {
        answer(server.http.post(server.path("/events/shop")).header("idempotency-key", "k1").body(body))
    };
    assert_eq!(post("[{\"n\":1},{\"n\":2}]").await.1["accepted"], 2);
    let (status, again) = post("[{\"n\":1},{\"n\":2}]").await;
    assert_eq!((status, &again["accepted"], &again["duplicates"]), (200, &json!(0), &json!(2)));
    let (status, other) = post("[{\"n\":3}]").await;
    assert_eq!((status, &other["error"]["code"]), (409, &json!("idempotency_key_reused")), "{other}");
}

#[tokio::test]
async fn sql_that_cannot_run_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    server.post("/events/shop", &json!({"route": "/a", "duration_ms": 5})).await;
    for (sql, status, code, part) in [
        ("select * from nowhere.events", 400, "unknown_table", "nowhere"),
        ("select duration from events", 400, "unknown_column", "duration_ms"),
        ("selekt 1", 400, "sql_syntax", "selekt"),
        ("insert into events values (1)", 400, "read_only", ""),
        ("create table x as select 1", 400, "read_only", ""),
        ("copy (select 1) to '/tmp/x.csv'", 400, "read_only", ""),
        ("create external table x stored as csv location '/etc/passwd'", 400, "read_only", ""),
        ("set datafusion.execution.target_partitions = 1", 400, "read_only", ""),
    ] {
        let (found, answer) = server.post("/sql", &json!({"sql": sql, "dataset": "shop"})).await;
        assert_eq!((found, answer["error"]["code"].as_str().unwrap_or_default()), (status, code), "{sql}: {answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(part), "{sql}: {answer}");
    }
    let endless = "select count(*) from generate_series(1, 100000) a, generate_series(1, 100000) b, generate_series(1, 100000) c where a.value + b.value = c.value";
    let (status, answer) = server.post("/sql", &json!({"sql": endless, "timeout_ms": 300})).await;
    assert_eq!((status, &answer["error"]["code"]), (408, &json!("deadline_exceeded")), "{answer}");
    let (status, answer) = server.get("/nothing").await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("no_such_route")));
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data);
    let serve = |data: &std::path::Path, listen: &str| {
        run_within_deadline(yellowline().arg("serve").arg("--data").arg(data).args(["--listen", listen]))
    };
    let (code, text) = serve(&folder.path().join("other"), server.url.trim_start_matches("http://"));
    assert!(code == 1 && text.contains("is in use") && text.contains("--listen"), "{code}: {text}");
    let (code, text) = serve(&data, "127.0.0.1:0");
    assert!(code == 1 && text.contains("another") && text.contains("data"), "{code}: {text}");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let (code, text) = serve(&file, "127.0.0.1:0");
    assert!(code == 1 && text.contains("file"), "{code}: {text}");
    // Root may write anywhere, so the mode bits prove something only for others.
    let locked = folder.path().join("locked");
    std::fs::create_dir(&locked).unwrap();
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o500)).unwrap();
    if std::fs::write(locked.join("probe"), "").is_err() {
        let (code, text) = serve(&locked, "127.0.0.1:0");
        assert!(code == 1 && text.contains("locked"), "{code}: {text}");
    }
}

#[test]
fn a_wrong_configuration_is_told_whole() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("y.toml");
    std::fs::write(&config, "lisen = \"127.0.0.1:0\"\n[ingest]\nbody_bytes_max = \"big\"\n").unwrap();
    let (code, text) = run_within_deadline(yellowline().args(["serve", "--config"]).arg(&config));
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("y.toml:1") && text.contains("`listen`") && text.contains("y.toml:3"), "{text}");

    let metrics = folder.path().join("data/metrics");
    std::fs::create_dir_all(&metrics).unwrap();
    std::fs::write(metrics.join("bad.toml"), "[[metric]]\nname = \"bookings\"\ndatset = \"shop\"\nkind = \"count\"\n")
        .unwrap();
    let (code, text) =
        run_within_deadline(yellowline().arg("check-config").arg("--data").arg(folder.path().join("data")));
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("bad.toml:3") && text.contains("`dataset`"), "{text}");

    // A secret may come later than the configuration: a warning.
    std::fs::remove_file(metrics.join("bad.toml")).unwrap();
    let off = "[[alerter.off_targets]]\nurl = \"https://flags.example\"\nsecret_file = \"flags.key\"\n";
    std::fs::write(&config, off).unwrap();
    let mut check = yellowline();
    check.arg("check-config").arg("--config").arg(&config).arg("--data").arg(folder.path().join("data"));
    let (code, text, error) = run(&mut check);
    let warning =
        "warning: alerter.off_targets: \"https://flags.example\": could not read the secret file \"flags.key\"";
    assert!(code == 0 && text.contains(warning), "{code}: {text}{error}");
    std::fs::write(metrics.join("flags.key"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let (code, text, _) = run(&mut check);
    assert!(code == 0 && !text.contains("warning"), "{code}: {text}");
}
