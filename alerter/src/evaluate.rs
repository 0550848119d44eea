//! The rounds of the alerter: read definitions, load and backfill metrics, count the minutes that became complete, score
//! them, open and close incidents, store points.
//!
//! Nothing is skipped: a metric remembers the first minute it has not evaluated, and a round works up to the watermark in
//! chunks of a day. One scan of a dataset serves all its metrics. Errors stay with the dataset they concern and are made
//! up in the next round.

mod cover;
mod evidence;
pub(crate) mod load;
mod minute;
pub(crate) mod rules;
mod settle;
mod suspects;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use query::{Engine, MetricQuery, TimeRange};
use serde_json::Value;
use store::{DatasetName, Store, Timestamp};

use crate::{
    Config, Error,
    alert::{Alert, TransitionKind},
    alerts::Alerts,
    change::Change,
    definition::Folder,
    history::Minute,
    metrics::Counters,
    presence::{KEPT_MINUTES, Source},
    schedule,
    series::{self, Series},
    track::{Counted, Tracked, by_metric},
};

/// Events of one append at most.
const APPEND_EVENTS_MAX: usize = 5000;

/// Points kept while the store takes none; older ones are counted anew after a restart.
const UNSTORED_MAX: usize = 200_000;

/// A dataset and environment that events come from.
pub(crate) type SourceKey = (DatasetName, Option<String>);

/// An incident found in this round; recorded at its end, when it is known whether it still lasts.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) alert: Alert,
    pub(crate) kind: TransitionKind,
    pub(crate) closed: Option<Minute>,
}

/// A source that is silent, and the alert that says so.
#[derive(Debug, Clone)]
pub(crate) struct Silent {
    pub(crate) alert_id: String,
    pub(crate) since: Minute,
}

/// Everything a round works on.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) engine: Engine,
    pub(crate) store: Store,
    pub(crate) counters: Arc<Counters>,
    pub(crate) alerts: Arc<parking_lot::Mutex<Alerts>>,
    pub(crate) folder: Folder,
    pub(crate) reread_at: Timestamp,
    pub(crate) tracked: BTreeMap<String, Tracked>,
    pub(crate) rules: BTreeMap<String, rules::Followed>,
    pub(crate) sources: BTreeMap<SourceKey, Source>,
    pub(crate) silent: BTreeMap<SourceKey, Silent>,
    pub(crate) fresh: BTreeMap<String, Fresh>,
    /// Silences that ended in this round, with the minute.
    pub(crate) silences_over: Vec<(String, Minute)>,
    /// Incidents that a control found and that are over, with the minute.
    pub(crate) found_over: Vec<(String, Minute)>,
    /// Minutes in which this process did not run, or not wholly.
    pub(crate) down: Option<Range<Minute>>,
    /// Warnings about definitions that need the data: unknown columns.
    pub(crate) warnings: BTreeMap<String, String>,
    /// Points that could not be stored yet.
    pub(crate) unstored: Vec<Value>,
    /// Rows of `system.suspect_changes` that could not be stored yet.
    pub(crate) unstored_ledger: Vec<Value>,
    /// The store refused our own points: then it refuses everybody's events, and emptiness is our fault.
    pub(crate) store_failing: bool,
    /// A minute was evaluated since open incidents were last brought up to date.
    pub(crate) advanced: bool,
    /// The change lines, and how many events they were read from.
    pub(crate) changes: (u64, Arc<Vec<Change>>),
    /// Changes that were told what covers them, by id and revision.
    pub(crate) covered: BTreeSet<(String, i64)>,
    /// Set once [`Self::down`] is known.
    pub(crate) started: bool,
}

impl Core {
    /// One round after the definitions were read. Problems are kept with their metrics; the next round makes up for them.
    pub(crate) async fn round(&mut self, now: Timestamp) {
        let complete = schedule::complete_until(now, self.config.watermark_s);
        self.tracked.values_mut().for_each(|tracked| tracked.broken = false);
        for dataset in self.datasets() {
            if let Err(error) = self.advance(&dataset, complete, now).await {
                for name in self.names(&dataset, |tracked| !tracked.broken) {
                    self.broke(&name, &error);
                }
            }
        }
        self.reread_rules(complete);
        self.advance_rules(complete, now).await;
        self.settle(now).await;
        self.store_ledger().await;
        self.cover_changes(now).await;
        self.store_points().await;
    }

    /// Reads the definition files when it is time, and follows what they say. True when something changed.
    pub(crate) async fn reread(&mut self, now: Timestamp) -> bool {
        if now < self.reread_at {
            return false;
        }
        self.reread_at = now.plus_seconds(i64::from(self.config.reread_interval_s));
        for name in self.warnings.keys().cloned().collect::<Vec<String>>() {
            self.check(&name).await;
        }
        if !self.folder.reread() {
            return false;
        }
        for problem in self.folder.problems() {
            Counters::add(&self.counters.definition_errors, 1);
            tracing::error!(problem = %problem, "definition file refused, its last good version stays in force");
        }
        let start = schedule::complete_until(now, self.config.watermark_s);
        let metrics = self.folder.metrics().clone();
        self.tracked.retain(|name, _| metrics.contains_key(name));
        for (name, metric) in metrics {
            let known = self.tracked.get_mut(&name);
            match known {
                Some(tracked) if *tracked.metric == metric => continue,
                // Only what is counted needs a new history; the rest takes effect with the next fit.
                Some(tracked)
                    if tracked.metric.fingerprint() == metric.fingerprint()
                        && tracked.metric.slices == metric.slices =>
                {
                    tracked.metric = Arc::new(metric);
                    tracked.set_masks(&self.alerts.lock().all());
                    tracked.all_mut().for_each(Series::forget_fit);
                }
                _ => {
                    tracing::info!(metric = %name, "metric defined");
                    self.tracked.insert(name.clone(), Tracked::new(Arc::new(metric), start));
                }
            }
            self.check(&name).await;
        }
        true
    }

    /// Asks the query stage whether a metric's SQL works, as far as that can be known before data is there.
    async fn check(&mut self, name: &str) {
        let Some(tracked) = self.tracked.get(name) else {
            self.warnings.remove(name);
            return;
        };
        match self.engine.check_metric(&tracked.metric.query()).await {
            Ok(()) => {
                self.warnings.remove(name);
            }
            Err(source) => {
                let error = counting(&tracked.metric.dataset, source);
                let known = self.warnings.insert(name.to_owned(), error.chain());
                if known.as_ref() != self.warnings.get(name) {
                    tracing::warn!(metric = %name, error = %error.chain(), "the metric's SQL does not work yet");
                }
            }
        }
    }

    fn datasets(&self) -> BTreeSet<DatasetName> {
        self.tracked.values().map(|tracked| tracked.metric.dataset.clone()).collect()
    }

    /// Evaluates a dataset up to the watermark, and loads what is new in it: all at a start, later one metric a round after the
    /// others were judged, so that counting a long past keeps no page waiting for long.
    async fn advance(&mut self, dataset: &DatasetName, complete: Minute, now: Timestamp) -> Result<(), Error> {
        self.load_sources(dataset, complete).await?;
        self.evaluate_due(dataset, complete, now).await?;
        let mut new = self.names(dataset, |tracked| !tracked.loaded);
        if self.tracked.values().any(|tracked| tracked.loaded) {
            // One that cannot be loaded does not keep the others out.
            new.sort_by_key(|name| self.tracked[name].error.is_some());
            new.truncate(1);
        }
        for name in new {
            if let Err(error) = self.load(&name, complete, now).await {
                self.broke(&name, &error);
            }
        }
        self.evaluate_due(dataset, complete, now).await?;
        for tracked in self.tracked.values_mut().filter(|one| one.metric.dataset == *dataset && working(one)) {
            tracked.error = None;
        }
        Ok(())
    }

    /// Evaluates the minutes that are due, a day of them at a time.
    async fn evaluate_due(&mut self, dataset: &DatasetName, complete: Minute, now: Timestamp) -> Result<(), Error> {
        loop {
            let from = self.names(dataset, working).iter().map(|name| self.tracked[name].evaluated_to).min();
            let Some(from) = from else { return Ok(()) };
            self.refit_due(dataset, from).await?;
            let range = schedule::due(from, complete);
            if range.is_empty() {
                return Ok(());
            }
            self.evaluate(dataset, range, complete, now).await?;
        }
    }

    /// True while metrics wait to be loaded that nothing is known to be wrong with.
    pub(crate) fn is_loading(&self) -> bool {
        self.tracked.values().any(|tracked| !tracked.loaded && tracked.error.is_none())
    }

    /// Leaves a metric out of this round.
    fn broke(&mut self, name: &str, error: &Error) {
        Counters::add(&self.counters.evaluation_errors, 1);
        let Some(tracked) = self.tracked.get_mut(name) else { return };
        tracked.broken = true;
        let known = tracked.error.replace(error.chain());
        if known != tracked.error {
            tracing::error!(metric = %name, error = %error.chain(), "the metric cannot be evaluated; it is made up once it can");
        }
    }

    /// Counts all working metrics of a dataset, and the events of any kind of its sources, in one scan. When that fails each
    /// metric is tried alone, so that one metric's SQL cannot stop the others.
    async fn count(
        &mut self,
        dataset: &DatasetName,
        range: &Range<Minute>,
    ) -> Result<BTreeMap<String, Counted>, Error> {
        let names = self.names(dataset, working);
        let sources: Vec<MetricQuery> = self.source_keys(dataset).iter().map(presence_query).collect();
        let queries: Vec<MetricQuery> = names.iter().map(|name| self.tracked[name].metric.query()).collect();
        let all: Vec<MetricQuery> = queries.iter().chain(&sources).cloned().collect();
        let mut counted = match self.engine.minute_counts(&all, time_range(range)).await {
            Ok(series) => return Ok(by_metric(series)),
            Err(source) => {
                let error = counting(dataset, source);
                let alone = self.engine.minute_counts(&sources, time_range(range)).await;
                by_metric(alone.map_err(|_| error)?)
            }
        };
        for (name, query) in names.iter().zip(queries) {
            match self.engine.minute_counts(&[query], time_range(range)).await {
                Ok(series) => counted.extend(by_metric(series)),
                Err(source) => self.broke(name, &counting(dataset, source)),
            }
        }
        Ok(counted)
    }

    /// Names of the metrics of a dataset that pass.
    pub(crate) fn names(&self, dataset: &DatasetName, of: impl Fn(&Tracked) -> bool) -> Vec<String> {
        let ours = |tracked: &Tracked| tracked.metric.dataset == *dataset && of(tracked);
        self.tracked.iter().filter(|(_, tracked)| ours(tracked)).map(|(name, _)| name.clone()).collect()
    }

    /// Counts a range in one scan and evaluates it minute by minute.
    async fn evaluate(
        &mut self,
        dataset: &DatasetName,
        range: Range<Minute>,
        complete: Minute,
        now: Timestamp,
    ) -> Result<(), Error> {
        let late = if range.end == complete { i64::from(self.config.late_minutes_max) } else { 0 };
        let scanned = range.start - late..range.end;
        let counted = self.count(dataset, &scanned).await?;
        for key in self.source_keys(dataset) {
            let presence = counted.get(&presence_name(&key)).map(presence_of).unwrap_or_default();
            let source = self.sources.entry(key).or_insert_with(|| Source::new(scanned.start));
            source.take(scanned.clone(), &presence, self.down.as_ref());
        }
        let mut points = self.reopen(dataset, &counted, &scanned);
        self.advanced = true;
        for minute in range {
            points.extend(self.minute(dataset, &counted, minute, now));
        }
        self.unstored.extend(points);
        self.store_points().await;
        Ok(())
    }

    /// The last days of a source that is followed for the first time.
    async fn load_sources(&mut self, dataset: &DatasetName, complete: Minute) -> Result<(), Error> {
        for key in self.source_keys(dataset) {
            if self.sources.contains_key(&key) {
                continue;
            }
            let range = complete - KEPT_MINUTES..complete;
            let presence = self.engine.minute_presence(&key.0, key.1.as_deref(), time_range(&range)).await;
            let presence = presence.map_err(|source| counting(dataset, source))?;
            let mut source = Source::new(range.start);
            source.take(range, &presence, self.down.as_ref());
            if self.down.is_none() {
                // The first start on this data: what lies between its last event and now is not known to be empty.
                source.unknown_since_last();
            }
            self.sources.insert(key, source);
        }
        Ok(())
    }

    pub(crate) fn source_keys(&self, dataset: &DatasetName) -> BTreeSet<SourceKey> {
        let ours = self.tracked.values().filter(|tracked| tracked.metric.dataset == *dataset);
        ours.map(|tracked| (dataset.clone(), tracked.metric.environment.clone())).collect()
    }

    /// Fits what has something new to learn.
    pub(crate) async fn refit_due(&mut self, dataset: &DatasetName, minute: Minute) -> Result<(), Error> {
        let zone = |tracked: &Tracked| tracked.metric.zone;
        let due = |tracked: &Tracked| tracked.all().any(|series| series.refit_due(zone(tracked), minute));
        for name in self.names(dataset, due) {
            self.fit(&name, minute, false).await?;
        }
        Ok(())
    }

    /// Fits the series of a metric that are due (or all of them), off the async threads.
    pub(crate) async fn fit(&mut self, name: &str, minute: Minute, all: bool) -> Result<(), Error> {
        let parents = self.tracked.len();
        let found = self.fresh.values().filter(|fresh| fresh.closed.is_none()).map(|fresh| fresh.alert.clone());
        let open: Vec<Alert> = self.alerts.lock().open().cloned().chain(found).collect();
        let kept = self.config.history_minutes;
        let Some(tracked) = self.tracked.get_mut(name) else { return Ok(()) };
        let (settings, zone, open_since) = (tracked.settings(parents), tracked.metric.zone, tracked.open_since(&open));
        for series in tracked.all_mut() {
            if !all && !series.refit_due(zone, minute) {
                continue;
            }
            series.history.forget_before(minute - series.kept_minutes(kept));
            let (settings, mut history) = (settings.clone(), std::mem::take(&mut series.history));
            let fitted = tokio::task::spawn_blocking(move || {
                let fit = series::fit(settings, &mut history, minute, open_since);
                (history, fit)
            });
            let (history, fit) = fitted.await.map_err(|_| Error::Fit { metric: name.to_owned() })?;
            series.history = history;
            series.install(fit, minute, open_since);
            Counters::add(&self.counters.fits, 1);
        }
        Ok(())
    }

    /// Stores the points that wait.
    pub(crate) async fn store_points(&mut self) {
        let points = std::mem::take(&mut self.unstored);
        let dataset = DatasetName::system("metric_points");
        for (i, chunk) in points.chunks(APPEND_EVENTS_MAX).enumerate() {
            if let Err(source) = self.store.append_values(&dataset, chunk).await {
                let error = Error::Append { dataset: dataset.to_string(), source };
                let rest = &points[i * APPEND_EVENTS_MAX..];
                let dropped = rest.len().saturating_sub(UNSTORED_MAX);
                tracing::error!(error = %error.chain(), waiting = rest.len(), dropped, "points wait for the store");
                self.unstored = rest[dropped..].to_vec();
                self.store_failing = true;
                return;
            }
            Counters::add(&self.counters.points_stored, chunk.len());
            self.store_failing = false;
        }
    }
}

/// The events of any kind of a source, as one more metric of the scan.
fn presence_query(key: &SourceKey) -> MetricQuery {
    MetricQuery {
        name: presence_name(key),
        dataset: key.0.clone(),
        environment: key.1.clone(),
        measure: query::Measure::Count,
        filter: None,
        slices: Vec::new(),
    }
}

/// No metric has such a name: they begin with a letter.
fn presence_name(key: &SourceKey) -> String {
    format!("*{}", key.1.as_deref().unwrap_or_default())
}

fn presence_of(counted: &Counted) -> Vec<(Minute, u64)> {
    counted
        .get(&None)
        .into_iter()
        .flat_map(|minutes| minutes.values().map(|point| (point.minute, point.rows)))
        .collect()
}

/// A metric that takes part in this round.
pub(crate) fn working(tracked: &Tracked) -> bool {
    tracked.loaded && !tracked.broken
}

pub(crate) fn time_range(minutes: &Range<Minute>) -> TimeRange {
    TimeRange { from: Timestamp::from_minutes(minutes.start), to: Timestamp::from_minutes(minutes.end) }
}

pub(crate) fn counting(dataset: &DatasetName, source: query::Error) -> Error {
    Error::Count { dataset: dataset.to_string(), source: Box::new(source) }
}
