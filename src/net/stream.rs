//! [`MessageStream`]: a transport, the frame codec and the seal. (Contract; to be built.)

use std::net::SocketAddr;

use bytes::BytesMut;

use crate::crypto::seal::SessionKey;

/// How a controller reached us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route {
    /// By IP address.
    Direct,
    /// Punched through, or the same LAN.
    Punched,
    /// Through the relay.
    Relayed,
}

/// A connection that a controller made, ready for its session.
#[derive(Debug)]
pub struct Arrival {
    /// The connection.
    pub stream: MessageStream,
    /// How it came.
    pub route: Route,
    /// Whether the handshake starts with SignedId (false: `secure = false` in a relay request, or direct).
    pub is_secure: bool,
    /// The controller's address, as the ID server reported it for relays; limits and lists go by it.
    pub controller: SocketAddr,
}

/// A stream of messages over one connection: 12 s send limit, cancellation-safe reads, sealed in place.
#[derive(Debug)]
pub struct MessageStream {
    _private: (),
}

impl MessageStream {
    /// Splits into halves that two branches of a `select!` can use.
    pub fn split(self) -> (MessageReader, MessageWriter) {
        (MessageReader { _private: () }, MessageWriter { _private: () })
    }
}

/// The receiving half.
#[derive(Debug)]
pub struct MessageReader {
    _private: (),
}

/// The sending half.
#[derive(Debug)]
pub struct MessageWriter {
    _private: (),
}

impl MessageReader {
    /// The next payload, opened if sealed; `None` at the end of the stream. Cancellation-safe.
    ///
    /// # Errors
    /// A broken connection, a frame over the limit, or bytes that do not open (the connection must end).
    pub async fn next(&mut self) -> std::io::Result<Option<BytesMut>> {
        Ok(None)
    }

    /// Everything received from now on is sealed.
    pub fn seal(&mut self, _key: SessionKey) {}

    /// Changes the largest accepted payload, in bytes.
    pub fn set_limit(&mut self, _limit: usize) {}
}

impl MessageWriter {
    /// Sends one payload given in parts (joined in the wire buffer, sealed there in place).
    ///
    /// # Errors
    /// A broken connection, or one that took nothing for 12 s.
    pub async fn send(&mut self, _parts: &[&[u8]]) -> std::io::Result<()> {
        Ok(())
    }

    /// Everything sent from now on is sealed.
    pub fn seal(&mut self, _key: SessionKey) {}
}
