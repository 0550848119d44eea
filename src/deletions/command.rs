//! `yellowline delete`: asks a running server, and waits until the rows are in no file.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use crate::{cli::DeleteOptions, client::Client, config::say};

/// Between two looks at the progress.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(crate) async fn run(options: &DeleteOptions) -> anyhow::Result<()> {
    let client = Client::new(&options.server)?;
    let path = format!("/datasets/{}/deletions", options.dataset);
    let asked = json!({"predicate": options.predicate, "reason": options.reason, "actor": options.actor});
    let mut deletion = client.json(client.post(&path).json(&asked)).await?;
    let id = deletion["id"].as_str().context("the answer has no id")?.to_owned();
    say(&format!("deletion {id}"))?;
    if options.no_wait {
        return Ok(());
    }
    let mut told = String::new();
    loop {
        let line = progress(&deletion);
        if line != told {
            say(&line)?;
            told = line;
        }
        if matches!(deletion["state"].as_str(), Some("done" | "withdrawn")) {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
        deletion = client.json(client.get(&format!("{path}/{id}"))).await?;
    }
}

/// `rewriting: 3 of 12 files, 40 events deleted`
fn progress(deletion: &Value) -> String {
    let state = deletion["state"].as_str().unwrap_or_default();
    let mut line = format!(
        "{state}: {} of {} files, {} events deleted",
        deletion["files_done"], deletion["files"], deletion["rows_deleted"]
    );
    match deletion["files_held"].as_u64() {
        Some(held) if held > 0 => line.push_str(&format!(", {held} replaced files are still read")),
        _ => {}
    }
    if let Some(error) = deletion["error"].as_str() {
        line.push_str(&format!("; tried again after: {error}"));
    }
    line
}
