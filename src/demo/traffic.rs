//! Live traffic: the site's events of the last half second, posted as an app would, with retries that cannot double.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use anyhow::bail;
use benches::{
    client::{Answer, Connection, Error},
    machine,
    site::Traffic,
};

use super::{DATASET, Stage};

/// Events per request at most; more than one only after a pause.
const BATCH_MAX: u32 = 2_000;
/// Pause between two requests, and before a retry.
const PAUSE: Duration = Duration::from_millis(500);

/// What the site has sent so far.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Events the server acknowledged.
    pub(super) events: AtomicU64,
    /// Bookings made in production.
    pub(super) bookings: AtomicU64,
    /// Payments that broke.
    pub(super) broken: AtomicU64,
    /// Requests that had to be sent again.
    pub(super) retries: AtomicU64,
}

/// Plays the site until the demo ends.
pub(super) fn run(stage: &Stage) -> anyhow::Result<()> {
    let mut traffic = Traffic::from(&stage.site, &stage.rates, stage.first_minute);
    let mut connection = stage.connection();
    let mut body = Vec::new();
    for number in 0_u64.. {
        body.clear();
        let written = traffic.write_until(&stage.story(), machine::now(), BATCH_MAX, &mut body);
        if written.events > 0 {
            let key = format!("live-{number}");
            let Some(answer) = post(stage, &mut connection, "", &key, &body)? else { return Ok(()) };
            expect_all_accepted(&answer)?;
            stage.counts.events.fetch_add(written.events.into(), Ordering::Relaxed);
            stage.counts.bookings.fetch_add(written.bookings.into(), Ordering::Relaxed);
            stage.counts.broken.fetch_add(written.broken_payments.into(), Ordering::Relaxed);
        }
        if written.events < BATCH_MAX {
            stage.pause(PAUSE);
        }
        if stage.is_stopping() {
            break;
        }
    }
    Ok(())
}

/// Posts events until they are acknowledged; `None` if the demo ends first. `query` is put after the path.
pub(super) fn post(
    stage: &Stage,
    connection: &mut Connection,
    query: &str,
    key: &str,
    body: &[u8],
) -> anyhow::Result<Option<Answer>> {
    let path = format!("/api/v1/events/{DATASET}{query}");
    let headers = [("content-type", "application/x-ndjson"), ("idempotency-key", key)];
    while !stage.is_stopping() {
        match connection.send("POST", &path, &headers, body) {
            Ok(answer) if matches!(answer.status, 429 | 503) => {}
            Ok(answer) if answer.status == 200 => return Ok(Some(answer)),
            Ok(answer) => bail!("POST {path} was answered with {}: {}", answer.status, answer.text()),
            Err(Error::Connect { .. } | Error::Broken { .. }) => {}
            Err(refused) => return Err(refused.into()),
        }
        stage.counts.retries.fetch_add(1, Ordering::Relaxed);
        stage.pause(PAUSE);
    }
    Ok(None)
}

/// The site sends good events only: a reject is a bug worth stopping for.
pub(super) fn expect_all_accepted(answer: &Answer) -> anyhow::Result<()> {
    let json = answer.json();
    if json["rejected"].as_array().is_some_and(|rejected| !rejected.is_empty()) {
        bail!("events of the demo were rejected: {}", json["rejected"]);
    }
    Ok(())
}
