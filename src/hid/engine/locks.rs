//! Lock keys: what their LEDs show, and what a click that was just made will make them show.

use std::time::{Duration, Instant};

use crate::hid::report::OwnerId;
use crate::hid::work::Work;
use crate::input::event::{LedState, LockKey};
use crate::input::usage::KeyUsage;

use super::Engine;

/// A click on a lock key counts as done until the LED report comes, or this long.
pub(super) const LED_PATIENCE: Duration = Duration::from_secs(1);

impl Engine {
    /// The lock is to be as told: one click if it is known to be otherwise.
    pub(super) fn set_lock(
        &mut self,
        owner: OwnerId,
        work: &mut Work,
        lock: LockKey,
        is_on: bool,
        now: Instant,
    ) {
        if self.believed_leds(now).is_some_and(|leds| leds.is_on(lock) != is_on) {
            work.begin_lock(&self.state, owner, lock);
            self.expect_flip(lock, now);
        }
    }

    /// A session presses a key: if it is a lock key, its LED is about to change.
    pub(super) fn note_lock(&mut self, usage: KeyUsage, now: Instant) {
        let lock = match usage {
            KeyUsage::NUM_LOCK => LockKey::NumLock,
            KeyUsage::CAPS_LOCK => LockKey::CapsLock,
            KeyUsage::SCROLL_LOCK => LockKey::ScrollLock,
            _ => return,
        };
        self.expect_flip(lock, now);
    }

    fn expect_flip(&mut self, lock: LockKey, now: Instant) {
        self.clicked = self.believed_leds(now).map(|shown| (flipped(shown, lock), now + LED_PATIENCE));
    }

    pub(super) fn believed_leds(&self, now: Instant) -> Option<LedState> {
        let fresh = |belief: Option<(LedState, Instant)>| {
            belief.filter(|(_, until)| now < *until).map(|(leds, _)| leds)
        };
        fresh(self.kept_belief).or(fresh(self.clicked)).or(self.leds)
    }
}

fn flipped(leds: LedState, lock: LockKey) -> LedState {
    match lock {
        LockKey::NumLock => LedState { is_num_lock: !leds.is_num_lock, ..leds },
        LockKey::CapsLock => LedState { is_caps_lock: !leds.is_caps_lock, ..leds },
        LockKey::ScrollLock => LedState { is_scroll_lock: !leds.is_scroll_lock, ..leds },
    }
}
