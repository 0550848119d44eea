//! Hot batches -> Parquet files, one per UTC day, and back.
//!
//! Layout of a file: the system columns (without `_day`, which is the partition), then the keys' columns in order of
//! settlement, rows sorted by time, row groups of 131,072, zstd 1. A file holds at most `columns_max` typed columns of keys; the rarest
//! others go, row by row, to the JSON column `rest`: `{"<logical name>": value, …}`. No pure-Arrow metadata: what Parquet's own
//! types say is enough, and 300 columns of it would be 30 KB a file.

mod columns;
mod gather;
mod merge;
mod order;
mod profile;
mod promote;
mod read;
mod rest;
mod rewrite;

use std::{collections::BTreeMap, io, sync::Arc};

use ::parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    errors::ParquetError,
};
use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{Int64Type, Schema, TimestampMicrosecondType},
    error::ArrowError,
    record_batch::RecordBatch,
};
use serde_json::json;

use self::{
    columns::{Columns, Source},
    order::Place,
};
pub(crate) use self::{
    merge::{Input, RowKeys},
    read::{read, read_seq},
    rewrite::{Rewrite, RewriteError},
};
use crate::{
    Config, HotBatch, Timestamp,
    catalog::{Catalog, values_tag},
    priority,
};

/// How files are written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ParquetOptions {
    /// Rows per row group: a query of one hour prunes most of a file, and footers stay small (design measurements, §4).
    pub row_group_rows: usize,
    /// Typed columns of one file; the rarest others go to `rest`. Columns of experiments do not count.
    pub columns_max: usize,
}

impl Default for ParquetOptions {
    fn default() -> Self {
        Self { row_group_rows: 131_072, columns_max: 1_000 }
    }
}

impl ParquetOptions {
    pub(crate) fn of(config: &Config) -> Self {
        Self { columns_max: usize::try_from(config.file_columns_max).unwrap_or(usize::MAX), ..Self::default() }
    }
}

/// Rows gathered and written at once.
const SLICE_ROWS: usize = 8_192;
/// The same for batches so large that a slice of their texts might pass Arrow's 2 GiB.
const SLICE_ROWS_LARGE: usize = 128;
const LARGE_BYTES: usize = 1 << 30;

/// Why rows could not be written as Parquet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EncodeError {
    /// The caller's file.
    #[error("could not create the Parquet file of day {day}")]
    Create {
        /// Days since 1970.
        day: i32,
        #[source]
        source: io::Error,
    },
    /// Putting rows in order.
    #[error("could not sort the rows of day {day}")]
    Sort {
        /// Days since 1970.
        day: i32,
        #[source]
        source: ArrowError,
    },
    /// Encoding, or writing to the caller's file.
    #[error("could not write the Parquet file of day {day}")]
    Write {
        /// Days since 1970.
        day: i32,
        #[source]
        source: ParquetError,
    },
    /// A batch without a system column.
    #[error("a batch to write has no column {column:?} of the right type")]
    NoColumn {
        /// Its name.
        column: &'static str,
    },
}

/// What the log needs to know of a file.
#[derive(Debug, Clone)]
pub(crate) struct EncodedFile {
    /// Days since 1970.
    pub day: i32,
    /// Delta's statistics as JSON: numRecords; minValues, maxValues and nullCount of `time`, `received_at` and `seq`.
    pub stats: String,
    /// Add.tags: counts of values for `Catalog::restore`.
    pub tags: BTreeMap<String, String>,
}

/// Sorts rows by time, splits them by UTC day, and writes each day to what `create` gives for it.
///
/// Yields the processor to requests, piece by piece, as long as `is_urgent` is false.
pub(crate) fn encode<W: io::Write + Send>(
    batches: &[HotBatch],
    catalog: &Catalog,
    options: &ParquetOptions,
    is_urgent: &(dyn Fn() -> bool + Sync),
    create: &mut dyn FnMut(i32) -> io::Result<W>,
) -> Result<Vec<(EncodedFile, W)>, EncodeError> {
    let pieces = Pieces { is_urgent };
    let batches: Vec<Source<'_>> = batches.iter().map(|hot| Source::new(&hot.batch)).collect();
    let places = pieces.run(|| order::by_time(&batches))?;
    let mut files = Vec::new();
    for places in places.chunk_by(|left, right| left.day() == right.day()) {
        let day = places[0].day();
        let out = create(day).map_err(|source| EncodeError::Create { day, source })?;
        let columns = pieces.run(|| Columns::choose(catalog, &batches, places, options.columns_max));
        let file = Day { day, batches: &batches, places, columns: &columns };
        let (counts, out) = file.write(options, &pieces, out)?;
        files.push((file.describe(&counts)?, out));
    }
    Ok(files)
}

/// How the pieces of a flush are done.
struct Pieces<'a> {
    is_urgent: &'a (dyn Fn() -> bool + Sync),
}

impl Pieces<'_> {
    fn run<T: Send>(&self, piece: impl FnOnce() -> T + Send) -> T {
        if (self.is_urgent)() { piece() } else { priority::yielding(piece) }
    }
}

/// One file in the making.
struct Day<'a> {
    day: i32,
    batches: &'a [Source<'a>],
    places: &'a [Place],
    columns: &'a Columns,
}

impl Day<'_> {
    /// Writes the file; the number of values of each column of the catalog.
    fn write<W: io::Write + Send>(
        &self,
        options: &ParquetOptions,
        pieces: &Pieces<'_>,
        out: W,
    ) -> Result<(Vec<u64>, W), EncodeError> {
        let write_error = |source| EncodeError::Write { day: self.day, source };
        let sort_error = |source| EncodeError::Sort { day: self.day, source };
        let schema = Arc::new(Schema::new(self.columns.fields()));
        let properties = pieces.run(|| profile::properties(self.columns, self.batches, self.places, options));
        let writer_options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let mut writer =
            ArrowWriter::try_new_with_options(out, Arc::clone(&schema), writer_options).map_err(write_error)?;
        let bytes: usize = self.batches.iter().map(|source| source.batch.get_array_memory_size()).sum();
        let slice_rows = if bytes < LARGE_BYTES { SLICE_ROWS } else { SLICE_ROWS_LARGE };
        let mut counts = self.columns.no_counts();
        for places in self.places.chunks(slice_rows) {
            pieces.run(|| {
                let arrays = self.columns.gather(self.batches, places, &mut counts).map_err(sort_error)?;
                let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).map_err(sort_error)?;
                writer.write(&batch).map_err(write_error)
            })?;
        }
        let out = pieces.run(|| writer.into_inner()).map_err(write_error)?;
        Ok((counts, out))
    }

    fn describe(&self, counts: &[u64]) -> Result<EncodedFile, EncodeError> {
        let (received_min, received_max) = self.range("received_at")?;
        let (seq_min, seq_max) = self.range("seq")?;
        // sorted by time
        let (time_min, time_max) = (self.places[0].time, self.places[self.places.len() - 1].time);
        let stats = statistics(
            self.places.len() as u64,
            (time_min, time_max),
            (received_min, received_max),
            (seq_min, seq_max),
        );
        Ok(EncodedFile { day: self.day, stats, tags: BTreeMap::from([values_tag(counts)]) })
    }

    /// Smallest and largest value of a system column in the file's rows.
    fn range(&self, column: &'static str) -> Result<(i64, i64), EncodeError> {
        let values = integers(self.batches, column)?;
        let of_rows = self.places.iter().map(|place| values[place.batch as usize][place.row as usize]);
        Ok(of_rows.fold((i64::MAX, i64::MIN), |(min, max), value| (min.min(value), max.max(value))))
    }
}

/// Delta's statistics of a file, from the smallest and largest values of its system columns.
pub(crate) fn statistics(rows: u64, time: (i64, i64), received_at: (i64, i64), seq: (i64, i64)) -> String {
    let floor = |us: i64| millis(Timestamp(us.div_euclid(1_000) * 1_000));
    let ceiling = |us: i64| millis(Timestamp(-(-us).div_euclid(1_000) * 1_000));
    // Delta readers take statistics of timestamps as milliseconds: rounded outwards, so that no row falls out
    json!({
        "numRecords": rows,
        "minValues": {"time": floor(time.0), "received_at": floor(received_at.0), "seq": seq.0},
        "maxValues": {"time": ceiling(time.1), "received_at": ceiling(received_at.1), "seq": seq.1},
        "nullCount": {"time": 0, "received_at": 0, "seq": 0},
    })
    .to_string()
}

fn millis(time: Timestamp) -> String {
    let text = time.to_rfc3339();
    // "….123000Z": whole milliseconds by then
    format!("{}Z", text.strip_suffix("000Z").unwrap_or(&text))
}

/// The values of a system column of numbers or times in each batch.
fn integers<'a>(batches: &[Source<'a>], column: &'static str) -> Result<Vec<&'a [i64]>, EncodeError> {
    let values = |source: &Source<'a>| source.column(column).and_then(numbers).ok_or(EncodeError::NoColumn { column });
    batches.iter().map(values).collect()
}

/// The values of a column of numbers or times without nulls.
fn numbers(array: &ArrayRef) -> Option<&[i64]> {
    let integers = array.as_primitive_opt::<Int64Type>().map(|array| &**array.values());
    let times = array.as_primitive_opt::<TimestampMicrosecondType>().map(|array| &**array.values());
    integers.or(times).filter(|_| array.null_count() == 0)
}
