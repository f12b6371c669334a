//! What one session is in the middle of: clicks and text taken apart into timed steps, lazily and in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::input::event::{InputEvent, LockKey};
use crate::input::layout::{self, Chord};
use crate::input::typist::Typist;
use crate::input::usage::KeyUsage;

use super::queue::{EventQueue, Gauge};
use super::report::{OwnerId, ReportState};

/// How long a click is held, so that a slow-polling BIOS sees it.
pub(super) const CLICK_HOLD: Duration = Duration::from_millis(25);
/// Between two reports of typed text: at most 62 characters a second.
pub(super) const TEXT_PACE: Duration = Duration::from_millis(8);
/// While more events than this wait, a click is held for [`TEXT_PACE`] only: what a bad line held back catches up.
const MANY_WAIT: usize = 4;
/// A text that takes longer than this is told with its progress.
const LONG_TIME: Duration = Duration::from_secs(10);

/// One part of a click. A wait begins when the reports before it are taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Down(Vec<KeyUsage>),
    Up(Vec<KeyUsage>),
    Wait(Duration),
}

/// What became of a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Typed {
    /// Its keys are the next steps.
    Whole,
    /// The same, and Caps Lock goes off before them and on after them.
    AroundCapsLock,
    /// Nothing types it.
    LeftOut,
    /// There was none left.
    End,
    /// There was none left of a long text, of which so many were left out.
    LongEnd { characters: usize, missing: usize },
}

#[derive(Debug)]
struct Text {
    text: String,
    /// Bytes of it that are typed.
    typed: usize,
    /// The same in characters, all of them, and how many nothing typed.
    count: usize,
    characters: usize,
    missing: usize,
    began: Instant,
    /// What is said of a long text; it changes with each quarter.
    notice: Option<String>,
}

impl Text {
    fn new(text: String, now: Instant) -> Self {
        let characters = text.chars().count();
        let time = u32::try_from(characters).map_or(Duration::MAX, |count| TEXT_PACE * 2 * count);
        let notice = (time > LONG_TIME).then(|| {
            let seconds = time.as_secs();
            format!(
                "A text of {characters} characters is being typed, which takes {seconds} s or more. Esc stops it."
            )
        });
        Self { text, typed: 0, count: 0, characters, missing: 0, began: now, notice }
    }

    /// Some more characters are typed.
    fn advance(&mut self, count: usize, now: Instant) {
        let quarter = |count: usize| count * 4 / self.characters.max(1);
        let is_next = quarter(self.count) != quarter(self.count + count);
        self.count += count;
        if is_next && let Some(notice) = &mut self.notice {
            let spent = now.saturating_duration_since(self.began).as_secs_f64();
            let left = spent / self.count as f64 * self.characters.saturating_sub(self.count) as f64;
            *notice = format!(
                "{} of {} characters are typed, about {left:.0} s are left. Esc stops it.",
                self.count, self.characters
            );
        }
    }
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

    /// Whether any of that is of the main keys.
    pub(super) fn has_keys(&self) -> bool {
        !self.is_between_events() || self.queue.has_keys()
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
        let hold = if self.queue.len() > MANY_WAIT { TEXT_PACE } else { CLICK_HOLD };
        let missing: Vec<KeyUsage> =
            modifiers.iter().copied().filter(|m| m.is_modifier() && !state.holds_key(owner, *m)).collect();
        self.steps.extend([
            Step::Up(vec![usage]),
            Step::Down(missing.clone()),
            Step::Down(vec![usage]),
            Step::Wait(hold),
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
    pub(super) fn begin_text(&mut self, text: String, now: Instant) {
        self.steps.push_back(Step::Up(vec![KeyUsage::LEFT_SHIFT, KeyUsage::RIGHT_SHIFT]));
        self.text = Some(Text::new(text, now));
    }

    /// How far a long text is, in words.
    pub(super) fn typing_notice(&self) -> Option<&str> {
        self.text.as_ref()?.notice.as_deref()
    }

    /// A key that need not wait for the moves in front of it, nor for the clicks if it may pass them.
    pub(super) fn pop_key(&mut self, may_pass_clicks: bool) -> Option<InputEvent> {
        if self.is_between_events() { self.queue.pop_key(may_pass_clicks) } else { None }
    }

    /// Takes the next character of the text apart.
    pub(super) fn expand_text(&mut self, typist: &Typist, is_caps_lock: bool, now: Instant) -> Typed {
        let Some(text) = self.text.as_mut() else { return Typed::End };
        let Some((c, rest)) = layout::next_character(&text.text[text.typed..]) else {
            let (characters, missing, is_long) = (text.characters, text.missing, text.notice.is_some());
            self.end_text();
            return if is_long { Typed::LongEnd { characters, missing } } else { Typed::End };
        };
        let after = text.text.len() - rest.len();
        let count = text.text[text.typed..after].chars().count();
        text.typed = after;
        text.advance(count, now);
        let Some(chords) = typist.chords(c, is_caps_lock) else {
            text.missing += 1;
            return Typed::LeftOut;
        };
        let has_caps_lock = chords.iter().any(|chord| chord.keys == [KeyUsage::CAPS_LOCK]);
        for Chord { held, keys } in chords {
            // One key goes down and up together with what is held; more need it around them.
            let is_single = keys.len() == 1;
            if !is_single {
                self.steps.extend([Step::Down(held.clone()), Step::Wait(TEXT_PACE)]);
            }
            for key in keys {
                let mut together = if is_single { held.clone() } else { vec![] };
                together.push(key);
                self.steps.extend([
                    Step::Up(vec![key]),
                    Step::Down(together.clone()),
                    Step::Wait(TEXT_PACE),
                    Step::Up(together),
                    Step::Wait(TEXT_PACE),
                ]);
            }
            if !is_single {
                self.steps.extend([Step::Up(held), Step::Wait(TEXT_PACE)]);
            }
        }
        if has_caps_lock { Typed::AroundCapsLock } else { Typed::Whole }
    }

    /// Bytes of text that are still to be typed, running and waiting.
    pub(super) fn text_left(&self) -> usize {
        self.text.as_ref().map_or(0, |text| text.text.len() - text.typed) + self.queue.text_len()
    }

    /// The same of the longest single text.
    pub(super) fn longest_text_left(&self) -> usize {
        self.text.as_ref().map_or(0, |text| text.text.len() - text.typed).max(self.queue.longest_text())
    }

    /// A text that was taken from the queue is not typed at all.
    pub(super) fn forget_text(&self, event: &InputEvent) {
        if let InputEvent::Text(text) = event {
            self.gauge.cut();
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
        self.count_cut();
        if self.text.is_some() {
            self.end_text();
            self.steps.retain(|step| matches!(step, Step::Up(_)));
            self.not_before = None;
        }
        self.queue.drop_text();
    }

    fn count_cut(&self) {
        if self.text_left() > 0 {
            self.gauge.cut();
        }
    }

    /// Forgets everything. Returns the number of events thrown away and the last place among them.
    pub(super) fn clear(&mut self) -> (u64, Option<InputEvent>) {
        self.count_cut();
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
