//! One `Peer` with a controller that answers by the book: handshake with a fresh key, proof for the new challenge,
//! TestDelay echoed. Time moves only when the test says so.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kvmdesk::crypto::identity::{BoxKeyPair, IdentityKeyPair, verify};
use kvmdesk::crypto::password::PasswordHash;
use kvmdesk::crypto::seal::SessionKey;
use kvmdesk::crypto::seed::Seed;
use kvmdesk::input::event::InputEvent;
use kvmdesk::peer::gate::Gate;
use kvmdesk::peer::machine::{
    AnnouncedPlatform, CloseReason, Event, Input, KeyboardSettings, LocalPointer, Opening, Output, Peer,
    PeerSettings, TargetOs,
};
use kvmdesk::video::format::Resolution;
use kvmdesk::video::frame::{Codec, CodecSet, EncodedFrame};
use kvmdesk::video::request::VideoRequest;
use kvmdesk::video::signal::{DisplayState, SignalState};
use kvmdesk::wire::message::{decode_message, encode_message, hbb};
use prost::Message as _;

use crate::support::controller::{Union, kind};

pub const SALT: &str = "fi6nqzn5mruyqp9nqsr2h7hbtmwbn9mg";
pub const PASSWORD: &str = "replayed";
const SIZE: Resolution = Resolution::new(1280, 720);

/// What came out besides messages, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    Hands(InputEvent),
    Wanted(VideoRequest),
    Keyframe(usize),
}

pub struct Replay {
    peer: Peer,
    gate: Gate,
    identity: IdentityKeyPair,
    pub now: Instant,
    wake: Instant,
    /// What our side said.
    pub said: Vec<Union>,
    pub effects: Vec<Effect>,
    pub is_logged_in: bool,
    pub closed: Option<CloseReason>,
    session_key: [u8; 32],
    pub is_sealed: bool,
    frames: u64,
}

impl Replay {
    pub fn new(id: &str, opening: Opening, announce: AnnouncedPlatform) -> Self {
        let identity = IdentityKeyPair::from_seed(&[5; 32]);
        let now = Instant::now();
        let state = DisplayState {
            resolution: SIZE,
            original_resolution: SIZE,
            signal: SignalState::Active,
            encodes: CodecSet::of(&[Codec::H264]),
        };
        let settings = PeerSettings {
            id: id.parse().unwrap(),
            salt: SALT.into(),
            identity: identity.clone(),
            is_encryption_required: true,
            is_direct_plaintext_allowed: true,
            announce,
            os: TargetOs::Windows,
            hostname: "desk".into(),
            username: "kvm".into(),
            local_pointer: LocalPointer::Auto,
            keyboard: KeyboardSettings::default(),
        };
        let controller = "10.77.0.3:42411".parse().unwrap();
        let peer = Peer::new(settings, opening, controller, vec![state], now, Seed::from_bytes([6; 32]));
        let hash = PasswordHash::new(PASSWORD, SALT);
        let gate = Gate::new(SALT.into(), Some(hash), now, 0, Seed::from_bytes([7; 32]));
        let mut replay = Self {
            peer,
            gate,
            identity,
            now,
            wake: now,
            said: vec![],
            effects: vec![],
            is_logged_in: false,
            closed: None,
            session_key: [0x5a; 32],
            is_sealed: false,
            frames: 0,
        };
        replay.drain();
        replay
    }

    /// Feeds a recorded message of the controller, made fresh where it depends on this connection.
    pub fn feed(&mut self, recorded: &[u8], knows_password: bool) {
        let message = decode_message(recorded).unwrap();
        let fresh = match message.union {
            // Ours are echoed as they come.
            Some(Union::TestDelay(delay)) if !delay.from_client => return,
            Some(Union::PublicKey(_)) => self.public_key(),
            Some(Union::LoginRequest(mut request)) if knows_password => {
                let proof = PasswordHash::new(PASSWORD, SALT).proof(&self.challenge());
                request.password = proof.to_vec();
                encode_message(Union::LoginRequest(request))
            }
            _ => recorded.to_vec(),
        };
        self.input(Input::Payload(&fresh));
    }

    /// Moves time on, feeding what falls due.
    pub fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        while self.closed.is_none() && self.wake <= until {
            self.now = self.wake.max(self.now);
            self.input(Input::Timeout);
        }
        self.now = until;
    }

    /// Feeds one input and everything that follows from it.
    pub fn input(&mut self, input: Input<'_>) {
        self.peer.handle_input(input, self.now);
        self.drain();
    }

    pub fn frame(&mut self, is_keyframe: bool) {
        let frame = EncodedFrame {
            data: Bytes::from_static(b"\0\0\0\x01\x67frame"),
            codec: Codec::H264,
            is_keyframe,
            captured_at: self.now,
            sequence: self.frames,
            resolution: SIZE,
            original_resolution: SIZE,
        };
        self.frames += 1;
        self.input(Input::Frame { index: 0, frame });
    }

    fn drain(&mut self) {
        loop {
            if self.closed.is_some() {
                return;
            }
            match self.peer.poll_output() {
                Output::Transmit(bytes) | Output::TransmitSound(bytes) | Output::TransmitBulk(bytes) => {
                    self.say(&bytes);
                }
                Output::TransmitVideo { head, payload, tail, is_keyframe } => {
                    let whole = [&head[..], &payload[..], &tail[..]].concat();
                    let union = decode_message(&whole).unwrap().union.unwrap();
                    assert_eq!(kind(&union) == "key", is_keyframe);
                    self.say(&whole);
                }
                Output::Seal(key) => {
                    assert_eq!(key, SessionKey::from_bytes(self.session_key));
                    self.is_sealed = true;
                }
                Output::Event(event) => self.event(event),
                Output::Timeout { at, why } => {
                    assert!(!why.is_empty());
                    self.wake = at;
                    return;
                }
            }
        }
    }

    fn say(&mut self, bytes: &[u8]) {
        let union = decode_message(bytes).unwrap().union.unwrap();
        let echo = matches!(&union, Union::TestDelay(delay) if !delay.from_client);
        self.said.push(union);
        if echo {
            self.peer.handle_input(Input::Payload(bytes), self.now);
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::LoginAsked(attempt) => {
                let verdict = self.gate.judge(&attempt, self.now);
                self.peer.handle_input(Input::Verdict(verdict), self.now);
            }
            Event::LoggedIn { .. } => self.is_logged_in = true,
            Event::DisplayShown { .. } | Event::SoundWanted(_) | Event::ScreenshotWanted { .. } => {}
            Event::VideoWanted(request) => self.effects.push(Effect::Wanted(request)),
            Event::KeyframeWanted { index } => self.effects.push(Effect::Keyframe(index)),
            Event::Hands { index, event } => {
                assert_eq!(index, 0);
                self.effects.push(Effect::Hands(event));
            }
            Event::Claim(_) => {}
            Event::KeyNotConfirmed => panic!("the key was confirmed"),
            Event::Closed(reason) => self.closed = Some(reason),
        }
    }

    /// The challenge of this connection.
    pub fn challenge(&self) -> String {
        let hash = self.said.iter().find_map(|m| match m {
            Union::Hash(hash) => Some(hash),
            _ => None,
        });
        hash.unwrap().challenge.clone()
    }

    /// What our SignedId holds, checked against our key.
    pub fn signed_id(&self) -> hbb::IdPk {
        let signed = self.said.iter().find_map(|m| match m {
            Union::SignedId(signed) => Some(&signed.id),
            _ => None,
        });
        let plain = verify(signed.unwrap(), &self.identity.public_key()).unwrap();
        hbb::IdPk::decode(plain.as_slice()).unwrap()
    }

    fn public_key(&self) -> Vec<u8> {
        let theirs: [u8; 32] = self.signed_id().pk.try_into().unwrap();
        let pair = BoxKeyPair::from_secret(&[9; 32]);
        encode_message(Union::PublicKey(hbb::PublicKey {
            asymmetric_value: pair.public_key().to_vec(),
            symmetric_value: pair.seal_session_key(&self.session_key, &theirs),
        }))
    }
}
