//! The query stage on a real store, through its public API only.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod aliases;
mod bounds;
mod exposed;
mod hot_cold;
mod house;
mod http;
mod plans;
mod questions;
mod series;
mod slt;
