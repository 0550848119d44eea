//! When does a score page: thresholds learnt from the series' own past, for a wanted return period.
//!
//! Maxima of each window's score in 2-hour blocks of the replayed past give two quantiles; the tail beyond them is
//! taken as exponential, its scale as known no better than the blocks behind it allow. Quantiles and not means of excesses, so
//! that an unknown outage in the past does not raise the threshold (the idea of peaks over threshold: Siffer et al., KDD 2017).

use serde::{Deserialize, Serialize};

use crate::{
    forecast::median::quantile,
    score::{Score, WINDOW_COUNT, WINDOWS},
};

/// Minutes of a block whose maximum counts once.
pub const BLOCK_MINUTES: i64 = 120;

/// Blocks a day.
const BLOCKS_PER_DAY: f64 = 12.0;

/// A threshold is never below this score, whatever the past says.
pub const THRESHOLD_MIN: f64 = 3.3;

/// A threshold for a past too short to replay, and the least one until [`FULL_REPLAY_DAYS`] are replayed.
pub const THRESHOLD_UNLEARNT: f64 = 6.0;

/// Replayed days after which the past alone decides.
pub const FULL_REPLAY_DAYS: usize = 14;

/// Days without a false page that a set of parent metrics is promised.
pub const RETURN_DAYS: f64 = 7.0;

/// And a metric by itself: two pages in 30 days are the most that on-call trusts.
pub const RETURN_DAYS_ALONE: f64 = 15.0;

/// Blocks that tell no more than one would: the error of an expectation lasts for some hours.
const BLOCKS_ALIKE: f64 = 2.0;

/// Smallest scale of the tail.
const TAIL_SCALE_MIN: f64 = 0.15;

/// The scores at which each window pages.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    /// For drops, in the order of [`crate::score::WINDOWS`].
    pub down: [f64; WINDOW_COUNT],
    /// For rises.
    pub up: [f64; WINDOW_COUNT],
}

impl Thresholds {
    /// Thresholds of a series that has no past to replay.
    #[must_use]
    pub fn unlearnt() -> Self {
        Self { down: [THRESHOLD_UNLEARNT; WINDOW_COUNT], up: [THRESHOLD_UNLEARNT; WINDOW_COUNT] }
    }

    /// The threshold of a signed score's direction.
    #[must_use]
    pub fn of(&self, z: f64, window: usize) -> f64 {
        if z < 0.0 { self.down[window] } else { self.up[window] }
    }
}

/// Return period of one window in days, so that `parent_metrics` metrics together page falsely once in
/// [`RETURN_DAYS`] at most, and each once in [`RETURN_DAYS_ALONE`] (Bonferroni over metrics and windows).
#[must_use]
pub fn return_period_days(parent_metrics: u32) -> f64 {
    (RETURN_DAYS * f64::from(parent_metrics.max(1))).max(RETURN_DAYS_ALONE) * WINDOW_COUNT as f64
}

/// Block maxima of the scores of a replayed past.
#[derive(Debug, Clone, Default)]
pub struct BlockMaxima {
    block: Option<i64>,
    current: [[f64; WINDOW_COUNT]; 2],
    down: [Vec<f64>; WINDOW_COUNT],
    up: [Vec<f64>; WINDOW_COUNT],
}

impl BlockMaxima {
    /// Takes the next minute of the replay.
    pub fn add(&mut self, score: &Score) {
        let block = score.minute.div_euclid(BLOCK_MINUTES);
        if self.block != Some(block) {
            self.close_block();
            self.block = Some(block);
        }
        for (window, z) in score.z.iter().enumerate() {
            let side = usize::from(*z > 0.0);
            self.current[side][window] = self.current[side][window].max(z.abs());
        }
    }

    fn close_block(&mut self) {
        if self.block.take().is_some() {
            for window in 0..WINDOW_COUNT {
                self.down[window].push(self.current[0][window]);
                self.up[window].push(self.current[1][window]);
            }
        }
        self.current = Default::default();
    }

    /// The thresholds for a return period of each window.
    #[must_use]
    pub fn thresholds(mut self, return_days: f64) -> Thresholds {
        self.close_block();
        let blocks = return_days * BLOCKS_PER_DAY;
        let learn = |maxima: &mut Vec<f64>, window: usize| {
            let replayed = maxima.len() as f64 / BLOCKS_PER_DAY;
            let least = if replayed < FULL_REPLAY_DAYS as f64 { THRESHOLD_UNLEARNT } else { THRESHOLD_MIN };
            tail_quantile(maxima, blocks).max(least).max(noise_floor(WINDOWS[window], return_days))
        };
        let mut thresholds = Thresholds::unlearnt();
        for window in 0..WINDOW_COUNT {
            thresholds.down[window] = learn(&mut self.down[window], window);
            thresholds.up[window] = learn(&mut self.up[window], window);
        }
        thresholds
    }
}

/// The score that pure counting noise reaches once in `return_days` in a window moved on by a minute at a time: no past,
/// however quiet, promises more. The rate of new peaks above z is at most `z phi(z)` a window length (Rice's formula for
/// a moving sum), and at most the `phi(z) / z` of fresh minutes.
#[must_use]
pub fn noise_floor(window_minutes: usize, return_days: f64) -> f64 {
    let minutes = return_days * 1440.0;
    let density = |z: f64| (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let peaks = |z: f64| minutes * density(z) * (z / window_minutes as f64).min(1.0 / z);
    let (mut low, mut high) = (1.0, 10.0);
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if peaks(middle) > 1.0 { low = middle } else { high = middle }
    }
    high
}

/// The level that a block maximum exceeds once in `blocks` blocks. The tail beyond the 80 % quantile is exponential with
/// `scale = (q95 - q80) / ln 4`; of a scale learnt from `k` independent excesses the next one exceeds `x` with probability
/// `(1 + x / (k scale))^-k` (the predictive distribution; `k` without end gives back the exponential). So the level is
/// `q80 + scale k ((.2 blocks)^(1 / k) - 1)`: ten days of past ask for more than a month. 0 for no maxima.
#[must_use]
pub fn tail_quantile(maxima: &mut [f64], blocks: f64) -> f64 {
    if maxima.is_empty() {
        return 0.0;
    }
    let (q80, q95) = (quantile(maxima, 0.80), quantile(maxima, 0.95));
    let scale = ((q95 - q80) / 4_f64.ln()).max(TAIL_SCALE_MIN);
    let excesses = 0.2 * maxima.len() as f64 / BLOCKS_ALIKE;
    q80 + scale * excesses * ((0.2 * blocks).max(1.0).powf(1.0 / excesses) - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 28 days of block maxima between 0 and 3.
    fn quiet() -> Vec<f64> {
        (0..336).map(|block| f64::from(block * 97 % 336) / 336.0 * 3.0).collect()
    }

    #[test]
    fn the_tail_is_exponential_beyond_two_quantiles_and_a_short_past_asks_for_more() {
        let mut maxima = quiet();
        let (q80, q95) = (quantile(&mut maxima.clone(), 0.8), quantile(&mut maxima.clone(), 0.95));
        let scale = (q95 - q80) / 4_f64.ln();
        let exponential = q80 + scale * (0.2 * 720.0_f64).ln();
        let month = tail_quantile(&mut maxima, 720.0);
        // 336 blocks hold 33.6 independent excesses.
        let expect = q80 + scale * 33.6 * ((0.2 * 720.0_f64).powf(1.0 / 33.6) - 1.0);
        assert!((month - expect).abs() < 1e-9 && month > exponential, "{month} for {expect}");
        assert!(tail_quantile(&mut maxima, 7200.0) > month);
        let mut week: Vec<f64> = maxima.iter().copied().step_by(4).collect();
        assert!(tail_quantile(&mut week, 720.0) > month + scale, "a week is less sure");
        let mut endless: Vec<f64> = maxima.iter().cycle().take(336_000).copied().collect();
        assert!((tail_quantile(&mut endless, 720.0) - exponential).abs() < 0.05);
        assert!(tail_quantile(&mut [], 720.0).abs() < 1e-12);
    }

    #[test]
    fn an_unknown_outage_in_the_past_hardly_raises_the_threshold() {
        let before = tail_quantile(&mut quiet(), 720.0);
        let mut maxima = quiet();
        // An outage of six hours touches four blocks.
        maxima[100..104].fill(60.0);
        let after = tail_quantile(&mut maxima, 720.0);
        assert!(after - before < 0.3, "{before} became {after}");
    }

    #[test]
    fn more_parents_and_shorter_windows_mean_higher_floors() {
        assert!((return_period_days(1) - 105.0).abs() < 1e-9, "alone once in 15 days");
        assert!((return_period_days(10) - 490.0).abs() < 1e-9);
        let floor = |window, parents| noise_floor(window, return_period_days(parents));
        assert!(floor(2, 10) > floor(2, 1));
        assert!(floor(20, 1) > floor(180, 1));
        // One minute in 151,200 exceeds 4.35 standard deviations.
        assert!((floor(2, 1) - 4.37).abs() < 0.05, "{}", floor(2, 1));
    }

    #[test]
    fn a_short_past_does_not_decide_alone() {
        let maxima = BlockMaxima { block: Some(0), ..BlockMaxima::default() };
        let thresholds = maxima.thresholds(49.0);
        assert!(thresholds.down.iter().all(|threshold| *threshold >= THRESHOLD_UNLEARNT));
    }
}
