//! The moving test card: colour bars, greys, the lines and the pointer that it is told, and a block that moves
//! fifteen times a second. Only the rows that change are drawn. A frozen card goes on giving (equal) frames.
#![allow(clippy::disallowed_methods, reason = "an edge: the card moves in real time")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::{FramePair, Source, SourceEvent, SourceState};
use crate::media::canvas::{Canvas, Colour, glyph_advance, line_advance, text_scale};
use crate::media::card::DEFAULT_SIZE;
use crate::media::wake::WakeReceiver;
use crate::video::card::TestCard;
use crate::video::format::Resolution;
use crate::video::signal::SignalState;

/// Time between two frames.
const TICK: Duration = Duration::from_millis(33);
/// The block moves every so many frames.
const TICKS_PER_MOVE: u64 = 2;
/// Steps of the block from left to right.
const MOVES: u64 = 60;
/// Most lines of text that are drawn.
const MOST_LINES: usize = 14;
/// Most bands of rows that are remembered one by one: while nobody watches, what is told goes on to be drawn.
const MOST_DIRTY: usize = 32;
/// Largest size that is drawn; a larger wish is cut.
const MOST: Resolution = Resolution::new(4096, 2160);

/// The test card as a source.
#[derive(Debug)]
pub struct PatternSource {
    told: watch::Receiver<TestCard>,
    card: TestCard,
    is_frozen: Arc<AtomicBool>,
    canvas: Canvas,
    /// The frame lent before, brought up to date row by row.
    shadow: Canvas,
    /// Rows drawn since the last frame was lent.
    dirty: Vec<(u32, u32)>,
    is_lent: bool,
    has_previous: bool,
    is_awake: bool,
    ticks: u64,
    next_tick: Instant,
}

impl PatternSource {
    /// A card that shows what `told` says.
    pub fn new(told: watch::Receiver<TestCard>) -> Self {
        let size = size_of(&told.borrow());
        let mut source = Self {
            told,
            card: TestCard::default(),
            is_frozen: Arc::default(),
            canvas: Canvas::new(size),
            shadow: Canvas::new(size),
            dirty: Vec::new(),
            is_lent: false,
            has_previous: false,
            is_awake: false,
            ticks: 0,
            next_tick: Instant::now(),
        };
        source.card = source.told.borrow_and_update().clone();
        source.draw(0, size.height);
        source
    }

    /// While the switch is true the block stands still.
    pub fn freeze_switch(&self) -> Arc<AtomicBool> {
        self.is_frozen.clone()
    }

    /// Takes over what the card is told; true if its size changed.
    fn listen(&mut self) -> bool {
        if !self.told.has_changed().unwrap_or(false) {
            return false;
        }
        let new = self.told.borrow_and_update().clone();
        let old = std::mem::replace(&mut self.card, new);
        let size = size_of(&self.card);
        if size != self.canvas.resolution() {
            self.canvas = Canvas::new(size);
            self.shadow = Canvas::new(size);
            self.has_previous = false;
            self.is_lent = false;
            self.draw(0, size.height);
            return true;
        }
        if old.lines != self.card.lines {
            let layout = Layout::of(size);
            self.draw(layout.text_top, layout.band_top);
        }
        if (old.pointer, old.is_button_down) != (self.card.pointer, self.card.is_button_down) {
            for pointer in [old.pointer, self.card.pointer].into_iter().flatten() {
                let (_, y) = place(pointer, size);
                let arm = Layout::of(size).arm + 4;
                self.draw(y.saturating_sub(arm), y + arm);
            }
        }
        false
    }

    /// Goes one frame on.
    fn tick(&mut self) {
        if self.is_frozen.load(Ordering::Relaxed) {
            return;
        }
        self.ticks += 1;
        if self.ticks.is_multiple_of(TICKS_PER_MOVE) {
            let size = self.canvas.resolution();
            self.draw(Layout::of(size).band_top, size.height);
        }
    }

    /// Draws the rows `first..end` of the card.
    fn draw(&mut self, first: u32, end: u32) {
        let size = self.canvas.resolution();
        let end = end.min(size.height);
        if first >= end {
            return;
        }
        if self.dirty.len() >= MOST_DIRTY {
            self.dirty.clear();
            self.dirty.push((0, size.height));
        }
        self.dirty.push((first, end));
        self.canvas.set_clip(first, end);
        let layout = Layout::of(size);
        let canvas = &mut self.canvas;
        canvas.fill(0, 0, size.width, size.height, Colour::rgb(22, 26, 34));
        draw_bars(canvas, &layout);
        let margin = layout.scale * 6;
        let title = format!("kvmdesk test card {size}");
        canvas.text(margin, layout.text_top, layout.scale, Colour::rgb(255, 200, 60), &title);
        let room = (size.width.saturating_sub(margin * 2) / glyph_advance(layout.scale)).max(1) as usize;
        let lines = self.card.lines.iter().flat_map(|line| wrap(line, room));
        for (n, line) in lines.take(MOST_LINES).enumerate() {
            let y = layout.text_top + (n as u32 + 1) * line_advance(layout.scale);
            if y + line_advance(layout.scale) <= layout.band_top {
                canvas.text(margin, y, layout.scale, Colour::WHITE, &line);
            }
        }
        let moves = self.ticks / TICKS_PER_MOVE;
        let block = layout.band_height;
        let x = (u64::from(size.width.saturating_sub(block)) * (moves % MOVES) / (MOVES - 1)) as u32;
        canvas.fill(0, layout.band_top, size.width, layout.band_height, Colour::grey(40));
        canvas.text(
            size.width / 2,
            layout.band_top + layout.scale,
            layout.scale,
            Colour::grey(120),
            &format!("{moves:06}"),
        );
        canvas.fill(x, layout.band_top, block, layout.band_height, Colour::rgb(60, 220, 120));
        draw_corners(canvas, size);
        if let Some(pointer) = self.card.pointer {
            draw_pointer(canvas, place(pointer, size), layout.arm, self.card.is_button_down);
        }
    }
}

impl Source for PatternSource {
    fn state(&self) -> SourceState {
        SourceState { signal: SignalState::Active, resolution: Some(self.canvas.resolution()) }
    }

    fn set_awake(&mut self, is_awake: bool) {
        if is_awake && !self.is_awake {
            self.next_tick = Instant::now();
        }
        self.is_awake = is_awake;
    }

    fn wait(&mut self, wake: &WakeReceiver, not_before: Instant, until: Instant) -> SourceEvent {
        if self.is_lent {
            for (first, end) in self.dirty.drain(..) {
                self.shadow.copy_rows(&self.canvas, first, end);
            }
            self.is_lent = false;
        }
        let due = self.next_tick.max(not_before);
        let deadline = if self.is_awake { due.min(until) } else { until };
        let is_woken = wake.poll(None, deadline).is_woken;
        if self.listen() {
            return SourceEvent::State;
        }
        let now = Instant::now();
        if is_woken || !self.is_awake || now < due {
            return SourceEvent::Nothing;
        }
        // A card that could not keep up does not hurry after the lost time.
        self.next_tick = (self.next_tick + TICK).max(now);
        self.tick();
        SourceEvent::Frame
    }

    fn frame(&mut self) -> Option<FramePair<'_>> {
        self.is_lent = true;
        let now = Instant::now();
        let previous = std::mem::replace(&mut self.has_previous, true).then(|| self.shadow.as_frame(now));
        Some(FramePair { current: self.canvas.as_frame(now), previous, captured: None })
    }
}

/// Where things are on a card.
struct Layout {
    scale: u32,
    bars: u32,
    ramp: u32,
    text_top: u32,
    band_top: u32,
    band_height: u32,
    arm: u32,
}

impl Layout {
    fn of(size: Resolution) -> Self {
        let scale = text_scale(size, 48, 18);
        let band_height = (scale * 9).min(size.height / 4).max(2);
        let (bars, ramp) = (size.height / 6, size.height / 24);
        Self {
            scale,
            bars,
            ramp,
            text_top: bars + ramp + scale * 4,
            band_top: size.height.saturating_sub(band_height + scale * 3),
            band_height,
            arm: (size.height / 24).max(4),
        }
    }
}

fn size_of(card: &TestCard) -> Resolution {
    let wish = card.size.unwrap_or(DEFAULT_SIZE).to_even();
    Resolution::new(wish.width.clamp(16, MOST.width), wish.height.clamp(16, MOST.height))
}

/// Breaks a line into pieces of at most `most` characters, at spaces where there are any; further pieces are set in.
fn wrap(line: &str, most: usize) -> Vec<String> {
    const INDENT: &str = "  ";
    let most = most.max(INDENT.len() + 1);
    let mut pieces = vec![];
    let mut rest: Vec<char> = line.chars().collect();
    while rest.len() > most {
        let first_word = if pieces.is_empty() { 0 } else { INDENT.len() };
        let space = rest[..=most].iter().rposition(|c| *c == ' ').filter(|at| *at > first_word);
        let tail = rest.split_off(space.unwrap_or(most));
        pieces.push(rest.iter().collect());
        rest = INDENT.chars().chain(tail.into_iter().skip(usize::from(space.is_some()))).collect();
    }
    pieces.push(rest.into_iter().collect());
    pieces
}

/// The pixel of a pointer position of 0..=32767.
fn place((x, y): (u16, u16), size: Resolution) -> (u32, u32) {
    let scale = |position: u16, extent: u32| (u32::from(position.min(32767)) * (extent - 1) + 16383) / 32767;
    (scale(x, size.width), scale(y, size.height))
}

fn draw_bars(canvas: &mut Canvas, layout: &Layout) {
    const BARS: [[u8; 3]; 8] = [
        [255, 255, 255],
        [255, 255, 0],
        [0, 255, 255],
        [0, 255, 0],
        [255, 0, 255],
        [255, 0, 0],
        [0, 0, 255],
        [0, 0, 0],
    ];
    let width = canvas.resolution().width;
    for (n, [r, g, b]) in BARS.into_iter().enumerate() {
        let (left, right) = (width * n as u32 / 8, width * (n as u32 + 1) / 8);
        canvas.fill(left, 0, right - (left & !1), layout.bars, Colour::rgb(r, g, b));
    }
    for n in 0..16 {
        let (left, right) = (width * n / 16, width * (n + 1) / 16);
        let grey = Colour::grey((16 + 219 * n / 15) as u8);
        canvas.fill(left, layout.bars, right - (left & !1), layout.ramp, grey);
    }
}

/// White squares in the corners: a picture that is cut or shifted shows at once.
fn draw_corners(canvas: &mut Canvas, size: Resolution) {
    for x in [0, size.width - 8] {
        for y in [0, size.height - 8] {
            canvas.fill(x, y, 8, 8, Colour::BLACK);
            canvas.fill(x + 2, y + 2, 4, 4, Colour::WHITE);
        }
    }
}

fn draw_pointer(canvas: &mut Canvas, (x, y): (u32, u32), arm: u32, is_down: bool) {
    let colour = if is_down { Colour::rgb(255, 40, 40) } else { Colour::WHITE };
    let thick = if is_down { 6 } else { 2 };
    for (extra, colour) in [(2, Colour::BLACK), (0, colour)] {
        let (arm, thick) = (arm + extra, thick + extra);
        let start = |centre: u32, reach: u32| centre.saturating_sub(reach);
        canvas.fill(
            start(x, arm),
            start(y, thick),
            x + arm - start(x, arm),
            y + thick - start(y, thick),
            colour,
        );
        canvas.fill(
            start(x, thick),
            start(y, arm),
            x + thick - start(x, thick),
            y + arm - start(y, arm),
            colour,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::change::changed_stripes;
    use crate::media::wake;

    fn next(source: &mut PatternSource) -> SourceEvent {
        let (_sender, receiver) = wake::pair().unwrap();
        source.wait(&receiver, Instant::now(), Instant::now() + Duration::from_secs(20))
    }

    /// Runs of rows that changed from the last frame to the next one.
    fn changes(source: &mut PatternSource) -> Vec<(u32, u32)> {
        assert_eq!(next(source), SourceEvent::Frame);
        let pair = source.frame().unwrap();
        changed_stripes(&pair.current, &pair.previous.unwrap()).runs().collect()
    }

    #[test]
    fn only_what_is_told_or_moves_changes() {
        let (tell, told) = watch::channel(TestCard::default());
        let mut source = PatternSource::new(told);
        source.set_awake(true);
        let frozen = source.freeze_switch();
        assert_eq!(next(&mut source), SourceEvent::Frame);
        assert!(source.frame().unwrap().previous.is_none());
        let moved: Vec<_> = (0..4).map(|_| changes(&mut source)).collect();
        assert_eq!(moved.iter().filter(|c| !c.is_empty()).count(), 2, "every second frame moves");
        assert!(moved.iter().flatten().all(|(first, _)| *first > 600), "at the bottom only: {moved:?}");
        frozen.store(true, Ordering::Relaxed);
        assert_eq!(changes(&mut source), []);
        tell.send_modify(|card| card.pointer = Some((32767, 0)));
        let at_top = changes(&mut source);
        assert!(at_top.len() == 1 && at_top[0].0 == 0 && at_top[0].1 <= 64, "{at_top:?}");
        tell.send_modify(|card| card.lines.push("A key".into()));
        assert!(!changes(&mut source).is_empty());
        assert_eq!(changes(&mut source), []);
    }

    #[test]
    fn what_is_told_while_nobody_watches_takes_no_memory_and_is_seen_later() {
        let (tell, told) = watch::channel(TestCard::default());
        let mut source = PatternSource::new(told);
        source.set_awake(true);
        assert_eq!(next(&mut source), SourceEvent::Frame);
        assert!(source.frame().is_some());
        source.freeze_switch().store(true, Ordering::Relaxed);
        changes(&mut source);
        source.set_awake(false);
        let (_sender, receiver) = wake::pair().unwrap();
        for n in 0..100 {
            tell.send_modify(|card| card.pointer = Some((n * 320, n * 320)));
            source.wait(&receiver, Instant::now(), Instant::now());
        }
        assert!(source.dirty.len() <= MOST_DIRTY + 1, "{}", source.dirty.len());
        source.set_awake(true);
        assert!(!changes(&mut source).is_empty(), "the pointer is elsewhere");
        assert_eq!(changes(&mut source), [], "and the frame before is what was shown");
    }

    #[test]
    fn a_new_size_is_a_new_state() {
        let (tell, told) = watch::channel(TestCard::default());
        let mut source = PatternSource::new(told);
        source.set_awake(true);
        assert_eq!(source.state().resolution, Some(Resolution::new(1280, 720)));
        tell.send_modify(|card| card.size = Some(Resolution::new(641, 481)));
        assert_eq!(next(&mut source), SourceEvent::State);
        assert_eq!(source.state().resolution, Some(Resolution::new(640, 480)));
    }

    #[test]
    fn long_lines_go_on_below() {
        assert_eq!(wrap("Keys: A B C D", 8), ["Keys: A", "  B C D"]);
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "  ef", "  gh", "  ij"]);
        assert_eq!(wrap("", 4), [""]);
        assert_eq!(wrap("short", 5), ["short"]);
        for most in 0..6 {
            let text = "a bc def ghij klmno pqrstu";
            let kept: String = wrap(text, most).concat().split_whitespace().collect();
            assert_eq!(kept, text.replace(' ', ""), "nothing is lost at {most}");
        }
    }

    #[test]
    fn pointer_positions_reach_every_corner() {
        let size = Resolution::new(1280, 720);
        assert_eq!(place((0, 0), size), (0, 0));
        assert_eq!(place((32767, 32767), size), (1279, 719));
        assert_eq!(place((65535, 16384), size), (1279, 360));
    }
}
