//! Encoders: a picture in, one access unit out, at once (no frame is held back). One file an encoder; `open` is
//! the list of them.

mod openh264;

use bytes::Bytes;

use super::picture::I420Picture;
use crate::video::format::Resolution;
use crate::video::frame::Codec;

/// Why there is no encoder, or no frame from it.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The picture's size is beyond what the codec can do.
    #[error("{0} is too small or too large to be encoded; choose another resolution on the computer")]
    Size(Resolution),
    /// The encoder library refused.
    #[error("the encoder failed in {call} with code {code}")]
    Library {
        /// The call that failed.
        call: &'static str,
        /// Its return value.
        code: i32,
    },
}

/// One encoded picture.
#[derive(Debug, Clone)]
pub struct EncodedPicture {
    /// The access unit.
    pub data: Bytes,
    /// Whether it decodes without anything before it.
    pub is_keyframe: bool,
}

/// An encoder for pictures of one size. Every key frame carries its parameter sets; frames come out in the order
/// in which they went in; there is no key frame but the first and those asked for.
pub trait Encoder: Send {
    /// What it writes.
    fn codec(&self) -> Codec;

    /// The size it was opened for.
    fn resolution(&self) -> Resolution;

    /// Changes the quality, in percent as in a video request; no key frame is needed for it.
    ///
    /// # Errors
    /// If the library refuses; the old quality stays.
    fn set_quality(&mut self, percent: u32) -> Result<(), EncodeError>;

    /// Encodes a picture.
    ///
    /// # Errors
    /// If the picture has another size or the library fails; open a new encoder then.
    fn encode(&mut self, picture: &I420Picture, wants_keyframe: bool) -> Result<EncodedPicture, EncodeError>;
}

/// Opens the best encoder of a codec for pictures of `resolution` (even), with `quality_percent` as in a video
/// request.
///
/// # Errors
/// [`EncodeError`] if no encoder takes the size or none starts.
pub fn open(
    codec: Codec,
    resolution: Resolution,
    quality_percent: u32,
) -> Result<Box<dyn Encoder>, EncodeError> {
    match codec {
        Codec::H264 => Ok(Box::new(openh264::OpenH264::open(resolution, quality_percent)?)),
    }
}
