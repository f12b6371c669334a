//! Serves the metrics by HTTP, on a TCP address or a Unix socket: one GET a connection, few at once, none for long. A
//! listener that cannot be opened now is tried again, and said in words.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::config::settings::metrics::MetricsAddress;

use super::answers::Answers;
use super::direct_task::RETRY;
use super::metrics;

/// Longest head of a request, in bytes.
const MAX_HEAD: usize = 4096;
/// Connections served at once; others wait in the kernel's queue.
const MAX_CLIENTS: usize = 8;
/// How long one connection may take, slow readers and writers included.
const PATIENCE: Duration = Duration::from_secs(5);

/// How it stands with the listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsState {
    /// What it listens on, or should.
    pub address: MetricsAddress,
    /// Whether it is open.
    pub is_open: bool,
    /// A sentence for users while it is not.
    pub message: String,
}

impl MetricsState {
    /// The state before the first attempt.
    pub fn starting(address: &MetricsAddress) -> Self {
        Self {
            address: address.clone(),
            is_open: false,
            message: format!("Opening the metrics on {address}."),
        }
    }
}

/// Serves until `shutdown` is true.
pub async fn run(
    address: MetricsAddress,
    answers: Arc<Answers>,
    state: watch::Sender<MetricsState>,
    mut shutdown: watch::Receiver<bool>,
) {
    tokio::select! {
        () = keep_open(&address, &answers, &state) => {}
        _ = shutdown.wait_for(|s| *s) => {}
    }
    if let MetricsAddress::Unix(path) = &address
        && state.borrow().is_open
    {
        let _ = std::fs::remove_file(path);
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    async fn bind(address: &MetricsAddress) -> io::Result<(Self, MetricsAddress)> {
        match address {
            MetricsAddress::Tcp(address) => {
                let listener = TcpListener::bind(address).await?;
                let address = MetricsAddress::Tcp(listener.local_addr()?);
                Ok((Self::Tcp(listener), address))
            }
            MetricsAddress::Unix(path) => {
                remove_leftover(path)?;
                let listener = UnixListener::bind(path)?;
                // The collector is mostly another user, of our group.
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
                Ok((Self::Unix(listener), address.clone()))
            }
        }
    }
}

/// Removes a socket that nobody serves any more, and nothing else.
fn remove_leftover(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(meta) if !meta.file_type().is_socket() => {
            Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something else of that name"))
        }
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
            Err(_) => std::fs::remove_file(path),
        },
    }
}

async fn keep_open(address: &MetricsAddress, answers: &Arc<Answers>, state: &watch::Sender<MetricsState>) {
    loop {
        match Listener::bind(address).await {
            Ok((listener, address)) => {
                tracing::info!(%address, "metrics are served");
                state.send_replace(MetricsState { address, is_open: true, message: String::new() });
                serve(&listener, answers).await;
            }
            Err(error) => {
                let message = format!(
                    "The metrics cannot be served on {address}: {error}. Choose another address in [metrics], or stop the \
                     program that uses it; trying again every {} s.",
                    RETRY.as_secs()
                );
                if state.borrow().message != message {
                    tracing::warn!("{message}");
                }
                state.send_replace(MetricsState { address: address.clone(), is_open: false, message });
                sleep(RETRY).await;
            }
        }
    }
}

/// Never ends.
async fn serve(listener: &Listener, answers: &Arc<Answers>) {
    enum Stream {
        Tcp(TcpStream),
        Unix(UnixStream),
    }
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    // Ends with us, so that a listener that is closed serves nobody any more.
    let mut clients = JoinSet::new();
    loop {
        while clients.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = match listener {
            Listener::Tcp(listener) => listener.accept().await.map(|(stream, _)| Stream::Tcp(stream)),
            Listener::Unix(listener) => listener.accept().await.map(|(stream, _)| Stream::Unix(stream)),
        };
        match accepted {
            Ok(stream) => {
                let answers = Arc::clone(answers);
                clients.spawn(async move {
                    let served = match stream {
                        Stream::Tcp(stream) => timeout(PATIENCE, answer(stream, &answers)).await,
                        Stream::Unix(stream) => timeout(PATIENCE, answer(stream, &answers)).await,
                    };
                    if !matches!(served, Ok(Ok(()))) {
                        tracing::debug!(?served, "a request for metrics was not served");
                    }
                    drop(place);
                });
            }
            // Out of descriptors: a session that ends frees some.
            Err(error) => {
                tracing::warn!(%error, "metrics: cannot accept");
                sleep(Duration::from_millis(500)).await;
            }
        }
    }
}

/// Reads the head of one request and answers it.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, answers: &Answers) -> io::Result<()> {
    let mut head = Vec::with_capacity(MAX_HEAD);
    let is_whole = |head: &[u8]| {
        head.windows(4).any(|end| end == b"\r\n\r\n") || head.windows(2).any(|end| end == b"\n\n")
    };
    while !is_whole(&head) {
        let room = MAX_HEAD - head.len();
        if room == 0 {
            return reply(&mut stream, "431 Request Header Fields Too Large", "too long\n").await;
        }
        if (&mut stream).take(room as u64).read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let line = head.split(|b| *b == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match (method, path.split('?').next().unwrap_or_default()) {
        ("GET", "/metrics") => reply(&mut stream, "200 OK", &metrics::render(&answers.status())).await,
        ("GET", _) => reply(&mut stream, "404 Not Found", "the metrics are at /metrics\n").await,
        _ => reply(&mut stream, "405 Method Not Allowed", "only GET\n").await,
    }
}

async fn reply(stream: &mut (impl AsyncWrite + Unpin), status: &str, body: &str) -> io::Result<()> {
    let (kind, length) = (metrics::CONTENT_TYPE, body.len());
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}
