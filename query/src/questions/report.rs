//! Rows of a question: those of its statements read, those of its answer written.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Float64Array, Int64Array, ListBuilder, RecordBatch, RecordBatchOptions,
        StringBuilder, StringViewArray, TimestampMicrosecondArray,
    },
    compute::{cast, concat_batches},
    datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType},
};
use datafusion::common::Result;

use super::{Shape, Signature};

/// The rows of one statement.
#[derive(Debug)]
pub(super) struct Rows {
    batch: RecordBatch,
}

impl Rows {
    pub(super) fn new(schema: &arrow::datatypes::SchemaRef, batches: &[RecordBatch]) -> Result<Self> {
        let batch = concat_batches(schema, batches)?;
        let columns = batch.columns().iter().map(plain).collect::<Result<Vec<_>>>()?;
        let named = batch.schema();
        let fields = named
            .fields()
            .iter()
            .zip(&columns)
            .map(|(field, column)| arrow::datatypes::Field::new(field.name(), column.data_type().clone(), true));
        let schema = Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()));
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(Self { batch: RecordBatch::try_new_with_options(schema, columns, &options)? })
    }

    pub(super) fn len(&self) -> usize {
        self.batch.num_rows()
    }

    pub(super) fn text(&self, row: usize, column: usize) -> Option<&str> {
        let column = self.batch.column(column).as_string_view_opt()?;
        (!column.is_null(row)).then(|| column.value(row))
    }

    /// A number; NULL is 0, as counts and sums of nothing are.
    pub(super) fn number(&self, row: usize, column: usize) -> f64 {
        let column = self.batch.column(column);
        if column.is_null(row) {
            return 0.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        match column.data_type() {
            DataType::Int64 => column.as_primitive::<Int64Type>().value(row) as f64,
            DataType::Float64 => column.as_primitive::<Float64Type>().value(row),
            _ => 0.0,
        }
    }

    pub(super) fn count(&self, row: usize, column: usize) -> i64 {
        let column = self.batch.column(column).as_primitive_opt::<Int64Type>();
        column.filter(|column| !column.is_null(row)).map_or(0, |column| column.value(row))
    }

    /// Microseconds since 1970.
    pub(super) fn time(&self, row: usize, column: usize) -> Option<i64> {
        let column = self.batch.column(column).as_primitive_opt::<TimestampMicrosecondType>()?;
        (!column.is_null(row)).then(|| column.value(row))
    }
}

/// Integers, doubles, texts and times of any width as one of each.
fn plain(column: &ArrayRef) -> Result<ArrayRef> {
    let to = match column.data_type() {
        data_type if data_type.is_integer() => DataType::Int64,
        data_type if data_type.is_floating() => DataType::Float64,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => DataType::Utf8View,
        DataType::Timestamp(..) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        other => other.clone(),
    };
    Ok(if *column.data_type() == to { Arc::clone(column) } else { cast(column, &to)? })
}

/// One value of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Text(Option<String>),
    Count(Option<i64>),
    Number(Option<f64>),
    Time(Option<i64>),
    Texts(Vec<String>),
}

impl From<f64> for Cell {
    fn from(number: f64) -> Self {
        Self::Number(number.is_finite().then_some(number))
    }
}

impl From<Option<f64>> for Cell {
    fn from(number: Option<f64>) -> Self {
        Self::Number(number.filter(|number| number.is_finite()))
    }
}

impl From<i64> for Cell {
    fn from(count: i64) -> Self {
        Self::Count(Some(count))
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<Option<&str>> for Cell {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(ToOwned::to_owned))
    }
}

/// Turns rows into a batch of the function's columns.
pub(super) fn batch(signature: &Signature, rows: &[Vec<Cell>]) -> Result<RecordBatch> {
    let column = |(at, (_, shape)): (usize, &(&str, Shape))| -> ArrayRef {
        let cells = rows.iter().map(|row| &row[at]);
        match shape {
            Shape::Text => Arc::new(
                cells
                    .map(|cell| if let Cell::Text(text) = cell { text.as_deref() } else { None })
                    .collect::<StringViewArray>(),
            ),
            Shape::Count => Arc::new(
                cells.map(|cell| if let Cell::Count(count) = cell { *count } else { None }).collect::<Int64Array>(),
            ),
            Shape::Number => Arc::new(
                cells
                    .map(|cell| if let Cell::Number(number) = cell { *number } else { None })
                    .collect::<Float64Array>(),
            ),
            Shape::Time => Arc::new(
                cells
                    .map(|cell| if let Cell::Time(time) = cell { *time } else { None })
                    .collect::<TimestampMicrosecondArray>()
                    .with_timezone("UTC"),
            ),
            Shape::Texts => texts(cells),
        }
    };
    let columns = signature.columns.iter().enumerate().map(column).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(signature.arrow_schema(), columns, &options)?)
}

fn texts<'a>(cells: impl Iterator<Item = &'a Cell>) -> ArrayRef {
    let field = arrow::datatypes::Field::new("element", DataType::Utf8, true);
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(Arc::new(field));
    for cell in cells {
        if let Cell::Texts(texts) = cell {
            texts.iter().for_each(|text| lists.values().append_value(text));
        }
        lists.append(matches!(cell, Cell::Texts(_)));
    }
    Arc::new(lists.finish())
}
