//! `messages` and `probes`: one row per element of the parallel lists, beside the columns of its event.
//!
//! The element's own fields come under their names (`text`, `level`, `sql_ms` …), every column of the event under its name too, so
//! that messages are sliced by rollout or variant without a join; where both have a name it is the element's, and
//! `event.<name>` is the event's. Messages also have `template` (the one sent, else the text with its variable parts masked) and
//! `template_id`, which is made of the template alone and so the same everywhere and always.

use std::sync::Arc;

use datafusion::{
    common::{Column as ColumnName, Result, UnnestOptions},
    functions::core::expr_fn::coalesce,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, lit},
};
use store::{Class, Column};

use super::dataset::Dataset;
use crate::{
    columns::{Comparison, Definition},
    functions::{message_template, template_id},
};

/// Prefix under which lists travel through the unnesting, apart from the event's columns.
const ELEMENT: &str = "element:";
/// Names the event's column where the element has one of the same name.
pub(crate) const EVENT: &str = "event.";
/// Lists read even if not needed, the fullest first. Elements of events that have neither these nor a needed list are found by a
/// second look at just those events.
const ANCHORS: usize = 2;

const MESSAGES: &str = "messages.";
const TEXT: &str = "messages.text";
const TEMPLATE: &str = "messages.template";

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
    /// The template of a message.
    Template,
    TemplateId,
}

impl Elements {
    pub(super) fn new(dataset: Arc<Dataset>, kind: &str) -> Self {
        Self { dataset, prefix: format!("{kind}.") }
    }

    fn lists(&self) -> impl Iterator<Item = &Column> {
        let columns = &self.dataset.columns().schema().columns;
        columns.iter().filter(|column| column.class == Class::List && column.name.starts_with(&self.prefix))
    }

    fn has_list(&self, list: &str) -> bool {
        self.dataset.columns().schema().column(list).is_some_and(|column| column.class == Class::List)
    }

    fn origin<'n>(&self, name: &'n str) -> Option<Origin<'n>> {
        match name {
            "template" if self.prefix == MESSAGES => return Some(Origin::Template),
            "template_id" if self.prefix == MESSAGES => return Some(Origin::TemplateId),
            _ => {}
        }
        let list = format!("{}{name}", self.prefix);
        if self.has_list(&list) {
            return Some(Origin::Element(list));
        }
        let is_known = |name: &str| self.dataset.columns().contains(name) || self.dataset.columns().may_hold(name);
        let name = name.strip_prefix(EVENT).filter(|inner| is_known(inner)).unwrap_or(name);
        is_known(name).then_some(Origin::Event(name))
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.origin(name).is_some() && !self.may_hold(name)
    }

    /// True for a name that is no column of the event, and may have values all the same.
    pub(super) fn may_hold(&self, name: &str) -> bool {
        matches!(self.origin(name), Some(Origin::Event(name)) if self.dataset.columns().may_hold(name))
    }

    pub(super) fn comparison(&self, name: &str) -> Comparison {
        match self.origin(name) {
            Some(Origin::Event(name)) => self.dataset.columns().comparison(name),
            _ => Comparison::Plain,
        }
    }

    /// Time and id of the event, then the element's fields.
    pub(super) fn listed(&self) -> Vec<String> {
        let fields = self.lists().map(|column| column.name[self.prefix.len()..].to_owned());
        let mut names: Vec<String> = ["time", "event_id"].map(ToOwned::to_owned).into_iter().chain(fields).collect();
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }

    pub(super) fn names(&self) -> Vec<String> {
        let mut names = self.listed();
        if self.prefix == MESSAGES {
            names.extend(["template".to_owned(), "template_id".to_owned()]);
        }
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
                Origin::Event(name) if !events.contains(name) => events.push(name),
                other => self.add_lists(other, &mut lists),
            }
        }
        let exprs = |lists: &[String]| self.exprs(&origins, &lists[0]);
        let rows = self.rows(&lists, &events, None)?.project(exprs(&lists))?;
        let others: Vec<String> =
            self.lists().map(|column| column.name.clone()).filter(|list| !lists.contains(list)).collect();
        if others.is_empty() {
            return rows.build();
        }
        // Almost always no event is left: the filter is evaluated on the first lists alone, before any other is read.
        let absent = lists.iter().map(|list| column(&format!("{ELEMENT}{list}")).is_null()).reduce(Expr::and);
        let all: Vec<String> = lists.iter().chain(&others).cloned().collect();
        let rest = self.rows(&all, &events, absent)?.project(exprs(&all))?.build()?;
        rows.union(rest)?.build()
    }

    /// Unnests these lists beside these columns of the event, of the events that match.
    fn rows(&self, lists: &[String], events: &[&str], filter: Option<Expr>) -> Result<LogicalPlanBuilder> {
        let unnested: Vec<String> = lists.iter().map(|list| format!("{ELEMENT}{list}")).collect();
        let columns = self.dataset.columns();
        let of_lists =
            unnested.iter().zip(lists).filter_map(|(name, list)| Some((name.as_str(), columns.define(list)?)));
        let of_events = events.iter().filter_map(|name| Some((*name, columns.define(name)?)));
        let mut plan = LogicalPlanBuilder::from(self.dataset.project(of_lists.chain(of_events).collect())?);
        if let Some(filter) = filter {
            plan = plan.filter(filter)?;
        }
        let options = UnnestOptions::new().with_preserve_nulls(false);
        let columns = unnested.into_iter().map(ColumnName::new_unqualified).collect();
        plan.unnest_columns_with_options(columns, options)
    }

    fn add_lists(&self, origin: &Origin<'_>, lists: &mut Vec<String>) {
        let wanted = match origin {
            Origin::Element(list) => vec![list.clone()],
            Origin::Template | Origin::TemplateId => {
                [TEMPLATE, TEXT].into_iter().filter(|list| self.has_list(list)).map(ToOwned::to_owned).collect()
            }
            Origin::Event(_) => Vec::new(),
        };
        lists.extend(wanted.into_iter().filter(|list| !lists.contains(list)).collect::<Vec<_>>());
    }

    fn exprs(&self, origins: &[(&String, Origin<'_>)], first: &str) -> Vec<Expr> {
        let mut exprs: Vec<Expr> = origins
            .iter()
            .map(|(name, origin)| {
                let value = match origin {
                    Origin::Element(list) => column(&format!("{ELEMENT}{list}")),
                    Origin::Event(name) => column(name),
                    Origin::Template => self.template(),
                    Origin::TemplateId => template_id(self.template()),
                };
                value.alias(name.as_str())
            })
            .collect();
        if exprs.is_empty() {
            exprs.push(column(&format!("{ELEMENT}{first}")));
        }
        exprs
    }

    /// The template as sent, else made of the text.
    fn template(&self) -> Expr {
        let text = |list: &str| cast(column(&format!("{ELEMENT}{list}")), arrow::datatypes::DataType::Utf8View);
        match (self.has_list(TEMPLATE), self.has_list(TEXT)) {
            (true, true) => coalesce(vec![text(TEMPLATE), message_template(text(TEXT))]),
            (true, false) => text(TEMPLATE),
            (false, true) => message_template(text(TEXT)),
            (false, false) => lit(datafusion::common::ScalarValue::Utf8View(None)),
        }
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
        let mut named: Vec<(&str, Definition)> =
            names.iter().filter_map(|name| Some((name.as_str(), define(name)?))).collect();
        let text = columns.first_text_of::<&str>(&[]);
        let template =
            names.iter().filter(|name| matches!(self.origin(name), Some(Origin::Template | Origin::TemplateId)));
        named.extend(template.map(|name| (name.as_str(), text.clone())));
        LogicalPlanBuilder::from(self.dataset.project(named)?).filter(lit(false))?.build()
    }
}

fn column(name: &str) -> Expr {
    Expr::Column(ColumnName::new_unqualified(name))
}
