//! What a series cannot show: the smallest visible drop, whatever the traffic, and the time to see larger ones.

use serde::{Deserialize, Serialize};

/// The blind spot of one series at its present rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BlindSpot {
    /// Smallest share of a drop that can be seen with any amount of traffic, `z c`; 1 or more means outage only.
    pub smallest_drop: f64,
    /// Minutes until a drop of half is seen; `None` = not within a day.
    pub half_minutes: Option<f64>,
    /// Minutes until a drop of 20 % is seen; `None` = not within a day, or below the gate.
    pub fifth_minutes: Option<f64>,
    /// Minutes until a total outage is seen; `None` = not within a day.
    pub outage_minutes: Option<f64>,
}

/// Expected events needed to see a drop by the share `drop` with score `z`: `n >= z^2 phi / (d^2 - z^2 c^2)`; `None` when
/// no amount suffices.
#[must_use]
pub fn events_to_see(drop: f64, z: f64, phi: f64, c: f64) -> Option<f64> {
    let visible = drop * drop - z * z * c * c;
    (visible > 0.0).then(|| z * z * phi / visible)
}

/// What decides how soon a drop is seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sight {
    /// Expected events a minute.
    pub rate: f64,
    /// Paging threshold.
    pub z: f64,
    /// Over-dispersion.
    pub phi: f64,
    /// Relative error of the expectation.
    pub c: f64,
    /// The gate: smaller drops never page.
    pub smallest: f64,
}

impl Sight {
    /// Smallest share of a drop that can be seen with any amount of traffic.
    #[must_use]
    pub fn smallest_drop(&self) -> f64 {
        (self.z * self.c).max(self.smallest)
    }

    /// Minutes until a drop by the share `drop` is seen; `None` = below the gate, or not within a day.
    ///
    /// A total outage is judged by the deviance the page uses, `2 k ln(1 + n / k) >= z^2` with `k = 1 / c^2`, which needs no
    /// visible margin and so always has an answer.
    #[must_use]
    pub fn minutes(&self, drop: f64) -> Option<f64> {
        if drop < self.smallest {
            return None;
        }
        let events = if drop >= 1.0 {
            let k = 1.0 / (self.c * self.c).max(1e-6);
            Some(self.phi * k * ((self.z * self.z / (2.0 * k)).exp() - 1.0))
        } else {
            events_to_see(drop, self.z, self.phi, self.c)
        };
        events.map(|events| events / self.rate).filter(|minutes| *minutes <= 1440.0)
    }

    /// The blind spot as it is shown.
    #[must_use]
    pub fn blind_spot(&self) -> BlindSpot {
        BlindSpot {
            smallest_drop: self.smallest_drop(),
            half_minutes: self.minutes(0.5),
            fifth_minutes: self.minutes(0.2),
            outage_minutes: self.minutes(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(drop: f64, expect: Option<f64>) {
        // z = 4.5, phi = 1.2, c = .03.
        let events = events_to_see(drop, 4.5, 1.2, 0.03);
        match (events, expect) {
            (Some(seen), Some(expect)) => assert!((seen / expect - 1.0).abs() < 0.05, "{seen} for a drop of {drop}"),
            (seen, expect) => assert_eq!(seen.is_some(), expect.is_some(), "{seen:?} for a drop of {drop}"),
        }
    }

    #[test]
    fn the_worked_example_holds() {
        check(0.5, Some(105.0));
        check(0.2, Some(1_115.0));
        check(0.1, None);
    }

    #[test]
    fn an_outage_is_always_visible_at_some_time_and_small_drops_are_not() {
        let sight = |rate, c| Sight { rate, z: 4.5, phi: 1.2, c, smallest: 0.12 };
        let blind = sight(100.0, 0.03).blind_spot();
        assert!((blind.smallest_drop - 0.135).abs() < 1e-9);
        assert!(blind.half_minutes.is_some_and(|minutes| (0.9..1.2).contains(&minutes)));
        assert!(blind.fifth_minutes.is_some_and(|minutes| (10.0..12.0).contains(&minutes)));
        assert!(blind.outage_minutes.is_some_and(|minutes| minutes < 0.2));
        let wild = sight(10.0, 0.3).blind_spot();
        assert_eq!((wild.half_minutes, wild.fifth_minutes), (None, None));
        assert!(wild.outage_minutes.is_some());
        assert_eq!(sight(0.001, 0.1).minutes(1.0), None, "not within a day");
    }
}
