//! Drawing in logical pixels on a bitmap of twice as many, so that small texts stay sharp where the picture is shown reduced.

use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Mask, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, StrokeDash, Transform,
};

use super::font::Font;

/// Pixels of the bitmap for one logical pixel.
const SCALE: f32 = 2.0;

/// A colour: `0xRRGGBB` and its opacity in per cent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ink(pub(super) u32, pub(super) u8);

impl Ink {
    fn paint(self) -> Paint<'static> {
        let [_, red, green, blue] = self.0.to_be_bytes();
        let mut paint = Paint::default();
        let mut colour = Color::from_rgba8(red, green, blue, 255);
        colour.set_alpha(f32::from(self.1.min(100)) / 100.0);
        paint.set_color(colour);
        paint.anti_alias = true;
        paint
    }
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pen {
    pub(super) ink: Ink,
    pub(super) width: f32,
    /// Lengths drawn and left out, in turn; empty for a solid line.
    pub(super) dash: &'static [f32],
}

/// Where a text stands relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Centre,
    Right,
}

/// A rectangle of logical pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Area {
    pub(super) left: f32,
    pub(super) top: f32,
    pub(super) width: f32,
    pub(super) height: f32,
}

impl Area {
    pub(super) fn right(self) -> f32 {
        self.left + self.width
    }

    pub(super) fn bottom(self) -> f32 {
        self.top + self.height
    }
}

/// A bitmap being drawn.
pub(super) struct Canvas {
    pixmap: Pixmap,
    clip: Option<Mask>,
}

impl Canvas {
    /// `None` for a size of nothing.
    pub(super) fn new(width: u16, height: u16) -> Option<Self> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "twice a u16 fits")]
        let pixels = |length: u16| (f32::from(length) * SCALE) as u32;
        Some(Self { pixmap: Pixmap::new(pixels(width), pixels(height))?, clip: None })
    }

    fn transform() -> Transform {
        Transform::from_scale(SCALE, SCALE)
    }

    /// Draws only inside of an area, until [`Canvas::unclip`].
    pub(super) fn clip(&mut self, area: Area) {
        let mut mask = Mask::new(self.pixmap.width(), self.pixmap.height());
        if let (Some(mask), Some(path)) = (mask.as_mut(), rectangle(area)) {
            mask.fill_path(&path, FillRule::Winding, false, Self::transform());
        }
        self.clip = mask;
    }

    pub(super) fn unclip(&mut self) {
        self.clip = None;
    }

    pub(super) fn fill(&mut self, path: Option<Path>, ink: Ink) {
        if let Some(path) = path {
            let paint = ink.paint();
            self.pixmap.fill_path(&path, &paint, FillRule::Winding, Self::transform(), self.clip.as_ref());
        }
    }

    pub(super) fn stroke(&mut self, path: Option<Path>, pen: Pen) {
        let Some(path) = path else { return };
        let stroke = Stroke {
            width: pen.width,
            line_cap: LineCap::Butt,
            line_join: LineJoin::Round,
            dash: StrokeDash::new(pen.dash.to_vec(), 0.0),
            ..Stroke::default()
        };
        self.pixmap.stroke_path(&path, &pen.ink.paint(), &stroke, Self::transform(), self.clip.as_ref());
    }

    pub(super) fn area(&mut self, area: Area, ink: Ink) {
        self.fill(rectangle(area), ink);
    }

    /// An area with round corners, filled and framed.
    pub(super) fn card(&mut self, area: Area, radius: f32, fill: Ink, frame: Option<Pen>) {
        self.fill(rounded(area, radius), fill);
        if let Some(pen) = frame {
            self.stroke(rounded(area, radius), pen);
        }
    }

    pub(super) fn line(&mut self, from: (f32, f32), to: (f32, f32), pen: Pen) {
        self.stroke(polyline(&[from, to], false), pen);
    }

    /// A text with its base line at `y`.
    pub(super) fn text(&mut self, font: &Font, text: &str, size: f32, at: (f32, f32), align: Align, ink: Ink) {
        let width = font.width(text, size);
        let x = match align {
            Align::Left => at.0,
            Align::Centre => at.0 - width / 2.0,
            Align::Right => at.0 - width,
        };
        self.fill(font.outline(text, size, x, at.1), ink);
    }

    pub(super) fn png(&self) -> Option<Vec<u8>> {
        self.pixmap.encode_png().ok()
    }
}

/// A path through points; closed for an area.
pub(super) fn polyline(points: &[(f32, f32)], closed: bool) -> Option<Path> {
    let mut path = PathBuilder::new();
    for (i, (x, y)) in points.iter().enumerate() {
        if i == 0 { path.move_to(*x, *y) } else { path.line_to(*x, *y) }
    }
    if closed {
        path.close();
    }
    path.finish()
}

fn rectangle(area: Area) -> Option<Path> {
    Rect::from_xywh(area.left, area.top, area.width, area.height).map(PathBuilder::from_rect)
}

fn rounded(area: Area, radius: f32) -> Option<Path> {
    // Distance of the control points of a cubic that is nearly a quarter of a circle.
    let k = radius * 0.447_7;
    let (left, top, right, bottom) = (area.left, area.top, area.right(), area.bottom());
    let mut path = PathBuilder::new();
    path.move_to(left + radius, top);
    path.line_to(right - radius, top);
    path.cubic_to(right - k, top, right, top + k, right, top + radius);
    path.line_to(right, bottom - radius);
    path.cubic_to(right, bottom - k, right - k, bottom, right - radius, bottom);
    path.line_to(left + radius, bottom);
    path.cubic_to(left + k, bottom, left, bottom - k, left, bottom - radius);
    path.line_to(left, top + radius);
    path.cubic_to(left, top + k, left + k, top, left + radius, top);
    path.close();
    path.finish()
}
