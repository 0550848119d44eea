//! Event ids of recently flushed events, read back from the Parquet files.

use std::{ops::RangeInclusive, sync::Arc};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::TimestampMicrosecondType,
};

use crate::{
    DatasetName, Error, Timestamp,
    dedup::IdWindow,
    delta::{Add, received_max},
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
    for dataset in shared.all_datasets() {
        let log = dataset.log.lock();
        let files = log.state().files.values().map(|(_, add)| add);
        let in_window =
            files.filter_map(|add: &Arc<Add>| Some((received_max(add), add)).filter(|(newest, _)| *newest >= since));
        recent.extend(in_window.map(|(newest, add)| (newest, dataset.name.clone(), log.root().join(&add.path))));
    }
    recent.sort();
    for (_, name, path) in recent {
        let file = shared.disk.open(&path).map_err(|source| Error::read(&path, source))?;
        let batches = parquet::read(SeamReader(file), Some(&["event_id", "received_at"]))
            .map_err(|source| Error::read(&path, source))?;
        for batch in batches {
            let batch = batch.map_err(|source| Error::read(&path, source))?;
            load_batch(shared, &name, &batch, since..=now, &made_here, ids);
        }
    }
    Ok(())
}

fn load_batch(
    shared: &Shared,
    name: &DatasetName,
    batch: &RecordBatch,
    window: RangeInclusive<Timestamp>,
    made_here: &Ulids,
    ids: &mut IdWindow,
) {
    let (Some(event_ids), Some(received)) = (batch.column_by_name("event_id"), batch.column_by_name("received_at"))
    else {
        return;
    };
    let (Some(event_ids), Some(received)) =
        (event_ids.as_string_opt::<i32>(), received.as_primitive_opt::<TimestampMicrosecondType>())
    else {
        return;
    };
    for row in 0..batch.num_rows() {
        let received_at = Timestamp(received.value(row));
        if received_at < *window.start() || event_ids.is_null(row) || made_here.made(event_ids.value(row)) {
            continue;
        }
        ids.insert(shared.ids.hash(name.as_str(), event_ids.value(row)), received_at.min(*window.end()));
    }
}
