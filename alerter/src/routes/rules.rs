//! `/api/v1/rules`: plain rules, what they say now, and what they would have paged for.

use std::collections::BTreeMap;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use serde_json::{Map, Value, json};
use store::Timestamp;

use super::{Failure, backtest, body_object, only, text};
use crate::{
    Alerter, definition,
    definition::Rule,
    evaluate::rules::judged_at,
    history::Minute,
    rule::{self, Phase, Step},
};

/// Windows judged in one backtest: each is a query.
const WINDOWS_MAX: Minute = 2000;

pub(super) async fn list(State(alerter): State<Alerter>) -> Json<Value> {
    Json(json!({"rules": alerter.shared.view.read().rules.values().map(|(_, shown)| shown).collect::<Vec<_>>()}))
}

pub(super) async fn replay(
    State(alerter): State<Alerter>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Failure> {
    let answer = async {
        let body = body_object(&body)?;
        only(&body, &["from", "to", "days", "definition"])?;
        let range = backtest::range(&body, alerter.shared.clock.now().minutes())?;
        let rule = wanted(&alerter, &name, &body)?;
        let Ok(_one_at_a_time) = alerter.shared.backtests.try_acquire() else { return Err(backtest::busy()) };
        // So that the number of queries is bounded, a long range is looked at in longer strides.
        let stride = rule.every_minutes.max((range.end - range.start).div_euclid(WINDOWS_MAX) + 1);
        let mut groups: BTreeMap<String, (Option<Phase>, Option<usize>)> = BTreeMap::new();
        let (mut pages, mut judged): (Vec<Value>, usize) = (Vec::new(), 0);
        let mut minute = range.start;
        while minute <= range.end {
            let said = judged_at(&alerter.shared.engine, &rule, minute).await;
            let said = said.map_err(|error| Failure::invalid(error.chain()))?;
            judged += 1;
            for group in said.keys() {
                groups.entry(group.clone()).or_default();
            }
            for (group, (phase, open)) in &mut groups {
                let now = said.get(group).copied();
                let holds = now.is_some_and(|said| said.holds);
                match rule::advance(phase, holds, minute, &rule) {
                    Some(Step::Opened { since }) => {
                        *open = Some(pages.len());
                        pages.push(json!({"paged_at": moment(minute), "since": moment(since), "group": group,
                            "value": now.and_then(|said| said.value), "resolved_at": null}));
                    }
                    Some(Step::Closed) => {
                        if let Some(page) = open.take().and_then(|page| pages.get_mut(page)) {
                            page["resolved_at"] = json!(moment(minute));
                        }
                    }
                    None => {}
                }
            }
            minute += stride;
        }
        Ok(Json(
            json!({"rule": rule.name, "from": moment(range.start), "to": moment(range.end), "windows_judged": judged,
            "stride_minutes": stride, "pages": pages}),
        ))
    };
    answer.await.map_err(|failure: Failure| failure.of(&headers))
}

/// The definition in the body, or the one in force.
fn wanted(alerter: &Alerter, name: &str, body: &Map<String, Value>) -> Result<Rule, Failure> {
    let missing = || Failure::new(StatusCode::NOT_FOUND, "rule_not_found", format!("there is no rule {name}"));
    let Some(toml) = text(body, "definition")? else {
        return alerter.shared.view.read().rules.get(name).map(|(rule, _)| (**rule).clone()).ok_or_else(missing);
    };
    let definitions = definition::parse("definition", &toml).map_err(|problems| backtest::refused(&problems))?;
    let found = definitions.rules.into_iter().find(|rule| rule.name == name);
    found.ok_or_else(|| Failure::invalid(format!("`definition` holds no [[rule]] named {name}")))
}

fn moment(minute: Minute) -> String {
    Timestamp::from_minutes(minute).to_rfc3339()
}
