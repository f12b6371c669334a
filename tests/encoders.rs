//! One contract for every compiled-in encoder, and the pipeline around it: what leaves a display is what RustDesk
//! controllers decode (reference: session 3.2, 3.4, 11), and nothing is encoded for nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kvmdesk::media::canvas::{Canvas, Colour};
use kvmdesk::media::capture::pattern::PatternSource;
use kvmdesk::media::convert::convert_stripes;
use kvmdesk::media::encode::{self, Encoder};
use kvmdesk::media::picture::{I420Picture, Stripes};
use kvmdesk::media::pipeline::{FrameSubscription, Pipeline, VideoHandle};
use kvmdesk::video::annexb::{self, nal_type, unit_type};
use kvmdesk::video::card::TestCard;
use kvmdesk::video::format::Resolution;
use kvmdesk::video::frame::{Codec, EncodedFrame};
use kvmdesk::video::request::VideoRequest;
use kvmdesk::video::signal::SignalState;
use openh264::decoder::Decoder;
use openh264::formats::YUVSource;
use tokio::sync::watch;

const CODECS: [Codec; 1] = [Codec::H264];
const SIZES: [(u32, u32); 7] =
    [(1920, 1080), (1366, 768), (1280, 720), (800, 600), (642, 358), (64, 48), (16, 16)];

/// Eight colour fields and a text that depends on `n`.
fn picture(size: Resolution, n: u32) -> I420Picture {
    let mut canvas = Canvas::new(size);
    for (field, [r, g, b]) in FIELDS.into_iter().enumerate() {
        let x = size.width * field as u32 / 8;
        canvas.fill(x, 0, size.width / 8 + 2, size.height, Colour::rgb(r, g, b));
    }
    canvas.text(2, size.height / 2, 2, Colour::WHITE, &format!("frame {n}"));
    let mut picture = I420Picture::new(size);
    let frame = canvas.as_frame(std::time::Instant::now());
    convert_stripes(&frame, &Stripes::all(size.height), &mut picture).unwrap();
    picture
}

const FIELDS: [[u8; 3]; 8] = [
    [255, 255, 255],
    [255, 0, 0],
    [0, 255, 0],
    [0, 0, 255],
    [255, 255, 0],
    [0, 0, 0],
    [128, 128, 128],
    [200, 100, 50],
];

/// Noise of a fixed seed: every quantiser shows in its size.
fn noise(size: Resolution) -> I420Picture {
    let mut picture = I420Picture::new(size);
    let mut state = 1u32;
    for y in picture.rows_mut(0, size.height).y {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *y = 100 + (state >> 27) as u8;
    }
    picture
}

struct Decoded {
    size: Resolution,
    /// The colour in the middle of each field, in the upper quarter.
    fields: Vec<[u8; 3]>,
}

/// Decodes with the library's decoder; controllers convert as BT.601 limited range whatever the stream says.
fn decode(decoder: &mut Decoder, data: &[u8]) -> Decoded {
    let yuv = decoder.decode(data).unwrap().expect("a picture for every frame, at once");
    let (width, height) = yuv.dimensions();
    let (ys, us, vs) = yuv.strides();
    let fields = (0..8).map(|field| {
        let (column, row) = (width * field / 8 + width / 16, height / 4);
        let y = (f64::from(yuv.y()[row * ys + column]) - 16.0) / 219.0;
        let cb = (f64::from(yuv.u()[row / 2 * us + column / 2]) - 128.0) / 224.0;
        let cr = (f64::from(yuv.v()[row / 2 * vs + column / 2]) - 128.0) / 224.0;
        let (r, b) = (y + 1.402 * cr, y + 1.772 * cb);
        let g = (y - 0.299 * r - 0.114 * b) / 0.587;
        [r, g, b].map(|c| (c * 255.0).round().clamp(0.0, 255.0) as u8)
    });
    Decoded { size: Resolution::new(width as u32, height as u32), fields: fields.collect() }
}

fn assert_colours(decoded: &Decoded, tolerance: u8) {
    for (got, want) in decoded.fields.iter().zip(FIELDS) {
        let off = got.iter().zip(want).map(|(a, b)| a.abs_diff(b)).max().unwrap();
        assert!(off <= tolerance, "a field of {}: {got:?}, not {want:?}", decoded.size);
    }
}

fn open(codec: Codec, size: Resolution, quality: u32) -> Box<dyn Encoder> {
    let encoder = encode::open(codec, size, quality).unwrap();
    assert_eq!((encoder.codec(), encoder.resolution()), (codec, size));
    encoder
}

#[test]
fn the_first_frame_is_a_key_frame_of_the_announced_size_and_colours() {
    for codec in CODECS {
        for (width, height) in SIZES {
            let size = Resolution::new(width, height);
            let mut encoder = open(codec, size, 150);
            let first = encoder.encode(&picture(size, 0), false).unwrap();
            assert!(first.is_keyframe && annexb::is_self_contained(&first.data), "{size}");
            assert!(annexb::has_long_start_codes(&first.data), "{size}: short start codes");
            let units: Vec<&[u8]> = annexb::nal_units(&first.data).collect();
            assert_eq!(unit_type(units[0]), nal_type::SPS, "{size}: nothing in front of the SPS");
            let sps = annexb::parse_sps(units[0]).unwrap();
            assert_eq!(sps.resolution, size, "cropping");
            assert_eq!(
                (sps.profile, sps.is_full_range, sps.matrix, sps.poc_type),
                (66, false, 6, 2),
                "{size}"
            );
            let decoded = decode(&mut Decoder::new().unwrap(), &first.data);
            assert_eq!(decoded.size, size);
            if width >= 64 {
                assert_colours(&decoded, 8);
            }
        }
    }
}

#[test]
fn key_frames_come_on_request_only_and_carry_their_parameter_sets() {
    let size = Resolution::new(800, 600);
    for codec in CODECS {
        let mut encoder = open(codec, size, 67);
        let (mut decoder, mut late_decoder) = (Decoder::new().unwrap(), None);
        let mut parameter_sets: Option<Vec<Vec<u8>>> = None;
        for n in 0..60 {
            let wanted = n == 20 || n == 40;
            let frame = encoder.encode(&picture(size, n), wanted).unwrap();
            assert_eq!(frame.is_keyframe, n == 0 || wanted, "frame {n}");
            assert_eq!(frame.is_keyframe, annexb::is_self_contained(&frame.data), "frame {n}");
            assert_eq!(decode(&mut decoder, &frame.data).size, size, "frame {n} comes out at once");
            if frame.is_keyframe {
                let sets: Vec<_> = annexb::nal_units(&frame.data)
                    .filter(|u| [nal_type::SPS, nal_type::PPS].contains(&unit_type(u)))
                    .map(<[u8]>::to_vec)
                    .collect();
                assert_eq!(parameter_sets.get_or_insert(sets.clone()), &sets, "they never change");
            }
            if n == 40 {
                late_decoder = Some(Decoder::new().unwrap());
            }
            if let Some(late) = &mut late_decoder {
                assert_colours(&decode(late, &frame.data), 24);
            }
        }
    }
}

#[test]
fn quality_changes_without_a_key_frame_and_matters() {
    let size = Resolution::new(640, 480);
    for codec in CODECS {
        let mut sizes = Vec::new();
        for quality in [20, 50, 67, 150, 4000] {
            let mut encoder = open(codec, size, quality);
            sizes.push(encoder.encode(&noise(size), false).unwrap().data.len());
        }
        assert!(sizes.windows(2).all(|w| w[0] < w[1]), "{sizes:?}");
        let mut encoder = open(codec, size, 20);
        let mut decoder = Decoder::new().unwrap();
        for (n, quality) in [20, 150, 4000, 67].into_iter().enumerate() {
            encoder.set_quality(quality).unwrap();
            let frame = encoder.encode(&picture(size, n as u32), false).unwrap();
            assert_eq!(frame.is_keyframe, n == 0, "quality {quality}");
            decode(&mut decoder, &frame.data);
        }
    }
}

#[test]
fn a_picture_of_another_size_is_refused() {
    for codec in CODECS {
        let mut encoder = open(codec, Resolution::new(640, 480), 67);
        assert!(encoder.encode(&I420Picture::new(Resolution::new(640, 482)), false).is_err());
        assert!(encoder.encode(&I420Picture::new(Resolution::new(640, 480)), false).is_ok());
    }
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
        let (tell, told) = watch::channel(TestCard::default());
        let source = PatternSource::new(told);
        let frozen = source.freeze_switch();
        frozen.store(is_frozen, Ordering::Relaxed);
        let pipeline = Pipeline::spawn_from(Box::new(source), 60);
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
    let mut first = screen.handle.subscribe(VideoRequest::default());
    let frame = next(&mut first).await;
    assert!(frame.is_keyframe && annexb::is_self_contained(&frame.data));
    assert_eq!(frame.resolution, Resolution::new(1280, 720));
    screen.until(|s| s.captured >= 10 && s.unchanged >= 5).await;
    // The card drawn until the first picture came may have been the first key frame; the picture follows it.
    let settled = screen.handle.stats();
    assert!(settled.encoded <= 2 && settled.keyframes == 1, "{settled:?}");
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

    let mut second = screen.handle.subscribe(VideoRequest::default());
    let frame = next(&mut second).await;
    assert!(frame.is_keyframe);
    let decoded = decode(&mut Decoder::new().unwrap(), &frame.data);
    assert_eq!(decoded.size, Resolution::new(1280, 720));
}

#[tokio::test]
async fn several_watchers_share_one_encode_and_every_stream_decodes() {
    let screen = Screen::new(false);
    let wish = VideoRequest { max_fps: 60, ..VideoRequest::default() };
    let mut streams = Vec::new();
    for _ in 0..4 {
        let mut watcher = screen.handle.subscribe(wish);
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
            assert_eq!(decode(&mut decoder, &frame.data).size, frame.resolution);
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
    let wish = VideoRequest { max_fps: 60, ..VideoRequest::default() };
    let mut slow = screen.handle.subscribe(wish);
    let mut fast = screen.handle.subscribe(wish);
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
        decode(&mut decoder, &frame.data);
        expected = Some(frame.sequence + 1);
    }
}

#[tokio::test]
async fn one_slow_watcher_stops_the_encoder_instead_of_filling_memory() {
    let screen = Screen::new(false);
    let mut slow = screen.handle.subscribe(VideoRequest { max_fps: 60, ..VideoRequest::default() });
    screen.until(|s| s.captured >= 40).await;
    assert!(screen.handle.stats().encoded <= 4, "{:?}", screen.handle.stats());
    let mut decoder = Decoder::new().unwrap();
    for n in 0..10 {
        let frame = next(&mut slow).await;
        assert_eq!((frame.sequence, frame.is_keyframe), (n, n == 0), "it lost nothing");
        decode(&mut decoder, &frame.data);
    }
}

#[tokio::test]
async fn a_new_size_is_announced_before_its_first_frame_which_is_a_key_frame() {
    let screen = Screen::new(false);
    let state = screen.handle.state();
    assert_eq!(state.borrow().signal, SignalState::Active);
    let mut watcher = screen.handle.subscribe(VideoRequest::default());
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
    assert_eq!(decode(&mut Decoder::new().unwrap(), &frame.data).size, size);
}

#[tokio::test]
async fn capture_sleeps_when_nobody_watches_and_the_end_ends_subscriptions() {
    let screen = Screen::new(false);
    let mut watcher = screen.handle.subscribe(VideoRequest::default());
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
    let mut again = screen.handle.subscribe(VideoRequest::default());
    assert!(next(&mut again).await.is_keyframe, "the last picture, at once");
    let Screen { pipeline, .. } = screen;
    drop(pipeline);
    let end = async { while again.next().await.is_some() {} };
    tokio::time::timeout(PATIENCE, end).await.expect("the subscription ends");
}
