//! The whole side towards one ID server: registration, NAT test and introductions behind one input and one output.
//! Datagrams count only if they come from the server's address; everything else is dropped without a trace in the
//! timers.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::crypto::seed::Seed;
use crate::wire::addr::to_plain;
use crate::wire::endpoint::Endpoint;
use crate::wire::id::{DeviceUuid, PeerId};
use crate::wire::message::{decode_rendezvous, hbb};
use hbb::rendezvous_message::Union;

use super::introduction::{Dropped, Introduction, IntroductionSettings, Introductions, Request};
use super::nat::{self, NatKind, NatTest};
use super::registrar::{self, Registrar, RegistrarSettings, SERIAL};

pub use super::registrar::Refusal;

/// Standard port of the ID server.
pub const RENDEZVOUS_PORT: u16 = 21116;
/// RustDesk version that we report to servers and controllers.
pub const REPORTED_VERSION: &str = "1.4.9";
/// First wait after a name that does not resolve; doubles up to [`LONGEST_RESOLVE_WAIT`].
const FIRST_RESOLVE_WAIT: Duration = Duration::from_secs(3);
/// Longest wait between attempts to resolve the server's name.
const LONGEST_RESOLVE_WAIT: Duration = Duration::from_secs(30);

/// All that one registration is run with.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// What is registered.
    pub registrar: RegistrarSettings,
    /// How controllers are met.
    pub introduction: IntroductionSettings,
}

impl ClientSettings {
    /// Settings for a server with nothing special: no relay of our own, no key, direct connections allowed.
    pub fn new(server: Endpoint, id: PeerId, uuid: DeviceUuid, public_key: [u8; 32]) -> Self {
        Self {
            registrar: RegistrarSettings { id, uuid, public_key, is_confirmed_before: false },
            introduction: IntroductionSettings {
                server,
                relay_server: None,
                is_relay_forced: false,
                licence_key: String::new(),
                version: REPORTED_VERSION.to_owned(),
            },
        }
    }
}

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The name is resolved and a new socket is bound.
    ServerAt(SocketAddr),
    /// The name does not resolve now.
    ResolveFailed,
    /// A datagram came.
    Datagram {
        /// Its sender.
        from: SocketAddr,
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// The two answers of the NAT test.
    NatAnswers {
        /// From the rendezvous port.
        first: &'a [u8],
        /// From the port below.
        second: &'a [u8],
    },
    /// The NAT test failed.
    NatFailed,
    /// The introduction with this ticket is over, well or not.
    IntroductionEnded(u64),
    /// The server's copy of our key may be wrong.
    KeyNotConfirmed,
    /// The ID to use from now on.
    SetId(PeerId),
    /// A deadline passed.
    Tick,
}

/// What the house has to know or do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Resolve the server's name, bind a new socket, answer with [`Input::ServerAt`] or [`Input::ResolveFailed`].
    Resolve,
    /// From the registration; `ResolveAgain` never appears here, it becomes [`Event::Resolve`].
    Registration(registrar::Event),
    /// Run the NAT test with this request.
    MeasureNat(Vec<u8>),
    /// The NAT's kind.
    NatKnown(NatKind),
    /// Meet a controller; say [`Input::IntroductionEnded`] with the ticket when it is over.
    Introduce {
        /// Names it.
        ticket: u64,
        /// How.
        introduction: Box<Introduction>,
    },
    /// A request got no answer.
    Dropped(Dropped),
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this datagram to the server.
    Transmit(Vec<u8>),
    /// Tell the house.
    Event(Event),
    /// Nothing until then (`None`: until some input).
    Timeout {
        /// When to tick.
        at: Option<Instant>,
        /// Why.
        why: &'static str,
    },
}

/// The machine towards one ID server.
#[derive(Debug)]
pub struct Client {
    registrar: Registrar,
    nat: NatTest,
    nat_kind: NatKind,
    introductions: Introductions,
    server: Option<SocketAddr>,
    resolve_at: Option<Instant>,
    resolve_wait: Duration,
    outputs: VecDeque<Output>,
    wake: (Option<Instant>, &'static str),
}

impl Client {
    /// A client that begins by asking for the server's address.
    pub fn new(settings: ClientSettings, now: Instant, mut seed: Seed) -> Self {
        Self {
            registrar: Registrar::new(settings.registrar, now),
            nat: NatTest::new(SERIAL, now),
            nat_kind: NatKind::Unknown,
            introductions: Introductions::new(settings.introduction, now, seed.split()),
            server: None,
            resolve_at: None,
            resolve_wait: FIRST_RESOLVE_WAIT,
            outputs: VecDeque::from([Output::Event(Event::Resolve)]),
            wake: (None, "the server's name is being resolved"),
        }
    }

    /// Takes one input.
    pub fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        match input {
            Input::ServerAt(address) => {
                let address = to_plain(address);
                if self.server.replace(address) != Some(address) {
                    self.nat.handle_input(nat::Input::NetworkChanged, now);
                }
                self.resolve_at = None;
                self.resolve_wait = FIRST_RESOLVE_WAIT;
                self.registrar.handle_input(registrar::Input::ServerReady, now);
            }
            Input::ResolveFailed => {
                self.resolve_at = Some(now + self.resolve_wait);
                self.resolve_wait = (self.resolve_wait * 2).min(LONGEST_RESOLVE_WAIT);
            }
            Input::Datagram { from, bytes } => {
                if self.server == Some(to_plain(from)) {
                    self.handle_datagram(bytes, now);
                }
            }
            Input::NatAnswers { first, second } => {
                self.nat.handle_input(nat::Input::Answers { first, second }, now);
            }
            Input::NatFailed => self.nat.handle_input(nat::Input::Failed, now),
            Input::IntroductionEnded(ticket) => self.introductions.ended(ticket),
            Input::KeyNotConfirmed => self.registrar.handle_input(registrar::Input::KeyNotConfirmed, now),
            Input::SetId(id) => self.registrar.handle_input(registrar::Input::SetId(id), now),
            Input::Tick => {
                if self.resolve_at.is_some_and(|at| at <= now) {
                    self.resolve_at = None;
                    self.outputs.push_back(Output::Event(Event::Resolve));
                }
                self.registrar.handle_input(registrar::Input::Tick, now);
                self.nat.handle_input(nat::Input::Tick, now);
            }
        }
        self.drain();
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "a device acts on five arms of the server's big union")]
    fn handle_datagram(&mut self, bytes: &[u8], now: Instant) {
        let Some(union) = decode_rendezvous(bytes).ok().and_then(|m| m.union) else { return };
        let request = match union {
            Union::RegisterPeerResponse(m) => {
                let input = registrar::Input::PeerAnswer { wants_key: m.request_pk };
                return self.registrar.handle_input(input, now);
            }
            Union::RegisterPkResponse(m) => {
                return self.registrar.handle_input(registrar::Input::KeyAnswer(m.result), now);
            }
            Union::PunchHole(m) => Request::PunchHole {
                nat: NatKind::from_wire(m.nat_type),
                socket_addr: m.socket_addr,
                relay_server: m.relay_server,
                is_relay_forced: m.force_relay,
            },
            Union::FetchLocalAddr(m) => {
                Request::FetchLocalAddr { socket_addr: m.socket_addr, relay_server: m.relay_server }
            }
            Union::RequestRelay(m) => Request::Relay {
                socket_addr: m.socket_addr,
                relay_server: m.relay_server,
                uuid: m.uuid,
                is_secure: m.secure,
            },
            _ => return,
        };
        let id = self.registrar.id().clone();
        let event = match self.introductions.decide(request, &id, self.nat_kind, now) {
            Ok((ticket, introduction)) => Event::Introduce { ticket, introduction: Box::new(introduction) },
            Err(why) => Event::Dropped(why),
        };
        self.outputs.push_back(Output::Event(event));
    }

    fn drain(&mut self) {
        let registration = loop {
            match self.registrar.poll_output() {
                registrar::Output::Transmit(bytes) => self.outputs.push_back(Output::Transmit(bytes)),
                registrar::Output::Event(registrar::Event::ResolveAgain) => {
                    self.outputs.push_back(Output::Event(Event::Resolve));
                }
                registrar::Output::Event(event) => {
                    self.outputs.push_back(Output::Event(Event::Registration(event)));
                }
                registrar::Output::Timeout { at, why } => break (at, why),
            }
        };
        let mut wakes = vec![registration];
        if let Some(at) = self.resolve_at {
            wakes.push((Some(at), "next attempt to resolve the server's name"));
        }
        while self.server.is_some() {
            match self.nat.poll_output() {
                nat::Output::Measure(request) => {
                    self.outputs.push_back(Output::Event(Event::MeasureNat(request)));
                }
                nat::Output::Known(kind) => {
                    self.nat_kind = kind;
                    self.outputs.push_back(Output::Event(Event::NatKnown(kind)));
                }
                nat::Output::Timeout { at, why } => {
                    wakes.push((at, why));
                    break;
                }
            }
        }
        let none = (None, "the server's name is being resolved");
        self.wake =
            wakes.into_iter().filter(|(at, _)| at.is_some()).min_by_key(|(at, _)| *at).unwrap_or(none);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Output {
        let (at, why) = self.wake;
        self.outputs.pop_front().unwrap_or(Output::Timeout { at, why })
    }
}

#[cfg(test)]
mod tests;
