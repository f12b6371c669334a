//! The control socket: a Unix socket (0600) in the state directory, one JSON line a request, one an answer. The
//! daemon serves it; the command line asks it.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::sync::Semaphore;

use super::status::Status;

/// Longest request, in bytes.
const MAX_REQUEST: u64 = 4096;
/// Longest answer, in bytes.
const MAX_ANSWER: u64 = 4 << 20;
/// Requests served at once.
const MAX_CLIENTS: usize = 16;
/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(5);

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// The snapshot.
    Status,
    /// End one session.
    EndSession {
        /// Its number.
        session: u64,
    },
    /// Clear the locks after wrong passwords.
    Unlock,
    /// The password file changed: take it, end the sessions that used another one.
    ReloadPassword,
    /// The one-time password.
    OneTimePassword,
    /// Type some characters on the computer, or with none tell how far typing is.
    Type {
        /// The characters.
        text: String,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// Done; a sentence for the user.
    Done {
        /// The sentence.
        text: String,
    },
    /// To [`Request::OneTimePassword`]; `None` while a permanent password is set.
    OneTimePassword {
        /// The password.
        password: Option<String>,
    },
    /// To [`Request::Type`].
    Typing {
        /// Bytes of text that are not typed to their end.
        waiting: usize,
        /// How often a text ended early since the start.
        cuts: usize,
        /// The characters of this request that nothing types.
        left_out: String,
    },
    /// It could not be done; a sentence for the user.
    Failed {
        /// The sentence.
        text: String,
    },
}

/// Why nothing was answered.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody serves the socket.
    #[error("kvmdesk is not running on {0}; start it, or name its state directory with --state-dir")]
    NotRunning(std::path::PathBuf),
    /// The socket is there but refuses.
    #[error("cannot ask the running kvmdesk by {path}: {error}")]
    Io {
        /// The socket.
        path: std::path::PathBuf,
        /// The system's words.
        error: io::Error,
    },
}

/// Who answers.
pub trait ControlHost: Send + Sync + 'static {
    /// Answers one request; quick, does not wait.
    fn answer(&self, request: Request) -> Answer;
}

/// Binds the socket. The caller holds the state directory's lock, so a socket that is there is a leftover.
///
/// # Errors
/// The path cannot be bound, for instance because it is longer than a Unix socket's may be (107 bytes).
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves the socket until the future is dropped.
pub async fn serve(listener: UnixListener, host: Arc<dyn ControlHost>) {
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let host = Arc::clone(&host);
                tokio::spawn(async move {
                    let _place = place;
                    if let Ok(Err(error)) = tokio::time::timeout(PATIENCE, serve_one(stream, host)).await {
                        tracing::debug!(%error, "control request failed");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "control socket: cannot accept");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn serve_one(stream: tokio::net::UnixStream, host: Arc<dyn ControlHost>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    tokio::io::BufReader::new(read.take(MAX_REQUEST)).read_line(&mut line).await?;
    let answer = match serde_json::from_str::<Request>(&line) {
        Ok(request) => host.answer(request),
        Err(error) => Answer::Failed { text: format!("this is no request: {error}") },
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    write.write_all(&text).await
}

/// Asks the daemon that runs on a state directory whose socket is `path`. Blocks for at most some seconds.
///
/// # Errors
/// [`AskError::NotRunning`] if nobody serves the socket.
pub fn ask(path: &Path, request: &Request) -> Result<Answer, AskError> {
    let failed = |error: io::Error| {
        if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
            AskError::NotRunning(path.parent().unwrap_or(path).to_owned())
        } else {
            AskError::Io { path: path.to_owned(), error }
        }
    };
    let exchange = || -> io::Result<Answer> {
        let mut stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut text = serde_json::to_vec(request)?;
        text.push(b'\n');
        stream.write_all(&text)?;
        let mut line = String::new();
        BufReader::new(stream.take(MAX_ANSWER)).read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    };
    exchange().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo;
    impl ControlHost for Echo {
        fn answer(&self, request: Request) -> Answer {
            Answer::Done { text: format!("{request:?}") }
        }
    }

    #[tokio::test]
    async fn asked_and_answered() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        assert!(matches!(ask(&path, &Request::Status), Err(AskError::NotRunning(_))));
        let listener = bind(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let server = tokio::spawn(serve(listener, Arc::new(Echo)));
        let asked = path.clone();
        let answer = tokio::task::spawn_blocking(move || ask(&asked, &Request::EndSession { session: 7 }))
            .await
            .unwrap();
        assert_eq!(answer.unwrap(), Answer::Done { text: "EndSession { session: 7 }".into() });
        let asked = path.clone();
        let garbage = tokio::task::spawn_blocking(move || {
            let mut stream = UnixStream::connect(asked).unwrap();
            stream.write_all(&[b'x'; 5000]).unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).map(|_| text)
        });
        // A reset after the answer is as good: more was sent than is read.
        if let Ok(text) = garbage.await.unwrap() {
            assert!(text.contains("this is no request"), "{text}");
        }
        server.abort();
        let _ = server.await;
        assert!(matches!(ask(&path, &Request::Status), Err(AskError::NotRunning(_))), "a leftover socket");
        bind(&path).unwrap();
    }
}
