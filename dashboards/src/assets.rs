//! The embedded files and the choice of their representation: plain or gzip, and how long it may be cached.

use http::{HeaderMap, HeaderValue, header};

/// One embedded file.
#[derive(Debug)]
struct File {
    /// Relative to the page, with `/`.
    path: &'static str,
    /// Half of the SHA-256 of the bytes, in hex.
    hash: &'static str,
    bytes: &'static [u8],
}

/// The output of the web build (or the placeholder of a build without it), sorted by path: see `build.rs`.
static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

fn embedded(path: &str) -> Option<&'static File> {
    FILES.binary_search_by(|file| file.path.cmp(path)).ok().map(|at| &FILES[at])
}

/// The page every unknown path answers with: the application's own router reads the path.
pub(crate) const INDEX: &str = "index.html";
/// Folder of the files whose names carry the hash of their content.
const HASHED: &str = "assets/";
/// Ending of the compressed twins the web build writes beside each text file.
const GZIP_ENDING: &str = ".gz";

/// One file, ready to be sent.
#[derive(Debug)]
pub(crate) struct Asset {
    pub(crate) body: &'static [u8],
    pub(crate) etag: HeaderValue,
    pub(crate) content_type: &'static str,
    pub(crate) cache_control: &'static str,
    pub(crate) gzip: bool,
}

/// True for a path that names a hashed file, so that a missing one must be a 404 and not the page.
pub(crate) fn is_hashed(path: &str) -> bool {
    path.starts_with(HASHED)
}

/// Finds a file by its path without the leading slash; the gzip twin if the client takes it and there is one.
pub(crate) fn find(path: &str, accepts_gzip: bool) -> Option<Asset> {
    if path.ends_with(GZIP_ENDING) {
        return None;
    }
    let plain = embedded(path)?;
    let twin = if accepts_gzip { embedded(&format!("{path}{GZIP_ENDING}")) } else { None };
    let gzip = twin.is_some();
    Some(Asset {
        body: twin.unwrap_or(plain).bytes,
        etag: etag(plain, gzip)?,
        content_type: content_type(path),
        cache_control: if is_hashed(path) { "public, max-age=31536000, immutable" } else { "no-cache" },
        gzip,
    })
}

/// The id the web build wrote into the page: `<meta name="yellowline-build" content="…">`.
pub(crate) fn build_id() -> String {
    let page = embedded(INDEX).map_or_else(String::new, |file| String::from_utf8_lossy(file.bytes).into_owned());
    page.split_once("name=\"yellowline-build\" content=\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map_or_else(|| "unknown".to_owned(), |(id, _)| id.to_owned())
}

/// RFC 9110: `gzip` or `*` is acceptable unless its weight is zero.
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let refused = parts.any(
                |weight| matches!(weight.strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()), Some(q) if q <= 0.0),
            );
            (name.eq_ignore_ascii_case("gzip") || name == "*") && !refused
        })
}

/// A strong validator has to differ between the two representations of one file.
fn etag(file: &File, gzip: bool) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("\"{}{}\"", file.hash, if gzip { "-gz" } else { "" })).ok()
}

/// The kinds of file the web build makes; anything else is downloaded, never run.
fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "woff2" => "font/woff2",
        "json" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(accept_encoding: &str, expect: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_str(accept_encoding).unwrap());
        assert_eq!(accepts_gzip(&headers), expect, "{accept_encoding}");
    }

    #[test]
    fn gzip_is_sent_only_to_clients_that_take_it() {
        check("gzip, deflate, br", true);
        check("br;q=1.0, GZIP;q=0.5", true);
        check("*", true);
        check("gzip;q=0", false);
        check("identity", false);
        check("", false);
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
