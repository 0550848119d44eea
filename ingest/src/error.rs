//! Why a whole request was refused. One bad event among good ones is not an error but a reject.

/// Errors of `ingest`; each names the limit or the place, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The body as sent is over `ingest.body_bytes_max`.
    #[error("the body is over {limit} bytes: split the batch, compress it, or raise ingest.body_bytes_max")]
    BodyTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The body grows over `ingest.decompressed_bytes_max` when decompressed.
    #[error("the body is over {limit} bytes when decompressed: split the batch or raise ingest.decompressed_bytes_max")]
    DecompressedTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// More events than `ingest.events_per_request_max`.
    #[error("the request holds more than {limit} events: split the batch or raise ingest.events_per_request_max")]
    TooManyEvents {
        /// The limit.
        limit: usize,
    },
    /// Reading the body from the network failed.
    #[error("the body ended early")]
    BodyInterrupted,
    /// The bytes are not what Content-Encoding says.
    #[error("the body is not valid {encoding}")]
    Decompress {
        /// `gzip` or `zstd`.
        encoding: &'static str,
        /// What the decompressor said.
        #[source]
        source: std::io::Error,
    },
    /// Content-Encoding is none of ours.
    #[error("content encoding `{encoding}` is not supported: send gzip, zstd or none")]
    UnsupportedEncoding {
        /// As sent.
        encoding: String,
    },
    /// Content-Type is none of ours.
    #[error(
        "content type `{media}` is not supported: send application/json or application/x-ndjson (curl: -H 'content-type: application/json')"
    )]
    UnsupportedMedia {
        /// As sent.
        media: String,
    },
    /// The body is no object, array or NDJSON.
    #[error("{reason} at byte {position}: send one JSON object, an array of objects, or one object per line")]
    Malformed {
        /// What is wrong.
        reason: &'static str,
        /// Offset in the decompressed body.
        position: usize,
    },
    /// The dataset's name maps to nothing usable.
    #[error("`{name}` is no dataset name: use letters, digits and _, starting with a letter; `system` is reserved")]
    DatasetName {
        /// As sent.
        name: String,
    },
    /// Idempotency-Key is empty or too long.
    #[error("Idempotency-Key must be 1 to 256 visible characters")]
    IdempotencyKey,
    /// A change is not understood.
    #[error("{message}")]
    Change {
        /// Field by field, what to mend.
        message: String,
    },
    /// Too many bytes are being worked on.
    #[error("too much is in flight: try again in a second (ingest.in_flight_bytes_max)")]
    Overloaded,
    /// The store could not take the events.
    #[error("could not store the events")]
    Store(#[from] store::Error),
}
