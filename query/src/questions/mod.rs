//! Questions engineers ask, as table functions of SQL: `SELECT * FROM explain_diff('status >= 500', unit => 'user.id')`.
//!
//! A question becomes a few statements over the same snapshot (planned and run like any other, under the query's deadline, memory pool
//! and cancel) and a computation over their rows. It is a table like any other: it can be joined, filtered and aggregated.

mod answer;
mod call;
mod compare;
mod desk;
mod detectable;
mod explain;
mod mismatch;
mod report;
mod sides;
mod state;
mod templates;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::{
    catalog::{MemTable, default_table_source::provider_as_source},
    logical_expr::{LogicalPlan, LogicalPlanBuilder},
};

pub(crate) use answer::QuestionTable;
pub(crate) use call::{Call, inside};
pub(crate) use desk::{Asked, Check, Desk, Wants};
pub(crate) use templates::MESSAGE_TEMPLATES;

use crate::error::Error;

/// What a function is called, takes and gives.
#[derive(Debug)]
pub(crate) struct Signature {
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) example: &'static str,
    pub(crate) parameters: &'static [Parameter],
    pub(crate) columns: &'static [(&'static str, Shape)],
    /// Makes the statements and the computation of one call.
    pub(crate) ask: fn(&Call, &Desk<'_>) -> Result<Asked, Error>,
}

/// One argument a function takes, by place or by name.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
}

/// What an argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A text, or a number taken as its text.
    Text,
    Number,
    /// A list of texts.
    Texts,
    /// A condition or a value in SQL, as text.
    Sql,
    /// An instant: a text, or an expression such as `now() - INTERVAL '1 hour'`.
    Time,
}

/// SQL type of a column of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Text,
    Count,
    Number,
    Time,
    Texts,
}

impl Shape {
    pub(crate) fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8View,
            Self::Count => DataType::Int64,
            Self::Number => DataType::Float64,
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Texts => DataType::List(std::sync::Arc::new(Field::new("element", DataType::Utf8, true))),
        }
    }
}

const fn required(name: &'static str, kind: Kind) -> Parameter {
    Parameter { name, kind, required: true }
}

const fn optional(name: &'static str, kind: Kind) -> Parameter {
    Parameter { name, kind, required: false }
}

/// Every function has these: only events for which `filter` is true count; `dataset` is the one asked about.
const FILTER: Parameter = optional("filter", Kind::Sql);
const DATASET: Parameter = optional("dataset", Kind::Text);

/// All of them.
pub(crate) static ALL: [&Signature; 9] = [
    &sides::MESSAGES_ONLY_IN,
    &sides::NEW_MESSAGES,
    &compare::COMPARE_VARIANTS,
    &compare::COMPARE_SECTIONS,
    &explain::EXPLAIN_DIFF,
    &mismatch::SRM_CHECK,
    &state::STATE_AT,
    &state::STATE_DIFF,
    &detectable::MINIMUM_DETECTABLE_EFFECT,
];

impl Signature {
    /// The function of this name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        ALL.into_iter().find(|known| known.name.eq_ignore_ascii_case(name))
    }

    pub(crate) fn arrow_schema(&self) -> SchemaRef {
        let fields: Vec<Field> =
            self.columns.iter().map(|(name, shape)| Field::new(*name, shape.data_type(), true)).collect();
        std::sync::Arc::new(Schema::new(fields))
    }

    /// A plan of its columns without rows.
    pub(crate) fn empty(&self) -> datafusion::common::Result<LogicalPlan> {
        let table = MemTable::try_new(self.arrow_schema(), vec![Vec::new()])?;
        LogicalPlanBuilder::scan(self.name, provider_as_source(std::sync::Arc::new(table)), None)?.build()
    }

    /// `explain_diff(selection, [baseline], …)`
    pub(crate) fn usage(&self) -> String {
        let parameters: Vec<String> = self
            .parameters
            .iter()
            .map(|one| if one.required { one.name.to_owned() } else { format!("[{}]", one.name) })
            .collect();
        format!("{}({})", self.name, parameters.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From every figure one gets to the raw evidence: events, or the change that set a state.
    #[test]
    fn rows_of_every_question_name_their_evidence() {
        for signature in ALL {
            let names = |name: &str| signature.columns.iter().any(|(column, _)| *column == name);
            assert!(names("example_event_ids") || names("change_id"), "{}", signature.name);
        }
    }
}
