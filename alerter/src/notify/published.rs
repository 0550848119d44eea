//! The published schemas and limits of PagerDuty and Slack, for tests: what breaks one is said in words. Read by the payload tests and by
//! the loopback receivers of the integration tests, which refuse as the real ones do.

use serde_json::Value;

type Checked = Result<(), String>;

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(what()) }
}

fn text(value: &Value, characters_max: usize) -> Result<&str, String> {
    let text = value.as_str().ok_or_else(|| format!("{value} is no string"))?;
    let length = text.chars().count();
    ensure(!text.is_empty() && length <= characters_max, || {
        format!("{length} characters, {characters_max} are allowed")
    })?;
    Ok(text)
}

fn keys_within(value: &Value, known: &[&str]) -> Checked {
    let object = value.as_object().ok_or_else(|| format!("{value} is no object"))?;
    object.keys().try_for_each(|key| ensure(known.contains(&key.as_str()), || format!("{key:?} is not in the schema")))
}

fn list(value: &Value) -> Result<&Vec<Value>, String> {
    value.as_array().ok_or_else(|| format!("{value} is no list"))
}

fn timestamp(value: &Value) -> Checked {
    let time = text(value, 40)?;
    ensure(chrono::DateTime::parse_from_rfc3339(time).is_ok(), || format!("{time} is no ISO 8601 time"))
}

fn links(value: &Value) -> Checked {
    list(value)?.iter().try_for_each(|link| {
        keys_within(link, &["href", "text"])?;
        ensure(text(&link["href"], 3000)?.starts_with("http"), || format!("{link} leads nowhere"))?;
        text(&link["text"], 1000).map(drop)
    })
}

/// Events API v2: required keys, closed sets, lengths, 512 KB.
pub(crate) fn pagerduty_event(body: &[u8]) -> Checked {
    ensure(body.len() <= 512_000, || format!("{} bytes", body.len()))?;
    let event: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    keys_within(
        &event,
        &["routing_key", "event_action", "dedup_key", "payload", "client", "client_url", "links", "images"],
    )?;
    ensure(text(&event["routing_key"], 32)?.len() == 32, || "a routing key has 32 characters".to_owned())?;
    text(&event["dedup_key"], 255)?;
    let action = text(&event["event_action"], 20)?;
    ensure(["trigger", "acknowledge", "resolve"].contains(&action), || format!("event_action {action:?}"))?;
    let payload = &event["payload"];
    if action == "trigger" || !payload.is_null() {
        let known = ["summary", "source", "severity", "timestamp", "component", "group", "class", "custom_details"];
        keys_within(payload, &known)?;
        text(&payload["summary"], 1024)?;
        text(&payload["source"], 255)?;
        let severity = text(&payload["severity"], 10)?;
        ensure(["critical", "error", "warning", "info"].contains(&severity), || format!("severity {severity:?}"))?;
        timestamp(&payload["timestamp"])?;
    }
    if let Some(value) = event.get("links") {
        links(value)?;
    }
    event.get("images").map_or(Ok(()), |images| {
        list(images)?.iter().try_for_each(|image| {
            keys_within(image, &["src", "href", "alt"])?;
            ensure(text(&image["src"], 3000)?.starts_with("https://"), || "an image must be https".to_owned())?;
            text(&image["alt"], 1000).map(drop)
        })
    })
}

/// Change events API v2.
pub(crate) fn pagerduty_change(body: &[u8]) -> Checked {
    ensure(body.len() <= 512_000, || format!("{} bytes", body.len()))?;
    let event: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    keys_within(&event, &["routing_key", "payload", "links"])?;
    ensure(text(&event["routing_key"], 32)?.len() == 32, || "a routing key has 32 characters".to_owned())?;
    let payload = &event["payload"];
    keys_within(payload, &["summary", "source", "timestamp", "custom_details"])?;
    text(&payload["summary"], 1024)?;
    text(&payload["source"], 255)?;
    timestamp(&payload["timestamp"])?;
    links(&event["links"])
}

/// An incoming webhook of Slack: Block Kit's limits for the blocks we use.
pub(crate) fn slack_message(body: &[u8]) -> Checked {
    let message: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    keys_within(&message, &["text", "blocks"])?;
    text(&message["text"], 40_000)?;
    let blocks = list(&message["blocks"])?;
    ensure(blocks.len() <= 50, || format!("{} blocks", blocks.len()))?;
    blocks.iter().try_for_each(slack_block)
}

fn slack_block(block: &Value) -> Checked {
    let counted = |value: &Value, max: usize, check: &dyn Fn(&Value) -> Checked| {
        let items = list(value)?;
        ensure((1..=max).contains(&items.len()), || format!("{} of at most {max}", items.len()))?;
        items.iter().try_for_each(check)
    };
    match text(&block["type"], 20)? {
        "header" => {
            ensure(block["text"]["type"] == "plain_text", || "a header is plain text".to_owned())?;
            text(&block["text"]["text"], 150).map(drop)
        }
        "section" => match block.get("fields") {
            Some(fields) => counted(fields, 10, &|field| mrkdwn(field, 2000)),
            None => mrkdwn(&block["text"], 3000),
        },
        "context" => counted(&block["elements"], 10, &|element| mrkdwn(element, 3000)),
        "actions" => counted(&block["elements"], 25, &|button| {
            keys_within(button, &["type", "text", "url", "style"])?;
            let style = button.get("style").and_then(Value::as_str);
            ensure(style.is_none_or(|style| ["danger", "primary"].contains(&style)), || format!("style {style:?}"))?;
            text(&button["text"]["text"], 75)?;
            text(&button["url"], 3000).map(drop)
        }),
        "image" => {
            keys_within(block, &["type", "image_url", "alt_text"])?;
            ensure(text(&block["image_url"], 3000)?.starts_with("https://"), || "an image must be public".to_owned())?;
            text(&block["alt_text"], 2000).map(drop)
        }
        other => Err(format!("block {other:?}")),
    }
}

fn mrkdwn(object: &Value, characters_max: usize) -> Checked {
    ensure(object["type"] == "mrkdwn", || format!("{object} is no mrkdwn"))?;
    let text = text(&object["text"], characters_max)?;
    let rest = text.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
    ensure(!rest.contains(['<', '>', '&']), || format!("unescaped or half an entity: {rest:?}"))
}
