//! Events that make the store panic are set aside; everything around them goes on, now and after a restart.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use crate::{
    AppendOptions, Clock, Config, DatasetName, Error, Receipt, Store, Timestamp,
    disk::FaultyDisk,
    memtable::tests::{POISON, UNSOCIABLE},
};

#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp(1_795_183_200_000_000)
    }
}

async fn open(disk: &FaultyDisk) -> Store {
    let config = Config { folder: PathBuf::from("/data"), wal_segment_bytes_max: 200, ..Config::default() };
    Store::open_on(config, Arc::new(Noon), Arc::new(disk.clone())).await.unwrap()
}

fn shop() -> DatasetName {
    DatasetName::from_user("shop").unwrap()
}

fn event(n: u64, text: &str) -> String {
    format!(r#"{{"n":{n},"a":{n}.5,"l":["x"],"text":"{text}","z":true}}"#)
}

async fn send(store: &Store, events: &[String]) -> Result<Receipt, Error> {
    let slices: Vec<&[u8]> = events.iter().map(String::as_bytes).collect();
    let decoded = store.decode(&shop(), &slices, Noon.now(), &AppendOptions::default());
    store.append(&shop(), decoded, AppendOptions::default()).await
}

/// How often each number is there, and how often each is in quarantine.
fn found(store: &Store) -> (BTreeMap<u64, u32>, BTreeMap<u64, u32>) {
    let (mut there, mut aside) = (BTreeMap::new(), BTreeMap::new());
    for event in store.read_events(&shop()).unwrap() {
        *there.entry(event["n"].as_u64().unwrap()).or_default() += 1;
    }
    for event in store.read_events(&super::dataset()).unwrap() {
        assert_eq!(event["dataset"], "shop");
        assert!(event["reason"].as_str().unwrap().contains("panicked"), "{event}");
        let text: serde_json::Value = serde_json::from_str(event["text"].as_str().unwrap()).unwrap();
        *aside.entry(text["n"].as_u64().unwrap()).or_default() += 1;
    }
    (there, aside)
}

fn once(numbers: &[u64]) -> BTreeMap<u64, u32> {
    numbers.iter().map(|n| (*n, 1)).collect()
}

#[tokio::test]
async fn an_event_over_which_inserting_panics_is_set_aside_and_its_neighbours_are_stored() {
    for numbers in [vec![1, 2, 3], vec![2, 1], vec![1, 2], vec![2, 2, 2]] {
        let disk = FaultyDisk::new();
        let store = open(&disk).await;
        let events: Vec<String> = numbers.iter().map(|n| event(*n, if *n == 2 { POISON } else { "fine" })).collect();
        assert_eq!(send(&store, &events).await.unwrap().accepted as usize, events.len());
        assert_eq!(send(&store, &[event(7, "fine"), event(8, POISON), event(9, "fine")]).await.unwrap().accepted, 3);
        let there: Vec<u64> = numbers.iter().copied().chain([7, 9]).filter(|n| *n != 2).collect();
        let mut aside = once(&[8]);
        aside.insert(2, u32::try_from(numbers.iter().filter(|n| **n == 2).count()).unwrap());
        assert!(store.is_running());
        let killed = disk.after_kill();
        store.flush().await.unwrap();
        assert_eq!(found(&store), (once(&there), aside.clone()));
        let (mut disks, stored) = (vec![killed, disk.after_kill(), disk.after_power_cut(0)], events.len() as u64 + 3);
        drop(store);
        for disk in &mut disks {
            for _start in 0..3 {
                let store = open(disk).await;
                assert!(store.is_running());
                assert_eq!(found(&store), (once(&there), aside.clone()));
                let counts = store.ingest_counts();
                let of_shop = counts.iter().filter(|count| count.dataset == shop());
                assert_eq!(of_shop.map(|count| count.stored).sum::<u64>(), stored);
                store.close().await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn events_that_damage_memory_together_are_not_flushed_and_come_back_with_the_next_start() {
    let disk = FaultyDisk::new();
    let store = open(&disk).await;
    send(&store, &[event(1, "fine"), event(2, "fine")]).await.unwrap();
    store.flush().await.unwrap();
    send(&store, &[event(3, "fine"), event(4, UNSOCIABLE), event(5, "fine")]).await.unwrap();
    let reader = store.clone();
    let read = tokio::task::spawn_blocking(move || reader.snapshot(&shop()).is_some()).await;
    assert!(read.is_err(), "the reader panics");
    assert!(!store.is_running(), "and the store says that it needs a restart");
    let refused = store.flush().await;
    assert!(matches!(refused, Err(Error::Torn { .. })), "{refused:?}");
    store.close().await.unwrap_err();
    drop(store);
    let store = open(&disk).await;
    assert!(store.is_running());
    assert_eq!(found(&store).0, once(&[1, 2, 3, 4, 5]));
    send(&store, &[event(6, "fine")]).await.unwrap();
    store.flush().await.unwrap();
    assert_eq!(found(&store).0.len(), 6);
    drop(store);
    let store = open(&disk).await;
    assert_eq!(found(&store), (once(&[1, 2, 3, 4, 5, 6]), once(&[])));
}
