//! What the same week did a year ago, where that has helped lately.
//!
//! `g` is half of how the target's week of last year stood over the week before it, day by day of the week; half, because the level
//! of today has followed part of it already. It enters the forecast only if it made the last four weeks' day levels at least 5 %
//! better (each day judged by what was known before it): last year's weather is not this year's.

use super::{days::Days, fit::Past, median::median};
use crate::zone::LocalDay;

/// Days between a day and the same weekday of the week a year before.
const YEAR_DAYS: LocalDay = 364;

/// Days of the year-ago week before and after the target's.
const HALF_WEEK: LocalDay = 3;

/// Share of last year's step that is expected again.
const SHARE: f64 = 0.5;

/// Largest step taken over, in logarithms.
const STEP_MAX: f64 = 0.3;

/// Days of the past that must speak for or against it.
const EVIDENCE_DAYS_MIN: usize = 14;

/// Share of the error without it that it must stay below.
const EVIDENCE: f64 = 0.95;

/// Whether the yearly term is used. Off unless asked for: over a year of days it left the WAPE of DC bike trips at .213 (.215 always
/// on, .217 by evidence) and of I-94 at .091 (.092, .091).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Yearly {
    /// Never.
    #[default]
    Off,
    /// Where it has lowered the error lately.
    Evidence,
    /// Wherever a year of history is there.
    On,
}

/// Day totals of a year ago.
pub(super) struct LastYear {
    days: Days,
    /// The term enters the forecasts.
    on: bool,
}

impl Past<'_> {
    /// First local day of last year that is looked at.
    pub(super) fn last_year_from(today: LocalDay, replayed: LocalDay) -> LocalDay {
        today - replayed - YEAR_DAYS - HALF_WEEK - 7
    }

    /// Reads last year, and decides by the days before today whether it is asked. `judged` gives each of them with the
    /// logarithm of its level and what was expected of it.
    pub(super) fn read_last_year(&mut self, from: LocalDay, until: LocalDay, judged: &[(LocalDay, f64, f64)]) {
        if self.settings.yearly == Yearly::Off || self.clock.day_start(from) < self.history.start() {
            return;
        }
        let mut days = self.days_between(from, until - YEAR_DAYS + HALF_WEEK + 1);
        self.hide_events(&mut days);
        let mut last_year = LastYear { days, on: true };
        let errors = judged.iter().filter_map(|(day, ln, expected)| {
            let step = last_year.step(*day)?;
            Some(((ln - expected).abs(), (ln - expected - step).abs()))
        });
        let (count, without, with) =
            errors.fold((0, 0.0, 0.0), |sum, error| (sum.0 + 1, sum.1 + error.0, sum.2 + error.1));
        last_year.on = self.settings.yearly == Yearly::On || (count >= EVIDENCE_DAYS_MIN && with < EVIDENCE * without);
        self.last_year = Some(last_year);
    }

    /// What last year adds to the logarithm of a day; `None` when it is not asked.
    pub(super) fn yearly_step(&self, day: LocalDay) -> Option<f64> {
        self.last_year.as_ref().filter(|last_year| last_year.on)?.step(day)
    }

    /// Total of the same weekday of last year over a total of today, where last year entered.
    pub(super) fn over_last_year(&self, day: LocalDay, total: f64) -> Option<f64> {
        let last_year = self.last_year.as_ref().filter(|last_year| last_year.on)?;
        Some(last_year.total(day - YEAR_DAYS)? / total).filter(|ratio| ratio.is_finite())
    }
}

impl LastYear {
    /// Half of how the week around the day a year ago stood over the week before it; `None` where fewer than five pairs of days
    /// are known.
    fn step(&self, day: LocalDay) -> Option<f64> {
        let then = day - YEAR_DAYS;
        let pairs = (then - HALF_WEEK..=then + HALF_WEEK)
            .filter_map(|day| Some((self.total(day)?.max(0.5) / self.total(day - 7)?.max(0.5)).ln()));
        let mut pairs: Vec<f64> = pairs.collect();
        (pairs.len() >= 5).then(|| (SHARE * median(&mut pairs)).clamp(-STEP_MAX, STEP_MAX))
    }

    /// Total (or share) of a usable day, missing slots made up.
    fn total(&self, day: LocalDay) -> Option<f64> {
        let row = self.days.row_of(day).filter(|row| self.days.usable(*row))?;
        let (mut value, mut exposure) = (0.0, 0.0);
        for (slot, seen) in self.days.values(row).iter().enumerate().filter(|slot| !slot.1.is_nan()) {
            value += seen;
            exposure += self.days.exposure(row, slot);
        }
        (exposure > 0.0).then(|| value / exposure)
    }
}
