//! The folder of definition files: reads it again and again, keeps the last good version of each file.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Channel, Definitions, Metric, Problem, Rule, Secret, nearest::nearest, parse, rule};
use crate::{calendar::Calendar, config::Environment};

/// Largest definition file, in bytes: thousands of metrics fit.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What is known of one file.
#[derive(Debug, Default)]
struct File {
    /// The text last judged, so that an unchanged file is not parsed again.
    text: Option<String>,
    good: Definitions,
    problems: Vec<Problem>,
}

/// Every definition in force.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    files: BTreeMap<String, File>,
    /// Problems of the folder itself and of links between files.
    across: Vec<Problem>,
    metrics: BTreeMap<String, Metric>,
    channels: BTreeMap<String, Channel>,
    rules: BTreeMap<String, Rule>,
}

impl Folder {
    /// Nothing is read before the first [`Folder::reread`].
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            files: BTreeMap::new(),
            across: Vec::new(),
            metrics: BTreeMap::new(),
            channels: BTreeMap::new(),
            rules: BTreeMap::new(),
        }
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Metrics in force by name.
    #[must_use]
    pub fn metrics(&self) -> &BTreeMap<String, Metric> {
        &self.metrics
    }

    /// Channels in force by name.
    #[must_use]
    pub fn channels(&self) -> &BTreeMap<String, Channel> {
        &self.channels
    }

    /// Rules in force by name.
    #[must_use]
    pub fn rules(&self) -> &BTreeMap<String, Rule> {
        &self.rules
    }

    /// All problems at once, by file and line.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> =
            self.files.values().flat_map(|file| &file.problems).chain(&self.across).cloned().collect();
        problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        problems
    }

    /// Reads every `*.toml` of the folder. True when the definitions in force or the problems changed.
    pub fn reread(&mut self) -> bool {
        let before = (self.metrics.clone(), self.channels.clone(), self.rules.clone(), self.problems());
        let (texts, unreadable) = read_all(&self.root);
        let seen: BTreeSet<&String> = texts.keys().chain(unreadable.iter().map(|problem| &problem.file)).collect();
        self.files.retain(|name, _| seen.contains(name));
        for (name, text) in texts {
            let file = self.files.entry(name.clone()).or_default();
            if file.text.as_ref() == Some(&text) {
                continue;
            }
            match parse(&name, &text) {
                Ok(good) => (file.good, file.problems) = (good, Vec::new()),
                Err(problems) => file.problems = problems,
            }
            file.text = Some(text);
        }
        self.across = unreadable;
        self.link();
        before != (self.metrics.clone(), self.channels.clone(), self.rules.clone(), self.problems())
    }

    /// Joins the files: names are unique across them, and what they refer to exists.
    fn link(&mut self) {
        let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
        let mut channels: BTreeMap<String, Channel> = BTreeMap::new();
        for file in self.files.values() {
            for channel in &file.good.channels {
                if let Some(first) = channels.get(&channel.name) {
                    let message =
                        format!("channel {:?} is already defined in {}:{}", channel.name, first.file, first.line);
                    self.across.push(problem(&channel.file, channel.line, message));
                } else {
                    channels.insert(channel.name.clone(), channel.clone());
                }
            }
            for metric in &file.good.metrics {
                if let Some(first) = metrics.get(&metric.name) {
                    let message =
                        format!("metric {:?} is already defined in {}:{}", metric.name, first.file, first.line);
                    self.across.push(problem(&metric.file, metric.line, message));
                } else {
                    metrics.insert(metric.name.clone(), metric.clone());
                }
            }
        }
        let rules = self.link_rules(&metrics);
        self.link_calendars(&mut metrics);
        self.link_masks(&mut metrics);
        let names: Vec<&str> = channels.keys().map(String::as_str).collect();
        let told = metrics.values().map(|metric| (&metric.name, &metric.file, metric.line, &metric.channels));
        let told = told.chain(rules.values().map(|rule| (&rule.name, &rule.file, rule.line, &rule.channels)));
        for (name, file, line, wanted) in told {
            for wanted in wanted.iter().filter(|wanted| !channels.contains_key(*wanted)) {
                self.across.push(problem(file, line, unknown_channel(name, wanted, &names)));
            }
        }
        for channel in channels.values() {
            if let Some(wanted) = channel.fallback.as_ref().filter(|wanted| !channels.contains_key(*wanted)) {
                self.across.push(problem(&channel.file, channel.line, unknown_channel(&channel.name, wanted, &names)));
            }
        }
        (self.metrics, self.channels, self.rules) = (metrics, channels, rules);
    }

    /// Reads the event days that metrics name. A file that cannot be read leaves the days known before in force.
    fn link_calendars(&mut self, metrics: &mut BTreeMap<String, Metric>) {
        for metric in metrics.values_mut() {
            let Some((file, scope)) = &metric.calendar_file else { continue };
            match read_calendar(&self.root.join(file), scope.as_deref()) {
                Ok(calendar) => metric.calendar = Arc::new(calendar),
                Err(message) => {
                    let known = self.metrics.get(&metric.name).map(|known| known.calendar.clone());
                    metric.calendar = known.unwrap_or_default();
                    self.across.push(problem(&metric.file, metric.line, format!("calendar {file:?}: {message}")));
                }
            }
        }
    }

    fn link_masks(&mut self, metrics: &mut BTreeMap<String, Metric>) {
        for hidden in self.files.values().flat_map(|file| &file.good.masks) {
            match metrics.get_mut(&hidden.metric) {
                Some(metric) => metric.masks.push(hidden.mask.clone()),
                None => {
                    let known = nearest(&hidden.metric, metrics.keys().map(String::as_str));
                    let hint = known.map_or_else(String::new, |known| format!(": did you mean {known:?}?"));
                    let message = format!("[[mask]] names metric {:?}, which is not defined{hint}", hidden.metric);
                    self.across.push(problem(&hidden.file, hidden.line, message));
                }
            }
        }
    }

    /// Rules share their names with nobody: points and alerts are kept under them.
    fn link_rules(&mut self, metrics: &BTreeMap<String, Metric>) -> BTreeMap<String, Rule> {
        let mut rules: BTreeMap<String, Rule> = BTreeMap::new();
        for rule in self.files.values().flat_map(|file| &file.good.rules) {
            let metric = metrics.get(&rule.name).map(|known| ("metric", &known.file, known.line));
            let known = metric.or_else(|| rules.get(&rule.name).map(|known| ("rule", &known.file, known.line)));
            match known {
                Some((what, file, line)) => self.across.push(rule::twin(rule, what, file, line)),
                None => {
                    rules.insert(rule.name.clone(), rule.clone());
                }
            }
        }
        rules
    }
}

/// The event days of a file that apply to a scope: its own, and those without one.
fn read_calendar(path: &Path, scope: Option<&str>) -> Result<Calendar, String> {
    let size = path.metadata().map_err(|error| format!("could not read it: {error}"))?.len();
    if size > FILE_BYTES_MAX {
        return Err(format!("it is larger than {FILE_BYTES_MAX} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("could not read it: {error}"))?;
    let calendar = Calendar::from_csv(&text).map_err(|error| error.to_string())?;
    Ok(scope.map_or_else(|| calendar.clone(), |scope| calendar.scoped(scope)))
}

fn problem(file: &str, line: u32, message: String) -> Problem {
    Problem { file: file.to_owned(), line, message, warning: false }
}

fn unknown_channel(of: &str, wanted: &str, names: &[&str]) -> String {
    match nearest(wanted, names.iter().copied()) {
        Some(known) => format!("{of:?} names channel {wanted:?}, which is not defined: did you mean {known:?}?"),
        None if names.is_empty() => format!("{of:?} names channel {wanted:?}, but no [[channel]] is defined"),
        None => format!("{of:?} names channel {wanted:?}, which is not defined: known are {}", names.join(", ")),
    }
}

/// The texts of all `*.toml` files directly in the folder, and what could not be read. A folder that does not exist
/// holds no files.
fn read_all(root: &Path) -> (BTreeMap<String, String>, Vec<Problem>) {
    let mut texts = BTreeMap::new();
    let mut problems = Vec::new();
    let entries = match std::fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return (texts, problems),
        Err(error) => {
            problems.push(problem(".", 1, format!("could not list the folder of metrics: {error}")));
            return (texts, problems);
        }
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with(".toml") || name.starts_with('.') {
            continue;
        }
        match entry.path().metadata() {
            Ok(meta) if meta.is_dir() => continue,
            Ok(meta) if meta.len() > FILE_BYTES_MAX => {
                problems.push(problem(&name, 1, format!("the file is larger than {FILE_BYTES_MAX} bytes: split it")));
                continue;
            }
            _ => {}
        }
        match std::fs::read_to_string(entry.path()) {
            Ok(text) => {
                texts.insert(name, text);
            }
            Err(error) => problems.push(problem(&name, 1, format!("could not read the file: {error}"))),
        }
    }
    (texts, problems)
}

/// Everything wrong with the files of a folder, unreadable secrets included: for `yellowline check-config`.
#[must_use]
pub fn check(root: &Path, environment: &Environment) -> Vec<Problem> {
    let mut folder = Folder::new(root.to_owned());
    folder.reread();
    let mut problems = folder.problems();
    for channel in folder.channels.values() {
        let Some(secret) = &channel.secret else { continue };
        if let Err(message) = read_secret(root, secret, environment) {
            problems.push(Problem { warning: true, ..problem(&channel.file, channel.line, message) });
        }
    }
    problems
}

/// Reads a secret now. The error names its place, never its content.
pub(crate) fn read_secret(root: &Path, secret: &Secret, environment: &Environment) -> Result<String, String> {
    let text = match secret {
        Secret::File(path) => std::fs::read_to_string(root.join(path))
            .map_err(|error| format!("could not read the secret file {path:?}: {error}"))?,
        Secret::Env(name) => {
            environment.get(name).ok_or_else(|| format!("the environment variable {name:?} of a secret is not set"))?
        }
    };
    let text = text.trim().to_owned();
    if text.is_empty() {
        return Err(match secret {
            Secret::File(path) => format!("the secret file {path:?} is empty"),
            Secret::Env(name) => format!("the environment variable {name:?} of a secret is empty"),
        });
    }
    Ok(text)
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
