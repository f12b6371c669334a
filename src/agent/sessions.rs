//! The sessions of one target: who may come in, who is in, who has to go. Judges log-ins by the gate, replaces an
//! older session of the same window, counts connections, keeps the log-ins and feeds the test card.
#![allow(clippy::disallowed_methods, reason = "an edge: it tells the gate the time")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc as std_mpsc};
use std::time::Instant;

use tokio::sync::{mpsc, watch};

use crate::crypto::password::PasswordHash;
use crate::crypto::secret::Secret;
use crate::input::event::InputEvent;
use crate::net::stream::Route;
use crate::peer::gate::{Gate, LoginAttempt, Verdict};
use crate::peer::machine::CloseReason;
use crate::peer::sharing::{Arbiter, Claim, Hold, Sharing};
use crate::session::driver::SessionHost;
use crate::session::stats::SessionStats;

use super::board_card::{BoardCard, TestCards};
use super::logbook::{LogIn, Logbook, tame, unix_now};
use super::measured::stream_status;
use super::rendezvous_task::RegistrationCommand;
use super::status::SessionStatus;

/// Most connections at once.
pub const MAX_CONNECTIONS: usize = 64;
/// Most connections of one address at once; a household or a relay may share one.
pub const MAX_PER_ADDRESS: usize = 16;

/// Text for a session that an admin ends; the apps know it by heart and do not dial again.
const ENDED: &str = "Closed manually by the peer";
/// Text for sessions that used a password that is no longer good; "manually" keeps the apps from dialling again.
const PASSWORD_CHANGED: &str = "Closed manually: the password of this device was changed";

/// A line for the logbook.
#[derive(Debug)]
enum Note {
    In(LogIn),
    Out { session: u64, seconds: u64 },
}

#[derive(Debug)]
struct Seat {
    address: SocketAddr,
    route: Route,
    came: Instant,
    guest: Option<Guest>,
}

/// A controller that is logged in.
#[derive(Debug)]
struct Guest {
    my_id: String,
    my_name: String,
    platform: String,
    window: u64,
    since: Instant,
    stats: SessionStats,
    end: watch::Sender<Option<String>>,
    hold: Option<watch::Sender<Hold>>,
}

impl Guest {
    /// How others are told of it.
    fn name(&self) -> String {
        format!("{} ({})", self.my_name, self.my_id)
    }
}

#[derive(Debug)]
struct Inner {
    gate: Gate,
    arbiter: Arbiter,
    seats: BTreeMap<u64, Seat>,
    next_session: u64,
    card: Option<BoardCard>,
}

/// See the module.
#[derive(Debug)]
pub struct Sessions {
    inner: Mutex<Inner>,
    cards: TestCards,
    one_time: watch::Sender<Option<Secret<String>>>,
    notes: Mutex<Option<std_mpsc::Sender<Note>>>,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
    log_problem: watch::Sender<String>,
    registration: watch::Sender<Option<mpsc::Sender<RegistrationCommand>>>,
}

impl Sessions {
    /// A house without guests. `cards` are told what happens only if `board_card` is given.
    ///
    /// # Errors
    /// The thread that writes the logbook cannot be started.
    pub fn new(
        gate: Gate,
        sharing: Sharing,
        mut logbook: Logbook,
        board_card: Option<BoardCard>,
        cards: TestCards,
    ) -> std::io::Result<Self> {
        let (notes, to_write) = std_mpsc::channel();
        let (log_problem, _) = watch::channel(String::new());
        let problem = log_problem.clone();
        let next_session = logbook.next_session();
        // A thread of its own: an fsync on a slow card must not stop a session.
        let writer = std::thread::Builder::new().name("log-ins".into()).spawn(move || {
            for note in to_write {
                let result = match note {
                    Note::In(log_in) => logbook.log_in(&log_in),
                    Note::Out { session, seconds } => logbook.log_out(session, seconds),
                };
                let text = result.err().map_or_else(String::new, |e| format!("A log-in was not kept: {e}"));
                if !text.is_empty() {
                    tracing::warn!("{text}");
                }
                problem.send_if_modified(|old| std::mem::replace(old, text.clone()) != text);
            }
        })?;
        if let Some(board) = &board_card {
            cards.show(&board.to_card());
        }
        let one_time = watch::channel(gate.one_time().cloned()).0;
        Ok(Self {
            inner: Mutex::new(Inner {
                gate,
                arbiter: Arbiter::new(sharing),
                seats: BTreeMap::new(),
                next_session,
                card: board_card,
            }),
            cards,
            one_time,
            notes: Mutex::new(Some(notes)),
            writer: Mutex::new(Some(writer)),
            log_problem,
            registration: watch::channel(None).0,
        })
    }

    /// Where to say that the server's copy of our key may be wrong; nowhere without a server.
    pub fn set_registration(&self, commands: Option<mpsc::Sender<RegistrationCommand>>) {
        self.registration.send_replace(commands);
    }

    /// Where commands of the registration go now, if there is a server.
    pub fn registration(&self) -> watch::Receiver<Option<mpsc::Sender<RegistrationCommand>>> {
        self.registration.subscribe()
    }

    /// A number for a new connection, or `None` if there are too many, in all or from its address.
    pub fn admit(&self, address: SocketAddr, route: Route) -> Option<u64> {
        let mut inner = lock(&self.inner);
        let of_this = inner.seats.values().filter(|s| s.address.ip() == address.ip()).count();
        if inner.seats.len() >= MAX_CONNECTIONS || of_this >= MAX_PER_ADDRESS {
            return None;
        }
        let session = inner.next_session;
        inner.next_session += 1;
        inner.seats.insert(session, Seat { address, route, came: Instant::now(), guest: None });
        Some(session)
    }

    /// The one-time password while no permanent one is set; changes are seen.
    pub fn one_time(&self) -> watch::Receiver<Option<Secret<String>>> {
        self.one_time.subscribe()
    }

    /// A sentence about the logbook, empty when all is well.
    pub fn log_problem(&self) -> String {
        self.log_problem.borrow().clone()
    }

    /// Addresses with counted wrong passwords.
    pub fn suspects(&self) -> usize {
        lock(&self.inner).gate.suspects()
    }

    /// Clears the locks after wrong passwords.
    pub fn unlock(&self) {
        lock(&self.inner).gate.unlock();
    }

    /// Takes a changed password over and ends the sessions that used another one; how many.
    pub fn set_permanent(&self, hash: Option<PasswordHash>) -> usize {
        let mut inner = lock(&self.inner);
        let leaving = inner.gate.set_permanent(hash);
        for session in &leaving {
            inner.end(*session, PASSWORD_CHANGED);
        }
        self.publish_one_time(&inner);
        leaving.len()
    }

    /// How keyboard and pointer are shared from now on; every session is told how it stands.
    pub fn set_sharing(&self, sharing: Sharing) {
        let mut inner = lock(&self.inner);
        inner.arbiter.set_sharing(sharing);
        inner.tell_holds();
    }

    /// The first line of the test card.
    pub fn set_card_title(&self, title: String) {
        if let Some(board) = &mut lock(&self.inner).card {
            board.set_title(title);
            self.cards.show(&board.to_card());
        }
    }

    /// Ends one session; whether there was such a controller.
    pub fn end(&self, session: u64) -> bool {
        lock(&self.inner).end(session, ENDED)
    }

    /// The controllers that are logged in.
    pub fn list(&self) -> Vec<SessionStatus> {
        let inner = lock(&self.inner);
        let with_guest =
            inner.seats.iter().filter_map(|(n, seat)| seat.guest.as_ref().map(|g| (*n, seat, g)));
        with_guest
            .map(|(session, seat, guest)| SessionStatus {
                session,
                my_id: guest.my_id.clone(),
                my_name: guest.my_name.clone(),
                platform: guest.platform.clone(),
                address: seat.address.ip().to_string(),
                route: route_word(seat.route).to_owned(),
                seconds: guest.since.elapsed().as_secs(),
                stream: stream_status(&guest.stats),
            })
            .collect()
    }

    /// Waits until all log-ins are written. Call it after the last session has ended.
    pub fn finish(&self) {
        drop(lock(&self.notes).take());
        if let Some(writer) = lock(&self.writer).take() {
            let _ = writer.join();
        }
    }

    fn note(&self, note: Note) {
        if let Some(notes) = lock(&self.notes).as_ref() {
            let _ = notes.send(note);
        }
    }

    fn publish_one_time(&self, inner: &Inner) {
        let now = inner.gate.one_time().cloned();
        self.one_time.send_if_modified(|old| {
            let is_new = *old != now;
            *old = now;
            is_new
        });
    }

    fn show_controllers(&self, inner: &mut Inner) {
        let controllers = inner
            .seats
            .values()
            .filter_map(|s| s.guest.as_ref().map(|g| (s.route, g)))
            .map(|(route, g)| format!("{} on {}, {}", g.name(), g.platform, route_word(route)))
            .collect();
        if let Some(board) = &mut inner.card {
            board.set_controllers(controllers);
            self.cards.show(&board.to_card());
        }
    }
}

impl Inner {
    fn end(&mut self, session: u64, text: &str) -> bool {
        match self.seats.get(&session).and_then(|s| s.guest.as_ref()) {
            Some(guest) => {
                guest.end.send_replace(Some(text.to_owned()));
                true
            }
            None => false,
        }
    }

    /// A session says what it wants of keyboard and pointer; every session is told how that stands.
    fn claim(&mut self, session: u64, claim: Claim) {
        let guest = self.seats.get(&session).and_then(|seat| seat.guest.as_ref());
        self.arbiter.claim(session, &guest.map(Guest::name).unwrap_or_default(), claim);
        self.tell_holds();
    }

    fn tell_holds(&self) {
        for (session, seat) in &self.seats {
            let Some(hold) = seat.guest.as_ref().and_then(|guest| guest.hold.as_ref()) else { continue };
            let now = self.arbiter.hold_of(*session);
            hold.send_if_modified(|old| std::mem::replace(old, now.clone()) != now);
        }
    }
}

impl SessionHost for Sessions {
    fn judge(&self, attempt: &LoginAttempt, now: Instant) -> Verdict {
        let mut inner = lock(&self.inner);
        let verdict = inner.gate.judge(attempt, now);
        self.publish_one_time(&inner);
        if let Verdict::Refused(why) = &verdict {
            let (address, my_id) = (attempt.address, tame(&attempt.my_id));
            tracing::warn!(%address, %my_id, "log-in refused: {why}");
        }
        verdict
    }

    fn logged_in(&self, session: u64, attempt: &LoginAttempt, end: watch::Sender<Option<String>>) {
        let mut inner = lock(&self.inner);
        let inner = &mut *inner;
        inner.gate.opened(session, attempt);
        let (my_id, my_name) = (tame(&attempt.my_id), tame(&attempt.my_name));
        for (other, seat) in &mut inner.seats {
            if let Some(guest) = &mut seat.guest
                && *other != session
                && (guest.my_id.as_str(), guest.window) == (my_id.as_str(), attempt.session_id)
            {
                tracing::info!(session = other, by = session, "replaced: the same window came back");
                guest.end.send_replace(Some(String::new()));
                // Nothing more is told to it; its turn is the new one's.
                guest.hold = None;
                inner.arbiter.replace(*other, session);
            }
        }
        let Some(seat) = inner.seats.get_mut(&session) else { return };
        let log_in = LogIn {
            session,
            my_id,
            my_name,
            platform: tame(&attempt.my_platform),
            address: attempt.address.to_string(),
            route: route_word(seat.route).to_owned(),
            started: unix_now(),
            seconds: None,
        };
        let (address, route) = (&log_in.address, &log_in.route);
        tracing::info!(session, my_id = %log_in.my_id, my_name = %log_in.my_name, %address, %route, "logged in");
        seat.guest = Some(Guest {
            my_id: log_in.my_id.clone(),
            my_name: log_in.my_name.clone(),
            platform: log_in.platform.clone(),
            window: attempt.session_id,
            since: Instant::now(),
            stats: SessionStats::default(),
            end,
            hold: None,
        });
        self.note(Note::In(log_in));
        self.show_controllers(inner);
    }

    fn noticed(&self, _session: u64, what: &InputEvent) {
        let mut inner = lock(&self.inner);
        if let Some(board) = &mut inner.card {
            board.apply(what);
            self.cards.show(&board.to_card());
        }
    }

    fn claim(&self, session: u64, claim: Claim, hold: &watch::Sender<Hold>) {
        let mut inner = lock(&self.inner);
        if let Some(guest) = inner.seats.get_mut(&session).and_then(|s| s.guest.as_mut()) {
            guest.hold = Some(hold.clone());
            inner.claim(session, claim);
        }
    }

    fn stats(&self, session: u64, stats: &SessionStats) {
        if let Some(guest) = lock(&self.inner).seats.get_mut(&session).and_then(|s| s.guest.as_mut()) {
            guest.stats = *stats;
        }
    }

    fn key_not_confirmed(&self) {
        if let Some(commands) = self.registration.borrow().as_ref() {
            // A full queue holds the same wish already.
            let _ = commands.try_send(RegistrationCommand::KeyNotConfirmed);
        }
    }

    fn closed(&self, session: u64, reason: &CloseReason) {
        let now = Instant::now();
        let mut inner = lock(&self.inner);
        inner.gate.closed(session, now);
        inner.claim(session, Claim::Leave);
        self.publish_one_time(&inner);
        let Some(seat) = inner.seats.remove(&session) else { return };
        let reason = tame(&describe(reason));
        match seat.guest {
            Some(guest) => {
                let seconds = guest.since.elapsed().as_secs();
                tracing::info!(session, seconds, "left: {reason}");
                self.note(Note::Out { session, seconds });
                self.show_controllers(&mut inner);
            }
            None => {
                let (address, seconds) = (seat.address, seat.came.elapsed().as_secs());
                // Anybody can do that as often as they like.
                tracing::debug!(session, %address, seconds, "left without a log-in: {reason}");
            }
        }
    }
}

/// `direct`, `punched` or `relayed`.
fn route_word(route: Route) -> &'static str {
    match route {
        Route::Direct => "direct",
        Route::Punched => "punched",
        Route::Relayed => "relayed",
    }
}

fn describe(reason: &CloseReason) -> String {
    match reason {
        CloseReason::LeftByController(words) if words.is_empty() => "by itself".to_owned(),
        CloseReason::LeftByController(words) => format!("by itself ({words})"),
        CloseReason::PeerMisbehaved(why) => format!("it broke the protocol: {why}"),
        CloseReason::HandshakeFailed(why) => format!("no handshake: {why}"),
        CloseReason::Refused(text) => format!("refused: {text}"),
        CloseReason::TimedOut => "nothing came for 30 s".to_owned(),
        CloseReason::EndedHere(text) if text.is_empty() => "ended here".to_owned(),
        CloseReason::EndedHere(text) => format!("ended here: {text}"),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
