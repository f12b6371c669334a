//! LAN discovery's question and answer (reference: network 8.2) as a neutral pair, so that `net` needs no
//! generated type.

use super::message::{decode_rendezvous, encode_rendezvous, hbb};

/// What a `pong` tells the asker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pong {
    /// Our ID.
    pub id: String,
    /// MAC address of the interface that routes to the asker, lower-case hex with colons, empty if unknown.
    pub mac: String,
    /// Host name shown in the app.
    pub hostname: String,
    /// User name shown in the app.
    pub username: String,
    /// Platform text (`Windows`, `Linux`, …) that picks the icon.
    pub platform: String,
}

#[allow(clippy::wildcard_enum_match_arm, reason = "the union has one arm we know here")]
/// The asker's ID (desktop apps leave it empty) if the datagram is a `ping`, else `None`.
pub fn parse_ping(datagram: &[u8]) -> Option<String> {
    match decode_rendezvous(datagram).ok()?.union? {
        hbb::rendezvous_message::Union::PeerDiscovery(d) if d.cmd == "ping" => Some(d.id),
        _ => None,
    }
}

/// The answering datagram.
pub fn encode_pong(pong: &Pong) -> Vec<u8> {
    encode_rendezvous(hbb::rendezvous_message::Union::PeerDiscovery(hbb::PeerDiscovery {
        cmd: "pong".into(),
        mac: pong.mac.clone(),
        id: pong.id.clone(),
        username: pong.username.clone(),
        hostname: pong.hostname.clone(),
        platform: pong.platform.clone(),
        misc: String::new(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minimal_ping() {
        assert_eq!(parse_ping(b"\xb2\x01\x06\x0a\x04ping"), Some(String::new()));
        assert_eq!(parse_ping(b"\xb2\x01\x06\x0a\x04pong"), None);
        assert_eq!(parse_ping(&[0xff; 9]), None);
    }
}
