//! Rows of a Parquet file, in file order.

use ::parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ArrowPredicateFn, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowFilter},
    },
    errors::ParquetError,
    file::{metadata::PageIndexPolicy, reader::ChunkReader},
};
use arrow::{
    array::{AsArray, BooleanArray},
    datatypes::Int64Type,
    error::ArrowError,
    record_batch::RecordBatch,
};

/// Why a Parquet file could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// Its footer.
    #[error("could not open Parquet data")]
    Open(#[source] ParquetError),
    /// Its pages.
    #[error("could not decode Parquet data")]
    Decode(#[source] ArrowError),
}

/// The rows in file order, only the named physical columns (those that the file does not have are left out; `None`: all).
pub(crate) fn read<R: ChunkReader + 'static>(
    file: R,
    projection: Option<&[&str]>,
) -> Result<impl Iterator<Item = Result<RecordBatch, ReadError>> + use<R>, ReadError> {
    let mut builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(ReadError::Open)?;
    if let Some(names) = projection {
        let fields = builder.schema().fields().iter().enumerate();
        let roots: Vec<usize> =
            fields.filter(|(_, field)| names.contains(&field.name().as_str())).map(|(at, _)| at).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        builder = builder.with_projection(mask);
    }
    let reader = builder.build().map_err(ReadError::Open)?;
    Ok(reader.map(|batch| batch.map_err(ReadError::Decode)))
}

/// The rows with this `seq`, all columns: one for each incarnation that gave it out. Other rows are skipped, not decoded.
pub(crate) fn read_seq<R: ChunkReader + 'static>(file: R, seq: i64) -> Result<Vec<RecordBatch>, ReadError> {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).map_err(ReadError::Open)?;
    let seqs = builder.schema().fields().iter().position(|field| field.name() == "seq");
    let mask = ProjectionMask::roots(builder.parquet_schema(), seqs);
    let is_wanted = ArrowPredicateFn::new(mask, move |batch: RecordBatch| {
        let seqs = batch.columns().first().and_then(|column| column.as_primitive_opt::<Int64Type>());
        let flags = seqs.map(|seqs| seqs.values().iter().map(|found| Some(*found == seq)).collect::<BooleanArray>());
        flags.ok_or_else(|| ArrowError::SchemaError("a file without seq".to_owned()))
    });
    let reader = builder.with_row_filter(RowFilter::new(vec![Box::new(is_wanted)])).build().map_err(ReadError::Open)?;
    reader.map(|batch| batch.map_err(ReadError::Decode)).collect()
}
