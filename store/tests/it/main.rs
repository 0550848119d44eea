//! What the store promises, tested through its public surface.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a step that fails fails the test")]

mod basics;
mod compaction;
mod concurrent;
mod counts;
mod damage;
mod deletion;
mod duplicates;
mod faults;
mod fixture;
mod node;
mod promises;
mod simulation;
mod upkeep;
