//! Weights, means and centred second moments of pairs of numbers: what tests of means, ratios and regressions are made of.
//!
//! They merge by the formulas of Chan, Golub and LeVeque (1979), which lose no digits to a large mean, as sums of squares do.

/// A summary of weighted pairs (x, y); parts merge to what all rows give.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Moments {
    /// Sum of the weights: the number of rows where each weighs one.
    pub(crate) n: f64,
    /// Mean of x.
    pub(crate) x: f64,
    /// Mean of y.
    pub(crate) y: f64,
    /// Σ(x − mean)².
    pub(crate) xx: f64,
    /// Σ(x − mean)(y − mean).
    pub(crate) xy: f64,
    /// Σ(y − mean)².
    pub(crate) yy: f64,
}

/// Numbers a summary is written as.
pub(crate) const NUMBERS: usize = 6;

impl Moments {
    /// Of one row.
    pub(crate) fn of(x: f64, y: f64) -> Self {
        Self { n: 1.0, x, y, ..Self::default() }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        if other.n <= 0.0 {
            return;
        }
        let n = self.n + other.n;
        let (dx, dy, share) = (other.x - self.x, other.y - self.y, other.n / n);
        let both = self.n * share;
        self.xx += other.xx + dx * dx * both;
        self.xy += other.xy + dx * dy * both;
        self.yy += other.yy + dy * dy * both;
        self.x += dx * share;
        self.y += dy * share;
        self.n = n;
    }

    /// Sample variance of x; `None` below a weight of more than one.
    pub(crate) fn variance(&self) -> Option<f64> {
        (self.n > 1.0).then(|| self.xx / (self.n - 1.0))
    }

    pub(crate) fn to_numbers(self) -> [f64; NUMBERS] {
        [self.n, self.x, self.y, self.xx, self.xy, self.yy]
    }

    /// The summary written as these numbers; an empty one if they are too few.
    pub(crate) fn from_numbers(numbers: &[f64]) -> Self {
        match numbers {
            [n, x, y, xx, xy, yy, ..] => Self { n: *n, x: *x, y: *y, xx: *xx, xy: *xy, yy: *yy },
            _ => Self::default(),
        }
    }
}

#[cfg(test)]
pub(crate) fn moments(rows: &[(f64, f64)]) -> Moments {
    let mut all = Moments::default();
    rows.iter().for_each(|(x, y)| all.merge(&Moments::of(*x, *y)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::{check_near, draws::Draws, fraction::Fraction};

    #[test]
    fn parts_merge_to_the_whole_in_any_order() {
        let mut draws = Draws(5);
        let rows: Vec<(f64, f64)> = (0..500).map(|_| (1e9 + draws.normal(), draws.normal() * 3.0)).collect();
        let whole = moments(&rows);
        for run in 0..20 {
            let mut draws = Draws(run);
            let mut parts = vec![Moments::default(); 7];
            for row in &rows {
                let part = usize::try_from(draws.bits() % 7).unwrap();
                parts[part].merge(&Moments::of(row.0, row.1));
            }
            let mut merged = Moments::default();
            parts.iter().rev().for_each(|part| merged.merge(&Moments::from_numbers(&part.to_numbers())));
            for (found, expect) in merged.to_numbers().into_iter().zip(whole.to_numbers()) {
                check_near(found, expect, 1e-6 * expect.abs().max(1.0));
            }
            check_near(merged.variance().unwrap(), 1.0, 0.2);
        }
    }

    #[test]
    fn tiny_tables_agree_with_fractions() {
        let rows = [(1, 2), (2, 3), (3, 5), (4, 4), (5, 6), (11, -7)];
        let found = moments(&rows.map(|(x, y)| (f64::from(x), f64::from(y))));
        let n = Fraction::of(6);
        let mean = |of: fn(&(i32, i32)) -> i32| Fraction::of(rows.iter().map(|row| i128::from(of(row))).sum()) / n;
        let (x, y) = (mean(|row| row.0), mean(|row| row.1));
        let mut exact = [Fraction::of(0); 3];
        for (a, b) in rows {
            let (dx, dy) = (Fraction::of(a.into()) - x, Fraction::of(b.into()) - y);
            for (sum, product) in exact.iter_mut().zip([dx * dx, dx * dy, dy * dy]) {
                *sum = *sum + product;
            }
        }
        let expect = [Fraction::of(6), x, y, exact[0], exact[1], exact[2]];
        for (found, expect) in found.to_numbers().into_iter().zip(expect) {
            check_near(found, expect.value(), 1e-12);
        }
    }
}
