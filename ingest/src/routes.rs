//! `POST /api/v1/events/{dataset}` and `POST /api/v1/changes`.

use axum::{
    Json, Router,
    body::HttpBody as _,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use store::DatasetName;

use crate::{Accepted, Declared, Error, Intake, Request, body::Format};

/// The routes of this stage.
pub fn routes(intake: Intake) -> Router {
    Router::new()
        .route("/api/v1/events/{dataset}", post(post_events))
        .route("/api/v1/changes", post(post_change))
        .with_state(intake)
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct EventParameters {
    import: bool,
}

async fn post_events(
    State(intake): State<Intake>,
    Path(dataset): Path<String>,
    Query(parameters): Query<EventParameters>,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Response {
    let name = DatasetName::from_user(&dataset);
    let taken = async {
        // First: a refusal must find the body read.
        let body = read(body, intake.inner.config.body_bytes_max).await?;
        let request = Request {
            dataset: name.clone().ok_or(Error::DatasetName { name: dataset })?,
            format: Format::from_headers(&headers)?,
            idempotency_key: idempotency_key(&headers)?,
            import: parameters.import,
            body,
        };
        intake.accept(request).await
    };
    match taken.await {
        Ok(accepted) => answer(&accepted, &headers),
        Err(error) => {
            // `system.ingest` counts what was refused whole, too; such a name makes no dataset.
            if let Some(name) = name {
                intake.inner.store.count_refused(&name, status_and_code(&error).1);
            }
            refuse(&intake, &error, &headers)
        }
    }
}

async fn post_change(State(intake): State<Intake>, headers: HeaderMap, body: axum::body::Body) -> Response {
    const CHANGE_BYTES_MAX: usize = 256 << 10;
    let declared = async {
        Format::from_headers(&headers)?;
        let body = read(body, CHANGE_BYTES_MAX).await?;
        let body: Value =
            serde_json::from_slice(&body).map_err(|error| Error::Change { message: format!("not JSON: {error}") })?;
        intake.inner.changes.declare(&body).await
    };
    match declared.await {
        Ok(Declared::Created(change)) => (StatusCode::CREATED, Json(change)).into_response(),
        Ok(Declared::Duplicate(change)) => Json(change).into_response(),
        Err(error) => refuse(&intake, &error, &headers),
    }
}

/// The whole body, at most `limit` bytes. What a client sends beyond is read and dropped up to a few times the limit, so that
/// it sees the answer instead of a broken connection.
async fn read(mut body: axum::body::Body, limit: usize) -> Result<Bytes, Error> {
    const DRAIN_FACTOR: usize = 4;
    let announced = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    let mut whole = BytesMut::new();
    let mut length = 0_usize;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Error::BodyInterrupted)?.into_data() else { continue };
        length += data.len();
        if length <= limit {
            if data.len() == length && announced == Some(length) {
                // It came in one piece: no copy.
                return Ok(data);
            }
            // At most twice what is there already, whatever was announced.
            whole.reserve(announced.unwrap_or(0).min(2 * length).saturating_sub(whole.len()).max(data.len()));
            whole.extend_from_slice(&data);
        } else if length > limit * DRAIN_FACTOR {
            break;
        }
    }
    if length > limit { Err(Error::BodyTooLarge { limit }) } else { Ok(whole.freeze()) }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Error> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if (1..=256).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(Error::IdempotencyKey),
    }
}

/// 200 when anything was stored or known; 400 when every event was refused.
fn answer(accepted: &Accepted, headers: &HeaderMap) -> Response {
    let rejected: Vec<_> = accepted
        .rejected
        .iter()
        .map(|reject| json!({"index": reject.index, "code": reject.code, "message": reject.message}))
        .collect();
    let mut body = json!({"accepted": accepted.accepted, "duplicates": accepted.duplicates, "rejected": rejected});
    if accepted.accepted + accepted.duplicates > 0 {
        return Json(body).into_response();
    }
    let first = accepted.rejected.first().map_or("", |reject| reject.message.as_str());
    let message = format!("none of {} events was accepted; the first: {first}", accepted.rejected.len());
    body["error"] = error_body("nothing_accepted", &message, headers);
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

fn refuse(intake: &Intake, error: &Error, headers: &HeaderMap) -> Response {
    let (status, code) = status_and_code(error);
    intake.inner.stats.refuse(code);
    if status.is_server_error() {
        tracing::warn!(code, error = %Chain(error), "request refused");
    }
    // The client learns what to do; causes with paths and errno stay in the log.
    let mut message = error.to_string();
    if let Error::Store(source) = error {
        message = format!("{message}: {source}");
    }
    let mut response = (status, Json(json!({"error": error_body(code, &message, headers)}))).into_response();
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    response
}

fn status_and_code(error: &Error) -> (StatusCode, &'static str) {
    match error {
        Error::BodyTooLarge { .. } | Error::DecompressedTooLarge { .. } => {
            (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large")
        }
        Error::TooManyEvents { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_many_events"),
        Error::BodyInterrupted => (StatusCode::BAD_REQUEST, "body_interrupted"),
        Error::Decompress { .. } => (StatusCode::BAD_REQUEST, "bad_compression"),
        Error::UnsupportedEncoding { .. } => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding"),
        Error::UnsupportedMedia { .. } => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
        Error::Malformed { .. } => (StatusCode::BAD_REQUEST, "malformed_json"),
        Error::DatasetName { .. } => (StatusCode::BAD_REQUEST, "bad_dataset_name"),
        Error::IdempotencyKey => (StatusCode::BAD_REQUEST, "bad_idempotency_key"),
        Error::Change { .. } => (StatusCode::BAD_REQUEST, "bad_change"),
        Error::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
        Error::Store(store::Error::IdempotencyKeyReused { .. }) => (StatusCode::CONFLICT, "idempotency_key_reused"),
        Error::Store(store::Error::Busy { .. }) => (StatusCode::TOO_MANY_REQUESTS, "busy"),
        Error::Store(store::Error::ReadOnly) => (StatusCode::SERVICE_UNAVAILABLE, "read_only"),
        Error::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable"),
    }
}

fn error_body(code: &str, message: &str, headers: &HeaderMap) -> Value {
    let request_id = headers.get("x-request-id").and_then(|id| id.to_str().ok());
    json!({"code": code, "message": message, "request_id": request_id})
}

/// An error with its causes, for the log.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
