//! HTTP of this stage; the shapes are those of `docs/api.md`.

mod answer;
mod changes;
mod questions;
mod schema;
mod sql;

use axum::{
    Json, Router,
    extract::{FromRequestParts, Path, Query, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use serde_json::{Value, json};

use crate::{engine::Engine, error::Error};

/// The routes of this stage.
pub fn routes(engine: Engine) -> Router {
    Router::new()
        .route("/api/v1/sql", post(sql::post_sql))
        .route("/api/v1/explain-diff", post(questions::post_explain))
        .route("/api/v1/compare", post(questions::post_compare))
        .route("/api/v1/functions", get(questions::get_functions))
        .route("/api/v1/queries", get(sql::get_queries))
        .route("/api/v1/queries/{id}", delete(sql::delete_query))
        .route("/api/v1/datasets", get(schema::get_datasets))
        .route("/api/v1/datasets/{dataset}/columns", get(schema::get_columns))
        .route("/api/v1/datasets/{dataset}/values", get(schema::get_values))
        .route("/api/v1/events/{dataset}/{id}", get(get_event))
        .route("/api/v1/traces/{id}", get(get_trace))
        .route("/api/v1/changes", get(changes::get_changes))
        .route("/api/v1/changes/{id}", get(changes::get_change))
        .with_state(engine)
}

async fn get_event(
    State(engine): State<Engine>,
    Path((dataset, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    match engine.event(&dataset, &id).await {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(error) => refuse(&error, &headers),
    }
}

async fn get_trace(State(engine): State<Engine>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    match engine.trace(&id).await {
        Ok(trace) => Json(trace).into_response(),
        Err(error) => refuse(&error, &headers),
    }
}

/// An error as every route answers it; the headers are the request's.
pub fn refuse(error: &Error, headers: &HeaderMap) -> Response {
    let status = status(error);
    if status.is_server_error() {
        tracing::error!(code = error.code(), error = %Chain(error), "request failed");
    }
    let mut response = (status, Json(json!({"error": error_body(error, headers)}))).into_response();
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    response
}

fn status(error: &Error) -> StatusCode {
    match error {
        Error::Syntax { .. }
        | Error::UnknownTable { .. }
        | Error::UnknownColumn { .. }
        | Error::ReadOnly { .. }
        | Error::Invalid { .. }
        | Error::Request { .. } => StatusCode::BAD_REQUEST,
        Error::Deadline { .. } => StatusCode::REQUEST_TIMEOUT,
        Error::Cancelled => StatusCode::CONFLICT,
        Error::Memory { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Error::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
        Error::NotAcceptable { .. } => StatusCode::NOT_ACCEPTABLE,
        Error::UnknownDataset { .. }
        | Error::EventNotFound { .. }
        | Error::ChangeNotFound { .. }
        | Error::TraceNotFound { .. }
        | Error::QueryNotFound { .. } => StatusCode::NOT_FOUND,
        Error::Metric { source, .. } => self::status(source),
        Error::Rebuild { .. } | Error::Engine { .. } | Error::Threads { .. } | Error::ReadParquet { .. } => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

/// `{"code","message","request_id","position"?}`
fn error_body(error: &Error, headers: &HeaderMap) -> Value {
    let request_id = headers.get("x-request-id").and_then(|id| id.to_str().ok());
    let mut body = json!({"code": error.code(), "message": error.to_string(), "request_id": request_id});
    if let Some(position) = error.position() {
        body["position"] = json!({"line": position.line, "column": position.column});
    }
    body
}

/// Query parameters, or the documented error.
struct Parameters<T>(T);

impl<T: serde::de::DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(rejection) => Err(refuse(&Error::Request { message: rejection.body_text() }, &parts.headers)),
        }
    }
}

/// An instant in a query parameter.
fn instant(name: &str, text: Option<&str>) -> Result<Option<store::Timestamp>, Error> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    match store::Timestamp::parse_rfc3339(text) {
        Some(at) => Ok(Some(at)),
        None => Err(Error::Request { message: format!("{name}={text:?} is no time such as 2026-11-20T14:10:00Z") }),
    }
}

/// A text as an SQL literal.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// An instant as an SQL literal.
fn time_literal(at: store::Timestamp) -> String {
    format!("TIMESTAMP '{}'", at.to_rfc3339())
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
