//! A V4L2 capture device: HDMI receivers with DV timings and plain USB grabbers. Follows the signal (source-change
//! events, and a look each second while there is none), opens the device again when it comes back, and never
//! shows a frame from before a change of the signal.
#![allow(clippy::disallowed_methods, reason = "an edge: waits and retries are real time")]

use std::io;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::v4l2_stream::{Stream, fourccs};
use super::v4l2_sys::{self, Api, DriverFormat, Timings};
use super::{FramePair, Source, SourceEvent, SourceState};
use crate::media::wake::WakeReceiver;
use crate::video::format::{PixelFormat, Resolution};
use crate::video::signal::SignalState;

/// How often the signal is asked for while there is none, and where the driver has no events.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is asked for otherwise.
const RARE_LOOK: Duration = Duration::from_secs(10);
/// Without a frame for so long the picture counts as stalled.
const STALL: Duration = Duration::from_secs(2);
/// After a failure the device is left alone so long.
const REST: Duration = Duration::from_millis(100);
/// First and longest pause before the device is opened again.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));

/// What a capture device is opened with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct V4l2Settings {
    /// Device node, for instance `/dev/video0` or a link in `/dev/v4l/by-path`.
    pub device: PathBuf,
    /// The formats that may be used, best first.
    pub formats: Vec<PixelFormat>,
    /// What the receiver tells the computer that it can show; `None` leaves it as it is.
    pub edid: Option<Vec<u8>>,
}

/// A capture device as a source.
pub struct V4l2Source {
    path: PathBuf,
    /// The formats that may be used, best first.
    formats: Vec<PixelFormat>,
    state: SourceState,
    is_awake: bool,
    /// No frame came for [`STALL`]; a frame or the loss of the signal ends it.
    is_stalled: bool,
    device: Option<Device>,
    retry_at: Instant,
    retry_pause: Duration,
    /// The reason that was logged last, so that a missing device is one line.
    last_failure: Option<String>,
}

/// An open device.
struct Device {
    stream: Option<Stream>,
    device: v4l::Device,
    api: Api,
    has_timings: bool,
    has_events: bool,
    format: Option<(DriverFormat, PixelFormat)>,
    look_at: Instant,
    /// Until then a device that failed is neither polled nor started.
    rest_until: Instant,
    /// When the last frame came, or streaming began.
    last_frame: Instant,
}

impl std::fmt::Debug for V4l2Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("V4l2Source")
            .field("path", &self.path)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl V4l2Source {
    /// The device at `path`. Tries to open it at once, so that the size is known before anybody watches; if it
    /// is not there, goes on trying.
    pub fn new(path: PathBuf) -> Self {
        Self::with_formats(path, PixelFormat::ALL.to_vec())
    }

    /// The same with a list of formats, best first; others are not used.
    pub fn with_formats(path: PathBuf, formats: Vec<PixelFormat>) -> Self {
        let mut source = Self {
            path,
            formats,
            is_stalled: false,
            state: SourceState { signal: SignalState::NoDevice, resolution: None },
            is_awake: false,
            device: None,
            retry_at: Instant::now(),
            retry_pause: RETRY.0,
            last_failure: None,
        };
        source.open();
        source
    }

    fn open(&mut self) {
        match Device::open(&self.path) {
            Ok(device) => {
                tracing::info!(device = %self.path.display(), api = ?device.api, "capture device opened");
                self.device = Some(device);
                self.retry_pause = RETRY.0;
                self.last_failure = None;
                self.look();
            }
            Err(error) => self.lose(&error),
        }
    }

    /// The device is gone or of no use: closes it and tries again later.
    fn lose(&mut self, error: &io::Error) {
        let text = error.to_string();
        if self.last_failure.as_ref() != Some(&text) {
            tracing::warn!(device = %self.path.display(), error = %text, "no capture device");
            self.last_failure = Some(text);
        }
        self.device = None;
        self.is_stalled = false;
        self.state.signal = SignalState::NoDevice;
        self.retry_at = Instant::now() + self.retry_pause;
        self.retry_pause = (self.retry_pause * 2).min(RETRY.1);
    }

    /// Asks for the signal and follows it: new timings, new format. Streaming has stopped if they changed.
    fn look(&mut self) {
        let Some(device) = &mut self.device else { return };
        match device.look(&self.formats) {
            Ok((signal, resolution)) => {
                // A stall ends with a frame, not with a look.
                self.is_stalled &= signal == SignalState::Active;
                let signal = if self.is_stalled { SignalState::Stalled } else { signal };
                let resolution = resolution.or(self.state.resolution);
                self.state = SourceState { signal, resolution };
            }
            Err(error) => self.lose(&error),
        }
    }

    /// Does what poll(2) or the clock asks for.
    fn step(&mut self, revents: i16) -> io::Result<()> {
        let Some(device) = &mut self.device else { return Ok(()) };
        let now = Instant::now();
        if revents & libc::POLLPRI != 0 && v4l2_sys::take_source_change(device.fd())? {
            // Whatever is in the buffers now is of the old signal.
            device.stream = None;
            device.look_at = now;
        }
        let mut has_frame = false;
        let mut is_broken = revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0;
        if let Some(stream) = &mut device.stream {
            if revents & libc::POLLIN != 0 {
                match stream.drain() {
                    Ok(came) => has_frame = came,
                    Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Err(error),
                    Err(error) => {
                        tracing::warn!(%error, "capture failed, starting it again");
                        is_broken = true;
                    }
                }
            }
            if has_frame {
                device.last_frame = now;
                self.is_stalled = false;
                self.state.signal = SignalState::Active;
            } else if now >= device.last_frame + STALL {
                self.is_stalled = true;
                is_broken = true;
            }
        }
        if is_broken {
            // A device that is gone says so when it is asked for its signal; one that only fails gets a rest.
            device.stream = None;
            device.look_at = now;
            device.rest_until = now + REST;
        }
        if now >= device.look_at {
            self.look();
        }
        Ok(())
    }

    /// Starts or stops streaming as it should be.
    fn follow(&mut self) {
        let is_live = matches!(self.state.signal, SignalState::Active | SignalState::Stalled);
        let Some(device) = &mut self.device else { return };
        if !self.is_awake || !is_live {
            device.stream = None;
        } else if device.stream.is_none()
            && Instant::now() >= device.rest_until
            && let Some((format, pixels)) = device.format
        {
            match Stream::start(device.device.handle(), device.api, format, pixels) {
                Ok(stream) => {
                    device.stream = Some(stream);
                    device.last_frame = Instant::now();
                }
                Err(error) => {
                    tracing::warn!(%error, "capture does not start");
                    // Looking again sets timings and format anew; until then there is nothing to stream.
                    device.format = None;
                    device.look_at = Instant::now() + LOOK;
                    self.is_stalled = true;
                    self.state.signal = SignalState::Stalled;
                }
            }
        }
    }
}

impl Source for V4l2Source {
    fn state(&self) -> SourceState {
        self.state
    }

    fn set_awake(&mut self, is_awake: bool) {
        self.is_awake = is_awake;
    }

    fn wait(&mut self, wake: &WakeReceiver, not_before: Instant, until: Instant) -> SourceEvent {
        let before = self.state;
        self.follow();
        if self.state != before {
            return SourceEvent::State;
        }
        let mut deadline = until;
        let descriptor = match &self.device {
            None => {
                deadline = deadline.min(self.retry_at);
                None
            }
            Some(device) => {
                deadline = deadline.min(device.look_at);
                let is_resting = Instant::now() < device.rest_until;
                if is_resting {
                    deadline = deadline.min(device.rest_until);
                }
                let mut events = libc::POLLPRI;
                if let Some(stream) = &device.stream {
                    events |= libc::POLLIN;
                    deadline = deadline.min(device.last_frame + STALL);
                    if stream.has_waiting() {
                        deadline = deadline.min(not_before);
                    }
                }
                (!is_resting).then(|| (device.fd(), events))
            }
        };
        let ready = wake.poll(descriptor, deadline);
        if self.device.is_none() {
            if Instant::now() >= self.retry_at {
                self.open();
            }
        } else if let Err(error) = self.step(ready.device) {
            self.lose(&error);
        }
        if self.state != before {
            return SourceEvent::State;
        }
        let has_waiting =
            self.device.as_ref().and_then(|d| d.stream.as_ref()).is_some_and(Stream::has_waiting);
        if has_waiting && Instant::now() >= not_before {
            return SourceEvent::Frame;
        }
        SourceEvent::Nothing
    }

    fn frame(&mut self) -> Option<FramePair<'_>> {
        let stream = self.device.as_mut()?.stream.as_mut()?;
        match stream.lend() {
            Ok(pair) => pair,
            Err(error) => {
                tracing::warn!(%error, "a buffer could not be given back");
                None
            }
        }
    }
}

impl Device {
    fn open(path: &Path) -> io::Result<Self> {
        if path.as_os_str().as_bytes().contains(&0) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the device's path holds a zero byte"));
        }
        let device = v4l::Device::with_path(path)?;
        let fd = device.handle().fd();
        let Some(api) = v4l2_sys::api_of(fd)? else {
            return Err(io::Error::other(
                "this device does not capture video; name another one in the config",
            ));
        };
        let has_events = v4l2_sys::subscribe_source_change(fd).is_ok();
        let now = Instant::now();
        Ok(Self {
            stream: None,
            device,
            api,
            has_timings: true,
            has_events,
            format: None,
            look_at: now,
            rest_until: now,
            last_frame: now,
        })
    }

    fn fd(&self) -> RawFd {
        self.device.handle().fd()
    }

    /// The signal and its size; the device is set to it. An error means that the device is gone.
    fn look(&mut self, formats: &[PixelFormat]) -> io::Result<(SignalState, Option<Resolution>)> {
        let timings = match self.query() {
            Ok(timings) => timings,
            Err(error) => {
                self.stream = None;
                self.format = None;
                self.look_at = Instant::now() + LOOK;
                let signal = match error.raw_os_error() {
                    // Without a cable or with the computer off: 5 V on the cable would not tell them apart.
                    Some(libc::ENOLINK) => SignalState::NoSignal,
                    Some(libc::ERANGE) => SignalState::OutOfRange,
                    Some(libc::ENODEV | libc::ENXIO | libc::EBADF) => return Err(error),
                    _ => SignalState::NoSync,
                };
                return Ok((signal, None));
            }
        };
        self.look_at = Instant::now() + if self.has_events || timings.is_none() { RARE_LOOK } else { LOOK };
        let size = timings.map(|t| t.resolution());
        if let Some((format, _)) = &self.format
            && size.is_none_or(|size| size == format.resolution)
        {
            return Ok((SignalState::Active, Some(format.resolution)));
        }
        self.stream = None;
        match self.configure(timings, formats) {
            Ok(format) => {
                self.format = Some(format);
                tracing::info!(format = ?format.1, size = %format.0.resolution, "capture format");
                Ok((SignalState::Active, Some(format.0.resolution)))
            }
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Err(error),
            Err(error) => {
                tracing::warn!(%error, "the capture device cannot be set to this signal");
                self.look_at = Instant::now() + LOOK;
                Ok((SignalState::NoSync, size))
            }
        }
    }

    /// The timings on the cable; `Ok(None)` for devices that have none.
    fn query(&mut self) -> io::Result<Option<Timings>> {
        if !self.has_timings {
            // Nothing to ask for but whether it is still there.
            return v4l2_sys::get_format(self.fd(), self.api).map(|_| None);
        }
        match v4l2_sys::query_timings(self.fd()) {
            Ok(timings) => Ok(Some(timings)),
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::ENOTTY | libc::ENODATA | libc::EINVAL)) =>
            {
                self.has_timings = false;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Sets timings and the best format that the device has.
    fn configure(
        &self,
        timings: Option<Timings>,
        formats: &[PixelFormat],
    ) -> io::Result<(DriverFormat, PixelFormat)> {
        if let Some(timings) = &timings {
            v4l2_sys::set_timings(self.fd(), timings)?;
        }
        let offered = v4l2_sys::formats(self.fd(), self.api);
        let mut size = v4l2_sys::get_format(self.fd(), self.api)?.resolution;
        let wanted = formats.iter().flat_map(|pixels| fourccs(*pixels).map(|fourcc| (fourcc, *pixels)));
        for (fourcc, pixels) in wanted.filter(|(fourcc, _)| offered.contains(fourcc)) {
            if timings.is_none() && self.api == Api::Single {
                size = best_size(&self.device, fourcc).unwrap_or(size);
            }
            let format = v4l2_sys::set_format(self.fd(), self.api, fourcc, size)?;
            let is_sized = timings.is_none_or(|t| t.resolution() == format.resolution);
            if format.fourcc == fourcc && is_sized && format.strides[0] > 0 {
                return Ok((format, pixels));
            }
        }
        let names: Vec<_> = offered.iter().map(|f| String::from_utf8_lossy(f).into_owned()).collect();
        let text =
            format!("none of its formats is known ({}); use a device with YUYV or NV12", names.join(" "));
        Err(io::Error::new(io::ErrorKind::Unsupported, text))
    }
}

/// For a grabber without timings: the largest size up to 1920x1080 at 20 frames a second or more, else the one with
/// the most frames.
fn best_size(device: &v4l::Device, fourcc: [u8; 4]) -> Option<Resolution> {
    use v4l::frameinterval::FrameIntervalEnum;
    use v4l::framesize::FrameSizeEnum;
    use v4l::video::Capture;

    let code = v4l::FourCC::new(&fourcc);
    let mut best: Option<((u64, u64), Resolution)> = None;
    for size in device.enum_framesizes(code).ok()? {
        let FrameSizeEnum::Discrete(size) = size.size else { continue };
        if size.width > 1920 || size.height > 1080 {
            continue;
        }
        let intervals = device.enum_frameintervals(code, size.width, size.height).unwrap_or_default();
        let fps = |interval: &v4l::FrameInterval| match &interval.interval {
            FrameIntervalEnum::Discrete(f) => u64::from(f.denominator) / u64::from(f.numerator.max(1)),
            FrameIntervalEnum::Stepwise(s) => {
                u64::from(s.min.denominator) / u64::from(s.min.numerator.max(1))
            }
        };
        let most = intervals.iter().map(fps).max().unwrap_or(0);
        let worth = (most.min(20), u64::from(size.width) * u64::from(size.height));
        if best.is_none_or(|(so_far, _)| worth > so_far) {
            best = Some((worth, Resolution::new(size.width, size.height)));
        }
    }
    best.map(|(_, size)| size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::wake;

    #[test]
    fn a_device_that_is_not_there_is_a_state_and_is_tried_again() {
        for path in ["/nonexistent/video0", "/dev/null", "/dev/video\0"] {
            let mut source = V4l2Source::new(PathBuf::from(path));
            assert_eq!(source.state(), SourceState { signal: SignalState::NoDevice, resolution: None });
            source.set_awake(true);
            let (_sender, receiver) = wake::pair().unwrap();
            let first = source.retry_at;
            let now = Instant::now();
            while source.retry_at == first {
                assert_eq!(source.wait(&receiver, now, now + Duration::from_secs(30)), SourceEvent::Nothing);
            }
            assert!(source.retry_pause > RETRY.0 && source.frame().is_none());
        }
    }
}
