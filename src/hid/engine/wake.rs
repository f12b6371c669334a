//! A host that sleeps: the bus is suspended, reports are refused with `EAGAIN`, and nothing is wrong. It is woken by
//! request, and by input where the user asked for that. What was sent to it meanwhile is not kept for it.

use std::time::{Duration, Instant};

use super::{Engine, Host};

/// Reports refused for so long are a host that does not read; a host that is awake polls every 1 to 10 ms.
const DOZE: Duration = Duration::from_millis(500);
/// Input wakes no more often than this: a host needs seconds to come up.
const PAUSE: Duration = Duration::from_secs(3);

/// What is known of waking.
#[derive(Debug, Default)]
pub(super) struct Sleep {
    /// Input wakes.
    wakes_on_input: bool,
    /// The host is to be woken now.
    is_wanted: bool,
    woken_at: Option<Instant>,
}

impl Sleep {
    /// Whether the host is to be woken now; says so once.
    pub(super) fn take_wish(&mut self) -> bool {
        std::mem::take(&mut self.is_wanted)
    }
}

impl Engine {
    /// Whether input wakes a host that sleeps.
    pub fn set_wakes_on_input(&mut self, wakes: bool) {
        self.sleep.wakes_on_input = wakes;
    }

    /// Somebody wants the host awake.
    pub fn wake(&mut self, now: Instant) {
        self.sleep.is_wanted = true;
        self.sleep.woken_at = Some(now);
    }

    /// A session sent something.
    pub(super) fn notice_input(&mut self, now: Instant) {
        let is_recent = |at: Instant, pause| now.saturating_duration_since(at) < pause;
        let is_taken = self.last_accepted.is_some_and(|at| is_recent(at, DOZE));
        let is_woken = self.sleep.woken_at.is_some_and(|at| is_recent(at, PAUSE));
        let is_refused = self.lanes.iter().any(|lane| lane.is_unread() || lane.busy_for(now) >= DOZE);
        if self.sleep.wakes_on_input
            && matches!(self.host, Host::There)
            && is_refused
            && !is_taken
            && !is_woken
        {
            self.wake(now);
        }
    }

    /// What came of a [`super::Deed::Wake`].
    pub fn woke(&mut self, outcome: Result<(), String>, now: Instant) {
        match outcome {
            Ok(()) => tracing::info!("the computer was asked to wake up"),
            Err(error) => {
                let text = format!("The computer cannot be woken ({error}).");
                tracing::warn!("{text}");
                self.remark = Some((text, now + super::REMARK_TIME));
            }
        }
    }
}
