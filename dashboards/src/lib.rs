//! The console: the web application in `dashboards/web`, built by `build.rs`, embedded here and served beside the API.
//!
//! Not here: any data. The page asks the HTTP API for everything it shows, so a process without this crate's
//! `console` feature is headless and otherwise complete.
//!
//! What holds:
//! - a path below `/api` never answers with HTML: unknown ones are a JSON 404;
//! - a file below `/assets/` carries the hash of its content in its name and may be cached for ever; everything else
//!   is revalidated by ETag, so a new binary shows its own page at the next load;
//! - the page may load scripts, styles, fonts and data from its own origin only.

#[cfg(feature = "console")]
mod assets;
mod routes;

pub use routes::{BUILD_HEADER, routes};
