//! One file's text -> its metrics and channels, or every problem it has.

use std::sync::Arc;

use query::Measure;
use store::{DatasetName, Timestamp};
use toml::de::DeTable;

use super::{
    Channel, ChannelKind, Direction, Metric, Problem, Rule, Secret,
    fields::{Fields, Report},
    nearest::nearest,
    rule::rule,
};
use crate::{
    burn::{BURN_LIMITS, Budget},
    forecast::Yearly,
    history::{Mask, MaskReason},
    notify::{change_events, transport::is_address},
};

/// PagerDuty's public endpoint; `url` overrides it.
const PAGERDUTY_URL: &str = "https://events.pagerduty.com/v2/enqueue";
/// Drops smaller than this share are not paged unless the metric says otherwise (design: the gate).
const SMALLEST_DROP: f64 = 0.12;
/// Longest name of a metric or channel: ids and dedup keys are made of it.
const NAME_BYTES_MAX: usize = 64;

/// What one file defines.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Definitions {
    /// In the order of the file.
    pub metrics: Vec<Metric>,
    /// In the order of the file.
    pub channels: Vec<Channel>,
    /// In the order of the file.
    pub rules: Vec<Rule>,
    /// In the order of the file.
    pub masks: Vec<PersonMask>,
}

/// One `[[mask]]`: an interval that a person hides from the forecast of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct PersonMask {
    /// The metric.
    pub metric: String,
    /// The interval, with its author.
    pub mask: Mask,
    /// File it was read from.
    pub file: String,
    /// Line of its `[[mask]]`.
    pub line: u32,
}

/// Parses one file. `file` is only used to name places.
///
/// # Errors
/// Every problem of the file, in the order of its lines.
pub fn parse(file: &str, text: &str) -> Result<Definitions, Vec<Problem>> {
    let mut report = Report::new(file, text);
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        report
            .problem(&error.span().unwrap_or(0..0), format!("not valid TOML: {}", error.message().replace('\n', ", ")));
    }
    let mut definitions = Definitions::default();
    for (key, value) in root.get_ref().iter() {
        let section = match key.get_ref().as_ref() {
            "metric" => "[[metric]]",
            "channel" => "[[channel]]",
            "rule" => "[[rule]]",
            "mask" => "[[mask]]",
            other => {
                let hint = nearest(other, ["metric", "channel", "rule", "mask"]).map_or_else(
                    || "expected [[metric]], [[rule]], [[mask]] or [[channel]]".to_owned(),
                    |known| format!("did you mean [[{known}]]?"),
                );
                report.problem(&key.span(), format!("unknown section `{other}`: {hint}"));
                continue;
            }
        };
        let Some(tables) = value.get_ref().as_array() else {
            report.problem(&key.span(), format!("write {section} with two brackets: a file can hold several"));
            continue;
        };
        for item in tables.iter() {
            let Some(table) = item.get_ref().as_table() else {
                report.problem(&item.span(), format!("{section} must be a table"));
                continue;
            };
            let fields = Fields::new(table, section, item.span());
            match section {
                "[[metric]]" => definitions.metrics.extend(metric(file, fields, &mut report)),
                "[[mask]]" => definitions.masks.extend(mask(file, fields, &mut report)),
                "[[rule]]" => definitions.rules.extend(rule(file, fields, &mut report)),
                _ => definitions.channels.extend(channel(file, fields, &mut report)),
            }
        }
    }
    refuse_twins(&definitions, &mut report);
    if report.problems.is_empty() {
        Ok(definitions)
    } else {
        report.problems.sort_by_key(|problem| problem.line);
        Err(report.problems)
    }
}

/// `budget_share` with its limits.
fn budget(fields: &mut Fields<'_, '_>, report: &mut Report<'_>) -> Option<Budget> {
    let share = fields.number("budget_share", 0.000_001..=1.0, report);
    let mut limits = BURN_LIMITS;
    for (limit, key) in limits.iter_mut().zip(["burn_1h", "burn_6h"]) {
        let Some(asked) = fields.number(key, 0.0..=1.0, report) else { continue };
        if share.is_none() {
            report
                .problem(&fields.place(key), format!("`{key}` is a part of the error budget: it needs `budget_share`"));
        }
        *limit = asked;
    }
    share.map(|share| Budget { share, limits })
}

fn metric(file: &str, mut fields: Fields<'_, '_>, report: &mut Report<'_>) -> Option<Metric> {
    let before = report.problems.len();
    let name = fields.required_text("name", report).and_then(|name| checked_name(name, &fields, report));
    let title = fields.text("title", report);
    let unit = fields.text("unit", report);
    let dataset = dataset_name(&mut fields, report);
    let environment = fields.text("environment", report);
    let measure = measure(&mut fields, report);
    let filter = fields.text("filter", report);
    let slices = fields.texts("slices", report);
    let zone = zone(&mut fields, report);
    let direction = direction(&mut fields, measure.as_ref(), report);
    let smallest_drop = fields.number("smallest_drop", 0.01..=0.95, report).unwrap_or(SMALLEST_DROP);
    let channels = fields.texts("channels", report);
    let budget = budget(&mut fields, report);
    let scope = fields.text("calendar_scope", report);
    let last_year = match fields.choice("last_year", &["off", "evidence", "on"], report) {
        Some("evidence") => Yearly::Evidence,
        Some("on") => Yearly::On,
        _ => Yearly::Off,
    };
    let calendar_file = fields.text("calendar", report).map(|file| (file, scope));
    let owner = fields.text("owner", report);
    let runbook = fields.text("runbook", report).and_then(|url| checked_url("runbook", url, &fields, report));
    fields.refuse_unknown(report);
    if matches!(measure, Some(Measure::Ratio { .. })) && filter.is_none() {
        report.problem(&fields.span.clone(), "a ratio needs `filter`: the events of its numerator".to_owned());
    }
    if report.problems.len() > before {
        return None;
    }
    let name = name?;
    Some(Metric {
        title: title.unwrap_or_else(|| name.clone()),
        unit: unit.unwrap_or_else(|| name.replace('_', " ")),
        dataset: dataset?,
        environment,
        measure: measure?,
        filter,
        slices,
        zone,
        direction,
        smallest_drop,
        channels,
        budget,
        calendar_file,
        calendar: Arc::default(),
        last_year,
        masks: Vec::new(),
        owner,
        runbook,
        file: file.to_owned(),
        line: report.line(fields.span.start),
        name,
    })
}

pub(super) fn dataset_name(fields: &mut Fields<'_, '_>, report: &mut Report<'_>) -> Option<DatasetName> {
    let text = fields.required_text("dataset", report)?;
    let valid = DatasetName::from_user(&text).filter(|valid| valid.as_str() == text);
    if valid.is_none() {
        let message = format!("`dataset` is {text:?}: a dataset is [a-z][a-z0-9_]* and not `system`");
        report.problem(&fields.place("dataset"), message);
    }
    valid
}

fn measure(fields: &mut Fields<'_, '_>, report: &mut Report<'_>) -> Option<Measure> {
    let given = fields.place("kind") != fields.span;
    let word = fields.choice("kind", &["count", "sum", "ratio", "latency"], report);
    let word = if given { word } else { Some("count") };
    let value = fields.text("value", report);
    let denominator = fields.text("denominator", report);
    let threshold_ms = fields.number("threshold_ms", 0.000_001..=86_400_000.0, report);
    let word = word?;
    let mut missing = |key: &str| report.problem(&fields.place("kind"), format!("kind {word:?} needs `{key}`"));
    let measure = match word {
        "count" => Some(Measure::Count),
        "sum" => value.clone().map(|value| Measure::Sum { value }).or_else(|| {
            missing("value");
            None
        }),
        "ratio" => denominator.clone().map(|denominator| Measure::Ratio { denominator }).or_else(|| {
            missing("denominator");
            None
        }),
        _ => {
            if value.is_none() {
                missing("value");
            }
            if threshold_ms.is_none() {
                missing("threshold_ms");
            }
            value.clone().zip(threshold_ms).map(|(value, threshold_ms)| Measure::Latency { value, threshold_ms })
        }
    };
    let uses = |key: &str| match word {
        "count" => false,
        "sum" => key == "value",
        "ratio" => key == "denominator",
        _ => key != "denominator",
    };
    for (key, present) in
        [("value", value.is_some()), ("denominator", denominator.is_some()), ("threshold_ms", threshold_ms.is_some())]
    {
        if present && !uses(key) {
            report.problem(&fields.place(key), format!("`{key}` has no meaning for kind {word:?}"));
        }
    }
    measure
}

pub(super) fn zone(fields: &mut Fields<'_, '_>, report: &mut Report<'_>) -> chrono_tz::Tz {
    let Some(text) = fields.text("zone", report) else { return chrono_tz::UTC };
    text.parse().unwrap_or_else(|_| {
        let known = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        let hint = nearest(&text, known).map_or_else(
            || "use an IANA name such as \"Europe/Amsterdam\"".to_owned(),
            |zone| format!("did you mean {zone:?}?"),
        );
        report.problem(&fields.place("zone"), format!("`zone` is {text:?}, which is no time zone: {hint}"));
        chrono_tz::UTC
    })
}

/// Down unless said, except for latency, where more is worse.
fn direction(fields: &mut Fields<'_, '_>, measure: Option<&Measure>, report: &mut Report<'_>) -> Direction {
    match fields.choice("direction", &["down", "up", "both"], report) {
        Some("up") => Direction::Up,
        Some("both") => Direction::Both,
        Some(_) => Direction::Down,
        None if matches!(measure, Some(Measure::Latency { .. })) => Direction::Up,
        None => Direction::Down,
    }
}

fn mask(file: &str, mut fields: Fields<'_, '_>, report: &mut Report<'_>) -> Option<PersonMask> {
    let before = report.problems.len();
    let metric = fields.required_text("metric", report);
    let [from, to] = ["from", "to"].map(|key| {
        let text = fields.required_text(key, report)?;
        let time = Timestamp::parse_rfc3339(&text);
        if time.is_none() {
            let message = format!("`{key}` is {text:?}: write RFC 3339 such as \"2026-11-20T14:10:00Z\"");
            report.problem(&fields.place(key), message);
        }
        time.map(Timestamp::minutes)
    });
    // Why is for those who read the file.
    fields.text("reason", report);
    let author = fields.text("author", report);
    fields.refuse_unknown(report);
    let (metric, from, to) = (metric?, from?, to?);
    if from >= to {
        report.problem(&fields.place("to"), "`to` must be after `from`".to_owned());
    }
    (report.problems.len() == before).then(|| PersonMask {
        metric,
        mask: Mask { from, to, reason: MaskReason::Person, author },
        file: file.to_owned(),
        line: report.line(fields.span.start),
    })
}

fn channel(file: &str, mut fields: Fields<'_, '_>, report: &mut Report<'_>) -> Option<Channel> {
    let before = report.problems.len();
    let name = fields.required_text("name", report).and_then(|name| checked_name(name, &fields, report));
    if fields.place("kind") == fields.span {
        report.problem(&fields.span.clone(), "[[channel]] has no `kind`".to_owned());
    }
    let kind = fields.choice("kind", &["pagerduty", "slack", "webhook"], report);
    let url = fields.text("url", report).and_then(|url| checked_url("url", url, &fields, report));
    let fallback = fields.text("fallback", report);
    let changes = fields.flag("changes", report);
    let routing_key = secret(&mut fields, ["routing_key_file", "routing_key_env"], report);
    let signing = secret(&mut fields, ["secret_file", "secret_env"], report);
    let secret_url = secret(&mut fields, ["url_file", "url_env"], report);
    fields.refuse_unknown(report);
    let mut wants = |text: &str| report.problem(&fields.span.clone(), text.to_owned());
    let (kind, url, secret) = match kind? {
        "pagerduty" => {
            if routing_key.is_none() {
                wants("a pagerduty channel needs `routing_key_file` or `routing_key_env`");
            }
            if signing.is_some() || secret_url.is_some() {
                wants("a pagerduty channel takes `routing_key_file` or `routing_key_env` and, if needed, `url`");
            }
            (ChannelKind::PagerDuty, Some(url.unwrap_or_else(|| PAGERDUTY_URL.to_owned())), routing_key)
        }
        "slack" => {
            if url.is_some() == secret_url.is_some() {
                wants("a slack channel needs exactly one of `url_file`, `url_env` and `url` (the address is a secret)");
            }
            if signing.is_some() || routing_key.is_some() {
                wants("a slack channel takes no routing key and no secret");
            }
            (ChannelKind::Slack, url, secret_url)
        }
        _ => {
            if url.is_none() {
                wants("a webhook channel needs `url`");
            }
            if signing.is_none() {
                wants("a webhook channel needs `secret_file` or `secret_env`: it signs what it sends (whsec_…)");
            }
            if routing_key.is_some() || secret_url.is_some() {
                wants("a webhook channel takes `url` and `secret_file` or `secret_env`");
            }
            (ChannelKind::Webhook, url, signing)
        }
    };
    if changes == Some(true) {
        let address = url.as_deref().filter(|_| kind == ChannelKind::PagerDuty).and_then(change_events::address);
        if address.is_none() {
            let message = "`changes` is for pagerduty channels whose `url` ends in /enqueue".to_owned();
            report.problem(&fields.place("changes"), message);
        }
    }
    if report.problems.len() > before {
        return None;
    }
    Some(Channel {
        name: name?,
        kind,
        url,
        secret,
        fallback,
        changes: changes.unwrap_or(false),
        file: file.to_owned(),
        line: report.line(fields.span.start),
    })
}

fn secret(fields: &mut Fields<'_, '_>, keys: [&'static str; 2], report: &mut Report<'_>) -> Option<Secret> {
    let file = fields.text(keys[0], report);
    let env = fields.text(keys[1], report);
    if file.is_some() && env.is_some() {
        report.problem(&fields.place(keys[1]), format!("give either `{}` or `{}`", keys[0], keys[1]));
    }
    file.map(Secret::File).or_else(|| env.map(Secret::Env))
}

pub(super) fn checked_name(name: String, fields: &Fields<'_, '_>, report: &mut Report<'_>) -> Option<String> {
    let starts_well = name.bytes().next().is_some_and(|first| first.is_ascii_lowercase());
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if starts_well && plain && name.len() <= NAME_BYTES_MAX {
        return Some(name);
    }
    report.problem(
        &fields.place("name"),
        format!("`name` is {name:?}: it must be [a-z][a-z0-9_]* and at most {NAME_BYTES_MAX} long"),
    );
    None
}

pub(super) fn checked_url(key: &str, url: String, fields: &Fields<'_, '_>, report: &mut Report<'_>) -> Option<String> {
    if is_address(&url) {
        return Some(url);
    }
    report.problem(&fields.place(key), format!("`{key}` must be an http:// or https:// address"));
    None
}

fn refuse_twins(definitions: &Definitions, report: &mut Report<'_>) {
    let names = |names: Vec<(&str, u32)>, what: &str| {
        let mut problems: Vec<(u32, String)> = Vec::new();
        for (i, (name, line)) in names.iter().enumerate() {
            if let Some((_, first)) = names[..i].iter().find(|(known, _)| known == name) {
                problems.push((*line, format!("{what} {name:?} is already defined in line {first}")));
            }
        }
        problems
    };
    let metrics = definitions.metrics.iter().map(|metric| (metric.name.as_str(), metric.line)).collect();
    let channels = definitions.channels.iter().map(|channel| (channel.name.as_str(), channel.line)).collect();
    let rules = definitions.rules.iter().map(|rule| (rule.name.as_str(), rule.line)).collect();
    let twins = names(metrics, "metric").into_iter().chain(names(channels, "channel")).chain(names(rules, "rule"));
    for (line, message) in twins {
        report.problem_in_line(line, message);
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
