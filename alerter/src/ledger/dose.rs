//! Dose and response: when the exposed share moves through several levels, does the deviation move with it?
//!
//! Two explanations of the minutes since the onset compete, each with the effect that fits it best: the exposed lose a part `h` of what
//! is expected of them (`expected * (1 - h * share)`), or everybody loses the same part `d` whatever the share is. Source: design,
//! slices B3.

use super::clamp;

/// Levels below which no dose is judged.
const LEVELS_MIN: usize = 3;
/// Shares closer than this are one level.
const LEVEL_WIDTH: f64 = 0.08;
/// Effects tried: from twice as much to nothing left.
const EFFECTS: std::ops::RangeInclusive<i32> = -100..=100;

/// A minute since the onset.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dosed {
    /// Share of the traffic that was exposed.
    pub share: f64,
    /// Seen.
    pub seen: f64,
    /// Expected without the deviation.
    pub expected: f64,
}

/// Log2 of the likelihood of "in proportion to the exposure" over "the same whatever the exposure", with counts over-dispersed by
/// `phi`; 0 with fewer than three levels.
#[must_use]
pub fn bits(minutes: &[Dosed], phi: f64) -> f64 {
    if levels(minutes) < LEVELS_MIN {
        return 0.0;
    }
    let proportional = best(minutes, |minute, effect| minute.expected * (1.0 - effect * minute.share));
    let constant = best(minutes, |minute, effect| minute.expected * (1.0 - effect));
    clamp((proportional - constant) / phi.max(1.0) / std::f64::consts::LN_2)
}

fn levels(minutes: &[Dosed]) -> usize {
    let mut shares: Vec<f64> = minutes.iter().map(|minute| minute.share).collect();
    shares.sort_by(f64::total_cmp);
    let mut last = f64::NEG_INFINITY;
    let mut count = 0;
    for share in shares {
        if share - last >= LEVEL_WIDTH {
            count += 1;
            last = share;
        }
    }
    count
}

/// The highest Poisson log likelihood over all effects.
fn best(minutes: &[Dosed], mean: impl Fn(&Dosed, f64) -> f64) -> f64 {
    let likelihood = |effect: f64| {
        let of = |minute: &Dosed| {
            let mean = mean(minute, effect).max(1e-3);
            minute.seen * mean.ln() - mean
        };
        minutes.iter().map(of).sum::<f64>()
    };
    EFFECTS.map(|percent| likelihood(f64::from(percent) / 100.0)).fold(f64::NEG_INFINITY, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(shares: &[f64], seen: impl Fn(f64) -> f64) -> Vec<Dosed> {
        shares.iter().map(|share| Dosed { share: *share, seen: seen(*share), expected: 100.0 }).collect()
    }

    #[test]
    fn a_loss_that_grows_with_the_exposure_speaks_for_it() {
        let ramp = [0.125, 0.125, 0.25, 0.25, 0.5, 0.5, 1.0, 1.0];
        let grows = bits(&minutes(&ramp, |share| 100.0 * (1.0 - 0.7 * share)), 1.2);
        let constant = bits(&minutes(&ramp, |_| 60.0), 1.2);
        assert!(grows > 8.0, "{grows}");
        assert!(constant < -5.0, "{constant}");
    }

    #[test]
    fn two_levels_tell_nothing() {
        assert_eq!(bits(&minutes(&[0.1, 0.1, 0.5, 0.5], |share| 100.0 - 50.0 * share), 1.0), 0.0);
        assert_eq!(bits(&[], 1.0), 0.0);
    }
}
