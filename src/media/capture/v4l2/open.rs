//! An open V4L2 node: what it is, its modes, setting one of them, its EDID.

use std::io;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::choose::{self, Mode};
use super::find::{Candidate, Finder};
use super::stick::{Believed, Stick};
use super::stream::{Stream, pixels_of};
use super::sys::hdmi::Timings;
use super::sys::{self, Api, Capability, DriverFormat, hdmi};
use crate::media::capture::PassedOver;
use crate::video::format::{PixelFormat, Resolution};

/// An open node.
pub(super) struct Open {
    // Closed before the descriptor.
    pub(super) stream: Option<Stream>,
    pub(super) device: v4l::Device,
    pub(super) path: PathBuf,
    pub(super) capability: Capability,
    pub(super) api: Api,
    pub(super) has_timings: bool,
    pub(super) has_events: bool,
    /// The timings that were measured last.
    pub(super) timings: Option<Timings>,
    /// The timings that are set.
    pub(super) set_timings: Option<Timings>,
    /// What may be tried, best first; the one that is set is `at`.
    pub(super) modes: Vec<Mode>,
    pub(super) at: usize,
    /// The mode of the largest pictures, with the size that it really gave if it was set once.
    pub(super) whole: Option<Mode>,
    /// The first of `modes` is a smaller one, tried before the others because no more is wished.
    pub(super) has_smaller: bool,
    pub(super) format: Option<(DriverFormat, PixelFormat)>,
    /// Formats whose frames could not be used.
    pub(super) refused: Vec<PassedOver>,
    /// What a hot-plug pulse shows again.
    pub(super) edid: Option<Vec<u8>>,
    pub(super) is_unplugged: bool,
    pub(super) stick: Option<Stick>,
}

/// Opens the first node that is the device, and tells which of the finder's marks it is; with none of them, one of the
/// same kind at another place. Another device that has got its number is not taken for it. `believed`: of the stick, if it
/// is one and was open before.
pub(super) fn open_first(finder: &Finder, believed: Believed) -> io::Result<(usize, Open)> {
    let (mut like_it, mut first) = (None, None);
    for Candidate { mark, path } in finder.candidates() {
        match Open::at(&path, believed) {
            Ok(open) if finder.is_it(mark, &open.capability) => return Ok((mark, open)),
            Ok(open) if like_it.is_none() && finder.is_like_it(mark, &open.capability) => {
                like_it = Some((mark, open));
            }
            Ok(open) => {
                let card = &open.capability.card;
                let text = format!("\"{card}\" is there instead, another device; restart kvmdesk to take it");
                first.get_or_insert(io::Error::new(io::ErrorKind::NotFound, text));
            }
            Err(error) => {
                first.get_or_insert(error);
            }
        }
    }
    like_it.ok_or_else(|| first.unwrap_or_else(|| io::Error::from_raw_os_error(libc::ENOENT)))
}

impl Open {
    pub(super) fn at(path: &Path, believed: Believed) -> io::Result<Self> {
        if path.as_os_str().as_bytes().contains(&0) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the device's path holds a zero byte"));
        }
        let device = v4l::Device::with_path(path)?;
        let fd = device.handle().fd();
        let capability = sys::capability(fd)?;
        let Some(api) = capability.api else {
            return Err(io::Error::other(
                "this device does not capture video; name another one in the config",
            ));
        };
        let has_events = hdmi::subscribe_source_change(fd).is_ok();
        Ok(Self {
            stream: None,
            device,
            path: path.to_owned(),
            capability,
            api,
            has_timings: true,
            has_events,
            timings: None,
            set_timings: None,
            modes: Vec::new(),
            at: 0,
            whole: None,
            has_smaller: false,
            format: None,
            refused: Vec::new(),
            edid: None,
            is_unplugged: false,
            stick: Stick::beside(path, believed),
        })
    }

    pub(super) fn fd(&self) -> RawFd {
        self.device.handle().fd()
    }

    /// The smaller mode that is set, if it is one.
    pub(super) fn smaller_set(&self) -> Option<Mode> {
        self.modes.first().filter(|_| self.has_smaller && self.at == 0).copied()
    }

    /// The mode for pictures that need not be larger than `wish`, if there is a smaller one than usual.
    pub(super) fn smaller(&self, modes: &[Mode], wish: Option<Resolution>) -> Option<Mode> {
        let whole = self.whole.as_ref().or(modes.first())?;
        let wish = wish.filter(|_| choose::scales(&self.capability.driver, self.has_timings))?;
        choose::smaller(modes, whole, wish)
    }

    /// The size of the signal, as far as it is known, when pictures of the size `captured` come.
    pub(super) fn signal_size(&self, captured: Resolution) -> Resolution {
        self.whole.map_or(captured, |whole| whole.size)
    }

    pub(super) fn plug(&mut self, is_plugged: bool) -> io::Result<()> {
        let Some(edid) = &self.edid else { return Ok(()) };
        hdmi::set_edid(self.fd(), if is_plugged { edid } else { &[] })?;
        self.is_unplugged = !is_plugged;
        Ok(())
    }

    /// What may be tried for `formats` (all, if there are none), and what not.
    pub(super) fn modes(&self, formats: &[PixelFormat]) -> io::Result<(Vec<Mode>, Vec<PassedOver>)> {
        let is_strict = !formats.is_empty() && formats != PixelFormat::ALL;
        let formats = if formats.is_empty() { &PixelFormat::ALL } else { formats };
        let now = sys::get_format(self.fd(), self.api)?.resolution;
        let (mut modes, mut passed_over) = (Vec::new(), Vec::new());
        for fourcc in sys::formats(self.fd(), self.api) {
            let reason = match pixels_of(fourcc) {
                None => "not a layout that is read here",
                Some(pixels) if !formats.contains(&pixels) => "not among the configured formats",
                Some(pixels) => {
                    modes.extend(self.modes_of(fourcc, pixels, now));
                    continue;
                }
            };
            passed_over.push(PassedOver { fourcc, reason: reason.to_owned() });
        }
        Ok((choose::order(modes, formats, is_strict), passed_over))
    }

    /// The sizes and rates of a format: those of the signal where there are timings, else those that the driver lists.
    pub(super) fn modes_of(&self, fourcc: [u8; 4], pixels: PixelFormat, now: Resolution) -> Vec<Mode> {
        use v4l::frameinterval::FrameIntervalEnum;
        use v4l::framesize::FrameSizeEnum;
        use v4l::video::Capture;

        let plain = |size| vec![Mode { fourcc, pixels, size, interval: None }];
        if let Some(timings) = self.timings.filter(|_| self.has_timings) {
            return plain(timings.resolution());
        }
        let code = v4l::FourCC::new(&fourcc);
        let mut modes = Vec::new();
        for size in self.device.enum_framesizes(code).unwrap_or_default() {
            let FrameSizeEnum::Discrete(size) = size.size else { continue };
            let resolution = Resolution::new(size.width, size.height);
            let intervals =
                self.device.enum_frameintervals(code, size.width, size.height).unwrap_or_default();
            let before = modes.len();
            modes.extend(intervals.into_iter().map(|interval| {
                let shortest = match interval.interval {
                    FrameIntervalEnum::Discrete(shortest) => shortest,
                    FrameIntervalEnum::Stepwise(steps) => steps.min,
                };
                let interval = Some((shortest.numerator, shortest.denominator));
                Mode { fourcc, pixels, size: resolution, interval }
            }));
            if modes.len() == before {
                modes.extend(plain(resolution));
            }
        }
        if modes.is_empty() { plain(now) } else { modes }
    }

    pub(super) fn set(&self, mode: &Mode) -> io::Result<DriverFormat> {
        let format = sys::set_format(self.fd(), self.api, mode.fourcc, mode.size)?;
        let is_sized =
            self.timings.filter(|_| self.has_timings).is_none_or(|t| t.resolution() == format.resolution);
        if format.fourcc != mode.fourcc {
            let text = format!("the driver sets {} instead", PassedOver::name_of(format.fourcc));
            return Err(io::Error::other(text));
        }
        if !choose::is_sane(format.resolution) {
            return Err(io::Error::other(format!("pictures of {} are not taken", format.resolution)));
        }
        if !is_sized {
            let text = format!("the driver sets {} where the signal is {}", format.resolution, mode.size);
            return Err(io::Error::other(text));
        }
        if format.strides[0] == 0 && mode.pixels != PixelFormat::Mjpeg {
            return Err(io::Error::other("the driver gives rows of no length"));
        }
        hdmi::reset_selection(self.fd(), format.resolution);
        // Composing may have changed what is delivered.
        let now = sys::get_format(self.fd(), self.api)?;
        if (now.fourcc, now.resolution) != (format.fourcc, format.resolution) {
            return Err(io::Error::other(format!("the driver changed to {}", now.resolution)));
        }
        Ok(now)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // A computer must not be left without a display because this ends in the middle of a pulse.
        if self.is_unplugged {
            let _ = self.plug(true);
        }
    }
}
