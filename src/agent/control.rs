//! The control socket: a Unix socket (0600) in the state directory, one JSON line a request, one an answer; a picture's
//! bytes follow its answer. The daemon serves it; the command line asks it.

use std::future::Future;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::pin::Pin;
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
/// Largest picture, in bytes; one of 3840x2160 pixels that does not compress has 25 million.
const MAX_PICTURE: u64 = 64 << 20;
/// How long a picture may take: a sleeping source wakes, a small board compresses.
const PICTURE_PATIENCE: Duration = Duration::from_secs(30);
/// Pictures made at once; others wait. Each takes the memory of the whole picture twice.
const MAX_PICTURES: usize = 1;

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
    /// What a display shows, asked for by [`ask_picture`].
    Snapshot {
        /// Which one, from 1.
        display: usize,
    },
    /// Wake the computer.
    Wake,
    /// Type some characters on the computer, or with none tell how far typing is.
    Type {
        /// The characters.
        text: String,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// To [`Request::Snapshot`]; the bytes of a PNG follow the line.
    Picture(Picture),
    /// It could not be done; a sentence for the user.
    Failed {
        /// The sentence.
        text: String,
    },
}

/// A display's picture as PNG.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// How many bytes follow.
    pub bytes: usize,
    /// The PNG itself; not part of the line.
    #[serde(skip)]
    pub png: Vec<u8>,
}

/// A picture that is being made, or a sentence about why there is none.
pub type PictureFuture = Pin<Box<dyn Future<Output = Result<Picture, String>> + Send>>;

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
    /// Answers one request; quick, does not wait. Never asked for [`Request::Snapshot`].
    fn answer(&self, request: Request) -> Answer;

    /// Makes a picture of a display, counted from 1.
    fn picture(&self, display: usize) -> PictureFuture;
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
    let pictures = Arc::new(Semaphore::new(MAX_PICTURES));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (host, pictures) = (Arc::clone(&host), Arc::clone(&pictures));
                tokio::spawn(async move {
                    let _place = place;
                    if let Err(error) = serve_one(stream, host, pictures).await {
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

async fn serve_one(
    stream: tokio::net::UnixStream,
    host: Arc<dyn ControlHost>,
    pictures: Arc<Semaphore>,
) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut reader = tokio::io::BufReader::new(read.take(MAX_REQUEST));
    tokio::time::timeout(PATIENCE, reader.read_line(&mut line)).await??;
    let (answer, patience) = match serde_json::from_str::<Request>(&line) {
        Ok(Request::Snapshot { display }) => {
            let making = async {
                let _one = pictures.acquire().await.map_err(|e| e.to_string())?;
                host.picture(display).await
            };
            let answer = match tokio::time::timeout(PICTURE_PATIENCE, making).await {
                Ok(Ok(picture)) => Answer::Picture(picture),
                Ok(Err(text)) => Answer::Failed { text },
                Err(_) => Answer::Failed { text: "the picture took too long; try again".to_owned() },
            };
            (answer, PICTURE_PATIENCE)
        }
        Ok(request) => (host.answer(request), PATIENCE),
        Err(error) => (Answer::Failed { text: format!("this is no request: {error}") }, PATIENCE),
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    if let Answer::Picture(picture) = answer {
        text.extend(picture.png);
    }
    tokio::time::timeout(patience, write.write_all(&text)).await?
}

/// Asks the daemon that runs on a state directory whose socket is `path`. Blocks for at most some seconds.
///
/// # Errors
/// [`AskError::NotRunning`] if nobody serves the socket.
pub fn ask(path: &Path, request: &Request) -> Result<Answer, AskError> {
    exchange(path, request, PATIENCE).map(|(answer, _)| answer)
}

/// Asks for a picture of a display, counted from 1; the sentence that was answered if there is none. Blocks for at
/// most a minute.
///
/// # Errors
/// As [`ask`]; also if what came is no whole picture.
pub fn ask_picture(path: &Path, display: usize) -> Result<Result<Picture, String>, AskError> {
    let failed = |error: io::Error| AskError::Io { path: path.to_owned(), error };
    // Made, then sent.
    let (answer, rest) = exchange(path, &Request::Snapshot { display }, PICTURE_PATIENCE + PATIENCE)?;
    match answer {
        Answer::Picture(mut picture) => {
            let length = picture.bytes as u64;
            if length > MAX_PICTURE {
                return Err(failed(io::Error::other("the picture is too large")));
            }
            rest.take(length).read_to_end(&mut picture.png).map_err(failed)?;
            if picture.png.len() != picture.bytes {
                return Err(failed(io::ErrorKind::UnexpectedEof.into()));
            }
            Ok(Ok(picture))
        }
        Answer::Failed { text } => Ok(Err(text)),
        Answer::Status(_) | Answer::Typing { .. } | Answer::Done { .. } | Answer::OneTimePassword { .. } => {
            Ok(Err("the daemon answered something else".to_owned()))
        }
    }
}

/// One request and its answer, and the stream behind the answer's line.
fn exchange(
    path: &Path,
    request: &Request,
    patience: Duration,
) -> Result<(Answer, BufReader<UnixStream>), AskError> {
    let failed = |error: io::Error| {
        if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
            AskError::NotRunning(path.parent().unwrap_or(path).to_owned())
        } else {
            AskError::Io { path: path.to_owned(), error }
        }
    };
    let talk = || {
        let mut stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        let mut text = serde_json::to_vec(request)?;
        text.push(b'\n');
        stream.write_all(&text)?;
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.by_ref().take(MAX_ANSWER).read_line(&mut line)?;
        Ok((serde_json::from_str(&line)?, reader))
    };
    talk().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo;
    impl ControlHost for Echo {
        fn answer(&self, request: Request) -> Answer {
            Answer::Done { text: format!("{request:?}") }
        }

        fn picture(&self, display: usize) -> PictureFuture {
            Box::pin(async move {
                if display > 2 {
                    return Err("no such display".to_owned());
                }
                let png = vec![display as u8; 5_000_000];
                Ok(Picture { width: 3, height: 4, bytes: png.len(), png })
            })
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
        let pictures =
            tokio::task::spawn_blocking(move || [1, 2, 3].map(|n| ask_picture(&asked, n).unwrap()));
        let [first, second, none] = pictures.await.unwrap();
        assert!(first.unwrap().png == [1; 5_000_000] && second.unwrap().png == [2; 5_000_000]);
        assert_eq!(none, Err("no such display".to_owned()));
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
