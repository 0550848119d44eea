//! Plain rules in the rounds: asks their SQL for each minute that is due, keeps what it said as points, opens and ends alerts.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array, AsArray as _, RecordBatch},
    compute::cast,
    datatypes::{DataType, Float64Type},
};
use query::{Engine, SqlRequest};
use serde_json::{Value, json};
use store::Timestamp;

use super::{Core, Fresh};
use crate::{
    Error,
    alert::{Alert, Cause, TransitionKind},
    definition::{GROUPS_MAX, Judged, Rule},
    history::Minute,
    metrics::Counters,
    points::time_literal,
    rule::{self, Group, Phase, Row, Said, Step},
};

/// Evaluations made up after a downtime: a day of minutes. What an older threshold said pages nobody.
const MADE_UP_MINUTES: Minute = 1440;

/// Longest a rule's statement may take.
const TIMEOUT_MS: u64 = 30_000;

/// Columns that are judged; all others are labels.
const JUDGED: [&str; 3] = ["value", "numerator", "denominator"];

/// One rule as it is followed.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) rule: Arc<Rule>,
    /// First minute whose window was not judged yet.
    pub(crate) evaluated_to: Minute,
    pub(crate) error: Option<String>,
    pub(crate) groups: BTreeMap<Group, One>,
}

/// One group of a rule.
#[derive(Debug, Clone)]
pub(crate) struct One {
    pub(crate) phase: Option<Phase>,
    pub(crate) alert_id: Option<String>,
    pub(crate) said: Said,
}

impl Core {
    /// Follows what the definition files say of rules; new ones know their open alerts.
    pub(super) fn reread_rules(&mut self, complete: Minute) {
        let defined = self.folder.rules().clone();
        self.rules.retain(|name, known| defined.get(name).is_some_and(|rule| *rule == *known.rule));
        for (name, rule) in defined {
            if self.rules.contains_key(&name) {
                continue;
            }
            let open: Vec<Alert> = self
                .alerts
                .lock()
                .open()
                .filter(|alert| alert.metric == name && alert.cause == Cause::Rule)
                .cloned()
                .collect();
            let groups = open.into_iter().map(|alert| {
                let value = alert.condition.as_ref().and_then(|condition| condition.value);
                let one = One {
                    phase: Some(Phase::Firing { calm_since: None }),
                    alert_id: Some(alert.id),
                    said: Said { value, holds: true },
                };
                (alert.slice.unwrap_or_default(), one)
            });
            // What was pending when the last process ended is judged again.
            let down = self.down.as_ref().map_or(complete, |down| down.start.min(complete));
            let from = (down - rule.for_minutes).max(complete - MADE_UP_MINUTES);
            let followed = Followed { groups: groups.collect(), evaluated_to: from, error: None, rule: Arc::new(rule) };
            self.rules.insert(name, followed);
        }
    }

    /// Judges every window that ended by `complete`.
    pub(super) async fn advance_rules(&mut self, complete: Minute, now: Timestamp) {
        for name in self.rules.keys().cloned().collect::<Vec<String>>() {
            while let Some((rule, minute)) = self.rules.get(&name).and_then(|known| due(known, complete)) {
                let unknown = self
                    .down
                    .as_ref()
                    .is_some_and(|down| down.start < minute && minute - rule.window_minutes < down.end);
                let judged = match unknown {
                    // Our own absence proves nobody else's.
                    true => Ok(None),
                    false => judged_at(&self.engine, &rule, minute).await.map(Some),
                };
                match judged {
                    Ok(judged) => {
                        self.take_judged(&name, &rule, judged, minute, now);
                        self.advanced = true;
                    }
                    Err(error) => {
                        Counters::add(&self.counters.evaluation_errors, 1);
                        let Some(known) = self.rules.get_mut(&name) else { break };
                        let told = error.chain();
                        if known.error.as_ref() != Some(&told) {
                            tracing::error!(rule = %name, error = %told, "the rule cannot be judged; it is made up once it can");
                        }
                        known.error = Some(told);
                        break;
                    }
                }
            }
        }
    }

    fn take_judged(
        &mut self,
        name: &str,
        rule: &Rule,
        judged: Option<BTreeMap<Group, Said>>,
        minute: Minute,
        now: Timestamp,
    ) {
        let Some(known) = self.rules.get_mut(name) else { return };
        known.evaluated_to = minute + rule.every_minutes;
        known.error = None;
        let Some(judged) = judged else { return };
        self.unstored.extend(judged.iter().map(|(group, said)| point(rule, group, *said, minute)));
        for (group, said) in &judged {
            let quiet = || One { phase: None, alert_id: None, said: *said };
            known.groups.entry(group.clone()).or_insert_with(quiet).said = *said;
        }
        let mut ended = Vec::new();
        for (group, one) in &mut known.groups {
            // A group that has no row does not hold.
            let said = judged.get(group).copied().unwrap_or(Said { value: None, holds: false });
            one.said = said;
            match rule::advance(&mut one.phase, said.holds, minute, rule) {
                Some(Step::Opened { since }) => {
                    let alert = rule::alert(rule, group, said, since, now);
                    tracing::warn!(rule = %name, alert = %alert.id, value = said.value, "rule fires");
                    Counters::add(&self.counters.incidents, 1);
                    one.alert_id = Some(alert.id.clone());
                    self.fresh.insert(alert.id.clone(), Fresh { alert, kind: TransitionKind::Triggered, closed: None });
                }
                Some(Step::Closed) => ended.extend(one.alert_id.take()),
                None => {}
            }
        }
        known.groups.retain(|group, one| one.phase.is_some() || judged.contains_key(group));
        for id in ended {
            match self.fresh.get_mut(&id) {
                Some(fresh) => fresh.closed = Some(minute),
                None => self.alerts.lock().resolve(&id, Timestamp::from_minutes(minute), now),
            }
        }
    }
}

/// The next window of a rule that has ended; it ends at the minute given.
fn due(known: &Followed, complete: Minute) -> Option<(Arc<Rule>, Minute)> {
    (known.evaluated_to <= complete).then(|| (known.rule.clone(), known.evaluated_to))
}

/// Asks a rule's SQL for the window that ends at `minute`, and for what it is compared with.
pub(crate) async fn judged_at(engine: &Engine, rule: &Rule, minute: Minute) -> Result<BTreeMap<Group, Said>, Error> {
    let from = minute - rule.window_minutes;
    let now = rows(engine, rule, from, minute).await?;
    let ago = rule.compare_minutes;
    let then = match rule.judged {
        Judged::Static | Judged::Ratio { .. } => Vec::new(),
        Judged::RateOfChange { .. } => rows(engine, rule, from - ago, minute - ago).await?,
        Judged::Absence => rows(engine, rule, from - ago, from).await?,
    };
    Ok(rule::judge(rule, &now, &then))
}

async fn rows(engine: &Engine, rule: &Rule, from: Minute, to: Minute) -> Result<Vec<Row>, Error> {
    let sql = rule.sql.replace("$from", &time_literal(from)).replace("$to", &time_literal(to));
    let request = SqlRequest {
        sql,
        dataset: Some(rule.dataset.to_string()),
        timeout_ms: Some(TIMEOUT_MS),
        limit: Some(GROUPS_MAX + 1),
    };
    let failed = |source| Error::Rule { rule: rule.name.clone(), source: Box::new(source) };
    let answer = engine.sql(request).await.map_err(failed)?;
    let (batches, _) = answer.collect().await.map_err(failed)?;
    let mut rows: Vec<Row> = batches.iter().flat_map(rows_of).collect();
    if rows.len() > GROUPS_MAX {
        tracing::warn!(rule = %rule.name, groups_max = GROUPS_MAX, "the rule has more groups than are judged: group by less");
        rows.truncate(GROUPS_MAX);
    }
    Ok(rows)
}

fn rows_of(batch: &RecordBatch) -> Vec<Row> {
    let schema = batch.schema();
    let numbers = |name: &str| {
        let column = batch.column_by_name(name)?;
        cast(column, &DataType::Float64).ok()
    };
    let [value, numerator, denominator] = JUDGED.map(numbers);
    let number = |column: &Option<arrow::array::ArrayRef>, row: usize| {
        let column = column.as_ref()?.as_primitive::<Float64Type>();
        column.is_valid(row).then(|| column.value(row))
    };
    let labels: Vec<(&String, arrow::array::ArrayRef)> = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .filter(|(field, _)| !JUDGED.contains(&field.name().as_str()))
        .filter_map(|(field, column)| Some((field.name(), cast(column, &DataType::Utf8).ok()?)))
        .collect();
    let label = |(name, column): &(&String, arrow::array::ArrayRef), row: usize| {
        let column = column.as_string::<i32>();
        format!("{name}={}", if column.is_valid(row) { column.value(row) } else { "" })
    };
    let row = |row: usize| Row {
        group: labels.iter().map(|one| label(one, row)).collect::<Vec<String>>().join(", "),
        value: number(&value, row),
        numerator: number(&numerator, row),
        denominator: number(&denominator, row),
    };
    (0..batch.num_rows()).map(row).collect()
}

/// What a rule said of a group, as a point of `system.metric_points`: the value with its bounds; score 1 = it holds.
fn point(rule: &Rule, group: &Group, said: Said, minute: Minute) -> Value {
    let mut event = json!({
        "time": Timestamp::from_minutes(minute).to_rfc3339(), "metric": rule.name, "revision": 1, "definition": "rule",
        "score": f64::from(u8::from(said.holds)),
    });
    let numbers = [("actual", said.value), ("upper", rule.above), ("lower", rule.below)];
    for (key, number) in numbers.into_iter().filter_map(|(key, number)| Some((key, number?))) {
        event[key] = json!(number);
    }
    if !group.is_empty() {
        event["slice"] = json!(group);
    }
    event
}
