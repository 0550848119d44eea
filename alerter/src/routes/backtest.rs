//! `POST /api/v1/metrics/{name}/backtest`: the pages a rule would have sent, before it is saved.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use serde_json::{Map, Value, json};
use store::Timestamp;

use super::{Failure, body_object, metrics::not_found, only, text, time};
use crate::{
    Alerter,
    alert::Alert,
    backtest::Page,
    definition::{self, Direction, Metric, direction_word},
    history::{DAY_MINUTES, Minute},
    rehearse::{Rehearsal, Rehearsed},
};

/// Days replayed unless said.
const DAYS: i64 = 28;
/// And at most.
const DAYS_MAX: i64 = 366;
/// A page and an incident that was really opened are the same when their beginnings are this close, in minutes.
const SAME_MINUTES: i64 = 60;

pub(super) async fn backtest(
    State(alerter): State<Alerter>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Failure> {
    let answer = async {
        let body = body_object(&body)?;
        only(&body, &["from", "to", "days", "definition", "direction", "smallest_drop"])?;
        let range = range(&body, alerter.shared.clock.now().minutes())?;
        let metric = changed(wanted(&alerter, &name, &body)?, &body)?;
        let rehearsed = alerter.rehearse(Rehearsal { metric: metric.clone(), range }).await;
        let rehearsed = rehearsed.map_err(|error| Failure::internal(&error))?;
        Ok(Json(report(&metric, &rehearsed.ok_or_else(busy)?)))
    };
    answer.await.map_err(|failure: Failure| failure.of(&headers))
}

/// The definition in the body, or the one in force.
fn wanted(alerter: &Alerter, name: &str, body: &Map<String, Value>) -> Result<Metric, Failure> {
    let Some(toml) = text(body, "definition")? else {
        return alerter.defined(name).ok_or_else(|| not_found(name));
    };
    let definitions = definition::parse("definition", &toml).map_err(|problems| refused(&problems))?;
    let found = definitions.metrics.into_iter().find(|metric| metric.name == name);
    found.ok_or_else(|| Failure::invalid(format!("`definition` holds no [[metric]] named {name}")))
}

/// A definition that cannot be used.
pub(super) fn refused(problems: &[definition::Problem]) -> Failure {
    let told: Vec<String> =
        problems.iter().map(|problem| format!("line {}: {}", problem.line, problem.message)).collect();
    Failure::new(StatusCode::BAD_REQUEST, "invalid_definition", told.join("; "))
}

pub(super) fn busy() -> Failure {
    let message = "another backtest is running: ask again when it is done";
    Failure::new(StatusCode::TOO_MANY_REQUESTS, "too_many_backtests", message)
}

/// The definition with what the body says of direction and gate.
fn changed(mut metric: Metric, body: &Map<String, Value>) -> Result<Metric, Failure> {
    metric.direction = match text(body, "direction")?.as_deref() {
        None => metric.direction,
        Some("down") => Direction::Down,
        Some("up") => Direction::Up,
        Some("both") => Direction::Both,
        Some(other) => {
            return Err(Failure::invalid(format!("`direction` is {other:?}: it must be down, up or both")));
        }
    };
    match body.get("smallest_drop").filter(|value| !value.is_null()) {
        None => {}
        Some(value) => match value.as_f64().filter(|share| (0.01..=0.95).contains(share)) {
            Some(share) => metric.smallest_drop = share,
            None => return Err(Failure::invalid("`smallest_drop` must be a number within 0.01 and 0.95")),
        },
    }
    Ok(metric)
}

pub(super) fn range(body: &Map<String, Value>, now: Minute) -> Result<std::ops::Range<Minute>, Failure> {
    let bound = |key: &str| text(body, key)?.map(|text| time(&text, key).map(Timestamp::minutes)).transpose();
    let to = bound("to")?.unwrap_or(now).min(now);
    let days = match body.get("days").filter(|value| !value.is_null()) {
        None => DAYS,
        Some(value) => match value.as_i64().filter(|days| (1..=DAYS_MAX).contains(days)) {
            Some(days) => days,
            None => return Err(Failure::invalid(format!("`days` must be a whole number within 1 and {DAYS_MAX}"))),
        },
    };
    let from = bound("from")?.unwrap_or(to - days * DAY_MINUTES);
    if from >= to || to - from > DAYS_MAX * DAY_MINUTES {
        return Err(Failure::invalid(format!("`from` must be before `to`, by {DAYS_MAX} days at most")));
    }
    Ok(from..to)
}

fn report(metric: &Metric, found: &Rehearsed) -> Value {
    let Rehearsed { replayed, settings, known, in_force } = found;
    let moment = |minute: Minute| Timestamp::from_minutes(minute).to_rfc3339();
    let pages: Vec<Value> = replayed.pages.iter().map(|page| page_json(page, known)).collect();
    #[expect(clippy::cast_precision_loss, reason = "minutes of a year")]
    let weeks = replayed.judged as f64 / (7 * DAY_MINUTES) as f64;
    json!({
        "metric": metric.name, "unit": metric.unit, "from": moment(replayed.range.start), "to": moment(replayed.range.end),
        "direction": direction_word(metric.direction), "smallest_drop": metric.smallest_drop,
        "parent_metrics": settings.parent_metrics,
        "history": if *in_force { "points" } else { "raw events" },
        "minutes_judged": replayed.judged, "minutes_unknown": replayed.unknown, "minutes_learning": replayed.learning,
        "pages_per_week": (weeks > 0.0).then(|| pages.len() as f64 / weeks),
        "pages": pages,
    })
}

fn page_json(page: &Page, known: &[Alert]) -> Value {
    let moment = |minute: Minute| Timestamp::from_minutes(minute).to_rfc3339();
    let near = |alert: &&Alert| (alert.onset.minutes() - page.onset.minute).abs() <= SAME_MINUTES;
    let really = known.iter().filter(near).min_by_key(|alert| (alert.onset.minutes() - page.onset.minute).abs());
    json!({
        // A minute is judged once it is over.
        "paged_at": moment(page.minute + 1),
        "onset": moment(page.onset.minute), "onset_from": moment(page.onset.from), "onset_to": moment(page.onset.to),
        "resolved_at": page.closed.map(moment),
        "direction": direction_word(page.breach.direction),
        "window_minutes": page.breach.window_minutes, "score": page.breach.z, "threshold": page.breach.threshold,
        "expected": page.loss.expected, "seen": page.loss.seen,
        "missed": page.loss.lost, "missed_low": page.loss.low, "missed_high": page.loss.high,
        "burn": page.burn,
        "relapses": page.relapses, "new_normal": page.new_normal,
        "alert_id": really.map(|alert| &alert.id),
        "feedback": really.and_then(|alert| alert.feedback.as_ref()).map(|feedback| feedback.verdict.to_string()),
    })
}
