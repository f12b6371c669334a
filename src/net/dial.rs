//! Outgoing connections (reference: network 4.1, 5.4, 6): to the ID server from an address that can be used again,
//! the knock that opens a NAT, the listener on exactly that address, and the relay.
//!
//! Guarantee: whoever is told an address of ours finds the listener there already. The official controlled side
//! answers first and listens afterwards, and loses that race on fast networks.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;

use crate::wire::endpoint::Endpoint;
use crate::wire::frame::{self, FrameDecoder, MAX_BEFORE_LOGIN};

use super::listener::is_of_one_connection;

/// Time for a connection to a server, and for a controller to come (reference: network 0.3).
pub const CONNECT_LIMIT: Duration = Duration::from_secs(18);
/// Time for the knock that opens the way through our NAT.
pub const KNOCK_LIMIT: Duration = Duration::from_millis(30);
/// Time for one address of a server to answer when the best of several is looked for.
const PROBE_LIMIT: Duration = Duration::from_secs(1);
/// Time for the server to take note of an answer and close.
const DRAIN_LIMIT: Duration = Duration::from_secs(3);
/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;
const BACKLOG: u32 = 128;

/// The addresses of `endpoint`, in the resolver's order, at least one.
///
/// # Errors
/// The name is unknown or the resolver does not answer.
pub async fn resolve(endpoint: &Endpoint) -> io::Result<Vec<SocketAddr>> {
    if let Some(address) = endpoint.literal() {
        return Ok(vec![address]);
    }
    let found =
        timeout(CONNECT_LIMIT, lookup_host((endpoint.host(), endpoint.port()))).await.map_err(late)??;
    let addresses: Vec<_> = found.take(MAX_ADDRESSES).collect();
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(addresses)
}

/// The address of the ID server: the first that takes a TCP connection within a second (a working address family),
/// else the first of all.
///
/// # Errors
/// The name does not resolve.
pub async fn resolve_server(endpoint: &Endpoint) -> io::Result<SocketAddr> {
    let addresses = resolve(endpoint).await?;
    if addresses.len() > 1 {
        for address in &addresses {
            if matches!(timeout(PROBE_LIMIT, TcpStream::connect(address)).await, Ok(Ok(_))) {
                return Ok(*address);
            }
        }
    }
    addresses.first().copied().ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn reusable(family_of: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if family_of.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Both, on every socket that shares the address, and before bind.
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    Ok(socket)
}

/// Connects to `to` from a fresh local port that others can share, or from exactly `from`.
async fn connect_reusable(
    from: Option<SocketAddr>,
    to: SocketAddr,
    limit: Duration,
) -> io::Result<TcpStream> {
    let socket = reusable(to)?;
    let wildcard = if to.is_ipv4() {
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
    } else {
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
    };
    socket.bind(from.unwrap_or(wildcard))?;
    let stream = timeout(limit, socket.connect(to)).await.map_err(late)??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn send_frame(stream: &mut TcpStream, payload: &[u8]) -> io::Result<()> {
    let bytes = frame::encode(payload).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    timeout(CONNECT_LIMIT, stream.write_all(&bytes)).await.map_err(late)?
}

/// One answer to the ID server over its own connection; returns once the server has closed or 3 s have passed.
async fn finish(mut stream: TcpStream) {
    let _ = stream.shutdown().await;
    // Unread bytes (a KeyExchange of some servers) would turn our close into a reset and could lose the answer.
    let mut sink = [0; 512];
    let _ =
        timeout(DRAIN_LIMIT, async { while matches!(stream.read(&mut sink).await, Ok(n) if n > 0) {} }).await;
}

/// Sends one unframed message to the ID server over a connection of its own.
///
/// # Errors
/// The server cannot be reached within 18 s.
pub async fn tell_server(server: SocketAddr, message: &[u8]) -> io::Result<()> {
    let mut stream = timeout(CONNECT_LIMIT, TcpStream::connect(server)).await.map_err(late)??;
    send_frame(&mut stream, message).await?;
    finish(stream).await;
    Ok(())
}

/// The answers to one request over two connections from one local port: to `server` and to the port below.
///
/// # Errors
/// A connection failed or stayed silent for 18 s.
pub async fn ask_twice(server: SocketAddr, request: &[u8]) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let below = server.port().checked_sub(1).filter(|p| *p > 0);
    let below = below.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no port below"))?;
    let mut first = connect_reusable(None, server, CONNECT_LIMIT).await?;
    let local = first.local_addr()?;
    let one = ask(&mut first, request).await?;
    let mut second =
        connect_reusable(Some(local), SocketAddr::new(server.ip(), below), CONNECT_LIMIT).await?;
    let two = ask(&mut second, request).await?;
    Ok((one, two))
}

async fn ask(stream: &mut TcpStream, request: &[u8]) -> io::Result<Vec<u8>> {
    send_frame(stream, request).await?;
    let mut decoder = FrameDecoder::new(MAX_BEFORE_LOGIN);
    timeout(CONNECT_LIMIT, next_frame(stream, &mut decoder)).await.map_err(late)?
}

/// The next whole payload. Can be dropped and called again.
async fn next_frame(stream: &mut TcpStream, decoder: &mut FrameDecoder) -> io::Result<Vec<u8>> {
    loop {
        if let Some(payload) = decoder.take().map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))? {
            return Ok(payload.to_vec());
        }
        if stream.read_buf(decoder.buffer_mut()).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The first payload that comes within `limit`, and nothing that follows.
///
/// # Errors
/// The other side closed, sent no frame, or was silent for too long.
pub async fn first_frame(mut stream: TcpStream, limit: Duration) -> io::Result<Vec<u8>> {
    let mut decoder = FrameDecoder::new(MAX_BEFORE_LOGIN);
    timeout(limit, next_frame(&mut stream, &mut decoder)).await.map_err(late)?
}

/// Asks the ID server over a connection of its own. The request is sent once for each of `waits`, until it is answered;
/// messages that `answer` makes nothing of are passed over.
///
/// # Errors
/// The server cannot be reached within 18 s, closed, or did not answer ([`io::ErrorKind::TimedOut`]).
pub async fn ask_server<T>(
    server: SocketAddr,
    request: &[u8],
    waits: &[Duration],
    answer: impl Fn(&[u8]) -> Option<T>,
) -> io::Result<T> {
    let mut stream = timeout(CONNECT_LIMIT, TcpStream::connect(server)).await.map_err(late)??;
    let mut decoder = FrameDecoder::new(MAX_BEFORE_LOGIN);
    for wait in waits {
        send_frame(&mut stream, request).await?;
        let answered = timeout(*wait, async {
            loop {
                if let Some(answer) = answer(&next_frame(&mut stream, &mut decoder).await?) {
                    return Ok(answer);
                }
            }
        });
        if let Ok(result) = answered.await {
            return result;
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// A connection to the ID server and a listener on exactly its local address. What is sent over it makes the
/// server (or we ourselves) name that address to the controller.
#[derive(Debug)]
pub struct AnswerPort {
    server: TcpStream,
    listener: TcpListener,
    local: SocketAddr,
}

impl AnswerPort {
    /// Connects to the server and listens.
    ///
    /// # Errors
    /// The server cannot be reached within 18 s, or the local address cannot be shared.
    pub async fn open(server: SocketAddr) -> io::Result<Self> {
        let server = connect_reusable(None, server, CONNECT_LIMIT).await?;
        let local = server.local_addr()?;
        let socket = reusable(local)?;
        socket.bind(local)?;
        let listener = socket.listen(BACKLOG)?;
        Ok(Self { server, listener, local })
    }

    /// The address that is listened on, never a wildcard.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Knocks at the controller from the shared address, so that NAT and firewall let its connection in. It is not
    /// expected to be answered.
    pub async fn knock(&self, controller: SocketAddr) {
        if controller.is_ipv4() == self.local.is_ipv4() {
            let _ = connect_reusable(Some(self.local), controller, KNOCK_LIMIT).await;
        }
    }

    /// Sends the answer and takes one connection within 18 s; listens no longer than that.
    ///
    /// # Errors
    /// The server went away, or nobody came ([`io::ErrorKind::TimedOut`]).
    pub async fn answer_and_accept(mut self, answer: &[u8]) -> io::Result<(TcpStream, SocketAddr)> {
        send_frame(&mut self.server, answer).await?;
        let mut closing = std::pin::pin!(finish(self.server));
        let listener = self.listener;
        let accepted = async {
            loop {
                match listener.accept().await {
                    Err(e) if is_of_one_connection(&e) => {}
                    other => return other,
                }
            }
        };
        let mut accepted = std::pin::pin!(timeout(CONNECT_LIMIT, accepted));
        let mut is_closed = false;
        loop {
            tokio::select! {
                result = &mut accepted => return result.map_err(late)?,
                () = &mut closing, if !is_closed => is_closed = true,
            }
        }
    }
}

/// Connects to the relay and sends the request that names the meeting. The relay never answers: the session's
/// first message can follow at once.
///
/// # Errors
/// No address of the relay takes a connection within 18 s.
pub async fn meet_at_relay(relay: &Endpoint, request: &[u8]) -> io::Result<TcpStream> {
    timeout(CONNECT_LIMIT, async {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in resolve(relay).await? {
            match TcpStream::connect(address).await {
                Ok(mut stream) => {
                    stream.set_nodelay(true)?;
                    send_frame(&mut stream, request).await?;
                    return Ok(stream);
                }
                Err(e) => last = e,
            }
        }
        Err(last)
    })
    .await
    .map_err(late)?
}

fn late(_: tokio::time::error::Elapsed) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_controller_that_dials_at_once_is_never_refused() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        for _ in 0..50 {
            let dialled = tokio::spawn(async move {
                let port = AnswerPort::open(address).await?;
                port.knock("127.0.0.1:9".parse().unwrap()).await;
                port.answer_and_accept(b"here").await
            });
            let (mut socket, from) = server.accept().await.unwrap();
            let mut bytes = [0; 5];
            socket.read_exact(&mut bytes).await.unwrap();
            assert_eq!(&bytes, b"\x10here");
            let mut controller =
                TcpStream::connect(from).await.expect("the listener is ready before the answer");
            let (mut accepted, _) = dialled.await.unwrap().unwrap();
            accepted.write_all(b"hi").await.unwrap();
            let mut got = [0; 2];
            controller.read_exact(&mut got).await.unwrap();
            assert!(TcpStream::connect(from).await.is_err(), "one connection only");
        }
    }

    #[tokio::test]
    async fn two_answers_from_one_port() {
        let (one, two) = loop {
            let one = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let below = one.local_addr().unwrap().port() - 1;
            if let Ok(two) = TcpListener::bind(("127.0.0.1", below)).await {
                break (one, two);
            }
        };
        let address = one.local_addr().unwrap();
        let serve = async |listener: TcpListener| {
            let (mut socket, from) = listener.accept().await.unwrap();
            let mut bytes = [0; 3];
            socket.read_exact(&mut bytes).await.unwrap();
            socket.write_all(&frame::encode(from.port().to_string().as_bytes()).unwrap()).await.unwrap();
            from.port().to_string().into_bytes()
        };
        let (answers, a, b) = tokio::join!(ask_twice(address, b"hi"), serve(one), serve(two));
        assert_eq!(a, b, "the same local port");
        assert_eq!(answers.unwrap(), (a, b));
    }
}
