//! Retries do not double, across restarts, for the length of the window.

use std::{sync::Arc, time::Instant};

use store::{
    Config, Error, Store,
    disk::{FaultyDisk, RealDisk},
};

use crate::node::{FakeClock, config, event, metric, numbers, open, open_with, send, shop};

fn named(id: &str, n: u64) -> String {
    format!(r#"{{"id":"{id}","n":{n}}}"#)
}

/// Segments of a few requests, so that flushing removes them.
fn short_segments() -> Config {
    Config { wal_segment_bytes_max: 300, ..config() }
}

#[tokio::test]
async fn an_id_repeated_after_59_minutes_and_two_restarts_counts_once() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open_with(&disk, &clock, short_segments()).await.unwrap();
    let receipt = send(&store, &clock, &[named("a", 1), named("a", 1), named("b", 2)], None).await.unwrap();
    assert_eq!((receipt.accepted, receipt.duplicates), (2, 1), "the first one wins within a request, too");
    store.close().await.unwrap();
    drop(store);
    clock.advance_s(30 * 60);
    let store = open_with(&disk, &clock, short_segments()).await.unwrap();
    for n in 10..30 {
        send(&store, &clock, &[event(n)], None).await.unwrap();
    }
    store.flush().await.unwrap();
    drop(store);
    clock.advance_s(29 * 60);
    let store = open_with(&disk, &clock, short_segments()).await.unwrap();
    let receipt = send(&store, &clock, &[named("a", 1), named("c", 3)], None).await.unwrap();
    assert_eq!((receipt.accepted, receipt.duplicates), (1, 1));
    assert!(numbers(&store, &shop()).values().all(|times| *times == 1));
    clock.advance_s(2 * 60);
    drop(store);
    let store = open_with(&disk, &clock, short_segments()).await.unwrap();
    let receipt = send(&store, &clock, &[named("a", 1)], None).await.unwrap();
    assert_eq!(receipt.accepted, 1, "the window is over");
}

#[tokio::test]
async fn ids_are_per_dataset_and_numbers_count_as_text() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open(&disk, &clock).await.unwrap();
    let other = store::DatasetName::from_user("other").unwrap();
    send(&store, &clock, &[r#"{"id":17,"n":1}"#.to_owned()], None).await.unwrap();
    assert_eq!(send(&store, &clock, &[named("17", 1)], None).await.unwrap().duplicates, 1);
    assert_eq!(crate::node::send_to(&store, &clock, &other, &[named("17", 1)], None).await.unwrap().accepted, 1);
}

#[tokio::test]
async fn an_idempotency_key_outlives_the_segment_it_was_written_to() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open_with(&disk, &clock, short_segments()).await.unwrap();
    let receipt = send(&store, &clock, &[event(1), "{broken".to_owned(), event(2)], Some("k")).await.unwrap();
    assert_eq!((receipt.accepted, receipt.duplicates), (2, 0));
    for n in 10..40 {
        send(&store, &clock, &[event(n)], None).await.unwrap();
        if n % 10 == 0 {
            store.flush().await.unwrap();
            clock.advance_s(600);
        }
    }
    store.flush().await.unwrap();
    assert!(metric(&store, "wal_segments") <= 2, "the first segment is gone");
    store.close().await.unwrap();
    drop(store);
    for _ in 0..2 {
        let store = open_with(&disk, &clock, short_segments()).await.unwrap();
        let again = send(&store, &clock, &[event(1), "{broken".to_owned(), event(2)], Some("k")).await.unwrap();
        assert_eq!((again.accepted, again.duplicates), (0, 2));
        let reused = send(&store, &clock, &[event(1)], Some("k")).await;
        assert!(matches!(reused, Err(Error::IdempotencyKeyReused { .. })), "{reused:?}");
    }
    clock.advance_s(3600);
    let store = open_with(&disk, &clock, short_segments()).await.unwrap();
    assert_eq!(send(&store, &clock, &[event(50)], Some("k")).await.unwrap().accepted, 1, "the window is over");
}

#[tokio::test]
async fn the_window_is_bounded_and_says_how_far_it_reaches() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open_with(&disk, &clock, Config { dedup_ids_max: 10_000, ..config() }).await.unwrap();
    send(&store, &clock, &[event(0)], None).await.unwrap();
    for round in 0..30 {
        let ids: Vec<String> = (0..1000).map(|n| named(&format!("{round}-{n}"), round * 1000 + n)).collect();
        send(&store, &clock, &ids, None).await.unwrap();
        clock.advance_s(10);
    }
    send(&store, &clock, &[event(0)], None).await.unwrap();
    assert!(metric(&store, "dedup_ids") <= 10_000);
    assert!((10..300).contains(&metric(&store, "dedup_window_seconds")), "{}", metric(&store, "dedup_window_seconds"));
}

#[tokio::test]
async fn setting_the_clock_neither_empties_the_window_nor_freezes_it() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open(&disk, &clock).await.unwrap();
    send(&store, &clock, &[named("a", 1)], None).await.unwrap();
    send(&store, &clock, &[event(2)], Some("k")).await.unwrap();
    for jump_s in [2 * 86_400, -2 * 86_400, -86_400, 86_400, 4000, -4000] {
        clock.set_by_s(jump_s);
        send(&store, &clock, &[named(&format!("at {jump_s}"), 3)], None).await.unwrap();
        let again = send(&store, &clock, &[named("a", 1)], None).await.unwrap();
        assert_eq!((again.accepted, again.duplicates), (0, 1), "after a jump of {jump_s} s");
        assert_eq!(send(&store, &clock, &[event(2)], Some("k")).await.unwrap().duplicates, 1, "{jump_s}");
        let reused = send(&store, &clock, &[event(3)], Some("k")).await;
        assert!(matches!(reused, Err(Error::IdempotencyKeyReused { .. })), "{reused:?}");
    }
    assert_eq!(metric(&store, "dedup_window_seconds"), 3600);
    clock.set_by_s(-86_400);
    clock.advance_s(3601);
    assert_eq!(send(&store, &clock, &[named("a", 1)], None).await.unwrap().accepted, 1, "real time goes on");
    assert_eq!(send(&store, &clock, &[event(4)], Some("k")).await.unwrap().accepted, 1);
}

#[tokio::test]
async fn a_clock_set_back_before_a_restart_costs_no_id_and_keeps_none_for_ever() {
    for flushed in [false, true] {
        let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
        let store = open_with(&disk, &clock, short_segments()).await.unwrap();
        send(&store, &clock, &[named("a", 1)], None).await.unwrap();
        send(&store, &clock, &[event(2)], Some("k")).await.unwrap();
        if flushed {
            store.close().await.unwrap();
        }
        drop(store);
        clock.set_by_s(-40 * 86_400);
        let store = open_with(&disk, &clock, short_segments()).await.unwrap();
        assert_eq!(send(&store, &clock, &[named("a", 1)], None).await.unwrap().duplicates, 1, "flushed: {flushed}");
        assert_eq!(send(&store, &clock, &[event(2)], Some("k")).await.unwrap().duplicates, 1, "flushed: {flushed}");
        clock.advance_s(3601);
        assert_eq!(send(&store, &clock, &[named("a", 1)], None).await.unwrap().accepted, 1, "flushed: {flushed}");
        assert_eq!(send(&store, &clock, &[event(2)], Some("k")).await.unwrap().accepted, 1, "flushed: {flushed}");
    }
}

/// Memory of this process in MB.
fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// `YELLOWLINE_IDS=20000000 cargo test --release -p yellowline-store --test it -- --ignored --nocapture full_window`
#[tokio::test]
#[ignore = "minutes, and memory: prints what a full window costs"]
#[expect(clippy::disallowed_methods, reason = "a measurement: its size is given, its result printed")]
async fn a_full_window_of_ids_survives_a_restart() {
    let ids: u64 = std::env::var("YELLOWLINE_IDS").map_or(1_000_000, |text| text.parse().unwrap());
    let (folder, clock) = (tempfile::tempdir().unwrap(), FakeClock::new());
    let config = Config { folder: folder.path().to_path_buf(), ..Config::default() };
    let store = Store::open_on(config.clone(), clock.clone(), Arc::new(RealDisk)).await.unwrap();
    let batch =
        |first: u64| (first..first + 10_000).map(|n| format!(r#"{{"id":"order-{n:016x}"}}"#)).collect::<Vec<_>>();
    let before = resident_mb();
    for first in (0..ids).step_by(10_000) {
        while send(&store, &clock, &batch(first), None).await.is_err() {
            tokio::task::yield_now().await;
        }
    }
    store.flush().await.unwrap();
    println!("{ids} ids: {} MB more than before them", resident_mb().saturating_sub(before));
    store.close().await.unwrap();
    drop(store);
    let before = resident_mb();
    let began = Instant::now();
    let store = Store::open_on(config, clock.clone(), Arc::new(RealDisk)).await.unwrap();
    let (seconds, after) = (began.elapsed().as_secs_f64(), resident_mb());
    println!("{ids} ids: opened in {seconds:.2} s, {after} MB in all, {before} MB before");
    assert_eq!(metric(&store, "dedup_ids"), ids);
    let newest = (ids - 10_000) / 10_000 * 10_000;
    assert_eq!(send(&store, &clock, &batch(newest), None).await.unwrap().accepted, 0);
    assert_eq!(send(&store, &clock, &batch(0), None).await.unwrap().accepted, 0);
}
