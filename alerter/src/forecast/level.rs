//! How much a day is, apart from its shape: daily levels, the weekday effect, and the level of today with its growth.

use std::rc::Rc;

use super::{
    days::Days,
    median::{median, weighted_median},
    profile::Likeness,
};
use crate::zone::{LocalDay, is_weekend, weekday};

/// Usable days behind the reference shape.
const REFERENCE_DAYS: usize = 42;

/// Days that speak for shape, weekday effect and level.
const SEASON_DAYS: usize = 56;

/// A day level outside this range says that the day was broken, not large.
const LEVEL_RANGE: (f64, f64) = (0.2, 5.0);

/// Expected events a block of slots must hold before its ratio says something about the level of the day.
const BLOCK_EVENTS: f64 = 30.0;

/// Minutes such a block spans at least; a day of 48 blocks has a median sharp enough.
const BLOCK_MINUTES: i64 = 30;

/// Fewer blocks than this have no meaningful median: the ratio of the sums is taken.
const BLOCKS_MIN: usize = 6;

/// Below this many events a slot a median of counts is biased and steppy, and the mean is used.
pub(crate) const MEAN_BELOW: f64 = 40.0;

/// Share of a day's surprise that the level takes over. Measured on rolling windows of taxi, bike, road, pedestrian, web, shop
/// and API series before their last 28 days: .35, .5 and .6 differ by less than 1 % of WAPE; faster is better after holidays.
const GAIN: f64 = 0.5;

/// Largest surprise a day can teach, in logarithms (Huber's clip): one odd day moves the level by 13 % at most.
const SURPRISE_MAX: f64 = 0.25;

/// What a week of age costs a day in the weekday effect.
const EFFECT_WEEK_DECAY: f64 = 0.85;

/// Residuals needed to learn how much weekdays differ.
const PRIOR_RESIDUALS_MIN: usize = 14;

/// Days of one weekday that the mean of all days is worth before that is learnt.
const PRIOR_DAYS_UNLEARNT: f64 = 0.5;

/// And at most.
const PRIOR_DAYS_MAX: f64 = 2.0;

/// What is learnt once a week: the reference shape's levels of the days, and which weekdays are alike.
///
/// Renewed each Monday, in the replay as in earnest, from the days before it: a reference moves slowly, and a fit replays
/// four weeks of days.
#[derive(Debug)]
pub(crate) struct Season {
    /// Logarithm of the level of each row against the reference shape, also of rows after the reference; NaN where a row
    /// teaches nothing or is too old.
    ln: Vec<f64>,
    /// Which weekdays are alike.
    pub(crate) likeness: Likeness,
}

impl Season {
    /// Learns from the usable days before `as_of`, and at most [`SEASON_DAYS`] old. `unit` turns values into events. `None`
    /// when there is no usable day.
    pub(crate) fn new(days: &Days, as_of: LocalDay, unit: f64) -> Option<Self> {
        let before = usize::try_from(as_of - days.first).ok()?.min(days.len());
        let reference = reference_shape(days, before, unit)?;
        let oldest = before.saturating_sub(SEASON_DAYS);
        let ln: Vec<f64> = (0..days.len())
            .map(|row| {
                let teaches = row >= oldest && days.usable(row);
                if teaches { day_level(days, row, &reference, unit).ln() } else { f64::NAN }
            })
            .collect();
        let likeness = Likeness::new(days, &ln[..before]);
        Some(Self { ln, likeness })
    }

    /// Logarithm of the level of a row, also of one after the reference.
    pub(crate) fn ln_of(&self, row: usize) -> Option<f64> {
        self.ln.get(row).copied()
    }
}

/// Logarithmic levels of the days before a target day, and what they say about that day.
#[derive(Debug, Clone)]
pub(crate) struct Levels {
    pub(crate) season: Rc<Season>,
    /// Rows before the target day.
    before: usize,
    /// Logarithmic effect of each weekday, Monday first.
    weekday: [f64; 7],
    /// Logarithmic level after the last day before the target.
    level: f64,
    /// Growth of the level in logarithms a week, over the last four weeks.
    pub(crate) growth: f64,
}

impl Levels {
    /// Levels known at the start of `target`. A level shift restarts the level at the days from `shift` on. `None` when no
    /// day before speaks.
    pub(crate) fn new(days: &Days, season: Rc<Season>, target: LocalDay, shift: Option<LocalDay>) -> Option<Self> {
        let before = usize::try_from(target - days.first).ok()?.min(season.ln.len());
        let weekday = weekday_effects(days, &season.ln[..before]);
        let (level, growth) = run_level(days, &season.ln[..before], &weekday, shift)?;
        Some(Self { season, before, weekday, level, growth })
    }

    /// Logarithmic level expected on a day.
    pub(crate) fn expected(&self, day: LocalDay) -> f64 {
        self.weekday[weekday(day)] + self.level
    }

    /// Logarithmic level of each row before the target; NaN where a row teaches nothing.
    pub(crate) fn ln(&self) -> &[f64] {
        &self.season.ln[..self.before]
    }
}

/// Centre of the last usable days by slot, as a rate.
fn reference_shape(days: &Days, before: usize, unit: f64) -> Option<Vec<f64>> {
    let rows: Vec<usize> = (0..before).rev().filter(|row| days.usable(*row)).take(REFERENCE_DAYS).collect();
    if rows.is_empty() {
        return None;
    }
    let (mut cells, mut scratch) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    let shape = (0..days.slots).map(|slot| {
        cells.clear();
        cells.extend(rows.iter().filter_map(|&row| {
            let value = days.values(row)[slot];
            (!value.is_nan()).then(|| Cell { value, exposure: days.exposure(row, slot), weight: 1.0 })
        }));
        centre(&cells, unit, &mut scratch)
    });
    Some(shape.collect())
}

/// One day's part in the centre of a slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) value: f64,
    pub(crate) exposure: f64,
    pub(crate) weight: f64,
}

/// Robust centre of a slot, as a rate per exposure: the weighted median of the rates, or for small counts the weighted mean,
/// guarded against a single flood. NaN when there is nothing. `rates` is scratch space.
pub(crate) fn centre(cells: &[Cell], unit: f64, rates: &mut Vec<(f64, f64)>) -> f64 {
    let (mut value, mut exposure, mut weight) = (0.0, 0.0, 0.0);
    rates.clear();
    for cell in cells {
        value += cell.value * cell.weight;
        exposure += cell.exposure * cell.weight;
        weight += cell.weight;
        if cell.exposure > 0.0 {
            rates.push((cell.value / cell.exposure, cell.weight * cell.exposure));
        }
    }
    if weight <= 0.0 || exposure <= 0.0 {
        return if weight > 0.0 { 0.0 } else { f64::NAN };
    }
    let (mean, median) = (value / exposure, weighted_median(rates));
    if value / weight < MEAN_BELOW * unit { mean.min(1.5 * median + 6.0 * unit * weight / exposure) } else { median }
}

/// Level of a day against the reference: the median over blocks of slots, so that a broken hour does not count.
fn day_level(days: &Days, row: usize, reference: &[f64], unit: f64) -> f64 {
    let slots_min = BLOCK_MINUTES / days.slot_minutes;
    let mut blocks: Vec<(f64, f64)> = Vec::with_capacity(days.slots);
    let (mut slots, mut seen, mut expected, mut seen_all, mut expected_all) = (0, 0.0, 0.0, 0.0, 0.0);
    for (slot, (value, rate)) in days.values(row).iter().zip(reference).enumerate() {
        if value.is_nan() || rate.is_nan() {
            continue;
        }
        seen += value / unit;
        expected += rate * days.exposure(row, slot) / unit;
        slots += 1;
        if expected >= BLOCK_EVENTS && slots >= slots_min {
            blocks.push(((seen + 0.5) / (expected + 0.5), expected));
            (seen_all, expected_all) = (seen_all + seen, expected_all + expected);
            (slots, seen, expected) = (0, 0.0, 0.0);
        }
    }
    (seen_all, expected_all) = (seen_all + seen, expected_all + expected);
    let level =
        if blocks.len() >= BLOCKS_MIN { weighted_median(&mut blocks) } else { (seen_all + 0.5) / (expected_all + 0.5) };
    level.clamp(LEVEL_RANGE.0, LEVEL_RANGE.1)
}

/// Logarithmic effect of each weekday: the weighted median of its days, recent ones first, drawn to that of all days as
/// far as days of one weekday scatter more than the weekdays differ (empirical Bayes). A weekday without a day takes the
/// median of the other workdays, or of the other day of the weekend.
fn weekday_effects(days: &Days, ln: &[f64]) -> [f64; 7] {
    let mut own: [Vec<(f64, f64)>; 7] = Default::default();
    let mut all = Vec::with_capacity(ln.len());
    for (row, level) in ln.iter().enumerate().filter(|(_, level)| !level.is_nan()) {
        let weeks_ago = (ln.len() - row) as f64 / 7.0;
        own[weekday(days.day(row))].push((*level, EFFECT_WEEK_DECAY.powf(weeks_ago)));
        all.push(*level);
    }
    let middle = median(&mut all);
    let effects = std::array::from_fn(|k| if own[k].is_empty() { middle } else { weighted_median(&mut own[k]) });
    let prior_days = prior_days(&own, &effects, middle);
    std::array::from_fn(|k| {
        let weight: f64 = own[k].iter().map(|day| day.1).sum();
        let kin = own.iter().enumerate().filter(|(other, _)| own[k].is_empty() && is_weekend(*other) == is_weekend(k));
        let mut kin: Vec<f64> = kin.flat_map(|(_, days)| days.iter().map(|day| day.0)).collect();
        let towards = if kin.is_empty() { middle } else { median(&mut kin) };
        (effects[k] * weight + towards * prior_days) / (weight + prior_days)
    })
}

/// How many days of one weekday the mean of all days is worth: variance within weekdays over variance between them.
fn prior_days(own: &[Vec<(f64, f64)>; 7], effects: &[f64; 7], middle: f64) -> f64 {
    let mut residuals: Vec<f64> = own
        .iter()
        .zip(effects)
        .filter(|(levels, _)| levels.len() > 1)
        .flat_map(|(levels, effect)| levels.iter().map(move |level| (level.0 - effect).abs()))
        .collect();
    if residuals.len() < PRIOR_RESIDUALS_MIN {
        return PRIOR_DAYS_UNLEARNT;
    }
    // A median fitted to few days is closer to them than to the truth; 1.3 takes that back for 4 to 8 days.
    let within = 1.3 * (1.4826 * median(&mut residuals)).powi(2);
    let between: f64 = own
        .iter()
        .zip(effects)
        .filter(|(levels, _)| !levels.is_empty())
        .map(|(levels, effect)| (effect - middle).powi(2) - within / levels.len() as f64)
        .sum::<f64>()
        / 7.0;
    (within / between.max(1e-9)).min(PRIOR_DAYS_MAX)
}

/// Level and growth after the last row: each day moves the level by a clipped share of its surprise. After a level shift
/// only the days since then speak.
fn run_level(days: &Days, ln: &[f64], weekday_effect: &[f64; 7], shift: Option<LocalDay>) -> Option<(f64, f64)> {
    let surprise: Vec<(usize, f64)> = ln
        .iter()
        .enumerate()
        .filter(|(row, level)| !level.is_nan() && shift.is_none_or(|day| days.day(*row) >= day))
        .map(|(row, level)| (row, level - weekday_effect[weekday(days.day(row))]))
        .collect();
    let mut first: Vec<f64> = surprise.iter().take(7).map(|day| day.1).collect();
    let mut level = median(&mut first);
    let mut path = Vec::with_capacity(surprise.len());
    for (row, surprise) in &surprise {
        level += GAIN * (surprise - level).clamp(-SURPRISE_MAX, SURPRISE_MAX);
        path.push((*row, level));
    }
    let (last_row, last_level) = *path.last()?;
    let month_ago = path.iter().rev().find(|(row, _)| row + 28 <= last_row).or_else(|| path.first())?;
    let weeks = (last_row - month_ago.0) as f64 / 7.0;
    Some((last_level, if weeks >= 1.0 { (last_level - month_ago.1) / weeks } else { 0.0 }))
}
