//! Painting on a planar picture with soft edges: panels with round corners, and the bitmap font as smooth shapes.

use crate::media::canvas::Colour;
use crate::media::font;
use crate::media::picture::{I420Picture, I420Rows};
use crate::video::format::Resolution;

/// What covers a dot's edge; a little below one half, so that dots that touch at a corner join.
const EDGE: f32 = 0.42;
/// Empty dots between two characters.
const GAP: f32 = 1.0;
/// Dots of a space.
const SPACE: f32 = 3.0;

/// A rectangle in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Area {
    pub x: f32,
    pub y: f32,
    pub width: f32,
    pub height: f32,
}

impl Area {
    /// No pixel.
    const NOTHING: Self = Self { x: 0.0, y: 0.0, width: 0.0, height: 0.0 };

    /// Left, right, top and bottom in blocks of 2x2 pixels that a picture has: all that are touched, or those that lie
    /// inside as a whole.
    fn pairs(self, size: Resolution, is_inside: bool) -> (u32, u32, u32, u32) {
        let block = |from: f32, length: f32, limit: u32| {
            let (first, end) = (from / 2.0, (from + length) / 2.0);
            let (first, end) =
                if is_inside { (first.ceil(), end.floor()) } else { (first.floor(), end.ceil()) };
            let end = (end.max(0.0) as u32).min(limit / 2);
            ((first.max(0.0) as u32).min(end), end)
        };
        let (left, right) = block(self.x, self.width, size.width);
        let (top, bottom) = block(self.y, self.height, size.height);
        (left, right, top, bottom)
    }

    /// How much of the pixel around `x`, `y` lies inside, with corners of this radius, 0 to 1.
    pub fn coverage(self, radius: f32, x: f32, y: f32) -> f32 {
        (0.5 - self.distance(radius, x, y)).clamp(0.0, 1.0)
    }

    /// Pixels from a place to the outline, negative inside.
    fn distance(self, radius: f32, x: f32, y: f32) -> f32 {
        let radius = radius.min(self.width / 2.0).min(self.height / 2.0).max(0.0);
        let (half_width, half_height) = (self.width / 2.0, self.height / 2.0);
        let beyond_x = (x - self.x - half_width).abs() - half_width + radius;
        let beyond_y = (y - self.y - half_height).abs() - half_height + radius;
        let inside = beyond_x.max(beyond_y).min(0.0) - radius;
        let (x, y) = (beyond_x.max(0.0), beyond_y.max(0.0));
        // Most places lie beside a straight edge, where there is no root to take.
        if x == 0.0 || y == 0.0 { x + y + inside } else { (x * x + y * y).sqrt() + inside }
    }

    /// The same without a rim of `by` pixels.
    pub fn inset(self, by: f32) -> Self {
        Self {
            x: self.x + by,
            y: self.y + by,
            width: (self.width - by * 2.0).max(0.0),
            height: (self.height - by * 2.0).max(0.0),
        }
    }
}

/// Draws on a picture.
pub(super) struct Painter<'a> {
    picture: &'a mut I420Picture,
}

impl<'a> Painter<'a> {
    pub fn new(picture: &'a mut I420Picture) -> Self {
        Self { picture }
    }

    /// Mixes `colour` in, as much as `cover` (0 to 1) says for each pixel of `area`.
    pub fn blend(&mut self, area: Area, colour: Colour, cover: impl Fn(f32, f32) -> f32) {
        self.blend_around(area, Area::NOTHING, colour, cover);
    }

    /// The same but for the pixels that lie in `hole` with their neighbours.
    fn blend_around(&mut self, area: Area, hole: Area, colour: Colour, cover: impl Fn(f32, f32) -> f32) {
        let size = self.picture.resolution();
        let (left, right, top, bottom) = area.pairs(size, false);
        let (hole_left, hole_right, hole_top, hole_bottom) = hole.pairs(size, true);
        let stride = size.width as usize;
        for pair in top..bottom {
            let I420Rows { y, u, v } = self.picture.rows_mut(pair * 2, 2);
            let gap = if (hole_top..hole_bottom).contains(&pair) { hole_left..hole_right } else { 0..0 };
            for column in (left..right).filter(|column| !gap.contains(column)) {
                let mut sum = 0.0;
                for (row, dx) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    let (x, line) = (column * 2 + dx, pair * 2 + row);
                    let share = cover(x as f32 + 0.5, line as f32 + 0.5);
                    sum += share;
                    if share > 0.0
                        && let Some(luma) = y.get_mut(row as usize * stride + x as usize)
                    {
                        *luma = mix(*luma, colour.y, share);
                    }
                }
                if sum == 0.0 {
                    continue;
                }
                for (plane, to) in [(&mut *u, colour.u), (&mut *v, colour.v)] {
                    if let Some(chroma) = plane.get_mut(column as usize) {
                        *chroma = mix(*chroma, to, sum / 4.0);
                    }
                }
            }
        }
    }

    /// Fills a rectangle with round corners; `share` is how much of what is behind it is hidden.
    pub fn panel(&mut self, area: Area, radius: f32, colour: Colour, share: f32) {
        // Most of it needs no look at the outline.
        let solid = area.inset(radius.max(1.0) + 1.0);
        self.blend_around(area, solid, colour, |x, y| area.coverage(radius, x, y) * share);
        let size = self.picture.resolution();
        let (left, right, top, bottom) = solid.pairs(size, true);
        let table = |to: u8| -> [u8; 256] { std::array::from_fn(|from| mix(from as u8, to, share)) };
        let (luma, cb, cr) = (table(colour.y), table(colour.u), table(colour.v));
        let (left, right) = (left as usize, right as usize);
        for pair in top..bottom {
            let I420Rows { y, u, v } = self.picture.rows_mut(pair * 2, 2);
            for line in y.chunks_exact_mut(size.width as usize) {
                apply(&luma, line.get_mut(left * 2..right * 2));
            }
            apply(&cb, u.get_mut(left..right));
            apply(&cr, v.get_mut(left..right));
        }
    }

    /// Draws an outline of this thickness along the inside of a rectangle.
    pub fn outline(&mut self, area: Area, radius: f32, thickness: f32, colour: Colour) {
        let inner = area.inset(thickness);
        let hole = inner.inset(radius);
        self.blend_around(area, hole, colour, |x, y| {
            area.coverage(radius, x, y) - inner.coverage(radius - thickness, x, y)
        });
    }

    /// Darkens the ground around `inner` out to `outer`, less and less; `share` is how much at its edge.
    pub fn ring(&mut self, outer: Area, inner: Area, radius: f32, colour: Colour, share: f32) {
        let reach = (inner.x - outer.x).max(1.0);
        self.blend_around(outer, inner.inset(radius), colour, |x, y| {
            let away = inner.distance(radius, x, y);
            // Under the panel itself nothing is darkened: it may be translucent.
            let left = if away < -0.5 { 0.0 } else { (1.0 - away / reach).clamp(0.0, 1.0) };
            left * left * share
        });
    }

    /// Writes a line of text from its upper left corner, `scale` pixels a dot.
    pub fn text(&mut self, x: f32, y: f32, scale: f32, colour: Colour, text: &str) {
        let mut at = x;
        for character in text.chars() {
            let glyph = Glyph::of(character);
            let rim = scale * 0.5;
            let area = Area {
                x: at - rim,
                y: y - rim,
                width: glyph.width * scale + rim * 2.0,
                height: HEIGHT as f32 * scale + rim * 2.0,
            };
            self.blend(area, colour, |px, py| glyph.coverage((px - at) / scale, (py - y) / scale, scale));
            at += (glyph.width + GAP) * scale;
        }
    }
}

/// Pixels that a line of text takes at `scale` pixels a dot.
pub(super) fn text_width(scale: f32, text: &str) -> f32 {
    let dots: f32 = text.chars().map(|c| Glyph::of(c).width + GAP).sum();
    (dots - GAP).max(0.0) * scale
}

/// Dots of a character, down, with what hangs below the line.
pub(super) const HEIGHT: usize = font::HEIGHT + 2;

/// The letters that hang below the line, which the font, made for single lines, squeezes onto it.
fn hanging(character: char) -> Option<[u8; HEIGHT]> {
    Some(match character {
        'g' => [0x00, 0x00, 0x0f, 0x11, 0x11, 0x11, 0x0f, 0x01, 0x0e],
        'j' => [0x02, 0x00, 0x06, 0x02, 0x02, 0x02, 0x02, 0x12, 0x0c],
        'p' => [0x00, 0x00, 0x1e, 0x11, 0x11, 0x11, 0x1e, 0x10, 0x10],
        'q' => [0x00, 0x00, 0x0f, 0x11, 0x11, 0x11, 0x0f, 0x01, 0x01],
        'y' => [0x00, 0x00, 0x11, 0x11, 0x11, 0x11, 0x0f, 0x01, 0x0e],
        _ => return None,
    })
}

/// A character without the empty columns beside it.
struct Glyph {
    /// The dots, 0 or 1, with a rim of empty ones.
    dots: [[f32; font::WIDTH + 2]; HEIGHT + 2],
    /// Columns.
    width: f32,
}

impl Glyph {
    fn of(character: char) -> Self {
        let rows = hanging(character).unwrap_or_else(|| {
            let mut rows = [0; HEIGHT];
            rows[..font::HEIGHT].copy_from_slice(&font::glyph(character));
            rows
        });
        let used = rows.iter().fold(0, |used, row| used | row);
        let is_set = |bits: u8, column: usize| bits >> (font::WIDTH - 1 - column) & 1 == 1;
        let mut dots = [[0.0; font::WIDTH + 2]; HEIGHT + 2];
        let columns = 0..font::WIDTH;
        let (first, last) =
            (columns.clone().find(|c| is_set(used, *c)), columns.rev().find(|c| is_set(used, *c)));
        let (Some(first), Some(last)) = (first, last) else { return Self { dots, width: SPACE } };
        for (bits, row) in rows.iter().zip(&mut dots[1..]) {
            for column in first..=last {
                row[column - first + 1] = f32::from(u8::from(is_set(*bits, column)));
            }
        }
        Self { dots, width: (last - first + 1) as f32 }
    }

    /// How much of the pixel around a place, in dots, is covered: between the centres of dots everything runs smoothly.
    fn coverage(&self, x: f32, y: f32, scale: f32) -> f32 {
        // The centre of the first dot lies one beyond the rim's.
        let (x, y) = ((x + 0.5).max(0.0), (y + 0.5).max(0.0));
        let (column, row) = (x as usize, y as usize);
        let (right, down) = (x.fract(), y.fract());
        let (Some(above), Some(below)) = (self.dots.get(row), self.dots.get(row + 1)) else { return 0.0 };
        let across = |row: &[f32]| match row.get(column..column + 2) {
            Some([left, next]) => left * (1.0 - right) + next * right,
            _ => 0.0,
        };
        let (upper, lower) = (across(above), across(below));
        let field = upper * (1.0 - down) + lower * down;
        ((field - EDGE) * scale.max(1.3) + 0.5).clamp(0.0, 1.0)
    }
}

fn apply(table: &[u8; 256], samples: Option<&mut [u8]>) {
    for sample in samples.into_iter().flatten() {
        *sample = table[usize::from(*sample)];
    }
}

fn mix(from: u8, to: u8, share: f32) -> u8 {
    (f32::from(from) + (f32::from(to) - f32::from(from)) * share).round() as u8
}
