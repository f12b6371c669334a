//! OpenH264's decoder through its raw interface, one picture for every access unit.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::ptr::{NonNull, from_mut, null_mut};

use openh264_sys2::source::APILoader;
use openh264_sys2::{
    API as _, DECODER_OPTION_TRACE_LEVEL, ISVCDecoder, ISVCDecoderVtbl, SBufferInfo, SDecodingParam,
    VIDEO_BITSTREAM_AVC, WELS_LOG_QUIET,
};

use super::EncodeError;
use super::decode::Decoder;
use crate::media::picture::I420Picture;
use crate::video::annexb::{self, nal_type};
use crate::video::format::Resolution;

/// A decoder of the library, initialised.
pub struct OpenH264Decoder {
    raw: NonNull<ISVCDecoder>,
    api: APILoader,
}

// SAFETY: the library's object belongs to this value alone and is not tied to the thread that made it.
unsafe impl Send for OpenH264Decoder {}

/// Calls a function of the decoder's table and gives its code, -1 if the table lacks it.
macro_rules! call {
    ($decoder:expr, $name:ident $(, $argument:expr)*) => {{
        let raw = $decoder.raw.as_ptr();
        // SAFETY: `raw` was made by WelsCreateDecoder and lives until Drop; its first word points to a table that
        // lives as long. The arguments live through the call.
        unsafe {
            let table: &ISVCDecoderVtbl = &**raw;
            table.$name.map_or(-1, |function| function(raw $(, $argument)*) as c_int)
        }
    }};
}

fn checked(call: &'static str, code: c_int) -> Result<(), EncodeError> {
    if code == 0 { Ok(()) } else { Err(EncodeError::Library { call, code }) }
}

impl OpenH264Decoder {
    /// Opens a decoder.
    ///
    /// # Errors
    /// What the library says.
    pub fn open() -> Result<Self, EncodeError> {
        let api = APILoader::new();
        let mut raw: *mut ISVCDecoder = null_mut();
        // SAFETY: the pointer to write to is valid; what is written is checked below.
        let code = unsafe { api.WelsCreateDecoder(&mut raw) } as c_int;
        let raw = NonNull::new(raw).ok_or(EncodeError::Library { call: "WelsCreateDecoder", code })?;
        let decoder = Self { raw, api };
        let mut level = WELS_LOG_QUIET;
        let level = from_mut(&mut level).cast::<c_void>();
        checked("SetOption", call!(decoder, SetOption, DECODER_OPTION_TRACE_LEVEL, level))?;
        let mut params = SDecodingParam::default();
        params.sVideoProperty.eVideoBsType = VIDEO_BITSTREAM_AVC;
        checked("Initialize", call!(decoder, Initialize, &params))?;
        Ok(decoder)
    }
}

impl Decoder for OpenH264Decoder {
    fn name(&self) -> &'static str {
        "openh264"
    }

    fn decode(&mut self, data: &[u8]) -> Result<I420Picture, EncodeError> {
        let bad = |code| EncodeError::Library { call: "DecodeFrameNoDelay", code };
        let sps = annexb::nal_units(data).find(|unit| annexb::unit_type(unit) == nal_type::SPS);
        if sps.and_then(annexb::parse_sps).is_some_and(|sps| sps.is_full_range) {
            return Err(bad(-1));
        }
        let length = c_int::try_from(data.len()).map_err(|_| bad(-1))?;
        let (mut planes, mut info) = ([null_mut::<u8>(); 3], SBufferInfo::default());
        let code = call!(self, DecodeFrameNoDelay, data.as_ptr(), length, planes.as_mut_ptr(), &mut info);
        if code == 0 && info.iBufferStatus == 0 {
            // Above Baseline the library waits for pictures that might have to be shown before.
            let code = call!(self, FlushFrame, planes.as_mut_ptr(), &mut info);
            checked("FlushFrame", code)?;
        }
        if code != 0 || info.iBufferStatus != 1 || planes.iter().any(|plane| plane.is_null()) {
            return Err(bad(code));
        }
        // SAFETY: with the status 1 the library has filled in the system buffer's kind of the union.
        let layout = unsafe { info.UsrData.sSystemBuffer };
        let side = |value: c_int| u32::try_from(value).map_err(|_| bad(value));
        let mut picture = I420Picture::new(Resolution::new(side(layout.iWidth)?, side(layout.iHeight)?));
        let Resolution { width, height } = picture.resolution();
        let rows = picture.rows_mut(0, height);
        for (n, to) in [rows.y, rows.u, rows.v].into_iter().enumerate() {
            let width = if n == 0 { width } else { width / 2 } as usize;
            let stride = side(layout.iStride[n.min(1)])? as usize;
            for (row, to) in to.chunks_exact_mut(width).enumerate() {
                // SAFETY: plane `n` has as many rows as the picture says, `stride` bytes apart, and lives until the
                // next call on this decoder.
                let from = unsafe { std::slice::from_raw_parts(planes[n].add(row * stride), width) };
                to.copy_from_slice(from);
            }
        }
        Ok(picture)
    }
}

impl Drop for OpenH264Decoder {
    fn drop(&mut self) {
        let code = call!(self, Uninitialize);
        if code != 0 {
            tracing::debug!(code, "a decoder did not close cleanly");
        }
        // SAFETY: made by WelsCreateDecoder, not used after this.
        unsafe { self.api.WelsDestroyDecoder(self.raw.as_ptr()) };
    }
}
