//! Checkpoints: the whole state of a log in one Parquet file, so that opening a table reads few files; and the removal of
//! log files that no reader needs any more.

use std::{io, path::PathBuf, sync::Arc};

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use bytes::Bytes;
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};

use super::{Action, DeltaError, LOG_FOLDER, Log, Remove, TableState};
use crate::disk::{Disk, discard, replace_file};

/// Rows encoded at a time.
const BATCH_ROWS: usize = 1024;

pub(super) fn file_name(version: u64) -> String {
    format!("{version:020}.checkpoint.parquet")
}

pub(super) fn version_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".checkpoint.parquet")?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

/// Why a checkpoint could not be made or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckpointError {
    #[error("could not turn actions into Arrow columns or back")]
    Arrow(#[from] arrow::error::ArrowError),
    #[error("could not encode or decode Parquet")]
    Parquet(#[from] parquet::errors::ParquetError),
    #[error("a row is no action")]
    Json(#[from] serde_json::Error),
}

/// Everything a checkpoint says, taken out of the log so that it is written while commits go on.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    version: u64,
    state: TableState,
}

impl Log {
    /// The newest version, to be written as a checkpoint; `None` before the first commit.
    pub(crate) fn checkpoint(&self) -> Option<Checkpoint> {
        let version = self.state.version?;
        let (disk, folder) = (Arc::clone(&self.disk), self.root.join(LOG_FOLDER));
        Some(Checkpoint { disk, folder, version, state: self.state.clone() })
    }

    /// Counts a written checkpoint as the newest. What lies before the returned version is then needed by nobody: with that
    /// checkpoint and the newer one two independent ways to every later version remain.
    pub(crate) fn note_checkpoint(&mut self, written: &Checkpoint) -> Option<u64> {
        if self.checkpoints[0] < Some(written.version) {
            self.checkpoints = [Some(written.version), self.checkpoints[0]];
        }
        self.checkpoints[1]
    }

    /// Leaves an application's txn out of every later checkpoint.
    pub(crate) fn forget_txn(&mut self, app_id: &str) {
        self.state.txns.remove(app_id);
    }

    /// Removed files that no reader of an older version can want any more and nobody here holds.
    pub(crate) fn expired(&self, before_ms: i64, is_held: &dyn Fn(&str) -> bool) -> Vec<String> {
        let expired = |remove: &&Remove| remove.deletion_timestamp.unwrap_or(0) < before_ms && !is_held(&remove.path);
        self.state.removed.values().filter(expired).map(|remove| remove.path.clone()).collect()
    }

    /// Leaves a removed file that is no longer on disk out of every later checkpoint.
    pub(crate) fn forget_removed(&mut self, path: &str) {
        self.state.removed.remove(path);
    }
}

impl Checkpoint {
    /// The version it is of.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Writes it durably.
    ///
    /// # Errors
    /// The log stays as valid as before; try again later.
    pub(crate) fn write(&self) -> Result<(), DeltaError> {
        let path = self.folder.join(file_name(self.version));
        let write = |source| DeltaError::Write { path: path.clone(), source };
        let (bytes, rows) = encode(&self.state).map_err(|error| write(io::Error::other(error)))?;
        replace_file(&*self.disk, &path, &bytes).map_err(write)?;
        let hint =
            serde_json::json!({ "version": self.version, "size": rows, "numOfAddFiles": self.state.files.len() });
        replace_file(&*self.disk, &self.folder.join("_last_checkpoint"), hint.to_string().as_bytes()).map_err(write)
    }

    /// Removes commits and checkpoints before version `kept`.
    ///
    /// # Errors
    /// What is left is removed with the next checkpoint.
    pub(crate) fn remove_before(&self, kept: u64) -> Result<(), DeltaError> {
        let entries = self.disk.list(&self.folder);
        let entries = entries.map_err(|source| DeltaError::Read { path: self.folder.clone(), source })?;
        for entry in entries {
            let version = super::version_of(&entry.name).or_else(|| version_of(&entry.name));
            if version.is_some_and(|version| version < kept) {
                discard(&*self.disk, &self.folder.join(&entry.name));
            }
        }
        Ok(())
    }
}

fn encode(state: &TableState) -> Result<(Vec<u8>, usize), CheckpointError> {
    let single = [state.protocol.clone().map(Action::from), state.metadata.clone().map(Action::from)];
    let mut actions = single
        .into_iter()
        .flatten()
        .chain(state.txns.values().cloned().map(Action::from))
        .chain(state.removed.values().cloned().map(Action::from))
        .chain(state.files.values().map(|(_, add)| {
            // Data files of a checkpoint are no change of the data (PROTOCOL.md, "Add File").
            let mut add = (**add).clone();
            add.data_change = false;
            Action::from(add)
        }))
        .peekable();
    let schema = schema();
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?)).build();
    let (mut bytes, mut rows) = (Vec::new(), 0);
    let mut writer = ArrowWriter::try_new(&mut bytes, Arc::clone(&schema), Some(properties))?;
    let mut decoder = arrow_json::ReaderBuilder::new(schema).with_batch_size(BATCH_ROWS).build_decoder()?;
    while actions.peek().is_some() {
        let chunk: Vec<Action> = actions.by_ref().take(BATCH_ROWS).collect();
        rows += chunk.len();
        decoder.serialize(&chunk)?;
        if let Some(batch) = decoder.flush()? {
            writer.write(&batch)?;
        }
    }
    writer.close()?;
    Ok((bytes, rows))
}

pub(super) fn decode(bytes: Bytes) -> Result<Vec<Action>, CheckpointError> {
    let mut actions = Vec::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(bytes)?.with_batch_size(BATCH_ROWS).build()? {
        let mut writer = arrow_json::LineDelimitedWriter::new(Vec::new());
        writer.write(&batch?)?;
        writer.finish()?;
        for line in writer.into_inner().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let mut action: Action = serde_json::from_slice(line)?;
            if let Some(add) = &mut action.add {
                add.data_change = true;
            }
            actions.push(action);
        }
    }
    Ok(actions)
}

/// Columns of a classic checkpoint, as PROTOCOL.md lists them.
fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let long = |name: &str| Field::new(name, DataType::Int64, true);
    let int = |name: &str| Field::new(name, DataType::Int32, true);
    let flag = |name: &str| Field::new(name, DataType::Boolean, true);
    let structure = |name: &str, fields: Vec<Field>| Field::new(name, DataType::Struct(Fields::from(fields)), true);
    let partition_columns = Field::new("element", DataType::Utf8, true);
    Arc::new(Schema::new(vec![
        structure("txn", vec![text("appId"), long("version"), long("lastUpdated")]),
        structure(
            "add",
            vec![
                text("path"),
                map("partitionValues"),
                long("size"),
                long("modificationTime"),
                flag("dataChange"),
                text("stats"),
                map("tags"),
            ],
        ),
        structure("remove", vec![text("path"), long("deletionTimestamp"), flag("dataChange"), long("size")]),
        structure(
            "metaData",
            vec![
                text("id"),
                text("name"),
                structure("format", vec![text("provider"), map("options")]),
                text("schemaString"),
                Field::new("partitionColumns", DataType::List(Arc::new(partition_columns)), true),
                map("configuration"),
                long("createdTime"),
            ],
        ),
        structure("protocol", vec![int("minReaderVersion"), int("minWriterVersion")]),
    ]))
}

fn map(name: &str) -> Field {
    let key = Field::new("key", DataType::Utf8, false);
    let value = Field::new("value", DataType::Utf8, true);
    Field::new_map(name, "key_value", key, value, false, true)
}
