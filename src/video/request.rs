//! What one watcher wants of a display.

use super::frame::{Codec, CodecSet};

/// A watcher's wish; the pipeline serves all of them with as few encoders as it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoRequest {
    /// What this watcher decodes. With nothing that the display can encode it gets no frames.
    pub decodes: CodecSet,
    /// What the user chose in the app; `None` for "auto".
    pub prefers: Option<Codec>,
    /// Most frames a second, 1..=120.
    pub max_fps: u32,
    /// RustDesk's quality ratio in percent: 50 low, 67 balanced, 150 best, custom 20..=4000
    /// (reference: session 3.7).
    pub quality_percent: u32,
    /// What the line to this watcher carries, in bits a second; `None` while nothing limits it.
    pub bits_per_second: Option<u32>,
}

impl Default for VideoRequest {
    fn default() -> Self {
        Self {
            decodes: CodecSet::of(&[Codec::H264, Codec::Vp9]),
            prefers: None,
            max_fps: 30,
            quality_percent: 67,
            bits_per_second: None,
        }
    }
}
