//! `yellowline backtest`: the pages a rule would have sent, from a running server's own history.

use anyhow::Context;
use serde_json::{Value, json};

use crate::{cli::BacktestOptions, client::Client, config::say};

pub(crate) async fn run(options: &BacktestOptions) -> anyhow::Result<()> {
    let read = |file: &std::path::PathBuf| {
        std::fs::read_to_string(file).with_context(|| format!("could not read {}", file.display()))
    };
    let definition = options.file.as_ref().map(read).transpose()?;
    let client = Client::new(&options.server)?;
    let mut question = json!({"definition": definition, "days": options.days});
    if !options.rule {
        question["direction"] = json!(options.direction);
        question["smallest_drop"] = json!(options.smallest_drop);
    }
    let kind = if options.rule { "rules" } else { "metrics" };
    let request = client.post(&format!("/{kind}/{}/backtest", options.name)).json(&question);
    let text = client.send(request).await?.text().await.context("the answer ended early")?;
    if options.json {
        return say(&text);
    }
    let answer: Value = serde_json::from_str(&text).context("the answer is not JSON")?;
    say(&if options.rule { report_rule(&answer) } else { report(&answer) })
}

/// The same of a plain rule.
fn report_rule(answer: &Value) -> String {
    let pages = answer["pages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut lines: Vec<String> = pages
        .iter()
        .map(|page| {
            let text = |key: &str| page[key].as_str().unwrap_or_default().to_owned();
            let ended =
                page["resolved_at"].as_str().map_or_else(|| "still open".to_owned(), |end| format!("until {end}"));
            format!(
                "{}  held since {}, {ended} · value {} {}",
                text("paged_at"),
                text("since"),
                page["value"],
                text("group")
            )
        })
        .collect();
    let (windows, stride) = (&answer["windows_judged"], &answer["stride_minutes"]);
    lines.push(format!("{} pages in {windows} windows judged, one every {stride} minutes", pages.len()));
    lines.join("\n")
}

/// One line a page, then what was judged.
fn report(answer: &Value) -> String {
    let mut lines = Vec::new();
    let pages = answer["pages"].as_array().map(Vec::as_slice).unwrap_or_default();
    for page in pages {
        let number = |key: &str| page[key].as_f64().unwrap_or(0.0);
        let ended = page["resolved_at"].as_str().map_or_else(|| "still open".to_owned(), |end| format!("until {end}"));
        let known = match (page["alert_id"].as_str(), page["feedback"].as_str()) {
            (Some(id), Some(verdict)) => format!(" · was {id}, judged {verdict}"),
            (Some(id), None) => format!(" · was {id}"),
            _ => String::new(),
        };
        lines.push(format!(
            "{}  {:<4} began {}, {ended} · score {:.1} over {:.1} in {} min · expected {:.0}, seen {:.0}{known}",
            page["paged_at"].as_str().unwrap_or_default(),
            page["direction"].as_str().unwrap_or_default(),
            page["onset"].as_str().unwrap_or_default(),
            number("score"),
            number("threshold"),
            page["window_minutes"],
            number("expected"),
            number("seen"),
        ));
    }
    let minutes = |key: &str| answer[key].as_u64().unwrap_or(0);
    let rate = answer["pages_per_week"].as_f64().map_or_else(String::new, |rate| format!(", {rate:.1} a week"));
    lines.push(format!(
        "{} pages{rate} in {} minutes judged; {} minutes while learning, {} without data",
        pages.len(),
        minutes("minutes_judged"),
        minutes("minutes_learning"),
        minutes("minutes_unknown"),
    ));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_a_line_and_the_count_is_the_last() {
        let answer = json!({
            "pages": [{"paged_at": "2026-11-20T14:05:00Z", "onset": "2026-11-20T14:03:00Z", "resolved_at": null,
                       "direction": "down", "score": 9.04, "threshold": 4.51, "window_minutes": 2, "expected": 134.2,
                       "seen": 60.0, "alert_id": "bookings-1", "feedback": "false"}],
            "pages_per_week": 0.25, "minutes_judged": 40320, "minutes_learning": 0, "minutes_unknown": 3,
        });
        let expected = "2026-11-20T14:05:00Z  down began 2026-11-20T14:03:00Z, still open · score 9.0 over 4.5 in 2 min · \
                        expected 134, seen 60 · was bookings-1, judged false\n\
                        1 pages, 0.2 a week in 40320 minutes judged; 0 minutes while learning, 3 without data";
        assert_eq!(report(&answer), expected);
    }
}
