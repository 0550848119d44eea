//! Queries, CTEs and FROM clauses: builds the scopes and collects the table references.

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc};

use datafusion::{
    common::TableReference,
    sql::sqlparser::ast::{
        Expr, Ident, Join, JoinConstraint, JoinOperator, LimitClause, ObjectName, OrderBy, OrderByKind, Query, SetExpr,
        Spanned, TableAlias, TableFactor, TableWithJoins,
    },
};

use super::{
    near::nearest,
    scope::{Columns, Needs, Output, Relation, Scope, quoted},
};
use crate::{
    catalog::{Catalog, Table},
    error::Error,
    questions::{self, Call},
};

/// The schema table functions have in plans.
const FUNCTIONS: &str = "functions";

/// One table of a statement: the name it now has there, and the columns needed of it.
#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) name: TableReference,
    pub(crate) table: Arc<Table>,
    pub(crate) needs: Needs,
}

/// What resolving found besides the rewritten query.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) references: Vec<Reference>,
}

/// How to treat a name that is no column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// An error with the nearest names.
    Refused,
    /// NULL: a metric may speak of keys no event has had yet.
    Null,
}

/// Rewrites all names of a query.
///
/// # Errors
/// `unknown_table`, `unknown_column`, `read_only` or `sql_invalid`.
pub(crate) fn resolve(query: &mut Query, catalog: &Catalog<'_>, unknown: Unknown) -> Result<Resolved, Error> {
    let mut resolver = Resolver { catalog, unknown, references: Vec::new() };
    resolver.query(query, None, &Ctes::new())?;
    let references = resolver
        .references
        .into_iter()
        .map(|(name, table, needs)| Reference { name, table, needs: needs.borrow().clone() })
        .collect();
    Ok(Resolved { references })
}

pub(super) type Ctes = HashMap<String, Rc<Output>>;

pub(super) struct Resolver<'c> {
    catalog: &'c Catalog<'c>,
    pub(super) unknown: Unknown,
    references: Vec<(TableReference, Arc<Table>, Rc<RefCell<Needs>>)>,
}

impl Resolver<'_> {
    pub(super) fn query(&mut self, query: &mut Query, outer: Option<&Scope<'_>>, ctes: &Ctes) -> Result<Output, Error> {
        refuse_side_clauses(query)?;
        let mut ctes = ctes.clone();
        if let Some(with) = &mut query.with {
            for cte in &mut with.cte_tables {
                let columns: Vec<String> = cte.alias.columns.iter().map(|column| column.name.value.clone()).collect();
                if with.recursive {
                    let inside = Output { open: columns.is_empty(), names: columns.clone() };
                    ctes.insert(cte.alias.name.value.clone(), Rc::new(inside));
                }
                let output = self.query(&mut cte.query, outer, &ctes)?;
                let output = if columns.is_empty() { output } else { Output { names: columns, open: false } };
                ctes.insert(cte.alias.name.value.clone(), Rc::new(output));
            }
        }
        let output = match query.body.as_mut() {
            SetExpr::Select(select) => self.select(select, query.order_by.as_mut(), outer, &ctes)?,
            body => {
                let output = self.set(body, outer, &ctes)?;
                if let Some(order_by) = &mut query.order_by {
                    let relation = Relation {
                        alias: String::new(),
                        path: Vec::new(),
                        columns: Columns::Output(Rc::new(output.clone())),
                        using: Vec::new(),
                    };
                    let scope = Scope { relations: vec![relation], outer, aliases: Vec::new() };
                    self.order_by(order_by, &scope, &ctes)?;
                }
                output
            }
        };
        self.limit(query.limit_clause.as_mut(), &ctes)?;
        Ok(output)
    }

    fn set(&mut self, body: &mut SetExpr, outer: Option<&Scope<'_>>, ctes: &Ctes) -> Result<Output, Error> {
        match body {
            SetExpr::Select(select) => self.select(select, None, outer, ctes),
            SetExpr::Query(query) => self.query(query, outer, ctes),
            SetExpr::SetOperation { left, right, .. } => {
                let output = self.set(left, outer, ctes)?;
                self.set(right, outer, ctes)?;
                Ok(output)
            }
            SetExpr::Values(values) => {
                let scope = Scope { outer, ..Scope::default() };
                for row in &mut values.rows {
                    for value in row.iter_mut() {
                        self.expr(value, &scope, ctes)?;
                    }
                }
                let width = values.rows.first().map_or(0, |row| row.len());
                Ok(Output { names: (1..=width).map(|at| format!("column{at}")).collect(), open: false })
            }
            SetExpr::Table(_) => {
                Err(Error::Invalid { message: "write SELECT * FROM the table instead of TABLE".into(), position: None })
            }
            writing => {
                let verb = writing.to_string().split_whitespace().next().unwrap_or_default().to_uppercase();
                Err(Error::ReadOnly { what: verb })
            }
        }
    }

    pub(super) fn order_by(&mut self, order_by: &mut OrderBy, scope: &Scope<'_>, ctes: &Ctes) -> Result<(), Error> {
        if let OrderByKind::Expressions(exprs) = &mut order_by.kind {
            for expr in exprs {
                self.expr(&mut expr.expr, scope, ctes)?;
            }
        }
        Ok(())
    }

    fn limit(&mut self, limit: Option<&mut LimitClause>, ctes: &Ctes) -> Result<(), Error> {
        let nothing = Scope::default();
        let exprs: Vec<&mut Expr> = match limit {
            Some(LimitClause::LimitOffset { limit, offset, .. }) => {
                limit.iter_mut().chain(offset.iter_mut().map(|offset| &mut offset.value)).collect()
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => vec![offset, limit],
            None => Vec::new(),
        };
        exprs.into_iter().try_for_each(|expr| self.expr(expr, &nothing, ctes))
    }

    /// Adds the relations of one FROM item, then resolves its join conditions with all of them in scope.
    pub(super) fn source(
        &mut self,
        item: &mut TableWithJoins,
        scope: &mut Scope<'_>,
        ctes: &Ctes,
    ) -> Result<(), Error> {
        self.factor(&mut item.relation, scope, ctes)?;
        for Join { relation, join_operator, .. } in &mut item.joins {
            self.factor(relation, scope, ctes)?;
            self.constraint(join_operator, scope, ctes)?;
        }
        Ok(())
    }

    fn constraint(&mut self, operator: &mut JoinOperator, scope: &mut Scope<'_>, ctes: &Ctes) -> Result<(), Error> {
        match constraint_of(operator) {
            Some(JoinConstraint::On(on)) => self.filter(on, scope, ctes),
            Some(JoinConstraint::Using(columns)) => {
                for column in columns.iter_mut() {
                    let name = column.0.iter().filter_map(|part| part.as_ident()).map(|part| part.value.as_str());
                    let name = name.collect::<Vec<_>>().join(".");
                    scope.relations.iter().for_each(|relation| relation.need(&name));
                    if let Some(last) = scope.relations.last_mut() {
                        last.using.push(name.clone());
                    }
                    *column = ObjectName::from(vec![quoted(&name, column.span())]);
                }
                Ok(())
            }
            Some(JoinConstraint::Natural) => Err(Error::Invalid {
                message: "NATURAL JOIN would join on every key two events share: name the columns with USING (…)"
                    .into(),
                position: None,
            }),
            _ => Ok(()),
        }
    }

    fn factor(&mut self, factor: &mut TableFactor, scope: &mut Scope<'_>, ctes: &Ctes) -> Result<(), Error> {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => self.table(name, alias, scope, ctes),
            TableFactor::Table { name, alias, args: given @ Some(_), .. } => {
                let Some(args) = given.as_mut() else { return Ok(()) };
                if let Some(call) = Call::read(name, args)? {
                    *given = None;
                    return self.question(call, name, alias, scope);
                }
                known_function(name)?;
                for arg in &mut args.args {
                    self.argument(arg, scope, ctes)?;
                }
                let called = alias.as_ref().map_or_else(|| name.to_string(), |alias| alias.name.value.clone());
                scope.relations.push(open(called));
                Ok(())
            }
            TableFactor::Derived { subquery, alias, lateral, .. } => {
                let outer = if *lateral { Some(&*scope) } else { scope.outer };
                let output = self.query(subquery, outer, ctes)?;
                scope.relations.push(derived(alias.as_ref(), output));
                Ok(())
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => self.source(table_with_joins, scope, ctes),
            TableFactor::UNNEST { array_exprs, alias, .. } => {
                for expr in array_exprs {
                    self.expr(expr, scope, ctes)?;
                }
                scope.relations.push(open(alias.as_ref().map_or_else(String::new, |alias| alias.name.value.clone())));
                Ok(())
            }
            other => Err(Error::invalid(format!("FROM cannot hold {other}"), other.span().start)),
        }
    }

    fn table(
        &mut self,
        name: &mut ObjectName,
        alias: &mut Option<TableAlias>,
        scope: &mut Scope<'_>,
        ctes: &Ctes,
    ) -> Result<(), Error> {
        let span = name.span();
        let parts: Vec<String> =
            name.0.iter().filter_map(|part| part.as_ident()).map(|part| part.value.clone()).collect();
        if let [only] = parts.as_slice()
            && let Some(output) = ctes.get(only)
        {
            let output = match alias {
                Some(alias) if !alias.columns.is_empty() => Rc::new(renamed(alias, Output::clone(output))),
                _ => Rc::clone(output),
            };
            let alias = alias.as_ref().map_or_else(|| only.clone(), |alias| alias.name.value.clone());
            *name = ObjectName::from(vec![quoted(only, span)]);
            scope.relations.push(Relation {
                alias,
                path: Vec::new(),
                columns: Columns::Output(output),
                using: Vec::new(),
            });
            return Ok(());
        }
        if alias.as_ref().is_some_and(|alias| !alias.columns.is_empty()) {
            return Err(Error::invalid("columns of events have no order: name them in a SELECT instead", span.start));
        }
        let (path, table) = self.catalog.table(&parts, span.start)?;
        self.refer(path, table, name, alias, scope);
        Ok(())
    }

    /// A table function of ours is a table of its columns.
    fn question(
        &mut self,
        call: Call,
        name: &mut ObjectName,
        alias: &mut Option<TableAlias>,
        scope: &mut Scope<'_>,
    ) -> Result<(), Error> {
        if alias.as_ref().is_some_and(|alias| !alias.columns.is_empty()) {
            return Err(Error::invalid("rename the columns of a function in a SELECT instead", name.span().start));
        }
        let path = [FUNCTIONS.to_owned(), call.signature.name.to_owned()];
        self.refer(path, Arc::new(Table::Question(call)), name, alias, scope);
        Ok(())
    }

    fn refer(
        &mut self,
        path: [String; 2],
        table: Arc<Table>,
        name: &mut ObjectName,
        alias: &mut Option<TableAlias>,
        scope: &mut Scope<'_>,
    ) {
        let span = name.span();
        let [schema, table_name] = &path;
        let same = |known: &TableReference| {
            known.schema() == Some(schema.as_str()) && known.table().split('#').next() == Some(table_name.as_str())
        };
        let number = self.references.iter().filter(|(known, ..)| same(known)).count();
        // Each reference is a table of its own, so that `SELECT *` of one does not list what only another one needs.
        let own = if number == 0 { table_name.clone() } else { format!("{table_name}#{}", number + 1) };
        *name = ObjectName::from(vec![quoted(schema, span), quoted(&own, span)]);
        let hidden = alias.is_some();
        let called = match alias {
            Some(alias) => alias.name.value.clone(),
            None if scope.relations.iter().any(|other| other.alias == *table_name) => path.join("."),
            None => table_name.clone(),
        };
        if alias.is_none() {
            *alias = Some(named(&called));
        }
        let needs = Rc::new(RefCell::new(Needs::default()));
        self.references.push((TableReference::partial(schema.as_str(), own), Arc::clone(&table), Rc::clone(&needs)));
        let path = if hidden { Vec::new() } else { path.to_vec() };
        scope.relations.push(Relation {
            alias: called,
            path,
            columns: Columns::Table(table, needs),
            using: Vec::new(),
        });
    }
}

/// The planner's own table functions.
const PLANNERS_FUNCTIONS: [&str; 2] = ["generate_series", "range"];

fn known_function(name: &ObjectName) -> Result<(), Error> {
    let text = name.to_string();
    if PLANNERS_FUNCTIONS.iter().any(|known| known.eq_ignore_ascii_case(&text)) {
        return Ok(());
    }
    let known = questions::ALL.iter().map(|signature| signature.name).chain(PLANNERS_FUNCTIONS);
    let near = nearest(&text, known);
    let hint = near.first().map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    Err(Error::invalid(format!("there is no table function {text}{hint}"), name.span().start))
}

fn constraint_of(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    use JoinOperator as J;
    match operator {
        J::Join(on)
        | J::Inner(on)
        | J::Left(on)
        | J::LeftOuter(on)
        | J::Right(on)
        | J::RightOuter(on)
        | J::FullOuter(on)
        | J::CrossJoin(on)
        | J::Semi(on)
        | J::LeftSemi(on)
        | J::RightSemi(on)
        | J::Anti(on)
        | J::LeftAnti(on)
        | J::RightAnti(on)
        | J::StraightJoin(on) => Some(on),
        _ => None,
    }
}

fn refuse_side_clauses(query: &Query) -> Result<(), Error> {
    let clause = [
        (!query.locks.is_empty(), "FOR UPDATE"),
        (query.for_clause.is_some(), "FOR XML or JSON"),
        (query.settings.is_some(), "SETTINGS"),
        (query.format_clause.is_some(), "FORMAT (send an Accept header)"),
        (!query.pipe_operators.is_empty(), "|>"),
    ];
    match clause.iter().find(|(present, _)| *present) {
        Some((_, what)) => Err(Error::Invalid { message: format!("{what} is not supported"), position: None }),
        None => Ok(()),
    }
}

fn named(name: &str) -> TableAlias {
    TableAlias { explicit: true, name: Ident::with_quote('"', name), columns: Vec::new(), at: None }
}

fn derived(alias: Option<&TableAlias>, output: Output) -> Relation {
    let output = match alias {
        Some(alias) if !alias.columns.is_empty() => renamed(alias, output),
        _ => output,
    };
    let alias = alias.map_or_else(String::new, |alias| alias.name.value.clone());
    Relation { alias, path: Vec::new(), columns: Columns::Output(Rc::new(output)), using: Vec::new() }
}

fn renamed(alias: &TableAlias, output: Output) -> Output {
    let given = alias.columns.iter().map(|column| column.name.value.clone());
    let names = given.chain(output.names.into_iter().skip(alias.columns.len())).collect();
    Output { names, open: output.open }
}

fn open(alias: String) -> Relation {
    let output = Output { names: Vec::new(), open: true };
    Relation { alias, path: Vec::new(), columns: Columns::Output(Rc::new(output)), using: Vec::new() }
}
