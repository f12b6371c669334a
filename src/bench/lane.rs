//! One way of a frame from capture to the sealed message; what is compared are lanes.

use bytes::Bytes;

use super::source::Source;
use crate::video::frame::Codec;

/// What a lane sent for a frame.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The encoded picture.
    pub data: Bytes,
    /// Whether it decodes by itself.
    pub is_keyframe: bool,
}

/// A way from capture to the sealed message.
pub trait Lane {
    /// What it writes.
    fn codec(&self) -> Codec;

    /// Takes the next frame of a clip all the way; this is what is timed. `previous` is the frame before, still in
    /// its capture buffer, for lanes that look at it. `None` if nothing had to be sent.
    ///
    /// # Errors
    /// A sentence; the lane is of no use then.
    fn feed(&mut self, frame: &Source, previous: Option<&Source>) -> Result<Option<Sent>, String>;
}
