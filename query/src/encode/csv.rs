//! `text/csv` as RFC 4180 has it: a header line, CRLF-free lines, quotes where needed, NULL as nothing.

use arrow::{array::RecordBatch, datatypes::SchemaRef};

use super::{
    cell::{Style, write_cell},
    is_json,
};

/// Lines of CSV.
#[derive(Debug)]
pub(crate) struct Csv {
    schema: SchemaRef,
}

impl Csv {
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Self { schema }
    }

    pub(crate) fn start(&self) -> String {
        let names: Vec<String> = self.schema.fields().iter().map(|field| field_text(field.name())).collect();
        format!("{}\n", names.join(","))
    }

    pub(crate) fn batch(&self, batch: &RecordBatch) -> String {
        let styles: Vec<Style> =
            self.schema.fields().iter().map(|field| Style { json: is_json(field), exact: true }).collect();
        let mut out = String::with_capacity(batch.num_rows() * batch.num_columns() * 12);
        let mut cell = String::new();
        for row in 0..batch.num_rows() {
            for (at, column) in batch.columns().iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                if column.is_null(row) {
                    continue;
                }
                cell.clear();
                write_cell(&mut cell, column, row, styles[at]);
                match serde_json::from_str::<String>(&cell) {
                    Ok(text) => out.push_str(&field_text(&text)),
                    Err(_) => out.push_str(&field_text(&cell)),
                }
            }
            out.push('\n');
        }
        out
    }
}

/// An empty text is `""`, so that it is not NULL.
fn field_text(text: &str) -> String {
    let quote = text.is_empty() || text.contains([',', '"', '\n', '\r']);
    if quote { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    #[test]
    fn commas_and_quotes_are_quoted_and_null_is_nothing() {
        let batch = RecordBatch::try_from_iter([
            ("a", Arc::new(StringArray::from(vec![Some("x,\"y\""), None, Some("")])) as ArrayRef),
            ("n", Arc::new(Int64Array::from(vec![9_007_199_254_740_993, 2, 3])) as ArrayRef),
        ])
        .unwrap();
        let csv = Csv::new(batch.schema());
        assert_eq!(csv.start() + &csv.batch(&batch), "a,n\n\"x,\"\"y\"\"\",9007199254740993\n,2\n\"\",3\n");
    }
}
