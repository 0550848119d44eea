//! The bounded line in front of the WAL's writer.

use std::{collections::VecDeque, time::Duration};

use parking_lot::{Condvar, Mutex};

/// What waits for its turn, and how large it is.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<QueueState<T>>,
    arrived: Condvar,
    requests_max: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct QueueState<T> {
    waiting: VecDeque<(T, usize)>,
    bytes: usize,
    closed: bool,
}

/// Why nothing was put in line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The setting whose bound is reached.
    Full(&'static str),
    Closed,
}

impl<T> Queue<T> {
    pub(crate) fn new(requests_max: u64, bytes_max: u64) -> Self {
        Self {
            state: Mutex::new(QueueState { waiting: VecDeque::new(), bytes: 0, closed: false }),
            arrived: Condvar::new(),
            requests_max: usize::try_from(requests_max).unwrap_or(usize::MAX),
            bytes_max: usize::try_from(bytes_max).unwrap_or(usize::MAX),
        }
    }

    /// Puts a request of `bytes` in line. One larger than the whole bound is taken when nothing else waits.
    pub(crate) fn push(&self, item: T, bytes: usize) -> Result<(), Refused> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        if state.waiting.len() >= self.requests_max {
            return Err(Refused::Full("store.queue_requests_max"));
        }
        if state.bytes > 0 && state.bytes.saturating_add(bytes) > self.bytes_max {
            return Err(Refused::Full("store.queue_bytes_max"));
        }
        state.bytes += bytes;
        state.waiting.push_back((item, bytes));
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Puts work of our own in line, whatever its length. The caller waits for the answer, so there is one such item at a time.
    pub(crate) fn push_own(&self, item: T) -> Result<(), Refused> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        state.waiting.push_back((item, 0));
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Everything waiting, up to `bytes_max` (at least one). Waits for something at most `timeout`: empty then.
    /// `None` once the line is closed and empty.
    pub(crate) fn take(&self, bytes_max: usize, timeout: Option<Duration>) -> Option<Vec<T>> {
        let mut state = self.state.lock();
        while state.waiting.is_empty() && !state.closed {
            match timeout {
                None => self.arrived.wait(&mut state),
                Some(timeout) => {
                    if self.arrived.wait_for(&mut state, timeout).timed_out() {
                        return Some(Vec::new());
                    }
                }
            }
        }
        if state.waiting.is_empty() {
            return None;
        }
        let mut taken = Vec::new();
        let mut taken_bytes = 0;
        while let Some((_, bytes)) = state.waiting.front() {
            if !taken.is_empty() && taken_bytes + bytes > bytes_max {
                break;
            }
            taken_bytes += bytes;
            taken.extend(state.waiting.pop_front().map(|(item, _)| item));
        }
        state.bytes -= taken_bytes;
        Some(taken)
    }

    /// Lets nobody in any more; who waits is still served.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.arrived.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_and_order_is_kept() {
        let queue = Queue::new(3, 100);
        assert_eq!(queue.push(1, 500), Ok(()), "alone, any size");
        assert_eq!(queue.push(2, 1), Err(Refused::Full("store.queue_bytes_max")));
        assert_eq!(queue.take(10, None), Some(vec![1]));
        for n in 0..3 {
            assert_eq!(queue.push(n, 10), Ok(()));
        }
        assert_eq!(queue.push(3, 10), Err(Refused::Full("store.queue_requests_max")));
        assert_eq!(queue.take(25, None), Some(vec![0, 1]));
        queue.close();
        assert_eq!(queue.push(9, 1), Err(Refused::Closed));
        assert_eq!(queue.take(25, None), Some(vec![2]));
        assert_eq!(queue.take(25, None), None);
    }

    #[test]
    fn waiting_ends_with_the_timeout() {
        let queue: Queue<u8> = Queue::new(1, 1);
        assert_eq!(queue.take(1, Some(Duration::from_millis(1))), Some(Vec::new()));
    }
}
