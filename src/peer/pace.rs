//! Fits the controller's wish to its line: a round trip that grows over the shortest one seen, or bytes that
//! pile up, lower frame rate and quality step by step; calm lines raise them again (reference: session 3.7).

use std::time::Duration;

use crate::video::request::VideoRequest;

/// Extra delay above which the line is full, and below which it is calm.
const FULL: Duration = Duration::from_millis(300);
const CALM: Duration = Duration::from_millis(100);
/// Bytes waiting above which the line is full, and below which it is calm.
const FULL_BACKLOG: usize = 256 * 1024;
const CALM_BACKLOG: usize = 64 * 1024;
/// Calm round trips before a step up, and the deepest step.
const CALM_TIMES: u32 = 3;
const DEEPEST: u32 = 4;

/// The state of one line.
#[derive(Debug, Default)]
pub struct Pace {
    shortest: Option<Duration>,
    backlog: usize,
    step: u32,
    calm: u32,
}

impl Pace {
    /// Takes the bytes that wait to go out.
    pub fn set_backlog(&mut self, bytes: usize) {
        self.backlog = bytes;
    }

    /// Takes a round trip (one a second); true if the request changes.
    pub fn round_trip(&mut self, round_trip: Duration) -> bool {
        let shortest = self.shortest.map_or(round_trip, |s| s.min(round_trip));
        self.shortest = Some(shortest);
        let extra = round_trip - shortest;
        let before = self.step;
        if extra > FULL || self.backlog > FULL_BACKLOG {
            self.step = (self.step + 1).min(DEEPEST);
            self.calm = 0;
        } else if extra < CALM && self.backlog < CALM_BACKLOG {
            self.calm += 1;
            if self.calm >= CALM_TIMES {
                self.calm = 0;
                self.step = self.step.saturating_sub(1);
            }
        } else {
            self.calm = 0;
        }
        before != self.step
    }

    /// The wish, as far as the line carries it: at least 5 frames a second and a fifth of the quality.
    pub fn fit(&self, wish: VideoRequest) -> VideoRequest {
        let max_fps = (wish.max_fps >> self.step).max(wish.max_fps.min(5));
        let quality_percent = (wish.quality_percent * (DEEPEST + 1 - self.step) / (DEEPEST + 1)).max(20);
        VideoRequest { max_fps, quality_percent, ..wish }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_line_slows_down_and_a_calm_one_recovers() {
        let ms = Duration::from_millis;
        let mut pace = Pace::default();
        let wish = VideoRequest::default();
        for _ in 0..10 {
            assert!(!pace.round_trip(ms(400)), "a long way is no full line");
        }
        assert_eq!(pace.fit(wish), wish);
        assert!(pace.round_trip(ms(800)));
        assert_eq!((pace.fit(wish).max_fps, pace.fit(wish).quality_percent), (15, 53));
        pace.set_backlog(10 << 20);
        for _ in 0..9 {
            pace.round_trip(ms(400));
        }
        assert_eq!((pace.fit(wish).max_fps, pace.fit(wish).quality_percent), (5, 20));
        pace.set_backlog(0);
        let steps = (0..30).filter(|_| pace.round_trip(ms(410))).count();
        assert_eq!(steps, 4);
        assert_eq!(pace.fit(wish), wish);
    }
}
