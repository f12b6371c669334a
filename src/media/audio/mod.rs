//! Sound from the computer: Opus packets for every session that wants them.

use tokio::sync::broadcast;

use crate::audio::format::EncodedAudio;

/// Packets that wait for one listener; the oldest are dropped, because late sound stays late
/// (reference: session 4).
const WAITING_PACKETS: usize = 32;

/// Where packets come in; one for each sound source.
#[derive(Debug)]
pub struct AudioSender {
    packets: broadcast::Sender<EncodedAudio>,
}

/// A cloneable way to listen to a sound source.
#[derive(Debug, Clone)]
pub struct AudioHandle {
    packets: broadcast::WeakSender<EncodedAudio>,
}

/// One listener's packets.
#[derive(Debug)]
pub struct AudioSubscription {
    packets: Option<broadcast::Receiver<EncodedAudio>>,
}

/// A sound source's two ends.
pub fn channel() -> (AudioSender, AudioHandle) {
    let packets = broadcast::Sender::new(WAITING_PACKETS);
    let weak = packets.downgrade();
    (AudioSender { packets }, AudioHandle { packets: weak })
}

impl AudioSender {
    /// How many listen now. With none the source sleeps.
    pub fn listeners(&self) -> usize {
        self.packets.receiver_count()
    }

    /// Gives a packet to everyone who listens.
    pub fn send(&self, packet: EncodedAudio) {
        // An error means that nobody listens.
        let _ = self.packets.send(packet);
    }
}

impl AudioHandle {
    /// Begins to listen; dropping the subscription ends it.
    pub fn subscribe(&self) -> AudioSubscription {
        AudioSubscription { packets: self.packets.upgrade().map(|packets| packets.subscribe()) }
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
