//! Aggregates in which a sampled event counts `sample_rate` times: `weighted_count()`, `weighted_count(x)`, `weighted_sum(x)`,
//! `weighted_avg(x)`, `weighted_var(x)`, `weighted_stddev(x)`, `weighted_median(x)`, `weighted_percentile(x, p)`. They become ordinary
//! aggregates that are also given `coalesce(sample_rate, 1)`, so they take FILTER like any other. What a weight does not change (min,
//! max, distinct values) has no weighted form.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned, Value,
    helpers::attached_token::AttachedToken,
};

use super::{
    expr::{call, function},
    scope::{Meaning, Scope, column},
    select::path,
};
use crate::error::{Error, Position};

/// The sampling weight of an event, where it is known.
const WEIGHT: &str = "sample_rate#num";

/// Names, how many arguments they take, and what these are.
pub(crate) const KNOWN: [(&str, usize, &str); 7] = [
    ("weighted_count", 1, "one value at most: weighted_count(duration_ms)"),
    ("weighted_sum", 1, "one value: weighted_sum(duration_ms)"),
    ("weighted_avg", 1, "one value: weighted_avg(duration_ms)"),
    ("weighted_var", 1, "one value: weighted_var(duration_ms)"),
    ("weighted_stddev", 1, "one value: weighted_stddev(duration_ms)"),
    ("weighted_median", 1, "one value: weighted_median(duration_ms)"),
    ("weighted_percentile", 2, "a value and a share: weighted_percentile(duration_ms, 0.95)"),
];

/// A FILTER clause is a condition like WHERE.
pub(super) fn check_filter(function: &mut Function, scope: &Scope<'_>) -> Result<(), Error> {
    if let Some(filter) = &mut function.filter {
        super::compare::split(filter, scope);
    }
    let name = function.name.to_string().to_lowercase();
    let Some((name, most, usage)) = KNOWN.iter().find(|(known, ..)| *known == name) else { return Ok(()) };
    let is_fit = |given: usize| given == *most || (given == 0 && *name == "weighted_count");
    if !arguments(function).is_some_and(|given| is_fit(given.len())) {
        let position = Position::of(function.name.span().start);
        return Err(Error::Invalid { message: format!("{name} takes {usage}"), position });
    }
    Ok(())
}

pub(super) fn rewrite(call_site: &Function, scope: &Scope<'_>) -> Option<Expr> {
    let name = call_site.name.to_string().to_lowercase();
    let args = arguments(call_site)?;
    let aggregate = |name: &str, args: Vec<Expr>| {
        let mut aggregate = function(name, args);
        aggregate.filter.clone_from(&call_site.filter);
        aggregate.over.clone_from(&call_site.over);
        Expr::Function(aggregate)
    };
    let sum = |value: Expr| aggregate("sum", vec![value]);
    let percentile = |value: &Expr, share: Expr| {
        aggregate("approx_percentile_cont_with_weight", vec![value.clone(), weight(scope), share])
    };
    let weight = || weight(scope);
    match (name.as_str(), args.as_slice()) {
        ("weighted_count", []) => Some(call("coalesce", vec![sum(weight()), number("0.0")])),
        ("weighted_count", [value]) => Some(call("coalesce", vec![sum(weight_of(value, weight())), number("0.0")])),
        ("weighted_sum", [value]) => Some(sum(times(value.clone(), weight()))),
        ("weighted_avg", [value]) => {
            Some(binary(sum(times(value.clone(), weight())), BinaryOperator::Divide, sum(weight_of(value, weight()))))
        }
        ("weighted_var" | "weighted_stddev", [value]) => Some(aggregate(&name, vec![value.clone(), weight()])),
        ("weighted_median", [value]) => Some(percentile(value, number("0.5"))),
        ("weighted_percentile", [value, share]) => Some(percentile(value, share.clone())),
        _ => None,
    }
}

/// The arguments; `*` is none.
fn arguments(function: &Function) -> Option<Vec<Expr>> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let mut args = Vec::new();
    for arg in &list.args {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => args.push(expr.clone()),
            FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => {}
            _ => return None,
        }
    }
    Some(args)
}

fn weight(scope: &Scope<'_>) -> Expr {
    match scope.find(&path(WEIGHT)) {
        Meaning::Column { .. } => call("coalesce", vec![column(None, WEIGHT, path(WEIGHT).span), number("1.0")]),
        _ => number("1.0"),
    }
}

/// The weight where the value is set.
fn weight_of(value: &Expr, weight: Expr) -> Expr {
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen { condition: Expr::IsNotNull(Box::new(value.clone())), result: weight }],
        else_result: None,
    }
}

fn times(value: Expr, weight: Expr) -> Expr {
    binary(Expr::Nested(Box::new(value)), BinaryOperator::Multiply, weight)
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::Nested(Box::new(Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }))
}

fn number(text: &str) -> Expr {
    Expr::value(Value::Number(text.to_owned(), false))
}
