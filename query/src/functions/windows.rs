//! Many tests at a time, as window functions: each row's figure depends on all rows of its partition, whatever the frame.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array},
    datatypes::{DataType, Field, FieldRef, Float64Type},
};
use datafusion::{
    common::{Result, exec_err},
    logical_expr::{
        PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
        function::{PartitionEvaluatorArgs, WindowUDFFieldArgs},
    },
};

use crate::statistics::multiple::{e_q_values, q_values};

/// A figure of all of a partition's numbers.
#[derive(Debug)]
struct Adjustment {
    name: &'static str,
    argument: &'static str,
    adjust: fn(&[f64]) -> Vec<f64>,
}

static ALL: [Adjustment; 2] = [
    Adjustment {
        name: "benjamini_hochberg",
        argument: "p_value",
        #[expect(clippy::cast_precision_loss, reason = "a number of tests")]
        adjust: |p_values| q_values(p_values, p_values.len() as f64),
    },
    Adjustment { name: "e_bh", argument: "e_value", adjust: e_q_values },
];

pub(super) fn all() -> Vec<Arc<WindowUDF>> {
    let function = |adjustment| {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(WindowUDF::from(AdjustmentFunction { adjustment, signature }))
    };
    ALL.iter().map(function).collect()
}

#[derive(Debug)]
struct AdjustmentFunction {
    adjustment: &'static Adjustment,
    signature: Signature,
}

impl PartialEq for AdjustmentFunction {
    fn eq(&self, other: &Self) -> bool {
        self.adjustment.name == other.adjustment.name
    }
}

impl Eq for AdjustmentFunction {}

impl std::hash::Hash for AdjustmentFunction {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.adjustment.name.hash(state);
    }
}

impl WindowUDFImpl for AdjustmentFunction {
    fn name(&self) -> &str {
        self.adjustment.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        super::numbers(self.adjustment.name, &[self.adjustment.argument], arguments, 1)
    }

    fn partition_evaluator(&self, _args: PartitionEvaluatorArgs<'_>) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Adjusting(self.adjustment)))
    }

    fn field(&self, args: WindowUDFFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(args.name(), DataType::Float64, true)))
    }
}

#[derive(Debug)]
struct Adjusting(&'static Adjustment);

impl PartitionEvaluator for Adjusting {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let Some(column) = values[0].as_primitive_opt::<Float64Type>() else {
            return exec_err!("{} takes numbers", self.0.name);
        };
        // A row without a number is no test.
        let tests: Vec<usize> = (0..rows).filter(|row| column.is_valid(*row) && !column.value(*row).is_nan()).collect();
        let numbers: Vec<f64> = tests.iter().map(|row| column.value(*row)).collect();
        let mut adjusted = vec![None; rows];
        for (row, figure) in tests.iter().zip((self.0.adjust)(&numbers)) {
            adjusted[*row] = Some(figure);
        }
        Ok(Arc::new(Float64Array::from(adjusted)))
    }
}
