//! Statistics of one row of figures: tests of a table of two by two, evidence that holds at every look.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, Float64Builder},
    datatypes::{DataType, Float64Type},
};
use datafusion::{
    common::{Result, exec_err},
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility},
};

use super::aggregates::{figures_array, figures_type};
use crate::statistics::{
    contingency::Table,
    sequence::{Design, Difference, Method},
};

/// Units at which the always-valid figures are tightest, unless told.
const PLANNED_UNITS: f64 = 5_000.0;
/// Error rate the sequence is tuned for, unless told; the figures are valid for every other one too.
const ALPHA: f64 = 0.05;

/// A function of numbers.
#[derive(Debug)]
struct Score {
    name: &'static str,
    arguments: &'static [&'static str],
    /// How many of them may not be left out.
    required: usize,
    gives: &'static [&'static str],
    compute: fn(&[f64]) -> Result<Vec<f64>>,
}

const COUNTS: &[&str] = &["bad_inside", "good_inside", "bad_outside", "good_outside"];
const LOOK: &[&str] = &["estimate", "standard_error", "units", "planned_units", "alpha"];

static ALL: [Score; 4] = [
    Score {
        name: "risk_ratio",
        arguments: COUNTS,
        required: 4,
        gives: &["estimate", "ci_low", "ci_high"],
        compute: |counts| {
            let table = table("risk_ratio", counts)?;
            let (estimate, low) = (table.risk_ratio(), table.risk_ratio_low(0.05));
            // Symmetric on the logarithm.
            Ok(vec![estimate, low, estimate * estimate / low])
        },
    },
    Score {
        name: "g_test",
        arguments: COUNTS,
        required: 4,
        gives: &["g", "p_value", "bits"],
        compute: |counts| {
            let table = table("g_test", counts)?;
            let (bits, p) = table.evidence();
            Ok(vec![table.g(), p, bits])
        },
    },
    Score {
        name: "always_valid_p",
        arguments: LOOK,
        required: 3,
        gives: &[],
        compute: |look| Ok(vec![(1.0 / e_value(look)?).min(1.0)]),
    },
    Score {
        name: "always_valid_e",
        arguments: LOOK,
        required: 3,
        gives: &[],
        compute: |look| Ok(vec![e_value(look)?]),
    },
];

fn table(name: &str, counts: &[f64]) -> Result<Table> {
    match counts {
        [a, b, c, d] if counts.iter().all(|count| *count >= 0.0) => Ok(Table { a: *a, b: *b, c: *c, d: *d }),
        _ => exec_err!("{name} takes counts, none below zero"),
    }
}

/// Evidence against no difference.
fn e_value(look: &[f64]) -> Result<f64> {
    let (planned_units, alpha) = (look.get(3).copied().unwrap_or(PLANNED_UNITS), look.get(4).copied().unwrap_or(ALPHA));
    let [estimate, error, units, ..] = look else { return Ok(f64::NAN) };
    if *error < 0.0 || *units < 0.0 || planned_units <= 0.0 || !(0.0..1.0).contains(&alpha) || alpha == 0.0 {
        return exec_err!(
            "an error and a number of units are not below zero, planned_units is above, alpha between 0 and 1"
        );
    }
    let design = Design { method: Method::AlwaysValid, alpha, planned_units };
    let judged = design.judge(Difference { estimate: *estimate, error: *error, units: *units });
    Ok(judged.e_value.map_or(f64::NAN, |e| e.min(f64::MAX)))
}

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    let function = |score| {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(ScalarUDF::from(ScoreFunction { score, signature }))
    };
    ALL.iter().map(function).collect()
}

#[derive(Debug)]
struct ScoreFunction {
    score: &'static Score,
    signature: Signature,
}

impl PartialEq for ScoreFunction {
    fn eq(&self, other: &Self) -> bool {
        self.score.name == other.score.name
    }
}

impl Eq for ScoreFunction {}

impl std::hash::Hash for ScoreFunction {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.score.name.hash(state);
    }
}

impl ScalarUDFImpl for ScoreFunction {
    fn name(&self) -> &str {
        self.score.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        super::numbers(self.score.name, self.score.arguments, arguments, self.score.required)
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(figures_type(self.score.gives))
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = call.args.iter().map(|arg| arg.to_array(call.number_rows)).collect::<Result<Vec<_>>>()?;
        let columns: Vec<&Float64Array> =
            arrays.iter().filter_map(|column| column.as_primitive_opt::<Float64Type>()).collect();
        if columns.len() != arrays.len() {
            return exec_err!("{} takes numbers", self.score.name);
        }
        let mut figures: Vec<Float64Builder> =
            (0..self.score.gives.len().max(1)).map(|_| Float64Builder::new()).collect();
        for row in 0..call.number_rows {
            let known = columns.iter().all(|column| column.is_valid(row) && column.value(row).is_finite());
            let numbers: Vec<f64> = columns.iter().map(|column| column.value(row)).collect();
            let found = if known { (self.score.compute)(&numbers)? } else { Vec::new() };
            for (at, figure) in figures.iter_mut().enumerate() {
                figure.append_option(found.get(at).copied().filter(|figure| figure.is_finite()));
            }
        }
        let figures = figures.iter_mut().map(|figure| Arc::new(figure.finish()) as ArrayRef).collect();
        Ok(ColumnarValue::Array(figures_array(self.score.gives, figures, call.number_rows)?))
    }
}
