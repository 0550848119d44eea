//! What a series cannot show: the smallest drop that would page, and the time until a larger one does.
//!
//! A time is a promise: in 19 of 20 cases a drop pages within it, at the present rate. It asks each window, as the page
//! does, for the score of what would be seen in it, less what chance may add.

use serde::{Deserialize, Serialize};

use crate::score::{FAST_WINDOWS, WINDOW_COUNT, WINDOWS, count_deviance};

/// Standard deviations that chance adds to what is left of a drop in one case of 20.
const MARGIN: f64 = 1.645;

/// A total outage is told by the time since the last event for so long.
const OUTAGE_MINUTES_MAX: usize = 1440;

/// The blind spot of one series at its present rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BlindSpot {
    /// See [`Sight::smallest_drop`].
    pub smallest_drop: f64,
    /// Minutes within which a drop of half pages; `None` = not within three hours.
    pub half_minutes: Option<f64>,
    /// Minutes within which a drop of 20 % pages; `None` = not within three hours, or below the gate.
    pub fifth_minutes: Option<f64>,
    /// Minutes within which a total outage pages; `None` = not within a day.
    pub outage_minutes: Option<f64>,
}

/// What decides how soon a drop is seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sight {
    /// Expected events a minute.
    pub rate: f64,
    /// Paging threshold of each of [`WINDOWS`].
    pub thresholds: [f64; WINDOW_COUNT],
    /// Over-dispersion.
    pub phi: f64,
    /// Relative error of the expectation that the fast windows are scored against.
    pub c_fast: f64,
    /// And the slow ones.
    pub c_slow: f64,
    /// The gate: smaller drops never page.
    pub smallest: f64,
}

impl Sight {
    /// Smallest share of a drop that pages within three hours, in 19 of 20 cases; 1 = not even an outage does, or nothing less.
    #[must_use]
    pub fn smallest_drop(&self) -> f64 {
        let (mut hidden, mut shown) = (0.0, 1.0);
        for _ in 0..12 {
            let drop = f64::midpoint(hidden, shown);
            if self.minutes(drop).is_some() { shown = drop } else { hidden = drop }
        }
        shown
    }

    /// Minutes within which a drop by the share `drop` pages in 19 of 20 cases; `None` = below the gate, or not within three
    /// hours (a total outage: a day).
    #[must_use]
    pub fn minutes(&self, drop: f64) -> Option<f64> {
        let within =
            |window: usize, minutes: usize| first(1, minutes, |after| self.shows(drop, after, window, minutes));
        let soonest = (0..WINDOW_COUNT).filter_map(|window| within(window, WINDOWS[window])).min();
        let longest = WINDOW_COUNT - 1;
        let outage = || {
            let since = WINDOWS[longest] + 1;
            first(since, OUTAGE_MINUTES_MAX, |after| self.shows(drop, after, longest, after)).filter(|_| drop >= 1.0)
        };
        soonest.or_else(outage).map(|minutes| minutes as f64)
    }

    /// True when a window of `minutes` pages once a drop has lasted for `after` of them.
    fn shows(&self, drop: f64, after: usize, window: usize, minutes: usize) -> bool {
        let c = if window < FAST_WINDOWS { self.c_fast } else { self.c_slow };
        let expected = self.rate * minutes as f64;
        let left = (expected - drop * self.rate * after as f64).max(0.0);
        let left = left + MARGIN * (self.phi * left + (c * left).powi(2)).sqrt();
        let deviance = count_deviance(left, expected, self.phi, c);
        left <= expected * (1.0 - self.smallest) && 2.0 * deviance >= self.thresholds[window].powi(2)
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

/// The first of `low..=high` that holds, when all after it hold too.
fn first(mut low: usize, mut high: usize, holds: impl Fn(usize) -> bool) -> Option<usize> {
    if !holds(high) {
        return None;
    }
    while low < high {
        let middle = usize::midpoint(low, high);
        if holds(middle) { high = middle } else { low = middle + 1 }
    }
    Some(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(rate: f64, c: f64) -> Sight {
        Sight { rate, thresholds: [4.5; WINDOW_COUNT], phi: 1.2, c_fast: c, c_slow: c, smallest: 0.12 }
    }

    #[test]
    fn the_more_arrives_the_sooner_a_drop_shows() {
        let minutes = |rate: f64, drop: f64| sight(rate, 0.03).minutes(drop);
        // Without luck half a drop takes z² φ / (d² - z² c²) = 105 events; to be sure of it takes half as many again.
        assert!((12.0..20.0).contains(&minutes(10.0, 0.5).unwrap()), "{:?}", minutes(10.0, 0.5));
        assert_eq!(minutes(100.0, 0.5), Some(2.0));
        assert!((25.0..41.0).contains(&minutes(100.0, 0.2).unwrap()), "{:?}", minutes(100.0, 0.2));
        assert_eq!(minutes(100.0, 0.1), None, "below the gate");
        assert_eq!(minutes(100.0, 1.0), Some(1.0));
        assert!(minutes(1.0, 1.0) > minutes(10.0, 1.0));
    }

    #[test]
    fn an_outage_shows_at_some_time_and_small_drops_do_not() {
        let wild = sight(10.0, 0.3).blind_spot();
        assert_eq!((wild.half_minutes, wild.fifth_minutes), (None, None));
        assert!(wild.outage_minutes.is_some());
        assert!(wild.smallest_drop > 0.5);
        // Eleven events are to come in 4 hours: longer than any window, found by the time since the last one.
        let rare = sight(0.05, 0.1).minutes(1.0).unwrap();
        assert!((200.0..300.0).contains(&rare), "{rare}");
        assert_eq!(sight(0.001, 0.1).minutes(1.0), None, "not within a day");
        assert!((sight(0.001, 0.1).smallest_drop() - 1.0).abs() < 1e-3);
        let calm = sight(1000.0, 0.01);
        assert!((0.12..0.15).contains(&calm.smallest_drop()), "the gate: {}", calm.smallest_drop());
    }
}
