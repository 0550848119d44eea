//! The four threads of a store: started together, stopped in the order the data flows.

use std::{
    sync::{Arc, mpsc::sync_channel},
    thread::{Builder, JoinHandle},
};

use parking_lot::Mutex;

use crate::{
    Error, applier, flush, maintenance, priority,
    shared::Shared,
    writer::{Writer, WriterStart},
};

/// Groups between the writer and the applier: enough for the next sync to run while one is applied.
const GROUPS_IN_FLIGHT: usize = 2;

/// Ends the threads when it is dropped.
#[derive(Debug)]
pub(crate) struct Threads {
    shared: Arc<Shared>,
    running: Mutex<Vec<JoinHandle<()>>>,
}

impl Threads {
    /// For a folder nothing is written to.
    pub(crate) fn none(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), running: Mutex::new(Vec::new()) }
    }

    pub(crate) fn start(shared: &Arc<Shared>, start: WriterStart) -> Result<Self, Error> {
        let threads = Self { shared: Arc::clone(shared), running: Mutex::new(Vec::new()) };
        let (groups, applied) = sync_channel(GROUPS_IN_FLIGHT);
        let writer = Writer::new(Arc::clone(shared), groups, start);
        let applier_shared = Arc::clone(shared);
        let flusher_shared = Arc::clone(shared);
        threads.spawn("writer", move || writer.run())?;
        threads.spawn("applier", move || applier::run(&applier_shared, &applied))?;
        threads.spawn("flusher", move || flush::run(&flusher_shared))?;
        let maintenance_shared = Arc::clone(shared);
        threads.spawn("maintenance", move || {
            priority::lower();
            maintenance::run(&maintenance_shared);
        })?;
        Ok(threads)
    }

    fn spawn(&self, name: &'static str, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let spawned = Builder::new().name(format!("store-{name}")).spawn(work);
        let handle = spawned.map_err(|source| {
            tracing::error!(thread = name, %source, "could not start a thread");
            Error::Thread { thread: name }
        })?;
        self.running.lock().push(handle);
        Ok(())
    }

    /// True while all threads work.
    pub(crate) fn all_run(&self) -> bool {
        let running = self.running.lock();
        !running.is_empty() && running.iter().all(|thread| !thread.is_finished())
    }

    /// Serves what waits in line, then ends all threads. A second call does nothing.
    pub(crate) fn stop(&self) {
        self.shared.maintenance.stop();
        self.shared.flush.stop();
        self.shared.queue.close();
        for thread in std::mem::take(&mut *self.running.lock()) {
            let name = thread.thread().name().unwrap_or("?").to_owned();
            if thread.join().is_err() {
                tracing::error!(thread = name, "a thread of the store had panicked");
            }
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop();
    }
}
