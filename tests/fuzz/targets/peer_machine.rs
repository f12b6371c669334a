//! The session machine under any sequence of messages, verdicts, frames and time steps. What must hold whatever
//! comes: nothing but words before the seal where encryption is required, no picture and no hands before login,
//! the first picture is a key frame, keys and buttons go down once and up once, a closed session holds nothing and
//! is silent, no input makes it loop.
#![no_main]

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kvmdesk::audio::format::{AudioFormat, EncodedAudio};
use kvmdesk::crypto::identity::{BoxKeyPair, IdentityKeyPair};
use kvmdesk::crypto::password::PasswordHash;
use kvmdesk::crypto::seed::Seed;
use kvmdesk::input::event::InputEvent;
use kvmdesk::input::layout::Layout;
use kvmdesk::peer::gate::{Gate, Verdict};
use kvmdesk::peer::machine::{
    AnnouncedPlatform, BadLink, Event, Input, KeyboardSettings, LocalPointer, Opening, Output, Peer,
    PeerSettings, TargetOs,
};
use kvmdesk::peer::sharing::Hold;
use kvmdesk::video::format::Resolution;
use kvmdesk::video::frame::{Codec, CodecSet, EncodedFrame};
use kvmdesk::video::signal::{DisplayState, SignalState};
use kvmdesk::wire::message::{decode_message, encode_message, hbb};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

use hbb::message::Union;

const SALT: &str = "a2b3c4d5";
const PASSWORD: &str = "secret12";

struct Run {
    peer: Peer,
    gate: Gate,
    opening: Opening,
    is_strict: bool,
    now: Instant,
    wake: Instant,
    hash: Option<hbb::Hash>,
    box_key: Option<[u8; 32]>,
    ping: Option<Vec<u8>>,
    is_sealed: bool,
    is_accepted: bool,
    is_logged_in: bool,
    is_closed: bool,
    has_key_frame: [bool; 2],
    held: BTreeSet<u8>,
    buttons: u8,
    sequence: u64,
    shown: [bool; 2],
    has_sound: [bool; 2],
    listens: bool,
    shot: Option<String>,
}

impl Run {
    fn input(&mut self, input: Input<'_>) {
        self.peer.handle_input(input, self.now);
        for round in 0.. {
            assert!(round < 3000, "one input never ends");
            match self.peer.poll_output() {
                Output::Transmit(bytes) => self.said(&bytes),
                Output::TransmitSound(bytes) => {
                    assert!(self.is_logged_in && self.listens, "sound that nobody wants");
                    self.said(&bytes);
                }
                Output::TransmitBulk(bytes) => {
                    assert!(self.is_logged_in && !self.is_closed);
                    decode_message(&bytes).expect("our own message");
                }
                Output::TransmitVideo { head, payload, tail, is_keyframe } => {
                    assert!(self.is_logged_in && !self.is_closed, "a picture before login or after the end");
                    let whole = [&head[..], &payload[..], &tail[..]].concat();
                    let message = decode_message(&whole).expect("our own message");
                    let Some(Union::VideoFrame(frame)) = message.union else { panic!("video that is none") };
                    let seen = &mut self.has_key_frame[frame.display as usize];
                    assert!(is_keyframe || *seen, "a delta frame came first");
                    *seen = true;
                }
                Output::Seal(_) => self.is_sealed = true,
                Output::Event(event) => self.event(event),
                Output::Timeout { at, why } => {
                    assert!(!why.is_empty());
                    self.wake = at;
                    return;
                }
            }
        }
    }

    fn said(&mut self, bytes: &[u8]) {
        assert!(!self.is_closed, "it spoke after the end");
        assert!(bytes.len() < 64 * 1024);
        match decode_message(bytes).expect("our own message").union {
            Some(Union::SignedId(signed)) => {
                let id_pk = hbb::IdPk::decode(&signed.id[64..]).expect("our own IdPk");
                self.box_key = id_pk.pk.try_into().ok();
            }
            Some(Union::Hash(hash)) => {
                let is_clear_allowed = !self.is_strict || self.opening == Opening::Direct;
                assert!(self.is_sealed || is_clear_allowed, "Hash in clear");
                self.hash = Some(hash);
            }
            Some(Union::TestDelay(_)) => self.ping = Some(bytes.to_vec()),
            Some(Union::LoginResponse(response)) => {
                if matches!(response.union, Some(hbb::login_response::Union::PeerInfo(_))) {
                    assert!(self.is_accepted, "welcome without a verdict");
                }
            }
            Some(_) => {}
            None => panic!("an empty message of ours"),
        }
    }

    fn event(&mut self, event: Event) {
        assert!(!self.is_closed, "an event after the end");
        match event {
            Event::LoginAsked(attempt) => {
                let verdict = self.gate.judge(&attempt, self.now);
                self.is_accepted |= verdict == Verdict::Accepted;
                self.peer.handle_input(Input::Verdict(verdict), self.now);
            }
            Event::LoggedIn { request } => {
                assert!(self.is_accepted && !self.is_logged_in);
                self.is_logged_in = true;
                self.check(request);
            }
            Event::VideoWanted(request) => self.check(request),
            Event::KeyframeWanted { index } => assert!(self.is_logged_in && index < 2),
            Event::DisplayShown { index, is_shown } => {
                assert!(self.is_logged_in && index < 2);
                assert_ne!(std::mem::replace(&mut self.shown[index], is_shown), is_shown, "told twice");
            }
            Event::SoundWanted(index) => {
                assert!(self.is_logged_in && index.is_none_or(|index| self.has_sound[index]));
                self.listens = index.is_some();
            }
            Event::ScreenshotWanted { index, sid } => {
                assert!(self.is_logged_in && index < 2 && self.shot.is_none(), "one screenshot at a time");
                self.shot = Some(sid);
            }
            Event::Hands { index, event } => {
                assert!(self.is_logged_in && index < 2, "hands before login");
                self.hands(event);
            }
            Event::Claim(_) => {}
            Event::KeyNotConfirmed => {}
            Event::Closed(_) => {
                assert!(self.held.is_empty() && self.buttons == 0, "it holds something after the end");
                self.is_closed = true;
            }
        }
    }

    fn check(&self, request: kvmdesk::video::request::VideoRequest) {
        assert!((1..=120).contains(&request.max_fps), "{request:?}");
        assert!((20..=4000).contains(&request.quality_percent), "{request:?}");
        assert!(!request.decodes.is_empty(), "{request:?}");
        assert!(request.prefers.is_none_or(|codec| request.decodes.contains(codec)), "{request:?}");
        assert!(request.bits_per_second.is_none_or(|bits| bits >= 50_000), "{request:?}");
    }

    fn hands(&mut self, event: InputEvent) {
        match event {
            InputEvent::Key { usage, is_down: true } => assert!(self.held.insert(usage.0), "down twice"),
            InputEvent::Key { usage, is_down: false } => {
                assert!(self.held.remove(&usage.0), "up, never down")
            }
            InputEvent::Button { button, is_down } => {
                assert_eq!(self.buttons & button as u8 != 0, !is_down, "a button twice");
                self.buttons ^= button as u8;
            }
            InputEvent::ReleaseAll => {
                self.held.clear();
                self.buttons = 0;
            }
            InputEvent::Tap { modifiers, .. } => {
                assert!(modifiers.iter().all(|key| key.is_modifier()), "{modifiers:?}")
            }
            InputEvent::PointerAbsolute(at) => assert!(at.x <= 32767 && at.y <= 32767),
            _ => {}
        }
    }

    fn frame(&mut self, index: usize, is_keyframe: bool, size: Resolution) {
        let frame = EncodedFrame {
            data: Bytes::from_static(b"\0\0\0\x01\x67payload"),
            codec: Codec::H264,
            is_keyframe,
            captured_at: self.now,
            sequence: self.sequence,
            resolution: size,
            original_resolution: size,
        };
        self.sequence += 1;
        self.input(Input::Frame { index, frame });
    }

    fn login(&mut self, flags: u8) {
        let Some(hash) = &self.hash else { return };
        let proof = PasswordHash::new(PASSWORD, SALT).proof(&hash.challenge).to_vec();
        let decoding =
            hbb::SupportedDecoding { ability_h264: i32::from(flags & 1 == 0), ..Default::default() };
        let kind = match flags >> 5 {
            1 => Some(hbb::login_request::Union::FileTransfer(hbb::FileTransfer::default())),
            2 => Some(hbb::login_request::Union::Terminal(hbb::Terminal::default())),
            _ => None,
        };
        let request = hbb::LoginRequest {
            username: if flags & 2 == 0 { "123456789".into() } else { "10.0.0.1:21118".into() },
            password: if flags & 4 == 0 { proof } else { vec![flags; usize::from(flags & 8) * 4] },
            my_id: "1".into(),
            my_platform: if flags & 16 == 0 { "Linux".into() } else { "Android".into() },
            video_ack_required: flags & 8 != 0,
            option: Some(hbb::OptionMessage { supported_decoding: Some(decoding), ..Default::default() }),
            union: kind,
            ..Default::default()
        };
        self.input(Input::Payload(&encode_message(Union::LoginRequest(request))));
    }

    fn shake_hands(&mut self) {
        let Some(theirs) = self.box_key else { return };
        let pair = BoxKeyPair::from_secret(&[9; 32]);
        let key = hbb::PublicKey {
            asymmetric_value: pair.public_key().to_vec(),
            symmetric_value: pair.seal_session_key(&[8; 32], &theirs),
        };
        self.input(Input::Payload(&encode_message(Union::PublicKey(key))));
    }
}

fn take<'a>(bytes: &mut &'a [u8], most: usize) -> &'a [u8] {
    let Some((&len, rest)) = bytes.split_first() else { return &[] };
    let (piece, rest) = rest.split_at(usize::from(len).min(most).min(rest.len()));
    *bytes = rest;
    piece
}

fn byte(bytes: &mut &[u8]) -> u8 {
    let Some((&first, rest)) = bytes.split_first() else { return 0 };
    *bytes = rest;
    first
}

/// A plain target on a good line, and one whose layout has dead keys and AltGr on a bad line.
static KEYBOARDS: LazyLock<[KeyboardSettings; 2]> = LazyLock::new(|| {
    let layout = Layout::by_name("de").expect("a layout of ours");
    [KeyboardSettings::default(), KeyboardSettings { layout, bad_link: BadLink::On }]
});

fn start(flags: u8) -> Run {
    let opening = match flags & 3 {
        0 | 1 => Opening::Secure,
        2 => Opening::Insecure,
        _ => Opening::Direct,
    };
    let is_strict = flags & 4 == 0;
    let pick = |bit: u8| flags & bit != 0;
    let settings = PeerSettings {
        id: "123456789".parse().expect("an ID"),
        salt: SALT.into(),
        identity: IdentityKeyPair::from_seed(&[1; 32]),
        is_encryption_required: is_strict,
        is_direct_plaintext_allowed: !pick(8),
        announce: match (pick(16), pick(64)) {
            (true, false) => AnnouncedPlatform::Linux,
            (true, true) => AnnouncedPlatform::MacOs,
            (false, _) => AnnouncedPlatform::Windows,
        },
        os: if pick(32) { TargetOs::MacOs } else { TargetOs::Windows },
        hostname: "desk".into(),
        username: "kvm".into(),
        local_pointer: if pick(64) { LocalPointer::On } else { LocalPointer::Auto },
        keyboard: KEYBOARDS[usize::from(pick(128))].clone(),
    };
    let now = Instant::now();
    let size = Resolution::new(1280, 720);
    let state = DisplayState {
        resolution: size,
        original_resolution: size,
        signal: SignalState::Active,
        encodes: CodecSet::of(&[Codec::H264]),
    };
    let controller = ([10, 0, 0, 3], 4000).into();
    let seed = Seed::from_bytes([2; 32]);
    let sound = vec![false, true];
    let peer = Peer::with_sound(settings, opening, controller, vec![state; 2], sound, now, seed);
    let hash = PasswordHash::new(PASSWORD, SALT);
    Run {
        peer,
        gate: Gate::new(SALT.into(), Some(hash), now, 0, Seed::from_bytes([3; 32])),
        opening,
        is_strict,
        now,
        wake: now,
        hash: None,
        box_key: None,
        ping: None,
        is_sealed: false,
        is_accepted: false,
        is_logged_in: false,
        is_closed: false,
        has_key_frame: [false; 2],
        held: BTreeSet::new(),
        buttons: 0,
        sequence: 0,
        shown: [false; 2],
        has_sound: [false, true],
        listens: false,
        shot: None,
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes;
    let mut run = start(byte(&mut bytes));
    run.input(Input::Backlog(0));
    let mut stuck = 0;
    while !bytes.is_empty() {
        let op = byte(&mut bytes);
        let before = run.now;
        match op % 16 {
            0 => run.input(Input::Payload(take(&mut bytes, 255))),
            // A field of the union around raw bytes, so that the inside is what changes.
            1..=4 => {
                let fields = [10, 15, 19, 7, 5, 26, 19, 15, 10, 23, 29, 16];
                let field = fields[usize::from(byte(&mut bytes)) % fields.len()];
                let inside = take(&mut bytes, 120);
                let mut message = vec![];
                let kind = prost::encoding::WireType::LengthDelimited;
                prost::encoding::encode_key(field, kind, &mut message);
                message.push(inside.len() as u8);
                message.extend_from_slice(inside);
                run.input(Input::Payload(&message));
            }
            5 => run.shake_hands(),
            6 => {
                let flags = byte(&mut bytes);
                run.login(flags);
            }
            7 => {
                if let Some(ping) = run.ping.take() {
                    run.input(Input::Payload(&ping));
                }
            }
            8 => {
                run.now = run.wake.max(run.now);
                run.input(Input::Timeout);
            }
            9 => {
                let step = u64::from(byte(&mut bytes));
                run.now += Duration::from_millis(step * step);
                if run.now >= run.wake {
                    run.input(Input::Timeout);
                }
            }
            10 | 11 if run.is_logged_in => {
                let size = if op & 128 == 0 { Resolution::new(1280, 720) } else { Resolution::new(800, 600) };
                run.frame(usize::from(op >> 6) & 1, op & 16 == 0, size);
            }
            12 => {
                let size = Resolution::new(u32::from(byte(&mut bytes)) * 16, u32::from(byte(&mut bytes)) * 8);
                let signal = if size.width == 0 { SignalState::NoSignal } else { SignalState::Active };
                let state = DisplayState {
                    resolution: size,
                    original_resolution: size,
                    signal,
                    encodes: CodecSet::of(&[Codec::H264]),
                };
                run.input(Input::Display { index: usize::from(op >> 7), state });
            }
            13 => {
                let backlog = usize::from(byte(&mut bytes)) << (op >> 4);
                run.input(Input::Backlog(backlog));
            }
            14 if op & 32 != 0 => {
                let theirs = Hold::Theirs { holder: "ann".into(), can_take: op & 64 != 0 };
                run.input(Input::Hold(if op & 16 == 0 { &theirs } else { &Hold::Mine }));
            }
            14 if op & 64 != 0 => run.input(Input::Remark("a character cannot be typed")),
            14 => run.input(Input::HidNotice(if op & 16 == 0 { "the computer is gone" } else { "" })),
            11 => {
                let format = AudioFormat { sample_rate: 48_000, channels: u32::from(op >> 4) };
                run.input(Input::Sound(EncodedAudio { data: Bytes::from_static(b"sound"), format }));
            }
            15 if op < 128 => {
                let sid = run.shot.take().unwrap_or_default();
                let png = if op & 16 == 0 { Ok(vec![7; 100]) } else { Err("there is none".to_owned()) };
                run.input(Input::Screenshot { sid: &sid, png });
            }
            15 if op < 224 => {
                let (index, is_there) = (usize::from(op >> 4 & 1), op & 32 != 0);
                run.has_sound[index] = is_there;
                run.input(Input::SoundThere { index, is_there });
            }
            15 if op < 240 => run.input(Input::VideoLost),
            15 if op == 255 => run.input(Input::End("Ended: not allowed any more")),
            _ => {}
        }
        stuck = if op % 16 == 8 && run.now == before && !run.is_closed { stuck + 1 } else { 0 };
        assert!(stuck < 50 || run.wake > run.now, "timeouts do not move the deadline");
    }
    // Left alone, every session comes to its end by itself, holding nothing.
    for _ in 0..2000 {
        if run.is_closed {
            break;
        }
        run.now = run.wake.max(run.now);
        run.input(Input::Timeout);
    }
    assert!(run.is_closed, "a silent session never ends");
});
