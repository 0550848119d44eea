//! A press of "turn it off": checked, stored, called, stored, told. The only place that acts on the outside world for a person.

use std::time::Duration;

use serde_json::Value;
use store::DatasetName;

use crate::{
    Alerter,
    alert::Alert,
    change, notify,
    off::{
        ANSWER_CHARACTERS_MAX, Call, OffAction,
        register::{Attempt, Ended, Presser},
    },
    suspect,
};

/// What a person orders.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) alert_id: String,
    pub(crate) change_id: String,
    /// [`Call::confirm`] of what they were shown.
    pub(crate) confirm: Option<String>,
    pub(crate) presser: Presser,
}

/// It is off.
#[derive(Debug, Clone)]
pub(crate) struct TurnedOff {
    pub(crate) action: OffAction,
    /// False when it had been turned off before: nothing was called.
    pub(crate) called: bool,
    pub(crate) alert: Alert,
}

/// Why it is not off, or why that is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    NoAlert,
    NoChange,
    OtherEnvironment,
    NoCall,
    NotAllowed(String),
    /// The call that waits for a confirmation; true when another one was confirmed.
    Unconfirmed(Box<Call>, bool),
    Secret(String),
    /// Nothing was called: it could not be stored.
    Store,
    Refused {
        call: Box<Call>,
        status: u16,
        answer: String,
    },
    NoAnswer {
        call: Box<Call>,
        reason: String,
    },
}

impl Alerter {
    /// Turns a change off, once: a second press, also of another alert, gets the first answer.
    pub(crate) async fn turn_off(&self, order: Order) -> Result<TurnedOff, Refusal> {
        let shared = &self.shared;
        let (alert, change, call) = self.ordered(&order)?;
        let target = shared.links.off_target(&call).map_err(Refusal::NotAllowed)?;
        if order.confirm.as_deref() != Some(&call.confirm()) {
            return Err(Refusal::Unconfirmed(Box::new(call), order.confirm.is_some()));
        }
        let turn = shared.offs.lock().turn(&call.change);
        let _one_at_a_time = turn.lock().await;
        let known = shared.offs.lock().done(&call.change).cloned();
        if let Some(action) = known {
            let alert = self.remember(&alert, &action).await;
            return Ok(TurnedOff { action, called: false, alert });
        }
        let now = shared.clock.now();
        let (folder, environment) = (&shared.config.folder, &shared.config.environment);
        let request = notify::off::request(&call, target, folder, environment, now).map_err(Refusal::Secret)?;
        let number = shared.offs.lock().attempt(&call.change);
        let (alert_id, metric) = (alert.id.clone(), alert.metric.clone());
        let attempt = Attempt { call, change, alert_id, metric, presser: order.presser, number };
        if !self.append("off_actions", vec![attempt.started(now)]).await {
            return Err(Refusal::Store);
        }
        let began = shared.clock.elapsed();
        let ended = ended(shared.transport.send(request).await);
        self.finish(attempt, ended, shared.clock.elapsed().saturating_sub(began), &alert).await
    }

    /// The alert, the change and its call.
    fn ordered(&self, order: &Order) -> Result<(Alert, Value, Call), Refusal> {
        let alert = self.shared.alerts.lock().get(&order.alert_id).cloned().ok_or(Refusal::NoAlert)?;
        let is_it = |change: &Value| change.get("id").and_then(Value::as_str) == Some(&order.change_id);
        // As the person saw it, else as it is now.
        let suspect = alert.suspects.iter().map(|suspect| &suspect.change).find(|change| is_it(change)).cloned();
        let listed = || {
            let view = self.shared.view.read().clone();
            view.changes.iter().find(|change| change.id == order.change_id).map(|change| change.json.clone())
        };
        let change = suspect.or_else(listed).ok_or(Refusal::NoChange)?;
        let line = change::Change::from_json(&change).ok_or(Refusal::NoChange)?;
        if !suspect::shares_environment(&line, alert.environment.as_deref()) {
            return Err(Refusal::OtherEnvironment);
        }
        let call = Call::of(&change).ok_or(Refusal::NoCall)?;
        Ok((alert, change, call))
    }

    /// Stores what came of the call, draws its line and tells the incident.
    async fn finish(
        &self,
        attempt: Attempt,
        ended: Ended,
        elapsed: Duration,
        alert: &Alert,
    ) -> Result<TurnedOff, Refusal> {
        let now = self.shared.clock.now();
        let elapsed_ms = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
        tracing::warn!(alert = %alert.id, change = %attempt.call.change, ended = ?ended, "a change is turned off");
        let done = match &ended {
            Ended::Done { status, answer } => Some(attempt.action(*status, answer, now)),
            _ => None,
        };
        if let Some(action) = &done {
            self.shared.offs.lock().take(action.clone());
        }
        // When the store refuses, the call was made all the same: the log has it, and the incident below.
        self.append("off_actions", vec![attempt.ended(&ended, elapsed_ms, now)]).await;
        match (ended, done) {
            (_, Some(action)) => {
                let console = self.shared.links.console(&alert.id);
                let line = change::turned_off(&attempt.change, &action, &console);
                if let Err(error) = self.shared.lines.draw(line).await {
                    tracing::error!(%error, change = %action.change, "the line of what was turned off could not be drawn");
                }
                let alert = self.remember(alert, &action).await;
                Ok(TurnedOff { action, called: true, alert })
            }
            (Ended::Refused { status, answer } | Ended::Done { status, answer }, None) => {
                Err(Refusal::Refused { call: Box::new(attempt.call), status, answer })
            }
            (Ended::NoAnswer { reason }, None) => Err(Refusal::NoAnswer { call: Box::new(attempt.call), reason }),
        }
    }

    /// The incident remembers it, as every other open one that names the change, and watches whether its metric recovers.
    async fn remember(&self, alert: &Alert, action: &OffAction) -> Alert {
        let now = self.shared.clock.now();
        {
            let mut alerts = self.shared.alerts.lock();
            let names = |other: &&Alert| {
                let named = other.named_suspects().iter().any(|suspect| suspect.change["id"] == action.change.as_str());
                named || other.id == alert.id
            };
            let ids: Vec<String> = alerts.open().filter(names).map(|other| other.id.clone()).collect();
            for id in ids {
                alerts.turned_off(&id, action.clone(), now);
            }
        }
        self.write_transitions(now).await;
        self.shared.alerts.lock().get(&alert.id).cloned().unwrap_or_else(|| alert.clone())
    }

    /// False when the store does not take them.
    pub(crate) async fn append(&self, name: &str, events: Vec<Value>) -> bool {
        let dataset = DatasetName::system(name);
        match self.shared.store.append_values(&dataset, &events).await {
            Ok(_) => true,
            Err(source) => {
                let error = crate::Error::Append { dataset: dataset.to_string(), source };
                tracing::error!(error = %error.chain(), "events could not be stored");
                false
            }
        }
    }
}

fn ended(answer: Result<notify::transport::Response, String>) -> Ended {
    match answer {
        Ok(response) => {
            let answer = notify::shortened(response.body.trim(), ANSWER_CHARACTERS_MAX);
            let status = response.status;
            if (200..300).contains(&status) {
                Ended::Done { status, answer }
            } else {
                Ended::Refused { status, answer }
            }
        }
        Err(reason) => Ended::NoAnswer { reason },
    }
}
