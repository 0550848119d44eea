//! Sends change lines to the channels that want them.

use store::Timestamp;

use crate::{
    Alerter,
    change::Change,
    definition::{Channel, read_secret},
    notify::{Outcome, change_events, judge, transport::Request},
};

impl Alerter {
    /// Tells each channel that wants changes of the next one.
    pub(crate) async fn tell_changes(&self, now: Timestamp) {
        let view = self.shared.view.read().clone();
        let wanting: Vec<Channel> = {
            let outbox = self.shared.outbox.lock();
            outbox.health().map(|(_, channel, _)| channel).filter(|channel| channel.changes).cloned().collect()
        };
        for channel in wanting {
            let next = self.shared.change_feed.lock().next(&channel.name, &view.changes, now).cloned();
            let Some(change) = next else { continue };
            let outcome = self.tell_change(&channel, &change, now).await;
            if let Outcome::Retry { error, .. } | Outcome::Refused { error } | Outcome::Gone { error } = &outcome {
                tracing::warn!(channel = %channel.name, change = %change.id, %error, "a change was not told");
            }
            let ended = self.shared.change_feed.lock().apply(&channel.name, &change, &outcome, now);
            if let Some(event) = ended {
                self.append("notifications", vec![event]).await;
            }
        }
    }

    async fn tell_change(&self, channel: &Channel, change: &Change, now: Timestamp) -> Outcome {
        let shared = &self.shared;
        let failed = |error| Outcome::Retry { after_s: None, error };
        let Some(url) = channel.url.as_deref().and_then(change_events::address) else {
            return Outcome::Refused { error: "the channel has no address for change events".to_owned() };
        };
        let key = channel.secret.as_ref().ok_or_else(|| "the channel has no routing key".to_owned());
        let key = key.and_then(|secret| read_secret(&shared.config.folder, secret, &shared.config.environment));
        let body = match key {
            Ok(key) => change_events::payload(&key, change, &shared.links).to_string().into_bytes(),
            Err(error) => return failed(error),
        };
        let headers = vec![("content-type", "application/json".to_owned())];
        let request = Request { method: http::Method::POST, url, headers, body };
        match shared.transport.send(request).await {
            Ok(response) => judge(channel.kind, &response, now),
            Err(error) => failed(error),
        }
    }
}
