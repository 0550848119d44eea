//! The picture of an incident: what was expected, what came, and the yellow line, as a PNG that a chat or a pager can show.
//!
//! An opaque card, so that it reads on light and on dark; 600 x 330 logical pixels at double resolution, so that it stays
//! legible at the 360 to 500 pixels that chats show. Colours and dashes are those of the console's charts. Pure.

mod axis;
mod canvas;
mod chart;
mod font;

use std::sync::LazyLock;

use store::Timestamp;

use crate::{
    alert::{Alert, Measured},
    change::{self, Change, ChangeKind},
    exposure::reverses,
    history::Minute,
    sentence,
};
use canvas::{Align, Area, Canvas, Ink, Pen};
use font::Fonts;

/// Size in logical pixels.
const WIDTH: u16 = 600;
const HEIGHT: u16 = 330;
/// Minutes shown before the onset at least, and after it.
const BEFORE_MINUTES: i64 = 50;
const AFTER_MINUTES: i64 = 10;
/// Minutes shown at most.
const SHOWN_MINUTES_MAX: i64 = 2 * 1440;
/// Lines drawn at most, those the sentence names first.
const MARKS_MAX: usize = 40;

const SURFACE: Ink = Ink(0xff_ffff, 100);
const BORDER: Ink = Ink(0xe2_e1da, 100);
const TEXT: Ink = Ink(0x1b_1b18, 100);
const MUTED: Ink = Ink(0x61_605a, 100);
const DANGER: Ink = Ink(0xb3_261e, 100);
const GOOD: Ink = Ink(0x1e_7a45, 100);

/// Reading two font files takes a moment: once.
static FONTS: LazyLock<Fonts> = LazyLock::new(Fonts::new);

/// One minute; what is not known is absent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// When.
    pub minute: Minute,
    /// Seen.
    pub actual: Option<f64>,
    /// Expected, and the ends of its interval.
    pub band: Option<[f64; 3]>,
}

/// A change line.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// When.
    pub time: Timestamp,
    /// Decides its look.
    pub kind: ChangeKind,
    /// What is written on its flag.
    pub label: String,
    /// The sentence names it, as suspect or as what was turned off: it gets a flag.
    pub named: bool,
    /// Seen in the data instead of announced: hollow.
    pub inferred: bool,
}

/// Everything drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// "Bookings per minute".
    pub title: String,
    /// "shop · production · country=NL".
    pub scope: String,
    /// "Expected 67, saw 37 fewer since 15:10 CET".
    pub headline: String,
    /// What became of it: in red while it lasts, in green once it is over.
    pub over: bool,
    /// Values are shares of 1.
    pub share: bool,
    /// The market's clock.
    pub zone: chrono_tz::Tz,
    /// First minute shown.
    pub from: Minute,
    /// First minute not shown.
    pub to: Minute,
    /// The incident.
    pub onset: Minute,
    /// Its end; `None` while it lasts.
    pub end: Option<Minute>,
    /// More came than expected.
    pub up: bool,
    /// "37 fewer".
    pub distance: String,
    /// In order of time.
    pub points: Vec<Point>,
    /// In order of time.
    pub marks: Vec<Mark>,
}

/// Minutes shown of an incident at a time.
#[must_use]
pub fn window(alert: &Alert, now: Timestamp) -> (Minute, Minute) {
    let onset = alert.onset.minutes();
    let last = alert.resolved_at.map_or(now.minutes(), |end| (end.minutes() + 15).min(now.minutes()));
    let to = (last + 1).max(onset + AFTER_MINUTES);
    let before = BEFORE_MINUTES.max((to - onset) / 2);
    ((onset - before).max(to - SHOWN_MINUTES_MAX), to)
}

impl Picture {
    /// The picture of an incident from its points and the changes near it.
    #[must_use]
    pub fn of(alert: &Alert, points: Vec<Point>, changes: &[Change], now: Timestamp) -> Self {
        let (from, to) = window(alert, now);
        let rate = if matches!(alert.measured, Measured::Ratio | Measured::Latency) { "" } else { " per minute" };
        let scope = [Some(&alert.dataset), alert.environment.as_ref(), alert.slice.as_ref()];
        Self {
            title: format!("{}{rate}", alert.title),
            scope: scope.into_iter().flatten().cloned().collect::<Vec<String>>().join(" \u{b7} "),
            headline: sentence::caption(alert, now),
            over: !alert.is_open(),
            share: rate.is_empty(),
            zone: alert.zone.parse().unwrap_or(chrono_tz::UTC),
            from,
            to,
            onset: alert.onset.minutes(),
            end: alert.resolved_at.map(Timestamp::minutes),
            up: alert.seen_per_minute > alert.expected_per_minute,
            distance: sentence::distance(alert),
            points,
            marks: marks(alert, changes, from, to),
        }
    }

    /// The picture as PNG; `None` only if the bitmap cannot be made.
    #[must_use]
    pub fn png(&self) -> Option<Vec<u8>> {
        let mut canvas = Canvas::new(WIDTH, HEIGHT)?;
        let card = Area { left: 0.5, top: 0.5, width: f32::from(WIDTH) - 1.0, height: f32::from(HEIGHT) - 1.0 };
        canvas.card(card, 8.0, SURFACE, Some(Pen { ink: BORDER, width: 1.0, dash: &[] }));
        self.head(&mut canvas);
        chart::draw(&mut canvas, &FONTS, self);
        canvas.png()
    }

    fn head(&self, canvas: &mut Canvas) {
        let (bold, regular) = (&FONTS.bold, &FONTS.regular);
        let right = f32::from(WIDTH) - 18.0;
        canvas.area(Area { left: 18.0, top: 15.0, width: 3.5, height: 36.0 }, if self.over { GOOD } else { DANGER });
        let scope = regular.fitted(&self.scope, 12.0, 210.0);
        let room = right - 30.0 - regular.width(&scope, 12.0) - 16.0;
        canvas.text(bold, &bold.fitted(&self.title, 16.0, room), 16.0, (30.0, 29.0), Align::Left, TEXT);
        canvas.text(regular, &scope, 12.0, (right, 29.0), Align::Right, MUTED);
        let ink = if self.over { GOOD } else { DANGER };
        canvas.text(bold, &bold.fitted(&self.headline, 13.0, right - 30.0), 13.0, (30.0, 49.0), Align::Left, ink);
    }
}

/// The lines of the window that concern the incident: the named ones, and as many others as are readable.
fn marks(alert: &Alert, changes: &[Change], from: Minute, to: Minute) -> Vec<Mark> {
    let named: Vec<&str> = alert.named_suspects().iter().filter_map(|suspect| suspect.change["id"].as_str()).collect();
    let shown = |change: &&Change| (from..to).contains(&change.time.minutes());
    let ours = changes.iter().filter(|change| crate::suspect::shares_environment(change, alert.environment.as_deref()));
    let mut marks: Vec<Mark> = ours
        .filter(shown)
        .map(|change| {
            let off = is_off(alert, change);
            let title = change.text("title").unwrap_or(&change.id);
            Mark {
                time: change.time,
                kind: change.kind,
                label: if off { "turned off".to_owned() } else { title.to_owned() },
                named: off || named.contains(&change.id.as_str()),
                inferred: change.inferred,
            }
        })
        .collect();
    marks.sort_by_key(|mark| (!mark.named, (mark.time.minutes() - alert.onset.minutes()).abs()));
    marks.truncate(MARKS_MAX);
    marks.sort_by_key(|mark| (mark.named, mark.time));
    marks
}

/// True for the line of what was turned off from the incident, ours or the one it was merged into.
fn is_off(alert: &Alert, change: &Change) -> bool {
    let reported = |id: &str| {
        let suspect = alert.suspects.iter().find(|suspect| suspect.id() == id);
        let suspect = suspect.and_then(|suspect| Change::from_json(&suspect.change));
        let ended = change.json["share"] == 0.0 || change.text("status") == Some("rolled_back");
        ended && suspect.is_some_and(|suspect| reverses(change, &suspect))
    };
    alert.off_actions.iter().any(|action| change.id == change::off_id(&action.change) || reported(&action.change))
}

#[cfg(test)]
#[path = "picture_tests.rs"]
mod tests;
