//! One series from a CSV file: `time,count[,label]`, or `time,numerator,denominator`; gzip when the name ends in `.gz`.
//!
//! Naive times are taken as they are (local wall clock = UTC of zone `UTC`); times that end in Z need `zone=`.

use std::{fs::File, io::Read, path::Path};

use alerter::{
    history::{DAY_MINUTES, History, Minute, Observation},
    zone::LocalClock,
};
use anyhow::{Context, Result, bail};
use chrono::{DateTime, NaiveDateTime};
use chrono_tz::Tz;
use flate2::read::GzDecoder;

/// A regular series; NaN is no data.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    /// Name of the file without its endings.
    pub(crate) name: String,
    /// First minute.
    pub(crate) start: Minute,
    /// Minutes a step.
    pub(crate) step: i64,
    /// Count, or numerator.
    pub(crate) value: Vec<f64>,
    /// Denominator of a ratio; empty otherwise.
    pub(crate) exposure: Vec<f64>,
    /// Steps that the source of the file calls anomalous; empty when it labels nothing.
    pub(crate) label: Vec<bool>,
    /// The market's zone.
    pub(crate) zone: Tz,
}

/// One line of a file.
struct Line {
    minute: Minute,
    value: f64,
    exposure: Option<f64>,
    label: Option<bool>,
}

impl Series {
    /// Reads `FILE[,zone=Area/City][,sparse]`; in a sparse file a missing minute is zero events.
    pub(crate) fn read(argument: &str) -> Result<Self> {
        let mut parts = argument.split(',');
        let path = parts.next().unwrap_or_default();
        let (mut zone, mut sparse) = (Tz::UTC, false);
        for part in parts {
            match part.split_once('=') {
                Some(("zone", name)) => zone = name.parse().with_context(|| format!("unknown zone {name}"))?,
                None if part == "sparse" => sparse = true,
                _ => bail!("unknown option {part} of {path}: use zone=Area/City or sparse"),
            }
        }
        let points = read_points(path).with_context(|| format!("could not read {path}"))?;
        let name = Path::new(path).file_name().and_then(|n| n.to_str()).unwrap_or(path);
        let name = name.split('.').next().unwrap_or(name).to_owned();
        Ok(Self::from_points(name, zone, sparse, points))
    }

    fn from_points(name: String, zone: Tz, sparse: bool, mut points: Vec<Line>) -> Self {
        points.sort_by_key(|point| point.minute);
        let mut gaps: Vec<i64> =
            points.windows(2).map(|pair| pair[1].minute - pair[0].minute).filter(|gap| *gap > 0).collect();
        gaps.sort_unstable();
        let step = if sparse { 1 } else { gaps.get(gaps.len() / 2).copied().unwrap_or(1) };
        let step = (step..).find(|step| DAY_MINUTES % step == 0).unwrap_or(1);
        let start = points.first().map_or(0, |point| point.minute).div_euclid(step) * step;
        let steps = points.last().map_or(0, |point| (point.minute - start) / step + 1) as usize;
        let ratio = points.iter().any(|point| point.exposure.is_some());
        let labelled = points.iter().any(|point| point.label.is_some());
        let mut series = Self {
            name,
            start,
            step,
            value: vec![if sparse { 0.0 } else { f64::NAN }; steps],
            exposure: vec![0.0; if ratio { steps } else { 0 }],
            label: vec![false; if labelled { steps } else { 0 }],
            zone,
        };
        for Line { minute, value, exposure, label } in points {
            let index = ((minute - start) / step) as usize;
            if let (Some(cell), Some(label)) = (series.label.get_mut(index), label) {
                *cell |= label;
            }
            let cell = &mut series.value[index];
            // Two points in one step (a repeated local hour, sparse orders) add up.
            *cell = if cell.is_nan() { value } else { *cell + value };
            if let (Some(cell), Some(exposure)) = (series.exposure.get_mut(index), exposure) {
                *cell += exposure;
            }
        }
        series
    }

    /// The clock of its zone over its span.
    pub(crate) fn clock(&self) -> LocalClock {
        LocalClock::new(self.zone, self.start - DAY_MINUTES, self.end() + DAY_MINUTES)
    }

    /// First minute after the last step.
    pub(crate) fn end(&self) -> Minute {
        self.start + self.step * self.value.len() as i64
    }

    /// The series without what came from `end` on.
    pub(crate) fn before(&self, end: Minute) -> Self {
        let mut before = self.clone();
        let steps = ((end - self.start) / self.step).max(0) as usize;
        before.value.truncate(steps);
        before.exposure.truncate(steps);
        before.label.truncate(steps);
        before
    }

    /// Value of the steps in `[from, to)` together; NaN if any has no data or lies outside.
    pub(crate) fn total(&self, from: Minute, to: Minute) -> f64 {
        self.index(from, to).map_or(f64::NAN, |range| self.value[range].iter().sum())
    }

    /// Denominator of `[from, to)`; 0 for counts.
    pub(crate) fn exposure(&self, from: Minute, to: Minute) -> f64 {
        if self.exposure.is_empty() {
            return 0.0;
        }
        self.index(from, to).map_or(f64::NAN, |range| self.exposure[range].iter().sum())
    }

    fn index(&self, from: Minute, to: Minute) -> Option<std::ops::Range<usize>> {
        let first = usize::try_from((from - self.start).div_euclid(self.step)).ok()?;
        let after = usize::try_from((to - self.start + self.step - 1).div_euclid(self.step)).ok()?;
        (after <= self.value.len() && first < after).then_some(first..after)
    }

    /// True within a day of a step labelled anomalous.
    pub(crate) fn near_label(&self, minute: Minute) -> bool {
        let index = (minute - self.start).div_euclid(self.step);
        let day = DAY_MINUTES / self.step;
        (index - day..=index + day)
            .any(|near| usize::try_from(near).is_ok_and(|near| self.label.get(near) == Some(&true)))
    }

    /// The observation of one step.
    pub(crate) fn observation(&self, index: usize) -> Option<Observation> {
        let value = self.value[index];
        let seen = match self.exposure.get(index) {
            Some(exposure) => Observation::ratio(value, *exposure),
            None => Observation::count(value),
        };
        (!value.is_nan()).then_some(seen)
    }

    /// History of `[from, to)`.
    pub(crate) fn history(&self, from: Minute, to: Minute) -> History {
        let first = ((from - self.start).max(0) / self.step) as usize;
        let after = (((to - self.start) / self.step).max(0) as usize).min(self.value.len());
        let mut history = History::with_step(self.start + first as i64 * self.step, self.step);
        for index in first..after.max(first) {
            history.push(self.observation(index));
        }
        history
    }

    /// Values of steps of at least an hour, for the baselines.
    pub(crate) fn hourly(&self) -> (Minute, Vec<f64>) {
        let start = self.start.div_euclid(60) * 60;
        let hours = (self.end() - start) / 60;
        (start, (0..hours).map(|hour| self.total(start + hour * 60, start + hour * 60 + 60)).collect())
    }
}

fn read_points(path: &str) -> Result<Vec<Line>> {
    let file = File::open(path)?;
    let mut text = String::new();
    if path.ends_with(".gz") {
        GzDecoder::new(file).read_to_string(&mut text)?;
    } else {
        std::io::BufReader::new(file).read_to_string(&mut text)?;
    }
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    let third = header.split(',').nth(2).map_or("", str::trim);
    let mut points = Vec::new();
    for (number, line) in lines.enumerate().filter(|line| !line.1.is_empty()) {
        let mut fields = line.split(',').map(str::trim);
        let minute = fields.next().and_then(parse_minute).with_context(|| format!("line {}: no time", number + 2))?;
        // An empty or unreadable count is a hole in collection.
        let Some(value) = fields.next().and_then(|field| field.parse::<f64>().ok()) else { continue };
        let more = fields.next().unwrap_or_default();
        points.push(Line {
            minute,
            value,
            exposure: more.parse().ok().filter(|_| third == "denominator"),
            label: (third == "label").then_some(more == "1"),
        });
    }
    Ok(points)
}

fn parse_minute(text: &str) -> Option<Minute> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp().div_euclid(60));
    }
    ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
        .map(|time| time.and_utc().timestamp().div_euclid(60))
}
