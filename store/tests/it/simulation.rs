//! A node's life from one seed: requests, several at once, retries, flushes, merges of files, clean stops, kills, power cuts, disk
//! errors, late operations and clock jumps, compared with a model after every restart.
//!
//! `YELLOWLINE_SIMULATIONS=100000` lives that many, from seed `YELLOWLINE_SIMULATION_SEED` (0) on; each thousandth is printed, so
//! that a batch can be taken up again where it ended. A failure names its seed: repeat it with that seed and one simulation.
//! (What threads do at the same time is not in the seed: a few failures need some repetitions.)

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
    time::Instant,
};

use store::{
    Config, DatasetName, Error, IngestCount, Receipt, Store,
    disk::{Fault, FaultyDisk},
};

use crate::node::{FakeClock, config, numbers, open_with, send_to};

/// Lives of an ordinary test run.
const SIMULATIONS: u64 = 200;
/// Lives between two lines of progress.
const PROGRESS: u64 = 1000;
const STEPS: u64 = 24;

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }
}

/// What a client remembers of a request, to send it again.
#[derive(Debug, Clone)]
struct Sent {
    dataset: usize,
    events: Vec<String>,
    numbers: Vec<u64>,
    key: Option<String>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Counted {
    duplicates: u64,
    rejected: u64,
}

impl std::ops::AddAssign for Counted {
    fn add_assign(&mut self, other: Self) {
        self.duplicates += other.duplicates;
        self.rejected += other.rejected;
    }
}

struct Node {
    dice: Dice,
    disk: FaultyDisk,
    clock: Arc<FakeClock>,
    config: Config,
    datasets: [DatasetName; 2],
    next: u64,
    requests: Vec<Sent>,
    /// Acknowledged numbers per dataset; numbers of events with ids or keys stay there once, however often they are sent.
    acknowledged: [BTreeSet<u64>; 2],
    sent: [BTreeSet<u64>; 2],
    /// Duplicates and rejected events of answered requests: counted for good.
    counted: Counted,
    /// Those that requests without an answer may have added.
    uncertain: Counted,
    story: Vec<String>,
}

impl Node {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let config = Config {
            wal_segment_bytes_max: 100 + dice.roll(1500),
            wal_bytes_max: 4000 + dice.roll(8000),
            checkpoint_commits: 2 + dice.roll(6),
            memtable_rows_max: 5 + dice.roll(100),
            group_bytes_max: 1 + dice.roll(100_000),
            compact_files_min: 2 + dice.roll(3),
            file_columns_max: dice.roll(4),
            removed_files_s: dice.roll(60),
            ..config()
        };
        Self {
            dice,
            disk: FaultyDisk::new(),
            clock: FakeClock::new(),
            config,
            datasets: ["shop", "mail"].map(|name| DatasetName::from_user(name).unwrap()),
            next: 0,
            requests: Vec::new(),
            acknowledged: Default::default(),
            sent: Default::default(),
            counted: Counted::default(),
            uncertain: Counted::default(),
            story: Vec::new(),
        }
    }

    async fn open(&mut self) -> Store {
        // A disk that fails while opening is an error, not a loss: the next try finds everything.
        for _ in 0..5 {
            match open_with(&self.disk, &self.clock, self.config.clone()).await {
                Ok(store) => return store,
                Err(error) => self.story.push(format!("open failed: {error}")),
            }
            if self.disk.is_off() {
                self.disk = self.disk.after_power_cut(self.dice.roll(u64::MAX));
            }
            self.disk.heal();
        }
        panic!("the folder does not open: {:?}", self.story);
    }

    async fn live(&mut self) {
        let mut store = self.open().await;
        self.compare(&store);
        for _ in 0..STEPS {
            store = self.step(store).await;
        }
        self.disk.heal();
        if self.disk.is_off() {
            store = self.restart(store, 2).await;
        }
        store.close().await.ok();
        drop(store);
        let store = self.open().await;
        self.compare(&store);
    }

    async fn step(&mut self, store: Store) -> Store {
        if self.disk.is_off() {
            return self.restart(store, 2).await;
        }
        match self.dice.roll(22) {
            0..=7 => self.send_new(&store).await,
            8..=9 => self.send_several(&store).await,
            10..=12 => self.send_again(&store).await,
            13..=14 => {
                let outcome = store.flush().await.map_err(|error| error.to_string());
                self.story.push(format!("flush: {outcome:?}"));
            }
            // Less than the window in all, so that an id counts once for the node's whole life; sometimes back.
            15 => self.move_clock(),
            16 => self.break_disk(),
            17 => self.disk.heal(),
            18..=19 => {
                let outcome = store.compact().await.map_err(|error| error.to_string());
                self.story.push(format!("compact: {outcome:?}"));
            }
            what => return self.restart(store, what - 20).await,
        }
        store
    }

    fn move_clock(&mut self) {
        match self.dice.roll(4) {
            0 => self.clock.set_by_s(i64::try_from(self.dice.roll(20)).unwrap() - 10),
            // Far ahead and back again, with nothing in between but what runs in the background.
            1 => {
                self.clock.set_by_s(86_400);
                self.clock.set_by_s(-86_400);
            }
            _ => self.clock.advance_s(self.dice.roll(40)),
        }
    }

    fn break_disk(&mut self) {
        let nth = self.disk.operations() + 1 + self.dice.roll(12);
        let fault = match self.dice.roll(5) {
            0 => Fault::Error(io::ErrorKind::Other),
            1 => Fault::Torn(io::ErrorKind::StorageFull),
            2 => Fault::Error(io::ErrorKind::StorageFull),
            3 => Fault::Delayed(self.dice.roll(4)),
            _ => Fault::PowerCut,
        };
        let until = nth + self.dice.roll(3);
        self.story.push(format!("operations {nth}..={until} end in {fault:?}"));
        self.disk.inject(move |operation, _, _| (nth..=until).contains(&operation).then_some(fault));
    }

    /// 0: a clean stop, 1: a kill, 2: a power cut.
    async fn restart(&mut self, store: Store, how: u64) -> Store {
        self.story.push(["clean stop", "kill", "power cut"][usize::try_from(how).unwrap()].to_owned());
        match how {
            0 => {
                store.close().await.ok();
            }
            1 => self.disk = self.disk.after_kill(),
            _ => self.disk = self.disk.after_power_cut(self.dice.roll(u64::MAX)),
        }
        drop(store);
        let store = self.open().await;
        self.compare(&store);
        store
    }

    async fn send_new(&mut self, store: &Store) {
        let request = self.request();
        self.send(store, request).await;
    }

    /// Two requests and a repeated one while a flush runs.
    async fn send_several(&mut self, store: &Store) {
        let (one, other) = (self.request(), self.request());
        let index = self.dice.roll(self.requests.len() as u64);
        let again = self.requests[usize::try_from(index).unwrap()].clone();
        let of = |request: &Sent| {
            let (name, request) = (self.datasets[request.dataset].clone(), request.clone());
            let (store, clock) = (store.clone(), Arc::clone(&self.clock));
            async move { send_to(&store, &clock, &name, &request.events, request.key.as_deref()).await }
        };
        let (first, second, third, flushed) = tokio::join!(of(&one), of(&other), of(&again), store.flush());
        self.story.push(format!("flush beside: {:?}", flushed.map_err(|error| error.to_string())));
        for (request, outcome) in [(one, first), (other, second), (again, third)] {
            self.note(&request, outcome);
        }
    }

    fn request(&mut self) -> Sent {
        let dataset = usize::try_from(self.dice.roll(2)).unwrap();
        let numbers: Vec<u64> = (self.next..self.next + 1 + self.dice.roll(6)).collect();
        self.next += 10;
        let key = (self.dice.roll(3) == 0).then(|| format!("key-{}", self.next));
        let has_ids = key.is_none();
        // Hexadecimal noise: what compresses well never fills a segment.
        let padding: String = (0..self.dice.roll(20)).map(|_| format!("{:016x}", self.dice.roll(u64::MAX))).collect();
        let mut events: Vec<String> = numbers
            .iter()
            .map(|n| {
                if has_ids { format!(r#"{{"id":"e{n}","n":{n},"p":"{padding}"}}"#) } else { format!(r#"{{"n":{n}}}"#) }
            })
            .collect();
        if self.dice.roll(5) == 0 {
            events.push("{broken".to_owned());
        }
        let request = Sent { dataset, events, numbers, key };
        self.requests.push(request.clone());
        request
    }

    async fn send_again(&mut self, store: &Store) {
        if self.requests.is_empty() {
            return;
        }
        let index = self.dice.roll(self.requests.len() as u64);
        let request = self.requests[usize::try_from(index).unwrap()].clone();
        self.send(store, request).await;
    }

    async fn send(&mut self, store: &Store, request: Sent) {
        let name = self.datasets[request.dataset].clone();
        let outcome = send_to(store, &self.clock, &name, &request.events, request.key.as_deref()).await;
        self.note(&request, outcome);
    }

    fn note(&mut self, request: &Sent, outcome: Result<Receipt, Error>) {
        self.sent[request.dataset].extend(&request.numbers);
        let name = &self.datasets[request.dataset];
        let rejected = (request.events.len() - request.numbers.len()) as u64;
        let short = outcome.as_ref().map(|receipt| (receipt.accepted, receipt.duplicates)).map_err(ToString::to_string);
        self.story.push(format!("send {:?} to {name} with {:?}: {short:?}", request.numbers, request.key));
        if let Ok(Receipt { accepted, duplicates, .. }) = outcome {
            assert_eq!(u64::from(accepted + duplicates), request.numbers.len() as u64, "{:?}", self.story);
            self.acknowledged[request.dataset].extend(&request.numbers);
            self.counted += Counted { duplicates: duplicates.into(), rejected };
        } else {
            self.uncertain += Counted { duplicates: request.numbers.len() as u64, rejected };
        }
    }

    fn compare(&self, store: &Store) {
        let story = || self.story.join("\n");
        let mut there = 0;
        for (index, name) in self.datasets.iter().enumerate() {
            let seen: BTreeMap<u64, u32> = numbers(store, name);
            there += seen.len() as u64;
            for n in &self.acknowledged[index] {
                assert_eq!(seen.get(n), Some(&1), "acknowledged event {n} of {name}\n{}", story());
            }
            for (n, times) in seen {
                assert!(
                    times == 1 && self.sent[index].contains(&n),
                    "event {n} of {name} is there {times} times\n{}",
                    story()
                );
            }
        }
        let counts = store.ingest_counts();
        let sum = |part: fn(&IngestCount) -> u64| counts.iter().map(part).sum::<u64>();
        assert_eq!(sum(|count| count.stored), there, "the accounts say what is there\n{}", story());
        let rejected = sum(|count| count.rejected.values().sum());
        let (least, more) = (self.counted, self.uncertain);
        for (found, least, more) in [
            (sum(|count| count.duplicates), least.duplicates, more.duplicates),
            (rejected, least.rejected, more.rejected),
        ] {
            assert!((least..=least + more).contains(&found), "{found} counted, {least} to {more} more\n{}", story());
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own switch")]
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_or_doubled_in_the_life_of_a_node() {
    let first = setting("YELLOWLINE_SIMULATION_SEED", 0);
    let end = first + setting("YELLOWLINE_SIMULATIONS", SIMULATIONS);
    let began = Instant::now();
    for seed in first..end {
        let life = tokio::spawn(async move { Node::new(seed).live().await });
        if let Err(error) = life.await {
            panic!("seed {seed} fails: YELLOWLINE_SIMULATION_SEED={seed} YELLOWLINE_SIMULATIONS=1 repeats it: {error}");
        }
        let lived = seed + 1 - first;
        if lived.is_multiple_of(PROGRESS) || seed + 1 == end {
            let seconds = began.elapsed().as_secs_f64();
            println!(
                "{lived} simulations from seed {first} to {seed}, {:.0} per second: lost 0, doubled 0",
                lived as f64 / seconds
            );
        }
    }
}
