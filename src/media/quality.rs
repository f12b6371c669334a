//! How fine each frame of a lane is: key frames coarse, changes as wished and as the line allows, and once the
//! picture is quiet a refinement, stepwise on slow lines, then nothing. Pure: time is an argument.

use std::time::{Duration, Instant};

use super::budget::{Budget, Change};

/// So long after the last key frame or large change a picture is refined.
pub const QUIET: Duration = Duration::from_millis(230);
/// On a slow line a large change after a pause this long has little in common with what the encoder remembers: it may
/// become as big as a key frame, and is made as coarse as one.
const PAUSE: Duration = Duration::from_millis(200);
/// Least time between two steps of a refinement.
const STEP_GAP: Duration = Duration::from_millis(50);
/// What a still picture is refined to, if nothing finer is wished.
const FINE: u8 = 19;
/// Quantiser steps of the first refinement on a slow line, and the bounds that what it cost moves them within.
const FIRST_STEPS: u8 = 6;
const STEPS: (u8, u8) = (3, 12);
/// What a step of a refinement may take of the line, and below which the next one is larger.
const STEP_MOST: Duration = Duration::from_millis(300);
const STEP_LITTLE: Duration = Duration::from_millis(100);
/// Bytes a pixel of a whole refinement, at most: lines that take it within [`STEP_MOST`] do it at once.
const WHOLE: f64 = 0.15;

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Someone is new or asked: it decodes without anything before it.
    Key,
    /// The same for someone who lost frames.
    CatchUp,
    /// The picture changed.
    Delta(Change),
    /// The picture is still, but could be finer.
    Refine,
}

/// The state of one lane.
#[derive(Debug, Clone)]
pub struct Quality {
    budget: Budget,
    wished: u8,
    pixels: u64,
    /// The quantiser at which watchers have the picture; `None` before the first frame.
    shown: Option<u8>,
    /// When refinement may go on.
    refine_at: Option<Instant>,
    /// When the last change or key frame was made.
    changed_at: Option<Instant>,
    /// Quantiser steps of the next refinement on a slow line.
    steps: u8,
}

impl Default for Quality {
    fn default() -> Self {
        Self {
            budget: Budget::default(),
            wished: FINE,
            pixels: 0,
            shown: None,
            refine_at: None,
            changed_at: None,
            steps: FIRST_STEPS,
        }
    }
}

impl Quality {
    /// What the watchers want from now on: the quantiser, what the line carries, pixels of a picture.
    pub fn follow(&mut self, wished: u8, line: Option<u32>, pixels: u64) {
        self.wished = wished;
        self.pixels = pixels;
        if line != self.budget.line() {
            self.budget.follow(line, pixels);
        }
    }

    /// The feedback of the line.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// What a still picture ends at; never worse than wished.
    pub fn finest(&self) -> u8 {
        self.wished.min(FINE)
    }

    /// When a picture that does not change should be refined; `None` if it is as fine as it gets.
    pub fn refine_due_at(&self) -> Option<Instant> {
        self.refine_at.filter(|_| self.shown.is_some_and(|shown| shown > self.finest()))
    }

    /// The quantiser of the next frame. `is_dirty`: a key frame would carry a change too.
    pub fn order(&self, work: Work, is_dirty: bool, now: Instant) -> u8 {
        match work {
            Work::Key => self.budget.key(self.wished, self.pixels),
            // Whoever is slow would lose the refinement of a still picture again, and so on without end.
            Work::CatchUp if !is_dirty && self.is_fine() => self.wished,
            Work::CatchUp => self.budget.key(self.wished, self.pixels),
            Work::Delta(Change::Small) if self.is_refined_with(now) => {
                self.finest().saturating_add(self.budget.extra(Change::Small)).min(super::budget::COARSEST)
            }
            Work::Delta(Change::Large) if self.is_after_pause(now) => {
                let change = self.budget.delta(self.wished, Change::Large);
                change.max(self.budget.key(self.wished, self.pixels))
            }
            Work::Delta(change) => self.budget.delta(self.wished, change),
            Work::Refine => self.next_step(),
        }
    }

    /// What a frame of [`Quality::order`] turned out to be.
    pub fn took(&mut self, work: Work, is_dirty: bool, quantiser: u8, bytes: usize, now: Instant) {
        let line_time = self.budget.line_time(bytes);
        if work != Work::Refine {
            self.changed_at = Some(now);
        }
        match work {
            Work::CatchUp if !is_dirty && self.is_fine() => {}
            Work::Key | Work::CatchUp => {
                self.budget.took_key(bytes, quantiser);
                self.shown = Some(quantiser);
                self.begin_quiet(now, line_time);
            }
            Work::Delta(change) => {
                self.budget.took_delta(bytes, change);
                self.shown = Some(quantiser);
                // Small changes do not put the refinement off: a clock would put it off for ever.
                if change == Change::Large || self.refine_at.is_none() {
                    self.begin_quiet(now, line_time);
                }
            }
            Work::Refine => {
                self.shown = Some(quantiser);
                // As long as the line was busy it is free for whatever comes: what was still that long may well stay so.
                self.refine_at = Some(now + (line_time * 2).max(STEP_GAP));
                self.steps = if line_time > STEP_MOST {
                    (self.steps / 2).max(STEPS.0)
                } else if line_time < STEP_LITTLE {
                    (self.steps * 2).min(STEPS.1)
                } else {
                    self.steps
                };
            }
        }
    }

    fn begin_quiet(&mut self, now: Instant, line_time: Duration) {
        self.refine_at = Some(now + line_time.max(QUIET));
        self.steps = FIRST_STEPS;
    }

    fn is_after_pause(&self, now: Instant) -> bool {
        let pause = |at: Instant| now.saturating_duration_since(at) >= PAUSE;
        self.budget.line().is_some() && self.changed_at.is_some_and(pause)
    }

    fn is_fine(&self) -> bool {
        self.shown.is_some_and(|shown| shown <= self.finest())
    }

    /// Whether a small change is sent as fine as a refinement, because all the rest is fine already, or because
    /// the refinement is due and costs the line nothing. Else a cursor would cost two encodes each time it blinks.
    fn is_refined_with(&self, now: Instant) -> bool {
        self.is_fine() || (self.budget.line().is_none() && self.refine_at.is_some_and(|at| at <= now))
    }

    fn next_step(&self) -> u8 {
        let finest = self.finest();
        let (Some(shown), Some(line)) = (self.shown, self.budget.line()) else { return finest };
        let whole = self.pixels as f64 * WHOLE * 8.0 / f64::from(line);
        if whole <= STEP_MOST.as_secs_f64() { finest } else { shown.saturating_sub(self.steps).max(finest) }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests own their clocks")]
mod tests {
    use super::*;

    const PIXELS: u64 = 1920 * 1080;

    /// A lane in simulated time.
    struct Bench {
        quality: Quality,
        start: Instant,
        millis: u64,
    }

    impl Bench {
        fn new(wished: u8, line: Option<u32>) -> Self {
            let mut quality = Quality::default();
            quality.follow(wished, line, PIXELS);
            Self { quality, start: Instant::now(), millis: 0 }
        }

        fn now(&self) -> Instant {
            self.start + Duration::from_millis(self.millis)
        }

        fn encode(&mut self, work: Work, bytes: usize) -> u8 {
            let is_dirty = matches!(work, Work::Delta(_));
            let quantiser = self.quality.order(work, is_dirty, self.now());
            self.quality.took(work, is_dirty, quantiser, bytes, self.now());
            quantiser
        }

        /// Milliseconds until refinement is due.
        fn wait(&self) -> Option<u64> {
            let due = self.quality.refine_due_at()?;
            Some(due.saturating_duration_since(self.now()).as_millis() as u64)
        }
    }

    #[test]
    fn after_a_pause_a_large_change_is_as_coarse_as_a_key_frame_but_only_on_slow_lines() {
        let large = Work::Delta(Change::Large);
        let mut bench = Bench::new(26, Some(300_000));
        bench.encode(Work::Key, 15_000);
        for _ in 0..100 {
            bench.millis += 100;
            bench.encode(large, 100);
        }
        assert!(bench.encode(large, 100) <= 27, "a scroll that costs nothing is as fine as wished");
        bench.millis += 200;
        let key = bench.quality.budget().key(26, PIXELS);
        assert!(key > 40);
        assert_eq!(bench.encode(large, 15_000), key);
        let mut bench = Bench::new(26, None);
        bench.encode(Work::Key, 15_000);
        bench.millis += 1000;
        assert_eq!(bench.encode(large, 15_000), 26);
    }

    #[test]
    fn a_key_frame_is_coarse_then_refined_once_then_nothing() {
        let mut bench = Bench::new(26, None);
        assert_eq!(bench.wait(), None, "nothing was sent that could be finer");
        assert_eq!(bench.encode(Work::Key, 200_000), 34);
        assert_eq!(bench.wait(), Some(230));
        bench.millis += 100;
        assert_eq!(bench.encode(Work::Delta(Change::Large), 20_000), 26);
        assert_eq!(bench.wait(), Some(230), "a large change puts it off");
        bench.millis += 230;
        assert_eq!(bench.encode(Work::Refine, 200_000), 19);
        assert_eq!(bench.wait(), None);
        bench.millis += 5000;
        assert_eq!(bench.encode(Work::Delta(Change::Small), 300), 19, "a blinking cursor is one encode");
        assert_eq!(bench.wait(), None);
        let mut best = Bench::new(14, None);
        best.encode(Work::Key, 1);
        assert_eq!(best.encode(Work::Refine, 1), 14, "never worse than wished");
    }

    #[test]
    fn small_changes_without_end_do_not_put_refinement_off() {
        let mut bench = Bench::new(26, None);
        bench.encode(Work::Key, 200_000);
        let mut quantisers = Vec::new();
        for _ in 0..10 {
            bench.millis += 66;
            quantisers.push(bench.encode(Work::Delta(Change::Small), 500));
        }
        assert_eq!(quantisers, [26, 26, 26, 19, 19, 19, 19, 19, 19, 19]);
        assert_eq!(bench.wait(), None);
    }

    #[test]
    fn a_slow_line_is_refined_in_steps_that_leave_it_time() {
        let mut bench = Bench::new(26, Some(1_000_000));
        bench.encode(Work::Key, 50_000);
        assert_eq!(bench.wait(), Some(400), "as long as the line needs for the key frame");
        let (mut last, mut steps) = (60, 0);
        while let Some(wait) = bench.wait() {
            bench.millis += wait;
            let quantiser = bench.encode(Work::Refine, 30_000);
            assert!(quantiser < last && last - quantiser <= 30);
            (last, steps) = (quantiser, steps + 1);
        }
        assert!(last == 19 && (2..9).contains(&steps), "{steps} steps to {last}");
        let mut wide = Bench::new(26, Some(20_000_000));
        wide.encode(Work::Key, 50_000);
        assert_eq!(wide.encode(Work::Refine, 100_000), 19, "a wide line takes it at once");
    }

    #[test]
    fn catching_up_on_a_still_picture_ends() {
        let mut bench = Bench::new(26, None);
        bench.encode(Work::Key, 200_000);
        bench.millis += 230;
        bench.encode(Work::Refine, 200_000);
        assert_eq!(bench.encode(Work::CatchUp, 250_000), 26);
        assert_eq!(bench.wait(), None);
        assert_eq!(bench.encode(Work::Key, 200_000), 34, "who is new gets it coarse first");
        assert_eq!(bench.wait(), Some(230));
    }
}
