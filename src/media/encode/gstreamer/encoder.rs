//! The one encoder behind all rows of the table.

use bytes::{Bytes, BytesMut};
use gst::glib;
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;

use super::changeable;
use super::in_place::{self, Readers};
use super::layout::Layout;
use super::line::{FRAME_TIME, HARDWARE_PATIENCE, Line, SOFTWARE_PATIENCE, failed, make};
use super::table::{Control, Input, Row};
use crate::media::captured::CapturedPicture;
use crate::media::encode::headers::{self, h265};
use crate::media::encode::{EncodeError, EncodedPicture, Encoder, FrameOrder, Shown, converted, speed};
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
/// So many captured pictures an element may hold; while it does it gets copies, because more would be missing where
/// pictures are captured to.
const MOST_HELD: usize = 2;
/// Pictures below are encoded by one thread.
const THREADED_BLOCKS: u32 = 1_200;

/// An encoder element in its pipeline.
pub struct GstEncoder {
    row: &'static Row,
    resolution: Resolution,
    layout: Layout,
    element: gst::Element,
    line: Line,
    /// Captured pictures that the element has not let go of.
    readers: Readers,
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
    pub fn open(row: &'static Row, resolution: Resolution) -> Result<Self, EncodeError> {
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
        let (element, line) = start(row, resolution, &layout, told)?;
        Ok(Self {
            row,
            resolution,
            layout,
            element,
            line,
            readers: Readers::default(),
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
    fn buffer_of(&mut self, picture: Shown<'_>) -> Result<gst::Buffer, EncodeError> {
        let fail = |error| failed(self.row.element, error);
        let mut buffer = match picture {
            Shown::Captured(captured) if self.row.reads_captured && self.readers.count() < MOST_HELD => {
                let mut buffer = in_place::buffer_of(captured, &self.readers)?;
                stamp(buffer.make_mut(), &self.line);
                return Ok(buffer);
            }
            Shown::Own(_) | Shown::Captured(_) => {
                match self.inputs.iter().position(|buffer| buffer.is_writable()) {
                    Some(free) => self.inputs.swap_remove(free),
                    None => gst::Buffer::with_size(self.layout.size()).map_err(fail)?,
                }
            }
        };
        let writable = buffer.make_mut();
        stamp(writable, &self.line);
        let mut map = writable.map_writable().map_err(fail)?;
        match picture {
            Shown::Own(picture) => self.layout.write(picture, &mut map),
            Shown::Captured(picture) => self.layout.write_captured(picture, &mut map),
        }
        drop(map);
        self.inputs.truncate(INPUTS - 1);
        self.inputs.push(buffer.clone());
        Ok(buffer)
    }

    /// Starts the element anew; its next frame is a key frame.
    fn restart(&mut self, told: u32) -> Result<(), EncodeError> {
        // First the old one's memory, then the new one's.
        self.line.stop();
        (self.element, self.line) = start(self.row, self.resolution, &self.layout, told)?;
        self.told = told;
        self.is_fresh = true;
        self.inputs.clear();
        Ok(())
    }

    /// One frame in, one frame out.
    fn encode_once(&mut self, picture: Shown<'_>) -> Result<EncodedPicture, EncodeError> {
        let buffer = self.buffer_of(picture)?;
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

    /// Encodes a picture; the element is started anew if it has to be set up otherwise for it.
    fn encode_shown(&mut self, picture: Shown<'_>, order: FrameOrder) -> Result<EncodedPicture, EncodeError> {
        if picture.resolution() != self.resolution {
            return Err(EncodeError::Size(picture.resolution()));
        }
        // Planes of ours can be made into whatever the element reads now.
        let is_other = matches!(picture, Shown::Captured(_)) && self.layout.input() != Input::Nv12;
        if is_other {
            self.layout = Layout::new(Input::Nv12, self.resolution)?;
        }
        if is_other || order.wants_keyframe && self.overlooks_requests {
            self.restart(self.wanted(order))?;
        }
        self.control(order)?;
        if order.wants_keyframe {
            let event = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build();
            self.overlooks_requests |=
                !self.element.static_pad("src").is_some_and(|pad| pad.send_event(event));
        }
        let encoded = self.encode_once(picture)?;
        if encoded.is_keyframe || !order.wants_keyframe {
            return Ok(encoded);
        }
        tracing::debug!(encoder = self.row.element, "a request for a key frame was overlooked");
        self.overlooks_requests = true;
        self.restart(self.told)?;
        self.encode_once(picture)
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
        self.encode_shown(Shown::Own(picture), order)
    }

    fn takes_captured(&self) -> bool {
        self.row.reads_captured || self.row.input == Input::Nv12
    }

    fn encode_captured(
        &mut self,
        picture: &CapturedPicture,
        order: FrameOrder,
    ) -> Result<EncodedPicture, EncodeError> {
        if !self.takes_captured() {
            return self.encode(&converted(picture)?, order);
        }
        self.encode_shown(Shown::Captured(picture), order)
    }
}

/// Gives a buffer its time.
fn stamp(buffer: &mut gst::BufferRef, line: &Line) {
    buffer.set_pts(line.next_time());
    buffer.set_duration(FRAME_TIME);
}

/// Delimiters, supplemental information and filler are left out (H.264 table 7-1, H.265 table 7-1).
fn is_needed(codec: Codec, unit: &[u8]) -> bool {
    match codec {
        Codec::H265 => !(35..=40).contains(&h265::unit_type(unit)),
        Codec::H264 => ![6, 9, 12].contains(&annexb::unit_type(unit)),
        Codec::Vp8 | Codec::Vp9 | Codec::Av1 => true,
    }
}

/// Makes the element and runs it.
fn start(
    row: &Row,
    resolution: Resolution,
    layout: &Layout,
    told: u32,
) -> Result<(gst::Element, Line), EncodeError> {
    let element = make(row.element)?;
    for (name, value) in row.properties {
        let is_optional = name.starts_with('?');
        let name = name.trim_start_matches('?');
        match element.find_property(name) {
            Some(property) => set(&element, &property, value)?,
            None if is_optional => {}
            None => return Err(failed(row.element, format!("it has no property {name}"))),
        }
    }
    if let Some(property) = row.threads.and_then(|name| element.find_property(name)) {
        let blocks = resolution.width.div_ceil(16) * resolution.height.div_ceil(16);
        let threads = if blocks < THREADED_BLOCKS { 1 } else { speed::threads(resolution, row.cost) };
        set(&element, &property, &threads.to_string())?;
    }
    tell(&element, row, told, None)?;
    let mut output = row.caps.to_owned();
    if row.needs_level {
        output += level(resolution);
    }
    let output: gst::Caps = output.parse().map_err(|error: glib::BoolError| failed(row.element, error))?;
    let mut elements = vec![element.clone()];
    if let Some(parser) = row.parser {
        let parser = make(parser)?;
        // In front of every key frame.
        parser.set_property("config-interval", -1i32);
        // The element itself has to be asked for its level and profile, the parser would only look at them.
        let filter = make("capsfilter")?;
        filter.set_property("caps", &output);
        elements.extend([filter, parser]);
    }
    let patience = if row.is_hardware { HARDWARE_PATIENCE } else { SOFTWARE_PATIENCE };
    let line = Line::start(&layout.caps()?, &elements, &output, patience)?;
    Ok((element, line))
}

/// Sets a property from text.
fn set(element: &gst::Element, property: &glib::ParamSpec, value: &str) -> Result<(), EncodeError> {
    let value = glib::Value::deserialize(value, property.value_type())
        .map_err(|_| failed(element.name(), format!("it has no {} {value}", property.name())))?;
    element.set_property_from_value(property.name(), &value);
    Ok(())
}

/// Tells a quantiser or rate; `before` is what the running element was told last.
fn tell(element: &gst::Element, row: &Row, wanted: u32, before: Option<u32>) -> Result<(), EncodeError> {
    let find = |name: &str| {
        element.find_property(name).ok_or_else(|| failed(row.element, format!("it has no property {name}")))
    };
    match row.control {
        Control::Quantiser { properties, scale } => {
            let value = scale.of_h264(wanted.min(51) as u8).to_string();
            let is_finer = before.is_some_and(|before| wanted < before);
            let mut properties: Vec<_> = properties.iter().collect();
            if is_finer {
                properties.reverse();
            }
            for name in properties {
                set(element, &find(name)?, &value)?;
            }
        }
        Control::MarkedQuantiser { property, nudge } => {
            let property = find(property)?;
            changeable::mark(&property);
            set(element, &property, &wanted.min(50).to_string())?;
            if before.is_some() {
                set(element, &find(nudge.0)?, &nudge.1.to_string())?;
            }
        }
        Control::Restart { property, scale } => {
            let value = scale.of_h264(wanted.min(51) as u8);
            set(element, &find(property)?, &value.to_string())?;
        }
        Control::V4l2Rate => {
            let controls =
                format!("controls,repeat_sequence_header=1,video_bitrate={wanted},video_gop_size=65535");
            set(element, &find("extra-controls")?, &controls)?;
        }
    }
    Ok(())
}

/// Bits a second that give about this quantiser while a desktop scrolls: a tenth of a bit a pixel at 26, twice as much
/// 6 below; not more than the line carries.
fn rate(resolution: Resolution, quantiser: u8, line: Option<u32>) -> u32 {
    let pixels = f64::from(resolution.width) * f64::from(resolution.height);
    let wanted = pixels * 3.0 * 2f64.powf((26.0 - f64::from(quantiser)) / 6.0);
    (wanted.clamp(200_000.0, 50_000_000.0) as u32).min(line.unwrap_or(u32::MAX)).max(50_000)
}

/// The level of H.264 that a size needs at 30 frames a second (H.264, table A-1).
fn level(resolution: Resolution) -> &'static str {
    let blocks = resolution.width.div_ceil(16) * resolution.height.div_ceil(16);
    if blocks <= 3_600 {
        ",level=(string)3.1"
    } else if blocks <= 8_192 {
        ",level=(string)4"
    } else {
        ",level=(string)5.1"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_follows_quantiser_and_line() {
        let size = Resolution::new(1920, 1080);
        assert_eq!(rate(size, 20, None), 2 * rate(size, 26, None));
        assert_eq!(rate(size, 26, Some(1_000_000)), 1_000_000);
        assert_eq!(rate(Resolution::new(64, 48), 51, None), 200_000);
    }
}
