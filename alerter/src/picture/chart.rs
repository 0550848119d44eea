//! The chart of a picture: band, expected, actual, what is missing, and the change lines with their flags.

use super::{
    Fonts, HEIGHT, Mark, Picture, WIDTH,
    axis::{time_ticks, value_ticks},
    canvas::{Align, Area, Canvas, Ink, Pen, polyline},
};
use crate::{change::ChangeKind, history::Minute};

const TEXT: Ink = Ink(0x1b_1b18, 100);
const MUTED: Ink = Ink(0x61_605a, 100);
const SURFACE: Ink = Ink(0xff_ffff, 100);
const GRID: Ink = Ink(0xec_ebe5, 100);
const BAND: Ink = Ink(0x1f_5dbe, 13);
const ACTUAL: Ink = Ink(0x1f_5dbe, 100);
const EXPECTED: Ink = Ink(0x75_746d, 100);
const DANGER: Ink = Ink(0xb3_261e, 100);
const ALERT_TINT: Ink = Ink(0xb3_261e, 6);
const DEFICIT: Ink = Ink(0xb3_261e, 26);
const YELLOW: Ink = Ink(0xf5_c400, 100);
const ON_YELLOW: Ink = Ink(0x33_2900, 100);

/// Height of a flag.
const FLAG: f32 = 20.0;
/// Size of axis labels and of the legend.
const SMALL: f32 = 11.5;

/// How a kind of change is drawn, as in the console: name, colour, dash, width.
fn look(kind: ChangeKind) -> (&'static str, Ink, &'static [f32], f32) {
    match kind {
        ChangeKind::Experiment | ChangeKind::Flag => ("activation", Ink(0xe6_b400, 100), &[], 2.5),
        ChangeKind::Chaos => ("chaos", Ink(0xc4_322a, 100), &[1.5, 3.0], 2.0),
        ChangeKind::Schema => ("schema", Ink(0x0f_7f7a, 100), &[8.0, 3.0], 1.5),
        ChangeKind::Config => ("config", Ink(0x7b_4bc9, 100), &[], 1.5),
        ChangeKind::Deploy => ("deploy", Ink(0x6f_6e68, 100), &[5.0, 4.0], 1.5),
        ChangeKind::Maintenance => ("maintenance", Ink(0x8a_7a55, 100), &[12.0, 3.0, 2.0, 3.0], 1.5),
        ChangeKind::Note => ("note", Ink(0x3f_86d9, 100), &[], 1.0),
    }
}

/// Where minutes and values are.
struct Scale {
    plot: Area,
    from: Minute,
    to: Minute,
    highest: f64,
}

impl Scale {
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "pixels of some hundred minutes")]
    fn x(&self, minute: f64) -> f32 {
        self.plot.left + ((minute - self.from as f64) / (self.to - self.from).max(1) as f64) as f32 * self.plot.width
    }

    #[expect(clippy::cast_possible_truncation, reason = "pixels")]
    fn y(&self, value: f64) -> f32 {
        self.plot.bottom() - (value / self.highest).clamp(-0.05, 1.2) as f32 * self.plot.height
    }

    /// The middle of a minute.
    #[expect(clippy::cast_precision_loss, reason = "minutes since 1970")]
    fn middle(&self, minute: Minute) -> f32 {
        self.x(minute as f64 + 0.5)
    }

    #[expect(clippy::cast_precision_loss, reason = "microseconds of this century")]
    fn of(&self, mark: &Mark) -> f32 {
        self.x(mark.time.0 as f64 / 60e6)
    }
}

/// Draws the lower part of a picture.
pub(super) fn draw(canvas: &mut Canvas, fonts: &Fonts, picture: &Picture) {
    let values = picture.points.iter().flat_map(|point| point.actual.into_iter().chain(point.band.map(|band| band[2])));
    // Above a rise there must be room for its label.
    let highest = values.fold(0.0, f64::max) * if picture.up { 1.25 } else { 1.06 };
    let (ticks, highest) = value_ticks(highest);
    let labels: Vec<String> = ticks.iter().map(|tick| value_label(*tick, picture.share)).collect();
    let widest = labels.iter().map(|label| fonts.regular.width(label, SMALL)).fold(0.0, f32::max);
    let flags = picture.marks.iter().filter(|mark| mark.named).count().clamp(1, 2);
    #[expect(clippy::cast_precision_loss, reason = "one or two")]
    let top = 62.0 + (FLAG + 3.0) * flags as f32;
    let left = 18.0 + widest + 8.0;
    let plot = Area { left, top, width: f32::from(WIDTH) - 18.0 - left, height: f32::from(HEIGHT) - 52.0 - top };
    let scale = Scale { plot, from: picture.from, to: picture.to, highest };
    for (tick, label) in ticks.iter().zip(&labels) {
        let y = scale.y(*tick);
        canvas.line((plot.left, y), (plot.right(), y), Pen { ink: GRID, width: 1.0, dash: &[] });
        canvas.text(&fonts.regular, label, SMALL, (left - 8.0, y + 4.0), Align::Right, MUTED);
    }
    canvas.clip(plot);
    series(canvas, &scale, picture);
    canvas.unclip();
    time_axis(canvas, fonts, &scale, picture);
    marks(canvas, fonts, &scale, picture);
    distance(canvas, fonts, &scale, picture);
    legend(canvas, fonts, picture);
}

fn value_label(value: f64, share: bool) -> String {
    let (value, unit) = if share { (value * 100.0, " %") } else { (value, "") };
    let text = match value {
        value if value >= 10_000.0 => format!("{}k", round(value / 1000.0)),
        value => round(value),
    };
    format!("{text}{unit}")
}

/// Up to two digits after the point, as many as there are.
fn round(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn series(canvas: &mut Canvas, scale: &Scale, picture: &Picture) {
    let plot = scale.plot;
    let first = scale.middle(picture.onset) - plot.width / (scale.to - scale.from).max(1) as f32 / 2.0;
    let known = picture.points.iter().rev().find(|point| point.actual.is_some());
    let last = picture.end.or(known.map(|point| point.minute)).map_or(plot.right(), |end| scale.middle(end));
    canvas.area(Area { left: first, top: plot.top, width: (last - first).max(1.0), height: plot.height }, ALERT_TINT);
    for run in runs(picture, |point| point.band.is_some()) {
        let edge = |which: usize| {
            let at =
                move |point: &super::Point| point.band.map(|band| (scale.middle(point.minute), scale.y(band[which])));
            picture.points[run.clone()].iter().filter_map(at).collect::<Vec<(f32, f32)>>()
        };
        let mut area = edge(2);
        area.extend(edge(1).into_iter().rev());
        canvas.fill(polyline(&area, true), BAND);
        missing(canvas, scale, picture, run.clone());
        let pen = Pen { ink: EXPECTED, width: 1.5, dash: &[5.0, 4.0] };
        canvas.stroke(polyline(&edge(0), false), pen);
    }
    for run in runs(picture, |point| point.actual.is_some()) {
        let at = |point: &super::Point| point.actual.map(|value| (scale.middle(point.minute), scale.y(value)));
        let line: Vec<(f32, f32)> = picture.points[run].iter().filter_map(at).collect();
        canvas.stroke(polyline(&line, false), Pen { ink: ACTUAL, width: 2.0, dash: &[] });
    }
}

/// Fills what is missing between expected and seen while it lasts.
fn missing(canvas: &mut Canvas, scale: &Scale, picture: &Picture, run: std::ops::Range<usize>) {
    let ends = picture.onset..picture.end.unwrap_or(Minute::MAX);
    let gap: Vec<(f32, f32, f32)> = picture.points[run]
        .iter()
        .filter(|point| ends.contains(&point.minute))
        .filter_map(|point| {
            let (expected, seen) = (point.band?[0], point.actual?);
            let seen = if picture.up { seen.max(expected) } else { seen.min(expected) };
            Some((scale.middle(point.minute), scale.y(expected), scale.y(seen)))
        })
        .collect();
    let mut area: Vec<(f32, f32)> = gap.iter().map(|(x, expected, _)| (*x, *expected)).collect();
    area.extend(gap.iter().rev().map(|(x, _, seen)| (*x, *seen)));
    canvas.fill(polyline(&area, true), DEFICIT);
}

/// Runs of points that pass, by index.
fn runs(picture: &Picture, passes: impl Fn(&super::Point) -> bool) -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for (i, point) in picture.points.iter().enumerate().filter(|(_, point)| passes(point)) {
        match runs.last_mut() {
            Some(run) if run.end == i && picture.points[i - 1].minute + 1 == point.minute => run.end = i + 1,
            _ => runs.push(i..i + 1),
        }
    }
    runs
}

fn time_axis(canvas: &mut Canvas, fonts: &Fonts, scale: &Scale, picture: &Picture) {
    let plot = scale.plot;
    canvas.line(
        (plot.left, plot.bottom()),
        (plot.right(), plot.bottom()),
        Pen { ink: EXPECTED, width: 1.0, dash: &[] },
    );
    for (minute, label) in time_ticks(scale.from, scale.to, picture.zone) {
        #[expect(clippy::cast_precision_loss, reason = "minutes since 1970")]
        let x = scale.x(minute as f64);
        let half = fonts.regular.width(&label, SMALL) / 2.0;
        canvas.line((x, plot.bottom()), (x, plot.bottom() + 4.0), Pen { ink: EXPECTED, width: 1.0, dash: &[] });
        let middle = x.clamp(plot.left + half - 6.0, plot.right() - half + 6.0);
        canvas.text(&fonts.regular, &label, SMALL, (middle, plot.bottom() + 17.0), Align::Centre, MUTED);
    }
}

/// Lines, and a flag on each that the sentence names.
fn marks(canvas: &mut Canvas, fonts: &Fonts, scale: &Scale, picture: &Picture) {
    let plot = scale.plot;
    let mut row = 0_u8;
    for mark in &picture.marks {
        let (_, ink, dash, width) = look(mark.kind);
        let x = scale.of(mark).clamp(plot.left, plot.right());
        let flag = 60.0 + f32::from(row) * (FLAG + 3.0);
        let top = if mark.named { flag + FLAG } else { plot.top };
        let mut line = |ink, width, dash| canvas.line((x, top), (x, plot.bottom()), Pen { ink, width, dash });
        if mark.inferred {
            line(ink, width + 2.2, dash);
            line(SURFACE, width, &[]);
        } else {
            line(ink, width + if mark.named { 0.5 } else { 0.0 }, dash);
        }
        if mark.named {
            label(canvas, fonts, plot, (x, flag), mark, ink);
            row = (row + 1).min(1);
        }
    }
}

fn label(canvas: &mut Canvas, fonts: &Fonts, plot: Area, at: (f32, f32), mark: &Mark, ink: Ink) {
    let text = fonts.bold.fitted(&mark.label, 12.0, plot.width * 0.7);
    let width = fonts.bold.width(&text, 12.0) + 16.0;
    let left = (at.0 - width / 2.0).clamp(plot.left, (plot.right() - width).max(plot.left));
    let area = Area { left, top: at.1, width, height: FLAG };
    let yellow = matches!(mark.kind, ChangeKind::Experiment | ChangeKind::Flag);
    let (fill, words) = if yellow { (YELLOW, ON_YELLOW) } else { (SURFACE, TEXT) };
    canvas.card(area, 4.0, fill, Some(Pen { ink: if yellow { YELLOW } else { ink }, width: 1.5, dash: &[] }));
    canvas.text(&fonts.bold, &text, 12.0, (left + 8.0, at.1 + 14.3), Align::Left, words);
}

/// "37 fewer", beside what is missing.
fn distance(canvas: &mut Canvas, fonts: &Fonts, scale: &Scale, picture: &Picture) {
    let ends = picture.onset..picture.end.unwrap_or(Minute::MAX);
    let inside = |point: &&super::Point| ends.contains(&point.minute);
    let seen: Vec<f64> = picture.points.iter().filter(inside).filter_map(|point| point.actual).collect();
    let last = picture.points.iter().rev().filter(inside).find_map(|point| Some((point.minute, point.actual?)));
    let Some((minute, value)) = last.filter(|_| !picture.distance.is_empty()) else { return };
    let edge = seen.iter().copied().fold(if picture.up { f64::MIN } else { f64::MAX }, |a, b| match picture.up {
        true => a.max(b),
        false => a.min(b),
    });
    let width = fonts.bold.width(&picture.distance, 13.0);
    let plot = scale.plot;
    // Right of the line while there is room, else below (or above) its end.
    let end = scale.middle(minute);
    let beside = plot.right() - end > width + 12.0;
    let right = if beside { end + width + 8.0 } else { (end + 2.0).clamp(plot.left + width + 6.0, plot.right() - 2.0) };
    let wanted = match (beside, picture.up) {
        (true, _) => scale.y(value) + 4.5,
        (false, true) => scale.y(edge) - 8.0,
        (false, false) => scale.y(edge) + 18.0,
    };
    let y = wanted.clamp(plot.top + 14.0, plot.bottom() - 6.0);
    // A halo keeps it readable over lines.
    let halo = Pen { ink: Ink(SURFACE.0, 85), width: 4.0, dash: &[] };
    canvas.stroke(fonts.bold.outline(&picture.distance, 13.0, right - width, y), halo);
    canvas.text(&fonts.bold, &picture.distance, 13.0, (right, y), Align::Right, DANGER);
}

/// What the looks mean, and whose picture it is.
fn legend(canvas: &mut Canvas, fonts: &Fonts, picture: &Picture) {
    let y = f32::from(HEIGHT) - 14.0;
    let mut x = 18.0;
    let mut entry = |canvas: &mut Canvas, name: &str, width: f32, draw: &dyn Fn(&mut Canvas, f32)| {
        draw(canvas, x);
        canvas.text(&fonts.regular, name, SMALL, (x + width + 6.0, y), Align::Left, MUTED);
        x += width + 6.0 + fonts.regular.width(name, SMALL) + 15.0;
    };
    let level = y - 4.0;
    let flat = |ink, width, dash| {
        move |canvas: &mut Canvas, x: f32| {
            canvas.line((x, level), (x + 18.0, level), Pen { ink, width, dash });
        }
    };
    entry(canvas, "actual", 18.0, &flat(ACTUAL, 2.0, &[]));
    entry(canvas, "expected", 18.0, &flat(EXPECTED, 1.5, &[5.0, 4.0]));
    entry(canvas, "95 % band", 18.0, &|canvas, x| {
        canvas.area(Area { left: x, top: level - 6.0, width: 18.0, height: 12.0 }, Ink(BAND.0, 22));
    });
    let mut kinds: Vec<&'static str> = Vec::new();
    for mark in picture.marks.iter().rev() {
        let (name, ink, dash, width) = look(mark.kind);
        if kinds.contains(&name) || kinds.len() == 3 {
            continue;
        }
        kinds.push(name);
        entry(canvas, name, 3.0, &move |canvas, x| {
            canvas.line((x + 1.5, level - 7.0), (x + 1.5, level + 7.0), Pen { ink, width, dash });
        });
    }
    let right = f32::from(WIDTH) - 18.0;
    let width = fonts.bold.width("Yellowline", SMALL);
    canvas.area(Area { left: right - width - 8.0, top: y - 10.0, width: 3.0, height: 12.5 }, YELLOW);
    canvas.text(&fonts.bold, "Yellowline", SMALL, (right, y), Align::Right, TEXT);
}
