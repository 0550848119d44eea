//! Forecasts of series whose truth is known.

use std::sync::Arc;

use super::*;
use crate::{
    calendar::EventDay,
    history::{Mask, MaskReason},
    simulated::{Drawn, MONDAY, Market, index, shape},
    zone::weekday,
};

fn model(kind: Kind, zone: Tz) -> Model {
    Model::new(Settings::new(kind, Direction::Down, zone))
}

/// Hourly error of the day that begins at `minute` after [`MONDAY`], against the true mean.
fn day_error(fitted: &Fitted, drawn: &Drawn, minute: i64) -> f64 {
    let (mut error, mut total) = (0.0, 0.0);
    for hour in 0..24 {
        let from = minute + hour * 60;
        let truth: f64 = drawn.mean[index(from)..index(from + 60)].iter().sum();
        error += (fitted.interval(MONDAY + from, 60, 0.0).expected - truth).abs();
        total += truth;
    }
    error / total
}

fn spiked(drawn: &mut Drawn, from: i64, to: i64, factor: f64) {
    drawn.count[index(from)..index(to)].iter_mut().for_each(|count| *count = (*count * factor).round());
}

#[test]
fn shape_level_growth_noise_and_interval_are_recovered() {
    let drawn = Market { growth: 0.02, ..Market::new(100.0, 1) }.draw(50);
    let today = 49 * DAY_MINUTES;
    let fitted = model(Kind::Count, Tz::UTC).fit(&drawn.history(today), MONDAY + today).unwrap();
    let error = day_error(&fitted, &drawn, today);
    assert!(error < 0.06, "error of the day {error}");
    let growth = fitted.sources(MONDAY + today).growth_per_week.unwrap();
    assert!((growth - 0.02).abs() < 0.015, "growth {growth}");
    assert!((fitted.noise().phi - 1.3).abs() < 0.15, "phi {}", fitted.noise().phi);
    let c = fitted.noise().c_fast_typical();
    assert!((0.01..0.05).contains(&c), "c {c}");
    assert_eq!(fitted.readiness(), Readiness::Ready);
    let inside = (0..1440).filter(|minute| {
        let interval = fitted.interval(MONDAY + today + minute, 1, 0.0);
        (interval.lower..=interval.upper).contains(&drawn.count[index(today + minute)])
    });
    let coverage = inside.count() as f64 / 1440.0;
    assert!((0.92..0.99).contains(&coverage), "coverage {coverage}");
}

#[test]
fn fits_of_one_day_agree_and_a_refit_continues_them() {
    let drawn = Market::new(50.0, 2).draw(30);
    let model = model(Kind::Count, Tz::UTC);
    let midnight = 28 * DAY_MINUTES;
    let early = model.fit(&drawn.history(midnight), MONDAY + midnight).unwrap();
    let late = model.fit(&drawn.history(midnight + 700), MONDAY + midnight + 700).unwrap();
    let same = |a: &Fitted, b: &Fitted, from: i64| {
        (from..from + DAY_MINUTES).all(|minute| (a.rate(MONDAY + minute) - b.rate(MONDAY + minute)).abs() < 1e-6)
    };
    assert!(same(&early, &late, midnight));
    assert_eq!(early.thresholds(), late.thresholds());
    let tomorrow = midnight + DAY_MINUTES;
    let refitted = model.refit(&early, &drawn.history(tomorrow), MONDAY + tomorrow).unwrap();
    let fitted = model.fit(&drawn.history(tomorrow), MONDAY + tomorrow).unwrap();
    assert!(same(&refitted, &fitted, tomorrow), "a refit forecasts as a fit does");
    assert_eq!(refitted.thresholds(), early.thresholds());
}

#[test]
fn an_outage_last_week_hardly_spoils_this_week() {
    let clean = Market::new(100.0, 3).draw(44);
    let today = 42 * DAY_MINUTES;
    let (from, to) = (today - 7 * DAY_MINUTES, today - 6 * DAY_MINUTES);
    let model = model(Kind::Count, Tz::UTC);
    let error = |history: &History| day_error(&model.fit(history, MONDAY + today).unwrap(), &clean, today);
    let before = error(&clean.history(today));
    let mut broken = clean.clone();
    spiked(&mut broken, from, to, 0.0);
    let unmasked = error(&broken.history(today));
    let mut history = broken.history(today);
    history.mask(Mask { from: MONDAY + from, to: MONDAY + to, reason: MaskReason::Incident, author: None });
    let masked = error(&history);
    assert!(masked <= 1.10 * before, "{before} became {masked} with a mask");
    assert!(unmasked <= 1.20 * before, "{before} became {unmasked} without");
}

#[test]
fn past_outages_do_not_raise_the_thresholds() {
    let mut drawn = Market::new(40.0, 4).draw(43);
    let today = 42 * DAY_MINUTES;
    let model = model(Kind::Count, Tz::UTC);
    let clean = model.fit(&drawn.history(today), MONDAY + today).unwrap();
    spiked(&mut drawn, today - 9 * DAY_MINUTES, today - 7 * DAY_MINUTES - 600, 0.0);
    let fitted = model.fit(&drawn.history(today), MONDAY + today).unwrap();
    for (after, before) in fitted.thresholds().down.iter().zip(clean.thresholds().down) {
        assert!(*after < before + 0.5, "{before} became {after}");
    }
}

/// A market on Amsterdam's clock: the shape follows local time.
fn local_market(days: i64) -> (Vec<f64>, LocalClock) {
    let clock = LocalClock::new(Tz::Europe__Amsterdam, MONDAY, MONDAY + days * DAY_MINUTES);
    let rate = |minute: i64| 60.0 * shape(clock.local(MONDAY + minute) - MONDAY);
    ((0..days * DAY_MINUTES).map(|minute| rate(minute).round()).collect(), clock)
}

#[test]
fn clock_changes_move_the_day_and_not_the_forecast() {
    // 2024-03-31 is a day of 23 hours: the 90th day after 2024-01-01.
    let (counts, clock) = local_market(100);
    let model = model(Kind::Count, Tz::Europe__Amsterdam);
    for ahead in [-1, 0, 1, 2] {
        let day = clock.day(MONDAY + 90 * DAY_MINUTES + 720) + ahead;
        let (midnight, end) = (clock.day_start(day), clock.day_start(day + 1));
        let history = History::from_counts(MONDAY, 1, counts[..index(midnight - MONDAY)].iter().copied());
        let fitted = model.fit(&history, midnight).unwrap();
        let seen = |minute: Minute| counts[index(minute - MONDAY)];
        let error: f64 = (midnight..end).map(|minute| (fitted.rate(minute) - seen(minute)).abs()).sum();
        let total: f64 = (midnight..end).map(seen).sum();
        assert!(error / total < 0.02, "{} {ahead} days after the change", error / total);
    }
}

#[test]
fn history_needed_is_told_and_a_week_suffices() {
    let drawn = Market::new(50.0, 5).draw(16);
    let fit =
        |days: i64| model(Kind::Count, Tz::UTC).fit(&drawn.history(days * DAY_MINUTES), MONDAY + days * DAY_MINUTES);
    let learning = fit(1).unwrap_err();
    assert_eq!(learning.days, 1);
    assert_eq!(learning.forecasts_from, MONDAY + 2 * DAY_MINUTES);
    assert_eq!(learning.pages_from, MONDAY + 7 * DAY_MINUTES);
    assert_eq!(fit(3).unwrap().readiness(), Readiness::Learning { pages_from: MONDAY + 7 * DAY_MINUTES });
    let (week, fortnight) = (fit(7).unwrap(), fit(15).unwrap());
    assert!(week.pages() && fortnight.pages());
    let width = |fitted: &Fitted, day: i64| {
        let interval = fitted.interval(MONDAY + day * DAY_MINUTES + 720, 60, 0.0);
        (interval.upper - interval.lower) / interval.expected
    };
    assert!(width(&week, 7) > width(&fortnight, 15), "less history means a wider interval");
    assert!(day_error(&week, &drawn, 7 * DAY_MINUTES) < 0.15);
    assert!(Model::new(Settings::new(Kind::Count, Direction::Down, Tz::UTC)).fit(&History::new(0), 0).is_err());
}

#[test]
fn a_level_shift_is_taken_at_once_when_a_person_says_so() {
    let mut drawn = Market::new(100.0, 6).draw(44);
    let launch = 41 * DAY_MINUTES + 600;
    spiked(&mut drawn, launch, 44 * DAY_MINUTES, 1.8);
    let now = 42 * DAY_MINUTES + 600;
    let mut history = drawn.history(now);
    let model = model(Kind::Count, Tz::UTC);
    let seen: f64 = drawn.count[index(now)..index(now + 300)].iter().sum();
    let expected =
        |history: &History| model.fit(history, MONDAY + now).unwrap().interval(MONDAY + now, 300, 0.0).expected;
    let before = expected(&history) / seen;
    history.level_shift(MONDAY + launch);
    let after = expected(&history) / seen;
    assert!(before < 0.8, "a day of a new level is not believed by itself: {before}");
    assert!((after - 1.0).abs() < 0.1, "{after}");
}

#[test]
fn a_lasting_new_level_is_learnt_without_being_told() {
    let mut drawn = Market::new(100.0, 7).draw(44);
    spiked(&mut drawn, 35 * DAY_MINUTES, 44 * DAY_MINUTES, 1.5);
    let today = 42 * DAY_MINUTES;
    let fitted = model(Kind::Count, Tz::UTC).fit(&drawn.history(today), MONDAY + today).unwrap();
    let seen: f64 = drawn.count[index(today)..index(today + DAY_MINUTES)].iter().sum();
    let expected = fitted.interval(MONDAY + today, DAY_MINUTES, 0.0).expected;
    assert!((expected / seen - 1.0).abs() < 0.1, "{}", expected / seen);
}

#[test]
fn event_days_follow_their_past_years_or_a_sunday() {
    // Thursday of the 8th week is an event with 40 % of the demand; a year of 52 weeks later again.
    let (event, year) = (7 * 7 + 3, 364);
    let mut drawn = Market { growth: 0.0, ..Market::new(20.0, 8) }.draw(event + year + 1);
    for day in [event, event + year] {
        spiked(&mut drawn, day * DAY_MINUTES, (day + 1) * DAY_MINUTES, 0.4);
    }
    let first = LocalDay::try_from(MONDAY / DAY_MINUTES).unwrap();
    let named =
        |day: i64| EventDay { day: first + i32::try_from(day).unwrap(), name: "Holiday".into(), scope: String::new() };
    let mut settings = Settings::new(Kind::Count, Direction::Down, Tz::UTC);
    let total = |settings: &Settings, day: i64| {
        let now = MONDAY + day * DAY_MINUTES;
        let fitted = Model::new(settings.clone()).fit(&drawn.history(day * DAY_MINUTES), now).unwrap();
        let seen: f64 = drawn.count[index(day * DAY_MINUTES)..index((day + 1) * DAY_MINUTES)].iter().sum();
        (fitted.interval(now, DAY_MINUTES, 0.0).expected / seen, fitted)
    };
    let (unknown, _) = total(&settings, event + year);
    assert!(unknown > 2.0, "an unknown holiday is forecast as its weekday: {unknown}");
    settings.calendar = Arc::new(Calendar::new(vec![named(event), named(event + year)]));
    let (sunday, fitted) = total(&settings, event);
    assert!((1.5..2.4).contains(&sunday), "without past years it is a Sunday: {sunday}");
    assert_eq!(fitted.sources(MONDAY + event * DAY_MINUTES).last_year, None);
    let (known, fitted) = total(&settings, event + year);
    assert!((known - 1.0).abs() < 0.12, "with a past year it is that year's factor: {known}");
    let sources = fitted.sources(MONDAY + (event + year) * DAY_MINUTES);
    assert_eq!(sources.event.as_deref(), Some("Holiday"));
    assert!(sources.last_year.is_some_and(|day| day.entered && (day.relative_level - 0.4).abs() < 0.06));
}

#[test]
fn sources_say_what_entered() {
    let drawn = Market::new(60.0, 9).draw(43);
    let today = 42 * DAY_MINUTES;
    let mut history = drawn.history(today);
    history.mask(Mask {
        from: MONDAY + today - 7 * DAY_MINUTES,
        to: MONDAY + today - 6 * DAY_MINUTES,
        reason: MaskReason::Person,
        author: Some("ops".into()),
    });
    let fitted = model(Kind::Count, Tz::UTC).fit(&history, MONDAY + today).unwrap();
    let sources = fitted.sources(MONDAY + today);
    assert_eq!(sources.last_week, None, "a masked day speaks for nothing");
    assert!(sources.last_month.is_some_and(|day| day.entered && (day.relative_level - 1.0).abs() < 0.2));
    assert_eq!(sources.last_year, None, "there is no last year");
}

#[test]
fn weekends_lie_where_the_data_puts_them() {
    // Fridays and Saturdays are quiet, Sundays are workdays.
    let rate = |minute: i64| {
        let quiet = (4..=5).contains(&(minute / DAY_MINUTES % 7));
        if quiet {
            20.0 * shape(5 * DAY_MINUTES + (minute + 240) % DAY_MINUTES)
        } else {
            60.0 * shape(minute % DAY_MINUTES)
        }
    };
    let counts: Vec<f64> = (0..57 * DAY_MINUTES).map(|minute| rate(minute).round()).collect();
    for target in 49..56 {
        let now = target * DAY_MINUTES;
        let history = History::from_counts(MONDAY, 1, counts[..index(now)].iter().copied());
        let fitted = model(Kind::Count, Tz::UTC).fit(&history, MONDAY + now).unwrap();
        let error: f64 = (now..now + DAY_MINUTES).map(|m| (fitted.rate(MONDAY + m) - counts[index(m)]).abs()).sum();
        let total: f64 = counts[index(now)..index(now + DAY_MINUTES)].iter().sum();
        assert!(error / total < 0.03, "weekday {}: {}", weekday(i32::try_from(target).unwrap() - 3), error / total);
    }
}

#[test]
fn ratios_forecast_the_share_whatever_the_exposure() {
    let drawn = Market::new(80.0, 10).draw(36);
    let today = 35 * DAY_MINUTES;
    let mut history = History::new(MONDAY);
    for minute in 0..today {
        let exposure = drawn.count[index(minute)];
        // 30 % convert, 20 % at night.
        let share = if minute % DAY_MINUTES < 360 { 0.2 } else { 0.3 };
        let wobble = f64::from(u32::try_from(minute * 7919 % 101).unwrap()) / 101.0 - 0.5;
        history.push(Some(Observation::ratio((exposure * share + wobble).round().clamp(0.0, exposure), exposure)));
    }
    let fitted = model(Kind::Ratio, Tz::UTC).fit(&history, MONDAY + today).unwrap();
    let share = |hour: i64| fitted.rate(MONDAY + today + hour * 60);
    assert!((share(3) - 0.2).abs() < 0.02 && (share(12) - 0.3).abs() < 0.02, "{} {}", share(3), share(12));
    let interval = fitted.interval(MONDAY + today + 720, 60, 6000.0);
    assert!((interval.expected / 1800.0 - 1.0).abs() < 0.05);
    assert!(interval.upper <= 6000.0);
}

#[test]
fn sums_vary_with_their_baskets_and_samples_with_their_rate() {
    let drawn = Market::new(40.0, 11).draw(29);
    let today = 28 * DAY_MINUTES;
    let (mut sums, mut sampled) = (History::new(MONDAY), History::new(MONDAY));
    for minute in 0..today {
        let events = drawn.count[index(minute)];
        // Baskets of 50 and 150 in turn: mean 100, E[v^2] / E[v]^2 = 1.25.
        sums.push(Some(Observation::sum(events * 100.0, events, events * 12_500.0)));
        sampled.push(Some(Observation::sampled(events * 10.0, events * 100.0)));
    }
    let fit = |kind, history: &History| model(kind, Tz::UTC).fit(history, MONDAY + today).unwrap();
    let sums = fit(Kind::Sum, &sums);
    assert!((sums.noise().unit - 100.0).abs() < 1e-6 && (sums.noise().basket - 1.25).abs() < 1e-3);
    let sampled = fit(Kind::Count, &sampled);
    assert!((sampled.noise().unit - 1.0).abs() < 1e-9 && (sampled.noise().basket - 10.0).abs() < 1e-3);
    assert!(sampled.noise().phi_total() >= 10.0, "variance of an estimate is the rate times the estimate");
}

#[test]
fn coarse_history_keeps_its_hours() {
    let counts: Vec<f64> = (0..56 * 24).map(|hour| (6000.0 * shape(hour * 60)).round()).collect();
    let history = History::from_counts(MONDAY, 60, counts.iter().copied());
    let now = MONDAY + 56 * DAY_MINUTES;
    let fitted = model(Kind::Count, Tz::UTC).fit(&history, now).unwrap();
    for hour in 0..24 {
        let expected = fitted.interval(now + hour * 60, 60, 0.0).expected;
        let truth = 6000.0 * shape(hour * 60);
        assert!((expected / truth - 1.0).abs() < 0.03, "hour {hour}: {expected} for {truth}");
    }
}

#[test]
fn a_saturday_without_one_before_it_is_forecast_like_a_sunday_and_no_workday() {
    let drawn = Market { growth: 0.0, ..Market::new(100.0, 4) }.draw(13);
    let (first, second) = (5 * DAY_MINUTES, 12 * DAY_MINUTES);
    let mut history = drawn.history(second);
    let (from, to) = (MONDAY + first, MONDAY + first + DAY_MINUTES);
    history.mask(Mask { from, to, reason: MaskReason::Incident, author: None });
    let fitted = model(Kind::Count, Tz::UTC).fit(&history, MONDAY + second).unwrap();
    let total = |rate: &dyn Fn(i64) -> f64| (second..second + DAY_MINUTES).map(rate).sum::<f64>();
    let (expected, truth) = (total(&|at| fitted.rate(MONDAY + at)), total(&|at| drawn.mean[index(at)]));
    // Weekends of this market are a fifth below its workdays.
    assert!((expected / truth - 1.0).abs() < 0.1, "{expected} for {truth}");
}
