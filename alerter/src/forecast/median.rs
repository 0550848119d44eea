//! Order statistics.

/// Median of the numbers, which are reordered; NaN when there are none.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

/// Quantile by linear interpolation between order statistics (type 7); the numbers are reordered; NaN when none.
pub(crate) fn quantile(values: &mut [f64], q: f64) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    let position = q.clamp(0.0, 1.0) * (values.len() - 1) as f64;
    let below = position.floor();
    #[expect(clippy::cast_possible_truncation, reason = "a position in a slice")]
    let (_, low, rest) = values.select_nth_unstable_by(below as usize, f64::total_cmp);
    let low = *low;
    let next = rest.iter().copied().fold(f64::INFINITY, f64::min);
    if position > below { low + (position - below) * (next - low) } else { low }
}

/// Weighted median of `(value, weight)` pairs, which are reordered: the value at which half of the weight is reached,
/// interpolated between the centres of the weights, so that a new day moves it smoothly. NaN when there are none.
pub(crate) fn weighted_median(pairs: &mut [(f64, f64)]) -> f64 {
    pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = pairs.iter().map(|pair| pair.1).sum();
    let mut before = 0.0;
    let mut last: Option<(f64, f64)> = None;
    for &(value, weight) in pairs.iter() {
        let centre = before + weight / 2.0;
        if centre >= total / 2.0 {
            return match last {
                Some((low, low_centre)) if centre > low_centre => {
                    low + (value - low) * (total / 2.0 - low_centre) / (centre - low_centre)
                }
                _ => value,
            };
        }
        last = Some((value, centre));
        before += weight;
    }
    last.map_or(f64::NAN, |pair| pair.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate() {
        let check = |q: f64, expect: f64| assert!((quantile(&mut [4.0, 1.0, 3.0, 2.0], q) - expect).abs() < 1e-12);
        check(0.0, 1.0);
        check(0.5, 2.5);
        check(0.9, 3.7);
        check(1.0, 4.0);
        assert!(median(&mut []).is_nan());
    }

    #[test]
    fn the_weighted_median_of_equal_weights_is_the_median_and_outliers_do_not_move_it() {
        let check = |pairs: &[(f64, f64)], expect: f64| {
            let seen = weighted_median(&mut pairs.to_vec());
            assert!((seen - expect).abs() < 1e-12, "{seen} for {pairs:?}");
        };
        check(&[(3.0, 1.0), (1.0, 1.0), (2.0, 1.0)], 2.0);
        check(&[(1.0, 1.0), (2.0, 1.0)], 1.5);
        check(&[(1.0, 1.0), (2.0, 2.0), (1e9, 1.0)], 2.0);
        check(&[(5.0, 0.3)], 5.0);
        assert!(weighted_median(&mut []).is_nan());
    }
}
