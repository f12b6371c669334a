//! Sound from the computer: Opus packets for every session that wants them. The capture device is open only while
//! somebody listens, and silence is not sent.

#[cfg(feature = "sound")]
mod alsa_source;
pub mod cards;
pub mod gate;
pub mod packets;
#[cfg(feature = "sound")]
pub mod source;
#[cfg(feature = "sound")]
pub mod worker;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{broadcast, watch};

use super::capture::Opened;
use super::capture::v4l2::V4l2Settings;
use super::wake::WakeSender;
use crate::audio::format::EncodedAudio;

/// Packets that wait for one listener; the oldest are dropped, because late sound stays late
/// (reference: session 4).
const WAITING_PACKETS: usize = 32;

/// Which device the sound is captured from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AudioDevice {
    /// An ALSA name, for instance `hw:1,0` or `plughw:CARD=MS2109,DEV=0`.
    Named(String),
    /// The sound card of what one display is captured with (see [`cards::of_capture`]); looked for each time that it is
    /// opened.
    Beside(V4l2Settings),
}

/// Tells what the pictures are captured from now, `None` while nothing is open: without pictures there is no sound.
pub type WhatIsOpen = Box<dyn Fn() -> Option<Opened> + Send>;

/// The settings of one sound source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioSettings {
    /// The capture device.
    pub device: AudioDevice,
}

/// What a sound source does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AudioState {
    /// Nobody listens: the device is closed.
    #[default]
    Asleep,
    /// There is no device, or none that could be opened; looked for again.
    NoDevice,
    /// The device is open; nothing but silence comes.
    Silent,
    /// Sound is sent.
    Sounding,
}

impl AudioState {
    /// A short word for `status`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Asleep => "asleep",
            Self::NoDevice => "no-device",
            Self::Silent => "silent",
            Self::Sounding => "sounding",
        }
    }
}

/// A sound source for `status`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AudioReport {
    /// What it does.
    pub state: AudioState,
    /// The device as it was last opened, or as configured.
    pub device: String,
    /// Why there is no device, a sentence; empty when all is well.
    pub notice: String,
    /// Packets sent since start.
    pub packets: u64,
    /// Packets of silence that were not sent.
    pub silent: u64,
    /// How often samples were lost because they were not fetched in time.
    pub overruns: u64,
}

/// Where packets come in; one for each sound source.
#[derive(Debug)]
pub struct AudioSender {
    packets: broadcast::Sender<EncodedAudio>,
    presence: watch::Sender<bool>,
    report: Arc<Mutex<AudioReport>>,
}

/// A cloneable way to listen to a sound source.
#[derive(Debug, Clone)]
pub struct AudioHandle {
    packets: broadcast::WeakSender<EncodedAudio>,
    presence: watch::Sender<bool>,
    wake: Option<Arc<WakeSender>>,
    report: Arc<Mutex<AudioReport>>,
}

/// One listener's packets.
#[derive(Debug)]
pub struct AudioSubscription {
    packets: Option<broadcast::Receiver<EncodedAudio>>,
    wake: Option<Arc<WakeSender>>,
}

/// A sound source's two ends.
pub fn channel() -> (AudioSender, AudioHandle) {
    channel_waking(None)
}

/// The same; `wake` is signalled whenever a listener comes or goes.
pub fn channel_waking(wake: Option<Arc<WakeSender>>) -> (AudioSender, AudioHandle) {
    let packets = broadcast::Sender::new(WAITING_PACKETS);
    let weak = packets.downgrade();
    let presence = watch::Sender::new(true);
    let report = Arc::new(Mutex::new(AudioReport::default()));
    let handle = AudioHandle { packets: weak, presence: presence.clone(), wake, report: report.clone() };
    (AudioSender { packets, presence, report }, handle)
}

impl AudioSender {
    /// How many listen now. With none the source sleeps.
    pub fn listeners(&self) -> usize {
        self.packets.receiver_count()
    }

    /// Whether anyone wants to know whether there is a device.
    pub fn is_watched(&self) -> bool {
        self.presence.receiver_count() > 0
    }

    /// Tells whether there is a device; whether that is news.
    pub fn tell_presence(&self, is_there: bool) -> bool {
        self.presence.send_if_modified(|told| std::mem::replace(told, is_there) != is_there)
    }

    /// Gives a packet to everyone who listens.
    pub fn send(&self, packet: EncodedAudio) {
        // An error means that nobody listens.
        let _ = self.packets.send(packet);
    }

    /// What [`AudioHandle::report`] tells, to be changed.
    pub fn report(&self) -> MutexGuard<'_, AudioReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AudioHandle {
    /// Begins to listen; dropping the subscription ends it.
    pub fn subscribe(&self) -> AudioSubscription {
        let packets = self.packets.upgrade().map(|packets| packets.subscribe());
        if let Some(wake) = &self.wake {
            wake.wake();
        }
        AudioSubscription { packets, wake: self.wake.clone() }
    }

    /// Whether there is a device to listen to, looked at again now and, while the receiver lives, now and then.
    pub fn presence(&self) -> watch::Receiver<bool> {
        let presence = self.presence.subscribe();
        if let Some(wake) = &self.wake {
            wake.wake();
        }
        presence
    }

    /// What the source does, for `status`.
    pub fn report(&self) -> AudioReport {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for AudioSubscription {
    fn drop(&mut self) {
        // First gone, then told: the source counts its listeners when it wakes.
        self.packets = None;
        if let Some(wake) = &self.wake {
            wake.wake();
        }
    }
}

impl AudioSubscription {
    /// The next packet; `None` when the source is gone for good. Cancellation-safe. A listener that is too slow loses
    /// the oldest packets.
    pub async fn next(&mut self) -> Option<EncodedAudio> {
        loop {
            match self.packets.as_mut()?.recv().await {
                Ok(packet) => return Some(packet),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::format::AudioFormat;
    use bytes::Bytes;

    #[tokio::test]
    async fn a_slow_listener_loses_the_oldest_and_the_end_is_told() {
        let (sender, handle) = channel();
        let mut slow = handle.subscribe();
        assert_eq!(sender.listeners(), 1);
        let format = AudioFormat { sample_rate: 48_000, channels: 2 };
        for n in 0..WAITING_PACKETS as u8 + 2 {
            sender.send(EncodedAudio { data: Bytes::from(vec![n]), format });
        }
        assert_eq!(slow.next().await.unwrap().data[0], 2);
        drop(sender);
        let mut rest = 0;
        while slow.next().await.is_some() {
            rest += 1;
        }
        assert_eq!(rest, WAITING_PACKETS - 1);
        assert!(handle.subscribe().next().await.is_none());
    }
}
