//! `messages` and `probes`: one row per element of the parallel lists, beside the columns of its event.
//!
//! The element's own fields come under their names (`text`, `level`, `sql_ms` …), every column of the event under its name too, so
//! that messages are sliced by rollout or variant without a join; where both have a name it is the element's, and
//! `event.<name>` is the event's.

use std::sync::Arc;

use datafusion::{
    common::{Column as ColumnName, Result, UnnestOptions},
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit},
};
use store::{Class, Column};

use super::dataset::Dataset;
use crate::columns::{Comparison, Definition};

/// Prefix under which lists travel through the unnesting, apart from the event's columns.
const ELEMENT: &str = "element:";
/// Names the event's column where the element has one of the same name.
const EVENT: &str = "event.";
/// Lists read even if not needed, the fullest first: they hold every element, those without the needed fields too.
const ANCHORS: usize = 2;

/// The elements of one kind.
#[derive(Debug)]
pub(crate) struct Elements {
    dataset: Arc<Dataset>,
    /// `messages.` or `probes.`
    prefix: String,
}

enum Origin<'n> {
    /// A field of the element: the list's full name.
    Element(String),
    /// A column of the event.
    Event(&'n str),
}

impl Elements {
    pub(super) fn new(dataset: Arc<Dataset>, kind: &str) -> Self {
        Self { dataset, prefix: format!("{kind}.") }
    }

    fn lists(&self) -> impl Iterator<Item = &Column> {
        let columns = &self.dataset.columns().schema().columns;
        columns.iter().filter(|column| column.class == Class::List && column.name.starts_with(&self.prefix))
    }

    fn origin<'n>(&self, name: &'n str) -> Option<Origin<'n>> {
        let list = format!("{}{name}", self.prefix);
        let schema = self.dataset.columns().schema();
        if schema.column(&list).is_some_and(|column| column.class == Class::List) {
            return Some(Origin::Element(list));
        }
        let name = name.strip_prefix(EVENT).filter(|inner| self.dataset.columns().contains(inner)).unwrap_or(name);
        self.dataset.columns().contains(name).then_some(Origin::Event(name))
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.origin(name).is_some()
    }

    pub(super) fn comparison(&self, name: &str) -> Comparison {
        match self.origin(name) {
            Some(Origin::Event(name)) => self.dataset.columns().comparison(name),
            _ => Comparison::Plain,
        }
    }

    /// `*`: when and in which event, then the element's fields.
    pub(super) fn listed(&self) -> Vec<String> {
        let fields = self.lists().map(|column| column.name[self.prefix.len()..].to_owned());
        let event = ["time", "event_id"].map(ToOwned::to_owned).into_iter();
        let mut names: Vec<String> = event.chain(fields).collect();
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }

    pub(super) fn names(&self) -> Vec<String> {
        let mut names = self.listed();
        names.extend(
            self.dataset.columns().names().filter(|name| !name.starts_with(&self.prefix)).map(ToOwned::to_owned),
        );
        names
    }

    pub(super) fn plan(&self, names: &[String]) -> Result<LogicalPlan> {
        let origins: Vec<(&String, Origin<'_>)> =
            names.iter().filter_map(|name| Some((name, self.origin(name)?))).collect();
        let mut lists: Vec<String> = self.anchors();
        if lists.is_empty() {
            return self.nothing(names);
        }
        let mut events: Vec<&str> = Vec::new();
        for (_, origin) in &origins {
            match origin {
                Origin::Element(list) if !lists.contains(list) => lists.push(list.clone()),
                Origin::Event(name) if !events.contains(name) => events.push(name),
                _ => {}
            }
        }
        let unnested: Vec<String> = lists.iter().map(|list| format!("{ELEMENT}{list}")).collect();
        let columns = self.dataset.columns();
        let of_lists =
            unnested.iter().zip(&lists).filter_map(|(name, list)| Some((name.as_str(), columns.define(list)?)));
        let of_events = events.iter().filter_map(|name| Some((*name, columns.define(name)?)));
        let plan = self.dataset.project(of_lists.chain(of_events).collect())?;
        let options = UnnestOptions::new().with_preserve_nulls(false);
        let columns = unnested.into_iter().map(ColumnName::new_unqualified).collect();
        let rows = LogicalPlanBuilder::from(plan).unnest_columns_with_options(columns, options)?;
        let mut exprs: Vec<Expr> = origins
            .into_iter()
            .map(|(name, origin)| {
                let inner = match origin {
                    Origin::Element(list) => format!("{ELEMENT}{list}"),
                    Origin::Event(column) => column.to_owned(),
                };
                Expr::Column(ColumnName::new_unqualified(inner)).alias(name)
            })
            .collect();
        if exprs.is_empty() {
            exprs.push(Expr::Column(ColumnName::new_unqualified(format!("{ELEMENT}{}", lists[0]))));
        }
        rows.project(exprs)?.build()
    }

    fn anchors(&self) -> Vec<String> {
        let mut lists: Vec<(u64, &str)> = self
            .lists()
            .map(|column| (column.variants.iter().map(|variant| variant.values).sum(), column.name.as_str()))
            .collect();
        lists.sort_by(|(a, a_name), (b, b_name)| b.cmp(a).then_with(|| a_name.cmp(b_name)));
        lists.into_iter().take(ANCHORS).map(|(_, name)| name.to_owned()).collect()
    }

    /// No event has had an element yet.
    fn nothing(&self, names: &[String]) -> Result<LogicalPlan> {
        let columns = self.dataset.columns();
        let define = |name: &String| columns.define(name.strip_prefix(EVENT).unwrap_or(name));
        let named: Vec<(&str, Definition)> =
            names.iter().filter_map(|name| Some((name.as_str(), define(name)?))).collect();
        LogicalPlanBuilder::from(self.dataset.project(named)?).filter(lit(false))?.build()
    }
}
