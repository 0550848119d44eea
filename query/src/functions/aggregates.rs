//! Statistics as aggregates: tests of two groups, ratios over units, weighted variances.
//!
//! What a group keeps of its rows merges with what another part of the scan kept, so they run in parallel and over partial aggregates. A
//! condition counts as 1 and 0. Rows in which an argument is NULL or no finite number are left out.

use std::{fmt, mem::size_of, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, StructArray},
    datatypes::{DataType, Field, FieldRef, Fields, Float64Type},
};
use datafusion::{
    common::{Result, ScalarValue, exec_err, plan_err, utils::SingleRowListArrayBuilder},
    logical_expr::{
        Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
        function::{AccumulatorArgs, StateFieldsArgs},
        utils::format_state_name,
    },
};

use super::kept::{Arms, Kept, Pairs, Ranks, Units, Weighted};

/// An aggregate over numbers.
#[derive(Debug)]
struct Statistic {
    name: &'static str,
    arguments: &'static [&'static str],
    /// Names of the figures it gives; a single figure without a name is a plain number.
    gives: &'static [&'static str],
    start: fn() -> Box<dyn Kept>,
}

/// The last argument of tests of two groups.
const GROUP: &str = "treatment";

static ALL: [Statistic; 6] = [
    Statistic {
        name: "welch_t_test",
        arguments: &["value", GROUP],
        gives: &["estimate", "ci_low", "ci_high", "t", "degrees_of_freedom", "p_value"],
        start: || Box::<Pairs>::default(),
    },
    Statistic {
        name: "mann_whitney_u",
        arguments: &["value", GROUP],
        gives: &["u", "p_value", "superiority", "shift", "ci_low", "ci_high"],
        start: || Box::<Ranks>::default(),
    },
    Statistic {
        name: "cuped",
        arguments: &["value", "before", GROUP],
        gives: &["estimate", "ci_low", "ci_high", "standard_error", "p_value", "theta", "variance_reduction", "units"],
        start: || Box::<Arms>::default(),
    },
    Statistic {
        name: "ratio_delta",
        arguments: &["numerator", "denominator"],
        gives: &["ratio", "ci_low", "ci_high", "standard_error", "units"],
        start: || Box::<Units>::default(),
    },
    Statistic {
        name: "weighted_var",
        arguments: &["value", "weight"],
        gives: &[],
        start: || Box::new(Weighted::variance()),
    },
    Statistic {
        name: "weighted_stddev",
        arguments: &["value", "weight"],
        gives: &[],
        start: || Box::new(Weighted::deviation()),
    },
];

pub(super) fn all() -> Vec<Arc<AggregateUDF>> {
    let function = |statistic| {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(AggregateUDF::from(StatisticFunction { statistic, signature }))
    };
    ALL.iter().map(function).collect()
}

#[derive(Debug)]
struct StatisticFunction {
    statistic: &'static Statistic,
    signature: Signature,
}

impl PartialEq for StatisticFunction {
    fn eq(&self, other: &Self) -> bool {
        self.statistic.name == other.statistic.name
    }
}

impl Eq for StatisticFunction {}

impl std::hash::Hash for StatisticFunction {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.statistic.name.hash(state);
    }
}

impl AggregateUDFImpl for StatisticFunction {
    fn name(&self) -> &str {
        self.statistic.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        super::numbers(self.statistic.name, self.statistic.arguments, arguments, self.statistic.arguments.len())
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(figures_type(self.statistic.gives))
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return plan_err!("{} takes no DISTINCT", self.statistic.name);
        }
        let row = vec![None; self.statistic.arguments.len()];
        Ok(Box::new(Summing { statistic: self.statistic, kept: (self.statistic.start)(), row }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let item = Field::new_list_field(DataType::Float64, true);
        Ok(vec![Arc::new(Field::new_list(format_state_name(args.name, "numbers"), item, true))])
    }
}

/// The type of named figures, or of the only one.
pub(super) fn figures_type(names: &[&str]) -> DataType {
    match names {
        [] => DataType::Float64,
        names => DataType::Struct(fields(names)),
    }
}

fn fields(names: &[&str]) -> Fields {
    names.iter().map(|name| Field::new(*name, DataType::Float64, true)).collect()
}

/// Columns of figures as one column of their type.
pub(super) fn figures_array(names: &[&str], columns: Vec<ArrayRef>, rows: usize) -> Result<ArrayRef> {
    match (names, columns.as_slice()) {
        ([], [only]) => Ok(Arc::clone(only)),
        _ => Ok(Arc::new(StructArray::try_new_with_length(fields(names), columns, None, rows)?)),
    }
}

/// One group under way.
struct Summing {
    statistic: &'static Statistic,
    kept: Box<dyn Kept>,
    row: Vec<Option<f64>>,
}

impl fmt::Debug for Summing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Summing").field("statistic", &self.statistic.name).finish_non_exhaustive()
    }
}

impl Accumulator for Summing {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let columns: Vec<&Float64Array> =
            values.iter().filter_map(|column| column.as_primitive_opt::<Float64Type>()).collect();
        if columns.len() != self.row.len() {
            return exec_err!("{} takes numbers", self.statistic.name);
        }
        for at in 0..columns[0].len() {
            for (cell, column) in self.row.iter_mut().zip(&columns) {
                // Both zeros are one number.
                *cell = column.is_valid(at).then(|| column.value(at) + 0.0).filter(|number| number.is_finite());
            }
            self.kept.add(&self.row)?;
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states[0].as_list::<i32>();
        for list in lists.iter().flatten() {
            self.kept.merge(list.as_primitive::<Float64Type>().values());
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let numbers = Float64Array::from(self.kept.numbers());
        Ok(vec![SingleRowListArrayBuilder::new(Arc::new(numbers)).build_list_scalar()])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let figures = self.kept.figures();
        let finite = |figure: &Option<f64>| figure.filter(|figure| figure.is_finite());
        let columns: Vec<ArrayRef> =
            figures.iter().map(|figure| Arc::new(Float64Array::from(vec![finite(figure)])) as ArrayRef).collect();
        ScalarValue::try_from_array(&figures_array(self.statistic.gives, columns, 1)?, 0)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.kept.bytes() + self.row.capacity() * size_of::<Option<f64>>()
    }
}
