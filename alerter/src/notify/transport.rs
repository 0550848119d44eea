//! The one place that makes outbound calls, behind a seam that tests replace.

use std::{fmt, time::Duration};

use futures::{StreamExt as _, future::BoxFuture};

use crate::Error;

/// Bytes of an answer that are read at most: enough for any error text.
const ANSWER_BYTES_MAX: usize = 4096;

/// One outbound request.
#[derive(Clone)]
pub struct Request {
    /// `POST` for everything but switching-offs.
    pub method: http::Method,
    /// Where to. May be a secret itself: never shown.
    pub url: String,
    /// Names in lower case with their values.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// The header `Retry-After` as sent.
    pub retry_after: Option<String>,
    /// The first bytes of the body.
    pub body: String,
}

/// Carries requests out. Simulations pass their own.
pub trait Transport: Send + Sync + fmt::Debug {
    /// Sends once; `Err` says why no answer came, without naming the address (it may be a secret).
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, String>>;
}

/// The real one: HTTPS by rustls, no redirects, bounded answers.
#[derive(Debug, Clone)]
pub struct Webhooks {
    client: reqwest::Client,
}

impl Webhooks {
    /// Builds the client; an attempt ends after `timeout`.
    ///
    /// # Errors
    /// When the TLS set-up of the system is unusable.
    pub fn new(timeout: Duration) -> Result<Self, Error> {
        Ok(Self { client: http_client(timeout)? })
    }
}

/// An HTTP client with TLS by rustls and no redirects; a request ends after `timeout`.
///
/// # Errors
/// When the TLS set-up of the system is unusable.
pub fn http_client(timeout: Duration) -> Result<reqwest::Client, Error> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Losing the race against another caller leaves a provider installed as well.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
    reqwest::Client::builder()
        .timeout(timeout)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("yellowline/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|source| Error::Transport { source: Box::new(source) })
}

/// True for an http:// or https:// address with a host.
pub(crate) fn is_address(text: &str) -> bool {
    reqwest::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

impl Transport for Webhooks {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, String>> {
        let mut outbound = self.client.request(request.method, &request.url).body(request.body);
        for (name, value) in request.headers {
            outbound = outbound.header(name, value);
        }
        Box::pin(async move {
            let response = outbound.send().await.map_err(reason)?;
            let status = response.status().as_u16();
            let retry_after = response
                .headers()
                .get(http::header::RETRY_AFTER)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned);
            let mut body = Vec::new();
            let mut chunks = response.bytes_stream();
            while let Some(chunk) = chunks.next().await {
                // The status already came: a body that breaks off does not turn it into a failure.
                let Ok(chunk) = chunk else { break };
                let room = ANSWER_BYTES_MAX - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if body.len() == ANSWER_BYTES_MAX {
                    break;
                }
            }
            Ok(Response { status, retry_after, body: String::from_utf8_lossy(&body).into_owned() })
        })
    }
}

/// Why no answer came, without the address.
fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let what = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "could not connect"
    } else {
        "the request failed"
    };
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    format!("{what}: {cause}")
}
