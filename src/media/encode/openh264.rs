//! H.264 by OpenH264 through its raw interface, because the safe crate forces one slice and rate control: fixed
//! quantiser, as few slices as hold the rate, endless GOP; camera usage, on narrow lines screen usage. Constrained Baseline,
//! no reordering, BT.601 limited range in the VUI, parameter sets in front of every IDR (reference: session 3.2 and 11).
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::ptr::{NonNull, from_mut, null_mut};

use bytes::BytesMut;
use openh264_sys2::source::APILoader;
use openh264_sys2::{
    API as _, CAMERA_VIDEO_REAL_TIME, CM_SMPTE170M, CONSTANT_ID, CP_SMPTE170M,
    ENCODER_OPTION_SVC_ENCODE_PARAM_EXT, ENCODER_OPTION_TRACE_LEVEL, ISVCEncoder, ISVCEncoderVtbl,
    LOW_COMPLEXITY, PRO_BASELINE, RC_OFF_MODE, SCREEN_CONTENT_REAL_TIME, SEncParamExt, SFrameBSInfo,
    SM_FIXEDSLCNUM_SLICE, SM_SINGLE_SLICE, SSourcePicture, TRC_SMPTE170M, VF_COMPONENT, WELS_LOG_QUIET,
    videoFormatI420, videoFrameTypeI, videoFrameTypeIDR, videoFrameTypeP,
};

use super::{EncodeError, EncodedPicture, Encoder, FrameOrder, speed};
use crate::media::picture::I420Picture;
use crate::video::format::Resolution;
use crate::video::frame::Codec;

/// Macroblocks of the largest picture that the library takes.
const MOST_BLOCKS: u32 = 36_864;
/// Least pictures that are cut into slices: below, a slice costs more than its thread saves.
const SLICED_BLOCKS: u32 = 1_200;
/// CPU for a frame, in percent of itself.
pub(super) const COST: u32 = 100;
/// What it is opened with; each frame brings its own.
const FIRST_QUANTISER: c_int = 26;
/// Lines that carry less than this for each pixel of a picture, in bits a second, are narrow (8 Mbit/s at 1080p); those
/// that were stay it up to the second.
const NARROW: (u64, u64) = (4, 8);

/// What the library expects to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Usage {
    /// Moves of a few pixels. The least CPU and memory.
    Camera,
    /// Text that scrolls: it is found again however far it went. A page of text that went up by 60 rows takes a fortieth of
    /// the bytes, for 1.5 to 3 times the CPU and twice the memory. A new scene is a key frame.
    Screen,
}

/// An encoder of the library, initialised.
pub struct OpenH264 {
    raw: NonNull<ISVCEncoder>,
    api: APILoader,
    params: Box<SEncParamExt>,
    info: Box<SFrameBSInfo>,
    resolution: Resolution,
    slices: u32,
    usage: Usage,
    pool: BytesMut,
    clock: i64,
}

// SAFETY: the library keeps no thread-local state for an encoder, it may be used from any one thread at a time;
// the wrapper owns the pointer alone and every call takes `&mut self`.
unsafe impl Send for OpenH264 {}

/// Calls a function of the encoder's table and turns its code into an error.
macro_rules! call {
    ($encoder:expr, $name:ident $(, $argument:expr)*) => {{
        let raw = $encoder.raw.as_ptr();
        // SAFETY: `raw` was made by WelsCreateSVCEncoder and lives until Drop; its first word points to a table
        // that lives as long. The arguments live through the call.
        let code = unsafe {
            let table: &ISVCEncoderVtbl = &**raw;
            table.$name.map(|function| function(raw $(, $argument)*))
        };
        match code {
            Some(0) => Ok(()),
            code => Err(EncodeError::Library { call: stringify!($name), code: code.unwrap_or(-1) }),
        }
    }};
}

impl OpenH264 {
    /// Opens an encoder for pictures of `resolution`.
    ///
    /// # Errors
    /// [`EncodeError::Size`] for odd or impossible sizes, else what the library says.
    pub fn open(resolution: Resolution) -> Result<Self, EncodeError> {
        let slices = if blocks_of(resolution) < SLICED_BLOCKS { 1 } else { speed::threads(resolution, COST) };
        Self::open_sliced(resolution, slices)
    }

    /// The same, cut into that many slices, each encoded on a core of its own.
    pub(super) fn open_sliced(resolution: Resolution, slices: u32) -> Result<Self, EncodeError> {
        let Resolution { width, height } = resolution;
        let blocks = blocks_of(resolution);
        if resolution != resolution.to_even() || width < 16 || height < 16 || blocks > MOST_BLOCKS {
            return Err(EncodeError::Size(resolution));
        }
        let api = APILoader::new();
        let mut raw: *mut ISVCEncoder = null_mut();
        // SAFETY: the pointer to write to is valid; what is written is checked below.
        let code = unsafe { api.WelsCreateSVCEncoder(&mut raw) };
        let raw = NonNull::new(raw).ok_or(EncodeError::Library { call: "WelsCreateSVCEncoder", code })?;
        let mut encoder = Self {
            raw,
            api,
            params: Box::default(),
            info: Box::default(),
            resolution,
            slices,
            usage: Usage::Camera,
            pool: BytesMut::new(),
            clock: 0,
        };
        let mut level = WELS_LOG_QUIET;
        call!(encoder, SetOption, ENCODER_OPTION_TRACE_LEVEL, from_mut(&mut level).cast::<c_void>())?;
        encoder.initialise(FIRST_QUANTISER)?;
        Ok(encoder)
    }

    /// Sets the library up; its next frame is a key frame.
    fn initialise(&mut self, quantiser: c_int) -> Result<(), EncodeError> {
        call!(self, GetDefaultParams, &mut *self.params)?;
        fill_params(&mut self.params, self.resolution, quantiser, self.slices);
        self.params.iUsageType = match self.usage {
            Usage::Camera => CAMERA_VIDEO_REAL_TIME,
            Usage::Screen => SCREEN_CONTENT_REAL_TIME,
        };
        call!(self, InitializeExt, &*self.params)?;
        let mut format = videoFormatI420;
        let option = openh264_sys2::ENCODER_OPTION_DATAFORMAT;
        call!(self, SetOption, option, from_mut(&mut format).cast::<c_void>())
    }

    /// What is best for a line of so many bits a second.
    fn usage_for(&self, bits_per_second: Option<u32>) -> Usage {
        let bits_per_pixel = match self.usage {
            Usage::Camera => NARROW.0,
            Usage::Screen => NARROW.1,
        };
        let narrow = u64::from(self.resolution.width) * u64::from(self.resolution.height) * bits_per_pixel;
        if bits_per_second.is_some_and(|line| u64::from(line) < narrow) {
            Usage::Screen
        } else {
            Usage::Camera
        }
    }

    /// Changes the quantiser; no key frame is needed for it. If the library refuses, the old one stays.
    fn set_quantiser(&mut self, wanted: c_int) -> Result<(), EncodeError> {
        let old = self.params.sSpatialLayers[0].iDLayerQp;
        if wanted == old {
            return Ok(());
        }
        self.params.sSpatialLayers[0].iDLayerQp = wanted;
        let params = from_mut(&mut *self.params).cast::<c_void>();
        let result = call!(self, SetOption, ENCODER_OPTION_SVC_ENCODE_PARAM_EXT, params);
        if result.is_err() {
            self.params.sSpatialLayers[0].iDLayerQp = old;
        }
        result
    }

    /// Copies the layers of the last frame into one access unit.
    fn collect(&mut self) -> Result<BytesMut, EncodeError> {
        let bad = |code| EncodeError::Library { call: "EncodeFrame", code };
        let layers = usize::try_from(self.info.iLayerNum).map_err(|_| bad(self.info.iLayerNum))?;
        // The buffer comes back as soon as nobody holds an older frame, so that large frames are not allocated anew.
        self.pool.reserve(usize::try_from(self.info.iFrameSizeInBytes).unwrap_or(0).max(64 * 1024));
        for layer in self.info.sLayerInfo.get(..layers).ok_or_else(|| bad(self.info.iLayerNum))? {
            let count = usize::try_from(layer.iNalCount).map_err(|_| bad(layer.iNalCount))?;
            if layer.pBsBuf.is_null() || layer.pNalLengthInByte.is_null() {
                continue;
            }
            // SAFETY: after a successful EncodeFrame the library's layer holds `iNalCount` lengths at
            // `pNalLengthInByte`, valid until the next call on this encoder.
            let lengths = unsafe { std::slice::from_raw_parts(layer.pNalLengthInByte, count) };
            let total: usize = lengths.iter().map(|n| usize::try_from(*n).unwrap_or(0)).sum();
            // SAFETY: as above, `pBsBuf` holds the NAL units one behind the other, start codes included.
            let bytes = unsafe { std::slice::from_raw_parts(layer.pBsBuf, total) };
            self.pool.extend_from_slice(bytes);
        }
        Ok(self.pool.split())
    }
}

impl Encoder for OpenH264 {
    fn name(&self) -> &'static str {
        "openh264"
    }

    fn codec(&self) -> Codec {
        Codec::H264
    }

    fn resolution(&self) -> Resolution {
        self.resolution
    }

    fn suits(&self, bits_per_second: Option<u32>) -> bool {
        self.usage_for(bits_per_second) == self.usage
    }

    fn encode(&mut self, picture: &I420Picture, order: FrameOrder) -> Result<EncodedPicture, EncodeError> {
        if picture.resolution() != self.resolution {
            return Err(EncodeError::Size(picture.resolution()));
        }
        let quantiser = c_int::from(order.quantiser.min(51));
        if order.wants_keyframe && !self.suits(order.bits_per_second) {
            self.usage = self.usage_for(order.bits_per_second);
            tracing::debug!(usage = ?self.usage, line = order.bits_per_second, "openh264 is set up for another line");
            call!(self, Uninitialize)?;
            self.initialise(quantiser)?;
        }
        self.set_quantiser(quantiser)?;
        if order.wants_keyframe {
            call!(self, ForceIntraFrame, true)?;
        }
        let Resolution { width, height } = self.resolution;
        let plane = |plane: &[u8]| plane.as_ptr().cast_mut();
        let half = width as c_int / 2;
        let source = SSourcePicture {
            iColorFormat: videoFormatI420,
            iStride: [width as c_int, half, half, 0],
            // The library only reads the planes; its structure just lacks the const.
            pData: [plane(picture.y()), plane(picture.u()), plane(picture.v()), null_mut()],
            iPicWidth: width as c_int,
            iPicHeight: height as c_int,
            uiTimeStamp: self.clock,
            ..SSourcePicture::default()
        };
        // Rate control is off: the time only has to go on.
        self.clock += 33;
        call!(self, EncodeFrame, &source, &mut *self.info)?;
        let kind = self.info.eFrameType;
        if kind != videoFrameTypeIDR && kind != videoFrameTypeP && kind != videoFrameTypeI {
            return Err(EncodeError::Library { call: "EncodeFrame", code: kind });
        }
        Ok(EncodedPicture { data: self.collect()?.freeze(), is_keyframe: kind == videoFrameTypeIDR })
    }
}

impl Drop for OpenH264 {
    fn drop(&mut self) {
        if let Err(error) = call!(self, Uninitialize) {
            tracing::debug!(%error, "an encoder did not close cleanly");
        }
        // SAFETY: made by WelsCreateSVCEncoder, not used after this.
        unsafe { self.api.WelsDestroySVCEncoder(self.raw.as_ptr()) };
    }
}

/// Macroblocks of a picture.
pub(super) fn blocks_of(resolution: Resolution) -> u32 {
    resolution.width.div_ceil(16).saturating_mul(resolution.height.div_ceil(16))
}

fn fill_params(params: &mut SEncParamExt, resolution: Resolution, quantiser: c_int, slices: u32) {
    let (width, height) = (resolution.width as c_int, resolution.height as c_int);
    params.iPicWidth = width;
    params.iPicHeight = height;
    params.iRCMode = RC_OFF_MODE;
    params.fMaxFrameRate = 60.0;
    params.iTemporalLayerNum = 1;
    params.iSpatialLayerNum = 1;
    params.iComplexityMode = LOW_COMPLEXITY;
    params.uiIntraPeriod = 0;
    params.iNumRefFrame = 1;
    params.eSpsPpsIdStrategy = CONSTANT_ID;
    params.bPrefixNalAddingCtrl = false;
    params.bEnableSSEI = false;
    params.iEntropyCodingModeFlag = 0;
    params.bEnableFrameSkip = false;
    params.bEnableLongTermReference = false;
    params.iMultipleThreadIdc = slices as u16;
    params.bUseLoadBalancing = false;
    params.iLoopFilterDisableIdc = 0;
    params.bEnableDenoise = false;
    params.bEnableBackgroundDetection = false;
    params.bEnableAdaptiveQuant = false;
    params.bEnableSceneChangeDetect = false;
    params.bEnableFrameCroppingFlag = true;
    let layer = &mut params.sSpatialLayers[0];
    layer.iVideoWidth = width;
    layer.iVideoHeight = height;
    layer.fFrameRate = 60.0;
    layer.uiProfileIdc = PRO_BASELINE;
    layer.iDLayerQp = quantiser;
    layer.sSliceArgument.uiSliceMode = if slices > 1 { SM_FIXEDSLCNUM_SLICE } else { SM_SINGLE_SLICE };
    layer.sSliceArgument.uiSliceNum = slices;
    layer.bVideoSignalTypePresent = true;
    layer.uiVideoFormat = VF_COMPONENT as u8;
    layer.bFullRange = false;
    layer.bColorDescriptionPresent = true;
    layer.uiColorPrimaries = CP_SMPTE170M as u8;
    layer.uiTransferCharacteristics = TRC_SMPTE170M as u8;
    layer.uiColorMatrix = CM_SMPTE170M as u8;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sliced_pictures_open() {
        for slices in 1..=4 {
            let mut encoder = OpenH264::open_sliced(Resolution::new(1280, 720), slices).unwrap();
            let picture = I420Picture::new(Resolution::new(1280, 720));
            let order = FrameOrder { wants_keyframe: false, quantiser: 26, bits_per_second: None };
            assert!(encoder.encode(&picture, order).unwrap().is_keyframe);
        }
    }

    #[test]
    fn a_narrow_line_gets_far_scrolls_for_little() {
        let size = Resolution::new(640, 480);
        let page = |top: usize| {
            let mut picture = I420Picture::new(size);
            for (n, y) in picture.rows_mut(0, size.height).y.iter_mut().enumerate() {
                let (column, row) = (n % 640, n / 640 + top);
                // No two lines of this text are alike.
                let ink =
                    (column / 4 + row / 24 * 97).wrapping_mul(row / 4 + 7).wrapping_mul(2_654_435_761) >> 7;
                *y = if row % 24 < 16 && ink % 3 == 0 { 200 } else { 30 };
            }
            picture
        };
        let (narrow, wide) = (640 * 480 * 3, 640 * 480 * 6);
        let mut encoder = OpenH264::open(size).unwrap();
        let mut decoder = super::super::decode::open(Codec::H264).unwrap();
        let mut scroll = |encoder: &mut OpenH264, line: u32, from: usize| {
            let mut encode = |n: usize, wants_keyframe| {
                let picture = page(from + n * 60);
                let order = FrameOrder { wants_keyframe, quantiser: 26, bits_per_second: Some(line) };
                let encoded = encoder.encode(&picture, order).unwrap();
                let decoded = decoder.decode(&encoded.data).unwrap();
                let far =
                    decoded.y().iter().zip(picture.y()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>();
                assert!(far < 640 * 480 * 4, "{far} steps of luma off");
                assert_eq!(encoded.is_keyframe, wants_keyframe);
                encoded.data.len()
            };
            encode(0, true);
            (1..6).map(|n| encode(n, false)).sum::<usize>()
        };
        let camera = scroll(&mut encoder, wide, 0);
        assert!(!encoder.suits(Some(narrow)) && encoder.suits(Some(wide)) && encoder.suits(None));
        let screen = scroll(&mut encoder, narrow, 0);
        assert!(encoder.suits(Some(narrow)) && encoder.suits(Some(wide)) && !encoder.suits(None));
        assert!(screen * 5 < camera, "{screen} bytes in place of {camera}");
        let again = scroll(&mut encoder, 640 * 480 * 9, 0);
        assert!(again > screen * 2, "{again}: a wide line gets camera usage again");
    }

    #[test]
    fn impossible_sizes_are_refused() {
        for (width, height) in
            [(0, 0), (641, 480), (640, 481), (8, 640), (8192, 4320), (u32::MAX - 1, 1 << 31)]
        {
            assert!(OpenH264::open(Resolution::new(width, height)).is_err(), "{width}x{height}");
        }
    }
}
