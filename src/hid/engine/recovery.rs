//! What happens when a device or the whole host stops taking reports, and when it comes back: discard, lift, greet.
//! What is tried meanwhile, and when, is the ladder's to say.

use std::time::{Duration, Instant};

use crate::hid::backend::HidDevice;
use crate::hid::configfs::repair::Repair;
use crate::hid::ladder::{Rung, Trouble};
use crate::hid::lane::{Lane, NOBODY, PATIENCE};
use crate::hid::report::OwnerId;
use crate::input::event::InputEvent;

use super::{Engine, Host, KEYBOARD, RELATIVE};

/// What a report that was taken so long ago told may have changed.
const OLD_NEWS: Duration = Duration::from_secs(10);

const NOT_READING: &str = "The computer does not take keyboard and mouse input (it may be off, asleep or starting): \
     waiting input was discarded and all keys were let go. It goes on by itself.";

impl Engine {
    /// All-up reports are due on every device; they are the first that a host gets. The last place is among them, because a
    /// place is state and no event. It is not repeated: whether the host's driver listens yet cannot be known (Linux throws
    /// away what waits in a device that nobody had open), and each click says its place itself.
    pub(super) fn greet(&mut self) {
        self.host = Host::Greeting;
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

    /// Somebody comes who wants to know how it stands: if the last report was taken long ago, a write asks.
    pub fn refresh(&mut self, now: Instant) {
        if self.last_accepted.is_some_and(|at| now.saturating_duration_since(at) >= OLD_NEWS) {
            self.inquire();
        }
    }

    /// There is no such device now: what waited for it goes, and the health says so once a session asks for it.
    pub(super) fn miss_device(&mut self, device: HidDevice) {
        self.health.events_discarded += self.lane_of(device).give_up();
        self.state.lift_buttons(device);
    }

    /// A host is there: a report was taken, or there is somebody who does not read just now.
    pub(super) fn find_host(&mut self, now: Instant) {
        self.host = Host::There;
        if let Some((away, rung)) = self.ladder.rose(now) {
            tracing::info!(
                "the host is there again after {:.1} s; tried: {}",
                away.as_secs_f32(),
                rung.word()
            );
        }
    }

    /// What is to be tried now.
    pub(super) fn climb(&mut self, now: Instant) -> Option<Rung> {
        let (rung, is_new) = self.ladder.climb(now)?;
        if is_new || rung > Rung::Reopen {
            tracing::warn!(reason = self.fault, "recovery: {}", rung.word());
        } else {
            tracing::debug!(reason = self.fault, "recovery: {}", rung.word());
        }
        Some(rung)
    }

    /// What came of a [`super::Deed::Reopen`].
    pub fn reopened(&mut self, outcome: Result<(), String>, now: Instant) {
        match outcome {
            Ok(()) => self.ladder.reopened(now),
            Err(error) => {
                self.fault = format!(
                    "The USB keyboard and mouse cannot be opened ({error}). {}; it is tried again by itself.",
                    self.advice
                );
                self.health.is_connected = false;
                self.ladder.fell(Trouble::Failed, now);
            }
        }
    }

    /// What came of a [`super::Deed::Repair`].
    pub fn asked(&mut self, repair: Repair, outcome: Result<(), String>, now: Instant) {
        if let Err(error) = outcome {
            tracing::warn!("{error}");
            self.ladder.unheard(repair, now);
        }
    }

    /// The host is gone, or its device failed.
    pub(super) fn lose_host(&mut self, fault: String, trouble: Trouble, now: Instant) {
        if self.ladder.fell(trouble, now) {
            tracing::warn!("{fault}");
        }
        self.fault = fault;
        self.health.is_connected = false;
        self.leds = None;
        self.clicked = None;
        self.kept_belief = None;
        for at in 0..self.lanes.len() {
            self.health.events_discarded += self.lanes[at].reset();
        }
        self.host = Host::Gone;
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

pub(super) fn unread_notice(lane: &Lane) -> &'static str {
    match (lane.devices, lane.is_absent()) {
        ([HidDevice::Absolute], true) => {
            "The USB gadget has no absolute pointer (gadget.functions): use the app's relative mouse mode."
        }
        ([HidDevice::Relative], true) => {
            "The USB gadget has no relative mouse (gadget.functions): leave the app's relative mouse mode."
        }
        (_, true) => "The USB gadget has no media and power keys (gadget.functions).",
        (devices, false) if devices.contains(&HidDevice::Consumer) => {
            "The computer does not read media and power keys (usual in a boot menu or on a text console)."
        }
        (_, false) => {
            "The computer does not read the mouse (usual in a boot menu or on a text console). Use the keyboard there."
        }
    }
}
