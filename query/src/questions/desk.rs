//! What a question is asked over: the dataset of a call, its names, and the statements a call becomes.

use std::sync::Arc;

use datafusion::sql::sqlparser::{
    ast::{Expr, Query, SetExpr},
    tokenizer::Location,
};

use super::{
    DATASET,
    answer::Answering,
    call::{Call, Spot, inside, literal},
};
use crate::{
    catalog::{Catalog, Dataset, Table},
    error::{Error, Position, quoted},
    names::{Unknown, nearest, resolve},
    parse::{Command, parse, parse_expression},
};

/// What a call becomes.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Texts of the call to be planned by themselves first, so that what is wrong in them is told at its place.
    pub(crate) checks: Vec<Check>,
    /// Statements over the same snapshots.
    pub(crate) inputs: Vec<String>,
    /// The computation over their rows; without one the only statement gives the answer.
    pub(crate) answer: Option<Arc<dyn Answering>>,
}

/// A text of a call that has to work over a table.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) spot: Spot,
    /// As SQL names it.
    pub(crate) table: String,
    pub(crate) wants: Wants,
}

/// What a text has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wants {
    Condition,
    /// A number, or a boolean that counts as 0 or 1.
    Number,
}

impl Check {
    /// The statement that is planned to see whether the text works.
    ///
    /// # Errors
    /// `sql_syntax`, at its place in the outer statement.
    pub(crate) fn query(&self) -> Result<Box<Query>, Error> {
        let expr = parse_expression(&self.spot.text).map_err(|error| inside(&self.spot, error))?;
        select(&self.table, expr, self.wants == Wants::Condition).map_err(|error| inside(&self.spot, error))
    }
}

/// `SELECT <expr> FROM <table>`, or `SELECT 1 FROM <table> WHERE <expr>`.
fn select(table: &str, expr: Expr, is_condition: bool) -> Result<Box<Query>, Error> {
    use datafusion::sql::sqlparser::ast::SelectItem;
    let Command::Query(mut query) = parse(&format!("SELECT 1 AS value FROM {table} AS t"))? else {
        return Err(Error::invalid("no query", Location::empty()));
    };
    if let SetExpr::Select(select) = query.body.as_mut() {
        if is_condition {
            select.selection = Some(expr);
        } else if let Some(SelectItem::ExprWithAlias { expr: item, .. }) = select.projection.first_mut() {
            *item = expr;
        }
    }
    Ok(query)
}

/// A call's dataset and the names in it.
pub(crate) struct Desk<'a> {
    catalog: &'a Catalog<'a>,
    dataset: Arc<Dataset>,
}

impl std::fmt::Debug for Desk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("dataset", self.dataset.name()).finish_non_exhaustive()
    }
}

impl<'a> Desk<'a> {
    /// # Errors
    /// `unknown_dataset`, or `sql_invalid` if the call leaves open which one is meant.
    pub(crate) fn new(call: &Call, catalog: &'a Catalog<'a>) -> Result<Self, Error> {
        if !call.signature.parameters.iter().any(|one| one.name == DATASET.name) {
            let nothing = Dataset::empty(store::DatasetName::system("nothing"));
            return Ok(Self { catalog, dataset: Arc::new(nothing) });
        }
        let dataset = match (call.spot("dataset"), catalog.default_dataset()) {
            (Some(spot), _) => catalog.user_dataset(&spot.text)?,
            (None, Some(name)) => catalog.user_dataset(name)?,
            (None, None) => {
                let message = format!("{} has to know the dataset: dataset => 'shop'", call.signature.name);
                return Err(Error::invalid(message, call.at));
            }
        };
        Ok(Self { catalog, dataset })
    }

    pub(crate) fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// A table of the dataset as SQL names it: `events`, `messages`, `probes`.
    pub(crate) fn table(&self, name: &str) -> String {
        format!("{}.{name}", quoted(self.dataset.name().as_str()))
    }

    /// True if one of the dataset's tables has a column.
    pub(crate) fn has(&self, table: &str, column: &str) -> bool {
        let parts = [self.dataset.name().as_str().to_owned(), table.to_owned()];
        self.catalog.table(&parts, Location::empty()).is_ok_and(|(_, table): (_, Arc<Table>)| table.contains(column))
    }

    /// A column if the table has it, else NULL as text.
    pub(crate) fn text_or_null(&self, table: &str, column: &str) -> String {
        if self.has(table, column) { quoted(column) } else { "CAST(NULL AS VARCHAR)".to_owned() }
    }

    /// The columns of the events a text speaks of.
    pub(crate) fn columns_of(&self, table: &str, spot: &Spot) -> Result<Vec<String>, Error> {
        let expr = parse_expression(&spot.text).map_err(|error| inside(spot, error))?;
        let mut query = select(&self.table(table), expr, true)?;
        let resolved = resolve(&mut query, self.catalog, Unknown::Refused).map_err(|error| inside(spot, error))?;
        Ok(resolved.references.into_iter().flat_map(|reference| reference.needs.columns).collect())
    }

    /// The weight of an event; `prefix` is `event.` in tables of elements.
    pub(crate) fn weight(&self, prefix: &str) -> String {
        if self.dataset.columns().contains("sample_rate#num") {
            format!("coalesce({}, 1.0)", quoted(&format!("{prefix}sample_rate#num")))
        } else {
            "1.0".to_owned()
        }
    }

    /// Who an event belongs to: the unit named, else the unit keys, else the event itself.
    pub(crate) fn unit(&self, named: Option<&Spot>, prefix: &str) -> Result<String, Error> {
        let column = |name: &str| quoted(&format!("{prefix}{name}"));
        let columns = self.dataset.columns();
        if let Some(spot) = named {
            if columns.contains(&spot.text) || columns.may_hold(&spot.text) {
                return Ok(format!("coalesce({}, {})", column(&text_name(&spot.text)), column("event_id")));
            }
            let nearest = nearest(&spot.text, columns.names());
            return Err(Error::UnknownColumn {
                name: spot.text.clone(),
                nearest: crate::error::quote_all(&nearest),
                position: Position::of(spot.at),
            });
        }
        let keys = self.unit_keys().into_iter().map(|key| column(&text_name(key)));
        Ok(format!("coalesce({})", keys.chain([column("event_id")]).collect::<Vec<_>>().join(", ")))
    }

    /// The unit keys this dataset has.
    pub(crate) fn unit_keys(&self) -> Vec<&str> {
        let columns = self.dataset.columns();
        columns.aliases().unit.iter().map(String::as_str).filter(|key| columns.contains(key)).collect()
    }

    /// The variant of an experiment, as text; `event.` before it in tables of elements.
    pub(crate) fn variant(&self, experiment: &Spot, prefix: &str) -> Result<String, Error> {
        let name = format!("experiments.{}", experiment.text);
        if self.dataset.columns().contains(&name) {
            return Ok(quoted(&format!("{prefix}{name}#text")));
        }
        let known = self.dataset.columns().names().filter_map(|name| name.strip_prefix("experiments."));
        let near = nearest(&experiment.text, known);
        let hint = near.first().map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        let message = format!("no event has an experiment {}{hint}", experiment.text);
        Err(Error::invalid(message, experiment.at))
    }

    /// `AND rollout = '…' AND (filter)` of a call, and the check of its filter.
    pub(crate) fn narrowed(&self, call: &Call, table: &str, checks: &mut Vec<Check>) -> String {
        let prefix = if table == "events" { "" } else { crate::catalog::EVENT };
        let mut text = String::new();
        if let Some(release) = call.spot("release") {
            text.push_str(&format!(" AND {} = {}", quoted(&format!("{prefix}rollout")), literal(&release.text)));
        }
        if let Some(filter) = call.spot("filter") {
            checks.push(Check { spot: filter.clone(), table: self.table(table), wants: Wants::Condition });
            text.push_str(&format!(" AND {}", enclosed(&filter.text)));
        }
        text
    }
}

fn text_name(name: &str) -> String {
    if name.contains('#') || name == "event_id" { name.to_owned() } else { format!("{name}#text") }
}

/// A text of the user's as one operand; a comment at its end stays inside.
pub(crate) fn enclosed(text: &str) -> String {
    format!("({text}\n)")
}
