//! The process's own log: standard error, level by `YELLOWLINE_LOG`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts the log. Default level: `info` for ours, `warn` for libraries.
pub(crate) fn init(json: bool) {
    let filter = EnvFilter::try_from_env("YELLOWLINE_LOG").unwrap_or_else(|_| {
        EnvFilter::new("warn,yellowline=info,ingest=info,store=info,query=info,alerter=info,dashboards=info")
    });
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = if json { log.json().try_init() } else { log.try_init() };
    if let Err(error) = started {
        eprintln!("yellowline: the log could not be started: {error}");
    }
}
