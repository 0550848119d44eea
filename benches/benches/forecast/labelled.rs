//! Windows that the source of a file calls anomalous: found or not, and what pages beside them.

use alerter::{
    backtest::replay,
    history::{DAY_MINUTES, Minute},
    score::Direction,
};

use crate::{
    day_ahead::{HISTORY_DAYS, settings},
    series::Series,
};

/// What the labelled windows of a series showed; both directions page, every day after the first eight weeks is judged.
#[derive(Debug, Clone)]
pub(crate) struct Labelled {
    /// Windows in the days judged.
    pub(crate) windows: usize,
    /// Windows with a page in them.
    pub(crate) found: usize,
    /// Pages a week outside of them.
    pub(crate) others_per_week: f64,
}

/// Judges a series with labels (minute counts); `None` when no window lies in the days judged.
pub(crate) fn judge(series: &Series) -> Option<Labelled> {
    let windows = windows(series);
    let days = (series.end() - series.start) / DAY_MINUTES;
    let from = series.start + DAY_MINUTES * HISTORY_DAYS.min(days / 2);
    let judged: Vec<&(Minute, Minute)> = windows.iter().filter(|window| window.0 >= from).collect();
    if judged.is_empty() {
        return None;
    }
    let settings = alerter::forecast::Settings { direction: Direction::Both, ..settings(series) };
    let history = series.history(series.start, series.end());
    let pages = replay(settings, &history, from..series.end()).pages;
    // A page belongs to a window if its incident touches it.
    let touches = |page: &alerter::backtest::Page, window: &(Minute, Minute)| {
        page.onset.minute < window.1 && page.closed.unwrap_or(series.end()).max(page.minute) >= window.0
    };
    let found = judged.iter().filter(|window| pages.iter().any(|page| touches(page, window))).count();
    let others = pages.iter().filter(|page| !windows.iter().any(|window| touches(page, window))).count();
    let weeks = (series.end() - from) as f64 / (7 * DAY_MINUTES) as f64;
    Some(Labelled { windows: judged.len(), found, others_per_week: others as f64 / weeks })
}

/// Runs of labelled steps; runs less than six hours apart are one.
fn windows(series: &Series) -> Vec<(Minute, Minute)> {
    let mut windows: Vec<(Minute, Minute)> = Vec::new();
    for (index, _) in series.label.iter().enumerate().filter(|step| *step.1) {
        let from = series.start + index as i64 * series.step;
        match windows.last_mut() {
            Some(last) if from - last.1 <= 360 => last.1 = from + series.step,
            _ => windows.push((from, from + series.step)),
        }
    }
    windows
}
