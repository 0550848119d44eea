//! One Parquet file read through: its checksum, and what its rows really are.

use std::path::Path;

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{Int64Type, TimestampMicrosecondType},
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::{
    Timestamp,
    disk::{Disk, SeamReader},
    error::describe,
    parquet::read,
};

/// Bytes read at once for the checksum.
const PIECE_BYTES: u64 = 1 << 20;
/// Columns that are looked at row by row.
const COLUMNS: [&str; 5] = ["time", "received_at", "seq", "_incarnation", "event_id"];

/// Smallest and largest value of a column.
pub(crate) type Range = (i64, i64);

/// What a file holds.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) rows: u64,
    pub(crate) time: Range,
    pub(crate) received_at: Range,
    pub(crate) seq: Range,
    pub(crate) sorted_by_time: bool,
    /// Names of its columns.
    pub(crate) columns: Vec<String>,
}

/// One row's place and id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) incarnation: &'a str,
    pub(crate) seq: u64,
    pub(crate) received_at: Timestamp,
    pub(crate) event_id: &'a str,
}

/// Length and CRC32C of a file.
pub(crate) fn checksum(disk: &dyn Disk, path: &Path) -> std::io::Result<(u64, u32)> {
    let file = disk.open(path)?;
    let (mut at, mut crc32c) = (0, 0);
    while at < file.len() {
        let length = (file.len() - at).min(PIECE_BYTES);
        crc32c = crc32c::crc32c_append(crc32c, &file.read_at(at, usize::try_from(length).unwrap_or(usize::MAX))?);
        at += length;
    }
    Ok((file.len(), crc32c))
}

/// Reads all rows; `whole`: all their columns, because no checksum vouches for those that are not looked at.
///
/// # Errors
/// Why the file cannot be read.
pub(crate) fn facts(disk: &dyn Disk, path: &Path, whole: bool, each: &mut dyn FnMut(Row<'_>)) -> Result<Facts, String> {
    let open = || disk.open(path).map(SeamReader).map_err(|error| error.to_string());
    let footer = ParquetRecordBatchReaderBuilder::try_new(open()?).map_err(|error| error.to_string())?;
    let columns = footer.schema().fields().iter().map(|field| field.name().clone()).collect();
    let declared = u64::try_from(footer.metadata().file_metadata().num_rows()).unwrap_or(0);
    let none = (i64::MAX, i64::MIN);
    let mut facts = Facts { rows: 0, time: none, received_at: none, seq: none, sorted_by_time: true, columns };
    let projection = (!whole).then_some(&COLUMNS[..]);
    for batch in read(open()?, projection).map_err(|error| describe(&error))? {
        facts.add(&batch.map_err(|error| describe(&error))?, each)?;
    }
    if facts.rows != declared {
        return Err(format!("its footer says {declared} rows, it has {}", facts.rows));
    }
    Ok(facts)
}

impl Facts {
    fn add(&mut self, batch: &RecordBatch, each: &mut dyn FnMut(Row<'_>)) -> Result<(), String> {
        let lacks = |name: &str| format!("column {name} is missing, of another type, or has nulls");
        let column = |name: &str| batch.column_by_name(name).filter(|column| column.null_count() == 0);
        let long = |name: &str| -> Result<&[i64], String> {
            let array = column(name).ok_or_else(|| lacks(name))?;
            let times = array.as_primitive_opt::<TimestampMicrosecondType>().map(|array| &**array.values());
            times.or(array.as_primitive_opt::<Int64Type>().map(|array| &**array.values())).ok_or_else(|| lacks(name))
        };
        let text = |name: &str| column(name).and_then(|array| array.as_string_opt::<i32>()).ok_or_else(|| lacks(name));
        let (times, received, seqs) = (long("time")?, long("received_at")?, long("seq")?);
        let (incarnations, ids) = (text("_incarnation")?, text("event_id")?);
        self.sorted_by_time &= times.first().is_none_or(|first| *first >= self.time.1) && times.is_sorted();
        for (range, values) in [(&mut self.time, times), (&mut self.received_at, received), (&mut self.seq, seqs)] {
            *range = values.iter().fold(*range, |(min, max), value| (min.min(*value), max.max(*value)));
        }
        self.rows += batch.num_rows() as u64;
        for row in 0..batch.num_rows() {
            each(Row {
                incarnation: incarnations.value(row),
                seq: u64::try_from(seqs[row]).unwrap_or(0),
                received_at: Timestamp(received[row]),
                event_id: ids.value(row),
            });
        }
        Ok(())
    }
}
