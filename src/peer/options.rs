//! What the controller wishes: quality, frame rate, codec, view-only, and the answers to what we cannot do
//! (reference: session 3.7, 3.12, 7.1).

use crate::video::frame::{Codec, CodecSet};
use crate::video::request::VideoRequest;
use crate::wire::message::hbb;
use hbb::back_notification::{BlockInputState, PrivacyModeState, Union as Notified};
use hbb::option_message::BoolOption;

use super::texts;

/// The options as they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    quality_percent: u32,
    custom_fps: u32,
    auto_fps: u32,
    /// Keyboard and mouse of this controller are ignored.
    pub is_view_only: bool,
    /// Lock the target's screen when the session ends.
    pub wants_lock_at_end: bool,
    /// The controller wants no sound.
    pub is_muted: bool,
    /// What the controller decodes; VP9 alone as long as it said nothing (trap T31).
    pub decodes: CodecSet,
    /// What its user chose, if it decodes that.
    pub prefers: Option<Codec>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            quality_percent: 67,
            custom_fps: 30,
            auto_fps: 120,
            is_view_only: false,
            wants_lock_at_end: false,
            is_muted: false,
            decodes: CodecSet::of(&[Codec::Vp9]),
            prefers: None,
        }
    }
}

fn choice(value: i32) -> Option<bool> {
    match BoolOption::try_from(value) {
        Ok(BoolOption::Yes) => Some(true),
        Ok(BoolOption::No) => Some(false),
        Ok(BoolOption::NotSet) | Err(_) => None,
    }
}

/// What a controller says that it decodes. One that names nothing gets VP9, which all of them have; a VP9 that failed
/// in a controller that names others is taken at its word (reference: session 3.4, 3.6).
fn decodes(said: &hbb::SupportedDecoding) -> CodecSet {
    let named: CodecSet = [
        (Codec::Vp8, said.ability_vp8),
        (Codec::Vp9, said.ability_vp9),
        (Codec::Av1, said.ability_av1),
        (Codec::H264, said.ability_h264),
        (Codec::H265, said.ability_h265),
    ]
    .into_iter()
    .filter_map(|(codec, ability)| (ability > 0).then_some(codec))
    .collect();
    if named.is_empty() { CodecSet::of(&[Codec::Vp9]) } else { named }
}

fn preferred(value: i32) -> Option<Codec> {
    use hbb::supported_decoding::PreferCodec;
    match PreferCodec::try_from(value) {
        Ok(PreferCodec::Vp8) => Some(Codec::Vp8),
        Ok(PreferCodec::Vp9) => Some(Codec::Vp9),
        Ok(PreferCodec::Av1) => Some(Codec::Av1),
        Ok(PreferCodec::H264) => Some(Codec::H264),
        Ok(PreferCodec::H265) => Some(Codec::H265),
        Ok(PreferCodec::Auto) | Err(_) => None,
    }
}

/// `SupportedEncoding` for these codecs; VP9 is implied in it and has no flag.
pub fn supported_encoding(encodes: CodecSet) -> hbb::SupportedEncoding {
    hbb::SupportedEncoding {
        h264: encodes.contains(Codec::H264),
        h265: encodes.contains(Codec::H265),
        vp8: encodes.contains(Codec::Vp8),
        av1: encodes.contains(Codec::Av1),
        i444: None,
    }
}

impl Options {
    /// Takes what a message changes and returns the answers that it needs. `is_old` for controllers before 1.2.4,
    /// whose privacy switch is an option.
    pub fn apply(&mut self, message: &hbb::OptionMessage, is_old: bool) -> Vec<hbb::BackNotification> {
        match hbb::ImageQuality::try_from(message.image_quality) {
            Ok(hbb::ImageQuality::Low) => self.quality_percent = 50,
            Ok(hbb::ImageQuality::Balanced) => self.quality_percent = 67,
            Ok(hbb::ImageQuality::Best) => self.quality_percent = 150,
            Ok(hbb::ImageQuality::NotSet) | Err(_) => {
                if message.custom_image_quality > 0 {
                    let percent = (message.custom_image_quality as u32 >> 8) & 0xFFF;
                    self.quality_percent = (percent * 2).clamp(20, 4000);
                }
            }
        }
        if let Ok(fps @ 1..=120) = u32::try_from(message.custom_fps) {
            self.custom_fps = fps;
        }
        if let Some(decoding) = &message.supported_decoding {
            self.decodes = decodes(decoding);
            self.prefers = preferred(decoding.prefer).filter(|codec| self.decodes.contains(*codec));
        }
        if let Some(is_muted) = choice(message.disable_audio) {
            self.is_muted = is_muted;
        }
        if let Some(is_view_only) = choice(message.disable_keyboard) {
            self.is_view_only = is_view_only;
        }
        if let Some(wants_lock) = choice(message.lock_after_session_end) {
            self.wants_lock_at_end = wants_lock;
        }
        let mut answers = vec![];
        if is_old && choice(message.privacy_mode) == Some(true) {
            answers.push(refuse_privacy(String::new()));
        }
        if let Some(is_on) = choice(message.block_input) {
            let state = if is_on { BlockInputState::BlkOnFailed } else { BlockInputState::BlkOffFailed };
            answers.push(hbb::BackNotification {
                details: texts::NO_BLOCK.into(),
                impl_key: String::new(),
                union: Some(Notified::BlockInputState(state.into())),
            });
        }
        answers
    }

    /// The ceiling that controllers 1.2.2 and 1.2.3 send, in frames a second.
    pub fn set_auto_fps(&mut self, fps: u32) {
        self.auto_fps = fps.clamp(1, 120);
    }

    /// The wish for the pipeline, before the line's own limits.
    pub fn request(&self) -> VideoRequest {
        VideoRequest {
            decodes: self.decodes,
            prefers: self.prefers,
            bits_per_second: None,
            max_fps: self.custom_fps.min(self.auto_fps),
            quality_percent: self.quality_percent,
        }
    }
}

/// The refusal of privacy mode; the key is echoed.
pub fn refuse_privacy(impl_key: String) -> hbb::BackNotification {
    hbb::BackNotification {
        details: texts::NO_PRIVACY.into(),
        impl_key,
        union: Some(Notified::PrivacyModeState(PrivacyModeState::PrvNotSupported.into())),
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, clippy::wildcard_enum_match_arm, reason = "tests own their clocks")]
mod tests {
    use super::*;

    fn apply(options: &mut Options, message: hbb::OptionMessage) -> VideoRequest {
        assert!(options.apply(&message, false).is_empty());
        options.request()
    }

    #[test]
    fn quality_and_rate() {
        let mut options = Options::default();
        let first = VideoRequest { decodes: CodecSet::of(&[Codec::Vp9]), ..VideoRequest::default() };
        assert_eq!(options.request(), first);
        let with = |image_quality, custom_image_quality, custom_fps| hbb::OptionMessage {
            image_quality,
            custom_image_quality,
            custom_fps,
            ..Default::default()
        };
        for (quality, percent) in [(4, 150), (3, 67), (2, 50), (0, 50), (99, 50)] {
            assert_eq!(apply(&mut options, with(quality, 0, 0)).quality_percent, percent);
        }
        for (custom, percent) in [(80 << 8, 160), (1 << 8, 20), (2000 << 8, 4000), (-5, 4000), (50 << 8, 100)]
        {
            assert_eq!(apply(&mut options, with(0, custom, 0)).quality_percent, percent, "{custom}");
        }
        for (fps, want) in [(45, 45), (0, 45), (121, 45), (-1, 45), (120, 120)] {
            assert_eq!(apply(&mut options, with(0, 0, fps)).max_fps, want);
        }
        options.set_auto_fps(12);
        assert_eq!(options.request().max_fps, 12);
    }

    #[test]
    fn what_is_not_said_stays() {
        let mut options = Options::default();
        let view_only = hbb::OptionMessage {
            disable_keyboard: BoolOption::Yes.into(),
            lock_after_session_end: BoolOption::Yes.into(),
            disable_audio: BoolOption::Yes.into(),
            supported_decoding: Some(hbb::SupportedDecoding { ability_h264: 1, ..Default::default() }),
            ..Default::default()
        };
        apply(&mut options, view_only);
        apply(&mut options, hbb::OptionMessage::default());
        assert!(options.is_view_only && options.wants_lock_at_end && options.is_muted);
        assert_eq!(options.decodes, CodecSet::of(&[Codec::H264]));
        let back = hbb::OptionMessage {
            disable_keyboard: BoolOption::No.into(),
            disable_audio: BoolOption::No.into(),
            supported_decoding: Some(hbb::SupportedDecoding::default()),
            ..Default::default()
        };
        apply(&mut options, back);
        assert!(!options.is_view_only && options.wants_lock_at_end && !options.is_muted);
        assert_eq!(options.decodes, CodecSet::of(&[Codec::Vp9]), "who names nothing gets VP9");
    }

    #[test]
    fn codecs_and_the_users_choice() {
        let mut options = Options::default();
        let all = hbb::SupportedDecoding {
            ability_vp8: 1,
            ability_vp9: 1,
            ability_av1: 2,
            ability_h264: 1,
            ability_h265: 1,
            ..Default::default()
        };
        let mut say = |decoding: hbb::SupportedDecoding| {
            let request = apply(
                &mut options,
                hbb::OptionMessage { supported_decoding: Some(decoding), ..Default::default() },
            );
            (request.decodes, request.prefers)
        };
        assert_eq!(say(all), (CodecSet::all(), None));
        let wanted = [None, Some(Codec::Vp9), Some(Codec::H264), Some(Codec::H265), Some(Codec::Vp8)];
        for (prefer, want) in wanted.into_iter().chain([Some(Codec::Av1), None]).enumerate() {
            let said = say(hbb::SupportedDecoding { prefer: prefer as i32, ..all });
            assert_eq!(said, (CodecSet::all(), want), "{prefer}");
        }
        let banned = hbb::SupportedDecoding { ability_vp9: 0, prefer: 1, ..all };
        assert_eq!(say(banned).1, None, "a choice that it does not decode is none");
        assert!(!say(banned).0.contains(Codec::Vp9), "VP9 can fail in an app, too");
    }

    #[test]
    fn the_menu_lists_what_is_encoded() {
        let menu = supported_encoding(CodecSet::of(&[Codec::Vp9, Codec::Av1]));
        assert_eq!(menu, hbb::SupportedEncoding { av1: true, ..Default::default() });
    }

    #[test]
    fn refusals() {
        let mut options = Options::default();
        let message = hbb::OptionMessage { privacy_mode: 2, block_input: 2, ..Default::default() };
        let states =
            |answers: Vec<hbb::BackNotification>| answers.into_iter().map(|a| a.union).collect::<Vec<_>>();
        assert_eq!(states(options.apply(&message, false)), [Some(Notified::BlockInputState(3))]);
        assert_eq!(
            states(options.apply(&message, true)),
            [Some(Notified::PrivacyModeState(3)), Some(Notified::BlockInputState(3))]
        );
        let off = hbb::OptionMessage { block_input: 1, ..Default::default() };
        assert_eq!(states(options.apply(&off, false)), [Some(Notified::BlockInputState(5))]);
    }
}
