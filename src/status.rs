//! Health for machines and people: `/healthz`, `/readyz`, `/metrics`, `/api/v1/status`.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use serde_json::{Value, json};
use store::{Clock, Store, Timestamp};

/// What the health routes look at.
#[derive(Debug)]
pub(crate) struct Status {
    store: Store,
    intake: ingest::Intake,
    engine: query::Engine,
    alerts: alerter::Alerter,
    clock: Arc<dyn Clock>,
    started_at: Timestamp,
}

impl Status {
    pub(crate) fn new(
        store: Store,
        intake: ingest::Intake,
        engine: query::Engine,
        alerts: alerter::Alerter,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let started_at = clock.now();
        Self { store, intake, engine, alerts, clock, started_at }
    }
}

/// The routes; they exist only after recovery, so being answered means being ready.
pub(crate) fn routes(status: Arc<Status>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/v1/status", get(show))
        .route("/api/v1/openapi.json", get(openapi))
        .with_state(status)
}

async fn ready(State(status): State<Arc<Status>>) -> impl IntoResponse {
    if status.store.is_running() {
        return (StatusCode::OK, "ready\n");
    }
    (StatusCode::SERVICE_UNAVAILABLE, "a thread of the store died: restart the process\n")
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], include_str!("../docs/openapi.json"))
}

async fn metrics(State(status): State<Arc<Status>>) -> impl IntoResponse {
    let text = [
        status.intake.metrics_text(),
        status.store.metrics_text(),
        status.engine.metrics_text(),
        status.alerts.metrics_text(),
    ]
    .concat();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

async fn show(State(status): State<Arc<Status>>) -> Json<Value> {
    let now = status.clock.now();
    let datasets = status.store.datasets();
    let newest =
        datasets.iter().filter(|dataset| !dataset.name.is_system()).filter_map(|dataset| dataset.last_event).max();
    let alerter = status.alerts.status();
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "started_at": status.started_at.to_rfc3339(),
        "read_only": status.store.is_read_only(),
        "uptime_s": (now.0 - status.started_at.0) / 1_000_000,
        "datasets": datasets.iter().filter(|dataset| !dataset.name.is_system()).map(|dataset| dataset.name.as_str()).collect::<Vec<_>>(),
        "events_per_second": status.intake.events_per_second(now),
        "ingest_lag_s": newest.map(|newest| ((now.0 - newest.0) as f64 / 1e6).max(0.0)),
        "alerts_open": alerter.alerts_open,
        "delivery_failures": alerter.delivery_failures,
        "definition_problems": alerter.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
    }))
}
