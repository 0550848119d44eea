//! `POST /api/v1/alerts/{id}/off`.

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use serde_json::{Value, json};

use super::{Failure, alerts::shown, body_object, only, text};
use crate::{
    Alerter, Caller,
    off::{Call, register::Presser},
    turn_off::{Order, Refusal},
};

pub(super) async fn turn_off(
    State(alerter): State<Alerter>,
    Path(alert_id): Path<String>,
    caller: Option<Extension<Caller>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Failure> {
    let done = async {
        let object = body_object(&body)?;
        only(&object, &["change", "confirm", "actor", "reason"])?;
        let change_id =
            text(&object, "change")?.ok_or_else(|| Failure::invalid("`change`: id of the change to turn off"))?;
        let presser = Presser {
            actor: text(&object, "actor")?,
            key: caller.and_then(|caller| caller.0.key),
            reason: text(&object, "reason")?,
            request_id: headers.get("x-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned),
        };
        let order = Order { alert_id: alert_id.clone(), change_id, confirm: text(&object, "confirm")?, presser };
        // A task of its own: a client that goes away must not cut off a call that is on its way.
        let pressed = tokio::spawn({
            let alerter = alerter.clone();
            async move { alerter.turn_off(order).await }
        });
        let lost = |_| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the switching-off was cut off");
        let turned = pressed.await.map_err(lost)?.map_err(|refusal| failure(&alert_id, refusal))?;
        let alert = shown(&alerter, &turned.alert);
        Ok(Json(json!({"off": turned.action, "called": turned.called, "alert": alert})))
    };
    done.await.map_err(|failure: Failure| failure.of(&headers))
}

fn failure(alert_id: &str, refusal: Refusal) -> Failure {
    let of = |status, code, message: String| Failure::new(status, code, message);
    match refusal {
        Refusal::NoAlert => super::alerts::not_found(alert_id),
        Refusal::NoChange => of(StatusCode::NOT_FOUND, "change_not_found", "there is no such change".into()),
        Refusal::OtherEnvironment => {
            of(StatusCode::CONFLICT, "other_environment", "the change is of another environment than the alert".into())
        }
        Refusal::NoCall => {
            of(StatusCode::CONFLICT, "no_off_action", "the change did not say how to turn it off (`off`)".into())
        }
        Refusal::NotAllowed(why) => of(StatusCode::FORBIDDEN, "off_target_not_allowed", why),
        Refusal::Unconfirmed(call, false) => {
            let message =
                format!("this would call {}: repeat it with \"confirm\": \"{}\"", call.shown(), call.confirm());
            of(StatusCode::CONFLICT, "confirm_required", message).with("call", offered(&call))
        }
        Refusal::Unconfirmed(call, true) => {
            let message = format!("another call was confirmed than {}: look at it and confirm it", call.shown());
            of(StatusCode::CONFLICT, "confirm_outdated", message).with("call", offered(&call))
        }
        Refusal::Secret(why) => {
            of(StatusCode::INTERNAL_SERVER_ERROR, "off_secret", format!("nothing was called: {why}"))
        }
        Refusal::Store => Failure::unavailable(),
        Refusal::Refused { call, status, answer } => {
            let message = format!("NOT turned off: {} was answered with {status}: {answer}", call.shown());
            of(StatusCode::BAD_GATEWAY, "off_failed", message.trim_end_matches([' ', ':']).to_owned())
        }
        Refusal::NoAnswer { call, reason } => {
            let message = format!(
                "it is not known whether it is off: {} ({reason}). Another press calls again with the same webhook-id",
                call.shown()
            );
            of(StatusCode::GATEWAY_TIMEOUT, "off_no_answer", message)
        }
    }
}

/// A call as the API offers it.
pub(crate) fn offered(call: &Call) -> Value {
    json!({"change": call.change, "title": call.title, "method": call.method, "url": call.url, "body": call.body,
           "confirm": call.confirm()})
}
