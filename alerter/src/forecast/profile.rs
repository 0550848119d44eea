//! The shape of a local day: the weighted median of past days of its kind, each divided by its own level.

use super::{
    days::Days,
    level::{Levels, centre},
};
use crate::zone::{LocalDay, day_type, weekday};

/// What a week of age costs a day.
const WEEK_DECAY: f64 = 0.85;

/// Weight of another weekday of the same type (workday, Saturday, Sunday).
const SAME_TYPE: f64 = 0.3;

/// Weight of a past day for a target day.
pub(crate) fn day_weight(day: LocalDay, target: LocalDay) -> f64 {
    let alike = if weekday(day) == weekday(target) {
        1.0
    } else if day_type(day) == day_type(target) {
        SAME_TYPE
    } else {
        return 0.0;
    };
    alike * WEEK_DECAY.powf(f64::from(target - day) / 7.0)
}

/// Shape of the target day by slot, at level 1; slots that no day of the kind has seen come from days of any kind, then
/// from their neighbours. `None` when there is no usable day at all.
pub(crate) fn shape(days: &Days, levels: &Levels, target: LocalDay, unit: f64) -> Option<Vec<f64>> {
    let mut rows: Vec<(usize, f64, f64)> = weighted_rows(days, levels, |day| day_weight(day, target));
    if rows.is_empty() {
        rows = weighted_rows(days, levels, |_| 1.0);
    }
    let mut cells = Vec::with_capacity(rows.len());
    let mut shape: Vec<f64> = (0..days.slots)
        .map(|slot| {
            cells.clear();
            cells.extend(rows.iter().filter_map(|&(row, weight, level)| {
                let value = days.values(row)[slot];
                (!value.is_nan()).then(|| (value / level, days.exposure(row, slot), weight))
            }));
            centre(&mut cells, unit)
        })
        .collect();
    fill_gaps(&mut shape).then_some(shape)
}

/// `(row, weight, level)` of usable days.
fn weighted_rows(days: &Days, levels: &Levels, weight: impl Fn(LocalDay) -> f64) -> Vec<(usize, f64, f64)> {
    levels
        .ln
        .iter()
        .enumerate()
        .filter(|(_, ln)| !ln.is_nan())
        .map(|(row, ln)| (row, weight(days.day(row)), ln.exp()))
        .filter(|row| row.1 > 0.0)
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
