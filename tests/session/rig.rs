//! A scripted controller and a [`Peer`] in simulated time, both ends sealed, with the invariants of every session
//! checked at each step.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kvmdesk::crypto::identity::{BoxKeyPair, IdentityKeyPair, verify};
use kvmdesk::crypto::password::PasswordHash;
use kvmdesk::crypto::seal::{Opener, Sealer, SessionKey, TAG_LEN};
use kvmdesk::crypto::seed::Seed;
use kvmdesk::input::event::InputEvent;
use kvmdesk::input::usage::KeyUsage;
use kvmdesk::peer::gate::Gate;
use kvmdesk::peer::machine::*;
use kvmdesk::peer::sharing::Claim;
use kvmdesk::video::format::Resolution;
use kvmdesk::video::frame::{Codec, CodecSet, EncodedFrame};
use kvmdesk::video::request::VideoRequest;
use kvmdesk::video::signal::{DisplayState, SignalState};
use kvmdesk::wire::message::hbb::message::Union;
use kvmdesk::wire::message::hbb::misc::Union as Misc;
use kvmdesk::wire::message::{decode_message, encode_message, hbb};
use prost::Message as _;

pub const ID: &str = "123456789";
pub const SALT: &str = "a2b3c4d5a2b3c4d5a2b3c4d5a2b3c4d5";
pub const PASSWORD: &str = "secret12";
pub const SIZE: Resolution = Resolution::new(1280, 720);

pub fn state(size: Resolution) -> DisplayState {
    DisplayState {
        resolution: size,
        original_resolution: size,
        signal: SignalState::Active,
        encodes: CodecSet::of(&[Codec::H264]),
    }
}

pub fn settings() -> PeerSettings {
    PeerSettings {
        id: ID.parse().unwrap(),
        salt: SALT.into(),
        identity: IdentityKeyPair::from_seed(&[1; 32]),
        is_encryption_required: true,
        is_direct_plaintext_allowed: false,
        announce: AnnouncedPlatform::Windows,
        os: TargetOs::Windows,
        hostname: "kvm".into(),
        username: "desk".into(),
        local_pointer: LocalPointer::Auto,
        keyboard: KeyboardSettings::default(),
    }
}

/// Both ends of the seal.
struct Seals {
    to_controller: (Sealer, Opener),
    to_peer: (Sealer, Opener),
}

pub struct Rig {
    pub peer: Peer,
    pub now: Instant,
    pub gate: Gate,
    pub theirs: BoxKeyPair,
    seals: Option<Seals>,
    /// Whether TestDelay is answered by itself, as the apps do.
    pub echoes: bool,
    /// What the controller received and nobody looked at.
    pub seen: Vec<Union>,
    pub hands: Vec<InputEvent>,
    pub wanted: Vec<usize>,
    /// The displays that are subscribed to.
    pub shown: BTreeSet<usize>,
    pub listens_to: Option<usize>,
    pub shots: Vec<(usize, String)>,
    pub claims: Vec<Claim>,
    pub requests: Vec<VideoRequest>,
    pub key_not_confirmed: u32,
    pub closed: Option<CloseReason>,
    pub deadline: (Instant, &'static str),
    pub challenge: String,
    next_sequence: u64,
    is_open: bool,
    held: BTreeSet<KeyUsage>,
    /// Frames may follow without a key frame only after one of this size.
    decodes: Option<Resolution>,
    last_pts: i64,
}

impl Rig {
    pub fn new(settings: PeerSettings, opening: Opening) -> Self {
        Self::with_displays(settings, opening, vec![state(SIZE)])
    }

    pub fn with_displays(settings: PeerSettings, opening: Opening, displays: Vec<DisplayState>) -> Self {
        Self::seeded(settings, opening, displays, 7)
    }

    pub fn seeded(settings: PeerSettings, opening: Opening, displays: Vec<DisplayState>, seed: u8) -> Self {
        Self::sounding(settings, opening, displays, vec![], seed)
    }

    /// With sound on some of the displays.
    pub fn sounding(
        settings: PeerSettings,
        opening: Opening,
        displays: Vec<DisplayState>,
        sound: Vec<bool>,
        seed: u8,
    ) -> Self {
        let now = Instant::now();
        let address = "10.0.0.7:5000".parse().unwrap();
        let seed = Seed::from_bytes([seed; 32]);
        let peer = Peer::with_sound(settings, opening, address, displays, sound, now, seed);
        let hash = PasswordHash::new(PASSWORD, SALT);
        let mut rig = Self {
            peer,
            now,
            gate: Gate::new(SALT.into(), Some(hash), now, 0, Seed::from_bytes([8; 32])),
            theirs: BoxKeyPair::from_secret(&[3; 32]),
            seals: None,
            echoes: true,
            seen: vec![],
            hands: vec![],
            wanted: vec![],
            shown: BTreeSet::new(),
            listens_to: None,
            shots: vec![],
            claims: vec![],
            requests: vec![],
            key_not_confirmed: 0,
            closed: None,
            deadline: (now, ""),
            challenge: String::new(),
            next_sequence: 0,
            is_open: false,
            held: BTreeSet::new(),
            decodes: None,
            last_pts: -1,
        };
        rig.pump();
        rig
    }

    /// A session through the ID server, up to Hash.
    pub fn sealed() -> Self {
        Self::sealed_with(settings())
    }

    pub fn sealed_with(settings: PeerSettings) -> Self {
        let mut rig = Self::new(settings, Opening::Secure);
        let key = rig.box_session_key();
        rig.send(Union::PublicKey(key));
        rig
    }

    /// A session that is logged in from a desktop app.
    pub fn open() -> Self {
        let mut rig = Self::sealed();
        let request = rig.login(PASSWORD);
        rig.send(Union::LoginRequest(request));
        assert!(rig.is_open);
        rig
    }

    /// As above, with the first picture seen: the pointer is awake.
    pub fn watching() -> Self {
        let mut rig = Self::open();
        rig.frame(true);
        rig.seen.clear();
        rig
    }

    pub fn box_session_key(&mut self) -> hbb::PublicKey {
        let Some(Union::SignedId(signed)) = self.seen.pop() else { panic!("no SignedId") };
        let device = IdentityKeyPair::from_seed(&[1; 32]);
        let id_pk = verify(&signed.id, &device.public_key()).unwrap();
        let id_pk = hbb::IdPk::decode(id_pk.as_slice()).unwrap();
        assert_eq!(id_pk.id, ID);
        let ours: [u8; 32] = id_pk.pk.try_into().unwrap();
        hbb::PublicKey {
            asymmetric_value: self.theirs.public_key().to_vec(),
            symmetric_value: self.theirs.seal_session_key(&[9; 32], &ours),
        }
    }

    /// A login as the current desktop app sends it.
    pub fn login(&self, password: &str) -> hbb::LoginRequest {
        let proof = match password {
            "" => vec![],
            password => PasswordHash::new(password, SALT).proof(&self.challenge).to_vec(),
        };
        hbb::LoginRequest {
            username: ID.into(),
            password: proof,
            my_id: "987654321".into(),
            my_name: "somebody".into(),
            option: Some(hbb::OptionMessage {
                supported_decoding: Some(hbb::SupportedDecoding {
                    ability_vp9: 1,
                    ability_h264: 1,
                    ..Default::default()
                }),
                ..Default::default()
            }),
            session_id: 42,
            version: "1.4.9".into(),
            my_platform: "Windows".into(),
            ..Default::default()
        }
    }

    /// The controller sends a message.
    pub fn send(&mut self, union: Union) {
        self.send_bytes(&encode_message(union));
    }

    pub fn send_misc(&mut self, union: Misc) {
        self.send(Union::Misc(hbb::Misc { union: Some(union) }));
    }

    pub fn send_bytes(&mut self, plain: &[u8]) {
        let payload = match &mut self.seals {
            Some(seals) => through(&mut seals.to_peer, plain),
            None => plain.to_vec(),
        };
        self.peer.handle_input(Input::Payload(&payload), self.now);
        self.pump();
    }

    pub fn key(
        &mut self,
        down: bool,
        press: bool,
        mode: i32,
        union: hbb::key_event::Union,
        modifiers: &[i32],
    ) {
        let event = hbb::KeyEvent { down, press, modifiers: modifiers.to_vec(), mode, union: Some(union) };
        self.send(Union::KeyEvent(event));
    }

    /// A Map-mode key goes down or up.
    pub fn map(&mut self, code: u32, down: bool) {
        self.key(down, false, 1, hbb::key_event::Union::Chr(code), &[]);
    }

    pub fn mouse(&mut self, mask: i32, x: i32, y: i32) {
        self.send(Union::MouseEvent(hbb::MouseEvent { mask, x, y, modifiers: vec![] }));
    }

    pub fn input(&mut self, input: Input<'_>) {
        self.peer.handle_input(input, self.now);
        self.pump();
    }

    /// The next frame of the pipeline, of display 0 and the usual size.
    pub fn frame(&mut self, is_keyframe: bool) {
        self.frame_of(0, is_keyframe, SIZE);
    }

    pub fn frame_of(&mut self, index: usize, is_keyframe: bool, resolution: Resolution) {
        self.frame_in(Codec::H264, index, is_keyframe, resolution);
    }

    pub fn frame_in(&mut self, codec: Codec, index: usize, is_keyframe: bool, resolution: Resolution) {
        let frame = EncodedFrame {
            data: Bytes::from(vec![0x65; 500]),
            codec,
            is_keyframe,
            captured_at: self.now,
            sequence: self.next_sequence,
            resolution,
            original_resolution: resolution,
        };
        self.next_sequence += 1;
        self.input(Input::Frame { index, frame });
    }

    /// The pipeline leaves a frame out for this watcher.
    pub fn skip_frame(&mut self) {
        self.next_sequence += 1;
        self.decodes = None;
    }

    /// Video was thrown away on the way out.
    pub fn lose_video(&mut self) {
        self.decodes = None;
        self.input(Input::VideoLost);
    }

    /// Lets time pass, deadline by deadline.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut steps = 0;
        while self.deadline.0 <= end {
            let at = self.deadline.0.max(self.now);
            steps = if at == self.now { steps + 1 } else { 0 };
            assert!(steps < 20, "busy: {}", self.deadline.1);
            self.now = at;
            self.input(Input::Timeout);
        }
        self.now = end;
    }

    pub fn seconds(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    pub fn take_seen(&mut self) -> Vec<Union> {
        std::mem::take(&mut self.seen)
    }
    pub fn take_hands(&mut self) -> Vec<InputEvent> {
        std::mem::take(&mut self.hands)
    }
    pub fn take_wanted(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.wanted)
    }

    /// The one close_reason or login error that was seen.
    pub fn refusal(&mut self) -> String {
        let texts: Vec<String> = self
            .take_seen()
            .into_iter()
            .filter_map(|union| match union {
                Union::Misc(hbb::Misc { union: Some(Misc::CloseReason(text)) }) => Some(text),
                Union::LoginResponse(hbb::LoginResponse {
                    union: Some(hbb::login_response::Union::Error(text)),
                    ..
                }) => Some(text),
                Union::Hash(_) => Some("HASH".into()),
                _ => None,
            })
            .collect();
        assert_eq!(texts.len(), 1, "{texts:?}");
        texts.into_iter().next().unwrap()
    }

    /// Polls as the law says, and checks what holds in every session.
    pub fn pump(&mut self) {
        for _ in 0..10_000 {
            let output = self.peer.poll_output();
            if self.closed.is_some() {
                assert!(matches!(output, Output::Timeout { .. }), "after the close: {output:?}");
            }
            match output {
                Output::Transmit(message) | Output::TransmitBulk(message) => self.receive(&message),
                Output::TransmitSound(message) => {
                    assert!(self.listens_to.is_some(), "sound that nobody wants");
                    self.receive(&message);
                }
                Output::TransmitVideo { head, payload, tail, is_keyframe } => {
                    assert!(self.is_open, "video before login");
                    let message = [&head[..], &payload, &tail].concat();
                    self.receive(&message);
                    let Some(Union::VideoFrame(video)) = self.seen.last() else { panic!("no video") };
                    let frames = frames_of(video);
                    assert_eq!(frames.frames.len(), 1);
                    let frame = &frames.frames[0];
                    assert_eq!((frame.key, &frame.data), (is_keyframe, &payload));
                    assert!(frame.pts > self.last_pts, "times increase strictly");
                    self.last_pts = frame.pts;
                    assert!(is_keyframe || self.decodes.is_some(), "a delta frame without a key frame");
                    self.decodes = Some(SIZE);
                }
                Output::Seal(key) => {
                    assert!(self.seals.is_none());
                    let pair = |key: &SessionKey| (Sealer::new(key.clone()), Opener::new(key.clone()));
                    self.seals = Some(Seals { to_controller: pair(&key), to_peer: pair(&key) });
                }
                Output::Event(event) => self.obey(event),
                Output::Timeout { at, why } => {
                    assert!(at <= self.now + Duration::from_secs(3600), "{why}");
                    self.deadline = (at, why);
                    return;
                }
            }
        }
        panic!("outputs without end");
    }

    fn obey(&mut self, event: Event) {
        match event {
            Event::LoginAsked(attempt) => {
                assert_eq!(attempt.challenge, self.challenge);
                let verdict = self.gate.judge(&attempt, self.now);
                self.peer.handle_input(Input::Verdict(verdict), self.now);
            }
            Event::LoggedIn { request } => {
                assert!(!self.is_open);
                self.is_open = true;
                self.requests.push(request);
            }
            Event::VideoWanted(request) => self.requests.push(request),
            Event::KeyframeWanted { index } => self.wanted.push(index),
            Event::DisplayShown { index, is_shown } => {
                assert!(self.is_open, "a display before login");
                let is_new = if is_shown { self.shown.insert(index) } else { self.shown.remove(&index) };
                assert!(is_new, "told twice");
            }
            Event::SoundWanted(index) => self.listens_to = index,
            Event::ScreenshotWanted { index, sid } => self.shots.push((index, sid)),
            Event::Hands { event, .. } => {
                assert!(self.is_open, "hands before login");
                match &event {
                    InputEvent::Key { usage, is_down: true } => {
                        assert!(self.held.insert(*usage), "pressed twice: {usage:?}");
                    }
                    InputEvent::Key { usage, is_down: false } => {
                        assert!(self.held.remove(usage), "released twice: {usage:?}");
                    }
                    InputEvent::ReleaseAll => self.held.clear(),
                    _ => {}
                }
                self.hands.push(event);
            }
            Event::Claim(claim) => self.claims.push(claim),
            Event::KeyNotConfirmed => self.key_not_confirmed += 1,
            Event::Closed(reason) => {
                assert!(self.held.is_empty(), "keys without an owner: {:?}", self.held);
                self.closed = Some(reason);
            }
        }
    }

    /// The controller receives a message: opened, decoded, answered as the apps do.
    fn receive(&mut self, message: &[u8]) {
        let payload = match &mut self.seals {
            Some(seals) => through(&mut seals.to_controller, message),
            None => message.to_vec(),
        };
        let union = decode_message(&payload).unwrap().union.unwrap();
        match &union {
            Union::Hash(hash) => {
                assert_eq!(hash.salt, SALT);
                self.challenge.clone_from(&hash.challenge);
            }
            // The apps reset the decoder.
            Union::Misc(hbb::Misc { union: Some(Misc::SwitchDisplay(_)) }) => self.decodes = None,
            Union::CursorPosition(_) => panic!("it would steal the mouse (trap T10)"),
            _ => {}
        }
        let echo = match &union {
            Union::TestDelay(ping) if self.echoes && !ping.from_client => Some(encode_message(union.clone())),
            _ => None,
        };
        self.seen.push(union);
        if let Some(echo) = echo {
            let payload = match &mut self.seals {
                Some(seals) => through(&mut seals.to_peer, &echo),
                None => echo,
            };
            self.peer.handle_input(Input::Payload(&payload), self.now);
        }
    }
}

/// The frames in a message, whatever their codec.
pub fn frames_of(video: &hbb::VideoFrame) -> &hbb::EncodedVideoFrames {
    use hbb::video_frame::Union as V;
    match &video.union {
        Some(V::Vp8s(f) | V::Vp9s(f) | V::Av1s(f) | V::H264s(f) | V::H265s(f)) => f,
        other => panic!("no video: {other:?}"),
    }
}

/// Seals on one side and opens on the other.
fn through((sealer, opener): &mut (Sealer, Opener), plain: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0; TAG_LEN];
    buffer.extend_from_slice(plain);
    sealer.seal_in_place(&mut buffer).unwrap();
    opener.open_in_place(&mut buffer).unwrap().to_vec()
}

/// What a controller says that decodes these; `prefer` as in SupportedDecoding.
pub fn decoding(codecs: &[Codec], prefer: i32) -> hbb::OptionMessage {
    let can = |codec| i32::from(codecs.contains(&codec));
    hbb::OptionMessage {
        supported_decoding: Some(hbb::SupportedDecoding {
            ability_vp8: can(Codec::Vp8),
            ability_vp9: can(Codec::Vp9),
            ability_av1: can(Codec::Av1),
            ability_h264: can(Codec::H264),
            ability_h265: can(Codec::H265),
            prefer,
            ..Default::default()
        }),
        ..Default::default()
    }
}
