//! Which minutes are due: pure arithmetic on the clock.

use std::ops::Range;

use store::Timestamp;

use crate::history::Minute;

/// Minutes evaluated in one scan at most: a day. A longer downtime is made up in several.
pub(crate) const CHUNK_MINUTES: i64 = 1440;

/// First minute that is not complete yet: a minute is complete `watermark_s` after its end.
pub(crate) fn complete_until(now: Timestamp, watermark_s: u32) -> Minute {
    now.plus_seconds(-i64::from(watermark_s)).minutes()
}

/// The next minutes to evaluate, oldest first, in one chunk; empty when nothing is due.
pub(crate) fn due(evaluated_to: Minute, complete_until: Minute) -> Range<Minute> {
    evaluated_to..complete_until.min(evaluated_to + CHUNK_MINUTES).max(evaluated_to)
}

/// The instant of the next step: the next minute's watermark, or the next reading of the definition files.
pub(crate) fn next_step(now: Timestamp, watermark_s: u32, reread_at: Timestamp) -> Timestamp {
    let complete = Timestamp::from_minutes(complete_until(now, watermark_s) + 1).plus_seconds(i64::from(watermark_s));
    complete.min(reread_at.max(now.plus_seconds(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_due_ten_seconds_after_its_end() {
        let end = Timestamp::from_minutes(100);
        assert_eq!(complete_until(end.plus_seconds(9), 10), 99);
        assert_eq!(complete_until(end.plus_seconds(10), 10), 100);
        assert_eq!(due(98, 100), 98..100);
        assert!(due(100, 100).is_empty() && due(101, 100).is_empty());
        assert_eq!(due(0, 5000), 0..1440);
    }

    #[test]
    fn the_next_step_is_the_watermark_or_the_files() {
        let now = Timestamp::from_minutes(100).plus_seconds(15);
        let far = now.plus_seconds(1000);
        assert_eq!(next_step(now, 10, far), Timestamp::from_minutes(101).plus_seconds(10));
        assert_eq!(next_step(now, 10, now.plus_seconds(3)), now.plus_seconds(3));
    }
}
