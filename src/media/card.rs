//! Cards: drawn pictures that are sent while there is no live one. The last good picture, dimmed, with a panel before
//! it that says what is missing, what to do about it and since when. A card changes only when its words do.

mod paint;

use std::time::Duration;

use self::paint::{Area, Painter, text_width};
use super::canvas::Colour;
use super::picture::I420Picture;
use crate::video::format::Resolution;
use crate::video::signal::SignalState;

/// Size of a card when no signal was ever seen.
pub const DEFAULT_SIZE: Resolution = Resolution::new(1280, 720);

/// What a live signal's card says until its first picture is there.
const WAITING: &str = "The picture is coming.";
/// What is left of the picture behind, in sixteenths.
const DIMMED: i32 = 5;
/// Dots from one line to the next.
const LINE: f32 = 11.0;

/// The card of a signal state, drawn at `size` (cut to even numbers): `since` is how long the state has lasted, and
/// `behind` the last good picture.
pub fn draw(
    size: Resolution,
    signal: SignalState,
    since: Option<Duration>,
    behind: Option<&I420Picture>,
) -> I420Picture {
    let mut picture = I420Picture::new(size);
    match behind {
        Some(behind) => dim(behind, &mut picture),
        None => shade(&mut picture),
    }
    let size = picture.resolution();
    let mut painter = Painter::new(&mut picture);
    Panel::new(size, signal, since).draw(&mut painter);
    picture
}

/// How long a state has lasted, as a card says it.
pub fn since_words(since: Duration) -> String {
    let seconds = since.as_secs();
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("for {seconds} s"),
        (0, minutes) => format!("for {minutes} min"),
        (hours, 0) => format!("for {hours} h"),
        (hours, minutes) => format!("for {hours} h {minutes} min"),
    }
}

/// The panel of a card: words, an icon, sizes. Lengths are in pixels.
struct Panel {
    frame: Area,
    /// Pixels a dot of ordinary text.
    scale: f32,
    accent: Colour,
    /// The icon, where there is room for it.
    icon: Option<Area>,
    is_waiting: bool,
    /// Left edge of the text.
    left: f32,
    lines: Vec<Line>,
}

struct Line {
    y: f32,
    scale: f32,
    colour: Colour,
    text: String,
}

impl Panel {
    fn new(size: Resolution, signal: SignalState, since: Option<Duration>) -> Self {
        let (width, height) = (size.width as f32, size.height as f32);
        let scale = (width / 320.0).min(height / 200.0).max(1.0);
        let is_waiting = matches!(signal, SignalState::Active | SignalState::Stalled);
        let accent = if is_waiting { Colour::rgb(88, 166, 255) } else { Colour::rgb(255, 170, 60) };
        let (head, body) = words(signal);

        let padding = scale * 9.0;
        let icon_size = scale * 26.0;
        let room = width * 0.86 - padding * 2.0;
        // On a very narrow picture the words need all the room.
        let has_icon = room > scale * 160.0;
        let beside = if has_icon { icon_size + padding } else { 0.0 };
        let room = (room - beside).max(scale * 12.0);

        let mut lines = vec![];
        let mut y = 0.0;
        let mut add = |text: &str, scale: f32, colour: Colour, before: f32| {
            for (n, text) in wrap(text, scale, room).into_iter().enumerate() {
                if n == 0 && y > 0.0 {
                    y += before;
                }
                lines.push(Line { y, scale, colour, text });
                y += LINE * scale;
            }
        };
        add(&head, scale * 1.4, Colour::WHITE, 0.0);
        add(&body, scale, Colour::rgb(214, 220, 230), scale * 2.0);
        if let Some(since) = since {
            add(&since_words(since), scale * 0.9, Colour::rgb(150, 160, 178), scale * 4.0);
        }
        // The last line ends with its dots.
        let last = lines.last().map_or(0.0, |l| l.scale);
        let text_height = y - (LINE - 7.0) * last;
        let text_width = lines.iter().map(|l| text_width(l.scale, &l.text)).fold(0.0, f32::max);

        let inner = if has_icon { text_height.max(icon_size) } else { text_height };
        let frame_width = text_width + beside + padding * 2.0;
        let frame_height = inner + padding * 2.0;
        // Even places and lengths: its straight edges then cut through no pixels that share a colour.
        let even = |at: f32| (at / 2.0).round() * 2.0;
        let frame = Area {
            x: even((width - frame_width) / 2.0),
            y: even((height - frame_height) / 2.0),
            width: even(frame_width),
            height: even(frame_height),
        };
        let top = frame.y + (frame_height - text_height) / 2.0;
        for line in &mut lines {
            line.y += top;
        }
        let icon = has_icon.then(|| Area {
            x: frame.x + padding,
            y: frame.y + (frame_height - icon_size) / 2.0,
            width: icon_size,
            height: icon_size,
        });
        Self { frame, scale, accent, icon, is_waiting, left: frame.x + padding + beside, lines }
    }

    fn draw(&self, painter: &mut Painter<'_>) {
        let radius = self.scale * 5.0;
        // A soft shadow lifts the panel off whatever is behind it.
        let reach = self.scale * 3.0;
        let shadow = self.frame.inset(-reach);
        painter.ring(shadow, self.frame, radius, Colour::BLACK, 0.45);
        painter.panel(self.frame, radius, Colour::rgb(24, 29, 40), 0.94);
        let (frame, stripe) = (self.frame, self.frame.x + self.scale * 2.0);
        painter.blend(Area { width: self.scale * 2.0, ..frame }, self.accent, |x, y| {
            frame.coverage(radius, x, y) * (stripe - x + 0.5).clamp(0.0, 1.0)
        });
        if let Some(icon) = self.icon {
            self.draw_icon(painter, icon);
        }
        for line in &self.lines {
            painter.text(self.left, line.y, line.scale, line.colour, &line.text);
        }
    }

    /// A screen on its foot: with an exclamation mark, or with three dots while there is only to wait.
    fn draw_icon(&self, painter: &mut Painter<'_>, icon: Area) {
        let dot = icon.width / 26.0;
        let part = |x: f32, y: f32, width: f32, height: f32| Area {
            x: icon.x + x * dot,
            y: icon.y + y * dot,
            width: width * dot,
            height: height * dot,
        };
        painter.outline(part(0.0, 2.0, 26.0, 18.0), dot * 3.0, dot * 2.0, self.accent);
        painter.panel(part(11.5, 20.0, 3.0, 3.0), 0.0, self.accent, 1.0);
        painter.panel(part(7.0, 22.5, 12.0, 2.0), dot, self.accent, 1.0);
        if self.is_waiting {
            for x in [7.0, 11.75, 16.5] {
                painter.panel(part(x, 9.75, 2.5, 2.5), dot * 1.25, Colour::WHITE, 1.0);
            }
        } else {
            painter.panel(part(11.75, 5.5, 2.5, 6.5), dot * 1.25, Colour::WHITE, 1.0);
            painter.panel(part(11.75, 13.75, 2.5, 2.5), dot * 1.25, Colour::WHITE, 1.0);
        }
    }
}

/// What is missing, and what to do about it: the two halves of a state's sentence.
fn words(signal: SignalState) -> (String, String) {
    let sentence = if signal == SignalState::Active { WAITING } else { signal.sentence() };
    let (head, body) = sentence.split_once(": ").unwrap_or((sentence, ""));
    let mut rest = body.chars();
    let body = rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect());
    (head.to_owned(), body)
}

/// Breaks a text at its spaces into lines of at most `room` pixels (a longer word stands alone).
fn wrap(text: &str, scale: f32, room: f32) -> Vec<String> {
    let mut lines: Vec<String> = vec![];
    for word in text.split_whitespace() {
        if let Some(last) = lines.last_mut() {
            let longer = format!("{last} {word}");
            if text_width(scale, &longer) <= room {
                *last = longer;
                continue;
            }
        }
        lines.push(word.to_owned());
    }
    lines
}

/// A dark ground for a card with nothing behind it, lighter towards the top.
fn shade(picture: &mut I420Picture) {
    let Resolution { width, height } = picture.resolution();
    let (upper, lower) = (Colour::rgb(38, 46, 62), Colour::rgb(14, 17, 24));
    let stride = width as usize;
    let at = |from: u8, to: u8, row: u32| {
        (i32::from(from) + (i32::from(to) - i32::from(from)) * row as i32 / height as i32) as u8
    };
    for row in (0..height).step_by(2) {
        let rows = picture.rows_mut(row, 2);
        for (n, line) in rows.y.chunks_mut(stride).enumerate() {
            line.fill(at(upper.y, lower.y, row + n as u32));
        }
        rows.u.fill(at(upper.u, lower.u, row));
        rows.v.fill(at(upper.v, lower.v, row));
    }
}

/// Paints `behind` darkly, fitted into the picture if its size is another one.
fn dim(behind: &I420Picture, picture: &mut I420Picture) {
    let (from, to) = (behind.resolution(), picture.resolution());
    // The largest even size of the same shape that fits.
    let (fw, fh, tw, th) = (from.width as u64, from.height as u64, to.width as u64, to.height as u64);
    let (width, height) =
        if fw * th > tw * fh { (tw, (fh * tw / fw).max(2)) } else { ((fw * th / fh).max(2), th) };
    let (width, height) = ((width & !1) as u32, (height & !1) as u32);
    let (left, top) = (((to.width - width) / 2) & !1, ((to.height - height) / 2) & !1);
    let darker = |black: i32| -> [u8; 256] {
        std::array::from_fn(|v| (black + (v as i32 - black) * DIMMED / 16).clamp(0, 255) as u8)
    };
    let (luma, chroma) = (darker(16), darker(128));
    let place =
        |at: u32, to: u32, from: u32| (u64::from(at) * u64::from(from) / u64::from(to.max(1))) as usize;
    let columns: Vec<_> = (0..width).map(|x| place(x, width, from.width)).collect();
    let pairs: Vec<_> = (0..width / 2).map(|x| place(x, width / 2, from.width / 2)).collect();
    let (left, stride) = (left as usize, to.width as usize);
    for row in (0..height).step_by(2) {
        let rows = picture.rows_mut(top + row, 2);
        for (n, line) in rows.y.chunks_mut(stride).enumerate() {
            let source = plane_row(behind.y(), from.width, place(row + n as u32, height, from.height));
            paint(&mut line[left..], source, &columns, &luma);
        }
        let at = place(row / 2, height / 2, from.height / 2);
        for (line, plane) in [(rows.u, behind.u()), (rows.v, behind.v())] {
            paint(&mut line[left / 2..], plane_row(plane, from.width / 2, at), &pairs, &chroma);
        }
    }
}

/// Row `row` of a plane; empty if there is none.
fn plane_row(plane: &[u8], stride: u32, row: usize) -> &[u8] {
    plane.chunks_exact(stride as usize).nth(row).unwrap_or_default()
}

/// Puts the samples of `source` at `columns` into `line`, each as `table` has it.
fn paint(line: &mut [u8], source: &[u8], columns: &[usize], table: &[u8; 256]) {
    if source.len() == columns.len() && line.len() >= source.len() {
        // Nothing is scaled across.
        let line = &mut line[..source.len()];
        line.copy_from_slice(source);
        return paint::apply(table, Some(line));
    }
    for (sample, column) in line.iter_mut().zip(columns) {
        if let Some(value) = source.get(*column) {
            *sample = table[usize::from(*value)];
        }
    }
}

#[cfg(test)]
mod tests;
