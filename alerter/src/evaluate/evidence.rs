//! Fetches what the ledger weighs: the metric among the exposed and the control of each candidate, from raw events, in one scan.

use std::{collections::BTreeMap, sync::Arc};

use query::{BEFORE_MINUTES, EXPOSURES_MAX, ExposedSums, Exposure, GroupSums};

use super::{Core, time_range};
use crate::{
    alert::{Alert, Cause},
    change::Change,
    definition::Metric,
    exposure::{announced_share, exposure, replaces},
    history::Minute,
    ledger::{
        Evidence,
        control::{Basis, Comparison, Control, Group},
        dose::{self, Dosed},
        reversal::Reversal,
    },
    onset::{Onset, Point},
    page,
    score::Kind,
    suspect::is_candidate,
};

/// Minutes since the onset that are compared at most: later ones speak of what people did about it.
const AFTER_MINUTES: i64 = 60;
/// Independent events both groups need before the onset to be their own measure.
const BEFORE_EVENTS: f64 = 3.0;
/// When the metric is more than this part of a group's events, those are no denominators.
const COUNTED_MAX: f64 = 0.5;
/// How far, in logs, the control may be from its share of what is expected for the announced share to be believed.
const SHARE_TOLERANCE: f64 = 0.25;
/// Standard errors by which the people seen fall short of the announced share.
const SHORT_ERRORS: f64 = 3.3;

/// A candidate whose groups can be told apart.
pub(super) struct Candidate<'a> {
    pub(super) change: &'a Change,
    pub(super) exposure: Exposure,
}

/// The whole metric since the onset.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole {
    pub(super) seen: f64,
    pub(super) expected: f64,
    pub(super) down: bool,
}

impl Core {
    /// Evidence on the candidates of an incident up to `minute`. What cannot be counted (again) keeps its last evidence.
    pub(super) async fn evidence(&self, alert: &Alert, onset: &Onset, changes: &[Change], minute: Minute) -> Evidence {
        let mut evidence = Evidence { lessons: self.alerts.lock().lessons(), ..Evidence::default() };
        for suspect in &alert.suspects {
            if let Some(control) = &suspect.control {
                evidence.controls.insert(suspect.id().to_owned(), control.clone());
            }
            evidence.doses.insert(suspect.id().to_owned(), suspect.dose_bits);
            let reversal = Reversal { bits: suspect.reversal_bits, outcome: suspect.outcome };
            evidence.reversals.insert(suspect.id().to_owned(), reversal);
        }
        let Some(tracked) = self.tracked.get(&alert.metric).filter(|_| alert.cause != Cause::Silence) else {
            return evidence;
        };
        let (metric, points) = (tracked.metric.clone(), page::points_of(alert, &tracked.parent, minute));
        let end = (minute + 1).min(onset.minute + AFTER_MINUTES);
        let candidates = self.candidates(&metric, onset, changes, alert.environment.as_deref(), end).await;
        if candidates.is_empty() {
            return evidence;
        }
        let Some(counted) = self.exposed(&metric, &candidates, onset.minute, end).await else { return evidence };
        let whole = whole(&points, alert.direction != "up");
        let phi = tracked.parent.fitted.as_ref().map_or(1.0, |fitted| fitted.noise().phi_total());
        for (candidate, sums) in candidates.iter().zip(counted) {
            let id = candidate.change.id.clone();
            match judge(candidate, &sums, &whole, metric.kind() == Kind::Ratio) {
                Some(control) => evidence.controls.insert(id.clone(), control),
                None => evidence.controls.remove(&id),
            };
            evidence.doses.insert(id, dose::bits(&dosed(&points, &sums.shares, onset.minute), phi));
        }
        evidence
    }

    /// Counts the groups of candidates around an onset; `None`, and said so, when that fails.
    pub(super) async fn exposed(
        &self,
        metric: &Arc<Metric>,
        candidates: &[Candidate<'_>],
        onset: Minute,
        end: Minute,
    ) -> Option<Vec<ExposedSums>> {
        let exposures: Vec<Exposure> = candidates.iter().map(|candidate| candidate.exposure.clone()).collect();
        let since = exposures.iter().map(|exposure| exposure.since).min().unwrap_or(onset);
        let range = (onset - BEFORE_MINUTES).min(since.max(onset - BEFORE_MINUTES * 2))..end;
        match self.engine.exposed_counts(&metric.query(), &exposures, time_range(&range), onset).await {
            Ok(sums) => Some(sums),
            Err(error) => {
                let error = super::counting(&metric.dataset, error);
                tracing::warn!(metric = %metric.name, error = %error.chain(), "the control of changes cannot be counted");
                None
            }
        }
    }

    /// Changes near an onset whose groups the events tell apart. Of several changes of one thing the last before the onset stands for
    /// it; one that was replaced since keeps the evidence it had.
    async fn candidates<'a>(
        &self,
        metric: &Arc<Metric>,
        onset: &Onset,
        changes: &'a [Change],
        environment: Option<&str>,
        end: Minute,
    ) -> Vec<Candidate<'a>> {
        let mut candidates = Vec::new();
        let near = changes.iter().filter(|change| is_candidate(onset, change, environment));
        for change in near {
            let replaced = |later: &Change| replaces(later, change) && later.time.minutes() < end;
            if changes.iter().any(replaced) {
                continue;
            }
            let Some(exposure) = exposure(change, onset.minute) else { continue };
            if change.text("selector").is_some() && !self.is_condition(metric, change, &exposure).await {
                continue;
            }
            candidates.push(Candidate { change, exposure });
        }
        // The last ones are the likeliest.
        let first = candidates.len().saturating_sub(EXPOSURES_MAX);
        candidates.split_off(first)
    }

    /// Selectors are written by people: not each is a condition over these events.
    pub(super) async fn is_condition(&self, metric: &Arc<Metric>, change: &Change, exposure: &Exposure) -> bool {
        match self.engine.check_condition(&metric.query(), &exposure.exposed).await {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(change = %change.id, metric = %metric.name, %error, "the selector tells nobody apart");
                false
            }
        }
    }
}

/// Sums of the minutes with data.
pub(super) fn whole(points: &[Point], down: bool) -> Whole {
    let known = points.iter().filter(|point| !point.value.is_nan());
    let (seen, expected) = known.fold((0.0, 0.0), |sum, point| (sum.0 + point.value, sum.1 + point.expected));
    Whole { seen, expected, down }
}

/// What the counts of a candidate's groups say.
pub(super) fn judge(candidate: &Candidate<'_>, sums: &ExposedSums, whole: &Whole, share: bool) -> Option<Control> {
    let compared = comparison(sums, candidate, whole, share)?;
    let Exposure { exposed, control, .. } = &candidate.exposure;
    let mut judged = Control::judge(&compared, exposed, control, whole.down, whole.expected - whole.seen)?;
    // As they were counted, for people; the matched sums are for the bits.
    (judged.exposed_after, judged.control_after) = (sums.after[0].value, sums.after[1].value);
    if compared.before.is_none() && compared.basis == Basis::Requests {
        // Requests that fail are seen among so many that do not; requests that never come are not: that acquits nobody.
        if judged.bits < 0.0 && !share && mostly_counted(sums) {
            return None;
        }
        (judged.exposed_trials, judged.control_trials) = (sums.after[0].trials, sums.after[1].trials);
    }
    Some(judged)
}

/// Makes the counts of two groups comparable, on the first basis they allow; see [`crate::ledger::control`].
pub(super) fn comparison(
    sums: &ExposedSums,
    candidate: &Candidate<'_>,
    whole: &Whole,
    share: bool,
) -> Option<Comparison> {
    on_basis(sums, announced_share(candidate.change), whole, share, candidate.exposure.by_unit)
}

fn on_basis(
    sums: &ExposedSums,
    announced: Option<f64>,
    whole: &Whole,
    share: bool,
    by_unit: bool,
) -> Option<Comparison> {
    let after = sums.after.map(group);
    if after.iter().any(|group| group.trials <= 0.0) {
        return None;
    }
    let before = sums.before.map(group);
    let settled = sums.before_minutes > 0
        && sums.before.iter().all(|sums| sums.squares > 0.0 && sums.value.powi(2) / sums.squares >= BEFORE_EVENTS);
    if settled && share {
        return Some(Comparison { before: Some(before), after, basis: Basis::Requests, randomised: by_unit });
    }
    if settled {
        let minutes = |group: Group, trials: f64| Group { trials, ..group };
        #[expect(clippy::cast_precision_loss, reason = "minutes")]
        let (long, since) = (sums.before_minutes as f64, sums.shares.len().max(1) as f64);
        return Some(Comparison {
            before: Some(before.map(|group| minutes(group, long))),
            after: after.map(|group| minutes(group, since)),
            basis: Basis::Before,
            randomised: by_unit,
        });
    }
    let assigned = |share: f64| Comparison {
        before: None,
        after: [Group { trials: share, ..after[0] }, Group { trials: 1.0 - share, ..after[1] }],
        basis: Basis::Share,
        randomised: true,
    };
    if share {
        return Some(fresh(sums, Basis::Requests));
    }
    if let Some(announced) = announced.filter(|_| by_unit)
        && is_short(&after, announced)
        && is_as_expected(&after, announced, whole)
    {
        return Some(assigned(announced));
    }
    if sums.of_units {
        return Some(fresh(sums, Basis::Units));
    }
    let by_share = announced.filter(|_| by_unit && mostly_counted(sums));
    Some(by_share.map_or_else(|| fresh(sums, Basis::Requests), assigned))
}

/// The metric is most of the events of the groups: what is missing in it is then missing in them as well.
fn mostly_counted(sums: &ExposedSums) -> bool {
    let (counted, events) =
        sums.after.iter().fold((0.0, 0.0), |sum, group| (sum.0 + group.value, sum.1 + group.trials));
    counted > COUNTED_MAX * events
}

/// Groups that chance made: nothing before is needed.
fn fresh(sums: &ExposedSums, basis: Basis) -> Comparison {
    Comparison { before: None, after: sums.matched.map(group), basis, randomised: true }
}

/// Clearly fewer are seen exposed than were assigned.
fn is_short(after: &[Group; 2], announced: f64) -> bool {
    let seen = after[0].trials + after[1].trials;
    let error = (announced * (1.0 - announced) / seen).sqrt();
    after[0].trials / seen < announced - SHORT_ERRORS * error
}

/// The control has what is expected of its share, so the share is right, and it is the exposed who are missing.
fn is_as_expected(after: &[Group; 2], announced: f64, whole: &Whole) -> bool {
    let elsewhere = (whole.seen - after[0].value - after[1].value).max(0.0);
    let expected = (1.0 - announced) * (whole.expected - elsewhere);
    expected > 0.0 && after[1].value > 0.0 && (after[1].value / expected).ln().abs() <= SHARE_TOLERANCE
}

fn group(sums: GroupSums) -> Group {
    Group { value: sums.value, squares: sums.squares, trials: sums.trials }
}

/// The minutes since the onset with the share that was exposed in each.
fn dosed(points: &[Point], shares: &[Option<f64>], onset: Minute) -> Vec<Dosed> {
    let by_minute: BTreeMap<Minute, &Point> =
        points.iter().filter(|point| !point.value.is_nan()).map(|point| (point.minute, point)).collect();
    let minutes = shares.iter().zip(onset..).filter_map(|(share, minute)| {
        let point = by_minute.get(&minute)?;
        Some(Dosed { share: (*share)?, seen: point.value, expected: point.expected })
    });
    minutes.collect()
}

#[cfg(test)]
#[path = "evidence_tests.rs"]
mod tests;
