//! How surprising is what was seen: negative-binomial and beta-binomial deviance over windows of 2 to 180 minutes.
//!
//! A Gaussian z saturates at 1 / c (with a relative model error of 19 % a total outage scores 5.2 whatever the
//! traffic); the deviance of a count with the same mean and variance does not (200 expected and 0 seen score 10.7).

use serde::{Deserialize, Serialize};

use crate::{burn::Burn, history::Minute, threshold::Thresholds};

/// Number of windows scored each minute.
pub const WINDOW_COUNT: usize = 7;

/// Length of each window in minutes. The first [`FAST_WINDOWS`] are scored against the forecast corrected by the last
/// hour, the others against the day-ahead forecast, so that a slow drift cannot hide by moving the local level.
pub const WINDOWS: [usize; WINDOW_COUNT] = [2, 5, 10, 20, 40, 60, 180];

/// How many of [`WINDOWS`] are fast.
pub const FAST_WINDOWS: usize = 5;

/// What a series measures, which decides how its values vary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Events per minute.
    Count,
    /// Sum of a value per minute (money); varies like a count of events times its mean value, and more.
    Sum,
    /// Share of events with a property; the exposure is given, only the share is forecast. Latency is the share of
    /// events slower than a threshold.
    Ratio,
}

/// Which deviations page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Fewer than expected.
    Down,
    /// More than expected.
    Up,
    /// Either.
    Both,
}

impl Direction {
    /// True when a drop pages.
    #[must_use]
    pub fn watches_down(self) -> bool {
        self != Self::Up
    }

    /// True when a rise pages.
    #[must_use]
    pub fn watches_up(self) -> bool {
        self != Self::Down
    }
}

/// The sums of one window over its minutes with data.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct WindowSum {
    /// Minutes with data.
    pub minutes: usize,
    /// Sum of what was seen.
    pub value: f64,
    /// Sum of what was expected.
    pub expected: f64,
    /// Sum of the denominators (ratios only).
    pub exposure: f64,
    /// Sum of the Poisson variances of what was seen (see [`crate::history::Observation::variance`]).
    pub variance: f64,
}

/// The noise around an expectation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Over-dispersion: variance of the count over its mean, at least 1, sampling and baskets included.
    pub phi: f64,
    /// Relative error of the expectation itself.
    pub c: f64,
    /// Mean contribution of one event to the value: 1 for counts and ratios, the mean basket for sums.
    pub unit: f64,
}

/// Negative-binomial deviance of `y` seen where `m` was expected, variance `phi m + (c m)^2`.
#[must_use]
pub fn count_deviance(y: f64, m: f64, phi: f64, c: f64) -> f64 {
    let inverse_size = c * c + (phi - 1.0).max(0.0) / m;
    if inverse_size < 1e-9 {
        return (x_ln_ratio(y, m) - (y - m)).max(0.0);
    }
    let k = 1.0 / inverse_size;
    (x_ln_ratio(y, m) - (y + k) * ((y + k) / (m + k)).ln()).max(0.0)
}

/// Beta-binomial deviance (Stirling form) of `y` of `n` where `m` of `n` were expected, variance `phi n p q + (c n r)^2` with
/// `r` the rarer of `p` and `q`; the limit for small shares is [`count_deviance`].
#[must_use]
pub fn ratio_deviance(y: f64, m: f64, n: f64, phi: f64, c: f64) -> f64 {
    let p = (m / n).clamp(1e-9, 1.0 - 1e-9);
    let (y, q) = (y.clamp(0.0, n), 1.0 - p);
    let saturated = x_ln_ratio(y, n) + x_ln_ratio(n - y, n);
    // n p q (1 + n / kappa) is the variance of the beta-binomial.
    let inverse_precision = (phi - 1.0).max(0.0) / n + c * c * p.min(q).powi(2) / (p * q);
    if inverse_precision < 1e-12 {
        return (saturated - y * p.ln() - (n - y) * q.ln()).max(0.0);
    }
    let kappa = 1.0 / inverse_precision;
    let expected = x_ln_ratio(y + p * kappa, n + kappa) + x_ln_ratio(n - y + q * kappa, n + kappa)
        - kappa * (p * p.ln() + q * q.ln());
    (saturated - expected).max(0.0)
}

/// `x ln(x / y)`, 0 at x = 0.
fn x_ln_ratio(x: f64, y: f64) -> f64 {
    if x > 0.0 { x * (x / y).ln() } else { 0.0 }
}

/// Signed score of a window: the root of twice the deviance, negative for fewer than expected; 0 when nothing was
/// expected. The gate is not applied.
#[must_use]
pub fn window_score(kind: Kind, sum: &WindowSum, spread: Spread) -> f64 {
    let (y, m) = (sum.value.max(0.0) / spread.unit, sum.expected / spread.unit);
    if sum.minutes == 0 || m <= 0.0 || (kind == Kind::Ratio && sum.exposure <= 0.0) {
        return 0.0;
    }
    let deviance = match kind {
        Kind::Count | Kind::Sum => count_deviance(y, m, spread.phi, spread.c),
        Kind::Ratio => ratio_deviance(y, m, sum.exposure, spread.phi, spread.c),
    };
    (2.0 * deviance).sqrt().copysign(y - m)
}

/// The gate: a deviation smaller than `smallest` (a share, .12 by default) never pages, however sure it is.
#[must_use]
pub fn passes_gate(sum: &WindowSum, smallest: f64) -> bool {
    let change = smallest * sum.expected;
    sum.value <= sum.expected - change || sum.value >= sum.expected + change
}

/// A window past its threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Breach {
    /// Down or up, never both.
    pub direction: Direction,
    /// Length of the window in minutes.
    pub window_minutes: usize,
    /// Score, at least `threshold`.
    pub z: f64,
    /// The threshold learnt for this window.
    pub threshold: f64,
    /// Seen in the window.
    pub seen: f64,
    /// Expected in the window.
    pub expected: f64,
}

impl Breach {
    /// True for a window that is judged against the day-ahead forecast alone: the local level has followed a slow drift, so
    /// measured against it nothing would be missing.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        is_slow(self.window_minutes)
    }

    /// How far past its threshold, 1 = just reached.
    #[must_use]
    pub fn excess(&self) -> f64 {
        self.z / self.threshold
    }
}

/// See [`Breach::is_slow`].
#[must_use]
pub fn is_slow(window_minutes: usize) -> bool {
    window_minutes > WINDOWS[FAST_WINDOWS - 1]
}

/// The verdict on one minute.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The minute scored.
    pub minute: Minute,
    /// What was seen; `None` is no data.
    pub value: Option<f64>,
    /// Denominator seen (ratios).
    pub exposure: Option<f64>,
    /// Day-ahead expectation of the minute, in units of the value (for ratios: of the numerator, given the exposure).
    pub mu0: f64,
    /// The expectation corrected by the last hour; what the sentence and the fast windows use.
    pub mu: f64,
    /// Lower bound of the 95 % interval of the minute around `mu0`.
    pub lower: f64,
    /// Upper bound of it.
    pub upper: f64,
    /// Signed score of each of [`WINDOWS`] (negative: fewer than expected), 0 where the gate or missing data forbids one.
    pub z: [f64; WINDOW_COUNT],
    /// The window furthest past its threshold, if any; else the burn of the budget that pages.
    pub breach: Option<Breach>,
    /// What the budget's windows spent, where it was looked at.
    pub burn: Option<Burn>,
    /// Largest score over its threshold among the fast windows, in a watched direction.
    pub fast_ratio: f64,
    /// Largest score over its threshold among all windows, in a watched direction.
    pub ratio: f64,
    /// True while the local level is not moved (suspicion or an open incident).
    pub frozen: bool,
    /// The last minutes alone, for the end of an incident.
    pub recent: Recent,
}

/// What the last [`RECENT_MINUTES`] say by themselves: longer windows remember an incident that is over.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Recent {
    /// Events seen.
    pub seen: f64,
    /// Events expected, at the level before the incident.
    pub expected: f64,
    /// Their over-dispersion.
    pub phi: f64,
    /// Largest score over its threshold among these minutes as one window and the fast windows that fit into them; infinite
    /// while too few of the minutes have data.
    pub ratio: f64,
}

impl Recent {
    /// How much likelier these minutes are at the expectation than at `rate_ratio` times it, as a logarithm (Poisson, shrunk by
    /// the over-dispersion): the term of a sequential test for recovery.
    #[must_use]
    pub fn evidence_of_recovery(&self, rate_ratio: f64) -> f64 {
        ((rate_ratio - 1.0) * self.expected - self.seen * rate_ratio.ln()) / self.phi.max(1.0)
    }
}

impl Score {
    /// Takes what the budget's windows spent: where no window of the score pages, they may.
    pub fn take_burn(&mut self, burn: Option<Burn>, direction: Direction) {
        self.burn = burn;
        self.breach = self.breach.or_else(|| burn.and_then(|burn| burn.breach(direction)));
    }

    /// The burn of the budget, when that pages and no window of the score does.
    #[must_use]
    pub fn paging_burn(&self) -> Option<Burn> {
        self.burn.filter(|burn| self.ratio < 1.0 && burn.ratio() >= 1.0)
    }

    /// The score furthest from zero, unsigned.
    #[must_use]
    pub fn strongest(&self) -> f64 {
        self.z.iter().fold(0.0, |most, z| most.max(z.abs()))
    }
}

/// The ratio of a signed score to the threshold of its direction; 0 when that direction is not watched.
#[must_use]
pub fn threshold_ratio(z: f64, window: usize, thresholds: &Thresholds, direction: Direction) -> f64 {
    if z < 0.0 && direction.watches_down() {
        -z / thresholds.down[window]
    } else if z > 0.0 && direction.watches_up() {
        z / thresholds.up[window]
    } else {
        0.0
    }
}

/// Calm minutes after which an episode closes.
pub const CLOSE_AFTER_MINUTES: u32 = 15;

/// Calm means every score below this share of its threshold.
pub const CALM_RATIO: f64 = 0.5;

/// Breaches this close to the end of an episode belong to it.
pub const MERGE_MINUTES: i64 = 60;

/// Minutes that must look normal by themselves before an episode closes early.
pub const RECENT_MINUTES: usize = 15;

/// Evidence that ends an episode: the minutes are 400 times likelier at the expectation than at what the incident was.
const RECOVERY_EVIDENCE: f64 = 6.0;

/// An incident is taken to be at least this far from its expectation when recovery is weighed against it.
const HARM_MIN: f64 = 0.05;

/// What an incident looked like, for the test of its end.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Harm {
    seen: f64,
    expected: f64,
}

impl Harm {
    /// Seen over expected, kept away from 1 and from 0.
    fn rate_ratio(self) -> f64 {
        let ratio = self.seen / self.expected.max(f64::MIN_POSITIVE);
        if ratio < 1.0 { ratio.clamp(HARM_MIN, 1.0 - HARM_MIN) } else { ratio.clamp(1.0 + HARM_MIN, 1.0 / HARM_MIN) }
    }
}

/// One episode of a series, from its first breach until it has been calm long enough: the rule that opens, closes and
/// merges pages, without the paging.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Episode {
    open_since: Option<Minute>,
    /// The episode was opened by a slow window, so slow windows must calm down as well before it closes.
    slow: bool,
    /// It was opened by the burn of the budget, which must end before it closes; its share of what pages, when last looked at.
    burning: Option<f64>,
    calm_minutes: u32,
    closed_at: Option<Minute>,
    harm: Harm,
}

/// What a minute did to an [`Episode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EpisodeEvent {
    /// A new episode: page.
    Opened,
    /// A breach soon after the last episode closed: the same incident again, do not page anew.
    Reopened,
    /// Calm for [`CLOSE_AFTER_MINUTES`].
    Closed,
}

impl Episode {
    /// The episode of an incident known from before a restart: open since a minute, or closed at one. A resumed episode counts
    /// its calm minutes anew, and only its fast windows keep it open.
    #[must_use]
    pub fn resumed(open_since: Option<Minute>, closed_at: Option<Minute>) -> Self {
        Self { open_since, closed_at: closed_at.filter(|_| open_since.is_none()), ..Self::default() }
    }

    /// True between opening and closing.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open_since.is_some()
    }

    /// Takes the next minute in order. Minutes without data neither calm nor alarm.
    pub fn advance(&mut self, score: &Score) -> Option<EpisodeEvent> {
        if self.open_since.is_none() {
            let breach = score.breach?;
            let again = self.closed_at.is_some_and(|closed| score.minute - closed <= MERGE_MINUTES);
            *self = Self {
                open_since: Some(score.minute),
                slow: breach.is_slow(),
                burning: score.paging_burn().map(|burn| burn.ratio()),
                harm: Harm { seen: breach.seen, expected: breach.expected },
                ..Self::default()
            };
            return Some(if again { EpisodeEvent::Reopened } else { EpisodeEvent::Opened });
        }
        // A slow window remembers an outage for three hours after it ended; it only keeps open what it opened.
        let mut ratio = if self.slow { score.ratio } else { score.fast_ratio };
        if let Some(burning) = &mut self.burning {
            *burning = score.burn.map_or(*burning, |burn| burn.ratio());
            ratio = ratio.max(*burning);
        }
        if ratio >= CALM_RATIO {
            self.calm_minutes = 0;
        } else if score.value.is_some() {
            self.calm_minutes += 1;
        }
        if self.calm_minutes < CLOSE_AFTER_MINUTES && !self.has_recovered(score) {
            return None;
        }
        *self = Self { closed_at: Some(score.minute), ..Self::default() };
        Some(EpisodeEvent::Closed)
    }

    /// True when the last minutes by themselves are normal, and enough came in them to tell that from the incident: soon at
    /// many events a minute, never before the windows calm down at few.
    fn has_recovered(&mut self, score: &Score) -> bool {
        if let Some(value) = score.value.filter(|_| score.recent.ratio >= CALM_RATIO) {
            self.harm.seen += value;
            self.harm.expected += score.mu;
        }
        let long_enough = self.open_since.is_some_and(|since| score.minute - since >= RECENT_MINUTES as Minute);
        long_enough
            && !self.slow
            && self.harm.expected > 0.0
            && score.recent.ratio < CALM_RATIO
            && score.recent.evidence_of_recovery(self.harm.rate_ratio()) >= RECOVERY_EVIDENCE
    }
}

#[cfg(test)]
mod tests;
