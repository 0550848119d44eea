//! Events that are durable in the WAL but cannot be shown: the decoder does not take them any more, or putting them in memory
//! panics. Each is kept in a file of its own below `wal/quarantine/`, becomes a row of `system.quarantine`, is counted and
//! logged at error level. The events around it go on, and the next start does not fail over it.

use std::path::PathBuf;

use crate::{
    DatasetName, Error, Timestamp,
    disk::{create_dirs, replace_file},
    intake,
    metrics::Metrics,
    shared::Shared,
};

/// Below the folder of the WAL: bytes found damaged, and events set aside.
const FOLDER: &str = "quarantine";

/// Why an event that panicked was set aside.
pub(crate) const PANICKED: &str = "putting it in memory panicked";

/// An event set aside.
#[derive(Debug, Clone)]
pub(crate) struct Quarantined {
    pub(crate) dataset: DatasetName,
    pub(crate) seq: u64,
    pub(crate) received_at: Timestamp,
    pub(crate) reason: String,
    pub(crate) text: String,
}

impl Quarantined {
    /// The row of `system.quarantine`; its id makes it count once.
    pub(crate) fn event(&self, incarnation: &str) -> serde_json::Value {
        serde_json::json!({
            "id": format!("{incarnation}/{}/{}", self.dataset, self.seq),
            "dataset": self.dataset.as_str(),
            "received_at_first": self.received_at.to_rfc3339(),
            "reason": self.reason,
            "text": self.text,
        })
    }

    /// Keeps it in a file, durably, and says so.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn keep(&self, shared: &Shared) -> Result<(), Error> {
        tracing::error!(
            dataset = %self.dataset,
            seq = self.seq,
            reason = self.reason,
            "an event of the WAL is set aside: see wal/quarantine and system.quarantine"
        );
        Metrics::add(&shared.metrics.quarantined_events, 1);
        let name = format!("{}-{}.json", self.dataset, self.seq);
        keep(shared, &name, self.event(&shared.incarnation).to_string().as_bytes())
    }

    /// [`Self::keep`], and a row of `system.quarantine` through the writer's line, for which nobody waits.
    ///
    /// # Errors
    /// When the file cannot be written. The row is made at the next start when it cannot be put in line.
    pub(crate) fn report(&self, shared: &Shared) -> Result<(), Error> {
        self.keep(shared)?;
        let name = dataset();
        if self.dataset != name {
            intake::append_unanswered(shared, &name, &self.event(&shared.incarnation));
        }
        Ok(())
    }
}

/// `system.quarantine`
pub(crate) fn dataset() -> DatasetName {
    DatasetName::system("quarantine")
}

/// Writes a file below `wal/quarantine/`, durably.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn keep(shared: &Shared, name: &str, bytes: &[u8]) -> Result<(), Error> {
    if shared.config.read_only {
        // The next start that may write does it.
        return Ok(());
    }
    let wal = shared.wal_folder();
    let path: PathBuf = wal.join(FOLDER).join(name);
    create_dirs(&*shared.disk, &wal, &wal.join(FOLDER))
        .and_then(|()| replace_file(&*shared.disk, &path, bytes))
        .map_err(|source| Error::folder("write", &path, source))
}

#[cfg(test)]
mod tests;
