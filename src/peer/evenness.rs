//! How evenly a controller's line carries what it sends, from the echoes of our pings. A key that is held on the target
//! while its release is late repeats there; so on an uneven line keys that type are clicked instead of held, and on an
//! even one a held key stays down only while echoes prove that a release would have come.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A line is uneven if an echo takes so much longer than the fastest one. Targets repeat a key after 250 ms at the
/// earliest (Linux' default, Windows' shortest), and a typist holds one for about 100 ms.
pub const LATE: Duration = Duration::from_millis(100);
/// While a key that types is held, a ping goes out this often.
pub const PROVE_EVERY: Duration = Duration::from_millis(25);
/// So long an echo is remembered, in parts of a second.
const WINDOW: Duration = Duration::from_secs(10);
const PART: Duration = Duration::from_millis(500);
/// Before so many parts have echoes, a fastest echo is no measure: the line has to be fast in itself.
const PROVEN: usize = 5;
/// Pings that are remembered while no echo comes.
const MOST_PINGS: usize = 128;

/// The fastest and the slowest echo of half a second.
#[derive(Debug, Clone, Copy)]
struct Part {
    since: Instant,
    fastest: Duration,
    slowest: Duration,
}

/// The state of one line.
#[derive(Debug, Default)]
pub struct Evenness {
    /// The pings that are out, and how long our own bytes in front of each keep it.
    out: VecDeque<(Instant, Duration)>,
    sent_at: Option<Instant>,
    parts: VecDeque<Part>,
}

impl Evenness {
    /// A ping goes out, behind bytes that take `own_wait` to arrive.
    pub fn sent(&mut self, own_wait: Duration, now: Instant) {
        self.sent_at = Some(now);
        if self.out.len() < MOST_PINGS {
            self.out.push_back((now, own_wait));
        }
    }

    /// An echo came; they come in the order of the pings.
    pub fn echoed(&mut self, now: Instant) {
        let Some((sent, own_wait)) = self.out.pop_front() else { return };
        let took = now.saturating_duration_since(sent).saturating_sub(own_wait);
        while self.parts.front().is_some_and(|part| part.since + WINDOW <= now) {
            self.parts.pop_front();
        }
        match self.parts.back_mut().filter(|part| now < part.since + PART) {
            Some(part) => {
                part.fastest = part.fastest.min(took);
                part.slowest = part.slowest.max(took);
            }
            None => self.parts.push_back(Part { since: now, fastest: took, slowest: took }),
        }
    }

    /// Whether the line was uneven in the last ten seconds, or an echo is late now.
    pub fn is_uneven(&self, now: Instant) -> bool {
        let limit = self.limit(now);
        let was_late = self.recent(now).any(|part| part.slowest > limit);
        was_late || self.late_at(now).is_some_and(|at| at <= now)
    }

    /// When the echo that is awaited is late.
    pub fn late_at(&self, now: Instant) -> Option<Instant> {
        self.out.front().map(|(sent, own_wait)| *sent + *own_wait + self.limit(now))
    }

    /// When the next ping for a held key is due.
    pub fn prove_at(&self) -> Option<Instant> {
        self.sent_at.map(|sent| sent + PROVE_EVERY)
    }

    /// The longest that an echo may take.
    fn limit(&self, now: Instant) -> Duration {
        let fastest = self.recent(now).map(|part| part.fastest).min().unwrap_or_default();
        if self.recent(now).count() < PROVEN { LATE } else { fastest + LATE }
    }

    fn recent(&self, now: Instant) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(move |part| now < part.since + WINDOW)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a base for simulated time")]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Pings once a second, each answered after its time.
    fn after(round_trips: &[u64]) -> (Evenness, Instant) {
        let mut line = Evenness::default();
        let mut now = Instant::now();
        for took in round_trips {
            line.sent(Duration::ZERO, now);
            line.echoed(now + ms(*took));
            now += ms(1000);
        }
        (line, now)
    }

    #[test]
    fn a_fast_line_is_even_at_once_and_a_far_one_when_it_is_proven() {
        let (line, now) = after(&[]);
        assert!(!line.is_uneven(now));
        let (line, now) = after(&[20, 90]);
        assert!(!line.is_uneven(now));
        let (line, now) = after(&[250, 250, 260, 255]);
        assert!(line.is_uneven(now), "not yet");
        let (line, now) = after(&[250, 250, 260, 255, 340]);
        assert!(!line.is_uneven(now), "far, but even");
        let (line, now) = after(&[250, 250, 260, 255, 355]);
        assert!(line.is_uneven(now));
    }

    #[test]
    fn an_uneven_line_is_forgiven_after_ten_seconds() {
        let (mut line, mut now) = after(&[20, 400]);
        for n in 0..20 {
            assert_eq!(line.is_uneven(now), n < 10, "{n} s later");
            line.sent(Duration::ZERO, now);
            line.echoed(now + ms(20));
            now += ms(1000);
        }
    }

    #[test]
    fn a_late_echo_makes_it_uneven_before_it_comes() {
        let (mut line, now) = after(&[20; 6]);
        line.sent(Duration::ZERO, now);
        assert_eq!(line.late_at(now), Some(now + ms(120)));
        assert_eq!(line.prove_at(), Some(now + PROVE_EVERY));
        assert!(!line.is_uneven(now + ms(119)));
        assert!(line.is_uneven(now + ms(120)));
        line.echoed(now + ms(5000));
        assert!(line.is_uneven(now + ms(14_999)) && !line.is_uneven(now + ms(15_000)));
    }

    #[test]
    fn what_our_own_pictures_delay_is_not_the_lines_fault() {
        let (mut line, now) = after(&[20; 6]);
        line.sent(ms(300), now);
        assert!(!line.is_uneven(now + ms(400)));
        line.echoed(now + ms(390));
        assert!(!line.is_uneven(now + ms(400)));
    }

    #[test]
    fn a_controller_that_never_echoes_is_bounded_and_uneven() {
        let (mut line, now) = after(&[]);
        for n in 0..10_000 {
            line.sent(Duration::ZERO, now + ms(n));
        }
        assert!(line.out.len() <= MOST_PINGS && line.is_uneven(now + ms(100)));
    }
}
