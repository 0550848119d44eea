//! Forecasts made at each local midnight of the test days, hour by hour, against the baselines.

use std::time::{Duration, Instant};

use alerter::{
    forecast::{Model, Settings},
    history::{DAY_MINUTES, Minute},
    score::{Direction, Kind},
};

use crate::{baselines::BASELINES, ordinary::Ordinary, series::Series};

/// Days of history each forecast may use.
pub(crate) const HISTORY_DAYS: i64 = 56;

/// Days judged, at the end of the series.
pub(crate) const TEST_DAYS: i64 = 28;

/// What the test days showed.
#[derive(Debug, Clone)]
pub(crate) struct DayAhead {
    /// Weighted absolute percentage error: ours, then each baseline's, over the hours that all can forecast.
    pub(crate) wape: Vec<f64>,
    /// Share of hours inside our 95 % interval.
    pub(crate) coverage: f64,
    /// The same on ordinary days.
    pub(crate) coverage_ordinary: f64,
    /// Hours judged.
    pub(crate) hours: usize,
    /// Mean time of a fit with replay, interval and thresholds.
    pub(crate) fit_time: Duration,
    /// Mean time of a refit, which forecasts anew and keeps the rest.
    pub(crate) refit_time: Duration,
}

/// First minute of the test days: 28, or the second half of a shorter series.
pub(crate) fn test_start(series: &Series) -> Minute {
    let days = (series.end() - series.start) / DAY_MINUTES;
    let test = if days >= HISTORY_DAYS + TEST_DAYS { TEST_DAYS } else { (days / 2).min(TEST_DAYS) };
    series.end() - test * DAY_MINUTES
}

/// Settings of the bench for a series.
pub(crate) fn settings(series: &Series) -> Settings {
    let kind = if series.exposure.is_empty() { Kind::Count } else { Kind::Ratio };
    Settings::new(kind, Direction::Down, series.zone)
}

/// Judges the test days of a series.
pub(crate) fn judge(series: &Series) -> DayAhead {
    let model = Model::new(settings(series));
    let from = test_start(series);
    let clock = series.clock();
    let (hours_start, hours) = series.hourly();
    let mut errors = vec![0.0; BASELINES.len() + 1];
    let ordinary = Ordinary::of(series);
    let (mut total, mut fits) = (0.0, 0);
    let mut inside: Vec<(bool, bool)> = Vec::new();
    let (mut fitting, mut refitting) = (Duration::ZERO, Duration::ZERO);
    let mut day = clock.day(from + DAY_MINUTES / 2);
    while clock.day_start(day + 1) <= series.end() {
        let (midnight, next) = (clock.day_start(day), clock.day_start(day + 1));
        day += 1;
        let history = series.history(midnight - HISTORY_DAYS * DAY_MINUTES, midnight);
        let began = Instant::now();
        let Ok(fitted) = model.fit(&history, midnight) else { continue };
        fitting += began.elapsed();
        let began = Instant::now();
        let refitted = model.refit(&fitted, &history, midnight);
        refitting += began.elapsed();
        debug_assert!(refitted.is_ok(), "what can be fitted can be refitted");
        fits += 1;
        let at = usize::try_from((midnight - hours_start) / 60).unwrap_or(0);
        let count = usize::try_from((next - midnight) / 60).unwrap_or(0);
        let others: Vec<Vec<f64>> = BASELINES.iter().map(|(_, forecast)| forecast(&hours[..], at, count)).collect();
        for ahead in 0..count {
            let minute = midnight + ahead as i64 * 60;
            let seen = hours.get(at + ahead).copied().unwrap_or(f64::NAN);
            if seen.is_nan() || others.iter().any(|other| other[ahead].is_nan()) {
                continue;
            }
            let interval = fitted.interval(minute, 60, series.exposure(minute, minute + 60));
            errors[0] += (seen - interval.expected).abs();
            for (error, other) in errors[1..].iter_mut().zip(&others) {
                *error += (seen - other[ahead]).abs();
            }
            total += seen;
            inside.push((seen >= interval.lower && seen <= interval.upper, ordinary.holds(minute)));
        }
    }
    DayAhead {
        wape: errors.iter().map(|error| error / total).collect(),
        coverage: share(inside.iter().map(|hour| hour.0)),
        coverage_ordinary: share(inside.iter().filter(|hour| hour.1).map(|hour| hour.0)),
        hours: inside.len(),
        fit_time: fitting / fits.max(1),
        refit_time: refitting / fits.max(1),
    }
}

/// Share of those that hold; NaN of none.
fn share(all: impl Iterator<Item = bool>) -> f64 {
    let (mut count, mut held) = (0.0, 0.0);
    for one in all {
        count += 1.0;
        held += f64::from(u8::from(one));
    }
    held / count
}
