//! Talking to a running server from the command line.

use std::{io::Read, time::Duration};

use anyhow::{Context, bail};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

use crate::{
    cli::{Output, ServerOptions, SqlOptions},
    config::say,
};

/// Longest a request may take: a statement's own deadline is shorter.
const TIMEOUT: Duration = Duration::from_secs(600);

/// A server's API with its key.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    key: Option<String>,
}

impl Client {
    pub(crate) fn new(options: &ServerOptions) -> anyhow::Result<Self> {
        let http = alerter::notify::transport::http_client(TIMEOUT).context("could not set up the HTTP client")?;
        Ok(Self { http, base: options.server.trim_end_matches('/').to_owned(), key: options.key.clone() })
    }

    /// A POST to a path under `/api/v1`.
    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.with_key(self.http.post(format!("{}/api/v1{path}", self.base)))
    }

    /// A GET of a path under `/api/v1`.
    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.with_key(self.http.get(format!("{}/api/v1{path}", self.base)))
    }

    fn with_key(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// Sends a request; an error answer becomes its own sentence.
    pub(crate) async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let response = request
            .send()
            .await
            .with_context(|| format!("no server answers at {}: start one, or name it with --server", self.base))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let text = response.text().await.unwrap_or_default();
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        match body["error"]["message"].as_str() {
            Some(message) => bail!("{} ({})", message, body["error"]["code"].as_str().unwrap_or("error")),
            None => bail!("the server answered {status}"),
        }
    }

    /// Sends a request and reads a JSON answer.
    pub(crate) async fn json(&self, request: RequestBuilder) -> anyhow::Result<Value> {
        let text = self.send(request).await?.text().await.context("the answer ended early")?;
        serde_json::from_str(&text).context("the answer is not JSON")
    }
}

/// `yellowline sql`.
pub(crate) async fn sql(options: &SqlOptions) -> anyhow::Result<()> {
    let mut sql = options.sql.clone();
    if sql == "-" {
        sql.clear();
        std::io::stdin().read_to_string(&mut sql).context("could not read standard input")?;
    }
    let accept = match options.output {
        Output::Table | Output::Json => "application/json",
        Output::Ndjson => "application/x-ndjson",
        Output::Csv => "text/csv",
    };
    let client = Client::new(&options.server)?;
    let request = client.post("/sql").header("accept", accept).json(&json!({"sql": sql, "dataset": options.dataset}));
    let text = client.send(request).await?.text().await.context("the answer ended early")?;
    if options.output != Output::Table {
        return say(text.trim_end());
    }
    let answer: Value = serde_json::from_str(&text).context("the answer is not JSON")?;
    say(&table(&answer))
}

/// Aligned columns, numbers to the right, and a line with what it cost.
fn table(answer: &Value) -> String {
    let empty = Vec::new();
    let columns = answer["columns"].as_array().unwrap_or(&empty);
    let rows = answer["rows"].as_array().unwrap_or(&empty);
    let mut lines =
        vec![columns.iter().map(|column| column["name"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()];
    lines.extend(rows.iter().map(|row| row.as_array().unwrap_or(&empty).iter().map(cell).collect()));
    let width = |index: usize| {
        lines.iter().map(|line| line.get(index).map_or(0, |cell| cell.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns.len()).map(width).collect();
    let numeric = |index: usize| matches!(columns[index]["type"].as_str(), Some("bigint" | "double"));
    let aligned = |line: &Vec<String>| {
        let cells = line.iter().enumerate().map(|(index, cell)| match numeric(index) {
            true => format!("{cell:>width$}", width = widths[index]),
            false => format!("{cell:<width$}", width = widths[index]),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut text: Vec<String> = lines.iter().map(aligned).collect();
    text.insert(1, widths.iter().map(|width| "─".repeat(*width)).collect::<Vec<_>>().join("  "));
    let stats = &answer["stats"];
    let more = if stats["truncated"] == true { ", more were cut off: add LIMIT or ask for csv" } else { "" };
    text.push(format!("{} rows in {} ms, {} scanned{more}", rows.len(), stats["elapsed_ms"], stats["rows_scanned"]));
    text.join("\n")
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "∅".to_owned(),
        Value::String(text) => text.replace('\n', "⏎"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up() {
        let answer = json!({
            "columns": [{"name": "variant", "type": "text"}, {"name": "n", "type": "bigint"}],
            "rows": [["A", 1200], [null, 7]],
            "stats": {"elapsed_ms": 3.5, "rows_scanned": 1207, "truncated": false},
        });
        let expected = "variant     n\n───────  ────\nA        1200\n∅           7\n2 rows in 3.5 ms, 1207 scanned";
        assert_eq!(table(&answer), expected);
    }
}
