//! A capture device of ALSA, asked for 48 kHz, two channels, 16 bits; ALSA's own `plug` layer converts where the
//! hardware has something else (32 or 44.1 kHz, one channel, 32 bits).
#![allow(clippy::disallowed_methods, reason = "an edge: poll(2) waits in real time")]

use std::cell::RefCell;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Instant;

use alsa::poll::Descriptors as _;
use alsa::{Direction, Output, PCM, ValueOr, pcm};

use super::packets::{CHANNELS, SAMPLE_RATE};
use super::source::{Fetched, Pcm, PcmError, PcmSource};
use super::{AudioDevice, WhatIsOpen, cards};
use crate::media::wake::WakeReceiver;

/// Samples a channel of one period: the 10 ms of a packet.
const PERIOD: pcm::Frames = SAMPLE_RATE as pcm::Frames / 100;
/// Samples a channel that the device keeps: a fifth of a second until some are lost.
const BUFFER: pcm::Frames = PERIOD * 20;

/// See the module.
pub struct AlsaSource {
    device: AudioDevice,
    opened: WhatIsOpen,
}

impl AlsaSource {
    /// Nothing is opened yet.
    pub fn new(device: AudioDevice, opened: WhatIsOpen) -> Self {
        Self { device, opened }
    }

    /// The ALSA name to open.
    fn resolve(&self) -> Result<String, PcmError> {
        match &self.device {
            AudioDevice::Named(name) => Ok(with_plug(name)),
            AudioDevice::Beside(video) => {
                let card = cards::of_capture(&cards::system(), video, (self.opened)().as_ref());
                card.map(|card| card.name()).ok_or_else(|| {
                    PcmError(format!(
                        "no sound card belongs to {video}; if another one has the sound, name it in audio.device \
                         (`kvmdesk probe` lists them)"
                    ))
                })
            }
        }
    }
}

/// `hw:` is the bare hardware; `plughw:` the same with conversion where it is needed.
fn with_plug(name: &str) -> String {
    name.strip_prefix("hw:").map_or_else(|| name.to_owned(), |rest| format!("plughw:{rest}"))
}

impl PcmSource for AlsaSource {
    fn name(&self) -> String {
        match &self.device {
            AudioDevice::Named(name) => with_plug(name),
            AudioDevice::Beside(video) => format!("beside {video}"),
        }
    }

    fn is_named(&self) -> bool {
        matches!(self.device, AudioDevice::Named(_))
    }

    fn look(&mut self) -> Result<(), PcmError> {
        self.resolve().map(|_| ())
    }

    fn open(&mut self) -> Result<Box<dyn Pcm>, PcmError> {
        let name = self.resolve()?;
        // Beside another device, a camera say, may be another microphone.
        if matches!(self.device, AudioDevice::Beside(_)) && (self.opened)().is_none() {
            return Err(PcmError("the device that the pictures come from is not there".to_owned()));
        }
        // What ALSA would print on standard error is kept in a buffer of this thread and goes with it.
        let words = Output::local_error_handler().ok();
        let pcm = open(&name).map_err(|error| PcmError(sentence(&name, error)))?;
        Ok(Box::new(AlsaPcm { pcm, name, fds: vec![], _words: words }))
    }
}

fn sentence(name: &str, error: alsa::Error) -> String {
    let hint = match error.errno() {
        libc::EBUSY => "another program uses it",
        libc::EACCES | libc::EPERM => "kvmdesk may not: its user must be in the group `audio`",
        libc::EINVAL => "it cannot give 48 kHz stereo; try the same device as plughw:…",
        _ => "`kvmdesk probe` lists the devices that there are",
    };
    let words = std::io::Error::from_raw_os_error(error.errno());
    format!("the sound device {name} cannot be used ({}: {words}); {hint}", error.func())
}

fn open(name: &str) -> alsa::Result<PCM> {
    let pcm = PCM::new(name, Direction::Capture, true)?;
    {
        let wanted = pcm::HwParams::any(&pcm)?;
        wanted.set_access(pcm::Access::RWInterleaved)?;
        wanted.set_format(pcm::Format::s16())?;
        wanted.set_channels(CHANNELS as u32)?;
        wanted.set_rate(SAMPLE_RATE, ValueOr::Nearest)?;
        wanted.set_period_size_near(PERIOD, ValueOr::Nearest)?;
        wanted.set_buffer_size_near(BUFFER)?;
        pcm.hw_params(&wanted)?;
        let wake = pcm.sw_params_current()?;
        wake.set_avail_min(PERIOD)?;
        pcm.sw_params(&wake)?;
    }
    pcm.start()?;
    Ok(pcm)
}

struct AlsaPcm {
    pcm: PCM,
    name: String,
    /// The descriptors of the last wait; kept so that none is allocated each time.
    fds: Vec<libc::pollfd>,
    _words: Option<Rc<RefCell<Output>>>,
}

impl AlsaPcm {
    fn lost(&self, error: alsa::Error) -> PcmError {
        PcmError(sentence(&self.name, error))
    }
}

impl Pcm for AlsaPcm {
    fn name(&self) -> &str {
        &self.name
    }

    fn wait(&mut self, wake: &WakeReceiver, until: Instant) -> Result<(), PcmError> {
        let count = self.pcm.count();
        self.fds.resize(count + 1, libc::pollfd { fd: -1, events: 0, revents: 0 });
        self.pcm.fill(&mut self.fds[..count]).map_err(|error| self.lost(error))?;
        self.fds[count] = libc::pollfd { fd: wake.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let left = until.saturating_duration_since(Instant::now());
        // Rounded up: a wait that ends just before its time would spin.
        let millis = left.as_micros().div_ceil(1000).min(60_000) as i32;
        match alsa::poll::poll(&mut self.fds, millis) {
            Ok(_) => {}
            Err(error) if error.errno() == libc::EINTR => return Ok(()),
            Err(error) => return Err(self.lost(error)),
        }
        if self.fds[count].revents != 0 {
            wake.take();
        }
        // A fault of the device is said by the reading that follows.
        self.pcm.revents(&self.fds[..count]).map_err(|error| self.lost(error))?;
        Ok(())
    }

    fn read(&mut self, into: &mut Vec<i16>) -> Result<Fetched, PcmError> {
        let mut fetched = Fetched::Samples;
        let mut room = [0i16; PERIOD as usize * CHANNELS];
        // As much as the device keeps, and once over: more in one go would be a device without a clock.
        for _ in 0..2 * BUFFER / PERIOD {
            let result = self.pcm.io_i16().and_then(|io| io.readi(&mut room));
            match result {
                Ok(frames) => into.extend_from_slice(&room[..(frames * CHANNELS).min(room.len())]),
                Err(error) if error.errno() == libc::EAGAIN => break,
                Err(error) if matches!(error.errno(), libc::EPIPE | libc::ESTRPIPE | libc::EINTR) => {
                    self.pcm.try_recover(error, true).map_err(|error| self.lost(error))?;
                    if self.pcm.state() == pcm::State::Prepared {
                        self.pcm.start().map_err(|error| self.lost(error))?;
                    }
                    into.clear();
                    fetched = Fetched::Overrun;
                    break;
                }
                Err(error) => return Err(self.lost(error)),
            }
        }
        Ok(fetched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::capture::v4l2::V4l2Settings;

    #[test]
    fn bare_hardware_is_opened_with_conversion() {
        assert_eq!(with_plug("hw:1,0"), "plughw:1,0");
        assert_eq!(with_plug("plughw:CARD=a,DEV=0"), "plughw:CARD=a,DEV=0");
        assert_eq!(with_plug("default"), "default");
    }

    #[test]
    fn a_device_that_is_not_there_is_a_sentence() {
        let mut source =
            AlsaSource::new(AudioDevice::Named("hw:CARD=nobody,DEV=0".into()), Box::new(|| None));
        assert_eq!(source.look(), Ok(()), "only opening tells");
        let Err(error) = source.open() else { panic!("opened") };
        assert!(error.0.contains("plughw:CARD=nobody,DEV=0") && error.0.contains("probe"), "{error}");
        let mut source =
            AlsaSource::new(AudioDevice::Beside(V4l2Settings::at("/nonexistent/video0")), Box::new(|| None));
        let Err(error) = source.open() else { panic!("opened") };
        assert_eq!(source.look(), Err(error.clone()));
        assert!(error.0.contains("/nonexistent/video0") && error.0.contains("audio.device"), "{error}");
    }
}
