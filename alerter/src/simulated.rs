//! Series whose truth is known, for tests: a smooth week, a wandering level, negative-binomial counts, a seed.

use rand::{SeedableRng, rngs::StdRng};
use rand_distr::{Binomial, Distribution, Gamma, Normal, Poisson};

use crate::history::{DAY_MINUTES, History, Minute, Observation};

/// Monday 2024-01-01 00:00 UTC.
pub(crate) const MONDAY: Minute = 28_401_120;

/// Over-dispersion of the counts.
pub(crate) const PHI: f64 = 1.3;

/// A market in UTC.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Market {
    /// Mean events a minute.
    pub(crate) rate: f64,
    /// Standard deviation of the level's step at midnight.
    pub(crate) daily_sd: f64,
    /// Standard deviation of the level's wander within hours.
    pub(crate) wander_sd: f64,
    /// Growth a week.
    pub(crate) growth: f64,
    pub(crate) seed: u64,
}

impl Market {
    /// A market with daily steps of 2 %, a wander of 3 % and 1 % growth.
    pub(crate) fn new(rate: f64, seed: u64) -> Self {
        Self { rate, daily_sd: 0.02, wander_sd: 0.03, growth: 0.01, seed }
    }

    /// Expected and drawn counts of `days` days from [`MONDAY`].
    pub(crate) fn draw(&self, days: i64) -> Drawn {
        let mut random = StdRng::seed_from_u64(self.seed);
        let normal = Normal::new(0.0, 1.0).unwrap();
        let (mut wander, mut daily) = (0.0_f64, 0.0_f64);
        let mut drawn = Drawn { mean: Vec::new(), count: Vec::new(), random: StdRng::seed_from_u64(self.seed + 1) };
        for minute in 0..days * DAY_MINUTES {
            if minute % DAY_MINUTES == 0 {
                daily = 0.5 * daily + self.daily_sd * normal.sample(&mut random);
            }
            if minute % 5 == 0 {
                let keep = (-5.0_f64 / 360.0).exp();
                wander = keep * wander + self.wander_sd * (1.0 - keep * keep).sqrt() * normal.sample(&mut random);
            }
            let weeks = minute as f64 / (7.0 * DAY_MINUTES as f64);
            let mean = self.rate * shape(minute) * (self.growth * weeks + daily + wander).exp();
            drawn.mean.push(mean);
            drawn.count.push(count(mean, &mut random));
        }
        drawn
    }
}

/// Weekly shape with mean near 1: two humps a day, calmer weekends.
pub(crate) fn shape(minute: i64) -> f64 {
    let hour = (minute.rem_euclid(DAY_MINUTES)) as f64 / 60.0;
    let weekend = if minute.div_euclid(DAY_MINUTES).rem_euclid(7) >= 5 { 0.8 } else { 1.0 };
    let apart = |centre: f64| (hour - centre + 36.0).rem_euclid(24.0) - 12.0;
    let hump = |centre: f64, width: f64| (-(apart(centre) / width).powi(2) / 2.0).exp();
    weekend * (0.3 + 1.1 * hump(12.5, 3.5) + hump(19.5, 2.5))
}

/// A negative-binomial count with variance `PHI mean`.
pub(crate) fn count(mean: f64, random: &mut StdRng) -> f64 {
    let rate = Gamma::new(mean / (PHI - 1.0), PHI - 1.0).unwrap().sample(random);
    if rate <= 0.0 { 0.0 } else { Poisson::new(rate).unwrap().sample(random) }
}

/// A drawn market.
#[derive(Debug, Clone)]
pub(crate) struct Drawn {
    pub(crate) mean: Vec<f64>,
    pub(crate) count: Vec<f64>,
    random: StdRng,
}

impl Drawn {
    /// The first `minutes` as history.
    pub(crate) fn history(&self, minutes: i64) -> History {
        History::from_counts(MONDAY, 1, self.count[..index(minutes)].iter().copied())
    }

    /// The observation of a minute after [`MONDAY`], each event kept with probability `factor`.
    pub(crate) fn seen(&mut self, minute: i64, factor: f64) -> Observation {
        let count = self.count[index(minute)];
        let kept = if factor >= 1.0 {
            count * factor
        } else {
            #[expect(clippy::cast_possible_truncation, reason = "a small count")]
            let trials = count as u64;
            Binomial::new(trials, factor).unwrap().sample(&mut self.random) as f64
        };
        Observation::count(kept)
    }
}

/// A position in a drawn market.
pub(crate) fn index(minute: i64) -> usize {
    usize::try_from(minute).unwrap()
}
