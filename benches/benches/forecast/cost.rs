//! What many series cost: a minute's update of all of them, and the memory of their state.

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

use crate::{day_ahead::settings, simulated};

/// Different models; series share them in turn. A fit takes its time once a day and is measured by itself.
const MODELS: usize = 50;

/// Minutes stepped.
const MINUTES: i64 = 10;

/// What many series cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// Series updated.
    pub(crate) series: usize,
    /// Mean time of one minute of all series, on one core, without the scan that counts their events.
    pub(crate) minute: Duration,
    /// Bytes of live state a series.
    pub(crate) live_bytes: usize,
}

/// Steps `count` series through some minutes.
pub(crate) fn measure(count: usize, seed: u64) -> Cost {
    let noon = 35 * DAY_MINUTES + 720;
    let fitted: Vec<(Arc<Fitted>, Live, i64, Vec<f64>)> = (0..MODELS)
        .filter_map(|number| {
            let series = simulated::smooth([1.0, 10.0, 100.0][number % 3], 0.03, seed + number as u64);
            let now = series.start + noon;
            let history = series.history(series.start, now);
            let fitted = Model::new(settings(&series)).fit(&history, now).ok()?;
            let live = Live::warmed(&fitted, &history, now);
            let ahead = (noon..noon + MINUTES).map(|minute| series.value[minute as usize]).collect();
            Some((Arc::new(fitted), live, now, ahead))
        })
        .collect();
    let mut lives: Vec<Live> = (0..count).map(|number| fitted[number % fitted.len()].1.clone()).collect();
    let began = Instant::now();
    let mut breaches = 0_usize;
    for minute in 0..MINUTES {
        for (number, live) in lives.iter_mut().enumerate() {
            let (fitted, _, now, ahead) = &fitted[number % fitted.len()];
            let seen = Observation::count(ahead[minute as usize]);
            breaches += usize::from(live.step(fitted, now + minute, Some(seen)).breach.is_some());
        }
    }
    let minute = began.elapsed() / MINUTES as u32;
    std::hint::black_box(breaches);
    Cost { series: count, minute, live_bytes: size_of::<Live>() + Live::RING_BYTES }
}
