//! What one session sent and what it left out, for `status`.

use std::time::Duration;

use crate::video::frame::{CodecSet, EncodedFrame};

use super::video::Reason;

/// Counts since login, and what is true now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Codecs of the frames sent since the tally before.
    pub codecs: CodecSet,
    /// Frames sent.
    pub frames: u64,
    /// Of those, key frames.
    pub keyframes: u64,
    /// Bytes of everything sent, before sealing.
    pub bytes: u64,
    /// Frames left out.
    pub dropped: Dropped,
    /// What the line carries, in bits a second; `None` while it limits nothing.
    pub bits_per_second: Option<u32>,
    /// The newest round trip, waiting on the line included.
    pub round_trip: Option<Duration>,
}

/// Frames that were encoded and did not go to this controller, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// A key frame had to come first: at the start, or after a frame was missing.
    pub awaiting_keyframe: u64,
    /// The controller had not acknowledged enough of those before.
    pub unacknowledged: u64,
    /// They had a size that is no longer announced.
    pub old_size: u64,
    /// The controller cannot decode them (any more).
    pub undecodable: u64,
    /// Too much waited to go out.
    pub line_full: u64,
}

impl Dropped {
    /// All of them.
    pub fn all(&self) -> u64 {
        self.awaiting_keyframe + self.unacknowledged + self.old_size + self.undecodable + self.line_full
    }

    pub(super) fn count(&mut self, reason: Reason) {
        let counter = match reason {
            Reason::NotWatched => return,
            Reason::AwaitingKeyframe => &mut self.awaiting_keyframe,
            Reason::Unacknowledged => &mut self.unacknowledged,
            Reason::OldSize => &mut self.old_size,
            Reason::Undecodable => &mut self.undecodable,
        };
        *counter += 1;
    }
}

impl Tally {
    pub(super) fn sent(&mut self, frame: &EncodedFrame) {
        self.codecs.insert(frame.codec);
        self.frames += 1;
        self.keyframes += u64::from(frame.is_keyframe);
    }
}
