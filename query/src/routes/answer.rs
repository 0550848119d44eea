//! A query's rows as a response body.
//!
//! The beginning is held back until the result is complete or `HELD_BYTES` long: most errors and all stats of small results are known
//! before the status goes out. A longer result streams; if it then fails, JSON ends with an `error` beside the rows, and the line
//! formats break the connection off, so that no client takes a part for the whole.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use serde_json::json;

use super::{error_body, refuse};
use crate::{
    answer::Answer,
    encode::{ArrowStream, Csv, JsonTable, NdJson},
    error::Error,
};

/// Bytes of a result collected before the first goes out.
const HELD_BYTES: usize = 1 << 20;
const QUERY_ID: HeaderName = HeaderName::from_static("yellowline-query-id");
const STATS: HeaderName = HeaderName::from_static("yellowline-stats");
const ARROW: &str = "application/vnd.apache.arrow.stream";

/// What the client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    NdJson,
    Csv,
    Arrow,
}

impl Format {
    /// The format of the Accept header's weightiest type that we have.
    pub(super) fn accepted(headers: &HeaderMap) -> Result<Self, Error> {
        let texts: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
        let accept = texts.join(",");
        let mut wanted: Vec<(f32, Self)> = accept.split(',').filter_map(weighted).collect();
        // Stable: of equal weights the first named wins.
        wanted.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        match wanted.first() {
            Some((_, format)) => Ok(*format),
            None if accept.trim().is_empty() => Ok(Self::Json),
            None => Err(Error::NotAcceptable { accept }),
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::NdJson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Arrow => ARROW,
        }
    }
}

fn weighted(entry: &str) -> Option<(f32, Format)> {
    let mut parts = entry.split(';').map(str::trim);
    let format = match parts.next()?.to_ascii_lowercase().as_str() {
        "application/json" | "application/*" | "*/*" => Format::Json,
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Format::NdJson,
        "text/csv" | "text/*" => Format::Csv,
        ARROW => Format::Arrow,
        _ => return None,
    };
    let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |weight| weight.parse().ok())?;
    (weight > 0.0).then_some((weight, format))
}

/// Rows on their way out.
struct Outgoing {
    rows: Answer,
    encoder: Encoder,
    ended: bool,
    headers: HeaderMap,
}

enum Encoder {
    Json(JsonTable),
    NdJson(NdJson),
    Csv(Csv),
    Arrow(Box<ArrowStream>),
}

impl Encoder {
    fn new(format: Format, rows: &Answer) -> Result<Self, Error> {
        let schema = rows.schema().clone();
        Ok(match format {
            Format::Json => Self::Json(JsonTable::new(schema)),
            Format::NdJson => Self::NdJson(NdJson::new(schema)),
            Format::Csv => Self::Csv(Csv::new(schema)),
            Format::Arrow => Self::Arrow(Box::new(ArrowStream::new(&schema).map_err(encoding)?)),
        })
    }

    fn start(&self) -> Vec<u8> {
        match self {
            Self::Json(json) => json.start().into_bytes(),
            Self::Csv(csv) => csv.start().into_bytes(),
            Self::NdJson(_) | Self::Arrow(_) => Vec::new(),
        }
    }
}

fn encoding(error: arrow::error::ArrowError) -> Error {
    Error::Engine { operation: "encoding rows", source: Box::new(error.into()) }
}

impl Outgoing {
    /// The next bytes; an error ends the body.
    async fn next(&mut self) -> Option<Result<Vec<u8>, Error>> {
        if self.ended {
            return None;
        }
        match self.rows.next().await {
            Some(Ok(batch)) => Some(match &mut self.encoder {
                Encoder::Json(json) => Ok(json.batch(&batch).into_bytes()),
                Encoder::NdJson(lines) => Ok(lines.batch(&batch).into_bytes()),
                Encoder::Csv(lines) => Ok(lines.batch(&batch).into_bytes()),
                Encoder::Arrow(stream) => stream.batch(&batch).map_err(encoding),
            }),
            Some(Err(error)) => {
                self.ended = true;
                Some(Err(error))
            }
            None => {
                self.ended = true;
                let stats = serde_json::to_value(self.rows.stats()).unwrap_or_default();
                Some(match &mut self.encoder {
                    Encoder::Json(json) => Ok(json.end(&stats, None).into_bytes()),
                    Encoder::Arrow(stream) => stream.end().map_err(encoding),
                    Encoder::NdJson(_) | Encoder::Csv(_) => Ok(Vec::new()),
                })
            }
        }
    }

    /// The end of a JSON document whose rows broke off.
    fn broken_json(&self, error: &Error) -> Option<Vec<u8>> {
        let Encoder::Json(json) = &self.encoder else { return None };
        let stats = serde_json::to_value(self.rows.stats()).unwrap_or_default();
        Some(json.end(&stats, Some(&error_body(error, &self.headers))).into_bytes())
    }
}

/// Sends the rows. `bytes_max`: of a result that has to be complete before its first byte.
pub(super) async fn respond(format: Format, rows: Answer, headers: &HeaderMap, bytes_max: usize) -> Response {
    let id = rows.id().to_owned();
    let encoder = match Encoder::new(format, &rows) {
        Ok(encoder) => encoder,
        Err(error) => return refuse(&error, headers),
    };
    let mut held = encoder.start();
    let hold = if format == Format::Arrow { bytes_max } else { HELD_BYTES };
    let mut body = Outgoing { rows, encoder, ended: false, headers: headers.clone() };
    while !body.ended && held.len() < hold {
        match body.next().await {
            Some(Ok(bytes)) => held.extend_from_slice(&bytes),
            Some(Err(error)) => return refuse(&error, headers),
            None => break,
        }
    }
    if !body.ended && format == Format::Arrow {
        let message = format!(
            "the result is larger than {bytes_max} bytes: lower `limit`, or ask for NDJSON or CSV, which stream"
        );
        return refuse(&Error::Request { message }, headers);
    }
    let stats = body.ended.then(|| json!(body.rows.stats()).to_string());
    let content = if body.ended { Body::from(held) } else { stream(held, body) };
    let mut response = (StatusCode::OK, content).into_response();
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let texts = [(QUERY_ID, Some(id)), (STATS, stats)];
    for (name, text) in texts {
        if let Some(value) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
            fields.insert(name, value);
        }
    }
    response
}

fn stream(held: Vec<u8>, body: Outgoing) -> Body {
    let rest = stream::unfold(body, |mut body| async move {
        let next = match body.next().await? {
            Ok(bytes) => Ok(Bytes::from(bytes)),
            Err(error) => match body.broken_json(&error) {
                Some(bytes) => Ok(Bytes::from(bytes)),
                None => Err(error),
            },
        };
        Some((next, body))
    });
    Body::from_stream(stream::once(async move { Ok::<_, Error>(Bytes::from(held)) }).chain(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &str, expect: Option<Format>) {
        let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_str(accept).unwrap())]);
        assert_eq!(Format::accepted(&headers).ok(), expect, "{accept}");
    }

    #[test]
    fn the_weightiest_type_we_have_is_sent() {
        check("", Some(Format::Json));
        check("*/*", Some(Format::Json));
        check("application/vnd.apache.arrow.stream, application/json;q=0.5", Some(Format::Arrow));
        check("text/html, text/csv;q=0.4, application/x-ndjson;q=0.9", Some(Format::NdJson));
        check("text/html", None);
        check("application/json;q=0, text/csv", Some(Format::Csv));
    }
}
