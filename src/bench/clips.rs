//! The clips that are measured: desktops as people use them, at 30 frames a second, drawn frame by frame on demand.
//! Frame `n` of a clip is always the same picture.

use super::desktop::{Letters, Place, Rgb, Screen, chance, photo};
use crate::video::format::Resolution;

/// Frames a second of every clip.
pub const FPS: u32 = 30;

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Clip {
    /// A still desktop: a cursor blinks, a clock goes on.
    Idle,
    /// Typing into a terminal, the pointer moves at times.
    Type,
    /// A terminal's output runs through, then a page with pictures is scrolled.
    Scroll,
    /// A window of 900x600 is dragged about.
    Drag,
    /// A moving picture of 1280x720 in a player.
    Video,
    /// A session: 120 frames of idle, 60 of typing, 30 of scrolling, 30 of dragging.
    Session,
}

/// What a session is made of: clip, its first frame, how many.
const SESSION: [(Clip, u32, u32); 4] =
    [(Clip::Idle, 0, 120), (Clip::Type, 60, 60), (Clip::Scroll, 110, 30), (Clip::Drag, 75, 30)];
/// Where the scrolling goes from the terminal to the page.
const PAGE_FROM: u32 = 120;

impl Clip {
    /// All, in the order in which they are measured.
    pub const ALL: [Self; 6] = [Self::Session, Self::Idle, Self::Type, Self::Scroll, Self::Drag, Self::Video];

    /// The name for `--clip`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Type => "type",
            Self::Scroll => "scroll",
            Self::Drag => "drag",
            Self::Video => "video",
            Self::Session => "session",
        }
    }

    /// The clip of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|clip| clip.name() == name)
    }

    /// Its parts, as clip, first frame and number of frames.
    fn parts(self) -> Vec<(Self, u32, u32)> {
        match self {
            Self::Session => SESSION.to_vec(),
            // The middle, so that there are both the terminal and the page.
            Self::Scroll => vec![(self, PAGE_FROM - 45, 90)],
            Self::Idle => vec![(self, 0, 120)],
            Self::Type | Self::Drag | Self::Video => vec![(self, 60, 90)],
        }
    }

    /// How many frames are measured.
    pub fn frames(self) -> u32 {
        self.parts().iter().map(|(_, _, count)| count).sum()
    }
}

/// A clip that is being drawn.
#[derive(Debug)]
pub struct Scene {
    size: Resolution,
    parts: Vec<(Clip, u32, u32)>,
    letters: Letters,
    desk: Screen,
    /// What the current part needs besides, and for which clip it was made.
    extra: Option<(Clip, Screen)>,
}

impl Scene {
    /// Draws what stays the same.
    pub fn new(clip: Clip, size: Resolution) -> Self {
        let mut letters = Letters::default();
        let desk = desk(&mut letters, size);
        Self::on(desk, letters, clip)
    }

    fn on(desk: Screen, letters: Letters, clip: Clip) -> Self {
        Self { size: desk.size(), parts: clip.parts(), letters, desk, extra: None }
    }

    /// Draws frame `n` (0-based) into `screen`; frames behind the end are the last one.
    pub fn draw(&mut self, n: u32, screen: &mut Screen) {
        let mut left = n;
        let mut at = (Clip::Idle, 0);
        for (clip, first, count) in &self.parts {
            at = (*clip, first + left.min(count - 1));
            if left < *count {
                break;
            }
            left -= count;
        }
        let (clip, n) = at;
        screen.copy_from(&self.desk);
        self.clock(screen, n / FPS);
        match clip {
            Clip::Idle | Clip::Session => {
                if n / 15 % 2 == 0 {
                    screen.fill((460, 400), 2, 18, [230; 3]);
                }
                screen.pointer((1200, 500));
            }
            Clip::Type => self.typing(n, screen),
            Clip::Scroll if n < PAGE_FROM => self.terminal(n, screen),
            Clip::Scroll => self.page(n - PAGE_FROM, screen),
            Clip::Drag => self.dragging(n, screen),
            Clip::Video => self.playing(n, screen),
        }
    }

    fn clock(&mut self, screen: &mut Screen, second: u32) {
        let corner = (self.size.width as i32 - 170, self.size.height as i32 - 30);
        let text = format!("12:{:02}:{:02}", second / 60, second % 60);
        screen.text(&mut self.letters, corner, 16, [240; 3], &text);
    }

    fn typing(&mut self, n: u32, screen: &mut Screen) {
        let place = screen.window(&mut self.letters, (500, 300), 900, 560, "xterm");
        screen.fill(place, 900, 560, [12, 12, 16]);
        let typed = (n / 3) as usize;
        let text = paragraph(500, 4000);
        let (whole, rest) = (typed / 90, typed % 90);
        let old =
            (300..325).map(code).chain((0..whole).map(|line| text[line * 90..(line + 1) * 90].to_owned()));
        let mut lines: Vec<String> = old.collect();
        lines.push(format!("{}_", &text[whole * 90..whole * 90 + rest]));
        let shown = &lines[lines.len().saturating_sub(30)..];
        for (line, text) in shown.iter().enumerate() {
            let at = (place.0 + 6, place.1 + 4 + line as i32 * 18);
            screen.text(&mut self.letters, at, 15, [210, 214, 205], cut(text, 98));
        }
        let step = (n % 90).min(45) as i32;
        screen.pointer((300 + step * 14, 200 + step * 9));
    }

    fn terminal(&mut self, n: u32, screen: &mut Screen) {
        let place = screen.window(&mut self.letters, (200, 60), 1500, 900, "xterm - make");
        screen.fill(place, 1500, 900, [12, 12, 16]);
        for line in 0..50 {
            let at = (place.0 + 6, place.1 + 4 + line as i32 * 18);
            let text = code(n * 2 + line);
            screen.text(&mut self.letters, at, 15, [210, 214, 205], cut(&text, 164));
        }
        screen.pointer((1000, 600));
    }

    fn page(&mut self, n: u32, screen: &mut Screen) {
        let place = screen.window(&mut self.letters, (300, 60), 1200, 900, "Article - browser");
        let letters = &mut self.letters;
        let page = match &mut self.extra {
            Some((Clip::Scroll, page)) => page,
            extra => &mut extra.insert((Clip::Scroll, browser_page(letters, 1200, 3800))).1,
        };
        screen.paste(page, n * 24, 900, place);
        screen.pointer((1000, 600));
    }

    fn dragging(&mut self, n: u32, screen: &mut Screen) {
        let letters = &mut self.letters;
        let window = match &mut self.extra {
            Some((Clip::Drag, window)) => window,
            extra => {
                let mut window = Screen::new(Resolution::new(904, 630), [250; 3]);
                let place = window.window(letters, (0, 0), 900, 600, "Files");
                window.fill(place, 900, 600, [250; 3]);
                for line in 0..28 {
                    let at = (place.0 + 6, place.1 + 6 + line * 21);
                    window.text(letters, at, 15, [20; 3], &paragraph(2000 + line as u32 * 17, 96));
                }
                &mut extra.insert((Clip::Drag, window)).1
            }
        };
        let turn = |period: f64| (f64::from(n) / period).sin();
        let (x, y) = ((500.0 + 420.0 * turn(28.0)) as i32, (220.0 + 160.0 * turn(19.0)) as i32);
        screen.paste(window, 0, 630, (x, y));
        screen.pointer((x + 200, y + 12));
    }

    /// A zoom into the Mandelbrot set with grain, as films have it.
    fn playing(&mut self, n: u32, screen: &mut Screen) {
        const HALF: (usize, usize) = (641, 361);
        let place = screen.window(&mut self.letters, (320, 150), 1280, 720, "Player");
        let scale = 0.0042 * 0.985f32.powi(n as i32);
        let field: Vec<f32> = (0..HALF.0 * HALF.1)
            .map(|at| {
                let x = -0.743_64 + ((at % HALF.0) as f32 - 320.0) * scale;
                let y = 0.131_83 + ((at / HALF.0) as f32 - 180.0) * scale;
                mandelbrot(x, y)
            })
            .collect();
        screen.paint(place, 1280, 720, |x, y| {
            let (column, row) = (x as usize / 2, y as usize / 2);
            let (across, down) = ((x % 2) as usize, (y % 2) as usize);
            let corner = |dx: usize, dy: usize| field[(row + dy) * HALF.0 + column + dx];
            let level = (corner(0, 0) + corner(across, 0) + corner(0, down) + corner(across, down)) / 4.0;
            let grain = (chance(n, x, y) % 7) as f32 - 3.0;
            let wave = |phase: f32| ((level * 0.19 + phase).sin() * 100.0 + 128.0 + grain) as u8;
            [wave(0.0), wave(1.1), wave(2.3)]
        });
    }
}

fn mandelbrot(cx: f32, cy: f32) -> f32 {
    let (mut x, mut y) = (0f32, 0f32);
    for n in 0..60u8 {
        let (xx, yy) = (x * x, y * y);
        if xx + yy > 16.0 {
            return f32::from(n) + 1.0 - (xx + yy).ln().ln() * 1.44;
        }
        (x, y) = (xx - yy + cx, 2.0 * x * y + cy);
    }
    60.0
}

/// The desktop that stays: a picture in the back, icons, a task bar, an editor and a browser.
fn desk(letters: &mut Letters, size: Resolution) -> Screen {
    let mut screen = Screen::new(size, [0; 3]);
    let Resolution { width, height } = size;
    let picture = photo(width, height, 9);
    screen.paint((0, 0), width, height, |x, y| {
        let (across, down) = (x as f32 / width as f32, y as f32 / height as f32);
        let sky = [30.0 + 40.0 * down + 20.0 * across, 60.0 + 50.0 * down, 110.0 + 80.0 * (1.0 - down)];
        let detail = picture[(y * width + x) as usize];
        std::array::from_fn(|c| (sky[c] * 0.75 + f32::from(detail[c]) * 0.25) as u8)
    });
    let bar = height as i32 - 40;
    screen.fill((0, bar), width, 40, [32, 34, 40]);
    let colour = |n: u32| [0, 1, 2].map(|c| 60 + (chance(5, n, c) % 170) as u8);
    for n in 0..14 {
        screen.fill((10 + n * 48, bar + 6), 36, 30, colour(n as u32));
    }
    for n in 0..8 {
        screen.fill((24, 30 + n * 110), 48, 48, colour(100 + n as u32));
        screen.text(letters, (18, 84 + n * 110), 12, [255; 3], &format!("Folder {n}"));
    }
    let place = screen.window(letters, (120, 60), 1000, 700, "main.rs - editor");
    screen.fill(place, 1000, 700, [30, 32, 38]);
    for line in 0..38 {
        let text = code(line);
        let start = text.trim_start();
        let colour = match start.split(' ').next() {
            Some("//") => [120, 150, 120],
            Some("let" | "pub" | "fn" | "if") => [130, 170, 255],
            _ if start.contains('"') => [230, 160, 110],
            _ => [215, 218, 224],
        };
        let at = (place.0 + 6, place.1 + 5 + line as i32 * 18);
        screen.text(letters, at, 14, colour, cut(&text, 110));
    }
    let place = screen.window(letters, (980, 220), 900, 760, "Wiki - browser");
    let page = browser_page(letters, 900, 760);
    screen.paste(&page, 0, 760, place);
    screen
}

/// A page of headings, paragraphs and pictures.
fn browser_page(letters: &mut Letters, width: u32, height: u32) -> Screen {
    let mut page = Screen::new(Resolution::new(width, height), [255; 3]);
    let (mut y, mut block) = (0, 0);
    while y < height as i32 {
        page.text(letters, (6, y + 6), 24, [40, 44, 60], cut(&paragraph(block * 91, 50), 40));
        for line in 0..26 {
            if line % 9 < 8 {
                let text = paragraph(block * 977 + line * 13, 100);
                let most = (width - 12) / Letters::advance(15);
                let at = (6, y + 40 + line as i32 * 22);
                page.text(letters, at, 15, [30, 30, 35], cut(&text, most as usize));
            }
        }
        y += 620;
        picture(&mut page, (40, y), block + 20);
        y += 240;
        block += 1;
    }
    page
}

fn picture(page: &mut Screen, place: Place, seed: u32) {
    let pixels: Vec<Rgb> = photo(500, 220, seed);
    page.paint(place, 500, 220, |x, y| pixels[(y * 500 + x) as usize]);
}

/// The first `most` characters.
fn cut(text: &str, most: usize) -> &str {
    text.get(..most).unwrap_or(text)
}

#[rustfmt::skip]
const WORDS: [&str; 48] = [
    "the", "frame", "of", "a", "screen", "buffer", "is", "kept", "until", "encoder", "has", "room", "for", "next",
    "picture", "and", "every", "window", "that", "moves", "over", "it", "leaves", "its", "shadow", "behind", "while",
    "keyboard", "reports", "go", "out", "in", "order", "at", "Monday", "morning", "42", "users", "with", "HDMI",
    "cables", "were", "asked", "which", "quality", "they", "prefer", "today",
];

fn word(n: u32) -> &'static str {
    WORDS[chance(3, n, 0) as usize % WORDS.len()]
}

/// Prose of at least `length` characters.
fn paragraph(seed: u32, length: usize) -> String {
    let mut text = String::with_capacity(length + 16);
    let mut n = seed;
    while text.len() < length {
        text += word(n);
        text.push(' ');
        n += 1;
    }
    text
}

/// Line `n` of a program.
fn code(n: u32) -> String {
    let name = |k: u32| format!("{}_{}", word(n * 7 + k).to_lowercase(), word(n * 7 + k + 1).to_lowercase());
    let indent = "    ".repeat(chance(4, n, 1) as usize % 4);
    match chance(4, n, 2) % 8 {
        0 => format!("{indent}// {}", paragraph(n * 11, 40 + (n % 50) as usize)),
        1 => format!("{indent}let {} = {}({}, {});", name(0), name(2), name(3), chance(4, n, 3) % 5000),
        2 => format!("{indent}if {}.{} > {} {{", name(0), name(2), chance(4, n, 3) % 300),
        3 => format!("{indent}pub fn {}({}: &{}) -> Result<(), {}> {{", name(0), name(1), name(2), name(4)),
        4 => format!("{indent}}}"),
        5 => format!("{indent}{}.push({}[{}] << {});", name(0), name(3), chance(4, n, 3) % 64, n % 8),
        6 => format!("{indent}println!(\"{}\", {});", paragraph(n * 5, 30), name(2)),
        _ => format!("   Compiling {} v{}.{}.{}", name(0), n % 3, n % 17, n % 9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Large enough that something of every clip is on it.
    const SIZE: Resolution = Resolution::new(1280, 832);

    /// A clip on a plain desk, which is drawn sooner.
    fn scene(clip: Clip) -> Scene {
        Scene::on(Screen::new(SIZE, [40; 3]), Letters::default(), clip)
    }

    fn frame(scene: &mut Scene, n: u32) -> u64 {
        let mut screen = Screen::new(scene.size, [0; 3]);
        scene.draw(n, &mut screen);
        checksum(&screen)
    }

    #[test]
    fn a_frame_is_the_same_in_every_run_and_order() {
        for clip in Clip::ALL {
            let (mut forward, mut backward) = (scene(clip), scene(clip));
            let last = clip.frames() - 1;
            let ahead = [0, last].map(|n| frame(&mut forward, n));
            let back = [last, 0].map(|n| frame(&mut backward, n));
            assert_eq!(ahead, [back[1], back[0]], "{}", clip.name());
            assert_ne!(ahead[0], ahead[1], "{} moves", clip.name());
        }
        let small = Resolution::new(320, 240);
        let [mut one, mut other] = [0, 0].map(|_| Scene::new(Clip::Idle, small));
        assert_eq!(frame(&mut one, 0), frame(&mut other, 0));
    }

    #[test]
    fn an_idle_desktop_changes_twice_a_second_and_the_others_more() {
        let is_changed = |clip, pairs: &[u32]| -> Vec<bool> {
            let mut scene = scene(clip);
            pairs.iter().map(|n| frame(&mut scene, *n) != frame(&mut scene, n + 1)).collect()
        };
        assert_eq!(
            is_changed(Clip::Idle, &[0, 13, 14, 15, 28, 29]),
            [false, false, true, false, false, true]
        );
        assert_eq!(is_changed(Clip::Type, &[0, 1, 2, 3]), [false, false, true, false]);
        for clip in [Clip::Scroll, Clip::Drag, Clip::Video] {
            assert_eq!(is_changed(clip, &[40, 60]), [true, true], "{}", clip.name());
        }
    }

    #[test]
    fn names_are_found_again() {
        assert_eq!(Clip::ALL.map(|clip| Clip::named(clip.name())), Clip::ALL.map(Some));
        assert_eq!(Clip::named("bios"), None);
        assert_eq!(Clip::Session.frames(), 240);
    }

    fn checksum(screen: &Screen) -> u64 {
        screen
            .bytes()
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
    }
}
