//! Local wall-clock time of a market: days of 23, 24 or 25 hours and the slots in them.
//!
//! Storage is UTC; a season is local. The repeated hour of autumn feeds the same slots twice, the skipped hour of
//! spring feeds none.

#![expect(clippy::cast_possible_truncation, reason = "minutes and days of this century fit their types")]

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;

use crate::history::{DAY_MINUTES, Minute};

/// Days since 1970-01-01 in local time.
pub type LocalDay = i32;

/// Monday is 0, Sunday 6.
#[must_use]
pub fn weekday(day: LocalDay) -> usize {
    // 1970-01-01 was a Thursday.
    (day + 3).rem_euclid(7) as usize
}

/// True for the numbers of Saturday and Sunday.
pub(crate) fn is_weekend(weekday: usize) -> bool {
    weekday >= 5
}

/// Workday, Saturday or Sunday: days of one type share a shape better than days of different types.
#[must_use]
pub fn day_type(day: LocalDay) -> usize {
    weekday(day).saturating_sub(4)
}

/// The UTC offsets of a zone over a span of time.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalClock {
    /// First UTC minute of each run of one offset, with the offset in minutes east of UTC; the first run reaches back
    /// and the last one forward without end.
    runs: Vec<(Minute, i64)>,
}

impl LocalClock {
    /// Learns the offsets of `zone` between two minutes (outside, the nearest known offset holds).
    #[must_use]
    pub fn new(zone: Tz, from: Minute, to: Minute) -> Self {
        let mut runs = vec![(from, offset_minutes(zone, from))];
        let mut at = from;
        while at < to {
            let next = at + DAY_MINUTES;
            let before = runs.last().map_or(0, |run| run.1);
            if offset_minutes(zone, next) != before {
                // The offset changes once a day at most: bisect to the minute.
                let (mut low, mut high) = (at, next);
                while high - low > 1 {
                    let middle = low + (high - low) / 2;
                    if offset_minutes(zone, middle) == before { low = middle } else { high = middle }
                }
                runs.push((high, offset_minutes(zone, high)));
            }
            at = next;
        }
        Self { runs }
    }

    /// Minutes since 1970-01-01 00:00 on the local wall clock.
    #[must_use]
    pub fn local(&self, minute: Minute) -> i64 {
        minute + self.offset(minute)
    }

    fn offset(&self, minute: Minute) -> i64 {
        let after = self.runs.partition_point(|run| run.0 <= minute);
        self.runs[after.max(1) - 1].1
    }

    /// The local day that holds a minute.
    #[must_use]
    pub fn day(&self, minute: Minute) -> LocalDay {
        self.local(minute).div_euclid(DAY_MINUTES) as LocalDay
    }

    /// Minute of the local day, 0 to 1439.
    #[must_use]
    pub fn minute_of_day(&self, minute: Minute) -> usize {
        self.local(minute).rem_euclid(DAY_MINUTES) as usize
    }

    /// First minute of a local day; the day ends where the next one starts.
    #[must_use]
    pub fn day_start(&self, day: LocalDay) -> Minute {
        let midnight = i64::from(day) * DAY_MINUTES;
        // The last run that has begun by its own clock when midnight strikes decides; a run that would put midnight
        // before its own beginning skipped it, and the day starts with the run.
        let mut start = midnight - self.runs[0].1;
        for run in &self.runs[1..] {
            if midnight - run.1 >= run.0 || start >= run.0 {
                start = (midnight - run.1).max(run.0);
            }
        }
        start
    }

    /// Runs of constant offset between two minutes: `(from, to, offset)`.
    pub(crate) fn runs(&self, from: Minute, to: Minute) -> impl Iterator<Item = (Minute, Minute, i64)> + '_ {
        self.runs.iter().enumerate().filter_map(move |(i, run)| {
            let first = if i == 0 { from } else { run.0.max(from) };
            let after = self.runs.get(i + 1).map_or(to, |next| next.0.min(to));
            (first < after).then_some((first, after, run.1))
        })
    }
}

fn offset_minutes(zone: Tz, minute: Minute) -> i64 {
    let instant = DateTime::from_timestamp(minute * 60, 0).unwrap_or_default();
    i64::from(zone.offset_from_utc_datetime(&instant.naive_utc()).fix().local_minus_utc()).div_euclid(60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::NaiveDate;

    fn clock_of(zone: Tz, year: i32) -> LocalClock {
        let minute = |year| minute(year, 1, 1, 0, 0);
        LocalClock::new(zone, minute(year), minute(year + 1))
    }

    fn minute(year: i32, month: u32, day: u32, hour: u32, minute: u32) -> Minute {
        let time = NaiveDate::from_ymd_opt(year, month, day).unwrap().and_hms_opt(hour, minute, 0).unwrap();
        time.and_utc().timestamp() / 60
    }

    fn day(year: i32, month: u32, day: u32) -> LocalDay {
        LocalDay::try_from(minute(year, month, day, 0, 0) / DAY_MINUTES).unwrap()
    }

    fn check_length(zone: Tz, date: (i32, u32, u32), minutes: i64) {
        let (clock, day) = (clock_of(zone, date.0), day(date.0, date.1, date.2));
        let (start, end) = (clock.day_start(day), clock.day_start(day + 1));
        assert_eq!(end - start, minutes, "{zone} {date:?}");
        assert_eq!((clock.day(start), clock.day(start - 1)), (day, day - 1));
        assert!((start..end).all(|minute| clock.day(minute) == day));
    }

    #[test]
    fn days_have_the_hours_that_the_wall_clock_has() {
        check_length(Tz::Europe__Amsterdam, (2024, 3, 30), 1440);
        check_length(Tz::Europe__Amsterdam, (2024, 3, 31), 23 * 60);
        check_length(Tz::Europe__Amsterdam, (2024, 10, 27), 25 * 60);
        check_length(Tz::Australia__Melbourne, (2015, 4, 5), 25 * 60);
        check_length(Tz::Australia__Melbourne, (2015, 10, 4), 23 * 60);
        // Half an hour on Lord Howe; midnight itself is skipped in São Paulo.
        check_length(Tz::Australia__Lord_Howe, (2015, 10, 4), 1440 - 30);
        check_length(Tz::America__Sao_Paulo, (2018, 11, 4), 23 * 60);
        check_length(Tz::Asia__Kolkata, (2024, 3, 31), 1440);
    }

    #[test]
    fn the_repeated_hour_has_the_same_slots_twice_and_the_skipped_hour_none() {
        let clock = clock_of(Tz::Europe__Amsterdam, 2024);
        let autumn = clock.day_start(day(2024, 10, 27));
        assert_eq!(clock.minute_of_day(autumn + 2 * 60 + 10), 130);
        assert_eq!(clock.minute_of_day(autumn + 3 * 60 + 10), 130);
        let spring = clock.day_start(day(2024, 3, 31));
        assert!((spring..spring + 23 * 60).all(|minute| clock.minute_of_day(minute) / 60 != 2));
    }

    #[test]
    fn weekdays_begin_with_monday() {
        assert_eq!((weekday(day(2024, 1, 1)), weekday(day(2024, 1, 7)), weekday(-4)), (0, 6, 6));
        assert_eq!([0, 4, 5, 6].map(|k| day_type(day(2024, 1, 1) + k)), [0, 0, 1, 2]);
    }
}
