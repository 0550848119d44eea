//! What many series cost: the scan that counts a minute's events, the minute's update of all of them, a refit, and the memory of
//! their state. Nothing is stored but the events.

use std::{
    mem::size_of,
    sync::Arc,
    time::{Duration, Instant},
};

use alerter::{
    forecast::{Fitted, Model},
    history::{DAY_MINUTES, Observation},
    live::Live,
};
use anyhow::Result;

use crate::{
    day_ahead::{HISTORY_DAYS, settings},
    scan, simulated,
};

/// Different models; series share them in turn. A fit takes its time once a day and is measured by itself.
const MODELS: usize = 50;

/// Minutes stepped.
const MINUTES: i64 = 10;

/// Refits measured.
const REFITS: u32 = 20;

/// What many series cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// Series updated.
    pub(crate) series: usize,
    /// Mean time of one minute of all series, on one core, without the scan.
    pub(crate) minute: Duration,
    /// Wall time of the scan that counts the events of a minute for all series.
    pub(crate) scan: Duration,
    /// Events of that minute.
    pub(crate) events: usize,
    /// Mean time of a refit from eight weeks of minutes.
    pub(crate) refit: Duration,
    /// Bytes of live state a series.
    pub(crate) live_bytes: usize,
}

/// A model with what it needs to go on.
struct Going {
    fitted: Arc<Fitted>,
    live: Live,
    ahead: Vec<f64>,
}

/// Steps `count` series through some minutes; the first of them with the counts of a real scan.
pub(crate) fn measure(count: usize, seed: u64) -> Result<Cost> {
    let (mut models, mut now) = (Vec::new(), 0);
    for number in 0..MODELS {
        let series = simulated::smooth([1.0, 10.0, 100.0][number % 3], 0.03, seed + number as u64);
        let noon = 35 * DAY_MINUTES + 720;
        now = series.start + noon;
        let history = series.history(series.start, now);
        let Ok(fitted) = Model::new(settings(&series)).fit(&history, now) else { continue };
        let live = Live::warmed(&fitted, &history, now);
        let ahead = (noon..noon + MINUTES).map(|minute| series.value[minute as usize]).collect();
        models.push(Going { fitted: Arc::new(fitted), live, ahead });
    }
    let scanned = scan::measure(count, now, seed)?;
    let counts = scanned.series.len();
    let mut lives: Vec<Live> = (0..count).map(|number| models[number % models.len()].live.clone()).collect();
    let began = Instant::now();
    let mut breaches = 0_usize;
    for minute in 0..MINUTES {
        for (number, live) in lives.iter_mut().enumerate() {
            let Going { fitted, ahead, .. } = &models[number % models.len()];
            let seen = match scanned.series.get(number) {
                Some((_, counted)) if minute == 0 => *counted,
                _ => ahead[minute as usize],
            };
            let score = live.step(fitted, now + minute, Some(Observation::count(seen)));
            breaches += usize::from(score.breach.is_some());
        }
    }
    let minute = began.elapsed() / MINUTES as u32;
    std::hint::black_box((breaches, counts));
    let live_bytes = size_of::<Live>() + Live::RING_BYTES;
    let (scan, events) = (scanned.time, scanned.events);
    Ok(Cost { series: count, minute, scan, events, refit: refit(seed), live_bytes })
}

fn refit(seed: u64) -> Duration {
    let series = simulated::smooth(100.0, 0.03, seed);
    let now = series.start + HISTORY_DAYS * DAY_MINUTES;
    let history = series.history(series.start, now);
    let model = Model::new(settings(&series));
    let Ok(fitted) = model.fit(&history, now) else { return Duration::MAX };
    let began = Instant::now();
    for _ in 0..REFITS {
        std::hint::black_box(model.refit(&fitted, &history, now).is_ok());
    }
    began.elapsed() / REFITS
}
