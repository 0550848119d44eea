//! The past of one series on a regular UTC grid, and what of it must not be learnt from.
//!
//! A point without data is absent, never zero: a source that sent nothing while others did is a true zero and is
//! pushed as such by the caller, a hole in collection is not. Masks hide intervals (incidents, holes, odd days)
//! from the model without deleting them, so a person can take a mask back.

#![expect(clippy::cast_possible_truncation, reason = "values are stored as f32, grid positions fit usize")]

use serde::{Deserialize, Serialize};

/// Whole minutes since 1970-01-01 UTC; the minute `m` covers `[m, m + 1)`.
pub type Minute = i64;

/// Minutes in a day of 24 hours.
pub const DAY_MINUTES: i64 = 1440;

/// What one series did in one step of time (a minute, unless the history is coarser).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The measured quantity: events, a sum of a value, or the numerator of a ratio; weighted by sample rate.
    pub value: f64,
    /// Denominator of a ratio (events that could have counted); 0 for other kinds.
    pub exposure: f64,
    /// Events behind `value`, weighted by sample rate; equals `value` for counts and ratios.
    pub events: f64,
    /// Sum of the squared contributions of the single events, the Poisson variance of `value`: equals `value` for
    /// unsampled counts, `rate * value` for counts sampled at 1 in `rate`, the sum of squares for sums.
    pub variance: f64,
}

impl Observation {
    /// A plain count of unsampled events.
    #[must_use]
    pub fn count(value: f64) -> Self {
        Self { value, exposure: 0.0, events: value, variance: value }
    }

    /// A count estimated from sampled events: `value` is the sum of the weights, `weight_squares` of their squares.
    #[must_use]
    pub fn sampled(value: f64, weight_squares: f64) -> Self {
        Self { value, exposure: 0.0, events: value, variance: weight_squares.max(value) }
    }

    /// A sum of values over `events` events with the given sum of squared values.
    #[must_use]
    pub fn sum(value: f64, events: f64, sum_squares: f64) -> Self {
        Self { value, exposure: 0.0, events, variance: sum_squares }
    }

    /// `value` of `exposure` events had the property (conversion, errors, slower than the threshold).
    #[must_use]
    pub fn ratio(value: f64, exposure: f64) -> Self {
        Self { value, exposure, events: value, variance: value }
    }

    /// The observation of two disjoint parts together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            value: self.value + other.value,
            exposure: self.exposure + other.exposure,
            events: self.events + other.events,
            variance: self.variance + other.variance,
        }
    }
}

/// Why an interval is not learnt from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaskReason {
    /// A paged incident, from onset to close plus recovery.
    Incident,
    /// Found by replay in history from before the product ran (see [`crate::mask`]).
    Replayed,
    /// Our own ingest was down, or the import has a hole.
    NoData,
    /// A person marked it.
    Person,
}

/// An interval that the model does not learn from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mask {
    /// First masked minute.
    pub from: Minute,
    /// First minute after the mask.
    pub to: Minute,
    /// Why.
    pub reason: MaskReason,
    /// Who set it; absent when we did.
    pub author: Option<String>,
}

/// A regular grid of observations, with masks.
///
/// Memory: 4 bytes a step for counts, 8 for ratios, 12 for sums and sampled counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    start: Minute,
    step: i64,
    value: Vec<f32>,
    exposure: Vec<f32>,
    events: Vec<f32>,
    variance: Vec<f32>,
    masks: Vec<Mask>,
    shifts: Vec<Minute>,
}

impl History {
    /// An empty history whose first minute will be `start`.
    #[must_use]
    pub fn new(start: Minute) -> Self {
        Self::with_step(start, 1)
    }

    /// An empty history of steps of `step_minutes`, for imports coarser than a minute.
    ///
    /// # Panics
    /// If `step_minutes` does not divide a day.
    #[must_use]
    pub fn with_step(start: Minute, step_minutes: i64) -> Self {
        assert!(step_minutes > 0 && DAY_MINUTES % step_minutes == 0, "a step must divide a day");
        Self { start, step: step_minutes, ..Self::default() }
    }

    /// A history of plain counts; NaN stands for no data.
    #[must_use]
    pub fn from_counts(start: Minute, step_minutes: i64, counts: impl IntoIterator<Item = f64>) -> Self {
        let mut history = Self::with_step(start, step_minutes);
        for count in counts {
            history.push((!count.is_nan()).then(|| Observation::count(count)));
        }
        history
    }

    /// Appends the next step; `None` is no data.
    pub fn push(&mut self, observation: Option<Observation>) {
        let index = self.value.len();
        self.value.push(f32::NAN);
        for optional in [&mut self.exposure, &mut self.events, &mut self.variance] {
            if !optional.is_empty() {
                optional.push(f32::NAN);
            }
        }
        self.write(index, observation);
    }

    /// Sets the step that holds `minute`, growing the grid with no data up to it; late events come this way.
    /// A minute before the start is ignored and `false` returned.
    pub fn set(&mut self, minute: Minute, observation: Option<Observation>) -> bool {
        if minute < self.start {
            return false;
        }
        let index = ((minute - self.start) / self.step) as usize;
        while self.value.len() <= index {
            self.push(None);
        }
        self.write(index, observation);
        true
    }

    fn write(&mut self, index: usize, observation: Option<Observation>) {
        let Some(seen) = observation else {
            self.value[index] = f32::NAN;
            return;
        };
        self.value[index] = seen.value as f32;
        let length = self.value.len();
        let values = &self.value;
        // The optional columns appear with the first observation that needs them; until then they equal `value`.
        let needed = |column: &mut Vec<f32>, differs: bool| {
            if differs && column.is_empty() {
                column.extend_from_slice(&values[..length]);
            }
            !column.is_empty()
        };
        if needed(&mut self.exposure, seen.exposure > 0.0) {
            self.exposure[index] = seen.exposure as f32;
        }
        if needed(&mut self.events, seen.events != seen.value) {
            self.events[index] = seen.events as f32;
        }
        if needed(&mut self.variance, seen.variance != seen.value) {
            self.variance[index] = seen.variance as f32;
        }
    }

    /// First minute of the grid.
    #[must_use]
    pub fn start(&self) -> Minute {
        self.start
    }

    /// First minute after the grid.
    #[must_use]
    pub fn end(&self) -> Minute {
        self.start + self.step * self.value.len() as i64
    }

    /// Minutes a step.
    #[must_use]
    pub fn step_minutes(&self) -> i64 {
        self.step
    }

    /// Steps held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.value.len()
    }

    /// True when nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.value.is_empty()
    }

    /// What was seen in the step that holds `minute`; `None` is no data, masks are not looked at.
    #[must_use]
    pub fn get(&self, minute: Minute) -> Option<Observation> {
        let offset = (minute - self.start).div_euclid(self.step);
        usize::try_from(offset).ok().and_then(|index| self.at(index))
    }

    /// The observation at a grid position.
    pub(crate) fn at(&self, index: usize) -> Option<Observation> {
        let value = f64::from(*self.value.get(index)?);
        if value.is_nan() {
            return None;
        }
        let optional = |column: &Vec<f32>, otherwise: f64| column.get(index).map_or(otherwise, |v| f64::from(*v));
        Some(Observation {
            value,
            exposure: optional(&self.exposure, 0.0),
            events: optional(&self.events, value),
            variance: optional(&self.variance, value),
        })
    }

    /// True when every value is a plain count, its own number of events and Poisson variance.
    pub(crate) fn is_plain(&self) -> bool {
        self.events.is_empty() && self.variance.is_empty()
    }

    /// Value and exposure at a grid position, the short form of [`Self::at`].
    pub(crate) fn rate_at(&self, index: usize) -> Option<(f64, f64)> {
        let value = *self.value.get(index)?;
        let exposure = self.exposure.get(index).copied().unwrap_or(0.0);
        (!value.is_nan()).then(|| (f64::from(value), f64::from(exposure)))
    }

    /// Raw values of a range of minutes, NaN outside the grid; masks are not looked at.
    #[must_use]
    pub fn values(&self, from: Minute, to: Minute) -> Vec<f64> {
        (from..to).step_by(self.step as usize).map(|m| self.get(m).map_or(f64::NAN, |seen| seen.value)).collect()
    }

    /// Hides an interval from the model.
    pub fn mask(&mut self, mask: Mask) {
        if mask.to > mask.from {
            self.masks.push(mask);
        }
    }

    /// Replaces all masks (a person took one back).
    pub fn set_masks(&mut self, masks: Vec<Mask>) {
        self.masks = masks;
    }

    /// The masks set.
    #[must_use]
    pub fn masks(&self) -> &[Mask] {
        &self.masks
    }

    /// Says that the level moved for good at `minute` ("new normal"): the level restarts from the 24 hours after it,
    /// the shape is kept.
    pub fn level_shift(&mut self, minute: Minute) {
        self.shifts.push(minute);
    }

    /// The level shifts said so far.
    #[must_use]
    pub fn shifts(&self) -> &[Minute] {
        &self.shifts
    }

    /// One flag per grid step, true where any mask covers it.
    pub(crate) fn masked(&self) -> Vec<bool> {
        let mut masked = vec![false; self.len()];
        crate::mask::hide(self, &mut masked, &self.masks);
        masked
    }

    /// Forgets everything before `minute`, so that a history stays bounded.
    pub fn forget_before(&mut self, minute: Minute) {
        let steps = ((minute - self.start).div_euclid(self.step)).clamp(0, self.len() as i64) as usize;
        for column in [&mut self.value, &mut self.exposure, &mut self.events, &mut self.variance] {
            if !column.is_empty() {
                column.drain(..steps);
            }
        }
        self.start += self.step * steps as i64;
        let start = self.start;
        self.masks.retain(|mask| mask.to > start);
    }

    /// What was known before a minute: the steps before it, the masks that had ended and the level shifts said by then.
    #[must_use]
    pub fn before(&self, minute: Minute) -> Self {
        let steps = ((minute - self.start).div_euclid(self.step)).clamp(0, self.len() as i64) as usize;
        let column = |column: &Vec<f32>| column.iter().take(steps).copied().collect();
        Self {
            start: self.start,
            step: self.step,
            value: column(&self.value),
            exposure: column(&self.exposure),
            events: column(&self.events),
            variance: column(&self.variance),
            masks: self.masks.iter().filter(|mask| mask.to <= minute).cloned().collect(),
            shifts: self.shifts.iter().copied().filter(|shift| *shift <= minute).collect(),
        }
    }

    /// The same history in steps of `step_minutes` (a multiple of the present step that divides a day), aligned to
    /// the epoch; a step with a missing part is scaled up when at least half of it was seen, else no data.
    #[must_use]
    pub fn resampled(&self, step_minutes: i64) -> Self {
        assert!(step_minutes % self.step == 0, "a coarser step must hold whole finer ones");
        let start = self.start.div_euclid(step_minutes) * step_minutes;
        let mut coarse = Self::with_step(start, step_minutes);
        coarse.masks.clone_from(&self.masks);
        coarse.shifts.clone_from(&self.shifts);
        let parts = step_minutes / self.step;
        let mut minute = start;
        while minute < self.end() {
            let seen: Vec<Observation> = (0..parts).filter_map(|part| self.get(minute + part * self.step)).collect();
            let total = seen.iter().copied().reduce(Observation::plus);
            let scale = parts as f64 / seen.len().max(1) as f64;
            coarse.push(total.filter(|_| scale <= 2.0).map(|sum| Observation {
                value: sum.value * scale,
                exposure: sum.exposure * scale,
                events: sum.events * scale,
                variance: sum.variance * scale,
            }));
            minute += step_minutes;
        }
        coarse
    }
}

/// Does something with the minutes from an onset on hidden, which an open incident has not ended yet.
pub(crate) fn hidden_since<T>(history: &mut History, onset: Option<Minute>, work: impl FnOnce(&History) -> T) -> T {
    let Some(from) = onset else { return work(history) };
    history.masks.push(Mask { from, to: history.end(), reason: MaskReason::Incident, author: None });
    let done = work(history);
    history.masks.pop();
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_data_is_not_zero() {
        let mut history = History::new(100);
        history.push(Some(Observation::count(3.0)));
        history.push(None);
        history.push(Some(Observation::count(0.0)));
        assert_eq!(history.get(101), None);
        assert_eq!(history.get(102).map(|seen| seen.value), Some(0.0));
        assert_eq!((history.get(99), history.get(103)), (None, None));
    }

    #[test]
    fn late_events_reopen_and_extend_the_grid() {
        let mut history = History::from_counts(100, 1, [1.0, 2.0]);
        assert!(history.set(105, Some(Observation::count(9.0))));
        assert!(history.set(100, Some(Observation::count(7.0))));
        assert!(!history.set(99, Some(Observation::count(1.0))), "before the start there is no grid");
        assert_eq!(
            history.values(100, 106).iter().map(|v| if v.is_nan() { -1.0 } else { *v }).collect::<Vec<_>>(),
            [7.0, 2.0, -1.0, -1.0, -1.0, 9.0]
        );
    }

    #[test]
    fn optional_columns_appear_with_the_first_that_needs_them() {
        let mut history = History::new(0);
        history.push(Some(Observation::count(4.0)));
        history.push(Some(Observation::sampled(40.0, 400.0)));
        history.push(Some(Observation::sum(160.0, 2.0, 12_800.0)));
        assert_eq!(history.get(0), Some(Observation::count(4.0)));
        assert_eq!(history.get(1).map(|seen| seen.variance), Some(400.0));
        assert_eq!(history.get(2), Some(Observation::sum(160.0, 2.0, 12_800.0)));
    }

    #[test]
    fn masks_cover_steps_and_can_be_taken_back() {
        let mut history = History::from_counts(0, 5, [1.0; 6]);
        history.mask(Mask { from: 7, to: 12, reason: MaskReason::Incident, author: None });
        assert_eq!(history.masked(), [false, true, true, false, false, false]);
        history.set_masks(Vec::new());
        assert!(history.masked().iter().all(|masked| !masked));
    }

    #[test]
    fn forgetting_keeps_the_rest_in_place() {
        let mut history = History::from_counts(0, 1, (0..10).map(f64::from));
        history.mask(Mask { from: 1, to: 3, reason: MaskReason::Person, author: Some("ops".into()) });
        history.forget_before(4);
        assert_eq!((history.start(), history.len(), history.masks().len()), (4, 6, 0));
        assert_eq!(history.get(4).map(|seen| seen.value), Some(4.0));
    }

    #[test]
    fn resampling_scales_up_small_holes_and_leaves_large_ones_out() {
        let values = [1.0, 1.0, f64::NAN, 1.0, 1.0, f64::NAN, f64::NAN, f64::NAN, 1.0, 1.0];
        let coarse = History::from_counts(0, 1, values).resampled(5);
        assert_eq!(coarse.get(0).map(|seen| seen.value), Some(5.0));
        assert_eq!(coarse.get(5), None);
    }
}
