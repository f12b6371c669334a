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
use crate::video::frame::EncodedFrame;
use crate::video::request::VideoRequest;
use crate::video::signal::DisplayState;
use crate::wire::message::{decode_message, encode_message, hbb};
use hbb::message::Union;

use super::displays::Displays;
use super::hands::Hands;
use super::handshake::Handshake;
use super::input::Keys;
use super::latency::Latency;
use super::login::{self, Scope};
use super::options::Options;
use super::pace::Pace;
use super::pointer::Pointer;
use super::texts;
pub use super::types::*;
use super::video::{self, Admission, Video};

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
    pub(super) pace: Pace,
    pub(super) keys: Keys,
    pub(super) pointer: Pointer,
    pub(super) hands: Hands,
    /// Pointer events are thrown away until the echo of the ping behind the first picture.
    pub(super) is_pointer_awake: bool,
    pub(super) has_sent_picture: bool,
    pub(super) notice: String,
    pub(super) is_sealed: bool,
    pub(super) ignored: u64,
    pub(super) now: Instant,
    pub(super) out: VecDeque<Output>,
}

impl Peer {
    /// A machine for a connection that was just made. `displays` are the states known now, at least one.
    pub fn new(
        settings: PeerSettings,
        opening: Opening,
        controller: SocketAddr,
        displays: Vec<DisplayState>,
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
            keys: Keys::new(settings.announce, settings.os, ""),
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
            pace: Pace::default(),
            pointer: Pointer::default(),
            hands: Hands::default(),
            is_pointer_awake: false,
            has_sent_picture: false,
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
            Input::Backlog(bytes) => self.pace.set_backlog(bytes),
            Input::VideoLost => (0..self.displays.len()).for_each(|i| self.video.lost(i, now)),
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
                if self.hands.holds_anything() {
                    earlier(self.latency.last_received() + HOLD_LIMIT, "held keys go up");
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
            Union::KeyEvent(_) | Union::MouseEvent(_) if self.options.is_view_only => {}
            Union::KeyEvent(event) => {
                if !self.keys.handle(&event, &mut self.hands) {
                    self.ignore("a key without meaning");
                }
            }
            Union::MouseEvent(event) => self.handle_mouse(&event),
            Union::Misc(hbb::Misc { union: Some(union) }) => self.handle_misc(union, now),
            Union::ScreenshotRequest(request) => self.refuse_screenshot(request),
            Union::VoiceCallRequest(request) => self.refuse_voice_call(request),
            _ => self.ignore("an unknown message"),
        }
    }

    fn handle_display(&mut self, index: usize, state: DisplayState, now: Instant) {
        if self.displays.update(index, state) && matches!(self.state, State::Open) {
            self.announce(index, now);
        }
    }

    /// Tells the controller a new size: the list for all windows, then the display, then a key frame.
    fn announce(&mut self, index: usize, now: Instant) {
        let info = hbb::PeerInfo { displays: self.displays.infos(), ..Default::default() };
        self.transmit(encode_message(Union::PeerInfo(info)));
        self.transmit(login::encode_misc(self.displays.switch_display(index)));
        self.video.resized(index, now);
    }

    fn handle_frame(&mut self, index: usize, frame: EncodedFrame, now: Instant) {
        if !matches!(self.state, State::Open) {
            return;
        }
        match self.video.admit(index, &frame, self.displays.size(index), now) {
            Admission::Drop => return,
            Admission::Send => {}
            Admission::Resize => {
                self.displays.update_sizes(index, frame.resolution, frame.original_resolution);
                self.announce(index, now);
            }
        }
        let pts = self.video.sent(index, &frame, now);
        let (head, tail) = video::wrap(index, &frame, pts);
        self.latency.sent(head.len() + frame.data.len() + tail.len());
        let is_keyframe = frame.is_keyframe;
        self.out.push_back(Output::TransmitVideo { head, payload: frame.data, tail, is_keyframe });
        if !self.has_sent_picture {
            self.has_sent_picture = true;
            self.ping(true, now);
        }
    }

    fn handle_mouse(&mut self, event: &hbb::MouseEvent) {
        // Before the user can have seen a picture the apps inject clicks (trap T12): nothing of that is real.
        if !self.is_pointer_awake {
            return;
        }
        let ground = super::pointer::Ground {
            left: self.displays.left(self.hands_display),
            size: self.displays.size(self.hands_display),
        };
        if !self.pointer.handle(event, ground, self.settings.announce, &mut self.hands) {
            self.ignore("a mouse event without meaning");
        }
    }

    fn handle_echo(&mut self, now: Instant) {
        let Some(echo) = self.latency.echo(now) else { return self.ignore("an echo without a ping") };
        self.is_pointer_awake |= echo.is_marker;
        if self.pace.round_trip(echo.round_trip) {
            self.request_video();
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
            let message = hbb::MessageBox {
                msgtype: "custom-nook-nocancel-hasclose".into(),
                title: texts::HID_TITLE.into(),
                text: self.notice.clone(),
                link: String::new(),
            };
            self.transmit(encode_message(Union::MessageBox(message)));
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
        if self.latency.ping_at().is_some_and(|at| at <= now) {
            self.ping(false, now);
        }
        if matches!(self.state, State::Open) {
            self.video.handle_timeout(now);
            if self.hands.holds_anything() && self.latency.last_received() + HOLD_LIMIT <= now {
                self.let_go();
            }
        }
    }

    pub(super) fn ping(&mut self, is_marker: bool, now: Instant) {
        let ping = self.latency.ping(is_marker, now);
        self.transmit(encode_message(Union::TestDelay(ping)));
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
    }

    /// Tells the driver a changed wish.
    pub(super) fn request_video(&mut self) {
        let wish = self.pace.fit(self.options.request());
        if matches!(self.state, State::Open) && self.requested != Some(wish) {
            self.requested = Some(wish);
            self.event(Event::VideoWanted(wish));
        }
    }

    pub(super) fn transmit(&mut self, message: Vec<u8>) {
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
            if self.options.wants_lock_at_end && !self.options.is_view_only {
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
            for index in self.video.take_wanted() {
                self.event(Event::KeyframeWanted { index });
            }
        }
    }
}
