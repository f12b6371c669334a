#![allow(clippy::disallowed_methods, reason = "tests own their clocks")]

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::video::format::Resolution;
use crate::video::frame::{Codec, CodecSet};

const LANE: LaneId = LaneId(7);

struct Bench {
    fanout: Fanout,
    notified: Arc<AtomicUsize>,
    start: Instant,
    sequence: u64,
}

impl Bench {
    fn new() -> Self {
        let notified = Arc::new(AtomicUsize::new(0));
        let count = notified.clone();
        let fanout = Fanout::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        Self { fanout, notified, start: Instant::now(), sequence: 0 }
    }

    fn at(&self, millis: u64) -> Instant {
        self.start + Duration::from_millis(millis)
    }

    fn publish(&mut self, is_keyframe: bool, millis: u64) {
        self.publish_sized(is_keyframe, millis, 0);
    }

    fn publish_sized(&mut self, is_keyframe: bool, millis: u64, bytes: usize) {
        let frame = EncodedFrame {
            data: vec![0; bytes].into(),
            codec: Codec::H264,
            is_keyframe,
            captured_at: self.start,
            sequence: self.sequence,
            resolution: Resolution::new(64, 64),
            original_resolution: Resolution::new(64, 64),
        };
        self.sequence += 1;
        self.fanout.publish(LANE, &frame, self.at(millis));
    }

    fn need(&self, millis: u64) -> Need {
        self.fanout.need(LANE, self.at(millis))
    }

    /// A watcher of the lane.
    fn watch(&self) -> Watch {
        self.watch_at(None, false)
    }

    fn watch_at(&self, bits_per_second: Option<u32>, is_skipping: bool) -> Watch {
        let watch = self.fanout.watch(VideoRequest { bits_per_second, ..VideoRequest::default() });
        self.fanout.place([(watch.watcher, Some(Place { lane: LANE, is_skipping }))]);
        watch
    }
}

fn next(watch: &mut Watch) -> Option<(u64, bool)> {
    match watch.poll_next(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(frame) => frame.map(|(f, _)| (f.sequence, f.is_keyframe)),
        Poll::Pending => None,
    }
}

#[test]
fn a_new_watcher_starts_with_a_key_frame_at_once() {
    let mut bench = Bench::new();
    assert_eq!(bench.need(0), Need::default());
    let mut first = bench.watch();
    assert!(bench.need(0).is_keyframe_due);
    bench.publish(false, 0);
    assert_eq!(next(&mut first), None, "a delta frame is nothing to start with");
    bench.publish(true, 0);
    assert_eq!(bench.need(1), Need::default());
    let mut second = bench.watch();
    assert!(bench.need(1).is_keyframe_due, "one millisecond after the last key frame");
    bench.publish(true, 1);
    bench.publish(false, 2);
    assert_eq!((next(&mut first), next(&mut first)), (Some((2, true)), Some((3, false))));
    assert_eq!((next(&mut second), next(&mut second)), (Some((2, true)), Some((3, false))));
    assert_eq!(next(&mut second), None);
}

#[test]
fn a_slow_watcher_loses_frames_up_to_a_key_frame_and_delays_nobody() {
    let mut bench = Bench::new();
    let mut slow = bench.watch();
    let mut fast = bench.watch();
    bench.publish(true, 0);
    for n in 1..13 {
        assert!(!bench.need(n * 10).has_room, "what was made waits to be taken");
        assert_eq!(next(&mut fast), Some((n - 1, n == 1)));
        assert!(bench.need(n * 10).has_room);
        bench.publish(false, n * 10);
    }
    assert!(!bench.need(5000).is_keyframe_due, "no key frame while the slow queue is not empty");
    let before = bench.notified.load(Ordering::Relaxed);
    let left: Vec<_> = std::iter::from_fn(|| next(&mut slow)).collect();
    let decodable: Vec<_> = (0..8).map(|n| (n, n == 0)).collect();
    assert_eq!(left, decodable, "what it gets is decodable");
    assert!(bench.notified.load(Ordering::Relaxed) > before, "the pipeline hears that it has room again");
    let need = bench.need(100);
    assert_eq!((need.is_keyframe_due, need.keyframe_due_at), (false, Some(bench.at(1000))));
    let need = bench.need(1000);
    assert!(need.is_keyframe_due && need.is_catch_up);
    bench.publish(true, 1000);
    assert_eq!(next(&mut slow), Some((13, true)));
    assert_eq!(next(&mut fast), Some((13, true)), "what is older than a key frame is not worth showing");
}

#[test]
fn who_is_held_up_for_a_moment_costs_nobody_a_key_frame() {
    let mut bench = Bench::new();
    let mut slow = bench.watch();
    let mut fast = bench.watch();
    let mut publish = |bench: &mut Bench, is_keyframe, millis| {
        bench.publish(is_keyframe, millis);
        next(&mut fast).unwrap()
    };
    publish(&mut bench, true, 0);
    for n in 1..=6 {
        publish(&mut bench, false, n * 33);
    }
    let left: Vec<_> = std::iter::from_fn(|| next(&mut slow)).map(|(n, _)| n).collect();
    assert_eq!(left, [0, 1, 2, 3, 4, 5, 6], "held up for 198 ms: nothing is lost");
    // At a slow pace one frame may wait long; two of which one is old are too much.
    for n in [500, 1000, 1500] {
        publish(&mut bench, false, n);
    }
    let left: Vec<_> = std::iter::from_fn(|| next(&mut slow)).map(|(n, _)| n).collect();
    assert_eq!(left, [7, 8]);
    assert!(bench.need(1500).is_catch_up);
}

#[test]
fn a_lone_slow_watcher_loses_nothing_because_nothing_is_encoded() {
    let mut bench = Bench::new();
    let mut slow = bench.watch();
    bench.publish(true, 0);
    let before = bench.notified.load(Ordering::Relaxed);
    assert!(!bench.need(3).has_room);
    assert_eq!(next(&mut slow), Some((0, true)));
    assert_eq!(bench.notified.load(Ordering::Relaxed), before + 1, "the pipeline hears that there is room");
    assert!(bench.need(3).has_room);
    bench.publish(false, 4);
    assert_eq!(next(&mut slow), Some((1, false)));
    assert_eq!(bench.notified.load(Ordering::Relaxed), before + 1, "and is left alone if it did not wait");
}

#[test]
fn a_skipping_watcher_sets_no_pace_and_catches_up_as_its_line_allows() {
    let mut bench = Bench::new();
    let mut fast = bench.watch();
    let mut slow = bench.watch_at(Some(80_000), true);
    bench.publish(true, 0);
    assert_eq!((next(&mut fast), next(&mut slow)), (Some((0, true)), Some((0, true))));
    bench.publish(false, 10);
    assert_eq!(next(&mut slow), Some((1, false)), "what it has room for");
    assert!(!bench.need(10).has_room, "room for the slow one is none");
    for millis in [20, 30, 40] {
        next(&mut fast);
        bench.publish(false, millis);
    }
    assert_eq!(
        (next(&mut slow), next(&mut slow), next(&mut slow)),
        (Some((2, false)), Some((3, false)), None)
    );
    assert_eq!(bench.need(50).keyframe_due_at, Some(bench.at(1000)));
    bench.publish_sized(true, 1000, 20_000);
    assert!(next(&mut slow).is_some());
    (0..3).for_each(|_| bench.publish(false, 1100));
    while next(&mut slow).is_some() {}
    assert_eq!(
        bench.need(2500).keyframe_due_at,
        Some(bench.at(4000)),
        "two seconds of its line, and as many half"
    );
}

#[test]
fn another_lane_begins_with_a_key_frame_and_what_is_not_decoded_is_not_handed_out() {
    let mut bench = Bench::new();
    let mut watch = bench.watch();
    bench.publish(true, 0);
    assert_eq!(next(&mut watch), Some((0, true)));
    bench.publish(false, 1);
    let version = bench.fanout.version();
    watch.update(VideoRequest { decodes: CodecSet::of(&[Codec::Vp9]), ..VideoRequest::default() });
    assert!(bench.fanout.version() > version);
    watch.update(VideoRequest { decodes: CodecSet::of(&[Codec::Vp9]), ..VideoRequest::default() });
    assert_eq!(bench.fanout.version(), version + 1, "the same wish again is no change");
    bench.publish(true, 2);
    assert_eq!(next(&mut watch), None, "no H.264 from now on");
    let other = Place { lane: LaneId(8), is_skipping: false };
    bench.fanout.place([(watch.watcher, Some(other)), (99, Some(other))]);
    assert_eq!(bench.need(2), Need::default(), "nobody is left in the old lane");
    assert!(bench.fanout.need(LaneId(8), bench.at(2)).is_keyframe_due, "at once");
    bench.fanout.place([(watch.watcher, None)]);
    assert_eq!(bench.fanout.need(LaneId(8), bench.at(2)), Need::default());
}

#[test]
fn requests_for_key_frames_are_one_request_and_rate_limited() {
    let mut bench = Bench::new();
    let (mut watch, mut other) = (bench.watch(), bench.watch());
    bench.publish(true, 0);
    watch.request_keyframe();
    assert_eq!(bench.need(50), Need::default(), "one waits already");
    assert_eq!([next(&mut watch), next(&mut other)], [Some((0, true)); 2]);
    for _ in 0..1000 {
        watch.request_keyframe();
        other.request_keyframe();
    }
    assert_eq!(bench.need(50).keyframe_due_at, Some(bench.at(100)));
    assert!(!bench.need(50).is_keyframe_due);
    assert!(bench.need(100).is_keyframe_due);
    bench.publish(true, 100);
    assert_eq!(bench.need(300), Need::default());
    assert_eq!((next(&mut watch), next(&mut watch)), (Some((1, true)), None), "older frames are of no use");
}

#[test]
fn the_end_comes_after_the_queue_and_dropping_a_watch_ends_it() {
    let mut bench = Bench::new();
    let mut watch = bench.watch();
    drop(bench.watch());
    assert_eq!(bench.fanout.requests().len(), 1);
    bench.publish(true, 0);
    bench.fanout.close();
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(watch.poll_next(&mut context), Poll::Ready(Some(_))));
    assert!(matches!(watch.poll_next(&mut context), Poll::Ready(None)));
}

#[test]
fn a_held_watcher_waits_for_one_fresh_frame() {
    let mut bench = Bench::new();
    let mut watch = bench.watch();
    bench.publish(true, 0);
    assert!(next(&mut watch).is_some());
    watch.hold(true);
    assert!(!bench.need(100).has_room, "nothing is made for its sake");
    let notified = bench.notified.load(Ordering::Relaxed);
    watch.hold(false);
    assert_eq!(bench.notified.load(Ordering::Relaxed), notified + 1, "the pipeline is called at once");
    assert!(bench.need(100).has_room);
}

#[test]
fn who_takes_nothing_makes_no_key_frames_for_the_others() {
    let mut bench = Bench::new();
    let (held, _other) = (bench.watch(), bench.watch());
    bench.publish(true, 0);
    // A key frame waits for it; it asks again and again.
    held.hold(true);
    held.request_keyframe();
    assert!(!bench.need(2000).is_keyframe_due);
    let mut held = held;
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(held.poll_next(&mut context), Poll::Ready(Some((frame, _))) if frame.is_keyframe));
    held.request_keyframe();
    assert!(!bench.need(4000).is_keyframe_due, "its line takes none");
    let before = bench.notified.load(Ordering::Relaxed);
    held.hold(false);
    assert!(bench.notified.load(Ordering::Relaxed) > before && bench.need(4000).is_keyframe_due);
}
