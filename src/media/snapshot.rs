//! One picture for its own sake: a screenshot in the app, `kvmdesk snapshot`. Red, green and blue are taken from the
//! captured frame itself, not from what encoders are given.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;
use yuv::{YuvPlanarImage, YuvRange, YuvStandardMatrix, yuv420_to_rgb};

use super::capture::RawFrame;
use super::convert::{ConvertError, convert_stripes, from_565};
use super::picture::{I420Picture, Stripes};
use crate::video::format::{PixelFormat, Resolution};
use crate::video::signal::SignalState;

/// Screenshots that wait for a picture at most.
const MOST_WAITING: usize = 64;

/// A picture as it was captured, before any encoder.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Width x height in pixels.
    pub resolution: Resolution,
    /// Red, green, blue, one byte each, rows without gaps.
    pub rgb: Vec<u8>,
    /// When it was captured.
    pub captured_at: Instant,
}

/// Why there is no picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The source shows nothing.
    #[error("there is no picture: {}", .0.sentence())]
    NoSignal(SignalState),
    /// The source should show something, but no frame came in time.
    #[error("no picture came in time; try again")]
    TimedOut,
    /// The pipeline ended.
    #[error("the video pipeline has ended")]
    Gone,
}

impl Snapshot {
    /// The picture of a captured frame, cut to even size.
    ///
    /// # Errors
    /// [`ConvertError`] if the frame is shorter than its size needs.
    pub fn of(frame: &RawFrame<'_>) -> Result<Self, ConvertError> {
        let resolution = frame.resolution.to_even();
        let rgb = match channels(frame.format) {
            Some(channels) => from_rgb(frame, resolution, channels)?,
            None if frame.format == PixelFormat::Rgb565 => from_rgb565(frame, resolution)?,
            None => from_luma_and_chroma(frame, resolution)?,
        };
        Ok(Self { resolution, rgb, captured_at: frame.captured_at })
    }

    /// The picture as a PNG file, quickly rather than small.
    pub fn to_png(&self) -> Vec<u8> {
        let mut file = Vec::with_capacity(self.rgb.len() / 4);
        let mut encoder = png::Encoder::new(&mut file, self.resolution.width, self.resolution.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Fast);
        let written = encoder.write_header().and_then(|mut writer| {
            writer.write_image_data(&self.rgb)?;
            writer.finish()
        });
        if let Err(error) = written {
            tracing::error!(%error, "a picture could not be written as PNG");
            file.clear();
        }
        file
    }
}

/// Bytes of a pixel, and which of them are red, green and blue; `None` for other layouts.
fn channels(format: PixelFormat) -> Option<(usize, [usize; 3])> {
    const LAYOUTS: [(PixelFormat, usize, [usize; 3]); 6] = [
        (PixelFormat::Rgb24, 3, [0, 1, 2]),
        (PixelFormat::Bgr24, 3, [2, 1, 0]),
        (PixelFormat::Rgbx32, 4, [0, 1, 2]),
        (PixelFormat::Bgrx32, 4, [2, 1, 0]),
        (PixelFormat::Xrgb32, 4, [1, 2, 3]),
        (PixelFormat::Xbgr32, 4, [3, 2, 1]),
    ];
    LAYOUTS.into_iter().find(|(known, ..)| *known == format).map(|(_, bytes, order)| (bytes, order))
}

fn from_rgb(
    frame: &RawFrame<'_>,
    size: Resolution,
    (bytes, order): (usize, [usize; 3]),
) -> Result<Vec<u8>, ConvertError> {
    let mut rgb = Vec::with_capacity(size.width as usize * size.height as usize * 3);
    for row in 0..size.height as usize {
        let row = frame.planes[0].row(row, size.width as usize * bytes).ok_or(ConvertError::TooShort)?;
        rgb.extend(row.chunks_exact(bytes).flat_map(|pixel| order.map(|at| pixel[at])));
    }
    Ok(rgb)
}

fn from_rgb565(frame: &RawFrame<'_>, size: Resolution) -> Result<Vec<u8>, ConvertError> {
    let mut rgb = Vec::with_capacity(size.width as usize * size.height as usize * 3);
    for row in 0..size.height as usize {
        let row = frame.planes[0].row(row, size.width as usize * 2).ok_or(ConvertError::TooShort)?;
        rgb.extend(row.as_chunks::<2>().0.iter().flat_map(from_565));
    }
    Ok(rgb)
}

fn from_luma_and_chroma(frame: &RawFrame<'_>, size: Resolution) -> Result<Vec<u8>, ConvertError> {
    let mut picture = I420Picture::new(size);
    convert_stripes(frame, &Stripes::all(size.height), &mut picture)?;
    let Resolution { width, height } = picture.resolution();
    let planes = YuvPlanarImage {
        y_plane: picture.y(),
        y_stride: width,
        u_plane: picture.u(),
        u_stride: width / 2,
        v_plane: picture.v(),
        v_stride: width / 2,
        width,
        height,
    };
    let mut rgb = vec![0; width as usize * height as usize * 3];
    yuv420_to_rgb(&planes, &mut rgb, width * 3, YuvRange::Limited, YuvStandardMatrix::Bt601)
        .map_err(|_| ConvertError::TooShort)?;
    Ok(rgb)
}

type Answer = Result<Snapshot, SnapshotError>;

/// One who waits, and until when.
pub(super) struct Waiting {
    pub(super) until: Instant,
    answer: oneshot::Sender<Answer>,
}

impl Waiting {
    /// Tells the result; nothing happens if nobody wants it any more.
    pub(super) fn answer(self, answer: Answer) {
        let _ = self.answer.send(answer);
    }
}

/// Where those who want a screenshot wait for the pipeline's thread.
#[derive(Default)]
pub(super) struct Desk {
    state: Mutex<DeskState>,
}

#[derive(Default)]
struct DeskState {
    waiting: Vec<Waiting>,
    is_closed: bool,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("waiting", &self.lock().waiting.len()).finish()
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, DeskState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to wait until `until`.
    pub(super) fn ask(&self, until: Instant) -> Result<oneshot::Receiver<Answer>, SnapshotError> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(SnapshotError::Gone);
        }
        state.waiting.retain(|waiting| !waiting.answer.is_closed());
        if state.waiting.len() >= MOST_WAITING {
            return Err(SnapshotError::TimedOut);
        }
        let (answer, receiver) = oneshot::channel();
        state.waiting.push(Waiting { until, answer });
        Ok(receiver)
    }

    /// When the first of those who wait gives up.
    pub(super) fn first_until(&self) -> Option<Instant> {
        self.lock().waiting.iter().map(|waiting| waiting.until).min()
    }

    /// All who wait.
    pub(super) fn take(&self) -> Vec<Waiting> {
        std::mem::take(&mut self.lock().waiting)
    }

    /// Those who have waited until `now`.
    pub(super) fn take_late(&self, now: Instant) -> Vec<Waiting> {
        self.lock().waiting.extract_if(.., |waiting| waiting.until <= now).collect()
    }

    /// Nobody is served any more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.waiting.clear();
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests own their clocks")]
mod tests {
    use super::*;
    use crate::media::capture::{Colours, RawPlane};

    fn snapshot(format: PixelFormat, data: &[u8], stride: usize) -> Result<Snapshot, ConvertError> {
        Snapshot::of(&RawFrame {
            format,
            resolution: Resolution::new(3, 2),
            planes: [RawPlane { data, stride }, RawPlane::EMPTY, RawPlane::EMPTY],
            colours: Colours::Bt601,
            captured_at: Instant::now(),
        })
    }

    #[test]
    fn red_green_and_blue_keep_every_pixel() {
        let pixels = [[250u8, 10, 0], [0, 255, 7], [1, 2, 3], [40, 50, 60]];
        for (format, bytes, order) in [
            (PixelFormat::Rgb24, 3, [0, 1, 2]),
            (PixelFormat::Bgr24, 3, [2, 1, 0]),
            (PixelFormat::Rgbx32, 4, [0, 1, 2]),
            (PixelFormat::Bgrx32, 4, [2, 1, 0]),
            (PixelFormat::Xrgb32, 4, [1, 2, 3]),
            (PixelFormat::Xbgr32, 4, [3, 2, 1]),
        ] {
            let mut data = Vec::new();
            for row in pixels.chunks(2) {
                for pixel in row.iter().chain([&[9; 3]]) {
                    let mut raw = vec![77; bytes];
                    order.iter().zip(pixel).for_each(|(at, value)| raw[*at] = *value);
                    data.extend(raw);
                }
            }
            let picture = snapshot(format, &data, bytes * 3).unwrap();
            assert_eq!(picture.resolution, Resolution::new(2, 2));
            assert_eq!(picture.rgb, pixels.concat(), "{format:?}");
            assert_eq!(
                snapshot(format, &data[..bytes * 5 - 1], bytes * 3).unwrap_err(),
                ConvertError::TooShort
            );
        }
        let white = snapshot(PixelFormat::Rgb565, &[255; 12], 6).unwrap();
        assert_eq!(white.rgb, [255; 12]);
    }

    #[test]
    fn luma_and_chroma_become_colours() {
        // YUYV: red of BT.601.
        let red = snapshot(PixelFormat::Yuyv, &[81, 90, 81, 240].repeat(4)[..14], 8).unwrap();
        for pixel in red.rgb.chunks(3) {
            assert!(pixel[0] >= 252 && pixel[1] <= 3 && pixel[2] <= 3, "{pixel:?}");
        }
    }

    #[test]
    fn a_png_holds_the_same_pixels() {
        let rgb: Vec<u8> = (0..640 * 48 * 3).map(|n| (n * 7 % 251) as u8).collect();
        let resolution = Resolution::new(640, 48);
        let file = Snapshot { resolution, rgb: rgb.clone(), captured_at: Instant::now() }.to_png();
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut read = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut read).unwrap();
        assert_eq!((info.width, info.height, read), (640, 48, rgb));
    }
}
