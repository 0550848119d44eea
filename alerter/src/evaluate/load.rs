//! How a metric gets its past: stored points first, raw events for what was never counted, imports on request.

use std::ops::Range;

use arrow::{array::AsArray as _, datatypes::Int64Type};
use query::Engine;
use serde_json::json;
use store::{DatasetName, Store, Timestamp};

use super::{Core, counting, time_range, working};
use crate::{
    Error,
    history::Minute,
    points::{self, IMPORTED, ImportedRow},
    presence,
    score::Kind,
    series::{SLICE_DAYS, observation},
    track::{Tracked, by_metric},
};

/// Minutes of raw events counted in one scan of a backfill: two weeks.
const BACKFILL_MINUTES: i64 = 14 * 1440;

impl Core {
    /// Finds out since when this process was down, from the last point the one before it stored.
    pub(crate) async fn find_downtime(&mut self, started: Timestamp) -> Result<(), Error> {
        if self.started {
            return Ok(());
        }
        if self.store.snapshot(&DatasetName::system("metric_points")).is_none() {
            self.started = true;
            return Ok(());
        }
        let sql = "SELECT CAST(max(received_at) AS BIGINT) FROM system.metric_points";
        let batches = self.engine.rows(sql, None).await;
        let batches =
            batches.map_err(|source| Error::LoadPoints { metric: "all".to_owned(), source: Box::new(source) })?;
        let last = batches.iter().find(|batch| batch.num_rows() > 0).and_then(|batch| {
            let column = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Int64).ok()?;
            let column = column.as_primitive::<Int64Type>();
            arrow::array::Array::is_valid(column, 0).then(|| Timestamp(column.value(0)))
        });
        self.down = last.map(|last| last.minutes()..started.minutes() + 1);
        self.started = true;
        Ok(())
    }

    /// Loads a metric: what is stored, else what raw events say; then fits it.
    pub(super) async fn load(&mut self, name: &str, complete: Minute, now: Timestamp) -> Result<(), Error> {
        let since = complete - i64::from(self.config.history_minutes);
        let metric = self.tracked[name].metric.clone();
        let slices_since = complete - SLICE_DAYS * crate::history::DAY_MINUTES;
        let stored = points::load(&self.engine, &self.store, &metric, since, slices_since).await?;
        let slices_max = self.slices_room(name);
        let Some(tracked) = self.tracked.get_mut(name) else { return Ok(()) };
        tracked.take_stored(&stored, slices_max);
        let (evaluated_to, revision) = (stored.evaluated_to, stored.revision);
        drop(stored);
        let counted = match evaluated_to {
            Some(minute) => {
                tracked.evaluated_to = minute.clamp(since, complete);
                None
            }
            None => {
                tracked.revision = revision + 1;
                self.backfill(name, since, complete).await?
            }
        };
        let known = self.alerts.lock().all();
        if let Some(tracked) = self.tracked.get_mut(name) {
            tracked.restore_alerts(&known);
        }
        let minute = self.tracked[name].evaluated_to;
        self.fit(name, minute, true).await?;
        if let Some(range) = counted {
            tracing::info!(metric = %name, minutes = range.end - range.start, "history counted from raw events");
            let slices: Vec<Option<String>> = self.tracked[name].all().map(|series| series.slice.clone()).collect();
            for slice in slices {
                let events = self.tracked[name].backfill_events(slice.as_deref(), &range);
                self.unstored.extend(events);
                self.store_points().await;
            }
        }
        if let Some(tracked) = self.tracked.get_mut(name) {
            tracked.loaded = true;
        }
        self.restore_silence(name, now);
        Ok(())
    }

    /// Series that may still be added for a metric's slices.
    pub(super) fn slices_room(&self, name: &str) -> usize {
        let others: usize =
            self.tracked.iter().filter(|(other, _)| *other != name).map(|(_, tracked)| tracked.all().count()).sum();
        (self.config.series_max as usize).saturating_sub(others + 1)
    }

    /// Counts raw events of the past; returns the range counted, `None` when there is nothing.
    async fn backfill(&mut self, name: &str, since: Minute, complete: Minute) -> Result<Option<Range<Minute>>, Error> {
        let room = Room { slices: self.slices_room(name), per_column: self.config.slice_values_max as usize };
        let (engine, store) = (self.engine.clone(), self.store.clone());
        let Some(tracked) = self.tracked.get_mut(name) else { return Ok(None) };
        tracked.evaluated_to = complete;
        count_past(&engine, &store, tracked, since..complete, room).await
    }

    /// Takes imported rows into memory and the store, and learns from them at once. Returns how many were taken; the others
    /// lie in minutes that raw events speak for.
    pub(crate) async fn import(
        &mut self,
        name: &str,
        slice: Option<&str>,
        rows: &[ImportedRow],
        now: Timestamp,
    ) -> Result<usize, Error> {
        let complete = crate::schedule::complete_until(now, self.config.watermark_s);
        let since = complete - i64::from(self.config.history_minutes);
        let rows: Vec<ImportedRow> = rows.iter().copied().filter(|row| row.minute < now.minutes()).collect();
        let Some(tracked) = self.tracked.get_mut(name) else { return Ok(0) };
        let taken = tracked.take_imported(slice, &rows, since);
        tracked.revision += 1;
        let (revision, share) = (tracked.revision, tracked.metric.kind() == Kind::Ratio);
        let events = taken.iter().map(|row| {
            let mut event = json!({
                "time": Timestamp::from_minutes(row.minute).to_rfc3339(),
                "metric": name,
                "revision": revision,
                "definition": IMPORTED,
                "actual": row.count,
            });
            if let Some(slice) = slice {
                event["slice"] = json!(slice);
            }
            if let Some(denominator) = row.denominator.filter(|_| share) {
                event["numerator"] = json!(row.count);
                event["exposure"] = json!(denominator);
                event["actual"] = if denominator > 0.0 { json!(row.count / denominator) } else { json!(null) };
            }
            event
        });
        self.unstored.extend(events);
        self.store_points().await;
        let minute = self.tracked[name].evaluated_to;
        self.fit(name, minute, true).await?;
        Ok(taken.len())
    }

    /// Counts late events of minutes already evaluated and re-opens those that changed; returns their points.
    pub(super) fn reopen(
        &mut self,
        dataset: &DatasetName,
        counted: &std::collections::BTreeMap<String, crate::track::Counted>,
        scanned: &Range<Minute>,
    ) -> Vec<serde_json::Value> {
        let mut events = Vec::new();
        for name in self.names(dataset, |tracked| working(tracked) && tracked.evaluated_to > scanned.start) {
            let Some(tracked) = self.tracked.get_mut(&name) else { continue };
            let Some(source) = self.sources.get(&(dataset.clone(), tracked.metric.environment.clone())) else {
                continue;
            };
            let counted = counted.get(&name);
            let metric = tracked.metric.clone();
            let (from, to) = (scanned.start, tracked.evaluated_to.min(scanned.end));
            let present = |minute: &Minute| source.count(*minute).is_some_and(|count| count > 0);
            let down = self.down.clone();
            let minutes: Vec<Minute> =
                (from..to).filter(present).filter(|m| !down.as_ref().is_some_and(|down| down.contains(m))).collect();
            let revision = tracked.revision + 1;
            let before = events.len();
            for series in tracked.all_mut() {
                let seen = counted.and_then(|counted| counted.get(&series.slice));
                let start = series.history.start();
                for minute in minutes.iter().filter(|minute| **minute >= start) {
                    let now_seen = Some(observation(&metric.measure, seen.and_then(|seen| seen.get(minute))));
                    if !series.agrees(*minute, now_seen) {
                        let score = series.revise(*minute, now_seen);
                        let slice = series.slice.clone();
                        events.push(crate::series::point_event(
                            &metric,
                            slice.as_deref(),
                            *minute,
                            now_seen,
                            score.as_ref(),
                            revision,
                        ));
                    }
                }
            }
            if events.len() > before {
                tracked.revision = revision;
                crate::metrics::Counters::add(&self.counters.minutes_reopened, events.len() - before);
            }
        }
        events
    }
}

/// How many slices a metric may still follow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    pub(crate) slices: usize,
    pub(crate) per_column: usize,
}

/// Counts the raw events of a range into a metric, two weeks in one scan; returns the part of it that lies after the first
/// event of the dataset, `None` when there is nothing.
pub(crate) async fn count_past(
    engine: &Engine,
    store: &Store,
    tracked: &mut Tracked,
    range: Range<Minute>,
    room: Room,
) -> Result<Option<Range<Minute>>, Error> {
    let metric = tracked.metric.clone();
    let known = store.datasets().into_iter().find(|dataset| dataset.name == metric.dataset);
    let first = known.and_then(|dataset| dataset.first_event).map(Timestamp::minutes);
    let Some(start) = first.map(|first| first.max(range.start)).filter(|start| *start < range.end) else {
        return Ok(None);
    };
    let failed = |source| counting(&metric.dataset, source);
    let mut from = start;
    while from < range.end {
        let part = from..range.end.min(from + BACKFILL_MINUTES);
        let counted = engine.minute_counts(&[metric.query()], time_range(&part)).await.map_err(failed)?;
        let presence = engine.minute_presence(&metric.dataset, metric.environment.as_deref(), time_range(&part));
        let presence = presence.await.map_err(failed)?;
        #[expect(clippy::cast_precision_loss, reason = "events of a minute")]
        let mut presence: Vec<(Minute, f64)> =
            presence.iter().map(|(minute, count)| (*minute, *count as f64)).collect();
        presence.sort_by_key(|(minute, _)| *minute);
        let holes = presence::holes(part.clone(), &presence);
        let counted = by_metric(counted).remove(&metric.name).unwrap_or_default();
        tracked.take_counted(&counted, part.clone(), &holes, room.slices, room.per_column);
        from = part.end;
    }
    Ok(Some(start..range.end))
}
