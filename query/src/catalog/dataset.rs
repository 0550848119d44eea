//! One dataset at one instant: its snapshot, its SQL columns, and the plan of `events`.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use datafusion::{
    catalog::default_table_source::provider_as_source,
    common::{Result, TableReference, metadata::FieldMetadata},
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder},
};
use store::{DatasetName, Snapshot, Timestamp};

use crate::{
    columns::{Columns, Definition, Physical, system_type},
    table::EventTable,
};

/// Key of the field metadata that marks JSON text.
pub(crate) const JSON_MARK: &str = "yellowline.json";

/// A frozen snapshot and what SQL sees of it.
#[derive(Debug)]
pub(crate) struct Dataset {
    snapshot: Arc<Snapshot>,
    columns: Columns,
}

impl Dataset {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        let columns = Columns::new(Arc::clone(&snapshot.schema), Arc::clone(&snapshot.aliases));
        Self { snapshot: Arc::new(snapshot), columns }
    }

    /// A dataset nobody has written to.
    pub(crate) fn empty(dataset: DatasetName) -> Self {
        Self::new(Snapshot {
            dataset,
            schema: Arc::default(),
            aliases: Arc::default(),
            hot: Vec::new(),
            root: PathBuf::new(),
            files: Vec::new(),
        })
    }

    pub(crate) fn name(&self) -> &DatasetName {
        &self.snapshot.dataset
    }

    pub(crate) fn columns(&self) -> &Columns {
        &self.columns
    }

    pub(crate) fn fresh_to(&self) -> Option<Timestamp> {
        let hot = self.snapshot.hot.iter().map(|hot| hot.time_max);
        hot.chain(self.snapshot.files.iter().map(|file| file.time_max)).max()
    }

    /// The events, these columns.
    pub(crate) fn events(&self, names: &[String]) -> Result<LogicalPlan> {
        let named: Vec<(&str, Definition)> =
            names.iter().filter_map(|name| Some((name.as_str(), self.columns.define(name)?))).collect();
        self.project(named)
    }

    /// A scan of what these definitions need, giving them under these names.
    pub(crate) fn project(&self, named: Vec<(&str, Definition)>) -> Result<LogicalPlan> {
        let mut physical: Vec<Physical> =
            named.iter().flat_map(|(_, definition)| definition.physical.clone()).collect();
        let time = |name: &str, definition: &Definition| name == "time" && definition.physical.len() == 1;
        let mut exprs: Vec<Expr> = Vec::with_capacity(named.len() + 1);
        // Every scan can be cut by time, and none is without columns.
        if let (false, Some(data_type)) = (named.iter().any(|(name, one)| time(name, one)), system_type("time")) {
            physical.push(Physical { name: "time".to_owned(), data_type });
        }
        for (name, definition) in named {
            exprs.push(alias(name, definition));
        }
        if exprs.is_empty() {
            exprs.push(Expr::Column(datafusion::common::Column::new_unqualified("time")));
        }
        self.scan(physical)?.project(exprs)?.build()
    }

    /// A bare scan of physical columns.
    pub(crate) fn scan(&self, physical: Vec<Physical>) -> Result<LogicalPlanBuilder> {
        let table = EventTable::new(Arc::clone(&self.snapshot), physical);
        let name = match self.name().as_str().split_once('.') {
            Some((schema, table)) => TableReference::partial(schema, table),
            None => TableReference::partial(self.name().as_str(), "events"),
        };
        LogicalPlanBuilder::scan(name, provider_as_source(Arc::new(table)), None)
    }
}

/// An expression under its SQL name, marked if it is JSON text.
pub(crate) fn alias(name: &str, definition: Definition) -> Expr {
    if definition.json {
        let mark = HashMap::from([(JSON_MARK.to_owned(), "true".to_owned())]);
        definition.expr.alias_with_metadata(name, Some(FieldMetadata::from(mark)))
    } else {
        definition.expr.alias(name)
    }
}
