//! Slack incoming webhook: blocks with a fallback text. A webhook cannot edit what it posted: the end is a second message.

use serde_json::{Value, json};

use super::{Links, shortened};
use crate::{
    alert::{Action, Alert, Transition, TransitionKind},
    off::Call,
    sentence,
};

/// Header block, in characters.
const HEADER_CHARACTERS_MAX: usize = 150;
/// Text of a section, in characters.
const SECTION_CHARACTERS_MAX: usize = 3000;
/// One field of a section, in characters.
const FIELD_CHARACTERS_MAX: usize = 2000;

/// What stands for a picture, in characters.
const ALT_CHARACTERS_MAX: usize = 2000;

/// The message for one transition.
pub(super) fn payload(transition: &Transition, links: &Links, with_picture: bool) -> Value {
    let alert = &transition.alert;
    let sentence = sentence::short(alert, transition.time);
    let title = title(transition);
    let mut blocks = vec![
        json!({"type": "header", "text": {"type": "plain_text", "text": shortened(&title, HEADER_CHARACTERS_MAX)}}),
        json!({"type": "section", "text": {"type": "mrkdwn", "text": cut(&escaped(&sentence), SECTION_CHARACTERS_MAX)}}),
    ];
    if transition.kind.action() == Some(Action::Trigger) {
        let fields = fields(alert);
        if !fields.is_empty() {
            blocks.push(json!({"type": "section", "fields": fields}));
        }
        let details = cut(&escaped(&sentence::details(alert)), FIELD_CHARACTERS_MAX);
        if !details.is_empty() {
            blocks.push(json!({"type": "context", "elements": [{"type": "mrkdwn", "text": details}]}));
        }
    }
    let picture = links.reachable_picture(alert, transition.time).filter(|_| with_picture);
    if let (Some(url), Some(Action::Trigger | Action::Resolve)) = (picture, transition.kind.action()) {
        let alt = shortened(&format!("{title}. {sentence}"), ALT_CHARACTERS_MAX);
        blocks.push(json!({"type": "image", "image_url": url, "alt_text": alt}));
    }
    blocks.push(json!({"type": "actions", "elements": buttons(alert, links)}));
    json!({"text": cut(&escaped(&format!("{title}. {sentence}")), SECTION_CHARACTERS_MAX), "blocks": blocks})
}

fn title(transition: &Transition) -> String {
    let alert = &transition.alert;
    match transition.kind {
        TransitionKind::Acknowledged => {
            let actor = alert.acknowledged_by.as_deref().unwrap_or("somebody");
            format!("Acknowledged by {actor}: {}", alert.title)
        }
        TransitionKind::Resolved => format!("Resolved: {}", alert.title),
        TransitionKind::Retriggered => format!("Again: {}", sentence::headline(alert, transition.time)),
        _ => sentence::headline(alert, transition.time),
    }
}

fn fields(alert: &Alert) -> Vec<Value> {
    let mut fields = Vec::new();
    let mut field = |name: &str, value: &str| {
        let text = cut(&format!("*{name}*\n{}", escaped(value)), FIELD_CHARACTERS_MAX);
        fields.push(json!({"type": "mrkdwn", "text": text}));
    };
    if let Some(environment) = &alert.environment {
        field("Environment", environment);
    }
    if let Some(owner) = &alert.owner {
        field("Owner", owner);
    }
    if let Some(actor) = alert.named_suspects().first().and_then(|suspect| suspect.change.get("actor")?.as_str()) {
        field("Change by", actor);
    }
    fields
}

fn buttons(alert: &Alert, links: &Links) -> Vec<Value> {
    let mut buttons: Vec<Value> = Vec::new();
    let mut button = |text: &str, url: &str, danger: bool| {
        if url.len() > super::URL_BYTES_MAX {
            return;
        }
        let mut button = json!({"type": "button", "text": {"type": "plain_text", "text": text}, "url": url});
        if danger {
            button["style"] = json!("danger");
        }
        buttons.push(button);
    };
    button("Open alert", &links.console(&alert.id), false);
    let off = alert.off().filter(|call| alert.is_open() && links.off_target(call).is_ok());
    let is_off = |call: &Call| alert.offs_since_onset().any(|action| action.change == call.change);
    if let Some(call) = off.filter(|call| !is_off(call)) {
        button("Turn it off \u{2026}", &links.turn_off(&alert.id, &call.change), true);
    }
    if let Some(runbook) = &alert.runbook {
        button("Runbook", runbook, false);
    }
    let change = alert.named_suspects().first().and_then(|suspect| suspect.change.get("url")?.as_str());
    if let Some(url) = change {
        button("Change", url, false);
    }
    buttons
}

/// Slack's three control characters.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Shortens escaped text without leaving half an entity behind.
fn cut(text: &str, characters: usize) -> String {
    let short = shortened(text, characters);
    match (short == text, short.rfind('&')) {
        (false, Some(start)) if !short[start..].contains(';') => format!("{}\u{2026}", &short[..start]),
        _ => short,
    }
}
