//! Minute by minute through the test days: false pages on the series as it is, and injected incidents.
//!
//! The test days run through [`alerter::backtest::Replay`], the rule that the product runs: each is scored by a model fitted at its
//! midnight, and what paged is masked. An injected incident starts from a copy of the live state, so that incidents do not disturb
//! each other, and thins the counts that came: nothing is calibrated on it.

use alerter::{
    backtest::{Page, Replay},
    forecast::{Fitted, Settings},
    history::{DAY_MINUTES, Minute, Observation},
    live::Live,
    lost::lost,
    onset::onset,
    score::{Direction, Episode, EpisodeEvent, Score},
    zone::LocalClock,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use rand_distr::{Binomial, Distribution};

use crate::{
    day_ahead::{HISTORY_DAYS, settings, test_start},
    ordinary::Ordinary,
    series::Series,
};

/// Factors of the injected incidents.
pub(crate) const FACTORS: [f64; 3] = [0.0, 0.5, 0.8];

/// Minutes an injected incident lasts.
const INCIDENT_MINUTES: i64 = 60;

/// Minutes followed after its end.
const RECOVERY_MINUTES: i64 = 90;

/// Incidents injected per factor.
const INCIDENTS: usize = 60;

/// What one factor showed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    injected: usize,
    /// Of which the model said before they began that they page within the hour, and how many of those did.
    promised: usize,
    promised_found: usize,
    delays: Vec<f64>,
    onset_at_page: Vec<f64>,
    onset_later: Vec<f64>,
    /// Paged incidents that were told over while they lasted.
    ended_early: usize,
    /// Minutes from their end to the close, of those that were followed so far.
    closed_after: Vec<f64>,
    /// Whether the interval of the loss held what was taken.
    loss_inside: Vec<bool>,
}

/// What the test days showed.
#[derive(Debug, Clone)]
pub(crate) struct Incidents {
    /// Pages per 30 days on the series as it is.
    pub(crate) pages_per_30_days: f64,
    /// The pages themselves.
    pub(crate) pages: Vec<Page>,
    /// Pages that began and paged on ordinary days, those days, and what was seen in them.
    pub(crate) ordinary: Ordinarily,
    /// Relative error of the expectation corrected by the last hour, median over the hours of the last day's model.
    pub(crate) c_fast: f64,
    /// Mean events a minute of the days judged.
    pub(crate) rate: f64,
    /// By factor, in the order of [`FACTORS`].
    pub(crate) found: Vec<Found>,
    /// Mean time of a minute's step.
    pub(crate) step_nanoseconds: f64,
}

/// What paged on ordinary days.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ordinarily {
    pub(crate) days: f64,
    pub(crate) pages: usize,
    /// Loss stated by those pages, and all that was seen.
    pub(crate) phantom: f64,
    pub(crate) seen: f64,
}

impl Found {
    /// What several showed together.
    pub(crate) fn pooled<'a>(all: impl Iterator<Item = &'a Self>) -> Self {
        all.fold(Self::default(), |mut sum, one| {
            sum.injected += one.injected;
            sum.promised += one.promised;
            sum.promised_found += one.promised_found;
            sum.ended_early += one.ended_early;
            sum.delays.extend(&one.delays);
            sum.onset_at_page.extend(&one.onset_at_page);
            sum.onset_later.extend(&one.onset_later);
            sum.closed_after.extend(&one.closed_after);
            sum.loss_inside.extend(&one.loss_inside);
            sum
        })
    }

    /// Share found within the hour; NaN when none could be injected.
    pub(crate) fn share(&self) -> f64 {
        self.delays.len() as f64 / self.injected as f64
    }

    /// Share of which the model said that they page within the hour, and the share found of those; NaN of none.
    pub(crate) fn promise(&self) -> (f64, f64) {
        (self.promised as f64 / self.injected as f64, self.promised_found as f64 / self.promised as f64)
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

    /// Quantile of the minutes from the end of an incident to its close.
    pub(crate) fn closed_after(&self, q: f64) -> f64 {
        quantile(&self.closed_after, q)
    }

    /// Share of the paged incidents that were told over while they lasted.
    pub(crate) fn ended_early(&self) -> f64 {
        self.ended_early as f64 / self.delays.len() as f64
    }

    /// Share of the paged incidents whose stated interval of the loss held what was taken.
    pub(crate) fn loss_inside(&self) -> f64 {
        self.loss_inside.iter().filter(|inside| **inside).count() as f64 / self.loss_inside.len() as f64
    }
}

pub(crate) fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = (q * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// Replays the test days; `parents` metrics share the promise of one false page a week.
pub(crate) fn judge(series: &Series, parents: u32, seed: u64) -> Incidents {
    let settings = Settings { parent_metrics: parents, ..settings(series) };
    let from = test_start(series);
    let clock = series.clock();
    let mut random = StdRng::seed_from_u64(seed);
    let mut starts: Vec<(Minute, usize)> = (0..INCIDENTS * FACTORS.len())
        .map(|number| (random.random_range(from + 60..series.end() - 90), number % FACTORS.len()))
        .collect();
    starts.sort_unstable();
    let mut injected = Injected { series, random, starts, found: vec![Found::default(); FACTORS.len()] };
    let past = series.history(from - HISTORY_DAYS * DAY_MINUTES, from);
    let mut replay = Replay::new(settings, past, from..series.end());
    let mut spent = std::time::Duration::ZERO;
    for minute in from..series.end() {
        replay.learn(minute);
        if let Some(fitted) = replay.fitted().cloned().filter(|_| !replay.is_open()) {
            let day_end = clock.day_start(clock.day(minute) + 1).min(series.end());
            injected.at(&fitted, replay.live(), minute, day_end);
        }
        let began = std::time::Instant::now();
        replay.step(minute, seen(series, minute));
        spent += began.elapsed();
    }
    let c_fast = replay.fitted().map_or(f64::NAN, |fitted| fitted.noise().c_fast_typical());
    let replayed = replay.finish();
    let days = (series.end() - from) as f64 / DAY_MINUTES as f64;
    Incidents {
        pages_per_30_days: replayed.pages.len() as f64 / days * 30.0,
        ordinary: ordinarily(series, from, &replayed.pages),
        c_fast,
        rate: series.value[index(series, from)..].iter().filter(|value| !value.is_nan()).sum::<f64>()
            / (days * DAY_MINUTES as f64),
        pages: replayed.pages,
        found: injected.found,
        step_nanoseconds: spent.as_nanos() as f64 / (series.end() - from) as f64,
    }
}

fn index(series: &Series, minute: Minute) -> usize {
    usize::try_from(minute - series.start).unwrap_or(usize::MAX)
}

pub(crate) fn seen(series: &Series, minute: Minute) -> Option<Observation> {
    series.observation(index(series, minute))
}

fn ordinarily(series: &Series, from: Minute, pages: &[Page]) -> Ordinarily {
    let ordinary = Ordinary::of(series);
    let mut all = Ordinarily::default();
    for hour in ordinary.hours(from) {
        let seen = &series.value[index(series, hour)..index(series, (hour + 60).min(series.end()))];
        all.days += 1.0 / 24.0;
        all.seen += seen.iter().filter(|value| !value.is_nan()).sum::<f64>();
    }
    for page in pages.iter().filter(|page| ordinary.holds_page(page)) {
        all.pages += 1;
        all.phantom += page.loss.lost;
    }
    all
}

struct Injected<'a> {
    series: &'a Series,
    random: StdRng,
    starts: Vec<(Minute, usize)>,
    found: Vec<Found>,
}

impl Injected<'_> {
    /// Runs every incident that starts at this minute on a copy of the state.
    fn at(&mut self, fitted: &Fitted, live: &Live, minute: Minute, day_end: Minute) {
        while self.starts.first().is_some_and(|start| start.0 <= minute) {
            let (start, factor) = self.starts.remove(0);
            // An incident is judged by one day's model, and on minutes with data.
            let fits = minute + INCIDENT_MINUTES + 12 <= day_end;
            let now = seen(self.series, minute).filter(|_| start == minute && fitted.pages() && fits);
            let Some(now) = now else { continue };
            let promised = promises(fitted, live, minute, &now, 1.0 - FACTORS[factor]);
            let before = self.found[factor].delays.len();
            self.run(fitted, live.clone(), minute, day_end, factor);
            let found = &mut self.found[factor];
            found.injected += 1;
            found.promised += usize::from(promised);
            found.promised_found += usize::from(promised && found.delays.len() > before);
        }
    }

    fn run(&mut self, fitted: &Fitted, mut live: Live, start: Minute, day_end: Minute, factor: usize) {
        let end = start + INCIDENT_MINUTES;
        let until = end + RECOVERY_MINUTES;
        let whole = until <= day_end;
        let (mut episode, mut paged, mut over): (Episode, Option<(Minute, Score)>, bool) = Default::default();
        let mut taken = 0.0;
        for at in start..until.min(day_end) {
            let was = seen(self.series, at);
            let now = if at < end { was.map(|was| thinned(was, FACTORS[factor], &mut self.random)) } else { was };
            if at < end {
                taken += was.zip(now).map_or(0.0, |(was, now)| was.value - now.value);
            }
            let score = live.step(fitted, at, now);
            let event = episode.advance(&score);
            live.hold(episode.is_open());
            let found = &mut self.found[factor];
            match (event, paged) {
                (Some(EpisodeEvent::Opened), None) if at < end && is_drop(&score) => {
                    found.delays.push((at - start + 1) as f64);
                    found.onset_at_page.extend(began(fitted, &live, &score).map(|onset| (onset - start).abs() as f64));
                    paged = Some((at, score));
                }
                // Pages after the end, and rises, are not this incident.
                (Some(EpisodeEvent::Opened), _) => return,
                (Some(EpisodeEvent::Closed), Some(_)) if at < end => {
                    found.ended_early += 1;
                    over = true;
                }
                (Some(EpisodeEvent::Closed), Some(_)) if !over => {
                    found.closed_after.push((at + 1 - end) as f64);
                    return;
                }
                _ => {}
            }
            let Some((page, first)) = paged else { continue };
            if at == page + 10 {
                let later = Score { minute: at, ..first };
                found.onset_later.extend(began(fitted, &live, &later).map(|onset| (onset - start).abs() as f64));
            }
            if at + 1 == end && !over {
                found.loss_inside.push(loss_holds(fitted, &live, &Score { minute: at, ..first }, taken));
            }
        }
        if whole && paged.is_some() && !over {
            self.found[factor].closed_after.push(f64::INFINITY);
        }
    }
}

/// True when the model says, before a drop begins, that it will page while it lasts.
fn promises(fitted: &Fitted, live: &Live, minute: Minute, seen: &Observation, drop: f64) -> bool {
    let exposure = if seen.exposure > 0.0 { seen.exposure } else { 1.0 };
    let expected = fitted.rate(minute) * exposure * live.level();
    fitted.sight(minute, expected).minutes(drop).is_some_and(|minutes| minutes <= INCIDENT_MINUTES as f64)
}

fn is_drop(score: &Score) -> bool {
    score.breach.is_some_and(|breach| breach.direction == Direction::Down)
}

fn began(fitted: &Fitted, live: &Live, score: &Score) -> Option<Minute> {
    let noise = fitted.noise();
    let down = score.breach.is_none_or(|breach| breach.direction == Direction::Down);
    onset(fitted.settings().kind, &live.points(score.minute), down, noise.phi_total(), noise.unit)
        .map(|onset| onset.minute)
}

fn loss_holds(fitted: &Fitted, live: &Live, score: &Score, taken: f64) -> bool {
    let noise = fitted.noise();
    let onset = began(fitted, live, score).unwrap_or(score.minute);
    let points = live.points(score.minute).into_iter().filter(|point| point.minute >= onset);
    let hour =
        LocalClock::new(fitted.settings().zone, onset - DAY_MINUTES, onset + DAY_MINUTES).minute_of_day(onset) / 60;
    let loss = lost(points, noise.phi_total(), noise.c_slow[hour], noise.unit);
    (loss.low..=loss.high).contains(&taken)
}

/// Each event survives with the probability `factor`; counts too large or not whole are scaled.
pub(crate) fn thinned(seen: Observation, factor: f64, random: &mut StdRng) -> Observation {
    let whole = seen.value >= 0.0 && seen.value.fract() == 0.0 && seen.value < 1e9;
    let value = if whole && factor > 0.0 {
        Binomial::new(seen.value as u64, factor).map_or(seen.value * factor, |events| events.sample(random) as f64)
    } else {
        seen.value * factor
    };
    if seen.exposure > 0.0 { Observation::ratio(value, seen.exposure) } else { Observation::count(value) }
}
