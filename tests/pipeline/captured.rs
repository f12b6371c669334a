//! A source of NV12 in the colours that are sent: encoders that take it get it as it is, and changes, stillness and screenshots
//! go on as ever.

use std::sync::atomic::AtomicU8;
use std::time::Instant;

use kvmdesk::media::capture::{Colours, FramePair, RawFrame, RawPlane, Source, SourceEvent, SourceState};
use kvmdesk::media::captured::{CaptureMemory, CapturedPicture};
use kvmdesk::media::encode::encoders::Candidate;
use kvmdesk::media::encode::{EncodeError, Encoder};
use kvmdesk::media::wake::WakeReceiver;
use kvmdesk::video::format::PixelFormat;

use super::*;

const SIZE: Resolution = Resolution::new(320, 240);
const STRIDE: usize = 384;

struct Memory(Vec<u8>);

impl Memory {
    fn as_frame(&self) -> RawFrame<'_> {
        let plane = |data| RawPlane { data, stride: STRIDE };
        RawFrame {
            format: PixelFormat::Nv12,
            resolution: SIZE,
            planes: [plane(&self.0), plane(&self.0[STRIDE * SIZE.height as usize..]), RawPlane::EMPTY],
            colours: Colours::Bt601,
            captured_at: Instant::now(),
        }
    }
}

impl CaptureMemory for Memory {
    fn bytes(&self, plane: usize) -> &[u8] {
        if plane == 0 { &self.0 } else { &[] }
    }
}

/// Gives a plain picture whose luma, and that of its row 100, are told from outside.
struct Plain {
    luma: Arc<AtomicU8>,
    row: Arc<AtomicU8>,
    last: [Option<Arc<Memory>>; 2],
    next: Instant,
}

impl Source for Plain {
    fn state(&self) -> SourceState {
        SourceState { signal: SignalState::Active, resolution: Some(SIZE) }
    }

    fn set_awake(&mut self, _is_awake: bool) {}

    fn wait(&mut self, wake: &WakeReceiver, not_before: Instant, until: Instant) -> SourceEvent {
        super::tick(&mut self.next, wake, not_before, until)
    }

    fn frame(&mut self) -> Option<FramePair<'_>> {
        let (width, height) = (SIZE.width as usize, SIZE.height as usize);
        let mut bytes = vec![self.luma.load(Ordering::Relaxed); STRIDE * height];
        bytes[STRIDE * 100..][..width].fill(self.row.load(Ordering::Relaxed));
        bytes.resize(STRIDE * height * 3 / 2, 128);
        self.last.swap(0, 1);
        self.last[0] = Some(Arc::new(Memory(bytes)));
        let [Some(current), previous] = &self.last else { return None };
        Some(FramePair {
            current: current.as_frame(),
            previous: previous.as_ref().map(|memory| memory.as_frame()),
            captured: CapturedPicture::of(&current.as_frame(), current.clone()),
        })
    }
}

/// The newest picture that was decoded: luma somewhere, and in row 100.
async fn shown(watcher: &mut FrameSubscription, decoder: &mut Decoder, wanted: [u8; 2]) {
    loop {
        let frame = next(watcher).await;
        let yuv = decoder.decode(&frame.data).unwrap().expect("a picture for every frame");
        let stride = yuv.strides().0;
        let found = [yuv.y()[stride * 30 + 160], yuv.y()[stride * 100 + 160]];
        if found.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) <= 6) {
            return;
        }
    }
}

/// One encoder of this machine, as the only one.
struct Only(&'static str);

impl Candidate for Only {
    fn name(&self) -> &'static str {
        self.0
    }

    fn codec(&self) -> Codec {
        Codec::H264
    }

    fn cost(&self) -> u32 {
        100
    }

    fn open(&self, resolution: Resolution) -> Result<Box<dyn Encoder>, EncodeError> {
        Encoders::of_this_machine().open_named(self.0, resolution)
    }
}

#[tokio::test]
async fn nv12_passes_through_where_the_encoder_takes_it() {
    if Only("x264enc").open(SIZE).is_ok() {
        changes_stillness_and_screenshots_go_on("x264enc", true).await;
    }
}

#[tokio::test]
async fn nv12_is_converted_for_an_encoder_that_does_not_take_it() {
    changes_stillness_and_screenshots_go_on("openh264", false).await;
}

async fn changes_stillness_and_screenshots_go_on(encoder: &'static str, passes: bool) {
    let [luma, row] = [60u8, 200].map(|value| Arc::new(AtomicU8::new(value)));
    let source = Plain { luma: luma.clone(), row: row.clone(), last: [None, None], next: Instant::now() };
    let pipeline = Pipeline::spawn_from(Box::new(source), 60, Encoders::of(vec![Arc::new(Only(encoder))]));
    let handle = pipeline.handle();
    let until = async |done: &dyn Fn(kvmdesk::media::pipeline::PipelineStats) -> bool| {
        let wait = async {
            while !done(handle.stats()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the counters got there");
    };
    let mut watcher = handle.subscribe(wish());
    let mut decoder = Decoder::new().unwrap();
    shown(&mut watcher, &mut decoder, [60, 200]).await;

    // Still: refined once, then nothing, by samples after a second; all the same a change of one row is found.
    until(&|stats| stats.refinements == 1).await;
    let refined = handle.stats();
    until(&|stats| stats.unchanged >= refined.unchanged + 120).await;
    assert_eq!(handle.stats().encoded, refined.encoded, "nothing more is encoded");
    row.store(90, Ordering::Relaxed);
    shown(&mut watcher, &mut decoder, [60, 90]).await;
    luma.store(120, Ordering::Relaxed);
    shown(&mut watcher, &mut decoder, [120, 90]).await;

    let shot = tokio::time::timeout(PATIENCE, handle.snapshot()).await.unwrap().unwrap();
    assert_eq!(shot.resolution, SIZE);
    let stats = handle.stats();
    assert_eq!(stats.dropped_unusable, 0);
    // A card may have been drawn until the first frame came.
    let expected = if passes { stats.encoded.saturating_sub(1).max(4)..=stats.encoded } else { 0..=0 };
    assert!(expected.contains(&stats.passed_through), "{encoder}: {stats:?}");
}
