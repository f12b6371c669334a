//! The handles to a display's pipeline: the owner, the sessions' end, one subscription a watcher. The thread itself
//! is in `worker`.
#![allow(clippy::disallowed_methods, reason = "an edge: how long frames wait is measured")]

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::capture::pattern::PatternSource;
use super::capture::v4l2::{V4l2Settings, V4l2Source};
use super::capture::{Source, SourceReport};
use super::encode::encoders::Encoders;
use super::fanout::{Fanout, Watch};
use super::histogram::Percentiles;
use super::meters::Meters;
use super::screen::Screen;
use super::snapshot::{Desk, Snapshot, SnapshotError};
use super::wake::{self, WakeSender};
use super::worker::{Parts, Worker};
use crate::video::card::TestCard;
use crate::video::format::Resolution;
use crate::video::frame::{Codec, EncodedFrame};
use crate::video::request::VideoRequest;
use crate::video::signal::DisplayState;

/// How long a screenshot waits for a live picture.
const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(3);

/// Where pictures come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceSettings {
    /// The moving test card.
    Pattern,
    /// A V4L2 capture device.
    V4l2(V4l2Settings),
}

/// How large pictures may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MaxSize {
    /// As captured, less while the encoder cannot hold 15 frames a second.
    #[default]
    Auto,
    /// Always as captured.
    Source,
    /// Always what fits into this with its shape kept, never larger than captured.
    Fixed(Resolution),
}

/// The settings of one display's pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoSettings {
    /// The source.
    pub source: SourceSettings,
    /// Most frames a second that are encoded, 1..=120.
    pub max_fps: u32,
    /// How large pictures are sent.
    pub max_size: MaxSize,
}

/// Counters for `status` and for tests ("no frame is encoded for an unchanged picture").
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PipelineStats {
    /// Frames taken from the source.
    pub captured: u64,
    /// Frames found equal to the one before.
    pub unchanged: u64,
    /// Frames encoded, by all lanes.
    pub encoded: u64,
    /// Of those, key frames.
    pub keyframes: u64,
    /// Of those, refinements of a still picture.
    pub refinements: u64,
    /// Of those encoded, as they were captured, without conversion.
    pub passed_through: u64,
    /// Of those, handed to the encoder as DMABUF, without the CPU.
    pub handed_over: u64,
    /// Changed pictures that gave way to a newer one because no watcher of a lane had room.
    pub dropped_no_room: u64,
    /// Changed pictures that gave way to a newer one because the lane's rate or line did not ask for them.
    pub dropped_not_wanted: u64,
    /// Frames that could not be used.
    pub dropped_unusable: u64,
    /// Encoders that failed while in use.
    pub encoder_failures: u64,
    /// Frames a second taken from the source, over the last second.
    pub fps_in: f32,
    /// Frames a second encoded, over the last second.
    pub fps_out: f32,
    /// From capture to the picture being converted.
    pub convert: Percentiles,
    /// Encoding one frame.
    pub encode: Percentiles,
    /// From the end of encoding until a session took the frame.
    pub hand_out: Percentiles,
    /// What the source did to keep going.
    pub source: SourceReport,
    /// The encoded streams, in the order in which they began.
    pub lanes: Vec<LaneStats>,
}

/// One encoded stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LaneStats {
    /// What it is encoded with.
    pub codec: Codec,
    /// The encoder's name; empty before its first frame.
    pub encoder: &'static str,
    /// It is the codec's second, for slow lines.
    pub is_second: bool,
    /// How coarse the last frame was, on the scale of H.264.
    pub quantiser: u8,
    /// How coarse changes should be, as the watchers wish.
    pub wished_quantiser: u8,
    /// What it gave over the last second.
    pub bits_per_second: u64,
    /// Frames a second, over the last second.
    pub fps: f32,
    /// How many get it.
    pub watchers: usize,
}

/// Owner of a pipeline thread; dropping it ends the thread.
#[derive(Debug)]
pub struct Pipeline {
    handle: VideoHandle,
    stop: Arc<AtomicBool>,
    wake: Option<Arc<WakeSender>>,
    thread: Option<JoinHandle<()>>,
}

/// A cloneable way to watch a display.
#[derive(Debug, Clone)]
pub struct VideoHandle {
    fanout: Fanout,
    state: watch::Receiver<DisplayState>,
    meters: Arc<Mutex<Meters>>,
    desk: Arc<Desk>,
    max_fps: Arc<AtomicU32>,
    turns: Arc<AtomicU64>,
}

/// One watcher's stream of frames. Starts with a key frame (the last picture or a card, at once).
#[derive(Debug)]
pub struct FrameSubscription {
    watch: Watch,
    meters: Arc<Mutex<Meters>>,
}

impl Pipeline {
    /// Starts the thread. A source that cannot be opened is a state with a card, not an error. If the machine
    /// has no descriptor or thread left, that is logged and every subscription ends at once.
    pub fn spawn(settings: VideoSettings, card: watch::Receiver<TestCard>, encoders: Arc<Encoders>) -> Self {
        let source: Box<dyn Source> = match settings.source {
            SourceSettings::Pattern => Box::new(PatternSource::new(card)),
            SourceSettings::V4l2(settings) => Box::new(V4l2Source::new(settings)),
        };
        Self::spawn_sized(source, settings.max_fps, settings.max_size, encoders)
    }

    /// Starts the thread with any source, at most `max_fps` frames a second, pictures as large as captured.
    pub fn spawn_from(source: Box<dyn Source>, max_fps: u32, encoders: Arc<Encoders>) -> Self {
        Self::spawn_sized(source, max_fps, MaxSize::Source, encoders)
    }

    /// Starts the thread with any source, at most `max_fps` frames a second, pictures at most `max_size`.
    pub fn spawn_sized(
        source: Box<dyn Source>,
        max_fps: u32,
        max_size: MaxSize,
        encoders: Arc<Encoders>,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let meters = Arc::new(Mutex::new(Meters::new(Instant::now())));
        let desk = Arc::new(Desk::default());
        let max_fps = Arc::new(AtomicU32::new(max_fps));
        let turns = Arc::new(AtomicU64::new(0));
        let screen = Screen::new(source.state(), max_size, Instant::now());
        let (state, state_receiver) = watch::channel(screen.display_state(&encoders));
        let pair = wake::pair();
        let (sender, receiver) = match pair {
            Ok((sender, receiver)) => (Some(Arc::new(sender)), Some(receiver)),
            Err(error) => {
                tracing::error!(%error, "the video pipeline cannot start: out of file descriptors");
                (None, None)
            }
        };
        let waker = sender.clone();
        let fanout = Fanout::new(move || {
            if let Some(waker) = &waker {
                waker.wake();
            }
        });
        let thread = receiver.and_then(|receiver| {
            let worker = Worker::new(Parts {
                source,
                max_fps: max_fps.clone(),
                screen,
                encoders,
                fanout: fanout.clone(),
                display: state,
                meters: meters.clone(),
                desk: desk.clone(),
                turns: turns.clone(),
                wake: receiver,
                stop: stop.clone(),
            });
            let spawned =
                std::thread::Builder::new().name("media-pipeline".into()).spawn(move || worker.run());
            spawned.map_err(|error| tracing::error!(%error, "the video pipeline cannot start")).ok()
        });
        if thread.is_none() {
            fanout.close();
            desk.close();
        }
        let handle = VideoHandle { fanout, state: state_receiver, meters, desk, max_fps, turns };
        Self { handle, stop, wake: sender, thread }
    }

    /// A handle for sessions.
    pub fn handle(&self) -> VideoHandle {
        self.handle.clone()
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(wake) = &self.wake {
            wake.wake();
        }
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the video pipeline had panicked");
        }
    }
}

impl VideoHandle {
    /// Begins to watch.
    pub fn subscribe(&self, request: VideoRequest) -> FrameSubscription {
        FrameSubscription { watch: self.fanout.watch(request), meters: self.meters.clone() }
    }

    /// What the display shows. A new size is told before the first frame of that size.
    pub fn state(&self) -> watch::Receiver<DisplayState> {
        self.state.clone()
    }

    /// The newest picture as it was captured; wakes a sleeping source for it and waits for at most three seconds.
    ///
    /// # Errors
    /// [`SnapshotError`] if there is no picture to take.
    pub async fn snapshot(&self) -> Result<Snapshot, SnapshotError> {
        let answer = self.desk.ask(Instant::now() + SNAPSHOT_PATIENCE)?;
        self.fanout.notify();
        answer.await.unwrap_or(Err(SnapshotError::Gone))
    }

    /// At most so many frames a second from now on, 1..=120.
    pub fn set_max_fps(&self, max_fps: u32) {
        if self.max_fps.swap(max_fps, Ordering::Relaxed) != max_fps {
            self.fanout.notify();
        }
    }

    /// How often the thread has looked around: more with every second, also while nobody watches, unless it hangs.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Counters, rates and latencies until now.
    pub fn stats(&self) -> PipelineStats {
        self.meters.lock().unwrap_or_else(PoisonError::into_inner).stats()
    }
}

impl FrameSubscription {
    /// The next frame; `None` when the pipeline is gone. Cancellation-safe. A watcher that is too slow loses
    /// frames up to the next key frame, which it gets by itself.
    pub async fn next(&mut self) -> Option<EncodedFrame> {
        let (frame, made_at) = std::future::poll_fn(|context| self.watch.poll_next(context)).await?;
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        meters.handed_out(made_at.elapsed());
        Some(frame)
    }

    /// Changes the wish.
    pub fn update(&self, request: VideoRequest) {
        self.watch.update(request);
    }

    /// While held, no frame is made for this watcher's sake, because its line takes none: what changes meanwhile is in
    /// the first one after it, fresh.
    pub fn hold(&self, is_held: bool) {
        self.watch.hold(is_held);
    }

    /// Asks for a key frame, also of a still picture.
    pub fn request_keyframe(&self) {
        self.watch.request_keyframe();
    }
}
