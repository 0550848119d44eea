//! Welch's test: do two groups of numbers have the same mean, their variances being what they are?

use statrs::{
    distribution::{ContinuousCDF, StudentsT},
    function::beta::beta_reg,
};

use super::moments::Moments;

/// The difference of two means, treatment minus control.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Welch {
    pub(crate) estimate: f64,
    /// Its standard error.
    pub(crate) error: f64,
    /// Degrees of freedom (Welch and Satterthwaite).
    pub(crate) freedom: f64,
}

impl Welch {
    /// `None` below two rows in a group, or when neither varies. The numbers are the x of the moments.
    pub(crate) fn of(control: &Moments, treatment: &Moments) -> Option<Self> {
        let [a, b] = [control, treatment].map(|side| side.variance().map(|variance| variance / side.n));
        let (a, b) = (a?, b?);
        let freedom = (a + b).powi(2) / (a * a / (control.n - 1.0) + b * b / (treatment.n - 1.0));
        let estimate = treatment.x - control.x;
        (freedom.is_finite()).then(|| Self { estimate, error: (a + b).sqrt(), freedom })
    }

    pub(crate) fn t(&self) -> f64 {
        self.estimate / self.error
    }

    /// Two-sided.
    pub(crate) fn p_value(&self) -> f64 {
        beta_reg(self.freedom / 2.0, 0.5, self.freedom / (self.freedom + self.t().powi(2)))
    }

    /// Half the width of the interval of confidence `1 − alpha`.
    pub(crate) fn half_width(&self, alpha: f64) -> Option<f64> {
        let t = StudentsT::new(0.0, 1.0, self.freedom).ok()?.inverse_cdf(1.0 - alpha / 2.0);
        Some(t * self.error)
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

    fn group(numbers: &[i128]) -> Moments {
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let rows: Vec<(f64, f64)> = numbers.iter().map(|number| (*number as f64, 0.0)).collect();
        moments(&rows)
    }

    /// t² and the degrees of freedom are rational.
    #[test]
    fn tiny_groups_agree_with_fractions() {
        for (a, b) in [
            (&[1, 2, 3, 4][..], &[2, 3, 5, 9, 9][..]),
            (&[0, 1], &[5, 5, 6]),
            (&[1_000_000_001, 1_000_000_003], &[1_000_000_002, 1_000_000_009]),
        ] {
            let part = |numbers: &[i128]| {
                let n = Fraction::of(numbers.len() as i128);
                let mean = Fraction::of(numbers.iter().sum()) / n;
                let squares = numbers.iter().fold(Fraction::of(0), |sum, number| {
                    let off = Fraction::of(*number) - mean;
                    sum + off * off
                });
                (mean, squares / (n - Fraction::of(1)) / n, n - Fraction::of(1))
            };
            let ((a_mean, a_part, a_less), (b_mean, b_part, b_less)) = (part(a), part(b));
            let (difference, variance) = (b_mean - a_mean, a_part + b_part);
            let freedom = variance * variance / (a_part * a_part / a_less + b_part * b_part / b_less);
            let found = Welch::of(&group(a), &group(b)).unwrap();
            check_near(found.estimate, difference.value(), 1e-9);
            check_near(found.t().powi(2), (difference * difference / variance).value(), 1e-9);
            check_near(found.freedom, freedom.value(), 1e-9);
        }
    }

    /// Percentiles of Student's t from tables; that at 2.5 degrees of freedom by integration.
    #[test]
    fn the_t_distribution_has_its_table() {
        for (freedom, t) in [(1.0, 12.706_205), (2.5, 3.574655), (10.0, 2.228_139), (200.0, 1.971_896)] {
            let welch = Welch { estimate: t, error: 1.0, freedom };
            check_near(welch.p_value(), 0.05, 2e-4);
            check_near(welch.half_width(0.05).unwrap(), t, 0.02 * t);
        }
    }

    #[test]
    fn groups_without_variance_or_rows_say_nothing() {
        assert_eq!(Welch::of(&group(&[1]), &group(&[2, 3])), None);
        assert_eq!(Welch::of(&group(&[]), &group(&[])), None);
        assert_eq!(Welch::of(&group(&[1, 1]), &group(&[2, 2])), None);
    }

    /// Groups of unequal size and variance, where the pooled t test errs: the interval covers, and equal means are rarely told apart.
    #[test]
    fn the_interval_covers_when_variances_differ() {
        let repeats = runs(2_000);
        let mut covered = 0_u32;
        for run in 0..repeats {
            let mut draws = Draws(run + 17);
            let mut sides = [Moments::default(); 2];
            (0..12).for_each(|_| sides[0].merge(&Moments::of(5.0 + 4.0 * draws.normal(), 0.0)));
            (0..60).for_each(|_| sides[1].merge(&Moments::of(7.0 + draws.normal(), 0.0)));
            let found = Welch::of(&sides[0], &sides[1]).unwrap();
            let inside = (found.estimate - 2.0).abs() <= found.half_width(0.05).unwrap();
            let shifted = Welch { estimate: found.estimate - 2.0, ..found };
            assert_eq!(inside, shifted.p_value() >= 0.05, "interval and p-value agree");
            covered += u32::from(inside);
        }
        let share = f64::from(covered) / f64::from(u32::try_from(repeats).unwrap());
        assert!((0.93..=0.97).contains(&share), "{share}");
    }
}
