//! What a series will do: a seasonal shape times a robust level, with its noise, interval and paging thresholds.
//!
//! [`Model::fit`] turns settings and a [`History`] into a [`Fitted`], and only that can predict. Everything is a function of
//! its arguments: fits made at any time of one local day agree, and so does a fit after a restart.
//!
//! A series is forecast from its own local days before today: last week, last month and growth enter every forecast by
//! construction; [`Sources`] says which did and what they say, for the sentence.

use std::sync::Arc;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

mod days;
mod event;
mod fit;
mod interval;
mod level;
pub(crate) mod median;
mod noise;
mod profile;
mod replay;
mod yearly;

pub use interval::{Interval, TRUSTED_COVERAGE};
pub(crate) use noise::Scale;
pub use noise::{HOURS, Noise};
pub use yearly::Yearly;

use crate::{
    blind::Sight,
    burn::{Allowance, Budget},
    calendar::Calendar,
    history::{DAY_MINUTES, History, Minute, Observation},
    score::{Direction, Kind},
    threshold::Thresholds,
    zone::{LocalClock, LocalDay},
};
use interval::Quantiles;

/// Usable local days before there is a forecast at all.
pub const FORECAST_DAYS_MIN: usize = 2;

/// Usable local days before a series pages: each weekday once.
pub const PAGE_DAYS_MIN: usize = 7;

/// Days of history a fit looks at; older ones serve only the same season of earlier years and event days.
pub const LOOKBACK_DAYS: i64 = 84;

/// What is asked of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What is measured.
    pub kind: Kind,
    /// Which deviations page.
    pub direction: Direction,
    /// The market's zone; seasons are local.
    pub zone: Tz,
    /// Smallest deviation that pages, as a share.
    pub smallest_drop: f64,
    /// Parent metrics that page beside this one, itself included: they share the promise of one false page a week.
    pub parent_metrics: u32,
    /// Days forecast, today included.
    pub horizon_days: u32,
    /// Event days of the market.
    pub calendar: Arc<Calendar>,
    /// Whether the same week of last year is asked, if the history goes back that far.
    pub yearly: Yearly,
    /// What may be lost; without it only windows of the score page.
    pub budget: Option<Budget>,
}

impl Settings {
    /// Settings with a gate of 12 %, one parent metric, a horizon of two days and no event days.
    #[must_use]
    pub fn new(kind: Kind, direction: Direction, zone: Tz) -> Self {
        Self {
            kind,
            direction,
            zone,
            smallest_drop: 0.12,
            parent_metrics: 1,
            horizon_days: 2,
            calendar: Arc::new(Calendar::default()),
            yearly: Yearly::default(),
            budget: None,
        }
    }
}

/// Too little history for a forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learning {
    /// Usable local days so far.
    pub days: usize,
    /// From when there will be a forecast, if data keeps coming.
    pub forecasts_from: Minute,
    /// From when the series will page.
    pub pages_from: Minute,
}

/// How much a forecast can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Readiness {
    /// It forecasts, but does not page yet.
    Learning {
        /// From when it will page.
        pages_from: Minute,
    },
    /// It pages.
    Ready,
    /// It pages, but the interval missed its promise over the last 14 days and was widened.
    NotTrusted {
        /// Share of steps that were inside.
        coverage: f64,
    },
    /// It pages for outages only: the relative error is so large that no lesser drop can be told from the weather.
    OutageOnly {
        /// The relative error.
        c: f64,
    },
}

/// Fast relative errors above this make a series "outage only".
pub const OUTAGE_ONLY_C: f64 = 0.25;

/// One earlier day that spoke for a forecast.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SourceDay {
    /// Its level over the level forecast for the target day: .95 = it was 5 % lower.
    pub relative_level: f64,
    /// True when it really entered the expectation (it was not masked, and the term that uses it is on).
    pub entered: bool,
}

/// What a forecast of one day was made from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sources {
    /// Growth of the level per week (.02 = 2 %), when at least two weeks of levels speak for it.
    pub growth_per_week: Option<f64>,
    /// The same weekday one week before.
    pub last_week: Option<SourceDay>,
    /// The same weekday four weeks before.
    pub last_month: Option<SourceDay>,
    /// The same weekday 52 weeks before, or the same event a year before.
    pub last_year: Option<SourceDay>,
    /// The event day of the calendar, if it is one.
    pub event: Option<String>,
}

/// Forecast of one local day.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DayForecast {
    pub(crate) day: LocalDay,
    /// Rate at the centre of each slot: value per minute, or the share for ratios.
    pub(crate) rate: Vec<f32>,
    /// What the last day before this one changed in its logarithmic level. The local level carried over midnight gives this
    /// back: it already knew.
    pub(crate) revision: f64,
    /// Least relative error of the day: event days are known badly.
    pub(crate) c_min: f64,
    pub(crate) sources: Sources,
}

/// A model that has seen nothing yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    settings: Settings,
}

impl Model {
    /// A model with the given settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Learns from the local days of `history` before the one that holds `now`: forecast, noise, interval and thresholds,
    /// the latter three by replaying the last 28 days, each from the days before it. Tens of milliseconds; once a day.
    ///
    /// # Errors
    /// [`Learning`] when fewer than [`FORECAST_DAYS_MIN`] local days are usable.
    pub fn fit(&self, history: &History, now: Minute) -> Result<Fitted, Learning> {
        fit::fit(&self.settings, history, now)
    }

    /// Forecasts today and the days to come anew, and keeps noise, interval and thresholds of `previous` (which were learnt with
    /// the same settings). A millisecond or two: for the hour after a mask changed, or between full fits.
    ///
    /// # Errors
    /// [`Learning`] as for [`Self::fit`].
    pub fn refit(&self, previous: &Fitted, history: &History, now: Minute) -> Result<Fitted, Learning> {
        let previous = Fitted { settings: self.settings.clone(), ..previous.clone() };
        fit::refit(&previous, history, now)
    }
}

/// A model that has learnt, and can predict.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    settings: Settings,
    clock: LocalClock,
    slot_minutes: i64,
    days: Vec<DayForecast>,
    noise: Noise,
    quantiles: Quantiles,
    thresholds: Thresholds,
    allowance: Option<Allowance>,
    readiness: Readiness,
}

impl Fitted {
    /// The settings it was fitted with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Day-ahead expectation of a minute: value per minute, or the share for ratios. Beyond the horizon the forecast day of
    /// the same weekday (else the last one) stands in.
    #[must_use]
    pub fn rate(&self, minute: Minute) -> f64 {
        let local = self.clock.local(minute);
        // Slot centres are the nodes; the position of the minute's own centre between them.
        let position = (local.rem_euclid(DAY_MINUTES) as f64 + 0.5) / self.slot_minutes as f64 - 0.5;
        let day = self.clock.day(minute);
        let index = self.day_index(day);
        let rate = &self.days[index].rate;
        let below = position.floor();
        let share = position - below;
        let node = |slot: f64| -> f64 {
            let (held, slot) = if slot < 0.0 {
                (index.checked_sub(1).and_then(|i| self.days.get(i)), rate.len() - 1)
            } else if slot >= rate.len() as f64 {
                (self.days.get(index + 1), 0)
            } else {
                #[expect(clippy::cast_possible_truncation, reason = "a slot of a day")]
                return f64::from(rate[slot as usize]);
            };
            let edge = if slot == 0 { rate.len() - 1 } else { 0 };
            f64::from(held.map_or(rate[edge], |other| other.rate[slot]))
        };
        (1.0 - share) * node(below) + share * node(below + 1.0)
    }

    /// Day-ahead expectation of what a minute saw, in units of the value.
    pub(crate) fn expected(&self, minute: Minute, seen: &Observation) -> f64 {
        let rate = self.rate(minute);
        if self.settings.kind == Kind::Ratio { rate * seen.exposure } else { rate }
    }

    /// Factor by which the forecast made at the midnight that `minute` is stepped over differs from the one a day older; 1
    /// when the minute does not begin a local day.
    pub(crate) fn revision_at(&self, minute: Minute) -> f64 {
        let day = self.clock.day(minute);
        if self.clock.day(minute - 1) == day {
            return 1.0;
        }
        self.days
            .get(usize::try_from(day - self.days[0].day).unwrap_or(usize::MAX))
            .map_or(1.0, |day| day.revision.exp())
    }

    fn day_index(&self, day: LocalDay) -> usize {
        let first = self.days[0].day;
        let held = self.days.len();
        match usize::try_from(day - first) {
            Ok(index) if index < held => index,
            Ok(index) if held >= 7 => held - 7 + (index - held) % 7,
            Ok(_) => held - 1,
            Err(_) => 0,
        }
    }

    /// Expectation and 95 % interval of `[from, from + width_minutes)`; `exposure` is the denominator of a ratio over that
    /// time and the result its numerator.
    #[must_use]
    pub fn interval(&self, from: Minute, width_minutes: i64, exposure: f64) -> Interval {
        let mut expected: f64 = (from..from + width_minutes).map(|minute| self.rate(minute)).sum();
        if self.settings.kind == Kind::Ratio {
            expected *= exposure / width_minutes.max(1) as f64;
        }
        self.around(expected, exposure, from, width_minutes)
    }

    /// The interval around a given day-ahead expectation.
    pub(crate) fn around(&self, expected: f64, exposure: f64, minute: Minute, width_minutes: i64) -> Interval {
        let kind = self.settings.kind;
        let sigma = self.noise.sigma(kind, expected, exposure, self.local_hour(minute));
        let event = self.c_min(minute) * expected;
        let mut interval = self.quantiles.around(expected, sigma.hypot(event), width_minutes);
        if kind == Kind::Ratio {
            interval.upper = interval.upper.min(exposure);
        }
        interval
    }

    /// Least relative error on the day of a minute: 0 unless it is an event day.
    pub(crate) fn c_min(&self, minute: Minute) -> f64 {
        self.days[self.day_index(self.clock.day(minute))].c_min
    }

    /// First minute of the local day of a minute.
    pub(crate) fn day_start(&self, minute: Minute) -> Minute {
        self.clock.day_start(self.clock.day(minute))
    }

    /// Local hour of a minute, the grain of the noise.
    pub(crate) fn local_hour(&self, minute: Minute) -> usize {
        self.clock.minute_of_day(minute) / 60
    }

    /// Noise around the expectation.
    #[must_use]
    pub fn noise(&self) -> &Noise {
        &self.noise
    }

    /// Scores at which the windows page.
    #[must_use]
    pub fn thresholds(&self) -> &Thresholds {
        &self.thresholds
    }

    /// What may be lost in 28 days, and the scores at which the burn of that pages; `None` without a budget or a past to tell it.
    #[must_use]
    pub fn allowance(&self) -> Option<Allowance> {
        self.allowance
    }

    /// Whether it pages, and how far it is to be trusted.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.readiness
    }

    /// True when breaches page.
    #[must_use]
    pub fn pages(&self) -> bool {
        !matches!(self.readiness, Readiness::Learning { .. })
    }

    /// What the forecast of the day that holds `minute` was made from.
    #[must_use]
    pub fn sources(&self, minute: Minute) -> &Sources {
        &self.days[self.day_index(self.clock.day(minute))].sources
    }

    /// How soon drops (where only rises page: rises) are seen at the hour of `minute`, with `expected` a minute.
    #[must_use]
    pub fn sight(&self, minute: Minute, expected: f64) -> Sight {
        let hour = self.local_hour(minute);
        let up = self.settings.direction == Direction::Up;
        Sight {
            rate: expected / self.noise.unit,
            thresholds: if up { self.thresholds.up } else { self.thresholds.down },
            phi: self.noise.phi_total(),
            c_fast: self.noise.c_fast[hour],
            c_slow: self.noise.c_slow[hour],
            smallest: self.settings.smallest_drop,
        }
    }
}

#[cfg(test)]
mod tests;
