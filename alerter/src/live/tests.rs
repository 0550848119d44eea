//! Minutes of series whose truth is known: outages, drops, quiet weeks.

use chrono_tz::Tz;

use super::*;
use crate::{
    forecast::{Model, Settings},
    history::{DAY_MINUTES, Mask, MaskReason},
    onset::onset,
    score::{Episode, EpisodeEvent},
    simulated::{Drawn, MONDAY, Market, index},
};

/// Days of history before the first scored minute.
const HISTORY_DAYS: i64 = 42;

fn settings(direction: Direction) -> Settings {
    Settings::new(Kind::Count, direction, Tz::UTC)
}

fn fitted(settings: &Settings, drawn: &Drawn, minute: i64) -> Fitted {
    Model::new(settings.clone()).fit(&drawn.history(minute), MONDAY + minute).unwrap()
}

/// Delay in minutes and onset error of the page for an incident of an hour from `start`, on a copy of the state.
fn incident(fitted: &Fitted, live: &Live, drawn: &mut Drawn, start: i64, factor: f64) -> Option<(i64, i64)> {
    let mut live = live.clone();
    for minute in start..start + 60 {
        let seen = drawn.seen(minute, factor);
        let score = live.step(fitted, MONDAY + minute, Some(seen));
        if score.breach.is_some() {
            let points = live.points(MONDAY + minute);
            let began = onset(Kind::Count, &points, factor < 1.0, fitted.noise().phi_total(), 1.0).unwrap();
            return Some((minute - start + 1, began.minute - MONDAY - start));
        }
    }
    None
}

/// Share found within the hour, median delay and median onset error of incidents every 20 minutes of a day.
fn check_found(rate: f64, factor: f64, direction: Direction, found_min: f64, delay_max: i64) {
    let mut drawn = Market::new(rate, 21).draw(HISTORY_DAYS + 1);
    let today = HISTORY_DAYS * DAY_MINUTES;
    let fitted = fitted(&settings(direction), &drawn, today);
    let mut live = Live::warmed(&fitted, &drawn.history(today), MONDAY + today);
    let mut found = Vec::new();
    for minute in today..today + 22 * 60 {
        if minute % 20 == 17 {
            found.push(incident(&fitted, &live, &mut drawn, minute, factor));
        }
        let seen = drawn.seen(minute, 1.0);
        live.step(&fitted, MONDAY + minute, Some(seen));
    }
    let mut delays: Vec<i64> = found.iter().flatten().map(|incident| incident.0).collect();
    let mut errors: Vec<i64> = found.iter().flatten().map(|incident| incident.1.abs()).collect();
    delays.sort_unstable();
    errors.sort_unstable();
    let share = delays.len() as f64 / found.len() as f64;
    assert!(share >= found_min, "x {factor} at {rate}: {share} found");
    assert!(delays[delays.len() / 2] <= delay_max, "x {factor} at {rate}: delays {delays:?}");
    assert!(errors[errors.len() / 2] <= 1, "x {factor} at {rate}: onset errors {errors:?}");
}

#[test]
fn a_total_outage_is_found_within_minutes() {
    check_found(10.0, 0.0, Direction::Down, 1.0, 3);
    check_found(100.0, 0.0, Direction::Down, 1.0, 2);
    check_found(1000.0, 0.0, Direction::Down, 1.0, 2);
}

#[test]
fn a_half_drop_is_found_within_the_goals() {
    // The nights of this market hold three a minute.
    check_found(10.0, 0.5, Direction::Down, 0.85, 15);
    check_found(100.0, 0.5, Direction::Down, 1.0, 3);
    check_found(1000.0, 0.5, Direction::Down, 1.0, 2);
}

#[test]
fn a_drop_of_a_fifth_is_found_where_counts_allow() {
    check_found(100.0, 0.8, Direction::Down, 0.75, 20);
    check_found(1000.0, 0.8, Direction::Down, 0.9, 6);
}

#[test]
fn rises_page_when_watched_and_only_then() {
    check_found(100.0, 2.0, Direction::Both, 1.0, 3);
    let mut drawn = Market::new(100.0, 22).draw(HISTORY_DAYS + 1);
    let today = HISTORY_DAYS * DAY_MINUTES;
    let fitted = fitted(&settings(Direction::Down), &drawn, today);
    let live = Live::warmed(&fitted, &drawn.history(today), MONDAY + today);
    assert_eq!(incident(&fitted, &live, &mut drawn, today, 2.0), None);
}

/// Pages of quiet weeks after [`HISTORY_DAYS`], each day forecast at its midnight.
fn pages(settings: &Settings, drawn: &Drawn, days: i64) -> usize {
    let model = Model::new(settings.clone());
    let start = HISTORY_DAYS * DAY_MINUTES;
    let mut fitted = fitted(settings, drawn, start);
    let mut live = Live::warmed(&fitted, &drawn.history(start), MONDAY + start);
    let (mut episode, mut pages) = (Episode::default(), 0);
    for day in 0..days {
        let midnight = start + day * DAY_MINUTES;
        fitted = model.refit(&fitted, &drawn.history(midnight), MONDAY + midnight).unwrap();
        for minute in midnight..midnight + DAY_MINUTES {
            let seen = Observation::count(drawn.count[index(minute)]);
            let event = episode.advance(&live.step(&fitted, MONDAY + minute, Some(seen)));
            pages += usize::from(event == Some(EpisodeEvent::Opened));
            live.hold(episode.is_open());
        }
    }
    pages
}

#[test]
fn ten_metrics_page_falsely_at_most_once_a_week() {
    let rates = [0.5, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];
    let settings = Settings { parent_metrics: 10, ..settings(Direction::Both) };
    let weeks = 2;
    let total: usize = rates
        .iter()
        .zip(31..)
        .map(|(rate, seed)| pages(&settings, &Market::new(*rate, seed).draw(HISTORY_DAYS + 7 * weeks), 7 * weeks))
        .sum();
    assert!(total <= usize::try_from(weeks).unwrap(), "{total} pages in {weeks} weeks");
}

#[test]
fn a_restart_continues_where_it_was() {
    let drawn = Market::new(60.0, 41).draw(HISTORY_DAYS + 1);
    let today = HISTORY_DAYS * DAY_MINUTES;
    let fitted = fitted(&settings(Direction::Down), &drawn, today);
    let mut running = Live::warmed(&fitted, &drawn.history(today), MONDAY + today);
    for minute in today..today + 700 {
        running.step(&fitted, MONDAY + minute, Some(Observation::count(drawn.count[index(minute)])));
    }
    let restarted = Live::warmed(&fitted, &drawn.history(today + 700), MONDAY + today + 700);
    let (a, b) = (running.score(&fitted, MONDAY + today + 699), restarted.score(&fitted, MONDAY + today + 699));
    assert_eq!(a, b);
    assert_eq!(running.next_minute(), restarted.next_minute());
}

#[test]
fn skipped_minutes_are_no_data_and_late_ones_reopen() {
    let drawn = Market::new(60.0, 42).draw(HISTORY_DAYS + 1);
    let today = HISTORY_DAYS * DAY_MINUTES;
    let fitted = fitted(&settings(Direction::Down), &drawn, today);
    let seen = |minute: i64| Some(Observation::count(drawn.count[index(minute)]));
    let mut live = Live::warmed(&fitted, &drawn.history(today), MONDAY + today);
    let score = live.step(&fitted, MONDAY + today + 9, seen(today + 9));
    assert!(score.breach.is_none(), "nine minutes without data are no outage");
    assert!(score.z[1].abs() < 1e-12, "a window of which most is missing has no score");
    for minute in today..today + 9 {
        assert!(live.revise(&fitted, MONDAY + minute, seen(minute)));
    }
    let mut whole = Live::warmed(&fitted, &drawn.history(today), MONDAY + today);
    let expect = (today..today + 10).map(|minute| whole.step(&fitted, MONDAY + minute, seen(minute))).last().unwrap();
    let late = live.score(&fitted, MONDAY + today + 9);
    assert!(late.z.iter().zip(expect.z).all(|(a, b)| (a - b).abs() < 0.2), "{:?} against {:?}", late.z, expect.z);
    assert!(!live.revise(&fitted, MONDAY + today + 10, None), "the future is not revised");
    assert!(!live.revise(&fitted, MONDAY + today - 200, None), "nor what left the ring");
}

#[test]
fn suspicion_freezes_the_level_for_two_hours_and_an_incident_for_as_long_as_it_lasts() {
    let mut drawn = Market { wander_sd: 0.0, daily_sd: 0.0, ..Market::new(200.0, 43) }.draw(HISTORY_DAYS + 1);
    let today = HISTORY_DAYS * DAY_MINUTES + 600;
    let fitted = fitted(&settings(Direction::Down), &drawn, today);
    let mut live = Live::warmed(&fitted, &drawn.history(today), MONDAY + today);
    let before = live.level();
    let mut held = live.clone();
    held.hold(true);
    for minute in today..today + 300 {
        let seen = drawn.seen(minute, 0.6);
        let score = live.step(&fitted, MONDAY + minute, Some(seen));
        held.step(&fitted, MONDAY + minute, Some(seen));
        if (20..110).contains(&(minute - today)) {
            assert!(score.frozen && (live.level() - before).abs() < 0.03, "{} after {}", live.level(), minute - today);
        }
    }
    assert!((held.level() - before).abs() < 1e-9, "an open incident holds the level");
    assert!(live.level() < 0.75, "without one the cap lets the level go: {}", live.level());
}

#[test]
fn what_is_over_does_not_page_again() {
    let mut drawn = Market::new(100.0, 44).draw(HISTORY_DAYS + 1);
    let today = HISTORY_DAYS * DAY_MINUTES + 600;
    let fitted = fitted(&settings(Direction::Down), &drawn, today);
    let mut live = Live::warmed(&fitted, &drawn.history(today), MONDAY + today);
    for minute in today..today + 60 {
        let factor = if minute < today + 40 { 0.0 } else { 1.0 };
        let seen = drawn.seen(minute, factor);
        live.step(&fitted, MONDAY + minute, Some(seen));
    }
    let next = drawn.seen(today + 60, 1.0);
    assert!(live.clone().step(&fitted, MONDAY + today + 60, Some(next)).breach.is_some(), "three hours remember");
    live.forget(MONDAY + today, MONDAY + today + 45);
    assert!(live.step(&fitted, MONDAY + today + 60, Some(next)).breach.is_none());
}

#[test]
fn a_rate_of_a_few_an_hour_pages_by_the_time_since_the_last_event() {
    let mut drawn = Market::new(0.05, 45).draw(HISTORY_DAYS + 3);
    let today = HISTORY_DAYS * DAY_MINUTES;
    let fitted = fitted(&settings(Direction::Down), &drawn, today);
    let mut live = Live::warmed(&fitted, &drawn.history(today), MONDAY + today);
    let mut run = |live: &mut Live, from: i64, to: i64, factor: f64| {
        (from..to).find(|minute| {
            let seen = drawn.seen(*minute, factor);
            live.step(&fitted, MONDAY + minute, Some(seen)).breach.is_some()
        })
    };
    assert_eq!(run(&mut live, today, today + DAY_MINUTES, 1.0), None, "an ordinary day is quiet");
    let found = run(&mut live, today + DAY_MINUTES, today + 3 * DAY_MINUTES, 0.0).unwrap() - today - DAY_MINUTES;
    assert!((180..1440).contains(&found), "found after {found} minutes");
}

#[test]
fn midnight_does_not_count_twice_what_the_level_knew() {
    let mut drawn =
        Market { daily_sd: 0.0, wander_sd: 0.0, growth: 0.0, ..Market::new(500.0, 46) }.draw(HISTORY_DAYS + 2);
    let yesterday = HISTORY_DAYS * DAY_MINUTES;
    // From yesterday on there is a tenth more: no page, but the local level and the next forecast both learn it.
    drawn.count[index(yesterday)..].iter_mut().for_each(|count| *count = (*count * 1.1).round());
    let (model, settings) = (Model::new(settings(Direction::Down)), settings(Direction::Down));
    let midnight = yesterday + DAY_MINUTES;
    let first = fitted(&settings, &drawn, yesterday);
    let second = model.refit(&first, &drawn.history(midnight), MONDAY + midnight).unwrap();
    let mut live = Live::warmed(&first, &drawn.history(yesterday), MONDAY + yesterday);
    for minute in yesterday..midnight {
        live.step(&first, MONDAY + minute, Some(Observation::count(drawn.count[index(minute)])));
    }
    let score = live.step(&second, MONDAY + midnight, Some(Observation::count(drawn.count[index(midnight)])));
    let truth = drawn.mean[index(midnight)] * 1.1;
    assert!((score.mu / truth - 1.0).abs() < 0.03, "expected {} of {truth}", score.mu);
}

#[test]
fn ratios_and_sums_page_on_the_drops_that_hide_in_their_counts() {
    let drawn = Market::new(100.0, 47).draw(HISTORY_DAYS + 1);
    let today = HISTORY_DAYS * DAY_MINUTES;
    // 40 % of the exposure converts, then a tenth; the exposure itself goes on.
    let ratio = |minute: i64, share: f64| {
        let exposure = drawn.count[index(minute)];
        let wobble = [0.4, -0.6, 0.9, -0.2, -0.5][index(minute % 5)] * exposure.sqrt() * 0.5;
        Observation::ratio((exposure * share + wobble).round().clamp(0.0, exposure), exposure)
    };
    let sum = |minute: i64, basket: f64| {
        let events = drawn.count[index(minute)];
        Observation::sum(events * basket, events, events * basket * basket * 1.5)
    };
    let check =
        |kind: Kind, direction: Direction, usual: &dyn Fn(i64) -> Observation, broken: &dyn Fn(i64) -> Observation| {
            let mut history = History::new(MONDAY);
            (0..today).for_each(|minute| history.push(Some(usual(minute))));
            let fitted = Model::new(Settings::new(kind, direction, Tz::UTC)).fit(&history, MONDAY + today).unwrap();
            let mut live = Live::warmed(&fitted, &history, MONDAY + today);
            let quiet = (today..today + 720)
                .all(|minute| live.step(&fitted, MONDAY + minute, Some(usual(minute))).breach.is_none());
            assert!(quiet, "{kind:?} pages on an ordinary morning");
            let from = today + 720;
            let paged = (from..from + 60)
                .find(|minute| live.step(&fitted, MONDAY + minute, Some(broken(*minute))).breach.is_some());
            assert!(paged.is_some_and(|minute| minute - from < 5), "{kind:?} {direction:?}: {paged:?}");
        };
    check(Kind::Ratio, Direction::Down, &|minute| ratio(minute, 0.4), &|minute| ratio(minute, 0.1));
    check(Kind::Ratio, Direction::Up, &|minute| ratio(minute, 0.02), &|minute| ratio(minute, 0.2));
    check(Kind::Ratio, Direction::Down, &|minute| ratio(minute, 0.97), &|minute| ratio(minute, 0.7));
    check(Kind::Sum, Direction::Down, &|minute| sum(minute, 80.0), &|minute| sum(minute, 30.0));
}

#[test]
fn masked_history_warms_nothing() {
    let drawn = Market::new(60.0, 48).draw(HISTORY_DAYS);
    let today = HISTORY_DAYS * DAY_MINUTES;
    let fitted = fitted(&settings(Direction::Down), &drawn, today);
    let mut history = drawn.history(today);
    history.mask(Mask { from: MONDAY + today - 400, to: MONDAY + today, reason: MaskReason::Person, author: None });
    let live = Live::warmed(&fitted, &history, MONDAY + today);
    assert!(live.points(MONDAY + today - 1).is_empty());
    assert!((live.level() - 1.0).abs() < 1e-9);
}

#[test]
fn the_state_of_a_series_is_small() {
    let bytes = size_of::<Live>() + size_of::<[Slot; RING_MINUTES]>();
    assert!(bytes < 8192, "{bytes} bytes");
}

#[test]
fn the_lost_integral_holds_what_was_lost_and_little_more() {
    use crate::lost::lost;
    let mut drawn = Market::new(100.0, 49).draw(HISTORY_DAYS + 1);
    let today = HISTORY_DAYS * DAY_MINUTES;
    let fitted = fitted(&settings(Direction::Down), &drawn, today);
    let mut live = Live::warmed(&fitted, &drawn.history(today), MONDAY + today);
    let (mut inside, mut incidents) = (0, 0);
    for minute in today..today + 22 * 60 {
        if minute % 60 == 29 {
            let (level, noise) = (live.level(), fitted.noise());
            let c_slow = noise.c_slow[fitted.local_hour(MONDAY + minute)];
            let mut taken = 0.0;
            let points: Vec<Point> = (minute..minute + 60)
                .map(|at| {
                    let value = drawn.seen(at, 0.5).value;
                    taken += drawn.count[index(at)] - value;
                    let expected = fitted.rate(MONDAY + at) * level;
                    Point { minute: MONDAY + at, value, expected, exposure: 0.0 }
                })
                .collect();
            let loss = lost(points, noise.phi_total(), c_slow, noise.unit);
            inside += usize::from((loss.low..=loss.high).contains(&taken));
            incidents += 1;
        }
        live.step(&fitted, MONDAY + minute, Some(Observation::count(drawn.count[index(minute)])));
    }
    assert!(inside * 10 >= incidents * 9, "{inside} of {incidents} losses inside their interval");
}

#[test]
fn a_held_level_goes_back_to_the_day_ahead_forecast_within_hours() {
    let mut drawn = Market { wander_sd: 0.0, daily_sd: 0.0, ..Market::new(200.0, 44) }.draw(HISTORY_DAYS + 1);
    let today = HISTORY_DAYS * DAY_MINUTES + 600;
    let fitted = fitted(&settings(Direction::Down), &drawn, today);
    let mut live = Live::warmed(&fitted, &drawn.history(today), MONDAY + today);
    let mut step = |live: &mut Live, minute: i64, factor: f64| {
        let seen = drawn.seen(minute, factor);
        live.step(&fitted, MONDAY + minute, Some(seen))
    };
    for minute in today..today + 90 {
        step(&mut live, minute, 1.3);
    }
    let level = live.level();
    assert!(level > 1.2, "{level}");
    live.hold(true);
    let ratios: Vec<f64> = (today + 90..today + 90 + 720)
        .map(|minute| step(&mut live, minute, 0.5))
        .map(|score| score.mu / score.mu0)
        .collect();
    assert!((ratios[0] - level).abs() < 0.01, "held at first: {} of {level}", ratios[0]);
    assert!((ratios[179] - 1.0) < 0.4 * (level - 1.0), "after three hours {}", ratios[179]);
    assert!((ratios[719] - 1.0).abs() < 0.01, "after twelve {}", ratios[719]);
    live.hold(false);
    assert!((live.level() - 1.0).abs() < 0.01, "and it starts from there: {}", live.level());
}

#[test]
fn a_day_that_strays_widens_its_own_error_and_a_calm_one_does_not() {
    let mut drawn = Market { wander_sd: 0.02, daily_sd: 0.0, ..Market::new(300.0, 45) }.draw(HISTORY_DAYS + 1);
    let today = HISTORY_DAYS * DAY_MINUTES + 480;
    let fitted = fitted(&settings(Direction::Down), &drawn, today);
    let calm = Live::warmed(&fitted, &drawn.history(today), MONDAY + today);
    let (mut strayed, mut usual) = (calm.clone(), calm);
    // Rain comes and goes, 20 % up and down, each swing half an hour long and too short to page.
    for minute in today..today + 240 {
        let swing = if (minute / 30) % 2 == 0 { 1.2 } else { 0.85 };
        let (rainy, dry) = (drawn.seen(minute, swing), drawn.seen(minute, 1.0));
        strayed.step(&fitted, MONDAY + minute, Some(rainy));
        usual.step(&fitted, MONDAY + minute, Some(dry));
    }
    let after_drop = |live: &Live, drawn: &mut Drawn| {
        let mut live = live.clone();
        let scores = (today + 240..today + 250).map(|minute| {
            let seen = drawn.seen(minute, 0.7 * live.level());
            live.step(&fitted, MONDAY + minute, Some(seen)).fast_ratio
        });
        scores.collect::<Vec<f64>>().into_iter().fold(0.0, f64::max)
    };
    let (after_rain, after_sun) = (after_drop(&strayed, &mut drawn), after_drop(&usual, &mut drawn));
    assert!(after_rain < 0.9 * after_sun, "the same drop: {after_rain} after rain, {after_sun} after sun");
    assert!(after_sun > 1.0, "a calm day sees it: {after_sun}");
}
