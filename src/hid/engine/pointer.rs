//! Which pointer carries what, and who waits for whose moves.

use std::time::Instant;

use crate::hid::backend::HidDevice;
use crate::hid::lane::{Lane, NOBODY};
use crate::hid::pointing::PointerMode;
use crate::hid::report::{OwnerId, Report};
use crate::hid::work::Work;
use crate::input::event::InputEvent;

use super::{ABSOLUTE, CLICK_PATIENCE, Engine, KEYBOARD, MOVE_PATIENCE, RELATIVE, lane_index};

impl Engine {
    /// Which pointer devices the target understands.
    pub(in crate::hid) fn set_pointer(&mut self, mode: PointerMode) {
        self.state.set_pointer(mode);
    }

    /// The size of the target's screen, in its own pixels.
    pub(in crate::hid) fn set_screen(&mut self, width: u32, height: u32) {
        self.state.set_screen(width, height);
    }

    /// A target that reads the relative pointer and not the absolute one gets distances from now on, first those to the
    /// last place; places again as soon as it takes one.
    ///
    /// `is_refused`: just now the absolute one was tried in vain. Only then that begins: a host that wakes up takes it.
    pub(super) fn watch_absolute(&mut self, is_refused: bool) {
        let is_stalled = |at: usize| self.lanes[at].is_stalled();
        // The keyboard speaks for the host: one that is asleep reads nothing of anything.
        let is_heard = self.state.is_absolute_deaf() || (is_refused && self.lanes[KEYBOARD].is_free());
        let is_deaf = is_stalled(ABSOLUTE) && !is_stalled(RELATIVE) && !is_stalled(KEYBOARD) && is_heard;
        if self.state.falls_back() && !is_deaf {
            self.forget_distances();
        }
        for report in self.state.set_absolute_deaf(is_deaf) {
            self.lanes[RELATIVE].push(NOBODY, report);
        }
    }

    /// A place is told: what distances before it still wait would lead away from it.
    pub(super) fn forget_distances(&mut self) {
        if self.lanes[RELATIVE].drop_moves() {
            self.state.lose_count();
        }
    }

    /// Whether what this lane's device does not read goes to another.
    pub(super) fn is_replaced(&self, lane: &Lane) -> bool {
        lane.devices == [HidDevice::Absolute] && self.state.falls_back()
    }

    /// The device that a move is told to; `None` for what is no move.
    fn carrier(&self, event: &InputEvent) -> Option<HidDevice> {
        match event {
            InputEvent::PointerAbsolute(_) => Some(self.state.carrier_of_places()),
            InputEvent::PointerRelative { .. } => Some(self.state.carrier_of_distances()),
            InputEvent::Key { .. }
            | InputEvent::Tap { .. }
            | InputEvent::Lock { .. }
            | InputEvent::Text(_)
            | InputEvent::Consumer(_)
            | InputEvent::System(_)
            | InputEvent::Button { .. }
            | InputEvent::Wheel { .. }
            | InputEvent::ReleaseAll => None,
        }
    }

    /// Whether a session has to wait for its own earlier reports. Of places the newest takes the older one's place in
    /// the lane; distances wait in the queue, where they add up. For keys see `Work::pop_key` too.
    pub(super) fn is_blocked(&self, owner: OwnerId, work: &Work, now: Instant) -> bool {
        let next = work.queue.front().filter(|event| work.is_between_events() && !event.is_of_main_keys());
        let Some(event) = next else { return self.holds_keys_back(owner, now) };
        let carrier = self.carrier(event);
        self.lanes.iter().any(|lane| {
            lane.pending().filter(|(o, _)| *o == owner).any(|(_, report)| {
                if !report.is_move() {
                    true
                } else if carrier == Some(report.device()) {
                    report.device() == HidDevice::Relative
                } else {
                    !event.is_of_keyboard() && lane.busy_for(now) < MOVE_PATIENCE
                }
            })
        })
    }

    /// Whether a session's own earlier reports hold its keys back: moves do not, and the clicks of a device that is not
    /// read do not for long, because a boot menu reads the keyboard alone.
    pub(super) fn holds_keys_back(&self, owner: OwnerId, now: Instant) -> bool {
        let is_click = |(o, report): &(OwnerId, Report)| *o == owner && !report.is_move();
        self.lanes.iter().any(|lane| !is_unread(lane, now) && lane.pending().any(is_click))
    }

    /// Whether a session's keys may go in front of its waiting clicks, because one of its reports is not read.
    pub(super) fn may_pass_clicks(&self, owner: OwnerId, now: Instant) -> bool {
        self.lanes.iter().any(|lane| is_unread(lane, now) && lane.pending().any(|(o, _)| *o == owner))
    }

    /// Whether a move comes right behind a text that is being typed: it need not wait for a long one.
    pub(super) fn has_passing_move(&self, owner: OwnerId, work: &Work) -> bool {
        let Some(device) = work.queue.front().and_then(|event| self.carrier(event)) else { return false };
        work.is_typing() && self.lanes[lane_index(device)].pending().all(|(o, _)| *o != owner)
    }
}

/// Whether no host looks at this lane's device, as far as keys are concerned that could go to another.
fn is_unread(lane: &Lane, now: Instant) -> bool {
    lane.devices != [HidDevice::Keyboard] && lane.busy_for(now) >= CLICK_PATIENCE
}
