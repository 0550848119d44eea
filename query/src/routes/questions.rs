//! `POST /explain-diff` and `POST /compare`: the table functions of the same name for clients that have no SQL at hand, and `GET /functions`.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt, Limited};
use serde_json::{Map, Value, json};

use super::{answer, literal, refuse};
use crate::{
    engine::{Engine, SqlRequest},
    error::Error,
    functions,
    names::nearest,
    questions::Signature,
};

pub(super) async fn post_explain(State(engine): State<Engine>, headers: HeaderMap, body: Body) -> Response {
    ask(&engine, &headers, body, |_| "explain_diff").await
}

/// With `by` each section or statement, else the whole.
pub(super) async fn post_compare(State(engine): State<Engine>, headers: HeaderMap, body: Body) -> Response {
    ask(
        &engine,
        &headers,
        body,
        |fields| if fields.contains_key("by") { "compare_sections" } else { "compare_variants" },
    )
    .await
}

async fn ask(
    engine: &Engine,
    headers: &HeaderMap,
    body: Body,
    function: fn(&Map<String, Value>) -> &'static str,
) -> Response {
    let answered = async {
        let format = answer::Format::accepted(headers)?;
        let mut fields = read(engine, body).await?;
        let timeout_ms = fields.remove("timeout_ms").and_then(|timeout| timeout.as_u64());
        let name = function(&fields);
        let sql = call(name, &fields)?;
        let request = SqlRequest { sql, timeout_ms, ..SqlRequest::default() };
        Ok((format, engine.sql(request).await?))
    };
    match answered.await {
        Ok((format, rows)) => answer::respond(format, rows, headers, engine.inner.config.result_bytes_max).await,
        Err(error) => refuse(&error, headers),
    }
}

async fn read(engine: &Engine, body: Body) -> Result<Map<String, Value>, Error> {
    let limit = engine.inner.config.sql_bytes_max;
    let whole = Limited::new(body, limit)
        .collect()
        .await
        .map_err(|_| Error::Request { message: format!("the body broke off or is longer than {limit} bytes") })?;
    serde_json::from_slice(&whole.to_bytes())
        .map_err(|error| Error::Request { message: format!("the body is no JSON object of arguments: {error}") })
}

/// The statement that calls a function with these arguments by name.
fn call(name: &str, fields: &Map<String, Value>) -> Result<String, Error> {
    let Some(signature) = Signature::named(name) else {
        return Err(Error::Request { message: format!("there is no function {name}") });
    };
    let mut arguments = Vec::with_capacity(fields.len());
    for (key, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        let known = signature.parameters.iter().map(|one| one.name);
        if !known.clone().any(|known| known == key) {
            let near = nearest(key, known);
            let hint = near.first().map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            return Err(Error::Request { message: format!("{name} has no argument {key}{hint}") });
        }
        arguments.push(format!("{key} => {}", argument(key, value)?));
    }
    Ok(format!("SELECT * FROM {name}({})", arguments.join(", ")))
}

fn argument(key: &str, value: &Value) -> Result<String, Error> {
    match value {
        Value::String(text) => Ok(literal(text)),
        Value::Number(number) => Ok(number.to_string()),
        Value::Array(items) => {
            let texts: Result<Vec<String>, Error> = items.iter().map(|item| argument(key, item)).collect();
            Ok(format!("[{}]", texts?.join(", ")))
        }
        _ => Err(Error::Request { message: format!("{key} is a text, a number or a list of texts") }),
    }
}

pub(super) async fn get_functions(State(engine): State<Engine>) -> Response {
    let functions: Vec<Value> = functions::help(engine.inner.session.base())
        .into_iter()
        .map(|one| {
            json!({
                "name": one.name,
                "kind": one.kind,
                "signature": one.signature,
                "summary": one.summary,
                "example": one.example,
            })
        })
        .collect();
    Json(json!({"functions": functions})).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, body: Value, expect: &str) {
        let Value::Object(fields) = body else { panic!("an object") };
        let found = call(name, &fields).unwrap_or_else(|error| error.to_string());
        assert_eq!(found, expect);
    }

    #[test]
    fn arguments_are_literals_whatever_they_hold() {
        check(
            "explain_diff",
            json!({"selection": "a = 'x'", "on": ["b", "c'd"], "max_order": 2, "unit": null}),
            "SELECT * FROM explain_diff(selection => 'a = ''x''', on => ['b', 'c''d'], max_order => 2)",
        );
        check("explain_diff", json!({"select": "x"}), "explain_diff has no argument select; did you mean selection?");
        check("explain_diff", json!({"selection": {"a": 1}}), "selection is a text, a number or a list of texts");
    }
}
