//! [`Peer`]: one controller from the first byte to the close; composes the other files of this room.
//!
//! Guarantee: no video and no hands before login, nothing at all after [`Event::Closed`], and whatever was held
//! is let go before it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::crypto::password::CHALLENGE_LEN;
use crate::crypto::seed::Seed;
use crate::input::event::InputEvent;
use crate::video::request::VideoRequest;
use crate::video::signal::DisplayState;
use crate::wire::message::{decode_message, encode_message, hbb};
use hbb::message::Union;

use super::displays::Displays;
use super::evenness::Evenness;
use super::flow::Flow;
use super::hands::Hands;
use super::handshake::Handshake;
use super::input::Keys;
use super::latency::Latency;
use super::login::{self, Scope};
use super::options::Options;
use super::pace::Pace;
use super::picture::Agreement;
use super::pointer::Pointer;
use super::sharing::Hold;
use super::sound::Sound;
use super::tally::Tally;
use super::texts;
pub use super::types::*;
use super::video::Video;

/// A controller that holds something and is silent so long is taken for cut off: what it holds goes up.
pub const HOLD_LIMIT: Duration = Duration::from_secs(2);

/// A controller that has not logged in so long after Hash makes room: the password prompt of the apps has no limit
/// of its own, and their echoes would keep a half-open connection for ever.
pub const LOGIN_LIMIT: Duration = Duration::from_secs(600);

/// Where a session stands.
#[derive(Debug)]
pub(super) enum State {
    /// SignedId is out, the first frame is awaited.
    Handshake(Handshake),
    /// Hash is out, a LoginRequest is awaited.
    Login,
    /// The gate judges this request.
    Judged(Box<hbb::LoginRequest>),
    /// In.
    Open,
    /// Over.
    Closed,
}

/// One controller's session.
#[derive(Debug)]
pub struct Peer {
    pub(super) settings: PeerSettings,
    pub(super) opening: Opening,
    pub(super) controller: SocketAddr,
    pub(super) state: State,
    pub(super) challenge: String,
    pub(super) login_by: Instant,
    pub(super) scope: Option<Scope>,
    pub(super) version: String,
    pub(super) displays: Displays,
    /// The display that hands act on.
    pub(super) hands_display: usize,
    pub(super) options: Options,
    pub(super) requested: Option<VideoRequest>,
    pub(super) video: Video,
    pub(super) latency: Latency,
    pub(super) evenness: Evenness,
    pub(super) flow: Flow,
    pub(super) pace: Pace,
    /// Bytes that wait in front of the line.
    pub(super) backlog: usize,
    pub(super) agreement: Agreement,
    pub(super) sound: Sound,
    /// The display and the sid of the screenshot that is being taken.
    pub(super) screenshot: Option<(usize, String)>,
    pub(super) tally: Tally,
    pub(super) keys: Keys,
    pub(super) pointer: Pointer,
    pub(super) hands: Hands,
    /// Pointer events are thrown away until the echo of the ping behind the first picture.
    pub(super) is_pointer_awake: bool,
    pub(super) has_sent_picture: bool,
    /// Whether the hands of this controller act, or whose do, and what the app was told about it.
    pub(super) hold: Hold,
    pub(super) is_keyboard_allowed: bool,
    pub(super) notice: String,
    pub(super) is_sealed: bool,
    pub(super) ignored: u64,
    pub(super) now: Instant,
    pub(super) out: VecDeque<Output>,
}

impl Peer {
    /// A machine for a connection that was just made, without sound. `displays` are the states known now, at least
    /// one.
    pub fn new(
        settings: PeerSettings,
        opening: Opening,
        controller: SocketAddr,
        displays: Vec<DisplayState>,
        now: Instant,
        seed: Seed,
    ) -> Self {
        Self::with_sound(settings, opening, controller, displays, vec![], now, seed)
    }

    /// As [`Peer::new`]; `sound` says for each display whether sound comes with its picture now.
    pub fn with_sound(
        settings: PeerSettings,
        opening: Opening,
        controller: SocketAddr,
        displays: Vec<DisplayState>,
        sound: Vec<bool>,
        now: Instant,
        mut seed: Seed,
    ) -> Self {
        let count = displays.len();
        let (handshake, signed_id) = Handshake::new(
            settings.id.as_str(),
            &settings.identity,
            settings.is_encryption_required,
            now,
            &mut seed,
        );
        let mut peer = Self {
            keys: Keys::new(&settings, ""),
            challenge: seed.next_text(CHALLENGE_LEN),
            login_by: now + LOGIN_LIMIT,
            settings,
            opening,
            controller,
            state: State::Login,
            scope: None,
            version: String::new(),
            displays: Displays::new(displays),
            hands_display: 0,
            options: Options::default(),
            requested: None,
            video: Video::new(count, false, now),
            latency: Latency::new(now),
            evenness: Evenness::default(),
            flow: Flow::new(now),
            pace: Pace::new(now),
            backlog: 0,
            agreement: Agreement::default(),
            sound: Sound::new(sound),
            screenshot: None,
            tally: Tally::default(),
            pointer: Pointer::default(),
            hands: Hands::default(),
            is_pointer_awake: false,
            has_sent_picture: false,
            hold: Hold::Mine,
            is_keyboard_allowed: true,
            notice: String::new(),
            is_sealed: false,
            ignored: 0,
            now,
            out: VecDeque::new(),
        };
        match opening {
            Opening::Secure => {
                peer.state = State::Handshake(handshake);
                peer.transmit(signed_id);
            }
            // A controller that asked for `secure = false` waits for Hash and would not answer a SignedId.
            Opening::Insecure if peer.settings.is_encryption_required => peer.refuse(texts::CLEAR_REFUSED),
            Opening::Direct if !peer.settings.is_direct_plaintext_allowed => {
                peer.refuse(texts::DIRECT_REFUSED)
            }
            Opening::Insecure | Opening::Direct => peer.send_hash(now),
        }
        peer
    }

    /// Takes one input. Infallible: a bad peer is an output.
    pub fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        self.now = now;
        if matches!(self.state, State::Closed) {
            return;
        }
        match input {
            Input::Payload(payload) => self.handle_payload(payload, now),
            Input::Verdict(verdict) => self.handle_verdict(verdict, now),
            Input::Display { index, state } => self.handle_display(index, state, now),
            Input::Frame { index, frame } => self.handle_frame(index, frame, now),
            Input::HidNotice(text) => self.handle_notice(text),
            Input::Remark(text) if matches!(self.state, State::Open) => {
                self.transmit(texts::notice(texts::HID_TITLE, text.to_owned()));
            }
            Input::Remark(_) => {}
            Input::Hold(hold) => self.handle_hold(hold),
            Input::Backlog(bytes) => self.backlog = bytes,
            Input::Sound(packet) => self.handle_sound(packet),
            Input::SoundThere { index, is_there } => self.handle_sound_there(index, is_there),
            Input::Screenshot { sid, png } => self.handle_screenshot(sid, png),
            Input::VideoLost => {
                self.tally.dropped.line_full += 1;
                (0..self.displays.len()).for_each(|i| self.video.lost(i, now));
            }
            Input::End(text) => {
                if !text.is_empty() {
                    self.transmit(login::encode_misc(hbb::misc::Union::CloseReason(text.to_owned())));
                }
                self.close(CloseReason::EndedHere(text.to_owned()));
            }
            Input::Timeout => self.handle_timeout(now),
        }
        self.drain();
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Output {
        if let Some(output) = self.out.pop_front() {
            return output;
        }
        let mut due = (self.latency.silence_at(), "silence ends the session");
        let mut earlier = |at: Instant, why: &'static str| {
            if at < due.0 {
                due = (at, why);
            }
        };
        match &self.state {
            State::Closed => {
                return Output::Timeout { at: self.now + Duration::from_secs(3600), why: "closed" };
            }
            State::Handshake(handshake) => earlier(handshake.deadline(), "the handshake must come"),
            State::Login | State::Judged(_) => earlier(self.login_by, "the login must come"),
            State::Open => {
                if let Some((at, why)) = self.video.deadline() {
                    earlier(at, why);
                }
                if let Some(at) = self.mark_at() {
                    earlier(at, "what was sent is to be acknowledged");
                }
                for at in self.flow.retry_at(self.now).into_iter().chain(self.video.room_at(self.now)) {
                    earlier(at, "another frame may go");
                }
                if self.hands.holds_anything() {
                    earlier(self.latency.last_received() + HOLD_LIMIT, "held keys go up");
                }
                if let Some(at) = self.proof_at() {
                    earlier(at, "a held key is proven or goes up");
                }
            }
        }
        if !matches!(self.state, State::Handshake(_))
            && let Some(at) = self.latency.ping_at()
        {
            earlier(at, "ping");
        }
        let (at, why) = due;
        Output::Timeout { at, why }
    }

    /// Messages that meant nothing to us so far.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    fn handle_payload(&mut self, payload: &[u8], now: Instant) {
        // Frames of at most one byte pass the seal unopened: they are no message (reference: network 1.5).
        if self.is_sealed && payload.len() <= 1 {
            return self.ignore("a frame without a seal");
        }
        self.latency.received(now);
        if let State::Handshake(handshake) = &self.state {
            let step = handshake.handle_first(payload);
            return self.handle_step(step, now);
        }
        match decode_message(payload) {
            Ok(hbb::Message { union: Some(union) }) => self.handle_message(union, now),
            Ok(_) => self.ignore("an empty or unknown message"),
            Err(_) => self.close(CloseReason::PeerMisbehaved("it sent bytes that are no message")),
        }
    }

    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "the union is generated and most of it means nothing to us"
    )]
    fn handle_message(&mut self, union: Union, now: Instant) {
        let is_open = matches!(self.state, State::Open);
        match union {
            Union::TestDelay(ping) if ping.from_client => {
                self.transmit(encode_message(Union::TestDelay(ping)))
            }
            Union::TestDelay(_) => self.handle_echo(now),
            Union::Misc(hbb::Misc { union: Some(hbb::misc::Union::CloseReason(text)) }) => {
                self.close(CloseReason::LeftByController(text));
            }
            Union::LoginRequest(request) if !is_open => self.handle_login(request),
            Union::LoginRequest(_) => self.ignore("a second login"),
            _ if !is_open => self.ignore("a message before login"),
            Union::KeyEvent(_) | Union::MouseEvent(_) | Union::PointerDeviceEvent(_) => {
                self.handle_hands(&union)
            }
            Union::Misc(hbb::Misc { union: Some(union) }) => self.handle_misc(union, now),
            Union::ScreenshotRequest(request) => self.handle_screenshot_request(request),
            Union::VoiceCallRequest(request) => self.refuse_voice_call(request),
            _ => self.ignore("an unknown message"),
        }
    }

    fn handle_echo(&mut self, now: Instant) {
        let Some(echo) = self.latency.echo(now) else { return self.ignore("an echo without a ping") };
        self.evenness.echoed(now);
        self.is_pointer_awake |= echo.is_marker;
        self.flow.echoed(echo.mark, now);
        if self.pace.update(&self.flow, now) {
            self.request_video();
            self.update_sound();
        }
    }

    fn handle_notice(&mut self, text: &str) {
        if text != self.notice {
            text.clone_into(&mut self.notice);
            if matches!(self.state, State::Open) {
                self.show_notice();
            }
        }
    }

    pub(super) fn show_notice(&mut self) {
        if !self.notice.is_empty() {
            self.transmit(texts::notice(texts::HID_TITLE, self.notice.clone()));
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let State::Handshake(handshake) = &self.state {
            if handshake.deadline() <= now {
                self.close(CloseReason::HandshakeFailed("no answer to SignedId within 18 s"));
            }
            return;
        }
        let is_late = !matches!(self.state, State::Open) && self.login_by <= now;
        if is_late || self.latency.silence_at() <= now {
            self.transmit(login::encode_misc(hbb::misc::Union::CloseReason(texts::TIMEOUT.into())));
            return self.close(CloseReason::TimedOut);
        }
        if self.latency.ping_at().is_some_and(|at| at <= now) || self.is_mark_due(now) {
            self.ping(false, now);
        }
        if matches!(self.state, State::Open) {
            self.video.handle_timeout(now);
            if self.hands.holds_anything() && self.latency.last_received() + HOLD_LIMIT <= now {
                self.hands.release_for_silence();
                self.pointer.reset();
            }
            self.prove_held_keys(now);
        }
    }

    pub(super) fn ping(&mut self, is_marker: bool, now: Instant) {
        self.evenness.sent(self.flow.own_wait(), now);
        let mark = self.flow.mark(now);
        let ping = self.latency.ping(is_marker, mark, now);
        self.out.push_back(Output::Transmit(Bytes::from(encode_message(Union::TestDelay(ping)))));
    }

    /// Everything held goes up.
    pub(super) fn let_go(&mut self) {
        self.hands.release_all();
        self.pointer.reset();
    }

    /// Hands of this session go to another display; what was held on the old one goes up there.
    pub(super) fn move_hands(&mut self, index: usize) {
        if self.hands.holds_anything() {
            self.let_go();
        }
        self.drain_hands();
        self.hands_display = index;
        self.pointer.origin_changed();
        self.update_sound();
    }

    pub(super) fn transmit(&mut self, message: Vec<u8>) {
        self.flow.sent(message.len(), false, self.now);
        self.out.push_back(Output::Transmit(Bytes::from(message)));
    }

    pub(super) fn event(&mut self, event: Event) {
        self.out.push_back(Output::Event(event));
    }

    pub(super) fn ignore(&mut self, what: &'static str) {
        self.ignored += 1;
        tracing::debug!(what, ignored = self.ignored, "ignored");
    }

    /// Ends before login with a text that the user reads.
    pub(super) fn refuse(&mut self, text: &'static str) {
        self.transmit(login::encode_misc(hbb::misc::Union::CloseReason(text.into())));
        self.close(CloseReason::Refused(text.into()));
    }

    pub(super) fn close(&mut self, reason: CloseReason) {
        if matches!(self.state, State::Open) {
            if self.hands.holds_anything() {
                self.let_go();
            }
            let acts = !self.options.is_view_only && self.hold == Hold::Mine;
            if self.options.wants_lock_at_end && acts {
                let (usage, modifiers) = super::control::lock_chord(self.settings.os);
                self.hands.emit(InputEvent::Tap { usage, modifiers });
            }
            self.drain_hands();
        }
        self.state = State::Closed;
        self.event(Event::Closed(reason));
    }

    fn drain_hands(&mut self) {
        let index = self.hands_display;
        for event in self.hands.take() {
            self.event(Event::Hands { index, event });
        }
    }

    /// Turns what the children want into outputs.
    fn drain(&mut self) {
        if matches!(self.state, State::Open) {
            self.drain_hands();
            for (index, is_shown) in self.video.take_shown() {
                self.event(Event::DisplayShown { index, is_shown });
            }
            for index in self.video.take_wanted() {
                if self.decodes_any(index) {
                    self.event(Event::KeyframeWanted { index });
                }
            }
        }
    }
}
