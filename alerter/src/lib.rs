//! alerter
// The forecasting half is pure: no clock, no I/O, no async.
pub mod blind;
pub mod calendar;
pub mod forecast;
pub mod history;
pub mod live;
pub mod lost;
pub mod mask;
pub mod onset;
pub mod score;
pub mod threshold;
pub mod zone;
