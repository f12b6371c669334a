//! One session's waiting events: in order, bounded, with moves shrunk to what still matters.
//! A move never passes a key, button or wheel event. Releases and moves are always taken, and bounded by merging.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::input::event::InputEvent;

use super::writer::QueueFull;

/// Events of one session beyond which presses, clicks, wheel and text are refused.
/// A keyboard repeats 30 times a second, and all that a line held back for half a minute comes at once.
pub(super) const MAX_EVENTS: usize = 4096;
/// Bytes of waiting text of one session beyond which text is refused.
pub const MAX_TEXT: usize = 256 * 1024;
/// Clicks that are still made before a release of everything (0.2 s); more than these are dropped.
const LAST_CLICKS: usize = 8;
/// Even moves are refused beyond this: the thread has not run for seconds.
const MAX_MOVES: usize = 16 * 1024;

/// How much of a session waits, known to both ends of the channel without a lock.
#[derive(Debug, Default)]
pub struct Gauge {
    events: AtomicUsize,
    text: AtomicUsize,
    cuts: AtomicUsize,
}

impl Gauge {
    /// Counts an event in, or refuses it.
    ///
    /// # Errors
    /// [`QueueFull`] for what would make the session wait too long.
    pub fn admit(&self, event: &InputEvent) -> Result<(), QueueFull> {
        let waiting = self.events.load(Ordering::Relaxed);
        let text = match event {
            InputEvent::Text(text) => text.len(),
            InputEvent::Key { .. }
            | InputEvent::Tap { .. }
            | InputEvent::Lock { .. }
            | InputEvent::Consumer(_)
            | InputEvent::System(_)
            | InputEvent::PointerAbsolute(_)
            | InputEvent::PointerRelative { .. }
            | InputEvent::Button { .. }
            | InputEvent::Wheel { .. }
            | InputEvent::ReleaseAll => 0,
        };
        let limit = match event {
            InputEvent::PointerAbsolute(_) | InputEvent::PointerRelative { .. } => MAX_MOVES,
            InputEvent::Key { is_down: false, .. }
            | InputEvent::Button { is_down: false, .. }
            | InputEvent::ReleaseAll => usize::MAX,
            InputEvent::Key { .. }
            | InputEvent::Button { .. }
            | InputEvent::Tap { .. }
            | InputEvent::Lock { .. }
            | InputEvent::Text(_)
            | InputEvent::Consumer(_)
            | InputEvent::System(_)
            | InputEvent::Wheel { .. } => MAX_EVENTS,
        };
        if waiting >= limit || self.text.load(Ordering::Relaxed) + text > MAX_TEXT {
            return Err(QueueFull);
        }
        self.events.fetch_add(1, Ordering::Relaxed);
        self.text.fetch_add(text, Ordering::Relaxed);
        Ok(())
    }

    fn leave_event(&self) {
        self.events.fetch_sub(1, Ordering::Relaxed);
    }

    /// Text that was taken is not typed to its end.
    pub(super) fn cut(&self) {
        self.cuts.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes of text that wait or are being typed, and how often text was cut.
    pub(super) fn text(&self) -> (usize, usize) {
        // Cuts are counted before their bytes leave.
        let waiting = self.text.load(Ordering::Acquire);
        (waiting, self.cuts.load(Ordering::Relaxed))
    }

    /// Text of this many bytes is typed or dropped.
    pub(super) fn leave_text(&self, bytes: usize) {
        self.text.fetch_sub(bytes, Ordering::Release);
    }
}

/// The queue.
#[derive(Debug)]
pub(super) struct EventQueue {
    events: VecDeque<InputEvent>,
    gauge: Arc<Gauge>,
}

impl EventQueue {
    pub(super) fn new(gauge: Arc<Gauge>) -> Self {
        Self { events: VecDeque::new(), gauge }
    }

    pub(super) fn front(&self) -> Option<&InputEvent> {
        self.events.front()
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// Takes an event that [`Gauge::admit`] let in. `is_held` tells whether what a release names is down now.
    pub(super) fn push(&mut self, event: InputEvent, is_held: bool) {
        match &event {
            InputEvent::PointerAbsolute(_) => {
                // A later place makes every move just before it meaningless.
                while self.events.back().is_some_and(is_move) {
                    self.events.pop_back();
                    self.gauge.leave_event();
                }
            }
            InputEvent::PointerRelative { dx, dy } => {
                if let Some(InputEvent::PointerRelative { dx: x, dy: y }) = self.events.back_mut() {
                    (*x, *y) = (x.saturating_add(*dx), y.saturating_add(*dy));
                    return self.gauge.leave_event();
                }
            }
            InputEvent::Wheel { vertical, horizontal } => {
                if let Some(InputEvent::Wheel { vertical: v, horizontal: h }) = self.events.back_mut() {
                    (*v, *h) = (v.saturating_add(*vertical), h.saturating_add(*horizontal));
                    return self.gauge.leave_event();
                }
            }
            InputEvent::Key { is_down: false, .. } | InputEvent::Button { is_down: false, .. } => {
                let will_be_down =
                    self.events.iter().rev().find_map(|earlier| is_down_after(earlier, &event));
                if !will_be_down.unwrap_or(is_held) {
                    return self.gauge.leave_event();
                }
            }
            InputEvent::ReleaseAll => {
                self.drop_text();
                let has_new_press = self.events.iter().rev().find_map(|earlier| match earlier {
                    InputEvent::ReleaseAll => Some(false),
                    InputEvent::Key { is_down: true, .. } | InputEvent::Button { is_down: true, .. } => {
                        Some(true)
                    }
                    InputEvent::Key { .. }
                    | InputEvent::Button { .. }
                    | InputEvent::Tap { .. }
                    | InputEvent::Lock { .. }
                    | InputEvent::Text(_)
                    | InputEvent::Consumer(_)
                    | InputEvent::System(_)
                    | InputEvent::PointerAbsolute(_)
                    | InputEvent::PointerRelative { .. }
                    | InputEvent::Wheel { .. } => None,
                });
                if has_new_press == Some(false) {
                    return self.gauge.leave_event();
                }
            }
            InputEvent::Key { .. }
            | InputEvent::Button { .. }
            | InputEvent::Tap { .. }
            | InputEvent::Lock { .. }
            | InputEvent::Text(_)
            | InputEvent::Consumer(_)
            | InputEvent::System(_) => {}
        }
        self.events.push_back(event);
    }

    /// An event that [`Gauge::admit`] let in and that is not queued after all.
    pub(super) fn swallow(&self) {
        self.gauge.leave_event();
    }

    /// Bytes of waiting text.
    pub(super) fn text_len(&self) -> usize {
        self.texts().sum()
    }

    /// The next event. The bytes of a [`InputEvent::Text`] stay counted until [`Gauge::leave_text`].
    pub(super) fn pop(&mut self) -> Option<InputEvent> {
        let event = self.events.pop_front()?;
        self.gauge.leave_event();
        Some(event)
    }

    /// The next event of the keyboard, if only moves are in front of it, or what is told to another device than the main
    /// keys at all.
    pub(super) fn pop_key(&mut self, may_pass_clicks: bool) -> Option<InputEvent> {
        let is_passed = |event: &InputEvent| {
            let is_of_others = !event.is_of_main_keys() && *event != InputEvent::ReleaseAll;
            is_move(event) || (may_pass_clicks && is_of_others)
        };
        let at = self.events.iter().position(|event| !is_passed(event)).filter(|at| *at > 0)?;
        self.events.get(at).filter(|event| event.is_of_keyboard())?;
        let event = self.events.remove(at)?;
        self.gauge.leave_event();
        Some(event)
    }

    /// Whether anything of the main keys waits.
    pub(super) fn has_keys(&self) -> bool {
        self.events.iter().any(InputEvent::is_of_main_keys)
    }

    /// Bytes of the longest waiting text.
    pub(super) fn longest_text(&self) -> usize {
        self.texts().max().unwrap_or(0)
    }

    fn texts(&self) -> impl Iterator<Item = usize> {
        self.events.iter().map(|event| if let InputEvent::Text(text) = event { text.len() } else { 0 })
    }

    /// Throws everything away and tells how much that was, and the last place among it.
    pub(super) fn clear(&mut self) -> (u64, Option<InputEvent>) {
        let count = self.events.len() as u64;
        let place = self.events.iter().rev().find(|e| matches!(e, InputEvent::PointerAbsolute(_))).cloned();
        while let Some(event) = self.pop() {
            if let InputEvent::Text(text) = event {
                self.gauge.leave_text(text.len());
            }
        }
        (count, place)
    }

    /// Waiting text goes; a few clicks are still made, and presses and releases stay in order.
    pub(super) fn drop_text(&mut self) {
        let clicks = self.events.iter().filter(|event| is_click(event)).count();
        let gauge = &self.gauge;
        self.events.retain(|event| {
            let goes = matches!(event, InputEvent::Text(_)) || (clicks > LAST_CLICKS && is_click(event));
            if goes {
                gauge.leave_event();
            }
            if let InputEvent::Text(text) = event {
                gauge.leave_text(text.len());
            }
            !goes
        });
    }
}

/// A whole click in itself, which takes time.
fn is_click(event: &InputEvent) -> bool {
    matches!(
        event,
        InputEvent::Tap { .. } | InputEvent::Lock { .. } | InputEvent::Consumer(_) | InputEvent::System(_)
    )
}

fn is_move(event: &InputEvent) -> bool {
    matches!(event, InputEvent::PointerAbsolute(_) | InputEvent::PointerRelative { .. })
}

/// Whether the key or button that `release` names is down after `earlier`; `None` if `earlier` says nothing.
fn is_down_after(earlier: &InputEvent, release: &InputEvent) -> Option<bool> {
    match (earlier, release) {
        (InputEvent::ReleaseAll, _) => Some(false),
        (InputEvent::Key { usage, is_down }, InputEvent::Key { usage: named, .. }) if usage == named => {
            Some(*is_down)
        }
        (InputEvent::Button { button, is_down }, InputEvent::Button { button: named, .. })
            if button == named =>
        {
            Some(*is_down)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::input::event::{AbsolutePoint, PointerButton};
    use crate::input::usage::KeyUsage;

    use super::*;

    fn key(usage: KeyUsage, is_down: bool) -> InputEvent {
        InputEvent::Key { usage, is_down }
    }

    fn place(x: u16) -> InputEvent {
        InputEvent::PointerAbsolute(AbsolutePoint { x, y: 0 })
    }

    fn queue(events: impl IntoIterator<Item = InputEvent>) -> Vec<InputEvent> {
        let gauge = Arc::new(Gauge::default());
        let mut q = EventQueue::new(gauge.clone());
        for e in events {
            gauge.admit(&e).unwrap();
            q.push(e, false);
        }
        let out = std::iter::from_fn(|| q.pop()).collect();
        assert_eq!(gauge.events.load(Ordering::Relaxed), 0);
        out
    }

    #[test]
    fn moves_shrink_but_never_across_a_press() {
        let click = InputEvent::Button { button: PointerButton::Left, is_down: true };
        let by = |dx| InputEvent::PointerRelative { dx, dy: 1 };
        assert_eq!(
            queue([place(1), place(2), click.clone(), place(3), by(5), by(-2), place(4), by(1), by(1)]),
            [place(2), click, place(4), InputEvent::PointerRelative { dx: 2, dy: 2 }]
        );
    }

    #[test]
    fn releases_are_always_taken_once_and_bounded() {
        let gauge = Arc::new(Gauge::default());
        let mut q = EventQueue::new(gauge.clone());
        let mut put = |e: InputEvent| gauge.admit(&e).map(|()| q.push(e, false));
        for n in 0..MAX_EVENTS {
            assert!(put(key(KeyUsage(4 + (n % 100) as u8), true)).is_ok());
        }
        assert_eq!(put(key(KeyUsage::A, true)), Err(QueueFull));
        assert_eq!(put(InputEvent::Text("x".into())), Err(QueueFull));
        for _ in 0..10_000 {
            assert!(put(key(KeyUsage::A, false)).is_ok());
            assert!(put(place(7)).is_ok());
            assert!(put(InputEvent::PointerRelative { dx: 1, dy: 1 }).is_ok());
            assert!(put(InputEvent::ReleaseAll).is_ok());
        }
        assert!(q.len() < MAX_EVENTS + 10, "{}", q.len());
    }

    #[test]
    fn release_all_drops_text_and_many_clicks_but_keeps_quick_presses_in_order() {
        let a = |down| key(KeyUsage::A, down);
        let tap = || InputEvent::Tap { usage: KeyUsage::B, modifiers: vec![] };
        let text = || InputEvent::Text("secret".into());
        assert_eq!(
            queue([a(true), text(), tap(), a(false), InputEvent::ReleaseAll, a(false)]),
            [a(true), tap(), a(false), InputEvent::ReleaseAll]
        );
        let many = std::iter::repeat_with(tap).take(9);
        assert_eq!(queue([a(true)].into_iter().chain(many).chain([InputEvent::ReleaseAll])).len(), 2);
    }

    #[test]
    fn text_is_bounded_by_bytes() {
        let gauge = Gauge::default();
        assert!(gauge.admit(&InputEvent::Text("x".repeat(MAX_TEXT))).is_ok());
        assert_eq!(gauge.admit(&InputEvent::Text("x".into())), Err(QueueFull));
        gauge.leave_text(MAX_TEXT);
        assert!(gauge.admit(&InputEvent::Text("x".into())).is_ok());
    }
}
