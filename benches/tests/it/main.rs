//! A handful of the incidents of the bench `suspects`, over HTTP through the whole pipeline.

#[path = "../../benches/suspects/court.rs"]
mod court;

use benches::blame::Court;
use court::{Verdict, told, try_worlds};

#[test]
fn the_right_change_stands_first_among_its_decoys() {
    let folder = tempfile::tempdir().unwrap();
    let verdicts = try_worlds(Court::Mixed, 3, 6, folder.path()).unwrap();
    let wrong: Vec<_> = verdicts.iter().filter(|one| !is_just(one)).map(told).collect();
    assert!(verdicts.iter().any(|one| one.culprit.is_some()) && verdicts.iter().any(|one| one.culprit.is_none()));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// With a control the change to blame stands first. A change that is fully on has none: then nobody else may be named. Where none is to
/// blame, none is named.
fn is_just(verdict: &Verdict) -> bool {
    match &verdict.culprit {
        Some(_) if verdict.cause != "full-on" => verdict.is_right(),
        culprit => verdict.named.iter().all(|named| Some(named) == culprit.as_ref()),
    }
}
