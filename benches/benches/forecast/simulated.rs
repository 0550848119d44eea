//! Minute series whose truth is known: a smooth week, a wandering level, negative-binomial counts, one seed.

use alerter::history::DAY_MINUTES;
use chrono_tz::Tz;
use rand::{SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, Gamma, Normal, Poisson};

use crate::series::Series;

/// Monday 2024-01-01 00:00 UTC.
const START: i64 = 28_401_120;

/// Variance over mean of the counts.
const PHI: f64 = 1.3;

/// Twelve weeks of a market: two daily humps, calmer weekends, 1 % growth a week, a level that steps by `step_sd` at
/// midnight and wanders by 4 % within the day, at `rate` events a minute on average.
pub(crate) fn smooth(rate: f64, step_sd: f64, seed: u64) -> Series {
    let mut random = StdRng::seed_from_u64(seed);
    let normal = Normal::new(0.0, 1.0).expect("unit normal");
    let (mut wander, mut daily) = (0.0_f64, 0.0_f64);
    let mut value = Vec::new();
    for minute in 0..84 * DAY_MINUTES {
        if minute % DAY_MINUTES == 0 {
            daily = 0.5 * daily + step_sd * normal.sample(&mut random);
        }
        if minute % 5 == 0 {
            // Autocorrelation over about six hours; stationary standard deviation 4 %.
            let keep: f64 = (-5.0_f64 / 360.0).exp();
            wander = keep * wander + 0.04 * (1.0 - keep * keep).sqrt() * normal.sample(&mut random);
        }
        let growth = 0.01 * (minute as f64 / (7.0 * DAY_MINUTES as f64));
        let mean = rate * shape(minute) * (growth + daily + wander).exp();
        value.push(count(mean, &mut random));
    }
    Series {
        name: format!("smooth @ {rate}"),
        start: START,
        step: 1,
        value,
        exposure: Vec::new(),
        label: Vec::new(),
        zone: Tz::UTC,
    }
}

/// Weekly shape with mean near 1.
fn shape(minute: i64) -> f64 {
    let hour = (minute % DAY_MINUTES) as f64 / 60.0;
    let weekend = if (minute / DAY_MINUTES) % 7 >= 5 { 0.8 } else { 1.0 };
    // Distance around the clock, so that midnight is smooth too.
    let apart = |centre: f64| (hour - centre + 36.0).rem_euclid(24.0) - 12.0;
    let hump = |centre: f64, width: f64| (-(apart(centre) / width).powi(2) / 2.0).exp();
    weekend * (0.3 + 1.1 * hump(12.5, 3.5) + 1.0 * hump(19.5, 2.5))
}

/// A negative-binomial count with mean `mean` and variance `PHI mean`.
pub(crate) fn count(mean: f64, random: &mut StdRng) -> f64 {
    let size = mean / (PHI - 1.0);
    let rate = Gamma::new(size, PHI - 1.0).map_or(mean, |gamma| gamma.sample(random));
    if rate <= 0.0 { 0.0 } else { Poisson::new(rate).map_or(0.0, |poisson| poisson.sample(random)) }
}

/// Minute counts at `rate` a minute on average with the rate of a coarser series, interpolated.
pub(crate) fn minutes_of(series: &Series, rate: f64, seed: u64) -> Series {
    let mut random = StdRng::seed_from_u64(seed);
    let known: Vec<f64> = series.value.iter().copied().filter(|value| !value.is_nan()).collect();
    let scale = rate / (known.iter().sum::<f64>() / known.len().max(1) as f64);
    let minutes = series.value.len() as i64 * series.step;
    let value = (0..minutes)
        .map(|minute| {
            let position = (minute as f64 + 0.5) / series.step as f64 - 0.5;
            let node = |index: f64| series.value[(index.max(0.0) as usize).min(series.value.len() - 1)];
            let share = position - position.floor();
            let mean = (1.0 - share) * node(position.floor()) + share * node(position.floor() + 1.0);
            if mean.is_nan() { f64::NAN } else { count(mean * scale, &mut random) }
        })
        .collect();
    Series {
        name: format!("{} @ {rate}", series.name),
        start: series.start,
        step: 1,
        value,
        exposure: Vec::new(),
        label: series.label.iter().flat_map(|label| vec![*label; series.step as usize]).collect(),
        zone: series.zone,
    }
}
