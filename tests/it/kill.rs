//! kill -9 at random moments under load, while flushes run and queries look on: what was acknowledged is there, once, and the
//! account says so.
//!
//! `YELLOWLINE_KILLS` sets how often (5), `YELLOWLINE_KILL_SEED` (1) the moments and the bodies of a run; which request a
//! kill hits still depends on the machine. Long runs are batches of 50 with a seed each: data and so queries stay small.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use benches::{client::Connection, random::Random};
use serde_json::{Value, json};

use crate::server::{DEADLINE, Server};

pub(crate) const CLIENTS: usize = 8;
const TIMEOUT: Duration = Duration::from_secs(20);
/// Restarts and other work of the machine included.
const GIVE_UP: Duration = Duration::from_secs(600);
/// Between two tries of a client, and two looks at the counters: leaves the processors to the server.
const RETRY_PAUSE: Duration = Duration::from_millis(2);

/// One app: posts batches of events numbered without a gap, each until it is acknowledged, and never one twice by intent.
pub(crate) struct Client<'a> {
    pub(crate) number: u64,
    pub(crate) seed: u64,
    pub(crate) server: &'a Mutex<SocketAddr>,
    /// Events acknowledged so far: exactly those numbered below it.
    pub(crate) acknowledged: &'a AtomicU64,
    /// Batches that had to be sent more than once.
    pub(crate) resent: &'a AtomicU64,
    pub(crate) stop: &'a AtomicBool,
}

impl Client<'_> {
    pub(crate) fn run(&self) {
        let mut random = Random::of(self.seed, 1, self.number);
        let mut next = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let count = if random.chance(0.3) { 1 } else { u64::from(random.between(2, 60)) };
            // Half of the batches carry ids only, half an Idempotency-Key only, so that each is shown to suffice.
            let by_id = random.chance(0.5);
            let body = self.body(next, count, by_id, &mut random);
            let key = (!by_id).then(|| format!("{}-{}-{next}", self.seed, self.number));
            self.post_until_acknowledged(&body, key.as_deref(), count);
            next += count;
            self.acknowledged.store(next, Ordering::SeqCst);
        }
    }

    fn body(&self, first: u64, count: u64, by_id: bool, random: &mut Random) -> Vec<u8> {
        let mut body = Vec::new();
        for n in first..first + count {
            let mut event = json!({ "client": self.number, "n": n, "filler": "x".repeat(usize::try_from(random.below(900)).unwrap()) });
            if by_id {
                event["id"] = format!("{}-{}-{n}", self.seed, self.number).into();
            }
            body.extend_from_slice(event.to_string().as_bytes());
            body.push(b'\n');
        }
        body
    }

    fn post_until_acknowledged(&self, body: &[u8], key: Option<&str>, count: u64) {
        let begin = Instant::now();
        let mut headers = vec![("content-type", "application/x-ndjson")];
        headers.extend(key.map(|key| ("idempotency-key", key)));
        let mut sent = 0;
        loop {
            assert!(begin.elapsed() < GIVE_UP, "a batch was not acknowledged for {GIVE_UP:?}");
            let address = *self.server.lock().unwrap();
            sent += 1;
            match Connection::new(address, TIMEOUT).send("POST", "/api/v1/events/kill", &headers, body) {
                Ok(answer) if answer.status == 200 => {
                    let answer = answer.json();
                    let taken = answer["accepted"].as_u64().unwrap() + answer["duplicates"].as_u64().unwrap();
                    assert_eq!(taken, count, "{answer}");
                    self.resent.fetch_add(u64::from(sent > 1), Ordering::Relaxed);
                    return;
                }
                Ok(answer) => assert!(matches!(answer.status, 429 | 503), "{} {}", answer.status, answer.text()),
                // Killed under our hands, or not up again yet.
                Err(_) => {}
            }
            std::thread::park_timeout(RETRY_PAUSE);
        }
    }
}

/// A server that flushes every second or 2,000 events, and rolls and trims its WAL all the time.
fn start(folder: &Path) -> Server {
    let settings = [
        ("YELLOWLINE_STORE__FLUSH_INTERVAL_S", "1"),
        ("YELLOWLINE_STORE__MEMTABLE_ROWS_MAX", "2000"),
        ("YELLOWLINE_STORE__WAL_SEGMENT_BYTES_MAX", "100000"),
        ("YELLOWLINE_STORE__WAL_BYTES_MAX", "1000000"),
        ("YELLOWLINE_STORE__CHECKPOINT_COMMITS", "5"),
    ];
    Server::start_with(folder, &["--listen", "127.0.0.1:0"], &settings)
}

/// The rows of a statement; `None` when the server dies over it.
pub(crate) fn rows(address: SocketAddr, sql: &str) -> Option<Vec<Value>> {
    let begin = Instant::now();
    let answer = loop {
        let answer = Connection::new(address, DEADLINE).post_json("/api/v1/sql", &json!({ "sql": sql })).ok()?;
        // Recovery is over when the server listens; under load a query may still be refused, or cut off, for a moment.
        if !matches!(answer.status, 408 | 429 | 503) {
            break answer;
        }
        assert!(begin.elapsed() < GIVE_UP, "{}", answer.text());
    };
    assert_eq!(answer.status, 200, "{}", answer.text());
    Some(answer.json()["rows"].as_array().unwrap().clone())
}

/// Per client: rows, distinct numbers, highest number + 1.
fn stored(address: SocketAddr) -> Option<Vec<(u64, u64, u64)>> {
    let mut found = vec![(0, 0, 0); CLIENTS];
    for row in rows(address, "SELECT client, count(*), count(DISTINCT n), max(n) FROM kill.events GROUP BY client")? {
        let number = |column: usize| row[column].as_u64().unwrap();
        found[usize::try_from(number(0)).unwrap()] = (number(1), number(2), number(3) + 1);
    }
    Some(found)
}

/// What was acknowledged before the look is seen by it, once.
fn compare(promised: &[u64], found: &[(u64, u64, u64)], when: &str) {
    for (client, (promised, (rows, distinct, _))) in promised.iter().zip(found).enumerate() {
        assert!(distinct >= promised, "{when}, client {client}: {promised} acknowledged, {distinct} found");
        assert_eq!(rows, distinct, "{when}, client {client}: events stored twice");
    }
}

fn promised(acknowledged: &[AtomicU64]) -> Vec<u64> {
    acknowledged.iter().map(|count| count.load(Ordering::SeqCst)).collect()
}

/// Looks again and again while everything goes on; counts the looks that were answered.
fn watch(acknowledged: &[AtomicU64], server: &Mutex<SocketAddr>, looks: &AtomicU64, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let promised = promised(acknowledged);
        let address = *server.lock().unwrap();
        // Before the first event there is no table; then nothing is promised either.
        if promised.iter().any(|count| *count > 0)
            && let Some(found) = stored(address)
        {
            compare(&promised, &found, "between the kills");
            looks.fetch_add(1, Ordering::Relaxed);
        }
        std::thread::park_timeout(RETRY_PAUSE);
    }
}

#[expect(clippy::disallowed_methods, reason = "the settings of a test run, not of the server")]
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

#[test]
fn acknowledged_events_survive_kill_9_exactly_once() {
    let kills = setting("YELLOWLINE_KILLS", 5);
    let seed = setting("YELLOWLINE_KILL_SEED", 1);
    println!("{kills} kills, seed {seed}: replay with YELLOWLINE_KILL_SEED={seed}");
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random::of(seed, 0, 0);
    let mut server = Some(start(folder.path()));
    let address = Mutex::new(address_of(server.as_ref()));
    let acknowledged: Vec<AtomicU64> = (0..CLIENTS).map(|_| AtomicU64::new(0)).collect();
    let (resent, looks, stop) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        // Stops the clients also when an assertion below fails, so that the failure is shown and not waited for.
        let _guard = StopOnDrop(&stop);
        for (number, acknowledged) in (0..).zip(&acknowledged) {
            let client = Client { number, seed, server: &address, acknowledged, resent: &resent, stop: &stop };
            scope.spawn(move || client.run());
        }
        scope.spawn(|| watch(&acknowledged, &address, &looks, &stop));
        for kill in 1..=kills {
            let before = total(&acknowledged);
            let end = Instant::now() + Duration::from_millis(u64::from(random.between(150, 2_500)));
            while Instant::now() < end || total(&acknowledged) == before {
                std::thread::park_timeout(RETRY_PAUSE);
            }
            // Read before the kill: everything counted here was acknowledged by the server that dies.
            let promised = promised(&acknowledged);
            server.take().unwrap().kill();
            let restarted = start(folder.path());
            compare(&promised, &stored(address_of(Some(&restarted))).unwrap(), &format!("kill {kill}"));
            *address.lock().unwrap() = address_of(Some(&restarted));
            server = Some(restarted);
        }
        let before = total(&acknowledged);
        while total(&acknowledged) == before {
            std::thread::park_timeout(RETRY_PAUSE);
        }
    });
    check_all(&acknowledged, address_of(server.as_ref()), "at the end");
    assert_flushed(address_of(server.as_ref()));
    server.take().unwrap().kill();
    let server = start(folder.path());
    check_all(&acknowledged, address_of(Some(&server)), "after one more kill");
    server.stop();
    let server = start(folder.path());
    check_all(&acknowledged, address_of(Some(&server)), "after a clean restart");
    let (total, resent, looks) = (total(&acknowledged), resent.into_inner(), looks.into_inner());
    println!(
        "{kills} kills from seed {seed}: {total} events acknowledged, lost 0, doubled 0; {resent} batches sent again, {looks} queries beside"
    );
    assert!(looks > 0, "no query was answered between the kills");
    assert!(resent > 0, "no kill hit a request under way: the test shows nothing");
}

pub(crate) struct StopOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(crate) fn total(acknowledged: &[AtomicU64]) -> u64 {
    acknowledged.iter().map(|count| count.load(Ordering::SeqCst)).sum()
}

/// Everything acknowledged is there, once, and nothing else; and the account says so.
pub(crate) fn check_all(acknowledged: &[AtomicU64], address: SocketAddr, when: &str) {
    let promised = promised(acknowledged);
    for (client, (count, found)) in promised.iter().zip(stored(address).unwrap()).enumerate() {
        assert_eq!(found, (*count, *count, *count), "client {client} {when}: rows, distinct numbers, highest + 1");
    }
    let account =
        "SELECT sum(stored), sum(received) - sum(stored) - sum(duplicates) FROM system.ingest WHERE dataset = 'kill'";
    let total: u64 = promised.iter().sum();
    assert_eq!(rows(address, account).unwrap(), [json!([total, 0])], "the account {when}");
}

fn assert_flushed(address: SocketAddr) {
    let datasets = Connection::new(address, DEADLINE).send("GET", "/api/v1/datasets", &[], b"").unwrap().json();
    let kill = datasets["datasets"].as_array().unwrap().iter().find(|dataset| dataset["name"] == "kill").unwrap();
    assert!(kill["files"].as_u64().unwrap() > 0, "nothing was flushed: {kill}");
}

pub(crate) fn address_of(server: Option<&Server>) -> SocketAddr {
    server.unwrap().url.strip_prefix("http://").unwrap().parse().unwrap()
}

/// The answers of a client whose batch had taken effect before the kill: nothing accepted, all duplicates.
#[test]
fn a_batch_sent_again_after_a_kill_is_all_duplicates() {
    let folder = tempfile::tempdir().unwrap();
    let body = b"{\"id\":\"a\",\"n\":1}\n{\"id\":\"b\",\"n\":2}\n{\"n\":3}\n";
    let headers = [("content-type", "application/x-ndjson"), ("idempotency-key", "the same")];
    let send = |server: &Server| -> Value {
        let mut connection = Connection::new(address_of(Some(server)), TIMEOUT);
        connection.send("POST", "/api/v1/events/kill", &headers, body).unwrap().json()
    };
    let server = Server::start(folder.path());
    assert_eq!(send(&server)["accepted"], 3);
    server.kill();
    let server = Server::start(folder.path());
    let again = send(&server);
    assert_eq!((&again["accepted"], &again["duplicates"]), (&json!(0), &json!(3)));
}
