//! Encoders and sources that do what a test tells them.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kvmdesk::media::capture::{FramePair, Source, SourceEvent, SourceState};
use kvmdesk::media::encode::encoders::Candidate;
use kvmdesk::media::encode::{EncodeError, EncodedPicture, Encoder, FrameOrder};
use kvmdesk::media::picture::I420Picture;
use kvmdesk::media::wake::WakeReceiver;
use kvmdesk::video::format::Resolution;
use kvmdesk::video::frame::Codec;

/// A candidate whose encoders write their name and a counter.
pub struct Fake {
    name: &'static str,
    codec: Codec,
    cost: u32,
    /// How often an encoder was opened.
    pub opened: AtomicUsize,
    /// Every order that was carried out, with the width of the picture.
    pub orders: Mutex<Vec<(FrameOrder, u32)>>,
    /// All encodes fail while set.
    pub is_broken: AtomicBool,
    /// So many encodes fail from now on.
    pub fails: AtomicUsize,
    /// Nanoseconds that a pixel takes.
    pub slowness: AtomicU64,
}

impl Fake {
    pub fn new(name: &'static str, codec: Codec, cost: u32) -> Arc<Self> {
        Arc::new(Self {
            name,
            codec,
            cost,
            opened: AtomicUsize::new(0),
            orders: Mutex::default(),
            is_broken: AtomicBool::new(false),
            fails: AtomicUsize::new(0),
            slowness: AtomicU64::new(0),
        })
    }

    pub fn orders(&self) -> Vec<FrameOrder> {
        self.orders.lock().unwrap().iter().map(|(order, _)| *order).collect()
    }
}

/// What [`AsCandidate`] hands to the catalogue: the same fake, shared with the test.
pub struct AsCandidate(pub Arc<Fake>);

impl Candidate for AsCandidate {
    fn name(&self) -> &'static str {
        self.0.name
    }

    fn codec(&self) -> Codec {
        self.0.codec
    }

    fn cost(&self) -> u32 {
        self.0.cost
    }

    fn open(&self, resolution: Resolution) -> Result<Box<dyn Encoder>, EncodeError> {
        self.0.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(FakeEncoder { fake: self.0.clone(), resolution, is_begun: false }))
    }
}

struct FakeEncoder {
    fake: Arc<Fake>,
    resolution: Resolution,
    is_begun: bool,
}

impl Encoder for FakeEncoder {
    fn name(&self) -> &'static str {
        self.fake.name
    }

    fn codec(&self) -> Codec {
        self.fake.codec
    }

    fn resolution(&self) -> Resolution {
        self.resolution
    }

    fn encode(&mut self, picture: &I420Picture, order: FrameOrder) -> Result<EncodedPicture, EncodeError> {
        let fails = self.fake.fails.load(Ordering::Relaxed);
        self.fake.fails.store(fails.saturating_sub(1), Ordering::Relaxed);
        if fails > 0 || self.fake.is_broken.load(Ordering::Relaxed) {
            return Err(EncodeError::Library { call: "fake", code: 5 });
        }
        assert_eq!(picture.resolution(), self.resolution);
        let pixels = u64::from(self.resolution.width) * u64::from(self.resolution.height);
        std::thread::sleep(Duration::from_nanos(pixels * self.fake.slowness.load(Ordering::Relaxed)));
        let mut orders = self.fake.orders.lock().unwrap();
        orders.push((order, self.resolution.width));
        let data = format!("{} {}", self.fake.name, orders.len()).into_bytes().into();
        let is_keyframe = order.wants_keyframe || !std::mem::replace(&mut self.is_begun, true);
        Ok(EncodedPicture { data, is_keyframe })
    }
}

/// A source that counts how often it is waited for.
pub struct Counted<S> {
    pub source: S,
    pub waits: Arc<AtomicUsize>,
}

impl<S: Source> Source for Counted<S> {
    fn state(&self) -> SourceState {
        self.source.state()
    }

    fn set_awake(&mut self, is_awake: bool) {
        self.source.set_awake(is_awake);
    }

    fn wait(&mut self, wake: &WakeReceiver, not_before: Instant, until: Instant) -> SourceEvent {
        self.waits.fetch_add(1, Ordering::Relaxed);
        self.source.wait(wake, not_before, until)
    }

    fn frame(&mut self) -> Option<FramePair<'_>> {
        self.source.frame()
    }
}
