//! Sorted files -> one stream of rows in order of time, a slice at a time.
//!
//! A k-way merge over `time`; of equal times, the rows of the file given first come first. A file is read from when the merge has
//! come to its first row, and in batches of few megabytes: files that follow each other in time take the memory of one.

use std::{collections::BTreeMap, sync::Arc};

use ::parquet::{
    arrow::arrow_reader::{
        ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
    },
    errors::ParquetError,
};
use arrow::{
    array::{Array, AsArray, BooleanArray, Int64Array, StringArray},
    compute::filter_record_batch,
    datatypes::Int64Type,
    error::ArrowError,
    record_batch::RecordBatch,
};
use hashbrown::{HashMap, HashSet};
use serde::de::IgnoredAny;

use super::{numbers, order::Place, promote::Promotion};
use crate::disk::{DiskRead, SeamReader};

/// Rows of a slice at most.
const SLICE_ROWS: usize = 8_192;
/// Rows of a batch that is read at most, and what it should take in memory.
const BATCH_ROWS: usize = 4_096;
const BATCH_BYTES: i64 = 8 << 20;
/// A slice ends early when the batches it draws from take this much.
const SLICE_BYTES: usize = 64 << 20;

/// Why files could not be merged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MergeError {
    /// A footer.
    #[error("could not open Parquet file {path}")]
    Open {
        /// The file.
        path: String,
        #[source]
        source: ParquetError,
    },
    /// Pages, or what they hold.
    #[error("could not read Parquet file {path}")]
    Read {
        /// The file.
        path: String,
        #[source]
        source: ArrowError,
    },
    /// A file of another writer, or a damaged one.
    #[error("the rows of {path} are not in order of time")]
    Unsorted {
        /// The file.
        path: String,
    },
    /// A file of another writer.
    #[error("{path} has a column {column:?} that its dataset does not know")]
    UnknownColumn {
        /// The file.
        path: String,
        /// Physical name.
        column: String,
    },
}

impl MergeError {
    /// The file that cannot be merged.
    pub(crate) fn path(&self) -> &str {
        match self {
            Self::Open { path, .. }
            | Self::Read { path, .. }
            | Self::Unsorted { path }
            | Self::UnknownColumn { path, .. } => path,
        }
    }
}

/// Rows of a dataset, by incarnation and `seq`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RowKeys(HashMap<String, HashSet<i64>>);

impl RowKeys {
    /// Adds a row.
    pub(crate) fn insert(&mut self, incarnation: &str, seq: i64) {
        match self.0.get_mut(incarnation) {
            Some(seqs) => {
                seqs.insert(seq);
            }
            None => {
                self.0.insert(incarnation.to_owned(), HashSet::from([seq]));
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.values().map(HashSet::len).sum()
    }

    /// Adds the rows of a batch that have a value under a key.
    fn insert_with(&mut self, batch: &RecordBatch, key: &str, physical: &str) -> Result<(), ArrowError> {
        let (incarnations, seqs) = numbers_of(batch)?;
        let column = batch.column_by_name(physical);
        let rest = batch.column_by_name("rest").and_then(|rest| rest.as_string_opt::<i32>());
        for row in 0..batch.num_rows() {
            let in_rest = || {
                let text = rest.filter(|rest| rest.is_valid(row)).map(|rest| rest.value(row));
                text.is_some_and(|text| {
                    serde_json::from_str::<BTreeMap<String, IgnoredAny>>(text).is_ok_and(|all| all.contains_key(key))
                })
            };
            if column.is_some_and(|column| column.is_valid(row)) || in_rest() {
                self.insert(incarnations.value(row), seqs.value(row));
            }
        }
        Ok(())
    }

    /// The batch without these rows.
    fn remove_from(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let (incarnations, seqs) = numbers_of(batch)?;
        let is_kept =
            |row: usize| !self.0.get(incarnations.value(row)).is_some_and(|all| all.contains(&seqs.value(row)));
        filter_record_batch(batch, &(0..batch.num_rows()).map(|row| Some(is_kept(row))).collect::<BooleanArray>())
    }
}

/// What tells the rows of a batch from all others of their dataset.
fn numbers_of(batch: &RecordBatch) -> Result<(&StringArray, &Int64Array), ArrowError> {
    let column =
        |name: &str| batch.column_by_name(name).ok_or_else(|| ArrowError::SchemaError(format!("no column {name:?}")));
    Ok((column("_incarnation")?.as_string::<i32>(), column("seq")?.as_primitive::<Int64Type>()))
}

/// A file to merge: open, its footer read.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    /// Relative to its table, for messages.
    pub(crate) path: String,
    file: Arc<dyn DiskRead>,
    metadata: ArrowReaderMetadata,
    /// No row is earlier.
    time_min: i64,
    /// Rows to leave out.
    without: Option<Arc<RowKeys>>,
}

impl Input {
    pub(crate) fn open(path: &str, file: Arc<dyn DiskRead>, time_min: i64) -> Result<Self, MergeError> {
        let options = ArrowReaderOptions::new();
        let metadata = ArrowReaderMetadata::load(&SeamReader(Arc::clone(&file)), options)
            .map_err(|source| MergeError::Open { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file, metadata, time_min, without: None })
    }

    /// The same file without some of its rows.
    pub(crate) fn without(self, rows: Arc<RowKeys>) -> Self {
        Self { without: Some(rows), ..self }
    }

    /// Physical names of its columns.
    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        self.metadata.schema().fields().iter().map(|field| field.name().as_str())
    }

    pub(super) fn row_groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// Uncompressed bytes of a row, on average.
    fn row_bytes(&self) -> i64 {
        let groups = self.metadata.metadata().row_groups();
        let (bytes, rows) =
            groups.iter().fold((0, 0), |sum, group| (sum.0 + group.total_byte_size(), sum.1 + group.num_rows()));
        bytes / rows.max(1) + 1
    }

    fn batch_rows(&self) -> usize {
        usize::try_from(BATCH_BYTES / self.row_bytes()).unwrap_or(1).clamp(16, BATCH_ROWS)
    }

    fn reader(&self, groups: Option<Vec<usize>>, rows: Option<usize>) -> Result<ParquetRecordBatchReader, MergeError> {
        let file = SeamReader(Arc::clone(&self.file));
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone());
        builder = builder.with_batch_size(rows.unwrap_or(BATCH_ROWS).min(self.batch_rows()));
        if let Some(groups) = groups {
            builder = builder.with_row_groups(groups);
        }
        if let Some(rows) = rows {
            builder = builder.with_limit(rows);
        }
        builder.build().map_err(|source| MergeError::Open { path: self.path.clone(), source })
    }

    /// The first rows of a row group, in one small batch.
    pub(super) fn sample(&self, group: usize, rows: usize, promotion: &Promotion) -> Result<RecordBatch, MergeError> {
        let rows = rows.min(self.batch_rows());
        let batch = self.reader(Some(vec![group]), Some(rows))?.next();
        let batch = batch.unwrap_or_else(|| Ok(RecordBatch::new_empty(Arc::clone(self.metadata.schema()))));
        batch.and_then(|batch| promotion.apply(batch)).map_err(|source| self.read_error(source))
    }

    /// The rows with a value under a key: in its column, or in `rest`.
    pub(crate) fn rows_with(&self, key: &str, physical: &str) -> Result<RowKeys, MergeError> {
        let mut rows = RowKeys::default();
        for batch in self.reader(None, None)? {
            let found = batch.and_then(|batch| rows.insert_with(&batch, key, physical));
            found.map_err(|source| self.read_error(source))?;
        }
        Ok(rows)
    }

    fn read_error(&self, source: ArrowError) -> MergeError {
        MergeError::Read { path: self.path.clone(), source }
    }
}

/// Some rows in order of time.
#[derive(Debug, Default)]
pub(super) struct Slice {
    pub(super) batches: Vec<RecordBatch>,
    pub(super) places: Vec<Place>,
    bytes: usize,
}

impl Slice {
    fn is_full(&self) -> bool {
        self.places.len() >= SLICE_ROWS || self.bytes >= SLICE_BYTES
    }
}

/// The rows of one file that are still to come.
#[derive(Debug)]
struct Stream {
    input: Input,
    reader: Option<ParquetRecordBatchReader>,
    head: Option<Head>,
    /// Time of the next row, or a bound below it while the file is not open.
    next: i64,
    ended: bool,
}

/// The batch being taken from.
#[derive(Debug)]
struct Head {
    batch: RecordBatch,
    times: Vec<i64>,
    row: usize,
    /// Its place among the batches of the slice in the making.
    in_slice: Option<u32>,
}

/// Several files as one.
#[derive(Debug)]
pub(super) struct Merge<'a> {
    streams: Vec<Stream>,
    promotion: &'a Promotion,
}

impl<'a> Merge<'a> {
    pub(super) fn new(inputs: &[Input], promotion: &'a Promotion) -> Self {
        let stream = |input: &Input| Stream {
            next: input.time_min,
            input: input.clone(),
            reader: None,
            head: None,
            ended: false,
        };
        Self { streams: inputs.iter().map(stream).collect(), promotion }
    }

    /// The next rows; `None` after the last.
    pub(super) fn next_slice(&mut self) -> Result<Option<Slice>, MergeError> {
        let mut slice = Slice::default();
        while !slice.is_full() {
            let Some((first, bound)) = self.first() else { break };
            let stream = &mut self.streams[first];
            if stream.head.is_none() {
                stream.read(self.promotion)?;
                continue;
            }
            stream.take(&mut slice, first, bound)?;
        }
        for head in self.streams.iter_mut().filter_map(|stream| stream.head.as_mut()) {
            head.in_slice = None;
        }
        Ok((!slice.places.is_empty()).then_some(slice))
    }

    /// The file whose turn it is, and up to where: the time and number of the one after it.
    fn first(&self) -> Option<(usize, (i64, usize))> {
        let mut turns = self.streams.iter().enumerate().filter(|(_, stream)| !stream.ended);
        let (mut first, mut second) = ({ turns.next().map(|(at, stream)| (stream.next, at))? }, (i64::MAX, usize::MAX));
        for (at, stream) in turns {
            let turn = (stream.next, at);
            if turn < first {
                (first, second) = (turn, first);
            } else if turn < second {
                second = turn;
            }
        }
        Some((first.1, second))
    }
}

impl Stream {
    /// Reads the next batch.
    fn read(&mut self, promotion: &Promotion) -> Result<(), MergeError> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(self.input.reader(None, None)?),
        };
        let Some(batch) = reader.next() else {
            (self.ended, self.reader) = (true, None);
            return Ok(());
        };
        let kept = batch.and_then(|batch| match &self.input.without {
            Some(rows) => rows.remove_from(&batch),
            None => Ok(batch),
        });
        let batch = kept.and_then(|batch| promotion.apply(batch)).map_err(|source| self.input.read_error(source))?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let times = batch.column_by_name("time").and_then(numbers).map(<[i64]>::to_vec);
        let sorted = times.filter(|times| times.is_sorted() && times[0] >= self.next);
        let times = sorted.ok_or_else(|| MergeError::Unsorted { path: self.input.path.clone() })?;
        self.next = times[0];
        self.head = Some(Head { batch, times, row: 0, in_slice: None });
        Ok(())
    }

    /// Moves rows to the slice while they come before `bound` and fit.
    fn take(&mut self, slice: &mut Slice, number: usize, bound: (i64, usize)) -> Result<(), MergeError> {
        let Some(head) = &mut self.head else { return Ok(()) };
        let batch = match head.in_slice {
            Some(batch) => batch,
            None => {
                slice.bytes += head.batch.get_array_memory_size();
                slice.batches.push(head.batch.clone());
                *head.in_slice.insert(u32::try_from(slice.batches.len() - 1).unwrap_or(u32::MAX))
            }
        };
        let fits = SLICE_ROWS - slice.places.len().min(SLICE_ROWS);
        let run = head.times[head.row..].iter().take(fits).take_while(|time| (**time, number) < bound).count();
        let rows = (head.row..).zip(&head.times[head.row..head.row + run]);
        slice.places.extend(rows.map(|(row, time)| Place {
            time: *time,
            batch,
            row: u32::try_from(row).unwrap_or(u32::MAX),
        }));
        head.row += run;
        match head.times.get(head.row) {
            Some(next) => self.next = *next,
            None => {
                self.next = head.times[head.times.len() - 1];
                self.head = None;
            }
        }
        Ok(())
    }
}
