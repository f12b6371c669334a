//! How coarse frames must be for a line: each should take at most a tenth of a second of it. Coarser at once when a
//! frame was too big, finer slowly; small and large changes are kept apart, so that typing does not make the next
//! scroll too big. Pure.

use std::time::Duration;

/// The coarsest quantiser there is.
pub const COARSEST: u8 = 51;
/// What a frame should take of the line, and what is too much.
const AIM: Duration = Duration::from_millis(80);
const MOST: Duration = Duration::from_millis(110);
/// What a key frame may take of it.
const KEY_MOST: Duration = Duration::from_millis(400);
/// Quantiser of a key frame on a line that nothing limits: at least so coarse, and so much above the wished one
/// (a key frame of 200 kB is 160 ms of 10 Mbit/s, and half of that four steps coarser).
const KEY_LEAST: u8 = 32;
const KEY_ABOVE: u8 = 8;
/// Guesses until something was measured, in bytes a pixel: a key frame at [`KEY_LEAST`], a large change at 26.
const KEY_GUESS: f64 = 0.09;
const CHANGE_GUESS: f64 = 0.02;
/// Steps of the quantiser that halve the bytes.
const HALF: f64 = 6.0;

/// How much of a picture changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A cursor, a line of text: at most an eighth of the picture.
    Small,
    /// More.
    Large,
}

/// The feedback of one lane.
#[derive(Debug, Clone, Default)]
pub struct Budget {
    line: Option<u32>,
    /// How much coarser than wished, for small and for large changes.
    extra: [f64; 2],
    /// Bytes of a key frame at [`KEY_LEAST`], from the last one.
    key_bytes: Option<f64>,
}

impl Budget {
    /// What the line carries from now on, in bits a second, and how many pixels a picture has.
    pub fn follow(&mut self, line: Option<u32>, pixels: u64) {
        let line = line.map(|line| line.max(1));
        match (self.line, line) {
            (_, None) => self.extra = [0.0; 2],
            (Some(old), Some(new)) => {
                let steps = HALF * (f64::from(old) / f64::from(new)).log2();
                // Estimates go up and down: what one takes away the other gives back, but for large changes only
                // half of it at once.
                self.extra[0] = cap(self.extra[0] + steps);
                self.extra[1] = cap(self.extra[1] + steps.max(steps / 2.0));
                // A line that was wide enough for everything says nothing about how big a large change is.
                self.extra[1] = self.extra[1].min(cap(guess(new, pixels) + HALF)).max(0.0);
            }
            (None, Some(new)) => self.extra = [0.0, guess(new, pixels)],
        }
        self.line = line;
    }

    /// What the line carries.
    pub fn line(&self) -> Option<u32> {
        self.line
    }

    /// How long the line is busy with so many bytes; nothing on a line without limit.
    pub fn line_time(&self, bytes: usize) -> Duration {
        line_time(self.line, bytes)
    }

    /// How much coarser than wished a change has to be.
    pub fn extra(&self, change: Change) -> u8 {
        self.extra[change as usize].round() as u8
    }

    /// The quantiser of a change.
    pub fn delta(&self, wished: u8, change: Change) -> u8 {
        wished.saturating_add(self.extra(change)).min(COARSEST)
    }

    /// The quantiser of a key frame of a picture of `pixels`: coarse, it is refined afterwards.
    pub fn key(&self, wished: u8, pixels: u64) -> u8 {
        let coarse = wished.saturating_add(KEY_ABOVE).max(KEY_LEAST);
        let Some(line) = self.line else { return coarse.min(COARSEST) };
        let bytes = self.key_bytes.unwrap_or(pixels as f64 * KEY_GUESS);
        let most = f64::from(line) / 8.0 * KEY_MOST.as_secs_f64();
        let needed = f64::from(KEY_LEAST) + HALF * (bytes / most).log2();
        coarse.max(needed.ceil().clamp(0.0, f64::from(COARSEST)) as u8).min(COARSEST)
    }

    /// A key frame was so big.
    pub fn took_key(&mut self, bytes: usize, quantiser: u8) {
        let steps = f64::from(quantiser) - f64::from(KEY_LEAST);
        self.key_bytes = Some(bytes.max(1) as f64 * (steps / HALF).exp2());
    }

    /// A change was so big.
    pub fn took_delta(&mut self, bytes: usize, change: Change) {
        if self.line.is_none() {
            return;
        }
        let (time, extra) = (self.line_time(bytes), &mut self.extra[change as usize]);
        if time > MOST {
            let steps = HALF * (time.as_secs_f64() / AIM.as_secs_f64()).log2();
            *extra = cap(*extra + steps.clamp(1.0, 12.0));
        } else if time * 4 < AIM * 3 {
            *extra = (*extra - 1.0).max(0.0);
        }
    }
}

/// How long a line of so many bits a second is busy with so many bytes; nothing on one without limit.
pub fn line_time(line: Option<u32>, bytes: usize) -> Duration {
    line.map_or(Duration::ZERO, |line| Duration::from_secs_f64(bytes as f64 * 8.0 / f64::from(line.max(1))))
}

fn cap(extra: f64) -> f64 {
    extra.clamp(0.0, f64::from(COARSEST))
}

/// How much coarser a large change must be on a line of which nothing is known yet.
fn guess(line: u32, pixels: u64) -> f64 {
    let aim = f64::from(line) / 8.0 * AIM.as_secs_f64();
    cap(HALF * (pixels.max(1) as f64 * CHANGE_GUESS / aim).log2())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIXELS: u64 = 1920 * 1080;

    /// Bytes of a large change whose size halves each six steps, 16 kB at 26.
    fn scroll(quantiser: u8) -> usize {
        (16_000.0 * ((26.0 - f64::from(quantiser)) / HALF).exp2()) as usize
    }

    #[test]
    fn nothing_is_coarser_than_wished_without_a_limit() {
        let mut budget = Budget::default();
        budget.follow(None, PIXELS);
        budget.took_delta(10_000_000, Change::Large);
        assert_eq!((budget.delta(26, Change::Large), budget.delta(60, Change::Small)), (26, COARSEST));
        assert_eq!(budget.line_time(1_000_000), Duration::ZERO);
        assert_eq!([14, 22, 26, 30, 36, 50].map(|q| budget.key(q, PIXELS)), [32, 32, 34, 38, 44, 51]);
    }

    #[test]
    fn frames_fit_the_line_soon_and_get_finer_again_slowly() {
        let mut budget = Budget::default();
        for line in [2_000_000, 300_000, 2_000_000] {
            budget.follow(Some(line), PIXELS);
            let mut late = 0;
            for n in 0..60 {
                let bytes = scroll(budget.delta(26, Change::Large));
                late += usize::from(budget.line_time(bytes) > Duration::from_millis(150));
                assert!(n < 3 || budget.line_time(bytes) <= MOST, "{line} frame {n}: {bytes} bytes");
                budget.took_delta(bytes, Change::Large);
            }
            assert!(late <= 2, "{late} frames too big at {line}");
        }
        assert!(budget.delta(26, Change::Large) <= 27, "at two megabits nothing is left of the cut");
        budget.follow(None, PIXELS);
        assert_eq!(budget.delta(26, Change::Large), 26);
    }

    #[test]
    fn typing_does_not_make_the_next_scroll_too_big() {
        let mut budget = Budget::default();
        budget.follow(Some(300_000), PIXELS);
        for _ in 0..20 {
            budget.took_delta(scroll(budget.delta(26, Change::Large)), Change::Large);
        }
        let coarse = budget.delta(26, Change::Large);
        for _ in 0..200 {
            budget.took_delta(200, Change::Small);
        }
        assert_eq!((budget.delta(26, Change::Large), budget.delta(26, Change::Small)), (coarse, 26));
    }

    #[test]
    fn an_estimate_that_wavers_leaves_typing_alone() {
        let mut budget = Budget::default();
        for n in 0..1000 {
            budget.follow(Some(if n % 2 == 0 { 2_000_000 } else { 1_700_000 }), PIXELS);
        }
        assert!(budget.delta(26, Change::Small) <= 28);
    }

    #[test]
    fn key_frames_are_coarse_enough_for_the_line() {
        let mut budget = Budget::default();
        budget.follow(Some(2_000_000), PIXELS);
        let first = budget.key(26, PIXELS);
        assert!((34..=40).contains(&first), "{first}");
        budget.took_key(400_000, first);
        let second = budget.key(26, PIXELS);
        assert!(second >= first + 6, "four times too big: {second}");
        budget.follow(Some(1), PIXELS);
        assert_eq!(budget.key(26, PIXELS), COARSEST);
    }

    proptest::proptest! {
        #[test]
        fn every_quantiser_is_one(
            lines in proptest::collection::vec((proptest::option::of(0u32..), 0usize..9_000_000, 0u8..), 0..50),
        ) {
            let mut budget = Budget::default();
            for (line, bytes, wished) in lines {
                budget.follow(line, PIXELS);
                let wished = wished % 52;
                for change in [Change::Small, Change::Large] {
                    let quantiser = budget.delta(wished, change);
                    proptest::prop_assert!((wished..=COARSEST).contains(&quantiser));
                    budget.took_delta(bytes, change);
                }
                let key = budget.key(wished, PIXELS);
                proptest::prop_assert!((wished..=COARSEST).contains(&key));
                budget.took_key(bytes, key);
            }
        }
    }
}
