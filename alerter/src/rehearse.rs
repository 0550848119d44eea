//! Backtests of a metric's rule on the server's own data: which history to replay, off the round's lock and threads.

use std::{ops::Range, sync::Arc};

use crate::{
    Alerter, Error,
    alert::Alert,
    backtest::{self, Replayed},
    definition::Metric,
    evaluate::load::{Room, count_past},
    forecast::Settings,
    history::{DAY_MINUTES, History, Minute},
    schedule,
    track::Tracked,
};

/// Days before the replayed ones that are counted for a definition that is not in force.
const LEARN_DAYS: i64 = 56;

/// A rule to be tried out.
#[derive(Debug, Clone)]
pub(crate) struct Rehearsal {
    /// The definition; one that is not saved may be tried.
    pub(crate) metric: Metric,
    /// Minutes to replay.
    pub(crate) range: Range<Minute>,
}

/// What a trial found.
#[derive(Debug)]
pub(crate) struct Rehearsed {
    pub(crate) replayed: Replayed,
    pub(crate) settings: Settings,
    /// Incidents that were really opened in that time.
    pub(crate) known: Vec<Alert>,
    /// True when the history in memory was replayed; false when raw events were counted for it.
    pub(crate) in_force: bool,
}

impl Alerter {
    /// The definition in force.
    pub(crate) fn defined(&self, name: &str) -> Option<Metric> {
        self.shared.view.read().metrics.get(name).map(|view| (*view.metric).clone())
    }

    /// Replays a rule over its own history. `None` while another backtest runs.
    ///
    /// # Errors
    /// When the past cannot be counted, or the replay was cut off.
    pub(crate) async fn rehearse(&self, rehearsal: Rehearsal) -> Result<Option<Rehearsed>, Error> {
        let Ok(_one_at_a_time) = self.shared.backtests.try_acquire() else { return Ok(None) };
        let Rehearsal { metric, range } = rehearsal;
        let complete = schedule::complete_until(self.shared.clock.now(), self.shared.config.watermark_s);
        let range = range.start..range.end.min(complete);
        let (parents, history) = self.history_in_force(&metric).await;
        let in_force = history.is_some();
        let name = metric.name.clone();
        let tracked = Tracked::new(Arc::new(Metric { slices: Vec::new(), ..metric }), range.start);
        let mut settings = tracked.settings(parents);
        settings.horizon_days = 1;
        let history = match history {
            Some(history) => history,
            None => self.counted(tracked, range.start - LEARN_DAYS * DAY_MINUTES..range.end).await?,
        };
        let known = self.shared.alerts.lock().all();
        let theirs = |alert: &Alert| alert.metric == name && range.contains(&alert.onset.minutes());
        let known = known.into_iter().filter(theirs).collect();
        let (asked, minutes) = (settings.clone(), range.clone());
        let replayed = tokio::task::spawn_blocking(move || backtest::replay(asked, &history, minutes)).await;
        let replayed = replayed.map_err(|_| Error::Fit { metric: name })?;
        Ok(Some(Rehearsed { replayed, settings, known, in_force }))
    }

    /// How many parent metrics there are with this one, and its history when what it counts is what is counted already.
    async fn history_in_force(&self, metric: &Metric) -> (usize, Option<History>) {
        let core = self.shared.core.lock().await;
        let known = core.tracked.get(&metric.name);
        let same = known.filter(|known| known.loaded && known.metric.fingerprint() == metric.fingerprint());
        let parents = core.tracked.len() + usize::from(known.is_none());
        (parents, same.map(|known| known.parent.history.clone()))
    }

    /// The history of a definition that is not in force, from raw events.
    async fn counted(&self, mut tracked: Tracked, range: Range<Minute>) -> Result<History, Error> {
        let room = Room { slices: 0, per_column: 0 };
        count_past(&self.shared.engine, &self.shared.store, &mut tracked, range, room).await?;
        Ok(tracked.parent.history)
    }
}
