//! `state_at` and `state_diff`: what was live at an instant, and what two instants differ in.

use super::{Asked, Call, Desk, Kind, Shape, Signature, optional, required};
use crate::error::Error;

const COLUMNS: &[(&str, Shape)] = &[
    ("environment", Shape::Text),
    ("kind", Shape::Text),
    ("service", Shape::Text),
    ("target", Shape::Text),
    ("value", Shape::Text),
    ("since", Shape::Time),
    ("title", Shape::Text),
    ("actor", Shape::Text),
    ("owner", Shape::Text),
    ("url", Shape::Text),
    ("change_id", Shape::Text),
];

pub(super) static STATE_AT: Signature = Signature {
    name: "state_at",
    summary: "What was live at an instant: for each environment, service and target the release, setting, activation or schema set last, \
              and the maintenance and chaos under way.",
    example: "SELECT environment, kind, service, target, value, since FROM state_at('2026-11-20T14:10:00Z')",
    parameters: &[required("time", Kind::Time), optional("environment", Kind::Text)],
    columns: COLUMNS,
    ask: |call, _| {
        let statement = state(call, "time");
        Ok(Asked { checks: Vec::new(), inputs: vec![statement], answer: None })
    },
};

pub(super) static STATE_DIFF: Signature = Signature {
    name: "state_diff",
    summary: "What changed between two instants: each target whose state differs, before and after, and the change that did it.",
    example: "SELECT kind, service, target, before, after, title FROM state_diff('2026-11-20T13:00:00Z', now())",
    parameters: &[required("from", Kind::Time), required("to", Kind::Time), optional("environment", Kind::Text)],
    columns: &[
        ("environment", Shape::Text),
        ("kind", Shape::Text),
        ("service", Shape::Text),
        ("target", Shape::Text),
        ("before", Shape::Text),
        ("after", Shape::Text),
        ("since", Shape::Time),
        ("title", Shape::Text),
        ("actor", Shape::Text),
        ("owner", Shape::Text),
        ("url", Shape::Text),
        ("change_id", Shape::Text),
    ],
    ask: ask_diff,
};

fn ask_diff(call: &Call, _desk: &Desk<'_>) -> Result<Asked, Error> {
    let (before, after) = (state(call, "from"), state(call, "to"));
    let either = |column: &str| format!("coalesce(b.{column}, a.{column}) AS {column}");
    let same = ["environment", "kind", "service", "target"]
        .map(|column| format!("(a.{column} IS NOT DISTINCT FROM b.{column})"))
        .join(" AND ");
    let statement = format!(
        "SELECT {}, {}, {}, {}, a.value AS before, b.value AS after, b.since AS since, b.title AS title, b.actor AS actor, b.owner AS owner, \
         b.url AS url, b.change_id AS change_id FROM ({before}) AS a FULL JOIN ({after}) AS b ON {same} \
         WHERE a.value IS DISTINCT FROM b.value",
        either("environment"),
        either("kind"),
        either("service"),
        either("target"),
    );
    Ok(Asked { checks: Vec::new(), inputs: vec![statement], answer: None })
}

/// The last change of each thing that lasts, and what was under way.
fn state(call: &Call, at: &str) -> String {
    let at = call.time(at).unwrap_or_else(|| "now()".to_owned());
    let environment = match call.spot("environment") {
        Some(spot) => format!(" AND environment = {}", super::call::literal(&spot.text)),
        None => String::new(),
    };
    // What a change sets: a version, a share of a variant, or whatever its title says.
    let value = "CASE WHEN kind IN ('experiment', 'flag') AND share IS NOT NULL \
                 THEN concat(coalesce(variant, 'on'), ' ', CAST(round(share * 100, 2) AS VARCHAR), ' %') \
                 ELSE coalesce(version, rollout, variant, title) END";
    let target = "coalesce(experiment, target, service)";
    format!(
        "SELECT environment, kind, service, target, value, since, title, actor, owner, url, change_id FROM (\
         SELECT environment, kind, service, {target} AS target, {value} AS value, time AS since, title, actor, owner, url, id AS change_id, \
         row_number() OVER (PARTITION BY environment, kind, service, {target} ORDER BY time DESC, id DESC) AS place \
         FROM system.changes WHERE time <= {at} AND status IN ('succeeded', 'rolled_back') \
         AND kind IN ('deploy', 'config', 'experiment', 'flag', 'schema'){environment}) WHERE place = 1 \
         UNION ALL SELECT environment, kind, service, {target} AS target, title AS value, time AS since, title, actor, owner, url, id AS change_id \
         FROM system.changes WHERE time <= {at} AND coalesce(end_time > {at}, FALSE) AND kind IN ('chaos', 'maintenance'){environment}"
    )
}
