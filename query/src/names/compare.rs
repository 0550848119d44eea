//! Comparisons of mixed columns with number literals, made exact and able to skip data.
//!
//! `price > 5` over integers and floats would compare doubles: wrong beyond 2^53, and no statistics of a file could skip it. At most one
//! sibling is set in a row, so it is `"price#int" > 5` or else `"price#float" > 5`.

use datafusion::sql::sqlparser::{
    ast::{BinaryOperator, CastKind, DataType, ExactNumberInfo, Expr, UnaryOperator, Value},
    tokenizer::Span,
};

use super::{
    expr::{call, path_of},
    scope::{Columns, Meaning, Scope, column},
};
use crate::columns::Comparison;

/// In a condition, where NULL counts as false: the siblings joined by OR, which files' statistics can judge.
pub(super) fn split(expr: &mut Expr, scope: &Scope<'_>) {
    match expr {
        Expr::Nested(inner) => split(inner, scope),
        Expr::BinaryOp { left, op: BinaryOperator::And | BinaryOperator::Or, right } => {
            split(left, scope);
            split(right, scope);
        }
        _ => {
            if let Some((column, Comparison::IntsAndFloats)) = compared(expr, scope) {
                let [int, float] = ["#int", "#float"].map(|suffix| with_column(expr, &column.sibling(suffix)));
                let either = Expr::BinaryOp { left: Box::new(int), op: BinaryOperator::Or, right: Box::new(float) };
                *expr = Expr::Nested(Box::new(either));
            }
        }
    }
}

/// Anywhere: NULL where the column is NULL.
pub(super) fn exact(expr: &Expr, scope: &Scope<'_>) -> Option<Expr> {
    let (column, how) = compared(expr, scope)?;
    let siblings = |suffixes: &[&str]| -> Vec<Expr> {
        suffixes.iter().map(|suffix| with_column(expr, &column.sibling(suffix))).collect()
    };
    match how {
        Comparison::Plain => None,
        Comparison::IntsAndFloats => Some(call("coalesce", siblings(&["#int", "#float"]))),
        Comparison::Text { ints, floats } => {
            let suffixes: Vec<&str> =
                [(ints, "#int"), (floats, "#float")].iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect();
            let mut parts = siblings(&suffixes);
            parts.push(if is_ordered(expr) { as_number(expr, &column) } else { as_text(expr, &column) });
            Some(if parts.len() == 1 { parts.remove(0) } else { call("coalesce", parts) })
        }
    }
}

/// A column as the statement names it.
struct Named {
    qualifier: Option<String>,
    name: String,
    span: Span,
}

impl Named {
    fn sibling(&self, suffix: &str) -> Expr {
        column(self.qualifier.as_deref(), &format!("{}{suffix}", self.name), self.span)
    }

    fn plain(&self) -> Expr {
        column(self.qualifier.as_deref(), &self.name, self.span)
    }
}

/// The column an expression compares with number literals, if it does.
fn compared(expr: &Expr, scope: &Scope<'_>) -> Option<(Named, Comparison)> {
    let (path, 0) = path_of(operand(expr)?)? else { return None };
    let Meaning::Column { relation, qualifier, name, .. } = scope.find(&path) else { return None };
    let Columns::Table(table, _) = &relation.columns else { return None };
    let how = table.comparison(&name);
    (how != Comparison::Plain).then_some((Named { qualifier, name, span: path.span }, how))
}

fn operand(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::BinaryOp { left, op, right } if is_comparison(op) => match (number(left), number(right)) {
            (None, Some(_)) => Some(left),
            (Some(_), None) => Some(right),
            _ => None,
        },
        Expr::Between { expr, low, high, .. } => (number(low).is_some() && number(high).is_some()).then_some(expr),
        Expr::InList { expr, list, .. } => list.iter().all(|item| number(item).is_some()).then_some(expr),
        _ => None,
    }
}

/// The same comparison of another operand.
fn with_column(comparison: &Expr, operand: &Expr) -> Expr {
    let boxed = || Box::new(operand.clone());
    match comparison {
        Expr::BinaryOp { left, op, right } if number(left).is_none() => {
            Expr::BinaryOp { left: boxed(), op: op.clone(), right: right.clone() }
        }
        Expr::BinaryOp { left, op, .. } => Expr::BinaryOp { left: left.clone(), op: op.clone(), right: boxed() },
        Expr::Between { negated, low, high, .. } => {
            Expr::Between { expr: boxed(), negated: *negated, low: low.clone(), high: high.clone() }
        }
        Expr::InList { list, negated, .. } => Expr::InList { expr: boxed(), list: list.clone(), negated: *negated },
        other => other.clone(),
    }
}

/// Texts that spell a number, compared as numbers.
fn as_number(comparison: &Expr, column: &Named) -> Expr {
    let number = Expr::Cast {
        kind: CastKind::TryCast,
        expr: Box::new(column.plain()),
        data_type: DataType::Double(ExactNumberInfo::None),
        array: false,
        format: None,
    };
    with_column(comparison, &number)
}

/// Equality with the text of the number.
fn as_text(comparison: &Expr, column: &Named) -> Expr {
    let text = |literal: &Expr| match number(literal) {
        Some(text) => Expr::value(Value::SingleQuotedString(text)),
        None => column.plain(),
    };
    match comparison {
        Expr::BinaryOp { left, op, right } => {
            Expr::BinaryOp { left: Box::new(text(left)), op: op.clone(), right: Box::new(text(right)) }
        }
        Expr::InList { list, negated, .. } => {
            Expr::InList { expr: Box::new(column.plain()), list: list.iter().map(text).collect(), negated: *negated }
        }
        other => other.clone(),
    }
}

fn is_comparison(op: &BinaryOperator) -> bool {
    matches!(op, BinaryOperator::Eq | BinaryOperator::NotEq) || is_order(op)
}

fn is_order(op: &BinaryOperator) -> bool {
    matches!(op, BinaryOperator::Lt | BinaryOperator::LtEq | BinaryOperator::Gt | BinaryOperator::GtEq)
}

fn is_ordered(comparison: &Expr) -> bool {
    match comparison {
        Expr::BinaryOp { op, .. } => is_order(op),
        Expr::Between { .. } => true,
        _ => false,
    }
}

/// The text of a number literal.
fn number(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => Some(text.clone()),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => number(expr).map(|text| format!("-{text}")),
        Expr::Nested(inner) => number(inner),
        _ => None,
    }
}
