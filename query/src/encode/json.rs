//! `application/json` (columns, rows, stats) and `application/x-ndjson` (one object per row).

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
};

use super::{
    cell::{Style, text, write_cell},
    field_type, is_json,
};

/// The JSON document of a result, piece by piece.
#[derive(Debug)]
pub(crate) struct JsonTable {
    schema: SchemaRef,
    rows: usize,
}

impl JsonTable {
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Self { schema, rows: 0 }
    }

    /// `{"columns":[…],"rows":[`
    pub(crate) fn start(&self) -> String {
        let mut out = String::from("{\"columns\":[");
        for (at, field) in self.schema.fields().iter().enumerate() {
            out.push_str(if at > 0 { ",{\"name\":" } else { "{\"name\":" });
            text(&mut out, field.name());
            out.push_str(",\"type\":");
            text(&mut out, &field_type(field));
            out.push('}');
        }
        out.push_str("],\"rows\":[");
        out
    }

    pub(crate) fn batch(&mut self, batch: &RecordBatch) -> String {
        let styles = styles(&self.schema, false);
        let mut out = String::with_capacity(batch.num_rows() * batch.num_columns() * 12);
        for row in 0..batch.num_rows() {
            out.push_str(if self.rows > 0 { ",[" } else { "[" });
            for (at, column) in batch.columns().iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                write_cell(&mut out, column, row, styles[at]);
            }
            out.push(']');
            self.rows += 1;
        }
        out
    }

    /// The end; `error` when the rows broke off, which a status sent long before could not say.
    pub(crate) fn end(&self, stats: &serde_json::Value, error: Option<&serde_json::Value>) -> String {
        match error {
            Some(error) => format!("],\"stats\":{stats},\"error\":{error}}}"),
            None => format!("],\"stats\":{stats}}}"),
        }
    }
}

/// One JSON object per line.
#[derive(Debug)]
pub(crate) struct NdJson {
    schema: SchemaRef,
    keys: Vec<String>,
    exact: bool,
}

impl NdJson {
    /// Columns of equal names get a number each: an object has a key once.
    pub(crate) fn new(schema: SchemaRef) -> Self {
        let mut taken = std::collections::HashSet::new();
        let mut keys = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            let mut name = field.name().clone();
            let mut number = 1;
            while !taken.insert(name.clone()) {
                name = format!("{}_{number}", field.name());
                number += 1;
            }
            let mut key = String::new();
            text(&mut key, &name);
            key.push(':');
            keys.push(key);
        }
        Self { schema, keys, exact: false }
    }

    /// Integers beyond ±2^53 as numbers.
    pub(crate) fn exact(self) -> Self {
        Self { exact: true, ..self }
    }

    pub(crate) fn batch(&self, batch: &RecordBatch) -> String {
        let styles = styles(&self.schema, self.exact);
        let mut out = String::with_capacity(batch.num_rows() * batch.num_columns() * 24);
        for row in 0..batch.num_rows() {
            out.push('{');
            for (at, column) in batch.columns().iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                out.push_str(&self.keys[at]);
                write_cell(&mut out, column, row, styles[at]);
            }
            out.push_str("}\n");
        }
        out
    }
}

fn styles(schema: &Schema, exact: bool) -> Vec<Style> {
    schema.fields().iter().map(|field| Style { json: is_json(field), exact }).collect()
}
