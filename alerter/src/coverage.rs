//! Would you notice? What the metrics in force can show of a change: which of them cover it, the smallest effect they page
//! for, and how soon. Pure.

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    change::{Change, ChangeKind},
    definition::Metric,
    forecast::Fitted,
    history::Minute,
    score::Kind,
    suspect::shares_environment,
};

/// How well one metric covers a change. Effects are drops (rises look the same from the other side) at the rate of the hour.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cover {
    /// The metric.
    pub metric: String,
    /// Smallest effect on the whole metric that pages, as a share.
    pub smallest: f64,
    /// The same among those exposed to the change; over 1 means that not even its total failure would page.
    pub smallest_of_exposed: f64,
    /// Minutes until a total failure of the exposed pages; `None`: not within a day.
    pub outage_minutes: Option<f64>,
    /// Minutes until half of what the exposed do fails.
    pub half_minutes: Option<f64>,
    /// Minutes until a fifth of it fails.
    pub fifth_minutes: Option<f64>,
    /// False while the metric is learning, or has no channel to page.
    pub pages: bool,
}

/// What is known of one change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Coverage {
    /// Share of the traffic exposed to it, 0 to 1; all of it unless the change says otherwise.
    pub exposed_share: f64,
    /// Metrics in its scope, the one that sees least first.
    pub covers: Vec<Cover>,
    /// Set when nobody would be paged by what the change breaks.
    pub warning: Option<String>,
}

/// A metric with what it has learnt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watcher<'a> {
    pub(crate) metric: &'a Metric,
    pub(crate) fitted: Option<&'a Fitted>,
    /// Usual denominator of a minute (ratios).
    pub(crate) exposure: f64,
}

/// True for changes that can break something: remarks and announced work are not asked about.
pub(crate) fn is_asked(change: &Change) -> bool {
    !matches!(change.kind, ChangeKind::Note | ChangeKind::Maintenance)
}

/// What the watchers see of a change at the hour of `minute`.
pub(crate) fn coverage<'a>(change: &Change, watchers: impl Iterator<Item = Watcher<'a>>, minute: Minute) -> Coverage {
    let exposed_share = exposed_share(change);
    let in_scope = watchers.filter(|watcher| shares_environment(change, watcher.metric.environment.as_deref()));
    let mut covers: Vec<Cover> = in_scope.filter_map(|watcher| cover(watcher, exposed_share, minute)).collect();
    covers.sort_by(|a, b| {
        (!a.pages, a.smallest).partial_cmp(&(!b.pages, b.smallest)).unwrap_or(std::cmp::Ordering::Equal)
    });
    let warning = warning(change, exposed_share, &covers);
    Coverage { exposed_share, covers, warning }
}

fn exposed_share(change: &Change) -> f64 {
    let said = change.json.get("share").and_then(Value::as_f64);
    said.filter(|share| *share > 0.0 && *share <= 1.0).unwrap_or(1.0)
}

fn cover(watcher: Watcher<'_>, exposed_share: f64, minute: Minute) -> Option<Cover> {
    let fitted = watcher.fitted?;
    let rate = fitted.rate(minute);
    let expected = if watcher.metric.kind() == Kind::Ratio { rate * watcher.exposure } else { rate };
    let sight = fitted.sight(minute, expected);
    let minutes = |of_exposed: f64| sight.minutes(of_exposed * exposed_share);
    Some(Cover {
        metric: watcher.metric.name.clone(),
        smallest: sight.smallest_drop(),
        smallest_of_exposed: sight.smallest_drop() / exposed_share,
        outage_minutes: minutes(1.0),
        half_minutes: minutes(0.5),
        fifth_minutes: minutes(0.2),
        pages: fitted.pages() && !watcher.metric.channels.is_empty(),
    })
}

fn warning(change: &Change, exposed_share: f64, covers: &[Cover]) -> Option<String> {
    let place = change.environment.as_deref().map_or_else(String::new, |environment| format!(" in {environment}"));
    if covers.is_empty() {
        return Some(format!("no metric{place} covers it: nobody would notice what it breaks"));
    }
    if covers.iter().all(|cover| !cover.pages) {
        return Some(format!("no metric{place} that pages covers it: they are learning, or have no channel"));
    }
    let seen = covers.iter().any(|cover| cover.pages && cover.outage_minutes.is_some());
    (!seen).then(|| {
        let share = exposed_share * 100.0;
        format!("it reaches {share:.3} % of the traffic: not even its total failure would page within a day")
    })
}

/// The events of `system.change_coverage` for one change: a row a metric, or one row with a warning and no metric. Their ids say
/// what they answer, so a repeated one is the same event.
pub(crate) fn events(change: &Change, coverage: &Coverage) -> Vec<Value> {
    let revision = change.json.get("revision").and_then(Value::as_i64).unwrap_or(1);
    let row = |metric: Option<&str>| {
        json!({
            "id": format!("{}/{revision}/{}", change.id, metric.unwrap_or_default()),
            "time": change.time.to_rfc3339(), "change_id": change.id, "revision": revision, "kind": change.kind,
            "environment": change.environment, "exposed_share": coverage.exposed_share, "metric": metric,
            "warning": coverage.warning,
        })
    };
    if coverage.covers.is_empty() {
        return vec![row(None)];
    }
    let filled = coverage.covers.iter().map(|cover| {
        let mut event = row(Some(&cover.metric));
        if let (Some(event), Ok(Value::Object(fields))) = (event.as_object_mut(), serde_json::to_value(cover)) {
            event.extend(fields);
        }
        event
    });
    filled.collect()
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::*;
    use crate::{
        definition,
        forecast::{Model, Settings},
        history::DAY_MINUTES,
        score::Direction,
        simulated::{MONDAY, Market},
    };

    fn change(more: Value) -> Change {
        let mut json =
            json!({"id": "c", "kind": "experiment", "time": "2026-11-20T14:10:00Z", "environment": "production"});
        json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Change::from_json(&json).unwrap()
    }

    fn metric(environment: &str, channels: &str) -> Metric {
        let text = format!(
            "[[metric]]\nname = \"m\"\ndataset = \"shop\"\nenvironment = \"{environment}\"\nchannels = [{channels}]\n"
        );
        definition::parse("m.toml", &text).unwrap().metrics.remove(0)
    }

    #[test]
    fn the_smaller_the_share_the_less_is_seen_and_no_metric_is_a_warning() {
        let drawn = Market::new(100.0, 9).draw(15);
        let noon = MONDAY + 14 * DAY_MINUTES + 720;
        let settings = Settings::new(Kind::Count, Direction::Down, Tz::UTC);
        let fitted = Model::new(settings).fit(&drawn.history(14 * DAY_MINUTES), noon).unwrap();
        let (production, mute) = (metric("production", "\"oncall\""), metric("production", ""));
        let ask = |change: &Change, metric: &Metric| {
            let watcher = Watcher { metric, fitted: Some(&fitted), exposure: 0.0 };
            coverage(change, std::iter::once(watcher), noon)
        };
        let whole = ask(&change(json!({})), &production);
        let cover = &whole.covers[0];
        assert!(cover.outage_minutes.unwrap() < cover.half_minutes.unwrap(), "{cover:?}");
        assert_eq!(whole.warning, None);
        // A twentieth of the traffic: its total failure is a drop of 5 %, below the gate.
        let part = ask(&change(json!({"share": 0.05})), &production);
        assert!(part.covers[0].smallest_of_exposed > 1.0);
        assert!(part.warning.as_ref().unwrap().contains("5.000 % of the traffic"), "{part:?}");
        assert!(ask(&change(json!({})), &mute).warning.unwrap().contains("no channel"));
        let staging = ask(&change(json!({"environment": "staging"})), &production);
        assert!(staging.covers.is_empty() && staging.warning.unwrap().contains("no metric in staging"));
        let events = events(&change(json!({"share": 0.5})), &whole);
        assert_eq!((events.len(), &events[0]["id"]), (1, &json!("c/1/m")));
    }
}
