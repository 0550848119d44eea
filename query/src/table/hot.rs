//! Hot batches as scan input: each has its own subset of columns, the table has one schema.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array},
    compute::cast,
    datatypes::{DataType, Schema, SchemaRef},
};
use datafusion::{
    common::{Result, project_schema},
    datasource::{memory::MemorySourceConfig, source::DataSourceExec},
    physical_plan::ExecutionPlan,
};
use store::HotBatch;

use super::{DAY, rest::Fallback};

/// Batches of one partition: enough for two cores to share a few, not so many that a small scan is split for nothing.
const BATCHES_PER_PARTITION: usize = 8;

pub(super) fn scan(
    hot: &[HotBatch],
    schema: &SchemaRef,
    rest: &Fallback,
    projection: Option<&Vec<usize>>,
    limit: Option<usize>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let projected = project_schema(schema, projection)?;
    let mut adapter = Adapter { schema: Arc::clone(&projected), rest, nulls: HashMap::new() };
    let batches = hot.iter().map(|hot| adapter.adapt(&hot.batch)).collect::<Result<Vec<_>>>()?;
    let partitions: Vec<Vec<RecordBatch>> =
        batches.chunks(BATCHES_PER_PARTITION).map(<[RecordBatch]>::to_vec).collect();
    let source = MemorySourceConfig::try_new(&partitions, projected, None)?.with_limit(limit);
    Ok(DataSourceExec::from_data_source(source))
}

struct Adapter<'a> {
    schema: SchemaRef,
    rest: &'a Fallback,
    /// Columns of NULLs are shared between batches: a wide `SELECT *` has thousands of them.
    nulls: HashMap<(DataType, usize), ArrayRef>,
}

impl Adapter<'_> {
    fn adapt(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let schema: Arc<Schema> = Arc::clone(&self.schema);
        let columns = schema
            .fields()
            .iter()
            .map(|field| self.column(batch, field.name(), field.data_type()))
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
    }

    fn column(&mut self, batch: &RecordBatch, name: &str, data_type: &DataType) -> Result<ArrayRef> {
        let found = match (batch.column_by_name(name), name) {
            (Some(column), _) => Arc::clone(column),
            (None, DAY) => match batch.column_by_name("time") {
                Some(times) => Arc::clone(times),
                None => return Ok(self.null(data_type, batch.num_rows())),
            },
            (None, _) => match self.rest.extract(batch, name)? {
                Some(values) => values,
                None => return Ok(self.null(data_type, batch.num_rows())),
            },
        };
        if found.data_type() == data_type { Ok(found) } else { Ok(cast(&found, data_type)?) }
    }

    fn null(&mut self, data_type: &DataType, rows: usize) -> ArrayRef {
        let made = self.nulls.entry((data_type.clone(), rows)).or_insert_with(|| new_null_array(data_type, rows));
        Arc::clone(made)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array, StringArray};
    use arrow::datatypes::Field;

    use super::*;

    #[test]
    fn absent_columns_are_null_and_texts_become_views() {
        let batch = RecordBatch::try_from_iter([
            ("a", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
            ("t", Arc::new(StringArray::from(vec!["x", "y"])) as ArrayRef),
        ])
        .unwrap();
        let schema = Arc::new(Schema::new(vec![
            Field::new("t", DataType::Utf8View, true),
            Field::new("b", DataType::Float64, true),
        ]));
        let rest = Fallback::new(&store::Schema::default(), &schema);
        let mut adapter = Adapter { schema, rest: &rest, nulls: HashMap::new() };
        let adapted = adapter.adapt(&batch).unwrap();
        assert_eq!(adapted.column(0).as_string_view().value(1), "y");
        assert_eq!(adapted.column(1).null_count(), 2);
    }
}
