//! `/api/v1/metrics` and the points of a metric.

use std::collections::BTreeMap;

use axum::{
    Json,
    body::Bytes,
    extract::{
        Path, Query, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Failure, time};
use crate::{
    Alerter,
    history::Minute,
    points::{self, Stored},
    score::Kind,
    view::MetricView,
};

/// Steps answered at most.
const STEPS_MAX: i64 = 20_000;
/// How far into the future a forecast is shown, in minutes: 7 days.
const FUTURE_MINUTES: i64 = 7 * 1440;
/// How far back minutes that were never judged (imported ones) are shown with what today's forecast says of them: 7 days.
const PAST_MINUTES: i64 = 7 * 1440;
/// Range shown when none is asked for, in minutes.
const DEFAULT_MINUTES: i64 = 1440;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Wanted {
    from: Option<String>,
    to: Option<String>,
    slice: Option<String>,
    step_s: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Target {
    slice: Option<String>,
}

pub(super) async fn list(State(alerter): State<Alerter>) -> Json<Value> {
    let view = alerter.shared.view.read().clone();
    let metrics: Vec<Value> = view.metrics.values().map(MetricView::to_json).collect();
    Json(json!({"metrics": metrics, "problems": view.problems}))
}

pub(super) async fn points(
    State(alerter): State<Alerter>,
    Path(name): Path<String>,
    headers: HeaderMap,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Value>, Failure> {
    let answer = async {
        let Query(wanted) = query.map_err(|error| Failure::invalid(error.body_text()))?;
        let view = alerter.shared.view.read().clone();
        let metric = view.metrics.get(&name).ok_or_else(|| not_found(&name))?;
        let grid = Grid::of(&alerter, &wanted)?;
        let slice = wanted.slice.as_deref();
        let shared = &alerter.shared;
        let stored = points::between(&shared.engine, &shared.store, &name, slice, grid.from, grid.to).await;
        let stored = stored.map_err(|error| Failure::internal(&error))?;
        Ok(Json(columns(metric, slice, &grid, &stored)))
    };
    answer.await.map_err(|failure: Failure| failure.of(&headers))
}

/// The steps asked for, in whole minutes.
struct Grid {
    from: Minute,
    to: Minute,
    step: i64,
}

impl Grid {
    fn of(alerter: &Alerter, wanted: &Wanted) -> Result<Self, Failure> {
        let now = alerter.shared.clock.now().minutes();
        let bound = |text: Option<&String>, key, otherwise: Minute| {
            text.map_or(Ok(otherwise), |text| time(text, key).map(store::Timestamp::minutes))
        };
        let to = bound(wanted.to.as_ref(), "to", now)?.min(now + FUTURE_MINUTES);
        let from = bound(wanted.from.as_ref(), "from", to - DEFAULT_MINUTES)?;
        let step = wanted.step_s.unwrap_or(60);
        if step < 60 || step % 60 != 0 || step > 86_400 {
            return Err(Failure::invalid("`step_s` must be a multiple of 60, up to 86400"));
        }
        let step = step / 60;
        if from >= to {
            return Err(Failure::invalid("`from` must be before `to`"));
        }
        if (to - from) / step > STEPS_MAX {
            let message = format!("that is {} steps, the limit is {STEPS_MAX}: raise `step_s`", (to - from) / step);
            return Err(Failure::new(StatusCode::BAD_REQUEST, "too_many_points", message));
        }
        Ok(Self { from: from.div_euclid(step) * step, to, step })
    }
}

/// Sum and number of what a step knows.
#[derive(Debug, Default, Clone, Copy)]
struct Mean {
    sum: f64,
    weight: f64,
}

impl Mean {
    fn add(&mut self, value: Option<f64>, weight: f64) {
        if let Some(value) = value.filter(|_| weight > 0.0) {
            self.sum += value * weight;
            self.weight += weight;
        }
    }

    fn get(self) -> Value {
        if self.weight > 0.0 { json!(self.sum / self.weight) } else { Value::Null }
    }
}

/// What a chart shows of a stored minute.
struct Shown {
    actual: Option<f64>,
    exposure: Option<f64>,
    /// Expected, lower, upper.
    band: Option<(f64, (f64, f64))>,
    score: Option<f64>,
}

/// Expected, lower, upper of a minute that was never judged, by today's forecast; `None` when it is too long ago.
pub(super) fn modelled(
    view: &MetricView,
    slice: Option<&str>,
    minute: Minute,
    exposure: Option<f64>,
) -> Option<(f64, (f64, f64))> {
    let fitted = view.fitted.get(&slice.map(str::to_owned)).filter(|_| minute >= view.evaluated_to - PAST_MINUTES)?;
    let share = view.metric.kind() == Kind::Ratio;
    let known = exposure.filter(|exposure| *exposure > 0.0);
    let exposure = if share { known.unwrap_or(view.usual_exposure).max(1.0) } else { 1.0 };
    let interval = fitted.interval(minute, 1, exposure);
    let upper = interval.upper / exposure;
    let upper = if share { upper.min(1.0) } else { upper };
    Some((interval.expected / exposure, (interval.lower / exposure, upper)))
}

fn columns(view: &MetricView, slice: Option<&str>, grid: &Grid, stored: &Stored) -> Value {
    let mut by_minute: BTreeMap<Minute, Shown> = BTreeMap::new();
    stored.for_each(|point| {
        let band = point.expected.zip(point.lower.zip(point.upper));
        let shown = Shown { actual: point.actual, exposure: point.exposure, band, score: point.score };
        by_minute.insert(point.minute, shown);
    });
    let share = view.metric.kind() == Kind::Ratio;
    let mut out: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    let mut minute = grid.from;
    while minute < grid.to {
        let end = (minute + grid.step).min(grid.to);
        let [mut actual, mut expected, mut lower, mut upper] = [Mean::default(); 4];
        let mut score: Option<f64> = None;
        for m in minute..end {
            let point = by_minute.get(&m);
            let weight = if share { point.and_then(|point| point.exposure).unwrap_or(1.0) } else { 1.0 };
            if let Some(point) = point {
                actual.add(point.actual, weight);
                score = score.into_iter().chain(point.score).reduce(f64::max);
            }
            // A judged minute keeps the band it was judged by.
            let band = point.and_then(|point| point.band);
            let by_model = || modelled(view, slice, m, point.and_then(|point| point.exposure));
            if let Some((mid, (low, high))) = band.or_else(by_model) {
                expected.add(Some(mid), weight);
                lower.add(Some(low), weight);
                upper.add(Some(high), weight);
            }
        }
        let masked = view.masks.iter().any(|mask| mask.from < end && mask.to > minute);
        for (name, value) in [
            ("time_ms", json!(minute * 60_000)),
            ("actual", actual.get()),
            ("expected", expected.get()),
            ("lower", lower.get()),
            ("upper", upper.get()),
            ("score", json!(score)),
            ("masked", json!(masked)),
        ] {
            out.entry(name).or_default().push(value);
        }
        minute += grid.step;
    }
    let mut answer =
        json!({"metric": view.metric.name, "slice": slice, "unit": view.metric.unit, "step_s": grid.step * 60});
    for name in ["time_ms", "actual", "expected", "lower", "upper", "score", "masked"] {
        answer[name] = json!(out.remove(name).unwrap_or_default());
    }
    answer
}

pub(super) async fn import(
    State(alerter): State<Alerter>,
    Path(name): Path<String>,
    headers: HeaderMap,
    query: Result<Query<Target>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Failure> {
    let answer = async {
        let Query(target) = query.map_err(|error| Failure::invalid(error.body_text()))?;
        let body = body.map_err(|_| {
            let limit = alerter.shared.config.import_bytes_max;
            let message = format!("the body is over {limit} bytes: split it, or raise alerter.import_bytes_max");
            Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
        })?;
        let imported = alerter.import(&name, target.slice.as_deref(), &body).await;
        let imported = imported.map_err(|error| Failure::internal(&error))?.ok_or_else(|| not_found(&name))?;
        if imported.imported == 0 && !imported.rejected.is_empty() {
            let first = &imported.rejected[0];
            let message = format!("no line could be read; line {}: {}", first.line, first.message);
            return Err(Failure::new(StatusCode::BAD_REQUEST, "malformed_csv", message));
        }
        Ok(Json(json!(imported)))
    };
    answer.await.map_err(|failure: Failure| failure.of(&headers))
}

pub(super) fn not_found(name: &str) -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "metric_not_found", format!("there is no metric {name}"))
}
