//! Worked numbers of the deviance, the gate, and episodes.

use super::*;

fn close(seen: f64, expected: f64, tolerance: f64) {
    assert!((seen - expected).abs() <= tolerance, "{seen} is not within {tolerance} of {expected}");
}

fn z(deviance: f64) -> f64 {
    (2.0 * deviance).sqrt()
}

#[test]
fn a_total_outage_does_not_saturate_as_a_gaussian_does() {
    // 200 expected, none seen, relative error 19 %: a Gaussian z is at most 1 / .19 = 5.3 whatever the traffic.
    close(200.0 / (200.0_f64 + (0.19_f64 * 200.0).powi(2)).sqrt(), 4.9, 0.1);
    close(z(count_deviance(0.0, 200.0, 1.0, 0.19)), 10.7, 0.2);
    close(z(count_deviance(0.0, 20_000.0, 1.0, 0.19)), 19.1, 0.2);
}

#[test]
fn without_model_error_the_deviance_is_poisson() {
    // y ln(y / m) - (y - m) at y = 50, m = 100.
    close(count_deviance(50.0, 100.0, 1.0, 0.0), 50.0 * 0.5_f64.ln() + 50.0, 1e-9);
    close(count_deviance(100.0, 100.0, 1.3, 0.05), 0.0, 1e-9);
    close(count_deviance(0.0, 10.0, 1.0, 0.0), 10.0, 1e-9);
}

#[test]
fn small_deviations_score_like_their_standard_deviations() {
    let sigma = (1.2 * 1e4_f64 + (0.03 * 1e4_f64).powi(2)).sqrt();
    close(z(count_deviance(1e4 - sigma, 1e4, 1.2, 0.03)), 1.0, 0.02);
    close(z(count_deviance(1e4 + sigma, 1e4, 1.2, 0.03)), 1.0, 0.02);
    let share_sigma = (1e4_f64 * 0.3 * 0.7).sqrt();
    close(z(ratio_deviance(3000.0 - share_sigma, 3000.0, 1e4, 1.0, 0.0)), 1.0, 0.02);
}

#[test]
fn small_shares_score_like_counts_and_failures_like_their_rate() {
    let (as_ratio, as_count) = (ratio_deviance(60.0, 100.0, 1e6, 1.2, 0.05), count_deviance(60.0, 100.0, 1.2, 0.05));
    close(z(as_ratio), z(as_count), 0.02);
    // 99.9 % of 10,000 succeed, 10 failures expected: 60 failures are seen as clearly as 60 rare events are.
    let failures = ratio_deviance(9_940.0, 9_990.0, 1e4, 1.0, 0.05);
    close(z(failures), z(count_deviance(60.0, 10.0, 1.0, 0.05)), 0.1);
    assert!(z(ratio_deviance(0.0, 9_000.0, 1e4, 1.0, 0.2)) > 10.0, "a success rate of zero is an outage");
}

#[test]
fn scores_are_signed_and_sums_count_in_baskets() {
    let spread = Spread { phi: 1.5, c: 0.05, unit: 1.0 };
    let sum = WindowSum { minutes: 10, value: 50.0, expected: 100.0, ..WindowSum::default() };
    let down = window_score(Kind::Count, &sum, spread);
    assert!(down < 0.0);
    assert!(window_score(Kind::Count, &WindowSum { value: 150.0, ..sum }, spread) > 0.0);
    let money = WindowSum { value: 50.0 * 80.0, expected: 100.0 * 80.0, ..sum };
    close(window_score(Kind::Sum, &money, Spread { unit: 80.0, ..spread }), down, 1e-9);
    close(window_score(Kind::Count, &WindowSum::default(), spread), 0.0, 0.0);
}

#[test]
fn the_gate_lets_only_large_deviations_page() {
    let window = |value| WindowSum { minutes: 10, value, expected: 1000.0, ..WindowSum::default() };
    assert!(!passes_gate(&window(900.0), 0.12));
    assert!(passes_gate(&window(880.0), 0.12));
    assert!(!passes_gate(&window(1100.0), 0.12));
    assert!(passes_gate(&window(1120.0), 0.12));
}

fn minute(minute: Minute, ratio: f64, fast_ratio: f64, window: usize) -> Score {
    let breach = (ratio >= 1.0).then_some(Breach {
        direction: Direction::Down,
        window_minutes: WINDOWS[window],
        z: 5.0,
        threshold: 5.0,
        seen: 0.0,
        expected: 1.0,
    });
    Score {
        minute,
        value: Some(1.0),
        exposure: None,
        mu0: 1.0,
        mu: 1.0,
        lower: 0.0,
        upper: 2.0,
        z: [0.0; WINDOW_COUNT],
        breach,
        burn: None,
        fast_ratio,
        ratio,
        frozen: false,
        recent: Recent { ratio: f64::INFINITY, ..Recent::default() },
    }
}

#[test]
fn an_episode_closes_after_fifteen_calm_minutes_and_merges_within_the_hour() {
    let mut episode = Episode::default();
    assert_eq!(episode.advance(&minute(0, 1.2, 1.2, 0)), Some(EpisodeEvent::Opened));
    assert_eq!(episode.advance(&minute(1, 0.7, 0.7, 0)), None, "not calm above half the threshold");
    for at in 2..16 {
        // The slow windows still remember; they did not open it.
        assert_eq!(episode.advance(&minute(at, 3.0, 0.1, 6)), None);
    }
    assert_eq!(episode.advance(&minute(16, 3.0, 0.1, 6)), Some(EpisodeEvent::Closed));
    assert!(!episode.is_open());
    assert_eq!(episode.advance(&minute(17, 0.2, 0.2, 0)), None);
    assert_eq!(episode.advance(&minute(70, 1.1, 1.1, 1)), Some(EpisodeEvent::Reopened));
}

#[test]
fn an_episode_of_a_slow_window_waits_for_it() {
    let mut episode = Episode::default();
    assert_eq!(episode.advance(&minute(0, 1.2, 0.2, 6)), Some(EpisodeEvent::Opened));
    assert!((1..60).all(|at| episode.advance(&minute(at, 0.9, 0.1, 6)).is_none()));
    let closed = (60..80).find_map(|at| episode.advance(&minute(at, 0.3, 0.1, 6)));
    assert_eq!(closed, Some(EpisodeEvent::Closed));
}

#[test]
fn minutes_without_data_do_not_calm() {
    let mut episode = Episode::default();
    episode.advance(&minute(0, 1.2, 1.2, 0));
    let silent = |at| Score { value: None, ..minute(at, 0.0, 0.0, 0) };
    assert!((1..60).all(|at| episode.advance(&silent(at)).is_none()));
    assert!(episode.is_open());
}
