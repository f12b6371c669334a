//! The shape of an Opus stream.

use bytes::Bytes;

/// Sample rate and channels as `AudioFormat` announces them (reference: session 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioFormat {
    /// Samples a second: 8000, 12000, 16000, 24000 or 48000.
    pub sample_rate: u32,
    /// 1 or 2.
    pub channels: u32,
}

/// One Opus packet. Cloning shares the payload.
#[derive(Debug, Clone)]
pub struct EncodedAudio {
    /// The packet.
    pub data: Bytes,
    /// What it is a part of; a new format is announced before the first packet of it.
    pub format: AudioFormat,
}
