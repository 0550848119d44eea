//! SQL over a store snapshot, and minute series for forecasting.
//!
//! # What it is
//! DataFusion over the memtable and the Parquet files of one frozen [`store::Snapshot`] per dataset and query: each event is
//! read exactly once, in a self-join too. Around it: names and types of events in SQL ([`Engine::sql`]), bounds on time, memory and
//! rows, results as JSON, NDJSON, CSV and Arrow, and one scan that counts all metrics of a dataset ([`Engine::minute_counts`]).
//!
//! # What it is not
//! It writes nothing: no DDL, no DML, no settings, no files, nothing spilled to disk. It does not forecast, page or draw.
//!
//! # The way of a query
//! `parse` (tokens, one read-only statement) → `names` (the syntax tree rewritten, columns needed noted) → `catalog` (a logical plan
//! per table, over `columns`' expressions) → `session` (DataFusion plans) → `table` (the scan: pruned files and hot batches) →
//! `engine` (runs on its own threads under a deadline) → `encode` and `routes`.

mod answer;
mod catalog;
mod columns;
mod config;
mod encode;
mod engine;
mod error;
pub mod explain;
mod functions;
mod import;
mod limits;
mod look;
mod matching;
mod metrics;
mod names;
mod parse;
mod questions;
mod registry;
mod routes;
mod series;
mod session;
mod statistics;
mod table;
mod trace;

pub use answer::{Answer, Stats};
pub use config::Config;
pub use encode::rows_as_json;
pub use engine::{Engine, SqlRequest};
pub use error::{Error, Position};
pub use import::parquet_as_ndjson;
pub use matching::texts_of;
pub use registry::RunningQuery;
pub use routes::{refuse, routes};
pub use series::{
    BEFORE_MINUTES, EXPOSURES_MAX, ExposedSums, Exposure, GroupSums, Measure, MetricQuery, MinutePoint, MinuteSeries,
    TimeRange,
};
