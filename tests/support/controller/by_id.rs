//! Connecting by ID through a real hbbs and hbbr (reference: network 5.6, 6.2 to 6.4).

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use hbb::rendezvous_message::Union as Rendezvous;
use kvmdesk::crypto::seed::Seed;
use kvmdesk::wire::addr::unmangle;
use kvmdesk::wire::message::{decode_rendezvous, encode_rendezvous, hbb};
use socket2::{Domain, Protocol, Socket, Type};

use super::handshake::SignedKey;
use super::stream::Link;
use super::{Controller, Options, fault};

/// The ID server as the app's settings name it.
#[derive(Debug, Clone)]
pub struct Server {
    /// hbbs, `host` or `host:port` (21116).
    pub address: String,
    /// The key users paste: base64 of 32 bytes, or a plain licence text, or nothing.
    pub key: String,
    /// Our own NAT type; `Symmetric` asks for a relay.
    pub nat_type: hbb::NatType,
    /// Bind the sockets to this local IP (to look like another network).
    pub local: Option<std::net::IpAddr>,
    /// The `secure` flag of our relay request; `None` is the honest one (we hold a signed key).
    pub secure: Option<bool>,
}

impl Server {
    /// A server with the NAT type that can be punched.
    pub fn new(address: &str, key: &str) -> Self {
        Self {
            address: address.into(),
            key: key.into(),
            nat_type: hbb::NatType::Asymmetric,
            local: None,
            secure: None,
        }
    }

    /// The server's signing key, if `key` is one.
    pub fn signing_key(&self) -> Option<[u8; 32]> {
        base64(&self.key)?.try_into().ok()
    }

    fn resolve(text: &str, port: u16) -> io::Result<SocketAddr> {
        let text = if text.contains(':') { text.to_owned() } else { format!("{text}:{port}") };
        text.to_socket_addrs()?.next().ok_or_else(|| fault("the server's name has no address"))
    }

    fn dial(&self, to: SocketAddr, from: Option<SocketAddr>, limit: Duration) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        if let Some(from) = from.or(self.local.map(|ip| SocketAddr::new(ip, 0))) {
            socket.bind(&from.into())?;
        }
        socket.connect_timeout(&to.into(), limit)?;
        Ok(socket.into())
    }
}

/// How the connection came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From our port at the server straight to the device (PunchHoleSent).
    Punched,
    /// To the device's LAN address (LocalAddr).
    Local,
    /// Through hbbr, asked for by the device.
    RelayedByDevice,
    /// Through hbbr, asked for by us after the direct way failed.
    RelayedByUs,
}

/// The answer of the ID server to one question.
#[derive(Debug)]
pub struct Lookup {
    /// The server's message.
    pub answer: Rendezvous,
    /// Our address towards the server: the punch starts from there.
    pub from: SocketAddr,
}

/// Asks the server for an ID, up to three times on one connection (3, 6, 9 s), as the app does.
///
/// # Errors
/// No connection or no answer.
pub fn lookup(server: &Server, id: &str) -> io::Result<Lookup> {
    let to = Server::resolve(&server.address, 21116)?;
    let mut link = Link::new(server.dial(to, None, Duration::from_secs(18))?)?;
    let from = link.local()?;
    let request = encode_rendezvous(Rendezvous::PunchHoleRequest(hbb::PunchHoleRequest {
        id: id.into(),
        nat_type: server.nat_type as i32,
        licence_key: server.key.clone(),
        version: "1.4.9".into(),
        ..Default::default()
    }));
    for seconds in [3, 6, 9] {
        link.send(&request)?;
        if let Some(payload) = link.receive(Duration::from_secs(seconds))? {
            let answer = decode_rendezvous(&payload).map_err(io::Error::other)?;
            let answer = answer.union.ok_or_else(|| fault("an empty answer of the server"))?;
            return Ok(Lookup { answer, from });
        }
    }
    Err(fault("the ID server did not answer three requests"))
}

impl Controller {
    /// Connects by ID: punch, LAN address or relay, whatever the device and the server answer.
    ///
    /// # Errors
    /// The server's refusal in words, or no way that works.
    pub fn connect_by_id(server: &Server, id: &str, options: Options) -> io::Result<(Self, Way)> {
        let mut options = options;
        if options.username.is_empty() {
            options.username = id.into();
        }
        let Lookup { answer, from } = lookup(server, id)?;
        match answer {
            Rendezvous::PunchHoleResponse(response) => {
                if response.socket_addr.is_empty() {
                    let text = match response.other_failure.as_str() {
                        "" => format!("{:?}", response.failure()),
                        text => text.to_owned(),
                    };
                    return Err(fault(&text));
                }
                let key = signed_key(server, &response.pk, id)?;
                let is_local = matches!(response.union, Some(hbb::punch_hole_response::Union::IsLocal(true)));
                let limit = Duration::from_secs(if is_local { 1 } else { 6 });
                match server.dial(unmangle(&response.socket_addr), Some(from), limit) {
                    Ok(stream) => {
                        let way = if is_local { Way::Local } else { Way::Punched };
                        Ok((Self::open(Link::new(stream)?, key, true, options)?, way))
                    }
                    Err(_) => {
                        let (link, secure) = relay_by_us(server, id, &response.relay_server, key.is_some())?;
                        Ok((Self::open(link, key, secure, options)?, Way::RelayedByUs))
                    }
                }
            }
            Rendezvous::RelayResponse(response) => {
                let pk = match &response.union {
                    Some(hbb::relay_response::Union::Pk(pk)) => pk.clone(),
                    _ => vec![],
                };
                let key = signed_key(server, &pk, id)?;
                let link = join_relay(server, id, &response.relay_server, &response.uuid)?;
                Ok((Self::open(link, key, true, options)?, Way::RelayedByDevice))
            }
            other => Err(fault(&format!("unexpected answer of the server: {other:?}"))),
        }
    }

    /// Skips the direct way: asks for a relay at once, as after a failed punch.
    ///
    /// # Errors
    /// No relay.
    pub fn connect_by_relay(
        server: &Server,
        id: &str,
        relay: &str,
        key: Option<SignedKey>,
        options: Options,
    ) -> io::Result<Self> {
        let (link, secure) = relay_by_us(server, id, relay, key.is_some())?;
        let mut options = options;
        if options.username.is_empty() {
            options.username = id.into();
        }
        Self::open(link, key, secure, options)
    }

    fn open(link: Link, key: Option<SignedKey>, secure: bool, options: Options) -> io::Result<Self> {
        if !secure {
            return Ok(Self::over(link, options));
        }
        let mut options = options;
        if key.is_none() {
            // An app without a signed key does not encrypt (reference: network 9.5).
            options.answer = super::Answer::EmptyMessage;
        }
        Self::secure_over(link, key, options)
    }
}

fn signed_key(server: &Server, pk: &[u8], id: &str) -> io::Result<Option<SignedKey>> {
    let Some(server_key) = server.signing_key().filter(|_| !pk.is_empty()) else { return Ok(None) };
    let key = SignedKey::open(pk, &server_key)?;
    if key.id == id { Ok(Some(key)) } else { Err(fault(&format!("the server signed {}, not {id}", key.id))) }
}

/// RequestRelay to hbbs, RelayResponse back, then hbbr.
fn relay_by_us(server: &Server, id: &str, relay: &str, has_key: bool) -> io::Result<(Link, bool)> {
    let secure = server.secure.unwrap_or(has_key);
    let to = Server::resolve(&server.address, 21116)?;
    for _ in 0..3 {
        let uuid = Seed::from_system().next_uuid();
        let mut link = Link::new(server.dial(to, None, Duration::from_secs(18))?)?;
        link.send(&encode_rendezvous(Rendezvous::RequestRelay(hbb::RequestRelay {
            id: id.into(),
            uuid: uuid.clone(),
            relay_server: relay.into(),
            secure,
            licence_key: server.key.clone(),
            ..Default::default()
        })))?;
        let Some(payload) = link.receive(Duration::from_secs(18))? else { continue };
        let answer = decode_rendezvous(&payload).map_err(io::Error::other)?;
        match answer.union {
            Some(Rendezvous::RelayResponse(r)) if r.refuse_reason.is_empty() => {
                return Ok((join_relay(server, id, relay, &uuid)?, secure));
            }
            Some(Rendezvous::RelayResponse(r)) => return Err(fault(&r.refuse_reason)),
            other => return Err(fault(&format!("unexpected answer to a relay request: {other:?}"))),
        }
    }
    Err(fault("no answer to three relay requests"))
}

/// The first frame to hbbr; it answers nothing.
fn join_relay(server: &Server, id: &str, relay: &str, uuid: &str) -> io::Result<Link> {
    let to = Server::resolve(relay, 21117)?;
    let mut link = Link::new(server.dial(to, None, Duration::from_secs(18))?)?;
    link.send(&encode_rendezvous(Rendezvous::RequestRelay(hbb::RequestRelay {
        id: id.into(),
        uuid: uuid.into(),
        licence_key: server.key.clone(),
        ..Default::default()
    })))?;
    Ok(link)
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let mut out = vec![];
    let (mut value, mut bits) = (0u32, 0);
    for c in text.bytes().filter(|c| *c != b'=') {
        let digit = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        value = (value << 6) | u32::from(digit);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((value >> bits) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_key_is_thirty_two_bytes() {
        let server = Server::new("example", "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=");
        assert_eq!(server.signing_key().unwrap()[..4], [0x03, 0xa1, 0x07, 0xbf]);
        assert_eq!(Server::new("example", "mysecret").signing_key(), None);
    }
}
