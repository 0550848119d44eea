//! The changes in memory: who was first, and which inferred line is the twin of which declared change. Pure.

use std::collections::HashMap;

use serde_json::Value;

use super::record::{Change, ChangeKind, ChangeStatus};

/// `source` of the lines that say what was turned off from an incident.
const OFF_SOURCE: &str = "yellowline";

#[derive(Debug, Default)]
pub(super) struct Ledger {
    by_id: HashMap<String, Change>,
    by_dedup_key: HashMap<String, String>,
}

impl Ledger {
    /// Rebuilds the ledger from the rows of `system.changes`, highest revision wins.
    pub(super) fn load(rows: Vec<Value>) -> Self {
        let mut ledger = Self::default();
        rows.into_iter().filter_map(Change::from_row).for_each(|change| ledger.put(change));
        ledger
    }

    pub(super) fn put(&mut self, change: Change) {
        if let Some(key) = &change.dedup_key {
            self.by_dedup_key.entry(key.clone()).or_insert_with(|| change.id.clone());
        }
        let newest = self.by_id.get(&change.id).is_none_or(|known| known.revision <= change.revision);
        if newest {
            self.by_id.insert(change.id.clone(), change);
        }
    }

    /// The change that came before with the same id or dedup key.
    pub(super) fn first_of(&self, change: &Change) -> Option<&Change> {
        let by_key = change.dedup_key.as_ref().and_then(|key| self.by_dedup_key.get(key));
        self.by_id.get(by_key.unwrap_or(&change.id))
    }

    /// True when a stored change already tells what `inferred` would.
    pub(super) fn explains(&self, inferred: &Change, within_s: i64) -> bool {
        self.by_id.contains_key(&inferred.id)
            || self.by_id.values().any(|change| {
                change.status != ChangeStatus::Merged
                    && is_twin(change, inferred)
                    && are_near(change, inferred, within_s)
            })
    }

    /// Lines of ours that a declared change now tells: what was inferred, and what was turned off from an incident.
    pub(super) fn twins<'a>(&'a self, declared: &'a Change, within_s: i64) -> impl Iterator<Item = &'a Change> {
        self.by_id.values().filter(move |change| {
            change.status != ChangeStatus::Merged
                && (change.inferred && is_twin(declared, change) || is_off_twin(declared, change))
                && are_near(declared, change, within_s)
        })
    }

    /// The declared change that tells already what a line of ours says was turned off.
    pub(super) fn declared_off(&self, off: &Change, within_s: i64) -> Option<&Change> {
        let twins = self.by_id.values().filter(|change| is_off_twin(change, off) && are_near(change, off, within_s));
        twins.min_by_key(|change| (change.instant(), change.id.clone()))
    }
}

fn are_near(one: &Change, other: &Change, within_s: i64) -> bool {
    (one.instant().0 - other.instant().0).abs() <= within_s * 1_000_000
}

/// The same (environment, service, target, value). What a declaration leaves open matches anything; its environment does not.
fn is_twin(declared: &Change, inferred: &Change) -> bool {
    let open_or_equal = |one: &Option<String>, other: &Option<String>| one.is_none() || other.is_none() || one == other;
    let same_place =
        declared.environment == inferred.environment && open_or_equal(&declared.service, &inferred.service);
    let same_thing = match inferred.kind {
        ChangeKind::Experiment => {
            let target = declared.experiment.as_ref().or(declared.target.as_ref());
            matches!(declared.kind, ChangeKind::Experiment | ChangeKind::Flag)
                && target == inferred.experiment.as_ref()
                && open_or_equal(&declared.variant, &inferred.variant)
        }
        _ => {
            let value = inferred.version.as_ref().or(inferred.rollout.as_ref());
            declared.kind == ChangeKind::Deploy
                && value.is_some()
                && [declared.version.as_ref(), declared.rollout.as_ref()].contains(&value)
        }
    };
    same_place && same_thing
}

/// True when a declared change reports what `off` says was turned off from here: the same thing, at no share or rolled back.
fn is_off_twin(declared: &Change, off: &Change) -> bool {
    let is_ours = |change: &Change| change.source == OFF_SOURCE;
    let open_or_equal = |one: &Option<String>, other: &Option<String>| one.is_none() || other.is_none() || one == other;
    let gradual = |change: &Change| matches!(change.kind, ChangeKind::Experiment | ChangeKind::Flag);
    let target = |change: &Change| change.experiment.clone().or_else(|| change.target.clone());
    let ended = if gradual(off) {
        gradual(declared) && declared.share == Some(0.0) && open_or_equal(&declared.variant, &off.variant)
    } else {
        declared.kind == off.kind
            && declared.status == ChangeStatus::RolledBack
            && open_or_equal(&declared.version, &off.version)
            && open_or_equal(&declared.rollout, &off.rollout)
    };
    is_ours(off)
        && !is_ours(declared)
        && !declared.inferred
        && declared.environment == off.environment
        && open_or_equal(&declared.service, &off.service)
        && target(declared) == target(off)
        && ended
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use store::{DatasetName, FirstSight, Timestamp};

    use super::{super::infer, *};

    const NOON: Timestamp = Timestamp(1_795_003_200_000_000);
    const QUARTER_S: i64 = 900;

    fn sight(dimension: &'static str, target: &str, value: &str) -> FirstSight {
        FirstSight {
            dataset: DatasetName::from_user("shop").unwrap(),
            dimension,
            environment: Some("production".into()),
            service: Some("web".into()),
            target: target.into(),
            value: value.into(),
            time: NOON,
            silent: false,
        }
    }

    fn declared(mut body: Value, minutes_before: i64) -> Change {
        body["time"] = NOON.plus_seconds(-60 * minutes_before).to_rfc3339().into();
        Change::declared(&body, NOON).unwrap()
    }

    #[test]
    fn a_declared_change_explains_its_first_sight_for_a_quarter_of_an_hour() {
        let inferred = infer::change(&sight("version", "service.version", "1.2"));
        let check = |body: Value, minutes: i64, expected: bool| {
            let mut ledger = Ledger::default();
            ledger.put(declared(body.clone(), minutes));
            assert_eq!(ledger.explains(&inferred, QUARTER_S), expected, "{body} {minutes} minutes before");
        };
        let deploy = json!({"kind": "deploy", "environment": "production", "service": "web", "version": "1.2"});
        check(deploy.clone(), 14, true);
        check(deploy, 16, false);
        check(json!({"kind": "deploy", "environment": "staging", "service": "web", "version": "1.2"}), 1, false);
        check(json!({"kind": "deploy", "environment": "production", "service": "api", "version": "1.2"}), 1, false);
        check(json!({"kind": "deploy", "environment": "production", "rollout": "1.2"}), 1, true);
        check(json!({"kind": "config", "environment": "production", "target": "1.2"}), 1, false);
    }

    #[test]
    fn a_late_declaration_finds_its_twins() {
        let mut ledger = Ledger::default();
        for variant in ["A", "B"] {
            ledger.put(infer::change(&sight("experiment", "13", variant)));
        }
        let activation = declared(json!({"experiment": "13", "environment": "production", "share": 0.8}), -2);
        let twins: Vec<_> = ledger.twins(&activation, QUARTER_S).cloned().collect();
        assert_eq!(twins.len(), 2);
        for twin in &twins {
            let merged = twin.merged_into(&activation.id);
            assert_eq!((merged.revision, merged.merged_into.as_deref()), (2, Some(activation.id.as_str())));
            ledger.put(merged);
        }
        assert_eq!(ledger.twins(&activation, QUARTER_S).count(), 0);
        let one_variant = declared(json!({"experiment": "14", "environment": "production"}), 0);
        assert_eq!(ledger.twins(&one_variant, QUARTER_S).count(), 0);
    }

    #[test]
    fn an_off_of_ours_is_told_by_a_declared_off_of_the_same_thing_only() {
        let check = |off: Value, body: Value, minutes: i64, expected: bool| {
            let mut ours = off;
            ours["source"] = OFF_SOURCE.into();
            let (off, declared) = (declared(ours, 0), declared(body.clone(), -minutes));
            let (mut before, mut after) = (Ledger::default(), Ledger::default());
            before.put(declared.clone());
            after.put(off.clone());
            assert_eq!(before.declared_off(&off, QUARTER_S).is_some(), expected, "{body}: the report came first");
            assert_eq!(after.twins(&declared, QUARTER_S).count() == 1, expected, "{body}: the report came later");
        };
        let experiment = json!({"experiment": "13", "variant": "B", "share": 0.0, "environment": "production"});
        let off = |share: f64| json!({"experiment": "13", "share": share, "environment": "production"});
        check(experiment.clone(), off(0.0), 1, true);
        check(
            experiment.clone(),
            json!({"kind": "flag", "target": "13", "share": 0, "environment": "production"}),
            -1,
            true,
        );
        check(experiment.clone(), off(0.8), -2, false);
        check(experiment.clone(), off(0.0), 16, false);
        check(experiment.clone(), json!({"experiment": "14", "share": 0, "environment": "production"}), 1, false);
        check(experiment, json!({"experiment": "13", "share": 0, "environment": "staging"}), 1, false);
        let deploy = json!({"service": "web", "version": "2.1", "environment": "production", "status": "rolled_back"});
        check(deploy.clone(), deploy.clone(), 3, true);
        let next = json!({"service": "web", "version": "2.2", "environment": "production"});
        check(deploy, next, 3, false);
    }

    #[test]
    fn repeats_are_known_by_id_and_by_dedup_key_also_after_loading() {
        let first = declared(json!({"title": "x", "dedup_key": "run-1"}), 0);
        let ledger = Ledger::load(vec![first.to_row()]);
        let again = declared(json!({"title": "x again", "dedup_key": "run-1"}), 0);
        assert_eq!(ledger.first_of(&again).unwrap().id, first.id);
        assert!(ledger.first_of(&declared(json!({"title": "x"}), 0)).is_none());
        assert!(ledger.first_of(&declared(json!({"title": "y", "id": first.id}), 0)).is_some());
    }
}
