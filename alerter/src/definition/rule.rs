//! `[[rule]]`: a plain threshold on any SQL, for what needs no forecast.

use std::sync::Arc;

use store::DatasetName;

use super::{
    Metric, Problem,
    fields::{Fields, Report},
    parse::{checked_name, checked_url, dataset_name, zone},
};
use crate::{forecast::Yearly, history::Minute, score::Direction};

/// Groups judged of one rule at most; further rows are left out, and said so.
pub const GROUPS_MAX: usize = 1000;

/// What is asked of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Judged {
    /// Column `value`.
    Static,
    /// Columns `numerator` and `denominator`: their quotient, where the denominator is at least this.
    Ratio {
        /// Rows with a smaller denominator are not judged.
        least: f64,
    },
    /// Column `value` against itself some minutes earlier, as a share (-.3 = 30 % less), where there were at least this many.
    RateOfChange {
        /// Rows that were smaller then are not judged.
        least: f64,
    },
    /// Whether a group that had a row in the minutes before has none now.
    Absence,
}

/// One `[[rule]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// `[a-z][a-z0-9_]*`, unique among rules and metrics.
    pub name: String,
    /// For people; the name when not given.
    pub title: String,
    /// Plural noun of what the value counts; may be empty.
    pub unit: String,
    /// Where unqualified tables live.
    pub dataset: DatasetName,
    /// Whose changes are suspects; absent means all.
    pub environment: Option<String>,
    /// One statement. `$from` and `$to` stand for the window's ends. Columns that are not judged are labels.
    pub sql: String,
    /// What is judged.
    pub judged: Judged,
    /// Fires above this.
    pub above: Option<f64>,
    /// Fires below this.
    pub below: Option<f64>,
    /// Minutes from `$from` to `$to`.
    pub window_minutes: Minute,
    /// Minutes between evaluations.
    pub every_minutes: Minute,
    /// Minutes it must hold before it fires.
    pub for_minutes: Minute,
    /// Minutes it must not hold before it is over.
    pub keep_firing_minutes: Minute,
    /// Rate of change: how long ago is compared. Absence: how far back a group is remembered.
    pub compare_minutes: Minute,
    /// The clock of sentences.
    pub zone: chrono_tz::Tz,
    /// Channels that are told.
    pub channels: Vec<String>,
    /// Who looks after it.
    pub owner: Option<String>,
    /// What to do when it pages.
    pub runbook: Option<String>,
    /// File it was read from.
    pub file: String,
    /// Line of its `[[rule]]`.
    pub line: u32,
}

impl Rule {
    /// True when a value is one to fire for.
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        self.above.is_some_and(|bound| value > bound) || self.below.is_some_and(|bound| value < bound)
    }

    /// What an alert needs to know of it, in the form of a metric.
    pub(crate) fn as_metric(&self) -> Metric {
        Metric {
            name: self.name.clone(),
            title: self.title.clone(),
            unit: self.unit.clone(),
            dataset: self.dataset.clone(),
            environment: self.environment.clone(),
            measure: query::Measure::Count,
            filter: None,
            slices: Vec::new(),
            zone: self.zone,
            direction: Direction::Both,
            smallest_drop: 0.0,
            channels: self.channels.clone(),
            budget: None,
            calendar_file: None,
            calendar: Arc::default(),
            last_year: Yearly::Off,
            masks: Vec::new(),
            owner: self.owner.clone(),
            runbook: self.runbook.clone(),
            file: self.file.clone(),
            line: self.line,
        }
    }
}

pub(super) fn rule(file: &str, mut fields: Fields<'_, '_>, report: &mut Report<'_>) -> Option<Rule> {
    let before = report.problems.len();
    let name = fields.required_text("name", report).and_then(|name| checked_name(name, &fields, report));
    let title = fields.text("title", report);
    let unit = fields.text("unit", report);
    let dataset = dataset_name(&mut fields, report);
    let environment = fields.text("environment", report);
    let sql = fields.required_text("sql", report);
    let judged = judged(&mut fields, report);
    let above = fields.number("above", -1e15..=1e15, report);
    let below = fields.number("below", -1e15..=1e15, report);
    let mut minutes = |key: &'static str, within: std::ops::RangeInclusive<f64>, otherwise: Minute| {
        let said = fields.number(key, within, report);
        #[expect(clippy::cast_possible_truncation, reason = "within bounds of a few weeks")]
        said.map_or(otherwise, |minutes| minutes.round() as Minute)
    };
    let window_minutes = minutes("window_minutes", 1.0..=10_080.0, 5);
    let every_minutes = minutes("every_minutes", 1.0..=1440.0, 1);
    let for_minutes = minutes("for_minutes", 0.0..=1440.0, 0);
    let keep_firing_minutes = minutes("keep_firing_minutes", 0.0..=1440.0, 0);
    let compare_minutes = minutes("compare_minutes", 1.0..=525_600.0, 1440);
    let zone = zone(&mut fields, report);
    let channels = fields.texts("channels", report);
    let owner = fields.text("owner", report);
    let runbook = fields.text("runbook", report).and_then(|url| checked_url("runbook", url, &fields, report));
    fields.refuse_unknown(report);
    let here = fields.span.clone();
    if let Some(sql) = &sql
        && !(sql.contains("$from") && sql.contains("$to"))
    {
        let message = "`sql` must use `$from` and `$to`: `WHERE time >= $from AND time < $to`";
        report.problem(&fields.place("sql"), message.to_owned());
    }
    match (judged, above.is_some() || below.is_some()) {
        (Some(Judged::Absence), true) => {
            report.problem(&here, "a rule of kind \"absence\" takes no `above` and no `below`".to_owned());
        }
        (Some(Judged::Static | Judged::Ratio { .. } | Judged::RateOfChange { .. }), false) => {
            report.problem(&here, "[[rule]] needs `above` or `below`".to_owned());
        }
        _ => {}
    }
    if report.problems.len() > before {
        return None;
    }
    let name = name?;
    Some(Rule {
        title: title.unwrap_or_else(|| name.replace('_', " ")),
        unit: unit.unwrap_or_default(),
        dataset: dataset?,
        environment,
        sql: sql?,
        judged: judged?,
        above,
        below,
        window_minutes,
        every_minutes,
        for_minutes,
        keep_firing_minutes,
        compare_minutes,
        zone,
        channels,
        owner,
        runbook,
        file: file.to_owned(),
        line: report.line(here.start),
        name,
    })
}

fn judged(fields: &mut Fields<'_, '_>, report: &mut Report<'_>) -> Option<Judged> {
    let given = fields.place("kind") != fields.span;
    let word = fields.choice("kind", &["static", "ratio", "rate_of_change", "absence"], report);
    let least = fields.number("least", 0.0..=1e15, report);
    let judged = match if given { word? } else { "static" } {
        "ratio" => Judged::Ratio { least: least.unwrap_or(1.0) },
        "rate_of_change" => Judged::RateOfChange { least: least.unwrap_or(1.0) },
        "absence" => Judged::Absence,
        _ => Judged::Static,
    };
    if least.is_some() && matches!(judged, Judged::Static | Judged::Absence) {
        let message = "`least` has a meaning for kinds \"ratio\" and \"rate_of_change\" only";
        report.problem(&fields.place("least"), message.to_owned());
    }
    Some(judged)
}

/// A rule may not have the name of a metric: points and alerts are kept under it.
pub(super) fn twin(rule: &Rule, first: &str, file: &str, line: u32) -> Problem {
    Problem {
        file: rule.file.clone(),
        line: rule.line,
        message: format!("rule {:?} has the name of the {first} of {file}:{line}", rule.name),
        warning: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::parse;

    const ERRORS: &str = "[[rule]]\nname = \"errors\"\ndataset = \"shop\"\nchannels = [\"oncall\"]\n\
        sql = \"SELECT country, count(*) AS value FROM events WHERE time >= $from AND time < $to GROUP BY country\"\n";

    fn problems(more: &str) -> Vec<String> {
        let text = format!("{ERRORS}{more}");
        parse("r.toml", &text).err().unwrap_or_default().into_iter().map(|problem| problem.message).collect()
    }

    #[test]
    fn a_rule_has_defaults_and_holds_past_its_bounds() {
        let rule = parse("r.toml", &format!("{ERRORS}above = 50\n")).unwrap().rules.remove(0);
        assert_eq!((rule.window_minutes, rule.every_minutes, rule.for_minutes), (5, 1, 0));
        assert_eq!((rule.judged, rule.title.as_str()), (Judged::Static, "errors"));
        assert!(rule.holds(50.1) && !rule.holds(50.0) && !rule.holds(-1.0));
        let change = format!("{ERRORS}kind = \"rate_of_change\"\nbelow = -0.3\nleast = 20\ncompare_minutes = 10080\n");
        let rule = parse("r.toml", &change).unwrap().rules.remove(0);
        assert_eq!((rule.judged, rule.compare_minutes), (Judged::RateOfChange { least: 20.0 }, 10_080));
    }

    #[test]
    fn what_cannot_work_is_told() {
        assert_eq!(problems(""), ["[[rule]] needs `above` or `below`"]);
        assert!(problems("kind = \"absence\"\nabove = 1\n")[0].contains("takes no `above`"));
        assert!(problems("above = 1\nleast = 3\n")[0].contains("`least` has a meaning"));
        assert!(problems("above = 1\nfor_minute = 3\n")[0].contains("did you mean `for_minutes`?"));
        let text = "[[rule]]\nname = \"r\"\ndataset = \"shop\"\nsql = \"SELECT 1 AS value\"\nabove = 0\n";
        assert!(parse("r.toml", text).unwrap_err()[0].message.contains("$from"));
    }
}
