//! `yellowline backup` and `restore`, and the route by which a running server makes its own backup.

use std::{ops::ControlFlow, path::PathBuf, sync::Arc};

use anyhow::{Context, bail};
use axum::{
    Json, Router,
    body::Body,
    extract::{State, rejection::JsonRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{
    Clock, Store,
    backup::Summary,
    disk::{Disk, RealDisk},
    verify::Progress,
};
use tokio::sync::{Semaphore, mpsc};

use crate::{
    cli::{BackupOptions, RestoreOptions},
    client::Client,
    config::say,
    guard::Refusal,
    serve::WallClock,
    verify::{Steps, bytes},
};

/// Lines of progress that may wait for the client; the copying waits with them.
const LINES_WAITING: usize = 16;

/// One line of the answer: how far it is, then how it ended.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Progress { done: u64, total: u64 },
    Done(Summary),
    Error { code: String, message: String },
}

#[derive(Debug)]
struct Backups {
    store: Store,
    /// One at a time: two would only slow each other down.
    place: Arc<Semaphore>,
}

/// `POST /api/v1/backup`, for admins.
pub(crate) fn routes(store: Store) -> Router {
    let backups = Arc::new(Backups { store, place: Arc::new(Semaphore::new(1)) });
    Router::new().route("/api/v1/backup", post(take)).with_state(backups)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    target: PathBuf,
}

/// Answers once something was copied or refused, then with a line per percent; the client's going away ends the backup.
async fn take(
    State(backups): State<Arc<Backups>>,
    headers: HeaderMap,
    asked: Result<Json<Asked>, JsonRejection>,
) -> Response {
    let id = headers.get("x-request-id").cloned().unwrap_or(HeaderValue::from_static(""));
    let refuse = |status, code, message: String| Refusal { status, code, message }.into_response(&id);
    let target = match asked {
        Ok(Json(asked)) if asked.target.is_absolute() => asked.target,
        Ok(_) => return refuse(StatusCode::BAD_REQUEST, "bad_target", "`target` must be an absolute path".into()),
        Err(rejection) => return refuse(StatusCode::BAD_REQUEST, "invalid_request", rejection.body_text()),
    };
    let Ok(place) = Arc::clone(&backups.place).try_acquire_owned() else {
        let message = "another backup is under way: wait until it is done".to_owned();
        return refuse(StatusCode::CONFLICT, "backup_running", message);
    };
    let (lines, mut waiting) = mpsc::channel(LINES_WAITING);
    let store = backups.store.clone();
    tokio::task::spawn_blocking(move || {
        let outcome = copy(&store, &target, &lines);
        drop(place);
        // Nobody listens any more: the folder says that it is incomplete.
        drop(lines.blocking_send(outcome));
    });
    match waiting.recv().await {
        Some(Line::Error { code, message }) if code == "target_not_empty" => {
            refuse(StatusCode::CONFLICT, "target_not_empty", message)
        }
        Some(Line::Error { message, .. }) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "backup_failed", message),
        first => {
            let rest = futures::stream::poll_fn(move |context| waiting.poll_recv(context));
            let all = futures::stream::iter(first).chain(rest).map(|line| {
                let text = serde_json::to_string(&line).map_err(std::io::Error::other)?;
                Ok::<_, std::io::Error>(Bytes::from(text + "\n"))
            });
            ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(all)).into_response()
        }
    }
}

fn copy(store: &Store, target: &std::path::Path, lines: &mpsc::Sender<Line>) -> Line {
    let mut percent = None;
    let outcome = store.backup(target, &mut |Progress { done, total }| {
        let now = Some(done * 100 / total.max(1));
        if now == percent {
            return if lines.is_closed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        }
        percent = now;
        let sent = lines.blocking_send(Line::Progress { done, total });
        if sent.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    match outcome {
        Ok(summary) => {
            tracing::info!(target = %target.display(), files = summary.files, bytes = summary.bytes, "backup written");
            Line::Done(summary)
        }
        Err(error) => {
            let not_empty = matches!(error, store::Error::NotEmpty { .. });
            let code = if not_empty { "target_not_empty" } else { "backup_failed" }.to_owned();
            // The path is the admin's own.
            let message = format!("{:#}", anyhow::Error::new(error));
            tracing::error!(error = message, "backup failed");
            Line::Error { code, message }
        }
    }
}

/// `yellowline backup`.
pub(crate) async fn run(options: &BackupOptions) -> anyhow::Result<()> {
    let target = std::path::absolute(&options.target).context("the current folder is not known")?;
    let summary = match options.data.clone() {
        Some(data) => of_stopped(data, target.clone()).await?,
        None => of_running(options, &target).await?,
    };
    let Summary { files, linked, bytes: size } = summary;
    say(&format!("{}: {files} files, {}; {linked} of them linked, the others copied", target.display(), bytes(size)))
}

async fn of_stopped(data: PathBuf, target: PathBuf) -> anyhow::Result<Summary> {
    let copying = tokio::task::spawn_blocking(move || {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let mut told = Steps::default();
        store::backup::of_stopped(&data, &target, &WallClock::new(), &disk, &mut |progress| {
            told.tell("copied", progress);
            ControlFlow::Continue(())
        })
    });
    copying.await.context("the backup panicked")?.map_err(|error| match error {
        store::Error::FolderInUse { .. } => anyhow::Error::new(error)
            .context("its server makes the backup: leave out --data, and name it with --server"),
        error => error.into(),
    })
}

async fn of_running(options: &BackupOptions, target: &std::path::Path) -> anyhow::Result<Summary> {
    let client = Client::new(&options.server)?;
    let answer = client.send(client.post("/backup").json(&json!({ "target": target }))).await?;
    let mut body = answer.bytes_stream();
    let (mut text, mut told) = (Vec::new(), Steps::default());
    while let Some(piece) = body.next().await {
        text.extend_from_slice(&piece.context("the server went away: the backup is incomplete")?);
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            match serde_json::from_slice(&line).context("the answer is no progress")? {
                Line::Progress { done, total } => told.tell("copied", Progress { done, total }),
                Line::Done(summary) => return Ok(summary),
                Line::Error { message, .. } => bail!("{message}"),
            }
        }
    }
    bail!("the answer ended early: the backup is incomplete")
}

/// `yellowline restore`.
pub(crate) async fn restore(options: RestoreOptions) -> anyhow::Result<()> {
    let config = options.config.config()?;
    let data = config.data.clone();
    let restoring = tokio::task::spawn_blocking(move || {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let clock: Arc<dyn Clock> = Arc::new(WallClock::new());
        let mut told = Steps::default();
        store::backup::restore(&options.source, &config.store, &clock, &disk, &mut |progress| {
            told.tell("restored", progress);
            ControlFlow::Continue(())
        })
    });
    let Summary { files, bytes: size, .. } = restoring.await.context("the restore panicked")??;
    say(&format!(
        "{}: {files} files, {} restored as a new node; start it with `yellowline serve`",
        data.display(),
        bytes(size)
    ))
}
