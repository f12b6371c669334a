//! The listener of direct access and [`HalfOpen`], the count of connections whose controller has not logged in.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::wire::addr::{to_plain, to_plain_ip};

use super::stream::{Arrival, MessageStream, Route};

/// Connections in the kernel's queue.
const BACKLOG: i32 = 128;

/// Places for connections that have not logged in yet, in all and per address. Clones share the places.
#[derive(Debug, Clone)]
pub struct HalfOpen {
    shared: Arc<Mutex<HashMap<IpAddr, usize>>>,
    in_all: usize,
    per_address: usize,
}

impl HalfOpen {
    /// `in_all` places, of which one address gets at most `per_address`.
    pub fn new(in_all: usize, per_address: usize) -> Self {
        Self { shared: Arc::default(), in_all, per_address }
    }

    /// A place for `ip`, or `None` if it or everybody has too many. The place is free when the slot is dropped.
    pub fn admit(&self, ip: IpAddr) -> Option<HalfOpenSlot> {
        let ip = to_plain_ip(ip);
        let mut places = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let taken: usize = places.values().sum();
        let of_this = places.get(&ip).copied().unwrap_or(0);
        if taken >= self.in_all || of_this >= self.per_address {
            return None;
        }
        places.insert(ip, of_this + 1);
        drop(places);
        Some(HalfOpenSlot { owner: self.clone(), ip })
    }
}

impl Default for HalfOpen {
    /// 64 places, 8 for one address.
    fn default() -> Self {
        Self::new(64, 8)
    }
}

/// One taken place; dropping it frees it.
#[derive(Debug)]
pub struct HalfOpenSlot {
    owner: HalfOpen,
    ip: IpAddr,
}

impl Drop for HalfOpenSlot {
    fn drop(&mut self) {
        let mut places = self.owner.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = places.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                places.remove(&self.ip);
            }
        }
    }
}

/// Waits for controllers that dial our IP address (reference: network 8.1).
#[derive(Debug)]
pub struct DirectListener {
    listener: TcpListener,
    half_open: HalfOpen,
}

impl DirectListener {
    /// Listens on `address`; `[::]` takes IPv4 too. Needs a tokio runtime.
    ///
    /// # Errors
    /// The address is taken, not ours, or not permitted.
    pub fn bind(address: SocketAddr, half_open: HalfOpen) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if let SocketAddr::V6(v6) = address {
            socket.set_only_v6(!v6.ip().is_unspecified())?;
        }
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(Self { listener: TcpListener::from_std(socket.into())?, half_open })
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next controller. Connections over the limits are closed at once. Cancellation-safe.
    ///
    /// # Errors
    /// Out of file descriptors or memory: wait a little and call again.
    pub async fn accept(&self) -> io::Result<Arrival> {
        loop {
            let (socket, from) = match self.listener.accept().await {
                Ok(pair) => pair,
                Err(e) if is_of_one_connection(&e) => continue,
                Err(e) => return Err(e),
            };
            let controller = to_plain(from);
            let Some(slot) = self.half_open.admit(controller.ip()) else {
                tracing::debug!(%controller, "direct: too many connections without a login, closed");
                continue;
            };
            match MessageStream::from_tcp(socket) {
                Ok(stream) => {
                    let stream = stream.with_slot(slot);
                    return Ok(Arrival { stream, route: Route::Direct, is_secure: false, controller });
                }
                Err(e) => tracing::debug!(%controller, "direct: connection lost at once: {e}"),
            }
        }
    }
}

/// Errors that concern the connection that was to be accepted, not the listener (accept(2)).
pub(super) fn is_of_one_connection(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::TimedOut
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn both_families_on_the_wildcard_with_plain_addresses() {
        let Ok(listener) = DirectListener::bind("[::]:0".parse().unwrap(), HalfOpen::default()) else {
            eprintln!("skipped: no IPv6 on this machine");
            return;
        };
        let port = listener.local_addr().unwrap().port();
        let _socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let arrival = listener.accept().await.unwrap();
        assert_eq!(arrival.controller.ip(), IpAddr::from([127, 0, 0, 1]));
        assert_eq!((arrival.route, arrival.is_secure), (Route::Direct, false));
    }

    #[tokio::test]
    async fn connections_over_the_limit_are_closed_and_the_others_stay() {
        let listener = DirectListener::bind("127.0.0.1:0".parse().unwrap(), HalfOpen::new(10, 2)).unwrap();
        let address = listener.local_addr().unwrap();
        let mut dialled = vec![];
        for _ in 0..4 {
            dialled.push(TcpStream::connect(address).await.unwrap());
        }
        let first = listener.accept().await.unwrap();
        let _second = listener.accept().await.unwrap();
        // The third and fourth are refused while the listener looks for a next one.
        let next = tokio::spawn(async move { listener.accept().await });
        assert_eq!(dialled[2].read(&mut [0]).await.unwrap(), 0);
        assert_eq!(dialled[3].read(&mut [0]).await.unwrap(), 0);
        drop(first);
        let _fifth = TcpStream::connect(address).await.unwrap();
        assert!(next.await.unwrap().is_ok(), "a freed place is used again");
    }
}
