//! A shallow, lasting loss of a market whose truth is known.

use chrono_tz::Tz;

use super::*;
use crate::{
    backtest::{Replayed, replay},
    forecast::Settings,
    history::{DAY_MINUTES, Mask, MaskReason},
    score::Kind,
    simulated::{MONDAY, Market, index},
};

/// The day of the loss.
const DAY: i64 = 42;

/// A loss from 10:00 on, for hours.
const BEGAN: i64 = DAY * DAY_MINUTES + 600;
const LASTED: i64 = 480;

fn history(kept: f64) -> History {
    let calm = Market { daily_sd: 0.01, wander_sd: 0.01, ..Market::new(300.0, 8) };
    let mut drawn = calm.draw(DAY + 1);
    for count in &mut drawn.count[index(BEGAN)..index(BEGAN + LASTED)] {
        *count = (*count * kept).round();
    }
    drawn.history((DAY + 1) * DAY_MINUTES)
}

fn pages(kept: f64, budget: Option<Budget>) -> Replayed {
    let settings = Settings { budget, smallest_drop: 0.5, ..Settings::new(Kind::Count, Direction::Down, Tz::UTC) };
    replay(settings, &history(kept), MONDAY + (DAY - 3) * DAY_MINUTES..MONDAY + (DAY + 1) * DAY_MINUTES)
}

const BUDGET: Budget = Budget { share: 0.005, limits: BURN_LIMITS };

#[test]
fn a_loss_below_the_gate_pages_for_what_it_spends_and_only_with_a_budget() {
    let found = pages(0.8, Some(BUDGET)).pages;
    assert_eq!(found.len(), 1, "{found:?}");
    let page = &found[0];
    let burn = page.burn.expect("no window of the score passes a gate of 50 %");
    assert!(burn.spent >= burn.limit && burn.z >= burn.threshold, "{burn:?}");
    let since = page.minute - MONDAY - BEGAN;
    assert!((10..=360).contains(&since), "paged after {since} minutes");
    let closed = page.closed.expect("it ended") - MONDAY - BEGAN - LASTED;
    assert!((0..=90).contains(&closed), "closed {closed} minutes after its end");
    assert!(pages(0.8, None).pages.is_empty(), "the gate");
    assert!(pages(1.0, Some(BUDGET)).pages.is_empty(), "noise spends nothing that pages");
}

#[test]
fn a_large_budget_can_bear_it_and_a_limit_of_zero_never_pages() {
    assert!(pages(0.8, Some(Budget { share: 0.5, ..BUDGET })).pages.is_empty());
    assert!(pages(0.8, Some(Budget { limits: [0.0, 0.0], ..BUDGET })).pages.is_empty());
}

#[test]
fn what_is_masked_spends_nothing_and_half_a_window_says_nothing() {
    let settings = Settings { budget: Some(BUDGET), ..Settings::new(Kind::Count, Direction::Down, Tz::UTC) };
    let mut history = history(0.8);
    let midnight = MONDAY + DAY * DAY_MINUTES;
    let fitted = crate::forecast::Model::new(settings).fit(&history.before(midnight), midnight).unwrap();
    let minute = MONDAY + BEGAN + 364;
    let spent = burn(&fitted, &history, minute).expect("six hours of data");
    assert!(spent.ratio() >= 1.0, "{spent:?}");
    assert_eq!(burn(&fitted, &history, minute + 1), None, "looked at every five minutes");
    let mask = |from, to| Mask { from, to, reason: MaskReason::Incident, author: None };
    history.mask(mask(MONDAY + BEGAN, minute - 40));
    let spent = burn(&fitted, &history, minute).map(|burn| burn.window_minutes);
    assert_eq!(spent, Some(60), "41 minutes of six hours are left, enough for the hour alone");
    history.set_masks(vec![mask(MONDAY + BEGAN, minute + 1)]);
    assert_eq!(burn(&fitted, &history, minute), None);
}
