//! The recovery ladder: what is tried, in which order and how often, when a capture device gives no picture. Pure:
//! the time is an argument.
//!
//! ```text
//!  trouble        what it is                               rungs, from the first
//!  Stalled        a signal, but no frame for 2 s           ask again, restart the stream, open again, hot-plug
//!  Failed         the stream broke or does not start       the same
//!  NoSync         a signal that cannot be locked to, 4 s   open again, hot-plug
//!  OutOfRange     a mode that cannot be taken, 4 s         hot-plug
//!  Gone           the device is not there                  open again
//! ```
//!
//! *Ask again*: the timings are queried; a mode change that no event told ends here. *Restart*: buffers freed,
//! timings and format set anew. *Open again*: the descriptor closed and the device looked for. *Hot-plug*: the EDID is
//! taken away and shown again, so that the computer sets its mode anew; only where the EDID is ours or could be read.
//!
//! A hot-plug needs that no frame came since the device was opened: then the other end may be to blame.
//!
//! After the last rung it goes round again. Between two rungs there is a pause that doubles: for a stall from 2 s to
//! 10 s, with the stream left running, because a device may need longer for its first frame and any frame ends
//! the trouble; after a failure from 100 ms to 2 s; for a device that is gone from 250 ms to 1 s. Opening again and
//! hot-plug disturb the computer's other end, so each of them comes at most every 2 s, doubling to 10 s; meanwhile the
//! rung below it is taken instead. Five seconds of frames, or a device that is there again, set everything back.
//! What needs no rung (asking for the signal each second while there is none, a frame, an event) goes on all the while,
//! so that the end of a cause is noticed within three seconds whatever the pause.

use std::time::{Duration, Instant};

/// After a rung, frames for so long count as success.
const CALM: Duration = Duration::from_secs(5);
/// A signal that is not usable gets this long to become it by itself.
const GRACE: Duration = Duration::from_secs(4);
/// First and longest pause between rungs that disturb.
const HEAVY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));

/// Why there is no picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// A signal, but no frame.
    Stalled,
    /// The stream broke or does not start.
    Failed,
    /// A signal that cannot be locked to.
    NoSync,
    /// A mode that the receiver cannot take.
    OutOfRange,
    /// The device is not there.
    Gone,
}

/// What is done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rung {
    /// Ask for the timings again.
    Requery,
    /// Set timings and format anew and stream again.
    Restart,
    /// Close and open the device.
    Reopen,
    /// Take the EDID away and show it again.
    HotPlug,
}

/// How often each rung was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RungCounts {
    /// Timings asked for again.
    pub requeries: u64,
    /// Streams started again.
    pub restarts: u64,
    /// Devices opened again.
    pub reopens: u64,
    /// Hot-plug pulses.
    pub hot_plugs: u64,
}

/// The state of a device's recovery.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ladder {
    trouble: Option<Trouble>,
    step: usize,
    pause: Duration,
    next_at: Option<Instant>,
    heavy_pause: Duration,
    heavy_at: Option<Instant>,
    last_rung_at: Option<Instant>,
    /// Frames came since the device was opened last, so that the computer's end is not to blame.
    has_worked: bool,
    counts: RungCounts,
}

impl Trouble {
    fn rungs(self) -> &'static [Rung] {
        match self {
            Self::Stalled | Self::Failed => &[Rung::Requery, Rung::Restart, Rung::Reopen, Rung::HotPlug],
            Self::NoSync => &[Rung::Reopen, Rung::HotPlug],
            Self::OutOfRange => &[Rung::HotPlug],
            Self::Gone => &[Rung::Reopen],
        }
    }

    /// First and longest pause after a rung.
    fn pauses(self) -> (Duration, Duration) {
        match self {
            Self::Stalled | Self::NoSync | Self::OutOfRange => {
                (Duration::from_secs(2), Duration::from_secs(10))
            }
            Self::Failed => (Duration::from_millis(100), Duration::from_secs(2)),
            Self::Gone => (Duration::from_millis(250), Duration::from_secs(1)),
        }
    }

    /// For logs.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Stalled => "no frame comes",
            Self::Failed => "the stream failed",
            Self::NoSync => "no lock on the signal",
            Self::OutOfRange => "the mode is out of range",
            Self::Gone => "the device is not there",
        }
    }
}

impl Ladder {
    /// There is trouble at `now`: the rung to take, if one is due. `can_hot_plug`: there is an EDID to do it with.
    pub fn climb(&mut self, trouble: Trouble, can_hot_plug: bool, now: Instant) -> Option<Rung> {
        if self.trouble != Some(trouble) {
            self.trouble = Some(trouble);
            self.step = 0;
            self.pause = trouble.pauses().0;
            let is_patient = matches!(trouble, Trouble::NoSync | Trouble::OutOfRange);
            self.next_at = is_patient.then(|| now + GRACE);
        }
        if self.next_at.is_some_and(|at| now < at) {
            return None;
        }
        let rungs = trouble.rungs();
        let mut rung = rungs[self.step % rungs.len()];
        self.step += 1;
        if rung == Rung::HotPlug && (!can_hot_plug || self.has_worked) {
            // The rung below it, and for a mode that is out of range there is none.
            rung = if rungs.contains(&Rung::Reopen) { Rung::Reopen } else { Rung::Requery };
        }
        if trouble != Trouble::Gone && matches!(rung, Rung::Reopen | Rung::HotPlug) {
            if self.heavy_at.is_some_and(|at| now < at) {
                rung = if rungs.contains(&Rung::Restart) { Rung::Restart } else { Rung::Requery };
            } else {
                self.heavy_pause = (self.heavy_pause * 2).clamp(HEAVY.0, HEAVY.1);
                self.heavy_at = Some(now + self.heavy_pause);
            }
        }
        self.has_worked &= rung != Rung::Reopen;
        let count = match rung {
            Rung::Requery => &mut self.counts.requeries,
            Rung::Restart => &mut self.counts.restarts,
            Rung::Reopen => &mut self.counts.reopens,
            Rung::HotPlug => &mut self.counts.hot_plugs,
        };
        *count += 1;
        // Asking costs nothing and its answer is there at once.
        let pause = if rung == Rung::Requery && rungs[0] == Rung::Requery {
            Duration::ZERO
        } else {
            let longer = (self.pause * 2).min(trouble.pauses().1);
            std::mem::replace(&mut self.pause, longer)
        };
        self.next_at = Some(now + pause);
        self.last_rung_at = Some(now);
        Some(rung)
    }

    /// When the next rung is due, while there is trouble.
    pub fn due(&self) -> Option<Instant> {
        self.trouble.and(self.next_at)
    }

    /// The trouble is over for the moment. If it stays so, the next one begins at the first rung.
    pub fn calm(&mut self, now: Instant) {
        if self.trouble == Some(Trouble::Gone) || self.last_rung_at.is_none_or(|at| now >= at + CALM) {
            *self = Self { counts: self.counts, ..Self::default() };
        }
    }

    /// A frame came.
    pub fn worked(&mut self, now: Instant) {
        self.calm(now);
        self.has_worked = true;
    }

    /// How often each rung was taken since the start.
    pub fn counts(&self) -> RungCounts {
        self.counts
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests own their clocks")]
mod tests {
    use super::*;

    /// Rungs taken in `seconds` of unbroken trouble, with the tenth of a second of each.
    fn climb_for(
        ladder: &mut Ladder,
        trouble: Trouble,
        can_hot_plug: bool,
        from: Instant,
        seconds: u64,
    ) -> Vec<(u64, Rung)> {
        let ticks = 0..seconds * 10;
        ticks
            .filter_map(|tick| {
                let now = from + Duration::from_millis(tick * 100);
                ladder.climb(trouble, can_hot_plug, now).map(|rung| (tick, rung))
            })
            .collect()
    }

    #[test]
    fn a_stall_climbs_every_rung_with_growing_pauses() {
        let taken = climb_for(&mut Ladder::default(), Trouble::Stalled, true, Instant::now(), 60);
        let rungs: Vec<_> = taken.iter().map(|(_, rung)| *rung).collect();
        let wanted =
            [Rung::Requery, Rung::Restart, Rung::Reopen, Rung::HotPlug, Rung::Requery, Rung::Restart];
        assert_eq!(rungs[..6], wanted);
        let times: Vec<_> = taken.iter().map(|(tick, _)| *tick).collect();
        assert_eq!(times[..6], [0, 1, 21, 61, 141, 142], "2, 4, 8 s after what disturbs");
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= 101), "never more than 10 s: {times:?}");
    }

    #[test]
    fn a_failing_stream_is_started_every_two_seconds_and_reopened_rarely() {
        let taken = climb_for(&mut Ladder::default(), Trouble::Failed, false, Instant::now(), 120);
        let gaps: Vec<_> = taken.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert!(gaps.iter().all(|gap| *gap <= 21), "{gaps:?}");
        assert!(gaps[0] <= 1 && gaps[1] == 1, "the stream is started again at once: {gaps:?}");
        let heavy: Vec<_> = taken.iter().filter(|(_, rung)| *rung == Rung::Reopen).map(|(t, _)| *t).collect();
        assert!(heavy.len() > 3 && heavy.windows(2).skip(3).all(|p| p[1] - p[0] >= 100), "{heavy:?}");
        assert!(taken.iter().all(|(_, rung)| *rung != Rung::HotPlug), "there is no EDID to do it with");
    }

    #[test]
    fn an_unusable_signal_gets_time_first_and_nothing_without_an_edid() {
        let start = Instant::now();
        let taken = climb_for(&mut Ladder::default(), Trouble::NoSync, true, start, 30);
        assert_eq!(taken[..2], [(40, Rung::Reopen), (60, Rung::HotPlug)].map(|(t, r)| (t, r)));
        let taken = climb_for(&mut Ladder::default(), Trouble::OutOfRange, false, start, 60);
        assert!(taken.iter().all(|(_, rung)| *rung == Rung::Requery), "{taken:?}");
    }

    #[test]
    fn a_device_that_is_gone_is_looked_for_each_second() {
        let mut ladder = Ladder::default();
        let start = Instant::now();
        let taken = climb_for(&mut ladder, Trouble::Gone, false, start, 20);
        assert!(taken.iter().all(|(_, rung)| *rung == Rung::Reopen));
        assert!(taken.windows(2).all(|pair| pair[1].0 - pair[0].0 <= 10), "{taken:?}");
        ladder.calm(start + Duration::from_secs(20));
        assert_eq!(ladder.due(), None);
        assert_eq!(ladder.counts().reopens, taken.len() as u64);
    }

    #[test]
    fn frames_now_and_then_bring_no_hot_plug() {
        let mut ladder = Ladder::default();
        let start = Instant::now();
        for second in 0..200 {
            let now = start + Duration::from_secs(second);
            if second % 4 == 0 {
                ladder.worked(now);
            } else {
                ladder.climb(Trouble::Stalled, true, now);
            }
        }
        assert_eq!(ladder.counts().hot_plugs, 0);
        assert!(ladder.counts().reopens > 0);
    }

    #[test]
    fn only_lasting_calm_sets_back() {
        let mut ladder = Ladder::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(ladder.climb(Trouble::Stalled, true, at(0)), Some(Rung::Requery));
        assert_eq!(ladder.climb(Trouble::Stalled, true, at(0)), Some(Rung::Restart));
        ladder.calm(at(2));
        assert_eq!(ladder.climb(Trouble::Stalled, true, at(3)), Some(Rung::Reopen), "goes on");
        ladder.calm(at(8));
        assert_eq!(ladder.climb(Trouble::Stalled, true, at(9)), Some(Rung::Requery), "begins again");
        assert_eq!(ladder.counts(), RungCounts { requeries: 2, restarts: 1, reopens: 1, hot_plugs: 0 });
    }
}
