//! The whole pipeline in front of a set of worlds: the stages as `yellowline serve` wires them, a real listener, real requests; only the
//! clock is set by hand, so that an hour passes as fast as its events can be stored and judged.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use benches::{
    blame::{Court, LEAD_MINUTES, World},
    client::Connection,
};
use futures::future::BoxFuture;
use serde_json::{Value, json};
use store::{Clock, Store, Timestamp};

/// 2026-11-20T12:00Z, a Friday.
const NOON: i64 = 29_919_600;
/// Days of history a forecast learns from.
const HISTORY_DAYS: i64 = 14;
/// Worlds that share a dataset; each has an environment of its own.
const WORLDS_PER_DATASET: usize = 10;
/// Minutes after the last onset.
const AFTER_MINUTES: i64 = 31;
const TIMEOUT: Duration = Duration::from_secs(300);

/// A clock that somebody else sets.
#[derive(Debug)]
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

impl Hands {
    fn set(&self, minute: i64, second: i64) -> Timestamp {
        let now = Timestamp::from_minutes(minute).plus_seconds(second);
        self.0.store(now.0, Ordering::SeqCst);
        now
    }
}

/// What the server said of one world.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    pub(crate) cause: &'static str,
    /// Key of the change to blame.
    pub(crate) culprit: Option<String>,
    /// Minutes from the onset to the page; `None`: none came.
    pub(crate) paged_after: Option<i64>,
    /// Keys of the suspects, best first.
    pub(crate) suspects: Vec<String>,
    /// Keys of those a sentence names.
    pub(crate) named: Vec<String>,
    /// The incident in full.
    pub(crate) alert: Value,
    /// Incidents that are none: before the onset, or blamed on a change that harms nobody.
    pub(crate) others: Vec<Value>,
}

impl Verdict {
    /// The change to blame stands first.
    pub(crate) fn is_right(&self) -> bool {
        self.culprit.is_some() && self.culprit.as_ref() == self.suspects.first()
    }
}

/// Plays worlds through the pipeline, data in `folder`, and returns what it said of each.
pub(crate) fn try_worlds(court: Court, seed: u64, count: u32, folder: &Path) -> anyhow::Result<Vec<Verdict>> {
    let worlds: Vec<World> = (0..count).map(|number| World::draw(court, seed, number, NOON)).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let server = Serving::start(&worlds, folder).await?;
        server.learn(&worlds).await?;
        server.play(&worlds).await?;
        server.verdicts(&worlds)
    })
}

#[derive(Debug)]
struct OwnLines(ingest::Changes);

impl alerter::change::Lines for OwnLines {
    fn draw(&self, row: Value) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move { self.0.turned_off(row).await.map_err(|error| error.to_string()) })
    }
}

struct Serving {
    clock: Arc<Hands>,
    alerter: alerter::Alerter,
    address: SocketAddr,
}

impl Serving {
    async fn start(worlds: &[World], folder: &Path) -> anyhow::Result<Self> {
        let metrics = folder.join("metrics");
        std::fs::create_dir_all(&metrics)?;
        for (at, worlds) in worlds.chunks(WORLDS_PER_DATASET).enumerate() {
            let text: String = worlds.iter().map(|world| world.definition(&dataset(at))).collect();
            std::fs::write(metrics.join(format!("{}.toml", dataset(at))), text)?;
        }
        let clock = Arc::new(Hands(AtomicI64::new(0)));
        clock.set(NOON - LEAD_MINUTES, 0);
        let config = store::Config { folder: folder.to_owned(), ..store::Config::default() };
        let store = Store::open(config, clock.clone()).await?;
        let ingest_config = ingest::Config::default();
        let changes = ingest::Changes::open(&ingest_config, store.clone(), clock.clone())?;
        let lines = Arc::new(OwnLines(changes.clone()));
        let intake = ingest::Intake::new(ingest_config, store.clone(), changes, clock.clone());
        let engine = query::Engine::new(query::Config::default(), store.clone(), clock.clone())?;
        let config = alerter::Config { folder: metrics, ..alerter::Config::default() };
        let alerter = alerter::Alerter::new(config, engine.clone(), store, clock.clone(), lines)?;
        let routes = ingest::routes(intake).merge(query::routes(engine)).merge(alerter::routes(alerter.clone()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Self { clock, alerter, address })
    }

    fn connection(&self) -> Connection {
        Connection::new(self.address, TIMEOUT)
    }

    /// Loads the past of every metric.
    async fn learn(&self, worlds: &[World]) -> anyhow::Result<()> {
        self.alerter.step(self.clock.now()).await;
        let until = NOON - LEAD_MINUTES;
        for world in worlds {
            let csv = world.history(until - HISTORY_DAYS * 1_440..until);
            let path = format!("/api/v1/metrics/{}/points", world.metric());
            let mut connection = self.connection();
            let answer = tokio::task::block_in_place(|| {
                connection.send("POST", &path, &[("content-type", "text/csv")], csv.as_bytes())
            })?;
            if answer.status != 200 {
                bail!("the past of {}: {} {}", world.metric(), answer.status, answer.text());
            }
        }
        Ok(())
    }

    /// Sends each minute's changes and events, and lets the alerter look.
    async fn play(&self, worlds: &[World]) -> anyhow::Result<()> {
        let first = NOON - LEAD_MINUTES;
        let last = worlds.iter().map(|world| world.onset).max().unwrap_or(NOON) + AFTER_MINUTES;
        let mut sent = vec![0; worlds.len()];
        for minute in first..last {
            self.clock.set(minute, 59);
            tokio::task::block_in_place(|| self.send(worlds, &mut sent, minute))?;
            let now = self.clock.set(minute + 1, 11);
            self.alerter.step(now).await;
        }
        Ok(())
    }

    fn send(&self, worlds: &[World], sent: &mut [usize], minute: i64) -> anyhow::Result<()> {
        let mut connection = self.connection();
        for (world, sent) in worlds.iter().zip(sent) {
            while let Some(line) = world.lines.get(*sent).filter(|line| line.time < (minute + 1) * 60_000_000) {
                let answer = connection.post_json("/api/v1/changes", &line.body)?;
                if !matches!(answer.status, 200 | 201) {
                    bail!("change {}: {} {}", line.body, answer.status, answer.text());
                }
                *sent += 1;
            }
        }
        let mut body = Vec::new();
        for (at, worlds) in worlds.chunks(WORLDS_PER_DATASET).enumerate() {
            body.clear();
            for world in worlds.iter().filter(|world| minute < world.onset + AFTER_MINUTES) {
                world.write(minute, &mut body);
            }
            let path = format!("/api/v1/events/{}", dataset(at));
            let answer = connection.send("POST", &path, &[("content-type", "application/x-ndjson")], &body)?;
            let rejected = answer.json()["rejected"].as_array().map_or(1, Vec::len);
            if !body.is_empty() && (answer.status != 200 || rejected > 0) {
                bail!("events of minute {minute}: {} {}", answer.status, answer.text());
            }
        }
        Ok(())
    }

    fn verdicts(&self, worlds: &[World]) -> anyhow::Result<Vec<Verdict>> {
        let mut connection = tokio::task::block_in_place(|| self.connection());
        let answer = tokio::task::block_in_place(|| connection.get("/api/v1/alerts?state=all&limit=1000"))?;
        let listed = answer.json();
        let mut by_metric: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for alert in listed["alerts"].as_array().context("no alerts")? {
            let metric = alert["metric"].as_str().unwrap_or_default().to_owned();
            by_metric.entry(metric).or_default().push(alert.clone());
        }
        let said = |world: &World| verdict(world, by_metric.remove(&world.metric()).unwrap_or_default());
        Ok(worlds.iter().map(said).collect())
    }
}

/// The first incident from a little before the onset on is the one; all others are others.
fn verdict(world: &World, mut alerts: Vec<Value>) -> Verdict {
    let minute = |alert: &Value, key: &str| {
        alert[key].as_str().and_then(Timestamp::parse_rfc3339).map_or(0, |time| time.minutes())
    };
    // A world that has ended sends nothing any more while the others go on: that it is silent then is true.
    alerts.retain(|alert| minute(alert, "paged_at") < world.onset + AFTER_MINUTES);
    alerts.sort_by_key(|alert| minute(alert, "paged_at"));
    let at = alerts.iter().position(|alert| minute(alert, "paged_at") >= world.onset && world.damage.is_some());
    let alert = at.map_or(Value::Null, |at| alerts.remove(at));
    // A second incident of the same cause is no false one.
    let is_true = |one: &Value| {
        let found_by = one["found_by"].as_str();
        let blamed =
            one["suspects"].as_array().into_iter().flatten().find(|suspect| suspect["change"]["id"] == one["found_by"]);
        let blamed = blamed.and_then(|suspect| suspect["change"]["dedup_key"].as_str());
        let culprit = world.culprit().map(|line| line.key.as_str());
        world.damage.is_some() && minute(one, "paged_at") >= world.onset && (found_by.is_none() || blamed == culprit)
    };
    alerts.retain(|one| !is_true(one));
    let suspects = alert["suspects"].as_array().cloned().unwrap_or_default();
    let key = |suspect: &Value| suspect["change"]["dedup_key"].as_str().unwrap_or("?").to_owned();
    // Pieces of the sentence that name a change link to it.
    let parts = alert["sentence_parts"].as_array().cloned().unwrap_or_default();
    let named: Vec<&Value> = parts.iter().map(|part| &part["change"]).filter(|id| id.is_string()).collect();
    Verdict {
        cause: world.cause(),
        culprit: world.culprit().map(|line| line.key.clone()),
        paged_after: at.map(|_| minute(&alert, "paged_at") - world.onset),
        named: suspects.iter().filter(|suspect| named.contains(&&suspect["change"]["id"])).map(key).collect(),
        suspects: suspects.iter().map(key).collect(),
        alert,
        others: alerts,
    }
}

fn dataset(at: usize) -> String {
    format!("shop{at}")
}

/// What a verdict comes to, for people.
pub(crate) fn told(verdict: &Verdict) -> Value {
    let line = |suspect: &Value| {
        json!([
            suspect["change"]["title"],
            suspect["share"],
            suspect["verdict"],
            suspect["timing_bits"],
            suspect["control_bits"],
            suspect["dose_bits"],
            suspect["lag_minutes"],
            suspect["control"]["basis"],
            suspect["control"]["ratio"],
            suspect["control"]["explanatory_power_high"]
        ])
    };
    let suspects = verdict.alert["suspects"].as_array().cloned().unwrap_or_default();
    json!({
        "cause": verdict.cause, "culprit": verdict.culprit, "paged_after": verdict.paged_after, "named": verdict.named,
        "unknown_share": verdict.alert["unknown_share"], "onset": verdict.alert["onset"],
        "other_incidents": verdict.others.len(),
        "suspects": suspects.iter().take(4).map(line).collect::<Vec<Value>>(),
    })
}
