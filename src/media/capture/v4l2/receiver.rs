//! What a capture device is asked and told, and when: follows the signal, notices stalls, climbs the recovery ladder.
//! The device is behind [`Hardware`] and the time is an argument, so that all of it can be simulated.

use std::io;
use std::time::{Duration, Instant};

use crate::media::capture::SourceState;
use crate::media::capture::ladder::{Ladder, Rung, RungCounts, Trouble};
use crate::video::format::Resolution;
use crate::video::signal::SignalState;

/// How often the signal is asked for while there is none, and where the driver has no events.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is asked for otherwise: drivers forget events.
const RARE_LOOK: Duration = Duration::from_secs(2);
/// Without a frame for so long the picture counts as stalled.
const STALL: Duration = Duration::from_secs(2);
/// So many frames in a row over so long that cannot be used: the format is none of use.
const SPOILT: (u32, Duration) = (30, Duration::from_secs(3));
/// How long the EDID is away in a hot-plug pulse; HDMI asks for at least 100 ms.
const PULSE: Duration = Duration::from_millis(500);

/// The device, as far as recovery is concerned. Errors are the kernel's.
pub trait Hardware {
    /// Finds the device and opens it.
    fn open(&mut self) -> io::Result<()>;

    /// Closes it.
    fn close(&mut self);

    /// The size of the signal on the cable; `None` for devices without timings. ENOLINK no signal, ENOLCK no lock,
    /// ERANGE out of range.
    fn query(&mut self) -> io::Result<Option<Resolution>>;

    /// Whether what is set is still what was queried last: a mode may change and keep its size.
    fn is_set(&self) -> bool;

    /// Whether there are 5 V on the cable; `None` if that cannot be known.
    fn power_present(&mut self) -> Option<bool>;

    /// Frames need not be larger than this. Whether [`Hardware::configure`] would set another mode than the one set.
    fn set_wish(&mut self, wish: Option<Resolution>) -> bool;

    /// Sets the device to the signal that was queried last; gives the signal's size, of a device without timings the
    /// largest that it captures.
    fn configure(&mut self) -> io::Result<Resolution>;

    /// Starts to stream what was configured; may find that another format or size is what works. Gives the size as
    /// [`Hardware::configure`] does.
    fn start(&mut self) -> io::Result<Resolution>;

    /// Stops streaming.
    fn stop(&mut self);

    /// Passes the format that is set over until the device is opened again; false if there is no other.
    fn refuse_format(&mut self, reason: &str) -> bool;

    /// Whether the driver tells when the signal changes.
    fn has_events(&self) -> bool;

    /// Whether there is an EDID to make a hot-plug pulse with.
    fn can_hot_plug(&self) -> bool;

    /// Takes the EDID away, or shows it again.
    fn hot_plug(&mut self, is_plugged: bool) -> io::Result<()>;
}

/// The receiver's state.
#[derive(Debug)]
pub struct Receiver<H> {
    /// The device.
    pub hardware: H,
    state: SourceState,
    is_awake: bool,
    is_open: bool,
    is_streaming: bool,
    /// What is set; `None` if nothing is.
    configured: Option<Resolution>,
    look_at: Instant,
    last_frame: Instant,
    trouble: Option<Trouble>,
    ladder: Ladder,
    /// After a failure only a rung of the ladder lets the stream start again.
    may_start: bool,
    /// The failure is none that the computer could help with: another program has the device, or no format fits.
    is_local: bool,
    power: PowerSense,
    plug_at: Option<Instant>,
    /// Frames in a row that could not be used, and since when.
    spoilt: Option<(u32, Instant)>,
    /// What was logged last of a failure, so that each is one line.
    last_failure: Option<String>,
}

/// Whether "no 5 V" means anything. Where it means no more than "no signal" it would tell users to look at their
/// cables while the computer is merely asleep. So it is believed only of a device that has once been without signal
/// with 5 V there, which is what it does while a computer is asleep or starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PowerSense {
    is_believed: bool,
}

impl PowerSense {
    /// The state while there is no signal.
    pub fn without_signal(&mut self, power: Option<bool>) -> SignalState {
        self.is_believed |= power == Some(true);
        if self.is_believed && power == Some(false) { SignalState::NoCable } else { SignalState::NoSignal }
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO | libc::EBADF))
}

impl<H: Hardware> Receiver<H> {
    /// Opens the device at once, so that the size is known before anybody watches; if it is not there, goes on trying.
    pub fn new(hardware: H, now: Instant) -> Self {
        let mut receiver = Self {
            hardware,
            state: SourceState { signal: SignalState::NoDevice, resolution: None },
            is_awake: false,
            is_open: false,
            is_streaming: false,
            configured: None,
            look_at: now,
            last_frame: now,
            trouble: Some(Trouble::Gone),
            ladder: Ladder::default(),
            may_start: true,
            is_local: false,
            power: PowerSense::default(),
            plug_at: None,
            spoilt: None,
            last_failure: None,
        };
        receiver.tick(now);
        receiver
    }

    /// What the signal is.
    pub fn state(&self) -> SourceState {
        self.state
    }

    /// How often each rung was taken.
    pub fn counts(&self) -> RungCounts {
        self.ladder.counts()
    }

    /// Whether the device has anything to say: a stream that broke would say so without end.
    pub fn is_pollable(&self) -> bool {
        self.is_open && (self.is_streaming || self.trouble != Some(Trouble::Failed))
    }

    /// Starts or stops taking frames, at the next [`Receiver::tick`].
    pub fn set_awake(&mut self, is_awake: bool) {
        self.is_awake = is_awake;
    }

    /// Frames need not be larger than this: at the next [`Receiver::tick`] the device is set to a mode that gives no
    /// more, if it has one.
    pub fn set_wish(&mut self, wish: Option<Resolution>, now: Instant) {
        if self.hardware.set_wish(wish) {
            self.stop();
            self.configured = None;
            self.look_at = now;
        }
    }

    /// When [`Receiver::tick`] has to be called at the latest.
    pub fn deadline(&self) -> Instant {
        let mut deadline = if self.is_open { self.look_at } else { self.look_at + RARE_LOOK };
        if self.is_streaming && self.trouble.is_none() {
            deadline = deadline.min(self.last_frame + STALL);
        }
        if self.trouble.is_some() {
            deadline = deadline.min(self.ladder.due().unwrap_or(self.look_at));
        }
        self.plug_at.map_or(deadline, |at| deadline.min(at))
    }

    /// The driver says that the signal changed: what is in the buffers now is of the old one.
    pub fn source_changed(&mut self, now: Instant) {
        self.stop();
        self.look_at = now;
    }

    /// For so long nobody looked whether frames came.
    pub fn was_away(&mut self, time: Duration) {
        self.last_frame += time;
    }

    /// A usable frame came.
    pub fn frame_came(&mut self, now: Instant) {
        self.last_frame = now;
        if matches!(self.trouble, Some(Trouble::Stalled | Trouble::Failed)) {
            tracing::info!("frames come again");
            self.trouble = None;
        }
        if self.trouble.is_none() {
            self.ladder.worked(now);
            self.last_failure = None;
        }
        self.state.signal = SignalState::Active;
    }

    /// A frame came that cannot be used.
    pub fn frame_spoilt(&mut self, reason: &str, now: Instant) {
        let (count, since) = self.spoilt.unwrap_or((0, now));
        self.spoilt = Some((count + 1, since));
        if count + 1 >= SPOILT.0 && now >= since + SPOILT.1 {
            self.spoilt = None;
            if self.hardware.refuse_format(reason) {
                self.stop();
                self.configured = None;
                self.may_start = true;
                self.look_at = now;
            }
        }
    }

    /// A frame was used.
    pub fn frame_used(&mut self) {
        self.spoilt = None;
    }

    /// The stream broke.
    pub fn stream_failed(&mut self, error: &io::Error, now: Instant) {
        if is_gone(error) {
            return self.lose(error, now);
        }
        self.fail(error, "capture failed");
    }

    fn fail(&mut self, error: &io::Error, what: &str) {
        self.note(error, what);
        self.stop();
        self.state.signal = SignalState::Stalled;
        self.trouble = Some(Trouble::Failed);
        self.may_start = false;
        self.is_local =
            error.raw_os_error() == Some(libc::EBUSY) || error.kind() == io::ErrorKind::Unsupported;
    }

    /// Does what the clock asks for, and starts or stops streaming as it should be.
    pub fn tick(&mut self, now: Instant) {
        if self.plug_at.is_some_and(|at| now >= at) {
            self.plug_at = None;
            self.may_start = true;
            self.look_at = now;
            if let Err(error) = self.hardware.hot_plug(true) {
                self.note(&error, "the EDID could not be shown again");
                // Without it the computer has no display: it is shown as soon as the device takes it. One that is gone says
                // so when it is asked.
                self.plug_at = Some(now + LOOK).filter(|_| !is_gone(&error));
            }
        }
        if self.is_open && now >= self.look_at {
            self.look(now);
        }
        if self.is_streaming && self.trouble.is_none() && now >= self.last_frame + STALL {
            self.state.signal = SignalState::Stalled;
            self.trouble = Some(Trouble::Stalled);
        }
        // Two rungs at once at most: the first only asks.
        for _ in 0..2 {
            self.climb(now);
        }
        self.follow(now);
    }

    fn climb(&mut self, now: Instant) {
        let Some(trouble) = self.trouble.filter(|_| self.plug_at.is_none()) else { return };
        let can_hot_plug = self.is_open && !self.is_local && self.hardware.can_hot_plug();
        let Some(rung) = self.ladder.climb(trouble, can_hot_plug, now) else { return };
        if trouble != Trouble::Gone {
            tracing::warn!(rung = ?rung, reason = trouble.reason(), "capture recovery");
        }
        match rung {
            Rung::Requery => self.look(now),
            Rung::Restart => {
                self.stop();
                self.configured = None;
                self.may_start = true;
                self.look(now);
            }
            Rung::Reopen => {
                self.close();
                self.may_start = true;
                self.open(now);
            }
            Rung::HotPlug => {
                self.stop();
                match self.hardware.hot_plug(false) {
                    Ok(()) => self.plug_at = Some(now + PULSE),
                    Err(error) => self.note(&error, "the EDID could not be taken away"),
                }
            }
        }
    }

    fn open(&mut self, now: Instant) {
        match self.hardware.open() {
            Ok(()) => {
                self.is_open = true;
                if self.trouble == Some(Trouble::Gone) {
                    self.trouble = None;
                    self.ladder.calm(now);
                }
                self.last_failure = None;
                self.look(now);
            }
            Err(error) => self.lose(&error, now),
        }
    }

    fn close(&mut self) {
        self.stop();
        self.hardware.close();
        self.is_open = false;
        self.configured = None;
        self.plug_at = None;
    }

    /// The device is gone or of no use.
    fn lose(&mut self, error: &io::Error, now: Instant) {
        self.note(error, "no capture device");
        self.close();
        self.state.signal = SignalState::NoDevice;
        self.trouble = Some(Trouble::Gone);
        self.look_at = now;
    }

    /// Asks for the signal and follows it. Frames stop if it changed.
    fn look(&mut self, now: Instant) {
        let size = match self.hardware.query() {
            Ok(size) => size,
            Err(error) if is_gone(&error) => return self.lose(&error, now),
            Err(error) => {
                self.stop();
                self.configured = None;
                self.look_at = now + LOOK;
                // While the EDID is away there can be no signal, which says nothing.
                if self.plug_at.is_some() {
                    return;
                }
                let (signal, trouble) = match error.raw_os_error() {
                    Some(libc::ENOLINK) => {
                        let power = self.hardware.power_present();
                        (self.power.without_signal(power), None)
                    }
                    Some(libc::ERANGE) => (SignalState::OutOfRange, Some(Trouble::OutOfRange)),
                    _ => (SignalState::NoSync, Some(Trouble::NoSync)),
                };
                (self.state.signal, self.trouble) = (signal, trouble);
                return;
            }
        };
        self.look_at = now + if self.hardware.has_events() || size.is_none() { RARE_LOOK } else { LOOK };
        if matches!(self.trouble, Some(Trouble::NoSync | Trouble::OutOfRange)) {
            self.trouble = None;
        }
        let is_sized = self.configured.is_some_and(|set| size.is_none_or(|size| size == set));
        let is_set = is_sized && self.hardware.is_set();
        if !is_set {
            self.stop();
            match self.hardware.configure() {
                Ok(size) => self.configured = Some(size),
                Err(error) if is_gone(&error) => return self.lose(&error, now),
                Err(error) => {
                    self.fail(&error, "the capture device cannot be set to this signal");
                    if size.is_some() && error.kind() == io::ErrorKind::Unsupported {
                        // For instance an interlaced mode that it gives as single fields.
                        self.state.signal = SignalState::OutOfRange;
                    }
                    self.configured = None;
                    self.look_at = now + LOOK;
                    self.state.resolution = size.or(self.state.resolution);
                    return;
                }
            }
        }
        self.state.resolution = self.configured.or(self.state.resolution);
        // A stall ends with a frame, not with a look.
        if self.trouble.is_none() {
            self.state.signal = SignalState::Active;
        }
    }

    /// Starts or stops streaming as it should be.
    fn follow(&mut self, now: Instant) {
        let is_live = matches!(self.state.signal, SignalState::Active | SignalState::Stalled);
        if !self.is_awake || !is_live || self.plug_at.is_some() {
            self.stop();
            let is_about_frames = matches!(self.trouble, Some(Trouble::Stalled | Trouble::Failed));
            if !self.is_awake && is_about_frames && self.configured.is_some() {
                // Nobody waits for frames; whether they come shows when somebody does.
                self.trouble = None;
                self.state.signal = SignalState::Active;
            }
            return;
        }
        let may_start = self.may_start || self.trouble != Some(Trouble::Failed);
        if self.is_streaming || self.configured.is_none() || !may_start {
            return;
        }
        match self.hardware.start() {
            Ok(size) => {
                self.is_streaming = true;
                self.may_start = false;
                self.last_frame = now;
                self.configured = Some(size);
                self.state.resolution = Some(size);
            }
            Err(error) => self.stream_failed(&error, now),
        }
    }

    fn stop(&mut self) {
        if std::mem::replace(&mut self.is_streaming, false) {
            self.hardware.stop();
        }
    }

    fn note(&mut self, error: &io::Error, what: &str) {
        let text = format!("{what}: {error}");
        if self.last_failure.as_ref() != Some(&text) {
            tracing::warn!("{text}");
            self.last_failure = Some(text);
        }
    }
}

#[cfg(test)]
mod tests;
