//! Where the planes lie in an element's input buffer.

use gstreamer as gst;
use gstreamer_video as gst_video;

use super::line::failed;
use super::table::Input;
use crate::media::captured::CapturedPicture;
use crate::media::encode::EncodeError;
use crate::media::picture::I420Picture;
use crate::video::format::Resolution;

/// The layout of raw pictures of one size.
#[derive(Debug)]
pub struct Layout {
    input: Input,
    info: gst_video::VideoInfo,
}

impl Layout {
    /// GStreamer's default layout, BT.601 limited range.
    pub fn new(input: Input, resolution: Resolution) -> Result<Self, EncodeError> {
        let format = match input {
            Input::I420 => gst_video::VideoFormat::I420,
            Input::Nv12 => gst_video::VideoFormat::Nv12,
        };
        let colorimetry: gst_video::VideoColorimetry =
            "bt601".parse().map_err(|error: gst::glib::BoolError| failed("video info", error))?;
        let info = gst_video::VideoInfo::builder(format, resolution.width, resolution.height)
            .fps(gst::Fraction::new(30, 1))
            .par(gst::Fraction::new(1, 1))
            .interlace_mode(gst_video::VideoInterlaceMode::Progressive)
            .colorimetry(&colorimetry)
            .build()
            .map_err(|error| failed("video info", error))?;
        Ok(Self { input, info })
    }

    /// Bytes of a buffer.
    pub fn size(&self) -> usize {
        self.info.size()
    }

    /// What is told to the element.
    pub fn caps(&self) -> Result<gst::Caps, EncodeError> {
        self.info.to_caps().map_err(|error| failed("video info", error))
    }

    /// Which planes there are.
    pub fn input(&self) -> Input {
        self.input
    }

    /// The planes of a buffer, and their strides.
    fn planes<'a>(&self, buffer: &'a mut [u8]) -> [(&'a mut [u8], usize); 3] {
        let (offsets, strides) = (self.info.offset(), self.info.stride());
        let mut planes: [&mut [u8]; 3] = Default::default();
        // The planes lie one behind the other.
        let mut rest = buffer;
        for n in (0..offsets.len().min(3)).rev() {
            let (front, plane) = rest.split_at_mut(offsets[n].min(rest.len()));
            (rest, planes[n]) = (front, plane);
        }
        let stride = |plane: usize| strides.get(plane).map_or(0, |stride| stride.unsigned_abs() as usize);
        let mut number = 0..;
        planes.map(|plane| (plane, stride(number.next().unwrap_or(0))))
    }

    /// Copies a captured picture of the same size into a buffer of NV12.
    pub fn write_captured(&self, picture: &CapturedPicture, buffer: &mut [u8]) {
        for (rows, (to, stride)) in picture.rows().into_iter().zip(self.planes(buffer)) {
            for (from, to) in rows.zip(to.chunks_mut(stride.max(1))) {
                let length = from.len().min(to.len());
                to[..length].copy_from_slice(&from[..length]);
            }
        }
    }

    /// Copies a picture of the same size into a buffer.
    pub fn write(&self, picture: &I420Picture, buffer: &mut [u8]) {
        let width = picture.resolution().width as usize;
        let [(y, y_stride), (u, u_stride), (v, v_stride)] = self.planes(buffer);
        copy(picture.y(), width, y, y_stride);
        match self.input {
            Input::I420 => {
                copy(picture.u(), width / 2, u, u_stride);
                copy(picture.v(), width / 2, v, v_stride);
            }
            Input::Nv12 => {
                let rows = picture.u().chunks_exact(width / 2).zip(picture.v().chunks_exact(width / 2));
                for ((cb, cr), row) in rows.zip(u.chunks_mut(u_stride.max(1))) {
                    for ((pair, cb), cr) in row.as_chunks_mut::<2>().0.iter_mut().zip(cb).zip(cr) {
                        *pair = [*cb, *cr];
                    }
                }
            }
        }
    }
}

/// Copies a plane without gaps to one with rows of `stride` bytes.
fn copy(from: &[u8], width: usize, to: &mut [u8], stride: usize) {
    if width == stride {
        let length = from.len().min(to.len());
        to[..length].copy_from_slice(&from[..length]);
        return;
    }
    for (from, to) in from.chunks_exact(width).zip(to.chunks_mut(stride.max(1))) {
        let length = from.len().min(to.len());
        to[..length].copy_from_slice(&from[..length]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_go_where_the_layout_has_them() {
        gst::init().unwrap();
        let size = Resolution::new(22, 4);
        let mut picture = I420Picture::new(size);
        let rows = picture.rows_mut(0, 4);
        rows.y.fill(1);
        rows.u.fill(2);
        rows.v.fill(3);
        for input in [Input::I420, Input::Nv12] {
            let layout = Layout::new(input, size).unwrap();
            let mut buffer = vec![0; layout.size()];
            layout.write(&picture, &mut buffer);
            assert_eq!(buffer[..24], [[1; 22].as_slice(), &[0; 2]].concat(), "{input:?}");
            assert_eq!(buffer.iter().filter(|b| **b == 1).count(), 88);
            let chroma = &buffer[96..];
            match input {
                Input::I420 => {
                    assert_eq!(chroma[..12], [[2; 11].as_slice(), &[0]].concat());
                    assert_eq!(chroma[24..36], [[3; 11].as_slice(), &[0]].concat());
                }
                Input::Nv12 => assert_eq!(chroma[..4], [2, 3, 2, 3]),
            }
        }
    }
}
