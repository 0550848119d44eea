use super::*;

/// Friday 2026-11-20 12:00 UTC.
const FRIDAY_NOON: i64 = 29_752_560 - 29_752_560 % 1440 + 720;

fn rates() -> Rates {
    Rates::new(42, 60.0, FRIDAY_NOON)
}

#[test]
fn a_minute_is_the_same_whenever_it_is_asked() {
    let (first, again, other) = (rates(), rates(), Rates::new(43, 60.0, FRIDAY_NOON));
    let backwards: Vec<_> = (0..200).rev().map(|m| again.at(FRIDAY_NOON + m)).collect();
    for m in 0..200_usize {
        assert_eq!(first.at(FRIDAY_NOON + m as i64), backwards[199 - m]);
    }
    assert!((0..200).any(|m| other.at(FRIDAY_NOON + m).total() != first.at(FRIDAY_NOON + m).total()));
}

#[test]
fn the_week_averages_to_the_level_and_grows_by_one_percent() {
    let mean = |from: i64| (0..7 * 1440).step_by(10).map(|m| rates().expected(from + m)).sum::<f64>() / 1008.0;
    let this_week = mean(FRIDAY_NOON - 5040);
    assert!((57.0..63.0).contains(&this_week), "{this_week}");
    let growth = this_week / mean(FRIDAY_NOON - 5040 - 7 * 1440);
    assert!((growth - 0.01_f64.exp()).abs() < 1e-6, "{growth}");
}

#[test]
fn the_day_swings_but_no_hour_is_too_small_to_show_an_incident() {
    let day: Vec<f64> = (0..1440).map(|m| rates().expected(FRIDAY_NOON + m)).collect();
    let (low, high) = day.iter().fold((f64::MAX, 0.0_f64), |(low, high), &x| (low.min(x), high.max(x)));
    assert!((1.8..4.0).contains(&(high / low)), "swing {}", high / low);
    assert!(low > 20.0, "{low}");
    let steepest = day.windows(2).map(|pair| (pair[1] / pair[0] - 1.0).abs()).fold(0.0, f64::max);
    assert!(steepest < 0.02, "a step of {steepest} between two minutes");
}

#[test]
fn markets_sleep_at_their_own_night() {
    let share = |country: &str, minute: i64| {
        let index = MARKETS.iter().position(|market| market.country == country).unwrap();
        rates().at(minute).shares[index]
    };
    let midnight_utc = FRIDAY_NOON + 720 + 180;
    assert!(share("JP", midnight_utc) > 2.0 * share("JP", FRIDAY_NOON + 420));
    assert!(share("NL", midnight_utc) < 0.5 * share("NL", FRIDAY_NOON));
}

#[test]
fn counts_scatter_a_little_more_than_poisson() {
    let mut random = Random::of(5, 0, 0);
    let draws: Vec<f64> = (0..40_000).map(|_| f64::from(negative_binomial(50.0, &mut random))).collect();
    let mean = draws.iter().sum::<f64>() / 40_000.0;
    let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 40_000.0;
    assert!((49.5..50.5).contains(&mean), "{mean}");
    assert!((1.10..1.20).contains(&(variance / mean)), "{}", variance / mean);
}

#[test]
fn demand_wanders_slowly_and_stays_near_one() {
    let model = rates();
    let walk: Vec<f64> = (0..8 * 7 * 1440).step_by(30).map(|m| model.demand(FRIDAY_NOON - m).ln()).collect();
    let sd = (walk.iter().map(|x| x * x).sum::<f64>() / walk.len() as f64).sqrt();
    assert!((0.02..0.045).contains(&sd), "{sd}");
    let jump = (0..5000)
        .map(|m| (model.demand(FRIDAY_NOON + m + 1) / model.demand(FRIDAY_NOON + m) - 1.0).abs())
        .fold(0.0, f64::max);
    assert!(jump < 0.01, "{jump}");
}

#[test]
fn a_site_can_be_scaled_to_a_minute() {
    for hour in 0..24 {
        let minute = FRIDAY_NOON + hour * 60;
        let scaled = Rates::with_rate_at(9, minute, 67.0);
        assert!((scaled.rate(minute) - 67.0).abs() < 1e-9);
        let day = (0..1440).step_by(5).map(|m| scaled.expected(minute - m)).fold(0.0, f64::max);
        assert!(day < 67.0 * 3.5, "hour {hour} would make a day with {day} bookings a minute");
    }
}
