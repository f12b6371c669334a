#![allow(clippy::disallowed_methods, reason = "tests own their clocks")]

use super::*;
use crate::media::capture::{Colours, RawPlane};

const TICK: Duration = Duration::from_millis(33);

/// A source of NV12 frames in simulated time.
struct Bench {
    watchman: Watchman,
    before: (Vec<u8>, Vec<u8>),
    now: (Vec<u8>, Vec<u8>),
    at: Instant,
}

const SIZE: Resolution = Resolution::new(70, 53);

fn frame(data: &(Vec<u8>, Vec<u8>), at: Instant) -> RawFrame<'_> {
    let stride = 72;
    RawFrame {
        format: PixelFormat::Nv12,
        resolution: SIZE,
        planes: [RawPlane { data: &data.0, stride }, RawPlane { data: &data.1, stride }, RawPlane::EMPTY],
        colours: Colours::Bt601,
        captured_at: at,
    }
}

impl Bench {
    fn new() -> Self {
        let picture = (vec![7; 72 * 53], vec![9; 72 * 26]);
        Self { watchman: Watchman::default(), before: picture.clone(), now: picture, at: Instant::now() }
    }

    /// The next frame: the runs of rows that were found changed.
    fn tick(&mut self) -> Vec<(u32, u32)> {
        self.at += TICK;
        let pair = FramePair {
            current: frame(&self.now, self.at),
            previous: Some(frame(&self.before, self.at)),
            captured: None,
        };
        let runs = self.watchman.look(&pair, self.at).unwrap().runs().collect();
        self.before = self.now.clone();
        runs
    }

    fn fall_asleep(&mut self) {
        let mut frames = 0;
        while !self.watchman.is_sampling() {
            assert_eq!(self.tick(), []);
            frames += 1;
            assert!(frames < 60, "sampling begins");
        }
    }
}

#[test]
fn a_change_of_any_row_is_seen_within_eight_frames_and_exactly() {
    let mut slowest = 0;
    for row in 0..52 {
        for (column, is_chroma) in [(0, false), (69, false), (35, true)] {
            let mut bench = Bench::new();
            bench.fall_asleep();
            // Any phase may be next.
            (0..row % 8).for_each(|_| assert_eq!(bench.tick(), []));
            let plane = if is_chroma { &mut bench.now.1 } else { &mut bench.now.0 };
            plane[72 * if is_chroma { row / 2 } else { row } + column] ^= 0x80;
            let frames =
                (1..=8).find(|_| !bench_tick_is_empty(&mut bench)).expect("seen within eight frames");
            slowest = slowest.max(frames);
            assert!(!bench.watchman.is_sampling(), "everything is compared after a hit");
        }
    }
    assert!(slowest > 1, "it does sample");
}

/// One frame; what it finds must be the stripe of the changed row.
fn bench_tick_is_empty(bench: &mut Bench) -> bool {
    let runs = bench.tick();
    assert!(runs.len() <= 1 && runs.iter().all(|(_, rows)| *rows == STRIPE_ROWS));
    runs.is_empty()
}

#[test]
fn sampling_begins_after_a_still_second_and_an_alarm_ends_it_for_a_while() {
    let mut bench = Bench::new();
    let start = bench.at;
    bench.fall_asleep();
    let slept = bench.at - start;
    assert!(slept >= STILL && slept < STILL + 3 * TICK, "{slept:?}");
    // A change that the next phases do not look at: an alarm finds it at once, where the frame before has it too.
    bench.now.0[72 * 7] ^= 1;
    assert_eq!(bench.tick(), [], "phase 0");
    bench.watchman.alert(bench.at);
    assert_eq!(bench.tick(), [(0, 16)]);
    assert!(!bench.watchman.is_sampling());
    let woken = bench.at;
    bench.fall_asleep();
    assert!(bench.at - woken >= STILL);
}

#[test]
fn padding_is_not_looked_at_and_another_shape_is_all_new() {
    let mut bench = Bench::new();
    bench.fall_asleep();
    (0..53).for_each(|row| bench.now.0[72 * row + 71] = 99);
    for _ in 0..16 {
        assert_eq!(bench.tick(), []);
    }
    let current = RawFrame { resolution: Resolution::new(64, 48), ..frame(&bench.now, bench.at) };
    let pair = FramePair { current, previous: Some(frame(&bench.before, bench.at)), captured: None };
    assert_eq!(bench.watchman.look(&pair, bench.at), None);
    let alone = FramePair { current: frame(&bench.now, bench.at), previous: None, captured: None };
    assert_eq!(bench.watchman.look(&alone, bench.at), None);
}

#[test]
fn sums_of_rows_that_differ_anywhere_differ() {
    for length in [0, 1, 7, 8, 63, 64, 65, 200] {
        let row: Vec<u8> = (0..length).map(|n| n as u8).collect();
        for at in 0..length {
            let mut other = row.clone();
            other[at] ^= 0x80;
            assert_ne!(sum_of(&row), sum_of(&other));
            // Two flips of the highest bit of words in the same lane must not hide each other.
            if at + 64 < length {
                other[at + 64] ^= 0x80;
                assert_ne!(sum_of(&row), sum_of(&other));
            }
        }
        assert_ne!(sum_of(&row), sum_of(&[&row[..], &[0]].concat()));
    }
}
