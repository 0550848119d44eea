//! The shape of a local day: the weighted median of past days like it, each divided by its own level.
//!
//! Workdays lend each other weight, and how much is learnt: a Friday counts for a Monday as far as their past shapes agree
//! beyond what single days of one weekday scatter. Where the weekend begins on Friday, Fridays lend nothing.

use super::{
    days::{Days, SLOT_MINUTES},
    level::{Cell, Levels, centre},
};
use crate::zone::{LocalDay, is_weekend, weekday};

/// What a week of age costs a day.
const WEEK_DECAY: f64 = 0.8;

/// Weight of another weekday of the same type (workday, Saturday, Sunday) that has just the same shape.
const SAME_TYPE: f64 = 0.35;

/// Days of each of two weekdays needed to judge how alike they are.
const ALIKE_DAYS_MIN: usize = 3;

/// Days of a weekday that the weights let speak, on average; their common difference from another weekday does not average out.
const DAYS_SPEAKING: f64 = 10.0;

/// Variance of a median over that of a mean, for normal noise.
const MEDIAN_VARIANCE: f64 = 1.57;

/// A slot keeps its own value in so far as its squared distance from its neighbourhood exceeds this many variances.
const EDGE: f64 = 4.0;

/// How much a day of one weekday says about another one, 0 to 1; the diagonal is 1.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Likeness([[f64; 7]; 7]);

impl Likeness {
    /// Learns from the usable days that have a level.
    pub(crate) fn new(days: &Days, ln: &[f64]) -> Self {
        let shapes: Vec<Option<WeekdayShape>> = (0..7).map(|k| WeekdayShape::new(days, ln, k)).collect();
        let scatter: Vec<f64> = shapes.iter().flatten().map(|shape| shape.scatter).collect();
        let scatter = scatter.iter().sum::<f64>() / scatter.len().max(1) as f64;
        let mut alike = [[0.0; 7]; 7];
        for (a, row) in alike.iter_mut().enumerate() {
            for (b, cell) in row.iter_mut().enumerate() {
                *cell = match (&shapes[a], &shapes[b]) {
                    _ if a == b => 1.0,
                    _ if day_type_of(a) != day_type_of(b) => 0.0,
                    (Some(one), Some(other)) if scatter > 0.0 => {
                        let by_chance = scatter * (1.0 / one.days + 1.0 / other.days);
                        let apart = (one.distance(other) - by_chance).max(0.0);
                        SAME_TYPE * scatter / (scatter + DAYS_SPEAKING * apart)
                    }
                    _ => SAME_TYPE,
                };
            }
        }
        Self(alike)
    }

    /// Weight of a past day for a target day.
    pub(crate) fn weight(&self, day: LocalDay, target: LocalDay) -> f64 {
        self.0[weekday(target)][weekday(day)] * WEEK_DECAY.powf(f64::from(target - day) / 7.0)
    }
}

/// Mean shape of one weekday, and how single days scatter around it (squared, relative to the size of the shape).
struct WeekdayShape {
    mean: Vec<f64>,
    days: f64,
    scatter: f64,
}

impl WeekdayShape {
    fn new(days: &Days, ln: &[f64], k: usize) -> Option<Self> {
        let rows: Vec<(usize, f64)> = ln
            .iter()
            .enumerate()
            .filter(|(row, ln)| !ln.is_nan() && weekday(days.day(*row)) == k)
            .map(|(row, ln)| (row, ln.exp()))
            .collect();
        if rows.len() < ALIKE_DAYS_MIN {
            return None;
        }
        let cell =
            |row: usize, slot: usize, level: f64| days.values(row)[slot] / days.exposure(row, slot).max(1.0) / level;
        let mut shape = Self { mean: vec![0.0; days.slots], days: rows.len() as f64, scatter: 0.0 };
        let (mut around, mut size) = (0.0, 0.0);
        for (slot, mean) in shape.mean.iter_mut().enumerate() {
            let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
            for value in rows.iter().map(|(row, level)| cell(*row, slot, *level)).filter(|value| !value.is_nan()) {
                (count, sum, squares) = (count + 1.0, sum + value, squares + value * value);
            }
            if count < 2.0 {
                continue;
            }
            *mean = sum / count;
            around += (squares - sum * *mean).max(0.0) / (count - 1.0);
            size += *mean * *mean;
        }
        shape.scatter = around / size.max(f64::MIN_POSITIVE);
        Some(shape)
    }

    fn distance(&self, other: &Self) -> f64 {
        let (mut apart, mut size) = (0.0, 0.0);
        for (one, two) in self.mean.iter().zip(&other.mean) {
            apart += (one - two).powi(2);
            size += one * one / 2.0 + two * two / 2.0;
        }
        apart / size.max(f64::MIN_POSITIVE)
    }
}

fn day_type_of(weekday: usize) -> usize {
    weekday.saturating_sub(4)
}

/// Shape of the target day by slot, at level 1; without a day of its kind, from the other day of the weekend,
/// then from days of any kind; slots that none has seen from their neighbours. `None` when there is no usable day at all.
pub(crate) fn shape(days: &Days, levels: &Levels, target: LocalDay, unit: f64) -> Option<Vec<f64>> {
    let mut rows = weighted_rows(days, levels, |day| levels.season.likeness.weight(day, target));
    if rows.is_empty() {
        let alike = |day: LocalDay| is_weekend(weekday(day)) == is_weekend(weekday(target));
        rows = weighted_rows(days, levels, |day| f64::from(u8::from(alike(day))));
    }
    if rows.is_empty() {
        rows = weighted_rows(days, levels, |_| 1.0);
    }
    let (mut cells, mut scratch) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    let mut noise = vec![0.0; days.slots];
    let mut shape: Vec<f64> = (0..days.slots)
        .map(|slot| {
            cells.clear();
            cells.extend(rows.iter().filter_map(|&(row, weight, level)| {
                let value = days.values(row)[slot];
                let cell = || Cell { value: value / level, exposure: days.exposure(row, slot), weight };
                (!value.is_nan()).then(cell)
            }));
            let rate = centre(&cells, unit, &mut scratch);
            noise[slot] = counting_variance(&cells, rate, unit);
            rate
        })
        .collect();
    if !fill_gaps(&mut shape) {
        return None;
    }
    if days.slot_minutes == SLOT_MINUTES {
        smooth(&mut shape, &noise);
    }
    Some(shape)
}

/// Variance of a centre by counting alone.
fn counting_variance(cells: &[Cell], rate: f64, unit: f64) -> f64 {
    let (mut weight, mut squares) = (0.0, 0.0);
    for cell in cells {
        weight += cell.weight * cell.exposure;
        squares += cell.weight * cell.weight * cell.exposure;
    }
    if weight > 0.0 { MEDIAN_VARIANCE * rate.max(0.0) * unit * squares / (weight * weight) } else { 0.0 }
}

/// Draws each slot to the (1, 2, 3, 2, 1) / 9 mean of its neighbourhood, except where it stands out by more than counting
/// noise explains: the opening hour and the nightly batch keep their edges.
fn smooth(shape: &mut [f64], noise: &[f64]) {
    const KERNEL: [f64; 5] = [1.0, 2.0, 3.0, 2.0, 1.0];
    let raw = shape.to_vec();
    let slots = raw.len();
    for slot in 0..slots {
        let (mut mean, mut weight) = (0.0, 0.0);
        for (lag, kernel) in KERNEL.iter().enumerate() {
            // Before midnight comes another day, with another shape: the kernel ends there.
            if let Some(value) = (slot + lag).checked_sub(2).and_then(|near| raw.get(near)) {
                mean += kernel * value;
                weight += kernel;
            }
        }
        mean /= weight;
        let apart = raw[slot] - mean;
        let own = (1.0 - EDGE * noise[slot] / (apart * apart).max(f64::MIN_POSITIVE)).max(0.0);
        shape[slot] = mean + own * apart;
    }
}

/// `(row, weight, level)` of usable days.
fn weighted_rows(days: &Days, levels: &Levels, weight: impl Fn(LocalDay) -> f64) -> Vec<(usize, f64, f64)> {
    levels
        .ln()
        .iter()
        .enumerate()
        .filter(|(_, ln)| !ln.is_nan())
        .map(|(row, ln)| (row, weight(days.day(row)), ln.exp()))
        .filter(|row| row.1 > 0.01)
        .collect()
}

/// Fills slots without a value from the nearest ones with; `false` when all are without.
fn fill_gaps(shape: &mut [f64]) -> bool {
    let known: Vec<usize> = (0..shape.len()).filter(|&slot| !shape[slot].is_nan()).collect();
    for slot in 0..shape.len() {
        if shape[slot].is_nan() {
            let Some(nearest) = known.iter().min_by_key(|near| near.abs_diff(slot)) else { return false };
            shape[slot] = shape[*nearest];
        }
    }
    !known.is_empty()
}
