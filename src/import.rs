//! `yellowline import`: history into a running server, in batches, with progress.

use std::{
    fs::File,
    io::{BufRead, BufReader, IsTerminal, Read},
    path::Path,
};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::{
    cli::{ImportOptions, ImportWhat},
    client::Client,
    config::say,
};

/// Bytes of NDJSON per request: well below the server's body limit.
const BATCH_BYTES: usize = 4 << 20;

pub(crate) async fn run(options: &ImportOptions) -> anyhow::Result<()> {
    match &options.what {
        ImportWhat::Events { dataset, files, server } => {
            let mut import = Import {
                client: Client::new(server)?,
                path: format!("/events/{dataset}?import=true"),
                totals: Totals::default(),
            };
            for file in files {
                import.events(file).await.with_context(|| format!("{}", file.display()))?;
            }
            let Totals { accepted, duplicates, rejected } = import.totals;
            say(&format!("{accepted} events stored, {duplicates} known before, {rejected} rejected"))?;
            if rejected > 0 { bail!("{rejected} events were rejected, see above") } else { Ok(()) }
        }
        ImportWhat::Metric { name, files, server } => {
            let client = Client::new(server)?;
            for file in files {
                let text = csv_text(file).with_context(|| format!("{}", file.display()))?;
                let request =
                    client.post(&format!("/metrics/{name}/points")).header("content-type", "text/csv").body(text);
                let answer = client.send(request).await.with_context(|| format!("{}", file.display()))?.text().await?;
                say(&format!("{}: {answer}", file.display()))?;
            }
            Ok(())
        }
    }
}

#[derive(Debug, Default)]
struct Totals {
    accepted: u64,
    duplicates: u64,
    rejected: u64,
}

#[derive(Debug)]
struct Import {
    client: Client,
    path: String,
    totals: Totals,
}

impl Import {
    async fn events(&mut self, file: &Path) -> anyhow::Result<()> {
        let mut batch = String::new();
        let mut first_line = 1_u64;
        let mut line_number = 0_u64;
        let mut lines = event_lines(file)?;
        while let Some(line) = lines.next().transpose()? {
            line_number += 1;
            batch.push_str(&line);
            batch.push('\n');
            if batch.len() >= BATCH_BYTES {
                self.send(std::mem::take(&mut batch), first_line).await?;
                first_line = line_number + 1;
                self.progress();
            }
        }
        if !batch.is_empty() {
            self.send(batch, first_line).await?;
        }
        Ok(())
    }

    async fn send(&mut self, batch: String, first_line: u64) -> anyhow::Result<()> {
        let request = self.client.post(&self.path).header("content-type", "application/x-ndjson").body(batch);
        let response = request.send().await.context("no server answers: start one, or name it with --server")?;
        let status = response.status();
        let answer: Value = response.json().await.context("the answer is not JSON")?;
        let count = |name: &str| answer[name].as_u64().unwrap_or(0);
        self.totals.accepted += count("accepted");
        self.totals.duplicates += count("duplicates");
        let rejected = answer["rejected"].as_array().map(Vec::as_slice).unwrap_or_default();
        self.totals.rejected += rejected.len() as u64;
        for reject in rejected.iter().take(20) {
            let event = first_line + reject["index"].as_u64().unwrap_or(0);
            eprintln!(
                "event {event}: {} ({})",
                reject["message"].as_str().unwrap_or_default(),
                reject["code"].as_str().unwrap_or_default()
            );
        }
        if !status.is_success() && rejected.is_empty() {
            bail!("{}", answer["error"]["message"].as_str().unwrap_or("the server refused the batch"));
        }
        Ok(())
    }

    fn progress(&self) {
        if std::io::stderr().is_terminal() {
            eprint!("\r{} events stored", self.totals.accepted);
        }
    }
}

type Lines = Box<dyn Iterator<Item = anyhow::Result<String>> + Send>;

/// One JSON object per event, whatever the file's format.
fn event_lines(file: &Path) -> anyhow::Result<Lines> {
    match extension(file).as_str() {
        "parquet" => {
            let lines = query::parquet_as_ndjson(File::open(file)?)?;
            Ok(Box::new(lines.map(|line| line.map_err(anyhow::Error::from))))
        }
        "csv" => csv_lines(open(file)?),
        _ => {
            let lines = BufReader::new(open(file)?).lines();
            let filled = lines.filter(|line| line.as_ref().map_or(true, |line| !line.trim().is_empty()));
            Ok(Box::new(filled.map(|line| line.context("could not read a line"))))
        }
    }
}

/// CSV rows as objects: numbers and booleans as such, empty cells absent.
fn csv_lines(reader: Box<dyn Read + Send>) -> anyhow::Result<Lines> {
    let mut csv = csv::Reader::from_reader(reader);
    let header = csv.headers().context("the CSV has no header line")?.clone();
    Ok(Box::new(csv.into_records().map(move |record| {
        let record = record.context("bad CSV")?;
        let cells = header.iter().zip(record.iter()).filter(|(_, cell)| !cell.is_empty());
        let object: serde_json::Map<_, _> = cells.map(|(name, cell)| (name.to_owned(), scalar(cell))).collect();
        Ok(Value::Object(object).to_string())
    })))
}

fn scalar(cell: &str) -> Value {
    match serde_json::from_str(cell) {
        Ok(value @ (Value::Number(_) | Value::Bool(_))) => value,
        _ => Value::String(cell.to_owned()),
    }
}

/// The rows `time,count[,denominator]` of a file as CSV text.
fn csv_text(file: &Path) -> anyhow::Result<String> {
    if extension(file) == "parquet" {
        let mut text = String::new();
        for line in query::parquet_as_ndjson(File::open(file)?)? {
            let row: Value = serde_json::from_str(&line?)?;
            let row = row.as_object().context("a Parquet row is no object")?;
            if text.is_empty() {
                text = row.keys().cloned().collect::<Vec<_>>().join(",") + "\n";
            }
            let cells = row.values().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            text += &(cells.collect::<Vec<_>>().join(",") + "\n");
        }
        return Ok(text);
    }
    let mut text = String::new();
    open(file)?.read_to_string(&mut text).context("the file is not text")?;
    Ok(text)
}

/// Opens a file, unpacking .gz and .zst.
fn open(file: &Path) -> anyhow::Result<Box<dyn Read + Send>> {
    let raw = File::open(file).context("could not open the file")?;
    Ok(match file.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(raw)),
        Some("zst") => Box::new(zstd::stream::read::Decoder::new(raw)?),
        _ => Box::new(raw),
    })
}

/// The extension that tells the format, `.gz` and `.zst` set aside.
fn extension(file: &Path) -> String {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let bare = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
    bare.rsplit_once('.').map_or_else(String::new, |(_, extension)| extension.to_ascii_lowercase())
}
