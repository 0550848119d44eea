//! Live files of a log as readers of the store want them.

use std::sync::Arc;

use serde_json::Value;

use super::{Add, Log};
use crate::{DataFile, Timestamp};

/// The only partition column: the UTC day of `time`.
pub(crate) const DAY_COLUMN: &str = "_day";
/// Tag of an `add`: CRC32C of the whole file, 8 hexadecimal digits. Parquet's own pages carry no checksums.
const CHECKSUM_TAG: &str = "yellowline.crc32c";

/// The tag that holds the checksum of a file.
pub(crate) fn checksum_tag(crc32c: u32) -> (String, String) {
    (CHECKSUM_TAG.to_owned(), format!("{crc32c:08x}"))
}

/// The checksum a file had when it was written; `None` for files of versions that noted none.
pub(crate) fn checksum_of(add: &Add) -> Option<u32> {
    u32::from_str_radix(add.tags.as_ref()?.get(CHECKSUM_TAG)?, 16).ok()
}
/// Tag of files that compaction made of others.
pub(crate) const COMPACTED_TAG: &str = "yellowline.compacted";

impl Log {
    /// All live files, oldest commit first.
    pub(crate) fn data_files(&self) -> Vec<Arc<DataFile>> {
        let mut live: Vec<&(u64, Arc<Add>)> = self.state.files.values().collect();
        live.sort_by(|left, right| (left.0, &left.1.path).cmp(&(right.0, &right.1.path)));
        live.into_iter().map(|(_, add)| Arc::new(data_file(add))).collect()
    }
}

/// What an `add` says about its file. Statistics written by us are complete; without them nothing is excluded by time.
pub(crate) fn data_file(add: &Add) -> DataFile {
    let stats: Value = add.stats.as_deref().and_then(|stats| serde_json::from_str(stats).ok()).unwrap_or_default();
    let time = |bound: &str| stats[bound]["time"].as_str().and_then(Timestamp::parse_rfc3339);
    let day = add.partition_values.get(DAY_COLUMN).and_then(|value| parse_day(value.as_deref()?));
    DataFile {
        path: add.path.clone(),
        bytes: u64::try_from(add.size).unwrap_or(0),
        rows: stats["numRecords"].as_u64().unwrap_or(0),
        day: day.unwrap_or(0),
        time_min: time("minValues").unwrap_or(Timestamp(i64::MIN)),
        time_max: time("maxValues").unwrap_or(Timestamp(i64::MAX)),
        written_at: Timestamp(add.modification_time.saturating_mul(1_000)),
        compacted: add.tags.as_ref().is_some_and(|tags| tags.contains_key(COMPACTED_TAG)),
    }
}

/// The newest receipt among a file's events; the end of time when the file does not say.
pub(crate) fn received_max(add: &Add) -> Timestamp {
    let stats: Value = add.stats.as_deref().and_then(|stats| serde_json::from_str(stats).ok()).unwrap_or_default();
    stats["maxValues"]["received_at"].as_str().and_then(Timestamp::parse_rfc3339).unwrap_or(Timestamp(i64::MAX))
}

/// `2026-11-20` for days since 1970-01-01.
pub(crate) fn format_day(day: i32) -> String {
    let date = chrono::NaiveDate::from_num_days_from_ce_opt(day.saturating_add(EPOCH_DAYS_FROM_CE));
    date.unwrap_or_default().format("%Y-%m-%d").to_string()
}

fn parse_day(text: &str) -> Option<i32> {
    let date: chrono::NaiveDate = text.parse().ok()?;
    Some(chrono::Datelike::num_days_from_ce(&date) - EPOCH_DAYS_FROM_CE)
}

/// 1970-01-01 in days of the common era.
const EPOCH_DAYS_FROM_CE: i32 = 719_163;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_survive_the_round_trip() {
        for (day, text) in [(0, "1970-01-01"), (20_777, "2026-11-20"), (-1, "1969-12-31")] {
            assert_eq!(format_day(day), text);
            assert_eq!(parse_day(text), Some(day));
        }
    }
}
