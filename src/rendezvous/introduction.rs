//! Controllers that the server announces (reference: network 5.3, 6): what to do for each, with the bytes to send.
//! Repeats within 100 ms are one request; requests are limited in rate and number, because nobody proves who sent
//! them. Fields that a controller can forge (permissions, contexts, IPv6 and UDP side channels) are not read.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::crypto::seed::Seed;
use crate::wire::addr::{mangle, unmangle};
use crate::wire::endpoint::Endpoint;
use crate::wire::id::PeerId;
use crate::wire::message::{encode_rendezvous, hbb};
use hbb::rendezvous_message::Union;

use super::nat::NatKind;

/// Two requests of one controller closer than this are one.
pub const DUPLICATE_WINDOW: Duration = Duration::from_millis(100);
/// Most introductions at work at once.
pub const MAX_CONCURRENT: usize = 32;
/// Most introductions at work at once for one controller's address.
pub const MAX_PER_CONTROLLER: usize = 8;
/// Introductions that may come in one burst; [`REFILL`] brings one more.
pub const BURST: u32 = 32;
/// Time in which one more introduction is allowed.
pub const REFILL: Duration = Duration::from_millis(500);
/// Standard port of the relay.
const RELAY_PORT: u16 = 21117;

/// What every answer carries.
#[derive(Debug, Clone)]
pub struct IntroductionSettings {
    /// The server we are registered at; the relay is assumed one port above it.
    pub server: Endpoint,
    /// Our own choice of relay, as configured; `None` takes the server's.
    pub relay_server: Option<String>,
    /// Never connect directly.
    pub is_relay_forced: bool,
    /// The key that the relay may ask for; empty for none.
    pub licence_key: String,
    /// RustDesk version that we report; must not be empty, or controllers get no key to check us with.
    pub version: String,
}

/// A controller to be met, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Introduction {
    /// Knock at its address and listen for it.
    PunchHole(PunchHole),
    /// Listen for it in the LAN.
    LocalAddr(LocalAddr),
    /// Meet it at the relay.
    Relay(Relay),
}

/// A hole to be punched: knock from the address used towards the server, answer there, listen there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PunchHole {
    /// The controller as the server sees it.
    pub controller: SocketAddr,
    /// PunchHoleSent, unframed, ready to send.
    pub answer: Vec<u8>,
}

/// A controller behind the same address: tell it our address in the LAN and listen there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalAddr {
    /// The controller as the server sees it.
    pub controller: SocketAddr,
    /// The way round if the server cannot be reached over IPv4.
    pub fallback: Relay,
    message: LocalAddrFields,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct LocalAddrFields {
    socket_addr: Vec<u8>,
    relay_server: String,
    id: String,
    version: String,
    tick: u32,
}

impl LocalAddr {
    /// LocalAddr, unframed, for the address that we listen on.
    pub fn answer(&self, listening_on: SocketAddr) -> Vec<u8> {
        let m = self.message.clone();
        encode_rendezvous(Union::LocalAddr(hbb::LocalAddr {
            socket_addr: m.socket_addr,
            local_addr: mangle(listening_on, m.tick),
            relay_server: m.relay_server,
            id: m.id,
            version: m.version,
            socket_addr_v6: vec![],
        }))
    }
}

/// A meeting at the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay {
    /// The controller as the server sees it.
    pub controller: SocketAddr,
    /// The relay, with or without a port.
    pub relay: Endpoint,
    /// Names the meeting.
    pub uuid: String,
    /// Whether our handshake begins with SignedId. A controller can forge `false`.
    pub is_secure: bool,
    /// RelayResponse for the server, unframed.
    pub answer: Vec<u8>,
    /// RequestRelay for the relay, unframed.
    pub request: Vec<u8>,
}

/// A request of the server, as far as it is read.
#[derive(Debug)]
pub(super) enum Request {
    PunchHole { socket_addr: Vec<u8>, relay_server: String, nat: NatKind, is_relay_forced: bool },
    FetchLocalAddr { socket_addr: Vec<u8>, relay_server: String },
    Relay { socket_addr: Vec<u8>, relay_server: String, uuid: String, is_secure: bool },
}

/// Why a request got no introduction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// It repeats the one before.
    Duplicate,
    /// Too many at once.
    TooMany,
    /// It names no controller, no meeting or an impossible relay.
    Unusable,
}

/// Decides about the server's requests. A part of [`super::client::Client`], which is the machine.
#[derive(Debug)]
pub(super) struct Introductions {
    settings: IntroductionSettings,
    seed: Seed,
    last_punch: Option<(SocketAddr, Instant)>,
    last_relay: Option<(SocketAddr, Instant)>,
    active: BTreeMap<u64, IpAddr>,
    next_ticket: u64,
    allowance: u32,
    refilled_at: Instant,
}

impl Introductions {
    pub(super) fn new(settings: IntroductionSettings, now: Instant, seed: Seed) -> Self {
        Self {
            settings,
            seed,
            last_punch: None,
            last_relay: None,
            active: BTreeMap::new(),
            next_ticket: 1,
            allowance: BURST,
            refilled_at: now,
        }
    }

    /// The introduction with the given ticket is over, well or not.
    pub(super) fn ended(&mut self, ticket: u64) {
        self.active.remove(&ticket);
    }

    pub(super) fn decide(
        &mut self,
        request: Request,
        id: &PeerId,
        our_nat: NatKind,
        now: Instant,
    ) -> Result<(u64, Introduction), Dropped> {
        let (slot, socket_addr) = match &request {
            Request::PunchHole { socket_addr, .. } | Request::FetchLocalAddr { socket_addr, .. } => {
                (&mut self.last_punch, socket_addr)
            }
            Request::Relay { socket_addr, .. } => (&mut self.last_relay, socket_addr),
        };
        let controller = unmangle(socket_addr);
        let last = slot.replace((controller, now));
        if last.is_some_and(|(who, when)| who == controller && now < when + DUPLICATE_WINDOW) {
            return Err(Dropped::Duplicate);
        }
        if controller.ip().is_unspecified() {
            return Err(Dropped::Unusable);
        }
        self.admit(controller.ip(), now)?;
        let introduction = self.introduction(request, controller, id, our_nat).ok_or(Dropped::Unusable)?;
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.active.insert(ticket, controller.ip());
        Ok((ticket, introduction))
    }

    fn admit(&mut self, ip: IpAddr, now: Instant) -> Result<(), Dropped> {
        while self.allowance < BURST && now >= self.refilled_at + REFILL {
            self.allowance += 1;
            self.refilled_at += REFILL;
        }
        if self.allowance == BURST {
            self.refilled_at = now;
        }
        let of_this = self.active.values().filter(|other| **other == ip).count();
        if self.allowance == 0 || self.active.len() >= MAX_CONCURRENT || of_this >= MAX_PER_CONTROLLER {
            return Err(Dropped::TooMany);
        }
        self.allowance -= 1;
        Ok(())
    }

    fn introduction(
        &mut self,
        request: Request,
        controller: SocketAddr,
        id: &PeerId,
        our_nat: NatKind,
    ) -> Option<Introduction> {
        let is_relay_forced = self.settings.is_relay_forced;
        Some(match request {
            Request::PunchHole { socket_addr, relay_server, nat, is_relay_forced: is_asked } => {
                let needs_relay = nat == NatKind::Symmetric || our_nat == NatKind::Symmetric;
                // A WebSocket controller behind a proxy has no port: there is nothing to knock at.
                if needs_relay || is_relay_forced || is_asked || controller.port() == 0 {
                    return Some(Introduction::Relay(self.own_relay(
                        controller,
                        socket_addr,
                        &relay_server,
                        id,
                    )?));
                }
                let message = hbb::PunchHoleSent {
                    socket_addr,
                    id: id.to_string(),
                    relay_server: self.relay_name(&relay_server)?.0,
                    nat_type: our_nat.to_wire(),
                    version: self.settings.version.clone(),
                    upnp_port: 0,
                    socket_addr_v6: vec![],
                };
                let answer = encode_rendezvous(Union::PunchHoleSent(message));
                Introduction::PunchHole(PunchHole { controller, answer })
            }
            Request::FetchLocalAddr { socket_addr, relay_server } => {
                let fallback = self.own_relay(controller, socket_addr.clone(), &relay_server, id)?;
                if is_relay_forced {
                    return Some(Introduction::Relay(fallback));
                }
                let message = LocalAddrFields {
                    socket_addr,
                    relay_server: self.relay_name(&relay_server)?.0,
                    id: id.to_string(),
                    version: self.settings.version.clone(),
                    tick: self.seed.next_u64() as u32,
                };
                Introduction::LocalAddr(LocalAddr { controller, fallback, message })
            }
            Request::Relay { socket_addr, relay_server, uuid, is_secure } => {
                let is_name = (1..=64).contains(&uuid.len()) && !uuid.chars().any(char::is_control);
                if !is_name {
                    return None;
                }
                // The relay is the controller's choice here; a local preference would part the two.
                let relay = if relay_server.is_empty() {
                    self.settings.server.shifted(1)?
                } else {
                    Endpoint::parse(&relay_server, RELAY_PORT).ok()?
                };
                let message = hbb::RelayResponse {
                    socket_addr,
                    version: self.settings.version.clone(),
                    ..hbb::RelayResponse::default()
                };
                let answer = encode_rendezvous(Union::RelayResponse(message));
                let request = self.relay_request(&uuid);
                Introduction::Relay(Relay { controller, relay, uuid, is_secure, answer, request })
            }
        })
    }

    /// The relay as it is told to controllers, and as an endpoint. Never empty: a controller could not fall back.
    fn relay_name(&self, from_server: &str) -> Option<(String, Endpoint)> {
        let named = match &self.settings.relay_server {
            Some(own) if !own.is_empty() => own.as_str(),
            Some(_) | None => from_server,
        };
        if let Ok(endpoint) = Endpoint::parse(named, RELAY_PORT) {
            return Some((named.to_owned(), endpoint));
        }
        let default = self.settings.server.shifted(1)?;
        Some((default.to_string(), default))
    }

    fn own_relay(
        &mut self,
        controller: SocketAddr,
        socket_addr: Vec<u8>,
        from_server: &str,
        id: &PeerId,
    ) -> Option<Relay> {
        let (name, relay) = self.relay_name(from_server)?;
        let uuid = self.seed.next_uuid();
        let message = hbb::RelayResponse {
            socket_addr,
            uuid: uuid.clone(),
            relay_server: name,
            version: self.settings.version.clone(),
            union: Some(hbb::relay_response::Union::Id(id.to_string())),
            ..hbb::RelayResponse::default()
        };
        let answer = encode_rendezvous(Union::RelayResponse(message));
        let request = self.relay_request(&uuid);
        Some(Relay { controller, relay, uuid, is_secure: true, answer, request })
    }

    fn relay_request(&self, uuid: &str) -> Vec<u8> {
        encode_rendezvous(Union::RequestRelay(hbb::RequestRelay {
            uuid: uuid.to_owned(),
            licence_key: self.settings.licence_key.clone(),
            ..hbb::RequestRelay::default()
        }))
    }
}

#[cfg(test)]
mod tests;
