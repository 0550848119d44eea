//! What the aggregates keep of the rows of a group, and what they make of it.

use std::mem::size_of;

use datafusion::common::{Result, exec_err};

use crate::statistics::{
    cuped::{Arm, cuped},
    moments::{Moments, NUMBERS},
    normal_quantile,
    ranks::mann_whitney,
    ratio::Ratio,
    welch::Welch,
};

/// Error rate of the intervals.
const ALPHA: f64 = 0.05;

/// A summary of rows that merges.
pub(super) trait Kept: Send + Sync {
    /// Adds a row; `None` where an argument is no number.
    fn add(&mut self, row: &[Option<f64>]) -> Result<()>;
    /// The summary as numbers.
    fn numbers(&self) -> Vec<f64>;
    /// Adds a summary written as numbers.
    fn merge(&mut self, numbers: &[f64]);
    /// What is known of the rows; `None` where it is undefined.
    fn figures(&mut self) -> Vec<Option<f64>>;
    /// Bytes on the heap.
    fn bytes(&self) -> usize {
        size_of::<[Moments; 4]>()
    }
}

/// Which of two groups a row belongs to.
fn side(group: f64) -> Result<usize> {
    match group {
        0.0 => Ok(0),
        1.0 => Ok(1),
        other => exec_err!("a row belongs to the control (0, false) or to the treatment (1, true), not to {other}"),
    }
}

fn all(moments: &[Moments]) -> Vec<f64> {
    moments.iter().flat_map(|moments| moments.to_numbers()).collect()
}

fn merge_all<'m>(moments: impl Iterator<Item = &'m mut Moments>, numbers: &[f64]) {
    moments.zip(numbers.chunks(NUMBERS)).for_each(|(moments, part)| moments.merge(&Moments::from_numbers(part)));
}

/// Interval around an estimate, as cells.
fn interval(estimate: f64, half: Option<f64>) -> [Option<f64>; 3] {
    [Some(estimate), half.map(|half| estimate - half), half.map(|half| estimate + half)]
}

/// Two groups of numbers.
#[derive(Debug, Default)]
pub(super) struct Pairs([Moments; 2]);

impl Kept for Pairs {
    fn add(&mut self, row: &[Option<f64>]) -> Result<()> {
        if let [Some(value), Some(group)] = row {
            self.0[side(*group)?].merge(&Moments::of(*value, 0.0));
        }
        Ok(())
    }

    fn numbers(&self) -> Vec<f64> {
        all(&self.0)
    }

    fn merge(&mut self, numbers: &[f64]) {
        merge_all(self.0.iter_mut(), numbers);
    }

    fn figures(&mut self) -> Vec<Option<f64>> {
        let [a, b] = &self.0;
        match Welch::of(a, b) {
            Some(test) => {
                let [estimate, low, high] = interval(test.estimate, test.half_width(ALPHA));
                vec![estimate, low, high, Some(test.t()), Some(test.freedom), Some(test.p_value())]
            }
            None => {
                let estimate = (a.n > 0.0 && b.n > 0.0).then_some(b.x - a.x);
                vec![estimate, None, None, None, None, None]
            }
        }
    }
}

/// All values of two groups.
#[derive(Debug, Default)]
pub(super) struct Ranks([Vec<f64>; 2]);

impl Kept for Ranks {
    fn add(&mut self, row: &[Option<f64>]) -> Result<()> {
        if let [Some(value), Some(group)] = row {
            self.0[side(*group)?].push(*value);
        }
        Ok(())
    }

    /// How many values the control has, its values, those of the treatment.
    fn numbers(&self) -> Vec<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a count of values in memory")]
        let first = self.0[0].len() as f64;
        std::iter::once(first).chain(self.0.iter().flatten().copied()).collect()
    }

    fn merge(&mut self, numbers: &[f64]) {
        if let [first, values @ ..] = numbers {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of values in memory")]
            let (control, treatment) = values.split_at((*first as usize).min(values.len()));
            self.0[0].extend_from_slice(control);
            self.0[1].extend_from_slice(treatment);
        }
    }

    fn figures(&mut self) -> Vec<Option<f64>> {
        let [control, treatment] = &mut self.0;
        match mann_whitney(control, treatment, ALPHA) {
            Some(test) => [test.u, test.p_value, test.superiority, test.shift, test.low, test.high].map(Some).to_vec(),
            None => vec![None; 6],
        }
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|values| values.capacity() * size_of::<f64>()).sum()
    }
}

/// Two arms of units with a past, or without.
#[derive(Debug, Default)]
pub(super) struct Arms([Arm; 2]);

impl Kept for Arms {
    fn add(&mut self, row: &[Option<f64>]) -> Result<()> {
        if let [Some(value), before, Some(group)] = row {
            let arm = &mut self.0[side(*group)?];
            match before {
                Some(before) => arm.known.merge(&Moments::of(*value, *before)),
                None => arm.new.merge(&Moments::of(*value, 0.0)),
            }
        }
        Ok(())
    }

    fn numbers(&self) -> Vec<f64> {
        all(&[self.0[0].known, self.0[0].new, self.0[1].known, self.0[1].new])
    }

    fn merge(&mut self, numbers: &[f64]) {
        merge_all(self.0.iter_mut().flat_map(|arm| [&mut arm.known, &mut arm.new]), numbers);
    }

    fn figures(&mut self) -> Vec<Option<f64>> {
        let Some(found) = cuped(&self.0[0], &self.0[1]) else { return vec![None; 8] };
        let difference = found.difference;
        let [estimate, low, high] = interval(difference.estimate, difference.half_width(ALPHA));
        vec![
            estimate,
            low,
            high,
            Some(difference.error),
            Some(difference.p_value()),
            Some(found.theta),
            Some(found.variance_reduction),
            Some(found.units),
        ]
    }
}

/// Numerators and denominators of units.
#[derive(Debug, Default)]
pub(super) struct Units(Moments);

impl Kept for Units {
    fn add(&mut self, row: &[Option<f64>]) -> Result<()> {
        if let [Some(numerator), Some(denominator)] = row {
            self.0.merge(&Moments::of(*numerator, *denominator));
        }
        Ok(())
    }

    fn numbers(&self) -> Vec<f64> {
        all(&[self.0])
    }

    fn merge(&mut self, numbers: &[f64]) {
        merge_all(std::iter::once(&mut self.0), numbers);
    }

    fn figures(&mut self) -> Vec<Option<f64>> {
        let Some(found) = Ratio::of(&self.0) else { return vec![None, None, None, None, Some(self.0.n)] };
        let error = found.variance.map(f64::sqrt);
        let [ratio, low, high] = interval(found.ratio, error.map(|error| normal_quantile(ALPHA / 2.0) * error));
        vec![ratio, low, high, error, Some(self.0.n)]
    }
}

/// Values that stand for `weight` rows each.
#[derive(Debug)]
pub(super) struct Weighted {
    moments: Moments,
    make: fn(f64) -> f64,
}

impl Weighted {
    pub(super) fn variance() -> Self {
        Self { moments: Moments::default(), make: |variance| variance }
    }

    pub(super) fn deviation() -> Self {
        Self { moments: Moments::default(), make: f64::sqrt }
    }
}

impl Kept for Weighted {
    fn add(&mut self, row: &[Option<f64>]) -> Result<()> {
        if let [Some(value), Some(weight)] = row {
            self.moments.merge(&Moments { n: *weight, ..Moments::of(*value, 0.0) });
        }
        Ok(())
    }

    fn numbers(&self) -> Vec<f64> {
        all(&[self.moments])
    }

    fn merge(&mut self, numbers: &[f64]) {
        merge_all(std::iter::once(&mut self.moments), numbers);
    }

    fn figures(&mut self) -> Vec<Option<f64>> {
        vec![self.moments.variance().map(self.make)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::{check_near, draws::Draws};

    /// Dealt to any number of parts, written down and merged in any order, rows give the figures they give in one piece.
    #[test]
    fn partial_states_merge_to_the_same_figures() {
        let starts: [fn() -> Box<dyn Kept>; 5] = [
            || Box::<Pairs>::default(),
            || Box::<Ranks>::default(),
            || Box::<Arms>::default(),
            || Box::<Units>::default(),
            || Box::new(Weighted::deviation()),
        ];
        for (which, start) in starts.into_iter().enumerate() {
            for run in 0..10 {
                let mut draws = Draws(run * 5 + 1);
                let rows: Vec<Vec<Option<f64>>> = (0..200)
                    .map(|row| {
                        let value = Some(100.0 + draws.normal()).filter(|_| row % 17 != 0);
                        let (group, other) = (Some(f64::from(u8::from(draws.chance(0.4)))), Some(1.0 + draws.unit()));
                        match which {
                            0 | 1 => vec![value, group],
                            2 => vec![value, other.filter(|_| row % 5 != 0), group],
                            _ => vec![value, other],
                        }
                    })
                    .collect();
                let mut whole = start();
                rows.iter().for_each(|row| whole.add(row).unwrap());
                let mut parts: Vec<Box<dyn Kept>> = (0..5).map(|_| start()).collect();
                for row in &rows {
                    parts[usize::try_from(draws.bits() % 5).unwrap()].add(row).unwrap();
                }
                let mut merged = start();
                parts.iter().rev().for_each(|part| merged.merge(&part.numbers()));
                for (found, expect) in merged.figures().into_iter().zip(whole.figures()) {
                    check_near(found.unwrap(), expect.unwrap(), 1e-9 * expect.unwrap().abs().max(1.0));
                }
            }
        }
    }

    #[test]
    fn nothing_is_said_of_nothing() {
        let starts: [Box<dyn Kept>; 4] =
            [Box::<Pairs>::default(), Box::<Ranks>::default(), Box::<Arms>::default(), Box::new(Weighted::variance())];
        for mut kept in starts {
            assert!(kept.figures().iter().all(Option::is_none));
        }
        assert!(Pairs::default().add(&[Some(1.0), Some(2.0)]).is_err());
    }
}
