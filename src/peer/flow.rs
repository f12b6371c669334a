//! How many bytes may be on their way to a controller. It echoes each TestDelay in the order of the stream, also
//! through relays, so that a ping behind a frame acknowledges everything in front of it. From that: the shortest round
//! trip, what the line delivers, and a window that keeps it busy with little waiting in between; pictures beyond it wait
//! at their source, as changes and not as frames. A controller that echoes nothing is paced by what waits to go out.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So much waiting on the line is allowed beside the shortest round trip: a shorter wait leaves a line idle whose
/// answers come unevenly.
pub const SLACK: Duration = Duration::from_millis(100);
/// A line is unknown: so much may be on its way, in bytes.
const FIRST_WINDOW: u64 = 32 * 1024;
/// Bounds of the window, in bytes.
const LEAST_WINDOW: u64 = 3000;
const MOST_WINDOW: u64 = 4 << 20;
/// How long a measured rate and a shortest round trip hold.
const RATE_HOLDS: Duration = Duration::from_secs(2);
const ROUND_TRIP_HOLDS: Duration = Duration::from_secs(10);
/// On a full line bytes wait at least so long.
const WAITS: Duration = Duration::from_millis(40);
/// A wait above this proves that the line carries no more than it just did.
const CERTAIN: Duration = Duration::from_millis(150);
/// The rate falls at most by this factor, and so often, and not for the first late echo: a lost packet holds echoes back
/// and lets them all come at once, a slower line makes one after the other late.
const FALL: f64 = 0.7;
const FALL_EVERY: Duration = Duration::from_millis(100);
/// A ping goes behind so many bytes (or an eighth of the window, if that is more), or behind fewer after this time.
const MARK_BYTES: u64 = 8 * 1024;
const MARK_EVERY: Duration = Duration::from_millis(50);
/// Without any echo for so long a controller is one that echoes nothing.
const BLIND_AFTER: Duration = Duration::from_secs(3);
/// Bytes that may wait to go out to such a controller.
const BLIND_BACKLOG: usize = 8 * 1024;
/// A silent line gets one picture in this time, so that no lost echo freezes a picture for ever.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// Longest time that pictures wait for that measurement, and how many bytes of them may still be on their way then.
const LONGEST_DRAIN: Duration = Duration::from_secs(1);
const DRAINED: u64 = 1500;
/// Round trips this close to the shortest confirm it.
const CLOSE: Duration = Duration::from_millis(5);

/// What a ping remembers until its echo comes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    at: Instant,
    /// Everything handed out until then, in bytes.
    sent: u64,
    /// What was acknowledged then, and when that had become known.
    acked: u64,
    acked_at: Instant,
    /// When the newest byte of those had been handed out.
    acked_sent_at: Instant,
    is_full: bool,
}

/// The state of one line.
#[derive(Debug)]
pub struct Flow {
    sent: u64,
    acked: u64,
    acked_at: Instant,
    acked_sent_at: Instant,
    marked: u64,
    marked_at: Instant,
    /// Bytes that need an acknowledgement soon: pictures, files.
    has_unmarked: bool,
    /// Everything up to the last of those. Sound goes on all the time, and is never waited for.
    sent_awaited: u64,
    shortest: Option<(Duration, Instant)>,
    /// A bare ping on an empty line measures the shortest round trip anew.
    probe: Probe,
    /// Rates in bytes a second that are still worth something, falling from front to back.
    rates: VecDeque<(f64, Instant)>,
    late_since: Option<Instant>,
    waiting: Duration,
    /// The newest echo shows that the line carries no more.
    is_limiting: bool,
    has_echoes: bool,
    opened: Instant,
    tried_at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    Idle,
    /// No picture goes out until (almost) everything is acknowledged, or this has lasted long enough.
    Draining(Instant),
    /// The bare ping is out; it is the one that marks so many bytes.
    Measuring(u64),
}

impl Flow {
    /// A line of which nothing is known.
    pub fn new(now: Instant) -> Self {
        Self {
            sent: 0,
            acked: 0,
            acked_at: now,
            acked_sent_at: now,
            marked: 0,
            marked_at: now,
            has_unmarked: false,
            sent_awaited: 0,
            shortest: None,
            probe: Probe::Idle,
            rates: VecDeque::new(),
            late_since: None,
            waiting: Duration::ZERO,
            is_limiting: false,
            has_echoes: false,
            opened: now,
            tried_at: now,
        }
    }

    /// Bytes on their way, in bytes.
    pub fn in_flight(&self) -> u64 {
        self.sent - self.acked
    }

    /// What the line delivers, in bytes a second; `None` until it was measured. While less is sent than it carries
    /// this is a lower bound.
    pub fn rate(&self) -> Option<f64> {
        self.rates.front().map(|(rate, _)| *rate)
    }

    /// Whether the newest echo shows that the line carries no more than it does.
    pub fn is_limiting(&self) -> bool {
        self.is_limiting
    }

    /// How long what is on its way keeps what follows it, beyond the shortest round trip.
    pub fn own_wait(&self) -> Duration {
        let (Some(rate), Some((shortest, _))) = (self.rate(), self.shortest) else { return Duration::ZERO };
        // The rate of a line that carries little is no measure of it.
        let bytes = if self.in_flight() > LEAST_WINDOW { self.in_flight() as f64 } else { 0.0 };
        Duration::from_secs_f64((bytes / rate.max(1.0)).min(LONGEST_DRAIN.as_secs_f64()))
            .saturating_sub(shortest)
    }

    /// Everything handed out so far, in bytes.
    pub fn sent_bytes(&self) -> u64 {
        self.sent
    }

    /// Bytes that may be on their way together.
    pub fn window(&self) -> u64 {
        let (Some(rate), Some((shortest, _))) = (self.rate(), self.shortest) else { return FIRST_WINDOW };
        let bytes = rate * (shortest + SLACK).as_secs_f64();
        (bytes as u64).clamp(LEAST_WINDOW, MOST_WINDOW)
    }

    /// Whether another picture may go out; `backlog` bytes wait in front of the line already.
    pub fn has_room(&self, backlog: usize, now: Instant) -> bool {
        if self.is_blind(now) {
            return backlog < BLIND_BACKLOG;
        }
        let is_draining = self.probe != Probe::Idle;
        let fits =
            if is_draining { false } else { self.in_flight() == 0 || self.in_flight() < self.window() };
        fits || (backlog == 0 && self.silent_since() + TRY_AGAIN <= now)
    }

    /// When [`Flow::has_room`] may change by time alone.
    pub fn retry_at(&self, now: Instant) -> Option<Instant> {
        let blind_at = (!self.has_echoes).then(|| self.opened + BLIND_AFTER);
        let again_at = self.silent_since() + TRY_AGAIN;
        blind_at.into_iter().chain(Some(again_at)).filter(|at| *at > now).min()
    }

    fn silent_since(&self) -> Instant {
        self.acked_at.max(self.tried_at)
    }

    /// Whether the controller is one that echoes nothing.
    pub fn is_blind(&self, now: Instant) -> bool {
        !self.has_echoes && self.opened + BLIND_AFTER <= now
    }

    /// Bytes were handed out. `wants_mark` for what should be acknowledged soon.
    pub fn sent(&mut self, bytes: usize, wants_mark: bool, now: Instant) {
        if self.in_flight() == 0 {
            // The idle time before does not count against the line.
            (self.acked_at, self.acked_sent_at) = (now, now);
            self.marked_at = self.marked_at.max(now);
        }
        self.sent += bytes as u64;
        self.has_unmarked |= wants_mark;
        if wants_mark {
            self.tried_at = now;
            self.sent_awaited = self.sent;
        }
    }

    /// When a ping should follow what was sent.
    pub fn mark_at(&self) -> Option<Instant> {
        if self.is_drained() {
            return Some(self.marked_at);
        }
        if !self.has_unmarked {
            return None;
        }
        let is_much = self.sent - self.marked >= MARK_BYTES.max(self.window() / 8);
        Some(if is_much { self.marked_at } else { self.marked_at + MARK_EVERY })
    }

    fn is_drained(&self) -> bool {
        matches!(self.probe, Probe::Draining(_)) && self.sent_awaited <= self.acked + DRAINED
    }

    /// A ping goes out.
    pub fn mark(&mut self, now: Instant) -> Mark {
        if self.is_drained() {
            self.probe = Probe::Measuring(self.sent);
        }
        (self.marked, self.marked_at, self.has_unmarked) = (self.sent, now, false);
        Mark {
            at: now,
            sent: self.sent,
            acked: self.acked,
            acked_at: self.acked_at,
            acked_sent_at: self.acked_sent_at,
            is_full: self.in_flight() > 0 && self.in_flight() >= self.window(),
        }
    }

    /// The echo of a ping came.
    pub fn echoed(&mut self, mark: Mark, now: Instant) {
        self.has_echoes = true;
        let round_trip = now.saturating_duration_since(mark.at);
        self.time(round_trip, mark.sent, now);
        let delivered = mark.sent.saturating_sub(mark.acked);
        if mark.sent > self.acked {
            self.acked = mark.sent;
            self.acked_sent_at = mark.at;
        }
        self.acked_at = now;
        self.is_limiting = mark.is_full && self.waiting > WAITS;
        let took = now
            .saturating_duration_since(mark.acked_at)
            .max(mark.at.saturating_duration_since(mark.acked_sent_at))
            .max(Duration::from_micros(200));
        if delivered > 0 {
            self.measured(delivered as f64 / took.as_secs_f64(), mark.is_full, now);
        }
    }

    fn time(&mut self, round_trip: Duration, sent: u64, now: Instant) {
        let is_measured = matches!(self.probe, Probe::Measuring(at) if at <= sent);
        let (shortest, since) = self.shortest.unwrap_or((round_trip, now));
        let age = now.saturating_duration_since(since);
        self.shortest = Some(if is_measured || round_trip <= shortest {
            (round_trip, now)
        } else if round_trip <= shortest + (shortest / 10).max(CLOSE) {
            (shortest, now)
        } else {
            (shortest, since)
        });
        match self.probe {
            Probe::Measuring(_) if is_measured => self.probe = Probe::Idle,
            Probe::Idle if age > ROUND_TRIP_HOLDS => self.probe = Probe::Draining(now),
            Probe::Draining(began) if now.saturating_duration_since(began) > LONGEST_DRAIN => {
                self.probe = Probe::Idle;
                self.shortest = Some((shortest, now));
            }
            Probe::Idle | Probe::Draining(_) | Probe::Measuring(_) => {}
        }
        let shortest = self.shortest.map_or(round_trip, |(time, _)| time);
        self.waiting = round_trip.saturating_sub(shortest);
    }

    /// Takes a rate: the largest of late counts, because what was not asked of the line it does not show. Only where
    /// bytes wait long, the newest is the truth.
    fn measured(&mut self, rate: f64, is_full: bool, now: Instant) {
        let best = self.rate();
        let is_late = self.waiting > CERTAIN;
        if !is_late {
            self.late_since = None;
        } else if let Some(best) = best.filter(|best| rate < *best) {
            let since = *self.late_since.get_or_insert(now);
            if now.saturating_duration_since(since) >= FALL_EVERY {
                self.late_since = Some(now);
                self.is_limiting = true;
                let fallen = rate.max(best * FALL);
                self.rates.iter_mut().for_each(|(kept, _)| *kept = kept.min(fallen));
            }
        }
        // A line that is not asked for more tells nothing new; what was known of it stays.
        let is_useful = is_full || best.is_none_or(|best| rate >= best);
        if !is_useful {
            return;
        }
        while self.rates.back().is_some_and(|(kept, _)| *kept <= rate) {
            self.rates.pop_back();
        }
        self.rates.push_back((rate, now));
        while self.rates.len() > 1
            && self.rates.front().is_some_and(|(_, at)| now.saturating_duration_since(*at) > RATE_HOLDS)
        {
            self.rates.pop_front();
        }
    }
}
