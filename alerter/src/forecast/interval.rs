//! The prediction interval: model-based width, empirical quantiles (split conformal, each side its own).

use serde::{Deserialize, Serialize};

use super::fit::COVERAGE_DAYS;
use crate::zone::LocalDay;

/// Widths in minutes at which quantiles are learnt; a displayed width takes those of the nearest.
const WIDTHS: [i64; 3] = [1, 5, 60];

/// Quantiles of the normal distribution stand in until there are this many residuals.
const RESIDUALS_MIN: usize = 60;

/// Lower and upper tail left out by the 95 % interval.
const TAIL: f64 = 0.025;

/// The corrections of the tail end here: beyond, single odd steps would set the interval.
const TAIL_MIN: f64 = 0.003;

/// Replayed days before the tail is adapted.
const ADAPT_AFTER_DAYS: LocalDay = 7;

/// What a day outside adds to the tail, and the range of that. Measured on windows of 28 days before the test days of eight
/// public series: the interval covered 92 to 98 % of the ordinary days in 67 % of them without, in 76 % with a gain of .05, in 83 %
/// with .1 (mean over the series); with 20 days of history in 67, 77 and 80 %.
const ADAPT_GAIN: f64 = 0.1;
const ADAPT_RANGE: (f64, f64) = (-0.025, 0.05);

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

/// Standardised day-ahead residuals of replayed days at one width, each with its local day, oldest first.
pub(crate) type Residuals = Vec<(LocalDay, f64)>;

/// Empirical quantiles of standardised day-ahead residuals by width.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Quantiles {
    /// `(width_minutes, lower, upper)`.
    by_width: Vec<(i64, f64, f64)>,
    /// Share of the last 14 days' steps inside the interval that all replayed days would have set, at the widest width.
    pub(crate) coverage: Option<f64>,
}

impl Quantiles {
    /// Learns from the residuals at each width of at least a step; `today` is the day after the last of them.
    pub(crate) fn learn(step_minutes: i64, today: LocalDay, residuals: impl Fn(i64) -> Residuals) -> Self {
        let mut learnt = Self::default();
        let mut adaptation = None;
        for width in WIDTHS.map(|width| width.max(step_minutes)).into_iter().rev() {
            if learnt.by_width.iter().any(|known| known.0 == width) {
                continue;
            }
            let all = residuals(width);
            if all.len() < RESIDUALS_MIN {
                continue;
            }
            // The widest says it for all.
            let adapted = *adaptation.get_or_insert_with(|| adapted(&all));
            let (mut lower, mut upper) = tails(&all, today, adapted);
            let first = all.partition_point(|r| r.0 < today - COVERAGE_DAYS);
            let last = &all[first..];
            let inside = |r: &&(LocalDay, f64)| r.1 >= lower && r.1 <= upper;
            let coverage = last.iter().filter(inside).count() as f64 / last.len().max(1) as f64;
            if coverage < TRUSTED_COVERAGE.0 && last.len() >= RESIDUALS_MIN {
                let (recent_lower, recent_upper) = tails(last, today, adapted);
                (lower, upper) = (lower.min(recent_lower), upper.max(recent_upper));
            }
            learnt.by_width.push((width, lower, upper));
            if learnt.coverage.is_none() {
                learnt.coverage = (!last.is_empty()).then_some(coverage);
            }
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

/// What to add to the tail that the interval leaves out: each replayed day is judged by the interval that the days before it
/// would have set, which is widened after a day that strays and narrowed after one that does not (adaptive conformal inference:
/// Gibbs and Candès, NeurIPS 2021).
fn adapted(residuals: &[(LocalDay, f64)]) -> f64 {
    let (mut adapted, mut before) = (0.0_f64, 0);
    for day in residuals.chunk_by(|a, b| a.0 == b.0) {
        if before >= RESIDUALS_MIN && day[0].0 >= residuals[0].0 + ADAPT_AFTER_DAYS {
            let (lower, upper) = tails(&residuals[..before], day[0].0, adapted);
            let outside = day.iter().filter(|r| r.1 < lower || r.1 > upper).count() as f64 / day.len() as f64;
            adapted = (adapted + ADAPT_GAIN * (2.0 * TAIL - outside)).clamp(ADAPT_RANGE.0, ADAPT_RANGE.1);
        }
        before += day.len();
    }
    adapted
}

/// Lower and upper quantile of residuals, oldest first; recent ones count more (see [`HALF_LIFE_DAYS`]). With the finite-sample
/// correction of split conformal prediction: of `n` residuals the `(n + 1) (1 - tail)`-th is taken.
fn tails(residuals: &[(LocalDay, f64)], today: LocalDay, adapted: f64) -> (f64, f64) {
    let weight = |day: LocalDay| 0.5_f64.powf(f64::from(today - 1 - day) / HALF_LIFE_DAYS);
    let (mut weighted, mut total) = (Vec::with_capacity(residuals.len()), 0.0);
    let (mut sum, mut squares) = (0.0, 0.0);
    for day in residuals.chunk_by(|a, b| a.0 == b.0) {
        let weight = weight(day[0].0);
        weighted.extend(day.iter().map(|r| (r.1, weight)));
        total += weight * day.len() as f64;
        (sum, squares) = (sum + weight, squares + weight * weight);
    }
    let independent = INDEPENDENT_PER_DAY * sum * sum / squares;
    let tail = (TAIL - (1.0 - TAIL) / independent + adapted).max(TAIL_MIN);
    weighted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    // An interval that leaves its own expectation out would be a statement about bias, not about noise.
    (weighted_quantile(&weighted, tail * total).min(-0.5), weighted_quantile(&weighted, (1.0 - tail) * total).max(0.5))
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

    /// 24 residuals a day, spread evenly between -1 and 1, times the day's size.
    fn residuals(sizes: &[f64]) -> Residuals {
        let hours = |size: f64| (0..24).map(move |hour| (f64::from(hour) / 11.5 - 1.0) * size);
        (0..).zip(sizes).flat_map(|(day, size)| hours(*size).map(move |r| (day, r))).collect()
    }

    #[test]
    fn the_last_week_counts_most() {
        let (calm, wild) = ([1.0; 28], [3.0; 28]);
        let mut calmed = wild;
        calmed[14..].fill(1.0);
        let mut stirred = calm;
        stirred[21..].fill(3.0);
        let upper = |sizes: &[f64]| tails(&residuals(sizes), 28, 0.0).1;
        assert!((upper(&calm) - 1.0).abs() < 0.1 && (upper(&wild) - 3.0).abs() < 0.2);
        assert!(upper(&stirred) > 2.5, "a wild week after three calm ones: {}", upper(&stirred));
        assert!(upper(&calmed) < upper(&wild), "two calm weeks begin to tell: {}", upper(&calmed));
    }

    #[test]
    fn a_short_past_is_trusted_less() {
        let (week, month) =
            (residuals(&[1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0]), residuals(&[1.0, 2.0, 3.0, 1.0].repeat(7)));
        assert!(tails(&week, 7, 0.0).1 >= tails(&month, 28, 0.0).1);
        assert_eq!(tails(&[(0, 0.01); 100], 1, 0.0), (-0.5, 0.5), "never without the expectation itself");
    }

    #[test]
    fn days_that_stray_widen_the_interval_and_days_within_it_narrow_it() {
        let alike = adapted(&residuals(&[1.0; 28]));
        assert!(alike > 0.0, "nothing ever leaves the widest hour of such days: {alike}");
        let growing: Vec<f64> = (0..28).map(|day| 1.15_f64.powi(day)).collect();
        let strayed = adapted(&residuals(&growing));
        assert!(strayed < 0.0, "each day leaves what the days before it said: {strayed}");
        assert_eq!(adapted(&residuals(&[1.0; 5])), 0.0, "too few days to judge");
        let learn = |sizes: &[f64]| Quantiles::learn(60, 28, |_| residuals(sizes)).by_width[0];
        assert!(learn(&growing).2 > tails(&residuals(&growing), 28, 0.0).1 - 1e-9);
        assert!(learn(&[1.0; 28]).2 <= tails(&residuals(&[1.0; 28]), 28, 0.0).1);
    }
}
