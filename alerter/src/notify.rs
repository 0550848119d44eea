//! Telling people: payloads per kind of channel, a transport, and the durable outbox between.
//!
//! Only this folder makes outbound calls. Payloads are pure functions of a stored transition, so a page sent after a
//! restart is the page that would have been sent before it.

pub(crate) mod change_events;
pub(crate) mod off;
pub(crate) mod outbox;
pub(crate) mod pagerduty;
pub(crate) mod slack;
pub mod transport;
pub(crate) mod webhook;

use std::sync::Arc;

use off::OffTarget;
use serde_json::Value;
use store::Timestamp;
use transport::{Request, Response};

use crate::{
    alert::{Alert, Transition},
    definition::{Channel, ChannelKind},
    off::Call,
};

/// Longest address in a payload, in bytes: Slack's bound. A longer one is left out, the page goes without it.
pub(crate) const URL_BYTES_MAX: usize = 3000;

/// What an answer means for the notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The receiver has it.
    Delivered,
    /// Try again, not before the given number of seconds if the receiver named one.
    Retry { after_s: Option<u64>, error: String },
    /// The receiver will never take this notification.
    Refused { error: String },
    /// The receiver will never take anything again under this address.
    Gone { error: String },
}

/// Where links in payloads lead, and what may be turned off.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    /// `https://yellowline.example`, without a slash at the end.
    pub(crate) public_url: String,
    /// What a switching-off may call.
    off_targets: Arc<Vec<OffTarget>>,
}

impl Links {
    pub(crate) fn new(public_url: &str, off_targets: &[OffTarget]) -> Self {
        let public_url = public_url.trim_end_matches('/').to_owned();
        Self { public_url, off_targets: Arc::new(off_targets.to_vec()) }
    }

    /// The page of one alert.
    pub(crate) fn console(&self, alert_id: &str) -> String {
        format!("{}/alerts/{alert_id}", self.public_url)
    }

    /// The page of one alert with the question whether to turn a change off.
    pub(crate) fn turn_off(&self, alert_id: &str, change_id: &str) -> String {
        let change = change_id.bytes().fold(String::new(), |text, byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => text + &char::from(byte).to_string(),
            other => text + &format!("%{other:02X}"),
        });
        format!("{}/alerts/{alert_id}?off={change}", self.public_url)
    }

    /// The picture of an incident, as it is at a time: the time keeps receivers from showing an older one they remember.
    pub(crate) fn picture(&self, alert: &Alert, at: Timestamp) -> Option<String> {
        let secret = alert.picture.as_ref()?;
        Some(format!("{}/pictures/{secret}.png?at={}", self.public_url, at.minutes()))
    }

    /// The same if a chat or a pager can load it: over https. PagerDuty takes nothing else, and Slack loads it from outside.
    pub(crate) fn reachable_picture(&self, alert: &Alert, at: Timestamp) -> Option<String> {
        self.picture(alert, at).filter(|url| url.starts_with("https://"))
    }

    /// The entry of the configuration that allows a call, or why none does.
    pub(crate) fn off_target(&self, call: &Call) -> Result<&OffTarget, String> {
        off::target(&self.off_targets, call)
    }
}

/// Builds the request for one channel. `secret` is the routing key, the signing secret, or the address itself. Slack refuses a
/// message whose picture it cannot load: then it is sent without one.
pub(crate) fn request(
    channel: &Channel,
    secret: &str,
    transition: &Transition,
    links: &Links,
    with_picture: bool,
    now: Timestamp,
) -> Result<Request, String> {
    let url = channel.url.clone().unwrap_or_else(|| secret.to_owned());
    let json = vec![("content-type", "application/json".to_owned())];
    let method = http::Method::POST;
    match channel.kind {
        ChannelKind::PagerDuty => {
            let body = pagerduty::payload(secret, transition, links)?;
            Ok(Request { method, url, headers: json, body })
        }
        ChannelKind::Slack => Ok(Request {
            method,
            url,
            headers: json,
            body: to_bytes(&slack::payload(transition, links, with_picture))?,
        }),
        ChannelKind::Webhook => {
            let body = to_bytes(&webhook::payload(transition, links))?;
            let mut headers = json;
            headers.extend(webhook::headers(secret, &message_id(channel, transition), now, &body)?);
            Ok(Request { method, url, headers, body })
        }
    }
}

/// The same for every attempt at one notification, so that a receiver can drop repeats.
fn message_id(channel: &Channel, transition: &Transition) -> String {
    format!("msg_{}_{}", transition.id, channel.name)
}

fn to_bytes(payload: &Value) -> Result<Vec<u8>, String> {
    serde_json::to_vec(payload).map_err(|error| format!("could not encode the payload: {error}"))
}

/// Reads an answer by the rules of its kind of channel (design, protocols §3).
pub(crate) fn judge(kind: ChannelKind, response: &Response, now: Timestamp) -> Outcome {
    let after_s = response.retry_after.as_deref().and_then(|text| retry_after_seconds(text, now));
    let error = match response.body.trim() {
        "" => format!("answered {}", response.status),
        body => format!("answered {}: {}", response.status, first_line(body)),
    };
    let retry = Outcome::Retry { after_s, error: error.clone() };
    match (kind, response.status) {
        (_, 408 | 425 | 429 | 500..=599) => retry,
        // Some proxies answer 200 with an error text of their own.
        (ChannelKind::Slack, 200) if response.body.trim() == "ok" => Outcome::Delivered,
        (ChannelKind::Slack, 403 | 404 | 410) | (ChannelKind::Webhook, 410) => Outcome::Gone { error },
        (ChannelKind::Slack, 400..=499) | (ChannelKind::PagerDuty, 400..=499) => Outcome::Refused { error },
        (ChannelKind::PagerDuty | ChannelKind::Webhook, 200..=299) => Outcome::Delivered,
        // A wrong secret or path can be mended while the page waits.
        _ => retry,
    }
}

fn first_line(body: &str) -> String {
    body.lines().next().unwrap_or_default().chars().take(200).collect()
}

/// `Retry-After`: seconds or an HTTP date.
fn retry_after_seconds(text: &str, now: Timestamp) -> Option<u64> {
    if let Ok(seconds) = text.trim().parse::<u64>() {
        return Some(seconds);
    }
    let date = chrono::DateTime::parse_from_rfc2822(text.trim()).ok()?;
    u64::try_from(date.timestamp() - now.seconds()).ok()
}

/// Cuts at a character boundary so that at most `characters` remain, with an ellipsis as the last one if cut.
pub(crate) fn shortened(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    text.chars().take(characters.saturating_sub(1)).chain(std::iter::once('\u{2026}')).collect()
}

#[cfg(test)]
#[path = "notify/payload_tests.rs"]
mod payload_tests;
#[cfg(test)]
mod published;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: ChannelKind, status: u16, body: &str, expect: &str) {
        let response = Response { status, retry_after: None, body: body.into() };
        let outcome = judge(kind, &response, Timestamp(0));
        assert!(format!("{outcome:?}").starts_with(expect), "{kind:?} {status} {body:?}: {outcome:?}");
    }

    #[test]
    fn answers_are_judged_by_the_rules_of_their_channel() {
        use ChannelKind::{PagerDuty, Slack, Webhook};
        check(PagerDuty, 202, r#"{"status":"success"}"#, "Delivered");
        check(PagerDuty, 400, r#"{"status":"invalid event"}"#, "Refused");
        check(PagerDuty, 429, "", "Retry");
        check(PagerDuty, 503, "", "Retry");
        check(Slack, 200, "ok", "Delivered");
        check(Slack, 200, "<html>sign in</html>", "Retry");
        check(Slack, 400, "invalid_payload", "Refused");
        check(Slack, 404, "no_service", "Gone");
        check(Slack, 410, "channel_is_archived", "Gone");
        check(Slack, 429, "", "Retry");
        check(Webhook, 204, "", "Delivered");
        check(Webhook, 302, "", "Retry");
        check(Webhook, 401, "", "Retry");
        check(Webhook, 410, "", "Gone");
        check(Webhook, 500, "", "Retry");
    }

    #[test]
    fn retry_after_takes_seconds_and_dates() {
        assert_eq!(retry_after_seconds("30", Timestamp(0)), Some(30));
        let now = Timestamp::parse_rfc3339("2026-11-20T14:00:00Z").unwrap();
        assert_eq!(retry_after_seconds("Fri, 20 Nov 2026 14:01:30 GMT", now), Some(90));
        assert_eq!(retry_after_seconds("soon", now), None);
    }
}
