//! A seeded workload: the booking site that the demo plays and the benches load the server with, and the means to do it.
//!
//! Depends on no other crate of ours: it speaks bytes, numbers and HTTP, so it cannot share a mistake with what it measures.
//!
//! * [`rates`]: bookings per minute; [`markets`]: where they come from.
//! * [`story`]: deploys, config changes, experiments, and the incident.
//! * [`site`]: the requests of guests as wide events.
//! * [`blame`]: incidents among decoy changes.
//! * [`hostile`]: events that are hard to keep as they are.
//! * [`client`]: HTTP; [`load`]: many connections of it; [`server`]: the binary under load; [`machine`]: what it all ran on.
//!
//! Everything is a function of a seed and of times that are passed in: the same arguments give the same bytes.

pub mod blame;
pub mod client;
pub mod hostile;
mod json;
pub mod load;
pub mod machine;
pub mod markets;
pub mod planted;
pub mod random;
pub mod rates;
pub mod server;
pub mod site;
pub mod story;
