//! Privacy deletion as operators use it: routes to ask for it and see how far it is, the task that carries it out, `yellowline delete`.
//!
//! A request is durable in the store before it is answered (202), so it survives restarts; this task goes on with it until the store says
//! that the rows are in no file. The predicate, which often holds the value, is nowhere then: the record of the deletion, revisions of
//! one row of `system.deletions`, never has it.

mod command;
mod routes;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::Serialize;
use serde_json::json;
use store::{Clock, DatasetName, Deletion, Store};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub(crate) use command::run;
pub(crate) use routes::routes;

/// Between two tries of what could not be finished: a query holds a file, the disk is full, the predicate failed.
const AGAIN_AFTER: Duration = Duration::from_secs(10);
/// A query that reads replaced files for longer than this is ended: what is deleted has to be gone within the hour.
const QUERY_AGE_MAX: Duration = Duration::from_secs(15 * 60);
/// Deletions that may be under way; one more is refused.
const PENDING_MAX: usize = 100;

/// How far a deletion is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// In line.
    Waiting,
    /// Files are looked through and written anew; matching rows leave the answers of queries file by file.
    Rewriting,
    /// No live file has a matching row; what is replaced is being removed, or is still read by a query or a backup.
    Clearing,
    /// No file of the data folder has a matching row.
    Done,
    /// Taken back before it was done.
    Withdrawn,
}

impl State {
    /// Of one that is not recorded as done.
    fn of(deletion: &Deletion, is_current: bool) -> Self {
        match (deletion.rewritten, is_current) {
            (true, _) => Self::Clearing,
            (false, true) => Self::Rewriting,
            (false, false) => Self::Waiting,
        }
    }
}

/// What the routes and the task share.
#[derive(Debug)]
pub(crate) struct Deletions {
    store: Store,
    engine: query::Engine,
    clock: Arc<dyn Clock>,
    asked: Notify,
    /// Why the last try of a deletion ended early, by id.
    errors: Mutex<HashMap<String, String>>,
}

impl Deletions {
    pub(crate) fn new(store: Store, engine: query::Engine, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { store, engine, clock, asked: Notify::new(), errors: Mutex::default() })
    }

    /// Carries out what was asked for, until the process ends.
    pub(crate) async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        loop {
            let again = tokio::select! {
                () = shutdown.cancelled() => return,
                again = self.round() => again,
            };
            let pause = async {
                match again {
                    true => tokio::time::sleep(AGAIN_AFTER).await,
                    false => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.asked.notified() => {}
                () = pause => {}
            }
        }
    }

    /// Goes on with every deletion; true when one is left.
    async fn round(&self) -> bool {
        let pending = match self.store.deletions() {
            Ok(pending) => pending,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "could not read the deletions under way");
                return true;
            }
        };
        let mut left = false;
        for deletion in pending {
            let id = deletion.id.clone();
            match self.carry_out(deletion).await {
                Ok(is_done) => {
                    self.errors().remove(&id);
                    left |= !is_done;
                }
                Err(error) => {
                    left = true;
                    let error = told(&error);
                    tracing::error!(deletion = id, error, "a deletion could not be finished; it is tried again");
                    self.errors().insert(id, error);
                }
            }
        }
        left
    }

    async fn carry_out(&self, deletion: Deletion) -> anyhow::Result<bool> {
        let matcher = self.engine.row_matcher(&deletion.dataset, &deletion.predicate, deletion.requested()).await?;
        let deletion = match self.store.carry_out_deletion(deletion, matcher).await {
            // withdrawn since the list was made
            Err(store::Error::NoDeletion { .. }) => return Ok(true),
            carried_out => carried_out?,
        };
        if !deletion.is_done() {
            if deletion.files_held > 0 {
                let ended = self.engine.end_queries_older_than(QUERY_AGE_MAX);
                tracing::info!(
                    deletion = deletion.id,
                    held = deletion.files_held,
                    ended,
                    "replaced files are still read"
                );
            }
            return Ok(false);
        }
        // Told before it is forgotten: a crash in between tells it again, as the same revision.
        self.record(&deletion, State::Done).await?;
        self.store.forget_deletion(&deletion.id)?;
        tracing::info!(deletion = deletion.id, dataset = deletion.dataset, rows = deletion.rows, "deletion done");
        Ok(true)
    }

    /// A revision of the deletion's row in `system.deletions`, without its predicate.
    async fn record(&self, deletion: &Deletion, state: State) -> Result<(), store::Error> {
        let revision = if state == State::Waiting { 1 } else { 2 };
        let done_at = (state == State::Done).then(|| self.clock.now().to_rfc3339());
        let event = json!({
            "id": format!("{}/{revision}", deletion.id),
            "deletion_id": deletion.id,
            "revision": revision,
            "dataset": deletion.dataset,
            "state": state,
            "reason": deletion.reason,
            "actor": deletion.actor,
            "key": deletion.key,
            "requested_at": deletion.requested_at,
            "done_at": done_at,
            "files": deletion.files,
            "rows_deleted": deletion.rows,
        });
        self.store.append_values(&DatasetName::system("deletions"), &[event]).await.map(drop)
    }

    fn errors(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a try ended early; what to do when only another predicate helps.
fn told(error: &anyhow::Error) -> String {
    let of_predicate = match error.downcast_ref() {
        Some(store::Error::Match { source }) => source.downcast_ref(),
        _ => error.downcast_ref::<query::Error>(),
    };
    match of_predicate {
        Some(cause @ query::Error::Invalid { .. }) => {
            format!("the predicate fails: {cause}; withdraw this deletion and ask again with another predicate")
        }
        _ => format!("{error:#}"),
    }
}
