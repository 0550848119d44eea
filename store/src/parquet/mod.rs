//! Hot batches -> Parquet files, and back.
use std::{collections::BTreeMap, io};

use arrow::record_batch::RecordBatch;

use crate::{HotBatch, Timestamp, catalog::Catalog};

#[derive(Debug, Clone, Copy)]
pub(crate) struct ParquetOptions {
    pub row_group_rows: usize,
    /// Typed columns of one file; the rarest others go to `rest`.
    pub columns_max: usize,
}
impl Default for ParquetOptions {
    fn default() -> Self {
        Self { row_group_rows: 131_072, columns_max: 1_000 }
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum EncodeError {
    #[error("could not create the Parquet file of day {day}")]
    Create { day: i32, #[source] source: io::Error },
}

#[derive(Debug, Clone)]
pub(crate) struct EncodedFile {
    pub day: i32,
    pub rows: u64,
    pub time_min: Timestamp,
    pub time_max: Timestamp,
    pub received_min: Timestamp,
    pub received_max: Timestamp,
    pub seq_min: u64,
    pub seq_max: u64,
    pub stats: String,
    pub tags: BTreeMap<String, String>,
}

pub(crate) fn encode<W: io::Write + Send>(
    batches: &[HotBatch],
    catalog: &Catalog,
    options: &ParquetOptions,
    create: &mut dyn FnMut(i32) -> io::Result<W>,
) -> Result<Vec<(EncodedFile, W)>, EncodeError> {
    unimplemented!()
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("could not read Parquet data")]
    Parquet(#[source] ::parquet::errors::ParquetError),
}

/// Rows of a file in file order, only the named physical columns (those absent from the file are left out).
pub(crate) fn read<R: ::parquet::file::reader::ChunkReader + 'static>(
    file: R,
    projection: Option<&[&str]>,
) -> Result<Box<dyn Iterator<Item = Result<RecordBatch, ReadError>>>, ReadError> {
    unimplemented!()
}
