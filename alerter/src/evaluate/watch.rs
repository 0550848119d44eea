//! Watches what is being switched on: each experiment, canary or selected group against its control, for each metric, in the same minutes.
//!
//! What the forecast cannot see (a drop of 10 % at any rate, forecast 2.6) the control can, for what both groups share cancels. Each look
//! is a Bayes factor against "no difference", so looking every minute costs nothing: the chance that it ever passes `1 / alpha` without a
//! difference is at most `alpha` (Ville). All pairs of a metric and a change alive at a time share one `alpha`.

use store::Timestamp;

use super::{
    Core,
    evidence::{Candidate, Whole, comparison, judge, whole},
};
use crate::{
    alert::{Alert, TransitionKind},
    backtest::points_between,
    change::{Change, ChangeKind},
    evaluate::Fresh,
    exposure::{exposure, replaces},
    history::Minute,
    ledger::control::Control,
    metrics::Counters,
    onset::Onset,
    page,
    score::{Direction, Kind},
    suspect::shares_environment,
    track::Tracked,
};

/// Chance that a pair alive at a time is ever found without a difference.
const ALPHA: f64 = 0.001;
/// A change is watched for this many minutes.
const WATCHED_MINUTES: i64 = 120;
/// At first every minute, then every fifth.
const CLOSELY_MINUTES: i64 = 40;
/// Smallest harm among the exposed that opens an incident.
const HARM_MIN: f64 = 0.05;
/// Minutes whose comparison says whether an incident still lasts.
const LASTS_MINUTES: i64 = 60;
/// An incident of a control is not kept longer: by then it is the new normal.
const OPEN_MINUTES_MAX: i64 = 1_440;

impl Core {
    /// Opens an incident for each live change whose exposed do worse than their control.
    pub(super) async fn watch_changes(&mut self, now: Timestamp) {
        let changes = self.changes();
        let pairs: Vec<(String, &Change)> = self
            .tracked
            .values()
            .filter(|tracked| super::working(tracked) && tracked.incident.open_alert().is_none())
            .flat_map(|tracked| live(tracked, &changes).map(|change| (tracked.metric.name.clone(), change)))
            .collect();
        #[expect(clippy::cast_precision_loss, reason = "pairs of metrics and changes")]
        let least = (pairs.len().max(1) as f64 / ALPHA).log2();
        for (name, change) in pairs {
            let age = self.tracked[&name].evaluated_to - change.time.minutes();
            if age > CLOSELY_MINUTES && age % 5 != 0 {
                continue;
            }
            let down = is_down(&self.tracked[&name]);
            let alert = page::of_control(&self.tracked[&name].metric, change, down, now);
            if self.alerts.lock().get(&alert.id).is_some() || self.fresh.contains_key(&alert.id) {
                continue;
            }
            let Some((bits, control)) = self.look(&name, change, change.time.minutes() + 1).await else { continue };
            let harm = if down { 1.0 - control.ratio } else { control.ratio - 1.0 };
            if bits >= least && harm >= HARM_MIN {
                tracing::warn!(metric = %name, change = %change.id, bits, ratio = control.ratio, "found by its concurrent control");
                Counters::add(&self.counters.incidents, 1);
                self.fresh.insert(alert.id.clone(), Fresh { alert, kind: TransitionKind::Triggered, closed: None });
            }
        }
    }

    /// Compares the groups of a change since a minute: bits, not clamped, and the counts behind them.
    async fn look(&self, name: &str, change: &Change, from: Minute) -> Option<(f64, Control)> {
        let tracked = self.tracked.get(name)?;
        let (metric, end) = (tracked.metric.clone(), tracked.evaluated_to);
        let candidate = Candidate { change, exposure: exposure(change, from)? };
        if change.text("selector").is_some() && !self.is_condition(&metric, change, &candidate.exposure).await {
            return None;
        }
        let whole = self.whole_since(name, from, end);
        let candidates = [candidate];
        let sums = self.exposed(&metric, &candidates, from, end).await?.pop()?;
        let share = metric.kind() == Kind::Ratio;
        let compared = comparison(&sums, &candidates[0], &whole, share)?;
        Some((compared.bits(whole.down)?, judge(&candidates[0], &sums, &whole, share)?))
    }

    fn whole_since(&self, name: &str, from: Minute, end: Minute) -> Whole {
        let tracked = &self.tracked[name];
        let series = &tracked.parent;
        let points = series
            .fitted
            .as_ref()
            .map(|fitted| points_between(fitted, &series.history, from..end, series.live.level()));
        whole(&points.unwrap_or_default(), is_down(tracked))
    }

    /// Brings an incident of a control up to date, and ends it when the change is replaced, nobody is exposed any more, or the exposed do
    /// as well as the others. True when what a person would act on changed.
    pub(super) async fn refresh_found(&mut self, alert: &mut Alert, changes: &[Change]) -> bool {
        let before = page::acted_on(alert);
        let Some(end) = self.tracked.get(&alert.metric).map(|tracked| tracked.evaluated_to) else { return false };
        let Some(change) = changes.iter().find(|change| Some(&change.id) == alert.found_by.as_ref()) else {
            return false;
        };
        let onset = alert.onset.minutes();
        if end - alert.paged_at.minutes() <= page::ONSET_MINUTES {
            self.suspect(alert, &Onset::certain(onset), changes, end - 1).await;
        }
        let replaced = changes.iter().any(|later| replaces(later, change) && later.time.minutes() < end);
        let recent = (end - LASTS_MINUTES).max(onset + 1);
        let lasting = if replaced { None } else { self.look(&alert.metric, change, recent).await };
        let lasts = lasting.as_ref().is_some_and(|(bits, control)| {
            let harmed = if alert.direction == "up" { control.ratio_high > 1.0 } else { control.ratio_low < 1.0 };
            *bits > 0.0 && harmed
        });
        if !lasts || end - onset > OPEN_MINUTES_MAX {
            self.found_over.push((alert.id.clone(), end));
        } else if let Some((_, control)) = self.look(&alert.metric, change, onset + 1).await {
            let whole = self.whole_since(&alert.metric, onset + 1, end);
            measure(alert, &control, &whole, end - onset - 1);
        }
        before != page::acted_on(alert)
    }
}

/// What was missed among the exposed, told as a part of the whole metric.
#[expect(clippy::cast_precision_loss, reason = "minutes of an incident")]
fn measure(alert: &mut Alert, control: &Control, whole: &Whole, minutes: i64) {
    let minutes = minutes.max(1) as f64;
    // Had the exposed done as well as the control, they would have `exposed / ratio`.
    let missed = |ratio: f64| control.exposed_after / ratio.max(1e-3) - control.exposed_after;
    (alert.missed, alert.missed_low, alert.missed_high) =
        (missed(control.ratio), missed(control.ratio_high), missed(control.ratio_low));
    alert.seen_per_minute = whole.seen / minutes;
    alert.expected_per_minute = (whole.seen + alert.missed) / minutes;
    alert.deficit_per_minute = alert.missed / minutes;
    alert.score = control.bits;
}

/// Changes of a metric's environment that are being switched on and leave a control.
fn live<'a>(tracked: &'a Tracked, changes: &'a [Change]) -> impl Iterator<Item = &'a Change> {
    let end = tracked.evaluated_to;
    changes.iter().filter(move |change| {
        let age = end - change.time.minutes();
        let announced_work = matches!(change.kind, ChangeKind::Note | ChangeKind::Maintenance);
        (3..=WATCHED_MINUTES).contains(&age)
            && !announced_work
            && shares_environment(change, tracked.metric.environment.as_deref())
            && exposure(change, change.time.minutes() + 1).is_some()
            && !changes.iter().any(|later| replaces(later, change) && later.time.minutes() < end)
    })
}

/// Which way is harm.
fn is_down(tracked: &Tracked) -> bool {
    tracked.metric.direction != Direction::Up
}
