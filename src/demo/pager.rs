//! The other end of the demo's wires: on-call's pager, which prints the pages it gets, and the switch of experiment 13.
//!
//! `POST /pages` takes signed webhooks (Standard Webhooks). `POST /experiments/13` takes `{"share": 0.0 to 1.0}`, signed the same way: it
//! stands for a flag system, and the server calls it when somebody presses "turn it off".

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use anyhow::Context;
use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use benches::{
    machine,
    story::{BROKEN_EXPERIMENT, Environment},
};
use hmac::{Hmac, Mac as _};
use serde_json::Value;
use tokio::net::TcpListener;

use super::{
    SECOND, Stage, definitions,
    screen::{clock, minutes},
};

/// The kind of a page that is new; acknowledgements and resolutions come the same way.
const TRIGGERED: &str = "triggered";

/// What the pager got so far.
#[derive(Debug, Default)]
pub(super) struct Pages {
    count: AtomicU64,
    activation: AtomicI64,
}

impl Pages {
    /// The activation whose page is awaited, µs since 1970.
    pub(super) fn expect_after(&self, activation: i64) {
        self.activation.store(activation, Ordering::Relaxed);
    }

    /// Pages received.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// The pager's listener, open before the server starts.
pub(super) struct Door {
    listener: TcpListener,
    pub(super) address: SocketAddr,
    key: [u8; 32],
    folder: PathBuf,
}

struct Pager {
    stage: Arc<Stage>,
    key: [u8; 32],
    folder: PathBuf,
}

impl Door {
    /// Takes a free port of loopback and makes the signing key.
    pub(super) async fn open(data: &Path) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("could not open a port for pages")?;
        let address = listener.local_addr().context("could not read the pager's address")?;
        let folder = data.join("pages");
        std::fs::create_dir_all(&folder).with_context(|| format!("could not make the folder {}", folder.display()))?;
        Ok(Self { listener, address, key: definitions::write_secret(data)?, folder })
    }

    /// Answers until the demo ends.
    pub(super) async fn answer(self, stage: Arc<Stage>) -> anyhow::Result<()> {
        let stop = stage.stop.clone();
        let pager = Arc::new(Pager { stage, key: self.key, folder: self.folder });
        let routes =
            Router::new().route("/pages", post(take_page)).route("/experiments/13", post(switch)).with_state(pager);
        axum::serve(self.listener, routes)
            .with_graceful_shutdown(stop.cancelled_owned())
            .await
            .context("the pager failed")
    }
}

async fn take_page(State(pager): State<Arc<Pager>>, headers: HeaderMap, body: Bytes) -> Response {
    if !is_signed(&pager.key, &headers, &body) {
        return (StatusCode::UNAUTHORIZED, "the signature is missing or wrong").into_response();
    }
    let Ok(page) = serde_json::from_slice::<Value>(&body) else {
        return (StatusCode::BAD_REQUEST, "not JSON").into_response();
    };
    let kind = page["type"].as_str().unwrap_or("page").trim_start_matches("alert.").to_owned();
    let is_trigger = kind == TRIGGERED;
    let number = pager.stage.pages.count() + 1;
    let file = pager.folder.join(format!("{}-{kind}.json", machine::now() / SECOND));
    if let Err(error) = std::fs::write(&file, &body) {
        tracing::warn!(%error, "could not keep the page in {}", file.display());
    }
    if is_trigger {
        pager.stage.pages.count.store(number, Ordering::Relaxed);
    }
    pager.stage.screen.line(&render(&pager.stage, &kind, &page["data"], &file));
    StatusCode::NO_CONTENT.into_response()
}

/// The page as a person on call would want it.
fn render(stage: &Stage, kind: &str, alert: &Value, file: &Path) -> String {
    let now = machine::now();
    let since = (now - stage.pages.activation.load(Ordering::Relaxed)) / SECOND;
    let rule = "\u{2500}".repeat(78);
    let mut lines = vec![
        rule.clone(),
        format!(
            "{}  {} UTC  signature checked",
            stage.screen.bold(&format!("PAGE {kind}")),
            clock(now).trim_end_matches(" UTC")
        ),
        String::new(),
        wrap(alert["sentence"].as_str().unwrap_or("(no sentence)"), 76),
        String::new(),
    ];
    for suspect in alert["suspects"].as_array().into_iter().flatten().take(3) {
        let change = &suspect["change"];
        lines.push(format!(
            "  suspect   {:.0} %  {} ({}, by {})",
            suspect["share"].as_f64().unwrap_or(0.0) * 100.0,
            change["title"].as_str().unwrap_or("?"),
            change["kind"].as_str().unwrap_or("?"),
            change["actor"].as_str().unwrap_or("?"),
        ));
    }
    lines.push(format!("  suspect   {:.0} %  unknown cause", alert["unknown_share"].as_f64().unwrap_or(0.0) * 100.0));
    if let Some(missed) = alert["missed"].as_f64() {
        let bound = |name: &str| alert[name].as_f64().unwrap_or(missed);
        lines.push(format!("  missed    {missed:.0} ({:.0} to {:.0})", bound("missed_low"), bound("missed_high")));
    }
    let mut text = |name: &str, value: &Value| {
        if let Some(value) = value.as_str() {
            lines.push(format!("  {name:<9} {value}"));
        }
    };
    text("open", &alert["links"]["console"]);
    text("runbook", &alert["links"]["runbook"]);
    if let (Some(id), Some(change), TRIGGERED) = (alert["id"].as_str(), alert["off"]["change"].as_str(), kind) {
        let order = serde_json::json!({"change": change, "confirm": alert["off"]["confirm"], "actor": "on-call"});
        let url = stage.url(&format!("/api/v1/alerts/{id}/off"));
        lines.push(format!("  turn off  on that page, or: curl -d '{order}' {url}"));
    }
    lines.push(format!("  as sent   {}", file.display()));
    if kind == TRIGGERED && since > 0 {
        lines.push(format!("\n{} min after the activation.", minutes(since)));
    }
    lines.push(rule);
    lines.join("\n")
}

/// Breaks a text at blanks.
fn wrap(text: &str, width: usize) -> String {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + word.chars().count() + 1 > width {
            lines.push(format!("  {line}"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(format!("  {line}"));
    lines.join("\n")
}

/// Checks `webhook-signature`: one of its entries is `v1,` and the base64 HMAC-SHA256 of `id.timestamp.body`.
fn is_signed(key: &[u8], headers: &HeaderMap, body: &[u8]) -> bool {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(id), Some(timestamp), Some(signatures)) =
        (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"))
    else {
        return false;
    };
    signatures.split(' ').filter_map(|signature| signature.strip_prefix("v1,")).any(|signature| {
        let (Ok(mut mac), Ok(given)) = (Hmac::<sha2::Sha256>::new_from_slice(key), STANDARD.decode(signature)) else {
            return false;
        };
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        mac.verify_slice(&given).is_ok()
    })
}

#[derive(Debug, serde::Deserialize)]
struct Switch {
    share: f64,
}

/// Sets the share of experiment 13. Its line is drawn by who called.
async fn switch(State(pager): State<Arc<Pager>>, headers: HeaderMap, body: Bytes) -> Response {
    if !is_signed(&pager.key, &headers, &body) {
        return (StatusCode::UNAUTHORIZED, "the signature is missing or wrong").into_response();
    }
    let Ok(wanted) = serde_json::from_slice::<Switch>(&body) else {
        return (StatusCode::BAD_REQUEST, "send {\"share\": 0}").into_response();
    };
    if !(0.0..=1.0).contains(&wanted.share) {
        return (StatusCode::BAD_REQUEST, "share is a number from 0 to 1").into_response();
    }
    let now = machine::now();
    pager.stage.change_story(|story| story.switch(Environment::Production, BROKEN_EXPERIMENT, wanted.share, now));
    let line = format!("{}  the flag system sets experiment 13 to {:.0} %", clock(now), wanted.share * 100.0);
    pager.stage.screen.line(&pager.stage.screen.bold(&line));
    Json(serde_json::json!({ "experiment": "13", "share": wanted.share, "time": clock(now) })).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_pages_signed_with_the_key_are_taken() {
        // The published test vector of Standard Webhooks.
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", HeaderValue::from_static("msg_p5jXN8AQM9LWM0D4loKWxJek"));
        headers.insert("webhook-timestamp", HeaderValue::from_static("1614265330"));
        let signature = "v1,x v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        headers.insert("webhook-signature", HeaderValue::from_static(signature));
        let body = br#"{"test": 2432232314}"#;
        assert!(is_signed(&key, &headers, body));
        assert!(!is_signed(&key, &headers, b"{}"));
        assert!(!is_signed(&key[1..], &headers, body));
        headers.remove("webhook-signature");
        assert!(!is_signed(&key, &headers, body));
    }

    #[test]
    fn long_sentences_are_broken_at_blanks() {
        assert_eq!(wrap("one two three", 8), "  one two\n  three");
    }
}
