//! `exposures`: who saw which variant of which experiment first when, from `experiments.*` and flag-evaluation events.
//!
//! Flag evaluations are OpenTelemetry's `feature_flag.evaluation` events: `feature_flag.key`, `feature_flag.result.variant`,
//! `feature_flag.context.id` and `feature_flag.result.reason`.

use datafusion::{
    common::{Column as ColumnName, Result, UnnestOptions},
    functions_aggregate::{expr_fn::min, first_last::first_value_udaf},
    functions_nested::expr_fn::make_array,
    logical_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, lit},
};

use super::dataset::Dataset;
use crate::columns::Definition;

pub(super) const COLUMNS: [&str; 5] = ["experiment", "variant", "unit_id", "first_exposed_at", "reason"];

const PREFIX: &str = "experiments.";
const FLAG: &[&str] = &["feature_flag.key"];
const FLAG_VARIANT: &[&str] = &["feature_flag.result.variant"];
const FLAG_REASON: &[&str] = &["feature_flag.result.reason"];
const FLAG_UNIT: &[&str] = &["feature_flag.context.id"];

pub(super) fn plan(dataset: &Dataset) -> Result<LogicalPlan> {
    let columns = dataset.columns();
    let keys: Vec<&str> = columns
        .schema()
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .filter(|name| name.starts_with(PREFIX))
        .collect();
    let flag = columns.first_text_of(FLAG);
    let mut experiments: Vec<Expr> = keys.iter().map(|key| lit(&key[PREFIX.len()..])).collect();
    let mut variants: Vec<Definition> = keys.iter().map(|key| columns.first_text_of(&[key])).collect();
    let mut physical = Vec::new();
    if !flag.physical.is_empty() {
        physical.extend(flag.physical.clone());
        experiments.push(flag.expr);
        variants.push(columns.first_text_of(FLAG_VARIANT));
    }
    let none = variants.is_empty();
    if none {
        experiments.push(lit(""));
        variants.push(columns.first_text_of(FLAG_VARIANT));
    }
    let unit_keys = columns.aliases().unit.iter().map(String::as_str);
    let units: Vec<&str> = FLAG_UNIT.iter().copied().chain(unit_keys).collect();
    let unit = columns.first_text_of(&units);
    let reason = columns.first_text_of(FLAG_REASON);
    physical.extend(reason.physical.clone());
    physical.extend(variants.iter().flat_map(|variant| variant.physical.clone()).chain(unit.physical.clone()));
    if let Some(time) = columns.define("time") {
        physical.extend(time.physical);
    }
    let name = |name: &str| Expr::Column(ColumnName::new_unqualified(name));
    let variants = variants.into_iter().map(|variant| variant.expr).collect();
    let rows = dataset
        .scan(physical)?
        .project(vec![
            make_array(experiments).alias("experiment"),
            make_array(variants).alias("variant"),
            unit.expr.alias("unit_id"),
            name("time").alias("time"),
            reason.expr.alias("reason"),
        ])?
        .filter(if none { lit(false) } else { name("unit_id").is_not_null() })?;
    let lists = ["experiment", "variant"].map(ColumnName::new_unqualified).to_vec();
    let rows: LogicalPlanBuilder =
        rows.unnest_columns_with_options(lists, UnnestOptions::new().with_preserve_nulls(false))?;
    let first_reason =
        first_value_udaf().call(vec![name("reason")]).order_by(vec![name("time").sort(true, false)]).build()?;
    rows.filter(name("variant").is_not_null().and(name("experiment").is_not_null()))?
        .aggregate(
            vec![name("experiment"), name("variant"), name("unit_id")],
            vec![min(name("time")).alias("first_exposed_at"), first_reason.alias("reason")],
        )?
        .build()
}
