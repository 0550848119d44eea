//! Which files and hot batches can hold a matching row, judged by their time ranges and row counts alone.

use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{ArrayRef, BooleanArray, Date32Array, TimestampMicrosecondArray, UInt64Array},
    datatypes::{Field, Schema},
};
use datafusion::{
    catalog::Session,
    common::{Column, DFSchema, Result, ScalarValue, pruning::PruningStatistics},
    logical_expr::{Expr, utils::conjunction},
    physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder},
};
use store::{DataFile, HotBatch, Snapshot, Timestamp};

use crate::{columns::system_type, table::DAY};

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// What is left to read: the newest first, so that "the latest n" finds them at once.
pub(super) struct Kept {
    pub(super) hot: Vec<HotBatch>,
    pub(super) files: Vec<Arc<DataFile>>,
}

pub(super) fn prune(session: &dyn Session, snapshot: &Snapshot, filters: &[Expr]) -> Result<Kept> {
    let mut hot: Vec<HotBatch> = snapshot.hot.iter().filter(|hot| hot.batch.num_rows() > 0).cloned().collect();
    let mut files = snapshot.files.clone();
    if let Some(filter) = conjunction(filters.iter().filter(|filter| mentions_time(filter)).cloned()) {
        let predicate = predicate(session, filter)?;
        hot = keep(&predicate, hot, |hot| Range {
            min: hot.time_min,
            max: hot.time_max,
            rows: hot.batch.num_rows() as u64,
        })?;
        files = keep(&predicate, files, |file| Range { min: file.time_min, max: file.time_max, rows: file.rows })?;
    }
    hot.sort_by_key(|hot| std::cmp::Reverse(hot.time_max));
    files.sort_by_key(|file| std::cmp::Reverse(file.time_max));
    Ok(Kept { hot, files })
}

fn mentions_time(filter: &Expr) -> bool {
    filter.column_refs().iter().any(|column| column.name == "time" || column.name == DAY)
        && filter.column_refs().iter().all(|column| column.name == "time" || column.name == DAY)
}

fn predicate(session: &dyn Session, filter: Expr) -> Result<PruningPredicate> {
    let fields: Vec<Field> =
        ["time", DAY].iter().filter_map(|name| Some(Field::new(*name, system_type(name)?, true))).collect();
    let schema = Arc::new(Schema::new(fields));
    let bare = datafusion::logical_expr::expr_rewriter::unnormalize_col(filter);
    let df_schema = DFSchema::try_from(schema.as_ref().clone())?;
    let expr = session.create_physical_expr(bare, &df_schema)?;
    PruningPredicateBuilder::new().with_file_schema(schema).try_build(expr)
}

fn keep<T>(predicate: &PruningPredicate, all: Vec<T>, range: impl Fn(&T) -> Range) -> Result<Vec<T>> {
    let ranges = Ranges(all.iter().map(range).collect());
    let keep = predicate.prune(&ranges)?;
    Ok(all.into_iter().zip(keep).filter_map(|(one, keep)| keep.then_some(one)).collect())
}

struct Range {
    min: Timestamp,
    max: Timestamp,
    rows: u64,
}

struct Ranges(Vec<Range>);

impl Ranges {
    fn values(&self, column: &Column, of: impl Fn(&Range) -> Timestamp) -> Option<ArrayRef> {
        match column.name.as_str() {
            "time" => Some(Arc::new(
                self.0
                    .iter()
                    .map(|range| Some(of(range).0))
                    .collect::<TimestampMicrosecondArray>()
                    .with_timezone("UTC"),
            )),
            DAY => {
                let day = |range| i32::try_from(of(range).0.div_euclid(MICROS_PER_DAY)).ok();
                Some(Arc::new(self.0.iter().map(day).collect::<Date32Array>()))
            }
            _ => None,
        }
    }
}

impl PruningStatistics for Ranges {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |range| range.min)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |range| range.max)
    }

    fn num_containers(&self) -> usize {
        self.0.len()
    }

    /// Both columns are set in every row.
    fn null_counts(&self, _column: &Column) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from(vec![0; self.0.len()])))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.0.iter().map(|range| Some(range.rows)).collect::<UInt64Array>()))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
