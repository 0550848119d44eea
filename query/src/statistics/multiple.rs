//! Many tests at a time.

/// Benjamini–Hochberg q-values of p-values, in their order. `tests`: how many were made, those not listed having larger p-values.
pub(crate) fn q_values(p_values: &[f64], tests: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut q_values = vec![1.0; p_values.len()];
    let mut least: f64 = 1.0;
    for (rank, at) in order.iter().enumerate().rev() {
        #[expect(clippy::cast_precision_loss, reason = "a rank")]
        let q = p_values[*at] * tests / (rank + 1) as f64;
        least = least.min(q);
        q_values[*at] = least;
    }
    q_values
}

/// The e-values' counterpart (e-BH; Wang and Ramdas, 2022): the smallest error rate at which each is rejected. It holds under any
/// dependence of the tests and, for e-values of sequences, at every look.
pub(crate) fn e_q_values(e_values: &[f64]) -> Vec<f64> {
    // Rejecting the k largest when e ≥ m/(α·k) is rejecting those whose m/(k·e) is at most α.
    let inverse: Vec<f64> = e_values.iter().map(|e| if *e > 0.0 { 1.0 / e } else { f64::INFINITY }).collect();
    #[expect(clippy::cast_precision_loss, reason = "a number of tests")]
    q_values(&inverse, e_values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::{
        check_near,
        draws::{Draws, runs},
        normal_two_sided,
    };

    #[test]
    fn the_worked_example_rejects_five() {
        let p = [0.0005, 0.004, 0.011, 0.02, 0.03, 0.2, 0.6, 0.9];
        assert_eq!(q_values(&p, 8.0).iter().filter(|q| **q <= 0.05).count(), 5);
        let shuffled = [0.9, 0.03, 0.0005, 0.2, 0.011, 0.02, 0.6, 0.004];
        assert_eq!(q_values(&shuffled, 8.0).iter().filter(|q| **q <= 0.05).count(), 5);
        assert_eq!(q_values(&p, 8_000.0).iter().filter(|q| **q <= 0.05).count(), 0);
    }

    /// Thresholds 160, 80, 53.3, 40 …: two are passed.
    #[test]
    fn the_worked_example_of_e_values_rejects_two() {
        let e = [900.0, 130.0, 45.0, 30.0, 9.0, 2.0, 1.0, 0.3];
        let found = e_q_values(&e);
        assert_eq!(found.iter().filter(|q| **q <= 0.05).count(), 2);
        // 8/900; 8/(2·130); 8/(4·30) for both the third and the fourth.
        for (found, expect) in found.iter().zip([8.0 / 900.0, 4.0 / 130.0, 8.0 / 135.0, 8.0 / 120.0]) {
            check_near(*found, expect, 1e-12);
        }
        assert_eq!(e_q_values(&[0.0, 0.5]), [1.0, 1.0]);
    }

    /// Forty tests, ten of them of real effects: at most alpha of what is reported is false on average, also for e-values that share
    /// half of their noise, which Benjamini–Hochberg is not made for.
    #[test]
    fn the_share_of_false_reports_is_kept() {
        let repeats = runs(1_000);
        let mut false_share = [0.0; 2];
        let mut found_share = [0.0; 2];
        for run in 0..repeats {
            let mut draws = Draws(run * 7 + 3);
            let common = draws.normal();
            let effects: Vec<f64> = (0..40).map(|test| if test < 10 { 4.0 } else { 0.0 }).collect();
            let alone: Vec<f64> = effects.iter().map(|effect| effect + draws.normal()).collect();
            let shared: Vec<f64> =
                effects.iter().map(|effect| effect + (common + draws.normal()) / std::f64::consts::SQRT_2).collect();
            let p: Vec<f64> = alone.iter().map(|z| normal_two_sided(*z)).collect();
            // A likelihood ratio against an effect of 4 has mean 1 without one.
            let e: Vec<f64> = shared.iter().map(|z| (4.0 * z - 8.0).exp()).collect();
            for (at, q) in [q_values(&p, 40.0), e_q_values(&e)].iter().enumerate() {
                let of = |range: std::ops::Range<usize>| q[range].iter().filter(|q| **q <= 0.1).count();
                #[expect(clippy::cast_precision_loss, reason = "tens")]
                let (right, wrong) = (of(0..10) as f64, of(10..40) as f64);
                false_share[at] += wrong / (right + wrong).max(1.0);
                found_share[at] += right / 10.0;
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        let mean = |sum: f64| sum / repeats as f64;
        assert!(false_share.into_iter().all(|sum| mean(sum) <= 0.1), "{false_share:?} of {repeats}");
        assert!(found_share.into_iter().all(|sum| mean(sum) > 0.4), "{found_share:?} of {repeats}");
    }
}
