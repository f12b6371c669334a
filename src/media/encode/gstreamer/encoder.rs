//! The one encoder behind all rows of the table.

use bytes::{Bytes, BytesMut};
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;

use super::Refusal;
use super::element::{rate, start, tell};
use super::handing::{self, Readers};
use super::layout::Layout;
use super::line::{FRAME_TIME, Line, failed};
use super::table::{Captured, Control, Input, Row};
use super::trial::Trial;
use crate::media::captured::{CapturedPicture, Place};
use crate::media::encode::headers::{self, h265};
use crate::media::encode::{EncodeError, EncodedPicture, Encoder, FrameOrder, Way, converted};
use crate::media::picture::I420Picture;
use crate::video::annexb;
use crate::video::format::Resolution;
use crate::video::frame::Codec;

/// What it is opened with; each frame brings its own.
const FIRST_QUANTISER: u8 = 26;
/// A quantiser that differs less is not worth a restart.
const RESTART_STEP: u32 = 3;
/// Input buffers that are kept: the element may let go of one a moment after its frame came out.
const INPUTS: usize = 2;
/// So many captured pictures an element may hold when its frame has come out; more would be missing where pictures are
/// captured to.
const MOST_HELD: usize = 2;
/// An element that takes DMABUFs only is started anew for other pictures, such as cards, and for DMABUFs again only after so
/// many: each time costs a key frame.
const OTHERS: u32 = 60;

/// An encoder element in its pipeline.
pub struct GstEncoder {
    row: &'static Row,
    resolution: Resolution,
    layout: Layout,
    element: gst::Element,
    line: Line,
    /// The element was told to take DMABUFs and nothing else.
    imports: bool,
    /// Pictures since that was over.
    others: u32,
    /// Captured pictures that the element has not let go of.
    readers: Readers,
    handing: Handing,
    refusal: Refusal,
    way: Way,
    /// The last inputs, used again when the element has let go of them.
    inputs: Vec<gst::Buffer>,
    /// What the element was told last: a quantiser of H.264 or a rate in bits a second.
    told: u32,
    /// The element does not make key frames when asked to; it has to be started anew.
    overlooks_requests: bool,
    /// No frame went through it since it was started.
    is_fresh: bool,
    pool: BytesMut,
}

impl GstEncoder {
    /// Opens the row's element for pictures of `resolution`.
    ///
    /// # Errors
    /// [`EncodeError::Size`] for odd sizes and those beyond the row's, else what the element says.
    pub(super) fn open(
        row: &'static Row,
        resolution: Resolution,
        refusal: Refusal,
    ) -> Result<Self, EncodeError> {
        let Resolution { width, height } = resolution;
        let blocks = width.div_ceil(16).saturating_mul(height.div_ceil(16));
        let is_possible = (16..=16_384).contains(&width) && (16..=16_384).contains(&height);
        if resolution != resolution.to_even() || !is_possible || blocks > row.most_blocks {
            return Err(EncodeError::Size(resolution));
        }
        let layout = Layout::new(row.input, resolution)?;
        let told = match row.control {
            Control::V4l2Rate => rate(resolution, FIRST_QUANTISER, None),
            Control::Quantiser { .. } | Control::MarkedQuantiser { .. } | Control::Restart { .. } => {
                u32::from(FIRST_QUANTISER)
            }
        };
        let (element, line) = start(row, resolution, &layout, told, false)?;
        Ok(Self {
            row,
            resolution,
            layout,
            element,
            line,
            imports: false,
            others: OTHERS,
            readers: Readers::default(),
            handing: Handing::New,
            refusal,
            way: Way::Converted,
            inputs: Vec::new(),
            told,
            overlooks_requests: false,
            is_fresh: true,
            pool: BytesMut::new(),
        })
    }

    /// What the element has to be told for this order.
    fn wanted(&self, order: FrameOrder) -> u32 {
        let quantiser = order.quantiser.min(51);
        match self.row.control {
            Control::V4l2Rate => rate(self.resolution, quantiser, order.bits_per_second),
            Control::Quantiser { .. } | Control::MarkedQuantiser { .. } | Control::Restart { .. } => {
                u32::from(quantiser)
            }
        }
    }

    /// Tells the element how coarse the next frame shall be.
    fn control(&mut self, order: FrameOrder) -> Result<(), EncodeError> {
        let wanted = self.wanted(order);
        if wanted == self.told {
            return Ok(());
        }
        if self.is_fresh {
            // It is still being told its format by another thread: `av1enc` takes its two locks in one order there and in
            // the other where a property is set, and hangs for ever.
            return self.restart(wanted);
        }
        if let Control::Restart { .. } = self.row.control {
            // A key frame that is wanted anyway makes the restart free.
            if self.told.abs_diff(wanted) >= RESTART_STEP || order.wants_keyframe {
                self.restart(wanted)?;
            }
            return Ok(());
        }
        tell(&self.element, self.row, wanted, Some(self.told))?;
        self.told = wanted;
        Ok(())
    }

    /// The picture in a buffer for the element.
    fn buffer_of(&mut self, from: From<'_>) -> Result<gst::Buffer, EncodeError> {
        let mut buffer = match from {
            From::Own(_) | From::Copy(_) => self.filled(from)?,
            From::InPlace(picture) => handing::in_place(picture, &self.readers)?,
            From::DmaBuf(picture) => handing::as_dmabuf(picture, &self.readers)?,
        };
        let writable = buffer.make_mut();
        writable.set_pts(self.line.next_time());
        writable.set_duration(FRAME_TIME);
        if from.handed().is_none() {
            self.inputs.truncate(INPUTS - 1);
            self.inputs.push(buffer.clone());
        }
        Ok(buffer)
    }

    /// A copy of the picture in the element's layout.
    fn filled(&mut self, from: From<'_>) -> Result<gst::Buffer, EncodeError> {
        let fail = |error| failed(self.row.element, error);
        let mut buffer = match self.inputs.iter().position(|buffer| buffer.is_writable()) {
            Some(free) => self.inputs.swap_remove(free),
            None => gst::Buffer::with_size(self.layout.size()).map_err(fail)?,
        };
        let mut map = buffer.make_mut().map_writable().map_err(fail)?;
        match from {
            From::Own(picture) => self.layout.write(picture, &mut map),
            From::Copy(picture) | From::InPlace(picture) | From::DmaBuf(picture) => {
                self.layout.write_captured(picture, &mut map);
            }
        }
        drop(map);
        Ok(buffer)
    }

    /// How a captured picture is taken.
    fn taking<'a>(&self, picture: &'a CapturedPicture) -> From<'a> {
        let is_refused = self.refusal.get().is_some();
        match self.row.captured {
            Captured::InPlace if !is_refused => From::InPlace(picture),
            Captured::DmaBuf if !is_refused && handing::has_dmabuf(picture) => From::DmaBuf(picture),
            Captured::DmaBufBy(..)
                if !is_refused && handing::has_dmabuf(picture) && (self.imports || self.others >= OTHERS) =>
            {
                From::DmaBuf(picture)
            }
            Captured::Never
            | Captured::InPlace
            | Captured::Copied
            | Captured::DmaBuf
            | Captured::DmaBufBy(..) => From::Copy(picture),
        }
    }

    /// From here on the row's element gets copies.
    fn refuse(&mut self, reason: &str) {
        self.handing = Handing::New;
        if self.refusal.set(()).is_ok() {
            tracing::warn!(
                encoder = self.row.element,
                reason,
                "captured pictures are copied for it from now on"
            );
        }
    }

    /// Starts the element anew; its next frame is a key frame.
    fn restart(&mut self, told: u32) -> Result<(), EncodeError> {
        // First the old one's memory, then the new one's.
        self.line.stop();
        (self.element, self.line) = start(self.row, self.resolution, &self.layout, told, self.imports)?;
        self.told = told;
        self.is_fresh = true;
        self.inputs.clear();
        Ok(())
    }

    /// One frame in, one frame out.
    fn encode_once(&mut self, from: From<'_>) -> Result<EncodedPicture, EncodeError> {
        let buffer = self.buffer_of(from)?;
        let sample = self.line.exchange(buffer)?;
        self.is_fresh = false;
        let encoded = sample.buffer().ok_or_else(|| failed(self.row.element, "an empty frame"))?;
        let map = encoded.map_readable().map_err(|error| failed(self.row.element, error))?;
        let data = self.collect(&map);
        let header = headers::read(self.row.codec, &data)
            .ok_or_else(|| failed(self.row.element, "what came out is not one frame"))?;
        Ok(EncodedPicture { data, is_keyframe: header.is_keyframe })
    }

    /// Copies what came out, so that the element gets its buffer back: H.26x with long start codes and without units
    /// that decoders do not need.
    fn collect(&mut self, data: &[u8]) -> Bytes {
        self.pool.reserve(data.len() + 64);
        match self.row.codec {
            Codec::H264 | Codec::H265 => {
                for unit in annexb::nal_units(data) {
                    if is_needed(self.row.codec, unit) {
                        self.pool.extend_from_slice(&[0, 0, 0, 1]);
                        self.pool.extend_from_slice(unit);
                    }
                }
            }
            Codec::Vp8 | Codec::Vp9 | Codec::Av1 => self.pool.extend_from_slice(data),
        }
        self.pool.split().freeze()
    }

    /// Encodes a picture of the right size; the element is started anew if it has to be set up otherwise for it.
    fn encode_from(&mut self, from: From<'_>, order: FrameOrder) -> Result<EncodedPicture, EncodeError> {
        // Planes of ours can be made into whatever the element reads now.
        let input = if matches!(from, From::Own(_)) { self.layout.input() } else { Input::Nv12 };
        let imports = matches!((from, self.row.captured), (From::DmaBuf(_), Captured::DmaBufBy(..)));
        let is_other = self.layout.input() != input || self.imports != imports;
        if is_other {
            self.layout = Layout::new(input, self.resolution)?;
            self.others = if self.imports { 0 } else { self.others };
            self.imports = imports;
        }
        // A trial begins with a key frame.
        let begins = match (&self.handing, from.handed()) {
            (Handing::New, Some(_)) => true,
            (Handing::Proven(places), Some(picture)) => picture.places() != *places,
            (Handing::New | Handing::OnTrial(_) | Handing::Proven(_), _) => false,
        };
        if begins {
            let trial = Trial::new(self.row.codec).map_err(|reason| failed(self.row.element, reason))?;
            self.handing = Handing::OnTrial(trial);
        }
        if is_other || begins && !self.is_fresh || order.wants_keyframe && self.overlooks_requests {
            self.restart(self.wanted(order))?;
        }
        self.control(order)?;
        if order.wants_keyframe {
            let event = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build();
            self.overlooks_requests |=
                !self.element.static_pad("src").is_some_and(|pad| pad.send_event(event));
        }
        let mut encoded = self.encode_once(from)?;
        if !encoded.is_keyframe && order.wants_keyframe {
            tracing::debug!(encoder = self.row.element, "a request for a key frame was overlooked");
            self.overlooks_requests = true;
            self.restart(self.told)?;
            encoded = self.encode_once(from)?;
        }
        self.judge(from, &encoded)?;
        self.others = if imports { self.others } else { self.others.saturating_add(1) };
        self.way = from.way();
        Ok(encoded)
    }

    /// Looks at what came out while captured pictures are on trial.
    ///
    /// # Errors
    /// If the picture was handed over and something is wrong with the frame.
    fn judge(&mut self, from: From<'_>, encoded: &EncodedPicture) -> Result<(), EncodeError> {
        let Handing::OnTrial(trial) = &mut self.handing else { return Ok(()) };
        match (trial.judge(from.handed(), &encoded.data), from.handed()) {
            (Ok(false), _) | (Ok(true), None) => Ok(()),
            (Ok(true), Some(picture)) => {
                tracing::debug!(encoder = self.row.element, way = ?from.way(), "captured pictures are taken");
                self.handing = Handing::Proven(picture.places());
                Ok(())
            }
            (Err(reason), Some(_)) => Err(failed(self.row.element, reason)),
            (Err(reason), None) => {
                self.refuse(&reason);
                Ok(())
            }
        }
    }
}

impl Encoder for GstEncoder {
    fn name(&self) -> &'static str {
        self.row.element
    }

    fn codec(&self) -> Codec {
        self.row.codec
    }

    fn resolution(&self) -> Resolution {
        self.resolution
    }

    fn encode(&mut self, picture: &I420Picture, order: FrameOrder) -> Result<EncodedPicture, EncodeError> {
        if picture.resolution() != self.resolution {
            return Err(EncodeError::Size(picture.resolution()));
        }
        self.encode_from(From::Own(picture), order)
    }

    fn takes_captured(&self) -> bool {
        self.row.captured != Captured::Never
    }

    fn encode_captured(
        &mut self,
        picture: &CapturedPicture,
        order: FrameOrder,
    ) -> Result<EncodedPicture, EncodeError> {
        if picture.resolution() != self.resolution {
            return Err(EncodeError::Size(picture.resolution()));
        }
        if !self.takes_captured() {
            return self.encode(&converted(picture)?, order);
        }
        let from = self.taking(picture);
        match self.encode_from(from, order) {
            Ok(encoded) => {
                if self.readers.count() > MOST_HELD {
                    self.refuse("it holds too many of them");
                }
                Ok(encoded)
            }
            Err(error) if from.handed().is_some() => {
                self.refuse(&error.to_string());
                self.imports = false;
                self.restart(self.wanted(order))?;
                self.encode_from(From::Copy(picture), order)
            }
            Err(error) => Err(error),
        }
    }

    fn way(&self) -> Way {
        self.way
    }
}

/// How far captured pictures that are handed to the element were looked at.
enum Handing {
    /// None was handed over.
    New,
    /// The first ones are decoded and compared.
    OnTrial(Trial),
    /// They were right, as long as planes begin in these places: an element may have been set up for their strides.
    Proven([Place; 2]),
}

/// Where a picture is taken from.
#[derive(Clone, Copy)]
enum From<'a> {
    /// Planes of ours.
    Own(&'a I420Picture),
    /// The capture's memory, by copying it.
    Copy(&'a CapturedPicture),
    /// The same, where it lies.
    InPlace(&'a CapturedPicture),
    /// The same, as DMABUF.
    DmaBuf(&'a CapturedPicture),
}

impl<'a> From<'a> {
    /// The picture whose memory the element gets.
    fn handed(self) -> Option<&'a CapturedPicture> {
        match self {
            Self::Own(_) | Self::Copy(_) => None,
            Self::InPlace(picture) | Self::DmaBuf(picture) => Some(picture),
        }
    }

    fn way(self) -> Way {
        match self {
            Self::Own(_) => Way::Converted,
            Self::Copy(_) | Self::InPlace(_) => Way::Captured,
            Self::DmaBuf(_) => Way::DmaBuf,
        }
    }
}

/// Delimiters, supplemental information and filler are left out (H.264 table 7-1, H.265 table 7-1).
fn is_needed(codec: Codec, unit: &[u8]) -> bool {
    match codec {
        Codec::H265 => !(35..=40).contains(&h265::unit_type(unit)),
        Codec::H264 => ![6, 9, 12].contains(&annexb::unit_type(unit)),
        Codec::Vp8 | Codec::Vp9 | Codec::Av1 => true,
    }
}
