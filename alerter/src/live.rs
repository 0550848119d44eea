//! The minute stream of one series: the local level `a(t)`, the ring of recent minutes, and the score of each.
//!
//! State is below 8 KB a series, and a restart needs no saved copy: [`Live::warmed`] replays the last hours.

#![expect(clippy::cast_possible_truncation, reason = "the ring stores f32; positions fit usize")]

mod unrest;

use crate::{
    forecast::{Fitted, Scale, median::median},
    history::{History, Minute, Observation},
    onset::{ONSET_LOOKBACK_MINUTES, Point},
    score::{
        Breach, Direction, FAST_WINDOWS, Kind, RECENT_MINUTES, Recent, Score, Spread, WINDOW_COUNT, WINDOWS, WindowSum,
        passes_gate, threshold_ratio, window_score,
    },
};
use unrest::Unrest;

/// Minutes kept: the longest window and the onset's look-back.
pub const RING_MINUTES: usize = ONSET_LOOKBACK_MINUTES;

/// Minutes a level block sums.
const BLOCK_MINUTES: i64 = 5;

/// A block enters the level only when it is this old, so that an incident is seen before it is believed.
const BLOCK_AGE_MINUTES: i64 = 10;

/// Blocks behind the level: one hour.
const BLOCKS: usize = 12;

/// Range of the local level.
const LEVEL_RANGE: (f64, f64) = (0.4, 2.5);

/// Share of a threshold above which the level is not moved.
const FREEZE_RATIO: f64 = 0.75;

/// Longest freeze on mere suspicion. Without a cap one overshoot froze a wrong level for days.
const FREEZE_MINUTES_MAX: u32 = 120;

/// Below this many expected events a block the median of block ratios is biased, and the ratio of sums is taken.
const MEDIAN_BLOCK_EVENTS: f64 = 10.0;

/// How far back the last event is looked for after a restart.
const GAP_MINUTES_MAX: i64 = 14 * 1440;

/// A held level goes back to what was expected a day ahead in about so many minutes: what the last hour knew of the next one says
/// little about tonight. Without it a level from a busy night kept an incident open through the next day.
const HELD_MINUTES: f64 = 180.0;

/// Hours replayed by [`Live::warmed`]: the ring, the level's hour, and what a freeze can hold back.
const WARM_MINUTES: i64 = 360;

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// NaN is no data.
    value: f32,
    mu0: f32,
    mu: f32,
    exposure: f32,
    variance: f32,
}

const NO_DATA: Slot = Slot { value: f32::NAN, mu0: 0.0, mu: 0.0, exposure: 0.0, variance: 0.0 };

/// One closed block of the local level, in events.
#[derive(Debug, Clone, Copy, Default)]
struct Block {
    start: Minute,
    seen: f64,
    expected: f64,
    /// Expected at the local level of the time.
    corrected: f64,
    exposure: f64,
}

/// Rolling state of one series.
#[derive(Debug, Clone)]
pub struct Live {
    /// The next minute to be stepped; ring position is minute modulo its length.
    next: Minute,
    ring: Box<[Slot; RING_MINUTES]>,
    blocks: [Block; BLOCKS],
    block_count: usize,
    level: f64,
    /// The last local midnight, and what the forecast made there changed against the one before.
    revised: (Minute, f64),
    /// Expected since the last event, over the minutes seen. Rates below a few an hour show an outage only by the time
    /// since the last event, which no window of three hours holds.
    gap_expected: f64,
    unrest: Unrest,
    frozen_minutes: u32,
    suspicious: bool,
    held: bool,
    held_minutes: u32,
}

impl Live {
    /// Bytes of the ring, which is most of the state.
    pub const RING_BYTES: usize = RING_MINUTES * size_of::<Slot>();

    /// An empty state whose first minute is `start`; scores need some minutes to mean something.
    #[must_use]
    pub fn new(start: Minute) -> Self {
        Self {
            next: start,
            ring: Box::new([NO_DATA; RING_MINUTES]),
            blocks: [Block::default(); BLOCKS],
            block_count: 0,
            level: 1.0,
            revised: (Minute::MIN, 1.0),
            gap_expected: 0.0,
            unrest: Unrest::default(),
            frozen_minutes: 0,
            suspicious: false,
            held: false,
            held_minutes: 0,
        }
    }

    /// The state at `until` as if it had run all the time, from the last hours of history (masked minutes count as
    /// no data).
    #[must_use]
    pub fn warmed(fitted: &Fitted, history: &History, until: Minute) -> Self {
        let hidden = history.masked();
        let from = (until - WARM_MINUTES).max(history.start());
        let mut live = Self::new(from.min(until));
        let seen = |minute: Minute| {
            let index = usize::try_from((minute - history.start()).div_euclid(history.step_minutes())).ok()?;
            if hidden.get(index).copied().unwrap_or(true) { None } else { history.at(index) }
        };
        let gap = (from - GAP_MINUTES_MAX..from)
            .rev()
            .take_while(|minute| seen(*minute).is_none_or(|known| known.value <= 0.0));
        live.gap_expected = gap.filter_map(|minute| seen(minute).map(|known| fitted.expected(minute, &known))).sum();
        for minute in from..until {
            live.step(fitted, minute, seen(minute));
        }
        live
    }

    /// The next minute this state expects.
    #[must_use]
    pub fn next_minute(&self) -> Minute {
        self.next
    }

    /// The local level: what the last hour says on top of the day-ahead forecast.
    #[must_use]
    pub fn level(&self) -> f64 {
        self.level
    }

    /// Holds the level while an incident is open, and lets it go.
    pub fn hold(&mut self, incident_open: bool) {
        if !incident_open {
            self.level = self.level_now();
            self.held_minutes = 0;
        }
        self.held = incident_open;
    }

    /// Removes `[from, to)` from all windows (an incident that closed, a mask), so that slow windows do not page again
    /// for what is over.
    pub fn forget(&mut self, from: Minute, to: Minute) {
        for minute in from.max(self.next - RING_MINUTES as i64)..to.min(self.next) {
            self.ring[position(minute)].value = f32::NAN;
        }
        if to >= self.next {
            self.gap_expected = 0.0;
        }
    }

    /// Takes the next minute and scores it. Minutes skipped since the last step count as no data; a minute already
    /// stepped is revised instead (see [`Self::revise`]).
    pub fn step(&mut self, fitted: &Fitted, minute: Minute, observation: Option<Observation>) -> Score {
        if minute < self.next {
            self.revise(fitted, minute, observation);
            return self.score(fitted, minute);
        }
        if minute - self.next >= RING_MINUTES as i64 {
            let held = self.held;
            *self = Self { held, ..Self::new(minute) };
        }
        while self.next < minute {
            self.push(fitted, None);
        }
        self.push(fitted, observation);
        let score = self.score(fitted, minute);
        self.suspicious = score.fast_ratio > FREEZE_RATIO;
        self.frozen_minutes = if self.suspicious { self.frozen_minutes + 1 } else { 0 };
        score
    }

    /// Takes the next minute without scoring it, for the level alone.
    pub(crate) fn follow(&mut self, fitted: &Fitted, minute: Minute, observation: Option<Observation>) {
        while self.next < minute {
            self.push(fitted, None);
        }
        self.push(fitted, observation);
    }

    /// Replaces a recent minute by what late events made of it; expectations of other minutes are not touched.
    /// `false` when the minute is no longer (or not yet) in the ring. Score it again with [`Self::score`].
    pub fn revise(&mut self, fitted: &Fitted, minute: Minute, observation: Option<Observation>) -> bool {
        if minute >= self.next || minute < self.next - RING_MINUTES as i64 {
            return false;
        }
        let exposure_before = self.ring[position(minute)].exposure;
        self.write(fitted, minute, observation, f64::from(exposure_before));
        if observation.is_some_and(|seen| seen.value > 0.0) {
            let since = (minute + 1..self.next).map(|later| self.ring[position(later)]);
            let expected = since.filter(|slot| !slot.value.is_nan()).map(|slot| f64::from(slot.mu0)).sum();
            self.gap_expected = self.gap_expected.min(expected);
        }
        let start = minute.div_euclid(BLOCK_MINUTES) * BLOCK_MINUTES;
        if let Some(index) = self.blocks[..self.block_count].iter().position(|block| block.start == start)
            && let Some(block) = self.block(fitted, start)
        {
            self.blocks[index] = block;
        }
        true
    }

    fn push(&mut self, fitted: &Fitted, observation: Option<Observation>) {
        let minute = self.next;
        self.carry_over_midnight(fitted, minute);
        self.close_block(fitted, minute);
        self.held_minutes = if self.held { self.held_minutes.saturating_add(1) } else { 0 };
        self.write(fitted, minute, observation, 0.0);
        match observation {
            Some(seen) if seen.value > 0.0 => self.gap_expected = 0.0,
            Some(seen) => self.gap_expected += fitted.expected(minute, &seen),
            None => {}
        }
        self.next += 1;
    }

    /// Writes a minute; the expectation of a missing minute of a ratio keeps the exposure known before.
    fn write(&mut self, fitted: &Fitted, minute: Minute, observation: Option<Observation>, exposure_before: f64) {
        let ratio = fitted.settings().kind == Kind::Ratio;
        let exposure = observation.map_or(exposure_before, |seen| seen.exposure);
        let mu0 = if ratio { fitted.rate(minute) * exposure } else { fitted.rate(minute) };
        let corrected = mu0 * self.level_now();
        let mu = if ratio { corrected.min(exposure) } else { corrected };
        self.ring[position(minute)] = Slot {
            value: observation.map_or(f32::NAN, |seen| seen.value as f32),
            mu0: mu0 as f32,
            mu: mu as f32,
            exposure: exposure as f32,
            variance: observation.map_or(0.0, |seen| seen.variance as f32),
        };
    }

    /// The local level that the next minute is expected at.
    fn level_now(&self) -> f64 {
        held_level(self.level, i64::from(self.held_minutes))
    }

    /// Closes the block that becomes old enough with `minute`, unless the level is frozen.
    fn close_block(&mut self, fitted: &Fitted, minute: Minute) {
        if minute.rem_euclid(BLOCK_MINUTES) != 0 {
            return;
        }
        let frozen = self.held || (self.suspicious && self.frozen_minutes < FREEZE_MINUTES_MAX);
        if frozen {
            return;
        }
        let Some(block) = self.block(fitted, minute - BLOCK_AGE_MINUTES - BLOCK_MINUTES) else { return };
        if self.block_count == BLOCKS {
            self.blocks.rotate_left(1);
            self.block_count -= 1;
        }
        self.blocks[self.block_count] = block;
        self.block_count += 1;
        self.compare_with_usual(fitted, minute);
        let c_slow = fitted.noise().c_slow[fitted.local_hour(minute)];
        self.level = local_level(&self.blocks[..self.block_count], c_slow);
    }

    /// Lets the last blocks say how far today strays from its usual error.
    fn compare_with_usual(&mut self, fitted: &Fitted, minute: Minute) {
        let Some(first) = self.block_count.checked_sub(unrest::BLOCKS) else { return };
        let blocks = &self.blocks[first..self.block_count];
        let total = |of: fn(&Block) -> f64| blocks.iter().map(of).sum::<f64>();
        let expected = total(|block| block.corrected);
        let noise = fitted.noise();
        let scale = Scale::of(fitted.settings().kind, expected, total(|block| block.exposure));
        let error = noise.c_fast[fitted.local_hour(minute)] * scale.size;
        self.unrest.add(total(|block| block.seen) - expected, noise.phi_total() * scale.variance + error * error);
    }

    /// A new day's forecast has learnt from the day before; what the local level knew already must not count twice.
    fn carry_over_midnight(&mut self, fitted: &Fitted, minute: Minute) {
        let revision = fitted.revision_at(minute);
        if revision != 1.0 {
            self.revised = (minute, revision);
            self.blocks[..self.block_count].iter_mut().for_each(|block| block.expected *= revision);
            self.level = (self.level / revision).clamp(LEVEL_RANGE.0, LEVEL_RANGE.1);
        }
    }

    fn block(&self, fitted: &Fitted, start: Minute) -> Option<Block> {
        let mut block = Block { start, ..Block::default() };
        for minute in start.max(self.next - RING_MINUTES as i64)..start + BLOCK_MINUTES {
            let slot = self.ring[position(minute)];
            if !slot.value.is_nan() {
                block.seen += f64::from(slot.value.max(0.0)) / fitted.noise().unit;
                block.expected += f64::from(slot.mu0) / fitted.noise().unit;
                block.corrected += f64::from(slot.mu) / fitted.noise().unit;
                block.exposure += f64::from(slot.exposure);
            }
        }
        if start < self.revised.0 {
            block.expected *= self.revised.1;
        }
        (block.expected > 0.0).then_some(block)
    }

    /// Scores a minute that is still in the ring, with the windows that end at it.
    #[must_use]
    pub fn score(&self, fitted: &Fitted, minute: Minute) -> Score {
        let slot = self.ring[position(minute)];
        let hour = fitted.local_hour(minute);
        let thresholds = fitted.thresholds();
        let direction = fitted.settings().direction;
        let bounds = fitted.around(f64::from(slot.mu0), f64::from(slot.exposure), minute, 1);
        let missing = slot.value.is_nan();
        let mut score = Score {
            minute,
            value: (!missing).then_some(f64::from(slot.value)),
            exposure: (fitted.settings().kind == Kind::Ratio && !missing).then_some(f64::from(slot.exposure)),
            mu0: f64::from(slot.mu0),
            mu: f64::from(slot.mu),
            lower: bounds.lower,
            upper: bounds.upper,
            z: [0.0; WINDOW_COUNT],
            breach: None,
            burn: None,
            fast_ratio: 0.0,
            ratio: 0.0,
            frozen: self.held || (self.suspicious && self.frozen_minutes < FREEZE_MINUTES_MAX),
            recent: Recent { ratio: f64::INFINITY, ..Recent::default() },
        };
        let mut sums = self.window_sums(minute);
        let longest = &mut sums[WINDOW_COUNT - 1];
        if minute + 1 == self.next && longest.minutes * 2 >= WINDOWS[WINDOW_COUNT - 1] && longest.value <= 0.0 {
            longest.expected = longest.expected.max(self.gap_expected);
        }
        for (window, sum) in sums.iter().enumerate() {
            if sum.minutes * 2 < WINDOWS[window] || !passes_gate(sum, fitted.settings().smallest_drop) {
                continue;
            }
            let spread = self.spread(fitted, sum, window, minute, hour);
            let z = window_score(fitted.settings().kind, sum, spread);
            score.z[window] = z;
            let ratio = threshold_ratio(z, window, thresholds, direction);
            if window < FAST_WINDOWS {
                score.fast_ratio = score.fast_ratio.max(ratio);
            }
            if ratio >= 1.0 && ratio > score.ratio {
                let direction = if z < 0.0 { Direction::Down } else { Direction::Up };
                score.breach = Some(Breach {
                    direction,
                    window_minutes: WINDOWS[window],
                    z: z.abs(),
                    threshold: thresholds.of(z, window),
                    seen: sum.value,
                    expected: sum.expected,
                });
            }
            score.ratio = score.ratio.max(ratio);
        }
        if !fitted.pages() {
            score.breach = None;
        }
        if self.held {
            score.recent = self.recent(fitted, &score);
        }
        score
    }

    /// The last minutes by themselves, while an incident is open.
    fn recent(&self, fitted: &Fitted, score: &Score) -> Recent {
        let mut sum = WindowSum::default();
        let oldest = self.next - RING_MINUTES as i64;
        for minute in (score.minute + 1 - RECENT_MINUTES as i64).max(oldest)..=score.minute {
            let slot = &self.ring[position(minute)];
            if !slot.value.is_nan() {
                sum.minutes += 1;
                sum.value += f64::from(slot.value);
                sum.expected += f64::from(slot.mu);
                sum.exposure += f64::from(slot.exposure);
                sum.variance += f64::from(slot.variance);
            }
        }
        // The thresholds of the shortest window that is not shorter hold.
        let window = WINDOWS.iter().position(|minutes| *minutes >= RECENT_MINUTES).unwrap_or(0);
        let spread = self.spread(fitted, &sum, window, score.minute, fitted.local_hour(score.minute));
        let settings = fitted.settings();
        let ratio = |z: f64, window: usize| threshold_ratio(z, window, fitted.thresholds(), settings.direction);
        let own = if sum.minutes * 3 < RECENT_MINUTES * 2 {
            f64::INFINITY
        } else if passes_gate(&sum, settings.smallest_drop) {
            ratio(window_score(settings.kind, &sum, spread), window)
        } else {
            0.0
        };
        let shorter = (0..window).map(|window| ratio(score.z[window], window));
        Recent {
            seen: sum.value / spread.unit,
            expected: sum.expected / spread.unit,
            phi: spread.phi,
            ratio: shorter.fold(own, f64::max),
        }
    }

    /// Sums of all windows that end at `minute`, in one pass backwards.
    fn window_sums(&self, minute: Minute) -> [WindowSum; WINDOW_COUNT] {
        let mut sums = [WindowSum::default(); WINDOW_COUNT];
        let (mut fast, mut slow) = (WindowSum::default(), WindowSum::default());
        let oldest = self.next - RING_MINUTES as i64;
        let mut at = position(minute);
        let mut length = 0;
        for (window, sum) in sums.iter_mut().enumerate() {
            while length < WINDOWS[window] {
                if minute - length as i64 >= oldest {
                    let slot = &self.ring[at];
                    if !slot.value.is_nan() {
                        fast.minutes += 1;
                        fast.value += f64::from(slot.value);
                        fast.expected += f64::from(slot.mu);
                        fast.exposure += f64::from(slot.exposure);
                        fast.variance += f64::from(slot.variance);
                        slow.expected += f64::from(slot.mu0);
                    }
                }
                at = if at == 0 { RING_MINUTES - 1 } else { at - 1 };
                length += 1;
            }
            *sum = if window < FAST_WINDOWS { fast } else { WindowSum { expected: slow.expected, ..fast } };
        }
        sums
    }

    /// Noise of a window; heavier sampling than usual and unrest widen it.
    fn spread(&self, fitted: &Fitted, sum: &WindowSum, window: usize, minute: Minute, hour: usize) -> Spread {
        let noise = fitted.noise();
        let event = fitted.c_min(minute);
        let fast = window < FAST_WINDOWS;
        let usual = self.unrest.factor() * if fast { noise.c_fast[hour] } else { noise.c_slow[hour] };
        // The local level makes good for about half of what an event day is forecast wrong.
        let c = usual.hypot(if fast { event / 2.0 } else { event });
        let mut basket = noise.basket;
        if fitted.settings().kind == Kind::Count && sum.value > 0.0 {
            basket = basket.max(sum.variance / sum.value);
        }
        Spread { phi: noise.phi - 1.0 + basket, c, unit: noise.unit }
    }

    /// The recent minutes with data for [`crate::onset::onset`], oldest first, ending with `until`.
    #[must_use]
    pub fn points(&self, until: Minute) -> Vec<Point> {
        let from = self.next - RING_MINUTES as i64;
        (from..=until.min(self.next - 1))
            .filter_map(|minute| {
                let slot = self.ring[position(minute)];
                (!slot.value.is_nan()).then(|| Point {
                    minute,
                    value: f64::from(slot.value),
                    expected: f64::from(slot.mu),
                    exposure: f64::from(slot.exposure),
                })
            })
            .collect()
    }
}

/// Position of a minute in the ring.
fn position(minute: Minute) -> usize {
    minute.rem_euclid(RING_MINUTES as i64) as usize
}

/// What is left of a local level that has been held for some minutes.
#[must_use]
pub fn held_level(level: f64, minutes: i64) -> f64 {
    1.0 + (level - 1.0) * (-(minutes.max(0) as f64) / HELD_MINUTES).exp()
}

/// The level that closed blocks speak for, drawn to 1 by what the day-ahead forecast is worth.
fn local_level(blocks: &[Block], c_slow: f64) -> f64 {
    let (seen, expected) = blocks.iter().fold((0.0, 0.0), |sum, block| (sum.0 + block.seen, sum.1 + block.expected));
    let ratio = if expected / (blocks.len().max(1) as f64) < MEDIAN_BLOCK_EVENTS {
        seen / expected.max(f64::MIN_POSITIVE)
    } else {
        median(&mut blocks.iter().map(|block| (block.seen + 0.5) / (block.expected + 0.5)).collect::<Vec<_>>())
    };
    let prior = 1.0 / (3.0 * c_slow * c_slow);
    ((ratio * expected + prior) / (expected + prior)).clamp(LEVEL_RANGE.0, LEVEL_RANGE.1)
}

#[cfg(test)]
mod tests;
