//! The points of a metric outside memory: history files in, `system.metric_points` in and out.

mod csv_file;
mod stored;

pub use csv_file::{ImportProblem, ImportedRow, parse_csv};
pub(crate) use stored::{Stored, between, load, time_literal};

/// The definition word of imported points: they stay valid whatever the definition becomes.
pub(crate) const IMPORTED: &str = "import";
