//! The past: raw events of some days and minute counts of eight weeks, from the same model as the live traffic.

use std::{
    sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use benches::site::Traffic;

use super::{DATASET, MINUTE, Stage, definitions, screen::thousands, traffic};

/// Minutes of history a forecast is fitted on.
const POINTS_MINUTES: i64 = 8 * 7 * 1440;
/// Raw events are loaded backwards in pieces of this many minutes, so that the most recent past is there first.
const PIECE_MINUTES: i64 = 60;
/// No new piece is begun after this long: preparing must stay short on a slow machine.
const RAW_TIME: Duration = Duration::from_secs(45);
/// Pieces loaded side by side.
const LOADERS: usize = 2;
/// Events per request.
const BATCH: u32 = 2_000;

/// Loads raw events backwards from the start of the demo; returns how many minutes, and how many events.
pub(super) fn load_raw(stage: &Stage) -> anyhow::Result<(i64, u64)> {
    #[expect(clippy::cast_possible_truncation, reason = "days of a demo, in pieces of an hour")]
    let wanted = (stage.options.days.clamp(0.0, 60.0) * 1440.0 / PIECE_MINUTES as f64).ceil() as i64;
    let begin = Instant::now();
    let (next, done, events) = (AtomicI64::new(0), AtomicI64::new(0), AtomicU64::new(0));
    let failed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load = || {
            while begin.elapsed() < RAW_TIME && !stage.is_stopping() && !failed.load(Ordering::Relaxed) {
                let piece = next.fetch_add(1, Ordering::Relaxed);
                if piece >= wanted {
                    break;
                }
                if let Err(error) = load_piece(stage, piece, &events) {
                    failed.store(true, Ordering::Relaxed);
                    return Err(error);
                }
                let pieces = done.fetch_add(1, Ordering::Relaxed) + 1;
                let count = thousands(events.load(Ordering::Relaxed));
                stage.screen.status(&format!("  raw events: {} of {wanted} hours, {count} events", pieces));
            }
            Ok(())
        };
        let loaders: Vec<_> = (0..LOADERS).map(|_| scope.spawn(load)).collect();
        loaders
            .into_iter()
            .try_for_each(|loader| loader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
    .context("could not load the raw events")?;
    Ok((done.into_inner() * PIECE_MINUTES, events.into_inner()))
}

/// Loads the visits that ended in one piece.
fn load_piece(stage: &Stage, piece: i64, events: &AtomicU64) -> anyhow::Result<()> {
    let end = stage.first_minute - piece * PIECE_MINUTES;
    let mut past = Traffic::between(&stage.site, &stage.rates, end - PIECE_MINUTES, end);
    let mut connection = stage.connection();
    let mut body = Vec::new();
    for number in 0_u32.. {
        body.clear();
        let written = past.write_until(&stage.story(), i64::MAX, BATCH, &mut body);
        if written.events == 0 {
            break;
        }
        let key = format!("history-{piece}-{number}");
        let Some(answer) = traffic::post(stage, &mut connection, "?import=true", &key, &body)? else { break };
        traffic::expect_all_accepted(&answer)?;
        events.fetch_add(written.events.into(), Ordering::Relaxed);
    }
    Ok(())
}

/// Loads eight weeks of minute counts for bookings and payments.
pub(super) fn load_points(stage: &Stage) -> anyhow::Result<()> {
    let (mut bookings, mut payments) = ("time,count\n".to_owned(), "time,count,denominator\n".to_owned());
    for minute in stage.first_minute - POINTS_MINUTES..stage.first_minute {
        let counts = stage.rates.at(minute);
        let (time, made) = (minute * 60, counts.total());
        bookings.push_str(&format!("{time},{made}\n"));
        payments.push_str(&format!("{time},{made},{}\n", made + counts.failed_payments));
    }
    for (name, csv) in [(definitions::BOOKINGS, bookings), (definitions::PAYMENT_SUCCESS, payments)] {
        let path = format!("/api/v1/metrics/{name}/points");
        let answer = stage.connection().send("POST", &path, &[("content-type", "text/csv")], csv.as_bytes())?;
        if answer.status != 200 {
            bail!("could not load the past of {name}: {} {}", answer.status, answer.text());
        }
    }
    Ok(())
}

/// Waits until the alerter knows the metrics' definitions; within a deadline.
pub(super) fn await_definitions(stage: &Stage, deadline: Duration) -> anyhow::Result<()> {
    await_metrics(stage, deadline, "the metric files were not taken", |metrics| {
        [definitions::BOOKINGS, definitions::PAYMENT_SUCCESS].iter().all(|name| find(metrics, name).is_some())
    })
}

/// Waits until bookings are being judged; within a deadline.
pub(super) fn await_forecast(stage: &Stage, deadline: Duration) -> anyhow::Result<()> {
    await_metrics(stage, deadline, "the forecast of the bookings is not ready", |metrics| {
        find(metrics, definitions::BOOKINGS).is_some_and(|metric| metric["state"] == "ok")
    })
}

fn await_metrics(
    stage: &Stage,
    deadline: Duration,
    problem: &str,
    is_there: impl Fn(&serde_json::Value) -> bool,
) -> anyhow::Result<()> {
    let begin = Instant::now();
    let mut connection = stage.connection();
    loop {
        let answer = connection.get("/api/v1/metrics")?;
        let metrics = answer.json();
        if is_there(&metrics) || stage.is_stopping() {
            return Ok(());
        }
        if begin.elapsed() > deadline {
            bail!("{problem} after {} s: {}", deadline.as_secs(), answer.text());
        }
        stage.pause(Duration::from_millis(250));
    }
}

/// One metric of `GET /api/v1/metrics`.
pub(super) fn find<'a>(metrics: &'a serde_json::Value, name: &str) -> Option<&'a serde_json::Value> {
    metrics["metrics"].as_array()?.iter().find(|metric| metric["name"] == name)
}

/// A statement that shows the broken variant, to paste into the console.
pub(super) fn finding_statement(activation: i64) -> String {
    let from = chrono::DateTime::from_timestamp_micros(activation - 10 * MINUTE).unwrap_or_default();
    format!(
        "SELECT \"experiments.13\" AS variant, count(*) AS payments,\n       count(*) FILTER (WHERE status = 200) AS \
         bookings,\n       count(*) FILTER (WHERE status >= 500) AS broken\nFROM {DATASET}.events\nWHERE route = \
         '/checkout/pay' AND environment = 'production'\n  AND time >= '{}'\nGROUP BY 1 ORDER BY 1",
        from.format("%Y-%m-%dT%H:%M:%SZ")
    )
}
