use rand::{Rng, SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, Poisson};
use serde_json::json;

use super::*;
use crate::ledger::control::{Basis, Comparison, Group};

/// 2026-11-20T14:03Z in minutes.
const ONSET: i64 = 29_919_723;

fn onset() -> Onset {
    Onset { minute: ONSET, from: ONSET, to: ONSET, log_likelihood: 20.0, profile: vec![(ONSET, 1.0)] }
}

fn change(id: &str, kind: &str, minutes_before: i64, environment: Option<&str>) -> Change {
    let time = store::Timestamp::from_minutes(ONSET - minutes_before).to_rfc3339();
    Change::from_json(&json!({"id": id, "kind": kind, "time": time, "environment": environment, "target": id})).unwrap()
}

#[test]
fn timing_and_prior_agree_with_the_worked_example() {
    // Design, slices B3: "timing alone would say 47 / 39 / 11 / 0 %, unknown 3 %".
    let changes = [
        change("13", "experiment", 1, Some("production")),
        change("21", "experiment", 2, Some("production")),
        change("r", "deploy", 23, Some("production")),
        change("30", "experiment", -17, Some("production")),
    ];
    let ranking = rank(&onset(), &changes, Some("production"), &Evidence::default());
    let shares: Vec<f64> = ranking.suspects.iter().map(|suspect| (suspect.share * 100.0).round()).collect();
    assert_eq!(shares, [48.0, 39.0, 10.0]);
    assert!((ranking.suspects[0].timing_bits - 7.88).abs() < 0.01);
    assert!((ranking.unknown_share - 0.03).abs() < 0.005);
    assert_eq!(named(&ranking.suspects, ranking.unknown_share).len(), 2, "neither stands out by timing alone");
}

#[test]
fn another_environment_is_never_a_suspect() {
    let changes = [change("13", "experiment", 0, Some("staging")), change("7", "deploy", 20, None)];
    let ranking = rank(&onset(), &changes, Some("production"), &Evidence::default());
    assert_eq!(ranking.suspects.len(), 1);
    assert_eq!(ranking.suspects[0].change["id"], "7");
}

#[test]
fn without_a_change_near_the_cause_is_unknown() {
    assert_eq!(
        rank(&onset(), &[], Some("production"), &Evidence::default()),
        Ranking { suspects: Vec::new(), unknown_share: 1.0 }
    );
    let old = [change("old", "experiment", 60, Some("production"))];
    let ranking = rank(&onset(), &old, Some("production"), &Evidence::default());
    assert!(named(&ranking.suspects, ranking.unknown_share).is_empty(), "{ranking:?}");
    assert!(ranking.unknown_share > 0.9);
}

#[test]
fn an_announced_line_beats_an_inferred_one() {
    let mut inferred = change("a", "experiment", 0, None);
    inferred.inferred = true;
    let ranking = rank(&onset(), &[inferred, change("b", "experiment", 0, None)], None, &Evidence::default());
    assert_eq!(ranking.suspects[0].change["id"], "b");
    assert!((ranking.suspects.iter().map(|s| s.share).sum::<f64>() + ranking.unknown_share - 1.0).abs() < 1e-9);
}

/// Errors of exposed and control, before and since, of requests.
fn control(before: Option<[(f64, f64); 2]>, after: [(f64, f64); 2], excess: f64) -> Option<Control> {
    let groups = |groups: [(f64, f64); 2]| groups.map(|(errors, requests)| Group::events(errors, requests));
    let before = before.map(groups);
    let compared = Comparison { before, after: groups(after), basis: Basis::Requests, randomised: true };
    Control::judge(&compared, "e", "c", false, -excess)
}

#[test]
fn the_control_decides_the_worked_example() {
    // Design, slices B3: shares 99.95 % / .02 % / .02 % / 0, where timing alone says 47 / 39 / 11 / 0 %.
    let changes = [
        change("13", "experiment", 1, Some("production")),
        change("21", "experiment", 2, Some("production")),
        change("r", "deploy", 23, Some("production")),
        change("30", "experiment", -17, Some("production")),
    ];
    let mut evidence = Evidence::default();
    let harmed = control(Some([(24.0, 6e3), (216.0, 54e3)]), [(40.0, 1e3), (36.0, 9e3)], 36.0);
    evidence.controls.insert("13".into(), harmed.unwrap());
    let equal = control(Some([(120.0, 30e3), (120.0, 30e3)]), [(38.0, 5e3), (38.0, 5e3)], 36.0);
    evidence.controls.insert("21".into(), equal.unwrap());
    let ranking = rank(&onset(), &changes, Some("production"), &evidence);
    let best = &ranking.suspects[0];
    assert_eq!((best.id(), best.control_bits, best.wording.as_str()), ("13", 10.0, BY_CONTROL));
    assert!((best.share - 0.9995).abs() < 0.0001, "{}", best.share);
    let of = |id: &str| ranking.suspects.iter().find(|suspect| suspect.id() == id).unwrap();
    assert!(of("21").share < 0.0005 && of("21").control_bits < -1.5);
    assert_eq!(named(&ranking.suspects, ranking.unknown_share).len(), 1);
}

#[test]
fn an_acquitted_change_is_never_named_and_a_distant_one_only_by_its_control() {
    let near = [change("13", "experiment", 0, None)];
    let mut evidence = Evidence::default();
    let equal = control(Some([(4e3, 1e6), (4e3, 1e6)]), [(1e3, 1e5), (1e3, 1e5)], 1_200.0).unwrap();
    assert!(equal.acquits(), "{equal:?}");
    evidence.controls.insert("13".into(), equal);
    let ranking = rank(&onset(), &near, None, &evidence);
    assert_eq!(ranking.suspects[0].verdict, Verdict::Acquitted);
    assert!(named(&ranking.suspects, ranking.unknown_share).is_empty());
    let distant = [change("timeout", "config", 20, None)];
    let ranking = rank(&onset(), &distant, None, &Evidence::default());
    assert!(ranking.suspects[0].share > ranking.unknown_share, "{ranking:?}");
    assert!(named(&ranking.suspects, ranking.unknown_share).is_empty(), "only the clock speaks for it");
}

/// Right change first, of 600 incidents: by timing alone, and with the control.
fn simulated(seed: u64) -> (f64, f64) {
    let mut random = StdRng::seed_from_u64(seed);
    let (mut timed, mut controlled) = (0, 0);
    for _ in 0..600 {
        let at: Vec<i64> = (0..5).map(|_| random.random_range(0..120)).collect();
        let culprit = random.random_range(0..5);
        let lag = -5.0 * (1.0 - random.random::<f64>()).ln();
        #[expect(clippy::cast_possible_truncation, reason = "some minutes")]
        let onset_minute = ONSET - at[culprit] + lag.round() as i64;
        let harm = random.random_range(3.0..10.0);
        let mut evidence = Evidence::default();
        let mut changes = Vec::new();
        let exposed: Vec<f64> =
            (0..5).map(|_| (0.01_f64.ln() + random.random::<f64>() * 50.0_f64.ln()).exp()).collect();
        for (number, minutes_before) in at.iter().enumerate() {
            let id = number.to_string();
            changes.push(change(&id, "experiment", *minutes_before, None));
            let share = exposed[number];
            let mut errors = |requests: f64, factor: f64| {
                (Poisson::new((requests * 0.004 * factor).max(1e-9)).unwrap().sample(&mut random), requests)
            };
            // Independent assignment: the culprit's exposed are spread over both groups of every other change.
            let spread = 1.0 + exposed[culprit] * (harm - 1.0);
            let (in_exposed, in_control) = if number == culprit { (harm, 1.0) } else { (spread, spread) };
            let before = [errors(60e3 * share, 1.0), errors(60e3 * (1.0 - share), 1.0)];
            let after = [errors(10e3 * share, in_exposed), errors(10e3 * (1.0 - share), in_control)];
            let judged = control(Some(before), after, 10e3 * 0.004 * (spread - 1.0));
            evidence.controls.extend(judged.map(|judged| (id, judged)));
        }
        let profile = (-2..=2).map(|off| (onset_minute + off, 0.2)).collect();
        let onset =
            Onset { minute: onset_minute, from: onset_minute - 2, to: onset_minute + 2, log_likelihood: 9.0, profile };
        let first = |evidence: &Evidence| {
            let ranking = rank(&onset, &changes, None, evidence);
            ranking.suspects.first().is_some_and(|best| best.id() == culprit.to_string())
        };
        timed += u32::from(first(&Evidence::default()));
        controlled += u32::from(first(&evidence));
    }
    (f64::from(timed) / 600.0, f64::from(controlled) / 600.0)
}

#[test]
fn among_five_changes_the_control_finds_what_timing_misses() {
    // Design, slices B3: timing 71 %, timing with control 98 %.
    let (timed, controlled) = simulated(7);
    assert!((0.6..0.85).contains(&timed), "{timed}");
    assert!(controlled >= 0.93 && controlled > timed + 0.12, "{timed} {controlled}");
}
