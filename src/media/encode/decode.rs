//! Decoders for what the encoders write: for their self-check and for tests; the product itself decodes nothing.

use super::EncodeError;
use super::openh264_decoder::OpenH264Decoder;
use crate::media::picture::I420Picture;
use crate::video::frame::Codec;

/// One stream's decoder.
pub trait Decoder: Send {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Decodes a frame; the picture has to come out at once.
    ///
    /// # Errors
    /// If the decoder refuses the frame, gives no picture for it, or the stream is not limited range 4:2:0 of even
    /// size.
    fn decode(&mut self, data: &[u8]) -> Result<I420Picture, EncodeError>;
}

/// A new decoder; `None` if this machine has none. H.264 is decoded everywhere, without GStreamer.
pub fn open(codec: Codec) -> Option<Box<dyn Decoder>> {
    if codec == Codec::H264 {
        return match OpenH264Decoder::open() {
            Ok(decoder) => Some(Box::new(decoder)),
            Err(error) => {
                tracing::debug!(%error, "the decoder of openh264 does not start");
                None
            }
        };
    }
    #[cfg(feature = "gstreamer")]
    return super::gstreamer::decoder(codec);
    #[cfg(not(feature = "gstreamer"))]
    None
}
