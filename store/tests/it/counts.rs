//! received = stored + duplicates + rejected, per dataset and minute, whatever happens in between.

use std::collections::BTreeMap;

use store::{Config, Store, disk::FaultyDisk};

use crate::node::{FakeClock, config, event, numbers, open, open_with, send, shop};

/// Stored, duplicates and rejected by minute since the start.
fn by_minute(store: &Store) -> BTreeMap<i64, (u64, u64, BTreeMap<String, u64>)> {
    let counts = store.ingest_counts();
    for count in &counts {
        let parts = count.stored + count.duplicates + count.rejected.values().sum::<u64>();
        assert_eq!(count.received, parts, "{count:?}");
    }
    let start = crate::node::START / 60_000_000;
    counts
        .into_iter()
        .map(|count| (count.minute.minutes() - start, (count.stored, count.duplicates, count.rejected)))
        .collect()
}

async fn three_minutes(store: &Store, clock: &FakeClock) {
    let named = |id: &str| format!(r#"{{"id":"{id}","n":1}}"#);
    send(store, clock, &[named("a"), "{broken".to_owned(), "[1]".to_owned()], None).await.unwrap();
    send(store, clock, &["{broken".to_owned()], None).await.unwrap();
    clock.advance_s(60);
    send(store, clock, &[named("a"), named("b")], None).await.unwrap();
    send(store, clock, &[named("a")], None).await.unwrap();
    clock.advance_s(60);
    send(store, clock, &[event(5)], Some("k")).await.unwrap();
    send(store, clock, &[event(5)], Some("k")).await.unwrap();
    send(store, clock, &[event(6), event(7)], Some("k")).await.unwrap_err();
    send(store, clock, &[event(8)], None).await.unwrap();
    // The last request stores nothing, and is counted before it is answered all the same.
    send(store, clock, &["{broken".to_owned()], None).await.unwrap();
}

fn expected() -> BTreeMap<i64, (u64, u64, BTreeMap<String, u64>)> {
    let rejected = |list: &[(&str, u64)]| list.iter().map(|(code, count)| ((*code).to_owned(), *count)).collect();
    BTreeMap::from([
        (0, (1, 0, rejected(&[("malformed_json", 2), ("not_an_object", 1)]))),
        (1, (1, 2, rejected(&[]))),
        (2, (2, 1, rejected(&[("idempotency_key_reused", 2), ("malformed_json", 1)]))),
    ])
}

#[tokio::test]
async fn every_received_event_is_stored_a_duplicate_or_rejected_with_its_reason() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open(&disk, &clock).await.unwrap();
    three_minutes(&store, &clock).await;
    assert_eq!(by_minute(&store), expected());
}

#[tokio::test]
async fn counts_are_the_same_after_a_kill_a_power_cut_a_flush_and_a_clean_stop() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open(&disk, &clock).await.unwrap();
    three_minutes(&store, &clock).await;
    for left in [disk.after_kill(), disk.after_power_cut(0)] {
        assert_eq!(by_minute(&open(&left, &clock).await.unwrap()), expected());
    }
    store.flush().await.unwrap();
    for left in [disk.after_kill(), disk.after_power_cut(0)] {
        assert_eq!(by_minute(&open(&left, &clock).await.unwrap()), expected());
    }
    store.close().await.unwrap();
    drop(store);
    let store = open(&disk, &clock).await.unwrap();
    assert_eq!(by_minute(&store), expected());
    assert_eq!(numbers(&store, &shop()).len(), 3);
}

#[tokio::test]
async fn refused_requests_are_counted_apart_and_survive_a_clean_stop() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open(&disk, &clock).await.unwrap();
    store.count_refused(&shop(), "body_too_large");
    store.count_refused(&shop(), "body_too_large");
    store.close().await.unwrap();
    drop(store);
    let counts = open(&disk, &clock).await.unwrap().ingest_counts();
    assert_eq!((counts[0].received, counts[0].refused["body_too_large"]), (0, 2));
}

#[tokio::test]
async fn many_small_files_of_counts_are_merged_and_nothing_is_counted_twice() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open_with(&disk, &clock, Config { checkpoint_commits: 10, ..config() }).await.unwrap();
    for n in 0..150 {
        send(&store, &clock, &[event(n)], None).await.unwrap();
        store.flush().await.unwrap();
        clock.advance_s(30);
    }
    let total = |store: &Store| store.ingest_counts().iter().map(|count| count.stored).sum::<u64>();
    assert_eq!(total(&store), 150);
    let left = open(&disk.after_kill(), &clock).await.unwrap();
    assert_eq!(total(&left), 150);
    assert_eq!(left.ingest_counts(), store.ingest_counts());
}
