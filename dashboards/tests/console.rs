//! The console as a client sees it: the real page, its files, their headers, and what it must not answer.

#![cfg(feature = "console")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a failed test may panic; bodies are our own")]

use axum::body::Body;
use http::{Request, Response, StatusCode, header};
use tower::ServiceExt;

const BODY_BYTES_MAX: usize = 16 << 20;

async fn ask(method: &str, path: &str, fields: &[(&str, &str)]) -> (Response<()>, Vec<u8>) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let response = dashboards::routes().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    (Response::from_parts(parts, ()), axum::body::to_bytes(body, BODY_BYTES_MAX).await.unwrap().to_vec())
}

fn field<'a>(response: &'a Response<()>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// The first script of the page: `/assets/index-<hash>.js`.
async fn script_path() -> String {
    let (_, page) = ask("GET", "/", &[]).await;
    let page = String::from_utf8(page).unwrap();
    let (_, rest) = page
        .split_once("src=\"/assets/")
        .expect("the page loads a script of the web build: was this built with YELLOWLINE_CONSOLE=skip?");
    format!("/assets/{}", rest.split_once('"').unwrap().0)
}

#[tokio::test]
async fn the_embedded_page_is_the_real_one() {
    let (response, page) = ask("GET", "/", &[]).await;
    assert_eq!(response.status(), StatusCode::OK);
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("<div id=\"root\">"), "placeholder embedded: build without YELLOWLINE_CONSOLE=skip\n{page}");
    assert_eq!(field(&response, "content-type"), "text/html; charset=utf-8");
    assert_eq!(field(&response, "cache-control"), "no-cache");
    assert!(field(&response, "content-security-policy").starts_with("default-src 'self'"));
    let build = field(&response, dashboards::BUILD_HEADER);
    assert!(page.contains(&format!("content=\"{build}\"")), "{build}");
    assert!(build.len() >= 8, "{build}");
}

#[tokio::test]
async fn unknown_paths_answer_with_the_page_but_unknown_files_do_not() {
    let (_, page) = ask("GET", "/", &[]).await;
    for path in ["/metrics/bookings?from=-2h&to=now", "/explore", "/alerts/bookings-20261120T1410"] {
        let (response, body) = ask("GET", path, &[]).await;
        assert_eq!((response.status(), body.as_slice()), (StatusCode::OK, page.as_slice()), "{path}");
    }
    let (response, body) = ask("GET", "/assets/gone-0000.js", &[]).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert!(String::from_utf8(body).unwrap().contains("\"asset_not_found\""));
}

#[tokio::test]
async fn the_api_is_never_answered_with_html() {
    for method in ["GET", "POST", "DELETE"] {
        let (response, body) = ask(method, "/api/v1/nothing", &[("x-request-id", "r-1")]).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(field(&response, "content-type"), "application/json");
        let error: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(error["error"]["code"], "route_not_found");
        assert_eq!(error["error"]["request_id"], "r-1");
    }
    let (response, _) = ask("POST", "/explore", &[]).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn hashed_files_are_cached_for_ever_and_compressed() {
    let script = script_path().await;
    let (plain, text) = ask("GET", &script, &[]).await;
    assert_eq!(field(&plain, "cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(field(&plain, "content-type"), "text/javascript; charset=utf-8");
    assert_eq!(field(&plain, "content-encoding"), "");
    let (gzip, packed) = ask("GET", &script, &[("accept-encoding", "gzip")]).await;
    assert_eq!(field(&gzip, "content-encoding"), "gzip");
    assert!(packed.len() * 2 < text.len() && packed.starts_with(&[0x1f, 0x8b]));
    assert_ne!(field(&plain, "etag"), field(&gzip, "etag"));
    let (direct, _) = ask("GET", &format!("{script}.gz"), &[]).await;
    assert_eq!(direct.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_unchanged_page_is_not_sent_again() {
    let (first, _) = ask("GET", "/", &[]).await;
    let etag = field(&first, "etag").to_owned();
    let (second, body) =
        ask("GET", "/explore", &[(header::IF_NONE_MATCH.as_str(), &format!("\"other\", {etag}"))]).await;
    assert_eq!((second.status(), body.len()), (StatusCode::NOT_MODIFIED, 0));
    let (other, _) = ask("GET", "/", &[(header::IF_NONE_MATCH.as_str(), "\"other\"")]).await;
    assert_eq!(other.status(), StatusCode::OK);
}
