//! Limits of the door. Each refusal names the limit that caused it.

use serde::{Deserialize, Serialize};

/// `[ingest]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Largest body as sent, in bytes; larger ones get 413.
    pub body_bytes_max: usize,
    /// Largest body after decompression, in bytes: stops decompression bombs.
    pub decompressed_bytes_max: usize,
    /// Most events in one request.
    pub events_per_request_max: usize,
    /// Bodies being worked on at one time, in bytes; more get 503 with Retry-After.
    pub in_flight_bytes_max: usize,
    /// A change inferred or turned off here is merged into a declared one of the same thing at most this many seconds apart.
    pub infer_merge_s: i64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            body_bytes_max: 16 << 20,
            decompressed_bytes_max: 64 << 20,
            events_per_request_max: 100_000,
            in_flight_bytes_max: 256 << 20,
            infer_merge_s: 15 * 60,
        }
    }
}
