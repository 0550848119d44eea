//! Which work the processor does first when there is more than it can do: requests before everything behind their back.
//!
//! Without this an acknowledgement waits for a turn at each hop of its way (connection, writer, applier, connection) behind threads that
//! encode Parquet for seconds. A thread can lower its priority, but without privileges never raise it again; so work that may become urgent
//! is done in short pieces, each on a thread of its own.

use thread_priority::ThreadPriority;

/// Of 0 to 100, where an ordinary thread has 50. Niceness 5 on Linux: yields to requests, yet is never starved; under full load it
/// keeps about a third of an ordinary share.
const LOW: u8 = 33;
/// Niceness 9: runs on what the others leave; under full load an eighth of an ordinary share.
const LOWER: u8 = 25;
/// Niceness 19: a sixtieth of an ordinary share, where there is nothing left. Beside a heavy query at niceness 5 the 99 % quantile
/// of acknowledgements at half load was 36 to 183 ms, at 10 it was 56, at 19 it was 22, and the query still ran four fifths as often.
const LOWEST: u8 = 0;

/// Lowers the priority of this thread for good: for work that must keep up with requests.
pub(crate) fn lower() {
    lower_to(LOW);
}

/// Lowers the priority of this thread for good: for work that never may hold up a request.
pub fn lower_most() {
    lower_to(LOWEST);
}

/// Does a short piece of work at a lower priority, and waits for it.
///
/// # Panics
/// When the work does, or when the system gives no thread.
pub(crate) fn yielding<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let on_its_own = || {
        lower_to(LOWER);
        work()
    };
    let done = std::thread::scope(|scope| scope.spawn(on_its_own).join());
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn lower_to(priority: u8) {
    // Where the system does not let us, everything is done at one priority.
    drop(priority.try_into().map(|value| ThreadPriority::Crossplatform(value).set_for_current()));
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    fn niceness() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        // The name of the thread, in brackets, may hold spaces; the 17th word after it is the niceness.
        stat.rsplit(')').next().unwrap().split_whitespace().nth(16).unwrap().parse().unwrap()
    }

    #[test]
    fn work_that_yields_has_a_lower_priority_and_its_caller_keeps_its_own() {
        let before = niceness();
        let (at_work, answer) = yielding(|| (niceness(), 42));
        assert!(at_work > before, "{at_work} is not above {before}");
        assert_eq!((niceness(), answer), (before, 42));
    }

    #[test]
    fn requests_go_before_upkeep_before_flushes_before_queries() {
        let lowered = |lower: fn()| {
            let thread = std::thread::spawn(move || {
                lower();
                niceness()
            });
            thread.join().unwrap()
        };
        let order = [niceness(), lowered(lower), yielding(niceness), lowered(lower_most)];
        assert!(order.is_sorted_by(|left, right| left < right), "{order:?}");
    }
}
