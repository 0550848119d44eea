//! Counters of this stage as Prometheus text.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// `yellowline_query_*`.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    succeeded: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    microseconds: AtomicU64,
    rows_scanned: AtomicU64,
    bytes_scanned: AtomicU64,
}

impl Metrics {
    pub(crate) fn ended(&self, succeeded: bool, elapsed: Duration, rows_scanned: u64, bytes_scanned: u64) {
        if succeeded { &self.succeeded } else { &self.failed }.fetch_add(1, Relaxed);
        self.microseconds.fetch_add(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX), Relaxed);
        self.rows_scanned.fetch_add(rows_scanned, Relaxed);
        self.bytes_scanned.fetch_add(bytes_scanned, Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub(crate) fn text(&self, running: usize) -> String {
        let seconds = self.microseconds.load(Relaxed) as f64 / 1e6;
        format!(
            "# HELP yellowline_query_queries_total Queries ended, by outcome.\n\
             # TYPE yellowline_query_queries_total counter\n\
             yellowline_query_queries_total{{outcome=\"succeeded\"}} {}\n\
             yellowline_query_queries_total{{outcome=\"failed\"}} {}\n\
             yellowline_query_queries_total{{outcome=\"refused\"}} {}\n\
             # HELP yellowline_query_running Queries running now.\n\
             # TYPE yellowline_query_running gauge\n\
             yellowline_query_running {running}\n\
             # HELP yellowline_query_seconds_total Seconds spent in queries.\n\
             # TYPE yellowline_query_seconds_total counter\n\
             yellowline_query_seconds_total {seconds}\n\
             # HELP yellowline_query_rows_scanned_total Rows read by queries.\n\
             # TYPE yellowline_query_rows_scanned_total counter\n\
             yellowline_query_rows_scanned_total {}\n\
             # HELP yellowline_query_bytes_scanned_total Bytes of files read by queries.\n\
             # TYPE yellowline_query_bytes_scanned_total counter\n\
             yellowline_query_bytes_scanned_total {}\n",
            self.succeeded.load(Relaxed),
            self.failed.load(Relaxed),
            self.refused.load(Relaxed),
            self.rows_scanned.load(Relaxed),
            self.bytes_scanned.load(Relaxed),
        )
    }
}
