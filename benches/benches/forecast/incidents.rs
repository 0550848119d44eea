//! Minute by minute through the test days: false pages on the series as it is, and injected incidents.
//!
//! Each test day is scored by a model fitted at its midnight; what paged is masked as the product would mask it. An injected
//! incident starts from a copy of the live state, so that incidents do not disturb each other, and thins the counts that
//! came: nothing is calibrated on it.

use alerter::{
    forecast::{Fitted, Model},
    history::{DAY_MINUTES, History, Minute, Observation},
    live::Live,
    mask::incident_mask,
    onset::onset,
    score::{Direction, Episode, EpisodeEvent, Score},
    zone::LocalClock,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use rand_distr::{Binomial, Distribution};

use crate::{
    day_ahead::{HISTORY_DAYS, settings, test_start},
    series::Series,
};

/// Factors of the injected incidents.
pub(crate) const FACTORS: [f64; 3] = [0.0, 0.5, 0.8];

/// Minutes an injected incident lasts.
const INCIDENT_MINUTES: i64 = 60;

/// Incidents injected per factor.
const INCIDENTS: usize = 60;

/// What one factor showed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    injected: usize,
    delays: Vec<f64>,
    onset_at_page: Vec<f64>,
    onset_later: Vec<f64>,
}

/// What the test days showed.
#[derive(Debug, Clone)]
pub(crate) struct Incidents {
    /// Pages per 30 days on the series as it is.
    pub pages_per_30_days: f64,
    /// Pages themselves, for the curious.
    pub(crate) pages: Vec<(Minute, usize, f64)>,
    /// By factor, in the order of [`FACTORS`].
    pub(crate) found: Vec<Found>,
    /// Mean time of a minute's step.
    pub(crate) step_nanoseconds: f64,
}

impl Found {
    /// Share found within the hour; NaN when none could be injected.
    pub(crate) fn share(&self) -> f64 {
        self.delays.len() as f64 / self.injected as f64
    }

    /// Quantile of the delays in minutes; NaN when nothing was found.
    pub(crate) fn delay(&self, q: f64) -> f64 {
        quantile(&self.delays, q)
    }

    /// Median absolute error of the onset in minutes, when paged and ten minutes later.
    pub(crate) fn onset_errors(&self) -> (f64, f64) {
        (quantile(&self.onset_at_page, 0.5), quantile(&self.onset_later, 0.5))
    }

    /// Share of onsets within five minutes, ten minutes after the page.
    pub(crate) fn onset_within_five(&self) -> f64 {
        self.onset_later.iter().filter(|error| **error <= 5.0).count() as f64 / self.onset_later.len().max(1) as f64
    }
}

fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = (q * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// Replays the test days; `parents` metrics share the promise of one false page a week.
pub(crate) fn judge(series: &Series, parents: u32, seed: u64) -> Incidents {
    let settings = alerter::forecast::Settings { parent_metrics: parents, ..settings(series) };
    let model = Model::new(settings);
    let from = test_start(series);
    let clock = LocalClock::new(series.zone, series.start - DAY_MINUTES, series.end() + DAY_MINUTES);
    let mut random = StdRng::seed_from_u64(seed);
    let mut starts: Vec<(Minute, usize)> = (0..INCIDENTS * FACTORS.len())
        .map(|number| (random.random_range(from + 60..series.end() - 90), number % FACTORS.len()))
        .collect();
    starts.sort_unstable();
    let mut walk = Walk {
        series,
        random,
        starts,
        history: series.history(from - HISTORY_DAYS * DAY_MINUTES, from),
        live: Live::new(from),
        episode: Episode::default(),
        onset: from,
        result: Incidents {
            pages_per_30_days: 0.0,
            pages: vec![],
            found: vec![Found::default(); 3],
            step_nanoseconds: 0.0,
        },
    };
    let mut minute = from;
    let (mut warm, mut steps) = (false, 0_u32);
    let mut spent = std::time::Duration::ZERO;
    while minute < series.end() {
        let day_end = clock.day_start(clock.day(minute) + 1).min(series.end());
        walk.history.forget_before(minute - HISTORY_DAYS * DAY_MINUTES);
        if let Ok(fitted) = model.fit(&walk.history, minute) {
            if !warm {
                walk.live = Live::warmed(&fitted, &walk.history, minute);
                warm = true;
            }
            let began = std::time::Instant::now();
            let mut injecting = std::time::Duration::ZERO;
            for minute in minute..day_end {
                let before = std::time::Instant::now();
                walk.inject(&fitted, minute, day_end);
                injecting += before.elapsed();
                walk.step(&fitted, minute);
            }
            spent += began.elapsed().saturating_sub(injecting);
            steps += u32::try_from(day_end - minute).unwrap_or(0);
        } else {
            (minute..day_end)
                .for_each(|minute| walk.history.push(walk.series.observation((minute - series.start) as usize)));
        }
        minute = day_end;
    }
    let days = (series.end() - from) as f64 / DAY_MINUTES as f64;
    walk.result.pages_per_30_days = walk.result.pages.len() as f64 / days * 30.0;
    walk.result.step_nanoseconds = spent.as_nanos() as f64 / f64::from(steps.max(1));
    walk.result
}

struct Walk<'a> {
    series: &'a Series,
    random: StdRng,
    starts: Vec<(Minute, usize)>,
    history: History,
    live: Live,
    episode: Episode,
    onset: Minute,
    result: Incidents,
}

impl Walk<'_> {
    fn seen(&self, minute: Minute) -> Option<Observation> {
        self.series.observation(usize::try_from(minute - self.series.start).unwrap_or(usize::MAX))
    }

    fn step(&mut self, fitted: &Fitted, minute: Minute) {
        let seen = self.seen(minute);
        self.history.push(seen);
        let score = self.live.step(fitted, minute, seen);
        match self.episode.advance(&score) {
            Some(EpisodeEvent::Opened) => {
                let (window, z) = score.breach.map_or((0, 0.0), |breach| (breach.window_minutes(), breach.z));
                self.result.pages.push((minute, window, z));
                self.open(fitted, &score);
            }
            Some(EpisodeEvent::Reopened) => self.open(fitted, &score),
            Some(EpisodeEvent::Closed) => {
                self.live.hold(false);
                self.live.forget(self.onset, minute + 1);
                self.history.mask(incident_mask(self.onset, minute));
            }
            None => {}
        }
    }

    fn open(&mut self, fitted: &Fitted, score: &Score) {
        self.live.hold(true);
        self.onset = began(fitted, &self.live, score).unwrap_or(score.minute);
    }

    /// Runs every incident that starts at this minute on a copy of the state.
    fn inject(&mut self, fitted: &Fitted, minute: Minute, day_end: Minute) {
        while self.starts.first().is_some_and(|start| start.0 <= minute) {
            let (start, factor) = self.starts.remove(0);
            // An incident is judged by one day's model, on minutes with data, and not inside a false page.
            if start < minute
                || !fitted.pages()
                || minute + INCIDENT_MINUTES + 12 > day_end
                || self.episode.is_open()
                || self.seen(minute).is_none()
            {
                continue;
            }
            let mut live = self.live.clone();
            let mut paged: Option<(Minute, Score)> = None;
            for at in minute..minute + INCIDENT_MINUTES + 12 {
                let seen = self.seen(at).map(|seen| thinned(seen, FACTORS[factor], &mut self.random));
                let score = live.step(fitted, at, seen);
                let found = &mut self.result.found[factor];
                if paged.is_none()
                    && score.breach.is_some_and(|b| b.direction == Direction::Down)
                    && at < minute + INCIDENT_MINUTES
                {
                    live.hold(true);
                    found.delays.push((at - minute + 1) as f64);
                    found.onset_at_page.extend(began(fitted, &live, &score).map(|onset| (onset - minute).abs() as f64));
                    paged = Some((at, score));
                } else if let Some((page, score)) = paged
                    && at == page + 10
                {
                    let later = Score { minute: at, ..score };
                    found.onset_later.extend(began(fitted, &live, &later).map(|onset| (onset - minute).abs() as f64));
                }
            }
            self.result.found[factor].injected += 1;
        }
    }
}

fn began(fitted: &Fitted, live: &Live, score: &Score) -> Option<Minute> {
    let noise = fitted.noise();
    let down = score.breach.is_none_or(|breach| breach.direction == Direction::Down);
    onset(fitted.settings().kind, &live.points(score.minute), down, noise.phi_total(), noise.unit)
        .map(|onset| onset.minute)
}

/// Each event survives with the probability `factor`; counts too large or not whole are scaled.
fn thinned(seen: Observation, factor: f64, random: &mut StdRng) -> Observation {
    let whole = seen.value >= 0.0 && seen.value.fract() == 0.0 && seen.value < 1e9;
    let value = if whole && factor > 0.0 {
        Binomial::new(seen.value as u64, factor).map_or(seen.value * factor, |events| events.sample(random) as f64)
    } else {
        seen.value * factor
    };
    if seen.exposure > 0.0 { Observation::ratio(value, seen.exposure) } else { Observation::count(value) }
}
