//! Functions SQL here has beyond DataFusion's own.

mod aggregates;
mod help;
mod json;
mod kept;
mod list_json;
mod scores;
mod template;
mod time_bucket;
mod windows;

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::{
    common::{Result, plan_err},
    execution::FunctionRegistry,
    logical_expr::{Expr, ScalarUDF},
};

/// Makes all of them known.
///
/// # Errors
/// When the registry refuses one.
pub(crate) fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for scalar in scalars() {
        registry.register_udf(scalar)?;
    }
    for aggregate in aggregates::all() {
        registry.register_udaf(aggregate)?;
    }
    for window in windows::all() {
        registry.register_udwf(window)?;
    }
    Ok(())
}

fn scalars() -> Vec<Arc<ScalarUDF>> {
    let mut found = json::all();
    found.push(time_bucket::udf());
    found.push(list_json::udf());
    found.extend(template::all());
    found.extend(scores::all());
    found
}

/// What a function of numbers casts its arguments to: doubles; a condition is 1 or 0.
fn numbers(name: &str, names: &[&str], arguments: &[DataType], required: usize) -> Result<Vec<DataType>> {
    let is_number =
        |argument: &DataType| argument.is_numeric() || matches!(argument, DataType::Boolean | DataType::Null);
    let usage = || {
        let names: Vec<String> = names
            .iter()
            .enumerate()
            .map(|(at, name)| if at < required { (*name).to_owned() } else { format!("[{name}]") })
            .collect();
        format!("{name}({})", names.join(", "))
    };
    if arguments.len() < required || arguments.len() > names.len() {
        return plan_err!("{} is what it takes, not {} arguments", usage(), arguments.len());
    }
    match arguments.iter().zip(names).find(|(argument, _)| !is_number(argument)) {
        Some((argument, name)) => plan_err!("{name} of {} is a number or a condition, not {argument}", usage()),
        None => Ok(vec![DataType::Float64; arguments.len()]),
    }
}

pub(crate) use help::help;
pub(crate) use json::member as json_member;

/// A list as JSON text.
pub(crate) fn list_json(list: Expr) -> Expr {
    list_json::udf().call(vec![list])
}

/// A member of an object as text.
pub(crate) fn json_text(object: Expr, key: &str) -> Expr {
    json::member_call(json::Answer::Text, object, key)
}

/// A member of an object, if it is a number.
pub(crate) fn json_number(object: Expr, key: &str) -> Expr {
    json::member_call(json::Answer::Float, object, key)
}

/// The template of a message's text.
pub(crate) fn message_template(text: Expr) -> Expr {
    template::message_template(text)
}

/// The id of a template.
pub(crate) fn template_id(template: Expr) -> Expr {
    template::template_id(template)
}
