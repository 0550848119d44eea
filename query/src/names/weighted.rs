//! `weighted_count()`, `weighted_count(x)`, `weighted_sum(x)`, `weighted_avg(x)`: aggregates in which a sampled event counts
//! `sample_rate` times. They are ordinary sums over `coalesce(sample_rate, 1)`, so they take FILTER and OVER like any other.

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

/// A FILTER clause is a condition like WHERE.
pub(super) fn check_filter(function: &mut Function, scope: &Scope<'_>) -> Result<(), Error> {
    if let Some(filter) = &mut function.filter {
        super::compare::split(filter, scope);
    }
    let name = function.name.to_string().to_lowercase();
    let known = matches!(name.as_str(), "weighted_count" | "weighted_sum" | "weighted_avg");
    let takes_one = name != "weighted_count";
    if known
        && (arguments(function).is_none() || (takes_one && arguments(function).is_some_and(|args| args.len() != 1)))
    {
        let position = Position::of(function.name.span().start);
        let message = format!("{name} takes one value: {name}(duration_ms)");
        return Err(Error::Invalid { message, position });
    }
    Ok(())
}

pub(super) fn rewrite(call_site: &Function, scope: &Scope<'_>) -> Option<Expr> {
    let name = call_site.name.to_string().to_lowercase();
    let args = arguments(call_site)?;
    let sum = |value: Expr| {
        let mut sum = function("sum", vec![value]);
        sum.filter.clone_from(&call_site.filter);
        sum.over.clone_from(&call_site.over);
        Expr::Function(sum)
    };
    let weight = || weight(scope);
    match (name.as_str(), args.as_slice()) {
        ("weighted_count", []) => Some(call("coalesce", vec![sum(weight()), number("0.0")])),
        ("weighted_count", [value]) => Some(call("coalesce", vec![sum(weight_of(value, weight())), number("0.0")])),
        ("weighted_sum", [value]) => Some(sum(times(value.clone(), weight()))),
        ("weighted_avg", [value]) => {
            Some(binary(sum(times(value.clone(), weight())), BinaryOperator::Divide, sum(weight_of(value, weight()))))
        }
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
