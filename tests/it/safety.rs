//! No anonymous access off loopback, and none for a foreign page on it.

use std::io::{BufRead, BufReader};

use serde_json::json;

use crate::server::{Server, answer, client, run, yellowline};

#[tokio::test]
async fn a_foreign_page_or_name_cannot_use_an_open_loopback_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    for (name, value, code) in [
        ("host", "evil.example", "unknown_host"),
        ("origin", "https://evil.example", "foreign_origin"),
        ("x-forwarded-for", "192.0.2.1", "forwarded"),
        ("forwarded", "for=192.0.2.1", "forwarded"),
    ] {
        let (status, refused) =
            answer(server.http.post(server.path("/events/shop")).header(name, value).json(&json!({"a": 1}))).await;
        assert_eq!((status, &refused["error"]["code"]), (403, &json!(code)), "{refused}");
    }
    assert_eq!(server.post("/events/shop", &json!({"a": 1})).await.0, 200);
}

#[tokio::test]
async fn off_loopback_the_key_made_at_first_start_is_required() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = yellowline()
        .args(["serve", "--listen", "0.0.0.0:0", "--data"])
        .arg(folder.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let key = lines.find(|line| line.starts_with("yl_")).unwrap();
    let address = lines.find_map(|line| line.strip_prefix("listening on ").map(str::to_owned)).unwrap();
    let url = address.replace("0.0.0.0", "127.0.0.1") + "/api/v1/events/shop";

    let post = || client().post(&url).json(&json!({"a": 1}));
    assert_eq!(answer(post()).await.1["error"]["code"], "key_required");
    assert_eq!(answer(post().bearer_auth("yl_wrong")).await.0, 401);
    assert_eq!(answer(post().bearer_auth(&key)).await.0, 200);

    let (code, made, text) =
        run(yellowline().args(["keys", "create", "--name", "ci", "--scope", "changes", "--data"]).arg(folder.path()));
    assert_eq!(code, 0, "{text}");
    let scoped = made.trim().to_owned();
    // A running server looks at the keys once a second.
    let deadline = std::time::Instant::now() + crate::server::DEADLINE;
    while answer(post().bearer_auth(&scoped)).await.1["error"]["code"] != "scope_missing" {
        assert!(std::time::Instant::now() < deadline, "the new key was never noticed");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
