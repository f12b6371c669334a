//! What goes into and comes out of a [`Peer`](super::machine::Peer), free of protobuf.

use std::time::Instant;

use bytes::Bytes;

use crate::audio::format::EncodedAudio;
use crate::crypto::identity::IdentityKeyPair;
use crate::crypto::seal::SessionKey;
use crate::input::event::InputEvent;
use crate::input::layout::Layout;
use crate::video::frame::EncodedFrame;
use crate::video::request::VideoRequest;
use crate::video::signal::DisplayState;
use crate::wire::id::PeerId;

use super::gate::{LoginAttempt, Verdict};
use super::sharing::{Claim, Hold};

/// Largest payload that a controller may send once it is logged in, in bytes.
pub const PAYLOAD_LIMIT_AFTER_LOGIN: usize = crate::wire::frame::MAX_AFTER_LOGIN;

/// How a connection came to be, as far as the handshake needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// Through the ID server, `secure = true`: we send SignedId first.
    Secure,
    /// A relay request with `secure = false` (which the controller can forge).
    Insecure,
    /// Direct access by IP address: RustDesk has no encryption there.
    Direct,
}

/// Which operating system we say we are; decides menus and key codes in the app (reference: session 2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AnnouncedPlatform {
    /// `Windows` with `sas_enabled`: set-1 scan codes in Map mode.
    #[default]
    Windows,
    /// `Linux`: evdev + 8 in Map mode.
    Linux,
    /// `Mac OS` with `sas_enabled`: macOS' virtual key codes in Map mode, which lack PrintScreen, Scroll Lock, Pause
    /// and F21 to F24.
    MacOs,
}

/// The operating system of the computer behind us: decides how the screen is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TargetOs {
    /// Windows: Meta+L.
    #[default]
    Windows,
    /// Linux: Meta+L.
    Linux,
    /// macOS: Control+Meta+Q.
    MacOs,
}

/// Whether the app draws a pointer of its own (`pointer.local`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LocalPointer {
    /// Phones and slow lines yes, desktop apps no.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// Whether keys that type are clicked instead of held, because a late release would repeat them on the target
/// (`keyboard.bad-link`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BadLink {
    /// While the line is measured to be uneven.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// How a controller's keys are read.
#[derive(Debug, Clone, Default)]
pub struct KeyboardSettings {
    /// The target's layout: where the keys of shortcuts are that come as characters.
    pub layout: Layout,
    /// What to do on an uneven line.
    pub bad_link: BadLink,
}

/// What one session is run with.
#[derive(Debug, Clone)]
pub struct PeerSettings {
    /// The ID this target is dialled by.
    pub id: PeerId,
    /// The salt of the target's passwords: stable, or every remembered password is lost (reference: session 2.1).
    pub salt: String,
    /// Signs the per-connection key.
    pub identity: IdentityKeyPair,
    /// Refuse sessions in clear that came through a server.
    pub is_encryption_required: bool,
    /// Allow direct access, which is always in clear.
    pub is_direct_plaintext_allowed: bool,
    /// What the app is told we are.
    pub announce: AnnouncedPlatform,
    /// What the target really is.
    pub os: TargetOs,
    /// Host name shown in the app (the target's name).
    pub hostname: String,
    /// User name shown in the app.
    pub username: String,
    /// Local pointer choice.
    pub local_pointer: LocalPointer,
    /// Keys.
    pub keyboard: KeyboardSettings,
}

/// What a [`Peer`](super::machine::Peer) is fed.
#[derive(Debug)]
pub enum Input<'a> {
    /// The plain payload of one frame from the controller (opened by the stream once sealing has begun).
    Payload(&'a [u8]),
    /// The answer to [`Event::LoginAsked`].
    Verdict(Verdict),
    /// A display's state changed (`index` as announced).
    Display {
        /// Display index, from 0.
        index: usize,
        /// The new state.
        state: DisplayState,
    },
    /// An encoded frame for this controller.
    Frame {
        /// Display index, from 0.
        index: usize,
        /// The frame; its payload is not copied.
        frame: EncodedFrame,
    },
    /// The HID side lost or regained the target; the text is shown to the user once a change.
    HidNotice(&'a str),
    /// Something that the user is to know now, each time.
    Remark(&'a str),
    /// Whether this controller's hands act, or another one's.
    Hold(&'a Hold),
    /// Bytes waiting to go out, in bytes: the measure of a slow line.
    Backlog(usize),
    /// A packet of the sound that was asked for.
    Sound(EncodedAudio),
    /// A display's sound device came or went.
    SoundThere {
        /// Display index, from 0.
        index: usize,
        /// Whether there is sound with its picture now.
        is_there: bool,
    },
    /// The answer to [`Event::ScreenshotWanted`].
    Screenshot {
        /// As it was asked for.
        sid: &'a str,
        /// The PNG file, or a sentence about why there is none.
        png: Result<Vec<u8>, String>,
    },
    /// Video that was transmitted has been thrown away on the way out: key frames must come.
    VideoLost,
    /// The agent ends this session; the text becomes `close_reason`.
    End(&'a str),
    /// The instant asked for has come.
    Timeout,
}

/// What a [`Peer`](super::machine::Peer) asks for. Poll until [`Output::Timeout`].
#[derive(Debug)]
pub enum Output {
    /// Send this payload (in clear before [`Output::Seal`], sealed after).
    Transmit(Bytes),
    /// Send a video message: `head` then `payload` form one message; the stream joins them in its wire buffer.
    TransmitVideo {
        /// Protobuf bytes in front of the payload.
        head: Bytes,
        /// The encoded frame's bytes.
        payload: Bytes,
        /// Protobuf bytes behind the payload.
        tail: Bytes,
        /// Whether it is a key frame.
        is_keyframe: bool,
    },
    /// Send a sound packet, if it does not have to wait long; late sound stays late (reference: session 4).
    TransmitSound(Bytes),
    /// Send a payload of many megabytes at most; one at a time.
    TransmitBulk(Bytes),
    /// From now on every frame in both directions is sealed with this key.
    Seal(SessionKey),
    /// Something happened that the driver acts on.
    Event(Event),
    /// Nothing more until input comes or this instant, which stands for `why`.
    Timeout {
        /// When to feed [`Input::Timeout`].
        at: Instant,
        /// For logs.
        why: &'static str,
    },
}

/// What the driver is told.
#[derive(Debug)]
pub enum Event {
    /// Ask the gate whether this login is good, then feed [`Input::Verdict`].
    LoginAsked(LoginAttempt),
    /// Logged in: raise the frame limit, note the session. Displays to subscribe to follow.
    LoggedIn {
        /// The first wish for every display.
        request: VideoRequest,
    },
    /// The controller's wish changed.
    VideoWanted(VideoRequest),
    /// The controller begins or ends to watch a display: subscribe to it, or end the subscription.
    DisplayShown {
        /// Display index, from 0.
        index: usize,
        /// Whether it is watched from now on.
        is_shown: bool,
    },
    /// Listen to the sound of this display from now on, or to none.
    SoundWanted(Option<usize>),
    /// Take a picture of a display, then feed [`Input::Screenshot`]. One at a time.
    ScreenshotWanted {
        /// Display index, from 0.
        index: usize,
        /// To be given back with the answer.
        sid: String,
    },
    /// A key frame is needed on a display.
    KeyframeWanted {
        /// Display index, from 0.
        index: usize,
    },
    /// Hands: for the sink of the display that the controller last switched to.
    Hands {
        /// Display index, from 0.
        index: usize,
        /// What they do.
        event: InputEvent,
    },
    /// What this controller wants of keyboard and pointer, from its login on; [`Input::Hold`] answers.
    Claim(Claim),
    /// The session was not encrypted although we offered it: the server's copy of our key may be wrong, so
    /// RegisterPk is sent again (reference: network 9.5).
    KeyNotConfirmed,
    /// Close the transport after what was transmitted has gone out.
    Closed(CloseReason),
}

/// Why a session ended, by whose fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseReason {
    /// The controller left; its own words, mostly empty.
    LeftByController(String),
    /// It broke the protocol.
    PeerMisbehaved(&'static str),
    /// The handshake did not come in time or did not open.
    HandshakeFailed(&'static str),
    /// We refused it; the text is what the user was told.
    Refused(String),
    /// Nothing came for 30 s, or no login for 10 minutes.
    TimedOut,
    /// The agent ended it; the text is what the user was told.
    EndedHere(String),
}
