//! Seeded bugs in correlated traffic, and healthy traffic. Seeds and effects were fixed before the search was tuned.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringViewArray};

use benches::planted::Rows;

use super::*;
use crate::statistics::draws::{Draws, runs};

fn facts(rows: &Rows) -> Facts {
    let texts = |values: &Vec<String>| Arc::new(values.iter().map(Some).collect::<StringViewArray>()) as ArrayRef;
    let mut arrays: Vec<ArrayRef> = rows.columns.iter().map(|(_, values)| texts(values)).collect();
    arrays.push(Arc::new(Int64Array::from(rows.amount.clone())));
    let names: Vec<String> =
        rows.columns.iter().map(|(name, _)| *name).chain(["amount"]).map(ToOwned::to_owned).collect();
    let types: Vec<_> = arrays.iter().map(|array| array.data_type().clone()).collect();
    let (bad, users) = (BooleanArray::from(rows.bad.clone()), texts(&rows.users));
    // Two collectors, as two partitions would have it.
    let half = rows.bad.len() / 2;
    let collectors = [(0, half), (half, rows.bad.len() - half)].map(|(from, length)| {
        let mut collector = Collector::new(&types);
        let part: Vec<ArrayRef> = arrays.iter().map(|array| array.slice(from, length)).collect();
        collector.add(&bad.slice(from, length), &part, Some(&users.slice(from, length)), None);
        collector
    });
    Facts::merge(&names, collectors.into())
}

fn search(rows: &Rows) -> Vec<Cause> {
    causes(&facts(rows), &Options::default(), &|| false)
}

#[test]
fn planted_cuts_of_every_order_come_first() {
    let repeats = runs(6);
    let mut missed = Vec::new();
    for run in 0..repeats {
        let order = [1, 2, 3][usize::from(run % 3 == 1) + 2 * usize::from(run % 3 == 2)];
        let mut rows = Rows::of(run + 100, 12_000);
        let cut = rows.cut(run + 100, order);
        rows.fail(run, 0.004, &cut, 0.4);
        let found = search(&rows);
        let expect = rows.sql(&cut);
        let first = found.first();
        if !first.is_some_and(|first| first.predicate == expect || first.equivalents.contains(&expect)) {
            missed.push((run, expect, first.map(|first| first.predicate.clone())));
        }
    }
    assert!(missed.len() as u64 * 20 <= repeats, "{missed:#?}");
}

#[test]
fn healthy_traffic_is_left_alone() {
    let repeats = runs(6);
    let mut reported = Vec::new();
    for run in 0..repeats {
        let mut rows = Rows::of(run + 500, 12_000);
        rows.fail(run, 0.01, &[], 0.0);
        reported.extend(search(&rows).first().map(|cause| (run, cause.predicate.clone(), cause.score_bits)));
    }
    assert!(reported.len() as u64 * 20 <= repeats + 14, "{reported:#?}");
}

#[test]
fn two_bugs_are_two_causes_whose_parts_make_the_whole() {
    let mut rows = Rows::of(7, 20_000);
    let first = [("country", "jp".to_owned()), ("x1", "B".to_owned())];
    rows.fail(1, 0.002, &first, 0.5);
    let mut draws = Draws(3);
    for row in 0..rows.bad.len() {
        if rows.value("host", row) == "web-7" && draws.chance(0.1) {
            rows.bad[row] = true;
        }
    }
    let found = search(&rows);
    let predicates: Vec<&str> = found.iter().map(|cause| cause.predicate.as_str()).collect();
    assert_eq!(predicates.len(), 2, "{predicates:?}");
    assert!(predicates.contains(&"\"host\" = 'web-7'"), "{predicates:?}");
    assert!(found.iter().any(|cause| cause.predicate.contains("\"x1\" = 'B'")
        && (cause.predicate.contains("\"country\" = 'jp'") || cause.predicate.contains("\"currency\" = 'JPY'"))));
    let whole: f64 = found.iter().map(|cause| cause.explanatory_power).sum();
    assert!((0.9..=1.0).contains(&whole), "{whole}");
}

#[test]
fn a_range_of_a_number_is_found() {
    let mut rows = Rows::of(9, 12_000);
    let mut draws = Draws(4);
    for row in 0..rows.bad.len() {
        rows.bad[row] = draws.chance(if rows.amount[row] >= 896 { 0.3 } else { 0.004 });
    }
    let found = search(&rows);
    assert_eq!(found[0].predicate, "\"amount\" >= 896");
}

#[test]
fn a_cancelled_search_ends() {
    let mut rows = Rows::of(1, 2_000);
    rows.fail(1, 0.01, &[("x1", "B".to_owned())], 0.5);
    assert!(causes(&facts(&rows), &Options::default(), &|| true).is_empty());
}
