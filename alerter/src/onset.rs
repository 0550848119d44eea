//! When did it begin: profile likelihood of the start of a deviation that lasts until now.

use serde::{Deserialize, Serialize};

use crate::{history::Minute, score::Kind};

/// How far back an onset is looked for, in minutes.
pub const ONSET_LOOKBACK_MINUTES: usize = 180;

/// Onsets whose log likelihood is within this of the best are in the support.
const SUPPORT_DROP: f64 = 2.0;

/// One minute as the onset sees it; minutes without data are left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// When.
    pub minute: Minute,
    /// Seen.
    pub value: f64,
    /// Expected, with the level frozen before the deviation.
    pub expected: f64,
    /// Denominator (ratios).
    pub exposure: f64,
}

/// Where a deviation began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Onset {
    /// Likeliest first minute.
    pub minute: Minute,
    /// First minute of the support (likelihood within e^-2 of the best).
    pub from: Minute,
    /// Last minute of the support.
    pub to: Minute,
    /// Log likelihood ratio of the best onset against "nothing happened".
    pub log_likelihood: f64,
    /// Probability of each minute being the first, in time order; minutes below 1e-6 are left out, the rest sums to 1.
    pub profile: Vec<(Minute, f64)>,
}

impl Onset {
    /// An onset that is known to the minute.
    #[must_use]
    pub fn certain(minute: Minute) -> Self {
        Self { minute, from: minute, to: minute, log_likelihood: 0.0, profile: vec![(minute, 1.0)] }
    }

    /// An onset of which only the first and the last minute it can be are known.
    #[must_use]
    pub fn within(from: Minute, to: Minute) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "minutes of a window")]
        let each = 1.0 / (to - from + 1).max(1) as f64;
        let profile = (from..=to).map(|minute| (minute, each)).collect();
        Self { minute: from, from, to, log_likelihood: 0.0, profile }
    }

    /// Moves it to a minute at the earliest: an incident does not begin before the last one of its series ended.
    pub fn not_before(&mut self, earliest: Minute) {
        self.minute = self.minute.max(earliest);
        self.from = self.from.max(earliest);
        self.to = self.to.max(earliest);
    }
}

/// The onset of a drop (`down`) or rise that still lasts at the last point; `phi` and `unit` as in
/// [`crate::score::Spread`]. `None` when no suffix of the points deviates that way.
#[must_use]
pub fn onset(kind: Kind, points: &[Point], down: bool, phi: f64, unit: f64) -> Option<Onset> {
    let recent = &points[points.len().saturating_sub(ONSET_LOOKBACK_MINUTES)..];
    let mut profile: Vec<(Minute, f64)> = Vec::with_capacity(recent.len());
    let (mut y, mut m, mut n) = (0.0, 0.0, 0.0);
    for point in recent.iter().rev() {
        y += point.value.max(0.0) / unit;
        m += point.expected / unit;
        n += point.exposure;
        profile.push((point.minute, log_likelihood_ratio(kind, y, m, n, down) / phi.max(1.0)));
    }
    profile.reverse();
    let best = *profile.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    if best.1 <= 0.0 {
        return None;
    }
    let within = |entry: &&(Minute, f64)| entry.1 >= best.1 - SUPPORT_DROP;
    let from = profile.iter().find(within)?.0;
    let to = profile.iter().rev().find(within)?.0;
    let total: f64 = profile.iter().map(|(_, llr)| (llr - best.1).exp()).sum();
    let mut weights: Vec<(Minute, f64)> =
        profile.iter().map(|(minute, llr)| (*minute, (llr - best.1).exp() / total)).filter(|w| w.1 > 1e-6).collect();
    let kept: f64 = weights.iter().map(|w| w.1).sum();
    for weight in &mut weights {
        weight.1 /= kept;
    }
    Some(Onset { minute: best.0, from, to, log_likelihood: best.1, profile: weights })
}

/// Log likelihood of the best constant factor against factor 1; 0 when the deviation has the other sign.
fn log_likelihood_ratio(kind: Kind, y: f64, m: f64, n: f64, down: bool) -> f64 {
    if m <= 0.0 || (y < m) != down {
        return 0.0;
    }
    let x_ln = |x: f64, e: f64| if x > 0.0 { x * (x / e).ln() } else { 0.0 };
    match kind {
        Kind::Count | Kind::Sum => x_ln(y, m) - (y - m),
        Kind::Ratio => x_ln(y, m) + x_ln(n - y, n - m),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(before: usize, after: usize, expected: f64, factor: f64) -> Vec<Point> {
        (0..before + after)
            .map(|at| Point {
                minute: at as Minute,
                value: if at < before { expected } else { expected * factor },
                expected,
                exposure: expected * 4.0,
            })
            .collect()
    }

    fn check(kind: Kind, factor: f64) {
        let found = onset(kind, &points(100, 12, 50.0, factor), factor < 1.0, 1.2, 1.0).unwrap();
        assert_eq!(found.minute, 100, "{kind:?} x {factor}");
        assert!(found.from <= 100 && found.to >= 100);
        let total: f64 = found.profile.iter().map(|weight| weight.1).sum();
        assert!((total - 1.0).abs() < 1e-9);
        let most = found.profile.iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        assert_eq!(most.0, 100);
    }

    #[test]
    fn drops_and_rises_of_each_kind_are_dated() {
        for kind in [Kind::Count, Kind::Sum, Kind::Ratio] {
            [0.0, 0.5, 0.8, 1.5].into_iter().for_each(|factor| check(kind, factor));
        }
    }

    #[test]
    fn nothing_that_way_is_no_onset() {
        assert!(onset(Kind::Count, &points(50, 10, 50.0, 1.5), true, 1.0, 1.0).is_none());
        assert!(onset(Kind::Count, &[], true, 1.0, 1.0).is_none());
    }

    #[test]
    fn little_evidence_leaves_a_wide_support() {
        let sure = onset(Kind::Count, &points(100, 10, 500.0, 0.5), true, 1.2, 1.0).unwrap();
        let unsure = onset(Kind::Count, &points(100, 10, 2.0, 0.5), true, 1.2, 1.0).unwrap();
        assert!(sure.to - sure.from < unsure.to - unsure.from);
    }
}
