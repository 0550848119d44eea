//! Where ticks stand on the two axes.

use chrono::Timelike as _;

use crate::history::Minute;

/// Steps of a time axis, in minutes.
const TIME_STEPS: [i64; 12] = [2, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720, 1440];

/// Ticks of a value axis from 0: a round step that gives four or five of them, and the end of the axis.
pub(super) fn value_ticks(highest: f64) -> (Vec<f64>, f64) {
    if !(highest > 0.0 && highest.is_finite()) {
        return (vec![0.0, 1.0], 1.0);
    }
    let rough = highest / 4.0;
    let magnitude = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * magnitude).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    let ticks: Vec<f64> = (0..=10).map(|i| f64::from(i) * step).take_while(|tick| *tick <= highest * 1.001).collect();
    (ticks, highest.max(step))
}

/// Ticks of a time axis on round local times, at most seven, with their labels.
pub(super) fn time_ticks(from: Minute, to: Minute, zone: chrono_tz::Tz) -> Vec<(Minute, String)> {
    let step = TIME_STEPS.into_iter().find(|step| (to - from) / step < 7).unwrap_or(2 * 1440);
    let local =
        |minute: Minute| chrono::DateTime::from_timestamp(minute * 60, 0).unwrap_or_default().with_timezone(&zone);
    (from..=to)
        .filter(|minute| {
            let of_day = i64::from(local(*minute).hour() * 60 + local(*minute).minute());
            of_day.rem_euclid(step.min(1440)) == 0
        })
        .map(|minute| (minute, local(minute).format(if step < 1440 { "%H:%M" } else { "%-d %b" }).to_string()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!(value_ticks(83.0), (vec![0.0, 25.0, 50.0, 75.0], 83.0));
        assert_eq!(value_ticks(0.08).0.len(), 5);
        assert_eq!(value_ticks(f64::NAN), (vec![0.0, 1.0], 1.0));
        // 2026-11-20T14:10Z, in Amsterdam 15:10.
        let ticks = time_ticks(29_919_730, 29_919_730 + 70, chrono_tz::Europe::Amsterdam);
        let labels: Vec<&str> = ticks.iter().map(|(_, label)| label.as_str()).collect();
        assert_eq!(labels, ["15:15", "15:30", "15:45", "16:00", "16:15"]);
    }
}
