//! HTTP of this stage: metrics and their points, alerts, silences (`docs/api.md`).

mod alerts;
mod backtest;
mod case;
mod coverage;
mod metrics;
pub(crate) mod off;
mod pictures;
mod rules;
mod silences;

use axum::{
    Json, Router,
    extract::DefaultBodyLimit,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use serde_json::{Value, json};
use store::Timestamp;

pub(crate) use self::alerts::alert_json;
use crate::Alerter;

/// Largest JSON body of these routes, in bytes.
const JSON_BYTES_MAX: usize = 64 * 1024;

/// All routes of this stage: under `/api/v1`, and the pictures, which need no key but their address.
pub fn routes(alerter: Alerter) -> Router {
    let import_max = alerter.shared.config.import_bytes_max;
    let points = get(metrics::points).merge(post(metrics::import).layer(DefaultBodyLimit::max(import_max)));
    Router::new()
        .route("/api/v1/metrics", get(metrics::list))
        .route("/api/v1/metrics/{name}/backtest", post(backtest::backtest))
        .route("/api/v1/alerts", get(alerts::list))
        .route("/api/v1/alerts/{id}", get(alerts::one))
        .route("/api/v1/alerts/{id}/acknowledge", post(alerts::acknowledge))
        .route("/api/v1/alerts/{id}/feedback", post(alerts::feedback))
        .route("/api/v1/alerts/{id}/off", post(off::turn_off))
        .route("/api/v1/alerts/{id}/picture", get(pictures::of_alert))
        .route("/api/v1/alerts/{id}/case", get(case::case))
        .route("/pictures/{file}", get(pictures::shared))
        .route("/api/v1/rules", get(rules::list))
        .route("/api/v1/rules/{name}/backtest", post(rules::replay))
        .route("/api/v1/changes/{id}/coverage", get(coverage::coverage))
        .route("/api/v1/silences", get(silences::list).post(silences::create))
        .route("/api/v1/silences/{id}", delete(silences::end))
        .layer(DefaultBodyLimit::max(JSON_BYTES_MAX))
        .route("/api/v1/metrics/{name}/points", points)
        .with_state(alerter)
}

/// An answer that is no success, in the shape all routes share.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    code: &'static str,
    message: String,
    request_id: Option<String>,
    /// A field beside the error: what the client needs to go on.
    more: Option<Box<(&'static str, Value)>>,
}

impl Failure {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), request_id: None, more: None }
    }

    fn with(mut self, key: &'static str, value: Value) -> Self {
        self.more = Some(Box::new((key, value)));
        self
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    fn of(mut self, headers: &HeaderMap) -> Self {
        self.request_id = headers.get("x-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        self
    }

    /// An error of ours: its chain goes to the log, not to the client.
    fn internal(error: &crate::Error) -> Self {
        tracing::error!(error = %error.chain(), "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string())
    }

    fn unavailable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", "it could not be stored: try again")
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut body = json!({"error": {"code": self.code, "message": self.message, "request_id": self.request_id}});
        if let Some(more) = self.more {
            body[more.0] = more.1;
        }
        (self.status, Json(body)).into_response()
    }
}

/// A JSON object of a request body; an empty body is an empty object.
fn body_object(body: &[u8]) -> Result<serde_json::Map<String, Value>, Failure> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(serde_json::Map::new());
    }
    match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Failure::invalid("the body must be a JSON object")),
        Err(error) => {
            Err(Failure::new(StatusCode::BAD_REQUEST, "malformed_json", format!("the body is no JSON: {error}")))
        }
    }
}

/// Refuses fields that do not exist, so that a typo is not taken for an absent field.
fn only(object: &serde_json::Map<String, Value>, known: &[&str]) -> Result<(), Failure> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(Failure::invalid(format!("unknown field `{key}`: known are {}", known.join(", ")))),
        None => Ok(()),
    }
}

fn text(object: &serde_json::Map<String, Value>, key: &str) -> Result<Option<String>, Failure> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() <= 10_000 => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        Some(Value::String(_)) => Err(Failure::invalid(format!("`{key}` is longer than 10,000 bytes"))),
        Some(_) => Err(Failure::invalid(format!("`{key}` must be a string"))),
    }
}

/// A time of a query string or body.
fn time(text: &str, key: &str) -> Result<Timestamp, Failure> {
    Timestamp::parse_rfc3339(text)
        .ok_or_else(|| Failure::invalid(format!("`{key}` is {text:?}: write RFC 3339 such as 2026-11-20T14:10:00Z")))
}
