//! Writers, readers and flushes at the same time, on a real disk.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;
use store::{Config, Store, disk::RealDisk};

use crate::node::{FakeClock, event, numbers, send, shop};

const WRITERS: u64 = 8;
const REQUESTS: u64 = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_snapshot_has_each_acknowledged_event_once_while_flushes_run() {
    let folder = tempfile::tempdir().unwrap();
    let clock = FakeClock::new();
    let config = Config {
        folder: folder.path().to_path_buf(),
        memtable_rows_max: 40,
        wal_segment_bytes_max: 4000,
        checkpoint_commits: 3,
        ..Config::default()
    };
    let store = Store::open_on(config.clone(), clock.clone(), Arc::new(RealDisk)).await.unwrap();
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let next = Arc::new(AtomicU64::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for writer in 0..WRITERS {
        let (store, clock, next, acknowledged) = (store.clone(), clock.clone(), next.clone(), acknowledged.clone());
        tasks.push(tokio::spawn(async move {
            for request in 0..REQUESTS {
                let count = 1 + (writer + request) % 5;
                let first = next.fetch_add(count, Relaxed);
                let events: Vec<String> = (first..first + count).map(event).collect();
                send(&store, &clock, &events, None).await.unwrap();
                acknowledged.lock().extend(first..first + count);
            }
        }));
    }
    let flushing = tokio::spawn({
        let (store, done) = (store.clone(), done.clone());
        async move {
            while !done.load(Relaxed) {
                store.flush().await.unwrap();
            }
        }
    });
    let mut looks = 0;
    while tasks.iter().any(|task| !task.is_finished()) {
        let before: BTreeSet<u64> = acknowledged.lock().clone();
        let seen = tokio::task::spawn_blocking({
            let store = store.clone();
            move || numbers(&store, &shop())
        });
        let seen = seen.await.unwrap();
        assert!(seen.values().all(|times| *times == 1));
        assert!(before.iter().all(|n| seen.contains_key(n)), "visible as soon as acknowledged");
        looks += 1;
    }
    for task in tasks {
        task.await.unwrap();
    }
    done.store(true, Relaxed);
    flushing.await.unwrap();
    assert!(looks > 2);
    store.close().await.unwrap();
    drop(store);
    let store = Store::open_on(config, clock, Arc::new(RealDisk)).await.unwrap();
    assert_eq!(numbers(&store, &shop()).into_keys().collect::<BTreeSet<_>>(), *acknowledged.lock());
    assert_eq!(store.ingest_counts().iter().map(|count| count.stored).sum::<u64>(), next.load(Relaxed));
    let files = store.snapshot(&shop()).unwrap().files;
    assert!(files.iter().all(|file| folder.path().join("datasets/shop").join(&file.path).is_file()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_id_and_the_same_key_from_many_at_once_count_once() {
    let (disk, clock) = (store::disk::FaultyDisk::new(), FakeClock::new());
    let store = crate::node::open(&disk, &clock).await.unwrap();
    let mut tasks = Vec::new();
    for _ in 0..32 {
        let (store, clock) = (store.clone(), clock.clone());
        tasks.push(tokio::spawn(async move {
            let with_id = send(&store, &clock, &[r#"{"id":"a","n":1}"#.to_owned()], None).await.unwrap();
            let with_key = send(&store, &clock, &[event(2)], Some("k")).await.unwrap();
            (with_id.accepted, with_key.accepted)
        }));
    }
    let mut accepted = (0, 0);
    for task in tasks {
        let (with_id, with_key) = task.await.unwrap();
        accepted = (accepted.0 + with_id, accepted.1 + with_key);
    }
    assert_eq!(accepted, (1, 1));
    assert_eq!(numbers(&store, &shop()).into_iter().collect::<Vec<_>>(), [(1, 1), (2, 1)]);
}
