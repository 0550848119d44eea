//! Functions SQL here has beyond DataFusion's own.

mod help;
mod json;
mod list_json;
mod template;
mod time_bucket;

use std::sync::Arc;

use datafusion::logical_expr::{Expr, ScalarUDF};

/// All of them.
pub(crate) fn all() -> Vec<Arc<ScalarUDF>> {
    let mut found = json::all();
    found.push(time_bucket::udf());
    found.push(list_json::udf());
    found.extend(template::all());
    found
}

pub(crate) use help::help;
pub(crate) use json::member as json_member;

/// A list as JSON text.
pub(crate) fn list_json(list: Expr) -> Expr {
    list_json::udf().call(vec![list])
}

/// The template of a message's text.
pub(crate) fn message_template(text: Expr) -> Expr {
    template::message_template(text)
}

/// The id of a template.
pub(crate) fn template_id(template: Expr) -> Expr {
    template::template_id(template)
}
