//! Raw JSON objects -> rows of typed cells.
pub(crate) mod time;

use crate::{Reject, Timestamp, catalog::Catalog};

/// Bounds of one event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of one event's JSON text.
    pub event_bytes_max: usize,
    /// Levels of nested objects and arrays, the event itself being the first.
    pub depth_max: usize,
    /// Keys of one event at all levels, elements of `messages` and `probes` included.
    pub keys_max: usize,
    /// Bytes of one key.
    pub key_bytes_max: usize,
    /// Bytes of one text or JSON value.
    pub cell_bytes_max: usize,
    /// How far before `received_at` an event's time may lie; not applied to imports.
    pub past_days_max: i64,
    /// How far after `received_at` an event's time may lie.
    pub ahead_days_max: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            event_bytes_max: 8 << 20,
            depth_max: 64,
            keys_max: 20_000,
            key_bytes_max: 1_024,
            cell_bytes_max: 8 << 20,
            past_days_max: 400,
            ahead_days_max: 1,
        }
    }
}

/// How events are judged.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DecodeOptions {
    /// History: times may lie in the past as far as they like.
    pub import: bool,
    /// From the WAL: what was accepted once is accepted again, whatever the limits are today.
    pub replay: bool,
    pub limits: Limits,
}

/// The accepted events of one request as typed cells.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    rejects: Vec<Reject>,
}

impl Rows {
    pub(crate) fn len(&self) -> usize {
        unimplemented!()
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
    pub(crate) fn rejects(&self) -> &[Reject] {
        &self.rejects
    }
    /// The accepted event as one line of JSON.
    pub(crate) fn raw(&self, row: usize) -> &[u8] {
        unimplemented!()
    }
    /// The client's own id.
    pub(crate) fn id(&self, row: usize) -> Option<&str> {
        unimplemented!()
    }
    /// Bytes held, about.
    pub(crate) fn bytes(&self) -> usize {
        unimplemented!()
    }
}

/// Decodes events.
pub(crate) fn decode(catalog: &Catalog, events: &[&[u8]], received_at: Timestamp, options: &DecodeOptions) -> Rows {
    unimplemented!()
}
