//! `/api/v1/alerts`.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
};
use serde::Deserialize;
use serde_json::{Value, json};
use store::Timestamp;

use super::{Failure, body_object, off::offered, only, text, time};
use crate::{
    Alerter,
    alert::{Alert, Feedback},
    notify::Links,
    off::Call,
    sentence,
    told::told,
};

/// Alerts listed unless a limit is given.
const LISTED: usize = 200;
/// Alerts listed at most.
const LISTED_MAX: usize = 1000;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Wanted {
    state: Option<String>,
    from: Option<String>,
    to: Option<String>,
    limit: Option<usize>,
}

/// An alert as the API, the webhook and the console show it; `now` decides the words of its sentence.
pub(crate) fn alert_json(alert: &Alert, now: Timestamp, links: &Links) -> Value {
    let parts = sentence::parts(alert, now);
    let mut json = serde_json::to_value(alert).unwrap_or_default();
    if let Some(fields) = json.as_object_mut() {
        // Whoever has the address of the picture sees it: that is what `links.picture` is for.
        fields.remove("picture");
        fields.extend(told(alert, now, links));
    }
    json["sentence_parts"] = json!(parts);
    let offers = offers(alert, links);
    let lead = alert.off().and_then(|call| offers.iter().find(|offer| offer["change"] == call.change.as_str()));
    json["off"] = lead.cloned().unwrap_or(Value::Null);
    json["offers"] = json!(offers);
    json["feedback"] = alert.feedback.as_ref().map_or(Value::Null, |feedback| {
        json!({"verdict": feedback.verdict.to_string(), "actor": feedback.actor, "note": feedback.note,
               "at": feedback.at.to_rfc3339()})
    });
    json
}

/// The calls that turn the suspects off, with whether they may be made.
fn offers(alert: &Alert, links: &Links) -> Vec<Value> {
    let calls = alert.suspects.iter().filter_map(|suspect| Call::of(&suspect.change));
    calls
        .map(|call| {
            let refusal = links.off_target(&call).err();
            let mut offer = offered(&call);
            offer["allowed"] = json!(refusal.is_none());
            offer["refusal"] = json!(refusal);
            offer
        })
        .collect()
}

pub(super) fn shown(alerter: &Alerter, alert: &Alert) -> Value {
    let shared = &alerter.shared;
    let mut json = alert_json(alert, shared.clock.now(), &shared.links);
    json["notifications"] = json!(shared.outbox.lock().notifications(&alert.id));
    json
}

pub(super) async fn list(
    State(alerter): State<Alerter>,
    headers: HeaderMap,
    query: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Value>, Failure> {
    let Query(wanted) = query.map_err(|error| Failure::invalid(error.body_text()).of(&headers))?;
    let bound = |text: Option<&String>, key| text.map(|text| time(text, key)).transpose();
    let from = bound(wanted.from.as_ref(), "from").map_err(|failure| failure.of(&headers))?;
    let to = bound(wanted.to.as_ref(), "to").map_err(|failure| failure.of(&headers))?;
    let only_open = match wanted.state.as_deref() {
        None | Some("all") => false,
        Some("open") => true,
        Some(other) => {
            return Err(Failure::invalid(format!("`state` is {other:?}: it must be open or all")).of(&headers));
        }
    };
    let all = alerter.shared.alerts.lock().all();
    let overlaps = |alert: &Alert| {
        from.is_none_or(|from| alert.resolved_at.is_none_or(|end| end >= from)) && to.is_none_or(|to| alert.onset < to)
    };
    let alerts: Vec<Value> = all
        .iter()
        .filter(|alert| (!only_open || alert.is_open()) && overlaps(alert))
        .take(wanted.limit.unwrap_or(LISTED).min(LISTED_MAX))
        .map(|alert| shown(&alerter, alert))
        .collect();
    Ok(Json(json!({"alerts": alerts})))
}

pub(super) async fn one(
    State(alerter): State<Alerter>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let alert = alerter.shared.alerts.lock().get(&id).cloned();
    let alert = alert.ok_or_else(|| not_found(&id).of(&headers))?;
    Ok(Json(shown(&alerter, &alert)))
}

pub(super) async fn acknowledge(
    State(alerter): State<Alerter>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Failure> {
    let taken = async {
        let object = body_object(&body)?;
        only(&object, &["actor", "note"])?;
        let (actor, note) = (text(&object, "actor")?, text(&object, "note")?);
        let now = alerter.shared.clock.now();
        let alert = {
            let mut alerts = alerter.shared.alerts.lock();
            if alerts.get(&id).is_none() {
                return Err(not_found(&id));
            }
            alerts.acknowledge(&id, actor, note, now)
        };
        let over = || Failure::new(StatusCode::CONFLICT, "alert_resolved", format!("alert {id} is over"));
        stored(&alerter, &alert.ok_or_else(over)?, now).await
    };
    taken.await.map_err(|failure| failure.of(&headers))
}

pub(super) async fn feedback(
    State(alerter): State<Alerter>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Failure> {
    let taken = async {
        let object = body_object(&body)?;
        only(&object, &["verdict", "actor", "note"])?;
        let verdict = match object.get("verdict") {
            Some(Value::String(word)) if word == "true" => true,
            Some(Value::String(word)) if word == "false" => false,
            Some(Value::Bool(verdict)) => *verdict,
            _ => return Err(Failure::invalid("`verdict` must be \"true\" or \"false\"")),
        };
        let now = alerter.shared.clock.now();
        let feedback = Feedback { verdict, actor: text(&object, "actor")?, note: text(&object, "note")?, at: now };
        let alert = alerter.shared.alerts.lock().feedback(&id, feedback, now).ok_or_else(|| not_found(&id))?;
        alerter.shared.core.lock().await.take_feedback(&alert);
        stored(&alerter, &alert, now).await
    };
    taken.await.map_err(|failure| failure.of(&headers))
}

/// Answers once the transition is durable.
async fn stored(alerter: &Alerter, alert: &Alert, now: Timestamp) -> Result<Json<Value>, Failure> {
    if alerter.write_transitions(now).await { Ok(Json(shown(alerter, alert))) } else { Err(Failure::unavailable()) }
}

pub(super) fn not_found(id: &str) -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "alert_not_found", format!("there is no alert {id}"))
}
