//! The Delta table of counts, `<folder>/accounts`.
//!
//! Columns: dataset, minute (timestamp), received, stored, duplicates (long), rejected, refused (JSON objects of counts by
//! reason), partitioned by `_day`. A day's files are merged into one when there are more than [`FILES_PER_DAY_MAX`].

use std::{collections::BTreeMap, path::Path, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType},
};
use bytes::Bytes;
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};

use super::{Accounts, Counts, MINUTES_PER_DAY, Pending, Place};
use crate::{
    DatasetName, Error, Timestamp,
    delta::{
        Action, Add, DAY_COLUMN, DeltaError, Format, Log, Metadata, Protocol, Remove, Txn, checksum_tag, data_file,
        format_day,
    },
    disk::{Disk, create_dirs, discard, write_file},
};

/// Folder of the table.
pub(crate) const FOLDER: &str = "accounts";
/// Small files of one day are merged beyond this number.
const FILES_PER_DAY_MAX: usize = 64;
/// Merged files stay on disk this long for readers of an older version.
const REMOVED_KEPT_MS: i64 = 3_600_000;

/// The table, open for writing.
#[derive(Debug)]
pub(crate) struct AccountsTable {
    disk: Arc<dyn Disk>,
    base: std::path::PathBuf,
    log: Log,
    incarnation: Arc<str>,
    name: DatasetName,
    checkpoint_commits: u64,
}

impl AccountsTable {
    /// Opens the table, or the place for one.
    ///
    /// # Errors
    /// When its log is damaged.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        base: &Path,
        incarnation: &Arc<str>,
        checkpoint_commits: u64,
    ) -> Result<Self, Error> {
        let root = base.join(FOLDER);
        let name = DatasetName::system("ingest");
        let log = Log::open(Arc::clone(disk), base, &root).map_err(|source| Error::delta(&name, source))?;
        let log = log.unwrap_or_else(|| Log::new(Arc::clone(disk), base, &root));
        let base = base.to_path_buf();
        Ok(Self { disk: Arc::clone(disk), base, log, incarnation: Arc::clone(incarnation), name, checkpoint_commits })
    }

    /// The last record of the WAL that is counted in the table.
    pub(crate) fn lsn(&self) -> u64 {
        self.log.state().txn(&self.incarnation)
    }

    /// The counts of the last `days`.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) fn read(&self, now: Timestamp, days: u64) -> Result<BTreeMap<Place, Counts>, Error> {
        let first_day = super::first_day(now, i64::try_from(days).unwrap_or(i64::MAX));
        let mut all: BTreeMap<Place, Counts> = BTreeMap::new();
        for (_, add) in self.log.state().files.values() {
            if i64::from(data_file(add).day) < first_day {
                continue;
            }
            let path = self.log.root().join(&add.path);
            let bytes = self.disk.read(&path).map_err(|source| Error::read(&path, source))?;
            decode(bytes, &mut all).map_err(|source| Error::read(&path, source))?;
        }
        Ok(all)
    }

    /// Writes what is pending as one commit; on an error it stays pending.
    ///
    /// # Errors
    /// When nothing could be written, or the table is stopped.
    pub(crate) fn flush(&mut self, accounts: &Accounts, now: Timestamp) -> Result<(), Error> {
        let pending = accounts.take_pending();
        if pending.counts.is_empty() && pending.lsn == self.lsn() {
            return Ok(());
        }
        let written = self.write(&pending, accounts, now);
        if written.is_err() {
            accounts.put_back(pending);
            return written;
        }
        if self.log.commits_since_checkpoint() >= self.checkpoint_commits
            && let Err(error) = self.write_checkpoint()
        {
            tracing::warn!(error = %crate::error::describe(&error), "could not write a checkpoint of the counts");
        }
        Ok(())
    }

    fn write(&mut self, pending: &Pending, accounts: &Accounts, now: Timestamp) -> Result<(), Error> {
        let mut days: BTreeMap<i64, BTreeMap<Place, Counts>> = BTreeMap::new();
        for (place, counts) in &pending.counts {
            days.entry(place.1.div_euclid(MINUTES_PER_DAY)).or_default().insert(place.clone(), counts.clone());
        }
        let mut actions = Vec::new();
        if self.log.state().version.is_none() {
            actions.extend([Action::from(Protocol::OURS), Action::from(metadata(now))]);
        }
        let mut files = Vec::new();
        for (day, mut counts) in days {
            let old = self.files_of(day);
            if old.len() >= FILES_PER_DAY_MAX && accounts.holds_day(day) {
                for (place, written) in accounts.written_of_day(day) {
                    // Pending was taken, so "written" holds it as well: the merged file replaces both.
                    counts.insert(place, written);
                }
                actions.extend(old.into_iter().map(|add| removal(&add, now)));
            }
            let add = self.write_day(day, &counts, now)?;
            files.push(add.path.clone());
            actions.push(add.into());
        }
        let lsn = i64::try_from(pending.lsn).unwrap_or(i64::MAX);
        actions
            .push(Txn { app_id: self.incarnation.to_string(), version: lsn, last_updated: Some(now.0 / 1000) }.into());
        let committed = self.log.commit(actions, "WRITE", now);
        if committed.is_err() && !self.log.stopped() {
            files.iter().for_each(|path| discard(&*self.disk, &self.log.root().join(path)));
        }
        committed.map_err(|source| Error::delta(&self.name, source))?;
        self.remove_expired(now);
        Ok(())
    }

    /// Adds up one file's rows; how many of them do not add up themselves.
    ///
    /// # Errors
    /// When it is no file of counts.
    pub(crate) fn decode_checked(bytes: Bytes, into: &mut BTreeMap<Place, Counts>) -> parquet::errors::Result<usize> {
        decode(bytes, into)
    }

    fn files_of(&self, day: i64) -> Vec<Arc<Add>> {
        let files = self.log.state().files.values();
        files.filter(|(_, add)| i64::from(data_file(add).day) == day).map(|(_, add)| Arc::clone(add)).collect()
    }

    fn write_day(&self, day: i64, counts: &BTreeMap<Place, Counts>, now: Timestamp) -> Result<Add, Error> {
        let text = format_day(i32::try_from(day).unwrap_or_default());
        let folder = self.log.root().join(format!("{DAY_COLUMN}={text}"));
        let name = format!("part-{}.parquet", uuid::Uuid::new_v4());
        let path = folder.join(&name);
        let encoded = encode(counts).map_err(|source| Error::read(&path, source))?;
        create_dirs(&*self.disk, &self.base, &folder)
            .and_then(|()| write_file(&*self.disk, &path, &encoded))
            .and_then(|()| self.disk.sync_dir(&folder))
            .map_err(|source| Error::folder("write", &path, source))?;
        Ok(Add {
            path: format!("{DAY_COLUMN}={text}/{name}"),
            partition_values: BTreeMap::from([(DAY_COLUMN.to_owned(), Some(text))]),
            size: i64::try_from(encoded.len()).unwrap_or(i64::MAX),
            modification_time: now.0 / 1000,
            data_change: true,
            stats: Some(format!("{{\"numRecords\":{}}}", counts.len())),
            tags: Some(BTreeMap::from([checksum_tag(crc32c::crc32c(&encoded))])),
        })
    }

    fn write_checkpoint(&mut self) -> Result<(), DeltaError> {
        let Some(checkpoint) = self.log.checkpoint() else { return Ok(()) };
        checkpoint.write()?;
        self.log.note_checkpoint(&checkpoint).map_or(Ok(()), |kept| checkpoint.remove_before(kept))
    }

    fn remove_expired(&mut self, now: Timestamp) {
        for path in self.log.expired(now.0 / 1000 - REMOVED_KEPT_MS, &|_| false) {
            discard(&*self.disk, &self.log.root().join(&path));
            self.log.forget_removed(&path);
        }
    }

    /// The log, for finding files that belong to no commit.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }
}

fn removal(add: &Add, now: Timestamp) -> Action {
    Remove { path: add.path.clone(), deletion_timestamp: Some(now.0 / 1000), data_change: false, size: Some(add.size) }
        .into()
}

fn metadata(now: Timestamp) -> Metadata {
    let field =
        |name: &str, kind: &str| serde_json::json!({"name": name, "type": kind, "nullable": true, "metadata": {}});
    let fields = [
        field("dataset", "string"),
        field("minute", "timestamp"),
        field("received", "long"),
        field("stored", "long"),
        field("duplicates", "long"),
        field("rejected", "string"),
        field("refused", "string"),
        field(DAY_COLUMN, "date"),
    ];
    Metadata {
        id: uuid::Uuid::new_v4().to_string(),
        name: Some("system.ingest".to_owned()),
        format: Format { provider: "parquet".to_owned(), options: BTreeMap::new() },
        schema_string: serde_json::json!({"type": "struct", "fields": fields}).to_string(),
        partition_columns: vec![DAY_COLUMN.to_owned()],
        configuration: BTreeMap::from([(
            "delta.deletedFileRetentionDuration".to_owned(),
            "interval 1 hours".to_owned(),
        )]),
        created_time: Some(now.0 / 1000),
    }
}

fn schema() -> SchemaRef {
    let minute = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("dataset", DataType::Utf8, true),
        Field::new("minute", minute, true),
        Field::new("received", DataType::Int64, true),
        Field::new("stored", DataType::Int64, true),
        Field::new("duplicates", DataType::Int64, true),
        Field::new("rejected", DataType::Utf8, true),
        Field::new("refused", DataType::Utf8, true),
    ]))
}

fn encode(counts: &BTreeMap<Place, Counts>) -> parquet::errors::Result<Vec<u8>> {
    let long = |value: fn(&Counts) -> u64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(
            counts.values().map(|counts| i64::try_from(value(counts)).unwrap_or(i64::MAX)),
        ))
    };
    let reasons = |value: fn(&Counts) -> &BTreeMap<String, u64>| -> ArrayRef {
        let texts = counts.values().map(value).map(|reasons| {
            let object: serde_json::Map<_, _> =
                reasons.iter().map(|(code, count)| (code.clone(), (*count).into())).collect();
            serde_json::Value::from(object).to_string()
        });
        Arc::new(StringArray::from_iter_values(texts))
    };
    let minutes = counts.keys().map(|(_, minute)| Timestamp::from_minutes(*minute).0);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(counts.keys().map(|(name, _)| name.as_str()))),
        Arc::new(TimestampMicrosecondArray::from_iter_values(minutes).with_timezone("UTC")),
        long(Counts::received),
        long(|counts| counts.stored),
        long(|counts| counts.duplicates),
        reasons(|counts| &counts.rejected),
        reasons(|counts| &counts.refused),
    ];
    let batch = RecordBatch::try_new(schema(), columns)?;
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?)).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, schema(), Some(properties))?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(bytes)
}

/// How many rows do not add up: received is not stored + duplicates + rejected.
fn decode(bytes: Bytes, into: &mut BTreeMap<Place, Counts>) -> parquet::errors::Result<usize> {
    let mut wrong = 0;
    for batch in ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()? {
        let batch = batch?;
        let column = |name: &str| {
            batch
                .column_by_name(name)
                .ok_or_else(|| parquet::errors::ParquetError::General(format!("column {name} is missing")))
        };
        let names = column("dataset")?.as_string::<i32>();
        let minutes = column("minute")?.as_primitive::<TimestampMicrosecondType>();
        let received = column("received")?.as_primitive::<Int64Type>();
        let stored = column("stored")?.as_primitive::<Int64Type>();
        let duplicates = column("duplicates")?.as_primitive::<Int64Type>();
        let rejected = column("rejected")?.as_string::<i32>();
        let refused = column("refused")?.as_string::<i32>();
        for row in 0..batch.num_rows() {
            let Some(name) = DatasetName::from_stored(names.value(row)) else { continue };
            let counts = Counts {
                stored: u64::try_from(stored.value(row)).unwrap_or(0),
                duplicates: u64::try_from(duplicates.value(row)).unwrap_or(0),
                rejected: reasons_of(rejected.value(row)),
                refused: reasons_of(refused.value(row)),
            };
            wrong += usize::from(u64::try_from(received.value(row)) != Ok(counts.received()));
            into.entry((name, Timestamp(minutes.value(row)).minutes())).or_default().add(&counts);
        }
    }
    Ok(wrong)
}

fn reasons_of(text: &str) -> BTreeMap<String, u64> {
    serde_json::from_str(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_survive_the_round_trip() {
        let counts = Counts {
            stored: 7,
            duplicates: 2,
            rejected: BTreeMap::from([("malformed_json".to_owned(), 3)]),
            refused: BTreeMap::from([("body_too_large".to_owned(), 1)]),
        };
        let all = BTreeMap::from([((DatasetName::from_user("shop").unwrap(), 29_394_120), counts)]);
        let mut read = BTreeMap::new();
        assert_eq!(decode(Bytes::from(encode(&all).unwrap()), &mut read).unwrap(), 0);
        assert_eq!(read, all);
    }
}
