//! The prediction interval: model-based width, empirical quantiles (split conformal, each side its own).

use serde::{Deserialize, Serialize};

/// Widths in minutes at which quantiles are learnt; a displayed width takes those of the nearest.
const WIDTHS: [i64; 3] = [1, 5, 60];

/// Quantiles of the normal distribution stand in until there are this many residuals.
const RESIDUALS_MIN: usize = 60;

/// Lower and upper tail left out by the 95 % interval.
const TAIL: f64 = 0.025;

/// The correction of a short past ends here: beyond, single odd steps would set the interval.
const TAIL_MIN: f64 = 0.01;

/// Residuals of one day go together; a day counts for this many independent ones in the finite-sample correction.
const INDEPENDENT_PER_DAY: f64 = 8.0;

/// A residual of this many days ago counts half: how widely a series strays changes within weeks. Measured on 63 windows of
/// 28 days before the test days of public series: the interval covered 92 to 98 % of the ordinary days in 42 of them without
/// a half-life, in 45 with two weeks, in 48 with one.
const HALF_LIFE_DAYS: f64 = 7.0;

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
            let last = &all[all.len() - recent.min(all.len())..];
            let (mut lower, mut upper) = tails(&all, days);
            let inside = |r: &&f64| **r >= lower && **r <= upper;
            let coverage = last.iter().filter(inside).count() as f64 / last.len().max(1) as f64;
            if coverage < TRUSTED_COVERAGE.0 && last.len() >= RESIDUALS_MIN {
                let (recent_lower, recent_upper) = tails(last, days.min(14));
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

/// Lower and upper quantile of residuals, oldest first, that spread evenly over `days`; recent ones count more (see
/// [`HALF_LIFE_DAYS`]). With the finite-sample correction of split conformal prediction: of `n` residuals the
/// `(n + 1) (1 - tail)`-th is taken.
fn tails(residuals: &[f64], days: usize) -> (f64, f64) {
    let count = residuals.len();
    let per_day = count as f64 / days.max(1) as f64;
    let weight = |index: usize| 0.5_f64.powf((count - 1 - index) as f64 / per_day / HALF_LIFE_DAYS);
    let mut weighted: Vec<(f64, f64)> = residuals.iter().enumerate().map(|(index, r)| (*r, weight(index))).collect();
    let (sum, squares) = weighted.iter().fold((0.0, 0.0), |sums, pair| (sums.0 + pair.1, sums.1 + pair.1 * pair.1));
    let independent = INDEPENDENT_PER_DAY * (sum * sum / squares / per_day).max(1.0);
    let tail = (TAIL - (1.0 - TAIL) / independent).max(TAIL_MIN);
    weighted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    // An interval that leaves its own expectation out would be a statement about bias, not about noise.
    (weighted_quantile(&weighted, tail * sum).min(-0.5), weighted_quantile(&weighted, (1.0 - tail) * sum).max(0.5))
}

/// The first of sorted `(value, weight)` pairs at which the weights reach a sum; 0 of none.
fn weighted_quantile(sorted: &[(f64, f64)], reached: f64) -> f64 {
    let mut sum = 0.0;
    let at = sorted.iter().find(|pair| {
        sum += pair.1;
        sum >= reached
    });
    at.or(sorted.last()).map_or(0.0, |pair| pair.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Residuals of days, spread evenly between -1 and 1, times the day's size.
    fn residuals(sizes: &[f64]) -> Vec<f64> {
        sizes.iter().flat_map(|size| (0..24).map(move |hour| (f64::from(hour) / 11.5 - 1.0) * size)).collect()
    }

    #[test]
    fn the_last_week_counts_most() {
        let (calm, wild) = ([1.0; 28], [3.0; 28]);
        let mut calmed = wild;
        calmed[14..].fill(1.0);
        let mut stirred = calm;
        stirred[21..].fill(3.0);
        let upper = |sizes: &[f64]| tails(&residuals(sizes), sizes.len()).1;
        assert!((upper(&calm) - 1.0).abs() < 0.1 && (upper(&wild) - 3.0).abs() < 0.2);
        assert!(upper(&stirred) > 2.5, "a wild week after three calm ones: {}", upper(&stirred));
        assert!(upper(&calmed) < upper(&wild), "two calm weeks begin to tell: {}", upper(&calmed));
    }

    #[test]
    fn a_short_past_is_trusted_less() {
        let (week, month) =
            (residuals(&[1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0]), residuals(&[1.0, 2.0, 3.0, 1.0].repeat(7)));
        assert!(tails(&week, 7).1 >= tails(&month, 28).1);
        assert_eq!(tails(&[0.01; 100], 7), (-0.5, 0.5), "never without the expectation itself");
    }
}
