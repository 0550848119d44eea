//! The alerter on a real store and a real query engine, with a clock of its own and a loopback receiver: weeks of history,
//! live events, planted incidents, broken receivers, restarts. No sleeps: time is driven minute by minute.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod budget;
mod definitions;
mod delivery;
mod history;
mod ledger;
mod off;
mod page;
#[path = "../../src/notify/published.rs"]
mod published;
mod quiet;
mod rehearse;
mod restart;
mod rules;
mod world;
