//! Keeps one ID registered at one server (reference: network 3): RegisterPeer every 15 s, retry after 3 s,
//! RegisterPk when asked or unconfirmed and RegisterPeer at once after its OK, so that a restarted server sees us
//! immediately. Never more than [`KEY_BUDGET`] RegisterPk a minute: that limit is shared by a whole site.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::wire::id::{DeviceUuid, PeerId};
use crate::wire::message::{encode_rendezvous, hbb};
use hbb::register_pk_response::Result as PkResult;
use hbb::rendezvous_message::Union;

/// Time between registrations.
pub const INTERVAL: Duration = Duration::from_secs(15);
/// Time after which an unanswered registration is repeated.
pub const RETRY: Duration = Duration::from_secs(3);
/// Most RegisterPk sent in any 60 s.
pub const KEY_BUDGET: usize = 10;
/// The configuration serial we report; the official floor (reference: network 3.1).
pub const SERIAL: i32 = 3;

const MINUTE: Duration = Duration::from_secs(60);
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);
/// Unanswered registrations after which the server counts as unreachable.
const FAILS_UNTIL_UNREACHABLE: u32 = 4;

/// What is registered.
#[derive(Debug, Clone)]
pub struct RegistrarSettings {
    /// The ID.
    pub id: PeerId,
    /// What ties the ID to this device.
    pub uuid: DeviceUuid,
    /// Our Ed25519 public key.
    pub public_key: [u8; 32],
    /// Whether this server ever confirmed this ID and key; decides what a mismatch means.
    pub is_confirmed_before: bool,
}

/// Why the server does not register us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The ID belongs to another device there (after it once was ours: ours is kept).
    Conflict,
    /// The server says the ID exists.
    IdExists,
    /// Too many registrations from our address.
    TooFrequent,
    /// The server does not like the ID's form.
    InvalidId,
    /// The server cannot do it over UDP.
    NotSupported,
    /// The server has a fault.
    ServerError,
    /// An operator has to deploy the device first.
    NotDeployed,
    /// A result that we do not know.
    Unknown(i32),
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// The server has this address now and the socket is new: register.
    ServerReady,
    /// RegisterPeerResponse.
    PeerAnswer {
        /// The server wants our key.
        wants_key: bool,
    },
    /// RegisterPkResponse with this result.
    KeyAnswer(i32),
    /// A controller behaved as if the server had a wrong key for us: send the key at the next registration.
    KeyNotConfirmed,
    /// The new ID after [`Event::NewIdWanted`].
    SetId(PeerId),
    /// A deadline passed.
    Tick,
}

/// What the house has to know or do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The server answered a registration: we can be found.
    Online,
    /// The server confirmed ID and key.
    KeyConfirmed,
    /// The ID belongs to somebody else and was never ours: choose another and say [`Input::SetId`].
    NewIdWanted,
    /// The server does not register us.
    Refused(Refusal),
    /// Some registrations stayed unanswered.
    Shaky,
    /// The server does not answer.
    Unreachable,
    /// Resolve the server's name anew, bind a new socket, then say [`Input::ServerReady`].
    ResolveAgain,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this datagram to the server.
    Transmit(Vec<u8>),
    /// Tell the house.
    Event(Event),
    /// Nothing until then.
    Timeout {
        /// When to tick.
        at: Option<Instant>,
        /// Why.
        why: &'static str,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Peer,
    Key,
}

/// The machine that keeps one ID registered.
#[derive(Debug)]
pub struct Registrar {
    settings: RegistrarSettings,
    is_ready: bool,
    /// The server has our key as far as we know.
    is_confirmed: bool,
    /// The server (or some server before) once said OK: the ID is kept from then on.
    was_ever_confirmed: bool,
    is_waiting_for_id: bool,
    outstanding: Option<(Kind, Instant)>,
    /// When the next registration is due if nothing is outstanding.
    due: Instant,
    fails: u32,
    refusals: u32,
    resolved_at: Instant,
    keys_sent: VecDeque<Instant>,
    outputs: VecDeque<Output>,
    now: Instant,
}

impl Registrar {
    /// A registrar that waits for [`Input::ServerReady`].
    pub fn new(settings: RegistrarSettings, now: Instant) -> Self {
        Self {
            is_ready: false,
            is_confirmed: settings.is_confirmed_before,
            was_ever_confirmed: settings.is_confirmed_before,
            settings,
            is_waiting_for_id: false,
            outstanding: None,
            due: now,
            fails: 0,
            refusals: 0,
            resolved_at: now,
            keys_sent: VecDeque::new(),
            outputs: VecDeque::new(),
            now,
        }
    }

    /// The ID that is being registered.
    pub fn id(&self) -> &PeerId {
        &self.settings.id
    }

    /// Takes one input.
    pub fn handle_input(&mut self, input: Input, now: Instant) {
        self.now = now;
        match input {
            Input::ServerReady => {
                self.is_ready = true;
                self.resolved_at = now;
                if !self.is_waiting_for_id && self.refusals == 0 {
                    self.register();
                }
            }
            Input::PeerAnswer { wants_key } => self.handle_peer_answer(wants_key),
            Input::KeyAnswer(result) => self.handle_key_answer(result),
            Input::KeyNotConfirmed => self.is_confirmed = false,
            Input::SetId(id) => {
                self.settings.id = id;
                self.is_confirmed = false;
                self.was_ever_confirmed = false;
                self.is_waiting_for_id = false;
                self.outstanding = None;
                // The first two new IDs are tried at once, a server that refuses more gets them slowly.
                self.due = if self.refusals <= 2 { now } else { now + self.backoff(INTERVAL) };
                self.run_due();
            }
            Input::Tick => self.run_due(),
        }
    }

    fn run_due(&mut self) {
        if !self.is_ready || self.deadline().is_some_and(|(at, _)| at > self.now) {
            return;
        }
        if self.is_waiting_for_id {
            self.due = self.now + MINUTE;
            return self.event(Event::NewIdWanted);
        }
        if self.outstanding.is_some() {
            self.fails += 1;
            if self.fails >= FAILS_UNTIL_UNREACHABLE {
                self.event(Event::Unreachable);
                if self.now >= self.resolved_at + MINUTE {
                    self.resolved_at = self.now;
                    self.event(Event::ResolveAgain);
                }
            } else if self.fails >= 2 {
                self.event(Event::Shaky);
            }
        }
        self.register();
    }

    fn register(&mut self) {
        // A silent server is asked with the cheap message: an unconfirmed key goes out as soon as it answers.
        let is_probe = self.fails >= 2 && self.refusals == 0;
        if self.is_confirmed || is_probe { self.send_peer() } else { self.send_key() }
    }

    fn send_peer(&mut self) {
        let message = hbb::RegisterPeer { id: self.settings.id.to_string(), serial: SERIAL };
        self.outputs.push_back(Output::Transmit(encode_rendezvous(Union::RegisterPeer(message))));
        self.outstanding = Some((Kind::Peer, self.now));
    }

    fn send_key(&mut self) {
        while self.keys_sent.front().is_some_and(|at| *at + MINUTE <= self.now) {
            self.keys_sent.pop_front();
        }
        if let (KEY_BUDGET, Some(oldest)) = (self.keys_sent.len(), self.keys_sent.front()) {
            self.due = *oldest + MINUTE;
            self.outstanding = None;
            return;
        }
        self.keys_sent.push_back(self.now);
        let message = hbb::RegisterPk {
            id: self.settings.id.to_string(),
            uuid: self.settings.uuid.as_registered(),
            pk: self.settings.public_key.to_vec(),
            old_id: String::new(),
            no_register_device: false,
        };
        self.outputs.push_back(Output::Transmit(encode_rendezvous(Union::RegisterPk(message))));
        self.outstanding = Some((Kind::Key, self.now));
    }

    fn handle_peer_answer(&mut self, wants_key: bool) {
        // Late or invented answers change nothing.
        if !matches!(self.outstanding, Some((Kind::Peer, _))) {
            return;
        }
        self.outstanding = None;
        self.fails = 0;
        self.due = self.now + INTERVAL;
        if wants_key || !self.is_confirmed {
            self.is_confirmed = false;
            self.send_key();
        } else {
            self.event(Event::Online);
        }
    }

    fn handle_key_answer(&mut self, result: i32) {
        if !matches!(self.outstanding, Some((Kind::Key, _))) {
            return;
        }
        self.outstanding = None;
        self.fails = 0;
        let refusal = match PkResult::try_from(result) {
            Ok(PkResult::Ok) => {
                self.refusals = 0;
                self.is_confirmed = true;
                self.was_ever_confirmed = true;
                self.event(Event::KeyConfirmed);
                // A restarted server has no address of ours until a RegisterPeer follows (reference: network 3.7).
                return self.send_peer();
            }
            Ok(PkResult::UuidMismatch) if !self.was_ever_confirmed => {
                self.refusals += 1;
                self.is_confirmed = false;
                self.is_waiting_for_id = true;
                self.due = self.now + MINUTE;
                return self.event(Event::NewIdWanted);
            }
            Ok(PkResult::UuidMismatch) => Refusal::Conflict,
            Ok(PkResult::IdExists) => Refusal::IdExists,
            Ok(PkResult::TooFrequent) => Refusal::TooFrequent,
            Ok(PkResult::InvalidIdFormat) => Refusal::InvalidId,
            Ok(PkResult::NotSupport) => Refusal::NotSupported,
            Ok(PkResult::ServerError) => Refusal::ServerError,
            Ok(PkResult::NotDeployed) => Refusal::NotDeployed,
            Err(_) => Refusal::Unknown(result),
        };
        self.refusals += 1;
        self.is_confirmed = false;
        let first = if refusal == Refusal::NotDeployed { 2 * INTERVAL } else { INTERVAL };
        self.due = self.now + self.backoff(first);
        self.event(Event::Refused(refusal));
    }

    /// `first`, doubled with each refusal in a row, at most five minutes.
    fn backoff(&self, first: Duration) -> Duration {
        let doublings = self.refusals.saturating_sub(1).min(6);
        (first * 2u32.pow(doublings)).min(LONGEST_BACKOFF)
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn deadline(&self) -> Option<(Instant, &'static str)> {
        match self.outstanding {
            _ if !self.is_ready => None,
            Some((_, sent)) => Some((sent + RETRY, "registration is unanswered")),
            None if self.is_waiting_for_id => Some((self.due, "a new ID is wanted")),
            None => Some((self.due, "next registration")),
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or_else(|| match self.deadline() {
            Some((at, why)) => Output::Timeout { at: Some(at), why },
            None => Output::Timeout { at: None, why: "the server's address is unknown" },
        })
    }
}

#[cfg(test)]
mod tests;
