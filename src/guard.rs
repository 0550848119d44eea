//! Who may come in: one layer over all routes.
//!
//! Without keys only loopback is served, and a request must look like one of this machine's own: its Host names loopback
//! (DNS rebinding), its Origin is ours (cross-site posts), and no proxy forwarded it. With keys, each route needs a scope.

use std::{collections::HashSet, net::SocketAddr, sync::Arc};

use alerter::Caller;
use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::StreamExt;
use serde_json::json;
use store::Clock;

use crate::keys::{Keys, Scope, Verdict};

/// What the guard knows.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) keys: Keys,
    /// Host names of our own, besides loopback: `hosts` of the configuration and the name in `public_url`.
    pub(crate) hosts: HashSet<String>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Off loopback a key is always required.
    pub(crate) listen: SocketAddr,
    /// What would change anything is refused.
    pub(crate) read_only: bool,
}

/// Body bytes read and dropped before a refusal, so that the client sees the answer instead of a broken connection.
const DRAIN_BYTES: usize = 64 << 20;
/// What comes after the dataset in paths of deletions: `/api/v1/datasets/shop/deletions`.
const DELETIONS: &str = "deletions";
/// Seconds after which a client of a read-only node may ask again: another node may have taken its place.
const READ_ONLY_RETRY_S: u32 = 30;

/// The layer: gives each request an id, judges it, and puts the id on the answer.
pub(crate) async fn guard(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let id = request_id(guard.clock.as_ref());
    request.headers_mut().insert("x-request-id", id.clone());
    let mut response = match guard.judge(request.method(), request.uri(), request.headers()) {
        Ok(_) if guard.read_only && changes(request.method(), request.uri().path()) => {
            refuse_change(request, &id).await
        }
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(&id),
    };
    response.headers_mut().insert("x-request-id", id);
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A read-only node's answer to events, changes, acknowledgements and the like.
async fn refuse_change(request: Request, id: &HeaderValue) -> Response {
    let mut body = request.into_body().into_data_stream();
    let mut read = 0;
    while let Some(Ok(piece)) = body.next().await {
        read += piece.len();
        if read > DRAIN_BYTES {
            break;
        }
    }
    let message =
        "this node is read-only (store.read_only): send it to the node that writes, or try again later".into();
    let refusal = Refusal { status: StatusCode::SERVICE_UNAVAILABLE, code: "read_only", message };
    let mut response = refusal.into_response(id);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(READ_ONLY_RETRY_S));
    response
}

/// True for requests that would write something: events, changes, deletions, and what people do to alerts.
fn changes(method: &Method, path: &str) -> bool {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    matches!(scope_of(method, path), Some(Scope::Ingest | Scope::Changes | Scope::Alerts))
        || (!reads && path.split('/').nth(5) == Some(DELETIONS))
}

/// An answer that is no success, in the shape all routes share.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Guard {
    fn judge(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let Some(scope) = scope_of(method, uri.path()) else {
            return Ok(Caller::default());
        };
        match self.keys.judge(presented(headers).as_deref(), scope) {
            Verdict::Allowed { name } => Ok(Caller { key: Some(name) }),
            Verdict::NoKeys if self.listen.ip().is_loopback() => {
                self.judge_keyless(uri, headers).map(|()| Caller::default())
            }
            Verdict::WrongScope => Err(Refusal {
                status: StatusCode::FORBIDDEN,
                code: "scope_missing",
                message: format!("this key lacks the scope `{}`", format!("{scope:?}").to_lowercase()),
            }),
            Verdict::NoKeys | Verdict::Unknown => Err(Refusal {
                status: StatusCode::UNAUTHORIZED,
                code: "key_required",
                message: "send `Authorization: Bearer <key>`; `yellowline keys create` makes one".into(),
            }),
        }
    }

    fn judge_keyless(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let forbidden = |code, message: String| Err(Refusal { status: StatusCode::FORBIDDEN, code, message });
        if headers.contains_key(header::FORWARDED) || headers.contains_key("x-forwarded-for") {
            return forbidden(
                "forwarded",
                "without API keys requests from a proxy are refused: create a key (`yellowline keys create`)".into(),
            );
        }
        let host =
            uri.authority().map(ToString::to_string).or_else(|| text(headers, &header::HOST)).unwrap_or_default();
        if !self.is_ours(&host) {
            return forbidden(
                "unknown_host",
                format!("host `{host}` is not one of ours: use 127.0.0.1, or add the name to `hosts`"),
            );
        }
        let Some(origin) = text(headers, &header::ORIGIN) else {
            return Ok(());
        };
        let authority = origin.split_once("://").map_or("", |(_, authority)| authority);
        if authority.eq_ignore_ascii_case(&host) {
            return Ok(());
        }
        forbidden("foreign_origin", format!("a page of {origin} may not call this server"))
    }

    fn is_ours(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, _)) => address,
            None => host.rsplit_once(':').map_or(host, |(name, _)| name),
        };
        let name = name.to_ascii_lowercase();
        let is_loopback = name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        is_loopback || name == "localhost" || self.hosts.contains(&name)
    }
}

/// The scope a route needs; `None` for what anybody may see: health and the console's own files.
fn scope_of(method: &Method, path: &str) -> Option<Scope> {
    if path == "/metrics" {
        return Some(Scope::Query);
    }
    let route = path.strip_prefix("/api/")?;
    let route = route.strip_prefix("v1/").unwrap_or(route);
    let reads = matches!(*method, Method::GET | Method::HEAD);
    Some(match route.split('/').next().unwrap_or_default() {
        "events" if !reads => Scope::Ingest,
        "changes" if !reads => Scope::Changes,
        // Asking, and cancelling one's question, are reads.
        "sql" | "explain-diff" | "compare" | "queries" => Scope::Query,
        "metrics" | "rules" | "alerts" | "silences" if !reads => Scope::Alerts,
        // A predicate may hold what is to be forgotten.
        "datasets" if route.split('/').nth(2) == Some(DELETIONS) => Scope::Admin,
        _ if reads => Scope::Query,
        _ => Scope::Admin,
    })
}

fn presented(headers: &HeaderMap) -> Option<String> {
    let value = text(headers, &header::AUTHORIZATION)?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim().to_owned())
}

fn text(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn request_id(clock: &dyn Clock) -> HeaderValue {
    let milliseconds = u64::try_from(clock.now().0 / 1000).unwrap_or_default();
    let id = ulid::Ulid::from_parts(milliseconds, rand::random()).to_string();
    HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("0"))
}

impl Refusal {
    pub(crate) fn into_response(self, id: &HeaderValue) -> Response {
        let error = json!({"code": self.code, "message": self.message, "request_id": id.to_str().unwrap_or_default()});
        (self.status, Json(json!({"error": error}))).into_response()
    }
}

/// The answer to an API path or method that does not exist; never HTML.
pub(crate) async fn no_such_route(request: Request) -> Response {
    let refusal = Refusal {
        status: StatusCode::NOT_FOUND,
        code: "no_such_route",
        message: format!("there is no {} {}: see docs/api.md", request.method(), request.uri().path()),
    };
    let id = request.headers().get("x-request-id").cloned().unwrap_or(HeaderValue::from_static(""));
    refusal.into_response(&id)
}

#[cfg(test)]
mod tests {
    use store::Timestamp;

    use super::*;

    #[derive(Debug)]
    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> Timestamp {
            Timestamp(1_795_003_200_000_000)
        }
    }

    fn check(listen: &str, method: &str, path: &str, headers: &[(&str, &str)], expected: Result<(), &str>) {
        let folder = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(Noon);
        let keys = Keys::open(folder.path(), clock.clone()).unwrap();
        let guard = Guard {
            keys,
            hosts: HashSet::from(["yellow.example".to_owned()]),
            clock,
            listen: listen.parse().unwrap(),
            read_only: false,
        };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(header::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let verdict = guard
            .judge(&method.parse().unwrap(), &path.parse().unwrap(), &map)
            .map(drop)
            .map_err(|refusal| refusal.code);
        assert_eq!(verdict, expected, "{method} {path} {headers:?}");
    }

    #[test]
    fn without_keys_only_this_machine_itself_comes_in() {
        const LOOPBACK: &str = "127.0.0.1:7300";
        let sql = "/api/v1/sql";
        check(LOOPBACK, "POST", sql, &[("host", "localhost:7300")], Ok(()));
        check(LOOPBACK, "POST", sql, &[("host", "[::1]:7300")], Ok(()));
        check(LOOPBACK, "POST", sql, &[("host", "yellow.example")], Ok(()));
        check(LOOPBACK, "POST", sql, &[("host", "evil.example:7300")], Err("unknown_host"));
        check(LOOPBACK, "POST", sql, &[("host", "127.0.0.1.evil.example")], Err("unknown_host"));
        check(LOOPBACK, "POST", sql, &[], Err("unknown_host"));
        check(LOOPBACK, "POST", sql, &[("host", "127.0.0.1:7300"), ("origin", "http://127.0.0.1:7300")], Ok(()));
        check(
            LOOPBACK,
            "POST",
            sql,
            &[("host", "127.0.0.1:7300"), ("origin", "https://evil.example")],
            Err("foreign_origin"),
        );
        check(LOOPBACK, "POST", sql, &[("host", "127.0.0.1:7300"), ("origin", "null")], Err("foreign_origin"));
        check(LOOPBACK, "GET", sql, &[("host", "127.0.0.1:7300"), ("x-forwarded-for", "10.0.0.1")], Err("forwarded"));
        check(LOOPBACK, "GET", "/healthz", &[("host", "anything")], Ok(()));
    }

    #[test]
    fn off_loopback_a_key_is_always_needed() {
        check("0.0.0.0:7300", "POST", "/api/v1/events/shop", &[("host", "127.0.0.1:7300")], Err("key_required"));
        check("0.0.0.0:7300", "GET", "/metrics", &[("host", "127.0.0.1:7300")], Err("key_required"));
        check("0.0.0.0:7300", "GET", "/readyz", &[], Ok(()));
        check("0.0.0.0:7300", "GET", "/explore", &[], Ok(()));
    }

    #[test]
    fn who_calls_is_known_by_the_name_of_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(Noon);
        let keys = Keys::open(folder.path(), clock.clone()).unwrap();
        let key = keys.ensure_admin().unwrap().unwrap();
        let listen = "127.0.0.1:7300".parse().unwrap();
        let guard = Guard { keys, hosts: HashSet::new(), clock, listen, read_only: false };
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, format!("Bearer {key}").parse().unwrap());
        let caller = guard.judge(&Method::POST, &Uri::from_static("/api/v1/alerts/1/off"), &headers).unwrap();
        assert_eq!(caller.key.as_deref(), Some("admin"));
    }

    #[test]
    fn each_route_has_its_scope() {
        for (method, path, scope) in [
            ("POST", "/api/v1/events/shop", Some(Scope::Ingest)),
            ("GET", "/api/v1/events/shop/1", Some(Scope::Query)),
            ("POST", "/api/v1/changes", Some(Scope::Changes)),
            ("GET", "/api/v1/changes", Some(Scope::Query)),
            ("POST", "/api/v1/sql", Some(Scope::Query)),
            ("POST", "/api/v1/explain-diff", Some(Scope::Query)),
            ("POST", "/api/v1/compare", Some(Scope::Query)),
            ("DELETE", "/api/v1/queries/1", Some(Scope::Query)),
            ("POST", "/api/v1/alerts/1/acknowledge", Some(Scope::Alerts)),
            ("POST", "/api/v1/alerts/1/off", Some(Scope::Alerts)),
            ("POST", "/api/v1/metrics/x/points", Some(Scope::Alerts)),
            ("DELETE", "/api/v1/silences/1", Some(Scope::Alerts)),
            ("GET", "/api/v1/datasets/shop/columns", Some(Scope::Query)),
            ("GET", "/api/v1/datasets/shop/deletions/1", Some(Scope::Admin)),
            ("POST", "/api/v1/datasets/shop/deletions", Some(Scope::Admin)),
            ("POST", "/api/v1/anything", Some(Scope::Admin)),
            ("POST", "/api/other", Some(Scope::Admin)),
            ("GET", "/", None),
        ] {
            assert_eq!(scope_of(&method.parse().unwrap(), path), scope, "{method} {path}");
        }
    }
}
