//! Reads one TOML table key by key and collects every problem with its place, instead of stopping at the first.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::{Problem, nearest::nearest};

/// Where problems of one file go.
#[derive(Debug)]
pub(super) struct Report<'a> {
    file: &'a str,
    text: &'a str,
    pub(super) problems: Vec<Problem>,
}

impl<'a> Report<'a> {
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, problems: Vec::new() }
    }

    /// The line, counted from 1, of a byte offset.
    pub(super) fn line(&self, offset: usize) -> u32 {
        let newlines =
            self.text.as_bytes()[..offset.min(self.text.len())].iter().filter(|byte| **byte == b'\n').count();
        u32::try_from(newlines + 1).unwrap_or(u32::MAX)
    }

    pub(super) fn problem(&mut self, span: &Range<usize>, message: String) {
        self.problem_in_line(self.line(span.start), message);
    }

    pub(super) fn problem_in_line(&mut self, line: u32, message: String) {
        self.problems.push(Problem { file: self.file.to_owned(), line, message, warning: false });
    }
}

/// The keys of one `[[metric]]` or `[[channel]]`.
#[derive(Debug)]
pub(super) struct Fields<'t, 'i> {
    table: &'t DeTable<'i>,
    /// `[[metric]]`
    section: &'static str,
    pub(super) span: Range<usize>,
    read: Vec<&'static str>,
}

impl<'t, 'i> Fields<'t, 'i> {
    pub(super) fn new(table: &'t DeTable<'i>, section: &'static str, span: Range<usize>) -> Self {
        Self { table, section, span, read: Vec::new() }
    }

    fn value(&mut self, key: &'static str) -> Option<(&'t DeValue<'i>, Range<usize>)> {
        self.read.push(key);
        self.table.get(key).map(|value| (value.get_ref(), value.span()))
    }

    /// Place of a key's value, or of the section when the key is absent.
    pub(super) fn place(&self, key: &str) -> Range<usize> {
        self.table.get(key).map_or_else(|| self.span.clone(), toml::Spanned::span)
    }

    pub(super) fn text(&mut self, key: &'static str, report: &mut Report<'_>) -> Option<String> {
        let (value, span) = self.value(key)?;
        match value.as_str() {
            Some("") => {
                report.problem(&span, format!("`{key}` is empty: give it a value or leave the line out"));
                None
            }
            Some(text) => Some(text.to_owned()),
            None => {
                report.problem(&span, format!("`{key}` must be a string, it is {}", article(value)));
                None
            }
        }
    }

    pub(super) fn required_text(&mut self, key: &'static str, report: &mut Report<'_>) -> Option<String> {
        if self.table.get(key).is_none() {
            report.problem(&self.span.clone(), format!("{} has no `{key}`", self.section));
        }
        self.text(key, report)
    }

    pub(super) fn flag(&mut self, key: &'static str, report: &mut Report<'_>) -> Option<bool> {
        let (value, span) = self.value(key)?;
        let flag = value.as_bool();
        if flag.is_none() {
            report.problem(&span, format!("`{key}` must be true or false, it is {}", article(value)));
        }
        flag
    }

    /// One of a closed set of words; an absent key gives `None` without a problem.
    pub(super) fn choice(
        &mut self,
        key: &'static str,
        words: &[&'static str],
        report: &mut Report<'_>,
    ) -> Option<&'static str> {
        let text = self.text(key, report)?;
        let found = words.iter().copied().find(|word| *word == text);
        if found.is_none() {
            let hint = nearest(&text, words.iter().copied())
                .map_or_else(String::new, |word| format!(" (did you mean {word:?}?)"));
            report.problem(&self.place(key), format!("`{key}` is {text:?}: it must be {}{hint}", words.join(" | ")));
        }
        found
    }

    pub(super) fn number(
        &mut self,
        key: &'static str,
        within: std::ops::RangeInclusive<f64>,
        report: &mut Report<'_>,
    ) -> Option<f64> {
        let (value, span) = self.value(key)?;
        let number = match value {
            DeValue::Float(float) => float.as_str().replace('_', "").parse::<f64>().ok(),
            DeValue::Integer(integer) => i64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix())
                .ok()
                .and_then(|whole| whole.to_string().parse::<f64>().ok()),
            _ => None,
        };
        match number {
            Some(number) if within.contains(&number) => Some(number),
            Some(number) => {
                report.problem(
                    &span,
                    format!("`{key}` is {number}: it must be within {} and {}", within.start(), within.end()),
                );
                None
            }
            None => {
                report.problem(&span, format!("`{key}` must be a number, it is {}", article(value)));
                None
            }
        }
    }

    pub(super) fn texts(&mut self, key: &'static str, report: &mut Report<'_>) -> Vec<String> {
        let Some((value, span)) = self.value(key) else { return Vec::new() };
        let Some(array) = value.as_array() else {
            report.problem(&span, format!("`{key}` must be an array of strings, it is {}", article(value)));
            return Vec::new();
        };
        let mut texts: Vec<String> = Vec::new();
        for item in array.iter() {
            match item.get_ref().as_str() {
                Some("") => report.problem(&item.span(), format!("`{key}` holds an empty string")),
                Some(text) if texts.iter().any(|known| known == text) => {
                    report.problem(&item.span(), format!("`{key}` names {text:?} twice"));
                }
                Some(text) => texts.push(text.to_owned()),
                None => report.problem(&item.span(), format!("`{key}` must hold strings only")),
            }
        }
        texts
    }

    /// Reports every key that was never asked for.
    pub(super) fn refuse_unknown(&self, report: &mut Report<'_>) {
        for (key, _) in self.table.iter() {
            let name = key.get_ref().as_ref();
            if self.read.contains(&name) {
                continue;
            }
            let hint = match nearest(name, self.read.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("known keys are {}", self.read.join(", ")),
            };
            report.problem(&key.span(), format!("unknown key `{name}` in {}: {hint}", self.section));
        }
    }
}

/// `an integer`, `a table` …
fn article(value: &DeValue<'_>) -> String {
    let name = value.type_str();
    let article = if name.starts_with(['a', 'i', 'o']) { "an" } else { "a" };
    format!("{article} {name}")
}
