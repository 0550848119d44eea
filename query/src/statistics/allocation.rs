//! Sample ratio mismatch: do the arms have the shares they should have?
//!
//! A mismatch means that units are missing or counted twice in one arm, so nothing else of the experiment can be believed.

use statrs::function::gamma::gamma_ur;

/// Share of the mixture that expects gross errors.
const GROSS: f64 = 0.1;
/// Concentration of the part that expects small ones: a larger one is slow on gross errors.
const CONCENTRATION: f64 = 1_000.0;

/// χ² of counts against expected shares, and its p-value.
pub(crate) fn chi_squared(counts: &[f64], shares: &[f64]) -> (f64, f64) {
    let n: f64 = counts.iter().sum();
    let sum = counts.iter().zip(shares).map(|(seen, share)| (seen - n * share).powi(2) / (n * share)).sum();
    #[expect(clippy::cast_precision_loss, reason = "a handful of arms")]
    let freedom = counts.len().saturating_sub(1) as f64;
    if freedom == 0.0 || n == 0.0 || sum <= 0.0 { (0.0, 1.0) } else { (sum, gamma_ur(freedom / 2.0, sum / 2.0)) }
}

/// The sequential test: a Dirichlet-multinomial Bayes factor against the expected shares, as units arrive.
///
/// 1/max BF is a p-value that holds at every look. Two priors are mixed: concentrated around the shares, and uniform.
#[derive(Debug, Clone)]
pub(crate) struct Sequential {
    shares: Vec<f64>,
    counts: Vec<f64>,
    /// ln of the Bayes factors of both priors.
    ln_factors: [f64; 2],
    ln_max: f64,
}

impl Sequential {
    pub(crate) fn new(shares: &[f64]) -> Self {
        Self { shares: shares.to_vec(), counts: vec![0.0; shares.len()], ln_factors: [0.0; 2], ln_max: 0.0 }
    }

    /// One more unit in an arm.
    pub(crate) fn add(&mut self, arm: usize) {
        let n: f64 = self.counts.iter().sum();
        #[expect(clippy::cast_precision_loss, reason = "a handful of arms")]
        let arms = self.shares.len() as f64;
        let share = self.shares[arm];
        // The probability each prior gives this arm now, over the expected one.
        self.ln_factors[0] += ((CONCENTRATION * share + self.counts[arm]) / (CONCENTRATION + n) / share).ln();
        self.ln_factors[1] += ((1.0 + self.counts[arm]) / (arms + n) / share).ln();
        self.counts[arm] += 1.0;
    }

    /// Takes the evidence as it stands. Units that came at one instant have no order: they are added before one looks.
    pub(crate) fn look(&mut self) {
        self.ln_max = self.ln_max.max(self.ln_factor());
    }

    fn ln_factor(&self) -> f64 {
        let [narrow, gross] = self.ln_factors;
        let top = narrow.max(gross);
        top + ((1.0 - GROSS) * (narrow - top).exp() + GROSS * (gross - top).exp()).ln()
    }

    /// Valid at every look taken.
    pub(crate) fn p_value(&self) -> f64 {
        (-self.ln_max).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::{
        check_near,
        draws::{Draws, runs},
    };

    #[test]
    fn the_worked_examples_of_two_arms() {
        let (chi, p) = chi_squared(&[50_000.0, 48_900.0], &[0.5, 0.5]);
        check_near(chi, 12.23, 0.01);
        check_near(p, 0.000_47, 1e-5);
        let mut sequential = Sequential::new(&[0.5, 0.5]);
        for n in 0..5_000_u32 {
            sequential.add(usize::from((n + 1) * 27 / 50 > n * 27 / 50));
        }
        check_near(sequential.counts[0], 2_300.0, 0.1);
        let ln = sequential.ln_factor();
        check_near((-ln).exp(), 4.1e-6, 2e-7);
    }

    #[test]
    fn right_allocation_is_rarely_called_wrong_at_any_look() {
        let repeats = runs(300);
        let wrong = (0..repeats)
            .filter(|run| {
                let mut draws = Draws(run * 31 + 5);
                let mut sequential = Sequential::new(&[0.2, 0.8]);
                for _ in 0..5_000 {
                    sequential.add(usize::from(draws.chance(0.8)));
                    sequential.look();
                }
                sequential.p_value() < 0.05
            })
            .count();
        #[expect(clippy::cast_precision_loss, reason = "hundreds")]
        let share = wrong as f64 / repeats as f64;
        assert!(share <= 0.05, "{share}");
    }

    #[test]
    fn one_arm_or_nobody_is_no_mismatch() {
        assert_eq!(chi_squared(&[10.0], &[1.0]).1, 1.0);
        assert_eq!(chi_squared(&[0.0, 0.0], &[0.5, 0.5]).1, 1.0);
    }
}
