//! Every decision of the writer thread, with time as an argument: which report goes next, who waits for whom, what
//! a busy or lost host means. *Delivered in order or discarded*: nothing old is replayed into a rebooted host.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::input::event::{InputEvent, LedState};
use crate::input::typist::Typist;

use super::backend::{HidDevice, WriteOutcome};
use super::configfs::repair::Repair;
use super::ladder::{Ladder, Rung, Trouble};
use super::lane::{Lane, PATIENCE};
use super::queue::Gauge;
use super::report::{OwnerId, Report, ReportState};
use super::work::{Step, Work};
use super::writer::HidHealth;

/// A move that the device does not take holds what follows it back no longer than this: a boot menu that reads
/// only the keyboard has to get its keys.
const MOVE_PATIENCE: Duration = Duration::from_millis(100);
/// Clicks of a device that takes none hold keys back no longer than this, for the same reason. It is longer than a busy
/// host looks away: what is typed is meant for what was clicked.
const CLICK_PATIENCE: Duration = Duration::from_millis(250);
/// How long a passing remark stays in the health notice.
const REMARK_TIME: Duration = Duration::from_secs(10);

const HOST_GONE: &str = "The computer is not connected by USB, or it is off or restarting: waiting input was \
     discarded and all keys were let go. Check the USB cable if this stays.";
/// The lanes of the keyboard and of both pointers.
const KEYBOARD: usize = 0;
const ABSOLUTE: usize = 1;
const RELATIVE: usize = 2;

/// What the thread is to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Write this report and call [`Engine::wrote`].
    Write(Report),
    /// Close and open the devices and call [`Engine::reopened`].
    Reopen,
    /// Ask for a repair and call [`Engine::asked`].
    Repair(Repair),
    /// Wake the host and call [`Engine::woke`].
    Wake,
}

/// How it stands with the host as a whole.
#[derive(Debug, Clone, Copy)]
enum Host {
    /// Reports flow.
    There,
    /// All-up reports are due; nothing else before one of them is answered.
    Greeting,
    /// The ladder says what is tried, and when.
    Gone,
}

/// The decisions of one writer.
#[derive(Debug)]
pub struct Engine {
    state: ReportState,
    typist: Result<Typist, String>,
    /// What helps when the device fails.
    advice: &'static str,
    sessions: BTreeMap<OwnerId, Work>,
    /// The session that was served last; the next one in turn goes first.
    served: OwnerId,
    lanes: [Lane; 4],
    host: Host,
    ladder: Ladder,
    sleep: wake::Sleep,
    /// The time of the last [`Self::poll_deed`].
    polled_at: Option<Instant>,
    last_accepted: Option<Instant>,
    /// The LEDs as reported since the host came, and what a click just made of them.
    leds: Option<LedState>,
    clicked: Option<(LedState, Instant)>,
    /// The LEDs before Caps Lock was clicked off and on around a character, whatever is reported meanwhile.
    kept_belief: Option<(LedState, Instant)>,
    fault: String,
    remark: Option<(String, Instant)>,
    health: HidHealth,
}

impl Engine {
    /// `is_greeting`: the target may still see keys down that an earlier process pressed, so lift them first.
    pub fn new(typist: Result<Typist, String>, is_greeting: bool) -> Self {
        let mut engine = Self {
            state: ReportState::default(),
            typist,
            advice: "Check the device",
            sessions: BTreeMap::new(),
            served: OwnerId(0),
            lanes: [
                Lane::new(&[HidDevice::Keyboard]),
                Lane::new(&[HidDevice::Absolute]),
                Lane::new(&[HidDevice::Relative]),
                Lane::new(&[HidDevice::Consumer, HidDevice::System]),
            ],
            host: Host::There,
            ladder: Ladder::default(),
            sleep: wake::Sleep::default(),
            polled_at: None,
            last_accepted: None,
            leds: None,
            clicked: None,
            kept_belief: None,
            fault: String::new(),
            remark: None,
            health: HidHealth { is_connected: true, ..HidHealth::default() },
        };
        if is_greeting {
            engine.greet();
        }
        engine
    }

    /// What helps when the device fails, a sentence without its end; and whether the backend can ask for repairs.
    pub fn set_remedies(&mut self, advice: &'static str, can_repair: bool) {
        self.advice = advice;
        self.ladder.set_can_repair(can_repair);
    }

    /// The device noticed that something happened: a write tells what.
    pub(super) fn inquire(&mut self) {
        if matches!(self.host, Host::There) && self.lanes[KEYBOARD].is_empty() {
            self.push_all_up(KEYBOARD);
        }
    }

    /// The device said something and may be free again.
    pub(super) fn nudge(&mut self, now: Instant) {
        for lane in &mut self.lanes {
            lane.nudge(now);
        }
    }

    /// A session begins; its events are counted in by `gauge`.
    pub fn open(&mut self, owner: OwnerId, gauge: Arc<Gauge>) {
        self.sessions.insert(owner, Work::new(gauge));
    }

    /// The session is over: its text stops, a few clicks are still made, then what it holds goes up.
    pub fn close(&mut self, owner: OwnerId) {
        if let Some(work) = self.sessions.get_mut(&owner) {
            work.stop_text();
            work.is_closing = true;
        }
        if matches!(self.host, Host::Gone) {
            self.discard_session(owner);
            self.forget(owner);
        }
    }

    /// All sessions are over; `at_once` lifts what they hold without doing what they still want.
    pub(super) fn close_all(&mut self, at_once: bool) {
        let owners: Vec<OwnerId> = self.sessions.keys().copied().collect();
        for owner in owners {
            self.close(owner);
            if at_once {
                self.forget(owner);
            }
        }
    }

    fn forget(&mut self, owner: OwnerId) {
        if self.sessions.remove(&owner).is_some() {
            self.enqueue_all(owner, |state| state.release_all(owner));
        }
    }

    /// Whether nothing is left that could still be written.
    pub(super) fn is_drained(&self) -> bool {
        matches!(self.host, Host::Gone) || (self.sessions.is_empty() && self.lanes.iter().all(Lane::is_done))
    }

    /// Queues an event of a session that is open.
    pub fn push(&mut self, owner: OwnerId, event: InputEvent, now: Instant) {
        let Some(work) = self.sessions.get_mut(&owner) else { return };
        if event == InputEvent::ReleaseAll {
            work.stop_text();
        }
        if self.stops_text(&event) {
            return self.escape(owner, now);
        }
        let Some(work) = self.sessions.get_mut(&owner) else { return };
        let is_held = match &event {
            InputEvent::Key { usage, .. } => self.state.holds_key(owner, *usage),
            InputEvent::Button { button, .. } => self.state.holds_button(owner, *button),
            InputEvent::Tap { .. }
            | InputEvent::Lock { .. }
            | InputEvent::Text(_)
            | InputEvent::Consumer(_)
            | InputEvent::System(_)
            | InputEvent::PointerAbsolute(_)
            | InputEvent::PointerRelative { .. }
            | InputEvent::Wheel { .. }
            | InputEvent::ReleaseAll => false,
        };
        work.queue.push(event, is_held);
        if matches!(self.host, Host::Gone) {
            self.discard_session(owner);
        }
        self.notice_input(now);
    }

    /// The target set its LEDs.
    pub fn set_leds(&mut self, leds: LedState) {
        self.leds = Some(leds);
        self.clicked = None;
    }

    /// What to do now; `None`: wait until [`Self::deadline`], news or LEDs.
    pub fn poll_deed(&mut self, now: Instant) -> Option<Deed> {
        self.polled_at = Some(now);
        if self.sleep.take_wish() {
            return Some(Deed::Wake);
        }
        if matches!(self.host, Host::Gone) {
            match self.climb(now)? {
                Rung::Retry => self.greet(),
                Rung::Reopen => return Some(Deed::Reopen),
                Rung::Rebind => return Some(Deed::Repair(Repair::Rebind)),
                Rung::Rebuild => return Some(Deed::Repair(Repair::Rebuild)),
            }
        }
        for at in 0..self.lanes.len() {
            if self.lanes[at].busy_for(now) >= PATIENCE {
                self.stall(at, now);
            }
            if self.lanes[at].wants_trial(now) {
                self.push_all_up(at);
                if self.lanes[at].is_empty() {
                    self.lanes[at].reset();
                }
            }
        }
        loop {
            if let Some(report) = self.lanes.iter().find_map(|lane| lane.head(now)) {
                return Some(Deed::Write(report));
            }
            if matches!(self.host, Host::Greeting) || !self.advance(now) {
                return None;
            }
        }
    }

    /// What came of a [`Deed::Write`]; `Err` is a device that failed in use.
    pub fn wrote(&mut self, device: HidDevice, outcome: Result<WriteOutcome, String>, now: Instant) {
        let mut is_refused = false;
        match outcome {
            Ok(WriteOutcome::Written) => {
                if let Some(report) = self.lane_of(device).written() {
                    self.state.told(&report);
                }
                self.last_accepted = Some(now);
                self.health.reports_written += 1;
                // The keyboard speaks for the host: the kernel takes a report or two for devices that nobody reads.
                self.health.is_connected |= !self.lanes[KEYBOARD].is_stalled();
                self.find_host(now);
            }
            Ok(outcome @ (WriteOutcome::Busy | WriteOutcome::Unknown)) => {
                if self.lane_of(device).is_stalled() {
                    self.state.lift_buttons(device);
                    is_refused = device == HidDevice::Absolute;
                }
                self.lane_of(device).busy(now);
                // Who does not read is there; with nobody found yet the trouble is not over.
                if outcome == WriteOutcome::Busy {
                    self.find_host(now);
                }
            }
            Ok(WriteOutcome::NoDevice) => self.miss_device(device),
            Ok(WriteOutcome::HostGone) => self.lose_host(HOST_GONE.to_owned(), Trouble::Away, now),
            Err(error) => self.lose_host(
                format!(
                    "The USB keyboard and mouse cannot be written to ({error}): waiting input was discarded and all \
                     keys were let go. {}; it is tried again by itself.",
                    self.advice
                ),
                Trouble::Failed,
                now,
            ),
        }
        self.watch_absolute(is_refused);
    }

    /// When [`Self::poll_deed`] has something new to say. That may be over already: the time that counts is that of the
    /// last poll, because a wait that ended since then was not looked at.
    pub fn deadline(&self) -> Option<Instant> {
        let remark = self.remark.as_ref().map(|(_, until)| *until);
        if matches!(self.host, Host::Gone) {
            return self.ladder.deadline().into_iter().chain(remark).min();
        }
        let lanes = self.lanes.iter().filter_map(Lane::deadline);
        let sessions = self.sessions.values().filter_map(|w| w.waits_until(self.polled_at?));
        lanes.chain(sessions).chain(remark).min()
    }

    /// Health as of now.
    pub fn health(&mut self, now: Instant) -> HidHealth {
        self.remark.take_if(|(_, until)| *until <= now);
        let mut unread = self.lanes[KEYBOARD + 1..].iter().filter(|lane| lane.is_missed());
        let unread = unread.find(|lane| !self.is_replaced(lane));
        let typing = self.sessions.values().find_map(Work::typing_notice);
        let notice = match (&self.typist, &self.remark) {
            _ if !self.health.is_connected => self.fault.as_str(),
            _ if unread.is_some() => unread.map_or("", recovery::unread_notice),
            _ if typing.is_some() => typing.unwrap_or_default(),
            (_, Some((remark, _))) => remark,
            (Err(unknown), None) => unknown,
            (Ok(_), None) => "",
        };
        HidHealth { notice: notice.to_owned(), recovery: self.ladder.recovery(), ..self.health.clone() }
    }

    fn lane_of(&mut self, device: HidDevice) -> &mut Lane {
        &mut self.lanes[lane_index(device)]
    }

    fn enqueue(&mut self, owner: OwnerId, report: Report) {
        if matches!(self.host, Host::Gone) {
            return;
        }
        let device = report.device();
        if !self.lane_of(device).is_stalled() {
            if report.is_move() && device == HidDevice::Absolute {
                self.forget_distances();
            }
            return self.lane_of(device).push(owner, report);
        }
        self.health.events_discarded += 1;
        self.lane_of(device).miss();
        match device {
            HidDevice::Keyboard => self.state.lift_keys(),
            HidDevice::Absolute | HidDevice::Relative => self.state.lift_buttons(device),
            HidDevice::Consumer | HidDevice::System => {}
        }
    }

    /// Does one thing for one session, in turn. `false` if no session can go on now.
    fn advance(&mut self, now: Instant) -> bool {
        let after = self.sessions.range(OwnerId(self.served.0.saturating_add(1))..);
        let turn: Vec<OwnerId> =
            after.map(|(o, _)| *o).chain(self.sessions.range(..=self.served).map(|(o, _)| *o)).collect();
        for owner in turn {
            let Some(mut work) = self.sessions.remove(&owner) else { continue };
            if self.has_passing_move(owner, &work) {
                self.serve_event(owner, &mut work, now);
                self.sessions.insert(owner, work);
                self.served = owner;
                return true;
            }
            let is_due = work.waits_until(now).is_none();
            let is_free = is_due && !self.is_blocked(owner, &work, now);
            if is_due && !is_free && !self.holds_keys_back(owner, now) {
                let may_pass_clicks = self.may_pass_clicks(owner, now);
                if let Some(event) = work.pop_key(may_pass_clicks) {
                    self.obey(owner, &mut work, event, now);
                    self.sessions.insert(owner, work);
                    self.served = owner;
                    return true;
                }
                // Its keys do not stay down for clicks that nobody reads.
                if may_pass_clicks && work.is_closing && !work.has_keys() {
                    self.enqueue_all(owner, |state| state.release_all(owner));
                    return true;
                }
            }
            if is_free && work.is_closing && !work.has_work() {
                self.enqueue_all(owner, |state| state.release_all(owner));
                return true;
            }
            let can_go = is_free && work.has_work();
            if can_go {
                self.serve(owner, &mut work, now);
            }
            self.sessions.insert(owner, work);
            if can_go {
                self.served = owner;
                return true;
            }
        }
        false
    }

    fn serve(&mut self, owner: OwnerId, work: &mut Work, now: Instant) {
        if !work.is_between_events() {
            match work.next_step(now) {
                Some(Step::Down(keys)) => self.enqueue_all(owner, |state| state.keys_down(owner, &keys)),
                Some(Step::Up(keys)) => self.enqueue_all(owner, |state| state.keys_up(owner, &keys)),
                Some(Step::Wait(_)) => {}
                None if work.waits_until(now).is_some() => {}
                None => self.type_on(work, now),
            }
            return;
        }
        self.serve_event(owner, work, now);
    }

    fn serve_event(&mut self, owner: OwnerId, work: &mut Work, now: Instant) {
        if let Some(event) = work.queue.pop() {
            self.obey(owner, work, event, now);
        }
    }

    fn obey(&mut self, owner: OwnerId, work: &mut Work, event: InputEvent, now: Instant) {
        let is_keyboard_stalled = self.lanes[KEYBOARD].is_stalled();
        match event {
            // Nothing of it may come out when the keyboard is read again in the middle.
            InputEvent::Text(_) | InputEvent::Tap { .. } | InputEvent::Lock { .. } if is_keyboard_stalled => {
                self.health.events_discarded += 1;
                work.forget_text(&event);
            }
            InputEvent::Key { usage, is_down: true } => {
                self.note_lock(usage, now);
                self.enqueue_all(owner, |state| state.keys_down(owner, &[usage]));
            }
            InputEvent::Key { usage, is_down: false } => {
                self.enqueue_all(owner, |state| state.keys_up(owner, &[usage]));
            }
            InputEvent::Tap { usage, modifiers } => {
                self.note_lock(usage, now);
                work.begin_tap(&self.state, owner, usage, &modifiers);
            }
            InputEvent::Lock { lock, is_on } => self.set_lock(owner, work, lock, is_on, now),
            InputEvent::Text(text) => work.begin_text(text, now),
            InputEvent::Consumer(usage) => {
                self.enqueue_all(owner, |state| state.consumer(usage));
            }
            InputEvent::System(usage) => self.enqueue_all(owner, |state| state.system(usage)),
            InputEvent::PointerAbsolute(point) => {
                self.enqueue_all(owner, |state| state.move_to(owner, point))
            }
            InputEvent::PointerRelative { dx, dy } => {
                self.enqueue_all(owner, |state| state.move_by(owner, dx, dy));
            }
            InputEvent::Button { button, is_down } => {
                if is_down {
                    self.enqueue_all(owner, |state| state.return_to(owner));
                }
                self.enqueue_all(owner, |state| state.button(owner, button, is_down));
            }
            InputEvent::Wheel { vertical, horizontal } => {
                self.enqueue_all(owner, |state| state.return_to(owner));
                self.enqueue_all(owner, |state| state.wheel(vertical, horizontal));
            }
            InputEvent::ReleaseAll => self.enqueue_all(owner, |state| state.release_all(owner)),
        }
    }

    fn enqueue_all<R: IntoIterator<Item = Report>>(
        &mut self,
        owner: OwnerId,
        change: impl FnOnce(&mut ReportState) -> R,
    ) {
        for report in change(&mut self.state) {
            self.enqueue(owner, report);
        }
    }
}

fn lane_index(device: HidDevice) -> usize {
    match device {
        HidDevice::Keyboard => KEYBOARD,
        HidDevice::Absolute => ABSOLUTE,
        HidDevice::Relative => RELATIVE,
        HidDevice::Consumer | HidDevice::System => 3,
    }
}

mod locks;
mod pointer;
mod recovery;
#[cfg(test)]
mod tests;
mod typing;
mod wake;
