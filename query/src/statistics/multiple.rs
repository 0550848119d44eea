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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worked_example_rejects_five() {
        let p = [0.0005, 0.004, 0.011, 0.02, 0.03, 0.2, 0.6, 0.9];
        assert_eq!(q_values(&p, 8.0).iter().filter(|q| **q <= 0.05).count(), 5);
        let shuffled = [0.9, 0.03, 0.0005, 0.2, 0.011, 0.02, 0.6, 0.004];
        assert_eq!(q_values(&shuffled, 8.0).iter().filter(|q| **q <= 0.05).count(), 5);
        assert_eq!(q_values(&p, 8_000.0).iter().filter(|q| **q <= 0.05).count(), 0);
    }
}
