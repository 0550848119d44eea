//! The answer to a query while it streams: schema first, then batches, then the stats.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    datasource::{physical_plan::FileScanConfig, source::DataSourceExec},
    physical_plan::{ExecutionPlan, metrics::MetricsSet},
};
use parking_lot::Mutex;
use store::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::Error;

/// What a query cost and how fresh its data was.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Stats {
    /// ULID of the query.
    pub query_id: String,
    /// Milliseconds from the request to the last row.
    pub elapsed_ms: f64,
    /// Rows sent.
    pub rows_returned: u64,
    /// Rows read from files and memory, those filters dropped included.
    pub rows_scanned: u64,
    /// Bytes read from files.
    pub bytes_scanned: u64,
    /// Files the scans kept after pruning by time.
    pub files_scanned: u64,
    /// True if there were more rows than the limit.
    pub truncated: bool,
    /// Time of the newest event the query could see, RFC 3339; `None` if it read no dataset.
    pub fresh_to: Option<String>,
}

impl Stats {
    /// Adds what the operators of a finished plan counted.
    pub(crate) fn count(&mut self, plan: &Arc<dyn ExecutionPlan>) {
        let mut files = std::collections::HashSet::new();
        self.visit(plan, &mut files);
        self.files_scanned = files.len() as u64;
    }

    fn visit(&mut self, plan: &Arc<dyn ExecutionPlan>, files: &mut std::collections::HashSet<String>) {
        if let Some(source) = plan.downcast_ref::<DataSourceExec>() {
            let metrics = plan.metrics().unwrap_or_default();
            let rows = metrics.output_rows().unwrap_or_default() + sum(&metrics, "pushdown_rows_pruned");
            self.rows_scanned += rows as u64;
            self.bytes_scanned += sum(&metrics, "bytes_scanned") as u64;
            if let Some(config) = source.data_source().downcast_ref::<FileScanConfig>() {
                let all = config.file_groups.iter().flat_map(|group| group.files());
                files.extend(all.map(|file| file.object_meta.location.to_string()));
            }
        }
        for child in plan.children() {
            self.visit(child, files);
        }
    }
}

fn sum(metrics: &MetricsSet, name: &str) -> usize {
    metrics.sum_by_name(name).map_or(0, |value| value.as_usize())
}

/// Rows of a running query. Dropping it stops the query.
#[derive(Debug)]
pub struct Answer {
    pub(crate) id: String,
    pub(crate) schema: SchemaRef,
    pub(crate) started_at: Timestamp,
    pub(crate) batches: mpsc::Receiver<Result<RecordBatch, Error>>,
    pub(crate) stats: Arc<Mutex<Stats>>,
    pub(crate) _stop: DropGuard,
}

impl Answer {
    /// The query's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Columns of the result.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// When it started.
    #[must_use]
    pub fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// The next rows; `None` after the last ones. An error is the last item.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, Error>> {
        self.batches.recv().await
    }

    /// The counts; complete once `next` gave `None`.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats.lock().clone()
    }

    /// All rows at once.
    ///
    /// # Errors
    /// The first error of the query.
    pub async fn collect(mut self) -> Result<(Vec<RecordBatch>, Stats), Error> {
        let mut batches = Vec::new();
        while let Some(batch) = self.next().await {
            batches.push(batch?);
        }
        let stats = self.stats();
        Ok((batches, stats))
    }
}

/// A guard that stops a query when its answer is dropped.
pub(crate) fn stop(cancel: &CancellationToken) -> DropGuard {
    cancel.clone().drop_guard()
}
