//! Pages for the error budget: slow drops below the gate, and what such pages cost on ordinary days.

use std::sync::Arc;

use alerter::{
    backtest::Replay,
    burn::{BURN_LIMITS, Budget, burn},
    forecast::{Fitted, Settings},
    history::{DAY_MINUTES, Minute},
    score::{Direction, Episode, EpisodeEvent},
};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    day_ahead::{HISTORY_DAYS, settings, test_start},
    incidents::{seen, thinned},
    ordinary::Ordinary,
    series::Series,
};

/// The budget: half a percent of 28 days.
const SHARE: f64 = 0.005;

/// What is left of the counts in a slow drop: a tenth less, where the gate asks for 12 %.
const FACTOR: f64 = 0.9;

/// Minutes it lasts. On average it spends 18 % of the budget, where 5 % pages.
const DROP_MINUTES: i64 = 360;

/// Slow drops injected.
const DROPS: usize = 40;

/// What the budget of a series showed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Budgeted {
    /// Ordinary days judged, and pages on them for the budget alone.
    pub(crate) days: f64,
    pub(crate) pages: usize,
    /// Slow drops, those that paged for the budget while they lasted, and those that paged by a window of the score.
    pub(crate) injected: usize,
    pub(crate) by_budget: Vec<f64>,
    pub(crate) by_window: usize,
}

/// Replays the test days with a budget, and slow drops on copies of its state.
pub(crate) fn judge(series: &Series, seed: u64) -> Budgeted {
    let budget = Some(Budget { share: SHARE, limits: BURN_LIMITS });
    let settings = Settings { budget, ..settings(series) };
    let (from, clock, ordinary) = (test_start(series), series.clock(), Ordinary::of(series));
    let mut random = StdRng::seed_from_u64(seed);
    let latest = series.end() - DROP_MINUTES;
    let mut starts: Vec<Minute> = (0..DROPS).map(|_| random.random_range(from + 60..latest)).collect();
    starts.sort_unstable();
    let mut all = Budgeted::default();
    let past = series.history(from - HISTORY_DAYS * DAY_MINUTES, from);
    let mut replay = Replay::new(settings, past, from..series.end());
    for minute in from..series.end() {
        replay.learn(minute);
        // A drop is judged by one day's model.
        let within_day = clock.day(minute) == clock.day(minute + DROP_MINUTES);
        for _ in starts.iter().filter(|start| **start == minute && within_day && !replay.is_open()) {
            if let Some(fitted) = replay.fitted().filter(|fitted| fitted.pages()) {
                all.drop(series, fitted, &replay, minute, &mut random);
            }
        }
        replay.step(minute, seen(series, minute));
    }
    all.days = ordinary.hours(from).count() as f64 / 24.0;
    let pages = replay.finish().pages;
    all.pages = pages.iter().filter(|page| page.burn.is_some() && ordinary.holds_page(page)).count();
    all
}

impl Budgeted {
    /// Runs a slow drop on copies of the state.
    fn drop(&mut self, series: &Series, fitted: &Arc<Fitted>, replay: &Replay, start: Minute, random: &mut StdRng) {
        let (mut live, mut history, mut episode) =
            (replay.live().clone(), replay.history().clone(), Episode::default());
        self.injected += 1;
        for minute in start..start + DROP_MINUTES {
            let left = seen(series, minute).map(|was| thinned(was, FACTOR, random));
            history.set(minute, left);
            let mut score = live.step(fitted, minute, left);
            score.take_burn(burn(fitted, &history, minute), Direction::Down);
            if episode.advance(&score) != Some(EpisodeEvent::Opened) {
                continue;
            }
            match score.paging_burn() {
                Some(_) => self.by_budget.push((minute - start + 1) as f64),
                None => self.by_window += 1,
            }
            return;
        }
    }
}
