//! What happens when a device or the whole host stops taking reports, and when it comes back: discard, lift, greet.

use std::time::{Duration, Instant};

use crate::hid::backend::HidDevice;
use crate::hid::lane::{LOST_RETRY, NOBODY, PATIENCE};
use crate::hid::report::OwnerId;
use crate::input::event::InputEvent;

use super::{Engine, Host, KEYBOARD, RELATIVE};

const NOT_READING: &str = "The computer does not take keyboard and mouse input (it may be off, asleep or starting): \
     waiting input was discarded and all keys were let go. It goes on by itself.";

impl Engine {
    /// All-up reports are due on every device; they are the first that a host gets.
    pub(super) fn greet(&mut self, wait: Duration) {
        self.host = Host::Greeting { wait };
        for lane in &mut self.lanes {
            lane.reset();
        }
        self.watch_absolute(false);
        (0..self.lanes.len()).for_each(|at| self.push_all_up(at));
    }

    pub(super) fn push_all_up(&mut self, at: usize) {
        for &device in self.lanes[at].devices {
            if let Some(report) = self.state.all_up(device) {
                self.lanes[at].push(NOBODY, report);
            }
        }
        if at == RELATIVE {
            for report in self.state.travel_again() {
                self.lanes[at].push(NOBODY, report);
            }
        }
    }

    /// One device took nothing for too long. The keyboard speaks for the host: if it is not read, nothing is. If
    /// only another is not read (a boot menu, a text console), what waited for it goes and its buttons go up.
    pub(super) fn stall(&mut self, at: usize, now: Instant) {
        let missed = self.lanes[at].stall(now);
        self.health.events_discarded += missed;
        if self.lanes[at].devices == [HidDevice::Keyboard] {
            tracing::warn!(
                "no report accepted for {} s: input discarded, all keys let go",
                PATIENCE.as_secs()
            );
            self.fault = NOT_READING.to_owned();
            self.health.is_connected = false;
            self.discard_everything();
            self.watch_absolute(false);
            for other in (0..self.lanes.len()).filter(|other| *other != at) {
                self.push_all_up(other);
            }
            return;
        }
        for &device in self.lanes[at].devices {
            self.state.lift_buttons(device);
        }
        let is_keyboard_heard =
            self.last_accepted.is_some_and(|accepted| now.saturating_duration_since(accepted) < PATIENCE);
        if !is_keyboard_heard {
            // Said again as it is: the answer tells whether the host is there at all.
            self.push_all_up(KEYBOARD);
        }
        self.watch_absolute(false);
    }

    /// The host is gone, or its device failed.
    pub(super) fn lose_host(&mut self, fault: String, wants_reopen: bool, now: Instant) {
        let wait = match self.host {
            Host::There => {
                tracing::warn!("{fault}");
                LOST_RETRY.0
            }
            Host::Greeting { wait } | Host::Gone { wait, .. } => (wait * 2).min(LOST_RETRY.1),
        };
        // A descriptor of a gadget that was taken down and built anew never comes back: look for the new node.
        let wants_reopen = wants_reopen || wait == LOST_RETRY.1;
        self.fault = fault;
        self.health.is_connected = false;
        self.leds = None;
        self.clicked = None;
        self.kept_belief = None;
        for at in 0..self.lanes.len() {
            self.health.events_discarded += self.lanes[at].reset();
        }
        self.host = Host::Gone { retry_at: now + wait, wait, wants_reopen };
        self.discard_everything();
    }

    /// Every queue is emptied and everything is up; only the last place is remembered.
    pub(super) fn discard_everything(&mut self) {
        self.state.lift_everything();
        for lane in &mut self.lanes {
            self.health.events_discarded += lane.discard();
        }
        let owners: Vec<OwnerId> = self.sessions.keys().copied().collect();
        for owner in owners {
            self.discard_session(owner);
        }
    }

    pub(super) fn discard_session(&mut self, owner: OwnerId) {
        let Some(work) = self.sessions.get_mut(&owner) else { return };
        let (count, place) = work.clear();
        self.health.events_discarded += count;
        if let Some(InputEvent::PointerAbsolute(point)) = place {
            self.state.remember_position(owner, point);
        }
    }
}
