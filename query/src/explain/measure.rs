//! The counts of one cut, exact, and what they are worth when rows of a unit are alike.

use super::{
    bits::{Bits, count, rows},
    collect::{Facts, Units},
};
use crate::statistics::contingency::Table;

/// Rows that no cause has taken yet, and their sums per unit.
#[derive(Debug)]
pub(super) struct Alive {
    pub(super) bad: Bits,
    pub(super) good: Bits,
    pub(super) bad_count: u64,
    pub(super) good_count: u64,
    totals: Option<Totals>,
}

/// Per unit: rows and bad rows; and their sums of squares over all units.
#[derive(Debug)]
struct Totals {
    n: Vec<u32>,
    k: Vec<u32>,
    squares: Squares,
}

/// Sums over units of bad rows k and rows n.
#[derive(Debug, Clone, Copy, Default)]
struct Squares {
    units: f64,
    bad_units: f64,
    kk: f64,
    kn: f64,
    nn: f64,
}

impl Squares {
    fn add(&mut self, k: u32, n: u32, sign: f64) {
        let (k, n) = (f64::from(k), f64::from(n));
        if n > 0.0 {
            self.units += sign;
            self.bad_units += if k > 0.0 { sign } else { 0.0 };
            self.kk += sign * k * k;
            self.kn += sign * k * n;
            self.nn += sign * n * n;
        }
    }

    /// How many rows are worth one: the variance of the bad rate over units against that of independent rows (Rao and Scott), and at
    /// least as many as there are bad rows to a bad unit.
    fn design_effect(&self, k: f64, n: f64) -> f64 {
        if k <= 0.0 || self.bad_units <= 0.0 {
            return 1.0;
        }
        let rate = k / n;
        let residual = self.kk - 2.0 * rate * self.kn + rate * rate * self.nn;
        let independent = n * rate * (1.0 - rate);
        let clustered = if self.units > 1.0 && independent > 0.0 {
            residual / independent * self.units / (self.units - 1.0)
        } else {
            1.0
        };
        clustered.max(k / self.bad_units).max(1.0)
    }
}

/// What a cut was found to hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measure {
    /// Rows divided by the design effect of their side.
    pub(super) effective: Table,
    pub(super) bad_units: u64,
}

#[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

impl Alive {
    pub(super) fn new(facts: &Facts, bad: Bits, good: Bits) -> Self {
        let totals = facts.units.as_ref().map(|units| Totals::new(units, &bad, &good));
        Self { bad_count: count(&bad), good_count: count(&good), bad, good, totals }
    }

    /// Counts a cut of rows that are all alive.
    pub(super) fn measure(&self, facts: &Facts, bad: &[u64], good: &[u64], scratch: &mut Scratch) -> Measure {
        let (a, b) = (count(bad), count(good));
        let table = Table { a: float(a), b: float(b), c: float(self.bad_count - a), d: float(self.good_count - b) };
        let (Some(totals), Some(units)) = (&self.totals, &facts.units) else {
            return Measure { effective: table, bad_units: a };
        };
        let (inside, outside) = scratch.squares(units, totals, bad, good);
        let effect_in = inside.design_effect(table.a, table.a + table.b);
        let effect_out = outside.design_effect(table.c, table.c + table.d);
        let effective =
            Table { a: table.a / effect_in, b: table.b / effect_in, c: table.c / effect_out, d: table.d / effect_out };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of units")]
        let bad_units = inside.bad_units as u64;
        Measure { effective, bad_units }
    }
}

impl Totals {
    fn new(units: &Units, bad: &[u64], good: &[u64]) -> Self {
        let (mut n, mut k) = (vec![0_u32; units.count], vec![0_u32; units.count]);
        for row in rows(bad) {
            let unit = units.bad[row] as usize;
            n[unit] += 1;
            k[unit] += 1;
        }
        rows(good).for_each(|row| n[units.good[row] as usize] += 1);
        let mut squares = Squares::default();
        n.iter().zip(&k).for_each(|(n, k)| squares.add(*k, *n, 1.0));
        Self { n, k, squares }
    }
}

/// Counters of one thread, all zero between two cuts.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    n: Vec<u32>,
    k: Vec<u32>,
    touched: Vec<u32>,
}

impl Scratch {
    pub(super) fn new(facts: &Facts) -> Self {
        let units = facts.units.as_ref().map_or(0, |units| units.count);
        Self { n: vec![0; units], k: vec![0; units], touched: Vec::new() }
    }

    /// The sums over units inside of a cut and outside of it.
    fn squares(&mut self, units: &Units, totals: &Totals, bad: &[u64], good: &[u64]) -> (Squares, Squares) {
        for row in rows(bad) {
            let unit = units.bad[row];
            if self.n[unit as usize] == 0 {
                self.touched.push(unit);
            }
            self.n[unit as usize] += 1;
            self.k[unit as usize] += 1;
        }
        for row in rows(good) {
            let unit = units.good[row];
            if self.n[unit as usize] == 0 {
                self.touched.push(unit);
            }
            self.n[unit as usize] += 1;
        }
        let (mut inside, mut outside) = (Squares::default(), totals.squares);
        for unit in self.touched.drain(..).map(|unit| unit as usize) {
            let (n, k) = (std::mem::take(&mut self.n[unit]), std::mem::take(&mut self.k[unit]));
            inside.add(k, n, 1.0);
            outside.add(totals.k[unit], totals.n[unit], -1.0);
            outside.add(totals.k[unit] - k, totals.n[unit] - n, 1.0);
        }
        (inside, outside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn squares(units: &[(u32, u32)]) -> (Squares, f64, f64) {
        let mut sums = Squares::default();
        units.iter().for_each(|(k, n)| sums.add(*k, *n, 1.0));
        let total = |of: fn(&(u32, u32)) -> u32| f64::from(units.iter().map(of).sum::<u32>());
        (sums, total(|unit| unit.0), total(|unit| unit.1))
    }

    #[test]
    fn one_users_many_errors_count_as_one() {
        let mut units = vec![(0, 1); 640];
        units.push((50, 50));
        let (sums, k, n) = squares(&units);
        assert!(k / sums.design_effect(k, n) < 1.5, "{}", sums.design_effect(k, n));
        let (alone, k, n) = squares(&[(8, 8)]);
        assert!((k / alone.design_effect(k, n) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn errors_of_different_users_count_in_full() {
        let mut units = vec![(0, 2); 900];
        units.extend([(1, 2); 60]);
        let (sums, k, n) = squares(&units);
        assert!((sums.design_effect(k, n) - 1.0).abs() < 0.1, "{}", sums.design_effect(k, n));
    }

    #[test]
    fn a_bot_that_never_fails_makes_its_side_less_certain() {
        let mut units = vec![(0, 10); 960];
        units.extend([(1, 10); 40]);
        let even = squares(&units);
        units.push((0, 10_000));
        let bot = squares(&units);
        let effect = |(sums, k, n): &(Squares, f64, f64)| sums.design_effect(*k, *n);
        assert!(effect(&even) < 1.2 && effect(&bot) > 5.0, "{} {}", effect(&even), effect(&bot));
    }
}
