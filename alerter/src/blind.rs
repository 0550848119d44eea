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

/// The blind spot at `rate` expected events a minute with a paging threshold `z` and a gate of `smallest`.
///
/// A total outage is judged by the deviance the page uses, `2 k ln(1 + n / k) >= z^2` with `k = 1 / c^2`, which needs no
/// visible margin and so always has an answer.
#[must_use]
pub fn blind_spot(rate: f64, z: f64, phi: f64, c: f64, smallest: f64) -> BlindSpot {
    let within_day = |events: Option<f64>| events.map(|n| n / rate).filter(|minutes| *minutes <= 1440.0);
    let gated = |drop: f64| if drop < smallest { None } else { within_day(events_to_see(drop, z, phi, c)) };
    let k = 1.0 / (c * c).max(1e-6);
    let outage = phi * k * ((z * z / (2.0 * k)).exp() - 1.0);
    BlindSpot {
        smallest_drop: (z * c).max(smallest),
        half_minutes: gated(0.5),
        fifth_minutes: gated(0.2),
        outage_minutes: within_day(Some(outage)),
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
        let blind = blind_spot(100.0, 4.5, 1.2, 0.03, 0.12);
        assert!((blind.smallest_drop - 0.135).abs() < 1e-9);
        assert!(blind.half_minutes.is_some_and(|minutes| (0.9..1.2).contains(&minutes)));
        assert!(blind.fifth_minutes.is_some_and(|minutes| (10.0..12.0).contains(&minutes)));
        assert!(blind.outage_minutes.is_some_and(|minutes| minutes < 0.2));
        let wild = blind_spot(10.0, 4.5, 1.2, 0.3, 0.12);
        assert_eq!((wild.half_minutes, wild.fifth_minutes), (None, None));
        assert!(wild.outage_minutes.is_some());
        assert_eq!(blind_spot(0.001, 4.5, 1.2, 0.1, 0.12).outage_minutes, None, "not within a day");
    }
}
