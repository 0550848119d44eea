//! Every disk operation of a workload fails once, in every way; whatever happens, each acknowledged event is there once.
//!
//! The workload writes all there is to write: segments, Parquet files, commits, checkpoints, counts; it rolls, flushes and
//! trims, by several at once, stops and starts again.

use std::{collections::BTreeSet, io, sync::Arc};

use store::{
    Config, Error, Store,
    disk::{Fault, FaultyDisk},
};

use crate::node::{FakeClock, config, event, numbers, open_with, send, shop, try_numbers};

/// What a client knows about its events.
#[derive(Debug, Default)]
struct Model {
    /// Answered with success: must be there, once.
    acknowledged: BTreeSet<u64>,
    /// Sent: may be there, at most once.
    sent: BTreeSet<u64>,
    next: u64,
}

/// A request on its way.
struct Batch {
    numbers: Vec<u64>,
    key: Option<String>,
}

impl Model {
    fn batch(&mut self, count: u64, key: Option<&str>) -> Batch {
        let numbers: Vec<u64> = (self.next..self.next + count).collect();
        self.next += count;
        self.sent.extend(&numbers);
        Batch { numbers, key: key.map(str::to_owned) }
    }

    fn note(&mut self, batch: Batch, acknowledged: bool) {
        if acknowledged {
            self.acknowledged.extend(batch.numbers);
        }
    }
}

/// Small limits, so that a short workload rolls segments, trims and writes checkpoints.
fn small() -> Config {
    Config { wal_segment_bytes_max: 400, wal_bytes_max: 3000, checkpoint_commits: 3, compact_files_min: 2, ..config() }
}

fn with_id(n: u64) -> String {
    format!(r#"{{"id":"event-{n}","n":{n},"text":"{}"}}"#, "x".repeat(40))
}

/// Sends until it is acknowledged, as a client does; gives up after a few errors.
async fn insist(store: &Store, clock: &FakeClock, batch: &Batch) -> bool {
    let key = batch.key.as_deref();
    let events: Vec<String> =
        batch.numbers.iter().map(|n| if key.is_some() { event(*n) } else { with_id(*n) }).collect();
    for _ in 0..3 {
        if let Ok(receipt) = send(store, clock, &events, key).await {
            assert_eq!((receipt.accepted + receipt.duplicates) as usize, events.len());
            return true;
        }
    }
    false
}

async fn send_one(store: &Store, clock: &FakeClock, model: &mut Model, count: u64, key: Option<&str>) {
    let batch = model.batch(count, key);
    let acknowledged = insist(store, clock, &batch).await;
    model.note(batch, acknowledged);
}

/// The workload: every path that writes.
async fn work(disk: &FaultyDisk, clock: &Arc<FakeClock>, model: &mut Model) -> Option<Store> {
    let store = open_with(disk, clock, small()).await.ok()?;
    send_one(&store, clock, model, 3, None).await;
    send_one(&store, clock, model, 1, Some("key-1")).await;
    store.flush().await.ok();
    for round in 0..2 {
        let (ids, keys) = (model.batch(6, None), model.batch(2, Some(&format!("key-round-{round}"))));
        let (ids_taken, keys_taken, _) =
            tokio::join!(insist(&store, clock, &ids), insist(&store, clock, &keys), store.flush());
        model.note(ids, ids_taken);
        model.note(keys, keys_taken);
    }
    store.compact().await.ok();
    send_one(&store, clock, model, 5, None).await;
    store.close().await.ok();
    drop(store);
    let store = open_with(disk, clock, small()).await.ok()?;
    send_one(&store, clock, model, 2, None).await;
    store.flush().await.ok();
    send_one(&store, clock, model, 2, Some("last")).await;
    Some(store)
}

/// Opens what is left and compares it with the model; then goes on working on it.
async fn check(disk: FaultyDisk, clock: &Arc<FakeClock>, model: &Model, story: &str) {
    let store = open_with(&disk, clock, small()).await.unwrap_or_else(|error| panic!("{story}: {error:?}"));
    compare(&store, model, story);
    send(&store, clock, &[event(1_000_000)], None).await.unwrap();
    store.flush().await.unwrap_or_else(|error| panic!("{story}: {error:?}"));
    drop(store);
    let store = open_with(&disk, clock, small()).await.unwrap();
    let seen = numbers(&store, &shop());
    assert_eq!(seen.get(&1_000_000), Some(&1), "{story}");
    for n in &model.acknowledged {
        assert_eq!(seen.get(n), Some(&1), "{story}: event {n} after going on");
    }
}

fn compare(store: &Store, model: &Model, story: &str) {
    let seen = numbers(store, &shop());
    for n in &model.acknowledged {
        assert_eq!(seen.get(n), Some(&1), "{story}: acknowledged event {n}");
    }
    for (n, times) in &seen {
        assert!(model.sent.contains(n) && *times == 1, "{story}: event {n} is there {times} times");
    }
    let stored: u64 = store.ingest_counts().iter().map(|count| count.stored).sum();
    assert_eq!(stored, seen.len() as u64, "{story}: the accounts say what is there");
}

/// A disk that said "synced" and did not do it loses events: that is not promised. But the folder opens, or the file that is
/// damaged is named, and nothing comes back twice or from nowhere.
async fn check_liar(disk: FaultyDisk, clock: &Arc<FakeClock>, model: &Model, story: &str) {
    let opened = open_with(&disk, clock, small()).await;
    match opened.and_then(|store| try_numbers(&store, &shop())) {
        Ok(seen) => {
            for (n, times) in seen {
                assert!(model.sent.contains(&n) && times == 1, "{story}: event {n} is there {times} times");
            }
        }
        Err(Error::Damaged { .. } | Error::Delta { .. } | Error::Read { .. } | Error::Folder { .. }) => {}
        Err(error) => panic!("{story}: {error:?}"),
    }
}

/// Runs the workload with one fault and checks the live store, a killed one, and some power cuts.
async fn run(nth: u64, fault: Fault, cuts: u64) -> u64 {
    let (disk, clock, mut model) = (FaultyDisk::new(), FakeClock::new(), Model::default());
    disk.fail_at(nth, fault);
    let store = work(&disk, &clock, &mut model).await;
    let operations = disk.operations();
    let story = format!("operation {nth} of {operations} ends in {fault:?}");
    if let Some(store) = &store
        && !disk.is_off()
        && store.snapshot(&shop()).is_some()
    {
        compare(store, &model, &story);
    }
    let left: Vec<FaultyDisk> = (0..cuts).map(|cut| disk.after_power_cut(nth * 1000 + cut)).collect();
    let killed = disk.after_kill();
    drop(store);
    check(killed, &clock, &model, &format!("{story}, killed")).await;
    for (seed, cut) in left.into_iter().enumerate() {
        let story = format!("{story}, power cut {seed}");
        if fault == Fault::Lost {
            check_liar(cut, &clock, &model, &story).await;
        } else {
            check(cut, &clock, &model, &story).await;
        }
    }
    operations
}

#[expect(clippy::print_stdout, reason = "how many cases were run belongs to the result")]
async fn every_operation(fault: Fault, cuts: u64) {
    let mut nth = 1;
    while nth <= run(nth, fault, cuts).await {
        nth += 1;
    }
    println!("{fault:?}: {nth} operations, {} states of the disk reopened and compared", nth * (1 + cuts));
    assert!(nth > 100, "the workload does enough");
}

#[tokio::test]
async fn acknowledged_events_survive_an_error_of_any_disk_operation() {
    every_operation(Fault::Error(io::ErrorKind::Other), 1).await;
}

#[tokio::test]
async fn acknowledged_events_survive_a_half_done_disk_operation_on_a_full_disk() {
    every_operation(Fault::Torn(io::ErrorKind::StorageFull), 1).await;
}

#[tokio::test]
async fn acknowledged_events_survive_a_power_cut_at_any_disk_operation() {
    every_operation(Fault::PowerCut, 1).await;
}

#[tokio::test]
async fn acknowledged_events_survive_when_any_disk_operation_comes_late() {
    every_operation(Fault::Delayed(4), 0).await;
}

#[tokio::test]
async fn a_sync_that_was_a_lie_costs_nothing_in_a_kill_and_doubles_nothing_in_a_power_cut() {
    every_operation(Fault::Lost, 1).await;
}

#[tokio::test]
#[ignore = "minutes: ten power cuts after each fault of each operation"]
async fn acknowledged_events_survive_many_power_cuts_after_any_fault() {
    let (error, full) = (io::ErrorKind::Other, io::ErrorKind::StorageFull);
    let faults = [Fault::PowerCut, Fault::Error(error), Fault::Error(full), Fault::Torn(error), Fault::Torn(full)];
    for fault in faults.into_iter().chain([Fault::Delayed(1), Fault::Delayed(10), Fault::Lost]) {
        every_operation(fault, 10).await;
    }
}
