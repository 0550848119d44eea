//! Ratios of sums over units: milliseconds per execution, errors per request. A plain mean has a denominator of 1 per unit.
//!
//! Units (users) are independent, their executions are not: the variance is that of the units, by the delta method.

use super::moments::Moments;

/// A ratio of means over units and the variance of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ratio {
    pub(crate) ratio: f64,
    /// By the delta method; `None` below two units.
    pub(crate) variance: Option<f64>,
}

impl Ratio {
    /// Of the numerators x and the denominators y of units; `None` if the denominators do not add up to more than nothing.
    pub(crate) fn of(units: &Moments) -> Option<Self> {
        if units.n <= 0.0 || units.y <= 0.0 {
            return None;
        }
        let ratio = units.x / units.y;
        // Σ(M − R·D)²; the residuals have mean 0.
        let squares = (units.xx - 2.0 * ratio * units.xy + ratio * ratio * units.yy).max(0.0);
        let variance = (units.n > 1.0).then(|| squares / (units.n - 1.0) / (units.n * units.y * units.y));
        Some(Self { ratio, variance })
    }
}

/// Sums over units of a numerator M and a denominator D; they merge by addition.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Sums {
    pub(crate) units: f64,
    pub(crate) m: f64,
    pub(crate) d: f64,
    pub(crate) mm: f64,
    pub(crate) md: f64,
    pub(crate) dd: f64,
}

impl Sums {
    /// ΣM/ΣD; `None` without executions.
    pub(crate) fn ratio(&self) -> Option<f64> {
        (self.d > 0.0).then(|| self.m / self.d)
    }

    /// Variance of the ratio; `None` for fewer than two units.
    pub(crate) fn variance(&self) -> Option<f64> {
        let ratio = self.ratio()?;
        if self.units < 2.0 {
            return None;
        }
        // Σ(M − R·D)²; the residuals have mean 0.
        let squares = self.mm - 2.0 * ratio * self.md + ratio * ratio * self.dd;
        let mean = self.d / self.units;
        Some((squares / (self.units - 1.0)).max(0.0) / (self.units * mean * mean))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::{
        check_near,
        draws::{Draws, runs},
        fraction::Fraction,
        moments::moments,
    };

    fn sums(units: &[(f64, f64)]) -> Sums {
        let mut sums = Sums::default();
        for (d, m) in units {
            sums.units += 1.0;
            sums.m += m;
            sums.d += d;
            sums.mm += m * m;
            sums.md += m * d;
            sums.dd += d * d;
        }
        sums
    }

    #[test]
    fn the_worked_example_of_sql_time_per_execution() {
        let a = sums(&[(1.0, 4.0), (2.0, 10.0), (1.0, 6.0), (4.0, 20.0), (2.0, 8.0)]);
        let b = sums(&[(1.0, 6.0), (2.0, 14.0), (1.0, 8.0), (4.0, 32.0), (2.0, 12.0)]);
        check_near(a.ratio().unwrap(), 4.8, 1e-12);
        check_near(a.variance().unwrap(), 0.068, 1e-12);
        check_near(b.ratio().unwrap(), 7.2, 1e-12);
        check_near(b.variance().unwrap(), 0.228, 1e-12);
        let error = (a.variance().unwrap() + b.variance().unwrap()).sqrt();
        check_near(error, 0.544, 5e-4);
        check_near(2.4 / error, 4.41, 5e-3);
    }

    /// Both ways to keep the units give the same; numerators and denominators of a million lose no digits in one of them.
    #[test]
    fn moments_and_fractions_agree_with_the_sums() {
        let units = [(4, 1), (10, 2), (6, 1), (20, 4), (8, 2)];
        let found =
            |far: f64| Ratio::of(&moments(&units.map(|(m, d)| (far + f64::from(m), far + f64::from(d))))).unwrap();
        check_near(found(0.0).ratio, 4.8, 1e-12);
        check_near(found(0.0).variance.unwrap(), 0.068, 1e-12);
        let far = 1_000_000_i128;
        let total = |of: fn(&(i32, i32)) -> i32| {
            units.iter().fold(Fraction::of(0), |sum, unit| sum + Fraction::of(far + i128::from(of(unit))))
        };
        let (m, d, n) = (total(|unit| unit.0), total(|unit| unit.1), Fraction::of(5));
        let ratio = m / d;
        let squares = units.iter().fold(Fraction::of(0), |sum, (m, d)| {
            let off = Fraction::of(far + i128::from(*m)) - ratio * Fraction::of(far + i128::from(*d));
            sum + off * off
        });
        let variance = squares / Fraction::of(4) / n / (d / n) / (d / n);
        check_near(found(1e6).ratio, ratio.value(), 1e-15);
        check_near(found(1e6).variance.unwrap() / variance.value(), 1.0, 1e-9);
        assert_eq!(Ratio::of(&moments(&[(1.0, 0.0)])), None);
        assert_eq!(Ratio::of(&moments(&[(1.0, 2.0)])).unwrap().variance, None);
    }

    #[test]
    fn a_mean_is_a_ratio_over_ones() {
        let mean = sums(&[(1.0, 2.0), (1.0, 4.0), (1.0, 9.0)]);
        check_near(mean.ratio().unwrap(), 5.0, 1e-12);
        check_near(mean.variance().unwrap(), 13.0 / 3.0, 1e-12);
        assert_eq!(sums(&[(1.0, 2.0)]).variance(), None);
        assert_eq!(Sums::default().ratio(), None);
    }

    /// Units with 1 to 9 executions whose times share the unit's own level: the 95 % interval covers the truth.
    #[test]
    fn the_interval_covers_although_executions_of_a_unit_are_alike() {
        let repeats = runs(400);
        let mut covered = 0_u32;
        for run in 0..repeats {
            let mut draws = Draws(run + 3);
            let units: Vec<(f64, f64)> = (0..300)
                .map(|_| {
                    let (level, count) = (5.0 + draws.normal(), 1.0 + (draws.unit() * 9.0).floor());
                    (count, level * count + draws.normal() * count.sqrt())
                })
                .collect();
            let found = sums(&units);
            let half = 1.96 * found.variance().unwrap().sqrt();
            covered += u32::from((found.ratio().unwrap() - 5.0).abs() <= half);
        }
        let share = f64::from(covered) / f64::from(u32::try_from(repeats).unwrap());
        assert!((0.91..=0.985).contains(&share), "{share}");
    }
}
