//! What a page says about an incident, worked out from the series: onset, rates, loss, budget, suspects, slices. Pure.

use std::collections::BTreeMap;

use store::Timestamp;

use crate::{
    alert::{Alert, Cause, Child, Measured, State},
    backtest::points_between,
    burn::{BUDGET_DAYS, Burn},
    change::Change,
    definition::{Metric, direction_word},
    forecast::Fitted,
    history::Minute,
    ledger::Evidence,
    lost::{Loss, lost},
    off::{self, Noise},
    onset::{self, Onset, Point},
    score::{Breach, Direction, Kind, is_slow},
    series::{Series, usual_amount},
    suspect,
};

/// Minutes after the page in which the onset is still judged anew: later evidence speaks of the recovery.
pub(crate) const ONSET_MINUTES: i64 = 15;
/// Slices listed with an incident.
const CHILDREN_MAX: usize = 10;
/// PagerDuty's bound on dedup keys, which all channels share.
const DEDUP_KEY_BYTES_MAX: usize = 255;

/// A new alert for a breach at `minute`. `None` while nothing is fitted.
pub(crate) fn breached(
    metric: &Metric,
    series: &Series,
    breach: &Breach,
    burn: Option<Burn>,
    minute: Minute,
    not_before: Option<Minute>,
    now: Timestamp,
) -> Option<Alert> {
    let fitted = series.fitted.as_ref()?;
    let slow = breach.is_slow();
    let mut onset = find_onset(metric, series, fitted, minute, breach.direction == Direction::Down, slow);
    if let Some(earliest) = not_before {
        onset.not_before(earliest);
    }
    let mut alert = blank(metric, onset.minute, now);
    alert.slice.clone_from(&series.slice);
    alert.direction = direction_word(breach.direction).to_owned();
    alert.score = breach.z;
    alert.window_minutes = breach.window_minutes;
    alert.threshold = Some(breach.threshold);
    alert.burn = burn;
    alert.basis = Some(fitted.sources(minute).clone());
    alert.sources = sources(fitted, minute);
    place_onset(&mut alert, &onset);
    name(&mut alert, onset.minute);
    Some(alert)
}

/// An incident that its change's control found first, once the forecast sees it, too: from here on the forecast judges it, under the id and
/// the page it has.
pub(crate) fn seen_by_forecast(found: Alert, breached: Alert) -> Alert {
    Alert {
        cause: breached.cause,
        score: breached.score,
        window_minutes: breached.window_minutes,
        threshold: breached.threshold,
        burn: breached.burn,
        basis: breached.basis,
        sources: breached.sources,
        ..found
    }
}

/// A new alert for a source that fell silent, told through one of its metrics.
pub(crate) fn silent(metric: &Metric, series: &Series, since: Minute, now: Timestamp) -> Alert {
    let mut alert = blank(metric, since, now);
    alert.cause = Cause::Silence;
    alert.direction = "down".to_owned();
    if let Some(fitted) = &series.fitted {
        alert.sources = sources(fitted, since);
        alert.basis = Some(fitted.sources(since).clone());
    }
    place_onset(&mut alert, &Onset::certain(since));
    name(&mut alert, since);
    alert
}

/// A new alert of a plain rule.
pub(crate) fn of_rule(metric: &Metric, group: Option<&String>, onset: &Onset, now: Timestamp) -> Alert {
    let mut alert = blank(metric, onset.minute, now);
    alert.slice = group.cloned();
    place_onset(&mut alert, onset);
    name(&mut alert, onset.minute);
    alert
}

/// A new alert of what the concurrent control of a change found.
pub(crate) fn of_control(metric: &Metric, change: &Change, down: bool, now: Timestamp) -> Alert {
    let onset = change.time.minutes();
    let mut alert = blank(metric, onset, now);
    alert.cause = Cause::Control;
    alert.direction = direction_word(if down { Direction::Down } else { Direction::Up }).to_owned();
    alert.found_by = Some(change.id.clone());
    place_onset(&mut alert, &Onset::certain(onset));
    name(&mut alert, onset);
    alert
}

/// Names the changes near an onset.
pub(crate) fn suspect_changes(alert: &mut Alert, onset: &Onset, changes: &[Change], evidence: &Evidence) {
    let ranking = suspect::rank(onset, changes, alert.environment.as_deref(), evidence);
    (alert.suspects, alert.unknown_share) = (ranking.suspects, ranking.unknown_share);
}

fn blank(metric: &Metric, onset: Minute, now: Timestamp) -> Alert {
    let (measured, threshold_ms) = match &metric.measure {
        query::Measure::Count => (Measured::Count, None),
        query::Measure::Sum { .. } => (Measured::Sum, None),
        query::Measure::Ratio { .. } => (Measured::Ratio, None),
        query::Measure::Latency { threshold_ms, .. } => (Measured::Latency, Some(*threshold_ms)),
    };
    let onset = Timestamp::from_minutes(onset);
    Alert {
        id: String::new(),
        dedup_key: String::new(),
        metric: metric.name.clone(),
        title: metric.title.clone(),
        slice: None,
        dataset: metric.dataset.to_string(),
        environment: metric.environment.clone(),
        unit: metric.unit.clone(),
        measured,
        threshold_ms,
        zone: metric.zone.name().to_owned(),
        cause: Cause::Deviation,
        direction: String::new(),
        state: State::Firing,
        paged_at: now,
        onset,
        onset_from: onset,
        onset_to: onset,
        resolved_at: None,
        expected_per_minute: 0.0,
        seen_per_minute: 0.0,
        deficit_per_minute: 0.0,
        expected_share: None,
        seen_share: None,
        missed: 0.0,
        missed_low: 0.0,
        missed_high: 0.0,
        unknown_up_to: 0.0,
        budget_share: None,
        score: 0.0,
        window_minutes: 0,
        threshold: None,
        burn: None,
        basis: None,
        sources: Vec::new(),
        suspects: Vec::new(),
        unknown_share: 1.0,
        children: Vec::new(),
        owner: metric.owner.clone(),
        runbook: metric.runbook.clone(),
        acknowledged_by: None,
        acknowledged_at: None,
        acknowledge_note: None,
        feedback: None,
        level_shifted_at: None,
        channels: metric.channels.clone(),
        silenced_by: None,
        found_by: None,
        condition: None,
        part_of: None,
        joined: Vec::new(),
        off_actions: Vec::new(),
        picture: None,
    }
}

/// Id and dedup key, both deterministic in (metric, slice, onset), and for those a control found in the change.
fn name(alert: &mut Alert, onset: Minute) {
    let time = chrono::DateTime::from_timestamp(onset * 60, 0).unwrap_or_default().format("%Y%m%dT%H%M");
    let part = alert.found_by.as_deref().or(alert.slice.as_deref()).unwrap_or_default();
    let marker = match alert.cause {
        Cause::Silence => "silence-",
        Cause::Control => "control-",
        Cause::Deviation | Cause::Rule => "",
    };
    let tag = if part.is_empty() { String::new() } else { format!("-{}", short_hash(part)) };
    alert.id = format!("{marker}{}{tag}-{time}", alert.metric);
    let key = format!("yellowline:{marker}{}:{part}:{time}", alert.metric);
    alert.dedup_key = if key.len() <= DEDUP_KEY_BYTES_MAX {
        key
    } else {
        format!("yellowline:{marker}{}:{}:{time}", alert.metric, short_hash(part))
    };
}

fn short_hash(text: &str) -> String {
    use sha2::Digest as _;
    hex::encode(&sha2::Sha256::digest(text.as_bytes())[..8])
}

fn find_onset(metric: &Metric, series: &Series, fitted: &Fitted, minute: Minute, down: bool, slow: bool) -> Onset {
    let noise = fitted.noise();
    let points = if slow {
        let from = minute + 1 - onset::ONSET_LOOKBACK_MINUTES as i64;
        let all = points_since(series, fitted, from.max(series.history.start()), minute, 1.0);
        all.into_iter().filter(|point| !point.value.is_nan()).collect()
    } else {
        series.live.points(minute)
    };
    onset::onset(metric.kind(), &points, down, noise.phi_total(), noise.unit).unwrap_or_else(|| Onset::certain(minute))
}

pub(crate) fn place_onset(alert: &mut Alert, onset: &Onset) {
    alert.onset = Timestamp::from_minutes(onset.minute);
    alert.onset_from = Timestamp::from_minutes(onset.from);
    alert.onset_to = Timestamp::from_minutes(onset.to);
}

/// What entered the forecast of a day, in the words of the sentence.
fn sources(fitted: &Fitted, minute: Minute) -> Vec<String> {
    let sources = fitted.sources(minute);
    let entered = |day: Option<crate::forecast::SourceDay>| day.is_some_and(|day| day.entered);
    [
        (sources.growth_per_week.is_some(), "growth"),
        (entered(sources.last_week), "last week"),
        (entered(sources.last_month), "last month"),
        (entered(sources.last_year), "last year"),
    ]
    .into_iter()
    .filter(|(entered, _)| *entered)
    .map(|(_, word)| word.to_owned())
    .collect()
}

/// The beginning as the evidence up to `minute` has it, while it is still judged: until 15 minutes after the page, unless something
/// was turned off. `None` when it is to stay. `lasts`: the incident is still open.
pub(crate) fn judged_onset(
    alert: &Alert,
    metric: &Metric,
    parent: &Series,
    lasts: bool,
    minute: Minute,
) -> Option<Onset> {
    // Once something was turned off the newest minutes speak of the recovery, too.
    let young = minute - alert.paged_at.minutes() <= ONSET_MINUTES && alert.offs_since_onset().next().is_none();
    let fitted = parent.fitted.as_ref().filter(|_| young)?;
    // An incident found while making up for a downtime may have begun before what the live state remembers.
    let remembered = minute - alert.onset_from.minutes() < onset::ONSET_LOOKBACK_MINUTES as i64;
    if alert.cause == Cause::Silence || !lasts || !remembered {
        return Some(Onset::certain(alert.onset.minutes()));
    }
    let slow = is_slow(alert.window_minutes);
    let mut onset = find_onset(metric, parent, fitted, minute, alert.direction == "down", slow);
    // The name of the incident carries the onset of the page: only minutes around it are still believed.
    onset.not_before(alert.onset.minutes() - ONSET_MINUTES);
    Some(onset)
}

/// Brings an alert up to `minute`: rates, loss, budget, slices.
pub(crate) fn refresh(
    alert: &mut Alert,
    metric: &Metric,
    parent: &Series,
    children: &BTreeMap<String, Series>,
    minute: Minute,
) {
    let Some(fitted) = &parent.fitted else { return };
    measure(alert, metric, parent, fitted, minute);
    alert.children = shares_of_loss(alert, metric, children, minute);
}

/// What a person would act on: when it began, and the changes named.
pub(crate) fn acted_on(alert: &Alert) -> (Timestamp, Vec<String>) {
    let named = alert.named_suspects().iter().map(|suspect| format!("{} {}", suspect.id(), suspect.wording));
    (alert.onset, named.collect())
}

fn measure(alert: &mut Alert, metric: &Metric, series: &Series, fitted: &Fitted, minute: Minute) {
    let onset = alert.onset.minutes();
    let points = points_since(series, fitted, onset, minute, level(alert, series));
    let known: Vec<&Point> = points.iter().filter(|point| !point.value.is_nan()).collect();
    let minutes = known.len().max(1) as f64;
    let total = |of: fn(&Point) -> f64| known.iter().map(|point| of(point)).sum::<f64>();
    let (expected, seen, exposure) = (total(|p| p.expected), total(|p| p.value), total(|p| p.exposure));
    (alert.expected_per_minute, alert.seen_per_minute) = (expected / minutes, seen / minutes);
    if alert.cause == Cause::Silence {
        let all: f64 = points.iter().map(|point| point.expected).sum();
        (alert.expected_per_minute, alert.seen_per_minute) = (all / points.len().max(1) as f64, 0.0);
    }
    alert.deficit_per_minute = alert.expected_per_minute - alert.seen_per_minute;
    if metric.kind() == Kind::Ratio && exposure > 0.0 {
        (alert.expected_share, alert.seen_share) = (Some(expected / exposure), Some(seen / exposure));
    }
    let loss = loss(fitted, &points, onset);
    (alert.missed, alert.missed_low, alert.missed_high) = (loss.lost, loss.low, loss.high);
    alert.unknown_up_to = loss.unknown_expected;
    alert.budget_share = budget_share(alert, metric, series, onset);
}

/// Judges whether turning a change off helped, as far as that can be told at `minute`. True when it is told now.
pub(crate) fn judge_off(alert: &mut Alert, series: &Series, minute: Minute, now: Timestamp) -> bool {
    let level = level(alert, series);
    let onset = alert.onset.minutes();
    let watched = alert.off_actions.last().filter(|action| action.outcome.is_none());
    let Some(off) = watched.map(|action| action.at.minutes()) else { return false };
    let Some(fitted) = &series.fitted else { return false };
    // The minute of the press is partly of both.
    let after = points_since(series, fitted, off + 1, minute, level);
    let before = points_between(fitted, &series.history, onset..off, level);
    let noise = Noise { phi: fitted.noise().phi_total(), unit: fitted.noise().unit };
    let Some(outcome) = off::judge(off, &before, &after, noise, minute) else { return false };
    alert.settle_off(outcome, now);
    true
}

/// The level the series had when an incident began: it is held while the incident is open.
fn level(alert: &Alert, series: &Series) -> f64 {
    if is_slow(alert.window_minutes) { 1.0 } else { series.live.level() }
}

/// The minutes of an incident with what was expected of them.
pub(crate) fn points_of(alert: &Alert, series: &Series, minute: Minute) -> Vec<Point> {
    let points = series
        .fitted
        .as_ref()
        .map(|fitted| points_since(series, fitted, alert.onset.minutes(), minute, level(alert, series)));
    points.unwrap_or_default()
}

/// The minutes from the onset on, expected at a local level; NaN where nothing is known.
fn points_since(series: &Series, fitted: &Fitted, onset: Minute, minute: Minute, level: f64) -> Vec<Point> {
    points_between(fitted, &series.history, onset..minute + 1, level)
}

fn loss(fitted: &Fitted, points: &[Point], onset: Minute) -> Loss {
    let noise = fitted.noise();
    let c = noise.c_slow[fitted.local_hour(onset)];
    lost(points.iter().copied(), noise.phi_total(), c, noise.unit)
}

/// Part of the allowed loss of 28 days that this incident used. For shares of bad events the allowance counts events of
/// the denominator, for everything else units of the metric itself.
fn budget_share(alert: &Alert, metric: &Metric, series: &Series, onset: Minute) -> Option<f64> {
    let (value, exposure) = usual_amount(&series.history, onset, BUDGET_DAYS)?;
    let bad_events = metric.kind() == Kind::Ratio && metric.direction == Direction::Up;
    let allowed = metric.budget?.share * if bad_events { exposure } else { value };
    let used = if alert.direction == "up" { -alert.missed } else { alert.missed };
    let used = if alert.cause == Cause::Silence { alert.unknown_up_to } else { used };
    (allowed > 0.0).then(|| (used / allowed).max(0.0))
}

/// Slices by their part of what all slices of their column missed (or had too much), largest first.
fn shares_of_loss(alert: &Alert, metric: &Metric, children: &BTreeMap<String, Series>, minute: Minute) -> Vec<Child> {
    let (onset, too_many) = (alert.onset.minutes(), alert.missed < 0.0);
    let mut listed: Vec<Child> = Vec::new();
    for column in &metric.slices {
        let prefix = format!("{column}=");
        let losses: Vec<(String, f64)> = children
            .iter()
            .filter(|(slice, _)| slice.starts_with(&prefix))
            .filter_map(|(slice, series)| {
                let fitted = series.fitted.as_ref()?;
                let points = points_since(series, fitted, onset, minute, level(alert, series));
                let missed = loss(fitted, &points, onset).lost;
                Some((slice.clone(), if too_many { -missed } else { missed }))
            })
            .filter(|(_, missed)| *missed > 0.0)
            .collect();
        let total: f64 = losses.iter().map(|(_, missed)| missed).sum();
        listed.extend(losses.into_iter().map(|(slice, missed)| Child {
            slice,
            missed: if too_many { -missed } else { missed },
            share: missed / total,
        }));
    }
    listed.sort_by(|a, b| b.share.total_cmp(&a.share));
    listed.truncate(CHILDREN_MAX);
    listed
}
