//! Changes: deploys, config changes, activations … the lines drawn on every chart.
//!
//! A change is (id, revision) in the dataset `system.changes`; the highest revision counts. What the data itself shows
//! first (a new version, rollout or variant) is written as an inferred change and merged with its declared twin.

mod infer;
mod ledger;
mod record;

use std::{collections::HashSet, sync::Arc};

pub use record::{Change, ChangeKind, ChangeStatus};
use store::{Clock, DatasetName, FirstSight, Store};
use tokio::sync::Mutex;

use crate::{Config, Error};
use ledger::Ledger;

/// The ledger of changes, durable in `store`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Changes {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: Arc<dyn Clock>,
    infer_merge_s: i64,
    /// Held across the append: two equal declarations at once must see each other.
    ledger: Mutex<Ledger>,
}

/// What `declare` did with a change.
#[derive(Debug, Clone)]
pub enum Declared {
    /// It is new.
    Created(Change),
    /// Its id or dedup key was seen before; this is the first one.
    Duplicate(Change),
}

fn changes() -> DatasetName {
    DatasetName::system("changes")
}

fn first_seen() -> DatasetName {
    DatasetName::system("first_seen")
}

impl Changes {
    /// Loads the ledger from the store.
    ///
    /// # Errors
    /// The stored changes cannot be read.
    pub fn open(config: &Config, store: Store, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let ledger = Ledger::load(store.read_events(&changes())?);
        let inner = Inner { store, clock, infer_merge_s: config.infer_merge_s, ledger: Mutex::new(ledger) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Stores a declared change; lines of ours that say the same are merged into it.
    ///
    /// # Errors
    /// A field is unknown or wrong (all problems at once), or the store cannot write.
    pub async fn declare(&self, body: &serde_json::Value) -> Result<Declared, Error> {
        let change = Change::declared(body, self.inner.clock.now()).map_err(|message| Error::Change { message })?;
        let mut ledger = self.inner.ledger.lock().await;
        if let Some(first) = ledger.first_of(&change) {
            return Ok(Declared::Duplicate(first.clone()));
        }
        let mut written = vec![change.clone()];
        written.extend(ledger.twins(&change, self.inner.infer_merge_s).map(|twin| twin.merged_into(&change.id)));
        self.write(&mut ledger, written).await?;
        Ok(Declared::Created(change))
    }

    /// Draws the line of what was turned off from an incident, given as a row of `system.changes`; it is merged into a declared change
    /// that reports the same.
    ///
    /// # Errors
    /// The row is no change, or the store cannot write.
    pub async fn turned_off(&self, row: serde_json::Value) -> Result<(), Error> {
        let off = Change::from_row(row).ok_or_else(|| Error::Change { message: "the row is no change".to_owned() })?;
        let mut ledger = self.inner.ledger.lock().await;
        if ledger.first_of(&off).is_some() {
            return Ok(());
        }
        let known = ledger.declared_off(&off, self.inner.infer_merge_s).map(|known| off.merged_into(&known.id));
        self.write(&mut ledger, vec![known.unwrap_or(off)]).await
    }

    /// Records what was seen for the first time, and draws inferred lines where nothing declared explains it.
    ///
    /// # Errors
    /// The store cannot write.
    pub async fn sighted(&self, sights: &[FirstSight]) -> Result<(), Error> {
        if sights.is_empty() {
            return Ok(());
        }
        let mut ledger = self.inner.ledger.lock().await;
        let mut known = HashSet::new();
        let mut inferred: Vec<Change> = Vec::new();
        for sight in sights.iter().filter(|sight| !sight.silent && !sight.dataset.is_system()) {
            let change = infer::change(sight);
            let new = known.insert(infer::identity(&change));
            if new && !ledger.explains(&change, self.inner.infer_merge_s) {
                inferred.push(change);
            }
        }
        self.write(&mut ledger, inferred).await?;
        // Last: after a crash before this line the sights are detected again, and the ledger knows their changes.
        let seen: Vec<_> = sights.iter().map(infer::first_seen_row).collect();
        self.inner.store.append_values(&first_seen(), &seen).await?;
        Ok(())
    }

    async fn write(&self, ledger: &mut Ledger, written: Vec<Change>) -> Result<(), Error> {
        if written.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = written.iter().map(Change::to_row).collect();
        self.inner.store.append_values(&changes(), &rows).await?;
        written.into_iter().for_each(|change| ledger.put(change));
        Ok(())
    }
}
