//! Sound to the controller: the format before the first packet and again only when it changes, nothing while the
//! controller wants none, and nothing on a line that is too slow for it beside picture and input (reference: session 4).
//! Whether there is any is told as a permission (reference: session 2.9), again when that changes.

use bytes::Bytes;

use crate::audio::format::{AudioFormat, EncodedAudio};
use crate::wire::message::{encode_message, hbb};
use hbb::message::Union;

use super::login;
use super::machine::{Event, Output, Peer, State};

/// Below this a line carries no sound, from the other on it does again, in bits a second.
const TOO_SLOW: u32 = 500_000;
const FAST_ENOUGH: u32 = 600_000;

/// The sound of one session.
#[derive(Debug)]
pub struct Sound {
    /// Which displays have sound.
    sources: Vec<bool>,
    announced: Option<AudioFormat>,
    /// The display that is listened to.
    wanted: Option<usize>,
    is_yielding: bool,
}

impl Sound {
    /// `sources` says for each display whether sound comes with its picture now.
    pub fn new(sources: Vec<bool>) -> Self {
        Self { sources, announced: None, wanted: None, is_yielding: false }
    }

    /// Whether there is any.
    pub fn is_there(&self) -> bool {
        self.sources.contains(&true)
    }

    /// The sound that belongs to a display: its own, else the first there is.
    fn source(&self, display: usize) -> Option<usize> {
        if self.sources.get(display) == Some(&true) {
            return Some(display);
        }
        self.sources.iter().position(|has_sound| *has_sound)
    }

    fn yields(&mut self, line: Option<u32>) -> bool {
        let least = if self.is_yielding { FAST_ENOUGH } else { TOO_SLOW };
        self.is_yielding = line.is_some_and(|bits| bits < least);
        self.is_yielding
    }
}

/// What the apps can play.
fn is_playable(format: AudioFormat) -> bool {
    matches!(format.channels, 1 | 2) && matches!(format.sample_rate, 8000 | 12000 | 16000 | 24000 | 48000)
}

impl Peer {
    /// Tells the driver what to listen to, if that changed.
    pub(super) fn update_sound(&mut self) {
        let is_off = self.sound.yields(self.pace.bits_per_second()) || self.options.is_muted;
        let is_open = matches!(self.state, State::Open);
        let wanted = if is_off || !is_open { None } else { self.sound.source(self.hands_display) };
        if self.sound.wanted != wanted {
            self.sound.wanted = wanted;
            self.event(Event::SoundWanted(wanted));
        }
    }

    /// There is a sound device with a display now, or none any more: the app is told if it makes a difference to it.
    pub(super) fn handle_sound_there(&mut self, index: usize, is_there: bool) {
        let had_any = self.sound.is_there();
        let Some(source) = self.sound.sources.get_mut(index) else { return };
        *source = is_there;
        let has_any = self.sound.is_there();
        // Who has not been told yet will be told what is true then.
        if has_any != had_any && !matches!(self.state, State::Handshake(_)) {
            self.transmit(login::permission(hbb::permission_info::Permission::Audio, has_any));
        }
        self.update_sound();
    }

    pub(super) fn handle_sound(&mut self, packet: EncodedAudio) {
        if !matches!(self.state, State::Open) || self.sound.wanted.is_none() || !is_playable(packet.format) {
            return;
        }
        if self.sound.announced != Some(packet.format) {
            self.sound.announced = Some(packet.format);
            let AudioFormat { sample_rate, channels } = packet.format;
            self.transmit(login::encode_misc(hbb::misc::Union::AudioFormat(hbb::AudioFormat {
                sample_rate,
                channels,
            })));
        }
        let frame = hbb::AudioFrame { data: packet.data.to_vec() };
        let message = encode_message(Union::AudioFrame(frame));
        self.flow.sent(message.len(), false, self.now);
        self.out.push_back(Output::TransmitSound(Bytes::from(message)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_yields_on_a_slow_line_and_comes_back_with_room_to_spare() {
        let mut sound = Sound::new(vec![false, true, true]);
        let told = [None, Some(499_999), Some(599_999), Some(600_000), Some(500_000), Some(400_000), None];
        let yields: Vec<_> = told.into_iter().map(|line| sound.yields(line)).collect();
        assert_eq!(yields, [false, true, true, false, false, true, false]);
        assert_eq!((sound.source(0), sound.source(2), sound.source(9)), (Some(1), Some(2), Some(1)));
        assert!(!Sound::new(vec![false]).is_there());
    }
}
