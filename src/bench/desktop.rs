//! What a desktop is drawn with: rectangles, text with soft edges and colour fringes in any size, windows, gradients
//! and picture-like noise, in blue, green, red and a spare byte, as a screen capture delivers them. Everything is cut
//! at the edges and depends on its arguments alone, so that every run measures the same pictures.

use std::collections::BTreeMap;

use crate::media::font;
use crate::video::format::Resolution;

/// Red, green and blue, 0..=255.
pub type Rgb = [u8; 3];

/// A place of text or a window: where its upper left corner is, in pixels; may be off the screen.
pub type Place = (i32, i32);

/// A picture of four bytes a pixel: blue, green, red, 255.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screen {
    size: Resolution,
    pixels: Vec<[u8; 4]>,
}

impl Screen {
    /// A screen of one colour.
    pub fn new(size: Resolution, colour: Rgb) -> Self {
        let count = size.width as usize * size.height as usize;
        Self { size, pixels: vec![pixel(colour); count] }
    }

    /// Its size.
    pub fn size(&self) -> Resolution {
        self.size
    }

    /// The rows, without padding.
    pub fn bytes(&self) -> &[u8] {
        self.pixels.as_flattened()
    }

    /// Takes over a screen of the same size, without new memory.
    pub fn copy_from(&mut self, other: &Self) {
        if self.size == other.size {
            self.pixels.copy_from_slice(&other.pixels);
        } else {
            self.clone_from(other);
        }
    }

    fn at(&mut self, x: i32, y: i32) -> Option<&mut [u8; 4]> {
        let (x, y) = (u32::try_from(x).ok()?, u32::try_from(y).ok()?);
        if x >= self.size.width {
            return None;
        }
        self.pixels.get_mut(y as usize * self.size.width as usize + x as usize)
    }

    /// Fills a rectangle.
    pub fn fill(&mut self, (x, y): Place, width: u32, height: u32, colour: Rgb) {
        self.paint((x, y), width, height, |_, _| colour);
    }

    /// Fills a rectangle with what `colour` says of each of its pixels.
    pub fn paint(&mut self, (x, y): Place, width: u32, height: u32, colour: impl Fn(u32, u32) -> Rgb) {
        let end = |from: i32, length: u32, most: u32| {
            (i64::from(from) + i64::from(length)).clamp(0, i64::from(most)) as usize
        };
        let (left, right) = (x.max(0) as usize, end(x, width, self.size.width));
        let (top, bottom) = (y.max(0) as usize, end(y, height, self.size.height));
        for row in top..bottom {
            let start = row * self.size.width as usize;
            for (n, cell) in
                self.pixels.get_mut(start + left..start + right).into_iter().flatten().enumerate()
            {
                let across = (left + n) as i64 - i64::from(x);
                let down = row as i64 - i64::from(y);
                *cell = pixel(colour(across as u32, down as u32));
            }
        }
    }

    /// Copies the rows `from..from + height` of `image` to `place`.
    pub fn paste(&mut self, image: &Self, from: u32, height: u32, (x, y): Place) {
        let width = image.size.width as usize;
        let skip = usize::try_from(-x).unwrap_or(0).min(width);
        let left = x.max(0) as usize;
        let count = (width - skip).min((self.size.width as usize).saturating_sub(left));
        for n in 0..height.min(image.size.height.saturating_sub(from)) {
            let Ok(row) = u32::try_from(i64::from(y) + i64::from(n)) else { continue };
            if row >= self.size.height {
                break;
            }
            let target = row as usize * self.size.width as usize + left;
            let source = (from + n) as usize * width + skip;
            let pair =
                (self.pixels.get_mut(target..target + count), image.pixels.get(source..source + count));
            if let (Some(to), Some(from)) = pair {
                to.copy_from_slice(from);
            }
        }
    }

    /// Writes a line of text.
    pub fn text(&mut self, letters: &mut Letters, (x, y): Place, size: u32, colour: Rgb, text: &str) {
        let mut left = x;
        for character in text.chars() {
            if left >= self.size.width as i32 {
                break;
            }
            let glyph = letters.glyph(character, size);
            if character != ' ' {
                for (n, ink) in glyph.ink.iter().enumerate() {
                    let (across, down) = (n as u32 % glyph.width, n as u32 / glyph.width);
                    if ink.iter().any(|i| *i > 0)
                        && let Some(cell) = self.at(left + across as i32, y + down as i32)
                    {
                        *cell = pixel(blend([cell[2], cell[1], cell[0]], colour, *ink));
                    }
                }
            }
            left += glyph.width as i32;
        }
    }

    /// A window with its title bar of 28 pixels and three buttons; the inside is `width` x `height` at the returned
    /// place.
    pub fn window(
        &mut self,
        letters: &mut Letters,
        (x, y): Place,
        width: u32,
        height: u32,
        title: &str,
    ) -> Place {
        self.fill((x, y), width + 4, height + 30, [200, 200, 200]);
        self.fill((x, y), width + 4, 28, [45, 62, 90]);
        self.text(letters, (x + 10, y + 7), 14, [240, 240, 240], title);
        for (n, colour) in [[220, 80, 70], [230, 190, 60], [90, 190, 90]].into_iter().enumerate() {
            self.disc((x + width as i32 - 13 - n as i32 * 24, y + 14), 7, colour);
        }
        (x + 2, y + 28)
    }

    /// A filled circle around a centre.
    pub fn disc(&mut self, (x, y): Place, radius: i32, colour: Rgb) {
        for down in -radius..=radius {
            for across in -radius..=radius {
                if across * across + down * down <= radius * radius
                    && let Some(cell) = self.at(x + across, y + down)
                {
                    *cell = pixel(colour);
                }
            }
        }
    }

    /// A mouse pointer: a black-edged white arrow, its tip at `place`.
    pub fn pointer(&mut self, (x, y): Place) {
        for down in 0..17 {
            let length = if down < 12 { down + 1 } else { 17 - down };
            for across in 0..length {
                let is_edge = across == 0 || across == length - 1 || down == 16;
                if let Some(cell) = self.at(x + across, y + down) {
                    *cell = pixel(if is_edge { [0; 3] } else { [255; 3] });
                }
            }
        }
    }
}

fn pixel([r, g, b]: Rgb) -> [u8; 4] {
    [b, g, r, 255]
}

fn blend(under: Rgb, over: Rgb, ink: Rgb) -> Rgb {
    std::array::from_fn(|n| {
        let (under, over, ink) = (u32::from(under[n]), u32::from(over[n]), u32::from(ink[n]));
        ((under * (255 - ink) + over * ink + 127) / 255) as u8
    })
}

/// Glyphs by character and size, made from the dots of the built-in font.
#[derive(Debug, Default)]
pub struct Letters {
    made: BTreeMap<(char, u32), Glyph>,
}

#[derive(Debug)]
struct Glyph {
    width: u32,
    ink: Vec<Rgb>,
}

impl Letters {
    /// Pixels from one character of a size to the next.
    pub fn advance(size: u32) -> u32 {
        (size * 6).div_ceil(10)
    }

    fn glyph(&mut self, character: char, size: u32) -> &Glyph {
        self.made.entry((character, size)).or_insert_with(|| {
            let dot = size as f32 / 10.0;
            let (width, height) = (Self::advance(size), (8.0 * dot).ceil() as u32);
            let rows = font::glyph(character);
            let ink = (0..width * height).map(|n| {
                // A third of a pixel apart: how flat screens' text has coloured edges.
                [-1.0, 0.0, 1.0].map(|part: f32| {
                    let x = ((n % width) as f32 + 0.5 + part / 3.0) / dot;
                    let y = ((n / width) as f32 + 0.5) / dot;
                    let soft = ((dots(&rows, x, y) - 0.28) * 2.2).clamp(0.0, 1.0);
                    (soft * 255.0) as u8
                })
            });
            Glyph { width, ink: ink.collect() }
        })
    }
}

/// How much ink there is at a place among the dots, between them straight.
fn dots(rows: &[u8; font::HEIGHT], x: f32, y: f32) -> f32 {
    let dot = |column: i32, row: i32| {
        let inside = (0..font::WIDTH as i32).contains(&column) && (0..font::HEIGHT as i32).contains(&row);
        let is_ink = inside && rows[row as usize] >> (font::WIDTH as i32 - 1 - column) & 1 == 1;
        f32::from(u8::from(is_ink))
    };
    let (x, y) = (x - 0.5, y - 0.5);
    let (column, row) = (x.floor(), y.floor());
    let (across, down) = (x - column, y - row);
    let (column, row) = (column as i32, row as i32);
    let mix = |a: f32, b: f32, part: f32| a + (b - a) * part;
    mix(
        mix(dot(column, row), dot(column + 1, row), across),
        mix(dot(column, row + 1), dot(column + 1, row + 1), across),
        down,
    )
}

/// A number that only depends on its arguments and looks like chance.
pub fn chance(seed: u32, x: u32, y: u32) -> u32 {
    let mut n = seed
        .wrapping_mul(0x9e37_79b9)
        .wrapping_add(x.wrapping_mul(0x85eb_ca6b))
        .wrapping_add(y.wrapping_mul(0xc2b2_ae35));
    for shift in [15, 13, 16] {
        n = (n ^ n >> shift).wrapping_mul(0x2c1b_3c6d);
    }
    n ^ n >> 16
}

/// A picture-like area: clouds of seven sizes with fine grain, as photographs have them.
pub fn photo(width: u32, height: u32, seed: u32) -> Vec<Rgb> {
    let mut sums = vec![[0f32; 3]; width as usize * height as usize];
    let mut weight = 1.0;
    let mut total = 0.0;
    for octave in 1..8u32 {
        weight /= 1.6;
        total += weight;
        let cells = 1 << octave;
        let corner = |column: u32, row: u32| {
            let n = chance(seed * 31 + octave, column, row);
            [n & 255, n >> 8 & 255, n >> 16 & 255].map(|c| c as f32 * weight)
        };
        for (n, sum) in sums.iter_mut().enumerate() {
            let at = |position: u32, length: u32| {
                let place = position as f32 * cells as f32 / length as f32;
                let part = place.fract();
                (place as u32, part * part * (3.0 - 2.0 * part))
            };
            let (column, across) = at(n as u32 % width, width);
            let (row, down) = at(n as u32 / width, height);
            let corners = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(x, y)| corner(column + x, row + y));
            for c in 0..3 {
                let upper = corners[0][c] + (corners[1][c] - corners[0][c]) * across;
                let lower = corners[2][c] + (corners[3][c] - corners[2][c]) * across;
                sum[c] += upper + (lower - upper) * down;
            }
        }
    }
    let grain = |n: u32, c: u32| (chance(seed + 77, n, c) % 9) as f32 - 4.0;
    let pixel = |(n, sum): (usize, &[f32; 3])| {
        std::array::from_fn(|c| {
            // The sums crowd around their middle: stretched to the whole range, as exposure does.
            let level = (sum[c] / total - 128.0) * 1.7 + 128.0;
            (level + grain(n as u32, c as u32)).clamp(12.0, 242.0) as u8
        })
    };
    sums.iter().enumerate().map(pixel).collect()
}
