//! The UDP socket towards the ID server. It is not connected, so that a restarting server's ICMP errors do not end
//! it, and it stays the same socket for as long as the server is the same: the way back leads through its port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::UdpSocket;

/// Largest datagram that is read, in bytes; longer ones are cut and then do not parse.
pub const MAX_DATAGRAM: usize = 4096;

/// An unconnected socket of one address family.
#[derive(Debug)]
pub struct RegistrationSocket {
    socket: UdpSocket,
}

impl RegistrationSocket {
    /// A socket on a free port of the family of `server`.
    ///
    /// # Errors
    /// No such address family, or no sockets left.
    pub async fn bind_for(server: SocketAddr) -> io::Result<Self> {
        let ip = match server {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        Ok(Self { socket: UdpSocket::bind((ip, 0)).await? })
    }

    /// Sends one datagram. A network that is down or a server that is not there is a datagram lost, not an error.
    pub async fn send(&self, bytes: &[u8], to: SocketAddr) {
        if let Err(e) = self.socket.send_to(bytes, to).await {
            tracing::debug!(%to, "registration: datagram not sent: {e}");
        }
    }

    /// The next datagram and its sender. Cancellation-safe.
    ///
    /// # Errors
    /// The socket itself is unusable and must be replaced.
    pub async fn receive(&self, buffer: &mut [u8; MAX_DATAGRAM]) -> io::Result<(usize, SocketAddr)> {
        loop {
            match self.socket.recv_from(buffer).await {
                Err(e) if super::listener::is_of_one_connection(&e) => continue,
                other => return other,
            }
        }
    }

    /// The local address.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}
