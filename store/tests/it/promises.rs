//! Single promises, each with the fault that would break it.

use std::{io, path::Path, sync::Arc};

use store::{
    Config, DatasetName, Error, Store,
    disk::{Disk, Fault, FaultyDisk, Operation, RealDisk},
};

use crate::node::{FakeClock, config, event, metric, numbers, open, open_with, places, send, shop};

/// Fails operations of one kind on paths that contain `part`, until healed.
fn fail(disk: &FaultyDisk, kind: Operation, part: &'static str, error: io::ErrorKind) {
    disk.inject(move |_, operation, path| {
        (operation == kind && path.to_string_lossy().contains(part)).then_some(Fault::Error(error))
    });
}

#[tokio::test]
async fn after_a_failed_sync_the_file_is_abandoned_and_the_next_request_goes_to_a_new_one() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open(&disk, &clock).await.unwrap();
    send(&store, &clock, &[event(1)], None).await.unwrap();
    fail(&disk, Operation::Sync, "0001.wal", io::ErrorKind::Other);
    let refused = send(&store, &clock, &[event(2)], None).await;
    assert!(matches!(refused, Err(Error::WriteWal { .. })), "{refused:?}");
    assert_eq!(refused.unwrap_err().retry_after_s(), Some(5));
    // The first segment would still fail: only a new file lets this through.
    send(&store, &clock, &[event(3)], None).await.unwrap();
    assert_eq!(numbers(&store, &shop()).into_keys().collect::<Vec<_>>(), [1, 3]);
    for left in [disk.after_kill(), disk.after_power_cut(0), disk.after_power_cut(1)] {
        let store = open(&left, &clock).await.unwrap();
        let seen = numbers(&store, &shop());
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [(1, 1), (3, 1)], "a refused event does not come back");
    }
}

#[tokio::test]
async fn a_full_disk_refuses_events_and_loses_none() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open(&disk, &clock).await.unwrap();
    send(&store, &clock, &[event(1)], None).await.unwrap();
    disk.inject(|_, operation, _| match operation {
        Operation::Write => Some(Fault::Torn(io::ErrorKind::StorageFull)),
        Operation::Create | Operation::CreateDir => Some(Fault::Error(io::ErrorKind::StorageFull)),
        _ => None,
    });
    for n in 2..5 {
        let refused = send(&store, &clock, &[event(n)], None).await;
        assert!(matches!(refused, Err(Error::WriteWal { .. })), "{refused:?}");
    }
    store.flush().await.unwrap_err();
    assert_eq!(numbers(&store, &shop()).into_keys().collect::<Vec<_>>(), [1], "still readable");
    disk.heal();
    send(&store, &clock, &[event(5)], None).await.unwrap();
    store.flush().await.unwrap();
    assert_eq!(places(&store), (0, 2));
    let store = open(&disk.after_power_cut(0), &clock).await.unwrap();
    assert_eq!(numbers(&store, &shop()).into_keys().collect::<Vec<_>>(), [1, 5]);
}

#[tokio::test]
async fn a_retry_after_a_refusal_is_stored_and_not_taken_for_a_duplicate() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open(&disk, &clock).await.unwrap();
    fail(&disk, Operation::Sync, ".wal", io::ErrorKind::Other);
    let events = [r#"{"id":"a","n":1}"#.to_owned()];
    send(&store, &clock, &events, None).await.unwrap_err();
    send(&store, &clock, &[event(2)], Some("key")).await.unwrap_err();
    disk.heal();
    assert_eq!(send(&store, &clock, &events, None).await.unwrap().accepted, 1);
    assert_eq!(send(&store, &clock, &[event(2)], Some("key")).await.unwrap().accepted, 1);
    assert_eq!(send(&store, &clock, &events, None).await.unwrap().duplicates, 1);
}

#[tokio::test]
async fn a_commit_that_may_not_be_durable_stops_the_table_and_keeps_the_wal() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open_with(&disk, &clock, Config { wal_segment_bytes_max: 200, ..config() }).await.unwrap();
    send(&store, &clock, &[event(1)], None).await.unwrap();
    store.flush().await.unwrap();
    send(&store, &clock, &[event(2)], None).await.unwrap();
    fail(&disk, Operation::SyncDir, "shop/_delta_log", io::ErrorKind::Other);
    store.flush().await.unwrap_err();
    disk.heal();
    assert!(store.flush().await.is_err(), "the table takes no more commits");
    assert_eq!(metric(&store, "flush_stopped"), 1);
    send(&store, &clock, &[event(3)], None).await.unwrap();
    assert_eq!(places(&store), (2, 1), "readers still see each event once");
    for seed in 0..8 {
        let store = open(&disk.after_power_cut(seed), &clock).await.unwrap();
        assert_eq!(numbers(&store, &shop()).into_iter().collect::<Vec<_>>(), [(1, 1), (2, 1), (3, 1)]);
        store.flush().await.unwrap();
        assert_eq!(places(&store).0, 0);
    }
}

#[tokio::test]
async fn a_segment_stays_while_a_dataset_in_it_cannot_be_flushed_though_all_else_is() {
    segments_stay_while_nothing_is_made_below("shop/_day").await;
}

#[tokio::test]
async fn a_segment_stays_until_the_log_names_the_files_that_hold_its_events() {
    segments_stay_while_nothing_is_made_below("shop/_delta_log").await;
}

async fn segments_stay_while_nothing_is_made_below(part: &'static str) {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let short = Config { wal_segment_bytes_max: 200, wal_bytes_max: 400, ..config() };
    let store = open_with(&disk, &clock, short.clone()).await.unwrap();
    fail(&disk, Operation::Create, part, io::ErrorKind::Other);
    let began = std::time::Instant::now();
    let mut n = 0;
    // The flusher gives up on the dataset, writes the counts, trims, and comes back five seconds later by the clock.
    while metric(&store, "flush_failures_total") < 3 {
        assert!(began.elapsed() < std::time::Duration::from_secs(60), "the flusher does not try");
        // The WAL may grow to four times its size meanwhile, then it is busy.
        if send(&store, &clock, &[event(n)], None).await.is_ok() {
            n += 1;
        }
        clock.advance_s(10);
        tokio::task::yield_now().await;
    }
    assert!(
        disk.exists(Path::new("/data/accounts/_delta_log/00000000000000000000.json")).unwrap(),
        "counts are written"
    );
    for left in [disk.after_kill(), disk.after_power_cut(0)] {
        let store = open_with(&left, &clock, short.clone()).await.unwrap();
        assert_eq!(
            numbers(&store, &shop()).into_iter().collect::<Vec<_>>(),
            (0..n).map(|n| (n, 1)).collect::<Vec<_>>()
        );
        assert_eq!(metric(&store, "wal_lost_events"), 0);
    }
}

#[tokio::test]
async fn a_second_process_on_the_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let clock = FakeClock::new();
    let config = Config { folder: folder.path().join("new/data"), ..Config::default() };
    let first = Store::open_on(config.clone(), clock.clone(), Arc::new(RealDisk)).await.unwrap();
    let second = Store::open_on(config.clone(), clock.clone(), Arc::new(RealDisk)).await;
    assert!(matches!(second, Err(Error::FolderInUse { .. })), "{second:?}");
    send(&first, &clock, &[event(1)], None).await.unwrap();
    first.close().await.unwrap();
    drop(first);
    let again = Store::open_on(config, clock, Arc::new(RealDisk)).await.unwrap();
    assert_eq!(numbers(&again, &shop()).len(), 1);
}

#[tokio::test]
async fn an_unwritable_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "no folder").unwrap();
    let config = Config { folder: file.join("data"), ..Config::default() };
    let error = Store::open_on(config, FakeClock::new(), Arc::new(RealDisk)).await.unwrap_err();
    assert!(error.to_string().contains("could not create") && error.to_string().contains("file/data"), "{error}");
}

#[tokio::test]
async fn limits_answer_busy_and_our_own_events_still_pass() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let tight = Config { memtable_bytes_max: 1, memory_bytes_max: 1, ..config() };
    let store = open_with(&disk, &clock, tight).await.unwrap();
    fail(&disk, Operation::Create, "part-", io::ErrorKind::Other);
    send(&store, &clock, &[event(1)], None).await.unwrap();
    let busy = send(&store, &clock, &[event(2)], None).await;
    assert!(matches!(busy, Err(Error::Busy { bound: "store.memory_bytes_max", retry_after_s: 1 })), "{busy:?}");
    let alert = serde_json::json!({"state": "firing"});
    store.append_values(&DatasetName::system("alerts"), &[alert]).await.unwrap();
    disk.heal();
    store.flush().await.unwrap();
    send(&store, &clock, &[event(3)], None).await.unwrap();
    assert_eq!(numbers(&store, &shop()).into_keys().collect::<Vec<_>>(), [1, 3]);
}

#[tokio::test]
async fn a_dataset_begins_with_its_first_good_event() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open(&disk, &clock).await.unwrap();
    let receipt = send(&store, &clock, &["{broken".to_owned()], None).await.unwrap();
    assert_eq!((receipt.accepted, receipt.duplicates), (0, 0));
    assert!(store.snapshot(&shop()).is_none() && store.datasets().is_empty());
}

#[tokio::test]
async fn wrong_settings_are_all_reported_at_once() {
    let wrong = Config { memtable_rows_max: 0, wal_bytes_max: 1, ..config() };
    let error = open_with(&FaultyDisk::new(), &FakeClock::new(), wrong).await.unwrap_err().to_string();
    assert!(error.contains("memtable_rows_max") && error.contains("wal_bytes_max"), "{error}");
}
