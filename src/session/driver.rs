//! `run`: stream, frames, health, timer and shutdown around one `Peer`. (Contract; to be built.)

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use crate::hid::writer::{HidHealth, HidWriter};
use crate::media::pipeline::VideoHandle;
use crate::net::stream::Arrival;
use crate::peer::gate::{LoginAttempt, Verdict};
use crate::peer::machine::{CloseReason, PeerSettings};

/// A picture source with its own input sink.
#[derive(Debug, Clone)]
pub struct Display {
    /// The picture.
    pub video: VideoHandle,
    /// The hands.
    pub hid: Arc<HidWriter>,
    /// Their health.
    pub health: watch::Receiver<HidHealth>,
}

/// What a session asks of the house above it, without knowing it.
pub trait SessionHost: Send + Sync {
    /// Judges a login.
    fn judge(&self, attempt: &LoginAttempt, now: Instant) -> Verdict;
    /// A controller is in. `end` ends the session with the text sent. An older session of the same my_id and
    /// session_id is ended by the host.
    fn logged_in(&self, session: u64, attempt: &LoginAttempt, end: watch::Sender<Option<String>>);
    /// Its hands did something (for the test card): a short description.
    fn noticed(&self, session: u64, what: &crate::input::event::InputEvent);
    /// The server's copy of our key may be wrong.
    fn key_not_confirmed(&self);
    /// It is over.
    fn closed(&self, session: u64, reason: &CloseReason);
}

/// Runs one session to its end. `shutdown` becomes true when the agent stops.
pub async fn run(
    _session: u64,
    _arrival: Arrival,
    _settings: PeerSettings,
    _displays: Vec<Display>,
    _host: Arc<dyn SessionHost>,
    _shutdown: watch::Receiver<bool>,
) -> CloseReason {
    CloseReason::TimedOut
}
