//! The long day: a day of the demo's site played faster than life, with kills, deletions and readers beside, and everything adds up at its end.
//!
//! `./test day` plays a whole day at 300 times its speed against a release build, with DuckDB, Polars and delta_kernel reading.
//! `YELLOWLINE_DAY_SPEED` sets the speed, `YELLOWLINE_DAY_MINUTES` how much of the day is played, `YELLOWLINE_BINARY` names the binary,
//! `YELLOWLINE_DAY_PYTHON` the Python that has the engines; without it our own SQL is the only reader. What the settings of the server say
//! in seconds (flushes, merging, when a day is closed) is divided by the speed.

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use benches::{
    client::Connection,
    machine,
    rates::Rates,
    site::{Profile, Site, Traffic},
    story::Story,
};
use serde_json::{Value, json};

use crate::{
    kill::{StopOnDrop, address_of, rows, setting},
    server::{DEADLINE, Server, root, run, yellowline},
};

const SEED: u64 = 13;
const DAY_MINUTES: u64 = 1440;
/// Micros of a minute.
const MINUTE: i64 = 60_000_000;
/// Bookings per minute at noon, as in the demo.
const BOOKINGS_PER_MINUTE: f64 = 67.0;
const BATCH: u32 = 500;
/// Between two looks at the clock, and before a retry.
const PAUSE: Duration = Duration::from_millis(5);
/// Kills of the day; a sixth of the ends are clean stops.
const ENDS: u32 = 12;
const DELETIONS: u32 = 4;
/// The country whose events are deleted, again and again, up to the hour.
const COUNTRY: &str = "BE";
/// One file of a day may have this many bytes.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// How long merging and deleting may take when the day is over.
const EVENING: Duration = Duration::from_secs(300);

struct Day {
    first_minute: i64,
    minutes: i64,
    speed: u64,
    began: Instant,
    server: Mutex<std::net::SocketAddr>,
    /// Acknowledged events of the country, and of all others.
    of_country: AtomicU64,
    of_others: AtomicU64,
    /// Events of others sent so far, acknowledged or not.
    sent_others: AtomicU64,
    resent: AtomicU64,
    looks: AtomicU64,
    stop: AtomicBool,
}

impl Day {
    /// Micros since 1970 in the day that is played.
    fn now(&self) -> i64 {
        let gone = i64::try_from(self.began.elapsed().as_micros()).unwrap() * i64::try_from(self.speed).unwrap();
        (self.first_minute * MINUTE + gone).min(self.end())
    }

    fn end(&self) -> i64 {
        (self.first_minute + self.minutes) * MINUTE
    }

    fn connection(&self) -> Connection {
        Connection::new(*self.server.lock().unwrap(), DEADLINE)
    }

    /// The site: sends what happened since the last request, each batch until it is acknowledged.
    fn play(&self) {
        let site = Site::new(SEED, Profile::Live);
        let rates = Rates::with_rate_at(SEED, self.first_minute + 720, BOOKINGS_PER_MINUTE);
        let story = Story::past(SEED, (self.first_minute - 1440) * MINUTE, self.end());
        let mut traffic = Traffic::between(&site, &rates, self.first_minute, self.first_minute + self.minutes);
        let mut body = Vec::new();
        for number in 0_u64.. {
            body.clear();
            let now = self.now();
            let written = traffic.write_until(&story, now, BATCH, &mut body);
            if written.events == 0 {
                if now == self.end() {
                    return;
                }
                std::thread::park_timeout(PAUSE);
                continue;
            }
            let is_of_country = |line: &&[u8]| contains(line, format!("\"country\":\"{COUNTRY}\"").as_bytes());
            let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            let of_country = lines.filter(is_of_country).count() as u64;
            let others = u64::from(written.events) - of_country;
            self.sent_others.fetch_add(others, SeqCst);
            self.post_until_acknowledged(&format!("day-{number}"), &body, u64::from(written.events));
            self.of_country.fetch_add(of_country, SeqCst);
            self.of_others.fetch_add(others, SeqCst);
        }
    }

    fn post_until_acknowledged(&self, key: &str, body: &[u8], count: u64) {
        let headers = [("content-type", "application/x-ndjson"), ("idempotency-key", key)];
        for attempt in 0_u64.. {
            self.resent.fetch_add(u64::from(attempt > 0), SeqCst);
            match self.connection().send("POST", "/api/v1/events/shop", &headers, body) {
                Ok(answer) if answer.status == 200 => {
                    let answer = answer.json();
                    let taken = answer["accepted"].as_u64().unwrap() + answer["duplicates"].as_u64().unwrap();
                    assert_eq!(taken, count, "{answer}");
                    return;
                }
                Ok(answer) => assert!(matches!(answer.status, 429 | 503), "{} {}", answer.status, answer.text()),
                Err(_killed) => {}
            }
            assert!(!self.stop.load(SeqCst), "stopped");
            std::thread::park_timeout(PAUSE);
        }
    }

    /// Our own reader: what was acknowledged is seen, once, whatever is merged, deleted or killed.
    fn watch(&self) {
        let sql = format!(
            "SELECT count(*), count(DISTINCT event_id) FROM shop.events WHERE country IS DISTINCT FROM '{COUNTRY}'"
        );
        while !self.stop.load(SeqCst) {
            let acknowledged = self.of_others.load(SeqCst);
            let address = *self.server.lock().unwrap();
            if acknowledged > 0
                && let Some(found) = rows(address, &sql)
            {
                let (count, distinct) = (found[0][0].as_u64().unwrap(), found[0][1].as_u64().unwrap());
                assert_eq!(count, distinct, "events twice");
                let sent = self.sent_others.load(SeqCst);
                assert!((acknowledged..=sent).contains(&count), "{acknowledged} <= {count} <= {sent}");
                self.looks.fetch_add(1, SeqCst);
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    fn wait_until(&self, at: i64) {
        while self.now() < at {
            std::thread::park_timeout(PAUSE);
        }
    }

    /// Asks to forget the country up to now.
    fn delete(&self) {
        let time = chrono::DateTime::from_timestamp_micros(self.now()).unwrap().to_rfc3339();
        let asked =
            json!({"predicate": format!("country = '{COUNTRY}' AND time < '{time}'"), "reason": "the long day"});
        let answer = self.connection().post_json("/api/v1/datasets/shop/deletions", &asked).unwrap();
        assert_eq!(answer.status, 202, "{}", answer.text());
    }
}

fn contains(line: &[u8], part: &[u8]) -> bool {
    line.windows(part.len()).any(|window| window == part)
}

fn settings(speed: u64) -> Vec<(&'static str, String)> {
    let scaled = |seconds: u64| (seconds / speed).max(1).to_string();
    vec![
        ("YELLOWLINE_STORE__FLUSH_INTERVAL_S", scaled(300)),
        ("YELLOWLINE_STORE__COMPACT_INTERVAL_S", scaled(10)),
        // A busy machine pauses longer than the day does: closed too early, it would wait a real day for what comes late.
        ("YELLOWLINE_STORE__COMPACT_CLOSED_AFTER_S", (3600 / speed).max(30).to_string()),
        ("YELLOWLINE_STORE__REMOVED_FILES_S", scaled(3600)),
    ]
}

fn start(data: &Path, speed: u64, flags: &[&str]) -> Server {
    let settings = settings(speed);
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Server::start_with(data, &[&["--listen", "127.0.0.1:0"], flags].concat(), &settings)
}

/// The engines that read our table, where there are any.
struct Readers {
    python: PathBuf,
    table: PathBuf,
    child: Option<Child>,
}

impl Readers {
    fn named(data: &Path) -> Option<Self> {
        let python = std::env::var_os("YELLOWLINE_DAY_PYTHON")?.into();
        Some(Self { python, table: data.join("datasets/shop"), child: None })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(root().join("tests/readers/watch.py")).arg(&self.table);
        command
    }

    /// Reads on and on beside the server.
    fn begin(&mut self) {
        self.child = Some(self.command().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
    }

    fn end(&mut self) -> Value {
        let mut child = self.child.take().unwrap();
        drop(child.stdin.take());
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(child.wait().unwrap().success());
        serde_json::from_str(&text).unwrap()
    }

    /// What each says of a table nobody writes to.
    fn ask(&self) -> Value {
        let (code, out, err) = run(self.command().arg("--once"));
        assert_eq!(code, 0, "{err}");
        serde_json::from_str(&out).unwrap()
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

#[test]
fn a_day_with_kills_deletions_and_readers_adds_up() {
    // An evening hour by default: enough for a few of everything.
    let (speed, minutes) = (setting("YELLOWLINE_DAY_SPEED", 600), setting("YELLOWLINE_DAY_MINUTES", 60));
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut server = Some(start(data, speed, &[]));
    // The day that is over: it closes when its last event came.
    let today = machine::now().div_euclid(MINUTE * 1440);
    let minutes = i64::try_from(minutes.min(DAY_MINUTES)).unwrap();
    let day = Day {
        first_minute: today * 1440 - minutes,
        minutes,
        speed,
        began: Instant::now(),
        server: Mutex::new(address_of(server.as_ref())),
        of_country: AtomicU64::new(0),
        of_others: AtomicU64::new(0),
        sent_others: AtomicU64::new(0),
        resent: AtomicU64::new(0),
        looks: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    };
    let mut readers = Readers::named(data);
    std::thread::scope(|scope| {
        let _guard = StopOnDrop(&day.stop);
        let site = scope.spawn(|| day.play());
        let watching = scope.spawn(|| day.watch());
        interrupt(&day, data, &mut server, &mut readers);
        site.join().unwrap();
        day.stop.store(true, SeqCst);
        watching.join().unwrap();
    });
    let played = day.began.elapsed();
    let deleted = until_quiet(address_of(server.as_ref()));
    let seen = readers.as_mut().map(Readers::end);
    server.take().unwrap().stop();
    let (code, out, err) = run(yellowline().args(["verify", "--data"]).arg(data));
    assert_eq!(code, 0, "{out}{err}");

    let server = start(data, speed, &["--read-only"]);
    let (others, of_country) = (day.of_others.into_inner(), day.of_country.into_inner());
    check_files(&server);
    let ours = check_counts(&server, others, of_country, deleted);
    server.stop();
    if let Some(readers) = &readers {
        agree(&ours, &readers.ask());
    }
    println!(
        "{minutes} minutes at {speed} x in {played:?}: {} events acknowledged, {deleted} deleted, {} batches sent again, {} looks of ours, others {seen:?}; {}",
        others + of_country,
        day.resent.into_inner(),
        day.looks.into_inner(),
        out.lines().last().unwrap_or_default()
    );
    assert!(deleted > 0, "nothing was deleted: the test shows less than it says");
}

/// Kills and deletions at their hours; the other engines begin to read at the first.
fn interrupt(day: &Day, data: &Path, server: &mut Option<Server>, readers: &mut Option<Readers>) {
    let actions = ENDS + DELETIONS;
    for action in 1..=actions {
        day.wait_until((day.first_minute + day.minutes * i64::from(action) / i64::from(actions + 1)) * MINUTE);
        if action % (actions / DELETIONS) == 0 {
            day.delete();
            continue;
        }
        match action % 6 {
            1 => server.take().unwrap().stop(),
            _ => server.take().unwrap().kill(),
        }
        *server = Some(start(data, day.speed, &[]));
        *day.server.lock().unwrap() = address_of(server.as_ref());
        if let Some(readers) = readers.as_mut().filter(|readers| readers.child.is_none()) {
            readers.begin();
        }
    }
}

/// Waits until nothing is to be deleted or merged any more; how many events deletions took.
fn until_quiet(address: std::net::SocketAddr) -> u64 {
    let begin = Instant::now();
    loop {
        let pending =
            rows(address, "SELECT deletions, backlog_files FROM system.upkeep WHERE dataset = 'shop'").unwrap();
        let per_day = "SELECT max(files) FROM (SELECT day, count(*) AS files FROM system.files WHERE dataset = 'shop' GROUP BY day)";
        if pending == [json!([0, 0])] && rows(address, per_day).unwrap() == [json!([1])] {
            break;
        }
        assert!(begin.elapsed() < EVENING, "still to do: {pending:?}");
        std::thread::park_timeout(Duration::from_millis(100));
    }
    let done = rows(address, "SELECT count(*), sum(rows_deleted) FROM system.deletions WHERE state = 'done'").unwrap();
    assert_eq!(done[0][0], DELETIONS);
    done[0][1].as_u64().unwrap()
}

/// One file per day that is over, below 256 MB.
#[expect(clippy::print_stdout, reason = "how large the day became belongs to the result")]
fn check_files(server: &Server) {
    let sql = "SELECT day, count(*), max(bytes), sum(events) FROM system.files WHERE dataset = 'shop' GROUP BY day ORDER BY day";
    for row in rows(address_of(Some(server)), sql).unwrap() {
        println!("day {}: {} file, {} bytes, {} events", row[0], row[1], row[2], row[3]);
        assert!(row[1] == 1 && row[2].as_u64().unwrap() < FILE_BYTES_MAX, "{row}");
    }
}

/// What is there is what was acknowledged without what was deleted; our answers to the question the other engines get.
fn check_counts(server: &Server, others: u64, of_country: u64, deleted: u64) -> Value {
    let address = address_of(Some(server));
    let found =
        rows(address, &format!("SELECT count(*) FILTER (WHERE country = '{COUNTRY}'), count(*) FROM shop.events"));
    assert_eq!(found.unwrap(), [json!([of_country - deleted, others + of_country - deleted])]);
    let account = "SELECT sum(stored) FROM system.ingest WHERE dataset = 'shop'";
    assert_eq!(rows(address, account).unwrap(), [json!([others + of_country])]);
    let question = "SELECT count(*), sum(status), min(seq), max(seq), count(DISTINCT event_id), count(DISTINCT \"user.id\"), \
                    sum(duration_ms) FROM shop.events";
    rows(address, question).unwrap().remove(0)
}

/// Exactly equal, but for the last digits of a sum of doubles, which depend on the order.
#[expect(clippy::print_stdout, reason = "what was compared belongs to the result")]
fn agree(ours: &Value, theirs: &Value) {
    println!("ours {ours}, theirs {theirs}");
    let near =
        |a: &Value, b: &Value| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() <= 1e-9 * a.as_f64().unwrap().abs();
    for name in ["duckdb", "polars"] {
        for column in 0..6 {
            assert_eq!(ours[column], theirs[name][column], "{name}, column {column}");
        }
        assert!(near(&ours[6], &theirs[name][6]), "{name}");
    }
    let kernel = &theirs["kernel"];
    if !kernel.is_null() {
        for column in 0..4 {
            assert_eq!(ours[column], kernel[column], "delta_kernel, column {column}");
        }
        assert!(near(&ours[6], &kernel[4]), "delta_kernel");
    }
}
