//! Who may log in: passwords, limits, one-time password; one gate per target, shared by its sessions, fed with
//! time (reference: network 10.2, 10.3). A wrong password, an unknown controller and a locked address all end in
//! an exact text of [`super::texts`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::crypto::password::PasswordHash;
use crate::crypto::secret::Secret;
use crate::crypto::seed::Seed;

use super::limits::Limits;
use super::texts;

/// How long the proof of a one-time password that was renewed stays good for the same controller and window.
pub const RECENT: Duration = Duration::from_secs(30);
/// Wrong passwords in a row after which the one-time password is renewed.
pub const ONE_TIME_TRIES: u32 = 10;
/// Characters of a one-time password.
pub const ONE_TIME_LEN: usize = 8;
/// Most remembered windows.
const MAX_RECENT: usize = 64;

/// One LoginRequest, as far as the gate needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginAttempt {
    /// Address of the controller (as the ID server reported it for relays).
    pub address: IpAddr,
    /// The controller's own ID.
    pub my_id: String,
    /// The controller's user name.
    pub my_name: String,
    /// The controller's platform text.
    pub my_platform: String,
    /// The controller's version text.
    pub version: String,
    /// Stable over reconnects of one window.
    pub session_id: u64,
    /// 32 proof bytes, or empty for "none given".
    pub proof: Vec<u8>,
    /// The challenge of this connection.
    pub challenge: String,
}

/// What the gate answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Welcome.
    Accepted,
    /// LoginResponse.error with this text; the connection stays open for another try.
    Refused(&'static str),
    /// Say nothing and wait: the password was empty (reference: session 2.3 step 9).
    Silent,
}

/// A controller's window: what makes a reconnect recognisable.
type Window = (String, String, u64);

fn window(attempt: &LoginAttempt) -> Window {
    (attempt.my_id.clone(), attempt.my_name.clone(), attempt.session_id)
}

/// The door of one target.
#[derive(Debug)]
pub struct Gate {
    salt: String,
    permanent: Option<PasswordHash>,
    one_time: Secret<String>,
    one_time_hash: PasswordHash,
    wrong_in_a_row: u32,
    limits: Limits,
    /// Windows that were let in and are not open yet, with the hash they proved.
    admitted: BTreeMap<Window, PasswordHash>,
    /// Open sessions by the driver's number, with the hash they proved.
    open: BTreeMap<u64, (Window, PasswordHash)>,
    /// Windows that may still prove an old one-time password, until when.
    recent: BTreeMap<Window, (PasswordHash, Instant)>,
    seed: Seed,
}

impl Gate {
    /// A gate with its target's salt and, if one was set, the permanent password. `started` is now and
    /// `started_unix_ms` the same moment in Unix milliseconds: together they tell the clock minutes that the
    /// limits count in (reference: network 10.3).
    pub fn new(
        salt: String,
        permanent: Option<PasswordHash>,
        started: Instant,
        started_unix_ms: u64,
        mut seed: Seed,
    ) -> Self {
        let one_time = seed.next_text(ONE_TIME_LEN);
        Self {
            one_time_hash: PasswordHash::new(&one_time, &salt),
            one_time: Secret::new(one_time),
            salt,
            permanent,
            wrong_in_a_row: 0,
            limits: Limits::new(started, started_unix_ms),
            admitted: BTreeMap::new(),
            open: BTreeMap::new(),
            recent: BTreeMap::new(),
            seed,
        }
    }

    /// The salt that every Hash message carries.
    pub fn salt(&self) -> &str {
        &self.salt
    }

    /// The one-time password to show, while no permanent one exists.
    pub fn one_time(&self) -> Option<&Secret<String>> {
        self.permanent.is_none().then_some(&self.one_time)
    }

    /// Judges one login (reference: session 2.3 steps 8 to 10). An empty proof is [`Verdict::Silent`] and never
    /// counts; a refused attempt is neither evaluated nor counted.
    pub fn judge(&mut self, attempt: &LoginAttempt, now: Instant) -> Verdict {
        if attempt.proof.is_empty() {
            return Verdict::Silent;
        }
        self.recent.retain(|_, (_, until)| *until > now);
        let proves = |hash: &PasswordHash| hash.is_proven_by(&attempt.proof, &attempt.challenge);
        let of_window = window(attempt);
        if self.permanent.is_none()
            && let Some((old, _)) = self.recent.get(&of_window)
            && proves(old)
        {
            let old = old.clone();
            self.admit(of_window, old);
            return Verdict::Accepted;
        }
        if let Some(text) = self.limits.check(attempt.address, now) {
            return Verdict::Refused(text);
        }
        let wanted = self.permanent.as_ref().unwrap_or(&self.one_time_hash);
        if proves(wanted) {
            let wanted = wanted.clone();
            self.admit(of_window, wanted);
            self.limits.forgive(attempt.address);
            self.wrong_in_a_row = 0;
            return Verdict::Accepted;
        }
        self.limits.count(attempt.address, now);
        self.wrong_in_a_row += 1;
        if self.wrong_in_a_row >= ONE_TIME_TRIES {
            self.renew();
        }
        Verdict::Refused(texts::WRONG_PASSWORD)
    }

    /// A session that was [`Verdict::Accepted`] has begun.
    pub fn opened(&mut self, session: u64, attempt: &LoginAttempt) {
        let of_window = window(attempt);
        let hash = self.admitted.remove(&of_window).unwrap_or_else(|| self.current().clone());
        self.open.insert(session, (of_window, hash));
    }

    /// A session is over. The one-time password is renewed with the last session that used it.
    pub fn closed(&mut self, session: u64, now: Instant) {
        let Some((of_window, hash)) = self.open.remove(&session) else { return };
        if self.permanent.as_ref() == Some(&hash) {
            return;
        }
        if self.recent.len() >= MAX_RECENT
            && let Some(oldest) = self.recent.iter().min_by_key(|(_, (_, at))| *at).map(|(w, _)| w.clone())
        {
            self.recent.remove(&oldest);
        }
        self.recent.insert(of_window, (hash.clone(), now + RECENT));
        if hash == self.one_time_hash && !self.open.values().any(|(_, used)| *used == hash) {
            self.renew();
        }
    }

    /// Sets or removes the permanent password and returns the open sessions that used another one, which must
    /// end now.
    pub fn set_permanent(&mut self, permanent: Option<PasswordHash>) -> Vec<u64> {
        self.permanent = permanent;
        self.recent.clear();
        self.admitted.clear();
        self.renew();
        let current = self.current().clone();
        self.open.iter().filter(|(_, (_, used))| *used != current).map(|(session, _)| *session).collect()
    }

    /// Clears every lock and every count.
    pub fn unlock(&mut self) {
        self.limits.clear();
        self.wrong_in_a_row = 0;
    }

    /// Addresses and prefixes with counted failures; the table is bounded.
    pub fn suspects(&self) -> usize {
        self.limits.len()
    }

    fn current(&self) -> &PasswordHash {
        self.permanent.as_ref().unwrap_or(&self.one_time_hash)
    }

    fn admit(&mut self, of_window: Window, hash: PasswordHash) {
        if self.admitted.len() >= MAX_RECENT {
            self.admitted.clear();
        }
        self.admitted.insert(of_window, hash);
    }

    fn renew(&mut self) {
        let text = self.seed.next_text(ONE_TIME_LEN);
        self.one_time_hash = PasswordHash::new(&text, &self.salt);
        self.one_time = Secret::new(text);
        self.wrong_in_a_row = 0;
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, clippy::wildcard_enum_match_arm, reason = "tests own their clocks")]
mod tests;
