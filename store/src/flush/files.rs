//! One flush of one dataset: Parquet files, their durability, the commit, and the swap.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{Arc, atomic::Ordering::Relaxed},
};

use crate::{
    Error, Timestamp,
    dataset::{Dataset, Sealed},
    delta::{
        Action, Add, DAY_COLUMN, DeltaError, Format, Metadata, Protocol, Txn, checksum_tag, data_file, format_day,
    },
    disk::{DiskFile, create_dirs, discard},
    metrics::Metrics,
    parquet::{self, EncodedFile, ParquetOptions},
    shared::Shared,
};

/// Writes what a dataset has in memory; true when there was something.
///
/// # Errors
/// Nothing is lost: the events stay in memory and in the WAL.
pub(crate) fn flush(shared: &Shared, dataset: &Arc<Dataset>) -> Result<bool, Error> {
    let mut log = dataset.log.lock();
    if log.stopped() {
        return Err(Error::delta(&dataset.name, DeltaError::Stopped { path: dataset.root().to_path_buf() }));
    }
    if dataset.is_torn() {
        return Err(Error::Torn { dataset: dataset.name.clone() });
    }
    let Some(sealed) = dataset.seal() else { return Ok(false) };
    let started = shared.clock.now();
    let files = write_files(shared, dataset, &sealed)?;
    let mut actions = table_actions(dataset, &log, &sealed);
    actions.extend(files.iter().cloned().map(Action::from));
    let version = i64::try_from(sealed.last_seq).unwrap_or(i64::MAX);
    actions.push(Txn { app_id: shared.incarnation.to_string(), version, last_updated: Some(started.0 / 1000) }.into());
    if let Err(error) = log.commit(actions, "WRITE", started) {
        if log.stopped() {
            dataset.stopped.store(true, Relaxed);
            Metrics::add(&shared.metrics.flush_stopped, 1);
        } else {
            files.iter().for_each(|add| discard(&*shared.disk, &dataset.root().join(&add.path)));
        }
        return Err(Error::delta(&dataset.name, error));
    }
    let data_files = files.iter().map(|add| Arc::new(data_file(add))).collect();
    dataset.swap(sealed.last_seq, data_files, started);
    Metrics::add(&shared.metrics.flushes_total, 1);
    shared.metrics.flush.record_us(shared.clock.now().0 - started.0);
    shared.note_memory(std::iter::once(Arc::clone(dataset)));
    if log.commits_since_checkpoint() >= shared.config.checkpoint_commits {
        shared.maintenance.wake();
    }
    Ok(true)
}

/// protocol and metaData, as far as they are new.
fn table_actions(dataset: &Dataset, log: &crate::delta::Log, sealed: &Sealed) -> Vec<Action> {
    let (schema_string, mut configuration) = dataset.catalog.persist();
    configuration.insert("delta.deletedFileRetentionDuration".to_owned(), "interval 1 hours".to_owned());
    let known = log.state().metadata.as_ref();
    let is_same = |known: &Metadata| known.schema_string == schema_string && known.configuration == configuration;
    if known.is_some_and(is_same) {
        return Vec::new();
    }
    let metadata = Metadata {
        id: known.map_or_else(|| uuid::Uuid::new_v4().to_string(), |known| known.id.clone()),
        name: Some(dataset.name.to_string()),
        format: Format { provider: "parquet".to_owned(), options: BTreeMap::new() },
        schema_string,
        partition_columns: vec![DAY_COLUMN.to_owned()],
        configuration,
        created_time: known.and_then(|known| known.created_time).or(Some(sealed.created_at.0 / 1000)),
    };
    let protocol = known.is_none().then(|| Action::from(Protocol::OURS));
    protocol.into_iter().chain([Action::from(metadata)]).collect()
}

/// A file is synced after so many bytes: what the WAL's fdatasync may have to queue behind stays small. A whole file of 15 MB
/// written back at once holds it up for 100 ms.
const SYNC_BYTES: u64 = 1024 * 1024;

/// A Parquet file on its way to the disk.
#[derive(Debug)]
pub(crate) struct PartFile {
    file: Box<dyn DiskFile>,
    /// Relative to the table.
    path: String,
    bytes: u64,
    crc32c: u32,
    synced: u64,
}

impl PartFile {
    /// A new file in the folder of its day; its path goes to `created`, for removal when nothing comes of it.
    pub(crate) fn begin(shared: &Shared, dataset: &Dataset, day: i32, created: &mut Vec<String>) -> io::Result<Self> {
        let (disk, root) = (&shared.disk, dataset.root());
        let path = format!("{}/part-{}.parquet", day_folder(day), ulid_of(shared.clock.now()));
        create_dirs(&**disk, &shared.config.folder, &root.join(day_folder(day)))?;
        let file = disk.create(&root.join(&path))?;
        created.push(path.clone());
        Ok(Self { file, path, bytes: 0, crc32c: 0, synced: 0 })
    }

    /// Makes the whole file durable, its name too; what the log is to say of it.
    pub(crate) fn finish(mut self, shared: &Shared, dataset: &Dataset, file: EncodedFile) -> Result<Add, Error> {
        let path = dataset.root().join(&self.path);
        let folder = path.parent().unwrap_or(dataset.root());
        let synced = self.file.sync().and_then(|()| shared.disk.sync_dir(folder));
        synced.map_err(|source| Error::folder("sync", &path, source))?;
        Metrics::add(&shared.metrics.parquet_written_bytes_total, self.bytes);
        Ok(add_of(file, self, shared.clock.now()))
    }
}

impl Write for PartFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = usize::try_from(SYNC_BYTES).unwrap_or(usize::MAX).min(bytes.len());
        let written = self.file.write(&bytes[..piece])?;
        self.bytes += written as u64;
        self.crc32c = crc32c::crc32c_append(self.crc32c, &bytes[..written]);
        if self.bytes - self.synced >= SYNC_BYTES {
            self.file.sync()?;
            self.synced = self.bytes;
        }
        Ok(written)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes the Parquet files of all days, durably. On an error those written are removed.
fn write_files(shared: &Shared, dataset: &Dataset, sealed: &Sealed) -> Result<Vec<Add>, Error> {
    let mut created: Vec<String> = Vec::new();
    let written = encode_and_sync(shared, dataset, sealed, &mut created);
    if written.is_err() {
        created.iter().for_each(|path| discard(&*shared.disk, &dataset.root().join(path)));
    }
    written
}

fn encode_and_sync(
    shared: &Shared,
    dataset: &Dataset,
    sealed: &Sealed,
    created: &mut Vec<String>,
) -> Result<Vec<Add>, Error> {
    let mut create = |day: i32| PartFile::begin(shared, dataset, day, created);
    let options = ParquetOptions::of(&shared.config);
    let is_urgent = || shared.memory_is_tight();
    let encoded = parquet::encode(&sealed.batches, &dataset.catalog, &options, &is_urgent, &mut create)
        .map_err(|source| Error::encode(&dataset.name, source))?;
    encoded.into_iter().map(|(file, part)| part.finish(shared, dataset, file)).collect()
}

fn add_of(mut file: EncodedFile, part: PartFile, now: Timestamp) -> Add {
    file.tags.extend([checksum_tag(part.crc32c)]);
    Add {
        path: part.path,
        partition_values: BTreeMap::from([(DAY_COLUMN.to_owned(), Some(format_day(file.day)))]),
        size: i64::try_from(part.bytes).unwrap_or(i64::MAX),
        modification_time: now.0 / 1000,
        data_change: true,
        stats: Some(file.stats),
        tags: Some(file.tags),
    }
}

fn day_folder(day: i32) -> String {
    format!("{DAY_COLUMN}={}", format_day(day))
}

/// A name that sorts by time.
fn ulid_of(now: Timestamp) -> String {
    let random = u128::from_le_bytes(*uuid::Uuid::new_v4().as_bytes()) & ((1 << 80) - 1);
    let millisecond = u128::from(u64::try_from(now.0 / 1000).unwrap_or(0));
    ulid::Ulid(millisecond << 80 | random).to_string().to_ascii_lowercase()
}
