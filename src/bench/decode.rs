//! Decoding what the lanes sent, to see how it looks. H.264 by OpenH264's own decoder, the rest by GStreamer's.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::ptr::{NonNull, from_mut, null_mut};

use openh264_sys2::source::APILoader;
use openh264_sys2::{
    API as _, DECODER_OPTION_TRACE_LEVEL, ERROR_CON_DISABLE, ISVCDecoder, SBufferInfo, SDecodingParam,
    VIDEO_BITSTREAM_AVC, WELS_LOG_QUIET,
};

use super::quality::Plane;
use crate::video::format::Resolution;
use crate::video::frame::Codec;

/// A decoder of one stream.
pub trait Decoder {
    /// Decodes a frame and shows `look` the luma of the picture that comes out.
    ///
    /// # Errors
    /// A sentence, also if no picture comes out at once.
    fn decode(&mut self, data: &[u8], look: &mut dyn FnMut(Plane<'_>)) -> Result<(), String>;
}

/// A decoder for a codec.
///
/// # Errors
/// A sentence, if there is none on this machine.
pub fn open(codec: Codec, size: Resolution) -> Result<Box<dyn Decoder>, String> {
    if codec == Codec::H264 {
        return Ok(Box::new(OpenH264Decoder::open()?));
    }
    #[cfg(feature = "gstreamer")]
    return Ok(Box::new(with_gstreamer::ElementDecoder::open(codec, size)?));
    #[cfg(not(feature = "gstreamer"))]
    Err(format!("this build has no decoder for {codec} at {size}"))
}

struct OpenH264Decoder {
    raw: NonNull<ISVCDecoder>,
    api: APILoader,
}

impl OpenH264Decoder {
    fn open() -> Result<Self, String> {
        let api = APILoader::new();
        let mut raw: *mut ISVCDecoder = null_mut();
        // SAFETY: the pointer to write to is valid; what is written is checked below.
        let code = unsafe { api.WelsCreateDecoder(&mut raw) };
        let raw = NonNull::new(raw).ok_or_else(|| format!("no H.264 decoder: code {code}"))?;
        let this = Self { raw, api };
        let mut level = WELS_LOG_QUIET;
        let mut params = SDecodingParam { eEcActiveIdc: ERROR_CON_DISABLE, ..SDecodingParam::default() };
        params.sVideoProperty.eVideoBsType = VIDEO_BITSTREAM_AVC;
        // SAFETY: made above; its first word points to a table that lives as long; the arguments live through the
        // calls and have the types that these calls document.
        let code = unsafe {
            let table = &**this.raw.as_ptr();
            let level = from_mut(&mut level).cast::<c_void>();
            table.SetOption.map(|set| set(this.raw.as_ptr(), DECODER_OPTION_TRACE_LEVEL, level));
            table.Initialize.map(|initialize| initialize(this.raw.as_ptr(), &params))
        };
        if code == Some(0) {
            Ok(this)
        } else {
            Err(format!("the H.264 decoder does not start: code {code:?}"))
        }
    }
}

impl Decoder for OpenH264Decoder {
    fn decode(&mut self, data: &[u8], look: &mut dyn FnMut(Plane<'_>)) -> Result<(), String> {
        let length = c_int::try_from(data.len()).map_err(|_| "a frame too long to decode")?;
        let mut planes = [null_mut(); 3];
        let mut info = SBufferInfo::default();
        // SAFETY: as in `open`; the library reads `length` bytes and writes three pointers and the description.
        let code = unsafe {
            let table = &**self.raw.as_ptr();
            let (planes, info) = (planes.as_mut_ptr(), from_mut(&mut info));
            table
                .DecodeFrameNoDelay
                .map(|decode| decode(self.raw.as_ptr(), data.as_ptr(), length, planes, info))
        };
        if code != Some(0) || info.iBufferStatus != 1 || planes[0].is_null() {
            return Err(format!("an H.264 frame does not decode: code {code:?}"));
        }
        // SAFETY: with status 1 the library has filled this only member of the union.
        let picture = unsafe { info.UsrData.sSystemBuffer };
        let (width, height) = (picture.iWidth.max(0) as usize, picture.iHeight.max(0) as usize);
        let stride = picture.iStride[0].max(0) as usize;
        if height == 0 || stride < width {
            return Err("the H.264 decoder gave a picture without size".into());
        }
        // SAFETY: the luma plane has `height` rows of `stride` bytes, the last one at least as long as it is wide,
        // valid until the next call.
        let luma = unsafe { std::slice::from_raw_parts(planes[0], stride * (height - 1) + width) };
        look(Plane { data: luma, stride });
        Ok(())
    }
}

impl Drop for OpenH264Decoder {
    fn drop(&mut self) {
        // SAFETY: made by WelsCreateDecoder, not used after this.
        unsafe {
            let table = &**self.raw.as_ptr();
            table.Uninitialize.map(|end| end(self.raw.as_ptr()));
            self.api.WelsDestroyDecoder(self.raw.as_ptr());
        }
    }
}

#[cfg(feature = "gstreamer")]
mod with_gstreamer {
    use gstreamer as gst;
    use gstreamer_video::prelude::VideoFrameExt as _;
    use gstreamer_video::{VideoFrameRef, VideoInfo};

    use super::super::clips::FPS;
    use super::super::harness::{Harness, element};
    use super::{Codec, Decoder, Plane, Resolution};

    pub(super) struct ElementDecoder {
        harness: Harness,
        frames: u64,
    }

    impl ElementDecoder {
        pub(super) fn open(codec: Codec, size: Resolution) -> Result<Self, String> {
            // Those of libav run on one thread, because more of them hold frames back.
            let single = [("max-threads", "1")];
            let none = [];
            let (media, elements): (&str, &[(&str, &[(&str, &str)])]) = match codec {
                Codec::Vp8 => ("video/x-vp8", &[("vp8dec", &none), ("avdec_vp8", &single)]),
                Codec::Vp9 => ("video/x-vp9", &[("vp9dec", &none), ("avdec_vp9", &single)]),
                Codec::Av1 => ("video/x-av1", &[("dav1ddec", &none), ("av1dec", &none)]),
                Codec::H264 => ("video/x-h264", &[("avdec_h264", &single), ("openh264dec", &none)]),
                Codec::H265 => ("video/x-h265", &[("avdec_h265", &single), ("libde265dec", &none)]),
            };
            let mut caps = gst::Caps::builder(media)
                .field("width", size.width as i32)
                .field("height", size.height as i32)
                .field("framerate", gst::Fraction::new(FPS as i32, 1));
            caps = match codec {
                Codec::H264 | Codec::H265 => {
                    caps.field("stream-format", "byte-stream").field("alignment", "au")
                }
                Codec::Av1 => caps.field("stream-format", "obu-stream").field("alignment", "tu"),
                Codec::Vp8 | Codec::Vp9 => caps,
            };
            let caps = caps.build();
            let mut reasons = vec![];
            for (name, properties) in elements {
                match element(name, properties).and_then(|element| Harness::start(element, &caps)) {
                    Ok(harness) => return Ok(Self { harness, frames: 0 }),
                    Err(reason) => reasons.push(reason),
                }
            }
            Err(format!("{codec} cannot be decoded here: {}", reasons.join(", ")))
        }
    }

    impl Decoder for ElementDecoder {
        fn decode(&mut self, data: &[u8], look: &mut dyn FnMut(Plane<'_>)) -> Result<(), String> {
            let mut buffer = gst::Buffer::from_slice(data.to_vec());
            if let Some(buffer) = buffer.get_mut() {
                buffer.set_pts(gst::ClockTime::from_mseconds(self.frames * 1000 / u64::from(FPS)));
            }
            self.frames += 1;
            let pictures = self.harness.push(buffer)?;
            let picture = pictures.last().ok_or("a frame does not decode at once")?;
            let caps = self.harness.caps().ok_or("a decoder without caps")?;
            let info = VideoInfo::from_caps(&caps).map_err(|error| error.to_string())?;
            let frame =
                VideoFrameRef::from_buffer_ref_readable(picture, &info).map_err(|error| error.to_string())?;
            let data = frame.plane_data(0).map_err(|error| error.to_string())?;
            let stride = frame.plane_stride().first().copied().unwrap_or(0);
            look(Plane { data, stride: usize::try_from(stride).map_err(|_| "a picture upside down")? });
            Ok(())
        }
    }
}
