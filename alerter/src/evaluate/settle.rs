//! The end of a round: what was found is recorded, what is open is brought up to date.

use std::sync::Arc;

use store::{DatasetName, Timestamp};

use super::{Core, Fresh};
use crate::{
    alert::{Alert, Cause, TransitionKind},
    change::{self, Change},
    history::Minute,
    mask::{first_whole_day, new_normal_mask},
    off::{self, Recovery},
    onset::Onset,
    page,
    track::Tracked,
};

impl Core {
    /// Records the incidents of this round and refreshes the open ones. Incidents that began and ended within the round (they
    /// were made up after a downtime) are recorded, but nobody is woken for them.
    pub(super) async fn settle(&mut self, now: Timestamp) {
        if self.advanced {
            self.watch_changes(now).await;
        }
        // Nothing new is known of an incident before its next minute.
        let open: Vec<Alert> = match std::mem::take(&mut self.advanced) {
            true => self.alerts.lock().open().cloned().collect(),
            false => Vec::new(),
        };
        let changes = if open.is_empty() && self.fresh.is_empty() { Arc::default() } else { self.changes() };
        let mut fresh: Vec<(String, Fresh)> = std::mem::take(&mut self.fresh).into_iter().collect();
        // The surest speaks for the others.
        fresh.sort_by(|a, b| b.1.alert.score.total_cmp(&a.1.alert.score));
        for (id, Fresh { mut alert, kind, closed }) in fresh {
            if alert.cause == Cause::Rule {
                let window = (alert.onset_from.minutes(), alert.onset_to.minutes());
                self.suspect(&mut alert, &Onset::within(window.0, window.1), &changes, now.minutes()).await;
            }
            self.refresh(&mut alert, &changes, closed).await;
            if kind == TransitionKind::Triggered && closed.is_none() {
                self.alerts.lock().join(&mut alert, i64::from(self.config.group_minutes), now);
            }
            self.alerts.lock().trigger(alert, kind, closed.is_some(), now);
            if let Some(closed) = closed {
                self.alerts.lock().resolve(&id, Timestamp::from_minutes(closed), now);
            }
        }
        for mut alert in open {
            let judged = self.judge_off(&mut alert, now);
            let changed = self.refresh(&mut alert, &changes, None).await | self.take_as_normal(&mut alert, now);
            let mut alerts = self.alerts.lock();
            if alerts.get(&alert.id).is_some_and(Alert::is_open) {
                if judged { alerts.off_judged(alert, now) } else { alerts.update(alert, changed, now) }
            }
        }
        for (id, minute) in std::mem::take(&mut self.found_over) {
            self.alerts.lock().resolve(&id, Timestamp::from_minutes(minute), now);
        }
        for (id, minute) in std::mem::take(&mut self.silences_over) {
            self.alerts.lock().resolve(&id, Timestamp::from_minutes(minute), now);
        }
        self.end_orphans(now);
        let mut alerts = self.alerts.lock();
        alerts.page_after_silence(now);
        alerts.page_after_leader(now);
    }

    /// What has lasted for a whole local day is the new normal: the level restarts from that day, and with the next fit the
    /// incident ends.
    fn take_as_normal(&mut self, alert: &mut Alert, now: Timestamp) -> bool {
        if alert.cause != Cause::Deviation || alert.level_shifted_at.is_some() {
            return false;
        }
        let Some(tracked) = self.tracked.get_mut(&alert.metric) else { return false };
        let whole_day = first_whole_day(tracked.metric.zone, alert.onset.minutes());
        if now.minutes() < whole_day.end {
            return false;
        }
        tracing::warn!(metric = %alert.metric, alert = %alert.id, "the deviation has lasted for a day: the new normal");
        for series in tracked.all_mut() {
            series.history.mask(new_normal_mask(alert.onset.minutes(), whole_day.start));
            series.history.level_shift(whole_day.start);
            series.live.hold(false);
            series.forget_fit();
        }
        alert.level_shifted_at = Some(Timestamp::from_minutes(whole_day.start));
        true
    }

    /// Brings an alert up to its metric's last minute, or to the one it ended at. True when what a person would act on changed.
    async fn refresh(&mut self, alert: &mut Alert, changes: &[Change], closed: Option<Minute>) -> bool {
        if alert.cause == Cause::Control {
            return self.refresh_found(alert, changes).await;
        }
        let Some(tracked) = self.tracked.get(&alert.metric) else { return false };
        let before = page::acted_on(alert);
        let minute = closed.unwrap_or(tracked.evaluated_to) - 1;
        let onset = page::judged_onset(alert, &tracked.metric, &tracked.parent, closed.is_none(), minute);
        if let Some(onset) = &onset {
            page::place_onset(alert, onset);
        }
        page::refresh(alert, &tracked.metric, &tracked.parent, &tracked.children, minute);
        if let Some(onset) = &onset {
            self.suspect(alert, onset, changes, minute).await;
        }
        self.judge_reversals(alert, changes, minute);
        before != page::acted_on(alert)
    }

    /// Whether turning a change off helped, once that can be told. A rule says it by ending, or by not ending.
    fn judge_off(&self, alert: &mut Alert, now: Timestamp) -> bool {
        if let Some(tracked) = self.tracked.get(&alert.metric) {
            return page::judge_off(alert, &tracked.parent, tracked.evaluated_to - 1, now);
        }
        let watched = alert.off_actions.last().filter(|action| action.outcome.is_none());
        let over = watched.is_some_and(|action| now.minutes() - action.at.minutes() >= off::WATCH_MINUTES);
        if over {
            alert.settle_off(Recovery::NotRecovered, now);
        }
        over
    }

    /// Ends a known incident with its final numbers.
    pub(super) fn resolve(&self, name: &str, id: &str, closed: Minute, now: Timestamp) {
        let mut alerts = self.alerts.lock();
        if let (Some(mut alert), Some(Tracked { metric, parent, children, .. })) =
            (alerts.get(id).cloned(), self.tracked.get(name))
        {
            page::refresh(&mut alert, metric, parent, children, closed - 1);
            alerts.update(alert, false, now);
        }
        alerts.resolve(id, Timestamp::from_minutes(closed), now);
    }

    /// Ends what no longer has a metric: its definition is gone.
    fn end_orphans(&mut self, now: Timestamp) {
        let mut alerts = self.alerts.lock();
        let gone: Vec<String> = alerts
            .open()
            .filter(|alert| !self.tracked.contains_key(&alert.metric) && !self.rules.contains_key(&alert.metric))
            .filter(|_| self.folder.problems().is_empty())
            .map(|alert| alert.id.clone())
            .collect();
        for id in gone {
            alerts.unwatch(&id, now);
            alerts.resolve(&id, now, now);
        }
        let open_silence =
            |id: &str| alerts.get(id).is_some_and(|alert| alert.is_open() && alert.cause == Cause::Silence);
        let ended: Vec<_> = self
            .silent
            .iter()
            .filter(|(_, silent)| !open_silence(&silent.alert_id))
            .map(|(key, _)| key.clone())
            .collect();
        for key in ended {
            self.silent.remove(&key);
        }
    }

    /// A person's verdict decides whether the minutes of an incident are learnt from.
    pub(crate) fn take_feedback(&mut self, alert: &Alert) {
        let known = self.alerts.lock().all();
        let Some(tracked) = self.tracked.get_mut(&alert.metric) else { return };
        tracked.set_masks(&known);
        for series in tracked.all_mut() {
            series.forget_fit();
        }
    }

    /// All change lines as they are now; read again only when some were added.
    pub(super) fn changes(&mut self) -> Arc<Vec<Change>> {
        let name = DatasetName::system("changes");
        let events =
            self.store.datasets().into_iter().find(|dataset| dataset.name == name).map_or(0, |known| known.events);
        if events == self.changes.0 {
            return self.changes.1.clone();
        }
        match self.store.read_events(&name) {
            Ok(rows) => self.changes = (events, Arc::new(change::latest(&rows))),
            Err(source) => {
                let error = crate::Error::Read { dataset: name.to_string(), source };
                tracing::error!(error = %error.chain(), "suspects are ranked without the latest changes");
            }
        }
        self.changes.1.clone()
    }
}
