//! A handful of the incidents of the bench `suspects`, over HTTP through the whole pipeline.

#[path = "../../benches/suspects/court.rs"]
mod court;

use benches::blame::Court;
use court::{told, try_worlds};

#[test]
fn the_right_change_stands_first_among_its_decoys() {
    let folder = tempfile::tempdir().unwrap();
    let verdicts = try_worlds(Court::Mixed, 3, 6, folder.path()).unwrap();
    let wrong: Vec<_> = verdicts
        .iter()
        .filter(|one| if one.culprit.is_some() { !one.is_right() } else { !one.named.is_empty() })
        .map(told)
        .collect();
    assert!(verdicts.iter().any(|one| one.culprit.is_some()) && verdicts.iter().any(|one| one.culprit.is_none()));
    assert!(wrong.is_empty(), "{wrong:#?}");
}
