//! The durable outbox: every transition that notifies reaches each of its channels at least once, in order per incident.
//!
//! Durable without a file of its own: transitions are events of `system.alerts`, receipts events of
//! `system.notifications`; what has no receipt after a restart is put back here. This module is the pure part: which
//! delivery is due, what an outcome does to it. The caller sends and stores.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use store::Timestamp;

use super::Outcome;
use crate::{alert::Transition, definition::Channel};

/// Seconds before the second, third … attempt.
const BACKOFF_S: [i64; 5] = [5, 10, 20, 40, 60];
/// Seconds between attempts once the first hour has passed.
const SLOW_BACKOFF_S: i64 = 300;
/// A receiver may ask for at most this long a pause, in seconds.
const RETRY_AFTER_S_MAX: i64 = 3600;
/// Receipts kept in memory for the API, newest last.
const RECEIPTS_MAX: usize = 2000;

/// One notification on its way to one channel.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) transition: Transition,
    pub(crate) channel: String,
    /// The channel that could not be reached and whose fallback this is.
    pub(crate) fallback_of: Option<String>,
    pub(crate) attempts: u32,
    pub(crate) last_error: Option<String>,
    next_at: Timestamp,
    /// When it was put here: the fallback waits from then.
    since: Timestamp,
    in_flight: bool,
    /// Already handed to the fallback.
    passed_on: bool,
}

/// The end of a notification, as stored in `system.notifications`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Receipt {
    pub(crate) alert_id: String,
    pub(crate) transition_id: String,
    pub(crate) channel: String,
    pub(crate) action: String,
    pub(crate) delivered: bool,
    pub(crate) attempts: u32,
    pub(crate) last_error: Option<String>,
    pub(crate) time: Timestamp,
    pub(crate) dedup_key: String,
    pub(crate) fallback_of: Option<String>,
}

impl Receipt {
    pub(crate) fn to_event(&self) -> Value {
        json!({
            "id": format!("{}:{}", self.transition_id, self.channel),
            "time": self.time.to_rfc3339(),
            "alert_id": self.alert_id,
            "transition_id": self.transition_id,
            "channel": self.channel,
            "type": self.action,
            "state": if self.delivered { "delivered" } else { "failed" },
            "attempts": self.attempts,
            "last_error": self.last_error,
            "dedup_key": self.dedup_key,
            "fallback_of": self.fallback_of,
        })
    }

    pub(crate) fn from_event(event: &Value) -> Option<Self> {
        let text = |key: &str| event.get(key).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            alert_id: text("alert_id")?,
            transition_id: text("transition_id")?,
            channel: text("channel")?,
            action: text("type")?,
            delivered: text("state")? == "delivered",
            attempts: u32::try_from(event.get("attempts")?.as_u64()?).ok()?,
            last_error: text("last_error"),
            time: Timestamp::parse_rfc3339(&text("time")?)?,
            dedup_key: text("dedup_key")?,
            fallback_of: text("fallback_of"),
        })
    }
}

/// What is known of one channel.
#[derive(Debug, Clone, Default)]
pub(crate) struct Health {
    /// Set at the first failure after a success.
    pub(crate) failing_since: Option<Timestamp>,
    pub(crate) last_error: Option<String>,
    pub(crate) last_success: Option<Timestamp>,
    /// The receiver said it will never take anything again; until the definition changes or a restart.
    pub(crate) dead: bool,
    /// The receiver asked for a pause.
    paused_until: Timestamp,
}

/// Limits of the outbox, from the configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) deliveries_max: usize,
    pub(crate) hours_max: i64,
    pub(crate) fallback_after_s: i64,
}

/// Everything on its way.
#[derive(Debug)]
pub(crate) struct Outbox {
    limits: Limits,
    deliveries: BTreeMap<u64, Delivery>,
    next_key: u64,
    channels: BTreeMap<String, (Channel, Health)>,
    receipts: Vec<Receipt>,
    /// Receipts not yet stored.
    unwritten: Vec<Receipt>,
}

impl Outbox {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            deliveries: BTreeMap::new(),
            next_key: 0,
            channels: BTreeMap::new(),
            receipts: Vec::new(),
            unwritten: Vec::new(),
        }
    }

    /// Takes the channels in force. A changed definition brings a dead channel back.
    pub(crate) fn set_channels(&mut self, channels: &BTreeMap<String, Channel>) {
        self.channels.retain(|name, (channel, _)| channels.get(name) == Some(channel));
        for (name, channel) in channels {
            self.channels.entry(name.clone()).or_insert_with(|| (channel.clone(), Health::default()));
        }
    }

    /// Puts the deliveries back that have no receipt, after a restart.
    pub(crate) fn restore(&mut self, transitions: &[Transition], receipts: Vec<Receipt>, now: Timestamp) {
        let ended: BTreeSet<(&str, &str)> =
            receipts.iter().map(|receipt| (receipt.transition_id.as_str(), receipt.channel.as_str())).collect();
        let open: Vec<(Transition, String)> = transitions
            .iter()
            .filter(|transition| transition.notify && transition.kind.action().is_some())
            .flat_map(|transition| transition.alert.channels.iter().map(move |channel| (transition, channel)))
            .filter(|(transition, channel)| !ended.contains(&(transition.id.as_str(), channel.as_str())))
            .map(|(transition, channel)| (transition.clone(), channel.clone()))
            .collect();
        let from = receipts.len().saturating_sub(RECEIPTS_MAX);
        self.receipts = receipts[from..].to_vec();
        for (transition, channel) in open {
            self.enqueue(transition, channel, None, now);
        }
    }

    /// Accepts a stored transition for all its channels. False when the outbox is full: the transition stays in
    /// `system.alerts` and is sent after a restart.
    pub(crate) fn put(&mut self, transition: &Transition, now: Timestamp) -> bool {
        if !transition.notify || transition.kind.action().is_none() {
            return true;
        }
        if self.deliveries.len() + transition.alert.channels.len() > self.limits.deliveries_max {
            return false;
        }
        for channel in &transition.alert.channels {
            self.enqueue(transition.clone(), channel.clone(), None, now);
        }
        true
    }

    fn enqueue(&mut self, transition: Transition, channel: String, fallback_of: Option<String>, now: Timestamp) {
        let delivery = Delivery {
            transition,
            channel,
            fallback_of,
            attempts: 0,
            last_error: None,
            next_at: now,
            since: now,
            in_flight: false,
            passed_on: false,
        };
        self.deliveries.insert(self.next_key, delivery);
        self.next_key += 1;
    }

    /// The deliveries to send now, at most one per channel, marked as in flight; each must be given back to
    /// [`Outbox::apply`]. An earlier notification of the same incident goes first.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Vec<(u64, Delivery, Channel)> {
        let mut due = Vec::new();
        let mut busy: BTreeSet<String> = self
            .deliveries
            .values()
            .filter(|delivery| delivery.in_flight)
            .map(|delivery| delivery.channel.clone())
            .collect();
        let mut waiting: BTreeSet<(String, String)> = BTreeSet::new();
        for (key, delivery) in &mut self.deliveries {
            let incident = (delivery.channel.clone(), delivery.transition.alert.dedup_key.clone());
            if !waiting.insert(incident) || busy.contains(&delivery.channel) || delivery.next_at > now {
                continue;
            }
            let Some((channel, health)) = self.channels.get(&delivery.channel) else { continue };
            if health.dead || health.paused_until > now {
                continue;
            }
            delivery.in_flight = true;
            busy.insert(delivery.channel.clone());
            due.push((*key, delivery.clone(), channel.clone()));
        }
        due
    }

    /// What an attempt led to.
    pub(crate) fn apply(&mut self, key: u64, outcome: Outcome, now: Timestamp) {
        let Some(delivery) = self.deliveries.get_mut(&key) else { return };
        delivery.in_flight = false;
        delivery.attempts += 1;
        let name = delivery.channel.clone();
        let health = self.channels.get_mut(&name).map(|(_, health)| health);
        match outcome {
            Outcome::Delivered => {
                if let Some(health) = health {
                    *health = Health { last_success: Some(now), ..Health::default() };
                }
                self.end(key, true, now);
            }
            Outcome::Retry { after_s, error } => {
                let wait = wait_seconds(delivery.attempts, delivery.since, after_s, now);
                delivery.next_at = now.plus_seconds(wait);
                delivery.last_error = Some(error.clone());
                if let Some(health) = health {
                    fail(health, error, now);
                    if after_s.is_some() {
                        health.paused_until = now.plus_seconds(wait);
                    }
                }
            }
            Outcome::Refused { error } => {
                delivery.last_error = Some(error.clone());
                if let Some(health) = health {
                    fail(health, error, now);
                }
                self.end(key, false, now);
            }
            Outcome::Gone { error } => {
                delivery.last_error = Some(error.clone());
                if let Some(health) = health {
                    fail(health, error, now);
                    health.dead = true;
                }
                self.end(key, false, now);
            }
        }
    }

    /// Ends what waited too long or goes to a channel that takes nothing any more, and hands what waits to fallbacks.
    /// Returns how many were given up.
    pub(crate) fn sweep(&mut self, now: Timestamp) -> usize {
        let mut ends: Vec<(u64, String)> = Vec::new();
        let mut late: Vec<u64> = Vec::new();
        for (key, delivery) in &self.deliveries {
            if delivery.in_flight {
                continue;
            }
            let oldest = now.plus_seconds(-self.limits.hours_max * 3600);
            match self.channels.get(&delivery.channel) {
                None => ends.push((*key, format!("channel {:?} is no longer defined", delivery.channel))),
                Some((_, health)) if health.dead => {
                    let error = health.last_error.as_deref().unwrap_or("gone");
                    ends.push((*key, format!("channel {:?} is switched off: {error}", delivery.channel)));
                }
                Some(_) if delivery.transition.time < oldest => {
                    let error = delivery.last_error.as_deref().unwrap_or("never sent");
                    ends.push((*key, format!("given up after {} hours: {error}", self.limits.hours_max)));
                }
                Some(_)
                    if delivery.attempts > 0 && delivery.since.plus_seconds(self.limits.fallback_after_s) <= now =>
                {
                    late.push(*key);
                }
                Some(_) => {}
            }
        }
        for key in late {
            self.pass_on(key, now);
        }
        let count = ends.len();
        for (key, error) in ends {
            if let Some(delivery) = self.deliveries.get_mut(&key) {
                delivery.last_error = Some(error);
            }
            self.end(key, false, now);
        }
        count
    }

    /// Hands a copy to the channel's fallback, once. Fallbacks have none of their own.
    fn pass_on(&mut self, key: u64, now: Timestamp) {
        let Some(delivery) = self.deliveries.get_mut(&key) else { return };
        let fallback = self.channels.get(&delivery.channel).and_then(|(channel, _)| channel.fallback.clone());
        let told = |name: &String| delivery.transition.alert.channels.contains(name);
        let Some(fallback) = fallback.filter(|name| !told(name)) else { return };
        if delivery.passed_on || delivery.fallback_of.is_some() {
            return;
        }
        delivery.passed_on = true;
        let (transition, of) = (delivery.transition.clone(), delivery.channel.clone());
        self.enqueue(transition, fallback, Some(of), now);
    }

    fn end(&mut self, key: u64, delivered: bool, now: Timestamp) {
        if !delivered {
            self.pass_on(key, now);
        }
        let Some(delivery) = self.deliveries.remove(&key) else { return };
        let transition = delivery.transition;
        let receipt = Receipt {
            alert_id: transition.alert.id.clone(),
            transition_id: transition.id,
            channel: delivery.channel,
            action: transition.kind.action().map_or("trigger", crate::alert::Action::as_str).to_owned(),
            delivered,
            attempts: delivery.attempts,
            last_error: delivery.last_error,
            time: now,
            dedup_key: transition.alert.dedup_key,
            fallback_of: delivery.fallback_of,
        };
        if self.receipts.len() == RECEIPTS_MAX {
            self.receipts.remove(0);
        }
        self.receipts.push(receipt.clone());
        self.unwritten.push(receipt);
    }

    /// Receipts to be stored; give back with [`Outbox::unwritten_again`] what could not be.
    pub(crate) fn take_unwritten(&mut self) -> Vec<Receipt> {
        std::mem::take(&mut self.unwritten)
    }

    pub(crate) fn unwritten_again(&mut self, mut receipts: Vec<Receipt>) {
        receipts.append(&mut self.unwritten);
        self.unwritten = receipts;
    }

    /// Health by channel.
    pub(crate) fn health(&self) -> impl Iterator<Item = (&str, &Channel, &Health)> {
        self.channels.iter().map(|(name, (channel, health))| (name.as_str(), channel, health))
    }

    /// Deliveries waiting.
    pub(crate) fn len(&self) -> usize {
        self.deliveries.len()
    }

    /// `notifications` of an alert in the API: what ended and what waits.
    pub(crate) fn notifications(&self, alert_id: &str) -> Vec<Value> {
        let ended = self.receipts.iter().filter(|receipt| receipt.alert_id == alert_id).map(|receipt| {
            json!({
                "channel": receipt.channel,
                "type": receipt.action,
                "state": if receipt.delivered { "delivered" } else { "failed" },
                "attempts": receipt.attempts,
                "last_error": receipt.last_error,
                "delivered_at": receipt.delivered.then(|| receipt.time.to_rfc3339()),
                "fallback_of": receipt.fallback_of,
            })
        });
        let waiting = self.deliveries.values().filter(|delivery| delivery.transition.alert.id == alert_id);
        let waiting = waiting.map(|delivery| {
            json!({
                "channel": delivery.channel,
                "type": delivery.transition.kind.action().map(crate::alert::Action::as_str),
                "state": "pending",
                "attempts": delivery.attempts,
                "last_error": delivery.last_error,
                "delivered_at": null,
                "fallback_of": delivery.fallback_of,
            })
        });
        ended.chain(waiting).collect()
    }
}

fn fail(health: &mut Health, error: String, now: Timestamp) {
    health.failing_since.get_or_insert(now);
    health.last_error = Some(error);
}

fn wait_seconds(attempts: u32, since: Timestamp, after_s: Option<u64>, now: Timestamp) -> i64 {
    let slow = now.seconds() - since.seconds() > 3600;
    let step = usize::try_from(attempts).unwrap_or(usize::MAX).saturating_sub(1).min(BACKOFF_S.len() - 1);
    let backoff = if slow { SLOW_BACKOFF_S } else { BACKOFF_S[step] };
    let asked = after_s.map_or(0, |seconds| i64::try_from(seconds).unwrap_or(i64::MAX).min(RETRY_AFTER_S_MAX));
    backoff.max(asked)
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
