//! MSTL (multiple seasonal-trend decomposition by LOESS) with exponential smoothing of what is left, as a rival.

use std::{borrow::Cow, error::Error};

use augurs_core::{Fit as _, Forecast, Predict as _};
use augurs_mstl::{FittedTrendModel, MSTLModel, TrendModel};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync + 'static>>;

/// Simple exponential smoothing (ETS(A,N,N)); its weight is the one with the least one-step error on the history.
#[derive(Debug)]
struct Smoothing;

#[derive(Debug)]
struct Smoothed {
    in_sample: Vec<f64>,
    level: f64,
}

impl TrendModel for Smoothing {
    fn name(&self) -> Cow<'_, str> {
        Cow::Borrowed("simple exponential smoothing")
    }

    fn fit(&self, y: &[f64]) -> Outcome<Box<dyn FittedTrendModel + Sync + Send>> {
        let mut best = (f64::INFINITY, Smoothed { in_sample: Vec::new(), level: f64::NAN });
        for step in 1..=30 {
            let alpha = f64::from(step) / 100.0;
            let (mut level, mut error) = (y.first().copied().unwrap_or(0.0), 0.0);
            let mut in_sample = Vec::with_capacity(y.len());
            for value in y {
                in_sample.push(level);
                error += (value - level).powi(2);
                level += alpha * (value - level);
            }
            if error < best.0 {
                best = (error, Smoothed { in_sample, level });
            }
        }
        Ok(Box::new(best.1))
    }
}

impl FittedTrendModel for Smoothed {
    fn predict_inplace(&self, horizon: usize, _: Option<f64>, forecast: &mut Forecast) -> Outcome<()> {
        forecast.point = vec![self.level; horizon];
        Ok(())
    }

    fn predict_in_sample_inplace(&self, _: Option<f64>, forecast: &mut Forecast) -> Outcome<()> {
        forecast.point.clone_from(&self.in_sample);
        Ok(())
    }

    fn training_data_size(&self) -> Option<usize> {
        Some(self.in_sample.len())
    }
}

/// Forecast of `count` hours from `at`, from the eight weeks before; daily and weekly seasons. NaN where impossible.
pub(crate) fn mstl(hours: &[f64], at: usize, count: usize) -> Vec<f64> {
    const WEEK: usize = 168;
    let mut history = hours[at.saturating_sub(8 * WEEK)..at].to_vec();
    // It knows no gaps: the week before stands in, then the last value.
    for hour in 0..history.len() {
        if history[hour].is_nan() {
            let week_ago = hour.checked_sub(WEEK).map_or(f64::NAN, |ago| history[ago]);
            let last = hour.checked_sub(1).map_or(f64::NAN, |ago| history[ago]);
            history[hour] = if week_ago.is_nan() { last } else { week_ago };
        }
    }
    let known = history.iter().position(|value| !value.is_nan()).unwrap_or(history.len());
    let history = &history[known..];
    if history.len() < 2 * WEEK + 1 {
        return vec![f64::NAN; count];
    }
    let fitted = MSTLModel::new(vec![24, WEEK], Smoothing).fit(history);
    let forecast = fitted.ok().and_then(|fitted| fitted.predict(count, None).ok());
    forecast.map_or(vec![f64::NAN; count], |forecast| forecast.point.iter().map(|point| point.max(0.0)).collect())
}
