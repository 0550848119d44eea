//! Counters of the door, exact between restarts; the durable account is `system.ingest`.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use store::Reject;

#[derive(Debug, Default)]
pub(crate) struct Stats {
    requests: AtomicU64,
    rejects: Mutex<BTreeMap<&'static str, u64>>,
    refusals: Mutex<BTreeMap<&'static str, u64>>,
}

impl Stats {
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
             yellowline_ingest_requests_total {}\n",
            self.requests.load(Ordering::Relaxed)
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
