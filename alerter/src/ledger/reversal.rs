//! Reversal: did the deviation end when a change was taken back?
//!
//! After an off nobody is exposed any more, so the counterfactual is the forecast: what was seen over what was expected, since the
//! off against before it. The forecast's own error `c` is part of the variance.

use serde::{Deserialize, Serialize};

use super::{clamp, control};
use crate::off::Recovery;

/// Log error of a forecast over a quarter of an hour, standard deviation.
const FORECAST_ERROR: f64 = 0.05;

/// What is known of one change that was taken back.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reversal {
    /// Bits for the change, within ±10.
    pub bits: f64,
    /// Once that is clear.
    pub outcome: Option<Outcome>,
}

/// Minutes after the off from which bits are told.
pub const FIRST_MINUTES: i64 = 3;
/// Minutes after the off until which they are.
pub const LAST_MINUTES: i64 = 20;

/// Seen and expected in a stretch of minutes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stretch {
    /// Seen.
    pub seen: f64,
    /// Expected without the deviation.
    pub expected: f64,
}

/// What taking it back showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The deviation ended.
    Confirmed,
    /// It went on.
    Refuted,
}

impl Outcome {
    /// What became of the metric, as a word on the change that was taken back; `None` when it is unclear.
    #[must_use]
    pub fn of(recovery: Recovery) -> Option<Self> {
        match recovery {
            Recovery::Recovered => Some(Self::Confirmed),
            Recovery::NotRecovered => Some(Self::Refuted),
            Recovery::Unclear => None,
        }
    }
}

/// Bits for the change: the recovery after the off against none. `None` while one of the stretches says nothing.
#[must_use]
pub fn bits(during: Stretch, after: Stretch, down: bool, phi: f64) -> Option<f64> {
    if during.expected <= 0.0 || after.expected <= 0.0 {
        return None;
    }
    let phi = phi.max(1.0);
    let log = |stretch: Stretch| ((stretch.seen + 0.5) / stretch.expected).ln();
    let variance = phi / (during.seen + 0.5) + phi / (after.seen + 0.5) + 2.0 * FORECAST_ERROR * FORECAST_ERROR;
    let recovered = log(after) - log(during);
    Some(clamp(control::bits(if down { recovered } else { -recovered }, variance)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(during: f64, after: f64, expect: std::ops::RangeInclusive<f64>) {
        let stretch = |seen| Stretch { seen, expected: 1_000.0 };
        let bits = bits(stretch(during), stretch(after), true, 1.2).unwrap();
        assert!(expect.contains(&bits), "{during} {after}: {bits}");
    }

    #[test]
    fn a_recovery_speaks_for_the_change_and_none_against_it() {
        check(450.0, 990.0, 3.0..=10.0);
        check(450.0, 440.0, -10.0..=-3.0);
        check(450.0, 520.0, -3.0..=3.0);
        assert_eq!(super::bits(Stretch::default(), Stretch { seen: 1.0, expected: 1.0 }, true, 1.0), None);
    }
}
