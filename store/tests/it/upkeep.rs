//! Looking after a data folder: verify, backup, restore, read-only; on the real file system.

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use store::{
    Clock, Config, Error, Store, backup,
    disk::{Disk, RealDisk},
    verify::{self, Finding, Options, Report, Severity},
};

use crate::node::{FakeClock, event, metric, numbers, send, shop};

fn disk() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

fn config(folder: &Path) -> Config {
    let folder = folder.to_path_buf();
    // nothing in the background: the tests name commits and files
    Config { folder, checkpoint_commits: 3, wal_segment_bytes_max: 4000, compact_interval_s: 0, ..Config::default() }
}

async fn open(folder: &Path, clock: &Arc<FakeClock>) -> Store {
    let clock: Arc<dyn Clock> = Arc::<FakeClock>::clone(clock);
    Store::open(config(folder), clock).await.unwrap()
}

/// Events with ids on three days, flushed nine times, with more in the WAL alone; then a crash.
async fn folder_after_a_crash() -> (tempfile::TempDir, Arc<FakeClock>) {
    let (folder, clock) = (tempfile::tempdir().unwrap(), FakeClock::new());
    let store = open(folder.path(), &clock).await;
    for round in 0..10_u64 {
        for n in 0..5 {
            let number = round * 5 + n;
            let day = 18 + number % 3;
            let text = format!(r#"{{"id":"e{number}","n":{number},"time":"2026-11-{day}T10:00:0{n}.123456Z"}}"#);
            send(&store, &clock, &[text, event(1000 + number)], Some(&format!("k{number}"))).await.unwrap();
        }
        if round < 9 {
            store.flush().await.unwrap();
        }
        clock.advance_s(60);
    }
    drop(store);
    (folder, clock)
}

fn check_with(folder: &Path, repair: bool) -> Result<Report, Error> {
    let options = Options { folder: folder.to_path_buf(), repair, dedup_window_s: 3600, dedup_ids_max: 1_000_000 };
    verify::verify(&options, &*FakeClock::new(), &disk(), &mut |_| {})
}

fn check(folder: &Path) -> Report {
    check_with(folder, false).unwrap()
}

fn problems(report: &Report) -> Vec<&Finding> {
    report.findings.iter().filter(|finding| finding.severity == Severity::Problem).collect()
}

/// Codes and files of the problems.
fn told(report: &Report) -> Vec<(&str, &str)> {
    problems(report).into_iter().map(|finding| (finding.code, finding.file.as_str())).collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn matching(folder: &Path, part: &str) -> Vec<PathBuf> {
    let wanted = |path: &PathBuf| path.strip_prefix(folder).unwrap().to_string_lossy().contains(part);
    files_below(folder).into_iter().filter(wanted).collect()
}

fn relative(folder: &Path, path: &Path) -> String {
    path.strip_prefix(folder).unwrap().display().to_string()
}

fn copy_of(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in files_below(folder) {
        let target = copy.path().join(file.strip_prefix(folder).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&file, &target).unwrap();
    }
    copy
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x20;
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_folder_after_a_crash_is_clean_and_its_figures_add_up() {
    let (folder, clock) = folder_after_a_crash().await;
    let report = check(folder.path());
    assert_eq!(told(&report), [], "{:#?}", report.findings);
    let dataset = report.datasets.iter().find(|dataset| dataset.name == "shop").unwrap();
    assert_eq!((dataset.rows_in_files, dataset.rows_in_wal), (90, 10));
    assert_eq!((dataset.stored, dataset.received), (100, 100));
    assert!(report.bytes_checked > 0 && report.wal_records >= 5);
    let store = open(folder.path(), &clock).await;
    assert!(matches!(check_with(folder.path(), false), Err(Error::FolderInUse { .. })));
    store.close().await.unwrap();
    drop(store);
    let report = check(folder.path());
    assert_eq!((told(&report), &report.findings[..]), (vec![], &[][..]));
}

/// Damages a copy; what is found, and what is left after a repair.
fn damage(folder: &Path, hurt: impl FnOnce(&Path) -> PathBuf) -> (tempfile::TempDir, String, Report, Report) {
    let copy = copy_of(folder);
    let hurt = hurt(copy.path());
    let found = check(copy.path());
    let mended = check_with(copy.path(), true).unwrap();
    let file = relative(copy.path(), &hurt);
    (copy, file, found, mended)
}

fn newest_part(folder: &Path) -> PathBuf {
    matching(folder, "datasets/shop/_day").pop().unwrap()
}

#[tokio::test]
async fn each_damage_of_a_data_file_is_named_and_mended() {
    let (folder, clock) = folder_after_a_crash().await;
    type Hurt = (&'static str, fn(&Path));
    let hurts: [Hurt; 3] = [
        ("file_missing", |path| fs::remove_file(path).unwrap()),
        ("file_size", |path| fs::write(path, &fs::read(path).unwrap()[1..]).unwrap()),
        ("file_checksum", |path| flip(path, 300)),
    ];
    for (code, hurt) in hurts {
        let (copy, file, found, mended) = damage(folder.path(), |copy| {
            let part = newest_part(copy);
            hurt(&part);
            part
        });
        assert!(told(&found).contains(&(code, file.as_str())), "{code}: {:#?}", found.findings);
        assert!(told(&found).iter().any(|(code, _)| *code == "seq_gap"), "{code}: the events are missed, too");
        let (all, done) = mended.problems();
        assert_eq!(all, done, "{code}: {:#?}", mended.findings);
        let kept = matching(copy.path(), "quarantine/");
        assert_eq!(kept.len(), usize::from(code != "file_missing"), "{kept:?}");
        let dataset = mended.datasets.iter().find(|dataset| dataset.name == "shop").unwrap();
        assert_eq!(dataset.rows_in_files + dataset.rows_in_wal + dataset.rows_lost, 100);
        let store = open(copy.path(), &clock).await;
        assert_eq!(numbers(&store, &shop()).len() as u64, 100 - dataset.rows_lost, "the rest can be read again");
        assert_eq!(told(&check_with(copy_of(copy.path()).path(), false).unwrap()), []);
    }
}

#[tokio::test]
async fn each_damage_of_a_log_is_named_and_mended() {
    let (folder, clock) = folder_after_a_crash().await;
    let log = |copy: &Path, part: &str| matching(copy, &format!("datasets/shop/_delta_log/{part}"));
    type Hurt<'a> = (&'a str, Box<dyn Fn(&Path) -> PathBuf>);
    let hurts: Vec<Hurt<'_>> = vec![
        (
            "log_checkpoint",
            Box::new(move |copy| {
                let path = log(copy, "")
                    .into_iter()
                    .rfind(|path| path.to_string_lossy().ends_with("checkpoint.parquet"))
                    .unwrap();
                flip(&path, 40);
                path
            }),
        ),
        (
            "log_hint",
            Box::new(move |copy| {
                let path = log(copy, "_last").pop().unwrap();
                fs::write(&path, b"{").unwrap();
                path
            }),
        ),
        (
            "log_spare",
            Box::new(move |copy| {
                // A commit between the two checkpoints that are kept.
                let path = log(copy, "")
                    .into_iter()
                    .filter(|path| path.extension().is_some_and(|end| end == "json"))
                    .nth(1)
                    .unwrap();
                fs::write(&path, b"{").unwrap();
                path
            }),
        ),
        (
            "file_statistics",
            Box::new(move |copy| {
                let path =
                    log(copy, "").into_iter().rfind(|path| path.extension().is_some_and(|end| end == "json")).unwrap();
                let text = fs::read_to_string(&path).unwrap();
                let wrong = text.replacen(r#"\"maxValues\":{\"time\":\"2026"#, r#"\"maxValues\":{\"time\":\"2025"#, 1);
                assert_ne!(text, wrong);
                fs::write(&path, wrong).unwrap();
                let of = text.split("\"path\":\"").nth(1).unwrap().split('"').next().unwrap();
                copy.join("datasets/shop").join(of)
            }),
        ),
    ];
    for (code, hurt) in hurts {
        let (copy, file, found, mended) = damage(folder.path(), |copy| hurt(copy));
        assert!(told(&found).contains(&(code, file.as_str())), "{code}, {file}: {:#?}", found.findings);
        let (all, done) = mended.problems();
        assert_eq!((all, done), (1, 1), "{code}: {:#?}", mended.findings);
        let store = open(copy.path(), &clock).await;
        assert_eq!(numbers(&store, &shop()).len(), 100, "{code}");
    }
}

#[tokio::test]
async fn what_no_commit_names_is_kept_when_it_holds_the_only_copy() {
    let (folder, clock) = folder_after_a_crash().await;
    // The newest commit is gone, and so is the WAL that had its events.
    let copy = copy_of(folder.path());
    let store = open(copy.path(), &clock).await;
    store.flush().await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let commits = matching(copy.path(), "datasets/shop/_delta_log/00000000000000000");
    let newest = commits.iter().rfind(|path| path.extension().is_some_and(|end| end == "json")).unwrap();
    fs::remove_file(newest).unwrap();
    for checkpoint in commits.iter().filter(|path| path.to_string_lossy().contains("checkpoint")).rev().take(1) {
        let of_newest = newest.file_stem().unwrap().to_string_lossy().into_owned();
        if checkpoint.to_string_lossy().contains(&of_newest) {
            fs::remove_file(checkpoint).unwrap();
        }
    }
    matching(copy.path(), "wal/").iter().for_each(|segment| fs::remove_file(segment).unwrap());
    let found = check(copy.path());
    let orphans: Vec<_> = told(&found).into_iter().filter(|(code, _)| *code == "file_orphan").collect();
    assert!(!orphans.is_empty(), "{:#?}", found.findings);
    assert!(told(&found).iter().any(|(code, _)| *code == "accounts_differ"));
    let refused = Store::open(config(copy.path()), Arc::<FakeClock>::clone(&clock)).await.unwrap_err().to_string();
    assert!(refused.contains("verify --repair"), "{refused}");
    check_with(copy.path(), true).unwrap();
    assert_eq!(matching(copy.path(), "quarantine/").len(), orphans.len());
    drop(open(copy.path(), &clock).await);

    // A file of an unfinished flush is no problem: its events are in the WAL or in other files.
    let litter = copy_of(folder.path());
    let part = newest_part(litter.path());
    fs::copy(&part, part.with_file_name("part-0000.parquet")).unwrap();
    let report = check(litter.path());
    assert_eq!(told(&report), []);
    assert!(report.findings.iter().any(|finding| finding.code == "file_orphan"));
}

#[tokio::test]
async fn a_table_that_lost_its_log_is_named_and_can_be_set_aside() {
    let (folder, clock) = folder_after_a_crash().await;
    for (table, days) in [("datasets/shop", 3), ("accounts", 1)] {
        let copy = copy_of(folder.path());
        fs::remove_dir_all(copy.path().join(table).join("_delta_log")).unwrap();
        let files = matching(copy.path(), &format!("{table}/_day="));
        assert!(files.len() >= days);
        let opened = Store::open(config(copy.path()), Arc::<FakeClock>::clone(&clock)).await;
        let refused = opened.unwrap_err().to_string();
        assert!(refused.contains(table) && refused.contains("verify --repair"), "{refused}");
        assert_eq!(matching(copy.path(), &format!("{table}/_day=")), files);
        let orphans = |report: &Report| {
            let is_orphan = |finding: &&Finding| finding.code == "file_orphan" && finding.file.starts_with(table);
            report.findings.iter().filter(is_orphan).filter(|finding| finding.severity == Severity::Problem).count()
        };
        // The WAL still has what came last.
        let only_copies = orphans(&check(copy.path()));
        assert!(only_copies > files.len() / 2, "{only_copies} of {}", files.len());
        check_with(copy.path(), true).unwrap();
        assert_eq!(matching(copy.path(), "quarantine/").len(), only_copies);
        drop(open(copy.path(), &clock).await);
    }
}

#[tokio::test]
async fn damage_of_the_wal_and_of_doubles_is_named() {
    let (folder, _) = folder_after_a_crash().await;
    let (_copy, file, found, mended) = damage(folder.path(), |copy| {
        let segment = matching(copy, "wal/").pop().unwrap();
        flip(&segment, 130);
        segment
    });
    assert_eq!(told(&found)[0], ("wal_damaged", file.as_str()), "{:#?}", found.findings);
    assert!(mended.problems().1 == 0, "what is lost stays told");

    let (_copy, file, found, _) = damage(folder.path(), |copy| {
        // The same file twice under two names, both live.
        let part = newest_part(copy);
        let double = part.with_file_name("part-zz.parquet");
        fs::copy(&part, &double).unwrap();
        let log = matching(copy, "datasets/shop/_delta_log/0000");
        let newest = log.iter().rfind(|path| path.extension().is_some_and(|end| end == "json")).unwrap();
        let name = part.file_name().unwrap().to_string_lossy().into_owned();
        let text = log
            .iter()
            .filter(|path| path.extension().is_some_and(|end| end == "json"))
            .map(|path| fs::read_to_string(path).unwrap())
            .find(|text| text.contains(&name))
            .unwrap();
        let add = text.lines().find(|line| line.contains(&name) && line.contains("\"add\"")).unwrap();
        let version: u64 = newest.file_stem().unwrap().to_string_lossy().parse().unwrap();
        let next = newest.with_file_name(format!("{:020}.json", version + 1));
        fs::write(next, add.replace(&name, "part-zz.parquet") + "\n").unwrap();
        double
    });
    assert!(told(&found).contains(&("seq_double", file.as_str())), "{:#?}", found.findings);
    assert!(told(&found).contains(&("id_double", file.as_str())), "{:#?}", found.findings);
}

fn go_on(_: verify::Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[tokio::test]
async fn a_backup_of_a_running_node_is_the_instant_of_its_cut_and_restores_as_a_new_node() {
    let (folder, clock) = folder_after_a_crash().await;
    let places = tempfile::tempdir().unwrap();
    let (target, restored) = (places.path().join("backup"), places.path().join("restored"));
    let store = open(folder.path(), &clock).await;
    send(&store, &clock, &[event(5000)], Some("held")).await.unwrap();
    clock.advance_s(5);
    assert!(metric(&store, "oldest_unflushed_seconds") >= 5 && metric(&store, "disk_free_bytes") > 0);
    let summary = store.backup(&target, &mut go_on).unwrap();
    assert!(summary.files > 10 && summary.linked > 0 && summary.bytes > 0);
    send(&store, &clock, &[event(6000)], None).await.unwrap();
    store.flush().await.unwrap();
    assert_eq!(told(&check(&target)), []);
    assert!(matches!(store.backup(&target, &mut go_on), Err(Error::NotEmpty { .. })));

    let wall: Arc<dyn Clock> = Arc::<FakeClock>::clone(&clock);
    let error = Store::open(config(&target), Arc::clone(&wall)).await.unwrap_err();
    assert!(matches!(error, Error::Backup { .. }), "{error}");
    backup::restore(&target, &config(&restored), &wall, &disk(), &mut go_on).unwrap();
    assert_eq!(told(&check(&restored)), []);
    let node = open(&restored, &clock).await;
    let there = numbers(&node, &shop());
    assert_eq!(there.len(), 101);
    assert!(there.contains_key(&5000) && !there.contains_key(&6000));
    // The key came along, ids are known, and new events are numbered anew.
    assert_eq!(send(&node, &clock, &[event(5000)], Some("held")).await.unwrap().duplicates, 1);
    let again = r#"{"id":"e49","n":49,"time":"2026-11-19T10:00:04.123456Z"}"#.to_owned();
    assert_eq!(send(&node, &clock, &[again], None).await.unwrap().duplicates, 1);
    for n in 0..20 {
        send(&node, &clock, &[event(7000 + n)], None).await.unwrap();
    }
    node.flush().await.unwrap();
    send(&node, &clock, &[event(8000)], None).await.unwrap();
    drop(node);
    let report = check(&restored);
    assert_eq!(told(&report), [], "{:#?}", report.findings);
    assert_eq!(numbers(&open(&restored, &clock).await, &shop()).len(), 122);
    assert_eq!(numbers(&store, &shop()).len(), 102, "the old node went on");
    let refused = backup::restore(&target, &config(&restored), &wall, &disk(), &mut go_on).unwrap_err();
    assert!(matches!(refused, Error::NotEmpty { .. }), "{refused}");
}

#[tokio::test]
async fn an_interrupted_or_damaged_backup_is_recognised() {
    let (folder, clock) = folder_after_a_crash().await;
    let places = tempfile::tempdir().unwrap();
    let (target, restored) = (places.path().join("backup"), places.path().join("restored"));
    let store = open(folder.path(), &clock).await;
    let mut calls = 0;
    let error = store.backup(&target, &mut |_| {
        calls += 1;
        if calls == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(error, Err(Error::Interrupted { .. })));
    let wall: Arc<dyn Clock> = Arc::<FakeClock>::clone(&clock);
    let restore = |source: &Path, to: &Path| backup::restore(source, &config(to), &wall, &disk(), &mut go_on);
    assert!(restore(&target, &restored).unwrap_err().to_string().contains("INCOMPLETE is damaged"));
    assert!(check_with(&target, false).is_err() && !restored.exists());
    fs::remove_dir_all(&target).unwrap();

    store.close().await.unwrap();
    drop(store);
    backup::of_stopped(folder.path(), &target, &*clock, &disk(), &mut go_on).unwrap();
    let part = newest_part(&target);
    let copy = fs::read(&part).unwrap();
    fs::remove_file(&part).unwrap();
    fs::write(&part, copy).unwrap();
    flip(&part, 200);
    let error = restore(&target, &restored).unwrap_err().to_string();
    assert!(error.contains(&*part.file_name().unwrap().to_string_lossy()), "{error}");
    let error = Store::open(config(&restored), Arc::clone(&wall)).await.unwrap_err().to_string();
    assert!(error.contains("INCOMPLETE"), "what was restored half-way is not opened: {error}");
    assert!(told(&check(&target)).iter().any(|(code, file)| *code == "backup_file" && target.join(file) == part));
}

fn listing(folder: &Path) -> Vec<(PathBuf, u64, std::time::SystemTime)> {
    let facts = |path: PathBuf| {
        let metadata = fs::metadata(&path).unwrap();
        (path, metadata.len(), metadata.modified().unwrap())
    };
    files_below(folder).into_iter().map(facts).collect()
}

#[tokio::test]
async fn read_only_shows_everything_and_writes_nothing() {
    let (folder, clock) = folder_after_a_crash().await;
    // Things a start would clear away.
    let part = newest_part(folder.path());
    fs::copy(&part, part.with_file_name("part-0000.parquet")).unwrap();
    fs::write(folder.path().join("datasets/shop/_delta_log/00000000000000000099.tmp"), b"x").unwrap();
    let before = listing(folder.path());
    let wall: Arc<dyn Clock> = Arc::<FakeClock>::clone(&clock);
    let read_only = Config { read_only: true, ..config(folder.path()) };
    let first = Store::open(read_only.clone(), Arc::clone(&wall)).await.unwrap();
    let second = Store::open(read_only, Arc::clone(&wall)).await.unwrap();
    for store in [&first, &second] {
        assert_eq!(numbers(store, &shop()).len(), 100);
        let refused = send(store, &clock, &[event(1)], None).await.unwrap_err();
        assert!(matches!(refused, Error::ReadOnly) && refused.retry_after_s().is_some());
        assert!(store.is_running());
        store.flush().await.unwrap();
    }
    let writer = Store::open(config(folder.path()), Arc::clone(&wall)).await.unwrap_err();
    assert!(matches!(writer, Error::FolderInUse { .. }), "{writer}");
    let target = tempfile::tempdir().unwrap();
    first.backup(&target.path().join("b"), &mut go_on).unwrap();
    first.close().await.unwrap();
    drop((first, second));
    assert_eq!(listing(folder.path()), before);
    let none = Config { read_only: true, ..config(&folder.path().join("none")) };
    assert!(Store::open(none, wall).await.is_err() && !folder.path().join("none").exists());
}

#[tokio::test]
async fn backups_under_load_are_whole_at_any_moment() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), FakeClock::new());
    let store = open(folder.path(), &clock).await;
    let places = tempfile::tempdir().unwrap();
    let load = {
        let (store, clock) = (store.clone(), Arc::clone(&clock));
        tokio::spawn(async move {
            for n in 0..400 {
                send(&store, &clock, &[event(n)], None).await.unwrap();
                if n % 20 == 19 {
                    store.flush().await.unwrap();
                }
            }
        })
    };
    let mut last = 0;
    for round in 0..5 {
        let acknowledged = numbers(&store, &shop()).len();
        let target = places.path().join(format!("{round}"));
        let (copied, to) = (store.clone(), target.clone());
        tokio::task::spawn_blocking(move || copied.backup(&to, &mut go_on)).await.unwrap().unwrap();
        let report = check(&target);
        assert_eq!(told(&report), [], "{:#?}", report.findings);
        let rows = report.datasets.iter().find(|dataset| dataset.name == "shop");
        let rows = rows.map_or(0, |dataset| dataset.rows_in_files + dataset.rows_in_wal);
        assert!(rows >= acknowledged as u64 && rows >= last, "{rows} of {acknowledged}");
        last = rows;
    }
    load.await.unwrap();
}
