//! Event days: what past years of the same event did to the day, else a Sunday.

use std::rc::Rc;

use super::{
    days::Days,
    fit::Past,
    level::{Levels, Season},
    median::median,
    profile,
};
use crate::{
    calendar::EventDay,
    zone::{LocalDay, weekday},
};

/// Days before a past event that make its ordinary forecast.
const ORDINARY_DAYS: LocalDay = 56;

/// And at least that many.
const ORDINARY_DAYS_MIN: LocalDay = 14;

/// Past occurrences looked at, latest first.
const OCCURRENCES_MAX: usize = 3;

/// Least relative error of an event day with past years; measured on US holidays: .10 to .28 of the day's total.
const C_KNOWN: f64 = 0.15;

/// And without: treated as a Sunday, .26 to .33 were measured.
const C_UNKNOWN: f64 = 0.3;

/// The forecast of an event day.
#[derive(Debug)]
pub(super) struct EventForecast {
    /// Value per slot (or share).
    pub(super) slots: Vec<f64>,
    /// Least relative error of it.
    pub(super) c_min: f64,
    /// Level of the last occurrence over its ordinary day, if past years speak.
    pub(super) last_factor: Option<f64>,
}

impl Past<'_> {
    /// Forecast of an event day from `levels` of today.
    pub(super) fn event_day(&self, levels: &Levels, event: &EventDay) -> Option<EventForecast> {
        let sunday = event.day + 6 - LocalDay::try_from(weekday(event.day)).unwrap_or(0);
        let occurrences: Vec<(f64, Vec<f64>)> =
            self.settings.calendar.before(event).filter_map(|day| self.occurrence(day)).take(OCCURRENCES_MAX).collect();
        let Some((last_factor, _)) = occurrences.first() else {
            return Some(EventForecast { slots: self.slots(levels, sunday)?, c_min: C_UNKNOWN, last_factor: None });
        };
        let ordinary = self.slots(levels, event.day)?;
        let factor = median(&mut occurrences.iter().map(|past| past.0).collect::<Vec<_>>());
        let size = ordinary.iter().sum::<f64>() * factor.exp() / occurrences.len() as f64;
        let slots = (0..self.days.slots).map(|slot| occurrences.iter().map(|past| past.1[slot]).sum::<f64>() * size);
        Some(EventForecast { slots: slots.collect(), c_min: C_KNOWN, last_factor: Some(last_factor.exp()) })
    }

    /// Logarithm of a past event day over its ordinary forecast, and its shape with sum 1.
    fn occurrence(&self, day: LocalDay) -> Option<(f64, Vec<f64>)> {
        let first = (day - ORDINARY_DAYS).max(self.clock.day(self.history.start()));
        if day - first < ORDINARY_DAYS_MIN {
            return None;
        }
        let mut before = self.days_between(first, day);
        self.hide_events(&mut before);
        let season = Rc::new(Season::new(&before, day, self.unit)?);
        let levels = Levels::new(&before, season, day, None)?;
        let ordinary = slots_of(&before, &levels, day, self.unit)?;
        let own = self.days_between(day, day + 1);
        if !own.usable(0) {
            return None;
        }
        let seen: Vec<f64> = (0..own.slots)
            .map(|slot| {
                if own.values(0)[slot].is_nan() {
                    ordinary[slot]
                } else {
                    own.values(0)[slot] / own.exposure(0, slot).max(1.0)
                }
            })
            .collect();
        let total: f64 = seen.iter().sum();
        let factor = (total / ordinary.iter().sum::<f64>()).ln();
        factor.is_finite().then(|| (factor, seen.iter().map(|value| value / total).collect()))
    }

    /// Ordinary forecast of a day by slot.
    pub(super) fn slots(&self, levels: &Levels, day: LocalDay) -> Option<Vec<f64>> {
        slots_of(&self.days, levels, day, self.unit)
    }
}

fn slots_of(days: &Days, levels: &Levels, day: LocalDay, unit: f64) -> Option<Vec<f64>> {
    let shape = profile::shape(days, levels, day, unit)?;
    let level = levels.expected(day).exp();
    Some(shape.iter().map(|slot| (slot * level).max(0.0)).collect())
}
