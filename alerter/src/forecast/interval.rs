//! The prediction interval: model-based width, empirical quantiles (split conformal, each side its own).

use serde::{Deserialize, Serialize};

use super::median::quantile;

/// Widths in minutes at which quantiles are learnt; a displayed width takes those of the nearest.
const WIDTHS: [i64; 3] = [1, 5, 60];

/// Quantiles of the normal distribution stand in until there are this many residuals.
const RESIDUALS_MIN: usize = 60;

/// Lower and upper tail left out by the 95 % interval.
const TAIL: f64 = 0.025;

/// The correction of a short past ends here: beyond, single odd steps would set the interval.
const TAIL_MIN: f64 = 0.0075;

/// Residuals of one day go together; a day counts for this many independent ones in the finite-sample correction.
const INDEPENDENT_PER_DAY: f64 = 4.0;

/// Coverage over the last 14 days outside this range says "forecast not trusted".
pub const TRUSTED_COVERAGE: (f64, f64) = (0.90, 0.98);

/// An expectation with its 95 % interval, in units of the value; never below 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Expected.
    pub expected: f64,
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
}

/// Standardised day-ahead residuals of replayed days at one width, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Residuals {
    pub(crate) all: Vec<f64>,
    /// How many of them are of the last 14 days.
    pub(crate) recent: usize,
    /// Days replayed.
    pub(crate) days: usize,
}

/// Empirical quantiles of standardised day-ahead residuals by width.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Quantiles {
    /// `(width_minutes, lower, upper)`.
    by_width: Vec<(i64, f64, f64)>,
    /// Share of the last 14 days' steps inside the interval that all replayed days would have set, at the widest width.
    pub(crate) coverage: Option<f64>,
}

impl Quantiles {
    /// Learns from the residuals at each width of at least a step.
    pub(crate) fn learn(step_minutes: i64, residuals: impl Fn(i64) -> Residuals) -> Self {
        let mut learnt = Self::default();
        for width in WIDTHS.map(|width| width.max(step_minutes)) {
            if learnt.by_width.iter().any(|known| known.0 == width) {
                continue;
            }
            let Residuals { all, recent, days } = residuals(width);
            if all.len() < RESIDUALS_MIN {
                continue;
            }
            let mut last = all[all.len() - recent.min(all.len())..].to_vec();
            let (mut lower, mut upper) = tails(&mut all.clone(), days);
            let inside = |r: &&f64| **r >= lower && **r <= upper;
            let coverage = last.iter().filter(inside).count() as f64 / last.len().max(1) as f64;
            if coverage < TRUSTED_COVERAGE.0 && last.len() >= RESIDUALS_MIN {
                let (recent_lower, recent_upper) = tails(&mut last, days.min(14));
                (lower, upper) = (lower.min(recent_lower), upper.max(recent_upper));
            }
            learnt.by_width.push((width, lower, upper));
            learnt.coverage = (!last.is_empty()).then_some(coverage);
        }
        learnt
    }

    /// Bounds around `expected` with standard deviation `sigma` at a width.
    pub(crate) fn around(&self, expected: f64, sigma: f64, width_minutes: i64) -> Interval {
        let distance = |width: i64| ((width as f64).ln() - (width_minutes.max(1) as f64).ln()).abs();
        let nearest = self.by_width.iter().min_by(|a, b| distance(a.0).total_cmp(&distance(b.0)));
        let (lower, upper) = nearest.map_or((-1.96, 1.96), |q| (q.1, q.2));
        Interval { expected, lower: (expected + lower * sigma).max(0.0), upper: (expected + upper * sigma).max(0.0) }
    }
}

/// Lower and upper quantile with the finite-sample correction of split conformal prediction: of `n` residuals the
/// `(n + 1) (1 - tail)`-th is taken.
fn tails(residuals: &mut [f64], days: usize) -> (f64, f64) {
    let independent = INDEPENDENT_PER_DAY * days.max(1) as f64;
    let tail = (TAIL - (1.0 - TAIL) / independent).max(TAIL_MIN);
    // An interval that leaves its own expectation out would be a statement about bias, not about noise.
    (quantile(residuals, tail).min(-0.5), quantile(residuals, 1.0 - tail).max(0.5))
}
