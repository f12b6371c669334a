//! A grabber that has smaller modes, and one that gives JPEGs, while the encoder cannot keep up.

use std::sync::Mutex;
use std::time::Instant;

use kvmdesk::media::capture::{Colours, FramePair, RawFrame, RawPlane, Source, SourceEvent, SourceState};
use kvmdesk::media::wake::WakeReceiver;
use kvmdesk::video::format::PixelFormat;

use super::fakes::Fake;
use super::still::{only, vp9_wish};
use super::*;

const WHOLE: Resolution = Resolution::new(640, 480);
const HALF: Resolution = Resolution::new(320, 240);

/// Gives grey pictures, each lighter than the one before; as GREY in the size that is wished, or as JPEG of its own.
struct Grabber {
    is_jpeg: bool,
    size: Resolution,
    grey: u8,
    data: [Vec<u8>; 2],
    next: Instant,
    wishes: Arc<Mutex<Vec<Option<Resolution>>>>,
}

impl Grabber {
    fn draw(&mut self) {
        self.grey = self.grey.wrapping_add(9);
        let (width, height) = (self.size.width as usize, self.size.height as usize);
        let pixels = vec![self.grey; width * height];
        self.data.swap(0, 1);
        self.data[0] = if self.is_jpeg {
            let format = turbojpeg::PixelFormat::GRAY;
            let image = turbojpeg::Image { pixels: &pixels[..], width, pitch: width, height, format };
            turbojpeg::compress(image, 90, turbojpeg::Subsamp::Gray).unwrap().to_vec()
        } else {
            pixels
        };
    }
}

impl Source for Grabber {
    fn state(&self) -> SourceState {
        SourceState { signal: SignalState::Active, resolution: Some(WHOLE) }
    }

    fn set_wish(&mut self, size: Option<Resolution>) {
        let mut wishes = self.wishes.lock().unwrap();
        if wishes.last() == Some(&size) {
            return;
        }
        wishes.push(size);
        if !self.is_jpeg {
            self.size = size.unwrap_or(WHOLE);
            self.data = Default::default();
        }
    }

    fn set_awake(&mut self, _is_awake: bool) {}

    fn wait(&mut self, wake: &WakeReceiver, not_before: Instant, until: Instant) -> SourceEvent {
        super::tick(&mut self.next, wake, not_before, until)
    }

    fn frame(&mut self) -> Option<FramePair<'_>> {
        self.draw();
        let stride = self.size.width as usize;
        let frame = |data| RawFrame {
            format: if self.is_jpeg { PixelFormat::Mjpeg } else { PixelFormat::Grey },
            resolution: self.size,
            planes: [RawPlane { data, stride }, RawPlane::EMPTY, RawPlane::EMPTY],
            colours: Colours::Bt601,
            captured_at: Instant::now(),
        };
        let previous = (!self.data[1].is_empty()).then(|| frame(&self.data[1]));
        Some(FramePair { current: frame(&self.data[0]), previous, captured: None })
    }
}

#[tokio::test]
async fn a_slow_encoder_gets_small_frames_of_the_same_signal_and_screenshots_stay_as_captured() {
    for is_jpeg in [false, true] {
        let fake = Fake::new("slow-vp9", Codec::Vp9, 250);
        // 92 ms at 640x480, 23 ms at half of it.
        fake.slowness.store(300, Ordering::Relaxed);
        let wishes = Arc::<Mutex<Vec<_>>>::default();
        let source = Grabber {
            is_jpeg,
            size: WHOLE,
            grey: 0,
            data: Default::default(),
            next: Instant::now(),
            wishes: wishes.clone(),
        };
        let pipeline = Pipeline::spawn_sized(Box::new(source), 60, MaxSize::Auto, only(&fake));
        let handle = pipeline.handle();
        let mut watcher = handle.subscribe(vp9_wish());
        let frame = loop {
            let frame = next(&mut watcher).await;
            if frame.resolution != WHOLE {
                break frame;
            }
        };
        assert_eq!((frame.resolution, frame.original_resolution), (HALF, WHOLE));
        assert!(frame.is_keyframe);
        let small = frame.sequence;
        let mut frame = next(&mut watcher).await;
        while frame.sequence < small + 10 {
            assert_eq!((frame.resolution, frame.original_resolution), (HALF, WHOLE));
            frame = next(&mut watcher).await;
        }
        let state = *handle.state().borrow();
        assert_eq!((state.resolution, state.original_resolution), (HALF, WHOLE));
        assert_eq!(*wishes.lock().unwrap(), [None, Some(HALF)]);
        let shot = tokio::time::timeout(PATIENCE, handle.snapshot()).await.unwrap().unwrap();
        assert_eq!(shot.resolution, if is_jpeg { WHOLE } else { HALF }, "as it was captured");
        assert_eq!(handle.stats().dropped_unusable, 0);
    }
}
