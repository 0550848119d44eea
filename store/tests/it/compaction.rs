//! Files become fewer and larger; events stay what they are, each once, in every snapshot.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use serde_json::Value;
use store::{
    Config, Snapshot, Store,
    disk::{Disk, FaultyDisk, RealDisk},
};

use crate::node::{FakeClock, config, event, metric, numbers, open_with, places, send, shop};

const DAY_S: u64 = 86_400;

fn few_files() -> Config {
    Config { compact_files_min: 4, ..config() }
}

/// Files of the newest snapshot, by day since the epoch.
fn files_by_day(store: &Store) -> BTreeMap<i32, usize> {
    let mut days = BTreeMap::new();
    for file in store.snapshot(&shop()).unwrap().files {
        *days.entry(file.day).or_default() += 1;
    }
    days
}

/// Parquet files on the disk.
fn on_disk(disk: &FaultyDisk) -> BTreeSet<PathBuf> {
    let table = Path::new("/data/datasets/shop");
    let days = disk.list(table).unwrap().into_iter().filter(|entry| entry.name.starts_with("_day="));
    let files = days.flat_map(|day| {
        let folder = table.join(day.name);
        disk.list(&folder).unwrap().into_iter().map(move |file| folder.join(file.name))
    });
    files.collect()
}

fn paths(snapshot: &Snapshot) -> BTreeSet<PathBuf> {
    snapshot.files.iter().map(|file| snapshot.root.join(&file.path)).collect()
}

#[tokio::test]
async fn a_closed_day_ends_as_one_file_sorted_by_time_late_events_included() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open_with(&disk, &clock, few_files()).await.unwrap();
    let at = |hour: u64, n: u64| format!(r#"{{"time":"2026-11-20T{hour:02}:00:00Z","n":{n}}}"#);
    for n in 0..3 {
        // the second event of each request is hours late
        send(&store, &clock, &[at(14 + n, n), at(3 - n, 10 + n)], None).await.unwrap();
        store.flush().await.unwrap();
        clock.advance_s(3600);
    }
    store.compact().await.unwrap();
    assert_eq!(files_by_day(&store).into_values().collect::<Vec<_>>(), [3], "too few to merge while the day goes on");
    send(&store, &clock, &[at(20, 20)], None).await.unwrap();
    store.flush().await.unwrap();
    store.compact().await.unwrap();
    assert_eq!(files_by_day(&store).into_values().collect::<Vec<_>>(), [1], "four files are enough");
    send(&store, &clock, &[at(1, 30)], None).await.unwrap();
    store.flush().await.unwrap();
    clock.advance_s(DAY_S);
    store.compact().await.unwrap();
    let snapshot = store.snapshot(&shop()).unwrap();
    assert_eq!(snapshot.files.len(), 1);
    assert_eq!((snapshot.files[0].rows, snapshot.files[0].compacted), (8, true));
    assert!(snapshot.files[0].time_min.to_rfc3339().starts_with("2026-11-20T01:00:00"));
    assert!(snapshot.files[0].time_max.to_rfc3339().starts_with("2026-11-20T20:00:00"));
    let seen = numbers(&store, &shop());
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2, 10, 11, 12, 20, 30].map(|n| (n, 1)));
    store.compact().await.unwrap();
    assert_eq!(paths(&store.snapshot(&shop()).unwrap()), paths(&snapshot), "nothing is left to do");
    assert_eq!(metric(&store, "compactions_total"), 2);
}

#[tokio::test]
async fn replaced_files_stay_while_a_snapshot_has_them_and_an_hour_for_others() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open_with(&disk, &clock, few_files()).await.unwrap();
    for n in 0..4 {
        send(&store, &clock, &[event(n)], None).await.unwrap();
        store.flush().await.unwrap();
    }
    let before = store.snapshot(&shop()).unwrap();
    store.compact().await.unwrap();
    let after = store.snapshot(&shop()).unwrap();
    assert_eq!((before.files.len(), after.files.len()), (4, 1));
    let both: BTreeSet<PathBuf> = paths(&before).union(&paths(&after)).cloned().collect();
    assert_eq!(on_disk(&disk), both);
    clock.advance_s(3601);
    store.compact().await.unwrap();
    assert_eq!(on_disk(&disk), both, "a query still reads them");
    drop(before);
    store.compact().await.unwrap();
    assert_eq!(on_disk(&disk), paths(&after));
    assert_eq!(metric(&store, "removed_files"), 0);
    let store = open_with(&disk.after_kill(), &clock, few_files()).await.unwrap();
    assert_eq!(numbers(&store, &shop()).into_iter().collect::<Vec<_>>(), [0, 1, 2, 3].map(|n| (n, 1)));
}

#[tokio::test]
async fn an_hour_is_waited_for_other_programs_also_after_a_restart() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open_with(&disk, &clock, few_files()).await.unwrap();
    for n in 0..4 {
        send(&store, &clock, &[event(n)], None).await.unwrap();
        store.flush().await.unwrap();
    }
    store.compact().await.unwrap();
    clock.advance_s(1800);
    store.close().await.unwrap();
    drop(store);
    let store = open_with(&disk, &clock, few_files()).await.unwrap();
    store.compact().await.unwrap();
    assert_eq!(on_disk(&disk).len(), 5);
    clock.advance_s(1801);
    store.compact().await.unwrap();
    assert_eq!(on_disk(&disk).len(), 1);
}

/// Events as JSON by their number.
fn events(store: &Store) -> BTreeMap<u64, Value> {
    let all = store.read_events(&shop()).unwrap().into_iter();
    all.map(|event| (event["n"].as_u64().unwrap(), event)).collect()
}

/// Typed columns of keys in each file.
fn columns(disk: &FaultyDisk, store: &Store) -> Vec<BTreeSet<String>> {
    let snapshot = store.snapshot(&shop()).unwrap();
    let columns = |path: PathBuf| {
        let bytes = disk.read(&path).unwrap();
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
        let names: Vec<String> = reader.schema().fields().iter().map(|field| field.name().clone()).collect();
        names.into_iter().filter(|name| name.starts_with("k") || name.starts_with("experiments.")).collect()
    };
    snapshot.files.iter().map(|file| columns(snapshot.root.join(&file.path))).collect()
}

#[tokio::test]
async fn keys_that_became_frequent_get_columns_and_rare_ones_go_to_rest() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let config = Config { file_columns_max: 3, ..few_files() };
    let store = open_with(&disk, &clock, config.clone()).await.unwrap();
    let mut sent = Vec::new();
    let mut n = 0;
    for (key, times) in [("ka", 3), ("kb", 2), ("kc", 8), ("kd", 9)] {
        for more in 0..times {
            let value =
                [format!("{more}"), format!("{more}.5"), format!("\"{more}\""), format!("[{more},null]"), "[]".into()];
            let value = &value[more % 5];
            // `n` is the third column; `k0` is in the first two rows of each flush only
            let first = if more < 2 { ",\"k0\":true" } else { "" };
            sent.push(format!(r#"{{"n":{n},"{key}":{value},"experiments":{{"13":"B"}}{first}}}"#));
            n += 1;
        }
        send(&store, &clock, &sent[sent.len() - times..], None).await.unwrap();
        store.flush().await.unwrap();
    }
    let before = events(&store);
    assert!(columns(&disk, &store).iter().all(|columns| columns.len() <= 3), "two, and the experiment");
    store.compact().await.unwrap();
    let merged = columns(&disk, &store);
    assert_eq!(merged.len(), 1);
    assert!(merged[0].contains("experiments.13") && merged[0].contains("k0") && merged[0].len() == 3, "{merged:?}");
    for (n, event) in &before {
        let mut sent: Value = serde_json::from_str(&sent[usize::try_from(*n).unwrap()]).unwrap();
        sent["time"] = event["time"].clone();
        assert_eq!(*event, sent);
    }
    assert_eq!(events(&store), before);
    let store = open_with(&disk.after_power_cut(1), &clock, config).await.unwrap();
    assert_eq!(events(&store), before);
}

#[tokio::test]
async fn a_column_unused_for_long_goes_to_rest_when_its_old_file_is_written_anew() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let config = Config { column_unused_days: 2, ..few_files() };
    let store = open_with(&disk, &clock, config).await.unwrap();
    for n in 0..2 {
        send(&store, &clock, &[format!(r#"{{"n":{n},"k_old":1,"k_still":2}}"#)], None).await.unwrap();
        store.flush().await.unwrap();
    }
    clock.advance_s(5 * DAY_S);
    send(&store, &clock, &[r#"{"n":2,"k_still":3}"#.to_owned()], None).await.unwrap();
    let before = events(&store);
    store.compact().await.unwrap();
    assert_eq!(columns(&disk, &store), [BTreeSet::from(["k_still".to_owned()])]);
    assert_eq!(events(&store), before);
}

#[tokio::test]
async fn a_damaged_file_is_left_alone_and_said_and_the_others_are_merged() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open_with(&disk, &clock, few_files()).await.unwrap();
    for n in 0..5 {
        send(&store, &clock, &[event(n)], None).await.unwrap();
        store.flush().await.unwrap();
    }
    let snapshot = store.snapshot(&shop()).unwrap();
    let damaged = snapshot.root.join(&snapshot.files[1].path);
    let length = disk.open(&damaged).unwrap().len();
    disk.flip_bit(&damaged, usize::try_from(length).unwrap() - 2);
    store.compact().await.unwrap();
    assert_eq!(metric(&store, "compaction_failures_total"), 1);
    let files = store.snapshot(&shop()).unwrap().files;
    assert_eq!(files.len(), 2);
    assert!(files.iter().any(|file| file.path == snapshot.files[1].path));
    assert_eq!(places(&store), (0, 5));
}

#[expect(clippy::disallowed_methods, reason = "a test's own switch")]
fn looks() -> u64 {
    std::env::var("YELLOWLINE_LOOKS").map_or(300, |looks| looks.parse().unwrap())
}

/// `YELLOWLINE_LOOKS=10000 cargo test -p yellowline-store --test it churn` looks as often as that.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_count_never_dips_or_doubles_during_churn() {
    let folder = tempfile::tempdir().unwrap();
    let clock = FakeClock::new();
    let config =
        Config { folder: folder.path().to_path_buf(), checkpoint_commits: 5, removed_files_s: 0, ..few_files() };
    let store = Store::open_on(config, clock.clone(), Arc::new(RealDisk)).await.unwrap();
    let fixed: Vec<String> = (0..50).map(event).collect();
    for events in fixed.chunks(10) {
        send(&store, &clock, events, None).await.unwrap();
        store.flush().await.unwrap();
    }
    let done = Arc::new(AtomicBool::new(false));
    let churn = tokio::spawn({
        let (store, clock, done) = (store.clone(), clock.clone(), done.clone());
        async move {
            let mut n = 1_000;
            while !done.load(Relaxed) {
                send(&store, &clock, &[event(n)], None).await.unwrap();
                store.flush().await.unwrap();
                store.compact().await.unwrap();
                n += 1;
                clock.advance_s(60);
            }
        }
    });
    for look in 0..looks() {
        let store = store.clone();
        let seen = tokio::task::spawn_blocking(move || numbers(&store, &shop())).await.unwrap();
        let fixed: Vec<u32> = seen.range(..50).map(|(_, times)| *times).collect();
        assert_eq!(fixed, [1; 50], "look {look}");
        assert!(seen.values().all(|times| *times == 1), "look {look}");
    }
    done.store(true, Relaxed);
    churn.await.unwrap();
    assert!(metric(&store, "compactions_total") > 0);
}
