//! A table of two by two: bad and good rows, inside and outside of a cut.

use statrs::function::gamma::ln_gamma;

use super::{normal_quantile, normal_two_sided};

/// Counts; they need not be whole, since clustered ones are scaled to their effective size.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Table {
    /// Bad, inside.
    pub(crate) a: f64,
    /// Good, inside.
    pub(crate) b: f64,
    /// Bad, outside.
    pub(crate) c: f64,
    /// Good, outside.
    pub(crate) d: f64,
}

/// Below this expected count the G test's p is not to be trusted (Cochran's rule).
const EXPECTED_MIN: f64 = 5.0;

impl Table {
    fn total(&self) -> f64 {
        self.a + self.b + self.c + self.d
    }

    /// Share of those inside that are bad.
    pub(crate) fn precision(&self) -> f64 {
        part(self.a, self.a + self.b)
    }

    /// True if those inside are bad more often.
    pub(crate) fn is_worse_inside(&self) -> bool {
        self.a * (self.c + self.d) > self.c * (self.a + self.b)
    }

    /// Bad rate inside over bad rate outside, each with half a count added to the bad ones.
    pub(crate) fn risk_ratio(&self) -> f64 {
        ((self.a + 0.5) / (self.a + self.b + 1.0)) / ((self.c + 0.5) / (self.c + self.d + 1.0))
    }

    /// Lower bound of the risk ratio, two-sided confidence `1 − alpha`, normal on the logarithm.
    pub(crate) fn risk_ratio_low(&self, alpha: f64) -> f64 {
        let (a, c) = (self.a + 0.5, self.c + 0.5);
        let variance = 1.0 / a - 1.0 / (self.a + self.b + 1.0) + 1.0 / c - 1.0 / (self.c + self.d + 1.0);
        (self.risk_ratio().ln() - normal_quantile(alpha / 2.0) * variance.max(0.0).sqrt()).exp()
    }

    /// Likelihood-ratio statistic G of independence, χ² with one degree of freedom under it.
    pub(crate) fn g(&self) -> f64 {
        let n = self.total();
        let cell =
            |seen: f64, row: f64, column: f64| if seen > 0.0 { seen * (seen * n / (row * column)).ln() } else { 0.0 };
        let (inside, outside) = (self.a + self.b, self.c + self.d);
        let (bad, good) = (self.a + self.c, self.b + self.d);
        let sum = cell(self.a, inside, bad)
            + cell(self.b, inside, good)
            + cell(self.c, outside, bad)
            + cell(self.d, outside, good);
        (2.0 * sum).max(0.0)
    }

    /// Evidence in bits and the p-value: of the G test, or Fisher's exact one-sided test when an expected count is small.
    ///
    /// Since P(χ²₁ ≥ 2·ln x) ≤ 1/x, `2^-bits` bounds the p-value in the first case and is it in the second.
    pub(crate) fn evidence(&self) -> (f64, f64) {
        let n = self.total();
        let smallest = (self.a + self.b).min(self.c + self.d) * (self.a + self.c).min(self.b + self.d) / n;
        if n > 0.0 && smallest < EXPECTED_MIN {
            let log_p = self.ln_fisher();
            (-log_p / std::f64::consts::LN_2, log_p.exp())
        } else {
            (self.evidence_by_g(), normal_two_sided(self.g().sqrt()))
        }
    }

    /// G in bits, whatever the counts.
    pub(crate) fn evidence_by_g(&self) -> f64 {
        self.g() / (2.0 * std::f64::consts::LN_2)
    }

    /// Bits that [`Table::evidence`] of this table, or of one with fewer rows of the same shares inside and outside, never passes.
    ///
    /// G is a minimum over the common rate of sums that grow with the rows. Fisher's p is no smaller than the probability of the table
    /// itself, which by Stirling's formula is `2^-bits` of G over at most about `√(2π·a)`.
    pub(crate) fn evidence_most(&self) -> f64 {
        self.evidence_by_g() + 0.5 * (std::f64::consts::TAU * (self.a + 1.0)).log2() + 1.0
    }

    /// Logarithm of P(at least `a` bad ones inside | the margins), hypergeometric; counts rounded to whole ones.
    fn ln_fisher(&self) -> f64 {
        let [a, b, c, d] = [self.a, self.b, self.c, self.d].map(f64::round);
        let (inside, bad, n) = (a + b, a + c, a + b + c + d);
        let choose = |n: f64, k: f64| ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0);
        let whole = choose(n, inside);
        let first = choose(bad, a) + choose(n - bad, inside - a) - whole;
        // Terms relative to the first; they fall fast once a is above its expectation.
        let (mut sum, mut term, mut at) = (1.0, 1.0, a);
        while at < inside.min(bad) && term > 1e-17 * sum {
            term *= (bad - at) * (inside - at) / ((at + 1.0) * (n - bad - inside + at + 1.0));
            sum += term;
            at += 1.0;
        }
        (first + sum.ln()).min(0.0)
    }
}

fn part(count: f64, whole: f64) -> f64 {
    if whole > 0.0 { count / whole } else { 0.0 }
}

/// log2 of `n` over `k`, for the number of cuts of `k` conditions out of `n`.
pub(crate) fn log2_choose(n: f64, k: f64) -> f64 {
    (0..16).map(f64::from).take_while(|i| *i < k).map(|i| ((n - i).max(1.0) / (k - i)).log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::{check_near, draws::Draws};

    #[test]
    fn the_worked_example_of_a_cut() {
        let triple = Table { a: 360.0, b: 640.0, c: 40.0, d: 98_960.0 };
        check_near(triple.precision(), 0.36, 1e-12);
        check_near(triple.risk_ratio(), 880.0, 12.0);
        check_near(triple.g(), 3_203.6, 0.1);
        let penalty = |k: f64| log2_choose(60.0, k) + (3.0_f64 / 0.05).log2();
        check_near(penalty(3.0), 20.97, 0.01);
        check_near(triple.evidence_by_g() - penalty(3.0), 2_290.0, 0.2);
        let one = |a: f64, b: f64| Table { a, b, c: 400.0 - a, d: 99_600.0 - b };
        check_near(one(380.0, 49_620.0).evidence_by_g() - penalty(1.0), 274.6, 0.2);
        check_near(one(375.0, 4_625.0).evidence_by_g() - penalty(1.0), 1_495.5, 0.2);
        check_near(one(368.0, 2_132.0).evidence_by_g() - penalty(2.0), 1_822.1, 0.2);
    }

    #[test]
    fn small_tables_agree_with_counting_by_hand() {
        // Fisher's tea: 3 of 4 right, P = (16 + 1) / 70.
        let tea = Table { a: 3.0, b: 1.0, c: 1.0, d: 3.0 };
        check_near(tea.evidence().1, 17.0 / 70.0, 1e-12);
        check_near(Table { a: 4.0, b: 0.0, c: 0.0, d: 4.0 }.evidence().1, 1.0 / 70.0, 1e-12);
        for (a, b, c, d) in [(2_u64, 3, 4, 9), (0, 4, 5, 6), (5, 0, 1, 8), (1, 1, 1, 1)] {
            let choose = |n: u64, k: u64| (0..k).fold(1_u64, |product, i| product * (n - i) / (i + 1));
            let (inside, bad, n) = (a + b, a + c, a + b + c + d);
            let ways: u64 = (a..=inside.min(bad))
                .filter(|x| inside - x <= n - bad)
                .map(|x| choose(bad, x) * choose(n - bad, inside - x))
                .sum();
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let (table, p) =
                (Table { a: a as f64, b: b as f64, c: c as f64, d: d as f64 }, ways as f64 / choose(n, inside) as f64);
            check_near(table.evidence().1, p, 1e-9);
        }
    }

    /// Tables of all shapes and what is left of them when their sides are worth fewer rows.
    #[test]
    fn no_thinned_table_has_more_evidence_than_the_bound() {
        let mut draws = Draws(21);
        for _ in 0..20_000 {
            let mut count = |most: f64| (draws.unit().powi(4) * most).floor();
            let table = Table { a: count(3_000.0), b: count(1e6), c: count(3_000.0), d: count(1e7) };
            if !table.is_worse_inside() {
                continue;
            }
            for _ in 0..4 {
                let (inside, outside) = (1.0 + 20.0 * draws.unit().powi(3), 1.0 + 20.0 * draws.unit().powi(3));
                let thinned =
                    Table { a: table.a / inside, b: table.b / inside, c: table.c / outside, d: table.d / outside };
                let (found, most) = (thinned.evidence().0, table.evidence_most());
                assert!(found <= most + 1e-9, "{table:?} {thinned:?}: {found} > {most}");
            }
        }
    }

    #[test]
    fn empty_sides_give_no_evidence() {
        assert_eq!(Table::default().g(), 0.0);
        assert_eq!(Table { a: 3.0, b: 4.0, ..Table::default() }.g(), 0.0);
    }
}
