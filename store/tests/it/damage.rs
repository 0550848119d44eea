//! Files that are not what they should be: said loudly, never guessed over.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use store::{
    Config, Error,
    disk::{Disk, FaultyDisk},
};

use crate::node::{FakeClock, config, event, metric, numbers, open, open_with, places, send, shop};

fn replace(disk: &FaultyDisk, path: &Path, bytes: &[u8]) {
    disk.remove_file(path).unwrap();
    disk.create(path).unwrap().write_all(bytes).unwrap();
}

fn names(disk: &FaultyDisk, folder: &str) -> Vec<String> {
    disk.list(Path::new(folder)).unwrap_or_default().into_iter().map(|entry| entry.name).collect()
}

fn segments(disk: &FaultyDisk) -> Vec<PathBuf> {
    let wal = Path::new("/data/wal");
    names(disk, "/data/wal").into_iter().filter(|name| name.ends_with(".wal")).map(|name| wal.join(name)).collect()
}

#[tokio::test]
async fn a_flipped_bit_in_the_wal_is_quarantined_counted_and_costs_only_its_record() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open(&disk, &clock).await.unwrap();
    send(&store, &clock, &[event(1)], None).await.unwrap();
    let end_of_first = disk.open(&segments(&disk)[0]).unwrap().len();
    send(&store, &clock, &[event(2), event(3)], None).await.unwrap();
    send(&store, &clock, &[event(4)], None).await.unwrap();
    drop(store);
    disk.flip_bit(&segments(&disk)[0], usize::try_from(end_of_first).unwrap() + 60);
    let store = open(&disk, &clock).await.unwrap();
    assert_eq!(numbers(&store, &shop()).into_keys().collect::<Vec<_>>(), [1, 4]);
    assert_eq!((metric(&store, "wal_damaged"), metric(&store, "wal_lost_events")), (1, 2));
    assert_eq!(names(&disk, "/data/wal/quarantine").len(), 1);
    send(&store, &clock, &[event(5)], None).await.unwrap();
    store.flush().await.unwrap();
    assert_eq!(places(&store), (0, 3));
}

/// A WAL of three segments with one event each, left without closing.
async fn events_in_three_segments() -> (FaultyDisk, std::sync::Arc<FakeClock>, Config) {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let config = Config { wal_segment_bytes_max: 100, ..config() };
    let store = open_with(&disk, &clock, config.clone()).await.unwrap();
    for n in 1..=3 {
        send(&store, &clock, &[event(n)], None).await.unwrap();
    }
    drop(store);
    (disk, clock, config)
}

#[tokio::test]
async fn damage_of_the_very_last_group_is_told_from_a_torn_write_once_it_is_marked() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open(&disk, &clock).await.unwrap();
    send(&store, &clock, &[event(1)], None).await.unwrap();
    let end_of_first = disk.open(&segments(&disk)[0]).unwrap().len();
    send(&store, &clock, &[event(2)], None).await.unwrap();
    let end_of_last = disk.open(&segments(&disk)[0]).unwrap().len();
    let damage = |disk: &FaultyDisk| {
        disk.flip_bit(&segments(disk)[0], usize::try_from(end_of_first).unwrap() + 60);
    };
    let at_once = disk.after_kill();
    clock.advance_s(1);
    // The writer marks the end when nothing follows for a second; a power cut right after it must find the mark.
    let began = std::time::Instant::now();
    while disk.open(&segments(&disk)[0]).unwrap().len() == end_of_last || metric(&store, "wal_groups_total") < 3 {
        assert!(began.elapsed() < std::time::Duration::from_secs(60), "no mark");
        tokio::task::yield_now().await;
    }
    for (left, lost) in [(disk.after_kill(), 1), (disk.after_power_cut(0), 1), (at_once, 0)] {
        damage(&left);
        let store = open(&left, &clock).await.unwrap();
        assert_eq!(numbers(&store, &shop()).into_keys().collect::<Vec<_>>(), [1]);
        assert_eq!(metric(&store, "wal_damaged"), lost, "only damage that is marked is known to be damage");
    }
}

#[tokio::test]
async fn a_damaged_segment_header_costs_that_segment_and_is_said() {
    let (disk, clock, config) = events_in_three_segments().await;
    assert_eq!(segments(&disk).len(), 3);
    disk.flip_bit(&segments(&disk)[1], 20);
    let store = open_with(&disk, &clock, config).await.unwrap();
    assert_eq!(numbers(&store, &shop()).into_keys().collect::<Vec<_>>(), [1, 3]);
    assert_eq!((metric(&store, "wal_damaged"), metric(&store, "wal_lost_events")), (1, 1));
}

#[tokio::test]
async fn a_missing_segment_is_noticed_by_its_numbers() {
    let (disk, clock, config) = events_in_three_segments().await;
    disk.remove_file(&segments(&disk)[1]).unwrap();
    let store = open_with(&disk, &clock, config).await.unwrap();
    assert_eq!(numbers(&store, &shop()).into_keys().collect::<Vec<_>>(), [1, 3]);
    assert_eq!(metric(&store, "wal_lost_events"), 1);
}

#[tokio::test]
async fn a_newer_format_is_refused_by_name() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open(&disk, &clock).await.unwrap();
    send(&store, &clock, &[event(1)], None).await.unwrap();
    store.flush().await.unwrap();
    drop(store);

    let newer = disk.after_kill();
    let path = Path::new("/data/store.json");
    let text = String::from_utf8(newer.read(path).unwrap().to_vec()).unwrap();
    replace(&newer, path, text.replace("\"format\":1", "\"format\":2").as_bytes());
    let error = open(&newer, &clock).await.unwrap_err();
    assert!(matches!(error, Error::NewerFormat { version: 2, known: 1, .. }), "{error}");
    assert!(error.to_string().contains("start the newer program again"), "{error}");

    let newer = disk.after_kill();
    let segment = segments(&newer).remove(0);
    let mut bytes = newer.read(&segment).unwrap().to_vec();
    bytes[8] = 2;
    replace(&newer, &segment, &bytes);
    let error = open(&newer, &clock).await.unwrap_err();
    assert!(matches!(error, Error::NewerFormat { version: 2, .. }), "{error}");

    let newer = disk.after_kill();
    let commit = Path::new("/data/datasets/shop/_delta_log/00000000000000000000.json");
    let text = String::from_utf8(newer.read(commit).unwrap().to_vec()).unwrap();
    replace(&newer, commit, text.replace("\"minWriterVersion\":2", "\"minWriterVersion\":7").as_bytes());
    let error = open(&newer, &clock).await.unwrap_err();
    assert!(matches!(error, Error::Delta { .. }), "{error}");
}

#[tokio::test]
async fn a_cut_newest_commit_is_set_aside_and_replayed_from_the_wal() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open(&disk, &clock).await.unwrap();
    send(&store, &clock, &[event(1)], None).await.unwrap();
    store.flush().await.unwrap();
    send(&store, &clock, &[event(2)], None).await.unwrap();
    store.flush().await.unwrap();
    drop(store);
    let commit = Path::new("/data/datasets/shop/_delta_log/00000000000000000001.json");
    let bytes = disk.read(commit).unwrap();
    for length in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        let cut = disk.after_kill();
        replace(&cut, commit, &bytes[..length]);
        let store = open(&cut, &clock).await.unwrap();
        assert_eq!(places(&store), (1, 1), "{length} bytes");
        store.flush().await.unwrap();
        assert_eq!(numbers(&store, &shop()).into_iter().collect::<Vec<_>>(), [(1, 1), (2, 1)]);
    }
    let older = Path::new("/data/datasets/shop/_delta_log/00000000000000000000.json");
    replace(&disk, older, &bytes[..40]);
    let error = open(&disk, &clock).await.unwrap_err();
    assert!(matches!(error, Error::Delta { .. }), "an older commit is not guessed over: {error}");
}

#[tokio::test]
async fn a_damaged_checkpoint_costs_nothing() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let config = Config { checkpoint_commits: 2, wal_segment_bytes_max: 100, ..config() };
    let store = open_with(&disk, &clock, config.clone()).await.unwrap();
    for n in 1..=9 {
        send(&store, &clock, &[event(n)], None).await.unwrap();
        store.flush().await.unwrap();
    }
    drop(store);
    let log = "/data/datasets/shop/_delta_log";
    let checkpoints: Vec<String> =
        names(&disk, log).into_iter().filter(|name| name.contains("checkpoint.parquet")).collect();
    assert_eq!(checkpoints.len(), 2, "the newest and the one before it");
    assert!(!names(&disk, log).contains(&"00000000000000000000.json".to_owned()), "older commits are removed");
    let sound = open_with(&disk.after_kill(), &clock, config.clone()).await.unwrap();
    assert_eq!(places(&sound), (0, 9));
    replace(&disk, &Path::new(log).join(&checkpoints[1]), b"no parquet");
    replace(&disk, &Path::new(log).join("_last_checkpoint"), b"no json");
    let store = open_with(&disk, &clock, config).await.unwrap();
    assert_eq!(places(&store), (0, 9));
}

#[tokio::test]
async fn a_wal_without_its_store_file_is_not_guessed_over() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open(&disk, &clock).await.unwrap();
    send(&store, &clock, &[event(1)], None).await.unwrap();
    drop(store);
    disk.remove_file(Path::new("/data/store.json")).unwrap();
    let error = open(&disk, &clock).await.unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn tables_without_wal_and_store_file_are_a_restored_backup_and_take_new_events() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open(&disk, &clock).await.unwrap();
    send(&store, &clock, &[event(1), event(2)], None).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    disk.remove_file(Path::new("/data/store.json")).unwrap();
    for segment in segments(&disk) {
        disk.remove_file(&segment).unwrap();
    }
    let store = open(&disk, &clock).await.unwrap();
    send(&store, &clock, &[event(3)], None).await.unwrap();
    drop(store);
    let store = open(&disk, &clock).await.unwrap();
    assert_eq!(numbers(&store, &shop()).into_keys().collect::<Vec<_>>(), [1, 2, 3]);
    store.flush().await.unwrap();
    assert_eq!(places(&store), (0, 3));
    assert_eq!(store.ingest_counts().iter().map(|count| count.stored).sum::<u64>(), 3);
}

/// A table whose log, or newest commit, somebody removed: no start takes its files for litter, also none after it.
#[tokio::test]
async fn data_files_that_have_lost_their_commit_are_never_removed() {
    let data_files = |disk: &FaultyDisk, folder: &str| {
        let days = names(disk, folder).into_iter().filter(|name| name.starts_with("_day="));
        days.map(|day| names(disk, &format!("{folder}/{day}")).len()).sum::<usize>()
    };
    for (table, gone) in [("datasets/shop", "newest"), ("datasets/shop", "all"), ("accounts", "all")] {
        // The WAL holds everything, a part, or nothing of what is in the files.
        for kept in ["all", "later", "nothing"] {
            let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
            let store = open(&disk, &clock).await.unwrap();
            for n in 1..=2 {
                send(&store, &clock, &[event(n)], None).await.unwrap();
                store.flush().await.unwrap();
            }
            if kept == "later" {
                store.close().await.unwrap();
                drop(store);
                segments(&disk).iter().for_each(|segment| disk.remove_file(segment).unwrap());
                let store = open(&disk, &clock).await.unwrap();
                send(&store, &clock, &[event(3)], None).await.unwrap();
            } else {
                drop(store);
                if kept == "nothing" {
                    segments(&disk).iter().for_each(|segment| disk.remove_file(segment).unwrap());
                }
            }
            let (folder, whole) = (format!("/data/{table}"), disk.after_kill());
            let log = format!("{folder}/_delta_log");
            let removed: Vec<String> = match gone {
                "newest" => {
                    names(&disk, &log).into_iter().filter(|name| name.ends_with(".json")).max().into_iter().collect()
                }
                _ => names(&disk, &log),
            };
            for file in &removed {
                disk.remove_file(&Path::new(&log).join(file)).unwrap();
            }
            let before = data_files(&disk, &folder);
            assert!(before > 0 && !removed.is_empty());
            if kept == "all" {
                let store = open(&disk, &clock).await.unwrap();
                assert_eq!(numbers(&store, &shop()).into_iter().collect::<Vec<_>>(), [(1, 1), (2, 1)]);
                continue;
            }
            for _ in 0..2 {
                let refused = open(&disk, &clock).await.unwrap_err().to_string();
                assert!(
                    refused.contains(&log) && refused.contains("verify --repair"),
                    "{table}, {gone}, {kept}: {refused}"
                );
                assert_eq!(data_files(&disk, &folder), before, "{table}, {gone}, {kept}");
            }
            // Brought back, it is as if nothing had been.
            for file in removed {
                let path = Path::new(&log).join(file);
                let mut copy = disk.create(&path).unwrap();
                copy.write_all(&whole.read(&path).unwrap()).and_then(|()| copy.sync()).unwrap();
            }
            let store = open(&disk, &clock).await.unwrap();
            assert_eq!(numbers(&store, &shop()).len(), if kept == "later" { 3 } else { 2 });
        }
    }
}

/// A merge's commit is gone, and so are the files it had replaced: its own is all there is.
#[tokio::test]
async fn nothing_is_removed_where_files_that_the_log_names_are_gone() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open(&disk, &clock).await.unwrap();
    for n in 1..=2 {
        send(&store, &clock, &[event(n)], None).await.unwrap();
        store.flush().await.unwrap();
    }
    store.close().await.unwrap();
    drop(store);
    let day = Path::new("/data/datasets/shop/_day=2026-11-20");
    let live = names(&disk, &day.to_string_lossy());
    let merged = day.join("part-merged.parquet");
    let mut copy = disk.create(&merged).unwrap();
    copy.write_all(&disk.read(&day.join(&live[0])).unwrap()).and_then(|()| copy.sync()).unwrap();
    disk.remove_file(&day.join(&live[0])).unwrap();
    // A start reads the files whose ids it must remember; these are older.
    clock.advance_s(2 * 3600);
    let store = open(&disk, &clock).await.unwrap();
    assert!(disk.exists(&merged).unwrap());
    drop(store);
}

#[tokio::test]
async fn files_of_an_unfinished_flush_are_removed_at_the_next_start() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open(&disk, &clock).await.unwrap();
    send(&store, &clock, &[event(1)], None).await.unwrap();
    store.flush().await.unwrap();
    drop(store);
    let day = "/data/datasets/shop/_day=2026-11-20";
    let litter = Path::new(day).join("part-litter.parquet");
    disk.create(&litter).unwrap();
    disk.create(&Path::new(day).join("notes.txt")).unwrap();
    let store = open(&disk, &clock).await.unwrap();
    let left = names(&disk, day);
    assert!(!left.contains(&"part-litter.parquet".to_owned()) && left.contains(&"notes.txt".to_owned()), "{left:?}");
    assert_eq!(numbers(&store, &shop()).len(), 1);
}
