//! A running capture stream: mapped buffers, the newest frame wins, the frame lent before is held back for
//! comparison, and frames that need no conversion may be kept. Dropping it stops streaming and frees the buffers.
#![allow(clippy::disallowed_methods, reason = "an edge: frames get the time at which they arrive")]

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Instant;

use v4l::device::Handle;

use super::sys::buffers::{self, Filled, Mapping};
use super::sys::{Api, DriverFormat, MOST_PLANES};
use crate::media::capture::{Colours, FramePair, RawFrame, RawPlane, plane_shapes};
use crate::media::captured::{CaptureMemory, CapturedPicture};
use crate::video::format::PixelFormat;
use crate::video::jpeg::whole_picture;

/// Up to three are ours (waiting, lent, held back), two stay with the driver.
const BUFFERS: u32 = 5;
/// So many more where pictures go to encoders as they are: an encoder may hold its last two until it gets another, and one
/// may be lent while another is out.
const KEPT: u32 = 3;

/// Other FourCCs of a layout: several memory planes, or alpha where we need nothing.
const ALIASES: [([u8; 4], PixelFormat); 13] = [
    (*b"NM12", PixelFormat::Nv12),
    (*b"NM21", PixelFormat::Nv21),
    (*b"NM16", PixelFormat::Nv16),
    (*b"NM61", PixelFormat::Nv61),
    (*b"YM12", PixelFormat::Yu12),
    (*b"YM21", PixelFormat::Yv12),
    (*b"AR24", PixelFormat::Bgrx32),
    (*b"BGR4", PixelFormat::Bgrx32),
    (*b"AB24", PixelFormat::Rgbx32),
    (*b"BA24", PixelFormat::Xrgb32),
    (*b"RGB4", PixelFormat::Xrgb32),
    (*b"RA24", PixelFormat::Xbgr32),
    (*b"JPEG", PixelFormat::Mjpeg),
];

/// The layout that a FourCC stands for.
pub fn pixels_of(fourcc: [u8; 4]) -> Option<PixelFormat> {
    let plain = PixelFormat::ALL.into_iter().find(|pixels| pixels.fourcc() == fourcc);
    plain.or_else(|| ALIASES.into_iter().find(|(alias, _)| *alias == fourcc).map(|(_, pixels)| pixels))
}

/// One buffer's memory. Whoever holds it reads it: it is not given to the driver until the stream alone has it.
struct Buffer {
    planes: Vec<Mapping>,
    /// The same as DMABUFs, or none.
    exported: Vec<OwnedFd>,
}

impl CaptureMemory for Buffer {
    fn bytes(&self, plane: usize) -> &[u8] {
        self.planes.get(plane).map_or(&[], Mapping::bytes)
    }

    fn dmabuf(&self, plane: usize) -> Option<BorrowedFd<'_>> {
        self.exported.get(plane).map(|descriptor| descriptor.as_fd())
    }
}

/// A running stream.
pub struct Stream {
    buffers: Vec<Arc<Buffer>>,
    handle: Arc<Handle>,
    api: Api,
    format: DriverFormat,
    pixels: PixelFormat,
    /// The newest frame, not lent yet.
    waiting: Option<Taken>,
    lent: Option<Taken>,
    held_back: Option<Taken>,
    /// Buffers to be given back as soon as nobody reads them.
    busy: Vec<u32>,
    /// Whether frames may be kept beyond the loan.
    can_be_kept: bool,
    damaged: u64,
}

#[derive(Debug, Clone, Copy)]
struct Taken {
    filled: Filled,
    at: Instant,
}

impl Stream {
    /// Maps buffers, queues them and starts. Those that may be kept are exported if `exports`.
    pub(super) fn start(
        handle: Arc<Handle>,
        api: Api,
        format: DriverFormat,
        pixels: PixelFormat,
        exports: bool,
    ) -> io::Result<Self> {
        let fd = handle.fd();
        let is_plain = pixels == PixelFormat::Nv12 && colours_of(&format, pixels) == Colours::Bt601;
        let given = buffers::request_buffers(fd, api, if is_plain { BUFFERS + KEPT } else { BUFFERS })?;
        // From here on Drop cleans up.
        let mut stream = Self {
            buffers: Vec::new(),
            handle,
            api,
            format,
            pixels,
            waiting: None,
            lent: None,
            held_back: None,
            busy: Vec::new(),
            can_be_kept: is_plain && given.can_be_kept && given.count >= BUFFERS + KEPT,
            damaged: 0,
        };
        let mut exports = exports && stream.can_be_kept;
        for index in 0..given.count {
            let planes = buffers::map_buffer(fd, api, index)?;
            let export = |plane| buffers::export(fd, api, index, plane as u32);
            let exported = if exports { (0..planes.len()).map(export).collect() } else { Ok(Vec::new()) };
            let exported = exported.unwrap_or_else(|error| {
                tracing::info!(%error, "the capture driver exports no DMABUF: encoders get copies");
                exports = false;
                Vec::new()
            });
            stream.buffers.push(Arc::new(Buffer { planes, exported }));
            buffers::queue(fd, api, index)?;
        }
        if given.count < 4 {
            let text = format!("the driver gave {} buffers, 4 are needed", given.count);
            return Err(io::Error::new(io::ErrorKind::OutOfMemory, text));
        }
        buffers::stream(fd, api, true)?;
        Ok(stream)
    }

    fn fd(&self) -> RawFd {
        self.handle.fd()
    }

    /// Takes what is filled, keeps the newest; true if a frame came. Each buffer once and no more: a device that returns
    /// them at once, damaged, would keep the thread for ever.
    pub(super) fn drain(&mut self) -> io::Result<bool> {
        let mut has_come = false;
        self.give_back(None)?;
        for _ in 0..self.buffers.len() {
            let Some(filled) = buffers::dequeue(self.fd(), self.api)? else { break };
            let now = Instant::now();
            let at = filled.age.and_then(|age| now.checked_sub(age)).unwrap_or(now);
            let taken = Taken { filled, at };
            let is_usable = !filled.is_damaged && self.is_whole(&taken);
            let dropped = if is_usable {
                has_come = true;
                self.waiting.replace(taken)
            } else {
                self.damaged += 1;
                tracing::debug!(index = filled.index, "a damaged or short frame is left out");
                Some(taken)
            };
            self.give_back(dropped)?;
        }
        Ok(has_come)
    }

    /// How many frames were left out since the last time of asking.
    pub(super) fn take_damaged(&mut self) -> u64 {
        std::mem::take(&mut self.damaged)
    }

    /// Whether a frame waits to be lent.
    pub(super) fn has_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Lends the waiting frame and the one lent before it; the one held back so far goes back to the driver.
    pub(super) fn lend(&mut self) -> io::Result<Option<FramePair<'_>>> {
        if let Some(newest) = self.waiting.take() {
            let oldest = self.held_back.take();
            self.held_back = self.lent.replace(newest);
            self.give_back(oldest)?;
        } else {
            return Ok(None);
        }
        let frame = |taken: &Option<Taken>| taken.as_ref().and_then(|t| self.frame_of(t));
        Ok(frame(&self.lent).map(|current| FramePair {
            current,
            previous: frame(&self.held_back),
            captured: self.kept(&current),
        }))
    }

    /// The lent frame, to be kept. With it the one held back may be kept too, for as long as anyone likes: none more, so that
    /// the driver always has two.
    fn kept(&self, current: &RawFrame<'_>) -> Option<CapturedPicture> {
        let has_room = self.busy.len() + 2 <= KEPT as usize;
        let lent = self.lent.as_ref().filter(|_| self.can_be_kept && has_room)?;
        let buffer = self.buffers.get(lent.filled.index as usize)?;
        CapturedPicture::of(current, buffer.clone())
    }

    /// Gives a buffer back to the driver, and those whose readers let go meanwhile.
    fn give_back(&mut self, taken: Option<Taken>) -> io::Result<()> {
        self.busy.extend(taken.map(|taken| taken.filled.index));
        let (fd, api, buffers) = (self.handle.fd(), self.api, &mut self.buffers);
        let mut result = Ok(());
        self.busy.retain(|index| {
            let buffer = buffers.get_mut(*index as usize);
            let is_free = buffer.is_some_and(|buffer| Arc::get_mut(buffer).is_some());
            if is_free && let Err(error) = buffers::queue(fd, api, *index) {
                result = Err(error);
            }
            !is_free
        });
        result
    }

    /// Whether every plane holds all its rows, and a JPEG its end.
    fn is_whole(&self, taken: &Taken) -> bool {
        let Some(frame) = self.frame_of(taken) else { return false };
        if frame.format == PixelFormat::Mjpeg {
            return !frame.planes[0].data.is_empty();
        }
        let height = frame.resolution.to_even().height as usize;
        frame.plane_shapes().iter().zip(&frame.planes).all(|(shape, plane)| {
            let rows = height / shape.rows_per;
            shape.bytes == 0 || rows == 0 || plane.row(rows - 1, shape.bytes).is_some()
        })
    }

    fn frame_of(&self, taken: &Taken) -> Option<RawFrame<'_>> {
        let buffer = self.buffers.get(taken.filled.index as usize)?;
        let mut memory: [&[u8]; MOST_PLANES] = [&[]; MOST_PLANES];
        for ((memory, mapping), (start, end)) in memory.iter_mut().zip(&buffer.planes).zip(taken.filled.spans)
        {
            *memory = mapping.bytes().get(start..end)?;
        }
        if self.pixels == PixelFormat::Mjpeg {
            // What is no whole JPEG of this size has no bytes, and nothing of the padding behind one is compared.
            memory[0] = whole_picture(memory[0], self.format.resolution).unwrap_or_default();
        }
        Some(RawFrame {
            format: self.pixels,
            resolution: self.format.resolution,
            planes: if self.pixels == PixelFormat::Mjpeg {
                [RawPlane { data: memory[0], stride: 0 }, RawPlane::EMPTY, RawPlane::EMPTY]
            } else {
                planes_of(&self.format, self.pixels, &memory)
            },
            colours: colours_of(&self.format, self.pixels),
            captured_at: taken.at,
        })
    }
}

/// What the driver says of the values.
fn colours_of(format: &DriverFormat, pixels: PixelFormat) -> Colours {
    match (format.is_bt709, format.is_full_range) {
        _ if pixels.is_rgb() && format.is_limited_range => Colours::RgbLimited,
        _ if pixels.is_rgb() => Colours::Bt601,
        // By definition (JFIF), whatever the driver says of the colours before they were compressed.
        _ if pixels == PixelFormat::Mjpeg => Colours::Bt601Full,
        (false, false) => Colours::Bt601,
        (false, true) => Colours::Bt601Full,
        (true, false) => Colours::Bt709,
        (true, true) => Colours::Bt709Full,
    }
}

/// Where the picture's planes are in a buffer's memory planes.
fn planes_of<'a>(
    format: &DriverFormat,
    pixels: PixelFormat,
    memory: &[&'a [u8]; MOST_PLANES],
) -> [RawPlane<'a>; 3] {
    let shapes = plane_shapes(pixels, format.resolution);
    let height = format.resolution.height as usize;
    let stride = format.strides[0] as usize;
    let mut planes = [RawPlane::EMPTY; 3];
    let mut start = 0;
    for (n, (plane, shape)) in planes.iter_mut().zip(shapes).enumerate().filter(|(_, (_, s))| s.bytes > 0) {
        if n > 0 && format.planes > 1 {
            *plane = RawPlane { data: memory[n], stride: format.strides[n] as usize };
            continue;
        }
        // Planes behind the first lie one after the other, with the stride of the first scaled to their width
        // (kernel: pixfmt-yuv-planar).
        let is_narrow = matches!(pixels, PixelFormat::Yu12 | PixelFormat::Yv12);
        let stride = match n {
            0 => stride,
            _ if is_narrow => stride / 2,
            _ if pixels == PixelFormat::Nv24 => stride * 2,
            _ => stride,
        };
        *plane = RawPlane { data: memory[0].get(start..).unwrap_or_default(), stride };
        start += stride * height.div_ceil(shape.rows_per);
    }
    planes
}

impl Drop for Stream {
    fn drop(&mut self) {
        // A device that is gone answers with errors; there is nothing to free then.
        let _ = buffers::stream(self.fd(), self.api, false);
        // What is read still stays mapped; the kernel frees it when the last reader lets go.
        self.buffers.clear();
        let _ = buffers::free_buffers(self.fd(), self.api);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video::format::Resolution;

    fn format(strides: [u32; 2], planes: usize) -> DriverFormat {
        let mut all = [0; MOST_PLANES];
        all[..2].copy_from_slice(&strides);
        let resolution = Resolution::new(6, 4);
        DriverFormat {
            fourcc: [0; 4],
            resolution,
            strides: all,
            planes,
            is_bt709: false,
            is_full_range: false,
            is_limited_range: false,
        }
    }

    #[test]
    fn limited_range_counts_for_rgb_only_where_it_is_declared() {
        let plain = format([8, 0], 1);
        let declared = DriverFormat { is_limited_range: true, ..plain };
        assert_eq!(colours_of(&plain, PixelFormat::Bgr24), Colours::Bt601);
        assert_eq!(colours_of(&declared, PixelFormat::Bgr24), Colours::RgbLimited);
        assert_eq!(colours_of(&declared, PixelFormat::Nv12), Colours::Bt601);
        assert_eq!(colours_of(&declared, PixelFormat::Mjpeg), Colours::Bt601Full);
        let full = DriverFormat { is_bt709: true, is_full_range: true, ..plain };
        assert_eq!(colours_of(&full, PixelFormat::Rgb565), Colours::Bt601);
        assert_eq!(colours_of(&full, PixelFormat::Yuyv), Colours::Bt709Full);
    }

    #[test]
    fn no_fourcc_stands_for_two_layouts() {
        let mut codes: Vec<_> = PixelFormat::ALL.iter().map(|pixels| pixels.fourcc()).collect();
        codes.extend(ALIASES.iter().map(|(code, _)| *code));
        let count = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), count);
        assert!(codes.into_iter().all(|code| pixels_of(code).is_some()));
        assert_eq!(pixels_of(*b"NM12"), Some(PixelFormat::Nv12));
        assert_eq!(pixels_of(*b"H264"), None);
    }

    #[test]
    fn planes_are_found_in_one_or_several_memory_planes() {
        let bytes: Vec<u8> = (0..200).collect();
        let mut memory: [&[u8]; MOST_PLANES] = [&[]; MOST_PLANES];
        memory[0] = &bytes;
        let one = planes_of(&format([8, 0], 1), PixelFormat::Nv12, &memory);
        assert_eq!((one[0].data[0], one[0].stride, one[1].data[0], one[1].stride), (0, 8, 32, 8));
        let three = planes_of(&format([8, 0], 1), PixelFormat::Yu12, &memory);
        assert_eq!((three[1].data[0], three[1].stride, three[2].data[0]), (32, 4, 40));
        let wide = planes_of(&format([8, 0], 1), PixelFormat::Nv24, &memory);
        assert_eq!((wide[1].data[0], wide[1].stride), (32, 16));
        memory[1] = &bytes[100..];
        let two = planes_of(&format([8, 16], 2), PixelFormat::Nv12, &memory);
        assert_eq!((two[1].data[0], two[1].stride), (100, 16));
        memory[2] = &bytes[150..];
        let mut yv12 = format([8, 5], 3);
        yv12.strides[2] = 6;
        let three = planes_of(&yv12, PixelFormat::Yv12, &memory);
        assert_eq!((three[1].data[0], three[1].stride, three[2].data[0], three[2].stride), (100, 5, 150, 6));
        let packed = planes_of(&format([20, 0], 1), PixelFormat::Yuyv, &memory);
        assert_eq!((packed[0].stride, packed[1].data.len()), (20, 0));
    }
}
