//! One series in memory: its history, its forecast, its live state, and the points it stores.

use std::{ops::Range, sync::Arc};

use query::{Measure, MinutePoint};
use serde_json::{Map, Value, json};
use store::Timestamp;

use crate::{
    burn::{Burn, burn},
    definition::Metric,
    forecast::{Fitted, Learning, Model, Settings},
    history::{DAY_MINUTES, History, Minute, Observation, hidden_since},
    live::Live,
    score::{Kind, Score},
};

/// Days of history a slice keeps in memory and that its forecast learns from.
pub(crate) const SLICE_DAYS: i64 = 35;

/// What one minute's counts say, in terms of the measure.
pub(crate) fn observation(measure: &Measure, point: Option<&MinutePoint>) -> Observation {
    let Some(point) = point else {
        return if matches!(measure, Measure::Ratio { .. } | Measure::Latency { .. }) {
            Observation::ratio(0.0, 0.0)
        } else {
            Observation::count(0.0)
        };
    };
    match measure {
        Measure::Count => Observation::sampled(point.count, point.weight_squares),
        Measure::Sum { .. } => Observation::sum(point.sum, point.count, point.sum_squares),
        Measure::Ratio { .. } | Measure::Latency { .. } => Observation::ratio(point.count, point.denominator),
    }
}

/// A parent (no slice) or one slice of it.
#[derive(Debug)]
pub(crate) struct Series {
    /// `country=NL`
    pub(crate) slice: Option<String>,
    pub(crate) history: History,
    pub(crate) fitted: Option<Arc<Fitted>>,
    pub(crate) learning: Option<Learning>,
    pub(crate) live: Live,
    pub(crate) last: Option<Score>,
    /// What was spent of the error budget when that was last looked at.
    pub(crate) burn: Option<Burn>,
    /// The minute of the last fit.
    fitted_at: Option<Minute>,
}

impl Series {
    pub(crate) fn new(slice: Option<String>, start: Minute) -> Self {
        Self {
            slice,
            history: History::new(start),
            fitted: None,
            learning: None,
            live: Live::new(start),
            last: None,
            burn: None,
            fitted_at: None,
        }
    }

    /// Minutes of history worth keeping.
    pub(crate) fn kept_minutes(&self, history_minutes: u32) -> i64 {
        let kept = i64::from(history_minutes);
        if self.slice.is_some() { kept.min(SLICE_DAYS * DAY_MINUTES) } else { kept }
    }

    /// Writes a minute of the past, also before the present start.
    pub(crate) fn put(&mut self, minute: Minute, observation: Option<Observation>) {
        if self.history.is_empty() {
            self.history = History::new(minute);
        }
        if minute < self.history.start() {
            let mut longer = History::new(minute);
            for known in self.history.start()..self.history.end() {
                longer.set(known, self.history.get(known));
            }
            longer.set_masks(self.history.masks().to_vec());
            self.history = longer;
        }
        self.history.set(minute, observation);
    }

    /// True when a fit would learn something new: a local day began, or an hour passed while still learning.
    pub(crate) fn refit_due(&self, zone: chrono_tz::Tz, minute: Minute) -> bool {
        let Some(at) = self.fitted_at else { return !self.history.is_empty() };
        let grain = |minute: Minute| {
            let instant = chrono::DateTime::from_timestamp(minute * 60, 0).unwrap_or_default().with_timezone(&zone);
            if self.fitted.is_some() {
                instant.format("%Y-%m-%d").to_string()
            } else {
                instant.format("%Y-%m-%dT%H").to_string()
            }
        };
        grain(at) != grain(minute)
    }

    /// Makes the next fit due: the settings changed.
    pub(crate) fn forget_fit(&mut self) {
        self.fitted_at = None;
    }

    /// Takes the result of a fit made at `minute` and replays the last hours into a fresh live state. `open_since`: the onset
    /// of an incident that is still open; its minutes must not move the level.
    pub(crate) fn install(&mut self, fit: Result<Fitted, Learning>, minute: Minute, open_since: Option<Minute>) {
        self.fitted_at = Some(minute);
        match fit {
            Err(learning) => (self.fitted, self.learning) = (None, Some(learning)),
            Ok(fitted) => {
                let until = self.history.end().max(self.history.start());
                self.live = warmed(&fitted, &mut self.history, until, open_since);
                (self.fitted, self.learning) = (Some(Arc::new(fitted)), None);
            }
        }
    }

    /// Scores the next minute and keeps it.
    pub(crate) fn step(&mut self, minute: Minute, observation: Option<Observation>) -> Option<Score> {
        self.put(minute, observation);
        let fitted = self.fitted.as_ref()?;
        let mut score = self.live.step(fitted, minute, observation);
        // Slices explain, they do not page.
        if self.slice.is_none() {
            score.take_burn(burn(fitted, &self.history, minute), fitted.settings().direction);
            self.burn = score.burn.or(self.burn);
        }
        self.last = Some(score);
        Some(score)
    }

    /// Replaces a minute by what late events made of it and scores it again.
    pub(crate) fn revise(&mut self, minute: Minute, observation: Option<Observation>) -> Option<Score> {
        self.put(minute, observation);
        let fitted = self.fitted.as_ref()?;
        self.live.revise(fitted, minute, observation).then(|| self.live.score(fitted, minute))
    }

    /// True when stored and counted say the same, at the precision the history keeps.
    pub(crate) fn agrees(&self, minute: Minute, observation: Option<Observation>) -> bool {
        let known = self.history.get(minute);
        #[expect(clippy::cast_possible_truncation, reason = "the history stores f32")]
        let same = |a: f64, b: f64| a as f32 == b as f32;
        match (known, observation) {
            (Some(known), Some(seen)) => same(known.value, seen.value) && same(known.exposure, seen.exposure),
            (None, None) => true,
            _ => false,
        }
    }
}

/// Fits at a minute; the minutes of an open incident are not learnt from.
pub(crate) fn fit(
    settings: Settings,
    history: &mut History,
    minute: Minute,
    open_since: Option<Minute>,
) -> Result<Fitted, Learning> {
    hidden_since(history, open_since, |history| Model::new(settings).fit(history, minute))
}

/// The live state at `until`; minutes of an open incident are scored but do not move the level.
fn warmed(fitted: &Fitted, history: &mut History, until: Minute, open_since: Option<Minute>) -> Live {
    let mut live = hidden_since(history, open_since, |history| Live::warmed(fitted, history, until));
    if let Some(onset) = open_since {
        for minute in onset.max(history.start())..until {
            live.revise(fitted, minute, history.get(minute));
        }
        live.hold(true);
    }
    live
}

/// The event of `system.metric_points` for one minute. Shares are stored as shares, with their numerator and denominator.
pub(crate) fn point_event(
    metric: &Metric,
    slice: Option<&str>,
    minute: Minute,
    observation: Option<Observation>,
    score: Option<&Score>,
    revision: u32,
) -> Value {
    let mut event = Map::new();
    event.insert("time".into(), json!(Timestamp::from_minutes(minute).to_rfc3339()));
    event.insert("metric".into(), json!(metric.name));
    if let Some(slice) = slice {
        event.insert("slice".into(), json!(slice));
    }
    event.insert("revision".into(), json!(revision));
    event.insert("definition".into(), json!(metric.fingerprint()));
    let mut number = |key: &str, value: f64| {
        if value.is_finite() {
            event.insert(key.into(), json!(value));
        }
    };
    let share = metric.kind() == Kind::Ratio;
    let exposure = observation.map_or(0.0, |seen| seen.exposure);
    match observation {
        Some(seen) if share => {
            number("numerator", seen.value);
            number("exposure", seen.exposure);
            number("actual", seen.value / seen.exposure);
        }
        Some(seen) => {
            number("actual", seen.value);
            if seen.events.to_bits() != seen.value.to_bits() {
                number("events", seen.events);
            }
            if seen.variance.to_bits() != seen.value.to_bits() {
                number("variance", seen.variance);
            }
        }
        None => {}
    }
    if let Some(score) = score {
        let scale = if share { exposure } else { 1.0 };
        if scale > 0.0 {
            number("expected", score.mu0 / scale);
            number("expected_now", score.mu / scale);
            number("lower", score.lower / scale);
            let upper = score.upper / scale;
            number("upper", if share { upper.min(1.0) } else { upper });
        }
        number("score", score.strongest());
    }
    Value::Object(event)
}

/// Means over a range of the history, for budgets: expected amount of 28 days by what was seen of it.
pub(crate) fn usual_amount(history: &History, until: Minute, days: i64) -> Option<(f64, f64)> {
    let from = (until - days * DAY_MINUTES).max(history.start());
    let (mut value, mut exposure, mut minutes) = (0.0, 0.0, 0_i64);
    for seen in (from..until.min(history.end())).filter_map(|minute| history.get(minute)) {
        value += seen.value;
        exposure += seen.exposure;
        minutes += 1;
    }
    let scale = (days * DAY_MINUTES) as f64 / minutes as f64;
    (minutes >= DAY_MINUTES).then_some((value * scale, exposure * scale))
}

/// Runs of minutes that a closure holds for.
pub(crate) fn runs(range: Range<Minute>, holds: impl Fn(Minute) -> bool) -> Vec<Range<Minute>> {
    let mut runs: Vec<Range<Minute>> = Vec::new();
    for minute in range.filter(|minute| holds(*minute)) {
        match runs.last_mut() {
            Some(last) if last.end == minute => last.end += 1,
            _ => runs.push(minute..minute + 1),
        }
    }
    runs
}
