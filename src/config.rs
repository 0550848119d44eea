//! Settings: file, then environment, then flags; checked all at once, then immutable.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::cli::{ConfigOptions, ServeOptions};

/// Everything that can be set; one section per stage.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Data folder.
    pub(crate) data: PathBuf,
    /// Address to listen on. Off loopback every request needs an API key.
    pub(crate) listen: SocketAddr,
    /// Host names, besides loopback and the one in `alerter.public_url`, that keyless requests may name (DNS rebinding guard).
    pub(crate) hosts: Vec<String>,
    /// Connections served at one time; more wait in the kernel's backlog.
    pub(crate) connections_max: usize,
    /// Limits of the door.
    pub(crate) ingest: ingest::Config,
    /// WAL, memtable, files.
    pub(crate) store: store::Config,
    /// SQL.
    pub(crate) query: query::Config,
    /// Metrics, rules, channels.
    pub(crate) alerter: alerter::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("yellowline-data"),
            listen: SocketAddr::from(([127, 0, 0, 1], 7300)),
            hosts: Vec::new(),
            connections_max: 4096,
            ingest: ingest::Config::default(),
            store: store::Config::default(),
            query: query::Config::default(),
            alerter: alerter::Config::default(),
        }
    }
}

/// The configuration is wrong; lists every problem with its place.
#[derive(Debug, thiserror::Error)]
#[error("{}", problems.join("\n"))]
pub(crate) struct Invalid {
    problems: Vec<String>,
}

impl ConfigOptions {
    /// The effective settings.
    pub(crate) fn config(&self) -> anyhow::Result<Config> {
        let text = match &self.config {
            Some(path) => std::fs::read_to_string(path)
                .with_context(|| format!("could not read the configuration file {}", path.display()))?,
            None => String::new(),
        };
        let file = self.config.as_deref().unwrap_or(Path::new("configuration"));
        let mut config = merge(file, &text, std::env::vars())?;
        if let Some(data) = &self.data {
            config.data.clone_from(data);
        }
        if let Some(listen) = self.listen {
            config.listen = listen;
        }
        config.settle();
        Ok(config)
    }
}

impl ServeOptions {
    /// The effective settings.
    pub(crate) fn config(&self) -> anyhow::Result<Config> {
        let mut config = self.config.config()?;
        config.store.read_only |= self.read_only;
        Ok(config)
    }
}

impl Config {
    /// Where people reach the console: as configured, else where the server listens.
    pub(crate) fn public_url(&self, addr: SocketAddr) -> String {
        let configured = &self.alerter.public_url;
        if *configured == alerter::Config::default().public_url { format!("http://{addr}") } else { configured.clone() }
    }

    /// Puts each stage's folder below the data folder unless it was set.
    fn settle(&mut self) {
        self.store.folder.clone_from(&self.data);
        if self.alerter.folder == alerter::Config::default().folder {
            self.alerter.folder = self.data.join("metrics");
        }
    }
}

/// Where `*_env` secrets of channels come from.
#[expect(clippy::disallowed_methods, reason = "the one file that reads the environment")]
pub(crate) fn environment() -> alerter::Environment {
    alerter::Environment::new(|name| std::env::var(name).ok())
}

/// `yellowline check-config`.
pub(crate) fn check(options: &ConfigOptions) -> anyhow::Result<()> {
    let config = options.config()?;
    let environment = environment();
    let (warnings, errors): (Vec<_>, Vec<_>) =
        alerter::check(&config.alerter.folder, &environment).into_iter().partition(|problem| problem.warning);
    let warnings = warnings.iter().map(ToString::to_string).chain(config.alerter.secret_problems(&environment));
    warnings.into_iter().try_for_each(|warning| say(&format!("warning: {warning}")))?;
    if !errors.is_empty() {
        return Err(Invalid { problems: errors.iter().map(ToString::to_string).collect() }.into());
    }
    say(&format!("the configuration and the metric files in {} are good", config.alerter.folder.display()))
}

/// `yellowline print-config`.
pub(crate) fn print(config: &Config) -> anyhow::Result<()> {
    say(toml::to_string_pretty(config).context("could not write the configuration as TOML")?.trim_end())
}

/// One line to standard output; a closed pipe is an error, not a panic.
pub(crate) fn say(text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{text}").context("could not write to standard output")
}

/// File and environment in one table, every key checked on its own so that all problems are told at once.
fn merge(file: &Path, text: &str, environment: impl Iterator<Item = (String, String)>) -> Result<Config, Invalid> {
    let place = file.display().to_string();
    let mut table: Table = text
        .parse()
        .map_err(|error: toml::de::Error| Invalid { problems: vec![syntax_problem(&place, text, &error)] })?;
    let mut places = BTreeMap::new();
    for (name, value) in environment {
        let Some(path) = name.strip_prefix("YELLOWLINE_").and_then(environment_path) else {
            continue;
        };
        places.insert(path.clone(), format!("environment variable {name}"));
        insert(&mut table, &path, scalar(&value));
    }
    let mut problems = Vec::new();
    for (path, value) in leaves(&table) {
        let mut single = Table::new();
        insert(&mut single, &path, value);
        if let Err(error) = single.try_into::<Config>() {
            let place = places.get(&path).cloned().unwrap_or_else(|| format!("{place}:{}", line_of(text, &path)));
            problems.push(format!("{place}: {}: {}", path.join("."), explain(&error, &path)));
        }
    }
    if problems.is_empty() {
        return table
            .try_into()
            .map_err(|error: toml::de::Error| Invalid { problems: vec![error.message().to_owned()] });
    }
    Err(Invalid { problems })
}

/// `STORE__WAL_BYTES` -> [store, wal_bytes]; `LISTEN` -> [listen]. Other variables of that prefix are not settings.
fn environment_path(name: &str) -> Option<Vec<String>> {
    let path: Vec<String> = name.split("__").map(str::to_ascii_lowercase).collect();
    let top_level = ["data", "listen", "hosts", "connections_max"];
    (path.len() > 1 || top_level.contains(&path[0].as_str())).then_some(path)
}

/// An environment value as TOML: numbers, booleans and lists as such, the rest as text.
fn scalar(text: &str) -> Value {
    let parsed = format!("x = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("x"));
    parsed.unwrap_or_else(|| Value::String(text.to_owned()))
}

fn insert(table: &mut Table, path: &[String], value: Value) {
    let [key, rest @ ..] = path else { return };
    if rest.is_empty() {
        table.insert(key.clone(), value);
        return;
    }
    let child = table.entry(key.clone()).or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(child) = child {
        insert(child, rest, value);
    }
}

/// Every value with its path.
fn leaves(table: &Table) -> Vec<(Vec<String>, Value)> {
    let mut found = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(child) if !child.is_empty() => {
                found.extend(leaves(child).into_iter().map(|(mut path, value)| {
                    path.insert(0, key.clone());
                    (path, value)
                }))
            }
            other => found.push((vec![key.clone()], other.clone())),
        }
    }
    found
}

/// The reader's own words, with the nearest known key for an unknown one.
fn explain(error: &toml::de::Error, path: &[String]) -> String {
    let message = error.message().to_owned();
    let Some(known) = message.strip_prefix("unknown field `").and_then(|rest| rest.split_once("expected ")) else {
        return message;
    };
    let names: Vec<&str> = known.1.split('`').skip(1).step_by(2).collect();
    let wrong = message.split('`').nth(1).unwrap_or_else(|| path.last().map_or("", String::as_str)).to_owned();
    let nearest =
        names.iter().min_by_key(|name| strsim::damerau_levenshtein(name, &wrong)).copied().unwrap_or_default();
    format!("unknown key; the nearest known one is `{nearest}` (all: {})", names.join(", "))
}

fn syntax_problem(place: &str, text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    format!("{place}:{line}: {}", error.message())
}

/// The line (from 1) where a key stands, found by its table header and name.
fn line_of(text: &str, path: &[String]) -> usize {
    let (key, tables) = path.split_last().map_or(("", &[][..]), |(key, tables)| (key.as_str(), tables));
    let mut header = String::new();
    for (part, table) in tables.iter().enumerate() {
        let written = write!(header, "{}{table}", if part == 0 { "" } else { "." });
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    }
    let mut current = String::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            current = name.trim().to_owned();
        } else if current == header && line.split('=').next().is_some_and(|name| name.trim().trim_matches('"') == key) {
            return number;
        }
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(text: &str, environment: &[(&str, &str)]) -> Result<Config, Invalid> {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        merge(Path::new("y.toml"), text, environment)
    }

    #[test]
    fn environment_wins_over_file_and_both_over_defaults() {
        let text = "listen = \"127.0.0.1:1\"\n[ingest]\nbody_bytes_max = 5\n";
        let config = merged(text, &[("YELLOWLINE_INGEST__BODY_BYTES_MAX", "7"), ("YELLOWLINE_BIN", "/x")]).unwrap();
        assert_eq!((config.listen.port(), config.ingest.body_bytes_max), (1, 7));
        assert_eq!(config.ingest.events_per_request_max, ingest::Config::default().events_per_request_max);
    }

    #[test]
    fn every_problem_is_told_with_its_place() {
        let text = "lisen = \"127.0.0.1:1\"\n\n[ingest]\nbody_bytes_mx = 5\nevents_per_request_max = \"many\"\n";
        let text = merged(text, &[("YELLOWLINE_INGEST__NONE", "1")]).unwrap_err().to_string();
        for part in [
            "y.toml:1: lisen: unknown key; the nearest known one is `listen`",
            "y.toml:4: ingest.body_bytes_mx: unknown key; the nearest known one is `body_bytes_max`",
            "y.toml:5: ingest.events_per_request_max: invalid type: string",
            "environment variable YELLOWLINE_INGEST__NONE: ingest.none: unknown key",
        ] {
            assert!(text.contains(part), "{part}\nnot in\n{text}");
        }
        assert!(merged("a = \n", &[]).unwrap_err().to_string().starts_with("y.toml:1: "));
    }

    #[test]
    fn the_sample_shows_every_setting_with_its_default() {
        let sample = include_str!("../yellowline.toml");
        let shown: String = sample
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line))
            .fold(String::new(), |text, line| text + line + "\n");
        let shown: Table = shown.parse().unwrap();
        let defaults = Table::try_from(Config::default()).unwrap();
        let (shown, defaults) = (leaves(&shown), leaves(&defaults));
        for (path, value) in &defaults {
            let found = shown.iter().find(|(shown, _)| shown == path);
            assert_eq!(found.map(|(_, value)| value), Some(value), "yellowline.toml: {}", path.join("."));
        }
    }
}
