//! Cuts a stream of samples into packets of 10 ms. Pure.

/// Samples a second and channel.
pub const SAMPLE_RATE: u32 = 48_000;
/// Left and right.
pub const CHANNELS: usize = 2;
/// Samples of one packet, both channels: 10 ms, as the official device sends (reference: session 4).
pub const PACKET_SAMPLES: usize = SAMPLE_RATE as usize / 100 * CHANNELS;

/// Samples that wait for their packet to be full.
#[derive(Debug, Default)]
pub struct Packets {
    waiting: Vec<i16>,
}

impl Packets {
    /// Adds samples, left and right in turn, and gives every packet that is full to `each`. Holds less than one
    /// packet back.
    pub fn push(&mut self, mut samples: &[i16], mut each: impl FnMut(&[i16; PACKET_SAMPLES])) {
        if !self.waiting.is_empty() {
            let missing = PACKET_SAMPLES.saturating_sub(self.waiting.len()).min(samples.len());
            let (first, rest) = samples.split_at(missing);
            self.waiting.extend_from_slice(first);
            samples = rest;
            if let Ok(packet) = <&[i16; PACKET_SAMPLES]>::try_from(&self.waiting[..]) {
                each(packet);
                self.waiting.clear();
            }
        }
        let (packets, rest) = samples.as_chunks::<PACKET_SAMPLES>();
        packets.iter().for_each(each);
        self.waiting.extend_from_slice(rest);
    }

    /// Forgets what waits: samples were lost after it.
    pub fn clear(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_pieces_make_the_same_packets() {
        let stream: Vec<i16> = (0..PACKET_SAMPLES * 5 + 100).map(|n| (n % 30_000) as i16).collect();
        for piece in [2, 34, 480, PACKET_SAMPLES, PACKET_SAMPLES + 2, 4000] {
            let (mut packets, mut out) = (Packets::default(), vec![]);
            for samples in stream.chunks(piece) {
                packets.push(samples, |packet| out.extend_from_slice(packet));
            }
            assert_eq!(out, stream[..PACKET_SAMPLES * 5], "pieces of {piece}");
            assert_eq!(packets.waiting.len(), 100);
        }
    }

    #[test]
    fn after_a_loss_a_packet_begins_anew() {
        let (mut packets, mut out) = (Packets::default(), vec![]);
        packets.push(&[1; 100], |_| panic!("not full"));
        packets.clear();
        packets.push(&[2; PACKET_SAMPLES], |packet| out.extend_from_slice(packet));
        assert_eq!(out, [2; PACKET_SAMPLES]);
    }
}
