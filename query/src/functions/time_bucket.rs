//! `time_bucket(width, time)`: the start of the bucket an instant falls into, as TimescaleDB has it.
//!
//! Buckets of weeks and less count from Monday 2000-01-03, so that weeks begin on Monday; months and years from 2000-01-01. All UTC.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, PrimitiveArray},
    datatypes::{DataType, IntervalMonthDayNano, TimeUnit, TimestampMicrosecondType},
};
use chrono::{DateTime, Datelike, NaiveDate};
use datafusion::{
    common::{DataFusionError, Result, ScalarValue, exec_err, plan_err},
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility},
};

/// Microseconds from the epoch to Monday 2000-01-03.
const ORIGIN_US: i64 = 946_857_600_000_000;
const DAY_US: i64 = 86_400_000_000;
/// Months from year 0 to 2000-01.
const ORIGIN_MONTHS: i64 = 24_000;

pub(super) fn udf() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(TimeBucket { signature: Signature::user_defined(Volatility::Immutable) }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeBucket {
    signature: Signature,
}

/// The width of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Micros(i64),
    Months(i64),
}

impl ScalarUDFImpl for TimeBucket {
    fn name(&self) -> &'static str {
        "time_bucket"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let [width, time] = arguments else {
            return plan_err!("time_bucket takes a width and a time: time_bucket('1 minute', time)");
        };
        let width = match width {
            DataType::Interval(_) => DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano),
            DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
            other => return plan_err!("the width of time_bucket is an interval such as '1 minute', not {other}"),
        };
        match time {
            DataType::Timestamp(_, zone) => Ok(vec![width, DataType::Timestamp(TimeUnit::Microsecond, zone.clone())]),
            DataType::Date32 | DataType::Date64 | DataType::Utf8 | DataType::Utf8View | DataType::Null => {
                Ok(vec![width, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))])
            }
            other => plan_err!("the second argument of time_bucket is a time, not {other}"),
        }
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[1].clone())
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let ColumnarValue::Scalar(width) = &call.args[0] else {
            return exec_err!("the width of time_bucket is a literal such as '1 minute'");
        };
        let width = width_of(width)?;
        let zone = match call.return_type() {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        };
        match &call.args[1] {
            ColumnarValue::Scalar(ScalarValue::TimestampMicrosecond(at, zone)) => Ok(ColumnarValue::Scalar(
                ScalarValue::TimestampMicrosecond(at.map(|at| bucket(width, at)), zone.clone()),
            )),
            ColumnarValue::Scalar(other) => exec_err!("time_bucket of {other}"),
            ColumnarValue::Array(times) => {
                let times = times.as_primitive::<TimestampMicrosecondType>();
                let buckets: PrimitiveArray<TimestampMicrosecondType> = match width {
                    Width::Micros(us) => times.unary(|at| at - (at - ORIGIN_US).rem_euclid(us)),
                    Width::Months(_) => times.unary(|at| bucket(width, at)),
                };
                Ok(ColumnarValue::Array(Arc::new(buckets.with_timezone_opt(zone)) as ArrayRef))
            }
        }
    }

    fn output_ordering(
        &self,
        inputs: &[datafusion::logical_expr::sort_properties::ExprProperties],
    ) -> Result<datafusion::logical_expr::sort_properties::SortProperties> {
        Ok(inputs[1].sort_properties)
    }
}

fn bucket(width: Width, at: i64) -> i64 {
    match width {
        Width::Micros(us) => at - (at - ORIGIN_US).rem_euclid(us),
        Width::Months(months) => month_bucket(months, at),
    }
}

fn month_bucket(months: i64, at: i64) -> i64 {
    let Some(day) = DateTime::from_timestamp_micros(at).map(|time| time.date_naive()) else {
        return at;
    };
    let month = i64::from(day.year()) * 12 + i64::from(day.month0());
    let first = month - (month - ORIGIN_MONTHS).rem_euclid(months);
    let year = i32::try_from(first.div_euclid(12)).unwrap_or(i32::MAX);
    let month0 = u32::try_from(first.rem_euclid(12)).unwrap_or(0);
    NaiveDate::from_ymd_opt(year, month0 + 1, 1)
        .and_then(|day| day.and_hms_opt(0, 0, 0))
        .map_or(at, |start| start.and_utc().timestamp_micros())
}

fn width_of(width: &ScalarValue) -> Result<Width> {
    let text = match width {
        ScalarValue::IntervalMonthDayNano(Some(interval)) => return interval_width(*interval),
        ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) | ScalarValue::LargeUtf8(Some(text)) => text,
        other => return exec_err!("the width of time_bucket is an interval such as '1 minute', not {other}"),
    };
    parse_width(text)
}

fn interval_width(interval: IntervalMonthDayNano) -> Result<Width> {
    let IntervalMonthDayNano { months, days, nanoseconds } = interval;
    let micros = i64::from(days).saturating_mul(DAY_US).saturating_add(nanoseconds / 1_000);
    checked(i64::from(months), micros, &format!("{months} months {days} days {nanoseconds} ns"))
}

/// `1 minute`, `5m`, `1 hour 30 minutes`, `1 week`, `1 month`.
fn parse_width(text: &str) -> Result<Width> {
    let (mut months, mut micros) = (0_i64, 0_i64);
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let count: i64 = rest[..digits].parse().map_err(|_| bad_width(text))?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (unit_months, unit_micros) = unit(&rest[..letters]).ok_or_else(|| bad_width(text))?;
        months = months.saturating_add(count.saturating_mul(unit_months));
        micros = micros.saturating_add(count.saturating_mul(unit_micros));
        rest = rest[letters..].trim_start();
    }
    checked(months, micros, text)
}

/// Months and microseconds of one unit.
fn unit(name: &str) -> Option<(i64, i64)> {
    let micros = match name.to_ascii_lowercase().as_str() {
        "ms" | "millisecond" | "milliseconds" => 1_000,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000_000,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000_000,
        "h" | "hour" | "hours" => 3_600_000_000,
        "d" | "day" | "days" => DAY_US,
        "w" | "week" | "weeks" => 7 * DAY_US,
        "mon" | "month" | "months" => return Some((1, 0)),
        "y" | "year" | "years" => return Some((12, 0)),
        _ => return None,
    };
    Some((0, micros))
}

fn checked(months: i64, micros: i64, text: &str) -> Result<Width> {
    match (months, micros) {
        (0, us) if us > 0 => Ok(Width::Micros(us)),
        (months, 0) if months > 0 => Ok(Width::Months(months)),
        _ => Err(bad_width(text)),
    }
}

fn bad_width(text: &str) -> DataFusionError {
    DataFusionError::Execution(format!(
        "{text:?} is no width of time_bucket: write '30 seconds', '1 minute', '1 hour', '1 day', '1 week' or '1 month'"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(width: &str, at: &str, expect: &str) {
        let at = at.parse::<DateTime<chrono::Utc>>().unwrap().timestamp_micros();
        let start = bucket(parse_width(width).unwrap(), at);
        assert_eq!(DateTime::from_timestamp_micros(start).unwrap().to_rfc3339(), expect, "{width}");
    }

    #[test]
    fn buckets_start_where_timescale_starts_them() {
        check("1 minute", "2026-11-20T14:10:59.999Z", "2026-11-20T14:10:00+00:00");
        check("5m", "2026-11-20T14:14:00Z", "2026-11-20T14:10:00+00:00");
        check("1 hour 30 minutes", "2000-01-03T02:00:00Z", "2000-01-03T01:30:00+00:00");
        check("1 week", "2026-11-20T14:10:00Z", "2026-11-16T00:00:00+00:00");
        check("3 months", "2026-11-20T14:10:00Z", "2026-10-01T00:00:00+00:00");
        check("1 year", "1969-11-20T14:10:00Z", "1969-01-01T00:00:00+00:00");
        check("1 day", "1969-12-31T23:59:59Z", "1969-12-31T00:00:00+00:00");
    }

    #[test]
    fn widths_that_mean_nothing_are_refused() {
        for text in ["", "0 minutes", "minute", "1 fortnight", "1 month 1 day", "-1 minute"] {
            assert!(parse_width(text).is_err(), "{text}");
        }
    }
}
