//! Raw JSON objects -> rows of typed cells.
//!
//! Pure apart from learning key paths. Nothing is refused for its shape: what columns cannot give back exactly (duplicate
//! keys, `{}`, `[]`, numbers beyond a double, …) marks the row, and its text is stored beside the columns. Refused are
//! events that are no JSON object, no UTF-8, or beyond a limit.

pub(crate) mod cursor;
pub(crate) mod lenient;
mod lists;
pub(crate) mod number;
pub(crate) mod rows;
pub(crate) mod scratch;
pub(crate) mod time;
mod walk;

use cursor::{Fault, fault};
pub(crate) use rows::Rows;
use scratch::Scratch;
use walk::{Clock, Walk};

use crate::{Reject, Timestamp, catalog::Catalog};

/// Bounds of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes of one event's JSON text.
    pub event_bytes_max: usize,
    /// Levels of nested objects and arrays, the event itself being the first.
    pub depth_max: usize,
    /// Keys of one event at all levels, those of the elements of `messages` and `probes` included.
    pub keys_max: usize,
    /// Bytes of a column name: one key and those above it, joined by dots.
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
            depth_max: DEPTH_MAX_EVER,
            keys_max: 20_000,
            key_bytes_max: 1_024,
            cell_bytes_max: 8 << 20,
            past_days_max: 400,
            ahead_days_max: 1,
        }
    }
}

/// Decoding recurses: no setting may go deeper than the stack of a worker thread allows.
pub(crate) const DEPTH_MAX_EVER: usize = 100;

/// How events are judged.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DecodeOptions {
    /// History: times may lie in the past as far as they like.
    pub import: bool,
    /// From the WAL: what was accepted once is accepted again, whatever the limits are today.
    pub replay: bool,
    pub limits: Limits,
}

impl DecodeOptions {
    fn effective_limits(&self) -> Limits {
        if !self.replay {
            return Limits { depth_max: self.limits.depth_max.min(DEPTH_MAX_EVER), ..self.limits };
        }
        let unlimited = usize::MAX;
        Limits {
            event_bytes_max: unlimited,
            depth_max: DEPTH_MAX_EVER,
            keys_max: unlimited,
            key_bytes_max: unlimited,
            cell_bytes_max: unlimited,
            ..self.limits
        }
    }
}

/// Decodes raw JSON objects, one per slice; those that cannot be taken become rejects.
pub(crate) fn decode(catalog: &Catalog, events: &[&[u8]], received_at: Timestamp, options: &DecodeOptions) -> Rows {
    let limits = options.effective_limits();
    let clock = Clock {
        received_at,
        past_days_max: (!options.import).then_some(limits.past_days_max),
        ahead_days_max: limits.ahead_days_max,
    };
    let mut rows = Rows::default();
    rows.rows.reserve(events.len());
    let bytes = events.iter().map(|event| event.len() + 1).sum();
    rows.raw.reserve(bytes);
    let mut scratch = catalog.take_scratch();
    rows.cells.reserve(scratch.cells_in(bytes));
    for (index, event) in events.iter().enumerate() {
        if let Err(refusal) = decode_event(event, catalog, &mut scratch, &mut rows, &limits, clock) {
            let Fault { code, message } = *refusal;
            rows.rejects.push(Reject { index: u32::try_from(index).unwrap_or(u32::MAX), code, message });
        }
    }
    scratch.learn_density(rows.cells.len(), bytes);
    catalog.return_scratch(scratch);
    rows
}

fn decode_event(
    event: &[u8],
    catalog: &Catalog,
    scratch: &mut Scratch,
    rows: &mut Rows,
    limits: &Limits,
    clock: Clock,
) -> Result<(), Box<Fault>> {
    if event.len() > limits.event_bytes_max {
        let message = format!("event has {} bytes, limit is {}", event.len(), limits.event_bytes_max);
        return Err(fault("event_too_large", message));
    }
    if rows.raw.len() + event.len() >= rows::TEXT_BYTES_MAX {
        return Err(fault("request_too_large", "the request's events exceed 2 GiB: split them".to_owned()));
    }
    let text = std::str::from_utf8(event)
        .map_err(|error| fault("invalid_utf8", format!("no UTF-8 at byte {}", error.valid_up_to() + 1)))?;
    let (cells, elements, unescaped) = (rows.cells.len(), rows.elements.len(), rows.unescaped.len());
    match Walk::new(text, catalog, scratch, rows, limits, clock).event() {
        Ok((mut row, has_line_break)) => {
            row.raw_start = rows.raw.len();
            row.raw_length = text.len();
            if has_line_break {
                // between tokens, where one blank is as good as another; the WAL joins events by line breaks
                rows.raw.extend(text.chars().map(|c| if c == '\n' || c == '\r' { ' ' } else { c }));
            } else {
                rows.raw.push_str(text);
            }
            rows.raw.push('\n');
            rows.rows.push(row);
            Ok(())
        }
        Err(refusal) => {
            rows.cells.truncate(cells);
            rows.elements.truncate(elements);
            rows.unescaped.truncate(unescaped);
            scratch.entries.clear();
            Err(refusal)
        }
    }
}
