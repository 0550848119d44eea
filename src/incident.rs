//! `yellowline incident show` and `yellowline incident export`: an incident of a running server, for people and for the archive.

use std::{fmt::Write as _, path::Path};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::{
    cli::{CaseFormat, IncidentAction, IncidentOptions},
    client::Client,
    config::say,
};

pub(crate) async fn run(options: &IncidentOptions) -> anyhow::Result<()> {
    match &options.action {
        IncidentAction::Show { id, server } => {
            let case = case(&Client::new(server)?, id).await?;
            say(shown(&case).trim_end())
        }
        IncidentAction::Export { id, format, output, server } => {
            export(&Client::new(server)?, id, *format, output.as_deref()).await
        }
    }
}

async fn case(client: &Client, id: &str) -> anyhow::Result<Value> {
    let answer = client.send(client.get(&format!("/alerts/{id}/case"))).await?;
    answer.json().await.context("the answer is not JSON")
}

async fn export(client: &Client, id: &str, format: CaseFormat, output: Option<&Path>) -> anyhow::Result<()> {
    let picture = output.map(|file| file.with_extension("png"));
    let name = picture.as_ref().and_then(|file| file.file_name()).map(|name| name.to_string_lossy().into_owned());
    let text = match format {
        CaseFormat::Md => {
            let mut wanted = vec![("format", "md".to_owned())];
            wanted.extend(name.map(|name| ("picture", name)));
            let encoded = reqwest::Url::parse_with_params("http://localhost/", wanted).context("no address")?;
            let request = client.get(&format!("/alerts/{id}/case?{}", encoded.query().unwrap_or_default()));
            client.send(request).await?.text().await.context("the answer ended early")?
        }
        CaseFormat::Json => serde_json::to_string_pretty(&case(client, id).await?)? + "\n",
    };
    let (Some(file), Some(picture)) = (output, picture) else { return say(text.trim_end()) };
    if file == picture {
        bail!("{} is where the picture goes: name a file that does not end in .png", file.display());
    }
    let png = client.send(client.get(&format!("/alerts/{id}/picture"))).await?;
    let png = png.bytes().await.context("the picture ended early")?;
    std::fs::write(file, text).with_context(|| format!("could not write {}", file.display()))?;
    std::fs::write(&picture, &png).with_context(|| format!("could not write {}", picture.display()))?;
    say(&format!("wrote {} and {}", file.display(), picture.display()))
}

/// The incident as text for a terminal.
fn shown(case: &Value) -> String {
    let mut text = String::new();
    let mut add = |line: String| {
        let written = writeln!(text, "{line}");
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    };
    let field = |key: &str| case[key].as_str().unwrap_or_default();
    add(format!("{}  {}", field("id"), field("state")));
    add(field("explanation").to_owned());
    add("\nSuspects".to_owned());
    for suspect in case["suspects"].as_array().into_iter().flatten() {
        let change = &suspect["change"];
        let bits = suspect.as_object().into_iter().flatten().filter(|(key, _)| key.ends_with("_bits"));
        // A line without evidence says nothing.
        let bits = bits.filter_map(|(key, value)| Some((key, value.as_f64().filter(|bits| *bits != 0.0)?)));
        let bits: Vec<String> =
            bits.map(|(key, bits)| format!("{} {bits:+.1}", key.trim_end_matches("_bits"))).collect();
        let (title, actor) =
            (change["title"].as_str().unwrap_or("?"), change["actor"].as_str().unwrap_or("nobody named"));
        add(format!("  {:>5.1} %  {title} (by {actor}; bits: {})", percent(&suspect["share"]), bits.join(", ")));
    }
    add(format!("  {:>5.1} %  unknown cause", percent(&case["unknown_share"])));
    add("\nTimeline (UTC)".to_owned());
    for entry in case["timeline"].as_array().into_iter().flatten() {
        let time = entry["time"].as_str().unwrap_or_default().replace('T', " ");
        let time = time.get(..19).unwrap_or(&time);
        add(format!(
            "  {time}  {:<12}  {}",
            entry["what"].as_str().unwrap_or_default(),
            entry["text"].as_str().unwrap_or_default()
        ));
    }
    add("\nLinks".to_owned());
    for (name, url) in case["links"].as_object().into_iter().flatten() {
        if let Some(url) = url.as_str() {
            add(format!("  {name:<8}  {url}"));
        }
    }
    text
}

fn percent(share: &Value) -> f64 {
    share.as_f64().unwrap_or(0.0) * 100.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_incident_is_shown_with_its_evidence_and_its_timeline() {
        let case = json!({
            "id": "bookings-1", "state": "resolved", "explanation": "According to data from last week …",
            "suspects": [{"share": 0.814, "timing_bits": 7.8, "control_bits": -2.0, "dose_bits": 0.0, "change": {"title": "experiment 13", "actor": "j.doe"}}],
            "unknown_share": 0.12,
            "timeline": [{"time": "2026-11-20T14:10:00.000000Z", "what": "onset", "text": "it began"}],
            "links": {"console": "https://y.example/alerts/bookings-1", "runbook": null},
        });
        let text = shown(&case);
        for line in [
            "bookings-1  resolved",
            "   81.4 %  experiment 13 (by j.doe; bits: timing +7.8, control -2.0)",
            "   12.0 %  unknown cause",
            "  2026-11-20 14:10:00  onset         it began",
            "  console   https://y.example/alerts/bookings-1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line:?} not in\n{text}");
        }
        assert!(!text.contains("runbook"));
    }
}
