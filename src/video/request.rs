//! What one watcher wants of a display.

use super::frame::Codec;

/// A watcher's wish; the pipeline serves the most demanding one that every watcher's line can take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VideoRequest {
    /// The codec that this watcher decodes.
    pub codec: Codec,
    /// Most frames a second, 1..=120.
    pub max_fps: u32,
    /// RustDesk's quality ratio in percent: 50 low, 67 balanced, 150 best, custom 20..=4000
    /// (reference: session 3.7).
    pub quality_percent: u32,
}

impl Default for VideoRequest {
    fn default() -> Self {
        Self { codec: Codec::H264, max_fps: 30, quality_percent: 67 }
    }
}
