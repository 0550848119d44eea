//! Removing WAL segments of which everything is in files.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::ask_writer;
use crate::{Error, metrics::Metrics, shared::Shared, wal::SegmentId, wal::index::Trim, writer::Work};

/// What could go, and what keeps the next segment.
pub(super) fn trim_plan(shared: &Shared) -> Trim {
    let counted = shared.accounts_table.lock().lsn();
    shared.wal.trim(counted, |name| shared.dataset(name).map_or(0, |dataset| dataset.flushed_seq()))
}

/// Removes the oldest segments that hold nothing else any more.
///
/// # Errors
/// When keys could not be carried over or a file not be removed; what was removed stays so.
pub(super) fn trim(shared: &Shared) -> Result<(), Error> {
    let mut plan = trim_plan(shared);
    if plan.ids.is_empty() && plan.held_by_counts && plan.held_by.is_empty() && shared.wal_is_long() {
        let now = shared.clock.now();
        shared.accounts_table.lock().flush(&shared.accounts, now)?;
        plan = trim_plan(shared);
    }
    if let Some(through) = plan.ids.last().copied() {
        carry_keys(shared, through)?;
        let folder = shared.wal_folder();
        for id in plan.ids {
            remove_segment(shared, &folder, id)?;
        }
    }
    let (segments, bytes) = shared.wal.size();
    Metrics::set(&shared.metrics.wal_segments, segments);
    Metrics::set(&shared.metrics.wal_bytes, bytes);
    Ok(())
}

fn carry_keys(shared: &Shared, through: SegmentId) -> Result<(), Error> {
    ask_writer(shared, |done| Work::Carry { through, done })
}

fn remove_segment(shared: &Shared, folder: &Path, id: SegmentId) -> Result<(), Error> {
    let path: PathBuf = folder.join(id.file_name());
    match shared.disk.remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::folder("remove", &path, error)),
        _ => {
            shared.wal.remove(id);
            Ok(())
        }
    }
}
