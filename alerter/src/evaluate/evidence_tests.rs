use super::*;

fn sums(before: [(f64, f64); 2], after: [(f64, f64); 2], before_minutes: i64, of_units: bool) -> ExposedSums {
    let group = |(value, trials): (f64, f64)| GroupSums { value, squares: value, trials };
    let after = after.map(group);
    ExposedSums {
        before: before.map(group),
        after,
        matched: after,
        shares: vec![Some(0.5); 10],
        before_minutes,
        of_units,
    }
}

const NONE: [(f64, f64); 2] = [(0.0, 0.0); 2];

fn whole(seen: f64, expected: f64) -> Whole {
    Whole { seen, expected, down: true }
}

#[test]
fn groups_with_a_past_are_their_own_measure() {
    let sums = sums([(600.0, 1e3), (600.0, 1e3)], [(40.0, 90.0), (100.0, 150.0)], 60, true);
    let compared = on_basis(&sums, Some(0.5), &whole(140.0, 200.0), false, true).unwrap();
    assert_eq!(compared.basis, Basis::Before);
    let (delta, _) = compared.log_ratio().unwrap();
    assert!((delta - 0.4_f64.ln()).abs() < 0.02, "traffic that went away is not divided away: {delta}");
}

#[test]
fn people_are_the_trials_of_a_fresh_experiment() {
    let sums = sums(NONE, [(30.0, 500.0), (100.0, 500.0)], 0, true);
    let compared = on_basis(&sums, Some(0.5), &whole(130.0, 200.0), false, true).unwrap();
    assert_eq!((compared.basis, compared.before), (Basis::Units, None));
}

#[test]
fn those_who_vanished_are_part_of_the_damage() {
    // Half of all people were assigned; a tenth of them is ever seen, and the control has what is expected of half.
    let vanished = sums(NONE, [(10.0, 60.0), (100.0, 600.0)], 0, true);
    let compared = on_basis(&vanished, Some(0.5), &whole(110.0, 200.0), false, true).unwrap();
    assert_eq!(compared.basis, Basis::Share);
    assert!(compared.log_ratio().unwrap().0 < -2.0);
    // The announced share is simply wrong: the control has all that is expected.
    let wrong = sums(NONE, [(10.0, 60.0), (140.0, 840.0)], 0, true);
    let compared = on_basis(&wrong, Some(0.5), &whole(150.0, 200.0), false, true).unwrap();
    assert_eq!(compared.basis, Basis::Units);
    assert!(compared.log_ratio().unwrap().0.abs() < 0.1);
}

#[test]
fn events_that_are_the_metric_itself_are_no_denominators() {
    let searches = sums(NONE, [(300.0, 300.0), (600.0, 600.0)], 0, false);
    let with = |announced| on_basis(&searches, announced, &whole(900.0, 1_200.0), false, true);
    assert_eq!(with(Some(0.5)).unwrap().basis, Basis::Share);
    // Without an announced share they may convict, but not acquit.
    assert_eq!(with(None).unwrap().basis, Basis::Requests);
    let change = crate::change::Change::from_json(&serde_json::json!({
        "id": "c", "kind": "deploy", "service": "web", "version": "2.1", "time": "2026-11-20T14:02:00Z",
    }));
    let change = change.unwrap();
    let exposure = crate::exposure::exposure(&change, change.time.minutes()).unwrap();
    let candidate = Candidate { change: &change, exposure };
    let judged = |sums: &ExposedSums| judge(&candidate, sums, &whole(900.0, 1_200.0), false);
    assert!(judged(&searches).is_none());
    let failing = sums(NONE, [(150.0, 300.0), (600.0, 600.0)], 0, false);
    assert!(judged(&failing).is_some_and(|control| control.bits > 5.0));
    let requests = sums(NONE, [(30.0, 300.0), (100.0, 600.0)], 0, false);
    assert_eq!(on_basis(&requests, None, &whole(130.0, 200.0), false, false).unwrap().basis, Basis::Requests);
}

#[test]
fn the_exposed_share_of_each_minute_is_the_dose() {
    let point = |minute, value| Point { minute, value, expected: 10.0, exposure: 0.0 };
    let points = [point(100, 9.0), point(101, f64::NAN), point(102, 7.0)];
    let dosed = dosed(&points, &[Some(0.1), Some(0.2), None, Some(0.4)], 100);
    assert_eq!(dosed, [Dosed { share: 0.1, seen: 9.0, expected: 10.0 }]);
}
