//! The recovery ladder of the hands: what is tried, in which order and how often, when a host takes no reports. Pure:
//! the time is an argument. It is climbed by the results of writes and opens alone; a controller's state file is never
//! asked.
//!
//! ```text
//!            a report is taken, or refused with EAGAIN: a host is there (asleep, in a boot menu), nothing to repair
//!         ┌──────────────────────┬───────────────────────────┬──────────────────────────┐
//!         v                      │                           │                          │
//!   ( well ) ── ESHUTDOWN ──> [ retry ] ─── 0.15 s ────> [ reopen ] ── 30 s away ──> [ rebind ] ── 1 min ──┐
//!         │                      50 ms, doubling to 1 s      ^   each 1 s               ^                  v
//!         └── another error, or no node to open ─────────────┘ ── 0.5 s failed ─────────┘ ── 10 s ─> [ rebuild ]
//!                                                                                       pause doubles to 15 min,
//!                                                                                       from 1 min or 10 s
//! ```
//!
//! *Retry*: everything up is written, and nothing old. *Reopen*: the nodes are looked for and opened, then as retry.
//! *Rebind*, *rebuild*: root is asked to plug the gadget anew or to build it anew; if nobody hears, after 15 min. Retry and
//! reopen go on beside them at least once a second, so that the end of a cause is noticed within that time whatever
//! the pause. A host that is away (`ESHUTDOWN`: off, or unplugged) gets 30 s before anything is repaired, because a
//! keyboard that comes and goes while a BIOS looks for one may be overlooked; a node that fails is ours to repair.

use std::time::{Duration, Instant};

use super::configfs::repair::Repair;

/// First and longest wait between two writes or opens.
pub(super) const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// From this wait on the nodes are opened anew before they are written to.
const REOPEN_FROM: Duration = Duration::from_millis(200);
/// How long a host may be away before the gadget is repaired, and the first pause after that.
const AWAY: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(60));
/// The same for a node that fails. A slow board needs seconds to start the program that repairs.
const FAILED: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// Longest pause between two repairs.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// Why no report is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// There is a gadget, and no host at its port.
    Away,
    /// The node does not work or cannot be opened.
    Failed,
}

/// What is done about it, the mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// Everything up is written, to learn whether the host is there.
    Retry,
    /// The nodes are closed, looked for and opened.
    Reopen,
    /// Root is asked to bind the gadget again.
    Rebind,
    /// Root is asked to build the gadget again.
    Rebuild,
}

impl Rung {
    /// The word in logs and `status`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Reopen => "reopen",
            Self::Rebind => Repair::Rebind.word(),
            Self::Rebuild => Repair::Rebuild.word(),
        }
    }
}

/// What recovery did so far, for `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovery {
    /// The highest rung that was tried for the present trouble; `None` while reports are taken.
    pub rung: Option<Rung>,
    /// How often the host or the node was lost since start.
    pub losses: u64,
    /// How often root was asked to bind the gadget again.
    pub rebinds: u64,
    /// How often root was asked to build it again.
    pub rebuilds: u64,
}

/// A trouble that is not over.
#[derive(Debug, Clone, Copy)]
struct Fall {
    trouble: Trouble,
    since: Instant,
    /// The next write or open, and the wait that led to it.
    next_at: Instant,
    wait: Duration,
    wants_reopen: bool,
    has_reopened: bool,
    /// The next repair, and how many there were.
    repair_at: Instant,
    repairs: u32,
    /// The last repair is under way as long: a node that fails meanwhile is its doing.
    rests_until: Instant,
}

/// The ladder of one writer.
#[derive(Debug, Default)]
pub(super) struct Ladder {
    can_repair: bool,
    fall: Option<Fall>,
    recovery: Recovery,
}

impl Ladder {
    /// Whether anybody can be asked for a repair.
    pub(super) fn set_can_repair(&mut self, can_repair: bool) {
        self.can_repair = can_repair;
    }

    /// A write or an open failed. `true` if all was well before.
    pub(super) fn fell(&mut self, trouble: Trouble, now: Instant) -> bool {
        let Some(fall) = &mut self.fall else {
            self.recovery.losses += 1;
            self.recovery.rung = Some(Rung::Retry);
            self.fall = Some(Fall {
                trouble,
                since: now,
                next_at: now + RETRY.0,
                wait: RETRY.0,
                wants_reopen: trouble == Trouble::Failed,
                has_reopened: false,
                repair_at: now + grace(trouble).0,
                repairs: 0,
                rests_until: now,
            });
            return true;
        };
        fall.wait = (fall.wait * 2).min(RETRY.1);
        fall.next_at = now + fall.wait;
        // A descriptor of a gadget that was taken down and built anew never comes back: look for the new node.
        fall.wants_reopen = trouble == Trouble::Failed || fall.wait >= REOPEN_FROM;
        if fall.trouble != trouble {
            fall.trouble = trouble;
            fall.repair_at = match trouble {
                // Repaired as far as we can see: the host gets its time to come.
                Trouble::Away => fall.repair_at.max(now + AWAY.0),
                Trouble::Failed => fall.repair_at.min((now + FAILED.0).max(fall.rests_until)),
            };
        }
        false
    }

    /// The repair that was climbed to could not be asked for: it does not count, and is tried again late.
    pub(super) fn unheard(&mut self, repair: Repair, now: Instant) {
        if let Some(fall) = &mut self.fall {
            fall.repairs = fall.repairs.saturating_sub(1);
            fall.repair_at = now + LONGEST;
            self.recovery.rung = Some(Rung::Reopen);
        }
        let count = match repair {
            Repair::Rebind => &mut self.recovery.rebinds,
            Repair::Rebuild => &mut self.recovery.rebuilds,
        };
        *count = count.saturating_sub(1);
    }

    /// The nodes were opened: they are written to at once.
    pub(super) fn reopened(&mut self, now: Instant) {
        if let Some(fall) = &mut self.fall {
            fall.next_at = now;
            fall.wants_reopen = false;
        }
    }

    /// A host is there. Gives how long it was not, and the highest rung that was tried.
    pub(super) fn rose(&mut self, now: Instant) -> Option<(Duration, Rung)> {
        let fall = self.fall.take()?;
        let rung = self.recovery.rung.take()?;
        Some((now.saturating_duration_since(fall.since), rung))
    }

    /// What was done so far.
    pub(super) fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// When [`Self::climb`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.fall
            .map(|fall| if self.may_repair(&fall) { fall.next_at.min(fall.repair_at) } else { fall.next_at })
    }

    fn may_repair(&self, fall: &Fall) -> bool {
        self.can_repair && fall.has_reopened
    }

    /// The rung whose time has come, with whether it is the highest so far.
    pub(super) fn climb(&mut self, now: Instant) -> Option<(Rung, bool)> {
        let mut fall = self.fall?;
        let rung = if self.may_repair(&fall) && now >= fall.repair_at {
            let pause = |first: Duration| (first * 2u32.saturating_pow(fall.repairs.min(16))).min(LONGEST);
            fall.repair_at = now + pause(grace(fall.trouble).1);
            fall.rests_until = now + pause(FAILED.1);
            fall.repairs += 1;
            // What comes of it is a new node.
            (fall.wait, fall.next_at, fall.wants_reopen) = (RETRY.0, now + RETRY.0, true);
            if fall.repairs == 1 {
                self.recovery.rebinds += 1;
                Rung::Rebind
            } else {
                self.recovery.rebuilds += 1;
                Rung::Rebuild
            }
        } else if now >= fall.next_at {
            if fall.wants_reopen {
                fall.has_reopened = true;
                Rung::Reopen
            } else {
                Rung::Retry
            }
        } else {
            return None;
        };
        self.fall = Some(fall);
        let is_new = self.recovery.rung < Some(rung);
        self.recovery.rung = self.recovery.rung.max(Some(rung));
        Some((rung, is_new))
    }
}

/// How long a trouble may last before a repair, and the first pause after one.
fn grace(trouble: Trouble) -> (Duration, Duration) {
    match trouble {
        Trouble::Away => AWAY,
        Trouble::Failed => FAILED,
    }
}

#[cfg(test)]
mod tests;
