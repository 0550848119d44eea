//! What users complain of in forecasts: an outage in the past, the clock change, holidays, and whether last year helps.

use std::sync::Arc;

use alerter::{
    calendar::{Calendar, EventDay},
    forecast::{Model, Settings, Yearly},
    history::{DAY_MINUTES, History, Mask, MaskReason, Minute, Observation},
    zone::{LocalClock, LocalDay},
};
use chrono_tz::Tz;

use crate::{
    day_ahead::{HISTORY_DAYS, settings, test_start},
    ordinary::united_states,
    series::Series,
};

/// WAPE in the cases that users complain of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Complaints {
    /// Of the test days as they are.
    pub(crate) clean: f64,
    /// With a day of nothing a week before each.
    pub(crate) hit: f64,
    /// With that day masked.
    pub(crate) masked: f64,
    /// See [`clock_change`].
    pub(crate) clock: Option<[f64; 3]>,
    /// See [`holidays`].
    pub(crate) holidays: Option<[f64; 3]>,
}

impl Complaints {
    /// Judges a series.
    pub(crate) fn of(series: &Series) -> Self {
        let [clean, hit, masked] = contamination(series);
        Self { clean, hit, masked, clock: clock_change(series), holidays: holidays(series) }
    }
}

/// Absolute errors and totals of the hours of some days, each forecast at its midnight.
#[derive(Debug, Clone, Copy, Default)]
struct Errors {
    error: f64,
    total: f64,
}

impl Errors {
    fn wape(self) -> f64 {
        self.error / self.total
    }

    fn day(&mut self, series: &Series, settings: &Settings, history: &History, from: Minute, to: Minute) {
        let Ok(fitted) = Model::new(settings.clone()).fit(history, from) else { return };
        let step = series.step.max(60);
        for at in (from..to).step_by(step as usize) {
            let seen = series.total(at, at + step);
            if !seen.is_nan() {
                let expected = fitted.interval(at, step, series.exposure(at, at + step)).expected;
                self.error += (seen - expected).abs();
                self.total += seen;
            }
        }
    }
}

fn clock(series: &Series, zone: Tz) -> LocalClock {
    LocalClock::new(zone, series.start - DAY_MINUTES, series.end() + DAY_MINUTES)
}

/// A day of nothing a week before each test day: WAPE clean, with the outage in the history, and with it masked.
fn contamination(series: &Series) -> [f64; 3] {
    let (settings, clock) = (settings(series), clock(series, series.zone));
    let mut errors = [Errors::default(); 3];
    let mut day = clock.day(test_start(series) + DAY_MINUTES / 2);
    while clock.day_start(day + 1) <= series.end() {
        let (from, to) = (clock.day_start(day), clock.day_start(day + 1));
        let clean = series.history(from - HISTORY_DAYS * DAY_MINUTES, from);
        let (out, back) = (clock.day_start(day - 7), clock.day_start(day - 6));
        let mut hit = clean.clone();
        for minute in (out..back).step_by(series.step as usize) {
            if let Some(seen) = hit.get(minute) {
                hit.set(minute, Some(Observation { value: 0.0, events: 0.0, variance: 0.0, ..seen }));
            }
        }
        let mut masked = hit.clone();
        masked.mask(Mask { from: out, to: back, reason: MaskReason::Person, author: None });
        for (errors, history) in errors.iter_mut().zip([&clean, &hit, &masked]) {
            errors.day(series, &settings, history, from, to);
        }
        day += 1;
    }
    errors.map(Errors::wape)
}

/// The seven days after each clock change of the series' zone: WAPE with slots in UTC, with local slots, and of the weeks two weeks
/// later, local; `None` when the zone does not change its clock in the series.
fn clock_change(series: &Series) -> Option<[f64; 3]> {
    let clock = clock(series, series.zone);
    let local = settings(series);
    let utc = Settings { zone: Tz::UTC, ..local.clone() };
    let mut errors = [Errors::default(); 3];
    let changed = |day: &LocalDay| clock.day_start(day + 1) - clock.day_start(*day) != DAY_MINUTES;
    let changes: Vec<LocalDay> = (clock.day(series.start) + 21..clock.day(series.end()) - 21).filter(changed).collect();
    for day in changes.iter().flat_map(|change| change + 1..change + 8) {
        for (errors, settings, day) in errors.iter_mut().zip([&utc, &local, &local]).zip([day, day, day + 14]).map(flat)
        {
            let (from, to) = (clock.day_start(day), clock.day_start(day + 1));
            let history = series.history(from - HISTORY_DAYS * DAY_MINUTES, from);
            errors.day(series, settings, &history, from, to);
        }
    }
    (!changes.is_empty()).then(|| errors.map(Errors::wape))
}

fn flat<A, B, C>(((a, b), c): ((A, B), C)) -> (A, B, C) {
    (a, b, c)
}

/// Holidays of the United States that a file of two years or more holds: WAPE of those days taken as ordinary weekdays, as days of
/// an unknown event, and with what past years did; days without a past year are left out.
fn holidays(series: &Series) -> Option<[f64; 3]> {
    let clock = clock(series, series.zone);
    let days = united_states(clock.day(series.start), clock.day(series.end()));
    let second_year = clock.day(series.start) + 365 + 60;
    let ordinary = Settings { calendar: Arc::default(), ..settings(series) };
    let mut errors = [Errors::default(); 3];
    let judged: Vec<&EventDay> =
        days.iter().filter(|event| event.day > second_year && clock.day_start(event.day + 1) <= series.end()).collect();
    for event in &judged {
        let (from, to) = (clock.day_start(event.day), clock.day_start(event.day + 1));
        // Earlier holidays are known in all three cases, so that they differ in the day itself only.
        let past = |event_name: Option<&str>| {
            let known = days.iter().filter(|other| other.day < event.day && Some(other.name.as_str()) != event_name);
            let renamed = known.cloned().collect::<Vec<EventDay>>();
            let own = event_name.map(|_| (*event).clone());
            Arc::new(Calendar::new(renamed.into_iter().chain(own).collect()))
        };
        let history = series.history(series.start, from);
        let unknown = Settings { calendar: past(Some(&event.name)), ..ordinary.clone() };
        let known = Settings { calendar: Arc::new(Calendar::new(days.clone())), ..ordinary.clone() };
        let weekday = Settings { calendar: past(None), ..ordinary.clone() };
        for (errors, settings) in errors.iter_mut().zip([&weekday, &unknown, &known]) {
            errors.day(series, settings, &history, from, to);
        }
    }
    (!judged.is_empty()).then(|| errors.map(Errors::wape))
}

/// Windows of 28 days before the test days that show the yearly term as well.
const YEARLY_WINDOWS: i64 = 12;

/// The yearly term never, always, and by evidence, in a series of more than 60 weeks: WAPE of the test days, then of the windows
/// before them.
pub(crate) fn yearly(series: &Series) -> Option<[[f64; 3]; 2]> {
    let clock = clock(series, series.zone);
    let last = clock.day(test_start(series) + DAY_MINUTES / 2);
    if last - clock.day(series.start) < 60 * 7 {
        return None;
    }
    let judge = |first: LocalDay, after: LocalDay| {
        let mut errors = [Errors::default(); 3];
        for day in first..after {
            let (from, to) = (clock.day_start(day), clock.day_start(day + 1));
            if to > series.end() || from - 60 * 7 * DAY_MINUTES < series.start {
                continue;
            }
            let history = series.history(from - 60 * 7 * DAY_MINUTES, from);
            for (errors, yearly) in errors.iter_mut().zip([Yearly::Off, Yearly::On, Yearly::Evidence]) {
                errors.day(series, &Settings { yearly, ..settings(series) }, &history, from, to);
            }
        }
        errors.map(Errors::wape)
    };
    let before = last - LocalDay::try_from(YEARLY_WINDOWS).unwrap_or(0) * 28;
    Some([judge(last, last + 28), judge(before, last)])
}
