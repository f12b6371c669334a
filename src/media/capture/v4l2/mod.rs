//! A V4L2 capture device: HDMI receivers with DV timings and plain USB grabbers. Follows the signal, recovers by the
//! ladder of `capture::ladder`, finds the device again when it comes back, and never shows a frame from before a
//! change of the signal. Here the real clock and poll(2) meet the machine in `receiver`.
#![allow(clippy::disallowed_methods, reason = "an edge: waits and retries are real time")]

use std::fmt;
use std::path::PathBuf;
use std::time::Instant;

use self::device::Kernel;
use self::mark::Mark;
use self::receiver::Receiver;
use super::{FramePair, Source, SourceEvent, SourceReport, SourceState};
use crate::media::wake::WakeReceiver;
use crate::video::format::{PixelFormat, Resolution};

pub mod choose;
pub mod device;
mod find;
mod hidraw;
pub mod mark;
mod open;
mod receiver;
mod stick;
mod stream;
pub(in crate::media) mod sys;

/// The devices that one display may be captured from, best first: the first that is there is used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct V4l2Settings {
    /// In order.
    pub devices: Vec<V4l2Device>,
}

/// A capture device and how it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct V4l2Device {
    /// What it is known by.
    pub mark: Mark,
    /// The formats that may be used, best first; none for all of them in the order that is best for the device.
    pub formats: Vec<PixelFormat>,
    /// What the receiver tells the computer that it can show; `None` leaves it as it is.
    pub edid: Option<Vec<u8>>,
    /// The short name of the sound card that carries its sound, if that is not one device with it.
    pub sound: Option<String>,
}

impl V4l2Settings {
    /// One device: a node such as `/dev/video0`, or a link to it.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let mark = Mark::Path(path.into());
        Self { devices: vec![V4l2Device { mark, formats: vec![], edid: None, sound: None }] }
    }

    /// The nodes that may be it and are there now, best first, each with its device.
    pub fn present(&self) -> impl Iterator<Item = (PathBuf, &V4l2Device)> {
        let nodes = |device: &V4l2Device| device.mark.nodes();
        let all =
            self.devices.iter().flat_map(move |device| nodes(device).into_iter().map(move |n| (n, device)));
        all.filter(|(node, _)| node.exists())
    }
}

impl fmt::Display for V4l2Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let marks: Vec<_> = self.devices.iter().map(|device| device.mark.to_string()).collect();
        f.write_str(&marks.join(" or "))
    }
}

/// A capture device as a source.
pub struct V4l2Source {
    receiver: Receiver<Kernel>,
    damaged: u64,
    /// A frame was lent of which nobody has said yet that it could not be used.
    is_lent: bool,
    /// When the caller was last given something; what it does meanwhile is no silence of the device.
    left_at: Instant,
}

impl std::fmt::Debug for V4l2Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("V4l2Source").field("state", &self.receiver.state()).finish_non_exhaustive()
    }
}

impl V4l2Source {
    /// Tries to open the device at once, so that the size is known before anybody watches; if it is not there, goes
    /// on trying.
    pub fn new(settings: V4l2Settings) -> Self {
        let now = Instant::now();
        Self { receiver: Receiver::new(Kernel::new(settings), now), damaged: 0, is_lent: false, left_at: now }
    }

    /// Does what poll(2) says.
    fn take(&mut self, revents: i16, now: Instant) {
        let Some(fd) = self.receiver.hardware.fd() else { return };
        if revents & libc::POLLPRI != 0 {
            match sys::hdmi::take_source_change(fd) {
                Ok(true) => self.receiver.source_changed(now),
                Ok(false) => {}
                Err(error) => return self.receiver.stream_failed(&error, now),
            }
        }
        if let Some(stream) = self.receiver.hardware.stream()
            && revents & libc::POLLIN != 0
        {
            let drained = stream.drain();
            let damaged = stream.take_damaged();
            self.damaged += damaged;
            if damaged > 0 {
                self.receiver.frame_spoilt("its frames are damaged, or of another size than was set", now);
            }
            match drained {
                Ok(true) => return self.receiver.frame_came(now),
                Ok(false) => {}
                Err(error) => return self.receiver.stream_failed(&error, now),
            }
        }
        if revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0 {
            // A device that is gone says so when it is asked.
            let error =
                sys::capability(fd).err().unwrap_or_else(|| std::io::Error::from_raw_os_error(libc::EIO));
            self.receiver.stream_failed(&error, now);
        }
    }
}

impl Source for V4l2Source {
    fn state(&self) -> SourceState {
        self.receiver.state()
    }

    fn report(&self) -> SourceReport {
        let hardware = &self.receiver.hardware;
        SourceReport {
            recovery: self.receiver.counts(),
            damaged: self.damaged,
            format: hardware.format(),
            passed_over: hardware.passed_over().to_vec(),
            edid_fault: hardware.edid_fault().map(str::to_owned),
            opened: hardware.opened(),
        }
    }

    fn set_wish(&mut self, size: Option<Resolution>) {
        self.receiver.set_wish(size, Instant::now());
    }

    fn set_awake(&mut self, is_awake: bool) {
        self.receiver.set_awake(is_awake);
    }

    fn wait(&mut self, wake: &WakeReceiver, not_before: Instant, until: Instant) -> SourceEvent {
        let event = self.wait_for_event(wake, not_before, until);
        self.left_at = Instant::now();
        event
    }

    fn spoilt(&mut self, reason: &str) {
        self.is_lent = false;
        self.receiver.frame_spoilt(reason, Instant::now());
    }

    fn frame(&mut self) -> Option<FramePair<'_>> {
        if std::mem::replace(&mut self.is_lent, true) {
            self.receiver.frame_used();
        }
        match self.receiver.hardware.stream()?.lend() {
            Ok(pair) => pair,
            Err(error) => {
                tracing::warn!(%error, "a buffer could not be given back");
                None
            }
        }
    }
}

impl V4l2Source {
    fn wait_for_event(&mut self, wake: &WakeReceiver, not_before: Instant, until: Instant) -> SourceEvent {
        let before = self.receiver.state();
        let now = Instant::now();
        self.receiver.was_away(now.saturating_duration_since(self.left_at));
        self.receiver.tick(now);
        if self.receiver.state() != before {
            return SourceEvent::State;
        }
        let mut deadline = until.min(self.receiver.deadline());
        let mut events = libc::POLLPRI;
        if let Some(stream) = self.receiver.hardware.stream() {
            events |= libc::POLLIN;
            if stream.has_waiting() {
                deadline = deadline.min(not_before);
            }
        }
        // A device that is closed, or that fails until the next rung, is not polled.
        let descriptor = self.receiver.hardware.fd().filter(|_| self.receiver.is_pollable());
        let ready = wake.poll(descriptor.map(|fd| (fd, events)), deadline);
        let now = Instant::now();
        self.take(ready.device, now);
        self.receiver.tick(now);
        if self.receiver.state() != before {
            return SourceEvent::State;
        }
        let has_waiting = self.receiver.hardware.stream().is_some_and(|stream| stream.has_waiting());
        if has_waiting && Instant::now() >= not_before {
            return SourceEvent::Frame;
        }
        SourceEvent::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::wake;
    use crate::video::signal::SignalState;
    use std::time::Duration;

    #[test]
    fn a_device_that_is_not_there_is_a_state_and_is_tried_again() {
        for path in ["/nonexistent/video0", "/dev/null", "/dev/video\0"] {
            let settings = V4l2Settings::at(path);
            assert!(device::probe(settings.clone()).is_err());
            let mut source = V4l2Source::new(settings);
            assert_eq!(source.state(), SourceState { signal: SignalState::NoDevice, resolution: None });
            source.set_awake(true);
            let (_sender, receiver) = wake::pair().unwrap();
            let tried = source.report().recovery.reopens;
            let now = Instant::now();
            while source.report().recovery.reopens < tried + 2 {
                assert_eq!(source.wait(&receiver, now, now + Duration::from_secs(30)), SourceEvent::Nothing);
            }
            assert!(source.frame().is_none());
        }
    }
}
