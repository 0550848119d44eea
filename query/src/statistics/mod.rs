//! Statistics of the questions: pure arithmetic on counts and sums, no clock, no I/O, no engine.
//!
//! Sums merge by addition, so states of partial scans give what one scan gives. Intervals and p-values are asymptotic unless a function
//! says exact; what makes a result unusable (too few units) is judged by the caller, who knows what was counted.

pub(crate) mod absence;
pub(crate) mod allocation;
pub(crate) mod contingency;
pub(crate) mod cuped;
pub(crate) mod moments;
pub(crate) mod multiple;
pub(crate) mod ranks;
pub(crate) mod ratio;
pub(crate) mod sequence;
pub(crate) mod split;
pub(crate) mod welch;

use statrs::function::erf::{erfc, erfc_inv};

/// P(|Z| ≥ z) of a standard normal Z.
pub(crate) fn normal_two_sided(z: f64) -> f64 {
    erfc(z.abs() / std::f64::consts::SQRT_2)
}

/// The value a standard normal exceeds with probability `tail`.
pub(crate) fn normal_quantile(tail: f64) -> f64 {
    std::f64::consts::SQRT_2 * erfc_inv(2.0 * tail)
}

/// A seeded stream for the simulations of the tests: SplitMix64.
#[cfg(test)]
pub(crate) mod draws {
    pub(crate) struct Draws(pub(crate) u64);

    impl Draws {
        pub(crate) fn bits(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        }

        #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double")]
        pub(crate) fn unit(&mut self) -> f64 {
            (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
        }

        pub(crate) fn chance(&mut self, p: f64) -> bool {
            self.unit() < p
        }

        pub(crate) fn normal(&mut self) -> f64 {
            let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
            radius * (std::f64::consts::TAU * self.unit()).cos()
        }
    }

    /// Runs of a simulation: few in CI, more with `YELLOWLINE_SIMULATIONS`.
    #[expect(clippy::disallowed_methods, reason = "a test takes its length from the environment")]
    pub(crate) fn runs(usual: u64) -> u64 {
        std::env::var("YELLOWLINE_SIMULATIONS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(usual)
    }
}

/// Exact arithmetic for the tests: fractions of 128-bit integers, kept in lowest terms.
#[cfg(test)]
pub(crate) mod fraction {
    use std::ops::{Add, Div, Mul, Sub};

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) struct Fraction(i128, i128);

    impl Fraction {
        pub(crate) fn of(number: i128) -> Self {
            Self(number, 1)
        }

        fn reduced(above: i128, below: i128) -> Self {
            let divisor = common(above.abs(), below.abs()).max(1) * below.signum();
            Self(above / divisor, below / divisor)
        }

        #[expect(clippy::cast_precision_loss, reason = "the nearest double is what is compared")]
        pub(crate) fn value(self) -> f64 {
            self.0 as f64 / self.1 as f64
        }
    }

    /// The greatest common divisor.
    fn common(a: i128, b: i128) -> i128 {
        if b == 0 { a } else { common(b, a % b) }
    }

    impl Add for Fraction {
        type Output = Self;
        fn add(self, other: Self) -> Self {
            let shared = common(self.1, other.1);
            Self::reduced(self.0 * (other.1 / shared) + other.0 * (self.1 / shared), self.1 / shared * other.1)
        }
    }

    impl Sub for Fraction {
        type Output = Self;
        fn sub(self, other: Self) -> Self {
            self + Self(-other.0, other.1)
        }
    }

    impl Mul for Fraction {
        type Output = Self;
        fn mul(self, other: Self) -> Self {
            Self::reduced(self.0 * other.0, self.1 * other.1)
        }
    }

    impl Div for Fraction {
        type Output = Self;
        fn div(self, other: Self) -> Self {
            Self::reduced(self.0 * other.1, self.1 * other.0)
        }
    }
}

#[cfg(test)]
pub(crate) fn check_near(found: f64, expect: f64, tolerance: f64) {
    assert!((found - expect).abs() <= tolerance, "found {found}, expected {expect} ± {tolerance}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_distribution_has_its_table() {
        check_near(normal_two_sided(1.959_963_985), 0.05, 1e-9);
        check_near(normal_quantile(0.025), 1.959_963_985, 1e-8);
        check_near(normal_quantile(0.2), 0.841_621_234, 1e-8);
    }
}
