//! Metric -> forecast -> score -> incident -> page: compares business rates with what their own past leads to expect, says
//! when a deviation began and at which change line, and tells people through a durable outbox.
//!
//! Not here: SQL (`query` counts the minutes), storage (`store` keeps points, transitions and receipts as datasets
//! `system.metric_points`, `system.alerts`, `system.notifications`), events and changes (they come in elsewhere).
//!
//! Invariants:
//! - Forecast, score, onset, incident, suspect, sentence and payloads are pure. Time is an argument: only [`Alerter::run`]
//!   asks the clock; tests drive weeks through [`Alerter::step`].
//! - Nothing is skipped: minutes missed by a downtime are made up. Nothing is told that is not stored: a transition is an
//!   event before it is sent, and one without a receipt is sent again after a restart.
//! - Only `notify` makes outbound calls. Secrets are read at each delivery and never kept, shown or logged.
//!
//! Files: none of its own but the TOML definitions it reads (see [`definition`]).

// The forecasting half is pure: no clock, no I/O, no async.
pub mod backtest;
pub mod blind;
pub mod burn;
pub mod calendar;
pub mod forecast;
pub mod history;
pub mod live;
pub mod lost;
pub mod mask;
pub mod onset;
pub mod score;
#[cfg(test)]
mod simulated;
pub mod threshold;
pub mod zone;

pub mod alert;
mod alerts;
mod case;
pub mod change;
mod config;
pub mod coverage;
pub mod definition;
mod error;
mod evaluate;
pub mod exposure;
pub mod incident;
pub mod ledger;
mod metrics;
pub mod notify;
pub mod off;
mod page;
pub mod picture;
mod points;
mod presence;
mod rehearse;
mod routes;
pub mod rule;
mod schedule;
pub mod sentence;
mod series;
pub mod silence;
pub mod suspect;
mod tell_changes;
mod told;
mod track;
mod turn_off;
mod view;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

pub use config::{Config, Environment, OffTarget};
pub use definition::check;
pub use error::Error;
use futures::future::join_all;
use notify::{
    Links,
    change_events::Feed,
    outbox::{Limits, Outbox, Receipt},
    transport::{Transport, Webhooks},
};
pub use points::{ImportProblem, ImportedRow, parse_csv};
use query::Engine;
pub use routes::routes;
use store::{Clock, DatasetName, Store, Timestamp};
use tokio_util::sync::CancellationToken;
pub use view::{ChannelStatus, Status};

use crate::{
    alerts::{Alerts, Unwritten},
    change::Lines,
    definition::Folder,
    evaluate::Core,
    metrics::{Counters, Gauge},
    off::register::Register,
    view::View,
};

/// Seconds between two looks at the outbox.
const DELIVER_INTERVAL: Duration = Duration::from_secs(1);
/// Pictures drawn at one time.
const PICTURES_MAX: usize = 2;
/// Longest sleep of the evaluation, so that a clock that jumps is noticed.
const SLEEP_SECONDS_MAX: i64 = 5;

/// The handle of this stage; clones share one state.
#[derive(Debug, Clone)]
pub struct Alerter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    engine: Engine,
    store: Store,
    clock: Arc<dyn Clock>,
    lines: Arc<dyn Lines>,
    transport: Arc<dyn Transport>,
    links: Links,
    started_at: Timestamp,
    counters: Arc<Counters>,
    /// What a round works on; held for the whole round.
    core: tokio::sync::Mutex<Core>,
    /// Incidents and silences; held for moments.
    alerts: Arc<parking_lot::Mutex<Alerts>>,
    /// Deliveries on their way; held for moments.
    outbox: parking_lot::Mutex<Outbox>,
    /// Changes that were turned off; held for moments.
    offs: parking_lot::Mutex<Register>,
    /// Changes that channels were told of; held for moments.
    change_feed: parking_lot::Mutex<Feed>,
    /// Keeps transitions in order on their way into the store.
    writer: tokio::sync::Mutex<()>,
    /// Backtests take memory and a core: one at a time.
    backtests: tokio::sync::Semaphore,
    /// Pictures drawn at one time: who has their addresses needs no key.
    pictures: tokio::sync::Semaphore,
    /// What routes show, replaced after each round.
    view: parking_lot::RwLock<Arc<View>>,
}

/// Who sent a request, as far as its key says; an extension of the request.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// Name of the API key; `None` on loopback without keys.
    pub key: Option<String>,
}

/// What an import of history did.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Imported {
    /// Minutes taken.
    pub imported: usize,
    /// Minutes left alone: raw events speak for them, or they lie in the future.
    pub skipped: usize,
    /// Lines that could not be read.
    pub rejected: Vec<ImportProblem>,
}

impl Alerter {
    /// Reads incidents, silences and undelivered notifications back from the store. Metrics are read in the first step.
    ///
    /// # Errors
    /// Settings out of bounds, unreadable system datasets, or no TLS.
    pub fn new(
        config: Config,
        engine: Engine,
        store: Store,
        clock: Arc<dyn Clock>,
        lines: Arc<dyn Lines>,
    ) -> Result<Self, Error> {
        let timeout = Duration::from_secs(u64::from(config.delivery_timeout_s));
        let transport = Arc::new(Webhooks::new(timeout)?);
        let problems = config.problems();
        if !problems.is_empty() {
            return Err(Error::Config { problems });
        }
        let now = clock.now();
        let (alerts, transitions) = Alerts::restored(&read_events(&store, "alerts")?);
        let offs = Register::restored(&read_events(&store, "off_actions")?);
        let notifications = read_events(&store, "notifications")?;
        let change_feed = Feed::restored(&notifications);
        let receipts = notifications.iter().filter_map(Receipt::from_event).collect();
        let mut folder = Folder::new(config.folder.clone());
        folder.reread();
        let mut outbox = Outbox::new(Limits {
            deliveries_max: config.outbox_max as usize,
            hours_max: i64::from(config.delivery_hours_max),
            fallback_after_s: i64::from(config.fallback_after_s),
        });
        outbox.set_channels(folder.channels());
        outbox.restore(&transitions, receipts, now);
        let alerts = Arc::new(parking_lot::Mutex::new(alerts));
        let counters = Arc::new(Counters::default());
        let core = Core {
            config: config.clone(),
            engine: engine.clone(),
            store: store.clone(),
            counters: counters.clone(),
            alerts: alerts.clone(),
            // A folder of its own, so that the first step finds everything new.
            folder: Folder::new(config.folder.clone()),
            reread_at: now,
            tracked: BTreeMap::new(),
            rules: BTreeMap::new(),
            sources: BTreeMap::new(),
            silent: BTreeMap::new(),
            silences_over: Vec::new(),
            found_over: Vec::new(),
            fresh: BTreeMap::new(),
            down: None,
            warnings: BTreeMap::new(),
            unstored: Vec::new(),
            unstored_ledger: Vec::new(),
            store_failing: false,
            advanced: false,
            changes: (0, Arc::default()),
            covered: BTreeSet::new(),
            started: false,
        };
        Ok(Self {
            shared: Arc::new(Shared {
                links: Links::new(&config.public_url, &config.off_targets),
                config,
                engine,
                store,
                clock,
                lines,
                transport,
                started_at: now,
                counters,
                core: tokio::sync::Mutex::new(core),
                alerts,
                outbox: parking_lot::Mutex::new(outbox),
                offs: parking_lot::Mutex::new(offs),
                change_feed: parking_lot::Mutex::new(change_feed),
                writer: tokio::sync::Mutex::new(()),
                backtests: tokio::sync::Semaphore::new(1),
                pictures: tokio::sync::Semaphore::new(PICTURES_MAX),
                view: parking_lot::RwLock::new(Arc::new(View::default())),
            }),
        })
    }

    /// Evaluates and delivers until `shutdown`. A round that is under way is finished; what is not delivered is sent after
    /// the next start.
    pub async fn run(self, shutdown: CancellationToken) {
        tokio::join!(self.run_rounds(&shutdown), self.run_deliveries(&shutdown));
    }

    async fn run_rounds(&self, shutdown: &CancellationToken) {
        while !shutdown.is_cancelled() {
            self.evaluate(self.shared.clock.now()).await;
            let now = self.shared.clock.now();
            let reread_at = now.plus_seconds(i64::from(self.shared.config.reread_interval_s));
            let loading = self.shared.view.read().loading;
            let next = if loading { now } else { schedule::next_step(now, self.shared.config.watermark_s, reread_at) };
            let wait = next.min(now.plus_seconds(SLEEP_SECONDS_MAX)).0 - now.0;
            let wait = Duration::from_micros(u64::try_from(wait).unwrap_or(0)).max(Duration::from_millis(50));
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn run_deliveries(&self, shutdown: &CancellationToken) {
        while !shutdown.is_cancelled() {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.deliver(self.shared.clock.now()) => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(DELIVER_INTERVAL) => {}
            }
        }
    }

    /// One round of everything at an instant: what the run loop does, for callers with a clock of their own.
    pub async fn step(&self, now: Timestamp) {
        self.evaluate(now).await;
        self.deliver(now).await;
    }

    /// Evaluates every minute that is complete at `now`.
    pub async fn evaluate(&self, now: Timestamp) {
        let mut core = self.shared.core.lock().await;
        // First of all, so that the metrics are listed while their past is still being read.
        self.read_definitions(&mut core, now).await;
        if let Err(error) = core.find_downtime(self.shared.started_at).await {
            tracing::error!(error = %error.chain(), "waiting: it is not known since when this process was down");
            return;
        }
        core.round(now).await;
        *self.shared.view.write() = Arc::new(View::of(&core, now));
        drop(core);
        self.write_transitions(now).await;
    }

    /// Shows the definitions and what is stored of them; evaluates, stores and sends nothing. For a node that is read-only.
    pub async fn show(&self, now: Timestamp) {
        let mut core = self.shared.core.lock().await;
        self.read_definitions(&mut core, now).await;
    }

    /// Shows new definitions before their history is counted, which can take a while.
    async fn read_definitions(&self, core: &mut Core, now: Timestamp) {
        if core.reread(now).await {
            self.shared.outbox.lock().set_channels(core.folder.channels());
            *self.shared.view.write() = Arc::new(View::of(core, now));
        }
    }

    /// Stores what happened to incidents, then hands it to the outbox.
    async fn write_transitions(&self, now: Timestamp) -> bool {
        let _one_at_a_time = self.shared.writer.lock().await;
        let events = self.shared.alerts.lock().take_unwritten();
        if events.is_empty() {
            return true;
        }
        let dataset = DatasetName::system("alerts");
        let values: Vec<serde_json::Value> = events.iter().map(|event| event.to_event(&self.shared.links)).collect();
        if let Err(source) = self.shared.store.append_values(&dataset, &values).await {
            let error = Error::Append { dataset: dataset.to_string(), source };
            tracing::error!(error = %error.chain(), "transitions wait for the store");
            self.shared.alerts.lock().unwritten_again(events);
            return false;
        }
        let transitions = events.iter().filter_map(Unwritten::transition);
        let judged: Vec<serde_json::Value> = transitions.flat_map(ledger::rows::judged).collect();
        if !judged.is_empty() {
            self.append("suspect_changes", judged).await;
        }
        let mut outbox = self.shared.outbox.lock();
        for event in events {
            let Unwritten::Transition(transition) = event else { continue };
            if !outbox.put(&transition, now) {
                tracing::error!(transition = %transition.id, "the outbox is full: sent after the next start");
                Counters::add(&self.shared.counters.delivery_failures, 1);
            }
        }
        true
    }

    /// Sends what is due, at most one notification per channel, and stores the receipts.
    pub async fn deliver(&self, now: Timestamp) {
        let due = self.shared.outbox.lock().take_due(now);
        let sending = due.into_iter().map(|(key, delivery, channel)| async move {
            let outcome = self.send(&delivery, &channel, now).await;
            (key, channel, delivery, outcome)
        });
        for (key, channel, delivery, outcome) in join_all(sending).await {
            self.note(&channel.name, &delivery.transition.id, &outcome);
            self.shared.outbox.lock().apply(key, outcome, now);
        }
        let given_up = self.shared.outbox.lock().sweep(now);
        if given_up > 0 {
            tracing::error!(notifications = given_up, "notifications were given up");
            Counters::add(&self.shared.counters.delivery_failures, given_up);
        }
        self.write_receipts().await;
        self.tell_changes(now).await;
    }

    /// One attempt. Slack refuses a whole message for a picture it cannot load: a picture must not cost the page.
    async fn send(
        &self,
        delivery: &notify::outbox::Delivery,
        channel: &definition::Channel,
        now: Timestamp,
    ) -> notify::Outcome {
        let alert = &delivery.transition.alert;
        let with_picture = self.shared.links.reachable_picture(alert, now).is_some();
        let outcome = self.send_once(delivery, channel, with_picture, now).await;
        match (&outcome, channel.kind) {
            (notify::Outcome::Refused { error }, definition::ChannelKind::Slack) if with_picture => {
                tracing::warn!(channel = %channel.name, %error, "refused with its picture, sent again without");
                self.send_once(delivery, channel, false, now).await
            }
            _ => outcome,
        }
    }

    async fn send_once(
        &self,
        delivery: &notify::outbox::Delivery,
        channel: &definition::Channel,
        with_picture: bool,
        now: Timestamp,
    ) -> notify::Outcome {
        let shared = &self.shared;
        let secret = channel.secret.as_ref().map_or(Ok(String::new()), |secret| {
            definition::read_secret(&shared.config.folder, secret, &shared.config.environment)
        });
        let request = secret.and_then(|secret| {
            notify::request(channel, &secret, &delivery.transition, &shared.links, with_picture, now)
        });
        match request {
            Err(error) => notify::Outcome::Retry { after_s: None, error },
            Ok(request) => match shared.transport.send(request).await {
                Ok(response) => notify::judge(channel.kind, &response, now),
                Err(error) => notify::Outcome::Retry { after_s: None, error },
            },
        }
    }

    fn note(&self, channel: &str, transition: &str, outcome: &notify::Outcome) {
        let counters = &self.shared.counters;
        match outcome {
            notify::Outcome::Delivered => {
                tracing::info!(channel, transition, "delivered");
                Counters::add(&counters.deliveries, 1);
            }
            notify::Outcome::Retry { error, .. } => {
                tracing::warn!(channel, transition, error = %error, "not delivered yet");
                Counters::add(&counters.delivery_retries, 1);
            }
            notify::Outcome::Refused { error } | notify::Outcome::Gone { error } => {
                tracing::error!(channel, transition, error = %error, "the channel refuses");
                Counters::add(&counters.delivery_failures, 1);
            }
        }
    }

    async fn write_receipts(&self) {
        let receipts = self.shared.outbox.lock().take_unwritten();
        if receipts.is_empty() {
            return;
        }
        let dataset = DatasetName::system("notifications");
        let events: Vec<serde_json::Value> = receipts.iter().map(Receipt::to_event).collect();
        if let Err(source) = self.shared.store.append_values(&dataset, &events).await {
            let error = Error::Append { dataset: dataset.to_string(), source };
            tracing::error!(error = %error.chain(), "receipts wait for the store");
            self.shared.outbox.lock().unwritten_again(receipts);
        }
    }

    /// Loads history into a metric from CSV (`time,count[,denominator]`), of the metric itself or of one slice
    /// (`country=NL`). `None` when there is no such metric.
    ///
    /// # Errors
    /// When the forecast cannot be fitted again.
    pub async fn import(&self, metric: &str, slice: Option<&str>, csv: &[u8]) -> Result<Option<Imported>, Error> {
        let now = self.shared.clock.now();
        let mut core = self.shared.core.lock().await;
        if !core.tracked.contains_key(metric) {
            // Defined a moment ago: read it now instead of at the next interval.
            core.reread_at = now;
            self.read_definitions(&mut core, now).await;
            core.round(now).await;
        }
        let Some(tracked) = core.tracked.get(metric) else { return Ok(None) };
        let (rows, rejected) = parse_csv(csv, tracked.metric.kind() == score::Kind::Ratio);
        let imported = core.import(metric, slice, &rows, now).await?;
        *self.shared.view.write() = Arc::new(View::of(&core, now));
        Ok(Some(Imported { imported, skipped: rows.len() - imported, rejected }))
    }

    /// What is going on, for `GET /api/v1/status` and for people.
    #[must_use]
    pub fn status(&self) -> Status {
        let view = self.shared.view.read().clone();
        let outbox = self.shared.outbox.lock();
        Status::of(&view, self.shared.alerts.lock().open().count(), &outbox)
    }

    /// Prometheus text of this stage.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        let status = self.status();
        let channels = |of: fn(&ChannelStatus) -> bool| {
            status.channels.iter().map(|channel| (channel.name.clone(), f64::from(u8::from(of(channel))))).collect()
        };
        let single = |number: f64| vec![(String::new(), number)];
        let gauge = |name, help, label, values| Gauge { name, help, label, values };
        #[expect(clippy::cast_precision_loss, reason = "small counts")]
        let gauges = [
            gauge("alerts_open", "Incidents open", "", single(status.alerts_open as f64)),
            gauge("outbox_length", "Notifications waiting", "", single(status.outbox_length as f64)),
            gauge("definition_problems", "Problems of definition files now", "", single(status.problems.len() as f64)),
            gauge("metrics_defined", "Metrics in force", "", single(status.metrics as f64)),
            gauge("evaluation_lag_seconds", "Age of the last evaluated minute", "", single(status.evaluation_lag_s)),
            gauge(
                "channel_failing",
                "1 while a channel fails",
                "channel",
                channels(|channel| channel.failing_since.is_some()),
            ),
            gauge("channel_dead", "1 when a channel was switched off", "channel", channels(|channel| channel.dead)),
        ];
        metrics::text(&self.shared.counters, &gauges)
    }

    /// The folder that definitions are read from.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.shared.config.folder.clone()
    }
}

fn read_events(store: &Store, name: &str) -> Result<Vec<serde_json::Value>, Error> {
    let dataset = DatasetName::system(name);
    if store.snapshot(&dataset).is_none() {
        return Ok(Vec::new());
    }
    store.read_events(&dataset).map_err(|source| Error::Read { dataset: dataset.to_string(), source })
}
