//! Verify, backup, restore and read-only, as an operator uses them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::server::{Server, run, yellowline};

/// Flushes soon, so that files, log and WAL all have something.
const FLUSH_OFTEN: [(&str, &str); 1] = [("YELLOWLINE_STORE__MEMTABLE_ROWS_MAX", "500")];

fn start(data: &Path) -> Server {
    Server::start_with(data, &["--listen", "127.0.0.1:0"], &FLUSH_OFTEN)
}

async fn send(server: &Server, from: u64, count: u64) {
    let events: Vec<Value> =
        (from..from + count).map(|n| json!({"id": format!("e{n}"), "n": n, "route": "/pay"})).collect();
    let (status, answer) = server.post("/events/shop", &json!(events)).await;
    assert_eq!((status, &answer["accepted"]), (200, &json!(count)), "{answer}");
}

async fn count(server: &Server) -> Value {
    server.rows("select count(*), count(distinct n), sum(n) from events").await[0].clone()
}

fn command(arguments: &[&str], folders: &[&Path]) -> (i32, String, String) {
    run(yellowline().args(arguments).args(folders))
}

fn verify(data: &Path) -> (i32, Value) {
    let (code, out, err) = command(&["verify", "--json", "--data"], &[data]);
    (code, serde_json::from_str(&out).unwrap_or(Value::String(err)))
}

#[tokio::test]
async fn backup_of_a_running_server_restores_to_the_moment_it_was_made() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (data, target, restored) = (at("data"), at("backup"), at("restored"));
    let server = start(&data);
    for batch in 0..7 {
        send(&server, batch * 100, 100).await;
    }
    let before = count(&server).await;
    let target_text = target.to_str().unwrap();
    let (code, out, err) = command(&["backup", target_text, "--server", &server.url], &[]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("files") && out.contains("linked"), "{out}");
    send(&server, 700, 300).await;
    let (code, _, err) = command(&["backup", target_text, "--server", &server.url], &[]);
    assert_eq!((code, err.contains("not empty")), (1, true), "{err}");
    let (code, _, err) = command(&["backup", at("other").to_str().unwrap(), "--data"], &[&data]);
    assert_eq!((code, err.contains("leave out --data")), (1, true), "{err}");
    assert_eq!(verify(&target).0, 0, "{}", verify(&target).1);
    let (code, in_use) = verify(&data);
    assert_eq!((code, in_use.to_string().contains("stop it, or verify a backup")), (1, true), "{in_use}");
    server.kill();

    let (code, out, err) = command(&["restore", target_text, "--data"], &[&restored]);
    assert_eq!((code, out.contains("restored as a new node")), (0, true), "{err}");
    let (code, _, err) = command(&["restore", target_text, "--data"], &[&restored]);
    assert_eq!((code, err.contains("not empty")), (1, true), "{err}");
    let server = start(&restored);
    assert_eq!(count(&server).await, before);
    send(&server, 700, 600).await;
    server.kill();
    let server = start(&restored);
    assert_eq!(count(&server).await, json!([1300, 1300, (0..1300).sum::<u64>()]));
    let ingest = "select sum(stored) from system.ingest where dataset = 'shop'";
    assert_eq!(server.value(ingest).await, 1300);
    server.stop();
    let (code, report) = verify(&restored);
    assert_eq!(code, 0, "{report}");
    // What was killed is whole, too.
    let (code, report) = verify(&data);
    assert_eq!(code, 0, "{report}");
    assert!(
        report["datasets"]
            .as_array()
            .unwrap()
            .iter()
            .any(|dataset| dataset["name"] == "shop" && dataset["stored"] == 1000)
    );
}

#[tokio::test]
async fn verify_names_damage_mends_it_and_says_so_by_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path());
    send(&server, 0, 1000).await;
    server.stop();
    let part = files_below(&folder.path().join("datasets/shop"))
        .into_iter()
        .find(|path| path.extension().is_some_and(|end| end == "parquet"))
        .unwrap();
    let mut bytes = fs::read(&part).unwrap();
    bytes[100] ^= 1;
    fs::write(&part, bytes).unwrap();
    let (code, out, err) = command(&["verify", "--data"], &[folder.path()]);
    assert_eq!(code, 3, "{out}");
    assert!(out.contains("file_checksum") && out.contains(&*part.file_name().unwrap().to_string_lossy()), "{out}");
    assert!(err.contains("--repair"), "{err}");
    let (code, out, _) = command(&["verify", "--repair", "--data"], &[folder.path()]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("mended: taken out of the table") && out.contains("quarantine/"), "{out}");
    assert_eq!(verify(folder.path()).0, 0);
    assert_eq!(command(&["verify", "--data"], &[&folder.path().join("none")]).0, 1);
    fs::write(folder.path().join("keys.json"), b"[]").unwrap();
    let (code, report) = verify(folder.path());
    assert_eq!((code, report.to_string().contains("chmod 600")), (3, true), "{report}");
}

#[tokio::test]
async fn a_read_only_server_answers_queries_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (data, target) = (folder.path().join("data"), folder.path().join("backup"));
    fs::create_dir_all(data.join("metrics")).unwrap();
    let definition = "[[metric]]\nname = \"pays\"\ndataset = \"shop\"\nkind = \"count\"\nfilter = \"route = '/pay'\"\n";
    fs::write(data.join("metrics/pays.toml"), definition).unwrap();
    let server = start(&data);
    send(&server, 0, 700).await;
    server.post("/changes", &json!({"kind": "note", "title": "seen later"})).await;
    let (code, _, err) = command(&["backup", target.to_str().unwrap(), "--server", &server.url], &[]);
    assert_eq!(code, 0, "{err}");
    server.kill();
    for shown in [&data, &target] {
        let before = listing(shown);
        let server = Server::start_with(shown, &["--listen", "127.0.0.1:0", "--read-only"], &[]);
        assert_eq!(count(&server).await, json!([700, 700, (0..700).sum::<u64>()]));
        assert_eq!(server.value("select count(*) from system.changes where title = 'seen later'").await, 1);
        let refused = [
            ("/events/shop", json!([{"n": 1}])),
            ("/changes", json!({"kind": "note", "title": "no"})),
            ("/silences", json!({"metric": "pays"})),
            ("/alerts/x/acknowledge", json!({})),
            ("/datasets/shop/deletions", json!({"predicate": "n = 1"})),
        ];
        for (path, body) in refused {
            let response = server.http.post(server.path(path)).json(&body).send().await.unwrap();
            assert_eq!(response.status(), 503, "{path}");
            assert!(response.headers().contains_key("retry-after"), "{path}");
            let body: Value = response.json().await.unwrap();
            assert_eq!(body["error"]["code"], "read_only", "{body}");
        }
        let (_, status) = server.get("/status").await;
        assert_eq!(status["read_only"], true);
        let (_, metrics) = server.get("/metrics").await;
        assert!(metrics.to_string().contains("pays"), "definitions are shown: {metrics}");
        assert_eq!(server.http.get(format!("{}/readyz", server.url)).send().await.unwrap().status(), 200);
        server.stop();
        assert_eq!(listing(shown), before);
    }
    let (code, _, err) = command(&["serve", "--listen", "127.0.0.1:0", "--data"], &[&target]);
    assert_eq!((code, err.contains("is a backup")), (1, true), "{err}");
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Every file with its size and when it was written.
fn listing(folder: &Path) -> Vec<(PathBuf, u64, std::time::SystemTime)> {
    let facts = |path: PathBuf| {
        let metadata = fs::metadata(&path).unwrap();
        (path, metadata.len(), metadata.modified().unwrap())
    };
    files_below(folder).into_iter().map(facts).collect()
}

#[tokio::test]
async fn system_files_and_upkeep_tell_what_is_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path());
    for batch in 0..3 {
        send(&server, batch * 500, 500).await;
    }
    server.stop();
    let server = start(folder.path());
    send(&server, 1500, 7).await;
    let files = server.rows("select path, bytes, events, columns, day = cast(first_event as date), first_event <= last_event, merged from system.files where dataset = 'shop'").await;
    let table = folder.path().join("datasets/shop");
    for file in &files {
        let path = table.join(file[0].as_str().unwrap());
        assert_eq!(fs::metadata(&path).unwrap().len(), file[1].as_u64().unwrap(), "{file}");
        assert_eq!(file.as_array().unwrap()[3..], [json!(2), json!(true), json!(true), json!(false)], "n, route");
    }
    let on_disk: Vec<PathBuf> =
        files_below(&table).into_iter().filter(|path| path.extension().is_some_and(|end| end == "parquet")).collect();
    assert!(!files.is_empty() && files.len() == on_disk.len(), "{files:?} {on_disk:?}");
    assert_eq!(files.iter().map(|file| file[2].as_u64().unwrap()).sum::<u64>(), 1500);
    let bytes: u64 = files.iter().map(|file| file[1].as_u64().unwrap()).sum();
    let upkeep = "select files, bytes, unflushed_events, removed_files, removed_events, deletions, log_version >= 0, stopped, merged_at from system.upkeep where dataset = 'shop'";
    let expected = json!([files.len(), bytes, 7, 0, 0, 0, true, false, null]);
    assert_eq!(server.rows(upkeep).await, [expected]);
    let metrics = server.http.get(format!("{}/metrics", server.url)).send().await.unwrap().text().await.unwrap();
    for name in
        ["compaction_bad_files", "deletions_pending", "checkpoint_failures_total", "retention_last_timestamp_seconds"]
    {
        assert!(metrics.contains(&format!("\nyellowline_store_{name} 0\n")), "{name}");
    }
}
