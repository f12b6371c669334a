//! A TCP connection, the frame codec and the seal, blocking, with a limit for every read.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use kvmdesk::crypto::seal::{Opener, Sealer, SessionKey, TAG_LEN};
use kvmdesk::wire::frame::{self, FrameDecoder, MAX_PAYLOAD};

/// One connection as frames.
pub struct Link {
    stream: TcpStream,
    decoder: FrameDecoder,
    seal: Option<(Sealer, Opener)>,
}

impl Link {
    /// Connects within 20 s.
    ///
    /// # Errors
    /// No connection.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        Self::new(TcpStream::connect_timeout(&address, Duration::from_secs(20))?)
    }

    /// Takes over a connection.
    ///
    /// # Errors
    /// The socket refuses its options.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self { stream, decoder: FrameDecoder::new(MAX_PAYLOAD), seal: None })
    }

    /// Everything in both directions is sealed from now on.
    pub fn seal(&mut self, key: [u8; 32]) {
        let key = SessionKey::from_bytes(key);
        self.seal = Some((Sealer::new(key.clone()), Opener::new(key)));
    }

    /// Whether the connection is sealed.
    pub fn is_sealed(&self) -> bool {
        self.seal.is_some()
    }

    /// Our own address.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Sends one payload as a frame, sealed if it has to be.
    ///
    /// # Errors
    /// A broken connection.
    pub fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        let framed = match &mut self.seal {
            Some((sealer, _)) => {
                let mut buffer = vec![0; TAG_LEN];
                buffer.extend_from_slice(payload);
                sealer.seal_in_place(&mut buffer).map_err(io::Error::other)?;
                frame::encode(&buffer)
            }
            None => frame::encode(payload),
        };
        self.send_raw(&framed.map_err(io::Error::other)?)
    }

    /// Sends bytes as they are, without a frame.
    ///
    /// # Errors
    /// A broken connection.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next payload, opened; `None` if none came within `timeout`.
    ///
    /// # Errors
    /// `UnexpectedEof` at the end of the stream, a broken connection, or a frame that does not open.
    pub fn receive(&mut self, timeout: Duration) -> io::Result<Option<Vec<u8>>> {
        let until = Instant::now() + timeout;
        let mut piece = vec![0u8; 64 * 1024];
        loop {
            if let Some(mut payload) = self.decoder.take().map_err(io::Error::other)? {
                return match &mut self.seal {
                    Some((_, opener)) => {
                        let plain = opener.open_in_place(&mut payload).map_err(io::Error::other)?;
                        Ok(Some(plain.to_vec()))
                    }
                    None => Ok(Some(payload.to_vec())),
                };
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => self.decoder.feed(&piece[..n]),
                Err(e)
                    if matches!(
                        e.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
                    ) => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Ends the sending direction.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn shut_down(&mut self) -> io::Result<()> {
        self.stream.shutdown(std::net::Shutdown::Both)
    }
}
