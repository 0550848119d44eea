//! How the raw events tell those exposed to a change from those who are not. Pure.
//!
//! | change | exposed | control | belongs to |
//! |---|---|---|---|
//! | experiment, flag | `experiments.<name>` is its variant | another variant | people |
//! | with `selector` (hosts, a country, a canary pool) | the selector holds | it does not | events |
//! | deploy with version or rollout | the new one, of its service | any other of its service | events |
//! | anything else | everybody | nobody: no control | |
//!
//! A selector is an SQL condition over the events of the metric's dataset. Not seen: exposures that only another service's events carry
//! (a canary of a service behind the one that counts the metric), and flags whose evaluations are events of their own.

use query::Exposure;
use store::Timestamp;

use crate::{
    change::{Change, ChangeKind},
    history::Minute,
};

/// A change as old as this before the onset has groups with a past of their own.
const SETTLED_MINUTES: i64 = 10;

/// A variant when the change names none.
const VARIANT: &str = "B";

/// How to tell the groups of a change apart around an onset; `None` when its kind leaves nobody unexposed.
#[must_use]
pub fn exposure(change: &Change, onset: Minute) -> Option<Exposure> {
    let (exposed, control, by_unit, always) = conditions(change)?;
    let at = change.time.minutes();
    let before_from = if always {
        Some(Minute::MIN / 2)
    } else {
        // The minute of the change itself holds events of both states.
        (onset - at > SETTLED_MINUTES).then_some(at + 1)
    };
    Some(Exposure { exposed, control, by_unit, since: at.min(onset), before_from })
}

/// Exposed, control, whether people belong to the groups, whether the groups exist at all times.
fn conditions(change: &Change) -> Option<(String, String, bool, bool)> {
    let said = change.json.get("share").and_then(serde_json::Value::as_f64);
    if matches!(change.kind, ChangeKind::Experiment | ChangeKind::Flag) {
        let name = change.text("experiment").or_else(|| change.text("target"))?;
        // After an off nobody is exposed any more.
        if said == Some(0.0) {
            return None;
        }
        let column = quoted(&format!("experiments.{name}"));
        let variant = literal(change.text("variant").unwrap_or(VARIANT));
        return Some((format!("{column} = {variant}"), format!("{column} <> {variant}"), true, false));
    }
    if let Some(selector) = change.text("selector") {
        return Some((selector.to_owned(), format!("NOT ({selector}\n)"), false, true));
    }
    if change.kind != ChangeKind::Deploy {
        return None;
    }
    let (column, value) = match (change.text("version"), change.text("rollout")) {
        (Some(version), _) => (quoted("service.version"), version),
        (None, Some(rollout)) => ("rollout".to_owned(), rollout),
        (None, None) => return None,
    };
    let service = change.text("service");
    let service =
        service.map_or_else(String::new, |name| format!("{} = {} AND ", quoted("service.name"), literal(name)));
    let value = literal(value);
    Some((format!("{service}{column} = {value}"), format!("{service}{column} <> {value}"), false, false))
}

/// The announced share of the traffic, if it leaves a control.
#[must_use]
pub fn announced_share(change: &Change) -> Option<f64> {
    let share = change.json.get("share").and_then(serde_json::Value::as_f64)?;
    (share > 0.0 && share < 1.0).then_some(share)
}

/// True when `later` replaces what `change` exposed: the same experiment, service or selector at a later time.
#[must_use]
pub fn replaces(later: &Change, change: &Change) -> bool {
    let same = |key: &str| change.text(key).is_some() && change.text(key) == later.text(key);
    let thing = match change.kind {
        ChangeKind::Experiment | ChangeKind::Flag => same("experiment") || same("target"),
        ChangeKind::Deploy => same("service") && change.text("selector") == later.text("selector"),
        _ => same("target") && change.text("selector") == later.text("selector"),
    };
    let place = change.environment == later.environment || later.environment.is_none();
    thing && place && later.kind == change.kind && (later.time, &later.id) > (change.time, &change.id)
}

/// True when a change takes another one back: the same thing switched off, put to a smaller share, or rolled back.
#[must_use]
pub fn reverses(later: &Change, change: &Change) -> bool {
    if !replaces(later, change) {
        return false;
    }
    let share = |change: &Change| change.json.get("share").and_then(serde_json::Value::as_f64);
    match change.kind {
        ChangeKind::Experiment | ChangeKind::Flag => {
            share(later).is_some_and(|now| share(change).map_or(now == 0.0, |before| now <= before / 4.0))
        }
        // Whatever a service or a setting goes to next, it is not the suspected one any more.
        _ => true,
    }
}

/// When a change was taken back by its own status.
#[must_use]
pub fn rolled_back_at(change: &Change) -> Option<Timestamp> {
    let status = change.text("status")?;
    (status == "rolled_back").then(|| change.text("end_time").and_then(Timestamp::parse_rfc3339))?
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ONSET: Minute = 29_919_723;

    fn change(minutes_before: i64, more: Value) -> Change {
        let time = Timestamp::from_minutes(ONSET - minutes_before).to_rfc3339();
        let mut json = json!({"id": format!("c{minutes_before}"), "kind": "experiment", "time": time, "environment": "production"});
        json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Change::from_json(&json).unwrap()
    }

    #[test]
    fn each_kind_has_its_groups() {
        let of = |more: Value| exposure(&change(1, more), ONSET);
        let experiment = of(json!({"experiment": "13", "share": 0.5})).unwrap();
        assert_eq!(experiment.exposed, "\"experiments.13\" = 'B'");
        assert_eq!((experiment.control.as_str(), experiment.by_unit), ("\"experiments.13\" <> 'B'", true));
        assert_eq!(experiment.before_from, None, "its people have no past of their own");
        let deploy = of(json!({"kind": "deploy", "service": "web", "version": "2.1"})).unwrap();
        assert_eq!(deploy.exposed, "\"service.name\" = 'web' AND \"service.version\" = '2.1'");
        let hosts = of(json!({"kind": "config", "selector": "\"host.name\" = 'web-8'"})).unwrap();
        assert!(hosts.before_from.is_some() && !hosts.by_unit);
        assert_eq!(of(json!({"kind": "config", "target": "timeout"})), None);
        assert_eq!(of(json!({"experiment": "13", "share": 0.0})), None);
    }

    #[test]
    fn an_older_change_has_groups_with_a_past() {
        let old = exposure(&change(40, json!({"experiment": "13"})), ONSET).unwrap();
        assert_eq!((old.before_from, old.since), (Some(ONSET - 39), ONSET - 40));
    }

    #[test]
    fn a_later_change_of_the_same_thing_replaces_and_a_smaller_one_reverses() {
        let ramp = |minutes, share: f64| change(minutes, json!({"experiment": "13", "share": share}));
        assert!(replaces(&ramp(1, 0.5), &ramp(9, 0.1)) && !reverses(&ramp(1, 0.5), &ramp(9, 0.1)));
        assert!(reverses(&ramp(1, 0.0), &ramp(9, 0.5)));
        assert!(!replaces(&ramp(9, 0.1), &ramp(1, 0.5)), "the earlier one");
        assert!(!replaces(&change(1, json!({"experiment": "14"})), &ramp(9, 0.5)));
        let deploy =
            |minutes| change(minutes, json!({"kind": "deploy", "service": "web", "version": format!("{minutes}")}));
        assert!(reverses(&deploy(1), &deploy(9)));
        let setting = |minutes, target: &str| change(minutes, json!({"kind": "config", "target": target}));
        assert!(reverses(&setting(1, "timeout"), &setting(9, "timeout")));
        assert!(!replaces(&setting(1, "pool"), &setting(9, "timeout")));
    }
}
