//! Settings of the query stage, one TOML section `[query]`.

use serde::{Deserialize, Serialize};

/// Bounds of the query engine. Every query is limited in time, memory and rows.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Threads that run queries, apart from those that take events; 0 = one per core.
    pub threads: usize,
    /// Bytes all running queries may hold together (hash tables, sorts); a query that needs more fails with `memory_exceeded`.
    pub memory_bytes_max: usize,
    /// Bytes of Parquet footers kept decoded; too small a cache makes every query decode every footer again.
    pub metadata_cache_bytes: usize,
    /// Milliseconds a query may take, sending its rows included, when the request names none.
    pub timeout_ms: u64,
    /// Largest `timeout_ms` a request may ask for.
    pub timeout_ms_max: u64,
    /// Rows returned when the request names no `limit`; more rows set `truncated`.
    pub rows: usize,
    /// Largest `limit` a request may ask for.
    pub rows_max: usize,
    /// Bytes of a result that has to be complete before it is sent (Arrow).
    pub result_bytes_max: usize,
    /// Queries of users that may run at the same time; one more gets `too_many_queries`. The alerter's own do not count.
    pub concurrent_max: usize,
    /// Bytes of one SQL text.
    pub sql_bytes_max: usize,
    /// Finished queries kept for `system.queries`.
    pub history_max: usize,
    /// Values of one slice column `minute_counts` follows; the rarest beyond it are left out.
    pub slice_values_max: usize,
    /// Events of one trace `GET /traces/{id}` shows; of more, the earliest, marked `truncated`.
    pub trace_events_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            threads: 0,
            memory_bytes_max: 2 << 30,
            metadata_cache_bytes: 256 << 20,
            timeout_ms: 30_000,
            timeout_ms_max: 600_000,
            rows: 10_000,
            rows_max: 1_000_000,
            result_bytes_max: 256 << 20,
            concurrent_max: 16,
            sql_bytes_max: 1 << 20,
            history_max: 1_000,
            slice_values_max: 1_000,
            trace_events_max: 1_000,
        }
    }
}

impl Config {
    /// Every problem of these settings, each with its key. Empty when all is well.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut at_least = |key: &str, value: u64, least: u64| {
            if value < least {
                problems.push(format!("query.{key} is {value}, the least is {least}"));
            }
        };
        at_least("memory_bytes_max", self.memory_bytes_max as u64, 16 << 20);
        at_least("timeout_ms", self.timeout_ms, 1);
        at_least("timeout_ms_max", self.timeout_ms_max, self.timeout_ms);
        at_least("rows", self.rows as u64, 1);
        at_least("rows_max", self.rows_max as u64, self.rows as u64);
        at_least("concurrent_max", self.concurrent_max as u64, 1);
        at_least("sql_bytes_max", self.sql_bytes_max as u64, 1_000);
        at_least("slice_values_max", self.slice_values_max as u64, 1);
        at_least("trace_events_max", self.trace_events_max as u64, 1);
        problems
    }

    /// The number of threads to start.
    #[must_use]
    pub fn thread_count(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(2, usize::from),
            n => n,
        }
    }
}
