//! Encoders: a picture in, one access unit out, at once (no frame is held back). One file an encoder; the list of
//! those that this machine may have is in `encoders`.

pub mod decode;
pub mod encoders;
#[cfg(feature = "gstreamer")]
mod gstreamer;
pub mod headers;
mod openh264;
mod openh264_decoder;
mod self_check;
mod speed;
mod sys;

use bytes::Bytes;

use super::captured::CapturedPicture;
use super::convert::convert_stripes;
use super::picture::{I420Picture, Stripes};
use crate::video::format::Resolution;
use crate::video::frame::Codec;

/// Why there is no encoder, or no frame from it.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The picture's size is beyond what the codec can do.
    #[error("{0} is too small or too large to be encoded; choose another resolution on the computer")]
    Size(Resolution),
    /// Nothing here encodes this.
    #[error("no encoder for {0} works on this machine")]
    None(Codec),
    /// There is no encoder of this name.
    #[error("there is no encoder {0} on this machine")]
    Unknown(String),
    /// The encoder library refused.
    #[error("the encoder failed in {call} with code {code}")]
    Library {
        /// The call that failed.
        call: &'static str,
        /// Its return value.
        code: i32,
    },
    /// An element of GStreamer failed.
    #[error("the encoder element {element} failed: {reason}")]
    Element {
        /// The element, or the part of its pipeline.
        element: String,
        /// What it says.
        reason: String,
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

/// A picture to encode.
#[derive(Debug, Clone, Copy)]
pub enum Shown<'a> {
    /// In planes of ours.
    Own(&'a I420Picture),
    /// Where it was captured.
    Captured(&'a CapturedPicture),
}

impl Shown<'_> {
    /// Its size.
    pub fn resolution(&self) -> Resolution {
        match self {
            Self::Own(picture) => picture.resolution(),
            Self::Captured(picture) => picture.resolution(),
        }
    }
}

/// How a picture came into an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From planes of ours.
    Converted,
    /// As it was captured, without conversion.
    Captured,
    /// The same, without the CPU: as a DMABUF.
    DmaBuf,
}

/// How one picture is to be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameOrder {
    /// It must decode without anything before it.
    pub wants_keyframe: bool,
    /// How coarse, on the scale of H.264 (0..=51, 6 more is half the bit rate); encoders of other codecs map it to
    /// their own, those without a quantiser of their own for each frame come as near as they can.
    pub quantiser: u8,
    /// For encoders that can only be given a rate: what the line carries, in bits a second.
    pub bits_per_second: Option<u32>,
}

/// An encoder for pictures of one size. Every key frame carries its parameter sets; frames come out in the order
/// in which they went in; there is no key frame but the first and those asked for. Exceptions: an encoder that cannot
/// change its quantiser otherwise makes one for it, one that spares a narrow line may make one of a new scene, and some
/// hardware makes one every 1024 frames; `is_keyframe` is always true to the bitstream.
pub trait Encoder: Send {
    /// The name of its [`Candidate`](encoders::Candidate).
    fn name(&self) -> &'static str;

    /// What it writes.
    fn codec(&self) -> Codec;

    /// The size it was opened for.
    fn resolution(&self) -> Resolution;

    /// Whether it is set up as is best for a line that carries so many bits a second (`None`: no limit is known). If not,
    /// the next key frame with that in its order changes it.
    fn suits(&self, _bits_per_second: Option<u32>) -> bool {
        true
    }

    /// Encodes a picture.
    ///
    /// # Errors
    /// If the picture has another size or the library fails; open a new encoder then.
    fn encode(&mut self, picture: &I420Picture, order: FrameOrder) -> Result<EncodedPicture, EncodeError>;

    /// Whether it takes pictures as they were captured. The first one may cost a key frame.
    fn takes_captured(&self) -> bool {
        false
    }

    /// Encodes a picture as it was captured; an encoder that does not take those converts it.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    fn encode_captured(
        &mut self,
        picture: &CapturedPicture,
        order: FrameOrder,
    ) -> Result<EncodedPicture, EncodeError> {
        self.encode(&converted(picture)?, order)
    }

    /// How the last picture came in.
    fn way(&self) -> Way {
        Way::Converted
    }
}

/// A captured picture in planes of ours.
fn converted(picture: &CapturedPicture) -> Result<I420Picture, EncodeError> {
    let size = picture.resolution();
    let mut own = I420Picture::new(size);
    convert_stripes(&picture.frame(), &Stripes::all(size.height), &mut own)
        .map_err(|_| EncodeError::Size(size))?;
    Ok(own)
}
