//! One record: a request's stored events and its counts, to bytes and back. Layout: see the module `wal`.

use crate::{Timestamp, dedup::Digest};

const FLAG_IMPORT: u8 = 1;
const FLAG_KEY: u8 = 2;
const FLAG_ZSTD: u8 = 4;
/// Content type: JSON objects with their lengths.
const CONTENT_JSON: u8 = 1;
/// Version of the decoder whose decisions this log's records were accepted with.
const DECODER_VERSION: u8 = 1;
/// An event, a payload and a frame stay below this, so that lengths fit `u32` and damage cannot ask for more memory.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 1 << 30;

/// Raw events as the record holds them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) zstd: bool,
    /// Length when decompressed.
    pub(crate) raw_bytes: u32,
    pub(crate) bytes: Vec<u8>,
}

impl Payload {
    /// Concatenates events with their lengths; compresses from [`super::COMPRESS_ALONE_BYTES`].
    pub(crate) fn from_events<'a>(events: impl Iterator<Item = &'a [u8]> + Clone) -> std::io::Result<Self> {
        let raw_bytes: usize = events.clone().map(|event| event.len() + 4).sum();
        if raw_bytes > PAYLOAD_BYTES_MAX {
            return Err(std::io::Error::other(format!(
                "the request holds {raw_bytes} bytes of events, limit is {PAYLOAD_BYTES_MAX}"
            )));
        }
        let mut raw = Vec::with_capacity(raw_bytes);
        for event in events {
            put_u32(&mut raw, event.len());
            raw.extend_from_slice(event);
        }
        let raw_bytes = clamp_u32(raw_bytes);
        if raw.len() < super::COMPRESS_ALONE_BYTES {
            return Ok(Self { zstd: false, raw_bytes, bytes: raw });
        }
        let bytes = super::compress::compress(&raw)?;
        Ok(Self { zstd: true, raw_bytes, bytes })
    }

    /// The concatenated events, decompressed.
    pub(crate) fn decompress(&self) -> std::io::Result<std::borrow::Cow<'_, [u8]>> {
        if !self.zstd {
            return Ok(std::borrow::Cow::Borrowed(&self.bytes));
        }
        super::compress::decompress(&self.bytes, self.raw_bytes as usize).map(std::borrow::Cow::Owned)
    }
}

/// Cuts concatenated events apart; `None` when the lengths do not add up.
pub(crate) fn split_events(raw: &[u8]) -> Option<Vec<&[u8]>> {
    let mut events = Vec::new();
    let mut rest = Reader(raw);
    while !rest.0.is_empty() {
        let length = rest.u32()? as usize;
        events.push(rest.take(length)?);
    }
    Some(events)
}

/// The idempotency key of a request and what identifies its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyEntry {
    pub(crate) key: String,
    pub(crate) digest: Digest,
}

/// What one request left behind. See the module docs for the meaning of each field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) lsn: u64,
    pub(crate) import: bool,
    pub(crate) dataset: String,
    pub(crate) received_at: Timestamp,
    pub(crate) first_seq: u64,
    pub(crate) stored: u32,
    pub(crate) duplicates: u32,
    pub(crate) ulid_base: u128,
    pub(crate) key: Option<KeyEntry>,
    pub(crate) rejected: Vec<(String, u32)>,
    pub(crate) payload: Payload,
}

impl Record {
    /// Seq of the last stored event; `None` for a counts-only record.
    pub(crate) fn last_seq(&self) -> Option<u64> {
        (self.stored > 0).then(|| self.first_seq + u64::from(self.stored) - 1)
    }

    /// Appends the record's bytes with this payload (its own is left alone: the writer borrows the requester's).
    pub(crate) fn encode(&self, payload: &Payload, out: &mut Vec<u8>) {
        let flags = if self.import { FLAG_IMPORT } else { 0 }
            | if self.key.is_some() { FLAG_KEY } else { 0 }
            | if payload.zstd { FLAG_ZSTD } else { 0 };
        out.extend_from_slice(&self.lsn.to_le_bytes());
        out.extend_from_slice(&[flags, CONTENT_JSON, DECODER_VERSION]);
        put_short(out, self.dataset.as_bytes());
        out.extend_from_slice(&self.received_at.0.to_le_bytes());
        out.extend_from_slice(&self.first_seq.to_le_bytes());
        out.extend_from_slice(&self.stored.to_le_bytes());
        out.extend_from_slice(&self.duplicates.to_le_bytes());
        out.extend_from_slice(&self.ulid_base.to_le_bytes());
        if let Some(entry) = &self.key {
            put_key(out, entry);
        }
        let reasons = &self.rejected[..self.rejected.len().min(255)];
        out.push(u8::try_from(reasons.len()).unwrap_or(u8::MAX));
        for (code, count) in reasons {
            put_short(out, code.as_bytes());
            out.extend_from_slice(&count.to_le_bytes());
        }
        out.extend_from_slice(&payload.raw_bytes.to_le_bytes());
        out.extend_from_slice(&payload.bytes);
    }

    /// Reads a record that fills `bytes`; `None` when it is not one of this version.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let lsn = reader.u64()?;
        let flags = reader.u8()?;
        if reader.u8()? != CONTENT_JSON || reader.u8()? != DECODER_VERSION {
            return None;
        }
        let dataset = reader.short_text()?;
        let received_at = Timestamp(reader.i64()?);
        let first_seq = reader.u64()?;
        let stored = reader.u32()?;
        let duplicates = reader.u32()?;
        let ulid_base = u128::from_le_bytes(reader.take(16)?.try_into().ok()?);
        let key = if flags & FLAG_KEY != 0 { Some(reader.key()?) } else { None };
        let reasons = reader.u8()?;
        let mut rejected = Vec::with_capacity(reasons.into());
        for _ in 0..reasons {
            rejected.push((reader.short_text()?, reader.u32()?));
        }
        let raw_bytes = reader.u32()?;
        if raw_bytes as usize > PAYLOAD_BYTES_MAX {
            return None;
        }
        let payload = Payload { zstd: flags & FLAG_ZSTD != 0, raw_bytes, bytes: reader.0.to_vec() };
        let import = flags & FLAG_IMPORT != 0;
        Some(Self {
            lsn,
            import,
            dataset,
            received_at,
            first_seq,
            stored,
            duplicates,
            ulid_base,
            key,
            rejected,
            payload,
        })
    }
}

/// Idempotency keys that must outlive the segment they were written to first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CarriedKey {
    pub(crate) received_at: Timestamp,
    pub(crate) dataset: String,
    pub(crate) entry: KeyEntry,
}

impl CarriedKey {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.received_at.0.to_le_bytes());
        put_short(out, self.dataset.as_bytes());
        put_key(out, &self.entry);
    }

    /// All entries of a frame of kind 3; `None` when they do not fill it exactly.
    pub(crate) fn decode_all(bytes: &[u8]) -> Option<Vec<Self>> {
        let mut reader = Reader(bytes);
        let mut keys = Vec::new();
        while !reader.0.is_empty() {
            let received_at = Timestamp(reader.i64()?);
            let dataset = reader.short_text()?;
            keys.push(Self { received_at, dataset, entry: reader.key()? });
        }
        Some(keys)
    }
}

fn put_key(out: &mut Vec<u8>, entry: &KeyEntry) {
    let key = &entry.key.as_bytes()[..entry.key.len().min(u16::MAX.into())];
    out.extend_from_slice(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(&entry.digest.0);
}

/// At most 255 bytes: names of datasets (≤ 107) and codes of rejection (ours) are shorter.
fn put_short(out: &mut Vec<u8>, text: &[u8]) {
    let text = &text[..text.len().min(255)];
    out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(text);
}

pub(crate) fn put_u32(out: &mut Vec<u8>, value: usize) {
    out.extend_from_slice(&clamp_u32(value).to_le_bytes());
}

/// Lengths are checked against [`PAYLOAD_BYTES_MAX`] before; this only satisfies the type.
fn clamp_u32(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Takes values from the front of a slice; `None` beyond its end.
#[derive(Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head)
    }
    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }
    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }
    pub(crate) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }
    pub(crate) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }
    fn i64(&mut self) -> Option<i64> {
        Some(i64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }
    fn text(&mut self, length: usize) -> Option<String> {
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }
    fn short_text(&mut self) -> Option<String> {
        let length = self.u8()?;
        self.text(length.into())
    }
    fn key(&mut self) -> Option<KeyEntry> {
        let length = self.u16()?;
        let key = self.text(length.into())?;
        Some(KeyEntry { key, digest: Digest(self.take(16)?.try_into().ok()?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Record {
        Record {
            lsn: 7,
            import: true,
            dataset: "shop".into(),
            received_at: Timestamp(1_763_647_200_000_000),
            first_seq: 41,
            stored: 2,
            duplicates: 1,
            ulid_base: 0x0198_0000_0000_0000_0000_0000_0000_0001,
            key: Some(KeyEntry { key: "retry-1".into(), digest: Digest([9; 16]) }),
            rejected: vec![("malformed_json".into(), 3)],
            payload: Payload::from_events([&b"{\"a\":1}"[..], b"{}"].into_iter()).unwrap(),
        }
    }

    #[test]
    fn a_record_survives_the_round_trip() {
        let mut bytes = Vec::new();
        sample().encode(&sample().payload, &mut bytes);
        let read = Record::decode(&bytes).unwrap();
        assert_eq!(read, sample());
        assert_eq!(read.last_seq(), Some(42));
        let raw = read.payload.decompress().unwrap();
        assert_eq!(split_events(&raw).unwrap(), vec![&b"{\"a\":1}"[..], b"{}"]);
    }

    #[test]
    fn no_prefix_of_a_record_is_taken_for_one_with_other_counts() {
        let mut bytes = Vec::new();
        sample().encode(&sample().payload, &mut bytes);
        let head = bytes.len() - sample().payload.bytes.len();
        for length in 0..head {
            assert_eq!(Record::decode(&bytes[..length]), None, "{length} bytes");
        }
    }

    #[test]
    fn large_payloads_are_compressed() {
        let event = vec![b'x'; 40_000];
        let payload = Payload::from_events([event.as_slice()].into_iter()).unwrap();
        assert!(payload.zstd && payload.bytes.len() < 1000);
        assert_eq!(split_events(&payload.decompress().unwrap()).unwrap(), vec![event.as_slice()]);
    }

    #[test]
    fn carried_keys_survive_the_round_trip() {
        let keys: Vec<CarriedKey> = (0..3)
            .map(|n| CarriedKey {
                received_at: Timestamp(n),
                dataset: format!("d{n}"),
                entry: KeyEntry { key: "k".repeat(200), digest: Digest([1; 16]) },
            })
            .collect();
        let mut bytes = Vec::new();
        keys.iter().for_each(|key| key.encode(&mut bytes));
        assert_eq!(CarriedKey::decode_all(&bytes).unwrap(), keys);
        assert_eq!(CarriedKey::decode_all(&bytes[..bytes.len() - 1]), None);
    }
}
