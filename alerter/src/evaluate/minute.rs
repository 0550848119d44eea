//! One complete minute: is the source alive, what was seen, how surprising is it, and what does it do to incidents.

use std::collections::BTreeMap;

use serde_json::Value;
use store::{DatasetName, Timestamp};

use super::{Core, Fresh, Silent, SourceKey, working};
use crate::{
    alert::{Alert, Cause, TransitionKind},
    history::{Minute, Observation},
    incident::Step,
    metrics::Counters,
    page,
    presence::{Pulse, Source},
    score::{Kind, Score},
    series::{Series, observation, point_event},
    track::{Counted, Tracked},
};

/// Minutes with events after which a silence is over.
const BACK_MINUTES: i64 = 2;

impl Core {
    /// Evaluates a minute for all metrics of a dataset; returns the points to store.
    pub(super) fn minute(
        &mut self,
        dataset: &DatasetName,
        counted: &BTreeMap<String, Counted>,
        minute: Minute,
        now: Timestamp,
    ) -> Vec<Value> {
        let mut points = Vec::new();
        for key in self.source_keys(dataset) {
            let Some(pulse) = self.sources.get(&key).map(|source| source.pulse(minute)) else { continue };
            let pulse = if self.store_failing && pulse != Pulse::Alive { Pulse::Unknown } else { pulse };
            let known_silent = self.silent.get(&key).map(|silent| silent.since);
            let silent = match pulse {
                Pulse::Missing { since } => minute + 1 - since >= i64::from(self.config.silent_minutes),
                _ => false,
            };
            let empty = self.sources.get(&key).and_then(|source| source.count(minute)).is_none_or(|count| count == 0);
            let blind = silent || (known_silent.is_some() && empty);
            let names = self
                .names(dataset, |one| working(one) && one.metric.environment == key.1 && one.evaluated_to <= minute);
            let mut breached_while_empty = false;
            for name in &names {
                let score = self.score(name, counted.get(name), minute, pulse, blind, &mut points);
                match (score, pulse) {
                    // An empty minute of a busy source: the source is at fault, not each of its metrics.
                    (Some(score), Pulse::Missing { .. }) if self.tracked[name].incident.open_alert().is_none() => {
                        breached_while_empty |= score.breach.is_some();
                    }
                    (Some(score), _) => self.judge(name, &score, now),
                    (None, _) => {}
                }
            }
            match pulse {
                Pulse::Missing { since } if (silent || breached_while_empty) && known_silent.is_none() => {
                    points.extend(self.fell_silent(&key, since, minute, now));
                }
                Pulse::Alive if known_silent.is_some() => self.maybe_back(&key, minute),
                _ => {}
            }
            for name in names {
                if let Some(tracked) = self.tracked.get_mut(&name) {
                    tracked.evaluated_to = minute + 1;
                    Counters::add(&self.counters.minutes_scored, 1);
                }
            }
        }
        points
    }

    /// Scores a minute of a metric and its slices; the score of the parent comes back.
    fn score(
        &mut self,
        name: &str,
        counted: Option<&Counted>,
        minute: Minute,
        pulse: Pulse,
        blind: bool,
        points: &mut Vec<Value>,
    ) -> Option<Score> {
        let room = self.slices_room(name);
        let per_column = self.config.slice_values_max as usize;
        let down = self.down.as_ref().is_some_and(|down| down.contains(&minute));
        let tracked = self.tracked.get_mut(name)?;
        add_new_slices(tracked, counted, minute, room, per_column);
        let (metric, revision) = (tracked.metric.clone(), tracked.revision);
        let mut parent = None;
        for series in tracked.all_mut() {
            let seen = counted.and_then(|counted| counted.get(&series.slice)).and_then(|minutes| minutes.get(&minute));
            let known = (!blind && pulse != Pulse::Unknown).then(|| observation(&metric.measure, seen));
            let known = known.filter(|seen| !down || is_whole(series, *seen, minute, metric.smallest_drop));
            // Where nothing was counted an import may know more.
            let known = known.or_else(|| series.history.get(minute));
            let score = series.step(minute, known);
            points.push(point_event(&metric, series.slice.as_deref(), minute, known, score.as_ref(), revision));
            if series.slice.is_none() {
                parent = score;
            }
        }
        parent
    }

    /// Lets the score of a minute act on the incident of a metric.
    fn judge(&mut self, name: &str, score: &Score, now: Timestamp) {
        let Some(tracked) = self.tracked.get_mut(name) else { return };
        let metric = tracked.metric.clone();
        match tracked.incident.advance(score) {
            None => {}
            Some(Step::Opened) => {
                let ended =
                    self.alerts.lock().last(|alert| alert.metric == metric.name).and_then(|alert| alert.resolved_at);
                let not_before = ended.map(Timestamp::minutes);
                let Some(breach) = &score.breach else { return };
                let Some(alert) = page::breached(
                    &metric,
                    &tracked.parent,
                    breach,
                    score.paging_burn(),
                    score.minute,
                    not_before,
                    now,
                ) else {
                    return;
                };
                tracked.all_mut().for_each(|series| series.live.hold(true));
                let found = self.alerts.lock().found_by_control(name, &alert.direction).cloned();
                if let Some(found) = found {
                    tracked.incident.named(found.id.clone());
                    tracing::warn!(metric = %name, alert = %found.id, "the forecast sees it, too");
                    self.alerts.lock().update(page::seen_by_forecast(found, alert), true, now);
                    return;
                }
                tracked.incident.named(alert.id.clone());
                tracing::warn!(metric = %name, alert = %alert.id, score = breach.z, "incident opened");
                Counters::add(&self.counters.incidents, 1);
                self.fresh.insert(alert.id.clone(), Fresh { alert, kind: TransitionKind::Triggered, closed: None });
            }
            Some(Step::Reopened(id)) => {
                tracked.all_mut().for_each(|series| series.live.hold(true));
                let known = self.alerts.lock().get(&id).cloned();
                if let Some(fresh) = self.fresh.get_mut(&id) {
                    fresh.closed = None;
                } else if let Some(alert) = known {
                    let onset = Timestamp::from_minutes(score.minute);
                    let alert = Alert {
                        state: crate::alert::State::Firing,
                        resolved_at: None,
                        paged_at: now,
                        onset,
                        onset_from: onset,
                        onset_to: onset,
                        score: score.breach.map_or(alert.score, |breach| breach.z),
                        window_minutes: score.breach.map_or(alert.window_minutes, |breach| breach.window_minutes),
                        burn: score.paging_burn(),
                        ..alert
                    };
                    self.fresh.insert(id, Fresh { alert, kind: TransitionKind::Retriggered, closed: None });
                }
            }
            Some(Step::Closed(id)) => self.close(name, &id, score.minute, now),
        }
    }

    /// Ends an incident: its minutes are hidden from the forecast and from the windows that remember them.
    fn close(&mut self, name: &str, id: &str, minute: Minute, now: Timestamp) {
        let fresh = self.fresh.get(id).map(|fresh| fresh.alert.clone());
        let known = fresh.or_else(|| self.alerts.lock().get(id).cloned());
        let Some(mut alert) = known else { return };
        alert.resolved_at = Some(Timestamp::from_minutes(minute + 1));
        if let Some(tracked) = self.tracked.get_mut(name) {
            let onset = alert.onset.minutes();
            for series in tracked.all_mut() {
                series.live.hold(false);
                series.live.forget(onset, minute + 1);
                if alert.level_shifted_at.is_none() {
                    series.history.mask(crate::mask::incident_mask(onset, minute + 1));
                }
            }
        }
        match self.fresh.get_mut(id) {
            Some(fresh) => fresh.closed = Some(minute + 1),
            None => self.resolve(name, id, minute + 1, now),
        }
    }

    /// A source stopped: one page for all its metrics, unless one is out already.
    fn fell_silent(&mut self, key: &SourceKey, since: Minute, minute: Minute, now: Timestamp) -> Vec<Value> {
        let names = self.names(&key.0, |tracked| tracked.metric.environment == key.1);
        let Some(carrier) = self.carrier(&names, minute) else { return Vec::new() };
        let open = names.iter().find_map(|name| self.tracked[name].incident.open_alert().map(str::to_owned));
        let alert_id = match open {
            Some(id) => {
                self.known_as_silence(&id, now);
                id
            }
            None => {
                let tracked = &self.tracked[&carrier];
                let mut alert = page::silent(&tracked.metric, &tracked.parent, since, now);
                let channels: std::collections::BTreeSet<String> =
                    names.iter().flat_map(|name| self.tracked[name].metric.channels.clone()).collect();
                alert.channels = channels.into_iter().collect();
                let id = alert.id.clone();
                tracing::warn!(dataset = %key.0, alert = %id, "nothing of any kind arrives");
                Counters::add(&self.counters.incidents, 1);
                self.fresh.insert(id.clone(), Fresh { alert, kind: TransitionKind::Triggered, closed: None });
                id
            }
        };
        self.silent.insert(key.clone(), Silent { alert_id, since });
        names.iter().flat_map(|name| self.blank(name, since, minute)).collect()
    }

    /// The metric that tells of a silence: the one with most events expected, among those that page.
    fn carrier(&self, names: &[String], minute: Minute) -> Option<String> {
        let expected = |name: &&String| {
            let tracked = &self.tracked[*name];
            let fitted = tracked.parent.fitted.as_ref().filter(|fitted| fitted.pages())?;
            let rate = fitted.rate(minute) / fitted.noise().unit;
            (tracked.metric.kind() != Kind::Ratio).then_some(rate)
        };
        let best = names.iter().filter_map(|name| expected(&name).map(|rate| (rate, name)));
        best.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name.clone())
    }

    /// An open page about too little turns out to be a silence.
    fn known_as_silence(&mut self, id: &str, now: Timestamp) {
        if let Some(fresh) = self.fresh.get_mut(id) {
            fresh.alert.cause = Cause::Silence;
            return;
        }
        let mut alerts = self.alerts.lock();
        if let Some(mut alert) = alerts.get(id).filter(|alert| alert.direction == "down").cloned() {
            alert.cause = Cause::Silence;
            alerts.update(alert, true, now);
        }
    }

    /// Takes zeros back that were no zeros: nothing is known of those minutes.
    fn blank(&mut self, name: &str, since: Minute, minute: Minute) -> Vec<Value> {
        let Some(tracked) = self.tracked.get_mut(name) else { return Vec::new() };
        tracked.revision += 1;
        let (metric, revision) = (tracked.metric.clone(), tracked.revision);
        let mut points = Vec::new();
        for series in tracked.all_mut() {
            for minute in since.max(series.history.start())..=minute {
                if series.history.get(minute).is_some() {
                    let score = series.revise(minute, None);
                    points.push(point_event(&metric, series.slice.as_deref(), minute, None, score.as_ref(), revision));
                }
            }
        }
        points
    }

    /// Ends a silence once events came for some minutes in a row.
    fn maybe_back(&mut self, key: &SourceKey, minute: Minute) {
        let alive = |source: &Source| {
            (minute + 1 - BACK_MINUTES..=minute).all(|minute| source.count(minute).is_some_and(|count| count > 0))
        };
        if !self.sources.get(key).is_some_and(alive) {
            return;
        }
        let Some(silent) = self.silent.remove(key) else { return };
        if let Some(fresh) = self.fresh.get_mut(&silent.alert_id) {
            fresh.closed = Some(minute + 1);
        } else if silent.alert_id.starts_with("silence-") {
            self.silences_over.push((silent.alert_id, minute + 1));
        }
    }

    /// Puts a silence back that was open before a restart.
    pub(super) fn restore_silence(&mut self, name: &str, _now: Timestamp) {
        let Some(tracked) = self.tracked.get(name) else { return };
        let key = (tracked.metric.dataset.clone(), tracked.metric.environment.clone());
        let alerts = self.alerts.lock();
        let open = alerts.open().find(|alert| {
            alert.cause == Cause::Silence && alert.dataset == key.0.as_str() && alert.environment == key.1
        });
        if let Some(alert) = open {
            self.silent.insert(key, Silent { alert_id: alert.id.clone(), since: alert.onset.minutes() });
        }
    }
}

/// Follows values of slices that were not seen before, as far as there is room.
fn add_new_slices(tracked: &mut Tracked, counted: Option<&Counted>, minute: Minute, room: usize, per_column: usize) {
    let Some(counted) = counted else { return };
    let new: Vec<&String> = counted
        .iter()
        .filter_map(|(slice, minutes)| slice.as_ref().filter(|_| minutes.contains_key(&minute)))
        .filter(|slice| !tracked.children.contains_key(*slice))
        .collect();
    for slice in new {
        if tracked.has_room(slice, per_column) {
            tracked.child(slice, minute, room);
        } else {
            tracked.leave_out(slice);
        }
    }
}

/// Of a minute in which we did not run all the time only part may have arrived: it counts only when it is not low. A share is
/// not lowered by a part of its events.
fn is_whole(series: &Series, seen: Observation, minute: Minute, smallest_drop: f64) -> bool {
    let Some(fitted) = &series.fitted else { return false };
    match fitted.settings().kind {
        Kind::Ratio => seen.exposure > 0.0,
        Kind::Count | Kind::Sum => seen.value >= fitted.rate(minute) * (1.0 - smallest_drop),
    }
}
