//! `GET /api/v1/changes/{id}/coverage`: would you notice what this change breaks?

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use serde_json::{Value, json};

use super::Failure;
use crate::{Alerter, coverage, view::MetricView};

pub(super) async fn coverage(
    State(alerter): State<Alerter>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let view = alerter.shared.view.read().clone();
    let Some(change) = view.changes.iter().find(|change| change.id == id) else {
        let message =
            format!("no change {id} is known, or it was merged into another; a new one is known within a minute");
        return Err(Failure::new(StatusCode::NOT_FOUND, "change_not_found", message).of(&headers));
    };
    let watchers = view.metrics.values().map(MetricView::watcher);
    let found = coverage::coverage(change, watchers, change.time.minutes());
    let mut answer = json!(found);
    answer["change_id"] = json!(id);
    Ok(Json(answer))
}
