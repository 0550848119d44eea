//! Foreign Parquet files as events.

use std::fs::File;

use parquet::{arrow::arrow_reader::ParquetRecordBatchReaderBuilder, errors::ParquetError};

use crate::{encode::NdJson, error::Error};

/// The rows of a Parquet file, one JSON object each; integers stay exact, times are RFC 3339. Reads a batch at a time.
///
/// # Errors
/// When the file is no Parquet; later items when a batch cannot be read.
pub fn parquet_as_ndjson(file: File) -> Result<impl Iterator<Item = Result<String, Error>> + Send + use<>, Error> {
    let failed = |source: ParquetError| Error::ReadParquet { source };
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(ParquetRecordBatchReaderBuilder::build)
        .map_err(failed)?;
    Ok(reader.flat_map(move |batch| match batch {
        Ok(batch) => {
            let text = NdJson::new(batch.schema()).exact().batch(&batch);
            text.lines().map(|line| Ok(line.to_owned())).collect::<Vec<_>>()
        }
        Err(error) => vec![Err(failed(error.into()))],
    }))
}
