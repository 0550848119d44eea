//! A row of physical columns -> the event as it was sent.
use arrow::record_batch::RecordBatch;

use crate::schema::Schema;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ReassembleError {
    #[error("stored JSON text could not be read")]
    Json(#[source] serde_json::Error),
}

/// The event's exact JSON text.
pub(crate) fn event_text(schema: &Schema, batch: &RecordBatch, row: usize) -> Result<String, ReassembleError> {
    unimplemented!()
}

/// The event as a value; what a value cannot hold (numbers beyond a double, lone surrogates) is approximated.
pub(crate) fn event_json(schema: &Schema, batch: &RecordBatch, row: usize) -> Result<serde_json::Value, ReassembleError> {
    unimplemented!()
}
