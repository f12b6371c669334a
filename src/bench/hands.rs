//! How long a key takes through a real session: from its sealed bytes, just read from the socket, until the keyboard
//! report is written by the writer thread, which sleeps till then; against a byte through a pipe to a thread that waits
//! for it. The whole way, from the controller's write into its socket, is told as well, and how it is where idle cores halt.
#![allow(clippy::disallowed_methods, reason = "an edge: measuring is reading clocks")]

use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use serde::Serialize;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::awake::Awake;
use super::clock::percentile;
use crate::crypto::identity::IdentityKeyPair;
use crate::crypto::seal::{Opener, Sealer, SessionKey};
use crate::hid::backend::{HidBackend, HidDevice, WriteOutcome};
use crate::hid::writer::{HidSettings, HidWriter};
use crate::input::event::{InputEvent, LedState};
use crate::media::capture::{FramePair, Source, SourceEvent, SourceState};
use crate::media::encode::encoders::{Encoders, openh264};
use crate::media::pipeline::Pipeline;
use crate::media::wake::WakeReceiver;
use crate::net::stream::{Arrival, MessageStream, Route, WireBuffer};
use crate::peer::gate::{LoginAttempt, Verdict};
use crate::peer::machine::{
    AnnouncedPlatform, BadLink, CloseReason, KeyboardSettings, LocalPointer, PeerSettings, TargetOs,
};
use crate::peer::script;
use crate::session::driver::{self, Display, SessionHost};
use crate::video::format::Resolution;
use crate::video::signal::SignalState;
use crate::wire::frame::{FrameDecoder, MAX_AFTER_LOGIN};

/// Between two messages: everybody sleeps by then.
const PAUSE: Duration = Duration::from_millis(1);
/// Rounds that are left out.
const WARM_UP: usize = 20;
/// What does not come for this long will not come.
const PATIENCE: Duration = Duration::from_secs(20);
const ID: &str = "123456789";
const IDENTITY: [u8; 32] = [1; 32];
const KEY: [u8; 32] = [9; 32];
/// The key A, as Windows numbers it, and its keyboard reports down and up.
const CODE: u32 = 0x1E;
const REPORTS: [[u8; 8]; 2] = [[0, 0, 4, 0, 0, 0, 0, 0], [0; 8]];

/// Microseconds of a key and of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Hands {
    /// From the message's sealed bytes, read from the socket, until its report was written: median.
    pub p50_us: f64,
    /// The same, 99 of 100.
    pub p99_us: f64,
    /// From the controller's write into its socket until the report was written: median.
    pub whole_p50_us: f64,
    /// The same, 99 of 100.
    pub whole_p99_us: f64,
    /// From a byte's write into a pipe until the thread that waited has it: median.
    pub pipe_p50_us: f64,
    /// The same, 99 of 100.
    pub pipe_p99_us: f64,
    /// Median of the key / median of the pipe.
    pub ratio: f64,
    /// The same where cores that have nothing to do halt.
    pub halting_ratio: f64,
    /// The key's 99 of 100 / its median.
    pub spread: f64,
    /// Messages that were measured, and as many bytes.
    pub rounds: usize,
}

/// Measures `rounds` key messages and as many bytes in a pipe, in turns, with the cores awake; then as many with cores that
/// may halt.
///
/// # Errors
/// A sentence.
pub fn hands(rounds: usize) -> Result<Hands, String> {
    let mut session = Session::open()?;
    let mut pipe = Waiter::start()?;
    let awake = Awake::keep().map_err(|error| format!("the cores cannot be kept awake: {error}"))?;
    let mut hands = measure(&mut session, &mut pipe, rounds)?;
    drop(awake);
    hands.halting_ratio = measure(&mut session, &mut pipe, rounds)?.ratio;
    session.close();
    Ok(hands)
}

fn measure(session: &mut Session, pipe: &mut Waiter, rounds: usize) -> Result<Hands, String> {
    let [mut keys, mut whole, mut bytes] = [0; 3].map(|_| Vec::with_capacity(rounds));
    for round in 0..rounds + WARM_UP {
        // Who comes first changes every second round, because every second one is a release.
        let is_key_first = round % 4 < 2;
        let mut key = None;
        if is_key_first {
            key = Some(session.round(round)?);
        }
        let byte = pipe.round()?;
        let key = key.map_or_else(|| session.round(round), Ok)?;
        if round >= WARM_UP {
            keys.push(key.in_session.as_secs_f64() * 1e6);
            whole.push(key.whole.as_secs_f64() * 1e6);
            bytes.push(byte.as_secs_f64() * 1e6);
        }
    }
    let both = |times: &[f64]| [0.5, 0.99].map(|part| percentile(times.to_vec(), part));
    let [p50_us, p99_us] = both(&keys);
    let [whole_p50_us, whole_p99_us] = both(&whole);
    let [pipe_p50_us, pipe_p99_us] = both(&bytes);
    let (ratio, spread) = (p50_us / pipe_p50_us, p99_us / p50_us);
    let halting_ratio = ratio;
    Ok(Hands {
        p50_us,
        p99_us,
        whole_p50_us,
        whole_p99_us,
        pipe_p50_us,
        pipe_p99_us,
        ratio,
        halting_ratio,
        spread,
        rounds,
    })
}

/// A thread that waits for a byte.
struct Waiter {
    pipe: PipeWriter,
    taken: mpsc::Receiver<Instant>,
}

impl Waiter {
    fn start() -> Result<Self, String> {
        let broken = |error: std::io::Error| format!("no pipe to compare with: {error}");
        let (mut reader, pipe) = std::io::pipe().map_err(broken)?;
        let (tell, taken) = mpsc::channel();
        // Ends with the pipe.
        std::thread::Builder::new()
            .name("bench-waiter".to_owned())
            .spawn(move || while reader.read_exact(&mut [0]).is_ok() && tell.send(Instant::now()).is_ok() {})
            .map_err(broken)?;
        Ok(Self { pipe, taken })
    }

    fn round(&mut self) -> Result<Duration, String> {
        std::thread::sleep(PAUSE);
        let started = Instant::now();
        self.pipe.write_all(&[1]).map_err(|error| format!("the pipe failed: {error}"))?;
        let at = self.taken.recv_timeout(PATIENCE).map_err(|_| "the pipe's reader took nothing")?;
        Ok(at.saturating_duration_since(started))
    }
}

/// What one key took.
struct Taken {
    in_session: Duration,
    whole: Duration,
}

/// The session's side of its socket; notes when bytes were read.
struct Line {
    socket: OwnedReadHalf,
    read_at: Arc<Mutex<Instant>>,
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let read = Pin::new(&mut self.socket).poll_read(context, buffer);
        if read.is_ready() {
            *self.read_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
        read
    }
}

/// A keyboard that notes when a report was written into a pipe.
struct Noting {
    node: PipeWriter,
    written: mpsc::Sender<Instant>,
}

impl HidBackend for Noting {
    fn write(&mut self, device: HidDevice, report: &[u8]) -> std::io::Result<WriteOutcome> {
        if device == HidDevice::Keyboard {
            self.node.write_all(report)?;
            // Nobody listens any more when the session is closed.
            let _ = self.written.send(Instant::now());
        }
        Ok(WriteOutcome::Written)
    }

    fn reopen(&mut self) -> std::io::Result<()> {
        Ok(())
    }

    fn poll_leds(&mut self) -> Option<LedState> {
        None
    }

    fn name(&self) -> &'static str {
        "bench"
    }
}

/// A display on which nothing ever changes.
struct Still;

impl Source for Still {
    fn state(&self) -> SourceState {
        SourceState { signal: SignalState::Active, resolution: Some(Resolution::new(640, 480)) }
    }

    fn set_awake(&mut self, _is_awake: bool) {}

    fn wait(&mut self, wake: &WakeReceiver, _not_before: Instant, until: Instant) -> SourceEvent {
        wake.poll(None, until);
        SourceEvent::Nothing
    }

    fn frame(&mut self) -> Option<FramePair<'_>> {
        None
    }
}

/// Lets everybody in.
struct House;

impl SessionHost for House {
    fn judge(&self, _attempt: &LoginAttempt, _now: Instant) -> Verdict {
        Verdict::Accepted
    }
    fn logged_in(&self, _session: u64, _attempt: &LoginAttempt, _end: watch::Sender<Option<String>>) {}
    fn noticed(&self, _session: u64, _what: &InputEvent) {}
    fn key_not_confirmed(&self) {}
    fn closed(&self, _session: u64, _reason: &CloseReason) {}
}

/// A session as the daemon runs it, with this thread as its controller.
struct Session {
    line: TcpStream,
    wire: WireBuffer,
    sealer: Sealer,
    node: PipeReader,
    /// When the session read bytes last.
    read_at: Arc<Mutex<Instant>>,
    written: mpsc::Receiver<Instant>,
    runtime: Runtime,
    /// While it is there, the session does not end by itself.
    _shutdown: watch::Sender<bool>,
    _pipeline: Pipeline,
}

impl Session {
    fn open() -> Result<Self, String> {
        let broken = |error: std::io::Error| format!("the local session failed: {error}");
        let (node, pipe) = std::io::pipe().map_err(broken)?;
        let (tell, written) = mpsc::channel();
        let backend = Noting { node: pipe, written: tell };
        let hid = HidSettings { keyboard_layout: "us".to_owned(), ..HidSettings::default() };
        let hid = Arc::new(HidWriter::spawn(Box::new(backend), hid));
        let pipeline = Pipeline::spawn_from(Box::new(Still), 30, Encoders::of(vec![openh264()]));
        let display = Display { video: pipeline.handle(), health: hid.health(), hid, audio: None };

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(broken)?;
        let mut line = TcpStream::connect(listener.local_addr().map_err(broken)?).map_err(broken)?;
        line.set_nodelay(true).map_err(broken)?;
        line.set_read_timeout(Some(PATIENCE)).map_err(broken)?;
        let (accepted, controller) = listener.accept().map_err(broken)?;
        accepted.set_nonblocking(true).map_err(broken)?;
        // As the daemon's.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("bench-net")
            .build()
            .map_err(broken)?;
        let read_at = Arc::new(Mutex::new(Instant::now()));
        let (shutdown, stopping) = watch::channel(false);
        {
            let _inside = runtime.enter();
            let socket = tokio::net::TcpStream::from_std(accepted).map_err(broken)?;
            socket.set_nodelay(true).map_err(broken)?;
            let (read, write) = socket.into_split();
            let read = Line { socket: read, read_at: read_at.clone() };
            let stream = MessageStream::from_halves(Box::new(read), Box::new(write));
            let arrival = Arrival { stream, route: Route::Punched, is_secure: true, controller };
            runtime.spawn(driver::run(1, arrival, settings()?, vec![display], Arc::new(House), stopping));
        }
        let (wire, sealer) = log_in(&mut line)?;
        let mut behind = line.try_clone().map_err(broken)?;
        // What the session says is taken and left; ends with the line.
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while behind.read(&mut buffer).is_ok_and(|count| count > 0) {}
        });
        Ok(Self {
            line,
            wire,
            sealer,
            node,
            read_at,
            written,
            runtime,
            _shutdown: shutdown,
            _pipeline: pipeline,
        })
    }

    /// A key goes down in even rounds, up in odd ones.
    fn round(&mut self, round: usize) -> Result<Taken, String> {
        let broken = |error: std::io::Error| format!("the local session failed: {error}");
        let message = script::key(CODE, round.is_multiple_of(2));
        let frame = self.wire.frame(&[&message], Some(&mut self.sealer)).map_err(broken)?;
        std::thread::sleep(PAUSE);
        let started = Instant::now();
        self.line.write_all(frame).map_err(broken)?;
        let at = self.written.recv_timeout(PATIENCE).map_err(|_| "a key led to no report")?;
        let mut report = [0; 8];
        self.node.read_exact(&mut report).map_err(broken)?;
        if report != REPORTS[round % 2] {
            return Err(format!("a key led to another report: {report:02x?}"));
        }
        let read_at = *self.read_at.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Taken {
            in_session: at.saturating_duration_since(read_at),
            whole: at.saturating_duration_since(started),
        })
    }

    fn close(self) {
        let _ = self.line.shutdown(std::net::Shutdown::Both);
        self.runtime.shutdown_timeout(Duration::from_secs(1));
    }
}

fn settings() -> Result<PeerSettings, String> {
    Ok(PeerSettings {
        id: ID.parse().map_err(|error| format!("{error}"))?,
        salt: String::new(),
        identity: IdentityKeyPair::from_seed(&IDENTITY),
        is_encryption_required: true,
        is_direct_plaintext_allowed: false,
        announce: AnnouncedPlatform::Windows,
        os: TargetOs::Windows,
        hostname: "bench".to_owned(),
        username: String::new(),
        local_pointer: LocalPointer::Auto,
        // A key that is held is one report a message, however busy the machine.
        keyboard: KeyboardSettings { bad_link: BadLink::Off, ..KeyboardSettings::default() },
    })
}

/// What the app does before its first key. Gives what seals the messages from here on.
fn log_in(line: &mut TcpStream) -> Result<(WireBuffer, Sealer), String> {
    let broken = |error: std::io::Error| format!("the local session failed: {error}");
    let mut decoder = FrameDecoder::new(MAX_AFTER_LOGIN);
    let (mut wire, mut sealer) = (WireBuffer::default(), Sealer::new(SessionKey::from_bytes(KEY)));
    let signed_id = next(line, &mut decoder)?;
    let identity = IdentityKeyPair::from_seed(&IDENTITY).public_key();
    let answer = script::public_key(&signed_id, &identity, &[3; 32], &KEY);
    let answer = answer.ok_or("the local session does not say who it is")?;
    line.write_all(wire.frame(&[&answer], None).map_err(broken)?).map_err(broken)?;
    let login = script::login(ID);
    line.write_all(wire.frame(&[&login], Some(&mut sealer)).map_err(broken)?).map_err(broken)?;
    let mut opener = Opener::new(SessionKey::from_bytes(KEY));
    loop {
        let mut payload = next(line, &mut decoder)?;
        let open = opener.open_in_place(&mut payload).map_err(|error| error.to_string())?;
        if script::is_welcome(open) {
            return Ok((wire, sealer));
        }
    }
}

fn next(line: &mut TcpStream, decoder: &mut FrameDecoder) -> Result<BytesMut, String> {
    let mut buffer = [0; 4096];
    loop {
        if let Some(payload) = decoder.take().map_err(|error| error.to_string())? {
            return Ok(payload);
        }
        match line.read(&mut buffer) {
            Ok(count) if count > 0 => decoder.feed(&buffer[..count]),
            Ok(_) => return Err("the local session ended before it began".to_owned()),
            Err(error) => return Err(format!("the local session failed: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_bytes_are_measured() {
        let hands = hands(6).unwrap();
        assert!(hands.rounds == 6 && hands.p50_us > 0.0 && hands.pipe_p50_us > 0.0, "{hands:?}");
        assert!(hands.spread >= 1.0 && hands.ratio.is_finite(), "{hands:?}");
    }
}
