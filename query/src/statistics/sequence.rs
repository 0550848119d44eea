//! Confidence sequences: intervals that hold at every look, however often one looks.
//!
//! The normal-mixture sequence (Robbins; Waudby-Smith et al.), which is also the mSPRT with a normal mixture: one formula gives the
//! interval, the e-value and the always-valid p-value. Asymptotic: no verdict before some 30 successes per arm.

use super::{normal_quantile, normal_two_sided};

/// How a difference is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// Valid at every look.
    AlwaysValid,
    /// Valid at one look planned beforehand.
    Fixed,
}

/// A difference of two arms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Difference {
    /// Treatment minus control.
    pub(crate) estimate: f64,
    /// Its standard error.
    pub(crate) error: f64,
    /// Units of both arms.
    pub(crate) units: f64,
}

/// What one can say about a difference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Judgement {
    /// Half the width of the interval.
    pub(crate) half_width: f64,
    /// Evidence against no difference; `None` for the fixed method.
    pub(crate) e_value: Option<f64>,
    pub(crate) p_value: f64,
}

/// Parameters of the judgement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Design {
    pub(crate) method: Method,
    /// Error rate of the interval.
    pub(crate) alpha: f64,
    /// Units at which the sequence is tightest: the expected size at the decision.
    pub(crate) planned_units: f64,
}

impl Design {
    /// ρ, the mixture's scale, chosen so that the interval is tightest at `planned_units`.
    fn rho(&self) -> f64 {
        let log = -2.0 * self.alpha.ln();
        ((log + (log + 1.0).ln()) / self.planned_units).sqrt()
    }

    /// Half-width in standard errors, for this many units.
    pub(crate) fn multiplier(&self, units: f64) -> f64 {
        match self.method {
            Method::Fixed => normal_quantile(self.alpha / 2.0),
            Method::AlwaysValid => {
                let t = units * self.rho().powi(2);
                let q = t + 1.0;
                units.sqrt() * (2.0 * q * (q.sqrt() / self.alpha).ln() / (units * units * self.rho().powi(2))).sqrt()
            }
        }
    }

    pub(crate) fn judge(&self, difference: Difference) -> Judgement {
        let z = if difference.error > 0.0 { difference.estimate / difference.error } else { 0.0 };
        let half_width = self.multiplier(difference.units) * difference.error;
        match self.method {
            Method::Fixed => Judgement { half_width, e_value: None, p_value: normal_two_sided(z) },
            Method::AlwaysValid => {
                let t = difference.units * self.rho().powi(2);
                let q = t + 1.0;
                let e = (t * z * z / (2.0 * q)).exp() / q.sqrt();
                Judgement { half_width, e_value: Some(e), p_value: (1.0 / e).min(1.0) }
            }
        }
    }

    /// The smallest true difference found with this power, at these units.
    pub(crate) fn detectable(&self, error: f64, units: f64, power: f64) -> f64 {
        (self.multiplier(units) + normal_quantile(1.0 - power)) * error
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::{
        check_near,
        draws::{Draws, runs},
    };

    const SEQUENCE: Design = Design { method: Method::AlwaysValid, alpha: 0.05, planned_units: 5_000.0 };
    const FIXED: Design = Design { method: Method::Fixed, ..SEQUENCE };

    fn proportions(n: f64, a: f64, b: f64) -> Difference {
        let error = ((a * (1.0 - a) + b * (1.0 - b)) / n).sqrt();
        Difference { estimate: b - a, error, units: 2.0 * n }
    }

    #[test]
    fn the_worked_examples_of_two_proportions() {
        let near = proportions(10_000.0, 0.05, 0.058);
        check_near(near.error, 0.003_196, 1e-6);
        check_near(FIXED.judge(near).half_width, 0.006_3, 5e-5);
        check_near(FIXED.judge(near).p_value, 0.012, 5e-4);
        let judged = SEQUENCE.judge(near);
        check_near(judged.half_width, 0.010_0, 5e-5);
        check_near(judged.e_value.unwrap(), 3.6, 0.1);
        check_near(judged.p_value, 0.27, 0.01);
        let far = SEQUENCE.judge(proportions(10_000.0, 0.05, 0.062));
        check_near(far.half_width, 0.010_2, 5e-5);
        check_near(far.e_value.unwrap(), 129.0, 3.0);
        check_near(far.p_value, 0.007_7, 2e-4);
        check_near(SEQUENCE.detectable(near.error, near.units, 0.8), 0.012_7, 5e-5);
        check_near(FIXED.detectable(near.error, near.units, 0.8), 0.009_0, 6e-5);
    }

    #[test]
    fn the_interval_and_the_p_value_agree() {
        for z in [0.5, 1.0, 2.0, 2.9, 3.1, 3.5, 5.0] {
            let judged = SEQUENCE.judge(Difference { estimate: z, error: 1.0, units: 8_000.0 });
            assert_eq!(judged.half_width < z, judged.p_value < 0.05, "{z}: {judged:?}");
        }
    }

    /// Two equal arms of normal values, looked at 40 times.
    #[test]
    fn equal_arms_are_rarely_told_apart_however_often_one_looks() {
        let (looks, step, repeats) = (40, 250_u32, runs(200));
        let mut wrong = [0_u32; 2];
        for run in 0..repeats {
            let mut draws = Draws(run * 7_919 + 1);
            let (mut sum, mut n, mut hit) = ([0.0, 0.0], 0.0, [false; 2]);
            for _ in 0..looks {
                for _ in 0..step {
                    sum[0] += draws.normal();
                    sum[1] += draws.normal();
                    n += 1.0;
                }
                let difference =
                    Difference { estimate: (sum[1] - sum[0]) / n, error: (2.0_f64 / n).sqrt(), units: 2.0 * n };
                hit[0] |= SEQUENCE.judge(difference).p_value < 0.05;
                hit[1] |= FIXED.judge(difference).p_value < 0.05;
            }
            wrong[0] += u32::from(hit[0]);
            wrong[1] += u32::from(hit[1]);
        }
        let share = |count: u32| f64::from(count) / f64::from(u32::try_from(repeats).unwrap());
        assert!(share(wrong[0]) <= 0.05, "always valid: {}", share(wrong[0]));
        assert!(share(wrong[1]) > 0.15, "the fixed test is not made for this: {}", share(wrong[1]));
    }

    #[test]
    fn the_e_value_is_at_most_one_on_average_without_a_difference() {
        let repeats = runs(4_000);
        let mut draws = Draws(11);
        let mut sum = 0.0;
        for _ in 0..repeats {
            // z is standard normal under no difference; capped, since its tail carries the mean.
            let difference = Difference { estimate: draws.normal(), error: 1.0, units: 3_000.0 };
            sum += SEQUENCE.judge(difference).e_value.unwrap().min(1e6);
        }
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        let mean = sum / repeats as f64;
        assert!(mean < 1.15, "{mean}");
    }
}
