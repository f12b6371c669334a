//! What one session does, told to the house above each second.

use std::time::{Duration, Instant};

use crate::peer::tally::{Dropped, Tally};
use crate::video::frame::CodecSet;

/// One controller's picture and line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionStats {
    /// Codecs of the frames sent in the last second; none while the picture is still.
    pub codecs: CodecSet,
    /// Frames sent in the last second.
    pub frames_per_second: u32,
    /// Bytes sent in the last second, as bits.
    pub sent_bits_per_second: u64,
    /// What the line carries, in bits a second; `None` while it limits nothing.
    pub line_bits_per_second: Option<u32>,
    /// The newest round trip, waiting on the line included.
    pub round_trip: Option<Duration>,
    /// Frames sent since login.
    pub frames: u64,
    /// Of those, key frames.
    pub keyframes: u64,
    /// Bytes sent since the connection began.
    pub bytes: u64,
    /// Frames left out since login, by reason.
    pub dropped: Dropped,
}

/// Makes rates of counts.
#[derive(Debug)]
pub(super) struct Meter {
    at: Instant,
    before: Tally,
}

impl Meter {
    pub(super) fn new(now: Instant) -> Self {
        Self { at: now, before: Tally::default() }
    }

    pub(super) fn read(&mut self, tally: Tally, now: Instant) -> SessionStats {
        let ms = now.saturating_duration_since(self.at).as_millis().max(1) as u64;
        let a_second = |count: u64| (count * 1000 + ms / 2) / ms;
        let stats = SessionStats {
            codecs: tally.codecs,
            frames_per_second: a_second(tally.frames - self.before.frames) as u32,
            sent_bits_per_second: a_second((tally.bytes - self.before.bytes) * 8),
            line_bits_per_second: tally.bits_per_second,
            round_trip: tally.round_trip,
            frames: tally.frames,
            keyframes: tally.keyframes,
            bytes: tally.bytes,
            dropped: tally.dropped,
        };
        (self.at, self.before) = (now, tally);
        stats
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a base for simulated time")]
mod tests {
    use super::*;

    #[test]
    fn counts_become_rates() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        let tally = Tally { frames: 30, bytes: 125_000, ..Tally::default() };
        let stats = meter.read(tally, start + Duration::from_secs(1));
        assert_eq!((stats.frames_per_second, stats.sent_bits_per_second), (30, 1_000_000));
        let tally = Tally { frames: 45, bytes: 125_000, ..tally };
        let stats = meter.read(tally, start + Duration::from_millis(1500));
        assert_eq!((stats.frames_per_second, stats.sent_bits_per_second, stats.frames), (30, 0, 45));
    }
}
