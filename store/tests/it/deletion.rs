//! What is deleted is in no file any more; everything else is there.

use std::{
    collections::BTreeSet,
    error::Error,
    path::Path,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};

use arrow::{
    array::{Array, AsArray},
    datatypes::Int64Type,
};
use bytes::Bytes;
use serde_json::json;
use store::{
    Config, DatasetName, Deletion, DeletionRequest, Retention, RowMatcher, Snapshot, Store,
    disk::{Disk, FaultyDisk},
};

use crate::node::{FakeClock, config, event, metric, numbers, open_with, send, send_to, shop};

const SECRET: &str = "carol@example.com";

fn small() -> Config {
    Config { compact_files_min: 4, checkpoint_commits: 2, wal_segment_bytes_max: 400, ..config() }
}

fn of(user: &str, n: u64) -> String {
    format!(r#"{{"n":{n},"user":"{user}","list":["{user}"],"odd":[["{user}"],1]}}"#)
}

/// Rows whose column `user` is the secret.
struct IsSecret(FaultyDisk);

impl RowMatcher for IsSecret {
    fn matching(
        &self,
        snapshot: &Snapshot,
        found: &mut dyn FnMut(&str, i64),
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        for file in &snapshot.files {
            let bytes = self.0.read(&snapshot.root.join(&file.path))?;
            for batch in parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()? {
                let batch = batch?;
                let Some(users) = batch.column_by_name("user") else { continue };
                let (users, seqs) = (users.as_string::<i32>(), batch["seq"].as_primitive::<Int64Type>());
                let incarnations = batch["_incarnation"].as_string::<i32>();
                let is_secret = |row: &usize| users.is_valid(*row) && users.value(*row) == SECRET;
                (0..batch.num_rows()).filter(is_secret).for_each(|row| found(incarnations.value(row), seqs.value(row)));
            }
        }
        Ok(())
    }
}

/// All files below a folder, in every spelling: as they are, decompressed, and as values.
fn contains_secret(disk: &FaultyDisk, folder: &Path) -> Vec<String> {
    let has = |bytes: &[u8]| bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
    let mut found = Vec::new();
    for entry in disk.list(folder).unwrap() {
        let path = folder.join(&entry.name);
        if entry.is_dir {
            found.extend(contains_secret(disk, &path));
            continue;
        }
        let bytes = disk.read(&path).unwrap();
        let mut spellings = vec![bytes.to_vec()];
        // zstd frames anywhere in the file: those of the WAL
        for start in
            bytes.windows(4).enumerate().filter(|(_, four)| *four == [0x28, 0xB5, 0x2F, 0xFD]).map(|(at, _)| at)
        {
            let mut plain = Vec::new();
            let mut decoder = zstd::stream::read::Decoder::new(&bytes[start..]).unwrap().single_frame();
            if std::io::Read::read_to_end(&mut decoder, &mut plain).is_ok() {
                spellings.push(plain);
            }
        }
        if entry.name.ends_with(".parquet") {
            spellings.push(values(bytes).into_bytes());
        }
        if spellings.iter().any(|spelling| has(spelling)) {
            found.push(path.display().to_string());
        }
    }
    found
}

fn values(bytes: Bytes) -> String {
    let reader =
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
    reader.map(|batch| format!("{:?}", batch.unwrap())).collect()
}

fn request(store: &Store) -> Deletion {
    let request = DeletionRequest { predicate: "user = ?", reason: "asked to", actor: "ann", key: None };
    store.request_deletion(&shop(), request).unwrap()
}

async fn delete(store: &Store, disk: &FaultyDisk) -> Deletion {
    let deletion = request(store);
    store.carry_out_deletion(deletion, Arc::new(IsSecret(disk.clone()))).await.unwrap()
}

/// Events in files, in memory and in the WAL; a third of them is the secret user's.
async fn filled(disk: &FaultyDisk, clock: &Arc<FakeClock>) -> Store {
    let store = open_with(disk, clock, small()).await.unwrap();
    for n in 0..24 {
        send(&store, clock, &[of(["ann", "bob", SECRET][usize::try_from(n).unwrap() % 3], n)], None).await.unwrap();
        if n % 4 == 3 && n < 20 {
            store.flush().await.unwrap();
        }
        if n == 15 {
            store.compact().await.unwrap();
        }
    }
    store
}

fn expected() -> BTreeSet<u64> {
    (0..24).filter(|n| n % 3 != 2).collect()
}

/// A flush that was cut off before its commit leaves files that no snapshot has.
#[tokio::test]
async fn a_deleted_value_is_in_no_file_that_a_crash_left() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = filled(&disk, &clock).await;
    let holding = contains_secret(&disk, Path::new("/data"));
    let whole = holding.iter().find(|path| path.ends_with(".parquet")).unwrap();
    let left = Path::new(whole).with_file_name("part-left.parquet");
    let mut file = disk.create(&left).unwrap();
    file.write_all(&disk.read(Path::new(whole)).unwrap()).and_then(|()| file.sync()).unwrap();
    assert_eq!(contains_secret(&disk, Path::new("/data")).len(), holding.len() + 1);
    assert!(delete(&store, &disk).await.is_done());
    assert!(!disk.exists(&left).unwrap());
}

#[tokio::test]
async fn a_deleted_value_is_in_no_file_of_the_folder() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = filled(&disk, &clock).await;
    assert!(contains_secret(&disk, Path::new("/data")).len() > 2, "in data files and in the WAL");
    let done = delete(&store, &disk).await;
    assert_eq!((done.rows, done.is_done()), (8, true));
    assert_eq!((done.files_done, metric(&store, "deletion_rows_total")), (done.files, 8));
    store.forget_deletion(&done.id).unwrap();
    assert_eq!(contains_secret(&disk, Path::new("/data")), [] as [String; 0]);
    assert_eq!(numbers(&store, &shop()).into_keys().collect::<BTreeSet<_>>(), expected());
    for left in [disk.after_kill(), disk.after_power_cut(1)] {
        assert_eq!(contains_secret(&left, Path::new("/data")), [] as [String; 0]);
        let store = open_with(&left, &clock, small()).await.unwrap();
        assert_eq!(
            numbers(&store, &shop()).into_iter().collect::<Vec<_>>(),
            expected().into_iter().map(|n| (n, 1)).collect::<Vec<_>>()
        );
        assert_eq!(store.deletions().unwrap(), []);
    }
    send(&store, &clock, &[of(SECRET, 100)], None).await.unwrap();
    assert!(numbers(&store, &shop()).contains_key(&100), "a deletion is of what was there before");
}

#[tokio::test]
async fn a_query_keeps_the_old_files_until_it_ends() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = filled(&disk, &clock).await;
    store.flush().await.unwrap();
    let snapshot = store.snapshot(&shop()).unwrap();
    let held = delete(&store, &disk).await;
    assert!(held.rewritten && held.files_held > 0);
    assert_eq!(numbers(&store, &shop()).into_keys().collect::<BTreeSet<_>>(), expected(), "gone from answers at once");
    assert!(snapshot.files.iter().all(|file| disk.exists(&snapshot.root.join(&file.path)).unwrap()));
    drop(snapshot);
    let done = store.carry_out_deletion(held, Arc::new(IsSecret(disk.clone()))).await.unwrap();
    assert_eq!((done.rows, done.files_held), (8, 0));
    store.forget_deletion(&done.id).unwrap();
    assert_eq!(contains_secret(&disk, Path::new("/data")), [] as [String; 0]);
}

#[tokio::test]
async fn a_deletion_cut_at_any_disk_operation_is_finished_after_the_restart() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = filled(&disk, &clock).await;
    let request = request(&store);
    drop(store);
    let (mut nth, mut last) = (1, false);
    while !last {
        let disk = disk.after_kill();
        let store = open_with(&disk, &clock, small()).await.unwrap();
        let at = disk.operations() + nth;
        disk.fail_at(at, store::disk::Fault::PowerCut);
        store.carry_out_deletion(request.clone(), Arc::new(IsSecret(disk.clone()))).await.ok();
        last = !disk.is_off();
        drop(store);
        for left in [disk.after_kill(), disk.after_power_cut(nth)] {
            let store = open_with(&left, &clock, small()).await.unwrap();
            let pending = store.deletions().unwrap().remove(0);
            let done = store.carry_out_deletion(pending, Arc::new(IsSecret(left.clone()))).await.unwrap();
            assert_eq!((done.rows, done.files_held), (8, 0), "operation {nth}");
            store.forget_deletion(&done.id).unwrap();
            assert_eq!(contains_secret(&left, Path::new("/data")), [] as [String; 0], "operation {nth}");
            assert_eq!(numbers(&store, &shop()).into_keys().collect::<BTreeSet<_>>(), expected(), "operation {nth}");
        }
        nth += 7;
    }
    assert!(nth > 30, "the deletion does enough");
}

/// Tells that it was asked, then waits until it may go on.
struct Slow {
    inner: IsSecret,
    asked: SyncSender<()>,
    go_on: Mutex<Receiver<()>>,
}

impl RowMatcher for Slow {
    fn matching(
        &self,
        snapshot: &Snapshot,
        found: &mut dyn FnMut(&str, i64),
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.asked.send(()).unwrap();
        self.go_on.lock().unwrap().recv().unwrap();
        self.inner.matching(snapshot, found)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_deletion_holds_up_no_other_dataset_and_cannot_be_withdrawn_half_way() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = filled(&disk, &clock).await;
    let mail = DatasetName::from_user("mail").unwrap();
    for n in 0..8 {
        send_to(&store, &clock, &mail, &[event(n)], None).await.unwrap();
        store.flush().await.unwrap();
    }
    let ((asked, was_asked), (may_go_on, go_on)) = (sync_channel(0), sync_channel(1));
    let matcher = Slow { inner: IsSecret(disk.clone()), asked, go_on: Mutex::new(go_on) };
    let deletion = request(&store);
    let id = deletion.id.clone();
    let deleting = tokio::spawn({
        let store = store.clone();
        async move { store.carry_out_deletion(deletion, Arc::new(matcher)).await }
    });
    was_asked.recv().unwrap();
    let files = |name: &DatasetName| store.snapshot(name).unwrap().files.len();
    let before = files(&shop());
    store.compact().await.unwrap();
    assert_eq!(
        (files(&mail), files(&shop())),
        (1, before),
        "the others are merged, those being looked through are not"
    );
    assert!(store.is_deleting(&id) && !store.forget_deletion(&id).unwrap());
    let shown = store.deletions().unwrap().remove(0);
    assert_eq!((shown.files, shown.files_done, shown.rewritten), (before as u64, 0, false));
    may_go_on.send(()).unwrap();
    for _ in 1..before {
        was_asked.recv().unwrap();
        may_go_on.send(()).unwrap();
    }
    let done = deleting.await.unwrap().unwrap();
    assert_eq!((done.rows, done.is_done(), done.files_done), (8, true, before as u64));
    assert!(store.forget_deletion(&id).unwrap() && store.deletions().unwrap().is_empty());
    let again = store.carry_out_deletion(done, Arc::new(IsSecret(disk.clone()))).await;
    assert!(matches!(again, Err(store::Error::NoDeletion { .. })));
    assert_eq!(contains_secret(&disk, Path::new("/data")), [] as [String; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_backup_still_copies_is_not_gone() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = filled(&disk, &clock).await;
    let ((began, has_begun), (may_end, end)) = (sync_channel(0), sync_channel::<()>(1));
    let copying = tokio::task::spawn_blocking({
        let store = store.clone();
        let mut said = false;
        move || {
            store.backup(Path::new("/backup"), &mut |_| {
                if !std::mem::replace(&mut said, true) {
                    began.send(()).unwrap();
                    end.recv().ok();
                }
                std::ops::ControlFlow::Continue(())
            })
        }
    });
    has_begun.recv().unwrap();
    let held = delete(&store, &disk).await;
    assert!(held.rewritten && held.files_held > 0 && !held.is_done(), "{held:?}");
    may_end.send(()).unwrap();
    copying.await.unwrap().unwrap();
    let done = store.carry_out_deletion(held, Arc::new(IsSecret(disk.clone()))).await.unwrap();
    assert!(done.is_done());
    store.forget_deletion(&done.id).unwrap();
    assert_eq!(contains_secret(&disk, Path::new("/data")), [] as [String; 0]);
}

#[tokio::test]
async fn days_beyond_retention_go_as_whole_files() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let rule = Retention { days: 10, bytes: 0 };
    let config = Config { retention: [("shop".to_owned(), rule)].into(), ..small() };
    let store = open_with(&disk, &clock, config.clone()).await.unwrap();
    for n in 0..3 {
        send(&store, &clock, &[event(n)], None).await.unwrap();
        store.flush().await.unwrap();
        clock.advance_s(5 * 86_400);
    }
    // day 15: those of day 0 are over, those of day 5 are ten days old
    store.compact().await.unwrap();
    assert_eq!(numbers(&store, &shop()).into_keys().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(metric(&store, "retention_files_total"), 1);
    clock.advance_s(30 * 86_400);
    store.compact().await.unwrap();
    assert_eq!(numbers(&store, &shop()).len(), 0);
    assert!(store.snapshot(&shop()).is_some(), "the dataset and its columns stay");
    let store = open_with(&disk.after_kill(), &clock, config).await.unwrap();
    assert!(store.snapshot(&shop()).unwrap().schema.column("route").is_some());
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_drops_nothing() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    let store = open_with(&disk, &clock, Config { retention_days: 10, ..small() }).await.unwrap();
    send(&store, &clock, &[event(1)], None).await.unwrap();
    store.flush().await.unwrap();
    clock.set_by_s(400 * 86_400);
    store.compact().await.unwrap();
    assert_eq!(numbers(&store, &shop()).len(), 1);
}

#[tokio::test]
async fn points_of_slices_go_after_35_days_and_those_of_their_parents_stay() {
    let (disk, clock) = (FaultyDisk::new(), FakeClock::new());
    // as narrow as files get, so that the key stands in `rest`; and as usual
    for columns in [1, 1000] {
        let store = open_with(&disk, &clock, Config { file_columns_max: columns, ..small() }).await.unwrap();
        let points = DatasetName::system("metric_points");
        for minute in 0..6 {
            let point = json!({"metric": "bookings", "actual": minute});
            let slice = json!({"metric": "bookings", "slice": "country=NL", "actual": 100 + minute});
            store.append_values(&points, &[point, slice]).await.unwrap();
            store.flush().await.unwrap();
        }
        let actual = |store: &Store| {
            let events = store.read_events(&points).unwrap();
            events.iter().map(|event| event["actual"].as_u64().unwrap()).collect::<BTreeSet<_>>()
        };
        clock.advance_s(35 * 86_400);
        store.compact().await.unwrap();
        assert_eq!(actual(&store).len(), 12, "on day 35 they are there");
        clock.advance_s(86_400);
        store.compact().await.unwrap();
        assert_eq!(actual(&store), (0..6).collect());
        assert_eq!(metric(&store, "retention_events_total"), 6);
        let upkeep = store.upkeep();
        let upkeep = upkeep.iter().find(|upkeep| upkeep.dataset == points).unwrap();
        assert!(upkeep.removed_events >= 6 && upkeep.backlog_files == 0, "{upkeep:?}");
        let version = upkeep.log_version;
        store.compact().await.unwrap();
        assert_eq!(store.upkeep().iter().find(|upkeep| upkeep.dataset == points).unwrap().log_version, version);
        store.close().await.unwrap();
    }
}
