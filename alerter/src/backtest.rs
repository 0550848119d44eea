//! A replay of the rule on a series' own past: the pages it would have sent.
//!
//! Each local day is judged by a model fitted at its midnight from the days before it, and what paged is hidden from later fits, as
//! in earnest. What only a running server can know is left out: the silence of a source (its minutes count as zero), late events,
//! and what people said of a page.

use std::{ops::Range, sync::Arc};

use crate::{
    burn::{Burn, burn},
    forecast::{Fitted, Learning, Model, Settings},
    history::{History, Minute, Observation},
    live::{Live, held_level},
    lost::{Loss, lost},
    mask::{first_whole_day, incident_mask, new_normal_mask},
    onset::{ONSET_LOOKBACK_MINUTES, Onset, Point, onset},
    score::{Breach, Direction, Episode, EpisodeEvent, Kind, Score},
    zone::{LocalClock, LocalDay},
};

/// Days before the first replayed one that its model may learn from.
const HISTORY_DAYS: i64 = 56;

/// One page that would have been sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The minute whose score paged.
    pub minute: Minute,
    /// Likeliest beginning, as known at the page.
    pub onset: Onset,
    /// First minute after the incident; `None` when it lasts until the end of the replay.
    pub closed: Option<Minute>,
    /// The window that paged.
    pub breach: Breach,
    /// What it spent of the error budget, when that paged and not a window of the score.
    pub burn: Option<Burn>,
    /// Expected and seen from onset to close, the difference, and its 95 % interval.
    pub loss: Loss,
    /// Times it broke out again within the hour after its end, which pages nobody anew.
    pub relapses: usize,
    /// It lasted for a whole local day and was taken as the new normal.
    pub new_normal: bool,
}

/// What a replay found.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// The minutes replayed.
    pub range: Range<Minute>,
    /// Pages, oldest first.
    pub pages: Vec<Page>,
    /// Minutes judged by a model that pages.
    pub judged: usize,
    /// Minutes without data.
    pub unknown: usize,
    /// Minutes before the series had seen enough days to page.
    pub learning: usize,
}

/// A replay under way: minutes go in one by one.
#[derive(Debug)]
pub struct Replay {
    model: Model,
    settings: Settings,
    clock: LocalClock,
    history: History,
    fitted: Option<Arc<Fitted>>,
    day: Option<LocalDay>,
    live: Live,
    episode: Episode,
    replayed: Replayed,
}

impl Replay {
    /// A replay of `range`, after `past`, the history before it. Masks of `past` hold; a replay makes its own.
    #[must_use]
    pub fn new(settings: Settings, past: History, range: Range<Minute>) -> Self {
        let clock = LocalClock::new(settings.zone, past.start().min(range.start) - 1440, range.end + 1440);
        Self {
            model: Model::new(settings.clone()),
            settings,
            clock,
            live: Live::new(range.start),
            history: past,
            fitted: None,
            day: None,
            episode: Episode::default(),
            replayed: Replayed { range, pages: Vec::new(), judged: 0, unknown: 0, learning: 0 },
        }
    }

    /// The model of the present day, once enough days are known.
    #[must_use]
    pub fn fitted(&self) -> Option<&Arc<Fitted>> {
        self.fitted.as_ref()
    }

    /// The state of the minute stream; copies of it can be led astray without harm to the replay.
    #[must_use]
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// What has been seen so far, with the masks of what paged.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// True while a page is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.episode.is_open()
    }

    /// Learns from the days before the one that holds `minute`, if that has not been done.
    pub fn learn(&mut self, minute: Minute) {
        let day = self.clock.day(minute);
        if self.day.replace(day) == Some(day) {
            return;
        }
        self.take_as_normal(minute);
        self.history.forget_before(minute - HISTORY_DAYS * 1440);
        let open = self.episode.is_open().then(|| self.replayed.pages.last().map(|page| page.onset.minute)).flatten();
        let fit: Result<Fitted, Learning> =
            crate::history::hidden_since(&mut self.history, open, |history| self.model.fit(history, minute));
        let first = self.fitted.is_none();
        match fit {
            Ok(fitted) => self.fitted = Some(Arc::new(fitted)),
            Err(_) => self.fitted = None,
        }
        if let Some(fitted) = self.fitted.as_ref().filter(|_| first) {
            self.live = Live::warmed(fitted, &self.history, minute);
        }
    }

    /// Takes the next minute in order; `None` is no data.
    pub fn step(&mut self, minute: Minute, seen: Option<Observation>) -> Option<Score> {
        self.learn(minute);
        self.history.set(minute, seen);
        self.replayed.unknown += usize::from(seen.is_none());
        let Some(fitted) = self.fitted.clone() else {
            self.replayed.learning += 1;
            return None;
        };
        let mut score = self.live.step(&fitted, minute, seen);
        score.take_burn(burn(&fitted, &self.history, minute), self.settings.direction);
        if fitted.pages() {
            self.replayed.judged += usize::from(seen.is_some());
        } else {
            self.replayed.learning += 1;
        }
        match self.episode.advance(&score) {
            Some(EpisodeEvent::Opened) => {
                self.live.hold(true);
                self.replayed.pages.extend(self.page(&fitted, &score));
            }
            Some(EpisodeEvent::Reopened) => {
                self.live.hold(true);
                if let Some(page) = self.replayed.pages.last_mut() {
                    (page.closed, page.relapses) = (None, page.relapses + 1);
                }
            }
            Some(EpisodeEvent::Closed) => self.close(&fitted, minute),
            None => {}
        }
        Some(score)
    }

    /// Ends the replay: an incident still open is measured up to its last minute.
    #[must_use]
    pub fn finish(mut self) -> Replayed {
        let end = self.history.end();
        if let (Some(fitted), true) = (self.fitted.clone(), self.episode.is_open()) {
            self.measure(&fitted, end);
        }
        self.replayed
    }

    fn page(&self, fitted: &Fitted, score: &Score) -> Option<Page> {
        let breach = score.breach?;
        Some(Page {
            minute: score.minute,
            onset: self.began(fitted, &breach, score.minute),
            closed: None,
            breach,
            burn: score.paging_burn(),
            loss: lost([], 1.0, 0.0, 1.0),
            relapses: 0,
            new_normal: false,
        })
    }

    fn began(&self, fitted: &Fitted, breach: &Breach, minute: Minute) -> Onset {
        let noise = fitted.noise();
        let points = if !breach.is_slow() {
            self.live.points(minute)
        } else {
            // The local level has followed a slow drift: measured against it nothing would be missing.
            let from = (minute + 1 - ONSET_LOOKBACK_MINUTES as i64).max(self.history.start());
            let points = points_between(fitted, &self.history, from..minute + 1, 1.0);
            points.into_iter().filter(|point| !point.value.is_nan()).collect()
        };
        let down = breach.direction == Direction::Down;
        let found = onset(self.settings.kind, &points, down, noise.phi_total(), noise.unit);
        let mut found = found.unwrap_or_else(|| Onset::certain(minute));
        if let Some(closed) = self.replayed.pages.last().and_then(|page| page.closed) {
            found.not_before(closed);
        }
        found
    }

    fn close(&mut self, fitted: &Fitted, minute: Minute) {
        self.measure(fitted, minute + 1);
        self.live.hold(false);
        let Some(page) = self.replayed.pages.last_mut() else { return };
        page.closed = Some(minute + 1);
        self.live.forget(page.onset.minute, minute + 1);
        if !page.new_normal {
            self.history.mask(incident_mask(page.onset.minute, minute + 1));
        }
    }

    fn measure(&mut self, fitted: &Fitted, end: Minute) {
        let Some(page) = self.replayed.pages.last_mut() else { return };
        let began = page.onset.minute;
        let level = if !page.breach.is_slow() { self.live.level() } else { 1.0 };
        let points = points_between(fitted, &self.history, began..end, level);
        let noise = fitted.noise();
        page.loss = lost(points, noise.phi_total(), noise.c_slow[fitted.local_hour(began)], noise.unit);
    }

    /// What has lasted for a whole local day is the new normal.
    fn take_as_normal(&mut self, now: Minute) {
        let Some(page) = self.replayed.pages.last_mut().filter(|page| page.closed.is_none() && !page.new_normal) else {
            return;
        };
        let whole_day = first_whole_day(self.settings.zone, page.onset.minute);
        if self.episode.is_open() && now >= whole_day.end {
            page.new_normal = true;
            self.history.mask(new_normal_mask(page.onset.minute, whole_day.start));
            self.history.level_shift(whole_day.start);
            self.live.hold(false);
        }
    }
}

/// The points of a range with their day-ahead expectation times a level held since its start; NaN where nothing is known.
pub(crate) fn points_between(fitted: &Fitted, history: &History, range: Range<Minute>, level: f64) -> Vec<Point> {
    let (share, start) = (fitted.settings().kind == Kind::Ratio, range.start);
    range
        .map(|minute| {
            let seen = history.get(minute);
            let exposure = seen.map_or(0.0, |seen| seen.exposure);
            let rate = fitted.rate(minute) * held_level(level, minute - start);
            let expected = if share { (rate * exposure).min(exposure) } else { rate };
            Point { minute, value: seen.map_or(f64::NAN, |seen| seen.value), expected, exposure }
        })
        .collect()
}

/// Replays the minutes of `range` that `history` holds; what lies before them is learnt from.
#[must_use]
pub fn replay(settings: Settings, history: &History, range: Range<Minute>) -> Replayed {
    let range = range.start.max(history.start())..range.end.min(history.end());
    let mut replay = Replay::new(settings, history.before(range.start), range.clone());
    for minute in range {
        replay.step(minute, history.get(minute));
    }
    replay.finish()
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::*;
    use crate::{
        history::DAY_MINUTES,
        simulated::{MONDAY, Market, index},
    };

    #[test]
    fn a_replay_finds_an_outage_once_and_says_what_it_cost() {
        let mut drawn = Market::new(100.0, 5).draw(24);
        let outage = 22 * DAY_MINUTES + 700;
        drawn.count[index(outage)..index(outage + 45)].fill(0.0);
        let history = drawn.history(24 * DAY_MINUTES);
        let settings = Settings::new(Kind::Count, Direction::Down, Tz::UTC);
        let found = replay(settings, &history, MONDAY + 21 * DAY_MINUTES..MONDAY + 99 * DAY_MINUTES);
        assert_eq!(found.range.end, MONDAY + 24 * DAY_MINUTES, "no further than the history");
        let near = |page: &&Page| (page.onset.minute - MONDAY - outage).abs() <= 120;
        let pages: Vec<&Page> = found.pages.iter().filter(near).collect();
        assert_eq!(pages.len(), 1, "{:?}", found.pages);
        let page = pages[0];
        assert!((page.onset.minute - MONDAY - outage).abs() <= 1, "{page:?}");
        assert!(page.minute - MONDAY - outage <= 2, "{page:?}");
        let closed = page.closed.unwrap() - MONDAY - outage;
        assert!((45..75).contains(&closed), "it ended after 45 minutes, closed after {closed}");
        let missed: f64 = drawn.mean[index(outage)..index(outage + 45)].iter().sum();
        assert!(page.loss.low < missed && missed < page.loss.high, "{missed} in {:?}", page.loss);
        assert_eq!((found.learning, found.unknown, found.judged), (0, 0, index(3 * DAY_MINUTES)));
    }

    #[test]
    fn a_replay_of_the_first_weeks_says_since_when_it_judges() {
        let drawn = Market::new(20.0, 6).draw(9);
        let settings = Settings::new(Kind::Count, Direction::Down, Tz::UTC);
        let found = replay(settings, &drawn.history(9 * DAY_MINUTES), MONDAY..MONDAY + 9 * DAY_MINUTES);
        assert_eq!(found.learning, index(7 * DAY_MINUTES));
        assert_eq!(found.judged, index(2 * DAY_MINUTES));
    }
}
