//! What others do with an hourly series: last week, median of three weeks, the same moved by growth, Holt-Winters, MSTL.

/// Hours of a week.
const WEEK: usize = 168;

/// Day-ahead forecast of the 24 hours (or as many as asked) from `at`, from the hours before it; NaN where impossible.
pub(crate) type Forecaster = fn(&[f64], usize, usize) -> Vec<f64>;

/// The baselines by name.
pub(crate) const BASELINES: [(&str, Forecaster); 5] = [
    ("last week", last_week),
    ("median of 3 weeks", median_of_weeks),
    ("3 weeks + growth", growth),
    ("Holt-Winters", holt_winters),
    ("MSTL + ETS", crate::mstl::mstl),
];

fn weeks_ago(hours: &[f64], hour: usize, weeks: usize) -> f64 {
    hour.checked_sub(weeks * WEEK).and_then(|index| hours.get(index)).copied().unwrap_or(f64::NAN)
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut known: Vec<f64> = values.into_iter().filter(|value| !value.is_nan()).collect();
    known.sort_by(f64::total_cmp);
    match known.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => known[n / 2],
        n => f64::midpoint(known[n / 2 - 1], known[n / 2]),
    }
}

fn last_week(hours: &[f64], at: usize, count: usize) -> Vec<f64> {
    (at..at + count).map(|hour| weeks_ago(hours, hour, 1)).collect()
}

fn median_of_weeks(hours: &[f64], at: usize, count: usize) -> Vec<f64> {
    (at..at + count).map(|hour| median((1..=3).map(|weeks| weeks_ago(hours, hour, weeks)))).collect()
}

/// Median of three weekly offsets, each moved by how much the week before now grew over the week before that offset.
fn growth(hours: &[f64], at: usize, count: usize) -> Vec<f64> {
    let week_before = |end: usize| -> f64 {
        let known: Vec<f64> =
            hours[end.saturating_sub(WEEK)..end].iter().copied().filter(|value| !value.is_nan()).collect();
        known.iter().sum::<f64>() / known.len().max(1) as f64
    };
    let now = week_before(at);
    (at..at + count)
        .map(|hour| {
            median(
                (1..=3)
                    .filter(|weeks| at > weeks * WEEK)
                    .map(|weeks| (weeks_ago(hours, hour, weeks) + now - week_before(at - weeks * WEEK)).max(0.0)),
            )
        })
        .collect()
}

/// Additive, weekly season, no trend; level and season weights from a small grid by one-step error on the history.
fn holt_winters(hours: &[f64], at: usize, count: usize) -> Vec<f64> {
    let history = &hours[at.saturating_sub(8 * WEEK)..at];
    if history.len() < 2 * WEEK {
        return vec![f64::NAN; count];
    }
    let mut best = (f64::INFINITY, Vec::new());
    for alpha in [0.02, 0.1, 0.3] {
        for gamma in [0.1, 0.3, 0.5] {
            let (error, level, season) = smooth(history, alpha, gamma);
            if error < best.0 {
                let next = history.len();
                best = (error, (0..count).map(|ahead| (level + season[(next + ahead) % WEEK]).max(0.0)).collect());
            }
        }
    }
    best.1
}

fn smooth(history: &[f64], alpha: f64, gamma: f64) -> (f64, f64, Vec<f64>) {
    let first: Vec<f64> = history[..WEEK].to_vec();
    let known: Vec<f64> = first.iter().copied().filter(|value| !value.is_nan()).collect();
    let mut level = known.iter().sum::<f64>() / known.len().max(1) as f64;
    let mut season: Vec<f64> = first.iter().map(|value| if value.is_nan() { 0.0 } else { value - level }).collect();
    let mut error = 0.0;
    for (hour, value) in history.iter().enumerate().skip(WEEK).filter(|step| !step.1.is_nan()) {
        let slot = hour % WEEK;
        error += (value - level - season[slot]).abs();
        let before = level;
        level = alpha * (value - season[slot]) + (1.0 - alpha) * level;
        season[slot] = gamma * (value - before) + (1.0 - gamma) * season[slot];
    }
    (error, level, season)
}
