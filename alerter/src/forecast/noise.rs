//! How far counts stray from their expectation: counting noise `phi`, and the relative error `c` of the expectation
//! itself by hour of the day.
//!
//! One `c` for the whole day would let the small hours set the threshold for all of it.

use serde::{Deserialize, Serialize};

use super::median::{median, quantile};
use crate::score::Kind;

/// Hours of a day, the grain of `c`.
pub const HOURS: usize = 24;

/// Median of a chi-squared variable with one degree of freedom.
const CHI2_MEDIAN: f64 = 0.4549;

/// Below this many expected events a minute the median of squared differences is a step function; a winsorised mean is used.
const MEAN_BELOW: f64 = 3.0;

/// No expectation is more exact than this.
const C_MIN: f64 = 0.01;

/// Standard deviations per median absolute deviation of a normal variable.
const MAD_TO_SIGMA: f64 = 1.4826;

/// 90 % quantile of the absolute value of a normal variable, in standard deviations.
const Q90_TO_SIGMA: f64 = 1.645;

/// Noise of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// Over-dispersion of the underlying process: variance over mean of the count of an unsampled stream, at least 1.
    pub phi: f64,
    /// What sampling or baskets add: variance over mean of the value in units of `unit`; 1 for plain counts.
    pub basket: f64,
    /// Mean contribution of one event: 1 for counts and ratios, the mean basket for sums.
    pub unit: f64,
    /// Relative error of the expectation corrected by the last hour, by local hour; of the rarer side for ratios.
    pub c_fast: [f64; HOURS],
    /// Relative error of the day-ahead expectation, by local hour.
    pub c_slow: [f64; HOURS],
}

impl Noise {
    /// Variance over mean of the value in units, sampling and baskets included.
    #[must_use]
    pub fn phi_total(&self) -> f64 {
        self.phi - 1.0 + self.basket
    }

    /// Median over hours of the fast relative error: above .25 only outages can be seen.
    #[must_use]
    pub fn c_fast_typical(&self) -> f64 {
        median(&mut self.c_fast.to_vec())
    }

    /// Standard deviation of a value around its day-ahead expectation at a local hour, in units of the value.
    pub(crate) fn sigma(&self, kind: Kind, expected: f64, exposure: f64, hour: usize) -> f64 {
        let scale = Scale::of(kind, expected.max(0.0), exposure);
        let counting = self.phi_total() * self.unit * scale.variance;
        (counting + (self.c_slow[hour] * scale.size).powi(2)).sqrt().max(1e-9)
    }
}

/// What an expectation can vary by, apart from the noise parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    /// Variance by pure chance: the mean for counts, `n p (1 - p)` for ratios.
    pub(crate) variance: f64,
    /// What relative errors are relative to: the mean for counts, that of the rarer side for ratios. So a success rate of
    /// 99.9 % is judged by its failures.
    pub(crate) size: f64,
}

impl Scale {
    pub(crate) fn of(kind: Kind, expected: f64, exposure: f64) -> Self {
        match kind {
            Kind::Count | Kind::Sum => Self { variance: expected, size: expected },
            Kind::Ratio if exposure > 0.0 => {
                let other = (exposure - expected).max(0.0);
                Self { variance: expected * other / exposure, size: expected.min(other) }
            }
            Kind::Ratio => Self { variance: 0.0, size: 0.0 },
        }
    }
}

/// Over-dispersion from `(residual, variance by chance)` of consecutive minutes, in events; NaN where nothing was seen.
///
/// Differences of neighbouring residuals cancel whatever the model got wrong slowly.
pub(crate) fn over_dispersion(minutes: impl IntoIterator<Item = (f64, f64)>) -> f64 {
    let mut previous: Option<(f64, f64)> = None;
    let (mut ratios, mut level) = (Vec::new(), 0.0);
    for (residual, variance) in minutes {
        if residual.is_nan() {
            previous = None;
            continue;
        }
        if let Some((last, last_variance)) = previous.filter(|p| p.1 + variance > 0.0) {
            ratios.push((residual - last).powi(2) / (variance + last_variance));
            level += variance;
        }
        previous = Some((residual, variance));
    }
    if ratios.is_empty() {
        return 1.0;
    }
    let phi = if level / ratios.len() as f64 >= MEAN_BELOW {
        median(&mut ratios) / CHI2_MEDIAN
    } else {
        let cap = quantile(&mut ratios, 0.99);
        ratios.iter().map(|v| v.min(cap)).sum::<f64>() / ratios.len() as f64
    };
    phi.max(1.0)
}

/// Sums of 20 minutes or more, in events.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ErrorBlock {
    /// Local hour it begins in.
    pub(crate) hour: usize,
    /// Further hours it touches.
    pub(crate) hours: usize,
    /// Seen minus expected; NaN when a part was not seen.
    pub(crate) residual: f64,
    /// What it can vary by.
    pub(crate) scale: Scale,
}

/// Relative error by hour from blocks; counting noise `phi` is taken off.
pub(crate) fn relative_error(blocks: &[ErrorBlock], phi: f64) -> [f64; HOURS] {
    let mut by_hour: Vec<Vec<(f64, f64)>> = vec![Vec::new(); HOURS];
    for block in blocks.iter().filter(|block| block.scale.size > 0.0) {
        let size = block.scale.size;
        for hour in block.hour..=block.hour + block.hours {
            by_hour[hour % HOURS].push((block.residual / size, phi * block.scale.variance / (size * size)));
        }
    }
    let mut squares = [f64::NAN; HOURS];
    for (hour, square) in squares.iter_mut().enumerate() {
        let near = [(hour + HOURS - 1) % HOURS, hour, (hour + 1) % HOURS];
        let mut errors: Vec<f64> = near.iter().flat_map(|h| by_hour[*h].iter().map(|b| b.0)).collect();
        let mut counting: Vec<f64> = near.iter().flat_map(|h| by_hour[*h].iter().map(|b| b.1)).collect();
        if !errors.is_empty() {
            *square = (robust_sigma(&mut errors).powi(2) - median(&mut counting)).max(C_MIN * C_MIN);
        }
    }
    let mut known: Vec<f64> = squares.iter().copied().filter(|s| !s.is_nan()).collect();
    let middle = if known.is_empty() { C_MIN * C_MIN } else { median(&mut known) };
    squares.map(|own| if own.is_nan() { middle } else { 0.75 * own + 0.25 * middle }.sqrt())
}

/// The larger of two robust standard deviations: body (median absolute deviation) and shoulder (90 % quantile).
fn robust_sigma(errors: &mut [f64]) -> f64 {
    let middle = median(errors);
    let mut deviations: Vec<f64> = errors.iter().map(|e| (e - middle).abs()).collect();
    let mut sizes: Vec<f64> = errors.iter().map(|e| e.abs()).collect();
    (MAD_TO_SIGMA * median(&mut deviations)).max(quantile(&mut sizes, 0.9) / Q90_TO_SIGMA)
}
