//! The query stage on a real store, through its public API only.

mod house;
mod slt;
