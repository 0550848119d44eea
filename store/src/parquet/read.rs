//! Rows of a Parquet file, in file order.

use ::parquet::{
    arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder},
    errors::ParquetError,
    file::reader::ChunkReader,
};
use arrow::{error::ArrowError, record_batch::RecordBatch};

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
