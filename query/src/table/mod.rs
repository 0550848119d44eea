//! `EventTable`: one frozen store snapshot as a DataFusion table of physical columns.
//!
//! A scan is the union of the hot batches and the Parquet files, each event once. Files and batches whose time range cannot match
//! are dropped before anything is opened; the rest is DataFusion's Parquet reader with projection, row filters, statistics, bloom
//! filters and dynamic filters. A column a file or batch lacks is read from its JSON column `rest`, and is NULL if it is not there either.

mod files;
mod hot;
mod prune;
mod rest;

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{Result, project_schema},
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_plan::{ExecutionPlan, empty::EmptyExec, union::UnionExec},
};
use store::Snapshot;

use crate::columns::Physical;

/// The partition column: a folder of the Delta table, not a column of its files.
pub(crate) const DAY: &str = "_day";

/// Physical columns of one snapshot that one statement needs.
#[derive(Debug)]
pub(crate) struct EventTable {
    snapshot: Arc<Snapshot>,
    /// Columns of the files, then `_day` if asked for.
    schema: SchemaRef,
    /// What `rest` may hold for each column of the schema.
    rest: Arc<rest::Fallback>,
}

impl EventTable {
    /// A table of these columns; more cost planning time only.
    pub(crate) fn new(snapshot: Arc<Snapshot>, mut columns: Vec<Physical>) -> Self {
        let mut seen = std::collections::HashSet::new();
        columns.retain(|column| seen.insert(column.name.clone()));
        columns.sort_by_key(|column| column.name == DAY);
        let fields: Vec<Field> =
            columns.into_iter().map(|column| Field::new(column.name, column.data_type, true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let rest = Arc::new(rest::Fallback::new(&snapshot.schema, &schema));
        Self { snapshot, schema, rest }
    }
}

#[async_trait]
impl TableProvider for EventTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Inexact: we drop files and batches by them here, and the physical filter pushdown applies them to each row.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let kept = prune::prune(session, &self.snapshot, filters)?;
        let mut inputs: Vec<Arc<dyn ExecutionPlan>> = Vec::with_capacity(2);
        if !kept.hot.is_empty() {
            inputs.push(hot::scan(&kept.hot, &self.schema, &self.rest, projection, limit)?);
        }
        if !kept.files.is_empty() {
            inputs.push(files::scan(session, self, kept.files, projection, limit)?);
        }
        match inputs.len() {
            0 => Ok(Arc::new(EmptyExec::new(project_schema(&self.schema, projection)?))),
            1 => Ok(inputs.remove(0)),
            _ => UnionExec::try_new(inputs),
        }
    }
}
