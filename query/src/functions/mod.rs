//! Functions SQL here has beyond DataFusion's own.

mod json;
mod list_json;
mod time_bucket;

use std::sync::Arc;

use datafusion::logical_expr::{Expr, ScalarUDF};

/// All of them.
pub(crate) fn all() -> Vec<Arc<ScalarUDF>> {
    let mut found = json::all();
    found.push(time_bucket::udf());
    found.push(list_json::udf());
    found
}

pub(crate) use json::member as json_member;

/// A list as JSON text.
pub(crate) fn list_json(list: Expr) -> Expr {
    list_json::udf().call(vec![list])
}
