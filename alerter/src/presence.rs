//! Is a source alive: events of any kind per minute of one dataset and environment.
//!
//! An empty minute can be a true zero (a quiet source), an outage (a source that never pauses), or our own fault (we were
//! down). The rule here tells them apart by what the source usually sends. Pure: no clock, no I/O.

use std::{collections::VecDeque, ops::Range};

use crate::history::Minute;

/// An empty stretch is no chance when this many events were expected in it: e^-12 is once in 160,000 stretches.
const EXPECTED_EVENTS_MIN: f64 = 12.0;
/// Minutes before a stretch that say what the source usually sends.
const RATE_MINUTES: i64 = 60;
/// Fewer known minutes say nothing of a rate.
const KNOWN_MINUTES_MIN: usize = 10;
/// A source that paused as long as this at least so often within a day pauses by habit.
const HABIT_STRETCHES: usize = 4;
/// Minutes kept: the same hour a week ago is asked for.
pub(crate) const KEPT_MINUTES: i64 = 8 * 1440;
const WEEK_MINUTES: i64 = 7 * 1440;

/// Minutes we know nothing of.
const UNKNOWN: i64 = -1;

/// What a minute without any event means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pulse {
    /// Something arrived, or an empty minute is nothing special.
    Alive,
    /// Empty, and it should not be, since this minute.
    Missing { since: Minute },
    /// We were down ourselves.
    Unknown,
}

/// Events of any kind per minute.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    start: Minute,
    counts: VecDeque<i64>,
}

impl Source {
    pub(crate) fn new(start: Minute) -> Self {
        Self { start, counts: VecDeque::new() }
    }

    /// Takes the counts of a range: every minute of it that is not listed was empty; minutes of `down` are unknown unless
    /// something arrived for them.
    pub(crate) fn take(&mut self, range: Range<Minute>, counts: &[(Minute, u64)], down: Option<&Range<Minute>>) {
        for minute in range.clone() {
            let unknown = down.is_some_and(|down| down.contains(&minute));
            self.set(minute, if unknown { UNKNOWN } else { 0 });
        }
        for (minute, count) in counts.iter().filter(|(minute, _)| range.contains(minute)) {
            self.set(*minute, i64::try_from(*count).unwrap_or(i64::MAX));
        }
        while self.counts.len() as i64 > KEPT_MINUTES {
            self.counts.pop_front();
            self.start += 1;
        }
    }

    /// Says that nothing is known of the minutes after the last event: we were not there yet.
    pub(crate) fn unknown_since_last(&mut self) {
        for count in self.counts.iter_mut().rev().take_while(|count| **count <= 0) {
            *count = UNKNOWN;
        }
    }

    fn set(&mut self, minute: Minute, count: i64) {
        let Ok(index) = usize::try_from(minute - self.start) else { return };
        while self.counts.len() <= index {
            self.counts.push_back(UNKNOWN);
        }
        self.counts[index] = count;
    }

    /// Events of a minute; `None` when unknown.
    pub(crate) fn count(&self, minute: Minute) -> Option<i64> {
        let index = usize::try_from(minute - self.start).ok()?;
        self.counts.get(index).copied().filter(|count| *count != UNKNOWN)
    }

    /// What the state of the source is at the end of a minute.
    pub(crate) fn pulse(&self, minute: Minute) -> Pulse {
        match self.count(minute) {
            None => return Pulse::Unknown,
            Some(1..) => return Pulse::Alive,
            Some(_) => {}
        }
        if !self.ever_alive(minute) {
            return Pulse::Unknown;
        }
        let mut since = minute;
        while self.count(since - 1) == Some(0) {
            since -= 1;
        }
        let length = minute + 1 - since;
        if self.usual_rate(since) * length as f64 >= EXPECTED_EVENTS_MIN && !self.pauses_by_habit(since, length) {
            Pulse::Missing { since }
        } else {
            Pulse::Alive
        }
    }

    /// A source of which nothing was ever seen has not begun: its empty minutes are no zeros.
    fn ever_alive(&self, minute: Minute) -> bool {
        let until = usize::try_from(minute - self.start).unwrap_or(0).min(self.counts.len());
        self.counts.range(..until).any(|count| *count > 0)
    }

    /// Events a minute to be expected from a minute on: the hour before (the day, if that hour is not known), or the same hour
    /// last week if that was less (a shop that closes in the evening).
    fn usual_rate(&self, since: Minute) -> f64 {
        let recent = self.mean(since - RATE_MINUTES..since).or_else(|| self.mean(since - 1440..since)).unwrap_or(0.0);
        let week = since - WEEK_MINUTES;
        self.mean(week..week + RATE_MINUTES).map_or(recent, |last_week| recent.min(last_week))
    }

    /// Mean of the known minutes; `None` when too few are known.
    fn mean(&self, range: Range<Minute>) -> Option<f64> {
        let known: Vec<i64> = range.filter_map(|minute| self.count(minute)).collect();
        (known.len() >= KNOWN_MINUTES_MIN).then(|| known.iter().sum::<i64>() as f64 / known.len() as f64)
    }

    /// Senders that batch leave empty minutes as a matter of course.
    fn pauses_by_habit(&self, since: Minute, length: i64) -> bool {
        let mut stretches = 0;
        let mut run = 0;
        for minute in since - 1440..since {
            if self.count(minute) == Some(0) {
                run += 1;
                stretches += usize::from(run == length);
            } else {
                run = 0;
            }
        }
        stretches >= HABIT_STRETCHES
    }
}

/// The minutes of a past range in which a source that usually sends sent nothing: holes, not zeros. `counts` lists the
/// minutes with events; before the first and after the last of them everything is a hole.
pub(crate) fn holes(range: Range<Minute>, counts: &[(Minute, f64)]) -> Vec<Range<Minute>> {
    let mut holes = Vec::new();
    let Some((first, last)) = counts.first().zip(counts.last()) else { return vec![range] };
    if range.start < first.0 {
        holes.push(range.start..first.0);
    }
    for (i, pair) in counts.windows(2).enumerate() {
        let empty = pair[0].0 + 1..pair[1].0;
        let length = empty.end - empty.start;
        if length <= 0 {
            continue;
        }
        let before = rate(counts[..=i].iter().rev(), |minute| pair[0].0 - minute < RATE_MINUTES);
        let after = rate(counts[i + 1..].iter(), |minute| minute - pair[1].0 < RATE_MINUTES);
        if length >= 2 && before.min(after) * length as f64 >= EXPECTED_EVENTS_MIN {
            holes.push(empty);
        }
    }
    if last.0 + 1 < range.end {
        holes.push(last.0 + 1..range.end);
    }
    holes
}

fn rate<'a>(counts: impl Iterator<Item = &'a (Minute, f64)>, near: impl Fn(Minute) -> bool) -> f64 {
    counts.take_while(|(minute, _)| near(*minute)).map(|(_, count)| count).sum::<f64>() / RATE_MINUTES as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(per_minute: impl Fn(i64) -> u64, minutes: i64) -> Source {
        let mut source = Source::new(0);
        let counts: Vec<(Minute, u64)> =
            (0..minutes).map(|minute| (minute, per_minute(minute))).filter(|(_, count)| *count > 0).collect();
        source.take(0..minutes, &counts, None);
        source
    }

    #[test]
    fn a_busy_source_that_stops_is_missing_at_once() {
        let source = source(|minute| if minute < 120 { 67 } else { 0 }, 122);
        assert_eq!(source.pulse(119), Pulse::Alive);
        assert_eq!(source.pulse(120), Pulse::Missing { since: 120 });
        assert_eq!(source.pulse(121), Pulse::Missing { since: 120 });
    }

    #[test]
    fn a_quiet_source_may_pause() {
        let source = source(|minute| u64::from(minute % 5 == 0), 200);
        assert_eq!(source.pulse(199), Pulse::Alive);
    }

    #[test]
    fn a_batching_sender_pauses_by_habit() {
        let source = source(|minute| if minute % 5 == 0 { 500 } else { 0 }, 1440);
        assert_eq!(source.pulse(1439), Pulse::Alive);
    }

    #[test]
    fn a_shop_that_closes_every_evening_is_not_silent() {
        let open = |minute: i64| if minute.rem_euclid(1440) < 1200 { 50 } else { 0 };
        let source = source(open, 8 * 1440 - 200);
        assert_eq!(source.pulse(7 * 1440 + 1210), Pulse::Alive);
    }

    #[test]
    fn a_source_that_has_not_begun_is_unknown() {
        let mut source = Source::new(0);
        source.take(0..100, &[], None);
        assert_eq!(source.pulse(99), Pulse::Unknown);
        source.take(100..110, &(100..105).map(|minute| (minute, 60)).collect::<Vec<_>>(), None);
        source.unknown_since_last();
        assert_eq!(source.pulse(109), Pulse::Unknown);
    }

    #[test]
    fn our_own_downtime_is_unknown_unless_something_came_for_it() {
        let mut source = source(|_| 67, 100);
        source.take(100..110, &[(104, 3)], Some(&(100..108)));
        assert_eq!(source.pulse(103), Pulse::Unknown);
        assert_eq!(source.pulse(104), Pulse::Alive);
        assert_eq!(source.pulse(109), Pulse::Missing { since: 108 });
    }

    #[test]
    fn holes_are_long_empty_runs_of_a_busy_series() {
        let counts: Vec<(Minute, f64)> =
            (10..300).filter(|m| !(100..130).contains(m) && *m != 200).map(|m| (m, 10.0)).collect();
        assert_eq!(holes(0..310, &counts), [0..10, 100..130, 300..310]);
        let rare: Vec<(Minute, f64)> = (0..300).filter(|m| m % 7 == 0).map(|m| (m, 1.0)).collect();
        assert_eq!(holes(0..295, &rare), Vec::<Range<Minute>>::new());
    }
}
