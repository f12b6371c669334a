//! A scripted RustDesk controller, written from the protocol reference: blocking, one thread, over
//! `std::net::TcpStream`. It logs in by IP or through hbbs/hbbr, echoes TestDelay while it waits, keeps every
//! message, decodes H.264 to RGB, and sends what an app's user would.
//!
//! ```ignore
//! let mut app = Controller::connect_direct(address, Options::with_password("secret"))?;
//! app.log_in()?;
//! let picture = app.next_keyframe(LONG)?;
//! app.map_key(30, true)?;
//! ```

mod by_id;
mod hands;
mod handshake;
mod picture;
mod stream;

#[allow(unused_imports, reason = "each test binary uses its own part")]
pub use by_id::{Lookup, Server, Way, lookup};
pub use hands::button;
pub use handshake::{Answer, SignedKey};
#[allow(unused_imports, reason = "each test binary uses its own part")]
pub use picture::{Picture, write_png};
pub use stream::Link;

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use kvmdesk::crypto::password::PasswordHash;
use kvmdesk::wire::message::{decode_message, encode_message, hbb};
use picture::Screen;

pub use hbb::message::Union;

/// Long enough for an emulated, loaded machine; nothing is asserted about speed.
pub const LONG: Duration = Duration::from_secs(60);

/// Who the controller says it is and what it can do.
#[derive(Debug, Clone)]
pub struct Options {
    /// The password that `log_in` proves.
    pub password: String,
    /// `LoginRequest.username`: the dialled ID, or the address as typed.
    pub username: String,
    /// The controller's own ID.
    pub my_id: String,
    /// Its user name.
    pub my_name: String,
    /// Its platform, for instance `Linux` or `Android`.
    pub my_platform: String,
    /// Its version.
    pub version: String,
    /// Stable over reconnects of one window.
    pub session_id: u64,
    /// Asks for `Misc.video_received` flow control.
    pub video_ack_required: bool,
    /// The first option message: decoding abilities and all.
    pub option: Option<hbb::OptionMessage>,
    /// Session type: file transfer, camera, terminal, tunnel; `None` is the desktop.
    pub kind: Option<hbb::login_request::Union>,
    /// What to send for the peer's SignedId.
    pub answer: Answer,
}

impl Options {
    /// A desktop app that decodes H.264 and proves `password`.
    pub fn with_password(password: &str) -> Self {
        let decoding = hbb::SupportedDecoding {
            ability_vp9: 1,
            ability_h264: 1,
            ability_h265: 1,
            ability_vp8: 1,
            ability_av1: 1,
            ..Default::default()
        };
        Self {
            password: password.into(),
            username: String::new(),
            my_id: "139630157".into(),
            my_name: "Scripted".into(),
            my_platform: "Linux".into(),
            version: "1.4.9".into(),
            session_id: 0x49B1_0D5F_1234_5678,
            video_ack_required: false,
            option: Some(hbb::OptionMessage { supported_decoding: Some(decoding), ..Default::default() }),
            kind: None,
            answer: Answer::Encrypt,
        }
    }

    /// The option message to change before connecting.
    pub fn option_mut(&mut self) -> &mut hbb::OptionMessage {
        self.option.get_or_insert_with(Default::default)
    }

    /// Says that the app cannot decode H.264.
    pub fn without_h264(mut self) -> Self {
        if let Some(decoding) = &mut self.option_mut().supported_decoding {
            decoding.ability_h264 = 0;
        }
        self
    }
}

/// What a login came to.
#[derive(Debug, Clone, PartialEq)]
pub enum LoginOutcome {
    /// In.
    Welcome(Box<hbb::PeerInfo>),
    /// `LoginResponse.error`.
    Refused(String),
    /// `Misc.close_reason`.
    Closed(String),
}

/// One connected controller.
pub struct Controller {
    link: Link,
    /// Who it says it is; change before `log_in`.
    pub options: Options,
    /// Messages nobody has waited for yet, oldest first; video stays in `screen`.
    pub inbox: VecDeque<Union>,
    /// Every kind of message in order of arrival, for assertions on order (video is `video`, key frames `key`).
    pub order: Vec<&'static str>,
    /// The TestDelays that came.
    pub delays: Vec<hbb::TestDelay>,
    /// Whether TestDelay is echoed (on by default).
    pub echoes: bool,
    /// `Hash` of this connection, once it came.
    pub hash: Option<hbb::Hash>,
    /// `PeerInfo`, the newest.
    pub peer_info: Option<hbb::PeerInfo>,
    /// `Misc.close_reason` if one came.
    pub close_reason: Option<String>,
    /// The stream has ended.
    pub is_ended: bool,
    screen: Screen,
}

impl Controller {
    /// Connects by IP address: no handshake, Hash comes first.
    ///
    /// # Errors
    /// No connection.
    pub fn connect_direct(address: impl ToSocketAddrs, options: Options) -> io::Result<Self> {
        let address = address.to_socket_addrs()?.next().ok_or_else(|| fault("no such address"))?;
        let link = Link::connect(address)?;
        let mut options = options;
        if options.username.is_empty() {
            options.username = address.to_string();
        }
        Ok(Self::over(link, options))
    }

    /// Connects to a peer that starts with SignedId (as after a punch), and answers it by `options.answer`.
    /// `key` is what the ID server said about the dialled ID; `None` trusts whatever key signed.
    ///
    /// # Errors
    /// No connection, or no SignedId.
    pub fn connect_secure(address: SocketAddr, key: Option<SignedKey>, options: Options) -> io::Result<Self> {
        Self::secure_over(Link::connect(address)?, key, options)
    }

    /// The secure opening on a connection that exists already.
    ///
    /// # Errors
    /// No SignedId.
    pub fn secure_over(mut link: Link, key: Option<SignedKey>, options: Options) -> io::Result<Self> {
        handshake::shake_hands(&mut link, key.as_ref(), options.answer)?;
        Ok(Self::over(link, options))
    }

    /// A controller on a connection whose handshake is done (or needs none).
    pub fn over(link: Link, options: Options) -> Self {
        Self {
            link,
            options,
            inbox: VecDeque::new(),
            order: vec![],
            delays: vec![],
            echoes: true,
            hash: None,
            peer_info: None,
            close_reason: None,
            is_ended: false,
            screen: Screen::new(),
        }
    }

    /// Sends one message.
    ///
    /// # Errors
    /// A broken connection.
    pub fn send(&mut self, union: Union) -> io::Result<()> {
        self.link.send(&encode_message(union))
    }

    /// Sends one `Misc`.
    ///
    /// # Errors
    /// A broken connection.
    pub fn send_misc(&mut self, union: hbb::misc::Union) -> io::Result<()> {
        self.send(Union::Misc(hbb::Misc { union: Some(union) }))
    }

    /// The raw connection, to misuse it.
    pub fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    /// Takes at most one message from the wire; `false` when none came within `timeout` or the stream ended.
    ///
    /// # Errors
    /// A broken connection or bytes that are no message.
    pub fn pump(&mut self, timeout: Duration) -> io::Result<bool> {
        if self.is_ended {
            return Ok(false);
        }
        let payload = match self.link.receive(timeout) {
            Ok(Some(payload)) => payload,
            Ok(None) => return Ok(false),
            Err(e) if is_end(&e) => {
                self.is_ended = true;
                return Ok(false);
            }
            Err(e) => return Err(e),
        };
        let message = decode_message(&payload).map_err(|e| fault(&e.to_string()))?;
        if let Some(union) = message.union {
            self.sort(union)?;
        }
        Ok(true)
    }

    fn sort(&mut self, union: Union) -> io::Result<()> {
        self.order.push(kind(&union));
        match &union {
            Union::TestDelay(delay) => {
                if self.echoes {
                    // A peer that has just closed is found by the next read, not here.
                    let _ = self.link.send(&encode_message(union.clone()));
                }
                self.delays.push(*delay);
                return Ok(());
            }
            Union::Hash(hash) => self.hash = Some(hash.clone()),
            Union::PeerInfo(info) => self.peer_info = Some(info.clone()),
            Union::Misc(hbb::Misc { union: Some(hbb::misc::Union::CloseReason(text)) }) => {
                self.close_reason = Some(text.clone());
            }
            Union::VideoFrame(frame) => {
                self.screen.take(frame).map_err(|e| fault(&e))?;
                return Ok(());
            }
            _ => {}
        }
        self.inbox.push_back(union);
        Ok(())
    }

    /// Pumps until `found` answers for a message (it is taken out) or `timeout` has passed.
    ///
    /// # Errors
    /// `TimedOut`, or the end of the stream, with what came instead.
    pub fn wait_for<T>(
        &mut self,
        timeout: Duration,
        mut found: impl FnMut(&Union) -> Option<T>,
    ) -> io::Result<T> {
        let until = Instant::now() + timeout;
        let mut looked_at = 0;
        loop {
            while looked_at < self.inbox.len() {
                if let Some(got) = found(&self.inbox[looked_at]) {
                    self.inbox.remove(looked_at);
                    return Ok(got);
                }
                looked_at += 1;
            }
            let left = until.saturating_duration_since(Instant::now());
            if self.is_ended || left.is_zero() {
                return Err(self.missed(if self.is_ended { "the stream ended" } else { "timed out" }));
            }
            self.pump(left)?;
        }
    }

    /// Pumps until `is_done` holds for the controller.
    ///
    /// # Errors
    /// `TimedOut`, or the end of the stream before it held.
    pub fn wait_until(
        &mut self,
        timeout: Duration,
        mut is_done: impl FnMut(&mut Self) -> bool,
    ) -> io::Result<()> {
        let until = Instant::now() + timeout;
        while !is_done(self) {
            let left = until.saturating_duration_since(Instant::now());
            if self.is_ended || left.is_zero() {
                return Err(self.missed(if self.is_ended { "the stream ended" } else { "timed out" }));
            }
            self.pump(left.min(Duration::from_millis(200)))?;
        }
        Ok(())
    }

    /// Pumps for a fixed time, to let nothing wrong happen.
    ///
    /// # Errors
    /// A broken connection.
    pub fn idle(&mut self, time: Duration) -> io::Result<()> {
        let until = Instant::now() + time;
        while !self.is_ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.pump(left)?;
        }
        Ok(())
    }

    /// Waits until the peer closes; gives its `close_reason`, if it sent one.
    ///
    /// # Errors
    /// It did not close in time.
    pub fn wait_for_end(&mut self, timeout: Duration) -> io::Result<Option<String>> {
        let until = Instant::now() + timeout;
        while !self.is_ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.missed("not closed"));
            }
            self.pump(left)?;
        }
        Ok(self.close_reason.clone())
    }

    fn missed(&self, what: &str) -> io::Error {
        let from = self.order.len().saturating_sub(30);
        io::Error::new(
            io::ErrorKind::TimedOut,
            format!("{what}; close reason {:?}; last came {:?}", self.close_reason, &self.order[from..]),
        )
    }

    /// Waits for Hash, proves the password, waits for the answer.
    ///
    /// # Errors
    /// No answer, or a refusal (its text).
    pub fn log_in(&mut self) -> io::Result<hbb::PeerInfo> {
        match self.try_log_in()? {
            LoginOutcome::Welcome(info) => Ok(*info),
            LoginOutcome::Refused(text) | LoginOutcome::Closed(text) => Err(fault(&text)),
        }
    }

    /// As [`Controller::log_in`], with a refusal as an answer.
    ///
    /// # Errors
    /// No answer at all.
    pub fn try_log_in(&mut self) -> io::Result<LoginOutcome> {
        let hash = self.wait_for_hash(LONG)?;
        let proof = match self.options.password.as_str() {
            "" => vec![],
            password => PasswordHash::new(password, &hash.salt).proof(&hash.challenge).to_vec(),
        };
        self.send_login(proof)?;
        self.login_outcome(LONG)
    }

    /// Waits for `Hash`.
    ///
    /// # Errors
    /// None came.
    pub fn wait_for_hash(&mut self, timeout: Duration) -> io::Result<hbb::Hash> {
        self.wait_until(timeout, |c| c.hash.is_some() || c.close_reason.is_some())?;
        self.hash.clone().ok_or_else(|| self.missed("no Hash"))
    }

    /// Sends a LoginRequest with any proof.
    ///
    /// # Errors
    /// A broken connection.
    pub fn send_login(&mut self, proof: Vec<u8>) -> io::Result<()> {
        let request = self.login_request(proof);
        self.send(Union::LoginRequest(request))
    }

    /// The LoginRequest that `send_login` would send.
    pub fn login_request(&self, proof: Vec<u8>) -> hbb::LoginRequest {
        let o = &self.options;
        hbb::LoginRequest {
            username: o.username.clone(),
            password: proof,
            my_id: o.my_id.clone(),
            my_name: o.my_name.clone(),
            my_platform: o.my_platform.clone(),
            version: o.version.clone(),
            session_id: o.session_id,
            video_ack_required: o.video_ack_required,
            option: o.option,
            union: o.kind.clone(),
            ..Default::default()
        }
    }

    /// Waits for the answer to a LoginRequest.
    ///
    /// # Errors
    /// None came.
    pub fn login_outcome(&mut self, timeout: Duration) -> io::Result<LoginOutcome> {
        let got = self.wait_for(timeout, |m| match m {
            Union::LoginResponse(r) => match &r.union {
                Some(hbb::login_response::Union::PeerInfo(info)) => {
                    Some(LoginOutcome::Welcome(Box::new(info.clone())))
                }
                Some(hbb::login_response::Union::Error(text)) => Some(LoginOutcome::Refused(text.clone())),
                None => Some(LoginOutcome::Refused(String::new())),
            },
            Union::Misc(hbb::Misc { union: Some(hbb::misc::Union::CloseReason(text)) }) => {
                Some(LoginOutcome::Closed(text.clone()))
            }
            _ => None,
        })?;
        if let LoginOutcome::Welcome(info) = &got {
            self.peer_info = Some((**info).clone());
        }
        Ok(got)
    }
}

/// The name of a message for `order`.
pub fn kind(union: &Union) -> &'static str {
    match union {
        Union::SignedId(_) => "signed_id",
        Union::PublicKey(_) => "public_key",
        Union::TestDelay(_) => "test_delay",
        Union::VideoFrame(frame) if picture::has_keyframe(frame) => "key",
        Union::VideoFrame(_) => "video",
        Union::LoginRequest(_) => "login_request",
        Union::LoginResponse(_) => "login_response",
        Union::Hash(_) => "hash",
        Union::MouseEvent(_) => "mouse_event",
        Union::KeyEvent(_) => "key_event",
        Union::PointerDeviceEvent(_) => "pointer_device_event",
        Union::CursorData(_) => "cursor_data",
        Union::CursorPosition(_) => "cursor_position",
        Union::CursorId(_) => "cursor_id",
        Union::MessageBox(_) => "message_box",
        Union::AudioFrame(_) => "audio_frame",
        Union::PeerInfo(_) => "peer_info",
        Union::VoiceCallResponse(_) => "voice_call_response",
        Union::ScreenshotResponse(_) => "screenshot_response",
        Union::Misc(misc) => match &misc.union {
            Some(hbb::misc::Union::PermissionInfo(_)) => "misc.permission_info",
            Some(hbb::misc::Union::CloseReason(_)) => "misc.close_reason",
            Some(hbb::misc::Union::SwitchDisplay(_)) => "misc.switch_display",
            Some(hbb::misc::Union::Option(_)) => "misc.option",
            Some(hbb::misc::Union::BackNotification(_)) => "misc.back_notification",
            Some(hbb::misc::Union::SupportedEncoding(_)) => "misc.supported_encoding",
            Some(hbb::misc::Union::AudioFormat(_)) => "misc.audio_format",
            _ => "misc.other",
        },
        _ => "other",
    }
}

/// An error with a sentence.
pub fn fault(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.to_owned())
}

fn is_end(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}
