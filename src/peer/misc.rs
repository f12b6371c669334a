//! `Misc` and the small requests after login: what is done, what is refused in the references' own words, what is
//! ignored (reference: session 1 table Misc, 3.9 to 3.12, 4, 7).

use std::time::Instant;

use crate::wire::message::{encode_message, hbb};
use hbb::message::Union;
use hbb::misc::Union as Misc;

use super::login;
use super::machine::Peer;
use super::options;

impl Peer {
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "the union is generated and most of it means nothing to us"
    )]
    pub(super) fn handle_misc(&mut self, union: Misc, now: Instant) {
        match union {
            Misc::Option(message) => self.handle_options(&message, now),
            Misc::RefreshVideo(true) => {
                for index in 0..self.displays.len() {
                    self.video.refresh(index);
                }
            }
            Misc::RefreshVideoDisplay(index) => match self.displays.checked(index) {
                Some(index) => self.video.refresh(index),
                None => self.ignore("a refresh of a display that is not there"),
            },
            Misc::VideoReceived(_) => self.video.acknowledged(now),
            Misc::AutoAdjustFps(fps) => {
                self.options.set_auto_fps(fps);
                self.request_video();
            }
            // A recording needs a key frame to begin with.
            Misc::ClientRecordStatus(true) => {
                (0..self.displays.len()).for_each(|index| self.video.refresh(index));
            }
            Misc::ClientRecordStatus(false) => {}
            Misc::SwitchDisplay(wanted) => match self.displays.checked(wanted.display) {
                Some(index) => self.switch_to(index, now),
                None => self.ignore("a switch to a display that is not there"),
            },
            Misc::CaptureDisplays(wanted) => self.capture(&wanted, now),
            Misc::MessageQuery(query) => match self.displays.checked(query.switch_display) {
                Some(index) => self.describe(index, now),
                None => self.ignore("a query for a display that is not there"),
            },
            Misc::TogglePrivacyMode(toggle) => {
                let refusal = options::refuse_privacy(toggle.impl_key);
                self.transmit(login::encode_misc(Misc::BackNotification(refusal)));
            }
            Misc::RestartRemoteDevice(_) => {
                tracing::info!("the controller asked for a restart, which this device cannot do");
            }
            Misc::ChatMessage(_) => tracing::debug!("a chat message came; there is nobody to read it"),
            _ => self.ignore("an unknown misc message"),
        }
    }

    fn handle_options(&mut self, message: &hbb::OptionMessage, now: Instant) {
        let decoded = self.options.decodes;
        let was_view_only = self.options.is_view_only;
        let answers = self.options.apply(message, login::is_before_1_2_4(&self.version));
        for answer in answers {
            self.transmit(login::encode_misc(Misc::BackNotification(answer)));
        }
        if self.options.is_view_only && !was_view_only {
            self.let_go();
        }
        if self.options.is_view_only != was_view_only {
            self.claim_hands();
        }
        self.request_video();
        if self.options.decodes != decoded {
            self.video.withdrawn(self.options.decodes, now);
            self.agree();
        }
        self.update_sound();
    }

    /// Keys follow the last display switch. Only a real change is answered (reference: session 3.9).
    fn switch_to(&mut self, index: usize, now: Instant) {
        if index == self.hands_display {
            return;
        }
        self.move_hands(index);
        self.video.show(index, true, now);
        self.describe(index, now);
    }

    /// `Misc.switch_display` for one display; it resets the controller's decoder.
    fn describe(&mut self, index: usize, now: Instant) {
        self.transmit(login::encode_misc(self.displays.switch_display(index)));
        self.video.require_key(index, now);
    }

    /// `add` goes before `sub`, which goes before `set`; indexes that are not ours are dropped.
    fn capture(&mut self, wanted: &hbb::CaptureDisplays, now: Instant) {
        let known = |list: &[i32]| list.iter().filter_map(|i| self.displays.checked(*i)).collect::<Vec<_>>();
        let (add, sub, set) = (known(&wanted.add), known(&wanted.sub), known(&wanted.set));
        if !add.is_empty() {
            add.into_iter().for_each(|i| self.video.show(i, true, now));
        } else if !sub.is_empty() {
            sub.into_iter().for_each(|i| self.video.show(i, false, now));
        } else if !set.is_empty() {
            (0..self.displays.len()).for_each(|i| self.video.show(i, set.contains(&i), now));
        }
    }

    /// There is no microphone to take: refused at once, or the app waits. The end of a call needs no answer.
    pub(super) fn refuse_voice_call(&mut self, request: hbb::VoiceCallRequest) {
        if request.is_connect {
            let response = hbb::VoiceCallResponse {
                accepted: false,
                req_timestamp: request.req_timestamp,
                ack_timestamp: request.req_timestamp,
            };
            self.transmit(encode_message(Union::VoiceCallResponse(response)));
        }
    }
}
