//! `/api/v1/silences`.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use serde_json::{Value, json};

use super::{Failure, body_object, only, text, time};
use crate::{Alerter, silence::Silence};

/// Longest silence, in days: a forgotten one must end.
const DAYS_MAX: i64 = 30;

pub(super) async fn list(State(alerter): State<Alerter>) -> Json<Value> {
    let now = alerter.shared.clock.now();
    Json(json!({"silences": alerter.shared.alerts.lock().silences(now)}))
}

pub(super) async fn create(
    State(alerter): State<Alerter>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let created = async {
        let object = body_object(&body)?;
        only(&object, &["metric", "until", "actor", "reason"])?;
        let now = alerter.shared.clock.now();
        let metric =
            text(&object, "metric")?.ok_or_else(|| Failure::invalid("`metric` is missing: name one, or \"*\""))?;
        if metric != "*" && !alerter.shared.view.read().metrics.contains_key(&metric) {
            return Err(Failure::new(
                StatusCode::NOT_FOUND,
                "metric_not_found",
                format!("there is no metric {metric}"),
            ));
        }
        let until = text(&object, "until")?.ok_or_else(|| Failure::invalid("`until` is missing"))?;
        let until = time(&until, "until")?;
        if until <= now || until > now.plus_seconds(DAYS_MAX * 86_400) {
            return Err(Failure::invalid(format!("`until` must lie within the next {DAYS_MAX} days")));
        }
        let silence = Silence {
            id: format!("{}-{}", if metric == "*" { "all" } else { &metric }, now.0),
            metric,
            from: now,
            until,
            actor: text(&object, "actor")?,
            reason: text(&object, "reason")?,
        };
        alerter.shared.alerts.lock().add_silence(silence.clone());
        if !alerter.write_transitions(now).await {
            return Err(Failure::unavailable());
        }
        Ok((StatusCode::CREATED, Json(json!(silence))))
    };
    created.await.map_err(|failure: Failure| failure.of(&headers))
}

pub(super) async fn end(
    State(alerter): State<Alerter>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Failure> {
    let now = alerter.shared.clock.now();
    if !alerter.shared.alerts.lock().end_silence(&id, now) {
        let failure = Failure::new(StatusCode::NOT_FOUND, "silence_not_found", format!("there is no silence {id}"));
        return Err(failure.of(&headers));
    }
    if alerter.write_transitions(now).await {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Failure::unavailable().of(&headers))
    }
}
