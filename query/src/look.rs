//! Questions that are no SQL: one event as it was sent, the columns of a dataset.

use std::sync::Arc;

use arrow::{
    array::AsArray,
    datatypes::{Int64Type, TimestampMicrosecondType},
};
use datafusion::{
    common::Column as ColumnName,
    execution::TaskContext,
    logical_expr::{Expr, lit},
    physical_plan::collect,
};
use serde_json::{Value, json};
use store::{DatasetName, Snapshot, Timestamp};

use crate::{
    catalog::{Catalog, Dataset, SYSTEM, Table, shares, sql_type},
    columns::{Columns, Physical, system_type},
    encode::{class_name, field_type, type_name},
    engine::{Engine, Inner},
    error::Error,
    names::{Needs, nearest},
    session::Statements,
    table::EventTable,
};

impl Engine {
    /// The event with this id as it was sent (null = absent), as JSON text.
    ///
    /// # Errors
    /// `unknown_dataset`, `event_not_found`.
    pub async fn event(&self, dataset: &str, id: &str) -> Result<String, Error> {
        let name = self.name_of(dataset)?;
        let snapshot = self.inner.store.snapshot(&name).ok_or_else(|| self.no_dataset(dataset))?;
        let inner = Arc::clone(&self.inner);
        let id = id.to_owned();
        self.on_threads(async move { event(&inner, snapshot, id).await }).await
    }

    /// The columns of a dataset as `GET /datasets/{d}/columns` lists them: most frequent first, system columns last.
    ///
    /// # Errors
    /// `unknown_dataset`.
    pub fn columns(&self, dataset: &str) -> Result<Vec<Value>, Error> {
        let catalog = Catalog::new(self.inner.as_ref(), None);
        match dataset.strip_prefix("system.") {
            Some(table) => {
                let parts = [SYSTEM.to_owned(), table.to_owned()];
                let found = catalog.table(&parts, datafusion::sql::sqlparser::tokenizer::Location::empty());
                let (_, table) = found.map_err(|_| self.no_dataset(dataset))?;
                Ok(planned_columns(&table))
            }
            None => catalog.user_dataset(dataset).map(|found| key_columns(&found)),
        }
    }

    /// The table of a dataset's events in SQL.
    pub(crate) fn table_of(&self, dataset: &str) -> Result<String, Error> {
        match self.name_of(dataset)?.as_str().split_once('.') {
            Some((schema, table)) => Ok(format!("{schema}.{table}")),
            None => Ok(format!("{dataset}.events")),
        }
    }

    /// Time of the newest event.
    pub(crate) fn newest(&self, dataset: &str) -> Option<Timestamp> {
        self.inner.store.datasets().into_iter().find(|one| one.name.as_str() == dataset)?.last_event
    }

    /// The dataset of this name, `system.*` included.
    ///
    /// # Errors
    /// `unknown_dataset` with the nearest names.
    pub fn name_of(&self, dataset: &str) -> Result<DatasetName, Error> {
        let known = self.inner.store.datasets().into_iter().map(|one| one.name).find(|name| name.as_str() == dataset);
        known.ok_or_else(|| self.no_dataset(dataset))
    }

    pub(crate) fn no_dataset(&self, name: &str) -> Error {
        let all = self.inner.store.datasets();
        let nearest = nearest(name, all.iter().map(|one| one.name.as_str()));
        Error::UnknownDataset { name: name.to_owned(), nearest }
    }
}

/// Looks in memory first, then scans the files for the id alone: bloom filters and statistics of `event_id` leave few row groups to
/// read. Only then is its row read, from the file that holds it, so that the columns of other events cost nothing.
async fn event(inner: &Inner, snapshot: Snapshot, id: String) -> Result<String, Error> {
    let dataset = snapshot.dataset.to_string();
    let rebuild = |source| Error::Rebuild { dataset: dataset.clone(), id: id.clone(), source };
    for hot in &snapshot.hot {
        let ids = hot.batch.column_by_name("event_id").and_then(|column| column.as_string_opt::<i32>());
        if let Some(row) = ids.and_then(|ids| ids.iter().position(|found| found == Some(id.as_str()))) {
            return inner.store.event_text(&snapshot.schema, &hot.batch, row).map_err(rebuild);
        }
    }
    let statements = inner.session.at(inner.clock.now());
    let snapshot = Arc::new(Snapshot { hot: Vec::new(), ..snapshot });
    let places =
        places(&statements, &snapshot, &id).await.map_err(|error| statements.error("looking for an event", error))?;
    for (seq, time) in places {
        for file in snapshot.files.iter().filter(|file| (file.time_min..=file.time_max).contains(&time)) {
            if let Some(text) = inner.store.event_text_in(&snapshot, file, seq, &id).map_err(rebuild)? {
                return Ok(text);
            }
        }
    }
    Err(Error::EventNotFound { dataset, id })
}

/// `seq` and `time` of the event with this id in the files; as events of different times may share an id, the first found.
async fn places(
    statements: &Statements,
    snapshot: &Arc<Snapshot>,
    id: &str,
) -> datafusion::common::Result<Vec<(i64, Timestamp)>> {
    let columns = ["seq", "time", "event_id"]
        .iter()
        .filter_map(|name| Some(Physical { name: (*name).to_owned(), data_type: system_type(name)? }));
    let table = EventTable::new(Arc::clone(snapshot), columns.collect());
    let wanted = Expr::Column(ColumnName::new_unqualified("event_id")).eq(lit(id));
    let plan = datafusion::logical_expr::LogicalPlanBuilder::scan(
        "events",
        datafusion::catalog::default_table_source::provider_as_source(Arc::new(table)),
        None,
    )?
    .filter(wanted)?
    .limit(0, Some(1))?
    .build()?;
    let physical = statements.state().create_physical_plan(&plan).await?;
    let batches = collect(physical, Arc::new(TaskContext::from(statements.state()))).await?;
    let mut places = Vec::new();
    for batch in &batches {
        let (seqs, times) =
            (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_primitive::<TimestampMicrosecondType>());
        places.extend((0..batch.num_rows()).map(|row| (seqs.value(row), Timestamp(times.value(row)))));
    }
    Ok(places)
}

/// Keys and how often each type occurred.
fn key_columns(dataset: &Dataset) -> Vec<Value> {
    let columns: &Columns = dataset.columns();
    let mut keys: Vec<&store::Column> =
        columns.schema().columns.iter().filter(|column| columns.listed_key(&column.name)).collect();
    keys.sort_by_key(|column| std::cmp::Reverse(column.values()));
    let listed = keys.into_iter().map(|column| {
        json!({
            "name": column.name,
            "type": sql_type(columns, &column.name),
            "class": class_name(column.class),
            "system": false,
            "shares": shares(column),
            "values": column.values(),
        })
    });
    let system = store::schema::SYSTEM_COLUMNS.iter().map(|name| {
        let kind = system_type(name).map_or_else(String::new, |data_type| type_name(&data_type, false));
        json!({"name": name, "type": kind, "class": "system", "system": true, "shares": null, "values": null})
    });
    listed.chain(system).collect()
}

/// Columns of a table that is no plain dataset.
fn planned_columns(table: &Table) -> Vec<Value> {
    let Ok(plan) = table.plan(&Needs { star: true, ..Needs::default() }) else { return Vec::new() };
    let fields = plan.schema().fields().iter();
    fields
        .map(|field| {
            json!({
                "name": field.name(),
                "type": field_type(field),
                "class": field_type(field),
                "system": false,
                "shares": null,
                "values": null,
            })
        })
        .collect()
}
