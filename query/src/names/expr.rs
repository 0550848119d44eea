//! Expressions: replaces paths by columns, everywhere but in subqueries, which have scopes of their own.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, Distinct, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, LambdaFunction, ObjectName, OneOrManyWithParens, Query, SetExpr, Subscript, Value, VisitMut,
    VisitorMut,
};

use super::{
    near::nearest,
    resolve::{Ctes, Resolver, Unknown},
    scope::{Meaning, Path, Scope, column},
};
use crate::error::{Error, Position, quote_all};

impl Resolver<'_> {
    /// A condition: rows count only where it is true, so that comparisons may be split to skip data.
    pub(super) fn filter(&mut self, expr: &mut Expr, scope: &Scope<'_>, ctes: &Ctes) -> Result<(), Error> {
        super::compare::split(expr, scope);
        self.expr(expr, scope, ctes)
    }

    pub(super) fn expr(&mut self, expr: &mut Expr, scope: &Scope<'_>, ctes: &Ctes) -> Result<(), Error> {
        let mut walk = Walk { resolver: self, scope, ctes, subqueries: 0, parameters: Vec::new() };
        match VisitMut::visit(expr, &mut walk) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }

    pub(super) fn argument(&mut self, argument: &mut FunctionArg, scope: &Scope<'_>, ctes: &Ctes) -> Result<(), Error> {
        match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
            | FunctionArg::Named { arg: FunctionArgExpr::Expr(expr), .. }
            | FunctionArg::ExprNamed { arg: FunctionArgExpr::Expr(expr), .. } => self.expr(expr, scope, ctes),
            _ => Ok(()),
        }
    }
}

struct Walk<'r, 'c, 's> {
    resolver: &'r mut Resolver<'c>,
    scope: &'s Scope<'s>,
    ctes: &'s Ctes,
    /// How many subqueries deep the walk is: they are resolved as a whole, their insides are left alone.
    subqueries: usize,
    /// Names of lambda parameters.
    parameters: Vec<String>,
}

impl VisitorMut for Walk<'_, '_, '_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        if self.subqueries == 0
            && let Err(error) = self.resolver.query(query, Some(self.scope), self.ctes)
        {
            return ControlFlow::Break(error);
        }
        self.subqueries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Error> {
        self.subqueries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if self.subqueries > 0 {
            return ControlFlow::Continue(());
        }
        match expr {
            Expr::Lambda(LambdaFunction { params, .. }) => match params {
                OneOrManyWithParens::One(parameter) => self.parameters.push(parameter.name.value.clone()),
                OneOrManyWithParens::Many(all) => self.parameters.extend(all.iter().map(|one| one.name.value.clone())),
            },
            Expr::InSubquery { subquery, negated: true, .. } => distinct(subquery),
            Expr::Function(function) => {
                if let Err(error) = super::weighted::check_filter(function, self.scope) {
                    return ControlFlow::Break(error);
                }
                if let Some(weighted) = super::weighted::rewrite(function, self.scope) {
                    *expr = weighted;
                }
            }
            Expr::BinaryOp { left, op: op @ (BinaryOperator::Arrow | BinaryOperator::LongArrow), right } => {
                let name = if *op == BinaryOperator::Arrow { "json_get" } else { "json_get_text" };
                *expr = call(name, vec![left.as_ref().clone(), right.as_ref().clone()]);
            }
            _ => {
                if let Some(exact) = super::compare::exact(expr, self.scope) {
                    *expr = exact;
                }
            }
        }
        match self.name(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if let Expr::Lambda(LambdaFunction { params, .. }) = expr
            && self.subqueries == 0
        {
            let count = match params {
                OneOrManyWithParens::One(_) => 1,
                OneOrManyWithParens::Many(all) => all.len(),
            };
            self.parameters.truncate(self.parameters.len().saturating_sub(count));
        }
        ControlFlow::Continue(())
    }
}

impl Walk<'_, '_, '_> {
    /// Replaces an expression that is a path by the column it means.
    fn name(&mut self, expr: &mut Expr) -> Result<(), Error> {
        let Some((path, rest)) = path_of(expr) else { return Ok(()) };
        if path.parts.first().is_some_and(|first| self.parameters.contains(first)) {
            return Ok(());
        }
        match self.scope.find(&path) {
            Meaning::Column { qualifier, name, parts, .. } => {
                let found = column(qualifier.as_deref(), &name, path.span);
                *expr = with_rest(expr, found, parts, rest);
                Ok(())
            }
            Meaning::Left => {
                if let (0, false) = (rest, path.parts.len() == 1) {
                    let joined = path.parts.join(".");
                    if self.scope.aliases.contains(&joined) {
                        *expr = column(None, &joined, path.span);
                    }
                }
                Ok(())
            }
            Meaning::Unknown if self.resolver.unknown == Unknown::Null => {
                *expr = Expr::value(Value::Null);
                Ok(())
            }
            Meaning::Unknown => {
                let name = path.parts.join(".");
                let names = self.scope.names();
                let nearest = match name.rsplit_once('#').filter(|(key, _)| names.iter().any(|known| known == key)) {
                    Some((key, _)) => ["#num", "#text"].map(|suffix| format!("{key}{suffix}")).to_vec(),
                    None => nearest(&name, names.iter().map(String::as_str)),
                };
                let nearest = quote_all(&nearest);
                Err(Error::UnknownColumn { name, nearest, position: Position::of(path.span.start) })
            }
        }
    }
}

/// The names an expression spells, and how many steps after them are no names (`[1]`): `a.b`, `"a.b"`, `a['b'].c`.
pub(super) fn path_of(expr: &Expr) -> Option<(Path, usize)> {
    match expr {
        Expr::Identifier(name) => Some((Path { parts: vec![name.value.clone()], span: name.span }, 0)),
        Expr::CompoundIdentifier(names) => {
            let parts = names.iter().map(|name| name.value.clone()).collect();
            Some((Path { parts, span: names.first()?.span }, 0))
        }
        Expr::CompoundFieldAccess { root, access_chain } => {
            let (mut path, 0) = path_of(root)? else { return None };
            let mut steps = access_chain.iter();
            let mut rest = access_chain.len();
            while let Some(name) = steps.next().and_then(step_name) {
                path.parts.push(name);
                rest -= 1;
            }
            Some((path, rest))
        }
        _ => None,
    }
}

fn step_name(step: &AccessExpr) -> Option<String> {
    match step {
        AccessExpr::Dot(Expr::Identifier(name)) => Some(name.value.clone()),
        AccessExpr::Subscript(Subscript::Index { index: Expr::Value(value) }) => match &value.value {
            Value::SingleQuotedString(name) => Some(name.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// The column with the steps behind it that are not part of its name.
fn with_rest(expr: &Expr, found: Expr, parts: usize, rest: usize) -> Expr {
    match expr {
        Expr::CompoundFieldAccess { root, access_chain } => {
            let root_parts = path_of(root).map_or(1, |(path, _)| path.parts.len());
            let taken = parts.saturating_sub(root_parts).min(access_chain.len());
            let left: Vec<AccessExpr> = access_chain[taken..].iter().map(member).collect();
            debug_assert!(left.len() >= rest, "steps that are no names are never part of a column's name");
            if left.is_empty() {
                found
            } else {
                Expr::CompoundFieldAccess { root: Box::new(found), access_chain: left }
            }
        }
        Expr::CompoundIdentifier(names) if parts < names.len() => {
            let left = names[parts..].iter().map(|name| field(&name.value)).collect();
            Expr::CompoundFieldAccess { root: Box::new(found), access_chain: left }
        }
        _ => found,
    }
}

/// A step behind a column; one by a name is no path of its own.
fn member(step: &AccessExpr) -> AccessExpr {
    match step {
        AccessExpr::Dot(Expr::Identifier(name)) => field(&name.value),
        other => other.clone(),
    }
}

fn field(name: &str) -> AccessExpr {
    AccessExpr::Subscript(Subscript::Index { index: Expr::value(Value::SingleQuotedString(name.to_owned())) })
}

/// `x NOT IN (SELECT y …)` compares with every row of the subquery: two minutes for a million repeated values, milliseconds for
/// distinct ones. The answer is the same.
fn distinct(subquery: &mut Query) {
    let limited = subquery.limit_clause.is_some() || subquery.fetch.is_some() || subquery.order_by.is_some();
    if let SetExpr::Select(select) = subquery.body.as_mut()
        && select.distinct.is_none()
        && !limited
        && select.top.is_none()
    {
        select.distinct = Some(Distinct::Distinct);
    }
}

/// A call of a function by name.
pub(super) fn call(name: &str, args: Vec<Expr>) -> Expr {
    Expr::Function(function(name, args))
}

pub(super) fn function(name: &str, args: Vec<Expr>) -> Function {
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    Function {
        name: ObjectName::from(vec![datafusion::sql::sqlparser::ast::Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    }
}
