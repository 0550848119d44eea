//! `GET /changes` and `GET /changes/{id}`: the newest revision of each change.

use arrow::array::RecordBatch;
use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Parameters, instant, literal, refuse, time_literal};
use crate::{encode::rows_as_json, engine::Engine, error::Error};

const CHANGES: usize = 1_000;
const CHANGES_MAX: usize = 10_000;

/// Fields in the order of the documentation; they are the known columns of `system.changes`.
const FIELDS: &str = "id, revision, kind, status, title, time, end_time, environment, service, rollout, version, experiment, variant, \
    share, selector, target, actor, owner, revision_ref, url, off, source, inferred, dedup_key, merged_into";

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ChangesParameters {
    from: Option<String>,
    to: Option<String>,
    environment: Option<String>,
    service: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn get_changes(
    State(engine): State<Engine>,
    Parameters(parameters): Parameters<ChangesParameters>,
    headers: HeaderMap,
) -> Response {
    let answered = async {
        let sql = select(&parameters)?;
        Ok(changes(&engine.rows(&sql, None).await?))
    };
    match answered.await {
        Ok(changes) => ([(header::CACHE_CONTROL, "no-store")], Json(json!({"changes": changes}))).into_response(),
        Err(error) => refuse(&error, &headers),
    }
}

pub(super) async fn get_change(State(engine): State<Engine>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let sql = format!("SELECT {FIELDS} FROM system.changes WHERE id = {}", literal(&id));
    let found = engine.rows(&sql, None).await.map(|batches| changes(&batches).pop());
    match found {
        Ok(Some(change)) => Json(change).into_response(),
        Ok(None) => refuse(&Error::ChangeNotFound { id }, &headers),
        Err(error) => refuse(&error, &headers),
    }
}

/// A change that lasts belongs to the range if any part of it does; one without environment or service concerns all of them.
fn select(parameters: &ChangesParameters) -> Result<String, Error> {
    let mut conditions = Vec::new();
    if let Some(from) = instant("from", parameters.from.as_deref())? {
        conditions.push(format!("coalesce(end_time, time) >= {}", time_literal(from)));
    }
    if let Some(to) = instant("to", parameters.to.as_deref())? {
        conditions.push(format!("time < {}", time_literal(to)));
    }
    for (column, wanted) in [("environment", &parameters.environment), ("service", &parameters.service)] {
        if let Some(wanted) = wanted.as_deref().filter(|wanted| !wanted.is_empty()) {
            conditions.push(format!("({column} IS NULL OR {column} = {})", literal(wanted)));
        }
    }
    let filter = if conditions.is_empty() { String::new() } else { format!("WHERE {} ", conditions.join(" AND ")) };
    let limit = parameters.limit.unwrap_or(CHANGES).min(CHANGES_MAX);
    Ok(format!("SELECT {FIELDS} FROM system.changes {filter}ORDER BY time DESC, id DESC LIMIT {limit}"))
}

fn changes(batches: &[RecordBatch]) -> Vec<Value> {
    rows_as_json(batches).into_iter().map(change).collect()
}

fn change(mut fields: Map<String, Value>) -> Value {
    if let Some(off) = fields.get_mut("off")
        && let Some(text) = off.as_str()
    {
        *off = serde_json::from_str(text).unwrap_or_default();
    }
    Value::Object(fields)
}
