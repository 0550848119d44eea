//! All incidents and silences, and the transitions on their way into `system.alerts`. No I/O: the caller stores what
//! [`Alerts::take_unwritten`] gives out, and only stored transitions reach the outbox.

use std::collections::BTreeMap;

use serde_json::Value;
use store::Timestamp;

use crate::{
    alert::{Alert, Cause, Feedback, State, Transition, TransitionKind},
    ledger::lessons::Lessons,
    notify::Links,
    off::{OffAction, Recovery},
    silence::{self, Silence},
};

/// Incidents that a page names as part of it, at most.
const JOINED_MAX: usize = 20;

#[derive(Debug, Clone)]
struct Entry {
    alert: Alert,
    /// Number of the last transition.
    number: u32,
    /// A page went to its channels, so its end is told as well.
    paged: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Alerts {
    entries: BTreeMap<String, Entry>,
    silences: BTreeMap<String, Silence>,
    unwritten: Vec<Unwritten>,
}

/// An event that must be stored before anybody is told.
#[derive(Debug, Clone)]
pub(crate) enum Unwritten {
    Transition(Box<Transition>),
    Silence(Value),
}

impl Unwritten {
    pub(crate) fn transition(&self) -> Option<&Transition> {
        match self {
            Self::Transition(transition) => Some(transition),
            Self::Silence(_) => None,
        }
    }

    pub(crate) fn to_event(&self, links: &Links) -> Value {
        match self {
            Self::Transition(transition) => transition.to_event(links),
            Self::Silence(event) => event.clone(),
        }
    }
}

impl Alerts {
    /// Rebuilds everything from the events of `system.alerts`, in their order; also returns the transitions read.
    pub(crate) fn restored(events: &[Value]) -> (Self, Vec<Transition>) {
        let transitions: Vec<Transition> = events.iter().filter_map(Transition::from_event).collect();
        let mut alerts = Self { silences: silence::restored(events), ..Self::default() };
        for transition in &transitions {
            let paged = transition.notify && transition.kind.action() == Some(crate::alert::Action::Trigger);
            let entry = alerts.entries.entry(transition.alert.id.clone()).or_insert_with(|| Entry {
                alert: transition.alert.clone(),
                number: 0,
                paged: false,
            });
            if transition.number > entry.number {
                entry.alert = transition.alert.clone();
                entry.number = transition.number;
            }
            entry.paged |= paged;
        }
        (alerts, transitions)
    }

    /// Newest first.
    pub(crate) fn all(&self) -> Vec<Alert> {
        let mut all: Vec<Alert> = self.entries.values().map(|entry| entry.alert.clone()).collect();
        all.sort_by(|a, b| (b.paged_at, &b.id).cmp(&(a.paged_at, &a.id)));
        all
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Alert> {
        self.entries.get(id).map(|entry| &entry.alert)
    }

    /// What all incidents so far teach of the kinds of changes.
    pub(crate) fn lessons(&self) -> Lessons {
        Lessons::of(self.entries.values().flat_map(|entry| &entry.alert.suspects))
    }

    /// The incident whose picture has this secret address.
    pub(crate) fn by_picture(&self, secret: &str) -> Option<&Alert> {
        self.entries.values().map(|entry| &entry.alert).find(|alert| alert.picture.as_deref() == Some(secret))
    }

    pub(crate) fn open(&self) -> impl Iterator<Item = &Alert> {
        self.entries.values().map(|entry| &entry.alert).filter(|alert| alert.is_open())
    }

    /// The open incident of a metric that a control found, if it goes this way.
    pub(crate) fn found_by_control(&self, metric: &str, direction: &str) -> Option<&Alert> {
        self.open()
            .find(|alert| alert.cause == Cause::Control && alert.metric == metric && alert.direction == direction)
    }

    /// The last alert that passes, by its onset.
    pub(crate) fn last(&self, of: impl Fn(&Alert) -> bool) -> Option<&Alert> {
        self.entries.values().map(|entry| &entry.alert).filter(|alert| of(alert)).max_by_key(|alert| alert.paged_at)
    }

    /// The silence that holds for a metric.
    pub(crate) fn silenced(&self, metric: &str, now: Timestamp) -> Option<&Silence> {
        self.silences.values().find(|silence| silence.covers(metric, now))
    }

    /// Opens an incident; it pages unless silenced. `late`: it is already over, so it is recorded but not sent.
    pub(crate) fn trigger(&mut self, mut alert: Alert, kind: TransitionKind, late: bool, now: Timestamp) {
        alert.silenced_by = self.silenced(&alert.metric, now).map(|silence| silence.id.clone());
        // 122 random bits: whoever has the address of a picture was given it.
        alert.picture.get_or_insert_with(|| uuid::Uuid::new_v4().simple().to_string());
        let notify = !late && alert.silenced_by.is_none() && alert.part_of.is_none();
        self.record(alert, kind, notify, now);
    }

    /// Lets an open page of the same environment speak for a new incident that began within `minutes` of it, if everybody who would
    /// be told of the new one was told of the other: one cause, one page.
    pub(crate) fn join(&mut self, alert: &mut Alert, minutes: i64, now: Timestamp) {
        let apart = |other: &Alert| (other.onset.minutes() - alert.onset.minutes()).abs();
        let speaks = |entry: &&Entry| {
            let other = &entry.alert;
            let told = alert.channels.iter().all(|channel| other.channels.contains(channel));
            entry.paged && other.is_open() && other.environment == alert.environment && apart(other) <= minutes && told
        };
        if minutes == 0 || alert.channels.is_empty() {
            return;
        }
        let leader = self.entries.values().filter(speaks).min_by_key(|entry| apart(&entry.alert));
        let Some(mut leader) = leader.map(|entry| entry.alert.clone()) else { return };
        alert.part_of = Some(leader.id.clone());
        let name =
            alert.slice.as_ref().map_or_else(|| alert.title.clone(), |slice| format!("{} ({slice})", alert.title));
        if leader.joined.len() < JOINED_MAX && !leader.joined.contains(&name) {
            leader.joined.push(name);
            self.record(leader, TransitionKind::Updated, false, now);
        }
    }

    /// Pages what is still open after the incident that spoke for it ended.
    pub(crate) fn page_after_leader(&mut self, now: Timestamp) {
        let ended = |id: &String| self.entries.get(id).is_none_or(|entry| !entry.alert.is_open());
        let due: Vec<Alert> = self
            .entries
            .values()
            .filter(|entry| entry.alert.is_open() && !entry.paged && entry.alert.part_of.as_ref().is_some_and(ended))
            .map(|entry| Alert { part_of: None, ..entry.alert.clone() })
            .collect();
        for alert in due {
            self.trigger(alert, TransitionKind::Triggered, false, now);
        }
    }

    /// Pages what is still open after its silence ended.
    pub(crate) fn page_after_silence(&mut self, now: Timestamp) {
        let due: Vec<Alert> = self
            .entries
            .values()
            .filter(|entry| entry.alert.is_open() && !entry.paged && entry.alert.silenced_by.is_some())
            .filter(|entry| entry.alert.part_of.is_none())
            .map(|entry| entry.alert.clone())
            .filter(|alert| self.silenced(&alert.metric, now).is_none())
            .collect();
        for alert in due {
            self.trigger(alert, TransitionKind::Triggered, false, now);
        }
    }

    /// Ends an incident; told to those who were told of it.
    pub(crate) fn resolve(&mut self, id: &str, at: Timestamp, now: Timestamp) {
        let Some(entry) = self.entries.get(id).filter(|entry| entry.alert.is_open()) else { return };
        let paged = entry.paged;
        let mut alert = Alert { state: State::Resolved, resolved_at: Some(at), ..entry.alert.clone() };
        alert.settle_off(Recovery::Recovered, now);
        self.record(alert, TransitionKind::Resolved, paged, now);
    }

    /// Takes better knowledge of an open incident. Stored only when `worth_storing`, never sent.
    pub(crate) fn update(&mut self, mut alert: Alert, worth_storing: bool, now: Timestamp) {
        self.keep_what_people_did(&mut alert);
        if worth_storing {
            self.record(alert, TransitionKind::Updated, false, now);
        } else if let Some(entry) = self.entries.get_mut(&alert.id) {
            entry.alert = alert;
        }
    }

    /// It is known whether turning a change off helped. Stored, not sent.
    pub(crate) fn off_judged(&mut self, mut alert: Alert, now: Timestamp) {
        self.keep_what_people_did(&mut alert);
        self.record(alert, TransitionKind::OffJudged, false, now);
    }

    fn keep_what_people_did(&self, alert: &mut Alert) {
        if let Some(Entry { alert: known, .. }) = self.entries.get(&alert.id) {
            // What people said meanwhile stands.
            alert.state = known.state;
            alert.acknowledged_by.clone_from(&known.acknowledged_by);
            alert.acknowledged_at = known.acknowledged_at;
            alert.acknowledge_note.clone_from(&known.acknowledge_note);
            alert.feedback.clone_from(&known.feedback);
            alert.joined.clone_from(&known.joined);
            if known.off_actions.len() > alert.off_actions.len() {
                alert.off_actions.clone_from(&known.off_actions);
            }
        }
    }

    /// A person turned a change off. What was turned off before and is still watched can no longer be told apart from it. A
    /// change is remembered once, and only by an open incident that began before.
    pub(crate) fn turned_off(&mut self, id: &str, action: OffAction, now: Timestamp) {
        let known = self.entries.get(id).map(|entry| &entry.alert);
        let known = known.filter(|alert| alert.is_open() && alert.onset <= action.at);
        let again = |alert: &&Alert| alert.offs_since_onset().any(|known| known.change == action.change);
        let Some(mut alert) = known.filter(|alert| !again(alert)).cloned() else { return };
        alert.settle_off(Recovery::Unclear, now);
        alert.off_actions.push(action);
        self.record(alert, TransitionKind::TurnedOff, false, now);
    }

    /// Nobody can tell any more whether what was turned off helped.
    pub(crate) fn unwatch(&mut self, id: &str, now: Timestamp) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.alert.settle_off(Recovery::Unclear, now);
        }
    }

    /// A person takes it. `None` when there is no such alert or it is over.
    pub(crate) fn acknowledge(
        &mut self,
        id: &str,
        actor: Option<String>,
        note: Option<String>,
        now: Timestamp,
    ) -> Option<Alert> {
        let entry = self.entries.get(id).filter(|entry| entry.alert.is_open())?;
        let paged = entry.paged;
        let alert = Alert {
            state: State::Acknowledged,
            acknowledged_by: actor,
            acknowledged_at: Some(now),
            acknowledge_note: note,
            ..entry.alert.clone()
        };
        self.record(alert.clone(), TransitionKind::Acknowledged, paged, now);
        Some(alert)
    }

    /// A person says whether the page was right.
    pub(crate) fn feedback(&mut self, id: &str, feedback: Feedback, now: Timestamp) -> Option<Alert> {
        let alert = Alert { feedback: Some(feedback), ..self.entries.get(id)?.alert.clone() };
        self.record(alert.clone(), TransitionKind::Feedback, false, now);
        Some(alert)
    }

    fn record(&mut self, alert: Alert, kind: TransitionKind, notify: bool, now: Timestamp) {
        let entry = self.entries.entry(alert.id.clone()).or_insert_with(|| Entry {
            alert: alert.clone(),
            number: 0,
            paged: false,
        });
        entry.alert = alert;
        entry.number += 1;
        entry.paged |= notify && kind.action() == Some(crate::alert::Action::Trigger);
        let transition = Transition {
            id: format!("{}:{}", entry.alert.id, entry.number),
            number: entry.number,
            kind,
            time: now,
            notify,
            alert: entry.alert.clone(),
        };
        self.unwritten.push(Unwritten::Transition(Box::new(transition)));
    }

    pub(crate) fn silences(&self, now: Timestamp) -> Vec<Silence> {
        self.silences.values().filter(|silence| silence.until > now).cloned().collect()
    }

    pub(crate) fn add_silence(&mut self, silence: Silence) {
        self.unwritten.push(Unwritten::Silence(silence.created_event()));
        self.silences.insert(silence.id.clone(), silence);
    }

    /// False when there is no such silence.
    pub(crate) fn end_silence(&mut self, id: &str, now: Timestamp) -> bool {
        let Some(silence) = self.silences.remove(id) else { return false };
        self.unwritten.push(Unwritten::Silence(silence.ended_event(now)));
        true
    }

    /// Events to store now; give back with [`Alerts::unwritten_again`] what could not be.
    pub(crate) fn take_unwritten(&mut self) -> Vec<Unwritten> {
        std::mem::take(&mut self.unwritten)
    }

    pub(crate) fn unwritten_again(&mut self, mut events: Vec<Unwritten>) {
        events.append(&mut self.unwritten);
        self.unwritten = events;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::sample;

    fn kinds(alerts: &mut Alerts) -> Vec<(TransitionKind, bool)> {
        alerts
            .take_unwritten()
            .iter()
            .filter_map(|event| match event {
                Unwritten::Transition(transition) => Some((transition.kind, transition.notify)),
                Unwritten::Silence(_) => None,
            })
            .collect()
    }

    #[test]
    fn everything_comes_back_from_its_events() {
        let mut alerts = Alerts::default();
        let now = sample::minute(10);
        alerts.trigger(sample::alert(), TransitionKind::Triggered, false, now);
        alerts.acknowledge("bookings-20261120T1410", Some("j.doe".into()), None, now.plus_seconds(60));
        let links = Links::new("https://yellowline.example", &[]);
        let events: Vec<Value> = alerts.take_unwritten().iter().map(|event| event.to_event(&links)).collect();
        let (restored, transitions) = Alerts::restored(&events);
        assert_eq!(restored.all(), alerts.all());
        assert!(restored.entries["bookings-20261120T1410"].paged);
        assert_eq!(transitions.iter().map(|t| t.number).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(restored.open().next().unwrap().acknowledged_by.as_deref(), Some("j.doe"));
    }

    #[test]
    fn a_silenced_incident_pages_when_the_silence_ends_and_it_is_still_open() {
        let mut alerts = Alerts::default();
        let now = sample::minute(10);
        alerts.add_silence(Silence {
            id: "s".into(),
            metric: "bookings".into(),
            from: now,
            until: now.plus_seconds(600),
            actor: None,
            reason: None,
        });
        alerts.trigger(sample::alert(), TransitionKind::Triggered, false, now);
        alerts.page_after_silence(now.plus_seconds(300));
        assert_eq!(kinds(&mut alerts), [(TransitionKind::Triggered, false)]);
        alerts.page_after_silence(now.plus_seconds(600));
        alerts.page_after_silence(now.plus_seconds(660));
        alerts.resolve("bookings-20261120T1410", now, now);
        assert_eq!(kinds(&mut alerts), [(TransitionKind::Triggered, true), (TransitionKind::Resolved, true)]);
    }

    #[test]
    fn one_cause_is_one_page_and_who_outlasts_it_pages_then() {
        let mut alerts = Alerts::default();
        let now = sample::minute(10);
        let other = |id: &str, onset, channel: &str| Alert {
            id: id.into(),
            metric: id.into(),
            title: id.into(),
            onset: sample::minute(onset),
            channels: vec![channel.into()],
            ..sample::alert()
        };
        let mut open = |alert: Alert| {
            let mut alert = alert;
            alerts.join(&mut alert, 5, now);
            alerts.trigger(alert, TransitionKind::Triggered, false, now);
            kinds(&mut alerts).contains(&(TransitionKind::Triggered, true))
        };
        let first = sample::alert();
        let began = i64::from(i32::try_from(first.onset.minutes() - sample::minute(0).minutes()).unwrap());
        assert!(open(first.clone()), "the first pages");
        assert!(!open(other("payments", began + 3, "oncall")), "the second is part of it");
        assert!(open(other("stock", began + 3, "warehouse")), "other people are told themselves");
        assert!(open(other("later", began + 30, "oncall")), "another beginning is another cause");
        assert_eq!(alerts.get(&first.id).unwrap().joined, ["payments"]);
        alerts.page_after_leader(now);
        assert!(kinds(&mut alerts).is_empty(), "the leader is still open");
        alerts.resolve(&first.id, now, now);
        alerts.page_after_leader(now);
        alerts.page_after_leader(now);
        assert_eq!(kinds(&mut alerts), [(TransitionKind::Resolved, true), (TransitionKind::Triggered, true)]);
    }

    #[test]
    fn who_ends_after_a_switching_off_has_recovered_and_a_second_one_blurs_the_first() {
        let (mut alerts, now) = (Alerts::default(), sample::minute(10));
        let off = |change: &str| OffAction { change: change.into(), ..sample::off_action() };
        alerts.trigger(sample::alert(), TransitionKind::Triggered, false, now);
        let id = sample::alert().id;
        alerts.turned_off(&id, off("01J2"), now);
        alerts.turned_off(&id, off("01J2"), now);
        alerts.turned_off(&id, off("01J1"), now);
        alerts.resolve(&id, now, now);
        let outcomes: Vec<_> = alerts.get(&id).unwrap().off_actions.iter().map(|action| action.outcome).collect();
        assert_eq!(outcomes, [Some(Recovery::Unclear), Some(Recovery::Recovered)]);
        alerts.turned_off(&id, off("01J3"), now);
        assert_eq!(alerts.get(&id).unwrap().off_actions.len(), 2, "it is over");
        let told = kinds(&mut alerts);
        assert_eq!(told[1..3], [(TransitionKind::TurnedOff, false), (TransitionKind::TurnedOff, false)]);
    }

    #[test]
    fn the_end_of_what_was_never_sent_is_not_sent_either() {
        let mut alerts = Alerts::default();
        let now = sample::minute(10);
        alerts.trigger(sample::alert(), TransitionKind::Triggered, true, now);
        alerts.resolve("bookings-20261120T1410", now, now);
        alerts.resolve("bookings-20261120T1410", now, now);
        assert_eq!(kinds(&mut alerts), [(TransitionKind::Triggered, false), (TransitionKind::Resolved, false)]);
    }
}
