//! The plain life of an event.

use std::sync::Arc;

use store::{Error, disk::FaultyDisk};

use crate::node::{FakeClock, event, metric, numbers, open, places, send, shop};

#[tokio::test]
async fn an_acknowledged_event_is_visible_at_once_and_after_a_kill() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open(&disk, &clock).await.unwrap();
    let receipt = send(&store, &clock, &[event(1), event(2)], None).await.unwrap();
    assert_eq!((receipt.accepted, receipt.duplicates), (2, 0));
    assert_eq!(numbers(&store, &shop()).len(), 2);

    let killed = disk.after_kill();
    let store = open(&killed, &clock).await.unwrap();
    assert_eq!(numbers(&store, &shop()).into_iter().collect::<Vec<_>>(), [(1, 1), (2, 1)]);
    assert_eq!(places(&store).0, 2);
}

#[tokio::test]
async fn a_flush_moves_events_to_files_and_every_reader_sees_each_once() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open(&disk, &clock).await.unwrap();
    send(&store, &clock, &[event(1), event(2)], None).await.unwrap();
    let before = store.snapshot(&shop()).unwrap();
    store.flush().await.unwrap();
    assert_eq!(places(&store), (0, 2));
    assert_eq!(before.hot.iter().map(|hot| hot.batch.num_rows()).sum::<usize>(), 2, "an old snapshot stays as it was");
    send(&store, &clock, &[event(3)], None).await.unwrap();
    assert_eq!(places(&store), (1, 2));
    for disk in [disk.after_kill(), disk.after_power_cut(1)] {
        let store = open(&disk, &clock).await.unwrap();
        assert_eq!(places(&store), (1, 2));
        assert_eq!(numbers(&store, &shop()).into_iter().collect::<Vec<_>>(), [(1, 1), (2, 1), (3, 1)]);
    }
}

#[tokio::test]
async fn closing_leaves_nothing_to_replay_and_refuses_events() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open(&disk, &clock).await.unwrap();
    send(&store, &clock, &[event(1)], None).await.unwrap();
    store.close().await.unwrap();
    assert!(matches!(send(&store, &clock, &[event(2)], None).await, Err(Error::Closed)));
    drop(store);
    let store = open(&disk, &clock).await.unwrap();
    assert_eq!(metric(&store, "replayed_events"), 0);
    assert_eq!(numbers(&store, &shop()).len(), 1);
}

#[tokio::test]
async fn snapshots_after_every_event_leave_few_batches_and_lose_no_event() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = Arc::new(open(&disk, &clock).await.unwrap());
    let looks: Vec<_> = (0..2)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::task::spawn_blocking(move || {
                let mut seen = 0;
                while seen < 200 {
                    let now = numbers(&store, &shop());
                    assert!(now.len() >= seen && now.values().all(|times| *times == 1), "{now:?}");
                    seen = now.len();
                }
            })
        })
        .collect();
    for n in 0..200 {
        send(&store, &clock, &[event(n)], None).await.unwrap();
    }
    for look in looks {
        look.await.unwrap();
    }
    // Only the last snapshot's neighbours may still wait to be merged.
    let batches = store.snapshot(&shop()).unwrap().hot.len();
    assert!(batches <= 10, "{batches} batches of 200 events");
}
