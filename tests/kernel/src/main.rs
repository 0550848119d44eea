//! Reads a Delta table with delta_kernel and prints, as one JSON object, what it sees: version, live files, rows, and of each
//! column named `{"min","max","sum"}` (integers as text, so that none is rounded).
//!
//! `kernel-reader TABLE COLUMN…`

use std::sync::Arc;

use anyhow::{Context, bail};
use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{Float64Type, Int64Type},
};
use delta_kernel::{Engine, Snapshot, engine::arrow_data::EngineDataArrowExt, scan::state::ScanFile};
use delta_kernel_default_engine::DefaultEngine;
use object_store::local::LocalFileSystem;
use serde_json::{Value, json};
use url::Url;

/// What a column adds up to.
#[derive(Default)]
struct Column {
    name: String,
    int: Option<(i64, i64, i128)>,
    float: Option<(f64, f64, f64)>,
}

impl Column {
    fn add(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        let array = batch.column_by_name(&self.name).with_context(|| format!("there is no column {}", self.name))?;
        if let Some(values) = array.as_primitive_opt::<Int64Type>() {
            for value in values.iter().flatten() {
                let (min, max, sum) = self.int.unwrap_or((i64::MAX, i64::MIN, 0));
                self.int = Some((min.min(value), max.max(value), sum + i128::from(value)));
            }
        } else if let Some(values) = array.as_primitive_opt::<Float64Type>() {
            for value in values.iter().flatten() {
                let (min, max, sum) = self.float.unwrap_or((f64::INFINITY, f64::NEG_INFINITY, 0.0));
                self.float = Some((min.min(value), max.max(value), sum + value));
            }
        } else {
            bail!("column {} is {}, neither long nor double", self.name, array.data_type());
        }
        Ok(())
    }

    fn json(&self) -> Value {
        match (self.int, self.float) {
            (Some((min, max, sum)), _) => {
                json!({"min": min.to_string(), "max": max.to_string(), "sum": sum.to_string()})
            }
            (None, Some((min, max, sum))) => json!({"min": min, "max": max, "sum": sum}),
            (None, None) => Value::Null,
        }
    }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let table = arguments.next().context("kernel-reader TABLE COLUMN…")?;
    let mut columns: Vec<Column> = arguments.map(|name| Column { name, ..Column::default() }).collect();
    let folder = std::fs::canonicalize(&table).with_context(|| table.clone())?;
    let Ok(url) = Url::from_directory_path(&folder) else { bail!("{table} is no folder") };
    let engine: Arc<dyn Engine> = Arc::new(DefaultEngine::builder(Arc::new(LocalFileSystem::new())).build());
    let snapshot = Snapshot::builder_for(url).build(engine.as_ref())?;
    let version = snapshot.version();
    let scan = snapshot.scan_builder().build()?;
    let mut files: Vec<String> = Vec::new();
    for metadata in scan.scan_metadata(engine.as_ref())? {
        files = metadata?.visit_scan_files(files, |files: &mut Vec<String>, file: ScanFile| files.push(file.path))?;
    }
    files.sort();
    let mut rows = 0;
    for batch in scan.execute(Arc::clone(&engine))? {
        let batch = batch?.try_into_record_batch()?;
        rows += batch.num_rows();
        columns.iter_mut().try_for_each(|column| column.add(&batch))?;
    }
    let sums: serde_json::Map<String, Value> =
        columns.iter().map(|column| (column.name.clone(), column.json())).collect();
    println!("{}", json!({"version": version, "files": files, "rows": rows, "columns": sums}));
    Ok(())
}
