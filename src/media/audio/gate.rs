//! The silence gate: what sounds like nothing is not sent. Pure.

use super::packets::{CHANNELS, PACKET_SAMPLES};

/// A channel whose samples lie within so many steps of 16 bits of each other is silent: about 78 dB below full scale.
/// HDMI gives exact zeros; USB grabbers add a step or two of noise, and some a constant offset, which is no sound
/// either.
pub const SILENT_RANGE: i32 = 8;

/// Silence is still sent for so many packets (one second), so that pauses between words are no gaps. The official
/// device waits for 800 (reference: session 4); apps wait without harm either way.
pub const HOLD_PACKETS: u32 = 100;

/// Decides packet by packet. Begins closed: nothing is sent before there is something to hear.
#[derive(Debug)]
pub struct Gate {
    silent_packets: u32,
}

impl Default for Gate {
    fn default() -> Self {
        Self { silent_packets: u32::MAX }
    }
}

impl Gate {
    /// Whether this packet is to be sent.
    pub fn admits(&mut self, packet: &[i16; PACKET_SAMPLES]) -> bool {
        if is_silent(packet) {
            self.silent_packets = self.silent_packets.saturating_add(1);
        } else {
            self.silent_packets = 0;
        }
        self.is_open()
    }

    /// Whether sound was heard within the last second.
    pub fn is_open(&self) -> bool {
        self.silent_packets <= HOLD_PACKETS
    }
}

fn is_silent(packet: &[i16; PACKET_SAMPLES]) -> bool {
    (0..CHANNELS).all(|channel| {
        let samples = packet.iter().skip(channel).step_by(CHANNELS);
        let (low, high) = samples.fold((i16::MAX, i16::MIN), |(low, high), s| (low.min(*s), high.max(*s)));
        i32::from(high) - i32::from(low) <= SILENT_RANGE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(of: impl Fn(usize) -> i16) -> [i16; PACKET_SAMPLES] {
        std::array::from_fn(of)
    }

    #[test]
    fn sound_opens_at_once_and_silence_closes_after_a_second() {
        let mut gate = Gate::default();
        assert!(!gate.admits(&packet(|_| 0)), "nothing was heard yet");
        let sound = packet(|n| if n % 40 < 20 { 300 } else { -300 });
        assert!(gate.admits(&sound));
        let held = (0..1000).filter(|_| gate.admits(&packet(|_| 0))).count();
        assert_eq!(held, HOLD_PACKETS as usize);
        assert!(gate.admits(&sound), "and opens with the first packet");
    }

    #[test]
    fn noise_of_a_grabber_and_an_offset_are_silence_and_a_whisper_on_one_channel_is_not() {
        let mut gate = Gate::default();
        assert!(!gate.admits(&packet(|n| (n * 7919 % 3) as i16 - 1)));
        assert!(!gate.admits(&packet(|n| if n % 2 == 0 { -1200 } else { 900 })), "two constant channels");
        assert!(!gate.admits(&packet(|n| if n % 2 == 0 { i16::MIN } else { i16::MAX })));
        let whisper = packet(|n| if n % 2 == 1 { [0, 5, 9, 5][n / 2 % 4] } else { 0 });
        assert!(gate.admits(&whisper));
    }
}
