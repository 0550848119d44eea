//! CUPED (Deng, Xu, Kohavi and Walker, 2013): what a unit did before the experiment explains a part of what it does in it; taken away, a
//! difference shows with fewer units.
//!
//! θ is pooled within the arms, so that the difference of the arms does not enter it. Units without a past keep their value.

use super::{moments::Moments, welch::Welch};

/// One arm; its parts merge.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Arm {
    /// x: the value in the experiment, y: the same metric before; units that have both.
    pub(crate) known: Moments,
    /// x: the value of units without a past.
    pub(crate) new: Moments,
}

/// The adjusted difference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Adjusted {
    pub(crate) difference: Welch,
    pub(crate) theta: f64,
    /// Share of the variance the past explains: r² where every unit has one.
    pub(crate) variance_reduction: f64,
    pub(crate) units: f64,
}

/// Treatment minus control; `None` below two units in an arm, or when nothing varies.
pub(crate) fn cuped(control: &Arm, treatment: &Arm) -> Option<Adjusted> {
    let arms = [control, treatment];
    let sum = |of: fn(&Moments) -> f64| arms.iter().map(|arm| of(&arm.known)).sum::<f64>();
    let (xy, yy, n) = (sum(|known| known.xy), sum(|known| known.yy), sum(|known| known.n));
    let theta = if yy > 0.0 { xy / yy } else { 0.0 };
    let before = if n > 0.0 { sum(|known| known.n * known.y) / n } else { 0.0 };
    let values = |theta: f64| {
        arms.map(|arm| {
            let known = &arm.known;
            let mut all = Moments {
                n: known.n,
                x: known.x - theta * (known.y - before),
                xx: (known.xx - 2.0 * theta * known.xy + theta * theta * known.yy).max(0.0),
                ..Moments::default()
            };
            all.merge(&Moments { n: arm.new.n, x: arm.new.x, xx: arm.new.xx, ..Moments::default() });
            all
        })
    };
    let (plain, adjusted) = (values(0.0), values(theta));
    let squares = |sides: &[Moments; 2]| sides[0].xx + sides[1].xx;
    let variance_reduction = if squares(&plain) > 0.0 { 1.0 - squares(&adjusted) / squares(&plain) } else { 0.0 };
    let difference = Welch::of(&adjusted[0], &adjusted[1])?;
    Some(Adjusted { difference, theta, variance_reduction, units: adjusted[0].n + adjusted[1].n })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::{
        check_near,
        draws::{Draws, runs},
        moments::moments,
    };

    /// X 1..5, Y 2, 3, 5, 4, 6: θ .9, r .9, variance × .19.
    #[test]
    fn the_worked_example() {
        let arm =
            Arm { known: moments(&[(2.0, 1.0), (3.0, 2.0), (5.0, 3.0), (4.0, 4.0), (6.0, 5.0)]), ..Arm::default() };
        let found = cuped(&arm, &arm).unwrap();
        check_near(found.theta, 0.9, 1e-12);
        check_near(found.variance_reduction, 0.81, 1e-12);
        check_near(found.difference.estimate, 0.0, 1e-12);
        // Variance of Y 2.5, adjusted 2.5 × .19, over five units an arm.
        check_near(found.difference.error.powi(2), 2.0 * 2.5 * 0.19 / 5.0, 1e-12);
    }

    /// Arms whose pasts differ by luck: the difference of the pasts is taken out. Units without a past keep their value.
    #[test]
    fn luck_in_the_past_is_taken_out() {
        let arm = |shift: f64, effect: f64| {
            let rows: Vec<(f64, f64)> =
                (0..4).map(f64::from).map(|x| (2.0 * (x + shift) + effect, x + shift)).collect();
            Arm { known: moments(&rows), new: moments(&[(3.0 + effect, 0.0), (5.0 + effect, 0.0)]) }
        };
        let found = cuped(&arm(0.0, 0.0), &arm(1.0, 0.5)).unwrap();
        check_near(found.theta, 2.0, 1e-12);
        check_near(found.difference.estimate, 0.5, 1e-12);
        assert!((0.5..1.0).contains(&found.variance_reduction), "{found:?}");
        let unknown = Arm { new: moments(&[(1.0, 0.0), (2.0, 0.0)]), ..Arm::default() };
        let plain = cuped(&unknown, &unknown).unwrap();
        assert_eq!((plain.theta, plain.variance_reduction), (0.0, 0.0));
        assert_eq!(cuped(&unknown, &Arm::default()), None);
    }

    /// The interval covers the true effect, and is narrower by about √(1 − r²).
    #[test]
    fn the_narrower_interval_still_covers() {
        let repeats = runs(600);
        let (mut covered, mut ratio) = (0_u32, 0.0);
        for run in 0..repeats {
            let mut draws = Draws(run * 13 + 2);
            let mut arms = [Arm::default(); 2];
            for unit in 0..200 {
                let side = usize::from(draws.chance(0.5));
                let past = 10.0 + 3.0 * draws.normal();
                let value = past + draws.normal() + if side == 1 { 0.4 } else { 0.0 };
                let arm = &mut arms[side];
                if unit % 10 == 0 { &mut arm.new } else { &mut arm.known }.merge(&Moments::of(value, past));
            }
            let found = cuped(&arms[0], &arms[1]).unwrap();
            let half = found.difference.half_width(0.05).unwrap();
            covered += u32::from((found.difference.estimate - 0.4).abs() <= half);
            ratio += 1.0 - found.variance_reduction;
        }
        let count = f64::from(u32::try_from(repeats).unwrap());
        let share = f64::from(covered) / count;
        assert!((0.92..=0.98).contains(&share), "{share}");
        // A tenth of the units has no past: .9 × .1 + .1 of the variance is left.
        check_near(ratio / count, 0.19, 0.03);
    }
}
