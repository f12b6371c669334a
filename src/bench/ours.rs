//! Our own way of a frame, as the daemon goes it: compare stripes with the frame before, convert what changed, encode,
//! wrap into a message, seal. An unchanged frame ends after the comparison.

use bytes::Bytes;

use super::clock;
use super::lane::{Lane, Sent};
use super::source::Source;
use crate::crypto::seal::{Sealer, SessionKey};
use crate::media::change::changed_stripes;
use crate::media::convert::convert_stripes;
use crate::media::encode::{Encoder, FrameOrder};
use crate::media::picture::{I420Picture, Stripes};
use crate::net::stream::WireBuffer;
use crate::peer::video::wrap;
use crate::video::frame::{Codec, EncodedFrame};

/// A lane through one of our encoders at a fixed quantiser.
pub struct Ours {
    encoder: Box<dyn Encoder>,
    quantiser: u8,
    picture: I420Picture,
    sealer: Sealer,
    wire: WireBuffer,
    sequence: u64,
}

impl Ours {
    /// Begins with a key frame. `quantiser` on the scale of H.264.
    pub fn new(encoder: Box<dyn Encoder>, quantiser: u8) -> Self {
        let picture = I420Picture::new(encoder.resolution());
        let sealer = Sealer::new(SessionKey::from_bytes([7; 32]));
        Self { encoder, quantiser, picture, sealer, wire: WireBuffer::default(), sequence: 0 }
    }
}

impl Lane for Ours {
    fn codec(&self) -> Codec {
        self.encoder.codec()
    }

    fn feed(&mut self, frame: &Source, previous: Option<&Source>) -> Result<Option<Sent>, String> {
        let captured_at = clock::now();
        let raw = frame.raw(captured_at);
        let stripes = match previous {
            Some(previous) if self.sequence > 0 => changed_stripes(&raw, &previous.raw(captured_at)),
            _ => Stripes::all(frame.size().height),
        };
        if stripes.is_empty() {
            return Ok(None);
        }
        convert_stripes(&raw, &stripes, &mut self.picture).map_err(|error| error.to_string())?;
        let order = FrameOrder {
            wants_keyframe: self.sequence == 0,
            quantiser: self.quantiser,
            bits_per_second: None,
        };
        let encoded = self.encoder.encode(&self.picture, order).map_err(|error| error.to_string())?;
        let data: Bytes = encoded.data;
        let encoded = EncodedFrame {
            data,
            codec: self.encoder.codec(),
            is_keyframe: encoded.is_keyframe,
            captured_at,
            sequence: self.sequence,
            resolution: frame.size(),
            original_resolution: frame.size(),
        };
        self.sequence += 1;
        let (head, tail) = wrap(0, &encoded, self.sequence as i64 * 33);
        let parts = [&*head, &*encoded.data, &*tail];
        let sealed = self.wire.frame(&parts, Some(&mut self.sealer)).map_err(|error| error.to_string())?;
        std::hint::black_box(sealed);
        Ok(Some(Sent { data: encoded.data, is_keyframe: encoded.is_keyframe }))
    }
}
