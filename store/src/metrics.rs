//! Numbers about the store itself, as Prometheus text.

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Upper bounds of the buckets of [`Histogram`], in microseconds.
const BOUNDS_US: [u64; 13] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 10_000_000];

/// Durations, counted by size.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    pub(crate) fn record_us(&self, duration_us: i64) {
        let duration = u64::try_from(duration_us).unwrap_or(0);
        let bucket = BOUNDS_US.iter().position(|bound| duration <= *bound).unwrap_or(BOUNDS_US.len());
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(duration, Relaxed);
    }

    #[expect(clippy::cast_precision_loss, reason = "shown to people")]
    fn write(&self, out: &mut String, name: &str, help: &str) -> std::fmt::Result {
        writeln!(out, "# HELP {name} {help}\n# TYPE {name} histogram")?;
        let mut total = 0;
        for (bucket, bound) in self.buckets.iter().zip(BOUNDS_US) {
            total += bucket.load(Relaxed);
            writeln!(out, "{name}_bucket{{le=\"{}\"}} {total}", bound as f64 / 1e6)?;
        }
        total += self.buckets[BOUNDS_US.len()].load(Relaxed);
        writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {total}")?;
        writeln!(out, "{name}_sum {}\n{name}_count {total}", self.sum_us.load(Relaxed) as f64 / 1e6)
    }
}

macro_rules! numbers {
    ($($(#[doc = $doc:literal])+ $field:ident: $kind:literal,)+) => {
        /// Counters and gauges; each is shown as `yellowline_store_<field>`.
        #[derive(Debug, Default)]
        pub(crate) struct Metrics {
            $($(#[doc = $doc])+ pub(crate) $field: AtomicU64,)+
            /// Time of one write and fdatasync of the WAL.
            pub(crate) wal_sync: Histogram,
            /// Time from a request's arrival at the store until it was durable and visible.
            pub(crate) append: Histogram,
            /// Time of one flush of one dataset.
            pub(crate) flush: Histogram,
            /// Time of one merge of files.
            pub(crate) compaction: Histogram,
        }
        impl Metrics {
            fn write_numbers(&self, out: &mut String) -> std::fmt::Result {
                $(writeln!(
                    out,
                    "# HELP yellowline_store_{0}{1}\n# TYPE yellowline_store_{0} {2}\nyellowline_store_{0} {3}",
                    stringify!($field), concat!($($doc),+), $kind, self.$field.load(Relaxed)
                )?;)+
                Ok(())
            }
        }
    };
}

numbers! {
    /// Events stored (durable and visible).
    events_stored_total: "counter",
    /// Events not stored because their id or idempotency key was seen before.
    events_duplicate_total: "counter",
    /// Events refused by the decoder.
    events_rejected_total: "counter",
    /// Requests refused because a queue or memory was full.
    busy_total: "counter",
    /// Bytes of JSON of the stored events.
    event_bytes_total: "counter",
    /// Bytes written to the WAL.
    wal_written_bytes_total: "counter",
    /// Groups written to the WAL, each with one fdatasync.
    wal_groups_total: "counter",
    /// Writes or syncs of the WAL that failed; their requests were refused.
    wal_failures_total: "counter",
    /// WAL segment files on disk.
    wal_segments: "gauge",
    /// Bytes of WAL segment files on disk.
    wal_bytes: "gauge",
    /// Damaged places found in the WAL at the last start; their bytes are in wal/quarantine.
    wal_damaged: "gauge",
    /// Acknowledged events missing from the WAL at the last start, by their sequence numbers.
    wal_lost_events: "gauge",
    /// Events replayed from the WAL at the last start.
    replayed_events: "gauge",
    /// Events set aside since the start, at the replay included: they could not be decoded again, or inserting them panicked.
    quarantined_events: "gauge",
    /// Bytes of unflushed events in memory.
    memtable_bytes: "gauge",
    /// Age of the oldest event that is in no file yet, in seconds; 0 when all are.
    oldest_unflushed_seconds: "gauge",
    /// Bytes that may still be written where the data folder lies; 0 when that is not known.
    disk_free_bytes: "gauge",
    /// Flushes of datasets to Parquet.
    flushes_total: "counter",
    /// Flushes that failed; they are tried again.
    flush_failures_total: "counter",
    /// Datasets that cannot be flushed until a restart.
    flush_stopped: "gauge",
    /// Bytes of Parquet files written.
    parquet_written_bytes_total: "counter",
    /// Live Parquet files of all datasets.
    files: "gauge",
    /// Bytes of live Parquet files of all datasets.
    file_bytes: "gauge",
    /// Files that merging would save, by its rules.
    compaction_backlog_files: "gauge",
    /// Merges of files done.
    compactions_total: "counter",
    /// Merges of files that failed; they are tried again.
    compaction_failures_total: "counter",
    /// Files that were merged into others.
    compaction_input_files_total: "counter",
    /// Bytes of Parquet read by merging.
    compaction_read_bytes_total: "counter",
    /// Bytes of Parquet written by merging.
    compaction_written_bytes_total: "counter",
    /// When files were last merged, in seconds since 1970.
    compaction_last_timestamp_seconds: "gauge",
    /// Files that are no longer live and still on disk, for queries and other programs that read an older version.
    removed_files: "gauge",
    /// Files dropped because their days are beyond retention.
    retention_files_total: "counter",
    /// Events taken out because they are beyond retention.
    retention_events_total: "counter",
    /// When events were last taken out by retention, in seconds since 1970; 0 for not since the start.
    retention_last_timestamp_seconds: "gauge",
    /// Files that cannot be read and so are not merged; the log names them.
    compaction_bad_files: "gauge",
    /// Checkpoints of Delta logs written.
    checkpoints_total: "counter",
    /// Checkpoints of Delta logs that could not be written; they are tried again.
    checkpoint_failures_total: "counter",
    /// Commits of the Delta log that has most of them since its newest checkpoint.
    log_commits: "gauge",
    /// Rows taken out by deletions.
    deletion_rows_total: "counter",
    /// Files written anew by deletions.
    deletion_files_total: "counter",
    /// Deletions asked for that are not done.
    deletions_pending: "gauge",
    /// Event ids remembered.
    dedup_ids: "gauge",
    /// Idempotency keys remembered.
    dedup_keys: "gauge",
    /// How far back an event id or an idempotency key is recognised, in seconds: the window, or less when its numbers are reached.
    dedup_window_seconds: "gauge",
}

impl Metrics {
    /// Adds to a counter.
    pub(crate) fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Relaxed);
    }

    /// Sets a gauge.
    pub(crate) fn set(gauge: &AtomicU64, value: u64) {
        gauge.store(value, Relaxed);
    }

    /// All of it as Prometheus text.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        let written = self
            .write_numbers(&mut out)
            .and_then(|()| {
                self.wal_sync.write(
                    &mut out,
                    "yellowline_store_wal_sync_seconds",
                    "Time of one write and fdatasync of the WAL.",
                )
            })
            .and_then(|()| {
                self.append.write(
                    &mut out,
                    "yellowline_store_append_seconds",
                    "Time until a request was durable and visible.",
                )
            })
            .and_then(|()| {
                self.flush.write(&mut out, "yellowline_store_flush_seconds", "Time of one flush of one dataset.")
            })
            .and_then(|()| {
                self.compaction.write(&mut out, "yellowline_store_compaction_seconds", "Time of one merge of files.")
            });
        debug_assert!(written.is_ok(), "writing to a String does not fail");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_help_type_and_value_of_each_number() {
        let metrics = Metrics::default();
        Metrics::add(&metrics.events_stored_total, 3);
        metrics.wal_sync.record_us(300);
        let text = metrics.text();
        assert!(text.contains("# HELP yellowline_store_events_stored_total Events stored"), "{text}");
        assert!(text.contains("\nyellowline_store_events_stored_total 3\n"));
        assert!(text.contains("yellowline_store_wal_sync_seconds_bucket{le=\"0.0005\"} 1\n"));
        assert!(text.contains("yellowline_store_wal_sync_seconds_count 1\n"));
    }
}
