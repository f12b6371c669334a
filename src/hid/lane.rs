//! One device's way out: reports in order, and how the device takes them.
//! A lane that takes nothing for [`PATIENCE`] is stalled: what waited is gone, and it is tried anew with backoff.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::backend::HidDevice;
use super::ladder::RETRY;
use super::report::{OwnerId, Report};

/// No write accepted for this long: delivered in order is no longer possible, so discard.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// First and longest wait before a busy device is tried again; a host polls every 1 to 10 ms.
const BUSY_RETRY: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(10));

#[derive(Debug, Clone, Copy)]
enum State {
    Ready,
    Busy {
        since: Instant,
        retry_at: Instant,
        wait: Duration,
    },
    Stalled {
        retry_at: Instant,
        wait: Duration,
    },
    /// There is no such device; until the host is greeted anew.
    Absent,
}

/// The lane of one device (of one USB function: media and power keys share theirs).
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) devices: &'static [HidDevice],
    pending: VecDeque<(OwnerId, Report)>,
    state: State,
    /// Something a session sent was thrown away since the device was last heard.
    is_missed: bool,
}

/// Reports that no session owns: everything up.
pub(super) const NOBODY: OwnerId = OwnerId(u64::MAX);

impl Lane {
    pub(super) fn new(devices: &'static [HidDevice]) -> Self {
        Self { devices, pending: VecDeque::new(), state: State::Ready, is_missed: false }
    }

    /// The report to write now, if there is one and its time has come.
    pub(super) fn head(&self, now: Instant) -> Option<Report> {
        let due = match self.state {
            State::Ready => true,
            State::Busy { retry_at, .. } | State::Stalled { retry_at, .. } => now >= retry_at,
            State::Absent => false,
        };
        self.pending.front().filter(|_| due).map(|(_, report)| *report)
    }

    /// When [`Self::head`] or a stall is due; `None` if nothing waits.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Ready | State::Absent => None,
            State::Busy { since, retry_at, .. } => {
                (!self.pending.is_empty()).then_some(retry_at.min(since + PATIENCE))
            }
            State::Stalled { retry_at, .. } => Some(retry_at),
        }
    }

    pub(super) fn push(&mut self, owner: OwnerId, report: Report) {
        // Of the same owner's places only the newest matters while the device does not take them.
        let is_place = report.is_move() && report.device() == HidDevice::Absolute;
        match self.pending.back_mut() {
            Some((o, last)) if is_place && *o == owner && last.is_move() => *last = report,
            Some(_) | None => self.pending.push_back((owner, report)),
        }
    }

    /// Throws moves away that mean nothing any more; whether there were any.
    pub(super) fn drop_moves(&mut self) -> bool {
        let before = self.pending.len();
        self.pending.retain(|(_, report)| !report.is_move());
        if self.pending.is_empty() && !self.is_stalled() {
            self.state = State::Ready;
        }
        self.pending.len() != before
    }

    pub(super) fn pending(&self) -> impl Iterator<Item = &(OwnerId, Report)> {
        self.pending.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether nothing waits and the last report was taken.
    pub(super) fn is_free(&self) -> bool {
        self.pending.is_empty() && matches!(self.state, State::Ready)
    }

    /// The head was taken.
    pub(super) fn written(&mut self) -> Option<Report> {
        self.state = State::Ready;
        self.is_missed = false;
        self.pending.pop_front().map(|(_, report)| report)
    }

    /// The head was not taken.
    pub(super) fn busy(&mut self, now: Instant) {
        self.state = match self.state {
            State::Ready => State::Busy { since: now, retry_at: now + BUSY_RETRY.0, wait: BUSY_RETRY.0 },
            State::Busy { since, wait, .. } => {
                let wait = (wait * 2).min(BUSY_RETRY.1);
                State::Busy { since, retry_at: now + wait, wait }
            }
            State::Stalled { wait, .. } => {
                self.pending.clear();
                let wait = (wait * 2).min(RETRY.1);
                State::Stalled { retry_at: now + wait, wait }
            }
            State::Absent => State::Absent,
        };
    }

    /// The device may be free again: the head need not wait for its next turn.
    pub(super) fn nudge(&mut self, now: Instant) {
        if let State::Busy { retry_at, .. } = &mut self.state {
            *retry_at = now;
        }
    }

    /// How long the head has been refused.
    pub(super) fn busy_for(&self, now: Instant) -> Duration {
        match self.state {
            State::Busy { since, .. } => now.saturating_duration_since(since),
            State::Ready | State::Stalled { .. } | State::Absent => Duration::ZERO,
        }
    }

    /// Whether it takes nothing and a session noticed.
    pub(super) fn is_missed(&self) -> bool {
        self.is_stalled() && self.is_missed
    }

    /// A report of a session was thrown away before it came here.
    pub(super) fn miss(&mut self) {
        self.is_missed = true;
    }

    /// Whether nothing waits here that a session left and that could still be written.
    pub(super) fn is_done(&self) -> bool {
        let is_refused = !matches!(self.state, State::Ready);
        self.is_stalled() || self.pending.iter().all(|(owner, _)| is_refused && *owner == NOBODY)
    }

    /// Whether it takes nothing: not read for too long, or not there at all.
    pub(super) fn is_stalled(&self) -> bool {
        self.is_unread() || self.is_absent()
    }

    /// Whether it has not been read for too long.
    pub(super) fn is_unread(&self) -> bool {
        matches!(self.state, State::Stalled { .. })
    }

    /// Whether there is no such device.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self.state, State::Absent)
    }

    /// There is no such device. Returns how many reports of sessions are thrown away.
    pub(super) fn give_up(&mut self) -> u64 {
        self.state = State::Absent;
        let count = self.discard();
        self.is_missed |= count > 0;
        count
    }

    /// Whether a stalled lane is to be tried now; the caller then pushes its all-up.
    pub(super) fn wants_trial(&self, now: Instant) -> bool {
        matches!(self.state, State::Stalled { retry_at, .. } if now >= retry_at) && self.pending.is_empty()
    }

    /// Nothing taken for too long. Returns how many reports are thrown away.
    pub(super) fn stall(&mut self, now: Instant) -> u64 {
        self.state = State::Stalled { retry_at: now + RETRY.0, wait: RETRY.0 };
        let count = self.discard();
        self.is_missed |= count > 0;
        count
    }

    /// A stalled lane that has nothing to be tried with, or a host that came back.
    pub(super) fn reset(&mut self) -> u64 {
        self.state = State::Ready;
        self.discard()
    }

    /// Throws what waits away and keeps the state.
    pub(super) fn discard(&mut self) -> u64 {
        let count = self.pending.iter().filter(|(owner, _)| *owner != NOBODY).count() as u64;
        self.pending.clear();
        count
    }
}
