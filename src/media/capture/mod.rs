//! Where pictures come from: a source is asked for its newest frame, lends it together with the one before it
//! (held back, not copied, so that both can be compared), and says what the signal is. One file a source.

pub mod ladder;
pub mod pattern;
pub mod v4l2;

use std::path::PathBuf;
use std::time::Instant;

use self::ladder::RungCounts;
use super::captured::CapturedPicture;
use super::wake::WakeReceiver;
use crate::video::format::{PixelFormat, Resolution};
use crate::video::signal::SignalState;

/// One plane of a captured picture.
#[derive(Debug, Clone, Copy)]
pub struct RawPlane<'a> {
    /// The rows; may be longer than they need to be.
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
}

/// A captured picture, lent by its source.
#[derive(Debug, Clone, Copy)]
pub struct RawFrame<'a> {
    /// How pixels are laid out.
    pub format: PixelFormat,
    /// Its size, the signal's or what the device made of it; may be odd.
    pub resolution: Resolution,
    /// In memory order: one plane for packed formats, two for NV12 and its kin, three for YU12 and YV12. A JPEG is
    /// the first plane's `data`, from its first marker to its last.
    pub planes: [RawPlane<'a>; 3],
    /// What its numbers mean.
    pub colours: Colours,
    /// When it was captured.
    pub captured_at: Instant,
}

/// What the values of a captured picture mean. Encoders get BT.601 limited range, because that is
/// what controllers take everything for (reference: session 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Colours {
    /// BT.601, 16..=235: needs no change. Also red, green and blue of 0..=255.
    #[default]
    Bt601,
    /// BT.601, 0..=255, as many USB grabbers give.
    Bt601Full,
    /// BT.709, 16..=235, as HDMI has it from 720 lines up.
    Bt709,
    /// BT.709, 0..=255.
    Bt709Full,
    /// Red, green and blue of 16..=235, as HDMI has them in video modes.
    RgbLimited,
}

/// The newest frame and the one that the source lent before it.
#[derive(Debug, Clone)]
pub struct FramePair<'a> {
    /// The newest frame.
    pub current: RawFrame<'a>,
    /// The frame lent before; `None` after a change of mode, a loss of signal or a wake-up.
    pub previous: Option<RawFrame<'a>>,
    /// The newest frame again, where it needs no conversion and may be kept beyond the loan.
    pub captured: Option<CapturedPicture>,
}

/// What a source says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceState {
    /// The state of its signal.
    pub signal: SignalState,
    /// Size of the signal, the last one while there is none; `None` if there never was one.
    pub resolution: Option<Resolution>,
}

/// A format that a device offers and that is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// Its FourCC.
    pub fourcc: [u8; 4],
    /// Why.
    pub reason: String,
}

impl PassedOver {
    /// The FourCC as text.
    pub fn name(&self) -> String {
        Self::name_of(self.fourcc)
    }

    /// Any FourCC as text. The highest bit of the last byte means big endian (kernel: v4l2_fourcc_be).
    pub fn name_of(fourcc: [u8; 4]) -> String {
        let [a, b, c, d] = fourcc;
        let text: String = [a, b, c, d & 0x7f].iter().map(|byte| char::from(*byte)).collect();
        let suffix = if d & 0x80 == 0 { "" } else { "-BE" };
        format!("{}{suffix}", text.trim_end().escape_default())
    }
}

/// What a source did to keep going, for `status` and `probe`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceReport {
    /// Rungs of the recovery ladder that were taken; the first opening counts as one.
    pub recovery: RungCounts,
    /// Frames that were left out because they were damaged, cut off or of another size.
    pub damaged: u64,
    /// FourCC of what is captured.
    pub format: Option<[u8; 4]>,
    /// Formats that are not used, and why.
    pub passed_over: Vec<PassedOver>,
    /// Why the configured EDID is not shown, as a sentence.
    pub edid_fault: Option<String>,
    /// What is open; `None` while nothing is.
    pub opened: Option<Opened>,
}

/// The node that is captured from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The node.
    pub node: PathBuf,
    /// Which of the settings' devices it is, from 0.
    pub which: usize,
}

/// What ended a wait.
#[derive(Debug, PartialEq, Eq)]
pub enum SourceEvent {
    /// A newer frame can be lent by [`Source::frame`].
    Frame,
    /// [`Source::state`] changed.
    State,
    /// The wake signal came, or nothing happened until the deadline.
    Nothing,
}

/// A source of pictures. Lives on its pipeline's thread.
pub trait Source: Send {
    /// What the signal is now; does not block.
    fn state(&self) -> SourceState;

    /// What it did to keep going.
    fn report(&self) -> SourceReport {
        SourceReport::default()
    }

    /// Frames larger than this would be scaled down: where the device itself offers smaller ones of the whole signal, it
    /// may give those instead; `None` for as large as there are. [`SourceState::resolution`] remains the signal's.
    fn set_wish(&mut self, _size: Option<Resolution>) {}

    /// Starts or stops taking frames. While asleep only the signal is watched.
    fn set_awake(&mut self, is_awake: bool);

    /// Blocks in poll(2) until a frame newer than the one last lent is there (not before `not_before`, older ones
    /// are dropped meanwhile), the state changed, `wake` was signalled, or `until` is reached.
    fn wait(&mut self, wake: &WakeReceiver, not_before: Instant, until: Instant) -> SourceEvent;

    /// The frame that was lent last could not be used, in words why. A source with another format may change to it.
    fn spoilt(&mut self, _reason: &str) {}

    /// Lends the newest frame after [`SourceEvent::Frame`]; the frame lent before becomes `previous`.
    fn frame(&mut self) -> Option<FramePair<'_>>;
}

impl<'a> RawPlane<'a> {
    /// A plane that is not there.
    pub const EMPTY: RawPlane<'static> = RawPlane { data: &[], stride: 0 };

    /// The visible bytes of row `row`, or `None` if the plane does not hold it.
    pub fn row(&self, row: usize, length: usize) -> Option<&'a [u8]> {
        let start = row.checked_mul(self.stride)?;
        self.data.get(start..start.checked_add(length)?)
    }
}

/// What one row of a plane is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaneShape {
    /// Visible bytes of a row (of the even width), 0 for a plane that the format does not have.
    pub bytes: usize,
    /// How many picture rows share one row of the plane, 1 or 2.
    pub rows_per: usize,
}

impl RawFrame<'_> {
    /// The shapes of the planes, for the picture cut to even size.
    pub fn plane_shapes(&self) -> [PlaneShape; 3] {
        plane_shapes(self.format, self.resolution)
    }
}

/// The shapes of the planes of a picture, cut to even size.
pub fn plane_shapes(format: PixelFormat, resolution: Resolution) -> [PlaneShape; 3] {
    let width = resolution.to_even().width as usize;
    let full = |bytes| PlaneShape { bytes, rows_per: 1 };
    let half = |bytes| PlaneShape { bytes, rows_per: 2 };
    match format {
        PixelFormat::Yuyv
        | PixelFormat::Uyvy
        | PixelFormat::Yvyu
        | PixelFormat::Vyuy
        | PixelFormat::Rgb565 => [full(width * 2), full(0), full(0)],
        PixelFormat::Bgr24 | PixelFormat::Rgb24 => [full(width * 3), full(0), full(0)],
        PixelFormat::Bgrx32 | PixelFormat::Rgbx32 | PixelFormat::Xrgb32 | PixelFormat::Xbgr32 => {
            [full(width * 4), full(0), full(0)]
        }
        PixelFormat::Grey => [full(width), full(0), full(0)],
        // Its bytes are no rows: compared whole, and decoded before anything is read from it.
        PixelFormat::Mjpeg => [full(0); 3],
        PixelFormat::Nv12 | PixelFormat::Nv21 => [full(width), half(width), full(0)],
        PixelFormat::Nv16 | PixelFormat::Nv61 => [full(width), full(width), full(0)],
        PixelFormat::Nv24 => [full(width), full(width * 2), full(0)],
        PixelFormat::Yu12 | PixelFormat::Yv12 => [full(width), half(width / 2), half(width / 2)],
    }
}
