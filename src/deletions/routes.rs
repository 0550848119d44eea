//! `/api/v1/datasets/{dataset}/deletions`, for admins: the predicate may hold what is to be forgotten.

use std::sync::Arc;

use alerter::Caller;
use axum::{
    Extension, Json, Router,
    extract::{Path, State as Shared, rejection::JsonRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use store::{Deletion, DeletionRequest};

use super::{Deletions, PENDING_MAX, State};
use crate::guard::Refusal;

/// Texts of a predicate shorter than this are no secrets: `NL`, `web`.
const SECRET_MIN: usize = 4;
/// Characters of `reason` and `actor`.
const NOTE_MAX: usize = 1_000;

/// The routes.
pub(crate) fn routes(deletions: Arc<Deletions>) -> Router {
    Router::new()
        .route("/api/v1/datasets/{dataset}/deletions", get(list).post(ask))
        .route("/api/v1/datasets/{dataset}/deletions/{id}", get(show).delete(withdraw))
        .with_state(deletions)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    predicate: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    actor: String,
}

/// What can go wrong here.
enum Failed {
    Query(query::Error),
    Store(store::Error),
    Refused(StatusCode, &'static str, String),
}

impl From<query::Error> for Failed {
    fn from(error: query::Error) -> Self {
        Self::Query(error)
    }
}

impl From<store::Error> for Failed {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl Failed {
    fn invalid(message: String) -> Self {
        Self::Refused(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    fn not_found(id: &str, dataset: &str) -> Self {
        Self::Refused(StatusCode::NOT_FOUND, "deletion_not_found", format!("dataset {dataset} has no deletion {id}"))
    }

    fn response(self, headers: &HeaderMap) -> Response {
        let (status, code, message) = match self {
            Self::Query(error) => return query::refuse(&error, headers),
            Self::Refused(status, code, message) => (status, code, message),
            Self::Store(error @ store::Error::ReadOnly) => {
                (StatusCode::SERVICE_UNAVAILABLE, "read_only", error.to_string())
            }
            Self::Store(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a request about deletions failed");
                let message = "the server could not write or read it; its log has the cause".to_owned();
                (StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
            }
        };
        let id = headers.get("x-request-id").cloned().unwrap_or(HeaderValue::from_static(""));
        Refusal { status, code, message }.into_response(&id)
    }
}

async fn ask(
    Shared(deletions): Shared<Arc<Deletions>>,
    Path(dataset): Path<String>,
    caller: Option<Extension<Caller>>,
    headers: HeaderMap,
    asked: Result<Json<Asked>, JsonRejection>,
) -> Response {
    let answered = async {
        let Json(asked) = asked.map_err(|rejection| Failed::invalid(rejection.body_text()))?;
        let key = caller.and_then(|caller| caller.0.key);
        deletions.ask(&dataset, &asked, key.as_deref()).await
    };
    match answered.await {
        Ok(shown) => {
            let location = format!("/api/v1/datasets/{dataset}/deletions/{}", shown["id"].as_str().unwrap_or_default());
            (StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(shown)).into_response()
        }
        Err(failed) => failed.response(&headers),
    }
}

async fn list(Shared(deletions): Shared<Arc<Deletions>>, Path(dataset): Path<String>, headers: HeaderMap) -> Response {
    match deletions.all(&dataset).await {
        Ok(all) => Json(json!({ "deletions": all })).into_response(),
        Err(failed) => failed.response(&headers),
    }
}

async fn show(
    Shared(deletions): Shared<Arc<Deletions>>,
    Path((dataset, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let found = deletions.all(&dataset).await.and_then(|all| {
        let found = all.into_iter().find(|one| one["id"] == id.as_str());
        found.ok_or_else(|| Failed::not_found(&id, &dataset))
    });
    match found {
        Ok(found) => Json(found).into_response(),
        Err(failed) => failed.response(&headers),
    }
}

async fn withdraw(
    Shared(deletions): Shared<Arc<Deletions>>,
    Path((dataset, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    match deletions.withdraw(&dataset, &id).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(failed) => failed.response(&headers),
    }
}

impl Deletions {
    async fn ask(&self, dataset: &str, asked: &Asked, key: Option<&str>) -> Result<Value, Failed> {
        if self.store.is_read_only() {
            return Err(store::Error::ReadOnly.into());
        }
        for (name, text) in [("reason", &asked.reason), ("actor", &asked.actor)] {
            if text.chars().count() > NOTE_MAX {
                return Err(Failed::invalid(format!("{name} is longer than {NOTE_MAX} characters")));
            }
        }
        // Asked for now, so that what is wrong is told now.
        self.engine.row_matcher(dataset, &asked.predicate, self.clock.now()).await?;
        let notes = [&asked.reason, &asked.actor].map(|note| note.to_lowercase());
        let is_told = |text: &String| {
            text.chars().count() >= SECRET_MIN && notes.iter().any(|note| note.contains(&text.to_lowercase()))
        };
        if query::texts_of(&asked.predicate)?.iter().any(is_told) {
            let message = "reason and actor are kept for ever: they may not repeat a text of the predicate".to_owned();
            return Err(Failed::invalid(message));
        }
        if self.store.deletions()?.len() >= PENDING_MAX {
            let message = format!("{PENDING_MAX} deletions are under way, the most allowed: wait for one to end");
            return Err(Failed::Refused(StatusCode::TOO_MANY_REQUESTS, "too_many_deletions", message));
        }
        let name = self.engine.name_of(dataset)?;
        let Asked { predicate, reason, actor } = asked;
        let request = DeletionRequest { predicate, reason, actor, key };
        let deletion = self.store.request_deletion(&name, request)?;
        tracing::info!(deletion = deletion.id, dataset, "deletion requested");
        if let Err(error) = self.record(&deletion, State::Waiting).await {
            // It is durable all the same, and recorded when it is done.
            tracing::error!(error = &error as &dyn std::error::Error, "a deletion could not be recorded yet");
        }
        self.asked.notify_one();
        Ok(self.pending(&deletion))
    }

    /// Those under way, and those recorded as done or withdrawn; the newest first.
    async fn all(&self, dataset: &str) -> Result<Vec<Value>, Failed> {
        let pending: Vec<Deletion> =
            self.store.deletions()?.into_iter().filter(|deletion| deletion.dataset == dataset).collect();
        let sql = format!(
            "SELECT id, state, reason, actor, key, requested_at, done_at, files, rows_deleted FROM system.deletions \
             WHERE dataset = '{}' AND state <> 'waiting'",
            dataset.replace('\'', "''")
        );
        let recorded = self.engine.rows(&sql, None).await?;
        let mut all: Vec<Value> = pending.iter().map(|deletion| self.pending(deletion)).collect();
        for row in query::rows_as_json(&recorded) {
            if pending.iter().all(|deletion| row["id"] != deletion.id.as_str()) {
                all.push(Value::Object(ended(dataset, row)));
            }
        }
        all.sort_by(|one, other| other["id"].as_str().cmp(&one["id"].as_str()));
        Ok(all)
    }

    fn pending(&self, deletion: &Deletion) -> Value {
        let is_current = self.store.is_deleting(&deletion.id);
        json!({
            "id": deletion.id,
            "dataset": deletion.dataset,
            "state": State::of(deletion, is_current),
            "predicate": deletion.predicate,
            "reason": deletion.reason,
            "actor": deletion.actor,
            "key": deletion.key,
            "requested_at": deletion.requested_at,
            "done_at": null,
            "files": deletion.files,
            "files_done": deletion.files_done,
            "files_held": deletion.files_held,
            "rows_deleted": deletion.rows,
            "error": self.errors().get(&deletion.id),
        })
    }

    async fn withdraw(&self, dataset: &str, id: &str) -> Result<(), Failed> {
        let found = self.store.deletions()?.into_iter().find(|one| one.id == id && one.dataset == dataset);
        let deletion = found.ok_or_else(|| Failed::not_found(id, dataset))?;
        if !self.store.forget_deletion(id)? {
            let message = "it is being carried out: what is deleted so far cannot be brought back".to_owned();
            return Err(Failed::Refused(StatusCode::CONFLICT, "deletion_running", message));
        }
        self.errors().remove(id);
        Ok(self.record(&deletion, State::Withdrawn).await?)
    }
}

/// A recorded one in the shape of one under way.
fn ended(dataset: &str, mut row: Map<String, Value>) -> Map<String, Value> {
    let mut take = |name: &str| row.remove(name).unwrap_or_default();
    let files = take("files");
    let fields = [
        ("id", take("id")),
        ("dataset", dataset.into()),
        ("state", take("state")),
        ("predicate", Value::Null),
        ("reason", take("reason")),
        ("actor", take("actor")),
        ("key", take("key")),
        ("requested_at", take("requested_at")),
        ("done_at", take("done_at")),
        ("files", files.clone()),
        ("files_done", files),
        ("files_held", 0.into()),
        ("rows_deleted", take("rows_deleted")),
        ("error", Value::Null),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
