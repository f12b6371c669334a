//! One encoded picture on its way to controllers.

use std::time::Instant;

use bytes::Bytes;

use super::format::Resolution;

/// What a frame is encoded with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codec {
    /// H.264, Annex B, one access unit a frame; SPS and PPS in front of every IDR.
    H264,
}

/// One access unit. Cloning shares the payload.
#[derive(Debug, Clone)]
pub struct EncodedFrame {
    /// The bitstream.
    pub data: Bytes,
    /// What it is encoded with.
    pub codec: Codec,
    /// Whether it decodes without any frame before it.
    pub is_keyframe: bool,
    /// When the picture was captured.
    pub captured_at: Instant,
    /// Counts encoded frames of a display from 0; a gap means that frames were left out for this watcher.
    pub sequence: u64,
    /// Size of the decoded picture.
    pub resolution: Resolution,
    /// Size of the signal that the picture was made of (equal to `resolution` unless scaled or a drawn card).
    pub original_resolution: Resolution,
}
