//! The course of events: prepare, tell where to look, switch experiment 13 on, and keep a calm status line.

use std::{
    collections::HashSet,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use anyhow::bail;
use benches::{
    client::Connection,
    machine,
    story::{BROKEN_EXPERIMENT, Change, Environment},
};

use super::{
    MINUTE, SECOND, Stage, definitions, history,
    screen::{clock, minutes, thousands},
};

/// How often the director looks at the clock.
const TICK: Duration = Duration::from_millis(250);
/// How often the status line asks the server.
const STATUS_PAUSE: Duration = Duration::from_secs(2);
/// Longest wait for the alerter to take the files, and to fit the forecast.
const PATIENCE: Duration = Duration::from_secs(90);

/// Declares changes, each once, when their time has come.
pub(super) struct Declared {
    connection: Connection,
    keys: HashSet<String>,
}

/// Prepares and directs until the demo ends.
pub(super) fn run(stage: &Stage) -> anyhow::Result<()> {
    let mut declared = Declared::new(stage);
    prepare(stage, &mut declared)?;
    if stage.is_stopping() {
        return Ok(());
    }
    let ready = machine::now();
    let calm = i64::try_from(stage.options.calm_s).unwrap_or(120) * SECOND;
    // Activations are scheduled: on the full minute.
    let activation = (ready + calm + MINUTE - 1).div_euclid(MINUTE) * MINUTE;
    let off_url = format!("http://{}/experiments/13", stage.pager);
    stage.change_story(|story| story.activate(activation, Some(off_url)));
    stage.pages.expect_after(activation);
    welcome(stage, activation);
    let mut status = Status { connection: stage.connection(), asked: None, text: String::new() };
    while !stage.is_stopping() {
        for title in declared.declare_due(stage)? {
            stage.screen.line(&title);
        }
        status.show(stage, activation);
        stage.pause(TICK);
    }
    Ok(())
}

fn prepare(stage: &Stage, declared: &mut Declared) -> anyhow::Result<()> {
    let begin = Instant::now();
    let step = |text: String| stage.screen.line(&format!("  {text} ({:.1} s)", begin.elapsed().as_secs_f64()));
    stage
        .screen
        .line(&format!("Yellowline demo: a booking site beside a real server, data in {}", stage.folder.display()));
    stage.screen.line(&format!("  server listens on {}; the site is live", stage.url("")));
    let count = declared.declare_due(stage)?.len();
    step(format!("{count} past changes declared"));
    let (loaded, events) = history::load_raw(stage)?;
    step(format!("{} raw events of the last {:.1} days loaded", thousands(events), loaded as f64 / 1440.0));
    definitions::write_files(&stage.folder, &format!("http://{}/pages", stage.pager))?;
    history::await_definitions(stage, PATIENCE)?;
    history::load_points(stage)?;
    step("8 weeks of minute counts loaded".to_owned());
    history::await_forecast(stage, PATIENCE)?;
    step("forecast ready".to_owned());
    Ok(())
}

fn welcome(stage: &Stage, activation: i64) {
    let statement = history::finding_statement(activation).replace('\n', "\n    ");
    stage.screen.line(&format!(
        "\n{}\n  {}   bookings with their forecast and the lines of every change\n  {}   ask the raw events with SQL\n\nAt {} \
         experiment 13 goes to 80 %. The page will be printed here. Then find the bad variant:\n\n    {statement}\n\nCtrl-C \
         ends the demo.\n",
        stage.screen.bold("Ready. Look at"),
        stage.url("/metrics/bookings"),
        stage.url("/explore"),
        clock(activation),
    ));
}

impl Declared {
    pub(super) fn new(stage: &Stage) -> Self {
        Self { connection: stage.connection(), keys: HashSet::new() }
    }

    /// Declares every change whose time has come and that is not declared yet; returns a line for each. What a broken
    /// connection prevented is tried again at the next call; its key keeps it from being declared twice.
    pub(super) fn declare_due(&mut self, stage: &Stage) -> anyhow::Result<Vec<String>> {
        let now = machine::now();
        let due: Vec<_> = {
            let story = stage.story();
            let is_due = |change: &&Change| change.time <= now && !self.keys.contains(&change.dedup_key);
            story.changes().iter().filter(is_due).cloned().collect()
        };
        let mut lines = Vec::new();
        for change in due {
            let answer = match self.connection.post_json("/api/v1/changes", &change) {
                Ok(answer) => answer,
                Err(error) => {
                    tracing::warn!(%error, title = change.title, "could not declare a change yet");
                    break;
                }
            };
            if !matches!(answer.status, 200 | 201) {
                bail!("could not declare {:?}: {} {}", change.title, answer.status, answer.text());
            }
            let line =
                format!("{}  change: {} ({}, {})", clock(change.time), change.title, change.kind, change.environment);
            let is_yellow = change.kind == "experiment" && change.time > now - MINUTE;
            lines.push(if is_yellow { stage.screen.bold(&line) } else { line });
            self.keys.insert(change.dedup_key);
        }
        Ok(lines)
    }
}

/// The status line and what the server last said about the bookings.
struct Status {
    connection: Connection,
    asked: Option<Instant>,
    text: String,
}

impl Status {
    fn show(&mut self, stage: &Stage, activation: i64) {
        if self.asked.is_none_or(|asked| asked.elapsed() >= STATUS_PAUSE) {
            self.asked = Some(Instant::now());
            self.text = self.bookings();
        }
        let now = machine::now();
        let events = thousands(stage.counts.events.load(Ordering::Relaxed));
        let seconds = (activation - now) / SECOND;
        let is_on = stage.story().share(Environment::Production, BROKEN_EXPERIMENT, now) > 0.0;
        let next = match (is_on, stage.pages.count()) {
            _ if seconds >= 0 => format!("experiment 13 in {}", minutes(seconds)),
            (true, 0) => format!("experiment 13 on since {}, no page yet", minutes(-seconds)),
            (true, _) => format!("paged; experiment 13 still on since {}", minutes(-seconds)),
            (false, _) => "experiment 13 off".to_owned(),
        };
        stage.screen.status(&format!("{}  {}  {events} live events  {next}", clock(now), self.text));
    }

    /// What the alerter saw in the last whole minute; says so when the server does not answer.
    fn bookings(&mut self) -> String {
        let Ok(answer) = self.connection.get("/api/v1/metrics") else { return "the server does not answer".to_owned() };
        let metrics = answer.json();
        let Some(metric) = history::find(&metrics, definitions::BOOKINGS) else { return "no metric".to_owned() };
        let last = &metric["last"];
        let state = metric["state"].as_str().unwrap_or("unknown");
        match (last["actual"].as_f64(), last["expected"].as_f64()) {
            (Some(actual), Some(expected)) => {
                format!("{actual:.0} bookings a minute, {expected:.0} expected ({state})")
            }
            _ => format!("bookings: {state}"),
        }
    }
}
