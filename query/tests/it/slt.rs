//! Runs `tests/slt/*.slt`: a small dialect of SQL logic tests.
//!
//! `events <dataset>` stores the NDJSON lines below it, `repeat <count> <dataset>` the same lines many times (`$n` is 0, 1 …), `flush` writes them to files, `query` runs the SQL below it and compares with the
//! rows below `----` (cells joined by ` | `), `error <code>` wants an error whose text holds the line below `----`. Records end at an empty
//! line. Every file runs twice: as it stands, and with a flush before every query, for the answers must be the same.

use std::{fs, path::Path};

use crate::house::House;

enum Record {
    Events { dataset: String, lines: Vec<String> },
    Own { dataset: String, lines: Vec<String> },
    Flush,
    Query { sql: String, rows: Vec<String> },
    Error { code: String, sql: String, text: String },
}

fn parse(text: &str) -> Vec<(usize, Record)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut records = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let start = at;
        let head = lines[at].trim();
        at += 1;
        if head.is_empty() || head.starts_with('#') {
            continue;
        }
        let body: Vec<String> =
            lines[at..].iter().take_while(|line| !line.trim().is_empty()).map(|line| (*line).to_owned()).collect();
        at += body.len();
        let split = body.iter().position(|line| line == "----");
        let sql = || body[..split.unwrap_or(body.len())].join("\n");
        let rows = || split.map(|split| body[split + 1..].to_vec()).unwrap_or_default();
        let record = match head.split_once(' ').unwrap_or((head, "")) {
            ("events", dataset) => Record::Events { dataset: dataset.to_owned(), lines: body.clone() },
            ("repeat", rest) => {
                let (count, dataset) = rest.split_once(' ').unwrap();
                let repeated = (0..count.parse::<usize>().unwrap())
                    .flat_map(|n| body.iter().map(move |line| line.replace("$n", &n.to_string())));
                Record::Events { dataset: dataset.to_owned(), lines: repeated.collect() }
            }
            ("own", dataset) => Record::Own { dataset: dataset.to_owned(), lines: body.clone() },
            ("flush", _) => Record::Flush,
            ("query", _) => Record::Query { sql: sql(), rows: rows() },
            ("error", code) => Record::Error { code: code.to_owned(), sql: sql(), text: rows().join("\n") },
            other => panic!("line {}: unknown record {other:?}", start + 1),
        };
        records.push((start + 1, record));
    }
    records
}

async fn run(file: &Path, flush_always: bool) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let house = House::new().await;
    let mut wrong = Vec::new();
    for (line, record) in parse(&text) {
        let place = format!("{}:{line} ({})", file.display(), if flush_always { "flushed" } else { "hot" });
        if flush_always && matches!(record, Record::Query { .. }) {
            house.store.flush().await.unwrap();
        }
        match record {
            Record::Events { dataset, lines } => drop(house.send(&dataset, &lines).await),
            Record::Own { dataset, lines } => {
                let values: Vec<serde_json::Value> =
                    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
                house.own(&dataset, &values).await;
            }
            Record::Flush => house.store.flush().await.unwrap(),
            Record::Query { sql, rows } => match house.rows(&sql).await {
                Ok(found) if found == rows => {}
                Ok(found) => wrong.push(format!(
                    "{place}\n{sql}\n---- expected\n{}\n---- found\n{}",
                    rows.join("\n"),
                    found.join("\n")
                )),
                Err(error) => wrong.push(format!("{place}\n{sql}\n---- {}: {error} {error:?}", error.code())),
            },
            Record::Error { code, sql, text } => match house.rows(&sql).await {
                Err(error) if error.code() == code && error.to_string().contains(&text) => {}
                Err(error) => wrong.push(format!("{place}\n{sql}\n---- found {}: {error}", error.code())),
                Ok(found) => wrong.push(format!("{place}\n{sql}\n---- found rows\n{}", found.join("\n"))),
            },
        }
    }
    wrong
}

fn files() -> Vec<std::path::PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Each function of ours and each error a statement can meet has a record; what needs a clock, a bound or a second client is elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_function_and_every_error_has_a_record() {
    let records: Vec<Record> =
        files().iter().flat_map(|file| parse(&fs::read_to_string(file).unwrap())).map(|(_, record)| record).collect();
    let asked: Vec<&str> = records
        .iter()
        .filter_map(|record| match record {
            Record::Query { sql, .. } => Some(sql.as_str()),
            _ => None,
        })
        .collect();
    let house = House::new().await;
    let help = crate::http::get(&query::routes(house.engine.clone()), "/functions").await.json();
    for one in help["functions"].as_array().unwrap().iter().filter(|one| one["example"] != "") {
        let name = one["name"].as_str().unwrap();
        let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let names = |sql: &&str| {
            sql.match_indices(name).any(|(at, _)| {
                !is_word(sql[..at].chars().next_back()) && !is_word(sql[at + name.len()..].chars().next())
            })
        };
        assert!(asked.iter().any(names), "no query record asks {name}");
    }
    for code in ["sql_syntax", "sql_invalid", "unknown_column", "unknown_table", "unknown_dataset", "read_only"] {
        let is_met = |record: &Record| matches!(record, Record::Error { code: found, .. } if found == code);
        assert!(records.iter().any(is_met), "no record meets {code}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sql_logic_tests_hold_hot_and_flushed() {
    let mut wrong = Vec::new();
    for file in files() {
        wrong.extend(run(&file, false).await);
        wrong.extend(run(&file, true).await);
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
}
