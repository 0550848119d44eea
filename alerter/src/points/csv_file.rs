//! History from a CSV file: `time,count[,denominator]`, one row per minute or per coarser step.

use store::Timestamp;

use crate::history::{DAY_MINUTES, Minute};

/// Problems reported at most; the rest is only counted.
const PROBLEMS_MAX: usize = 100;

/// One minute of history.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImportedRow {
    /// The minute since the epoch.
    pub minute: Minute,
    /// Count, sum or numerator.
    pub count: f64,
    /// Denominator of a ratio.
    pub denominator: Option<f64>,
}

/// A line that could not be taken.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ImportProblem {
    /// Line of the file, from 1.
    pub line: u64,
    /// Why, and what to do.
    pub message: String,
}

/// Reads a file. Rows further apart than a minute are spread over their minutes when most rows are evenly spaced; the
/// step is then the usual distance. Rows come out in time order, one per minute; bad lines do not sink good ones.
#[must_use]
pub fn parse_csv(text: &[u8], is_share: bool) -> (Vec<ImportedRow>, Vec<ImportProblem>) {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(text);
    let mut rows: Vec<(u64, ImportedRow)> = Vec::new();
    let mut problems = Vec::new();
    let mut problem = |line: u64, message: String| {
        if problems.len() < PROBLEMS_MAX {
            problems.push(ImportProblem { line, message });
        }
    };
    for (index, record) in reader.records().enumerate() {
        match record {
            Ok(record) => {
                let line = record.position().map_or(index as u64 + 1, csv::Position::line);
                let header = index == 0 && record.get(0).is_some_and(|first| first.eq_ignore_ascii_case("time"));
                if header || (record.len() == 1 && record.get(0) == Some("")) {
                    continue;
                }
                match row(&record, is_share) {
                    Ok(row) => rows.push((line, row)),
                    Err(message) => problem(line, message),
                }
            }
            Err(error) => {
                let line = error.position().map_or(index as u64 + 1, csv::Position::line);
                problem(line, "not a line of CSV in UTF-8".to_owned());
            }
        }
    }
    rows.sort_by_key(|(line, row)| (row.minute, *line));
    let mut unique: Vec<(u64, ImportedRow)> = Vec::with_capacity(rows.len());
    for (line, row) in rows {
        match unique.last() {
            Some((first, last)) if last.minute == row.minute => {
                problem(line, format!("the same minute as line {first}: sum them up before the import"));
            }
            _ => unique.push((line, row)),
        }
    }
    let step = usual_step(&unique);
    let rows = unique.into_iter().flat_map(|(_, row)| spread(row, step)).collect();
    (rows, problems)
}

fn row(record: &csv::StringRecord, is_share: bool) -> Result<ImportedRow, String> {
    let wanted = if is_share { "time,count,denominator" } else { "time,count" };
    let (Some(time), Some(count)) = (record.get(0), record.get(1)) else {
        return Err(format!("{} field instead of `{wanted}`", record.len()));
    };
    if record.len() > 3 {
        return Err(format!("{} fields instead of `{wanted}`", record.len()));
    }
    let minute = parse_time(time).ok_or_else(|| {
        format!(
            "`{time}` is no time: write RFC 3339 such as 2026-11-20T14:10:00Z, or seconds or milliseconds since 1970"
        )
    })?;
    let number = |text: &str, what: &str| {
        text.parse::<f64>()
            .ok()
            .filter(|number| number.is_finite() && *number >= 0.0)
            .ok_or_else(|| format!("the {what} `{text}` is no number from 0 up"))
    };
    let count = number(count, "count")?;
    let denominator =
        record.get(2).filter(|text| !text.is_empty()).map(|text| number(text, "denominator")).transpose()?;
    match denominator {
        None if is_share => Err("the metric is a share: a third field with the denominator is needed".to_owned()),
        Some(denominator) if is_share && count > denominator => {
            Err(format!("the count {count} is more than its denominator {denominator}"))
        }
        _ => Ok(ImportedRow { minute, count, denominator: denominator.filter(|_| is_share) }),
    }
}

/// RFC 3339, the same with a blank and without a zone (then UTC), or an epoch by its size.
fn parse_time(text: &str) -> Option<Minute> {
    if let Some(time) = Timestamp::parse_rfc3339(text) {
        return Some(time.minutes());
    }
    if let Ok(number) = text.parse::<i64>() {
        let seconds = if number.abs() < 100_000_000_000 { number } else { number / 1000 };
        return Some(seconds.div_euclid(60));
    }
    let plain = text.replacen(' ', "T", 1);
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"]
        .iter()
        .find_map(|format| chrono::NaiveDateTime::parse_from_str(&plain, format).ok())
        .map(|time| time.and_utc().timestamp().div_euclid(60))
}

/// The distance of most neighbours, if it divides a day; else rows are single minutes.
fn usual_step(rows: &[(u64, ImportedRow)]) -> i64 {
    let mut distances: Vec<i64> = rows.windows(2).map(|pair| pair[1].1.minute - pair[0].1.minute).collect();
    distances.sort_unstable();
    let Some(median) = distances.get(distances.len() / 2).copied() else { return 1 };
    let usual = distances.iter().filter(|distance| **distance == median).count();
    // Minute rows of a rare event are uneven; an export in steps is even but for its holes.
    if median > 1 && DAY_MINUTES % median == 0 && usual * 10 >= distances.len() * 9 { median } else { 1 }
}

#[expect(clippy::cast_precision_loss, reason = "at most the minutes of a day")]
fn spread(row: ImportedRow, step: i64) -> impl Iterator<Item = ImportedRow> {
    let parts = step as f64;
    (0..step).map(move |offset| ImportedRow {
        minute: row.minute + offset,
        count: row.count / parts,
        denominator: row.denominator.map(|denominator| denominator / parts),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_in_any_order_and_any_form_of_time() {
        let text = b"time,count\n2026-11-20T14:11:00Z,7\n1795183800,5\n1795183920000,9.5\n2026-11-20 14:13,1\n";
        let (rows, problems) = parse_csv(text, false);
        assert!(problems.is_empty(), "{problems:?}");
        let seen: Vec<(i64, f64)> = rows.iter().map(|row| (row.minute - 29_919_730, row.count)).collect();
        assert_eq!(rows.len(), 4, "{seen:?}");
    }

    #[test]
    fn each_bad_line_is_named_and_the_good_ones_are_kept() {
        let text = b"time,count\n2026-11-20T14:10:00Z,7\nyesterday,5\n2026-11-20T14:11:00Z,-1\n2026-11-20T14:12:00Z\n2026-11-20T14:10:30Z,8\n";
        let (rows, problems) = parse_csv(text, false);
        assert_eq!(rows.len(), 1);
        let shown: Vec<(u64, &str)> = problems.iter().map(|p| (p.line, p.message.as_str())).collect();
        assert_eq!(shown.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 4, 5, 6]);
        assert!(shown[0].1.contains("`yesterday` is no time"), "{shown:?}");
        assert!(shown[3].1.contains("the same minute as line 2"), "{shown:?}");
    }

    #[test]
    fn coarser_steps_are_spread_over_their_minutes() {
        let mut text = String::from("time,count\n");
        for step in (0..40).filter(|step| *step != 20) {
            text.push_str(&format!("{},600\n", 1_795_183_800 + step * 1800));
        }
        let (rows, problems) = parse_csv(text.as_bytes(), false);
        assert!(problems.is_empty());
        assert_eq!(rows.len(), 39 * 30);
        assert!(rows.iter().all(|row| (row.count - 20.0).abs() < 1e-9));
        assert_eq!(rows[20 * 30].minute - rows[20 * 30 - 1].minute, 31, "the missing row stays a hole");
    }

    #[test]
    fn rare_minute_rows_are_not_taken_for_steps() {
        let text = b"1795183800,1\n1795184100,1\n1795184160,2\n1795185000,1\n1795185300,1\n";
        let (rows, _) = parse_csv(text, false);
        assert_eq!(rows.len(), 5);
    }

    #[test]
    fn shares_need_their_denominator() {
        let (rows, problems) = parse_csv(b"1795183800,5,100\n1795183860,5\n1795183920,5,2\n", true);
        assert_eq!((rows.len(), rows[0].denominator), (1, Some(100.0)));
        assert!(problems[0].message.contains("denominator is needed"));
        assert!(problems[1].message.contains("more than its denominator"));
    }
}
