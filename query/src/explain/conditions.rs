//! Conditions on single columns: which there are, which rows meet them, how SQL writes them.

use super::{
    bits::{self, Bits},
    codes::{Labels, NULL, step_start},
    collect::{Column, Facts, Side},
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

/// How many rows of a side meet each condition on a column.
#[derive(Debug)]
pub(super) struct Counts {
    codes: Vec<u64>,
    /// Of numbers: rows with a smaller step, by step.
    below: Vec<u64>,
}

impl Counts {
    /// Of all rows, or of those in a bitmap.
    pub(super) fn of(column: &Column, side: &Side, rows: Option<&[u64]>) -> Self {
        let codes = side.codes.histogram(rows);
        if !column.is_number {
            return Self { codes, below: Vec::new() };
        }
        let mut steps = vec![0_u64; usize::from(u16::MAX) + 2];
        match rows {
            None => side.steps.iter().for_each(|step| steps[usize::from(*step) + 1] += 1),
            Some(rows) => bits::rows(rows).for_each(|row| steps[usize::from(side.steps[row]) + 1] += 1),
        }
        let mut sum = 0;
        for count in &mut steps {
            sum += *count;
            *count = sum;
        }
        Self { codes, below: steps }
    }

    pub(super) fn rows(&self, test: Test) -> u64 {
        match test {
            Test::Is(code) => self.codes.get(usize::from(code)).copied().unwrap_or(0),
            Test::Within(low, high) => self.below[usize::from(high)] - self.below[usize::from(low)],
        }
    }
}

/// The conditions on one column that enough rows meet to ever have the least support; judged without knowing which rows are bad.
pub(super) fn conditions(facts: &Facts, at: usize, support_min: u64, counts: &[Counts; 2]) -> Vec<Condition> {
    let column = &facts.columns[at];
    let all = (facts.bad + facts.good) as u64;
    let is_usable = |test: &Test| {
        let rows = counts[0].rows(*test) + counts[1].rows(*test);
        rows >= support_min && rows < all
    };
    // Codes are given in order of arrival, which differs between memory and files: ties are broken by what they stand for.
    let mut codes: Vec<u16> = (0..=column.coder.last()).filter(|code| is_usable(&Test::Is(*code))).collect();
    codes.sort_by(|a, b| column.coder.compare(*a, *b));
    let mut tests: Vec<Test> = codes.into_iter().map(Test::Is).collect();
    if column.is_number && column.coder.distinct() > RANGES_FROM {
        let ranges = ranges(&counts[1].below).into_iter().map(|(low, high)| Test::Within(low, high));
        tests.extend(ranges.filter(is_usable));
    }
    tests.into_iter().map(|test| Condition { column: at, test }).collect()
}

/// Deciles of the good rows, and everything below and above each; from how many have a smaller step than each.
fn ranges(below: &[u64]) -> Vec<(u16, u16)> {
    // Step 0 is NULL.
    let nulls = below[1];
    let total = below[below.len() - 1] - nulls;
    let mut cuts: Vec<u16> = Vec::new();
    let mut decile = 1;
    for (step, up_to) in below[1..].iter().enumerate().skip(1) {
        let seen = up_to - nulls;
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
