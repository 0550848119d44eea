//! Inter, built in: texts as outlines. Letters it lacks are drawn as the replacement character.

use tiny_skia::{Path, PathBuilder};
use ttf_parser::{Face, GlyphId, OutlineBuilder};

/// SIL Open Font License 1.1, see `fonts/OFL.txt`.
static REGULAR: &[u8] = include_bytes!("fonts/Inter-Regular.otf");
static SEMI_BOLD: &[u8] = include_bytes!("fonts/Inter-SemiBold.otf");

/// Drawn for letters that are not in the font.
const REPLACEMENT: char = '\u{FFFD}';

/// One weight of the typeface.
pub(super) struct Font {
    face: Option<Face<'static>>,
}

/// The two weights a picture uses.
pub(super) struct Fonts {
    pub(super) regular: Font,
    pub(super) bold: Font,
}

impl Fonts {
    pub(super) fn new() -> Self {
        let font = |bytes| Font { face: Face::parse(bytes, 0).ok() };
        Self { regular: font(REGULAR), bold: font(SEMI_BOLD) }
    }
}

impl Font {
    /// Each letter's glyph and its advance, in pixels of a size.
    fn glyphs(&self, text: &str, size: f32) -> Vec<(GlyphId, f32)> {
        let Some(face) = &self.face else { return Vec::new() };
        let scale = size / f32::from(face.units_per_em());
        text.chars()
            .filter_map(|letter| face.glyph_index(letter).or_else(|| face.glyph_index(REPLACEMENT)))
            .map(|glyph| (glyph, f32::from(face.glyph_hor_advance(glyph).unwrap_or(0)) * scale))
            .collect()
    }

    /// Width of a text in pixels.
    pub(super) fn width(&self, text: &str, size: f32) -> f32 {
        self.glyphs(text, size).iter().map(|(_, advance)| advance).sum()
    }

    /// The text cut to a width, with an ellipsis when it was.
    pub(super) fn fitted(&self, text: &str, size: f32, width: f32) -> String {
        if self.width(text, size) <= width {
            return text.to_owned();
        }
        let room = width - self.width("\u{2026}", size);
        let (mut used, mut short) = (0.0, String::new());
        for letter in text.chars() {
            used += self.width(letter.encode_utf8(&mut [0; 4]), size);
            if used > room {
                break;
            }
            short.push(letter);
        }
        format!("{}\u{2026}", short.trim_end())
    }

    /// The outlines of a text whose base line begins at a point.
    pub(super) fn outline(&self, text: &str, size: f32, x: f32, y: f32) -> Option<Path> {
        let face = self.face.as_ref()?;
        let scale = size / f32::from(face.units_per_em());
        let mut pen = Pen { path: PathBuilder::new(), x, y, scale };
        for (glyph, advance) in self.glyphs(text, size) {
            face.outline_glyph(glyph, &mut pen);
            pen.x += advance;
        }
        pen.path.finish()
    }
}

/// Puts glyph outlines (y upwards, font units) onto the picture (y downwards, pixels).
struct Pen {
    path: PathBuilder,
    x: f32,
    y: f32,
    scale: f32,
}

impl Pen {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (self.x + x * self.scale, self.y - y * self.scale)
    }
}

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.path.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.path.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}
