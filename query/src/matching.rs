//! The rows a condition means, one file at a time: what a privacy deletion in the store asks.
//!
//! The condition is one SQL expression over the columns of an event. It may not hold a query, since each file is asked by itself, nor a
//! function whose value changes from call to call; `now()` is the instant of the request, so that every try means the same rows.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Int64Type},
};
use datafusion::{
    common::tree_node::TreeNode,
    execution::TaskContext,
    logical_expr::{Expr, LogicalPlan},
    physical_plan::execute_stream,
    sql::sqlparser::{
        ast::{Expr as SqlExpr, Query, SetExpr, Spanned, Value, Visit, Visitor},
        tokenizer::Location,
    },
};
use futures::StreamExt;
use store::{DatasetName, RowMatcher, Snapshot, Timestamp};
use tokio::sync::mpsc;

use crate::{
    catalog::{Catalog, Facts, Source},
    engine::{Engine, Inner},
    error::{Error, quoted},
    names::Unknown,
    parse::{Command, parse, parse_expression},
    session::Statements,
};

/// Batches of rows found that wait for the store.
const BATCHES_AHEAD: usize = 2;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A condition on the events of one dataset.
#[derive(Debug)]
struct Matching {
    engine: Engine,
    condition: String,
    now: Timestamp,
}

impl Engine {
    /// What finds the rows of a dataset a condition means; `now` is what `now()` gives in it.
    ///
    /// # Errors
    /// `unknown_dataset`, and whatever is wrong with the condition: `sql_syntax`, `unknown_column`, `sql_invalid`, each with its place.
    /// Over which events it cannot be evaluated is found later, by the matcher.
    pub async fn row_matcher(
        &self,
        dataset: &str,
        condition: &str,
        now: Timestamp,
    ) -> Result<Arc<dyn RowMatcher>, Error> {
        let most = self.inner.config.sql_bytes_max;
        if condition.len() > most {
            let message = format!("the predicate has {} bytes, the most is {most}", condition.len());
            return Err(Error::Request { message });
        }
        let name = self.name_of(dataset)?;
        let snapshot = self.inner.store.snapshot(&name).ok_or_else(|| self.no_dataset(dataset))?;
        let (inner, text) = (Arc::clone(&self.inner), condition.to_owned());
        let check = async move {
            let (statements, plan) = plan(&inner, snapshot, &text, now).await?;
            statements.physical(&plan).await.map(drop)
        };
        self.on_threads(check).await?;
        Ok(Arc::new(Matching { engine: self.clone(), condition: condition.to_owned(), now }))
    }

    /// Stops the queries that run for longer than this; how many.
    pub fn end_queries_older_than(&self, age: Duration) -> usize {
        self.inner.end_queries_older_than(age)
    }
}

/// The text constants of a condition: values people may not want to be repeated elsewhere.
///
/// # Errors
/// `sql_syntax`.
pub fn texts_of(condition: &str) -> Result<Vec<String>, Error> {
    struct Texts(Vec<String>);
    impl Visitor for Texts {
        type Break = ();
        fn pre_visit_value(&mut self, value: &datafusion::sql::sqlparser::ast::ValueWithSpan) -> ControlFlow<()> {
            if let Value::SingleQuotedString(text) = &value.value {
                self.0.push(text.clone());
            }
            ControlFlow::Continue(())
        }
    }
    let mut texts = Texts(Vec::new());
    let visited = parse_expression(condition)?.visit(&mut texts);
    debug_assert!(visited.is_continue(), "it never breaks off");
    Ok(texts.0)
}

impl RowMatcher for Matching {
    fn matching(&self, file: &Snapshot, found: &mut dyn FnMut(&str, i64)) -> Result<(), Failure> {
        let (to_store, mut batches) = mpsc::channel(BATCHES_AHEAD);
        let (inner, condition, now) = (Arc::clone(&self.engine.inner), self.condition.clone(), self.now);
        let file = file.clone();
        let task = async move {
            if let Err(error) = rows(&inner, file, &condition, now, &to_store).await {
                // The store is gone only when the process ends.
                drop(to_store.send(Err(error)).await);
            } else {
                drop(to_store.send(Ok(None)).await);
            }
        };
        if self.engine.inner.spawn(task).is_none() {
            return Err(Error::Cancelled.into());
        }
        loop {
            match batches.blocking_recv() {
                Some(Ok(Some(batch))) => tell(&batch, found)?,
                Some(Ok(None)) => return Ok(()),
                Some(Err(error)) => return Err(error.into()),
                // It panicked: some rows may be missing.
                None => return Err(Error::Cancelled.into()),
            }
        }
    }
}

type ToStore = mpsc::Sender<Result<Option<RecordBatch>, Error>>;

async fn rows(inner: &Inner, file: Snapshot, condition: &str, now: Timestamp, to_store: &ToStore) -> Result<(), Error> {
    let (statements, plan) = plan(inner, file, condition, now).await?;
    let physical = statements.physical(&plan).await?;
    let context = Arc::new(TaskContext::from(statements.state()));
    let failed = |error| statements.error("finding rows to delete", error);
    let mut stream = execute_stream(physical, context).map_err(failed)?;
    while let Some(batch) = stream.next().await {
        if to_store.send(Ok(Some(batch.map_err(failed)?))).await.is_err() {
            return Err(Error::Cancelled);
        }
    }
    Ok(())
}

fn tell(batch: &RecordBatch, found: &mut dyn FnMut(&str, i64)) -> Result<(), Failure> {
    let incarnations = cast(batch.column(0), &DataType::Utf8)?;
    let (incarnations, seqs) = (incarnations.as_string::<i32>(), batch.column(1).as_primitive::<Int64Type>());
    if incarnations.null_count() + seqs.null_count() > 0 {
        return Err("a row has no number".into());
    }
    (0..batch.num_rows()).for_each(|row| found(incarnations.value(row), seqs.value(row)));
    Ok(())
}

/// `SELECT _incarnation, seq FROM <dataset> WHERE <condition>` over this snapshot alone.
async fn plan(
    inner: &Inner,
    snapshot: Snapshot,
    condition: &str,
    now: Timestamp,
) -> Result<(Statements, LogicalPlan), Error> {
    let query = query(&snapshot.dataset, condition)?;
    let mut statements = inner.session.at(now);
    let source = OneSnapshot(snapshot);
    let catalog = Catalog::of_stored_rows(&source);
    let plan = statements.plan(Command::Query(query), &catalog, Unknown::Refused, None).await?;
    let volatile = plan.exists(|part| Ok(part.expressions().iter().any(Expr::is_volatile)));
    if volatile.map_err(|error| statements.error("planning", error))? {
        let message =
            "a predicate of a deletion must mean the same rows each time: random() and the like are not possible";
        return Err(Error::invalid(message, Location::empty()));
    }
    Ok((statements, plan))
}

fn query(dataset: &DatasetName, condition: &str) -> Result<Box<Query>, Error> {
    let condition = parse_expression(condition)?;
    if let ControlFlow::Break(at) = condition.visit(&mut NoQueries) {
        let message = "a predicate of a deletion is a condition on single events: it may not hold a query";
        return Err(Error::invalid(message, at));
    }
    let table = match dataset.as_str().split_once('.') {
        Some((schema, table)) => format!("{schema}.{}", quoted(table)),
        None => format!("{}.events", quoted(dataset.as_str())),
    };
    let Command::Query(mut query) = parse(&format!("SELECT _incarnation, seq FROM {table}"))? else {
        return Err(Error::invalid("no query", Location::empty()));
    };
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.selection = Some(condition);
    }
    Ok(query)
}

/// Breaks at the first query inside of an expression.
struct NoQueries;

impl Visitor for NoQueries {
    type Break = Location;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Location> {
        ControlFlow::Break(query.span().start)
    }

    fn pre_visit_expr(&mut self, expr: &SqlExpr) -> ControlFlow<Location> {
        match expr {
            SqlExpr::Exists { .. } | SqlExpr::InSubquery { .. } | SqlExpr::Subquery(_) => {
                ControlFlow::Break(expr.span().start)
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

/// One dataset as it stands in some files.
struct OneSnapshot(Snapshot);

impl Source for OneSnapshot {
    fn names(&self) -> Vec<DatasetName> {
        vec![self.0.dataset.clone()]
    }

    fn snapshot(&self, dataset: &DatasetName) -> Option<Snapshot> {
        (*dataset == self.0.dataset).then(|| self.0.clone())
    }

    fn facts(&self) -> Facts {
        Facts::default()
    }

    fn files(&self) -> Vec<store::FileSummary> {
        Vec::new()
    }

    fn upkeep(&self) -> Vec<store::Upkeep> {
        Vec::new()
    }
}
