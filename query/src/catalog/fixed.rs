//! Tables made from memory when a statement names them: `system.datasets`, `columns`, `files`, `ingest`, `queries`, `upkeep`, and
//! `information_schema`.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringViewArray,
        TimestampMicrosecondArray,
    },
    datatypes::SchemaRef,
};
use datafusion::{
    catalog::default_table_source::provider_as_source,
    common::Result,
    datasource::MemTable,
    logical_expr::{LogicalPlan, LogicalPlanBuilder},
};
use store::{DatasetSummary, FileSummary, IngestCount, Timestamp, Upkeep};

use super::{Catalog, INFORMATION, SYSTEM, dataset::Dataset};
use crate::{
    columns::{Columns, system_type},
    encode::{class_name, type_name},
};

/// Tables of `system` made here.
pub(super) const SYSTEM_NAMES: [&str; 6] = ["datasets", "columns", "files", "ingest", "queries", "upkeep"];

/// What the tables are made of.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) datasets: Vec<DatasetSummary>,
    pub(crate) ingest: Vec<IngestCount>,
    pub(crate) queries: Vec<QueryRow>,
}

/// One row of `system.queries`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct QueryRow {
    pub(crate) id: String,
    pub(crate) sql: String,
    pub(crate) state: &'static str,
    pub(crate) started_at: Timestamp,
    pub(crate) elapsed_ms: f64,
    pub(crate) rows_returned: i64,
    pub(crate) rows_scanned: i64,
    pub(crate) bytes_scanned: i64,
    pub(crate) files_scanned: i64,
    pub(crate) error: Option<String>,
}

/// Rows in memory under a name.
#[derive(Debug)]
pub(crate) struct Fixed {
    schema: &'static str,
    name: &'static str,
    rows: RecordBatch,
}

impl Fixed {
    pub(super) fn system(table: &str, catalog: &Catalog<'_>) -> Option<Self> {
        let name = SYSTEM_NAMES.into_iter().find(|name| *name == table)?;
        let columns = match name {
            "datasets" => datasets(&catalog.facts().datasets),
            "columns" => columns(&catalog.user_datasets()),
            "files" => files(&catalog.files()),
            "upkeep" => upkeep(&catalog.upkeep()),
            "ingest" => ingest(&catalog.facts().ingest),
            _ => queries(&catalog.facts().queries),
        };
        Self::new(SYSTEM, name, columns)
    }

    pub(super) fn information(table: &str, catalog: &Catalog<'_>) -> Option<Self> {
        let (name, columns) = match table {
            "tables" => ("tables", information_tables(catalog)),
            "columns" => ("columns", information_columns(catalog)),
            "schemata" => ("schemata", information_schemata(catalog)),
            _ => return None,
        };
        Self::new(INFORMATION, name, columns)
    }

    /// The answer to SHOW TABLES.
    pub(crate) fn tables(catalog: &Catalog<'_>) -> Option<RecordBatch> {
        RecordBatch::try_from_iter(information_tables(catalog)).ok()
    }

    fn new(schema: &'static str, name: &'static str, columns: Vec<(&'static str, ArrayRef)>) -> Option<Self> {
        let nullable = columns.into_iter().map(|(name, values)| (name, values, true));
        Some(Self { schema, name, rows: RecordBatch::try_from_iter_with_nullable(nullable).ok()? })
    }

    fn arrow_schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.arrow_schema().index_of(name).is_ok()
    }

    pub(super) fn listed(&self) -> Vec<String> {
        self.arrow_schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    pub(super) fn plan(&self) -> Result<LogicalPlan> {
        let table = MemTable::try_new(self.arrow_schema(), vec![vec![self.rows.clone()]])?;
        let name = datafusion::common::TableReference::partial(self.schema, self.name);
        LogicalPlanBuilder::scan(name, provider_as_source(Arc::new(table)), None)?.build()
    }
}

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringViewArray>())
}

fn numbers(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<Int64Array>())
}

fn counts(values: impl Iterator<Item = u64>) -> ArrayRef {
    numbers(values.map(|value| i64::try_from(value).unwrap_or(i64::MAX)))
}

fn times(values: impl Iterator<Item = Option<Timestamp>>) -> ArrayRef {
    Arc::new(values.map(|at| at.map(|at| at.0)).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

fn datasets(all: &[DatasetSummary]) -> Vec<(&'static str, ArrayRef)> {
    vec![
        ("name", texts(all.iter().map(|one| Some(one.name.as_str())))),
        ("events", counts(all.iter().map(|one| one.events))),
        ("bytes_on_disk", counts(all.iter().map(|one| one.bytes_on_disk))),
        ("files", counts(all.iter().map(|one| one.files))),
        ("columns", counts(all.iter().map(|one| one.columns))),
        ("first_event", times(all.iter().map(|one| one.first_event))),
        ("last_event", times(all.iter().map(|one| one.last_event))),
    ]
}

fn files(all: &[FileSummary]) -> Vec<(&'static str, ArrayRef)> {
    let days = all.iter().map(|one| Some(one.file.day)).collect::<Date32Array>();
    vec![
        ("dataset", texts(all.iter().map(|one| Some(one.dataset.as_str())))),
        ("path", texts(all.iter().map(|one| Some(one.file.path.as_str())))),
        ("day", Arc::new(days)),
        ("events", counts(all.iter().map(|one| one.file.rows))),
        ("bytes", counts(all.iter().map(|one| one.file.bytes))),
        ("first_event", times(all.iter().map(|one| Some(one.file.time_min)))),
        ("last_event", times(all.iter().map(|one| Some(one.file.time_max)))),
        ("columns", counts(all.iter().map(|one| one.columns))),
        ("written_at", times(all.iter().map(|one| Some(one.file.written_at)))),
        ("merged", Arc::new(all.iter().map(|one| Some(one.file.compacted)).collect::<BooleanArray>())),
    ]
}

fn upkeep(all: &[Upkeep]) -> Vec<(&'static str, ArrayRef)> {
    let version = |one: &Upkeep| one.log_version.and_then(|version| i64::try_from(version).ok());
    vec![
        ("dataset", texts(all.iter().map(|one| Some(one.dataset.as_str())))),
        ("files", counts(all.iter().map(|one| one.files))),
        ("bytes", counts(all.iter().map(|one| one.bytes))),
        ("backlog_files", counts(all.iter().map(|one| one.backlog_files))),
        ("merged_at", times(all.iter().map(|one| one.merged_at))),
        ("removed_files", counts(all.iter().map(|one| one.removed_files))),
        ("removed_events", counts(all.iter().map(|one| one.removed_events))),
        ("deletions", counts(all.iter().map(|one| one.deletions))),
        ("unflushed_events", counts(all.iter().map(|one| one.unflushed_events))),
        ("log_version", Arc::new(all.iter().map(version).collect::<Int64Array>())),
        ("log_commits", counts(all.iter().map(|one| one.log_commits))),
        ("stopped", Arc::new(all.iter().map(|one| Some(one.stopped)).collect::<BooleanArray>())),
    ]
}

fn ingest(all: &[IngestCount]) -> Vec<(&'static str, ArrayRef)> {
    let by_reason: Vec<String> =
        all.iter().map(|one| serde_json::to_string(&one.rejected).unwrap_or_else(|_| "{}".to_owned())).collect();
    vec![
        ("dataset", texts(all.iter().map(|one| Some(one.dataset.as_str())))),
        ("minute", times(all.iter().map(|one| Some(one.minute)))),
        ("received", counts(all.iter().map(|one| one.received))),
        ("stored", counts(all.iter().map(|one| one.stored))),
        ("duplicates", counts(all.iter().map(|one| one.duplicates))),
        ("rejected", counts(all.iter().map(|one| one.rejected.values().sum()))),
        ("rejected_by_reason", texts(by_reason.iter().map(|text| Some(text.as_str())))),
    ]
}

fn queries(all: &[QueryRow]) -> Vec<(&'static str, ArrayRef)> {
    vec![
        ("id", texts(all.iter().map(|one| Some(one.id.as_str())))),
        ("sql", texts(all.iter().map(|one| Some(one.sql.as_str())))),
        ("state", texts(all.iter().map(|one| Some(one.state)))),
        ("started_at", times(all.iter().map(|one| Some(one.started_at)))),
        ("elapsed_ms", Arc::new(all.iter().map(|one| Some(one.elapsed_ms)).collect::<Float64Array>())),
        ("rows_returned", numbers(all.iter().map(|one| one.rows_returned))),
        ("rows_scanned", numbers(all.iter().map(|one| one.rows_scanned))),
        ("bytes_scanned", numbers(all.iter().map(|one| one.bytes_scanned))),
        ("files_scanned", numbers(all.iter().map(|one| one.files_scanned))),
        ("error", texts(all.iter().map(|one| one.error.as_deref()))),
    ]
}

/// One key of one dataset.
struct Key {
    dataset: String,
    name: String,
    sql_type: String,
    class: &'static str,
    system: bool,
    values: u64,
    shares: String,
}

fn keys(datasets: &[Arc<Dataset>]) -> Vec<Key> {
    let mut keys = Vec::new();
    for dataset in datasets {
        for name in store::schema::SYSTEM_COLUMNS {
            keys.push(Key {
                dataset: dataset.name().to_string(),
                name: name.to_owned(),
                sql_type: system_type(name).map_or_else(String::new, |data_type| type_name(&data_type, false)),
                class: "system",
                system: true,
                values: 0,
                shares: "{}".to_owned(),
            });
        }
        for column in &dataset.columns().schema().columns {
            keys.push(Key {
                dataset: dataset.name().to_string(),
                name: column.name.clone(),
                sql_type: sql_type(dataset.columns(), &column.name),
                class: class_name(column.class),
                system: false,
                values: column.variants.iter().map(|variant| variant.values).sum(),
                shares: serde_json::Value::Object(shares(column)).to_string(),
            });
        }
    }
    keys
}

/// The SQL type of a plain name.
pub(crate) fn sql_type(columns: &Columns, name: &str) -> String {
    columns.define(name).map_or_else(String::new, |definition| type_name(&definition.data_type, definition.json))
}

/// The share of each kind among a key's values, 0 to 1.
pub(crate) fn shares(column: &store::Column) -> serde_json::Map<String, serde_json::Value> {
    let total: u64 = column.variants.iter().map(|variant| variant.values).sum();
    let share = |values: u64| if total == 0 { 0.0 } else { ((values as f64 / total as f64) * 1e4).round() / 1e4 };
    column.variants.iter().map(|variant| (variant.kind.suffix().to_owned(), share(variant.values).into())).collect()
}

fn columns(datasets: &[Arc<Dataset>]) -> Vec<(&'static str, ArrayRef)> {
    let all = keys(datasets);
    vec![
        ("dataset", texts(all.iter().map(|key| Some(key.dataset.as_str())))),
        ("name", texts(all.iter().map(|key| Some(key.name.as_str())))),
        ("type", texts(all.iter().map(|key| Some(key.sql_type.as_str())))),
        ("class", texts(all.iter().map(|key| Some(key.class)))),
        ("system", Arc::new(all.iter().map(|key| Some(key.system)).collect::<BooleanArray>())),
        ("values", counts(all.iter().map(|key| key.values))),
        ("shares", texts(all.iter().map(|key| Some(key.shares.as_str())))),
    ]
}

fn information_tables(catalog: &Catalog<'_>) -> Vec<(&'static str, ArrayRef)> {
    let all = catalog.tables();
    let kind =
        |[schema, table]: &[String; 2]| if schema != SYSTEM && table == "events" { "BASE TABLE" } else { "VIEW" };
    vec![
        ("table_catalog", texts(all.iter().map(|_| Some("yellowline")))),
        ("table_schema", texts(all.iter().map(|[schema, _]| Some(schema.as_str())))),
        ("table_name", texts(all.iter().map(|[_, table]| Some(table.as_str())))),
        ("table_type", texts(all.iter().map(|table| Some(kind(table))))),
    ]
}

fn information_columns(catalog: &Catalog<'_>) -> Vec<(&'static str, ArrayRef)> {
    let all = keys(&catalog.user_datasets());
    vec![
        ("table_catalog", texts(all.iter().map(|_| Some("yellowline")))),
        ("table_schema", texts(all.iter().map(|key| Some(key.dataset.as_str())))),
        ("table_name", texts(all.iter().map(|_| Some("events")))),
        ("column_name", texts(all.iter().map(|key| Some(key.name.as_str())))),
        ("ordinal_position", numbers((1..).take(all.len()))),
        ("is_nullable", texts(all.iter().map(|_| Some("YES")))),
        ("data_type", texts(all.iter().map(|key| Some(key.sql_type.as_str())))),
    ]
}

fn information_schemata(catalog: &Catalog<'_>) -> Vec<(&'static str, ArrayRef)> {
    let mut all: Vec<String> = catalog.tables().into_iter().map(|[schema, _]| schema).collect();
    all.push(INFORMATION.to_owned());
    all.dedup();
    vec![
        ("catalog_name", texts(all.iter().map(|_| Some("yellowline")))),
        ("schema_name", texts(all.iter().map(|schema| Some(schema.as_str())))),
    ]
}
