//! The life of an incident of one series: quiet, pending, firing, resolved. Pure: scores in, transitions out; only
//! pending -> firing and firing -> resolved are told to people.
//!
//! When a breach opens, closes or belongs to the last incident is decided by [`Episode`], the same rule that backtests use;
//! this adds what must survive a restart: which alert is open.

use crate::{
    history::Minute,
    score::{Episode, EpisodeEvent, Score},
};

/// From this share of a threshold on a series is pending.
const PENDING_RATIO: f64 = 0.75;

/// Where a series stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing unusual.
    Quiet,
    /// Near a threshold since a minute.
    Pending {
        /// First such minute.
        since: Minute,
    },
    /// A page is open.
    Firing,
}

/// What a minute did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A new incident.
    Opened,
    /// The incident of this id again, within the hour after its end.
    Reopened(String),
    /// The incident of this id is over.
    Closed(String),
}

/// The state of one series.
#[derive(Debug, Clone, Default)]
pub struct Incident {
    episode: Episode,
    pending_since: Option<Minute>,
    /// The open alert, or the last one.
    alert_id: Option<String>,
}

impl Incident {
    /// The state known from stored transitions: the last alert of the series, open or resolved at a minute.
    #[must_use]
    pub fn restored(alert_id: String, opened: Minute, resolved: Option<Minute>) -> Self {
        let open_since = resolved.is_none().then_some(opened);
        Self { episode: Episode::resumed(open_since, resolved), pending_since: None, alert_id: Some(alert_id) }
    }

    /// Where the series stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.pending_since {
            _ if self.episode.is_open() => Phase::Firing,
            Some(since) => Phase::Pending { since },
            None => Phase::Quiet,
        }
    }

    /// The open alert.
    #[must_use]
    pub fn open_alert(&self) -> Option<&str> {
        self.alert_id.as_deref().filter(|_| self.episode.is_open())
    }

    /// Takes the score of the next minute. After [`Step::Opened`] the caller names the alert with [`Incident::named`].
    pub fn advance(&mut self, score: &Score) -> Option<Step> {
        let event = self.episode.advance(score);
        let pending = !self.episode.is_open() && score.ratio >= PENDING_RATIO;
        self.pending_since = pending.then(|| self.pending_since.unwrap_or(score.minute));
        match (event?, self.alert_id.clone()) {
            (EpisodeEvent::Opened, _) | (EpisodeEvent::Reopened, None) => Some(Step::Opened),
            (EpisodeEvent::Reopened, Some(id)) => Some(Step::Reopened(id)),
            (EpisodeEvent::Closed, id) => id.map(Step::Closed),
        }
    }

    /// Says which alert stands for the incident that just opened.
    pub fn named(&mut self, alert_id: String) {
        self.alert_id = Some(alert_id);
    }

    /// Ends what is open without a transition of its own: the silence of the source has taken over.
    pub fn dismissed(&mut self, minute: Minute) {
        self.episode = Episode::resumed(None, Some(minute));
        self.pending_since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::{Breach, Direction, Recent, WINDOW_COUNT};

    fn score(minute: Minute, ratio: f64) -> Score {
        let breach = (ratio >= 1.0).then_some(Breach {
            direction: Direction::Down,
            window_minutes: 5,
            z: 5.0,
            threshold: 4.0,
            seen: 30.0,
            expected: 67.0,
        });
        Score {
            minute,
            value: Some(30.0),
            exposure: None,
            mu0: 67.0,
            mu: 67.0,
            lower: 50.0,
            upper: 80.0,
            z: [0.0; WINDOW_COUNT],
            breach,
            burn: None,
            fast_ratio: ratio,
            ratio,
            frozen: false,
            recent: Recent { ratio: f64::INFINITY, ..Recent::default() },
        }
    }

    /// Feeds ratios minute by minute and collects what happened.
    fn run(incident: &mut Incident, from: Minute, ratios: &[f64]) -> Vec<(Minute, Step)> {
        let mut steps = Vec::new();
        for (minute, ratio) in (from..).zip(ratios) {
            if let Some(step) = incident.advance(&score(minute, *ratio)) {
                if step == Step::Opened {
                    incident.named("a".into());
                }
                steps.push((minute, step));
            }
        }
        steps
    }

    #[test]
    fn pending_then_firing_then_resolved() {
        let mut incident = Incident::default();
        assert!(run(&mut incident, 0, &[0.1, 0.8, 0.9]).is_empty());
        assert_eq!(incident.phase(), Phase::Pending { since: 1 });
        assert_eq!(run(&mut incident, 3, &[1.2]), [(3, Step::Opened)]);
        assert_eq!((incident.phase(), incident.open_alert()), (Phase::Firing, Some("a")));
        assert_eq!(run(&mut incident, 4, &[0.2; 15]), [(18, Step::Closed("a".into()))]);
        assert_eq!((incident.phase(), incident.open_alert()), (Phase::Quiet, None));
    }

    #[test]
    fn a_relapse_within_the_hour_is_the_same_incident() {
        let mut incident = Incident::default();
        run(&mut incident, 0, &[1.2]);
        run(&mut incident, 1, &[0.0; 15]);
        assert_eq!(run(&mut incident, 50, &[1.1]), [(50, Step::Reopened("a".into()))]);
        run(&mut incident, 51, &[0.0; 15]);
        assert_eq!(run(&mut incident, 200, &[1.1]), [(200, Step::Opened)]);
    }

    #[test]
    fn a_restart_pages_nothing_twice() {
        let mut incident = Incident::restored("a".into(), 0, None);
        assert!(run(&mut incident, 5, &[1.5, 1.5]).is_empty());
        assert_eq!(run(&mut incident, 7, &[0.0; 15]), [(21, Step::Closed("a".into()))]);
        let mut closed = Incident::restored("a".into(), 0, Some(10));
        assert_eq!(run(&mut closed, 60, &[1.5]), [(60, Step::Reopened("a".into()))]);
    }
}
