//! One metric as it is followed: its parent series, its slices, and what its history was made from.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use query::{MinutePoint, MinuteSeries};
use serde_json::Value;
use store::Timestamp;

use crate::{
    alert::{Alert, Cause},
    coverage::Watcher,
    definition::Metric,
    forecast::Settings,
    history::{Mask, Minute, Observation},
    incident::Incident,
    live::Live,
    mask::{incident_mask, new_normal_mask},
    points::{IMPORTED, ImportedRow, Stored},
    score::{Kind, Score},
    series::{Series, observation, point_event, runs},
};

/// Minutes before a first fit for which the points get an expectation, so that a chart starts with a band: a day.
const BAND_MINUTES: i64 = 1440;

/// Names of left-out slices remembered, to be counted once each.
const LEFT_OUT_MAX: usize = 1000;

/// What one scan said of one metric: minutes by slice (`None`: the parent).
pub(crate) type Counted = BTreeMap<Option<String>, BTreeMap<Minute, MinutePoint>>;

/// Sorts the series of a scan by metric and slice.
pub(crate) fn by_metric(series: Vec<MinuteSeries>) -> BTreeMap<String, Counted> {
    let mut sorted: BTreeMap<String, Counted> = BTreeMap::new();
    for one in series {
        let slice = one.slice.map(|(column, value)| format!("{column}={value}"));
        let minutes = one.minutes.into_iter().map(|point| (point.minute, point)).collect();
        sorted.entry(one.metric).or_default().insert(slice, minutes);
    }
    sorted
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Tracked {
    pub(crate) metric: Arc<Metric>,
    pub(crate) parent: Series,
    pub(crate) children: BTreeMap<String, Series>,
    /// First minute not evaluated yet.
    pub(crate) evaluated_to: Minute,
    pub(crate) incident: Incident,
    /// Of the next rewritten point; new minutes carry it as well.
    pub(crate) revision: u32,
    pub(crate) error: Option<String>,
    /// Its own SQL failed in this round: left out, so that the others go on, and made up later.
    pub(crate) broken: bool,
    /// False until stored points were read and missing ones counted.
    pub(crate) loaded: bool,
    /// Slices seen but not followed, because of the caps; at most [`LEFT_OUT_MAX`] are remembered.
    left_out: BTreeSet<String>,
    /// Minutes that came from an import: another import may replace them, raw events count for all others.
    imported: Vec<Range<Minute>>,
}

impl Tracked {
    pub(crate) fn new(metric: Arc<Metric>, start: Minute) -> Self {
        Self {
            metric,
            parent: Series::new(None, start),
            children: BTreeMap::new(),
            evaluated_to: start,
            incident: Incident::default(),
            revision: 1,
            error: None,
            broken: false,
            loaded: false,
            left_out: BTreeSet::new(),
            imported: Vec::new(),
        }
    }

    /// The parent and its slices.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Series> {
        std::iter::once(&self.parent).chain(self.children.values())
    }

    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut Series> {
        std::iter::once(&mut self.parent).chain(self.children.values_mut())
    }

    /// Usual denominator of a minute: the mean of the last hour.
    pub(crate) fn usual_exposure(&self) -> f64 {
        let recent = (self.evaluated_to - 60..self.evaluated_to).filter_map(|minute| self.parent.history.get(minute));
        let (sum, count) = recent.fold((0.0, 0_i32), |(sum, count), seen| (sum + seen.exposure, count + 1));
        if count > 0 { sum / f64::from(count) } else { 0.0 }
    }

    /// The metric as one that may notice a change.
    pub(crate) fn watcher(&self) -> Watcher<'_> {
        Watcher { metric: &self.metric, fitted: self.parent.fitted.as_deref(), exposure: self.usual_exposure() }
    }

    /// What the forecast is told about this metric when it is one of `parent_metrics`.
    pub(crate) fn settings(&self, parent_metrics: usize) -> Settings {
        let mut settings = Settings::new(self.metric.kind(), self.metric.direction, self.metric.zone);
        settings.smallest_drop = self.metric.smallest_drop;
        settings.parent_metrics = u32::try_from(parent_metrics.max(1)).unwrap_or(u32::MAX);
        settings.calendar = self.metric.calendar.clone();
        settings.yearly = self.metric.last_year;
        settings.budget = self.metric.budget;
        settings
    }

    /// Takes the stored points.
    pub(crate) fn take_stored(&mut self, stored: &Stored, slices_max: usize) {
        let kind = self.metric.kind();
        let mut imported = BTreeSet::new();
        stored.for_each(|point| {
            let observation = point.observation(kind);
            match point.slice {
                None => {
                    self.parent.put(point.minute, observation);
                    if point.definition == Some(IMPORTED) {
                        imported.insert(point.minute);
                    }
                }
                Some(slice) => {
                    if let Some(child) = self.child(slice, point.minute, slices_max) {
                        child.put(point.minute, observation);
                    }
                }
            }
        });
        if let (Some(first), Some(last)) = (imported.first(), imported.last()) {
            self.imported = runs(*first..last + 1, |minute| imported.contains(&minute));
        }
        self.revision = stored.revision.max(1);
    }

    /// Takes what a scan of raw events says of a past range; `holes` are minutes of no data.
    pub(crate) fn take_counted(
        &mut self,
        counted: &Counted,
        range: Range<Minute>,
        holes: &[Range<Minute>],
        slices_max: usize,
        per_column_max: usize,
    ) {
        let measure = self.metric.measure.clone();
        let put = |series: &mut Series, minutes: Option<&BTreeMap<Minute, MinutePoint>>| {
            for minute in range.clone() {
                if !holes.iter().any(|hole| hole.contains(&minute)) {
                    let point = minutes.and_then(|minutes| minutes.get(&minute));
                    series.put(minute, Some(observation(&measure, point)));
                }
            }
        };
        put(&mut self.parent, counted.get(&None));
        let frequent = frequent_slices(counted, per_column_max);
        for slice in counted.keys().flatten().filter(|slice| !frequent.contains(slice)) {
            self.leave_out(slice);
        }
        for slice in frequent {
            let minutes = counted.get(&Some(slice.clone()));
            if let Some(child) = self.child(&slice, range.start, slices_max) {
                put(child, minutes);
            }
        }
    }

    /// The series of a slice, made when new; `None` when there are too many.
    pub(crate) fn child(&mut self, slice: &str, start: Minute, slices_max: usize) -> Option<&mut Series> {
        if !self.children.contains_key(slice) {
            if self.children.len() >= slices_max {
                self.leave_out(slice);
                return None;
            }
            self.children.insert(slice.to_owned(), Series::new(Some(slice.to_owned()), start));
        }
        self.children.get_mut(slice)
    }

    /// Remembers a slice that is not followed.
    pub(crate) fn leave_out(&mut self, slice: &str) {
        if self.left_out.len() < LEFT_OUT_MAX {
            self.left_out.insert(slice.to_owned());
        }
    }

    /// Slices seen but not followed.
    pub(crate) fn slices_left_out(&self) -> usize {
        self.left_out.len()
    }

    /// True when slices of a column may still be added.
    pub(crate) fn has_room(&self, slice: &str, per_column_max: usize) -> bool {
        let column = slice.split_once('=').map_or(slice, |(column, _)| column);
        let prefix = format!("{column}=");
        self.children.keys().filter(|known| known.starts_with(&prefix)).count() < per_column_max
    }

    /// Takes rows of an import where no raw events speak; returns the rows taken.
    pub(crate) fn take_imported(
        &mut self,
        slice: Option<&str>,
        rows: &[ImportedRow],
        since: Minute,
    ) -> Vec<ImportedRow> {
        let share = self.metric.kind() == Kind::Ratio;
        let imported = self.imported.clone();
        let is_imported = |minute: Minute| {
            let after = imported.partition_point(|run| run.start <= minute);
            after > 0 && imported[after - 1].contains(&minute)
        };
        let start = rows.first().map_or(since, |row| row.minute).max(since);
        let series = match slice {
            None => &mut self.parent,
            Some(slice) => {
                self.children.entry(slice.to_owned()).or_insert_with(|| Series::new(Some(slice.to_owned()), start))
            }
        };
        let unit = series.fitted.as_ref().map_or(1.0, |fitted| fitted.noise().unit);
        let taken: Vec<ImportedRow> = rows
            .iter()
            .copied()
            .filter(|row| series.history.get(row.minute).is_none() || is_imported(row.minute))
            .collect();
        for row in taken.iter().filter(|row| row.minute >= since) {
            let seen = match (share, row.denominator) {
                (true, Some(denominator)) => Observation::ratio(row.count, denominator),
                _ if self.metric.kind() == Kind::Sum => Observation::sum(row.count, row.count / unit, row.count * unit),
                _ => Observation::count(row.count),
            };
            series.put(row.minute, Some(seen));
        }
        if slice.is_none() {
            let new: BTreeSet<Minute> = taken.iter().map(|row| row.minute).collect();
            let first = imported.first().map(|run| run.start).into_iter().chain(new.first().copied()).min();
            let last = imported.last().map(|run| run.end).into_iter().chain(new.last().map(|m| m + 1)).max();
            if let (Some(first), Some(last)) = (first, last) {
                self.imported = runs(first..last, |minute| is_imported(minute) || new.contains(&minute));
            }
        }
        taken
    }

    /// Hides what past alerts and people hide from the forecast.
    pub(crate) fn set_masks(&mut self, alerts: &[Alert]) {
        let ours = alerts.iter().filter(|alert| alert.metric == self.metric.name);
        let masks: Vec<Mask> = ours.filter_map(alert_mask).chain(self.metric.masks.iter().cloned()).collect();
        for series in self.all_mut() {
            series.history.set_masks(masks.clone());
        }
    }

    /// Brings masks and the state of the incident back from what is known of past alerts.
    pub(crate) fn restore_alerts(&mut self, alerts: &[Alert]) {
        let ours: Vec<&Alert> = alerts.iter().filter(|alert| alert.metric == self.metric.name).collect();
        self.set_masks(alerts);
        for from in ours.iter().filter_map(|alert| alert.level_shifted_at) {
            self.all_mut().for_each(|series| series.history.level_shift(from.minutes()));
        }
        let deviations = ours
            .iter()
            .filter(|alert| alert.cause == Cause::Deviation || alert.resolved_at.is_none())
            .filter(|alert| alert.cause != Cause::Control);
        if let Some(last) =
            deviations.filter(|alert| !alert.id.starts_with("silence-")).max_by_key(|alert| alert.paged_at)
        {
            let resolved = last.resolved_at.map(Timestamp::minutes);
            self.incident = Incident::restored(last.id.clone(), last.paged_at.minutes(), resolved);
        }
    }

    /// Onset of the open incident, unless it was taken as the new normal.
    pub(crate) fn open_since(&self, alerts: &[Alert]) -> Option<Minute> {
        let id = self.incident.open_alert()?;
        let open = alerts.iter().find(|alert| alert.id == id)?;
        open.level_shifted_at.is_none().then(|| open.onset.minutes())
    }

    /// The points of a range of one series to store; the last day of it gets the expectation it would have had.
    pub(crate) fn backfill_events(&self, slice: Option<&str>, range: &Range<Minute>) -> Vec<Value> {
        let Some(series) = self.all().find(|series| series.slice.as_deref() == slice) else { return Vec::new() };
        let from = range.start.max(series.history.start());
        let banded = (range.end - BAND_MINUTES).max(from);
        let point = |minute: Minute, score: Option<&Score>| {
            point_event(&self.metric, slice, minute, series.history.get(minute), score, self.revision)
        };
        let seen = (from..banded).filter(|minute| series.history.get(*minute).is_some());
        let mut events: Vec<Value> = seen.map(|minute| point(minute, None)).collect();
        match &series.fitted {
            None => events.extend((banded..range.end).map(|minute| point(minute, None))),
            Some(fitted) => {
                let mut live = Live::warmed(fitted, &series.history, banded);
                events.extend((banded..range.end).map(|minute| {
                    let score = live.step(fitted, minute, series.history.get(minute));
                    point(minute, Some(&score))
                }));
            }
        }
        events
    }
}

/// What an incident hides from the forecast once it ended, or was taken as the new normal; nothing when a person said that it
/// was real demand.
pub(crate) fn alert_mask(alert: &Alert) -> Option<Mask> {
    let real_demand = alert.feedback.as_ref().is_some_and(|feedback| !feedback.verdict);
    let onset = alert.onset.minutes();
    let mask = match (alert.level_shifted_at, alert.resolved_at) {
        (Some(shifted), _) => new_normal_mask(onset, shifted.minutes()),
        (None, Some(resolved)) => incident_mask(onset, resolved.minutes()),
        (None, None) => return None,
    };
    (!real_demand).then_some(mask)
}

/// The most frequent slices of each column.
fn frequent_slices(counted: &Counted, per_column_max: usize) -> Vec<String> {
    let mut columns: BTreeMap<&str, Vec<(f64, &String)>> = BTreeMap::new();
    for (slice, minutes) in counted {
        let Some(slice) = slice else { continue };
        let column = slice.split_once('=').map_or(slice.as_str(), |(column, _)| column);
        let weight: f64 = minutes.values().map(|point| point.count.max(point.denominator)).sum();
        columns.entry(column).or_default().push((weight, slice));
    }
    let mut frequent = Vec::new();
    for slices in columns.values_mut() {
        slices.sort_by(|a, b| b.0.total_cmp(&a.0));
        frequent.extend(slices.iter().take(per_column_max).map(|(_, slice)| (*slice).clone()));
    }
    frequent
}
