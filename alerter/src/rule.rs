//! Plain rules: what rows of an answer say of each group, and when a group fires. Pure: rows and minutes in, steps out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use store::Timestamp;

use crate::{
    alert::{Alert, Cause},
    definition::{Judged, Rule},
    history::Minute,
    onset::Onset,
    page,
};

/// A group's labels as `country=NL, device=phone`; empty for a rule without labels.
pub(crate) type Group = String;

/// One row of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) group: Group,
    pub(crate) value: Option<f64>,
    pub(crate) numerator: Option<f64>,
    pub(crate) denominator: Option<f64>,
}

/// What a rule says of one group at one minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Said {
    /// The value judged; absent groups have none.
    pub(crate) value: Option<f64>,
    pub(crate) holds: bool,
}

/// Judges the rows of a window, `then` being those of the window compared with (absence: of the minutes before).
pub(crate) fn judge(rule: &Rule, now: &[Row], then: &[Row]) -> BTreeMap<Group, Said> {
    let value_then = |group: &Group| then.iter().find(|row| row.group == *group).and_then(|row| row.value);
    let said = |value: Option<f64>| {
        let value = value.filter(|value| value.is_finite());
        value.map(|value| Said { value: Some(value), holds: rule.holds(value) })
    };
    let judged = |row: &Row| match rule.judged {
        Judged::Static => said(row.value),
        Judged::Ratio { least } => {
            let denominator = row.denominator.filter(|denominator| *denominator >= least && *denominator > 0.0)?;
            said(row.numerator.map(|numerator| numerator / denominator))
        }
        Judged::RateOfChange { least } => {
            let then = value_then(&row.group).filter(|then| *then >= least && *then > 0.0)?;
            said(row.value.map(|value| value / then - 1.0))
        }
        Judged::Absence => Some(Said { value: row.value, holds: false }),
    };
    let mut groups: BTreeMap<Group, Said> =
        now.iter().filter_map(|row| Some((row.group.clone(), judged(row)?))).collect();
    match rule.judged {
        Judged::Absence => {
            for row in then {
                groups.entry(row.group.clone()).or_insert(Said { value: None, holds: true });
            }
        }
        // A group that was there and is not has changed by -100 %.
        Judged::RateOfChange { least } => {
            for row in then.iter().filter(|row| row.value.is_some_and(|value| value >= least && value > 0.0)) {
                groups.entry(row.group.clone()).or_insert(Said { value: Some(-1.0), holds: rule.holds(-1.0) });
            }
        }
        Judged::Static | Judged::Ratio { .. } => {}
    }
    groups
}

/// Where a group stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It holds, but not for long enough.
    Pending { since: Minute },
    /// It fires; `calm_since` once it no longer holds.
    Firing { calm_since: Option<Minute> },
}

/// What a minute did to a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It fires: since a minute it has held.
    Opened { since: Minute },
    /// It is over.
    Closed,
}

/// Takes a verdict at a minute; `None` as phase is quiet.
pub(crate) fn advance(phase: &mut Option<Phase>, holds: bool, minute: Minute, rule: &Rule) -> Option<Step> {
    match (*phase, holds) {
        (None, false) => None,
        (None | Some(Phase::Pending { .. }), true) => {
            let since = if let Some(Phase::Pending { since }) = *phase { since } else { minute };
            let fires = minute - since >= rule.for_minutes;
            *phase = Some(if fires { Phase::Firing { calm_since: None } } else { Phase::Pending { since } });
            fires.then_some(Step::Opened { since })
        }
        (Some(Phase::Pending { .. }), false) => {
            *phase = None;
            None
        }
        (Some(Phase::Firing { .. }), true) => {
            *phase = Some(Phase::Firing { calm_since: None });
            None
        }
        (Some(Phase::Firing { calm_since }), false) => {
            let since = calm_since.unwrap_or(minute);
            let over = minute - since >= rule.keep_firing_minutes;
            *phase = (!over).then_some(Phase::Firing { calm_since: Some(since) });
            over.then_some(Step::Closed)
        }
    }
}

/// What a rule's alert says of its bound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// `static`, `ratio`, `rate_of_change` or `absence`.
    pub kind: String,
    /// The value when it fired; absent groups have none.
    pub value: Option<f64>,
    /// The bound it passed.
    pub bound: Option<f64>,
    /// True when it is above the bound.
    pub above: bool,
    /// Minutes of the window judged.
    pub window_minutes: Minute,
    /// Minutes compared with or remembered.
    pub compare_minutes: Minute,
}

/// The word of a kind, in files and in the API.
#[must_use]
pub fn kind_word(judged: Judged) -> &'static str {
    match judged {
        Judged::Static => "static",
        Judged::Ratio { .. } => "ratio",
        Judged::RateOfChange { .. } => "rate_of_change",
        Judged::Absence => "absence",
    }
}

/// A new alert of a group that held from `since` on. What a window shows may have begun anywhere in it.
pub(crate) fn alert(rule: &Rule, group: &Group, said: Said, since: Minute, now: Timestamp) -> Alert {
    let above = said.value.is_some_and(|value| rule.above.is_some_and(|bound| value > bound));
    let onset = Onset::within(since - rule.window_minutes, since - 1);
    let mut alert = page::of_rule(&rule.as_metric(), Some(group).filter(|group| !group.is_empty()), &onset, now);
    alert.cause = Cause::Rule;
    alert.direction = if above { "up" } else { "down" }.to_owned();
    alert.window_minutes = usize::try_from(rule.window_minutes).unwrap_or(0);
    alert.condition = Some(Condition {
        kind: kind_word(rule.judged).to_owned(),
        value: said.value,
        bound: if above { rule.above } else { rule.below },
        above,
        window_minutes: rule.window_minutes,
        compare_minutes: rule.compare_minutes,
    });
    alert
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::parse;

    fn rule(more: &str) -> Rule {
        let sql = "SELECT country, count(*) AS value FROM events WHERE time >= $from AND time < $to GROUP BY country";
        let text = format!("[[rule]]\nname = \"errors\"\ndataset = \"shop\"\nsql = \"{sql}\"\n{more}\n");
        parse("r.toml", &text).unwrap().rules.remove(0)
    }

    fn row(group: &str, value: f64) -> Row {
        Row { group: group.into(), value: Some(value), numerator: None, denominator: None }
    }

    fn holding(rule: &Rule, now: &[Row], then: &[Row]) -> Vec<(String, Option<f64>)> {
        let judged = judge(rule, now, then).into_iter();
        judged.filter(|(_, said)| said.holds).map(|(group, said)| (group, said.value)).collect()
    }

    #[test]
    fn each_kind_judges_its_columns() {
        let now = [row("NL", 60.0), row("DE", 40.0)];
        assert_eq!(holding(&rule("above = 50"), &now, &[]), [("NL".to_owned(), Some(60.0))]);
        let then = [row("NL", 100.0), row("DE", 50.0), row("FR", 30.0), row("IT", 3.0)];
        let change = rule("kind = \"rate_of_change\"\nbelow = -0.3\nleast = 10");
        assert_eq!(holding(&change, &now, &then), [("FR".to_owned(), Some(-1.0)), ("NL".to_owned(), Some(-0.4))]);
        let absent = rule("kind = \"absence\"");
        assert_eq!(holding(&absent, &now, &then), [("FR".to_owned(), None), ("IT".to_owned(), None)]);
        let share = |group: &str, numerator: f64, denominator: f64| Row {
            numerator: Some(numerator),
            denominator: Some(denominator),
            ..row(group, 0.0)
        };
        let ratio = rule("kind = \"ratio\"\nabove = 0.05\nleast = 100");
        let rows = [share("NL", 30.0, 400.0), share("DE", 3.0, 20.0), share("FR", 1.0, 400.0)];
        assert_eq!(holding(&ratio, &rows, &[]), [("NL".to_owned(), Some(0.075))]);
    }

    #[test]
    fn it_fires_after_for_and_ends_after_keep_firing() {
        let rule = rule("above = 50\nfor_minutes = 2\nkeep_firing_minutes = 3");
        let mut phase = None;
        let holds = [true, false, true, true, true, true, false, false, true, false, false, false, false];
        let mut steps = Vec::new();
        for (minute, holds) in (0..).zip(holds) {
            steps.extend(advance(&mut phase, holds, minute, &rule).map(|step| (minute, step)));
        }
        assert_eq!(steps, [(4, Step::Opened { since: 2 }), (12, Step::Closed)]);
        assert_eq!(phase, None);
    }

    #[test]
    fn without_for_and_keep_firing_it_follows_its_condition() {
        let rule = rule("above = 50");
        let mut phase = None;
        assert_eq!(advance(&mut phase, true, 7, &rule), Some(Step::Opened { since: 7 }));
        assert_eq!(advance(&mut phase, true, 8, &rule), None);
        assert_eq!(advance(&mut phase, false, 9, &rule), Some(Step::Closed));
    }
}
