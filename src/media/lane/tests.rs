use std::sync::Arc;

use super::*;
use crate::media::encode::encoders::Candidate;
use crate::media::picture::I420Picture;
use crate::video::format::Resolution;

const SIZE: Resolution = Resolution::new(640, 480);

/// An encoder whose frames halve each six steps of the quantiser: 12 kB of a change at 26, ten times that of a key.
struct Halving;

impl Candidate for Halving {
    fn name(&self) -> &'static str {
        "halving"
    }

    fn codec(&self) -> Codec {
        Codec::Vp9
    }

    fn cost(&self) -> u32 {
        100
    }

    fn open(&self, _: Resolution) -> Result<Box<dyn Encoder>, EncodeError> {
        Ok(Box::new(Self))
    }
}

impl Encoder for Halving {
    fn name(&self) -> &'static str {
        "halving"
    }

    fn codec(&self) -> Codec {
        Codec::Vp9
    }

    fn resolution(&self) -> Resolution {
        SIZE
    }

    fn encode(&mut self, _: &I420Picture, order: FrameOrder) -> Result<EncodedPicture, EncodeError> {
        let whole = if order.wants_keyframe { 120_000.0 } else { 12_000.0 };
        let bytes = whole * ((26.0 - f64::from(order.quantiser)) / 6.0).exp2();
        let data = vec![0; (bytes as usize).max(20)].into();
        Ok(EncodedPicture { data, is_keyframe: order.wants_keyframe })
    }
}

/// A lane in simulated time, with a line that takes one frame after the other.
struct Bench {
    lane: Lane,
    encoders: Arc<Encoders>,
    picture: I420Picture,
    start: Instant,
    line: Option<u32>,
    /// When the line is free again.
    free_at: Instant,
    /// Frames: when begun, how long until the line had taken them, what for, quantiser.
    sent: Vec<(Duration, Duration, Work, u8)>,
}

impl Bench {
    fn new(fps: u32, line: Option<u32>) -> Self {
        let start = Instant::now();
        let mut lane = Lane::new(LaneId(0), Codec::Vp9, false, start);
        lane.follow(Demand { fps, quality_percent: 67 }, line);
        Self {
            lane,
            encoders: Encoders::of(vec![Arc::new(Halving)]),
            picture: I420Picture::new(SIZE),
            start,
            line,
            free_at: start,
            sent: Vec::new(),
        }
    }

    /// From `from` to `until` milliseconds in steps of a source's frame; it changes while `moves`.
    fn run(&mut self, from: u64, until: u64, source_fps: u64, moves: bool) {
        let mut key = self.sent.is_empty();
        for n in 0..(until - from) * source_fps / 1000 {
            let now =
                self.start + Duration::from_millis(from) + Duration::from_micros(n * 1_000_000 / source_fps);
            if moves {
                self.lane.mark(Change::Large);
            }
            let need = Need { has_room: now >= self.free_at, is_keyframe_due: key, ..Need::default() };
            let Due::Now(work, _) = self.lane.due(need, now) else { continue };
            key = false;
            let made = self.lane.encode(work, Shown::Own(&self.picture), &self.encoders, now).unwrap();
            let ready = now + Duration::from_millis(5);
            self.lane.sent(&made, now, ready);
            let bits = made.picture.data.len() as f64 * 8.0;
            let time = self.line.map_or(0.0, |line| bits / f64::from(line));
            self.free_at = self.free_at.max(ready) + Duration::from_secs_f64(time);
            self.sent.push((now - self.start, self.free_at - now, made.work, made.quantiser));
        }
    }
}

#[test]
fn sixty_frames_a_second_are_reached_and_the_wish_limits() {
    for (fps, source, expected) in [(60, 60, 58..=61), (30, 60, 29..=31), (60, 30, 29..=31), (7, 60, 6..=8)] {
        let mut bench = Bench::new(fps, None);
        bench.run(0, 4000, source, true);
        let frames = bench.sent.len() as u64 / 4;
        assert!(expected.contains(&frames), "{frames} a second of {source} for {fps}");
        assert!(bench.sent[1..].iter().all(|(.., quantiser)| *quantiser == 26));
    }
}

#[test]
fn on_a_slow_line_pictures_stay_fresh_and_sharpen_when_still() {
    for line in [2_000_000, 600_000] {
        let mut bench = Bench::new(30, Some(line));
        bench.run(0, 10_000, 60, true);
        let moving = bench.sent.len();
        let settled: Vec<_> = bench.sent.iter().filter(|(at, ..)| *at > Duration::from_secs(2)).collect();
        let slowest = settled.iter().map(|(_, delay, ..)| *delay).max().unwrap();
        assert!(slowest <= Duration::from_millis(160), "{slowest:?} at {line}");
        assert!(settled.len() >= 64, "{} frames in eight seconds at {line}", settled.len());
        bench.run(10_000, 20_000, 60, false);
        let still = &bench.sent[moving..];
        let refined: Vec<_> = still.iter().filter(|(.., work, _)| *work == Work::Refine).collect();
        assert_eq!(refined.last().map(|(.., quantiser)| *quantiser), Some(19), "{still:?}");
        assert!(refined.iter().all(|(_, delay, ..)| *delay <= Duration::from_millis(600)), "{refined:?}");
        let count = bench.sent.len();
        bench.run(20_000, 30_000, 60, false);
        assert_eq!(bench.sent.len(), count, "then nothing");
    }
}

#[test]
fn a_cut_of_the_line_is_followed_within_two_seconds() {
    let mut bench = Bench::new(30, Some(2_000_000));
    bench.run(0, 5000, 60, true);
    bench.line = Some(300_000);
    bench.lane.follow(Demand { fps: 30, quality_percent: 67 }, Some(300_000));
    let before = bench.sent.len();
    bench.run(5000, 12_000, 60, true);
    let late = bench.sent[before..].iter().filter(|(at, ..)| *at > Duration::from_secs(7));
    let slowest = late.map(|(_, delay, ..)| *delay).max().unwrap();
    assert!(slowest <= Duration::from_millis(160), "{slowest:?}");
}

#[test]
fn nothing_is_due_without_room_and_key_frames_wait_for_nothing() {
    let mut bench = Bench::new(30, None);
    let now = bench.start;
    bench.lane.mark(Change::Small);
    assert_eq!(bench.lane.due(Need::default(), now), Due::Never);
    let later = now + Duration::from_millis(70);
    let need = Need { keyframe_due_at: Some(later), ..Need::default() };
    assert_eq!(bench.lane.due(need, now), Due::At(later));
    let need = Need { is_keyframe_due: true, is_catch_up: true, ..Need::default() };
    assert_eq!(bench.lane.due(need, now), Due::Now(Work::CatchUp, now));
    bench.lane.rest_until(later);
    assert_eq!(bench.lane.due(need, now), Due::At(later));
    bench.run(100, 1000, 30, true);
    assert!(!bench.sent.is_empty(), "it goes on after the rest");
}
