//! TestDelay and silence (reference: session 2.10): a ping at once and each second if the former came back, the
//! round trip, and the end after 30 s without a byte.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::wire::message::hbb;

use super::flow::Mark;

/// Between two pings.
pub const PING_EVERY: Duration = Duration::from_secs(1);
/// Without a byte for so long, the session ends.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(30);
/// Pings that may be out at once; a controller that answers none gets no more of them.
const MOST_PINGS: usize = 64;
/// Over which the rate that the quality monitor shows is counted.
const COUNTED: Duration = Duration::from_secs(1);
/// A round trip above this, at login, is a slow line.
pub const SLOW: Duration = Duration::from_millis(150);

#[derive(Debug)]
struct Ping {
    sent: Instant,
    is_marker: bool,
    mark: Mark,
}

/// What an echo tells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Echo {
    /// The round trip.
    pub round_trip: Duration,
    /// It answers the ping that followed the first picture.
    pub is_marker: bool,
    /// What it acknowledges.
    pub mark: Mark,
}

/// The pings of one session.
#[derive(Debug)]
pub struct Latency {
    outstanding: VecDeque<Ping>,
    next_at: Instant,
    last_round_trip: Option<Duration>,
    last_received: Instant,
    sent_bytes: u64,
    counted_since: Instant,
    kbits: u32,
}

impl Latency {
    /// Starts at the first byte of a connection; the first ping is due at once.
    pub fn new(now: Instant) -> Self {
        Self {
            outstanding: VecDeque::new(),
            next_at: now,
            last_round_trip: None,
            last_received: now,
            sent_bytes: 0,
            counted_since: now,
            kbits: 0,
        }
    }

    /// Something came.
    pub fn received(&mut self, now: Instant) {
        self.last_received = now;
    }

    /// When the last byte came.
    pub fn last_received(&self) -> Instant {
        self.last_received
    }

    /// When silence ends the session.
    pub fn silence_at(&self) -> Instant {
        self.last_received + SILENCE_LIMIT
    }

    /// When the next ping is due; `None` while one is outstanding.
    pub fn ping_at(&self) -> Option<Instant> {
        self.outstanding.is_empty().then_some(self.next_at)
    }

    /// Whether another ping may be out.
    pub fn has_room(&self) -> bool {
        self.outstanding.len() < MOST_PINGS
    }

    /// The newest round trip.
    pub fn last_round_trip(&self) -> Option<Duration> {
        self.last_round_trip
    }

    /// Counts video on its way, for the rate that the quality monitor shows.
    pub fn sent(&mut self, bytes: usize) {
        self.sent_bytes += bytes as u64;
    }

    /// The ping to send now, with what it will acknowledge.
    pub fn ping(&mut self, is_marker: bool, mark: Mark, now: Instant) -> hbb::TestDelay {
        self.outstanding.push_back(Ping { sent: now, is_marker, mark });
        self.next_at = now + PING_EVERY;
        let elapsed = now.saturating_duration_since(self.counted_since);
        if elapsed >= COUNTED {
            let kbits = self.sent_bytes.saturating_mul(8) / elapsed.as_millis().max(1) as u64;
            self.kbits = kbits.min(u32::MAX.into()) as u32;
            (self.sent_bytes, self.counted_since) = (0, now);
        }
        hbb::TestDelay {
            time: 0,
            from_client: false,
            last_delay: self.last_round_trip.map_or(0, |d| d.as_millis().min(u32::MAX.into()) as u32),
            target_bitrate: self.kbits,
        }
    }

    /// Takes an echo; they come back in the order of the pings. `None` for one that nobody asked for.
    pub fn echo(&mut self, now: Instant) -> Option<Echo> {
        let ping = self.outstanding.pop_front()?;
        let round_trip = now.saturating_duration_since(ping.sent);
        self.last_round_trip = Some(round_trip);
        Some(Echo { round_trip, is_marker: ping.is_marker, mark: ping.mark })
    }

    /// Whether the line was slow so far.
    pub fn is_slow(&self) -> bool {
        self.last_round_trip.is_some_and(|d| d > SLOW)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, clippy::wildcard_enum_match_arm, reason = "tests own their clocks")]
mod tests {
    use super::super::flow::Flow;
    use super::*;

    #[test]
    fn one_ping_at_a_time_but_the_marker() {
        let start = Instant::now();
        let ms = |n| start + Duration::from_millis(n);
        let mark = Flow::new(start).mark(start);
        let mut latency = Latency::new(start);
        assert_eq!(latency.ping_at(), Some(start));
        assert_eq!(latency.ping(false, mark, start), hbb::TestDelay::default());
        assert_eq!(latency.ping_at(), None);
        latency.ping(true, mark, ms(10));
        let first = latency.echo(ms(69)).unwrap();
        assert_eq!((first.round_trip.as_millis(), first.is_marker), (69, false));
        assert_eq!(latency.ping_at(), None, "the marker is still out");
        assert!(latency.echo(ms(80)).unwrap().is_marker);
        assert_eq!(latency.ping_at(), Some(ms(1010)));
        assert_eq!(latency.echo(ms(90)), None);
        latency.sent(125_000);
        let ping = latency.ping(false, mark, ms(1000));
        assert_eq!((ping.last_delay, ping.target_bitrate), (70, 1000));
        assert!(!latency.is_slow());
        latency.echo(ms(1151));
        assert!(latency.is_slow());
        let mut sent = 0;
        while latency.has_room() {
            latency.ping(false, mark, ms(1200));
            sent += 1;
        }
        assert_eq!(sent, MOST_PINGS, "bounded for those who answer none");
    }
}
