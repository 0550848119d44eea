//! What there is to ask about: datasets, their columns, the values of a column.

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};
use store::Timestamp;

use super::{Parameters, instant, literal, refuse, time_literal};
use crate::{
    encode::cell_value,
    engine::Engine,
    error::{Error, quoted},
};

/// Seconds of data `values` looks at when no `from` is given: a day before the newest event.
const RECENT_S: i64 = 86_400;
const VALUES_MAX: usize = 1_000;

pub(super) async fn get_datasets(State(engine): State<Engine>) -> Response {
    let text = |at: Option<Timestamp>| at.map(Timestamp::to_rfc3339);
    let datasets: Vec<Value> = engine
        .inner
        .store
        .datasets()
        .into_iter()
        .map(|one| {
            json!({
                "name": one.name.as_str(),
                "events": one.events,
                "bytes_on_disk": one.bytes_on_disk,
                "files": one.files,
                "columns": one.columns,
                "first_event": text(one.first_event),
                "last_event": text(one.last_event),
            })
        })
        .collect();
    ([(header::CACHE_CONTROL, "no-store")], Json(json!({"datasets": datasets}))).into_response()
}

pub(super) async fn get_columns(
    State(engine): State<Engine>,
    Path(dataset): Path<String>,
    headers: HeaderMap,
) -> Response {
    match engine.columns(&dataset) {
        Ok(columns) => Json(json!({"columns": columns})).into_response(),
        Err(error) => refuse(&error, &headers),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ValuesParameters {
    column: String,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    from: Option<String>,
}

pub(super) async fn get_values(
    State(engine): State<Engine>,
    Path(dataset): Path<String>,
    Parameters(parameters): Parameters<ValuesParameters>,
    headers: HeaderMap,
) -> Response {
    match values(&engine, &dataset, &parameters).await {
        Ok(values) => Json(json!({"column": parameters.column, "values": values})).into_response(),
        Err(error) => refuse(&error, &headers),
    }
}

async fn values(engine: &Engine, dataset: &str, parameters: &ValuesParameters) -> Result<Vec<Value>, Error> {
    let table = engine.table_of(dataset)?;
    let newest = engine.newest(dataset);
    let from = instant("from", parameters.from.as_deref())?.or(newest.map(|at| at.plus_seconds(-RECENT_S)));
    let column = quoted(&parameters.column);
    let mut conditions = vec![format!("{column} IS NOT NULL")];
    conditions.extend(from.map(|from| format!("time >= {}", time_literal(from))));
    if !parameters.prefix.is_empty() {
        conditions.push(format!("starts_with(CAST({column} AS VARCHAR), {})", literal(&parameters.prefix)));
    }
    let limit = parameters.limit.unwrap_or(20).min(VALUES_MAX);
    let sql = format!(
        "SELECT {column} AS value, count(*) AS count FROM {table} WHERE {} GROUP BY {column} ORDER BY count DESC, value LIMIT {limit}",
        conditions.join(" AND ")
    );
    let batches = engine.rows(&sql, None).await?;
    let row = |batch: &arrow::array::RecordBatch, row: usize| json!({"value": cell_value(batch.column(0), row), "count": cell_value(batch.column(1), row)});
    Ok(batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |at| row(batch, at))).collect())
}
