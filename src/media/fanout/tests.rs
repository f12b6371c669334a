#![allow(clippy::disallowed_methods, reason = "tests own their clocks")]

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::video::format::Resolution;
use crate::video::frame::Codec;

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
        let frame = EncodedFrame {
            data: bytes::Bytes::new(),
            codec: Codec::H264,
            is_keyframe,
            captured_at: self.start,
            sequence: self.sequence,
            resolution: Resolution::new(64, 64),
            original_resolution: Resolution::new(64, 64),
        };
        self.sequence += 1;
        self.fanout.publish(&frame, self.at(millis));
    }

    fn need(&self, millis: u64) -> Need {
        self.fanout.need(self.at(millis))
    }
}

fn next(watch: &mut Watch) -> Option<(u64, bool)> {
    match watch.poll_next(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(frame) => frame.map(|f| (f.sequence, f.is_keyframe)),
        Poll::Pending => None,
    }
}

#[test]
fn a_new_watcher_starts_with_a_key_frame_at_once() {
    let mut bench = Bench::new();
    assert_eq!(bench.need(0), Need::default());
    let mut first = bench.fanout.watch(VideoRequest::default());
    assert!(bench.need(0).is_keyframe_due);
    bench.publish(false, 0);
    assert_eq!(next(&mut first), None, "a delta frame is nothing to start with");
    bench.publish(true, 0);
    assert_eq!(bench.need(1), Need { has_room: true, ..Need::default() });
    let mut second = bench.fanout.watch(VideoRequest::default());
    assert!(bench.need(1).is_keyframe_due, "one millisecond after the last key frame");
    bench.publish(true, 1);
    bench.publish(false, 2);
    assert_eq!((next(&mut first), next(&mut first)), (Some((1, true)), Some((2, true))));
    assert_eq!((next(&mut second), next(&mut second)), (Some((2, true)), Some((3, false))));
    assert_eq!(next(&mut second), None);
}

#[test]
fn a_slow_watcher_loses_frames_up_to_a_key_frame_and_delays_nobody() {
    let mut bench = Bench::new();
    let mut slow = bench.fanout.watch(VideoRequest::default());
    let mut fast = bench.fanout.watch(VideoRequest::default());
    bench.publish(true, 0);
    for n in 1..10 {
        assert_eq!(next(&mut fast), Some((n - 1, n == 1)));
        assert!(bench.need(n * 10).has_room);
        bench.publish(false, n * 10);
    }
    assert!(!bench.need(5000).is_keyframe_due, "no key frame while the slow queue is not empty");
    let before = bench.notified.load(Ordering::Relaxed);
    let left: Vec<_> = std::iter::from_fn(|| next(&mut slow)).collect();
    assert_eq!(left, [(0, true), (1, false), (2, false)], "what it gets is decodable");
    assert!(bench.notified.load(Ordering::Relaxed) > before, "the pipeline hears that it has room again");
    let need = bench.need(100);
    assert_eq!((need.is_keyframe_due, need.keyframe_due_at), (false, Some(bench.at(1000))));
    assert!(bench.need(1000).is_keyframe_due);
    bench.publish(true, 1000);
    assert_eq!(next(&mut slow), Some((10, true)));
    assert_eq!(next(&mut fast), Some((9, false)));
    assert_eq!(next(&mut fast), Some((10, true)));
}

#[test]
fn a_lone_slow_watcher_loses_nothing_because_nothing_is_encoded() {
    let mut bench = Bench::new();
    let mut slow = bench.fanout.watch(VideoRequest::default());
    bench.publish(true, 0);
    bench.publish(false, 1);
    bench.publish(false, 2);
    assert!(!bench.need(3).has_room);
    next(&mut slow);
    assert!(bench.need(3).has_room);
}

#[test]
fn requests_for_key_frames_are_one_request_and_rate_limited() {
    let mut bench = Bench::new();
    let mut watch = bench.fanout.watch(VideoRequest::default());
    let other = bench.fanout.watch(VideoRequest::default());
    bench.publish(true, 0);
    for _ in 0..1000 {
        watch.request_keyframe();
        other.request_keyframe();
    }
    assert_eq!(bench.need(50).keyframe_due_at, Some(bench.at(100)));
    assert!(!bench.need(50).is_keyframe_due);
    assert!(bench.need(100).is_keyframe_due);
    bench.publish(true, 100);
    assert_eq!(bench.need(300), Need { has_room: true, ..Need::default() });
    assert_eq!((next(&mut watch), next(&mut watch)), (Some((1, true)), None), "older frames are of no use");
}

#[test]
fn the_end_comes_after_the_queue_and_dropping_a_watch_ends_it() {
    let mut bench = Bench::new();
    let mut watch = bench.fanout.watch(VideoRequest::default());
    drop(bench.fanout.watch(VideoRequest::default()));
    assert_eq!(bench.fanout.requests().len(), 1);
    bench.publish(true, 0);
    bench.fanout.close();
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(watch.poll_next(&mut context), Poll::Ready(Some(_))));
    assert!(matches!(watch.poll_next(&mut context), Poll::Ready(None)));
}
