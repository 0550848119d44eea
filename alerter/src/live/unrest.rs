//! How far today strays from its usual error.
//!
//! Errors of an expectation cluster: on a day of storm, of an unknown holiday or of a sale the shape itself is another, hour after
//! hour. What the last hours were off by, against what they usually are, widens the relative error of the next ones, in the replay
//! that learns the thresholds as in earnest. An incident comes out of calm hours and finds its windows as sharp as ever; while it is
//! suspected or open nothing is taken in.

/// Blocks of five minutes judged together: of fewer, counting noise hides the error of the expectation.
pub(super) const BLOCKS: usize = 4;

/// Half-life of what was seen, in blocks: an hour and a half.
const HALF_LIFE_BLOCKS: f64 = 18.0;

/// Blocks remembered: three hours, so that a restart, which replays six, continues where it was.
const MEMORY: usize = 36;

/// Blocks that the usual error is worth.
const PRIOR_BLOCKS: f64 = 6.0;

/// No single block says more than this many usual variances.
const SURPRISE_MAX: f64 = 16.0;

/// Squared surprises of the last hours, in usual variances, newest first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unrest {
    surprises: [f32; MEMORY],
    count: usize,
    factor: f64,
}

impl Default for Unrest {
    fn default() -> Self {
        Self { surprises: [0.0; MEMORY], count: 0, factor: 1.0 }
    }
}

impl Unrest {
    /// Takes a block whose sum was off by `residual` where `variance` is usual.
    pub(super) fn add(&mut self, residual: f64, variance: f64) {
        let surprise = (residual * residual / variance.max(f64::MIN_POSITIVE)).min(SURPRISE_MAX);
        self.surprises.rotate_right(1);
        self.surprises[0] = surprise as f32;
        self.count = (self.count + 1).min(MEMORY);
        let keep = 0.5_f64.powf(1.0 / HALF_LIFE_BLOCKS);
        let (mut sum, mut weights, mut weight) = (PRIOR_BLOCKS, PRIOR_BLOCKS, 1.0);
        for surprise in &self.surprises[..self.count] {
            sum += weight * f64::from(*surprise);
            weights += weight;
            weight *= keep;
        }
        self.factor = (sum / weights).max(1.0).sqrt();
    }

    /// Factor on the usual relative error, at least 1.
    pub(super) fn factor(&self) -> f64 {
        self.factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_that_stray_widen_the_error_and_calm_ones_bring_it_back() {
        let mut unrest = Unrest::default();
        assert!((unrest.factor() - 1.0).abs() < 1e-12);
        (0..36).for_each(|_| unrest.add(1.0, 1.0));
        assert!((unrest.factor() - 1.0).abs() < 1e-12, "the usual error is no unrest");
        (0..12).for_each(|_| unrest.add(3.0, 1.0));
        let strayed = unrest.factor();
        assert!((1.5..2.5).contains(&strayed), "{strayed}");
        (0..54).for_each(|_| unrest.add(0.5, 1.0));
        assert!(unrest.factor() < 1.15, "{}", unrest.factor());
        unrest.add(1e6, 1.0);
        assert!(unrest.factor() < 1.5, "one block alone says little: {}", unrest.factor());
    }
}
