//! A question as a table: runs its statements, then computes its rows.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{DataFusionError, Result, project_schema, tree_node::TreeNodeRecursion},
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    logical_expr::{Expr, LogicalPlan, TableType},
    physical_expr::EquivalenceProperties,
    physical_plan::{
        ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr,
        PlanProperties, ReplaceChildrenOptions, execute_stream,
        execution_plan::{Boundedness, EmissionType},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::StreamExt;

use super::{Signature, report::Rows};

/// Computes the rows of a question from those of its statements.
#[async_trait]
pub(crate) trait Answering: std::fmt::Debug + Send + Sync {
    async fn answer(&self, inputs: Vec<Arc<dyn ExecutionPlan>>, context: Arc<TaskContext>) -> Result<RecordBatch>;
}

/// A computation over rows small enough to hold: groups, not events.
pub(super) struct OverRows(pub(super) Box<dyn Fn(Vec<Rows>) -> Result<RecordBatch> + Send + Sync>);

impl std::fmt::Debug for OverRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OverRows").finish_non_exhaustive()
    }
}

impl OverRows {
    pub(super) fn of(
        compute: impl Fn(Vec<Rows>) -> Result<RecordBatch> + Send + Sync + 'static,
    ) -> Option<Arc<dyn Answering>> {
        Some(Arc::new(Self(Box::new(compute))))
    }
}

#[async_trait]
impl Answering for OverRows {
    async fn answer(&self, inputs: Vec<Arc<dyn ExecutionPlan>>, context: Arc<TaskContext>) -> Result<RecordBatch> {
        let reservation = reserve(&context);
        let mut rows = Vec::with_capacity(inputs.len());
        for input in inputs {
            let schema = input.schema();
            let mut batches = Vec::new();
            let mut stream = execute_stream(input, Arc::clone(&context))?;
            while let Some(batch) = stream.next().await.transpose()? {
                reservation.try_grow(batch.get_array_memory_size())?;
                batches.push(batch);
            }
            rows.push(Rows::new(&schema, &batches)?);
        }
        (self.0)(rows)
    }
}

/// A part of the memory pool of all queries, given back when dropped.
pub(super) fn reserve(context: &TaskContext) -> MemoryReservation {
    MemoryConsumer::new("question").register(context.memory_pool())
}

/// What the user did wrong, found only while running.
pub(super) fn refused(message: impl Into<String>) -> DataFusionError {
    DataFusionError::Execution(message.into())
}

/// A planned question.
#[derive(Debug)]
pub(crate) struct QuestionTable {
    pub(crate) signature: &'static Signature,
    pub(crate) inputs: Vec<LogicalPlan>,
    pub(crate) answer: Arc<dyn Answering>,
}

#[async_trait]
impl TableProvider for QuestionTable {
    fn schema(&self) -> SchemaRef {
        self.signature.arrow_schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            inputs.push(session.create_physical_plan(input).await?);
        }
        let schema = project_schema(&self.schema(), projection)?;
        Ok(Arc::new(AnswerExec::new(self.signature, inputs, Arc::clone(&self.answer), projection.cloned(), schema)))
    }
}

/// Runs the statements of a question and gives its rows as one batch.
#[derive(Debug)]
struct AnswerExec {
    signature: &'static Signature,
    inputs: Vec<Arc<dyn ExecutionPlan>>,
    answer: Arc<dyn Answering>,
    projection: Option<Vec<usize>>,
    properties: Arc<PlanProperties>,
}

impl AnswerExec {
    fn new(
        signature: &'static Signature,
        inputs: Vec<Arc<dyn ExecutionPlan>>,
        answer: Arc<dyn Answering>,
        projection: Option<Vec<usize>>,
        schema: SchemaRef,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self { signature, inputs, answer, projection, properties: Arc::new(properties) }
    }
}

impl DisplayAs for AnswerExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AnswerExec: {}", self.signature.name)
    }
}

impl ExecutionPlan for AnswerExec {
    fn name(&self) -> &'static str {
        "AnswerExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inputs.iter().collect()
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false; self.inputs.len()]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self {
            signature: self.signature,
            inputs: children,
            answer: Arc::clone(&self.answer),
            projection: self.projection.clone(),
            properties: Arc::clone(&self.properties),
        }))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, _partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (inputs, answer, projection) = (self.inputs.clone(), Arc::clone(&self.answer), self.projection.clone());
        let rows = futures::stream::once(async move {
            let rows = answer.answer(inputs, context).await?;
            match projection {
                Some(columns) => Ok(rows.project(&columns)?),
                None => Ok(rows),
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
