//! `GET /api/v1/alerts/{id}/case`: an incident with everything that belongs to it, as JSON or Markdown.

use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Failure,
    alerts::{not_found, shown},
};
use crate::{
    Alerter,
    alert::{Alert, Transition},
    case::{CHANGES_MINUTES, Case},
    read_events, suspect,
};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Wanted {
    format: Option<String>,
    /// Where the picture lies, for Markdown; its secret address unless named.
    picture: Option<String>,
}

pub(super) async fn case(
    State(alerter): State<Alerter>,
    Path(id): Path<String>,
    headers: HeaderMap,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Failure> {
    let answer = async {
        let Query(wanted) = query.map_err(|error| Failure::invalid(error.body_text()))?;
        let alert = alerter.shared.alerts.lock().get(&id).cloned().ok_or_else(|| not_found(&id))?;
        let case = collected(&alerter, alert).await?;
        let (now, links) = (alerter.shared.clock.now(), &alerter.shared.links);
        match wanted.format.as_deref() {
            None | Some("json") => {
                let mut answer = shown(&alerter, &case.alert);
                answer["timeline"] = json!(case.timeline());
                answer["off_calls"] = json!(case.offs);
                Ok(Json(answer).into_response())
            }
            Some("md") => {
                let picture = wanted.picture.or_else(|| links.picture(&case.alert, now));
                let text = case.markdown(links, picture.as_deref(), now);
                Ok(([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], text).into_response())
            }
            Some(other) => Err(Failure::invalid(format!("`format` is {other:?}: it must be json or md"))),
        }
    };
    answer.await.map_err(|failure: Failure| failure.of(&headers))
}

/// Reads what is stored of an incident.
async fn collected(alerter: &Alerter, alert: Alert) -> Result<Case, Failure> {
    let store = alerter.shared.store.clone();
    let events = tokio::task::spawn_blocking(move || ["alerts", "off_actions"].map(|name| read_events(&store, name)));
    let stopped = |_| Failure::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the server is stopping");
    let [alerts, offs] = events.await.map_err(stopped)?;
    let failed = |error: crate::Error| Failure::internal(&error);
    let ours = |event: &Value| event.get("alert_id").and_then(Value::as_str) == Some(&alert.id);
    let transitions =
        alerts.map_err(failed)?.iter().filter(|event| ours(event)).filter_map(Transition::from_event).collect();
    let offs = offs.map_err(failed)?.into_iter().filter(|event| ours(event)).collect();
    let (from, until) = (alert.onset.plus_seconds(-60 * CHANGES_MINUTES), alert.resolved_at);
    let near = alerter.shared.view.read().changes.clone();
    let changes = near
        .iter()
        .filter(|change| change.time >= from && until.is_none_or(|end| change.time <= end))
        .filter(|change| suspect::shares_environment(change, alert.environment.as_deref()))
        .cloned()
        .collect();
    let notifications = alerter.shared.outbox.lock().notifications(&alert.id);
    Ok(Case { alert, transitions, notifications, offs, changes })
}
