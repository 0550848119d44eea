//! What is different about the bad ones? The shortest precise conditions that part bad rows from good ones, with error control.
//!
//! Pure arithmetic over Arrow columns: no clock, no I/O, no engine. All rows count, none is sampled away:
//! 1. [`Collector`] turns columns into small codes as batches arrive; [`Facts`] merges collectors.
//! 2. Every value (NULL too), and every range of deciles of a number, is a condition. Conditions on too few rows to ever have the least
//!    support are left out by their margins alone; the rest, V of them, set the price of chance.
//! 3. Conditions are joined to cuts of up to three. Bad rows are few: their bitmaps prune by support. A thinned look at the good rows
//!    picks the cuts worth counting; those are counted exactly, a beam per order.
//! 4. A cut scores G/(2·ln 2) bits (Fisher's exact test when counts are small) less `log2(C(V, k)·K/α)`: above zero it is significant
//!    at α over all cuts of all orders, and a longer cut pays for its larger number of rivals.
//!    Rows are counted for all cuts, units only for those that may still be the best by the evidence of their rows.
//! 5. Rows of one unit (a user) are not independent: both sides' counts are divided by their design effect (Rao and Scott, 1992), and no
//!    unit counts more than once among the bad.
//! 6. The best cut is a cause; its rows are taken away and the search is repeated.
//!
//! The beam and the thinned look bound the work; they can hide a cut whose parts show nothing by themselves. Counts, scores and
//! p-values of what is reported are exact.

mod bits;
mod codes;
mod collect;
mod conditions;
mod hash;
mod measure;
mod search;
#[cfg(test)]
mod tests;

pub use collect::{Collector, Facts};

/// Bytes a search takes for each row besides the facts, at most: a bit for each condition that is joined.
pub const SEARCH_BYTES_PER_ROW: usize = search::BLOCKS_MAX / 8 + 8;

/// Bounds of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Conditions a cut may have, 1 to 3.
    pub max_order: usize,
    /// Share of the bad rows a cut must have, 0 to 1.
    pub min_support: f64,
    /// Chance of reporting anything on data without a difference.
    pub alpha: f64,
    /// Causes reported at most.
    pub causes_max: usize,
    /// Threads that count.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_order: 3, min_support: 0.05, alpha: 0.05, causes_max: 3, threads: 2 }
    }
}

/// A cut that parts the bad rows from the good ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Cause {
    /// As a condition of SQL.
    pub predicate: String,
    /// Number of conditions.
    pub order: usize,
    /// Bad rows inside.
    pub bad: u64,
    /// Good rows inside.
    pub good: u64,
    /// Distinct units among the bad rows inside.
    pub bad_units: u64,
    /// Share of the bad rows that lie inside.
    pub support: f64,
    /// Share of the rows inside that are bad.
    pub precision: f64,
    /// Bad rate inside over outside.
    pub risk_ratio: f64,
    /// Lower end of its 95 % interval.
    pub risk_ratio_low: f64,
    /// Share of the bad rows beyond the usual rate that lie inside; those of all causes add up to one at most.
    pub explanatory_power: f64,
    /// Of this cut alone.
    pub p_value: f64,
    /// Benjamini–Hochberg, over all possible cuts.
    pub q_value: f64,
    /// Evidence less the price of chance; above 0 is significant.
    pub score_bits: f64,
    /// Other conditions with almost the same rows.
    pub equivalents: Vec<String>,
    /// Ids of bad rows inside.
    pub examples: Vec<String>,
}

/// The causes of a difference, the strongest first; empty if nothing is significant, or `is_cancelled` said so.
#[must_use]
pub fn causes(facts: &Facts, options: &Options, is_cancelled: &(dyn Fn() -> bool + Sync)) -> Vec<Cause> {
    search::causes(facts, options, is_cancelled)
}
