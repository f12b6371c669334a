//! The way in: handshake, Hash, login, welcome (reference: network 9.4, 9.5, session 2.1 to 2.9).

use std::time::Instant;

use crate::wire::message::hbb;

use super::gate::{LoginAttempt, Verdict};
use super::handshake::Step;
use super::input::Keys;
use super::login;
use super::machine::{CloseReason, Event, LOGIN_LIMIT, Opening, Output, Peer, State};
use super::video::Video;

impl Peer {
    pub(super) fn handle_step(&mut self, step: Step, now: Instant) {
        match step {
            Step::Sealed(key) => {
                self.is_sealed = true;
                self.out.push_back(Output::Seal(key));
                self.send_hash(now);
            }
            Step::Clear { is_key_unconfirmed } => {
                if is_key_unconfirmed {
                    self.event(Event::KeyNotConfirmed);
                }
                self.send_hash(now);
            }
            Step::Refused { text, is_key_unconfirmed } => {
                if is_key_unconfirmed {
                    self.event(Event::KeyNotConfirmed);
                }
                self.refuse(text);
            }
            Step::Failed(why) => self.close(CloseReason::HandshakeFailed(why)),
        }
    }

    pub(super) fn handle_login(&mut self, request: hbb::LoginRequest) {
        if matches!(self.state, State::Judged(_)) {
            return self.ignore("a login while one is judged");
        }
        let is_direct = self.opening == Opening::Direct;
        if let Err(text) = login::check(&request, &mut self.scope, &self.settings, is_direct) {
            return self.refuse_login(text);
        }
        self.event(Event::LoginAsked(LoginAttempt {
            address: self.controller.ip().to_canonical(),
            my_id: request.my_id.clone(),
            my_name: request.my_name.clone(),
            my_platform: request.my_platform.clone(),
            version: request.version.clone(),
            session_id: request.session_id,
            proof: request.password.clone(),
            challenge: self.challenge.clone(),
        }));
        self.state = State::Judged(Box::new(request));
    }

    pub(super) fn handle_verdict(&mut self, verdict: Verdict, now: Instant) {
        if !matches!(self.state, State::Judged(_)) {
            return self.ignore("a verdict that was not asked for");
        }
        let State::Judged(request) = std::mem::replace(&mut self.state, State::Login) else { return };
        match verdict {
            Verdict::Silent => {}
            Verdict::Refused(text) => self.transmit(login::error(text)),
            Verdict::Accepted => self.welcome(&request, now),
        }
    }

    pub(super) fn welcome(&mut self, request: &hbb::LoginRequest, now: Instant) {
        self.version.clone_from(&request.version);
        let is_old = login::is_before_1_2_4(&self.version);
        let answers = request.option.as_ref().map(|o| self.options.apply(o, is_old)).unwrap_or_default();
        let platform = &request.my_platform;
        let draws = login::draws_pointer(self.settings.local_pointer, platform, self.latency.is_slow());
        self.displays.is_cursor_embedded = !draws;
        self.keys = Keys::new(&self.settings, platform);
        self.video = Video::new(self.displays.len(), request.video_ack_required, now);
        self.state = State::Open;
        let encoding = self.announce_codecs();
        self.transmit(login::welcome(&self.settings, &self.displays, encoding));
        if draws {
            self.transmit(login::ring());
        }
        for answer in answers {
            self.transmit(login::encode_misc(hbb::misc::Union::BackNotification(answer)));
        }
        let wish = self.wish();
        self.requested = Some(wish);
        self.event(Event::LoggedIn { request: wish });
        self.claim_hands();
        self.update_sound();
        self.agree();
        self.show_notice();
    }

    pub(super) fn send_hash(&mut self, now: Instant) {
        self.state = State::Login;
        self.login_by = now + LOGIN_LIMIT;
        for message in login::opening(&self.settings.salt, &self.challenge, self.sound.is_there()) {
            self.transmit(message);
        }
        self.ping(false, now);
    }

    pub(super) fn refuse_login(&mut self, text: &'static str) {
        self.transmit(login::error(text));
        self.close(CloseReason::Refused(text.into()));
    }
}
