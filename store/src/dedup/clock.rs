//! The time by which ids and keys grow old.

use std::{sync::Arc, time::Duration};

use crate::{Clock, Timestamp};

/// Starts as the clock of the machine, then goes on by elapsed time: setting the clock does not touch it.
#[derive(Debug)]
pub(crate) struct WindowClock {
    clock: Arc<dyn Clock>,
    started_at: Timestamp,
    started: Duration,
}

impl WindowClock {
    pub(crate) fn start(clock: Arc<dyn Clock>) -> Self {
        Self { started_at: clock.now(), started: clock.elapsed(), clock }
    }

    /// Microseconds since 1970, were the clock never set.
    pub(crate) fn now(&self) -> Timestamp {
        let passed = self.clock.elapsed().saturating_sub(self.started);
        Timestamp(self.started_at.0.saturating_add(i64::try_from(passed.as_micros()).unwrap_or(i64::MAX)))
    }
}
