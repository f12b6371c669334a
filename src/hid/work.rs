//! What one session is in the middle of: clicks and text taken apart into timed steps, lazily and in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::input::event::{InputEvent, LockKey};
use crate::input::layout::Layout;
use crate::input::usage::KeyUsage;

use super::queue::{EventQueue, Gauge};
use super::report::{OwnerId, ReportState};

/// How long a click is held, so that a slow-polling BIOS sees it.
pub(super) const CLICK_HOLD: Duration = Duration::from_millis(25);
/// Between two reports of typed text.
pub(super) const TEXT_PACE: Duration = Duration::from_millis(8);

/// One part of a click. A wait begins when the reports before it are taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Down(Vec<KeyUsage>),
    Up(Vec<KeyUsage>),
    Wait(Duration),
}

#[derive(Debug)]
struct Text {
    text: String,
    typed: usize,
}

/// One session.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) queue: EventQueue,
    gauge: Arc<Gauge>,
    steps: VecDeque<Step>,
    text: Option<Text>,
    not_before: Option<Instant>,
    /// The session is over; it is forgotten once what it still wanted is done.
    pub(super) is_closing: bool,
}

impl Work {
    pub(super) fn new(gauge: Arc<Gauge>) -> Self {
        Self {
            queue: EventQueue::new(gauge.clone()),
            gauge,
            steps: VecDeque::new(),
            text: None,
            not_before: None,
            is_closing: false,
        }
    }

    /// The end of the wait it is in, if that is still to come.
    pub(super) fn waits_until(&self, now: Instant) -> Option<Instant> {
        self.not_before.filter(|at| *at > now)
    }

    /// Whether the next thing is an event of the queue rather than a step of a click or text.
    pub(super) fn is_between_events(&self) -> bool {
        self.steps.is_empty() && self.text.is_none()
    }

    /// Whether a text is being typed.
    pub(super) fn is_typing(&self) -> bool {
        self.text.is_some()
    }

    pub(super) fn has_work(&self) -> bool {
        !self.is_between_events() || self.queue.len() > 0
    }

    /// The next step; a wait is begun here and not returned.
    pub(super) fn next_step(&mut self, now: Instant) -> Option<Step> {
        match self.steps.pop_front()? {
            Step::Wait(time) => {
                self.not_before = Some(now + time);
                None
            }
            step @ (Step::Down(_) | Step::Up(_)) => Some(step),
        }
    }

    /// Takes a click apart.
    pub(super) fn begin_tap(
        &mut self,
        state: &ReportState,
        owner: OwnerId,
        usage: KeyUsage,
        modifiers: &[KeyUsage],
    ) {
        let missing: Vec<KeyUsage> =
            modifiers.iter().copied().filter(|m| m.is_modifier() && !state.holds_key(owner, *m)).collect();
        self.steps.extend([
            Step::Up(vec![usage]),
            Step::Down(missing.clone()),
            Step::Down(vec![usage]),
            Step::Wait(CLICK_HOLD),
            Step::Up(vec![usage]),
            Step::Up(missing),
        ]);
    }

    /// Takes a lock key's click apart.
    pub(super) fn begin_lock(&mut self, state: &ReportState, owner: OwnerId, lock: LockKey) {
        let usage = match lock {
            LockKey::NumLock => KeyUsage::NUM_LOCK,
            LockKey::CapsLock => KeyUsage::CAPS_LOCK,
            LockKey::ScrollLock => KeyUsage::SCROLL_LOCK,
        };
        self.begin_tap(state, owner, usage, &[]);
        self.steps.push_back(Step::Wait(TEXT_PACE));
    }

    /// Begins a text. Shift held by the session goes up and stays up (reference: session 6.5): each stroke brings
    /// its own.
    pub(super) fn begin_text(&mut self, text: String) {
        self.steps.push_back(Step::Up(vec![KeyUsage::LEFT_SHIFT, KeyUsage::RIGHT_SHIFT]));
        self.text = Some(Text { text, typed: 0 });
    }

    /// Takes the next character of the text apart. `Some(false)` if nothing types it, `None` if no text is left.
    pub(super) fn expand_text(&mut self, layout: &Layout, is_caps_lock: bool) -> Option<bool> {
        let Text { text, typed } = self.text.as_mut()?;
        let Some((stroke, rest)) = layout.next_stroke(&text[*typed..]) else {
            self.end_text();
            return None;
        };
        *typed = text.len() - rest.len();
        let Some(stroke) = stroke else { return Some(false) };
        let mut keys = vec![stroke.usage];
        if stroke.wants_shift_with(is_caps_lock) {
            keys.insert(0, KeyUsage::LEFT_SHIFT);
        }
        self.steps.extend([
            Step::Up(vec![stroke.usage]),
            Step::Down(keys.clone()),
            Step::Wait(TEXT_PACE),
            Step::Up(keys),
            Step::Wait(TEXT_PACE),
        ]);
        Some(true)
    }

    /// A text that was taken from the queue is not typed at all.
    pub(super) fn forget_text(&self, event: &InputEvent) {
        if let InputEvent::Text(text) = event {
            self.gauge.leave_text(text.len());
        }
    }

    fn end_text(&mut self) {
        if let Some(text) = self.text.take() {
            self.gauge.leave_text(text.text.len());
        }
    }

    /// Stops the text at once, running and waiting; what its stroke holds goes up without further waits.
    pub(super) fn stop_text(&mut self) {
        if self.text.is_some() {
            self.end_text();
            self.steps.retain(|step| matches!(step, Step::Up(_)));
            self.not_before = None;
        }
        self.queue.drop_text();
    }

    /// Forgets everything. Returns the number of events thrown away and the last place among them.
    pub(super) fn clear(&mut self) -> (u64, Option<InputEvent>) {
        let in_work = u64::from(!self.is_between_events());
        self.end_text();
        self.steps.clear();
        self.not_before = None;
        let (count, place) = self.queue.clear();
        (count + in_work, place)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.clear();
    }
}
