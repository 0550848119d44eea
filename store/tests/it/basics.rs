//! The plain life of an event.

use store::disk::FaultyDisk;

use crate::node::{FakeClock, event, numbers, open, places, send, shop};

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
