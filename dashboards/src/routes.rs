//! One fallback route: files of the console, its page for every other path, a JSON 404 below `/api`.

use axum::{
    Router,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};

/// Response header naming the build of the console; the page compares it with its own and offers a reload.
pub const BUILD_HEADER: &str = "yellowline-console-build";

/// Scripts, fonts, pictures and data from this origin only. Inline styles are needed: the chart, the grid and the
/// editor set sizes and positions on their elements.
#[cfg(feature = "console")]
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'";

/// The routes of the console: a fallback, to be merged with the routes of the API.
///
/// GET and HEAD of any path that no other route took answer with a file or with the page. Paths below `/api` answer
/// 404 `route_not_found` in the error shape of the API, whatever the method.
pub fn routes() -> Router {
    #[cfg(feature = "console")]
    let build = HeaderValue::from_str(&crate::assets::build_id()).unwrap_or(HeaderValue::from_static("unknown"));
    #[cfg(not(feature = "console"))]
    let build = HeaderValue::from_static("none");
    Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap| {
        let build = build.clone();
        async move { answer(&method, uri.path(), &headers, build) }
    })
}

fn answer(method: &Method, path: &str, headers: &HeaderMap, build: HeaderValue) -> Response {
    if path == "/api" || path.starts_with("/api/") {
        return problem(
            StatusCode::NOT_FOUND,
            "route_not_found",
            &format!("no route {method} {path}: the API is under /api/v1"),
            headers,
        );
    }
    if method != Method::GET && method != Method::HEAD {
        let mut response =
            problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "the console answers GET and HEAD", headers);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let mut response = page_or_file(path, headers);
    response.headers_mut().insert(BUILD_HEADER, build);
    response
}

#[cfg(feature = "console")]
fn page_or_file(path: &str, headers: &HeaderMap) -> Response {
    use crate::assets;

    let path = path.trim_start_matches('/');
    let gzip = assets::accepts_gzip(headers);
    let Some(asset) = assets::find(path, gzip)
        .or_else(|| if assets::is_hashed(path) { None } else { assets::find(assets::INDEX, gzip) })
    else {
        return problem(
            StatusCode::NOT_FOUND,
            "asset_not_found",
            "no such file in this build of the console: reload the page",
            headers,
        );
    };
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let unchanged = known.is_some_and(|known| {
        known.split(',').any(|tag| tag.trim().trim_start_matches("W/").as_bytes() == asset.etag.as_bytes())
    });
    let mut response = if unchanged { StatusCode::NOT_MODIFIED.into_response() } else { asset.body.into_response() };
    let fields = response.headers_mut();
    fields.insert(header::ETAG, asset.etag);
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static(asset.cache_control));
    fields.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    if asset.gzip && !unchanged {
        fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    fields.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    fields.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    // Addresses hold queries: they stay on this origin.
    fields.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

#[cfg(not(feature = "console"))]
fn page_or_file(path: &str, headers: &HeaderMap) -> Response {
    let message = format!("no route {path}: this binary was built without the console; the API is under /api/v1");
    problem(StatusCode::NOT_FOUND, "console_not_built", &message, headers)
}

/// The error shape of every route of the API (docs/api.md).
fn problem(status: StatusCode, code: &str, message: &str, headers: &HeaderMap) -> Response {
    let request_id = headers.get("x-request-id").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let body = serde_json::json!({ "error": { "code": code, "message": message, "request_id": request_id } });
    (status, axum::Json(body)).into_response()
}
