//! A YUYV picture to draw on: rectangles and text, cut to a band of rows, so that only what changed is drawn.

use std::time::Instant;

use super::capture::{Colours, RawFrame, RawPlane};
use super::font;
use crate::video::format::{PixelFormat, Resolution};

/// A colour in BT.601 limited range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour {
    /// Luma, 16..=235.
    pub y: u8,
    /// Cb, 16..=240.
    pub u: u8,
    /// Cr, 16..=240.
    pub v: u8,
}

impl Colour {
    /// Black.
    pub const BLACK: Self = Self::grey(16);
    /// White.
    pub const WHITE: Self = Self::grey(235);

    /// A grey of this luma.
    pub const fn grey(y: u8) -> Self {
        Self { y, u: 128, v: 128 }
    }

    /// The colour of full-range red, green and blue (ITU-R BT.601, 8 bit).
    pub fn rgb(r: u8, g: u8, b: u8) -> Self {
        let [r, g, b] = [r, g, b].map(|c| f32::from(c) / 255.0);
        let luma = 0.299 * r + 0.587 * g + 0.114 * b;
        Self {
            y: (16.0 + 219.0 * luma).round() as u8,
            u: (128.0 + 224.0 * (b - luma) / 1.772).round() as u8,
            v: (128.0 + 224.0 * (r - luma) / 1.402).round() as u8,
        }
    }
}

/// A picture of even size; x and widths are cut to even numbers, because two pixels share their colour.
#[derive(Debug, Clone)]
pub struct Canvas {
    resolution: Resolution,
    data: Vec<u8>,
    clip: (u32, u32),
}

impl Canvas {
    /// A black canvas, at least 2x2.
    pub fn new(resolution: Resolution) -> Self {
        let even = resolution.to_even();
        let resolution = Resolution::new(even.width.max(2), even.height.max(2));
        let pairs = resolution.width as usize / 2 * resolution.height as usize;
        Self { resolution, data: [16, 128, 16, 128].repeat(pairs), clip: (0, resolution.height) }
    }

    /// Its size.
    pub fn resolution(&self) -> Resolution {
        self.resolution
    }

    /// From now on only the rows `first..end` are drawn.
    pub fn set_clip(&mut self, first: u32, end: u32) {
        self.clip = (first, end.min(self.resolution.height));
    }

    /// Fills a rectangle; parts outside of the canvas are cut off.
    pub fn fill(&mut self, x: u32, y: u32, width: u32, height: u32, colour: Colour) {
        let (left, right) = (x & !1, x.saturating_add(width).min(self.resolution.width) & !1);
        let (top, bottom) = (y.max(self.clip.0), y.saturating_add(height).min(self.clip.1));
        if left >= right {
            return;
        }
        for row in top..bottom {
            let start = (row as usize * self.resolution.width as usize + left as usize) * 2;
            let cells = &mut self.data[start..start + (right - left) as usize * 2];
            for pair in cells.chunks_exact_mut(4) {
                pair.copy_from_slice(&[colour.y, colour.u, colour.y, colour.v]);
            }
        }
    }

    /// Writes a line of text, `scale` (even) pixels a dot; returns the x behind it.
    pub fn text(&mut self, x: u32, y: u32, scale: u32, colour: Colour, text: &str) -> u32 {
        let scale = scale.max(2) & !1;
        let mut at = x;
        for character in text.chars() {
            if at >= self.resolution.width {
                break;
            }
            if y < self.clip.1 && y + font::HEIGHT as u32 * scale > self.clip.0 {
                self.glyph(at, y, scale, colour, character);
            }
            at += glyph_advance(scale);
        }
        at
    }

    fn glyph(&mut self, x: u32, y: u32, scale: u32, colour: Colour, character: char) {
        for (row, bits) in font::glyph(character).into_iter().enumerate() {
            for column in (0..font::WIDTH).filter(|c| bits >> (font::WIDTH - 1 - c) & 1 == 1) {
                let (x, y) = (x + column as u32 * scale, y + row as u32 * scale);
                self.fill(x, y, scale, scale, colour);
            }
        }
    }

    /// Copies the rows `first..end` from a canvas of the same size.
    pub fn copy_rows(&mut self, from: &Self, first: u32, end: u32) {
        let stride = self.resolution.width as usize * 2;
        let range = first as usize * stride..end.min(self.resolution.height) as usize * stride;
        if let (Some(to), Some(from)) = (self.data.get_mut(range.clone()), from.data.get(range)) {
            to.copy_from_slice(from);
        }
    }

    /// The canvas as a captured frame.
    pub fn as_frame(&self, captured_at: Instant) -> RawFrame<'_> {
        let plane = RawPlane { data: &self.data, stride: self.resolution.width as usize * 2 };
        RawFrame {
            format: PixelFormat::Yuyv,
            resolution: self.resolution,
            planes: [plane, RawPlane::EMPTY, RawPlane::EMPTY],
            colours: Colours::Bt601,
            captured_at,
        }
    }
}

/// Pixels from one character to the next.
pub const fn glyph_advance(scale: u32) -> u32 {
    (font::WIDTH as u32 + 1) * scale
}

/// Pixels from one line of text to the next.
pub const fn line_advance(scale: u32) -> u32 {
    (font::HEIGHT as u32 + 3) * scale
}

/// The largest text scale at which `lines` lines of `characters` fit a picture, at least 2.
pub fn text_scale(resolution: Resolution, characters: u32, lines: u32) -> u32 {
    let across = resolution.width / (6 * characters.max(1));
    let down = resolution.height / (10 * lines.max(1));
    (across.min(down) & !1).max(2)
}
