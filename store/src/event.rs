//! The nouns of an event: its dataset, its times, its place in the log.

use std::{fmt, sync::Arc};

/// Name of a dataset: `[a-z][a-z0-9_]*`, at most 100 bytes; ours are `system.<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DatasetName(Arc<str>);

impl DatasetName {
    /// Maps any name to a valid one: lower case, other characters become `_` (`My Data/set` -> `my_data_set`).
    /// `None` when nothing is left, or the name is `system` or starts with `system.` (reserved).
    #[must_use]
    pub fn from_user(name: &str) -> Option<Self> {
        let mut mapped: String =
            name.trim().chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
        mapped.truncate(100);
        let starts_well = mapped.bytes().next().is_some_and(|first| first.is_ascii_lowercase());
        let reserved = mapped == "system" || name.starts_with("system.");
        (starts_well && !reserved).then(|| Self(mapped.into()))
    }

    /// A name as we wrote it before; `None` when it is none of ours.
    pub(crate) fn from_stored(name: &str) -> Option<Self> {
        let plain = name.strip_prefix("system.").unwrap_or(name);
        let valid = plain.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        (valid && !plain.is_empty() && name.len() <= 255).then(|| Self(name.into()))
    }

    /// A dataset of our own, `system.<name>`.
    #[must_use]
    pub fn system(name: &str) -> Self {
        Self(format!("system.{name}").into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True for `system.*`.
    #[must_use]
    pub fn is_system(&self) -> bool {
        self.0.starts_with("system.")
    }
}

impl fmt::Display for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Microseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Whole days (UTC) since the epoch, rounded down.
    #[must_use]
    pub fn day(self) -> i32 {
        i32::try_from(self.0.div_euclid(86_400_000_000)).unwrap_or_default()
    }

    /// Whole minutes since the epoch, rounded down.
    #[must_use]
    pub fn minutes(self) -> i64 {
        self.0.div_euclid(60_000_000)
    }

    /// The start of a minute counted from the epoch.
    #[must_use]
    pub fn from_minutes(minutes: i64) -> Self {
        Self(minutes * 60_000_000)
    }

    /// This instant moved by some seconds.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0 + seconds * 1_000_000)
    }

    /// RFC 3339 with microseconds and `Z`: `2026-11-20T14:10:00.000000Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        chrono::DateTime::from_timestamp_micros(self.0)
            .unwrap_or_default()
            .to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
    }

    /// Parses RFC 3339 with any offset.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        chrono::DateTime::parse_from_rfc3339(text).ok().map(|time| Self(time.timestamp_micros()))
    }
}

/// Place of a stored event within (incarnation, dataset), counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct SeqNo(pub u64);
