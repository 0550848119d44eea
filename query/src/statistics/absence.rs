//! Things seen on one side only: is it luck that the other side lacks them?

/// P(all `count` independent sightings fall on a side with this share of the executions).
pub(crate) fn chance_of_luck(share: f64, count: f64) -> f64 {
    share.clamp(0.0, 1.0).powf(count.max(0.0))
}

/// 95 % upper bound of the rate of something never seen in `executions` (the rule of three).
pub(crate) fn rate_max(executions: f64) -> Option<f64> {
    (executions > 0.0).then(|| (3.0 / executions).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::{
        check_near,
        draws::{Draws, runs},
    };

    #[test]
    fn the_worked_examples() {
        check_near(chance_of_luck(0.5, 10.0), 0.000_98, 5e-6);
        check_near(chance_of_luck(0.05, 3.0), 0.000_125, 1e-12);
        check_near(rate_max(200_000.0).unwrap(), 1.5e-5, 1e-12);
        assert_eq!(rate_max(0.0), None);
    }

    /// Messages that do not care about the side are listed as "only here" no more often than alpha for all of them together.
    #[test]
    fn messages_on_both_sides_are_rarely_taken_for_one_sided() {
        let (repeats, templates, alpha) = (runs(400), 40, 0.05);
        let wrong = (0..repeats)
            .filter(|run| {
                let mut draws = Draws(run * 101 + 9);
                (0..templates).any(|template| {
                    let count = 1 + template % 20;
                    let only = (0..count).all(|_| draws.chance(0.5));
                    only && chance_of_luck(0.5, f64::from(count)) * f64::from(templates) < alpha
                })
            })
            .count();
        #[expect(clippy::cast_precision_loss, reason = "hundreds")]
        let share = wrong as f64 / repeats as f64;
        assert!(share <= alpha, "{share}");
    }
}
