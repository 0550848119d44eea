//! From history to a fitted model: forecasts of past days (each from the days before it), what they got wrong, and the
//! forecast of the days to come.

use super::{
    DayForecast, FORECAST_DAYS_MIN, Fitted, LOOKBACK_DAYS, Learning, OUTAGE_ONLY_C, PAGE_DAYS_MIN, Readiness, Settings,
    SourceDay, Sources, TRUSTED_COVERAGE,
    days::Days,
    interval::Quantiles,
    level::Levels,
    noise::{ErrorBlock, HOURS, Noise, over_dispersion, relative_error},
    profile,
};
use crate::{
    history::{DAY_MINUTES, History, Minute},
    live::Live,
    mask,
    score::Kind,
    threshold::{BlockMaxima, Thresholds, return_period_days},
    zone::{LocalClock, LocalDay},
};

/// Past days replayed for noise, interval and thresholds.
const REPLAY_DAYS: i32 = 28;

/// Days whose coverage is checked against the promise.
const COVERAGE_DAYS: i32 = 14;

/// Width of the blocks that measure the relative error, in minutes.
const ERROR_BLOCK_MINUTES: i64 = 20;

/// Relative error of a forecast that nothing could be replayed for.
const UNLEARNT_C: f64 = 0.2;

/// Everything a fit derives from history before it forecasts.
struct Past<'a> {
    settings: &'a Settings,
    history: &'a History,
    hidden: Vec<bool>,
    clock: LocalClock,
    today: LocalDay,
    days: Days,
    unit: f64,
    basket: f64,
}

pub(super) fn fit(settings: &Settings, history: &History, now: Minute) -> Result<Fitted, Learning> {
    let mut past = Past::new(settings, history, now, history.masked());
    let usable = past.usable_days();
    if usable < FORECAST_DAYS_MIN {
        return Err(learning(&past, usable));
    }
    let mut fitted = past.replayed(usable);
    let mut suspicious = mask::suspicious(history, &past.hidden, &fitted, past.replay_start());
    // The first day of a new normal is no ordinary day by the old level, and the only one that knows the new one.
    suspicious.retain(|mask| !history.shifts().iter().any(|shift| (*shift..*shift + DAY_MINUTES).contains(&mask.from)));
    if !suspicious.is_empty() {
        let mut hidden = past.hidden;
        mask::hide(history, &mut hidden, &suspicious);
        past = Past::new(settings, history, now, hidden);
        fitted = past.replayed(usable);
    }
    Ok(past.finished(fitted))
}

fn learning(past: &Past<'_>, usable: usize) -> Learning {
    let after_days = |wanted: usize| {
        let missing = LocalDay::try_from(wanted.saturating_sub(usable)).unwrap_or(0);
        // Today is not over; it counts from the next local midnight on if it is seen from its start.
        past.clock.day_start(past.today + missing)
    };
    Learning { days: usable, forecasts_from: after_days(FORECAST_DAYS_MIN), pages_from: after_days(PAGE_DAYS_MIN) }
}

impl<'a> Past<'a> {
    fn new(settings: &'a Settings, history: &'a History, now: Minute, hidden: Vec<bool>) -> Self {
        let horizon = i64::from(settings.horizon_days) + 8;
        let from = history.start().max(now - (LOOKBACK_DAYS + 2) * DAY_MINUTES).min(now);
        let clock = LocalClock::new(settings.zone, from - DAY_MINUTES, now + horizon * DAY_MINUTES);
        let today = clock.day(now);
        let mut days = Days::new(history, &hidden, &clock, clock.day(from), today, settings.kind == Kind::Ratio);
        for row in 0..days.len() {
            if settings.calendar.on(days.day(row)).is_some() {
                days.hide(row);
            }
        }
        let (unit, basket) = baskets(settings.kind, history, &hidden, now);
        Self { settings, history, hidden, clock, today, days, unit, basket }
    }

    fn usable_days(&self) -> usize {
        (0..self.days.len()).filter(|row| self.days.usable(*row)).count()
    }

    fn replay_start(&self) -> Minute {
        self.clock.day_start(self.today - REPLAY_DAYS)
    }

    /// Forecast of one day from the days before it and before `known`.
    fn forecast(&self, levels: &Levels, day: LocalDay) -> Option<DayForecast> {
        let shape = profile::shape(&self.days, levels, day, self.unit)?;
        let level = levels.expected(day).exp();
        let per_minute = if self.settings.kind == Kind::Ratio { 1.0 } else { self.days.slot_minutes as f64 };
        let mut rate: Vec<f64> = shape.iter().map(|slot| (slot * level / per_minute).max(0.0)).collect();
        if self.settings.kind == Kind::Ratio {
            rate.iter_mut().for_each(|share| *share = share.min(1.0));
        }
        if self.days.slot_minutes > super::days::SLOT_MINUTES {
            keep_slot_means(&mut rate);
        }
        #[expect(clippy::cast_possible_truncation, reason = "stored as f32")]
        let rate = rate.iter().map(|r| *r as f32).collect();
        Some(DayForecast { day, rate, sources: self.sources(levels, day) })
    }

    fn levels(&self, target: LocalDay) -> Option<Levels> {
        let shift =
            self.history.shifts().iter().map(|minute| self.clock.day(*minute)).filter(|day| *day < target).max();
        Levels::new(&self.days, target, self.unit, shift)
    }

    fn sources(&self, levels: &Levels, day: LocalDay) -> Sources {
        let ago = |weeks: i32| {
            let row = self.days.row_of(day - 7 * weeks)?;
            let ln = levels.ln.get(row).copied().filter(|ln| !ln.is_nan())?;
            Some(SourceDay { relative_level: (ln - levels.expected(day)).exp(), entered: true })
        };
        let weeks = self.usable_days() / 7;
        Sources {
            growth_per_week: (weeks >= 2).then(|| levels.growth.exp() - 1.0),
            last_week: ago(1),
            last_month: ago(4),
            last_year: None,
            event: None,
        }
    }

    /// Forecasts of the days to replay and to come, with the noise and thresholds that the replay shows.
    fn replayed(&self, usable: usize) -> Fitted {
        let first = (self.today - REPLAY_DAYS).max(self.days.first + 1);
        let needed = PAGE_DAYS_MIN.min(usable / 2);
        let mut forecasts = Vec::new();
        for day in first..self.today {
            let before = self.days.row_of(day).map_or(0, |row| (0..row).filter(|r| self.days.usable(*r)).count());
            if before >= needed.max(1)
                && let Some(forecast) = self.levels(day).and_then(|levels| self.forecast(&levels, day))
            {
                forecasts.push(forecast);
            }
        }
        let replayed = forecasts.len();
        if let Some(levels) = self.levels(self.today) {
            let after = self.today + LocalDay::try_from(self.settings.horizon_days.max(1)).unwrap_or(1);
            forecasts.extend((self.today..after).filter_map(|day| self.forecast(&levels, day)));
        }
        let mut fitted = Fitted {
            settings: self.settings.clone(),
            clock: self.clock.clone(),
            slot_minutes: self.days.slot_minutes,
            days: forecasts,
            noise: Noise {
                phi: 1.0,
                basket: self.basket,
                unit: self.unit,
                c_fast: [UNLEARNT_C; HOURS],
                c_slow: [UNLEARNT_C; HOURS],
            },
            quantiles: Quantiles::learn(1, |_| (Vec::new(), 0)),
            thresholds: Thresholds::unlearnt(),
            readiness: Readiness::Ready,
        };
        if replayed > 0 {
            let steps = self.replay_steps(&fitted, replayed);
            self.learn_noise(&mut fitted, &steps);
            fitted.quantiles = self.learn_interval(&fitted, &steps);
        }
        fitted
    }
}

/// One step of the replayed past, in units of the value.
#[derive(Debug, Clone, Copy)]
struct Step {
    minute: Minute,
    hour: usize,
    /// NaN where masked or without data.
    seen: f64,
    expected: f64,
}

impl Past<'_> {
    fn replay_steps(&self, fitted: &Fitted, replayed: usize) -> Vec<Step> {
        let from = self.clock.day_start(fitted.days[0].day).max(self.history.start());
        let to = self.clock.day_start(fitted.days[replayed - 1].day + 1).min(self.history.end());
        let step = self.history.step_minutes();
        let first = (from - self.history.start() + step - 1).div_euclid(step);
        let after = (to - self.history.start()).div_euclid(step);
        let range = usize::try_from(first).unwrap_or(0)..usize::try_from(after).unwrap_or(0);
        range
            .map(|index| {
                let minute = self.history.start() + index as i64 * step;
                let rate: f64 = (minute..minute + step).map(|m| fitted.rate(m)).sum();
                let known = self.history.rate_at(index).filter(|_| !self.hidden[index]);
                let (seen, exposure) = known.unwrap_or((f64::NAN, 0.0));
                let expected = if self.settings.kind == Kind::Ratio { rate / step as f64 * exposure } else { rate };
                Step {
                    minute,
                    hour: self.clock.minute_of_day(minute) / 60,
                    seen: seen / self.unit,
                    expected: expected / self.unit,
                }
            })
            .collect()
    }

    fn learn_noise(&self, fitted: &mut Fitted, steps: &[Step]) {
        if self.history.step_minutes() <= super::days::SLOT_MINUTES {
            let total = over_dispersion(steps.iter().map(|step| (step.seen, step.expected)));
            fitted.noise.phi = (total - self.basket + 1.0).max(1.0);
        }
        let phi = fitted.noise.phi_total();
        fitted.noise.c_slow = relative_error(&error_blocks(steps, |step| step.expected), phi);
        fitted.noise.c_fast = fitted.noise.c_slow;
        if self.history.step_minutes() > 1 {
            return;
        }
        let mut live = Live::new(steps.first().map_or(0, |step| step.minute));
        let levels: Vec<f64> = steps
            .iter()
            .map(|step| {
                let known = if step.seen.is_nan() { None } else { self.history.get(step.minute) };
                live.step(fitted, step.minute, known);
                live.level()
            })
            .collect();
        let mut index = 0;
        fitted.noise.c_fast = relative_error(
            &error_blocks(steps, |step| {
                let level = levels[index];
                index += 1;
                step.expected * level
            }),
            phi,
        );
        let mut live = Live::new(steps.first().map_or(0, |step| step.minute));
        let mut maxima = BlockMaxima::default();
        for step in steps {
            let known = if step.seen.is_nan() { None } else { self.history.get(step.minute) };
            maxima.add(&live.step(fitted, step.minute, known));
        }
        fitted.thresholds = maxima.thresholds(return_period_days(self.settings.parent_metrics));
    }

    fn learn_interval(&self, fitted: &Fitted, steps: &[Step]) -> Quantiles {
        let step_minutes = self.history.step_minutes();
        let recent_from = self.clock.day_start(self.today - COVERAGE_DAYS);
        Quantiles::learn(step_minutes, |width| {
            let per_chunk = usize::try_from(width / step_minutes).unwrap_or(1).max(1);
            let (mut all, mut recent) = (Vec::new(), 0);
            for chunk in steps.chunks_exact(per_chunk) {
                let seen: f64 = chunk.iter().map(|step| step.seen).sum();
                let expected: f64 = chunk.iter().map(|step| step.expected).sum();
                if seen.is_nan() || expected <= 0.0 {
                    continue;
                }
                let sigma = sigma(&fitted.noise, expected * self.unit, chunk[0].hour) / self.unit;
                all.push((seen - expected) / sigma);
                recent += usize::from(chunk[0].minute >= recent_from);
            }
            (all, recent)
        })
    }

    fn finished(&self, mut fitted: Fitted) -> Fitted {
        let usable = self.usable_days();
        let c = fitted.noise.c_fast_typical();
        fitted.readiness = if usable < PAGE_DAYS_MIN {
            Readiness::Learning { pages_from: learning(self, usable).pages_from }
        } else if let Some(coverage) =
            fitted.quantiles.coverage.filter(|share| !(TRUSTED_COVERAGE.0..=TRUSTED_COVERAGE.1).contains(share))
        {
            Readiness::NotTrusted { coverage }
        } else if c > OUTAGE_ONLY_C {
            Readiness::OutageOnly { c }
        } else {
            Readiness::Ready
        };
        fitted
    }
}

/// Standard deviation of a value around its day-ahead expectation, at a local hour.
pub(super) fn sigma(noise: &Noise, expected: f64, hour: usize) -> f64 {
    (noise.phi_total() * noise.unit * expected.max(0.0) + (noise.c_slow[hour] * expected).powi(2)).sqrt().max(1e-9)
}

/// Sums steps to blocks of [`ERROR_BLOCK_MINUTES`] (or one step, if longer) with every step seen.
fn error_blocks(steps: &[Step], mut expected: impl FnMut(&Step) -> f64) -> Vec<ErrorBlock> {
    let mut blocks = Vec::new();
    let mut current: Option<(i64, ErrorBlock)> = None;
    for step in steps {
        let mean = expected(step);
        let id = step.minute.div_euclid(ERROR_BLOCK_MINUTES);
        match &mut current {
            Some((open, block)) if *open == id => {
                block.seen += step.seen;
                block.expected += mean;
            }
            _ => {
                blocks.extend(current.take().map(|open| open.1));
                current = Some((id, ErrorBlock { hour: step.hour, seen: step.seen, expected: mean }));
            }
        }
    }
    blocks.extend(current.map(|open| open.1));
    blocks.retain(|block| !block.seen.is_nan());
    blocks
}

/// Mean contribution of an event, and the variance over mean that sampling or baskets cause in its units.
fn baskets(kind: Kind, history: &History, hidden: &[bool], now: Minute) -> (f64, f64) {
    let from = now - i64::from(REPLAY_DAYS) * DAY_MINUTES;
    let (mut value, mut events, mut variance) = (0.0, 0.0, 0.0);
    for (index, hidden) in hidden.iter().enumerate() {
        let minute = history.start() + index as i64 * history.step_minutes();
        if *hidden || minute < from || minute >= now {
            continue;
        }
        if let Some(seen) = history.at(index) {
            value += seen.value;
            events += seen.events;
            variance += seen.variance;
        }
    }
    if value <= 0.0 || events <= 0.0 {
        return (1.0, 1.0);
    }
    match kind {
        Kind::Ratio => (1.0, 1.0),
        Kind::Count => (1.0, (variance / value).max(1.0)),
        Kind::Sum => (value / events, (variance / value / (value / events)).max(1.0)),
    }
}

/// Moves the nodes of coarse slots so that linear interpolation between them keeps the slots' means: the mean of a slot is
/// an eighth of each neighbour and six of its own node; two steps of the inverse by its series.
fn keep_slot_means(rate: &mut [f64]) {
    let means = rate.to_vec();
    for _ in 0..2 {
        let nodes = rate.to_vec();
        for slot in 0..rate.len() {
            let left = nodes[slot.saturating_sub(1)];
            let right = nodes[(slot + 1).min(nodes.len() - 1)];
            rate[slot] = (nodes[slot] + means[slot] - (left + 6.0 * nodes[slot] + right) / 8.0).max(0.0);
        }
    }
}
