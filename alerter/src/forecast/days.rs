//! The history as a matrix: one row a local day, one column a slot of the day.

use crate::{
    history::{DAY_MINUTES, History, Minute},
    zone::{LocalClock, LocalDay},
};

/// Slots are at least this many minutes wide; finer ones hold too few events to have a shape.
pub(crate) const SLOT_MINUTES: i64 = 5;

/// A day with more missing or masked slots than this share teaches nothing.
pub(crate) const MISSING_SHARE_MAX: f64 = 0.3;

/// Local days by slots. Values are per full slot; NaN where nothing unmasked was seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Days {
    /// The day of row 0.
    pub(crate) first: LocalDay,
    /// Slots a day.
    pub(crate) slots: usize,
    /// Minutes a slot.
    pub(crate) slot_minutes: i64,
    value: Vec<f64>,
    /// Denominators of ratios; empty otherwise.
    exposure: Vec<f64>,
    missing: Vec<f64>,
}

impl Days {
    /// Sorts the unmasked steps of `[from, to)` into slots of `clock`'s days `first..after`.
    pub(crate) fn new(
        history: &History,
        hidden: &[bool],
        clock: &LocalClock,
        first: LocalDay,
        after: LocalDay,
        ratio: bool,
    ) -> Self {
        let slot_minutes = history.step_minutes().max(SLOT_MINUTES);
        let slots = usize::try_from(DAY_MINUTES / slot_minutes).unwrap_or(1);
        let rows = usize::try_from(after - first).unwrap_or(0);
        let mut sums =
            Sums { value: vec![0.0; rows * slots], exposure: vec![0.0; rows * slots], seen: vec![0; rows * slots] };
        let (from, to) = (clock.day_start(first).max(history.start()), clock.day_start(after).min(history.end()));
        for (run_from, run_to, offset) in clock.runs(from, to) {
            sums.add_run(history, hidden, run_from, run_to, offset - i64::from(first) * DAY_MINUTES, slot_minutes);
        }
        let steps_per_slot = (slot_minutes / history.step_minutes()) as f64;
        let mut days = Self {
            first,
            slots,
            slot_minutes,
            value: scaled(&sums.value, &sums.seen, steps_per_slot),
            exposure: if ratio { scaled(&sums.exposure, &sums.seen, steps_per_slot) } else { Vec::new() },
            missing: Vec::new(),
        };
        days.missing = days
            .value
            .chunks(slots)
            .map(|row| row.iter().filter(|v| v.is_nan()).count() as f64 / slots as f64)
            .collect();
        days
    }

    /// Rows held.
    pub(crate) fn len(&self) -> usize {
        self.missing.len()
    }

    /// The row of a day, if held.
    pub(crate) fn row_of(&self, day: LocalDay) -> Option<usize> {
        usize::try_from(day - self.first).ok().filter(|row| *row < self.len())
    }

    /// The day of a row.
    pub(crate) fn day(&self, row: usize) -> LocalDay {
        self.first + LocalDay::try_from(row).unwrap_or(0)
    }

    /// Values of a day by slot.
    pub(crate) fn values(&self, row: usize) -> &[f64] {
        &self.value[row * self.slots..(row + 1) * self.slots]
    }

    /// Denominator of a slot; 1 for kinds without one, so that a rate is always value over exposure.
    pub(crate) fn exposure(&self, row: usize, slot: usize) -> f64 {
        self.exposure.get(row * self.slots + slot).copied().unwrap_or(1.0)
    }

    /// True when the day has enough unmasked slots to learn from.
    pub(crate) fn usable(&self, row: usize) -> bool {
        self.missing[row] <= MISSING_SHARE_MAX
    }

    /// Hides a day (an event day of the calendar) from the ordinary profile.
    pub(crate) fn hide(&mut self, row: usize) {
        self.missing[row] = 1.0;
    }
}

struct Sums {
    value: Vec<f64>,
    exposure: Vec<f64>,
    seen: Vec<u32>,
}

impl Sums {
    /// Adds the steps of one run of constant offset, slot by slot; `shift` takes a UTC minute to minutes since row 0.
    fn add_run(&mut self, history: &History, hidden: &[bool], from: Minute, to: Minute, shift: i64, slot_minutes: i64) {
        let step = history.step_minutes();
        let first = (from - history.start() + step - 1).div_euclid(step);
        let after = (to - history.start() + step - 1).div_euclid(step);
        let Ok((mut index, after)) = usize::try_from(first).and_then(|f| usize::try_from(after).map(|a| (f, a))) else {
            return;
        };
        while index < after {
            let local = history.start() + index as i64 * step + shift;
            let cell = local.div_euclid(slot_minutes);
            let steps = ((cell + 1) * slot_minutes - local + step - 1).div_euclid(step);
            let slot = index..after.min(index + usize::try_from(steps).unwrap_or(1));
            index = slot.end;
            let Some(cell) = usize::try_from(cell).ok().filter(|cell| *cell < self.value.len()) else { continue };
            for index in slot.filter(|index| !hidden[*index]) {
                let Some((value, exposure)) = history.rate_at(index) else { continue };
                self.value[cell] += value;
                self.exposure[cell] += exposure;
                self.seen[cell] += 1;
            }
        }
    }
}

fn scaled(sums: &[f64], seen: &[u32], steps_per_slot: f64) -> Vec<f64> {
    sums.iter()
        .zip(seen)
        .map(|(sum, seen)| if *seen == 0 { f64::NAN } else { sum * steps_per_slot / f64::from(*seen) })
        .collect()
}
