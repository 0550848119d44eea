//! Event ids of recently flushed events, read back from the Parquet files.

use std::{
    ops::RangeInclusive,
    path::Path,
    sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    },
};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::TimestampMicrosecondType,
};

use crate::{
    DatasetName, Error, Timestamp,
    dedup::{IdHash, IdWindow},
    delta::{Add, data_file, received_max},
    disk::SeamReader,
    parquet,
    shared::Shared,
    writer::Ulids,
};

/// Fills the window from the files whose newest event lies in it, oldest file first.
///
/// # Errors
/// When a file cannot be read: guessing which ids were seen could double events.
pub(super) fn load(shared: &Shared, ids: &mut IdWindow) -> Result<(), Error> {
    let window_us = i64::try_from(shared.config.dedup_window_s.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
    let now = shared.clock.now();
    let since = Timestamp(now.0.saturating_sub(window_us));
    let made_here = Ulids::new(&shared.incarnation_bytes);
    let mut recent: Vec<(Timestamp, DatasetName, std::path::PathBuf)> = Vec::new();
    let mut rows = 0;
    for dataset in shared.all_datasets() {
        let log = dataset.log.lock();
        let files = log.state().files.values().map(|(_, add)| add);
        let in_window =
            files.filter_map(|add: &Arc<Add>| Some((received_max(add), add)).filter(|(newest, _)| *newest >= since));
        for (newest, add) in in_window {
            rows += data_file(add).rows;
            recent.push((newest, dataset.name.clone(), log.root().join(&add.path)));
        }
    }
    recent.sort();
    // Reading and hashing take as long as filling the window: two threads.
    let (hashed, batches) = sync_channel(BATCHES_AHEAD);
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let reader = Reader { shared, made_here, window: since..=now, hashed };
            recent.iter().try_for_each(|(_, name, path)| reader.file(name, path))
        });
        for batch in batches {
            if ids.len() == 0 && !batch.ids.is_empty() {
                ids.reserve(usize::try_from(rows).unwrap_or(0) / batch.rows * batch.ids.len());
            }
            for (id, seen_at) in batch.ids {
                ids.insert(id, seen_at);
            }
        }
        reader.join().unwrap_or(Err(Error::Thread { thread: "recovery" }))
    })
}

/// Batches of hashes waiting to be put in the window; bounds the memory.
const BATCHES_AHEAD: usize = 4;

/// The ids of one batch of rows, each with when it was seen.
#[derive(Debug)]
struct Hashed {
    rows: usize,
    ids: Vec<(IdHash, Timestamp)>,
}

struct Reader<'a> {
    shared: &'a Shared,
    made_here: Ulids,
    window: RangeInclusive<Timestamp>,
    hashed: SyncSender<Hashed>,
}

impl Reader<'_> {
    fn file(&self, name: &DatasetName, path: &Path) -> Result<(), Error> {
        let file = self.shared.disk.open(path).map_err(|source| Error::read(path, source))?;
        let batches = parquet::read(SeamReader(file), Some(&["event_id", "received_at"]))
            .map_err(|source| Error::read(path, source))?;
        for batch in batches {
            let batch = batch.map_err(|source| Error::read(path, source))?;
            let ids = self.hash(name, &batch).unwrap_or_default();
            self.hashed
                .send(Hashed { rows: batch.num_rows(), ids })
                .map_err(|_| Error::Thread { thread: "recovery" })?;
        }
        Ok(())
    }

    /// The ids that clients gave, within the window. `None` when the columns are missing.
    fn hash(&self, name: &DatasetName, batch: &RecordBatch) -> Option<Vec<(IdHash, Timestamp)>> {
        let event_ids = batch.column_by_name("event_id")?.as_string_opt::<i32>()?;
        let received = batch.column_by_name("received_at")?.as_primitive_opt::<TimestampMicrosecondType>()?;
        let mut hashed = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let received_at = Timestamp(received.value(row));
            if received_at < *self.window.start() || event_ids.is_null(row) || self.made_here.made(event_ids.value(row))
            {
                continue;
            }
            let id = self.shared.ids.hash(name.as_str(), event_ids.value(row));
            hashed.push((id, received_at.min(*self.window.end())));
        }
        Some(hashed)
    }
}
