//! Counters of the door, exact between restarts; the durable account is `system.ingest`.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use store::{Reject, Timestamp};

#[derive(Debug, Default)]
pub(crate) struct Stats {
    requests: AtomicU64,
    accepted: AtomicU64,
    rate: Mutex<Rate>,
    rejects: Mutex<BTreeMap<&'static str, u64>>,
    refusals: Mutex<BTreeMap<&'static str, u64>>,
}

/// Events accepted in each of the last seconds, by second modulo the window.
#[derive(Debug, Default)]
struct Rate {
    seconds: [(i64, u64); RATE_WINDOW_S],
}

/// Seconds over which the rate is averaged: calm for eyes, quick enough to see a stop.
const RATE_WINDOW_S: usize = 10;

impl Rate {
    fn slot(&mut self, second: i64) -> &mut (i64, u64) {
        let window = i64::try_from(RATE_WINDOW_S).unwrap_or(1);
        &mut self.seconds[usize::try_from(second.rem_euclid(window)).unwrap_or(0)]
    }

    fn add(&mut self, second: i64, events: u64) {
        let slot = self.slot(second);
        *slot = if slot.0 == second { (second, slot.1 + events) } else { (second, events) };
    }

    /// Mean events per second over the whole seconds before `second`.
    fn mean(&self, second: i64) -> f64 {
        let oldest = second - i64::try_from(RATE_WINDOW_S).unwrap_or(1) + 1;
        let recent = self.seconds.iter().filter(|(at, _)| (oldest..second).contains(at));
        recent.fold(0.0, |sum, (_, events)| sum + *events as f64) / (RATE_WINDOW_S - 1) as f64
    }
}

impl Stats {
    /// Counts stored events.
    pub(crate) fn accept(&self, events: u32, now: Timestamp) {
        self.accepted.fetch_add(u64::from(events), Ordering::Relaxed);
        self.rate.lock().add(now.seconds(), u64::from(events));
    }

    pub(crate) fn events_per_second(&self, now: Timestamp) -> f64 {
        self.rate.lock().mean(now.seconds())
    }

    /// Counts a request that was decoded, with its rejects.
    pub(crate) fn count(&self, rejects: &[Reject]) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if rejects.is_empty() {
            return;
        }
        let mut by_code = self.rejects.lock();
        for reject in rejects {
            *by_code.entry(reject.code).or_default() += 1;
        }
    }

    /// Counts a request refused as a whole.
    pub(crate) fn refuse(&self, code: &'static str) {
        *self.refusals.lock().entry(code).or_default() += 1;
    }

    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "# HELP yellowline_ingest_requests_total Event requests decoded.\n# TYPE yellowline_ingest_requests_total counter\n\
             yellowline_ingest_requests_total {}\n\
             # HELP yellowline_ingest_events_accepted_total Events stored.\n# TYPE yellowline_ingest_events_accepted_total counter\n\
             yellowline_ingest_events_accepted_total {}\n",
            self.requests.load(Ordering::Relaxed),
            self.accepted.load(Ordering::Relaxed)
        );
        labelled(&mut text, "events_rejected_total", "Events rejected, by reason.", &self.rejects.lock());
        labelled(&mut text, "requests_refused_total", "Requests refused as a whole, by reason.", &self.refusals.lock());
        text
    }
}

fn labelled(text: &mut String, name: &str, help: &str, counts: &BTreeMap<&'static str, u64>) {
    let metric = format!("yellowline_ingest_{name}");
    let written = writeln!(text, "# HELP {metric} {help}\n# TYPE {metric} counter");
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
    for (code, count) in counts {
        let written = writeln!(text, "{metric}{{reason=\"{code}\"}} {count}");
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_forgets_what_is_older_than_its_window() {
        let stats = Stats::default();
        for second in 0..20 {
            stats.accept(9, Timestamp(second * 1_000_000));
        }
        assert!((stats.events_per_second(Timestamp(20_000_000)) - 9.0).abs() < 1e-9);
        assert!(stats.events_per_second(Timestamp(60_000_000)).abs() < 1e-9);
    }
}
