//! A first sight as an inferred change.

use serde_json::{Value, json};
use store::FirstSight;

use super::record::{Change, ChangeKind};

/// The line that a first sight draws unless something declared explains it.
pub(super) fn change(sight: &FirstSight) -> Change {
    let named = |wanted: &str| (sight.dimension == wanted).then(|| sight.value.clone());
    let is_experiment = sight.dimension == "experiment";
    let service = sight.service.as_deref().unwrap_or("service");
    let title = if is_experiment {
        format!("experiment {} variant {} first seen", sight.target, sight.value)
    } else {
        format!("{service} {} first seen", sight.value)
    };
    let key = format!(
        "inferred/{}/{}/{}/{}/{}",
        sight.environment.as_deref().unwrap_or_default(),
        sight.service.as_deref().unwrap_or_default(),
        sight.dimension,
        sight.target,
        sight.value
    );
    Change {
        id: format!("inferred-{:016x}", stable_hash(&key)),
        kind: if is_experiment { ChangeKind::Experiment } else { ChangeKind::Deploy },
        title,
        time: sight.time.to_rfc3339(),
        environment: sight.environment.clone(),
        service: sight.service.clone(),
        version: named("version"),
        rollout: named("rollout"),
        experiment: is_experiment.then(|| sight.target.clone()),
        variant: is_experiment.then(|| sight.value.clone()),
        target: Some(if is_experiment { sight.target.clone() } else { service.to_owned() }),
        source: "inferred".to_owned(),
        inferred: true,
        dedup_key: Some(key),
        ..Change::default()
    }
}

/// What makes two lines the same: a version and a rollout of one name are one deploy.
pub(super) fn identity(change: &Change) -> (Option<String>, Option<String>, Option<String>, Option<String>) {
    let value = change.variant.clone().or_else(|| change.version.clone()).or_else(|| change.rollout.clone());
    (change.environment.clone(), change.service.clone(), change.experiment.clone(), value)
}

/// The row of `system.first_seen`; it outlives retention, so that a value is new only once.
pub(super) fn first_seen_row(sight: &FirstSight) -> Value {
    json!({
        "time": sight.time.to_rfc3339(),
        "dataset": sight.dataset.as_str(),
        "dimension": sight.dimension,
        "environment": sight.environment,
        "service": sight.service,
        "target": sight.target,
        "value": sight.value,
    })
}

/// FNV-1a, 64 bit: the same on every machine and version, unlike the standard library's hasher.
fn stable_hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
