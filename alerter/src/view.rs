//! What routes and status show: a copy of the last round's state, so that nobody waits for a round.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use serde_json::{Value, json};
use store::Timestamp;

use crate::{
    blind::BlindSpot,
    burn::Burn,
    change::Change,
    coverage::Watcher,
    definition::{Metric, Problem, Rule, direction_word, kind_word},
    evaluate::{Core, rules::Followed},
    forecast::{Fitted, Readiness},
    history::{Mask, Minute},
    notify::outbox::Outbox,
    rule::{Phase, kind_word as kind_word_of_rule},
    score::Kind,
    track::Tracked,
};

/// One metric after a round.
#[derive(Debug)]
pub(crate) struct MetricView {
    pub(crate) metric: Arc<Metric>,
    state: &'static str,
    alerts_from: Option<Minute>,
    alert_id: Option<String>,
    last: Option<Value>,
    /// What was last spent of the error budget, and what may be in 28 days.
    burn: Option<Burn>,
    allowed: Option<f64>,
    blind: Option<BlindSpot>,
    error: Option<String>,
    /// Slices seen but not followed, because of the caps.
    slices_left_out: usize,
    /// The forecasts of the metric (`None`) and its slices.
    pub(crate) fitted: BTreeMap<Option<String>, Arc<Fitted>>,
    pub(crate) masks: Vec<Mask>,
    pub(crate) evaluated_to: Minute,
    /// Usual denominator of a minute, for the width of a share's band in the future.
    pub(crate) usual_exposure: f64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) metrics: BTreeMap<String, MetricView>,
    pub(crate) problems: Vec<Problem>,
    /// Metrics wait to be loaded: the next round begins at once.
    pub(crate) loading: bool,
    /// Plain rules with how they are shown.
    pub(crate) rules: BTreeMap<String, (Arc<Rule>, Value)>,
    /// The change lines as they were in the last round.
    pub(crate) changes: Arc<Vec<Change>>,
    warnings: BTreeMap<String, String>,
    at: Timestamp,
    evaluated_to: Option<Minute>,
}

impl View {
    pub(crate) fn of(core: &Core, now: Timestamp) -> Self {
        let problems = core.folder.problems();
        let metrics: BTreeMap<String, MetricView> = core
            .tracked
            .iter()
            .map(|(name, tracked)| {
                let key = (tracked.metric.dataset.clone(), tracked.metric.environment.clone());
                let silent = core.silent.get(&key).map(|silent| silent.alert_id.clone());
                let problem = problems.iter().find(|problem| problem.file == tracked.metric.file);
                let error = problem.map(ToString::to_string);
                let error = error.or_else(|| tracked.error.clone()).or_else(|| core.warnings.get(name).cloned());
                (name.clone(), MetricView::of(tracked, silent, error))
            })
            .collect();
        Self {
            evaluated_to: core.tracked.values().map(|tracked| tracked.evaluated_to).min(),
            metrics,
            problems,
            loading: core.is_loading(),
            rules: core
                .rules
                .iter()
                .map(|(name, known)| (name.clone(), (known.rule.clone(), rule_json(known))))
                .collect(),
            changes: core.changes.1.clone(),
            warnings: core.warnings.clone(),
            at: now,
        }
    }
}

impl MetricView {
    fn of(tracked: &Tracked, silent: Option<String>, error: Option<String>) -> Self {
        let parent = &tracked.parent;
        let readiness = parent.fitted.as_ref().map(|fitted| fitted.readiness());
        let alerts_from = match readiness {
            Some(Readiness::Learning { pages_from }) => Some(pages_from),
            Some(_) => None,
            None => parent.learning.map(|learning| learning.pages_from),
        };
        let alert_id = tracked.incident.open_alert().map(str::to_owned).or_else(|| silent.clone());
        let known = parent.last.as_ref().is_none_or(|last| last.value.is_some());
        let state = match readiness {
            _ if silent.is_some() => "silent",
            _ if alert_id.is_some() => "firing",
            None | Some(Readiness::Learning { .. }) => "learning",
            _ if !known => "no_data",
            Some(Readiness::NotTrusted { .. }) => "not_trusted",
            _ => "ok",
        };
        Self {
            metric: tracked.metric.clone(),
            state,
            alerts_from,
            alert_id,
            last: last(tracked),
            burn: parent.burn,
            allowed: parent.fitted.as_ref().and_then(|fitted| fitted.allowance()).map(|known| known.allowed),
            blind: parent
                .fitted
                .as_ref()
                .zip(parent.last.as_ref())
                .map(|(fitted, last)| fitted.sight(last.minute, last.mu).blind_spot()),
            error,
            slices_left_out: tracked.slices_left_out(),
            fitted: tracked.all().filter_map(|one| Some((one.slice.clone(), one.fitted.clone()?))).collect(),
            masks: parent.history.masks().to_vec(),
            evaluated_to: tracked.evaluated_to,
            usual_exposure: tracked.usual_exposure(),
        }
    }

    /// The metric as one that may notice a change.
    pub(crate) fn watcher(&self) -> Watcher<'_> {
        let fitted = self.fitted.get(&None).map(AsRef::as_ref);
        Watcher { metric: &self.metric, fitted, exposure: self.usual_exposure }
    }

    /// The metric in `GET /api/v1/metrics`.
    pub(crate) fn to_json(&self) -> Value {
        let metric = &self.metric;
        let (mut value, mut denominator, mut threshold) = (None, None, None);
        match &metric.measure {
            query::Measure::Count => {}
            query::Measure::Sum { value: expression } => value = Some(expression),
            query::Measure::Ratio { denominator: filter } => denominator = Some(filter),
            query::Measure::Latency { value: expression, threshold_ms } => {
                (value, threshold) = (Some(expression), Some(threshold_ms));
            }
        }
        json!({
            "name": metric.name, "title": metric.title, "unit": metric.unit,
            "dataset": metric.dataset.as_str(), "environment": metric.environment,
            "kind": kind_word(&metric.measure), "direction": direction_word(metric.direction),
            "slices": metric.slices, "zone": metric.zone.name(),
            "state": self.state,
            "alerts_from": self.alerts_from.map(|minute| Timestamp::from_minutes(minute).to_rfc3339()),
            "alert_id": self.alert_id,
            "last": self.last,
            "visible_drop": self.blind.map(|blind| json!({
                "50_percent_minutes": blind.half_minutes,
                "20_percent_minutes": blind.fifth_minutes,
                "outage_minutes": blind.outage_minutes,
                "smallest": blind.smallest_drop,
            })),
            "file": metric.file, "error": self.error,
            "filter": metric.filter, "value": value, "denominator": denominator, "threshold_ms": threshold,
            "owner": metric.owner, "runbook": metric.runbook, "budget_share": metric.budget.map(|budget| budget.share),
            "burn": metric.budget.map(|budget| json!({
                "limit_1h": budget.limits[0], "limit_6h": budget.limits[1], "allowed": self.allowed, "last": self.burn,
            })),
            "slices_left_out": self.slices_left_out, "smallest_drop": metric.smallest_drop, "channels": metric.channels,
        })
    }
}

/// A rule in `GET /api/v1/rules`.
fn rule_json(known: &Followed) -> Value {
    let rule = &known.rule;
    let state = |phase: Option<Phase>| match phase {
        None => "ok",
        Some(Phase::Pending { .. }) => "pending",
        Some(Phase::Firing { .. }) => "firing",
    };
    let groups: Vec<Value> = known
        .groups
        .iter()
        .map(|(group, one)| json!({"group": group, "state": state(one.phase), "value": one.said.value, "alert_id": one.alert_id}))
        .collect();
    json!({
        "name": rule.name, "title": rule.title, "unit": rule.unit, "dataset": rule.dataset.as_str(),
        "environment": rule.environment, "kind": kind_word_of_rule(rule.judged), "sql": rule.sql,
        "above": rule.above, "below": rule.below, "window_minutes": rule.window_minutes,
        "every_minutes": rule.every_minutes, "for_minutes": rule.for_minutes,
        "keep_firing_minutes": rule.keep_firing_minutes, "compare_minutes": rule.compare_minutes,
        "channels": rule.channels, "owner": rule.owner, "runbook": rule.runbook, "file": rule.file, "error": known.error,
        "evaluated_to": Timestamp::from_minutes(known.evaluated_to - rule.every_minutes).to_rfc3339(),
        "groups": groups,
    })
}

/// The last scored minute; shares as shares.
fn last(tracked: &Tracked) -> Option<Value> {
    let score = tracked.parent.last.as_ref()?;
    let share = tracked.metric.kind() == Kind::Ratio;
    let scale = if share { score.exposure.unwrap_or(0.0) } else { 1.0 };
    let number = |value: f64| (scale > 0.0).then(|| value / scale).filter(|value| value.is_finite());
    Some(json!({
        "time": Timestamp::from_minutes(score.minute).to_rfc3339(),
        "actual": score.value.and_then(number),
        "expected": number(score.mu0),
        "lower": number(score.lower),
        "upper": number(score.upper).map(|upper| if share { upper.min(1.0) } else { upper }),
    }))
}

/// One channel's health.
#[derive(Debug, Clone, Serialize)]
pub struct ChannelStatus {
    /// Its name.
    pub name: String,
    /// `pagerduty`, `slack` or `webhook`.
    pub kind: &'static str,
    /// RFC 3339; set while deliveries fail.
    pub failing_since: Option<String>,
    /// The last failure's words.
    pub last_error: Option<String>,
    /// RFC 3339.
    pub last_success: Option<String>,
    /// The receiver is gone; nothing is sent until the definition changes or a restart.
    pub dead: bool,
}

/// What [`crate::Alerter::status`] returns.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Metrics in force.
    pub metrics: usize,
    /// Open incidents.
    pub alerts_open: usize,
    /// Channels that fail or are gone now.
    pub delivery_failures: usize,
    /// Notifications waiting.
    pub outbox_length: usize,
    /// Age of the oldest minute that is not evaluated yet, in seconds; 0 before the first round.
    pub evaluation_lag_s: f64,
    /// What is wrong with definition files.
    pub problems: Vec<Problem>,
    /// Metrics whose SQL does not work (yet), with the reason.
    pub warnings: BTreeMap<String, String>,
    /// Every channel.
    pub channels: Vec<ChannelStatus>,
}

impl Status {
    pub(crate) fn of(view: &View, alerts_open: usize, outbox: &Outbox) -> Self {
        let time = |time: Option<Timestamp>| time.map(Timestamp::to_rfc3339);
        let channels: Vec<ChannelStatus> = outbox
            .health()
            .map(|(name, channel, health)| ChannelStatus {
                name: name.to_owned(),
                kind: channel.kind.as_str(),
                failing_since: time(health.failing_since),
                last_error: health.last_error.clone(),
                last_success: time(health.last_success),
                dead: health.dead,
            })
            .collect();
        #[expect(clippy::cast_precision_loss, reason = "seconds")]
        let lag = view.evaluated_to.map_or(0.0, |minute| (view.at.seconds() - minute * 60).max(0) as f64);
        Self {
            metrics: view.metrics.len(),
            alerts_open,
            delivery_failures: channels
                .iter()
                .filter(|channel| channel.dead || channel.failing_since.is_some())
                .count(),
            outbox_length: outbox.len(),
            evaluation_lag_s: lag,
            problems: view.problems.clone(),
            warnings: view.warnings.clone(),
            channels,
        }
    }
}
