//! A data folder of format 1 opens for ever, and gives back exactly what was sent.
//!
//! `tests/fixtures/v1/data` was written by [`write_the_fixture`] (`cargo test -p yellowline-store --test it -- --ignored fixture`,
//! into a folder that must not exist yet) and is never written again: a later format gets a folder of its own. It holds
//! a WAL segment with events that are in no file, Parquet files, a Delta log with a checkpoint, and counts, left as by a crash.
//! `tests/fixtures/v1/events.ndjson` is what was sent.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{array::AsArray, datatypes::Int64Type};
use store::{Config, Store, disk::RealDisk};

use crate::node::{FakeClock, event, metric, numbers, send, shop};

/// The last events of the list were not flushed when the folder was left.
const UNFLUSHED: usize = 3;
const KEY: &str = "fixture";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1")
}

/// Numbered events of many shapes. Each batch of [`batches`] is one request.
fn events() -> Vec<String> {
    let shapes = [
        r#""price":10,"user":{"id":9007199254740993},"service":{"name":"web","version":"1.0"},"experiments":{"13":"A"}"#,
        r#""price":10.5,"tags":["a",""],"sizes":[1,null,3],"messages":[{"level":"error","text":"größe 😀"}]"#,
        r#""price":"text","Price":1,"a.b":1,"a":{"b":2},"price#num":3,"50%":4,"x~2":5,"with space":6"#,
        r#""price":true,"big":123456789012345678901234567890,"empty":{},"list":[],"seq":7,"_source":"s""#,
        r#""time":"2026-11-19T23:59:59.5Z","probes":[{"section":"s","sql_ms":1.5}],"mixed":[1,"a",{"b":[2.5]}]"#,
    ];
    (0_usize..15).map(|n| format!(r#"{{"id":"event-{n}","n":{n},{}}}"#, shapes[n % shapes.len()])).collect()
}

fn config(folder: &Path) -> Config {
    Config { folder: folder.to_path_buf(), checkpoint_commits: 2, ..Config::default() }
}

#[tokio::test]
#[ignore = "writes the fixture of format 1, which exists"]
async fn write_the_fixture() {
    let folder = folder();
    fs::create_dir_all(folder.parent().unwrap()).unwrap();
    fs::create_dir(&folder).unwrap();
    let events = events();
    fs::write(folder.join("events.ndjson"), events.join("\n") + "\n").unwrap();
    let clock = FakeClock::new();
    let store = Store::open_on(config(&folder.join("data")), clock.clone(), Arc::new(RealDisk)).await.unwrap();
    let (flushed, unflushed) = events.split_at(events.len() - UNFLUSHED);
    for batch in flushed.chunks(4) {
        send(&store, &clock, batch, None).await.unwrap();
        send(&store, &clock, &["{broken".to_owned()], None).await.unwrap();
        store.flush().await.unwrap();
        clock.advance_s(60);
    }
    send(&store, &clock, unflushed, Some(KEY)).await.unwrap();
    drop(store);
    fs::remove_file(folder.join("data/LOCK")).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The exact text of each event in memory, by its number.
fn texts_in_memory(store: &Store) -> BTreeMap<usize, String> {
    let snapshot = store.snapshot(&shop()).unwrap();
    let mut texts = BTreeMap::new();
    for hot in &snapshot.hot {
        let n = hot.batch.column_by_name("n").unwrap().as_primitive::<Int64Type>();
        for row in 0..hot.batch.num_rows() {
            let text = store.event_text(&snapshot.schema, &hot.batch, row).unwrap();
            texts.insert(usize::try_from(n.value(row)).unwrap(), text);
        }
    }
    texts
}

/// Without `time` where none was sent: [`Store::read_events`] adds it.
fn check(store: &Store, sent: &[String]) {
    let found = store.read_events(&shop()).unwrap();
    let mut by_number: BTreeMap<u64, serde_json::Value> = BTreeMap::new();
    for mut event in found {
        let n = event["n"].as_u64().unwrap();
        if !sent[usize::try_from(n).unwrap()].contains("\"time\"") {
            event.as_object_mut().unwrap().remove("time");
        }
        assert!(by_number.insert(n, event).is_none(), "event {n} is there twice");
    }
    assert_eq!(by_number.len(), sent.len());
    for (n, event) in by_number {
        let expected: serde_json::Value = serde_json::from_str(&sent[usize::try_from(n).unwrap()]).unwrap();
        assert_eq!(event, expected, "event {n}");
    }
}

#[tokio::test]
async fn a_folder_of_format_1_opens_and_gives_back_what_was_sent() {
    let there = fs::read_to_string(folder().join("events.ndjson")).unwrap();
    let sent: Vec<String> = there.lines().map(str::to_owned).collect();
    assert_eq!(sent, events(), "the fixture is what this file describes");
    let copied = tempfile::tempdir().unwrap();
    copy(&folder().join("data"), copied.path());
    let clock = FakeClock::new();
    clock.advance_s(300);
    let store = Store::open_on(config(copied.path()), clock.clone(), Arc::new(RealDisk)).await.unwrap();
    assert_eq!((metric(&store, "wal_damaged"), metric(&store, "wal_lost_events")), (0, 0));
    assert_eq!(metric(&store, "replayed_events"), UNFLUSHED as u64);
    check(&store, &sent);
    assert_eq!(texts_in_memory(&store).len(), UNFLUSHED);
    let counts = store.ingest_counts();
    assert_eq!(counts.iter().map(|count| count.stored).sum::<u64>(), sent.len() as u64);
    assert_eq!(counts.iter().map(|count| count.rejected.get("malformed_json").copied().unwrap_or(0)).sum::<u64>(), 3);
    // Ids and keys of then are known, and the folder goes on.
    assert_eq!(send(&store, &clock, &sent[..2], None).await.unwrap().duplicates, 2);
    let (flushed, unflushed) = sent.split_at(sent.len() - UNFLUSHED);
    assert_eq!(send(&store, &clock, unflushed, Some(KEY)).await.unwrap().duplicates as usize, UNFLUSHED);
    send(&store, &clock, &flushed[..1], Some(KEY)).await.unwrap_err();
    send(&store, &clock, &[event(99)], None).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let store = Store::open_on(config(copied.path()), clock, Arc::new(RealDisk)).await.unwrap();
    let found = numbers(&store, &shop());
    assert!(found.values().all(|times| *times == 1) && found.len() == sent.len() + 1, "{found:?}");
}
