//! Which tables exist: one schema per dataset (`events`, `messages`, `probes`, `exposures`, `message_templates`), `system`, `information_schema`.
//!
//! A catalog lives for one statement. It takes one snapshot of each dataset the statement names, so that a self-join, or a join of
//! `events` with `messages`, sees the same events on both sides.

mod dataset;
mod elements;
mod exposures;
mod fixed;
mod system;

use std::{collections::BTreeMap, sync::Arc};

use datafusion::{common::Result as PlanResult, logical_expr::LogicalPlan, sql::sqlparser::tokenizer::Location};
use parking_lot::Mutex;
use store::{DatasetName, Snapshot, Timestamp};

pub(crate) use dataset::{Dataset, JSON_MARK};
pub(crate) use elements::EVENT;
pub(crate) use fixed::{Facts, Fixed, QueryRow, shares, sql_type};
pub(crate) use system::View as SystemView;

use crate::{
    columns::Comparison,
    error::{Error, Position},
    names::{Needs, nearest},
    questions::{Call, MESSAGE_TEMPLATES},
};

/// The schema of our own tables.
pub(crate) const SYSTEM: &str = "system";
const INFORMATION: &str = "information_schema";
/// Tables of every dataset.
pub(crate) const DATASET_TABLES: [&str; 5] = ["events", "messages", "probes", "exposures", "message_templates"];

/// Where snapshots come from.
pub(crate) trait Source: Send + Sync {
    fn names(&self) -> Vec<DatasetName>;
    fn snapshot(&self, dataset: &DatasetName) -> Option<Snapshot>;
    /// Rows of the tables that are no events.
    fn facts(&self) -> Facts;
    /// Every data file.
    fn files(&self) -> Vec<store::FileSummary>;
    /// How the files of each dataset fare.
    fn upkeep(&self) -> Vec<store::Upkeep>;
}

impl Source for store::Store {
    fn names(&self) -> Vec<DatasetName> {
        self.datasets().into_iter().map(|summary| summary.name).collect()
    }

    fn snapshot(&self, dataset: &DatasetName) -> Option<Snapshot> {
        Self::snapshot(self, dataset)
    }

    fn facts(&self) -> Facts {
        Facts { datasets: self.datasets(), ingest: self.ingest_counts(), queries: Vec::new() }
    }

    fn files(&self) -> Vec<store::FileSummary> {
        Self::files(self)
    }

    fn upkeep(&self) -> Vec<store::Upkeep> {
        Self::upkeep(self)
    }
}

/// The tables one statement can name.
pub(crate) struct Catalog<'s> {
    source: &'s dyn Source,
    names: Vec<DatasetName>,
    default: Option<String>,
    /// Tables of `system` are the events they are kept as, each revision a row.
    stored_rows: bool,
    taken: Mutex<BTreeMap<String, Arc<Dataset>>>,
}

impl std::fmt::Debug for Catalog<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalog").field("names", &self.names).field("default", &self.default).finish_non_exhaustive()
    }
}

impl<'s> Catalog<'s> {
    /// `default`: the dataset unqualified table names live in; with a single dataset, that one.
    pub(crate) fn new(source: &'s dyn Source, default: Option<&str>) -> Self {
        let names = source.names();
        let mut users = names.iter().filter(|name| !name.is_system());
        let only = match (users.next(), users.next()) {
            (Some(only), None) => Some(only.as_str().to_owned()),
            _ => None,
        };
        let default = default.map(ToOwned::to_owned).or(only);
        Self { source, names, default, stored_rows: false, taken: Mutex::new(BTreeMap::new()) }
    }

    /// The same datasets, those of `system` as they are kept: no row stands for others.
    pub(crate) fn of_stored_rows(source: &'s dyn Source) -> Self {
        Self { stored_rows: true, ..Self::new(source, None) }
    }

    /// The dataset of this name, its snapshot taken at first use.
    pub(crate) fn dataset(&self, name: &DatasetName) -> Option<Arc<Dataset>> {
        let mut taken = self.taken.lock();
        if let Some(dataset) = taken.get(name.as_str()) {
            return Some(Arc::clone(dataset));
        }
        let dataset = Arc::new(Dataset::new(self.source.snapshot(name)?));
        taken.insert(name.as_str().to_owned(), Arc::clone(&dataset));
        Some(dataset)
    }

    /// A user's dataset by its name in SQL.
    ///
    /// # Errors
    /// `unknown_dataset` with the nearest names.
    pub(crate) fn user_dataset(&self, name: &str) -> Result<Arc<Dataset>, Error> {
        let known = self.names.iter().find(|known| known.as_str() == name);
        known.and_then(|known| self.dataset(known)).ok_or_else(|| {
            let names = self.names.iter().filter(|known| !known.is_system()).map(DatasetName::as_str);
            Error::UnknownDataset { name: name.to_owned(), nearest: nearest(name, names) }
        })
    }

    /// The dataset unqualified names live in.
    pub(crate) fn default_dataset(&self) -> Option<&str> {
        self.default.as_deref()
    }

    /// The newest event any dataset of the statement holds.
    pub(crate) fn fresh_to(&self) -> Option<Timestamp> {
        self.taken
            .lock()
            .values()
            .filter(|dataset| !dataset.name().is_system())
            .filter_map(|dataset| dataset.fresh_to())
            .max()
    }

    /// Finds a table, and its schema and name: `shop.events`, `events` of the default dataset, `shop` (its events), `changes` (of `system`).
    ///
    /// # Errors
    /// `unknown_table` with the nearest names.
    pub(crate) fn table(&self, parts: &[String], location: Location) -> Result<([String; 2], Arc<Table>), Error> {
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let found = match parts.as_slice() {
            [schema, table] => self.qualified(schema, table),
            [schema @ .., table] if schema.len() > 1 => self.qualified(&schema.join("."), table),
            [table] => self.unqualified(table),
            _ => None,
        };
        found.ok_or_else(|| {
            let name = parts.join(".");
            let nearest = self.near(&name);
            Error::UnknownTable { name, nearest, position: Position::of(location) }
        })
    }

    /// Tables called much like this; an unqualified name may also lack its dataset.
    fn near(&self, name: &str) -> Vec<String> {
        let all = self.tables();
        let full: Vec<String> = all.iter().map(|[schema, table]| format!("{schema}.{table}")).collect();
        let mut near = nearest(name, full.iter().map(String::as_str));
        if near.is_empty() && !name.contains('.') {
            let like = nearest(name, all.iter().map(|[_, table]| table.as_str()));
            let is_like = |[_, table]: &[String; 2]| like.first() == Some(table);
            near = all.iter().zip(full).filter(|(table, _)| is_like(table)).map(|(_, full)| full).take(3).collect();
        }
        near
    }

    fn unqualified(&self, table: &str) -> Option<([String; 2], Arc<Table>)> {
        let of_default = || self.default.as_deref().and_then(|schema| self.qualified(schema, table));
        of_default().or_else(|| self.qualified(table, "events")).or_else(|| self.qualified(SYSTEM, table))
    }

    fn qualified(&self, schema: &str, table: &str) -> Option<([String; 2], Arc<Table>)> {
        let found = match schema {
            INFORMATION => Table::Fixed(Fixed::information(table, self)?),
            SYSTEM => self.system(table)?,
            _ => {
                let name = self.names.iter().find(|name| name.as_str() == schema && !name.is_system())?;
                let dataset = self.dataset(name)?;
                match table {
                    "events" => Table::Events(dataset),
                    "messages" | "probes" => Table::Elements(elements::Elements::new(dataset, table)),
                    "exposures" => Table::Exposures(dataset),
                    "message_templates" => Table::Question(Call::view(&MESSAGE_TEMPLATES, schema)),
                    _ => return None,
                }
            }
        };
        Some(([schema.to_owned(), table.to_owned()], Arc::new(found)))
    }

    fn system(&self, table: &str) -> Option<Table> {
        if !self.stored_rows
            && let Some(fixed) = Fixed::system(table, self)
        {
            return Some(Table::Fixed(fixed));
        }
        let name = DatasetName::system(table);
        let dataset = self.dataset(&name);
        match (system::known(table).filter(|_| !self.stored_rows), dataset) {
            (Some(known), dataset) => {
                let dataset = dataset.unwrap_or_else(|| Arc::new(Dataset::empty(name)));
                Some(Table::System(SystemView::new(dataset, known)))
            }
            (None, Some(dataset)) => Some(Table::Events(dataset)),
            (None, None) => None,
        }
    }

    /// Every table there is.
    pub(crate) fn tables(&self) -> Vec<[String; 2]> {
        let mut tables = Vec::new();
        for name in self.names.iter().filter(|name| !name.is_system()) {
            tables.extend(DATASET_TABLES.iter().map(|table| [name.as_str().to_owned(), (*table).to_owned()]));
        }
        let own = system::NAMES.iter().chain(fixed::SYSTEM_NAMES.iter()).map(|name| (*name).to_owned());
        let others = self.names.iter().filter_map(|name| name.as_str().strip_prefix("system.")).map(ToOwned::to_owned);
        let mut own: Vec<String> = own.chain(others).collect();
        own.sort();
        own.dedup();
        tables.extend(own.into_iter().map(|table| [SYSTEM.to_owned(), table]));
        tables
    }

    pub(crate) fn user_datasets(&self) -> Vec<Arc<Dataset>> {
        self.names.iter().filter(|name| !name.is_system()).filter_map(|name| self.dataset(name)).collect()
    }

    fn facts(&self) -> Facts {
        self.source.facts()
    }

    fn files(&self) -> Vec<store::FileSummary> {
        self.source.files()
    }

    fn upkeep(&self) -> Vec<store::Upkeep> {
        self.source.upkeep()
    }
}

/// One table: its names, and its plan for the columns a statement needs.
#[derive(Debug)]
pub(crate) enum Table {
    /// A dataset's events.
    Events(Arc<Dataset>),
    /// Messages or probes, one row each.
    Elements(elements::Elements),
    /// Who saw which variant first when.
    Exposures(Arc<Dataset>),
    /// Our own events, as the reader wants them.
    System(SystemView),
    /// Rows from memory.
    Fixed(Fixed),
    /// The answer to a question.
    Question(Call),
}

impl Table {
    /// True if the table has this column.
    pub(crate) fn contains(&self, name: &str) -> bool {
        match self {
            Self::Events(dataset) => dataset.columns().contains(name),
            Self::Elements(elements) => elements.contains(name),
            Self::Exposures(_) => exposures::COLUMNS.contains(&name),
            Self::System(view) => view.contains(name),
            Self::Fixed(fixed) => fixed.contains(name),
            Self::Question(call) => call.signature.columns.iter().any(|(known, _)| *known == name),
        }
    }

    /// True for a name that is no column, and may have values all the same: below a prefix whose keys are ids.
    pub(crate) fn may_hold(&self, name: &str) -> bool {
        match self {
            Self::Events(dataset) => dataset.columns().may_hold(name),
            Self::Elements(elements) => elements.may_hold(name),
            Self::Exposures(_) | Self::System(_) | Self::Fixed(_) | Self::Question(_) => false,
        }
    }

    /// The names `*` means.
    pub(crate) fn listed(&self) -> Vec<String> {
        match self {
            Self::Events(dataset) => dataset.columns().listed(),
            Self::Elements(elements) => elements.listed(),
            Self::Exposures(_) => exposures::COLUMNS.iter().map(|name| (*name).to_owned()).collect(),
            Self::System(view) => view.listed(),
            Self::Fixed(fixed) => fixed.listed(),
            Self::Question(call) => call.signature.columns.iter().map(|(name, _)| (*name).to_owned()).collect(),
        }
    }

    /// Every name worth suggesting.
    pub(crate) fn names(&self) -> Vec<String> {
        match self {
            Self::Events(dataset) => dataset.columns().names().map(ToOwned::to_owned).collect(),
            Self::Elements(elements) => elements.names(),
            _ => self.listed(),
        }
    }

    /// How to compare a column with a number.
    pub(crate) fn comparison(&self, name: &str) -> Comparison {
        match self {
            Self::Events(dataset) => dataset.columns().comparison(name),
            Self::Elements(elements) => elements.comparison(name),
            Self::Exposures(_) | Self::System(_) | Self::Fixed(_) | Self::Question(_) => Comparison::Plain,
        }
    }

    /// The logical plan that gives the needed columns under their names.
    pub(crate) fn plan(&self, needs: &Needs) -> PlanResult<LogicalPlan> {
        let mut names = if needs.star { self.listed() } else { Vec::new() };
        let listed: std::collections::HashSet<String> = names.iter().cloned().collect();
        names.extend(needs.columns.iter().filter(|name| !listed.contains(*name)).cloned());
        match self {
            Self::Events(dataset) => dataset.events(&names),
            Self::Elements(elements) => elements.plan(&names),
            Self::Exposures(dataset) => exposures::plan(dataset),
            Self::System(view) => view.plan(&names),
            Self::Fixed(fixed) => fixed.plan(),
            // Its statements are planned by the session; this is what DESCRIBE and the list of columns need.
            Self::Question(call) => call.signature.empty(),
        }
    }
}
