//! `POST /sql`, and the queries that run.

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use serde_json::json;

use super::{answer, refuse};
use crate::{
    engine::{Engine, SqlRequest},
    error::Error,
};

/// Bytes a request has beside its SQL text, escapes of it included.
const ENVELOPE_BYTES: usize = 64 << 10;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SqlBody {
    sql: String,
    #[serde(default)]
    dataset: Option<String>,
    #[serde(default)]
    timeout_ms: Option<u64>,
    #[serde(default)]
    limit: Option<usize>,
}

pub(super) async fn post_sql(State(engine): State<Engine>, headers: HeaderMap, body: Body) -> Response {
    let answered = async {
        let format = answer::Format::accepted(&headers)?;
        let request = read(&engine, body).await?;
        Ok((format, engine.sql(request).await?))
    };
    match answered.await {
        Ok((format, rows)) => answer::respond(format, rows, &headers, engine.inner.config.result_bytes_max).await,
        Err(error) => refuse(&error, &headers),
    }
}

async fn read(engine: &Engine, body: Body) -> Result<SqlRequest, Error> {
    let limit = engine.inner.config.sql_bytes_max.saturating_mul(2).saturating_add(ENVELOPE_BYTES);
    let whole = Limited::new(body, limit)
        .collect()
        .await
        .map_err(|_| Error::Request { message: format!("the body broke off or is longer than {limit} bytes") })?;
    let body: SqlBody = serde_json::from_slice(&whole.to_bytes())
        .map_err(|error| Error::Request { message: format!("the body is not {{\"sql\": \"…\"}}: {error}") })?;
    Ok(SqlRequest { sql: body.sql, dataset: body.dataset, timeout_ms: body.timeout_ms, limit: body.limit })
}

pub(super) async fn get_queries(State(engine): State<Engine>) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(json!({"queries": engine.queries()}))).into_response()
}

pub(super) async fn delete_query(State(engine): State<Engine>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    match engine.cancel(&id) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refuse(&error, &headers),
    }
}
