//! [`MessageStream`]: a transport, the frame codec and the seal. The reader keeps partial frames, so that it can
//! be polled in a `select!`; the writer joins, seals and sends from one pooled buffer. Any pair of byte streams
//! can be the transport (TCP now, others later).

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::crypto::seal::{Opener, Sealer, SessionKey, TAG_LEN};
use crate::wire::frame::{FrameDecoder, MAX_BEFORE_LOGIN, MAX_HEAD, encode_head};

use super::listener::HalfOpenSlot;

/// A connection that takes nothing for this long is broken (reference: network 10.7).
pub const SEND_LIMIT: Duration = Duration::from_secs(12);
/// Longest time one payload may take in all, however slowly it flows.
const SEND_LIMIT_IN_ALL: Duration = Duration::from_secs(60);
/// The kernel takes no more as long as so many bytes wait for their turn in it, in bytes: what waits here instead can
/// still be replaced by something newer.
const UNSENT: u32 = 32 * 1024;
/// Bytes read at a time.
const READ_CHUNK: usize = 16 * 1024;
/// A wire buffer that a large payload made bigger than this is given back.
const KEPT_BUFFER: usize = 1024 * 1024;
/// Room in front of the payload for head and tag.
const HEAD_ROOM: usize = MAX_HEAD + TAG_LEN;

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
    reader: MessageReader,
    writer: MessageWriter,
}

impl MessageStream {
    /// A stream over a connected TCP socket, with small segments sent at once.
    ///
    /// # Errors
    /// The socket is already dead.
    pub fn from_tcp(socket: TcpStream) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        // Old kernels do without: the line is measured end to end anyway.
        if let Err(error) = socket2::SockRef::from(&socket).set_tcp_notsent_lowat(UNSENT) {
            tracing::debug!(%error, "the kernel does not bound what it takes before its turn");
        }
        let (read, write) = socket.into_split();
        Ok(Self::from_halves(Box::new(read), Box::new(write)))
    }

    /// A stream over anything that is read and written (a pipe in tests, a tunnel).
    pub fn from_io<T: AsyncRead + AsyncWrite + Send + 'static>(io: T) -> Self {
        let (read, write) = tokio::io::split(io);
        Self::from_halves(Box::new(read), Box::new(write))
    }

    /// A stream over two halves that belong together.
    pub fn from_halves(
        read: Box<dyn AsyncRead + Send + Unpin>,
        write: Box<dyn AsyncWrite + Send + Unpin>,
    ) -> Self {
        let decoder = FrameDecoder::new(MAX_BEFORE_LOGIN);
        Self {
            reader: MessageReader { io: read, decoder, opener: None, half_open: None },
            writer: MessageWriter {
                io: write,
                buffer: WireBuffer::default(),
                sealer: None,
                is_mid_frame: false,
            },
        }
    }

    /// Ties a place among the half-open connections to this stream: it is free again once the limit is raised
    /// after login, or the reader is gone.
    pub fn with_slot(mut self, slot: HalfOpenSlot) -> Self {
        self.reader.half_open = Some(slot);
        self
    }

    /// Splits into halves that two branches of a `select!` can use.
    pub fn split(self) -> (MessageReader, MessageWriter) {
        (self.reader, self.writer)
    }
}

/// The receiving half.
pub struct MessageReader {
    io: Box<dyn AsyncRead + Send + Unpin>,
    decoder: FrameDecoder,
    opener: Option<Opener>,
    half_open: Option<HalfOpenSlot>,
}

/// The sending half.
pub struct MessageWriter {
    io: Box<dyn AsyncWrite + Send + Unpin>,
    buffer: WireBuffer,
    sealer: Option<Sealer>,
    is_mid_frame: bool,
}

impl MessageReader {
    /// The next payload, opened if sealed; `None` at the end of the stream. Cancellation-safe.
    ///
    /// # Errors
    /// A broken connection, a frame over the limit, or bytes that do not open (the connection must end).
    pub async fn next(&mut self) -> io::Result<Option<BytesMut>> {
        loop {
            if let Some(mut payload) = self.decoder.take().map_err(invalid)? {
                if let Some(opener) = &mut self.opener {
                    let sealed_len = payload.len();
                    let open_len = opener.open_in_place(&mut payload).map_err(invalid)?.len();
                    payload.advance(sealed_len - open_len);
                }
                return Ok(Some(payload));
            }
            let buffer = self.decoder.buffer_mut();
            if buffer.capacity() - buffer.len() < READ_CHUNK / 4 {
                buffer.reserve(READ_CHUNK);
            }
            if self.io.read_buf(buffer).await? == 0 {
                return if buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended within a frame"))
                };
            }
        }
    }

    /// Everything received from now on is sealed.
    pub fn seal(&mut self, key: SessionKey) {
        self.opener = Some(Opener::new(key));
    }

    /// Changes the largest accepted payload, in bytes. Raising it above
    /// [`MAX_BEFORE_LOGIN`] says that the controller is in: the connection no longer counts as half-open.
    pub fn set_limit(&mut self, limit: usize) {
        self.decoder.set_limit(limit);
        if limit > MAX_BEFORE_LOGIN {
            self.half_open = None;
        }
    }
}

impl MessageWriter {
    /// Sends one payload given in parts (joined in the wire buffer, sealed there in place). Not cancellation-safe:
    /// after a send that was dropped half-way, every further one fails.
    ///
    /// # Errors
    /// A broken connection, or one that took nothing for 12 s.
    pub async fn send(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        self.send_both(parts, None).await
    }

    /// As [`MessageWriter::send`], with a second payload that goes out in the same segments: a small message that
    /// follows a large one then costs no packet of its own.
    ///
    /// # Errors
    /// A broken connection, or one that took nothing for 12 s.
    pub async fn send_both(&mut self, parts: &[&[u8]], next: Option<&[u8]>) -> io::Result<()> {
        if self.is_mid_frame {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "an earlier message was cut off"));
        }
        let start = self.buffer.build(parts, self.sealer.as_mut())?;
        if let Some(next) = next {
            self.buffer.append(next, self.sealer.as_mut())?;
        }
        let mut frame = self.buffer.bytes.get(start..).unwrap_or_default();
        self.is_mid_frame = true;
        let io = &mut self.io;
        timeout(SEND_LIMIT_IN_ALL, async {
            while !frame.is_empty() {
                let taken = timeout(SEND_LIMIT, io.write(frame)).await.map_err(|_| stalled())??;
                if taken == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                frame = &frame[taken..];
            }
            timeout(SEND_LIMIT, io.flush()).await.map_err(|_| stalled())?
        })
        .await
        .map_err(|_| stalled())??;
        self.is_mid_frame = false;
        self.buffer.give_back();
        Ok(())
    }

    /// Everything sent from now on is sealed.
    pub fn seal(&mut self, key: SessionKey) {
        self.sealer = Some(Sealer::new(key));
    }

    /// Tells the other side that nothing more comes.
    ///
    /// # Errors
    /// The connection is already gone, or takes nothing for 12 s.
    pub async fn close(&mut self) -> io::Result<()> {
        timeout(SEND_LIMIT, self.io.shutdown()).await.map_err(|_| stalled())?
    }
}

/// The buffer in which a frame is made: head room, then the parts, sealed in place. Used again for each frame.
#[derive(Debug, Default)]
pub struct WireBuffer {
    bytes: Vec<u8>,
}

impl WireBuffer {
    /// Joins `parts` to one payload, seals it if there is a sealer, and puts the head in front of it.
    ///
    /// # Errors
    /// A payload of a GiB or more; nothing is counted by the sealer then.
    pub fn frame(&mut self, parts: &[&[u8]], sealer: Option<&mut Sealer>) -> io::Result<&[u8]> {
        let start = self.build(parts, sealer)?;
        Ok(self.bytes.get(start..).unwrap_or_default())
    }

    /// Adds a small payload behind what is there, as a frame of its own.
    fn append(&mut self, payload: &[u8], sealer: Option<&mut Sealer>) -> io::Result<()> {
        let mut next = Self::default();
        let frame = next.frame(&[payload], sealer)?;
        self.bytes.extend_from_slice(frame);
        Ok(())
    }

    /// Makes a frame; gives where it begins.
    fn build(&mut self, parts: &[&[u8]], sealer: Option<&mut Sealer>) -> io::Result<usize> {
        let len: usize = parts.iter().map(|p| p.len()).sum();
        let tag = if sealer.is_some() { TAG_LEN } else { 0 };
        let (head, head_len) = encode_head(len + tag).map_err(invalid)?;
        self.bytes.clear();
        self.bytes.reserve(HEAD_ROOM + len);
        self.bytes.extend_from_slice(&[0; HEAD_ROOM]);
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        let payload = HEAD_ROOM - tag;
        if let Some(sealer) = sealer {
            sealer.seal_in_place(&mut self.bytes[payload..]).map_err(invalid)?;
        }
        let start = payload - head_len;
        self.bytes[start..payload].copy_from_slice(&head[..head_len]);
        Ok(start)
    }

    fn give_back(&mut self) {
        if self.bytes.capacity() > KEPT_BUFFER {
            self.bytes = Vec::new();
        }
    }
}

fn invalid(e: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, e)
}

fn stalled() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the other side took no data for too long")
}

impl fmt::Debug for MessageReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageReader").field("is_sealed", &self.opener.is_some()).finish_non_exhaustive()
    }
}

impl fmt::Debug for MessageWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageWriter").field("is_sealed", &self.sealer.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
