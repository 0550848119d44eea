//! Our own events as tables of schema `system`: columns of known types even while empty, and of revised rows the newest revision only.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::{
    common::{Column as ColumnName, Result, ScalarValue},
    functions_window::expr_fn::row_number,
    logical_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, lit, try_cast},
};

use super::dataset::Dataset;
use crate::columns::Definition;

/// SQL type of a known column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Text,
    BigInt,
    Double,
    Boolean,
    Time,
    /// JSON text.
    Json,
}

impl Type {
    fn data_type(self) -> DataType {
        match self {
            Self::Text | Self::Json => DataType::Utf8View,
            Self::BigInt => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::Boolean => DataType::Boolean,
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }
}

/// A table of `system` that is kept as events.
#[derive(Debug)]
pub(crate) struct Known {
    name: &'static str,
    columns: &'static [(&'static str, Type)],
    /// Rows equal in these columns are revisions of one: the highest `revision` is shown, of equals the one stored last.
    revised_by: &'static [&'static str],
    /// Columns kept under another key: an event's own `id` differs in every revision.
    stored_as: &'static [(&'static str, &'static str)],
}

use Type::{BigInt, Boolean, Double, Json, Text, Time};

const CHANGES: Known = Known {
    name: "changes",
    stored_as: &[("id", "change_id")],
    columns: &[
        ("id", Text),
        ("revision", BigInt),
        ("kind", Text),
        ("status", Text),
        ("title", Text),
        ("time", Time),
        ("end_time", Time),
        ("environment", Text),
        ("service", Text),
        ("rollout", Text),
        ("version", Text),
        ("experiment", Text),
        ("variant", Text),
        ("share", Double),
        ("selector", Text),
        ("target", Text),
        ("actor", Text),
        ("owner", Text),
        ("revision_ref", Text),
        ("url", Text),
        ("off", Json),
        ("source", Text),
        ("inferred", Boolean),
        ("dedup_key", Text),
        ("merged_into", Text),
    ],
    revised_by: &["id"],
};

const METRIC_POINTS: Known = Known {
    name: "metric_points",
    stored_as: &[],
    columns: &[
        ("metric", Text),
        ("slice", Text),
        ("time", Time),
        ("revision", BigInt),
        ("actual", Double),
        ("expected", Double),
        ("lower", Double),
        ("upper", Double),
        ("score", Double),
        ("numerator", Double),
        ("exposure", Double),
        ("events", Double),
        ("variance", Double),
        ("definition", Text),
    ],
    revised_by: &["metric", "slice", "time"],
};

const ALERTS: Known = Known {
    name: "alerts",
    stored_as: &[],
    columns: &[
        ("time", Time),
        ("type", Text),
        ("alert_id", Text),
        ("number", BigInt),
        ("notify", Boolean),
        ("dedup_key", Text),
        ("metric", Text),
        ("slice", Text),
        ("dataset", Text),
        ("environment", Text),
        ("unit", Text),
        ("direction", Text),
        ("state", Text),
        ("paged_at", Time),
        ("onset", Time),
        ("onset_from", Time),
        ("onset_to", Time),
        ("resolved_at", Time),
        ("expected_per_minute", Double),
        ("seen_per_minute", Double),
        ("deficit_per_minute", Double),
        ("missed", Double),
        ("missed_low", Double),
        ("missed_high", Double),
        ("budget_share", Double),
        ("score", Double),
        ("window_minutes", BigInt),
        ("title", Text),
        ("owner", Text),
        ("runbook", Text),
        ("headline", Text),
        ("sentence", Text),
        ("explanation", Text),
        ("suspect", Text),
        ("suspect_change", Text),
        ("suspect_share", Double),
        ("suspect_actor", Text),
        ("suspect_owner", Text),
        ("unknown_share", Double),
        ("acknowledged_by", Text),
        ("acknowledged_at", Time),
        ("off_call", Text),
        ("off_outcome", Text),
    ],
    revised_by: &[],
};

const NOTIFICATIONS: Known = Known {
    name: "notifications",
    stored_as: &[],
    columns: &[
        ("time", Time),
        ("alert_id", Text),
        ("change_id", Text),
        ("transition_id", Text),
        ("channel", Text),
        ("type", Text),
        ("state", Text),
        ("attempts", BigInt),
        ("last_error", Text),
        ("dedup_key", Text),
        ("fallback_of", Text),
    ],
    revised_by: &[],
};

const CHANGE_COVERAGE: Known = Known {
    name: "change_coverage",
    stored_as: &[],
    columns: &[
        ("time", Time),
        ("change_id", Text),
        ("revision", BigInt),
        ("kind", Text),
        ("environment", Text),
        ("metric", Text),
        ("pages", Boolean),
        ("exposed_share", Double),
        ("smallest", Double),
        ("smallest_of_exposed", Double),
        ("outage_minutes", Double),
        ("half_minutes", Double),
        ("fifth_minutes", Double),
        ("warning", Text),
    ],
    revised_by: &["change_id", "metric"],
};

const SUSPECT_CHANGES: Known = Known {
    name: "suspect_changes",
    stored_as: &[],
    columns: &[
        ("time", Time),
        ("alert_id", Text),
        ("change_id", Text),
        ("revision", BigInt),
        ("metric", Text),
        ("environment", Text),
        ("kind", Text),
        ("title", Text),
        ("rank", BigInt),
        ("share", Double),
        ("unknown_share", Double),
        ("timing_bits", Double),
        ("control_bits", Double),
        ("dose_bits", Double),
        ("prior_bits", Double),
        ("reversal_bits", Double),
        ("prior", Double),
        ("lag_minutes", Double),
        ("verdict", Text),
        ("basis", Text),
        ("exposed", Text),
        ("control", Text),
        ("exposed_before", Double),
        ("exposed_after", Double),
        ("control_before", Double),
        ("control_after", Double),
        ("exposed_trials", Double),
        ("control_trials", Double),
        ("ratio", Double),
        ("ratio_low", Double),
        ("ratio_high", Double),
        ("explanatory_power", Double),
        ("explanatory_power_high", Double),
        ("outcome", Text),
        ("wording", Text),
        ("phrase", Text),
    ],
    revised_by: &["alert_id", "change_id"],
};

const DELETIONS: Known = Known {
    name: "deletions",
    stored_as: &[("id", "deletion_id")],
    columns: &[
        ("id", Text),
        ("revision", BigInt),
        ("time", Time),
        ("dataset", Text),
        ("state", Text),
        ("reason", Text),
        ("actor", Text),
        ("key", Text),
        ("requested_at", Time),
        ("done_at", Time),
        ("files", BigInt),
        ("rows_deleted", BigInt),
    ],
    revised_by: &["id"],
};

const FIRST_SEEN: Known = Known {
    name: "first_seen",
    stored_as: &[],
    columns: &[
        ("time", Time),
        ("dataset", Text),
        ("dimension", Text),
        ("environment", Text),
        ("service", Text),
        ("target", Text),
        ("value", Text),
    ],
    revised_by: &[],
};

const OFF_ACTIONS: Known = Known {
    name: "off_actions",
    stored_as: &[],
    columns: &[
        ("time", Time),
        ("type", Text),
        ("change_id", Text),
        ("change_title", Text),
        ("change_kind", Text),
        ("environment", Text),
        ("alert_id", Text),
        ("metric", Text),
        ("attempt", BigInt),
        ("method", Text),
        ("url", Text),
        ("body", Text),
        ("actor", Text),
        ("key", Text),
        ("reason", Text),
        ("request_id", Text),
        ("status", BigInt),
        ("answer", Text),
        ("elapsed_ms", BigInt),
    ],
    revised_by: &[],
};

/// Names of all tables here.
pub(super) const NAMES: [&str; 9] = [
    "changes",
    "metric_points",
    "alerts",
    "notifications",
    "change_coverage",
    "suspect_changes",
    "deletions",
    "off_actions",
    "first_seen",
];

pub(super) fn known(table: &str) -> Option<&'static Known> {
    [
        &CHANGES,
        &METRIC_POINTS,
        &ALERTS,
        &NOTIFICATIONS,
        &CHANGE_COVERAGE,
        &SUSPECT_CHANGES,
        &DELETIONS,
        &OFF_ACTIONS,
        &FIRST_SEEN,
    ]
    .into_iter()
    .find(|known| known.name == table)
}

/// One such table over its dataset.
#[derive(Debug)]
pub(crate) struct View {
    dataset: Arc<Dataset>,
    known: &'static Known,
}

impl View {
    pub(super) fn new(dataset: Arc<Dataset>, known: &'static Known) -> Self {
        Self { dataset, known }
    }

    fn type_of(&self, name: &str) -> Option<Type> {
        self.known.columns.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.type_of(name).is_some() || self.dataset.columns().contains(name)
    }

    /// Known columns, then keys only some rows have.
    pub(super) fn listed(&self) -> Vec<String> {
        let known = self.known.columns.iter().map(|(name, _)| (*name).to_owned());
        let keys = self.dataset.columns().schema().columns.iter().map(|column| column.name.clone());
        let inner = |name: &String| self.known.stored_as.iter().any(|(_, key)| key == name) || name == "id";
        known.chain(keys.filter(|name| self.type_of(name).is_none() && !inner(name))).collect()
    }

    fn define(&self, name: &str) -> Option<Definition> {
        let columns = self.dataset.columns();
        let Some(kind) = self.type_of(name) else { return columns.define(name) };
        let data_type = kind.data_type();
        let key = self.known.stored_as.iter().find(|(known, _)| *known == name).map_or(name, |(_, key)| *key);
        // Own events speak of `environment` and `rollout` as plain keys: no aliases.
        let stored = columns.schema().column(key).is_some();
        let found = match kind {
            Text | Json if stored => columns.define(&format!("{key}#text")),
            _ if stored || key == "time" => columns.define(key),
            _ => None,
        };
        let json = kind == Json;
        let Some(found) = found else {
            let null = ScalarValue::try_from(&data_type).unwrap_or(ScalarValue::Null);
            return Some(Definition { expr: Expr::Literal(null, None), data_type, json, physical: Vec::new() });
        };
        let expr = if found.data_type == data_type { found.expr } else { try_cast(found.expr, data_type.clone()) };
        Some(Definition { expr, data_type, json, ..found })
    }

    pub(super) fn plan(&self, names: &[String]) -> Result<LogicalPlan> {
        let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
        if self.known.revised_by.is_empty() {
            return self.dataset.project(all.iter().filter_map(|name| Some((*name, self.define(name)?))).collect());
        }
        all.extend(self.known.revised_by);
        all.extend(["revision", "seq"]);
        let mut seen = std::collections::HashSet::new();
        all.retain(|name| seen.insert(*name));
        let named = all.iter().filter_map(|name| Some((*name, self.define(name)?))).collect();
        let column = |name: &str| Expr::Column(ColumnName::new_unqualified(name));
        let rank = row_number()
            .partition_by(self.known.revised_by.iter().map(|name| column(name)).collect())
            .order_by(vec![column("revision").sort(false, false), column("seq").sort(false, false)])
            .build()?
            .alias("yellowline:rank");
        let rows = LogicalPlanBuilder::from(self.dataset.project(named)?)
            .window(vec![rank])?
            .filter(column("yellowline:rank").eq(lit(1_u64)))?;
        let mut exprs: Vec<Expr> = names.iter().map(|name| column(name)).collect();
        if exprs.is_empty() {
            exprs.push(column("seq"));
        }
        rows.project(exprs)?.build()
    }
}
