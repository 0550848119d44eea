//! Statement -> physical plan: the DataFusion session every query starts from, and the steps between.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::DataType};
use datafusion::{
    catalog::{
        CatalogProvider, CatalogProviderList, MemTable, MemoryCatalogProvider, MemoryCatalogProviderList,
        MemorySchemaProvider, SchemaProvider, TableProvider, default_table_source::provider_as_source, view::ViewTable,
    },
    common::DataFusionError,
    execution::{
        SessionState, SessionStateBuilder,
        context::SQLOptions,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::GreedyMemoryPool,
        runtime_env::RuntimeEnvBuilder,
    },
    logical_expr::{LogicalPlan, LogicalPlanBuilder, execution_props::ExecutionProps},
    physical_plan::ExecutionPlan,
    prelude::SessionConfig,
    sql::{
        parser::Statement as PlannerStatement,
        sqlparser::{
            ast::{ObjectName, Query, Spanned, Statement},
            tokenizer::Location,
        },
    },
};
use store::Timestamp;

use crate::{
    catalog::{Catalog, Fixed, Table},
    config::Config,
    encode::field_type,
    error::Error,
    names::{Needs, Unknown, resolve},
    parse::{Command, parse},
    questions::{Call, Desk, QuestionTable, Wants, inside},
};

/// Our catalog's name in plans.
const CATALOG: &str = "yellowline";

/// Bytes of a file's end read first: the footer of a usual file, in one read.
const FOOTER_HINT: usize = 64 << 10;

/// What all queries share: settings, functions, memory pool, footer cache.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    base: SessionState,
    memory_bytes_max: usize,
}

impl Session {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(config.memory_bytes_max)))
            // A query that does not fit into memory fails; it never fills the disk events are written to.
            .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
            .with_metadata_cache_limit(config.metadata_cache_bytes)
            .build_arc()
            .map_err(|source| Error::Engine { operation: "starting", source: Box::new(source) })?;
        let mut base = SessionStateBuilder::new()
            .with_config(session_config(config))
            .with_runtime_env(runtime)
            .with_default_features()
            .build();
        crate::functions::register(&mut base)
            .map_err(|source| Error::Engine { operation: "starting", source: Box::new(source) })?;
        Ok(Self { base, memory_bytes_max: config.memory_bytes_max })
    }

    /// What queries start from, with its functions.
    pub(crate) fn base(&self) -> &SessionState {
        &self.base
    }

    /// A session of one query: its `now()` stands still.
    pub(crate) fn at(&self, now: Timestamp) -> Statements {
        let now = chrono::DateTime::from_timestamp_micros(now.0).unwrap_or_default();
        let state = SessionStateBuilder::new_from_existing(self.base.clone())
            .with_execution_props(ExecutionProps::new().with_query_execution_start_time(now))
            .build();
        Statements { state, memory_bytes_max: self.memory_bytes_max }
    }
}

fn session_config(config: &Config) -> SessionConfig {
    let mut session = SessionConfig::new()
        .with_target_partitions(config.thread_count())
        .with_information_schema(false)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(CATALOG, "none");
    let options = session.options_mut();
    options.sql_parser.enable_ident_normalization = false;
    options.sql_parser.collect_spans = true;
    options.execution.time_zone = Some("UTC".to_owned());
    let parquet = &mut options.execution.parquet;
    parquet.pushdown_filters = true;
    parquet.reorder_filters = true;
    parquet.metadata_size_hint = Some(FOOTER_HINT);
    session
}

/// Plans the statements of one query.
pub(crate) struct Statements {
    state: SessionState,
    memory_bytes_max: usize,
}

impl std::fmt::Debug for Statements {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Statements").finish_non_exhaustive()
    }
}

impl Statements {
    pub(crate) fn state(&self) -> &SessionState {
        &self.state
    }

    pub(crate) fn error(&self, operation: &'static str, error: DataFusionError) -> Error {
        Error::from_engine(operation, self.memory_bytes_max, error)
    }

    /// Plans a command; at most `rows` rows of it, if given.
    pub(crate) async fn plan(
        &mut self,
        command: Command,
        catalog: &Catalog<'_>,
        unknown: Unknown,
        rows: Option<usize>,
    ) -> Result<LogicalPlan, Error> {
        match command {
            Command::Query(mut query) => {
                self.name(&mut query, catalog, unknown).await?;
                let plan = self.statement(Statement::Query(query)).await?;
                limited(plan, rows).map_err(|error| self.error("planning", error))
            }
            Command::Explain(mut statement) => {
                if let Statement::Explain { statement, .. } = statement.as_mut()
                    && let Statement::Query(query) = statement.as_mut()
                {
                    self.name(query, catalog, unknown).await?;
                }
                self.statement(*statement).await
            }
            Command::ShowTables => {
                let batch = Fixed::tables(catalog).ok_or_else(|| internal("listing tables"))?;
                self.rows(batch)
            }
            Command::Describe(name) => self.describe(&name, catalog),
        }
    }

    /// Resolves all names and gives the planner the tables they lead to.
    async fn name(&mut self, query: &mut Query, catalog: &Catalog<'_>, unknown: Unknown) -> Result<(), Error> {
        let resolved = resolve(query, catalog, unknown)?;
        let tables = MemoryCatalogProvider::new();
        for reference in resolved.references {
            let schema = reference.name.schema().unwrap_or_default().to_owned();
            let table: Arc<dyn TableProvider> = match reference.table.as_ref() {
                Table::Question(call) => self.question(call, catalog).await?,
                table => {
                    let plan = table.plan(&reference.needs).map_err(|error| self.error("planning", error))?;
                    Arc::new(ViewTable::new(plan, None))
                }
            };
            let provider = match tables.schema(&schema) {
                Some(provider) => provider,
                None => {
                    let provider: Arc<dyn SchemaProvider> = Arc::new(MemorySchemaProvider::new());
                    tables
                        .register_schema(&schema, Arc::clone(&provider))
                        .map_err(|error| self.error("planning", error))?;
                    provider
                }
            };
            provider
                .register_table(reference.name.table().to_owned(), table)
                .map_err(|error| self.error("planning", error))?;
        }
        let list = MemoryCatalogProviderList::new();
        list.register_catalog(CATALOG.to_owned(), Arc::new(tables));
        self.state.register_catalog_list(Arc::new(list));
        Ok(())
    }

    /// Plans the statements of a question, its own texts first.
    async fn question(&self, call: &Call, catalog: &Catalog<'_>) -> Result<Arc<dyn TableProvider>, Error> {
        let asked = {
            let desk = Desk::new(call, catalog)?;
            (call.signature.ask)(call, &desk)?
        };
        for check in &asked.checks {
            let plan = self.inner(check.query()?, catalog).await.map_err(|error| inside(&check.spot, error))?;
            let found = plan.schema().field(0).data_type();
            if check.wants == Wants::Number
                && !(found.is_numeric() || matches!(found, DataType::Boolean | DataType::Null))
            {
                let message = format!("{} is no number and no condition", check.spot.text);
                return Err(Error::invalid(message, check.spot.at));
            }
        }
        let mut inputs = Vec::with_capacity(asked.inputs.len());
        for text in &asked.inputs {
            let Command::Query(query) = parse(text)? else { return Err(internal("planning a question")) };
            inputs.push(self.inner(query, catalog).await?);
        }
        match (asked.answer, inputs.pop()) {
            (Some(answer), Some(last)) => {
                inputs.push(last);
                Ok(Arc::new(QuestionTable { signature: call.signature, inputs, answer }))
            }
            (None, Some(only)) => Ok(Arc::new(ViewTable::new(only, None))),
            (_, None) => Err(internal("planning a question")),
        }
    }

    /// The plan of a query of ours inside of a statement.
    async fn inner(&self, mut query: Box<Query>, catalog: &Catalog<'_>) -> Result<LogicalPlan, Error> {
        let mut inner = Self { state: self.state.clone(), memory_bytes_max: self.memory_bytes_max };
        Box::pin(inner.name(&mut query, catalog, Unknown::Refused)).await?;
        inner.statement(Statement::Query(query)).await
    }

    async fn statement(&self, statement: Statement) -> Result<LogicalPlan, Error> {
        let statement = PlannerStatement::Statement(Box::new(statement));
        let plan = self.state.statement_to_plan(statement).await.map_err(|error| self.error("planning", error))?;
        let reading = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        match reading.verify_plan(&plan) {
            Ok(()) => Ok(plan),
            Err(_) => Err(Error::ReadOnly { what: plan.display().to_string() }),
        }
    }

    fn describe(&self, name: &ObjectName, catalog: &Catalog<'_>) -> Result<LogicalPlan, Error> {
        let location: Location = name.span().start;
        let parts: Vec<String> =
            name.0.iter().filter_map(|part| part.as_ident()).map(|part| part.value.clone()).collect();
        let (_, table) = catalog.table(&parts, location)?;
        let batch = describe(&table).map_err(|error| self.error("describing a table", error))?;
        self.rows(batch)
    }

    /// A plan that gives these rows.
    fn rows(&self, batch: RecordBatch) -> Result<LogicalPlan, Error> {
        let scan = |batch: RecordBatch| {
            let table = MemTable::try_new(batch.schema(), vec![vec![batch]])?;
            LogicalPlanBuilder::scan("rows", provider_as_source(Arc::new(table)), None)?.build()
        };
        scan(batch).map_err(|error| self.error("planning", error))
    }

    /// Optimizes a logical plan and makes the physical one.
    pub(crate) async fn physical(&self, plan: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>, Error> {
        self.state.create_physical_plan(plan).await.map_err(|error| self.error("planning", error))
    }
}

fn limited(plan: LogicalPlan, rows: Option<usize>) -> Result<LogicalPlan, DataFusionError> {
    match rows {
        // One more than asked for, to know whether there is more.
        Some(rows) => LogicalPlanBuilder::from(plan).limit(0, Some(rows.saturating_add(1)))?.build(),
        None => Ok(plan),
    }
}

fn describe(table: &Table) -> Result<RecordBatch, DataFusionError> {
    let plan = table.plan(&Needs { star: true, ..Needs::default() })?;
    let fields = plan.schema().fields();
    let names = fields.iter().map(|field| Some(field.name().as_str())).collect::<arrow::array::StringArray>();
    let types = fields.iter().map(|field| Some(field_type(field))).collect::<arrow::array::StringArray>();
    let columns: [(&str, arrow::array::ArrayRef); 2] =
        [("column_name", Arc::new(names)), ("data_type", Arc::new(types))];
    Ok(RecordBatch::try_from_iter(columns)?)
}

fn internal(operation: &'static str) -> Error {
    Error::Engine { operation, source: Box::new(DataFusionError::Internal(operation.to_owned())) }
}
