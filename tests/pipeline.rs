//! The pipeline of a display: what watchers get, and that nothing is encoded for nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kvmdesk::media::capture::SourceEvent;
use kvmdesk::media::capture::pattern::PatternSource;
use kvmdesk::media::encode::encoders::Encoders;
use kvmdesk::media::pipeline::{FrameSubscription, MaxSize, Pipeline, VideoHandle};
use kvmdesk::media::wake::WakeReceiver;
use kvmdesk::video::annexb;
use kvmdesk::video::card::TestCard;
use kvmdesk::video::format::Resolution;
use kvmdesk::video::frame::{Codec, CodecSet, EncodedFrame};
use kvmdesk::video::request::VideoRequest;
use kvmdesk::video::signal::SignalState;
use openh264::decoder::Decoder;
use openh264::formats::YUVSource;
use tokio::sync::watch;

mod captured;
mod codecs;
mod fakes;
mod grabber;
mod still;

/// Between two frames of a source of the tests.
const TICK: Duration = Duration::from_millis(10);

/// How such a source waits: for its `next` frame, but not beyond a wake-up.
fn tick(next: &mut Instant, wake: &WakeReceiver, not_before: Instant, until: Instant) -> SourceEvent {
    let due = (*next).max(not_before);
    if wake.poll(None, due.min(until)).is_woken || Instant::now() < due {
        return SourceEvent::Nothing;
    }
    *next = Instant::now() + TICK;
    SourceEvent::Frame
}

/// Size of the picture that comes out, at once.
fn decoded_size(decoder: &mut Decoder, data: &[u8]) -> Resolution {
    let yuv = decoder.decode(data).unwrap().expect("a picture for every frame, at once");
    let (width, height) = yuv.dimensions();
    Resolution::new(width as u32, height as u32)
}

/// A watcher that decodes H.264 only.
fn wish() -> VideoRequest {
    VideoRequest { decodes: CodecSet::of(&[Codec::H264]), max_fps: 60, ..VideoRequest::default() }
}

/// A pipeline with the test card, and its switches.
struct Screen {
    pipeline: Pipeline,
    handle: VideoHandle,
    tell: watch::Sender<TestCard>,
    frozen: Arc<AtomicBool>,
}

impl Screen {
    fn new(is_frozen: bool) -> Self {
        Self::with(is_frozen, Encoders::of_this_machine())
    }

    fn with(is_frozen: bool, encoders: Arc<Encoders>) -> Self {
        Self::of(TestCard::default(), is_frozen, MaxSize::Source, encoders)
    }

    /// A moving card of `size`, sent at most at `max_size`.
    fn sized(max_size: MaxSize, size: Resolution, encoders: Arc<Encoders>) -> Self {
        Self::of(TestCard { size: Some(size), ..TestCard::default() }, false, max_size, encoders)
    }

    fn of(card: TestCard, is_frozen: bool, max_size: MaxSize, encoders: Arc<Encoders>) -> Self {
        let (tell, told) = watch::channel(card);
        let source = PatternSource::new(told);
        let frozen = source.freeze_switch();
        frozen.store(is_frozen, Ordering::Relaxed);
        let pipeline = Pipeline::spawn_sized(Box::new(source), 60, max_size, encoders);
        Self { handle: pipeline.handle(), pipeline, tell, frozen }
    }

    /// Waits until `done` says so of the counters.
    async fn until(&self, done: impl Fn(kvmdesk::media::pipeline::PipelineStats) -> bool) {
        let wait = async {
            while !done(self.handle.stats()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the counters got there");
    }
}

const PATIENCE: Duration = Duration::from_secs(30);

async fn next(subscription: &mut FrameSubscription) -> EncodedFrame {
    tokio::time::timeout(PATIENCE, subscription.next()).await.expect("a frame in time").expect("a frame")
}

#[tokio::test]
async fn nothing_is_encoded_for_a_still_picture_but_the_key_frames_asked_for() {
    let screen = Screen::new(true);
    assert_eq!(screen.handle.stats(), Default::default(), "nobody watches: nothing is captured");
    let mut first = screen.handle.subscribe(wish());
    let frame = next(&mut first).await;
    assert!(frame.is_keyframe && annexb::is_self_contained(&frame.data));
    assert_eq!(frame.resolution, Resolution::new(1280, 720));
    // The card drawn until the first picture came may have been the first key frame; the picture follows it. Then
    // the picture is refined.
    let mut taken = frame.sequence + 1;
    while screen.handle.stats().refinements == 0 || taken < screen.handle.stats().encoded {
        taken = next(&mut first).await.sequence + 1;
    }
    let settled = screen.handle.stats();
    assert!(settled.encoded <= 3 && settled.keyframes == 1, "{settled:?}");
    screen.until(|s| s.unchanged >= settled.unchanged + 20).await;
    assert_eq!(screen.handle.stats().encoded, settled.encoded);

    while screen.handle.stats().encoded < settled.encoded + 1 {
        first.request_keyframe();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut refreshed = next(&mut first).await;
    while refreshed.sequence < settled.encoded {
        refreshed = next(&mut first).await;
    }
    assert!(
        refreshed.is_keyframe && annexb::is_self_contained(&refreshed.data),
        "refresh of a still picture"
    );

    let mut second = screen.handle.subscribe(wish());
    let frame = next(&mut second).await;
    assert!(frame.is_keyframe);
    let size = decoded_size(&mut Decoder::new().unwrap(), &frame.data);
    assert_eq!(size, Resolution::new(1280, 720));
}

#[tokio::test]
async fn several_watchers_share_one_encode_and_every_stream_decodes() {
    let screen = Screen::new(false);
    let mut streams = Vec::new();
    for _ in 0..4 {
        let mut watcher = screen.handle.subscribe(wish());
        streams.push(tokio::spawn(async move {
            let mut frames = Vec::new();
            for _ in 0..15 {
                frames.push(next(&mut watcher).await);
            }
            frames
        }));
    }
    let mut made = std::collections::BTreeMap::new();
    let mut received = 0;
    for stream in streams {
        let (mut decoder, mut expected) = (Decoder::new().unwrap(), None);
        for frame in stream.await.unwrap() {
            assert!(frame.is_keyframe || expected == Some(frame.sequence), "a gap without a key frame");
            expected = Some(frame.sequence + 1);
            assert_eq!(decoded_size(&mut decoder, &frame.data), frame.resolution);
            let first = made.entry(frame.sequence).or_insert_with(|| frame.data.clone());
            assert_eq!(first.as_ptr(), frame.data.as_ptr(), "the same bytes, not an encode of its own");
            received += 1;
        }
    }
    assert_eq!(received, 60);
    assert!(made.len() < 45, "{} different frames for four watchers", made.len());
}

#[tokio::test]
async fn a_slow_watcher_delays_nobody_and_comes_back_with_a_key_frame() {
    let screen = Screen::new(false);
    let mut slow = screen.handle.subscribe(wish());
    let mut fast = screen.handle.subscribe(wish());
    let mut last = None;
    for _ in 0..20 {
        let frame = next(&mut fast).await;
        assert!(
            last.is_none_or(|l| frame.is_keyframe || frame.sequence == l + 1),
            "no gap without a key frame"
        );
        last = Some(frame.sequence);
    }
    let mut decoder = Decoder::new().unwrap();
    let mut expected = None;
    let mut gaps = 0;
    while gaps == 0 {
        let frame = next(&mut slow).await;
        if expected.is_some_and(|e| e != frame.sequence) {
            gaps += 1;
            assert!(frame.is_keyframe, "the first frame after a gap is a key frame");
        }
        decoded_size(&mut decoder, &frame.data);
        expected = Some(frame.sequence + 1);
    }
}

#[tokio::test]
async fn one_slow_watcher_stops_the_encoder_instead_of_filling_memory() {
    let screen = Screen::new(false);
    let mut slow = screen.handle.subscribe(wish());
    screen.until(|s| s.captured >= 40).await;
    assert!(screen.handle.stats().encoded <= 4, "{:?}", screen.handle.stats());
    let mut decoder = Decoder::new().unwrap();
    for n in 0..10 {
        let frame = next(&mut slow).await;
        assert_eq!((frame.sequence, frame.is_keyframe), (n, n == 0), "it lost nothing");
        decoded_size(&mut decoder, &frame.data);
    }
}

#[tokio::test]
async fn a_new_size_is_announced_before_its_first_frame_which_is_a_key_frame() {
    let screen = Screen::new(false);
    let state = screen.handle.state();
    assert_eq!(state.borrow().signal, SignalState::Active);
    let mut watcher = screen.handle.subscribe(wish());
    assert_eq!(next(&mut watcher).await.resolution, state.borrow().resolution);
    let size = Resolution::new(800, 600);
    screen.tell.send_modify(|card| card.size = Some(size));
    let frame = loop {
        let frame = next(&mut watcher).await;
        if frame.resolution == size {
            break frame;
        }
    };
    assert_eq!((state.borrow().resolution, state.borrow().original_resolution), (size, size));
    assert!(frame.is_keyframe);
    assert_eq!(decoded_size(&mut Decoder::new().unwrap(), &frame.data), size);
}

#[tokio::test]
async fn capture_sleeps_when_nobody_watches_and_the_end_ends_subscriptions() {
    let screen = Screen::new(false);
    let mut watcher = screen.handle.subscribe(wish());
    next(&mut watcher).await;
    drop(watcher);
    // The thread may be in the middle of a frame: two equal readings a few frames apart are sleep.
    let slept = async {
        loop {
            let before = screen.handle.stats();
            tokio::time::sleep(Duration::from_millis(200)).await;
            if screen.handle.stats() == before {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, slept).await.expect("capture sleeps");
    screen.frozen.store(true, Ordering::Relaxed);
    let mut again = screen.handle.subscribe(wish());
    assert!(next(&mut again).await.is_keyframe, "the last picture, at once");
    let Screen { pipeline, .. } = screen;
    drop(pipeline);
    let end = async { while again.next().await.is_some() {} };
    tokio::time::timeout(PATIENCE, end).await.expect("the subscription ends");
}
