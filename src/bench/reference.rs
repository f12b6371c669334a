//! What is compared against: a software path as desktop sharing commonly has it. The whole captured picture (four
//! bytes a pixel) is compared with a saved one and copied there, converted, encoded by libvpx as VP9 in real-time mode
//! (speed 7, one thread, row-mt, 2^4 tile columns), flushed for each frame, copied and sealed.

use gstreamer as gst;
use yuv::{
    BufferStoreMut, YuvConversionMode, YuvPlanarImageMut, YuvRange, YuvStandardMatrix, bgra_to_yuv420,
};

use super::clips::FPS;
use super::clock;
use super::harness::{Harness, element};
use super::lane::{Lane, Sent};
use super::source::Source;
use crate::crypto::seal::{Sealer, SessionKey, TAG_LEN};
use crate::video::format::Resolution;
use crate::video::frame::Codec;

/// How the reference's encoder is controlled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Constant bit rate with dropped frames, as the RustDesk apps set it for 1080p at balanced quality.
    ConstantRate,
    /// The quantiser 28 (of 63) for every frame.
    FixedQuantiser,
}

/// Kilobits a second of the constant rate.
const RATE: u32 = 1388;
/// The fixed quantiser.
const QUANTISER: u32 = 28;

/// The reference's lane.
pub struct Reference {
    harness: Harness,
    saved: Vec<u8>,
    /// The encoder's input, used again once the encoder let go of it.
    input: gst::Buffer,
    sealer: Sealer,
    frames: u64,
}

impl Reference {
    /// Begins with a key frame.
    ///
    /// # Errors
    /// A sentence, if there is no `vp9enc` here.
    pub fn new(size: Resolution, control: Control) -> Result<Self, String> {
        let harness = Harness::start(encoder(control)?, &caps(size))?;
        let sealer = Sealer::new(SessionKey::from_bytes([7; 32]));
        Ok(Self { harness, saved: vec![], input: input(size)?, sealer, frames: 0 })
    }

    /// Converts into the encoder's input.
    fn convert(&mut self, frame: &Source) -> Result<(), String> {
        if self.input.get_mut().is_none() {
            self.input = input(frame.size())?;
        }
        let at = gst::ClockTime::from_mseconds(self.frames * 1000 / u64::from(FPS));
        let Some(buffer) = self.input.get_mut() else { return Err("no memory for a picture".into()) };
        buffer.set_pts(at);
        buffer.set_duration(gst::ClockTime::from_mseconds(1));
        let mut map = buffer.map_writable().map_err(|error| error.to_string())?;
        to_planes(frame, &mut map)
    }
}

impl Lane for Reference {
    fn codec(&self) -> Codec {
        Codec::Vp9
    }

    fn feed(&mut self, frame: &Source, _previous: Option<&Source>) -> Result<Option<Sent>, String> {
        let index = self.frames;
        if self.saved == frame.bgra() {
            self.frames += 1;
            return Ok(None);
        }
        self.saved.resize(frame.bgra().len(), 0);
        self.saved.copy_from_slice(frame.bgra());
        self.convert(frame)?;
        self.frames += 1;
        let mut data = Vec::new();
        let mut is_keyframe = false;
        for buffer in self.harness.push(self.input.clone())? {
            let map = buffer.map_readable().map_err(|error| error.to_string())?;
            data.extend_from_slice(&map);
            is_keyframe |= !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        }
        if data.is_empty() {
            return if index == 0 { Err("the reference's first frame was dropped".into()) } else { Ok(None) };
        }
        let mut message = vec![0; TAG_LEN + data.len()];
        message[TAG_LEN..].copy_from_slice(&data);
        self.sealer.seal_in_place(&mut message).map_err(|error| error.to_string())?;
        std::hint::black_box(&message);
        Ok(Some(Sent { data: data.into(), is_keyframe }))
    }
}

/// Milliseconds of CPU that driving an element takes by itself, without an encoder in it. Taken off the reference's
/// times, whose library would be called directly.
///
/// # Errors
/// A sentence, if GStreamer is not there.
pub fn plumbing(size: Resolution) -> Result<f64, String> {
    const FRAMES: u32 = 500;
    let harness = Harness::start(element("identity", &[])?, &caps(size))?;
    let picture = input(size)?;
    let started = clock::start();
    for _ in 0..FRAMES {
        std::hint::black_box(harness.push(picture.clone())?);
    }
    Ok(started.stop().cpu.as_secs_f64() * 1e3 / f64::from(FRAMES))
}

fn encoder(control: Control) -> Result<gst::Element, String> {
    let mut properties: Vec<(&str, String)> = [
        ("deadline", "1"),
        ("cpu-used", "7"),
        ("threads", "1"),
        ("row-mt", "true"),
        ("tile-columns", "4"),
        ("lag-in-frames", "0"),
        ("end-usage", "cbr"),
        ("keyframe-mode", "disabled"),
        ("undershoot", "95"),
        ("static-threshold", "0"),
        ("timebase", "1/1000"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .to_vec();
    properties.extend(match control {
        Control::ConstantRate => [
            ("target-bitrate", (RATE * 1000).to_string()),
            ("dropframe-threshold", "25".to_owned()),
            ("min-quantizer", "12".to_owned()),
            ("max-quantizer", "56".to_owned()),
        ],
        Control::FixedQuantiser => [
            ("target-bitrate", "50000000".to_owned()),
            ("dropframe-threshold", "0".to_owned()),
            ("min-quantizer", QUANTISER.to_string()),
            ("max-quantizer", QUANTISER.to_string()),
        ],
    });
    let properties: Vec<_> = properties.iter().map(|(name, value)| (*name, value.as_str())).collect();
    element("vp9enc", &properties)
}

/// Caps of a raw planar picture.
fn caps(size: Resolution) -> gst::Caps {
    gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", size.width as i32)
        .field("height", size.height as i32)
        .field("framerate", gst::Fraction::new(FPS as i32, 1))
        .field("interlace-mode", "progressive")
        .build()
}

fn input(size: Resolution) -> Result<gst::Buffer, String> {
    gst::Buffer::with_size(size.width as usize * size.height as usize * 3 / 2)
        .map_err(|_| "no memory for a picture".into())
}

/// The strides that GStreamer takes for planes without a description: rows are multiples of four bytes. Widths here
/// are multiples of eight, so that rows are tight.
fn to_planes(frame: &Source, into: &mut [u8]) -> Result<(), String> {
    let Resolution { width, height } = frame.size();
    let luma = width as usize * height as usize;
    let (y, chroma) = into.split_at_mut_checked(luma).ok_or("a picture without room")?;
    let (u, v) = chroma.split_at_mut_checked(luma / 4).ok_or("a picture without room")?;
    let mut planes = YuvPlanarImageMut {
        y_plane: BufferStoreMut::Borrowed(y),
        y_stride: width,
        u_plane: BufferStoreMut::Borrowed(u),
        u_stride: width / 2,
        v_plane: BufferStoreMut::Borrowed(v),
        v_stride: width / 2,
        width,
        height,
    };
    let (range, matrix) = (YuvRange::Limited, YuvStandardMatrix::Bt601);
    bgra_to_yuv420(&mut planes, frame.bgra(), width * 4, range, matrix, YuvConversionMode::Balanced)
        .map_err(|error| error.to_string())
}
