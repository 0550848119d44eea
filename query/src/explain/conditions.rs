//! Conditions on single columns: which there are, which rows meet them, how SQL writes them.

use super::{
    bits::{self, Bits},
    codes::{Labels, NULL, OTHER, step_start},
    collect::{Facts, Side},
};
use crate::error::quoted;

/// A number with at most this many values is not cut into ranges.
const RANGES_FROM: usize = 16;

/// One condition on one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Condition {
    pub(super) column: usize,
    pub(super) test: Test,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Test {
    Is(u16),
    /// Steps from the first to before the second.
    Within(u16, u16),
}

/// The conditions on one column that enough rows meet to ever have the least support; judged without knowing which rows are bad.
pub(super) fn conditions(facts: &Facts, at: usize, support_min: u64) -> Vec<Condition> {
    let column = &facts.columns[at];
    let all = (facts.bad + facts.good) as u64;
    let is_usable = |rows: u64| rows >= support_min && rows < all;
    let (bad, good) = (column.bad.codes.histogram(), column.good.codes.histogram());
    let codes = (0..=u16::MAX)
        .zip(bad.iter().zip(&good))
        .filter(|(code, (bad, good))| *code != OTHER && is_usable(*bad + *good));
    let mut found: Vec<Condition> = codes.map(|(code, _)| Condition { column: at, test: Test::Is(code) }).collect();
    if column.is_number && column.coder.distinct() > RANGES_FROM {
        let counts = |side: &Side| {
            let mut counts = vec![0_u64; usize::from(u16::MAX) + 1];
            side.steps.iter().for_each(|step| counts[usize::from(*step)] += 1);
            counts
        };
        let (bad, good) = (counts(&column.bad), counts(&column.good));
        let rows = |low: u16, high: u16| -> u64 {
            let steps = usize::from(low)..usize::from(high);
            bad[steps.clone()].iter().sum::<u64>() + good[steps].iter().sum::<u64>()
        };
        let tests = ranges(&good).into_iter().filter(|(low, high)| is_usable(rows(*low, *high)));
        found.extend(tests.map(|(low, high)| Condition { column: at, test: Test::Within(low, high) }));
    }
    found
}

/// Deciles of the good rows, and everything below and above each.
fn ranges(good: &[u64]) -> Vec<(u16, u16)> {
    let total: u64 = good[1..].iter().sum();
    let mut cuts: Vec<u16> = Vec::new();
    let (mut seen, mut decile) = (0, 1);
    for (step, count) in good.iter().enumerate().skip(1) {
        seen += count;
        while decile < 10 && seen * 10 >= total * decile && total > 0 {
            cuts.extend(u16::try_from(step + 1).ok().filter(|cut| *cut < u16::MAX));
            decile += 1;
        }
    }
    cuts.dedup();
    let edges: Vec<u16> = std::iter::once(1).chain(cuts.iter().copied()).chain([u16::MAX]).collect();
    let bins = edges.windows(2).map(|pair| (pair[0], pair[1]));
    let below = cuts.iter().skip(1).map(|cut| (1, *cut));
    let above = cuts.iter().rev().skip(1).map(|cut| (*cut, u16::MAX));
    bins.chain(below).chain(above).collect()
}

impl Condition {
    pub(super) fn rows(&self, side: &Side, alive: &[u64]) -> Bits {
        let mut rows = match self.test {
            Test::Is(code) => side.codes.equal(code),
            Test::Within(low, high) => bits::matching(&side.steps, |step| step >= low && step < high),
        };
        bits::and_with(&mut rows, alive);
        rows
    }

    pub(super) fn sql(&self, facts: &Facts) -> String {
        let column = &facts.columns[self.column];
        let name = quoted(&column.name);
        match self.test {
            Test::Is(NULL) => format!("{name} IS NULL"),
            Test::Is(code) => {
                let at = usize::from(code) - 1;
                match &column.coder.labels {
                    Labels::Texts(labels) => format!("{name} = '{}'", labels[at].replace('\'', "''")),
                    Labels::Ints(labels) => format!("{name} = {}", labels[at]),
                    Labels::Floats(labels) => format!("{name} = {:?}", labels[at]),
                    Labels::Flags => format!("{name} = {}", at == 1),
                }
            }
            Test::Within(low, high) => match (low, high) {
                (1, high) => format!("{name} < {}", step_start(high)),
                (low, u16::MAX) => format!("{name} >= {}", step_start(low)),
                (low, high) => format!("{name} >= {} AND {name} < {}", step_start(low), step_start(high)),
            },
        }
    }
}

/// Conditions in the order of their columns.
pub(super) fn order_of(condition: &Condition) -> (usize, u8, u16, u16) {
    match condition.test {
        Test::Is(code) => (condition.column, 0, code, 0),
        Test::Within(low, high) => (condition.column, 1, low, high),
    }
}
