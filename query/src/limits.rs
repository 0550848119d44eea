//! The threads queries run on, apart from those that take events: a heavy query must not delay an acknowledgement.

use std::{future::Future, sync::Arc};

use tokio::{runtime::Runtime, task::JoinHandle};

use crate::error::Error;

/// Stack of a query thread: DataFusion recurses over deep plans.
const STACK_BYTES: usize = 8 << 20;

/// Threads of their own runtime.
#[derive(Debug, Clone)]
pub(crate) struct Threads {
    runtime: Arc<Owned>,
}

#[derive(Debug)]
struct Owned(Option<Runtime>);

impl Drop for Owned {
    /// A runtime may not wait for its threads inside another one.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Threads {
    pub(crate) fn start(threads: usize) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("query")
            .thread_stack_size(STACK_BYTES)
            // Queries take all the processors while nothing else wants them, and never hold up acknowledgements.
            .on_thread_start(store::priority::lower_most)
            .enable_time()
            .build()
            .map_err(|source| Error::Threads { threads, source })?;
        Ok(Self { runtime: Arc::new(Owned(Some(runtime))) })
    }

    /// Runs a task on them. `None` only while the process ends.
    pub(crate) fn spawn<F>(&self, task: F) -> Option<JoinHandle<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.runtime.0.as_ref().map(|runtime| runtime.spawn(task))
    }
}
