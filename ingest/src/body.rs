//! What the headers say about a body, and its decompression within a cap.

use std::{borrow::Cow, io::Read};

use http::HeaderMap;

use crate::Error;

/// How a body is packed and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// Content-Encoding.
    pub encoding: Encoding,
    /// Content-Type.
    pub media: Media,
}

/// Content-Encoding of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As is.
    Identity,
    /// RFC 1952, also several members.
    Gzip,
    /// RFC 8878, also several frames.
    Zstd,
}

/// Content-Type of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// One object, an array, or (seen from the bytes) one object per line.
    Json,
    /// One object per line, whatever it looks like.
    Ndjson,
}

impl Format {
    /// Reads Content-Type and Content-Encoding; both may be absent.
    ///
    /// # Errors
    /// Either names something we do not read.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, Error> {
        Ok(Self { encoding: encoding(headers)?, media: media(headers)? })
    }
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Error> {
    match header(headers, http::header::CONTENT_ENCODING).as_deref() {
        None | Some("" | "identity") => Ok(Encoding::Identity),
        Some("gzip" | "x-gzip") => Ok(Encoding::Gzip),
        // Some senders' documentation spells it `zst`.
        Some("zstd" | "zst") => Ok(Encoding::Zstd),
        Some(other) => Err(Error::UnsupportedEncoding { encoding: other.to_owned() }),
    }
}

fn media(headers: &HeaderMap) -> Result<Media, Error> {
    let full = header(headers, http::header::CONTENT_TYPE);
    let bare = full.as_deref().map(|value| value.split(';').next().unwrap_or_default().trim());
    match bare {
        None | Some("" | "application/json") => Ok(Media::Json),
        Some("application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/jsonlines") => {
            Ok(Media::Ndjson)
        }
        Some(other) => Err(Error::UnsupportedMedia { media: other.to_owned() }),
    }
}

fn header(headers: &HeaderMap, name: http::HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase())
}

/// The plain bytes of a body; never more than `limit` of them are produced.
///
/// # Errors
/// The bytes are not of that encoding, or grow over the limit.
pub(crate) fn decompress(body: &[u8], encoding: Encoding, limit: usize) -> Result<Cow<'_, [u8]>, Error> {
    match encoding {
        Encoding::Identity if body.len() > limit => Err(Error::DecompressedTooLarge { limit }),
        Encoding::Identity => Ok(Cow::Borrowed(body)),
        Encoding::Gzip => read_capped(flate2::bufread::MultiGzDecoder::new(body), "gzip", limit, body.len()),
        Encoding::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(body)
                .map_err(|source| Error::Decompress { encoding: "zstd", source })?;
            read_capped(decoder, "zstd", limit, body.len())
        }
    }
}

fn read_capped<'a>(
    decoder: impl Read,
    encoding: &'static str,
    limit: usize,
    packed: usize,
) -> Result<Cow<'a, [u8]>, Error> {
    // JSON packs about 8:1; a small body must not reserve much.
    let mut plain = Vec::with_capacity(packed.saturating_mul(8).min(limit));
    decoder.take(limit as u64 + 1).read_to_end(&mut plain).map_err(|source| Error::Decompress { encoding, source })?;
    if plain.len() > limit {
        return Err(Error::DecompressedTooLarge { limit });
    }
    Ok(Cow::Owned(plain))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn packed_bodies_come_back_whole() {
        let plain = br#"{"a":1}"#.repeat(1000);
        let zstd = zstd::encode_all(&plain[..], 1).unwrap();
        assert_eq!(decompress(&gzip(&plain), Encoding::Gzip, 1 << 20).unwrap(), plain);
        assert_eq!(decompress(&zstd, Encoding::Zstd, 1 << 20).unwrap(), plain);
        let two_members = [gzip(b"{}"), gzip(b"[]")].concat();
        assert_eq!(&*decompress(&two_members, Encoding::Gzip, 100).unwrap(), b"{}[]");
    }

    #[test]
    fn a_decompression_bomb_stops_at_the_cap() {
        let bomb = vec![b' '; 50 << 20];
        for (packed, encoding) in
            [(gzip(&bomb), Encoding::Gzip), (zstd::encode_all(&bomb[..], 1).unwrap(), Encoding::Zstd)]
        {
            assert!(packed.len() < 1 << 20, "{}", packed.len());
            let refused = decompress(&packed, encoding, 1 << 20);
            assert!(matches!(refused, Err(Error::DecompressedTooLarge { limit: 1_048_576 })));
        }
    }

    #[test]
    fn wrong_bytes_and_headers_are_named() {
        assert!(matches!(
            decompress(b"not gzip", Encoding::Gzip, 100),
            Err(Error::Decompress { encoding: "gzip", .. })
        ));
        assert!(matches!(
            decompress(b"not zstd", Encoding::Zstd, 100),
            Err(Error::Decompress { encoding: "zstd", .. })
        ));
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/json; charset=utf-8".parse().unwrap());
        assert_eq!(Format::from_headers(&headers).unwrap().media, Media::Json);
        headers.insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
        assert!(matches!(Format::from_headers(&headers), Err(Error::UnsupportedMedia { .. })));
        headers.insert("content-type", "application/x-ndjson".parse().unwrap());
        headers.insert("content-encoding", "br".parse().unwrap());
        assert!(matches!(Format::from_headers(&headers), Err(Error::UnsupportedEncoding { .. })));
    }
}
