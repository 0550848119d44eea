//! Black-box tests: the real binary, real HTTP, real files. One binary, one module per promise.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bad_input;
mod day;
mod deletion;
mod demo;
mod exact;
mod incident;
mod kill;
mod licences;
mod pipeline;
mod questions;
mod safety;
mod server;
mod tidy;
mod upgrade;
mod upkeep;
