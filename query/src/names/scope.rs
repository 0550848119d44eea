//! What names can mean at one place of a statement.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc, sync::Arc};

use datafusion::sql::sqlparser::{
    ast::{Expr, Ident},
    tokenizer::Span,
};

use crate::catalog::Table;

/// Columns of one table reference a statement can mean.
#[derive(Debug, Default, Clone)]
pub(crate) struct Needs {
    pub(crate) columns: BTreeSet<String>,
    /// `*`: all listed ones besides.
    pub(crate) star: bool,
}

/// The columns a subquery gives.
#[derive(Debug, Default, Clone)]
pub(super) struct Output {
    pub(super) names: Vec<String>,
    /// It may give more than the names known here: what we cannot resolve is left to the planner.
    pub(super) open: bool,
}

#[derive(Debug)]
pub(super) enum Columns {
    Table(Arc<Table>, Rc<RefCell<Needs>>),
    Output(Rc<Output>),
}

/// One entry of a FROM clause.
#[derive(Debug)]
pub(super) struct Relation {
    pub(super) alias: String,
    /// Schema and table as `schema.table.column` may name them; empty when an alias hides them.
    pub(super) path: Vec<String>,
    pub(super) columns: Columns,
    /// Columns of a USING clause: they come from the relation before.
    pub(super) using: Vec<String>,
}

impl Relation {
    fn has(&self, column: &str) -> bool {
        match &self.columns {
            Columns::Table(table, _) => table.contains(column),
            Columns::Output(output) => output.names.iter().any(|name| name == column),
        }
    }

    fn may_hold(&self, column: &str) -> bool {
        matches!(&self.columns, Columns::Table(table, _) if table.may_hold(column))
    }

    fn is_open(&self) -> bool {
        matches!(&self.columns, Columns::Output(output) if output.open)
    }

    pub(super) fn need(&self, column: &str) {
        if let Columns::Table(_, needs) = &self.columns {
            needs.borrow_mut().columns.insert(column.to_owned());
        }
    }

    fn is_called(&self, qualifier: &[&str]) -> bool {
        match qualifier {
            [alias] => self.alias == *alias,
            path => self.path.iter().map(String::as_str).eq(path.iter().copied()),
        }
    }

    pub(super) fn names(&self) -> Vec<String> {
        match &self.columns {
            Columns::Table(table, _) => table.names(),
            Columns::Output(output) => output.names.clone(),
        }
    }
}

/// The FROM clause around an expression, and those around it.
#[derive(Debug, Default)]
pub(super) struct Scope<'o> {
    pub(super) relations: Vec<Relation>,
    pub(super) outer: Option<&'o Scope<'o>>,
    /// Names of select items, and of lambda parameters: the planner knows them.
    pub(super) aliases: Vec<String>,
}

/// A path of names and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Path {
    pub(super) parts: Vec<String>,
    pub(super) span: Span,
}

/// What a path means.
pub(super) enum Meaning<'s> {
    /// A column, with the alias of its relation if the path names it, and how many parts the name takes.
    Column {
        relation: &'s Relation,
        qualifier: Option<String>,
        name: String,
        parts: usize,
    },
    /// Something the planner knows.
    Left,
    Unknown,
}

impl Scope<'_> {
    /// The longest column name first, the innermost FROM clause first; records what is needed.
    pub(super) fn find(&self, path: &Path) -> Meaning<'_> {
        for parts in (1..=path.parts.len()).rev() {
            if let Some(meaning) = self.find_exactly(&path.parts[..parts], parts == path.parts.len()) {
                return meaning;
            }
        }
        let joined = path.parts.join(".");
        if self.knows_alias(&joined) {
            return Meaning::Left;
        }
        match self.find_held(&path.parts) {
            Some(meaning) => meaning,
            None if self.is_open() => Meaning::Left,
            None => Meaning::Unknown,
        }
    }

    /// A name that is no column anywhere, and may have values all the same.
    fn find_held(&self, parts: &[String]) -> Option<Meaning<'_>> {
        // The longest qualifier first: `orders.orders.o17` of an alias `orders` is its `orders.o17`.
        let own = (0..parts.len().min(3)).rev().find_map(|qualifiers| {
            let qualifier: Vec<&str> = parts[..qualifiers].iter().map(String::as_str).collect();
            let name = parts[qualifiers..].join(".");
            let mut found = self
                .relations
                .iter()
                .filter(|relation| (qualifiers == 0 || relation.is_called(&qualifier)) && relation.may_hold(&name));
            let relation = found.next()?;
            relation.need(&name);
            let qualifier = (qualifiers > 0).then(|| relation.alias.clone());
            Some(Meaning::Column { relation, qualifier, name, parts: parts.len() })
        });
        own.or_else(|| self.outer.and_then(|outer| outer.find_held(parts)))
    }

    /// `whole`: no parts are left; otherwise they would be fields, which only columns of subqueries can have.
    fn find_exactly(&self, parts: &[String], whole: bool) -> Option<Meaning<'_>> {
        for qualifiers in 0..parts.len().min(3) {
            let qualifier: Vec<&str> = parts[..qualifiers].iter().map(String::as_str).collect();
            let name = parts[qualifiers..].join(".");
            let mut found = self.relations.iter().filter(|relation| {
                (qualifiers == 0 || relation.is_called(&qualifier))
                    && relation.has(&name)
                    && (whole || matches!(relation.columns, Columns::Output(_)))
            });
            if let Some(relation) = found.next() {
                relation.need(&name);
                found.for_each(|also| also.need(&name));
                let qualifier = (qualifiers > 0).then(|| relation.alias.clone());
                return Some(Meaning::Column { relation, qualifier, name, parts: parts.len() });
            }
        }
        self.outer.and_then(|outer| outer.find_exactly(parts, whole))
    }

    fn knows_alias(&self, name: &str) -> bool {
        self.aliases.iter().any(|alias| alias == name) || self.outer.is_some_and(|outer| outer.knows_alias(name))
    }

    fn is_open(&self) -> bool {
        self.relations.iter().any(Relation::is_open) || self.outer.is_some_and(Scope::is_open)
    }

    /// Every name in scope, for suggestions.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.relations.iter().flat_map(Relation::names).collect();
        names.extend(self.aliases.iter().cloned());
        names.extend(self.outer.map(Scope::names).unwrap_or_default());
        names
    }
}

/// A name the planner takes as it is.
pub(super) fn quoted(name: &str, span: Span) -> Ident {
    Ident { value: name.to_owned(), quote_style: Some('"'), span }
}

/// A column as the planner wants it.
pub(super) fn column(qualifier: Option<&str>, name: &str, span: Span) -> Expr {
    match qualifier {
        Some(qualifier) => Expr::CompoundIdentifier(vec![quoted(qualifier, span), quoted(name, span)]),
        None => Expr::Identifier(quoted(name, span)),
    }
}
