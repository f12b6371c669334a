//! Decoders of GStreamer, for the self-check and for tests.

use gst_video::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;

use super::has_element;
use super::line::{Line, SOFTWARE_PATIENCE, failed, make};
use crate::media::encode::EncodeError;
use crate::media::encode::decode::Decoder;
use crate::media::picture::I420Picture;
use crate::video::format::Resolution;
use crate::video::frame::Codec;

/// Software decoders of a codec, small ones first.
fn elements(codec: Codec) -> &'static [&'static str] {
    match codec {
        Codec::H264 => &["avdec_h264"],
        Codec::H265 => &["avdec_h265"],
        Codec::Vp8 => &["vp8dec", "avdec_vp8"],
        Codec::Vp9 => &["vp9dec", "avdec_vp9"],
        Codec::Av1 => &["av1dec", "dav1ddec"],
    }
}

fn caps(codec: Codec) -> gst::Caps {
    let (name, fields): (_, &[(&str, &str)]) = match codec {
        Codec::H264 => ("video/x-h264", &[("stream-format", "byte-stream"), ("alignment", "au")]),
        Codec::H265 => ("video/x-h265", &[("stream-format", "byte-stream"), ("alignment", "au")]),
        Codec::Vp8 => ("video/x-vp8", &[]),
        Codec::Vp9 => ("video/x-vp9", &[]),
        Codec::Av1 => ("video/x-av1", &[("stream-format", "obu-stream"), ("alignment", "tu")]),
    };
    let mut caps = gst::Caps::new_empty_simple(name);
    for (field, value) in fields {
        caps.make_mut().set(*field, *value);
    }
    caps
}

/// A decoder in its pipeline.
struct GstDecoder {
    line: Line,
    name: &'static str,
}

/// Opens a decoder that is there; `None` if none is or none starts.
pub fn decoder(codec: Codec) -> Option<Box<dyn Decoder>> {
    let name = elements(codec).iter().copied().find(|name| has_element(name))?;
    let open = || {
        let element = make(name)?;
        if element.find_property("max-threads").is_some() {
            // Each further thread holds a frame back.
            element.set_property_from_str("max-threads", "1");
        }
        let output = gst::Caps::builder("video/x-raw").field("format", "I420").build();
        Line::start(&caps(codec), &[element], &output, SOFTWARE_PATIENCE)
    };
    match open() {
        Ok(line) => Some(Box::new(GstDecoder { line, name })),
        Err(error) => {
            tracing::debug!(decoder = name, %error, "a decoder does not start");
            None
        }
    }
}

impl Decoder for GstDecoder {
    fn name(&self) -> &'static str {
        self.name
    }

    fn decode(&mut self, data: &[u8]) -> Result<I420Picture, EncodeError> {
        let fail = |error: &dyn ToString| failed(self.name, error.to_string());
        let mut buffer = gst::Buffer::from_slice(data.to_vec());
        buffer.make_mut().set_pts(self.line.next_time());
        let sample = self.line.exchange(buffer)?;
        let caps = sample.caps().ok_or_else(|| fail(&"a picture without caps"))?;
        let info = gst_video::VideoInfo::from_caps(caps).map_err(|error| fail(&error))?;
        let buffer = sample.buffer().ok_or_else(|| fail(&"an empty picture"))?;
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info)
            .map_err(|error| fail(&error))?;
        let resolution = Resolution::new(info.width(), info.height());
        if resolution != resolution.to_even()
            || info.colorimetry().range() != gst_video::VideoColorRange::Range16_235
        {
            return Err(fail(&format!("{resolution}, {}", info.colorimetry())));
        }
        let mut picture = I420Picture::new(resolution);
        let rows = picture.rows_mut(0, resolution.height);
        for (plane, to) in [rows.y, rows.u, rows.v].into_iter().enumerate() {
            let width = if plane == 0 { resolution.width } else { resolution.width / 2 } as usize;
            let from = frame.plane_data(plane as u32).map_err(|error| fail(&error))?;
            let stride = frame.plane_stride()[plane].unsigned_abs() as usize;
            for (to, from) in to.chunks_exact_mut(width).zip(from.chunks(stride.max(1))) {
                let from = from.get(..width).ok_or_else(|| fail(&"a short picture"))?;
                to.copy_from_slice(from);
            }
        }
        Ok(picture)
    }
}
