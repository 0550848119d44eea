//! From history to a fitted model: forecasts of past days (each from the days before it), what they got wrong, and the
//! forecast of the days to come.

use std::{cell::RefCell, rc::Rc};

use super::{
    DayForecast, FORECAST_DAYS_MIN, Fitted, LOOKBACK_DAYS, Learning, OUTAGE_ONLY_C, PAGE_DAYS_MIN, Readiness, Settings,
    SourceDay, Sources, TRUSTED_COVERAGE,
    days::{Days, SLOT_MINUTES},
    interval::Quantiles,
    level::{Levels, Season},
    median::weighted_median,
    noise::{HOURS, Noise},
    yearly::{LastYear, Yearly},
};
use crate::{
    history::{DAY_MINUTES, History, Minute},
    mask,
    score::Kind,
    threshold::Thresholds,
    zone::{LocalClock, LocalDay, weekday},
};

/// Past days replayed for noise, interval and thresholds.
const REPLAY_DAYS: i32 = 28;

/// Days whose coverage is checked against the promise.
pub(super) const COVERAGE_DAYS: i32 = 14;

/// Relative error of a forecast that nothing could be replayed for.
const UNLEARNT_C: f64 = 0.2;

/// Width of the blocks that tell a new level, in minutes.
const SHIFT_BLOCK_MINUTES: usize = 20;

/// Everything a fit derives from history before it forecasts.
pub(super) struct Past<'a> {
    pub(super) settings: &'a Settings,
    pub(super) history: &'a History,
    pub(super) hidden: Vec<bool>,
    pub(super) clock: LocalClock,
    pub(super) now: Minute,
    pub(super) today: LocalDay,
    pub(super) days: Days,
    pub(super) unit: f64,
    pub(super) basket: f64,
    /// The seasons needed so far, by the Monday they are renewed.
    seasons: RefCell<Vec<(LocalDay, Option<Rc<Season>>)>>,
    pub(super) last_year: Option<LastYear>,
}

pub(super) fn fit(settings: &Settings, history: &History, now: Minute) -> Result<Fitted, Learning> {
    let mut past = Past::new(settings, history, now, history.masked());
    let usable = past.usable_days();
    if usable < FORECAST_DAYS_MIN {
        return Err(past.learning(usable));
    }
    let mut fitted = past.replayed();
    let mut suspicious =
        mask::suspicious(history, &past.hidden, &fitted, past.clock.day_start(past.today - REPLAY_DAYS));
    // The first day of a new normal is no ordinary day by the old level, and the only one that knows the new one.
    suspicious.retain(|mask| !history.shifts().iter().any(|shift| (*shift..*shift + DAY_MINUTES).contains(&mask.from)));
    if !suspicious.is_empty() {
        let mut hidden = past.hidden;
        mask::hide(history, &mut hidden, &suspicious);
        past = Past::new(settings, history, now, hidden);
        fitted = past.replayed();
    }
    fitted.readiness = past.readiness(&fitted, usable);
    Ok(fitted)
}

pub(super) fn refit(previous: &Fitted, history: &History, now: Minute) -> Result<Fitted, Learning> {
    let past = Past::new(&previous.settings, history, now, history.masked());
    let usable = past.usable_days();
    if usable < FORECAST_DAYS_MIN {
        return Err(past.learning(usable));
    }
    let before = previous.days.iter().filter(|day| day.day < past.today).cloned().collect();
    let mut fitted = Fitted { clock: past.clock.clone(), days: before, ..previous.clone() };
    past.forecast_ahead(&mut fitted, past.levels(past.today - 1).as_ref());
    fitted.readiness = past.readiness(&fitted, usable);
    Ok(fitted)
}

impl<'a> Past<'a> {
    fn new(settings: &'a Settings, history: &'a History, now: Minute, mut hidden: Vec<bool>) -> Self {
        let horizon = i64::from(settings.horizon_days) + 8;
        let from = history.start().max(now - (LOOKBACK_DAYS + 2) * DAY_MINUTES).min(now);
        // Past years need the clock of their time.
        let this_year = settings.calendar.is_empty() && settings.yearly == Yearly::Off;
        let clock_from = if this_year { from } else { history.start().min(from) };
        let clock = LocalClock::new(settings.zone, clock_from - DAY_MINUTES, now + horizon * DAY_MINUTES);
        let today = clock.day(now);
        let days = Days::new(history, &hidden, &clock, clock.day(from), today, settings.kind == Kind::Ratio);
        let (unit, basket) = baskets(settings.kind, history, &hidden, now);
        let event_days = (days.first..today).filter(|day| settings.calendar.on(*day).is_some());
        for day in event_days {
            mask::hide_between(history, &mut hidden, clock.day_start(day), clock.day_start(day + 1));
        }
        let mut past = Self {
            settings,
            history,
            hidden,
            clock,
            now,
            today,
            days,
            unit,
            basket,
            seasons: RefCell::default(),
            last_year: None,
        };
        let mut days = std::mem::take(&mut past.days);
        past.hide_events(&mut days);
        past.days = days;
        past.ask_last_year();
        past
    }

    /// Asks last year, as far as it was recorded, whether it would have helped in the days before today.
    fn ask_last_year(&mut self) {
        let from = Self::last_year_from(self.today, REPLAY_DAYS);
        if self.settings.yearly == Yearly::Off || self.clock.day_start(from) < self.history.start() {
            return;
        }
        let judge = |day: LocalDay| {
            let levels = self.levels(day)?;
            let ln = levels.season.ln_of(self.days.row_of(day)?).filter(|ln| !ln.is_nan())?;
            Some((day, ln, levels.expected(day)))
        };
        let judged: Vec<(LocalDay, f64, f64)> = (self.today - REPLAY_DAYS..self.today).filter_map(judge).collect();
        let ahead = LocalDay::try_from(self.settings.horizon_days.max(1)).unwrap_or(1);
        self.read_last_year(from, self.today + ahead, &judged);
    }

    /// A matrix of the days `first..after`, with nothing but masks hidden.
    pub(super) fn days_between(&self, first: LocalDay, after: LocalDay) -> Days {
        let ratio = self.settings.kind == Kind::Ratio;
        Days::new(self.history, &self.history.masked(), &self.clock, first, after, ratio)
    }

    /// Hides event days from the ordinary profile.
    pub(super) fn hide_events(&self, days: &mut Days) {
        for row in 0..days.len() {
            if self.settings.calendar.on(days.day(row)).is_some() {
                days.hide(row);
            }
        }
    }

    fn usable_days(&self) -> usize {
        self.usable_before(self.today)
    }

    fn usable_before(&self, day: LocalDay) -> usize {
        (0..self.days.len()).filter(|row| self.days.day(*row) < day && self.days.usable(*row)).count()
    }

    fn learning(&self, usable: usize) -> Learning {
        let after_days = |wanted: usize| {
            // Today teaches from the next local midnight on.
            let missing = LocalDay::try_from(wanted.saturating_sub(usable)).unwrap_or(0);
            self.clock.day_start(self.today + missing)
        };
        Learning { days: usable, forecasts_from: after_days(FORECAST_DAYS_MIN), pages_from: after_days(PAGE_DAYS_MIN) }
    }

    /// Forecasts of the days to replay and to come, with the noise, interval and thresholds that the replay shows.
    fn replayed(&self) -> Fitted {
        let mut fitted = Fitted {
            settings: self.settings.clone(),
            clock: self.clock.clone(),
            slot_minutes: self.days.slot_minutes,
            days: Vec::new(),
            noise: Noise {
                phi: 1.0,
                basket: self.basket,
                unit: self.unit,
                c_fast: [UNLEARNT_C; HOURS],
                c_slow: [UNLEARNT_C; HOURS],
            },
            quantiles: Quantiles::default(),
            thresholds: Thresholds::unlearnt(),
            allowance: None,
            readiness: Readiness::Ready,
        };
        let first = (self.today - REPLAY_DAYS).max(self.days.first + 1);
        let needed = PAGE_DAYS_MIN.min(self.usable_days() / 2).max(1);
        let mut older = self.levels(first - 1);
        for day in first..self.today {
            let Some(levels) = self.levels(day).filter(|_| self.usable_before(day) >= needed) else { continue };
            fitted.days.extend(self.forecast(&levels, older.as_ref(), day));
            older = Some(levels);
        }
        let replayed = fitted.days.len();
        self.forecast_ahead(&mut fitted, older.as_ref());
        if replayed > 0 {
            self.learn_from_replay(&mut fitted, replayed);
        }
        fitted
    }

    /// Adds the forecasts of today and the days after.
    fn forecast_ahead(&self, fitted: &mut Fitted, older: Option<&Levels>) {
        let Some(levels) = self.levels(self.today) else { return };
        let after = self.today + LocalDay::try_from(self.settings.horizon_days.max(1)).unwrap_or(1);
        let first = fitted.days.len();
        fitted.days.extend((self.today..after).filter_map(|day| self.forecast(&levels, older, day)));
        let factor = self.fresh_shift().map_or(1.0, |shift| self.level_since(fitted, shift));
        for day in &mut fitted.days[first..] {
            #[expect(clippy::cast_possible_truncation, reason = "stored as f32")]
            day.rate.iter_mut().for_each(|rate| *rate = (f64::from(*rate) * factor) as f32);
        }
    }

    /// Levels as known at the start of a day. After a level shift only whole days since then speak for the level.
    fn levels(&self, target: LocalDay) -> Option<Levels> {
        let whole_day_after = |minute: Minute| self.clock.day(minute - 1) + 1;
        let shift = self.history.shifts().iter().map(|minute| whole_day_after(*minute)).max();
        let usable = |day: LocalDay| self.days.row_of(day).is_some_and(|row| self.days.usable(row));
        let spoken = shift.filter(|day| (*day..target).any(usable));
        let monday = target - LocalDay::try_from(weekday(target)).unwrap_or(0);
        // In the first weeks what came since Monday is too much of all there is.
        let as_of = if self.usable_before(monday) >= 2 * PAGE_DAYS_MIN { monday } else { target };
        Levels::new(&self.days, self.season(as_of)?, target, spoken)
    }

    fn season(&self, as_of: LocalDay) -> Option<Rc<Season>> {
        let mut seasons = self.seasons.borrow_mut();
        if let Some((_, season)) = seasons.iter().find(|known| known.0 == as_of) {
            return season.clone();
        }
        let season = Season::new(&self.days, as_of, self.unit).map(Rc::new);
        seasons.push((as_of, season.clone()));
        season
    }

    /// A level shift that no whole day speaks for yet.
    fn fresh_shift(&self) -> Option<Minute> {
        let shift = self.history.shifts().iter().copied().filter(|minute| *minute < self.now).max()?;
        let whole = self.clock.day(shift - 1) + 1;
        let spoken = (whole..self.today).any(|day| self.days.row_of(day).is_some_and(|row| self.days.usable(row)));
        (!spoken).then_some(shift)
    }

    /// Level of the last 24 hours (or since the shift) against the forecast: the median over blocks of 20 minutes.
    fn level_since(&self, fitted: &Fitted, shift: Minute) -> f64 {
        let from = shift.max(self.now - DAY_MINUTES).max(self.history.start());
        let to = self.now.min(self.history.end());
        let step = self.history.step_minutes();
        let mut steps: Vec<(f64, f64)> = Vec::new();
        for minute in (from..to).step_by(usize::try_from(step).unwrap_or(1)) {
            if let Some(seen) = self.history.get(minute) {
                let exposure = if self.settings.kind == Kind::Ratio { seen.exposure } else { step as f64 };
                steps.push((seen.value, fitted.rate(minute) * exposure));
            }
        }
        let mut blocks: Vec<(f64, f64)> = steps
            .chunks(SHIFT_BLOCK_MINUTES)
            .map(|block| block.iter().fold((0.0, 0.0), |sum, step| (sum.0 + step.0, sum.1 + step.1)))
            .filter(|block| block.1 > 0.0)
            .map(|block| (block.0 / block.1, block.1))
            .collect();
        let level = weighted_median(&mut blocks);
        if level.is_finite() && level > 0.0 { level } else { 1.0 }
    }

    /// Forecast of one day from `levels`; `older` are the levels known a day before, to tell what was learnt since.
    fn forecast(&self, levels: &Levels, older: Option<&Levels>, day: LocalDay) -> Option<DayForecast> {
        let event = self.settings.calendar.on(day).and_then(|event| self.event_day(levels, event));
        let mut sources = self.sources(levels, day);
        let (slots, c_min) = match event {
            Some(event) => {
                sources.event = self.settings.calendar.on(day).map(|event| event.name.clone());
                sources.last_year = event.last_factor.map(|factor| SourceDay { relative_level: factor, entered: true });
                (event.slots, event.c_min)
            }
            None => {
                let mut slots = self.slots(levels, day)?;
                if let Some(step) = self.yearly_step(day) {
                    slots.iter_mut().for_each(|slot| *slot *= step.exp());
                    let mean = slots.iter().sum::<f64>() / slots.len() as f64;
                    sources.last_year = self
                        .over_last_year(day, mean)
                        .map(|relative_level| SourceDay { relative_level, entered: true });
                }
                (slots, 0.0)
            }
        };
        let ratio = self.settings.kind == Kind::Ratio;
        let per_minute = if ratio { 1.0 } else { self.days.slot_minutes as f64 };
        let most = if ratio { 1.0 } else { f64::INFINITY };
        let mut rate: Vec<f64> = slots.iter().map(|slot| (slot / per_minute).min(most)).collect();
        if self.days.slot_minutes > SLOT_MINUTES {
            keep_slot_means(&mut rate);
        }
        let learnt = |older: &Levels| levels.expected(day) - older.expected(day);
        Some(DayForecast {
            day,
            #[expect(clippy::cast_possible_truncation, reason = "stored as f32")]
            rate: rate.iter().map(|rate| *rate as f32).collect(),
            // Only the first day ahead is entered with a local level from the day before.
            revision: if day <= self.today { older.map_or(0.0, learnt) } else { 0.0 },
            c_min,
            sources,
        })
    }

    fn sources(&self, levels: &Levels, day: LocalDay) -> Sources {
        let ago = |weeks: i32| {
            let row = self.days.row_of(day - 7 * weeks)?;
            let ln = levels.ln().get(row).copied().filter(|ln| !ln.is_nan())?;
            Some(SourceDay { relative_level: (ln - levels.expected(day)).exp(), entered: true })
        };
        Sources {
            growth_per_week: (self.usable_days() >= 14).then(|| levels.growth.exp() - 1.0),
            last_week: ago(1),
            last_month: ago(4),
            last_year: None,
            event: None,
        }
    }

    fn readiness(&self, fitted: &Fitted, usable: usize) -> Readiness {
        let c = fitted.noise.c_fast_typical();
        let trusted = TRUSTED_COVERAGE.0..=1.0;
        if usable < PAGE_DAYS_MIN {
            Readiness::Learning { pages_from: self.learning(usable).pages_from }
        } else if c > OUTAGE_ONLY_C {
            Readiness::OutageOnly { c }
        } else if let Some(coverage) = fitted.quantiles.coverage.filter(|share| !trusted.contains(share)) {
            Readiness::NotTrusted { coverage }
        } else {
            Readiness::Ready
        }
    }
}

/// Mean contribution of an event, and the variance over mean that sampling or baskets cause in its units.
fn baskets(kind: Kind, history: &History, hidden: &[bool], now: Minute) -> (f64, f64) {
    if kind == Kind::Ratio || history.is_plain() {
        return (1.0, 1.0);
    }
    let position =
        |minute: Minute| usize::try_from((minute - history.start()).div_euclid(history.step_minutes())).unwrap_or(0);
    let (mut value, mut events, mut variance) = (0.0, 0.0, 0.0);
    let from = position(now - i64::from(REPLAY_DAYS) * DAY_MINUTES);
    for (index, _) in hidden.iter().enumerate().take(position(now)).skip(from).filter(|step| !step.1) {
        if let Some(seen) = history.at(index) {
            value += seen.value;
            events += seen.events;
            variance += seen.variance;
        }
    }
    if value <= 0.0 || events <= 0.0 {
        return (1.0, 1.0);
    }
    let unit = if kind == Kind::Sum { value / events } else { 1.0 };
    (unit, (variance / value / unit).max(1.0))
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
