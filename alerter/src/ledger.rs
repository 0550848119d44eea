//! The evidence ledger: what speaks for and against each change near the beginning of an incident, in bits.
//!
//! A bit doubles the odds of a change against an unknown cause. Each line of the ledger is a number anybody can take apart:
//!
//! | line | question | module |
//! |---|---|---|
//! | timing | does the change stand where the deviation began? | [`crate::suspect`] |
//! | control | did those exposed to it change more than those who are not, in the same minutes? | [`control`] |
//! | dose | does the deviation grow as the exposed share grows? | [`dose`] |
//! | reversal | did it end when the change was taken back? | [`reversal`] |
//! | prior | how often was such a change the cause before? | [`lessons`] |
//!
//! All are pure functions of counts; `evaluate` fetches those counts from raw events. Source: design, slices B3.

pub mod control;
pub mod dose;
pub mod lessons;
pub mod reversal;
pub(crate) mod rows;

use std::collections::BTreeMap;

use control::Control;
use lessons::Lessons;
use reversal::Reversal;

/// No single line of the ledger weighs more than this many bits.
pub const BITS_MAX: f64 = 10.0;

/// What is known of the candidates of one incident beside their timing, by the change's id.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// Exposed against unexposed, where both are there.
    pub controls: BTreeMap<String, Control>,
    /// Bits of dose, where the exposed share moved through three levels or more.
    pub doses: BTreeMap<String, f64>,
    /// What taking the change back showed.
    pub reversals: BTreeMap<String, Reversal>,
    /// What past incidents taught of the kinds.
    pub lessons: Lessons,
}

/// Within what one line may weigh; no evidence is no bits.
pub(crate) fn clamp(bits: f64) -> f64 {
    if bits.is_nan() { 0.0 } else { bits.clamp(-BITS_MAX, BITS_MAX) }
}
