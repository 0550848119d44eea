//! Pictures of incidents: under their secret address for chats and pagers, under the alert for everybody with a key.

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use store::Timestamp;

use super::{Failure, alerts::not_found, metrics::modelled};
use crate::{
    Alerter,
    alert::Alert,
    picture::{self, Picture, Point},
    points,
};

/// `GET /pictures/{secret}.png`: whoever was given the address sees it, until it expires.
pub(super) async fn shared(
    State(alerter): State<Alerter>,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let secret = file.strip_suffix(".png").unwrap_or_default();
    let known = alerter.shared.alerts.lock().by_picture(secret).cloned();
    let hours = i64::from(alerter.shared.config.picture_hours);
    let now = alerter.shared.clock.now();
    let shown = |alert: &Alert| alert.resolved_at.is_none_or(|end| end.plus_seconds(hours * 3600) > now);
    let gone = || Failure::new(StatusCode::NOT_FOUND, "picture_not_found", "there is no such picture, or no longer");
    let alert = known.filter(shown).ok_or_else(|| gone().of(&headers))?;
    drawn(&alerter, alert).await.map_err(|failure| failure.of(&headers))
}

/// `GET /api/v1/alerts/{id}/picture`.
pub(super) async fn of_alert(
    State(alerter): State<Alerter>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let alert = alerter.shared.alerts.lock().get(&id).cloned();
    let alert = alert.ok_or_else(|| not_found(&id).of(&headers))?;
    drawn(&alerter, alert).await.map_err(|failure| failure.of(&headers))
}

async fn drawn(alerter: &Alerter, alert: Alert) -> Result<Response, Failure> {
    let busy = |_| Failure::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the server is stopping");
    let _one_of_few = alerter.shared.pictures.acquire().await.map_err(busy)?;
    let now = alerter.shared.clock.now();
    let points = shown_points(alerter, &alert, now).await?;
    let changes = alerter.shared.view.read().changes.clone();
    let png = tokio::task::spawn_blocking(move || Picture::of(&alert, points, &changes, now).png()).await;
    let png = png
        .ok()
        .flatten()
        .ok_or_else(|| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the picture could not be drawn"))?;
    let headers = [
        (header::CONTENT_TYPE, "image/png"),
        (header::CACHE_CONTROL, "private, max-age=30"),
        (header::HeaderName::from_static("x-robots-tag"), "noindex"),
    ];
    Ok((headers, png).into_response())
}

/// The stored minutes that a picture shows.
async fn shown_points(alerter: &Alerter, alert: &Alert, now: Timestamp) -> Result<Vec<Point>, Failure> {
    let (from, to) = picture::window(alert, now);
    let shared = &alerter.shared;
    let slice = alert.slice.as_deref();
    let view = shared.view.read().clone();
    let stored = points::between(&shared.engine, &shared.store, &alert.metric, slice, from, to).await;
    let stored = stored.map_err(|error| Failure::internal(&error))?;
    let mut points: std::collections::BTreeMap<i64, Point> = std::collections::BTreeMap::new();
    stored.for_each(|point| {
        let band = point.expected.zip(point.lower.zip(point.upper));
        let by_model = || modelled(view.metrics.get(&alert.metric)?, slice, point.minute, point.exposure);
        let band = band.or_else(by_model);
        let band = band.map(|(expected, (lower, upper))| [expected, lower, upper]);
        points.insert(point.minute, Point { minute: point.minute, actual: point.actual, band });
    });
    Ok(points.into_values().collect())
}
