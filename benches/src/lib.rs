//! A seeded workload: the booking site that the demo plays and the benches load the server with, and the means to do it.
//!
//! Depends on no other crate of ours: it speaks bytes, numbers and HTTP, so it cannot share a mistake with what it measures.
//!
//! * [`rates`]: bookings per minute; [`markets`]: where they come from.
//! * [`story`]: deploys, config changes, experiments, and the incident.
//! * [`site`]: the requests of guests as wide events.
//!
//! Everything is a function of a seed and of times that are passed in: the same arguments give the same bytes.

mod json;
pub mod markets;
pub mod random;
pub mod rates;
pub mod site;
pub mod story;
