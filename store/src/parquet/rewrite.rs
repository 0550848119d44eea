//! Parquet files of one day -> fewer, larger ones: merged by time, columns chosen anew, in bounded memory.

use std::{collections::BTreeMap, io, sync::Arc};

use ::parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    errors::ParquetError,
    file::properties::WriterProperties,
};
use arrow::{
    array::ArrayRef,
    datatypes::{Schema, SchemaRef},
    error::ArrowError,
    record_batch::RecordBatch,
};
use hashbrown::HashSet;

use super::{
    EncodedFile, ParquetOptions,
    columns::{Columns, SYSTEM, Source},
    merge::{Input, Merge, MergeError, Slice},
    numbers,
    order::Place,
    profile,
    promote::{Promotion, count_in_rest},
    statistics,
};
use crate::catalog::{Catalog, VariantId, values_tag};

/// Places in the files from which the encoding of each column is judged, and rows taken at each.
const SAMPLES: usize = 16;
const SAMPLE_ROWS: usize = 256;

/// Why files could not be written anew. The old ones are as they were.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RewriteError {
    /// A file to read.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// The new file.
    #[error("could not create a Parquet file")]
    Create(#[source] io::Error),
    /// Putting rows together.
    #[error("could not gather rows")]
    Gather(#[source] ArrowError),
    /// Encoding, or writing to the new file.
    #[error("could not write a Parquet file")]
    Write(#[source] ParquetError),
    /// The store closes, or something more urgent came up.
    #[error("given up for now")]
    Stopped,
}

/// What to write anew, and how.
pub(crate) struct Rewrite<'a> {
    /// Days since 1970.
    pub(crate) day: i32,
    pub(crate) catalog: &'a Catalog,
    /// In order of their commits.
    pub(crate) inputs: &'a [Input],
    /// Non-null values of each column in all inputs.
    pub(crate) counts: &'a [u64],
    /// Columns to demote, however frequent they are in these files.
    pub(crate) unused: &'a HashSet<VariantId>,
    pub(crate) options: ParquetOptions,
    /// A new file is begun when the current one has this many bytes.
    pub(crate) file_bytes_max: u64,
    /// Called between slices with the bytes encoded since the last call; false to give up.
    pub(crate) go_on: &'a dyn Fn(u64) -> bool,
}

impl std::fmt::Debug for Rewrite<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rewrite").field("day", &self.day).field("inputs", &self.inputs.len()).finish_non_exhaustive()
    }
}

/// Smallest and largest values of a file's system columns.
#[derive(Debug, Clone, Copy)]
struct Ranges {
    rows: u64,
    time: (i64, i64),
    received_at: (i64, i64),
    seq: (i64, i64),
}

/// A file in the making.
struct Part<W: io::Write + Send> {
    writer: ArrowWriter<W>,
    counts: Vec<u64>,
    ranges: Option<Ranges>,
    bytes: u64,
}

impl Rewrite<'_> {
    /// Writes the rows of all inputs in order of time to what `create` gives; a file per `file_bytes_max`.
    pub(crate) fn run<W: io::Write + Send>(
        &self,
        create: &mut dyn FnMut() -> io::Result<W>,
    ) -> Result<Vec<(EncodedFile, W)>, RewriteError> {
        let columns = self.columns()?;
        let promotion = Promotion::new(&columns, self.catalog);
        let properties = self.properties(&columns, &promotion)?;
        let schema = Arc::new(Schema::new(columns.fields()));
        let mut merge = Merge::new(self.inputs, &promotion);
        let mut files = Vec::new();
        let mut part: Option<Part<W>> = None;
        while let Some(slice) = merge.next_slice()? {
            let open = match &mut part {
                Some(open) => open,
                none => none.insert(Part::new(create, &schema, &properties, columns.no_counts())?),
            };
            let written = open.write(&slice, &columns, &schema, self.catalog)?;
            if !(self.go_on)(written) {
                return Err(RewriteError::Stopped);
            }
            if open.bytes >= self.file_bytes_max
                && let Some(full) = part.take()
            {
                files.push(full.finish(self.day)?);
            }
        }
        if let Some(last) = part {
            files.push(last.finish(self.day)?);
        }
        Ok(files)
    }

    /// The columns of the new files: the most frequent of the inputs'.
    fn columns(&self) -> Result<Columns, RewriteError> {
        let known: HashSet<Arc<str>> = self.catalog.physicals().into_iter().map(|physical| physical.name).collect();
        let mut present: HashSet<&str> = HashSet::new();
        for input in self.inputs {
            for column in input.columns().filter(|column| !SYSTEM.contains(column)) {
                if !known.contains(column) {
                    let (path, column) = (input.path.clone(), column.to_owned());
                    return Err(MergeError::UnknownColumn { path, column }.into());
                }
                present.insert(column);
            }
        }
        // a column that is there has its place, whatever the counts say
        let count_of = |variant: VariantId, physical: &str| {
            let counted = self.counts.get(variant as usize).copied().unwrap_or(0);
            counted.max(u64::from(present.contains(physical)))
        };
        let unused = |variant| self.unused.contains(&variant);
        Ok(Columns::most_frequent(self.catalog, self.options.columns_max, &count_of, &unused))
    }

    /// How columns are encoded, judged from the first rows of row groups all over the inputs.
    fn properties(&self, columns: &Columns, promotion: &Promotion) -> Result<WriterProperties, RewriteError> {
        let groups: Vec<(&Input, usize)> =
            self.inputs.iter().flat_map(|input| (0..input.row_groups()).map(move |group| (input, group))).collect();
        let step = groups.len().div_ceil(SAMPLES).max(1);
        let mut batches = Vec::new();
        for (input, group) in groups.into_iter().step_by(step) {
            batches.push(input.sample(group, SAMPLE_ROWS, promotion)?);
        }
        let sources: Vec<Source<'_>> = batches.iter().map(Source::new).collect();
        let mut places = Vec::new();
        for (batch, rows) in (0..).zip(batches.iter().map(RecordBatch::num_rows)) {
            places.extend((0..u32::try_from(rows).unwrap_or(0)).map(|row| Place { time: 0, batch, row }));
        }
        Ok(profile::properties(columns, &sources, &places, &self.options))
    }
}

impl<W: io::Write + Send> Part<W> {
    fn new(
        create: &mut dyn FnMut() -> io::Result<W>,
        schema: &SchemaRef,
        properties: &WriterProperties,
        counts: Vec<u64>,
    ) -> Result<Self, RewriteError> {
        let out = create().map_err(RewriteError::Create)?;
        let options = ArrowWriterOptions::new().with_properties(properties.clone()).with_skip_arrow_metadata(true);
        let writer =
            ArrowWriter::try_new_with_options(out, Arc::clone(schema), options).map_err(RewriteError::Write)?;
        Ok(Self { writer, counts, ranges: None, bytes: 0 })
    }

    /// Encodes a slice; how many bytes the file grew by.
    fn write(
        &mut self,
        slice: &Slice,
        columns: &Columns,
        schema: &SchemaRef,
        catalog: &Catalog,
    ) -> Result<u64, RewriteError> {
        let sources: Vec<Source<'_>> = slice.batches.iter().map(Source::new).collect();
        // what is demoted here is counted with what was in `rest` before
        let mut gathered = columns.no_counts();
        let arrays = columns.gather(&sources, &slice.places, &mut gathered).map_err(RewriteError::Gather)?;
        for column in &columns.typed {
            self.counts[column.variant as usize] += gathered[column.variant as usize];
        }
        count_in_rest(&arrays[SYSTEM.len() - 1], catalog, &mut self.counts).map_err(RewriteError::Gather)?;
        self.widen(&arrays, slice)?;
        let batch = RecordBatch::try_new(Arc::clone(schema), arrays).map_err(RewriteError::Gather)?;
        self.writer.write(&batch).map_err(RewriteError::Write)?;
        let bytes = (self.writer.bytes_written() + self.writer.in_progress_size()) as u64;
        let grown = bytes.saturating_sub(self.bytes);
        self.bytes = bytes;
        Ok(grown)
    }

    fn widen(&mut self, arrays: &[ArrayRef], slice: &Slice) -> Result<(), RewriteError> {
        let range = |name: &str| {
            let values = SYSTEM.iter().position(|known| *known == name).and_then(|at| numbers(&arrays[at]));
            let bounds = values.and_then(|values| Some((*values.iter().min()?, *values.iter().max()?)));
            bounds.ok_or_else(|| RewriteError::Gather(ArrowError::SchemaError(format!("no values in column {name:?}"))))
        };
        let join = |left: (i64, i64), right: (i64, i64)| (left.0.min(right.0), left.1.max(right.1));
        let (rows, time, received_at, seq) =
            (slice.places.len() as u64, range("time")?, range("received_at")?, range("seq")?);
        self.ranges = Some(match self.ranges {
            None => Ranges { rows, time, received_at, seq },
            Some(known) => Ranges {
                rows: known.rows + rows,
                time: join(known.time, time),
                received_at: join(known.received_at, received_at),
                seq: join(known.seq, seq),
            },
        });
        Ok(())
    }

    fn finish(self, day: i32) -> Result<(EncodedFile, W), RewriteError> {
        let empty = Ranges { rows: 0, time: (0, 0), received_at: (0, 0), seq: (0, 0) };
        let Ranges { rows, time, received_at, seq } = self.ranges.unwrap_or(empty);
        let out = self.writer.into_inner().map_err(RewriteError::Write)?;
        let stats = statistics(rows, time, received_at, seq);
        Ok((EncodedFile { day, stats, tags: BTreeMap::from([values_tag(&self.counts)]) }, out))
    }
}
