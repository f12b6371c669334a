//! The thread `media-audio`: captures while somebody listens, cuts packets, leaves silence out, encodes with Opus.
//! Blocks in poll(2) only; a device that is lost is looked for again.
#![allow(clippy::disallowed_methods, reason = "an edge: waits and retries are real time")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use opus::{Application, Bitrate, Channels, Encoder};

use super::alsa_source::AlsaSource;
use super::gate::Gate;
use super::packets::{CHANNELS, PACKET_SAMPLES, Packets, SAMPLE_RATE};
use super::source::{Fetched, Pcm, PcmError, PcmSource};
use super::{AudioHandle, AudioSender, AudioSettings, AudioState, WhatIsOpen, channel_waking};
use crate::audio::format::{AudioFormat, EncodedAudio};
use crate::media::wake::{self, WakeReceiver, WakeSender};

/// First and longest pause before a device is opened again.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(4));
/// A device is looked for so often while nobody could listen to it but somebody wants to.
const LOOK: Duration = Duration::from_secs(2);
/// The longest sleep; the limit is poll's own.
const SLEEP: Duration = Duration::from_secs(60);
/// A capture that gives nothing for so long is opened again: receivers without a clock on HDMI do that.
const STALL: Duration = Duration::from_secs(2);
/// So many times in a row poll(2) may say that samples are there while there are none.
const FALSE_ALARMS: u32 = 50;
/// Bits a second on average. Transparent for two channels of desktop sound; the official device lets the library
/// choose, which comes to the same.
const BIT_RATE: i32 = 96_000;
/// Of 0..=10: half the CPU of the library's default, no difference to the ear at this rate.
const COMPLEXITY: i32 = 5;
/// No Opus packet of one frame is longer (RFC 6716, 3.2.1), and 10 ms are one frame.
const LONGEST_PACKET: usize = 1276;

/// Owner of a sound thread; dropping it ends the thread.
#[derive(Debug)]
pub struct Audio {
    handle: AudioHandle,
    stop: Arc<AtomicBool>,
    wake: Option<Arc<WakeSender>>,
    thread: Option<JoinHandle<()>>,
}

impl Audio {
    /// Starts the thread. A device that cannot be opened is a state, not an error. If the machine has no descriptor
    /// or thread left, that is logged and every subscription ends at once.
    pub fn spawn(settings: AudioSettings, opened: WhatIsOpen) -> Self {
        Self::spawn_from(Box::new(AlsaSource::new(settings.device, opened)))
    }

    /// Starts the thread with any source.
    pub fn spawn_from(mut source: Box<dyn PcmSource>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (wake, receiver) = match wake::pair() {
            Ok((sender, receiver)) => (Some(Arc::new(sender)), Some(receiver)),
            Err(error) => {
                tracing::error!(%error, "sound cannot start: out of file descriptors");
                (None, None)
            }
        };
        let (sender, handle) = channel_waking(wake.clone());
        sender.report().device = source.name();
        sender.tell_presence(source.look().is_ok());
        let thread = receiver.and_then(|wake| {
            let stop = stop.clone();
            let run = move || Worker::new(source, sender, wake, stop).run();
            let spawned = std::thread::Builder::new().name("media-audio".into()).spawn(run);
            spawned.map_err(|error| tracing::error!(%error, "sound cannot start")).ok()
        });
        Self { handle, stop, wake, thread }
    }

    /// A handle for sessions.
    pub fn handle(&self) -> AudioHandle {
        self.handle.clone()
    }
}

impl Drop for Audio {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(wake) = &self.wake {
            wake.wake();
        }
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the sound thread had panicked");
        }
    }
}

struct Worker {
    source: Box<dyn PcmSource>,
    sender: AudioSender,
    wake: WakeReceiver,
    stop: Arc<AtomicBool>,
    retry_at: Instant,
    retry_pause: Duration,
    /// What was said last about the device, so that each change is one line.
    said: Option<Result<(), PcmError>>,
}

/// What lives as long as the device is open.
struct Capture {
    pcm: Box<dyn Pcm>,
    encoder: Encoder,
    packets: Packets,
    gate: Gate,
    samples: Vec<i16>,
    last_samples: Instant,
    false_alarms: u32,
}

impl Worker {
    fn new(
        source: Box<dyn PcmSource>,
        sender: AudioSender,
        wake: WakeReceiver,
        stop: Arc<AtomicBool>,
    ) -> Self {
        Self { source, sender, wake, stop, retry_at: Instant::now(), retry_pause: RETRY.0, said: None }
    }

    fn run(mut self) {
        let mut capture: Option<Capture> = None;
        while !self.stop.load(Ordering::Acquire) {
            if self.sender.listeners() == 0 {
                capture = None;
                self.retry_pause = RETRY.0;
                self.retry_at = Instant::now();
                let pause = if self.look() || !self.sender.is_watched() { SLEEP } else { LOOK };
                // Until a listener comes, someone wants to know, or the end.
                self.wake.poll(None, Instant::now() + pause);
                continue;
            }
            let result = match &mut capture {
                Some(open) => open.step(&self.sender, &self.wake).map(|has_come| {
                    if has_come {
                        self.retry_pause = RETRY.0;
                        if self.said.replace(Ok(())) != Some(Ok(())) {
                            tracing::info!(device = open.pcm.name(), "sound is captured");
                        }
                    }
                }),
                None if Instant::now() < self.retry_at => {
                    self.wake.poll(None, self.retry_at);
                    continue;
                }
                None => self.open().map(|open| capture = Some(open)),
            };
            match result {
                Ok(()) => {}
                Err(error) => {
                    capture = None;
                    self.lose(error);
                }
            }
        }
    }

    /// Looks whether there is a device, while none is open; tells those who want to know.
    fn look(&mut self) -> bool {
        let looked = self.source.look();
        let is_news = self.sender.tell_presence(looked.is_ok());
        let mut report = self.sender.report();
        report.state = if looked.is_ok() { AudioState::Asleep } else { AudioState::NoDevice };
        let Err(error) = looked else {
            // What was wrong with a device that was there all the time still is.
            if is_news {
                report.notice.clear();
                tracing::info!(device = self.source.name(), "there is a sound device");
            }
            return true;
        };
        report.notice.clone_from(&error.0);
        drop(report);
        self.say(error);
        false
    }

    fn open(&mut self) -> Result<Capture, PcmError> {
        let capture = Capture::new(self.source.open()?)?;
        self.sender.tell_presence(true);
        let mut report = self.sender.report();
        report.state = AudioState::Silent;
        report.device = capture.pcm.name().to_owned();
        report.notice.clear();
        Ok(capture)
    }

    fn lose(&mut self, error: PcmError) {
        self.sender.tell_presence(self.source.look().is_ok());
        let mut report = self.sender.report();
        report.state = AudioState::NoDevice;
        report.notice.clone_from(&error.0);
        drop(report);
        self.say(error);
        self.retry_at = Instant::now() + self.retry_pause;
        self.retry_pause = (self.retry_pause * 2).min(RETRY.1);
    }

    /// Each trouble is one line.
    fn say(&mut self, error: PcmError) {
        if self.said.as_ref() != Some(&Err(error.clone())) {
            if self.said.is_some() || self.source.is_named() {
                tracing::warn!(%error, "no sound");
            } else {
                tracing::info!(%error, "no sound");
            }
            self.said = Some(Err(error));
        }
    }
}

impl Capture {
    fn new(pcm: Box<dyn Pcm>) -> Result<Self, PcmError> {
        Ok(Self {
            pcm,
            encoder: encoder().map_err(|e| PcmError(format!("the Opus encoder does not start: {e}")))?,
            packets: Packets::default(),
            gate: Gate::default(),
            samples: Vec::with_capacity(PACKET_SAMPLES * 4),
            last_samples: Instant::now(),
            false_alarms: 0,
        })
    }

    /// Waits for samples and sends what there is; whether there were any.
    fn step(&mut self, sender: &AudioSender, wake: &WakeReceiver) -> Result<bool, PcmError> {
        let stalls_at = self.last_samples + STALL;
        self.pcm.wait(wake, stalls_at)?;
        self.samples.clear();
        if self.pcm.read(&mut self.samples)? == Fetched::Overrun {
            self.packets.clear();
            sender.report().overruns += 1;
            tracing::debug!("sound was not fetched in time; some is lost");
        }
        let now = Instant::now();
        if self.samples.is_empty() {
            self.false_alarms += 1;
            if now >= stalls_at || self.false_alarms > FALSE_ALARMS {
                let text = format!("{} gives no samples; is there sound on HDMI?", self.pcm.name());
                return Err(PcmError(text));
            }
            return Ok(false);
        }
        self.last_samples = now;
        self.false_alarms = 0;
        let Self { packets, gate, encoder, samples, .. } = self;
        let (mut sent, mut silent, mut fault) = (0, 0, None);
        packets.push(samples, |packet| {
            if !gate.admits(packet) {
                silent += 1;
                return;
            }
            let mut room = [0; LONGEST_PACKET];
            match encoder.encode(packet, &mut room) {
                Ok(length) => {
                    let data = Bytes::copy_from_slice(&room[..length]);
                    let format = AudioFormat { sample_rate: SAMPLE_RATE, channels: CHANNELS as u32 };
                    sender.send(EncodedAudio { data, format });
                    sent += 1;
                }
                Err(error) => fault = Some(PcmError(format!("the Opus encoder failed: {error}"))),
            }
        });
        let mut report = sender.report();
        report.packets += sent;
        report.silent += silent;
        report.state = if gate.is_open() { AudioState::Sounding } else { AudioState::Silent };
        fault.map_or(Ok(true), Err)
    }
}

fn encoder() -> opus::Result<Encoder> {
    let mut encoder = Encoder::new(SAMPLE_RATE, Channels::Stereo, Application::LowDelay)?;
    encoder.set_bitrate(Bitrate::Bits(BIT_RATE))?;
    encoder.set_complexity(COMPLEXITY)?;
    Ok(encoder)
}

#[cfg(test)]
mod tests;
