//! One SELECT: its FROM makes the scope, everything else is resolved in it.

use std::collections::HashSet;

use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, GroupByExpr, NamedWindowExpr, OrderBy, Select, SelectItem, Spanned,
};

use super::{
    resolve::{Ctes, Resolver},
    scope::{Columns, Output, Path, Scope, quoted},
};
use crate::error::Error;

impl Resolver<'_> {
    pub(super) fn select(
        &mut self,
        select: &mut Select,
        order_by: Option<&mut OrderBy>,
        outer: Option<&Scope<'_>>,
        ctes: &Ctes,
    ) -> Result<Output, Error> {
        if select.into.is_some() {
            return Err(Error::ReadOnly { what: "SELECT INTO".to_owned() });
        }
        let mut scope = Scope { outer, ..Scope::default() };
        for item in &mut select.from {
            self.source(item, &mut scope, ctes)?;
        }
        super::star::expand_prefixes(select, &scope);
        super::star::mark(select, &scope);
        name_items(&mut select.projection);
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                self.expr(expr, &scope, ctes)?;
            }
        }
        part_names(&mut select.projection, &scope);
        scope.aliases = aliases(&select.projection);
        self.clauses(select, &scope, ctes)?;
        if let Some(order_by) = order_by {
            self.order_by(order_by, &scope, ctes)?;
        }
        let output = output(&select.projection, &scope);
        super::star::hide(select, &scope);
        Ok(output)
    }

    fn clauses(&mut self, select: &mut Select, scope: &Scope<'_>, ctes: &Ctes) -> Result<(), Error> {
        for filter in [&mut select.selection, &mut select.having, &mut select.qualify].into_iter().flatten() {
            self.filter(filter, scope, ctes)?;
        }
        if let GroupByExpr::Expressions(exprs, _) = &mut select.group_by {
            for expr in exprs {
                self.expr(expr, scope, ctes)?;
            }
        }
        if let Some(Distinct::On(exprs)) = &mut select.distinct {
            for expr in exprs {
                self.expr(expr, scope, ctes)?;
            }
        }
        for window in &mut select.named_window {
            if let NamedWindowExpr::WindowSpec(spec) = &mut window.1 {
                for expr in &mut spec.partition_by {
                    self.expr(expr, scope, ctes)?;
                }
                for expr in &mut spec.order_by {
                    self.expr(&mut expr.expr, scope, ctes)?;
                }
            }
        }
        Ok(())
    }
}

/// Gives every computed item the name its text has, so that results read as written and no inner name shows.
fn name_items(items: &mut [SelectItem]) {
    for item in items {
        if let SelectItem::UnnamedExpr(expr) = item
            && super::expr::path_of(expr).is_none_or(|(_, rest)| rest > 0)
        {
            let alias = quoted(&expr.to_string(), expr.span());
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
}

/// Gives items of equal names different ones: `a.id, b.id` are `id` and `b.id`, `count(*), count(*)` end in a number.
fn part_names(items: &mut [SelectItem], scope: &Scope<'_>) {
    let mut taken: HashSet<String> = HashSet::new();
    for item in items {
        let (name, spelled, expr) = match item {
            SelectItem::UnnamedExpr(expr) => match expr {
                Expr::Identifier(name) => (name.value.clone(), name.value.clone(), expr),
                Expr::CompoundIdentifier(parts) => {
                    let values: Vec<&str> = parts.iter().map(|part| part.value.as_str()).collect();
                    (values.last().copied().unwrap_or_default().to_owned(), values.join("."), expr)
                }
                _ => continue,
            },
            SelectItem::ExprWithAlias { alias, expr } => (alias.value.clone(), alias.value.clone(), expr),
            _ => continue,
        };
        if taken.insert(name.clone()) {
            // The planner knows it by its full name too.
            taken.extend(
                scope
                    .relations
                    .iter()
                    .map(|relation| format!("{}.{name}", relation.alias))
                    .filter(|full| spelled == name || spelled == *full),
            );
        } else {
            let name = if taken.contains(&spelled) { unused(&spelled, &taken) } else { spelled };
            taken.insert(name.clone());
            let alias = quoted(&name, expr.span());
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
}

fn unused(text: &str, taken: &HashSet<String>) -> String {
    (1..).map(|number| format!("{text}_{number}")).find(|name| !taken.contains(name)).unwrap_or_default()
}

fn aliases(items: &[SelectItem]) -> Vec<String> {
    let name = |item: &SelectItem| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
        _ => None,
    };
    items.iter().filter_map(name).collect()
}

/// The names a SELECT gives to the query around it; after its items were resolved.
fn output(items: &[SelectItem], scope: &Scope<'_>) -> Output {
    let mut output = Output::default();
    for item in items {
        match item {
            SelectItem::ExprWithAlias { alias, .. } => output.names.push(alias.value.clone()),
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => output.names.push(name.value.clone()),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
                output.names.extend(parts.last().map(|part| part.value.clone()));
            }
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => star_output(item, scope, &mut output),
            _ => output.open = true,
        }
    }
    output
}

fn star_output(item: &SelectItem, scope: &Scope<'_>, output: &mut Output) {
    let (qualifier, options) = match item {
        SelectItem::QualifiedWildcard(name, options) => (Some(name.to_string().replace('"', "")), options),
        SelectItem::Wildcard(options) => (None, options),
        _ => return,
    };
    let excluded = super::star::excluded(options);
    for relation in
        scope.relations.iter().filter(|relation| qualifier.as_ref().is_none_or(|name| *name == relation.alias))
    {
        let names = match &relation.columns {
            Columns::Table(table, _) => table.listed(),
            Columns::Output(inner) => {
                output.open |= inner.open;
                inner.names.clone()
            }
        };
        output
            .names
            .extend(names.into_iter().filter(|name| !excluded.contains(name) && !relation.using.contains(name)));
    }
}

/// A path without a place in the text.
pub(super) fn path(name: &str) -> Path {
    Path { parts: vec![name.to_owned()], span: datafusion::sql::sqlparser::tokenizer::Span::empty() }
}
