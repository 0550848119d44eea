//! Counters of this stage as Prometheus text, all named `yellowline_alerter_…`.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counted since the process started.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Minutes scored, over all metrics.
    pub(crate) minutes_scored: AtomicU64,
    /// Rounds that ended with an error and will be made up.
    pub(crate) evaluation_errors: AtomicU64,
    /// Forecasts fitted.
    pub(crate) fits: AtomicU64,
    /// Points stored.
    pub(crate) points_stored: AtomicU64,
    /// Minutes re-opened by late events.
    pub(crate) minutes_reopened: AtomicU64,
    /// Incidents opened.
    pub(crate) incidents: AtomicU64,
    /// Definition files (re)read with a problem.
    pub(crate) definition_errors: AtomicU64,
    /// Deliveries that succeeded.
    pub(crate) deliveries: AtomicU64,
    /// Delivery attempts that failed and will be repeated.
    pub(crate) delivery_retries: AtomicU64,
    /// Notifications given up.
    pub(crate) delivery_failures: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, by: usize) {
        counter.fetch_add(by as u64, Ordering::Relaxed);
    }

    fn all(&self) -> [(&'static str, &'static str, &AtomicU64); 10] {
        [
            ("minutes_scored_total", "Minutes scored over all metrics", &self.minutes_scored),
            ("evaluation_errors_total", "Evaluation rounds that failed and are made up", &self.evaluation_errors),
            ("fits_total", "Forecasts fitted", &self.fits),
            ("points_stored_total", "Points written to system.metric_points", &self.points_stored),
            ("minutes_reopened_total", "Minutes re-opened by late events", &self.minutes_reopened),
            ("incidents_total", "Incidents opened", &self.incidents),
            ("definition_errors_total", "Problems found when definition files changed", &self.definition_errors),
            ("deliveries_total", "Notifications delivered", &self.deliveries),
            ("delivery_retries_total", "Delivery attempts that failed and are repeated", &self.delivery_retries),
            ("delivery_failures_total", "Notifications given up", &self.delivery_failures),
        ]
    }
}

/// A value now, with at most one label.
#[derive(Debug)]
pub(crate) struct Gauge {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    /// `(label value, number)`; the label is `channel` or `metric`, an empty one is none.
    pub(crate) label: &'static str,
    pub(crate) values: Vec<(String, f64)>,
}

/// All counters and the given gauges as text.
pub(crate) fn text(counters: &Counters, gauges: &[Gauge]) -> String {
    let mut text = String::new();
    for (name, help, counter) in counters.all() {
        text.push_str(&head(name, help, "counter"));
        text.push_str(&format!("yellowline_alerter_{name} {}\n", counter.load(Ordering::Relaxed)));
    }
    for gauge in gauges {
        text.push_str(&head(gauge.name, gauge.help, "gauge"));
        for (value, number) in &gauge.values {
            let label = if gauge.label.is_empty() { String::new() } else { format!("{{{}=\"{value}\"}}", gauge.label) };
            text.push_str(&format!("yellowline_alerter_{}{label} {number}\n", gauge.name));
        }
    }
    text
}

fn head(name: &str, help: &str, kind: &str) -> String {
    format!("# HELP yellowline_alerter_{name} {help}.\n# TYPE yellowline_alerter_{name} {kind}\n")
}
