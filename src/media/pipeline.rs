//! The handles to a display's pipeline: the owner, the sessions' end, one subscription a watcher. The thread itself
//! is in `worker`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::watch;

use super::capture::Source;
use super::capture::pattern::PatternSource;
use super::capture::v4l2::{V4l2Settings, V4l2Source};
use super::encode::encoders::Encoders;
use super::fanout::{Fanout, Watch};
use super::snapshot::{Snapshot, SnapshotError};
use super::wake::{self, WakeSender};
use super::worker::{self, Worker};
use crate::video::card::TestCard;
use crate::video::format::Resolution;
use crate::video::frame::EncodedFrame;
use crate::video::request::VideoRequest;
use crate::video::signal::DisplayState;

/// Where pictures come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceSettings {
    /// The moving test card.
    Pattern,
    /// A V4L2 capture device.
    V4l2(V4l2Settings),
}

/// How large the pictures are that are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MaxSize {
    /// As large as the encoder keeps up with.
    #[default]
    Auto,
    /// As large as the signal, whatever that costs.
    Source,
    /// At most this.
    Fixed(Resolution),
}

/// The settings of one display's pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoSettings {
    /// The source.
    pub source: SourceSettings,
    /// Most frames a second that are encoded, 1..=120.
    pub max_fps: u32,
    /// How large its pictures are sent.
    pub max_size: MaxSize,
}

/// Counters for `status` and for tests ("no frame is encoded for an unchanged picture").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PipelineStats {
    /// Frames taken from the source.
    pub captured: u64,
    /// Frames found equal to the one before.
    pub unchanged: u64,
    /// Frames encoded.
    pub encoded: u64,
    /// Of those, key frames.
    pub keyframes: u64,
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
    stats: Arc<Mutex<PipelineStats>>,
}

/// One watcher's stream of frames. Starts with a key frame (the last picture or a card, at once).
#[derive(Debug)]
pub struct FrameSubscription {
    watch: Watch,
}

impl Pipeline {
    /// Starts the thread. A source that cannot be opened is a state with a card, not an error. If the machine
    /// has no descriptor or thread left, that is logged and every subscription ends at once.
    pub fn spawn(settings: VideoSettings, card: watch::Receiver<TestCard>, encoders: Arc<Encoders>) -> Self {
        let source: Box<dyn Source> = match settings.source {
            SourceSettings::Pattern => Box::new(PatternSource::new(card)),
            SourceSettings::V4l2(settings) => Box::new(V4l2Source::new(settings)),
        };
        Self::spawn_from(source, settings.max_fps, encoders)
    }

    /// Starts the thread with any source, at most `max_fps` frames a second.
    pub fn spawn_from(source: Box<dyn Source>, max_fps: u32, encoders: Arc<Encoders>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stats = Arc::new(Mutex::new(PipelineStats::default()));
        let (state, state_receiver) = watch::channel(worker::display_state(source.state(), &encoders));
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
            let worker = Worker::new(
                source,
                max_fps,
                encoders,
                fanout.clone(),
                state,
                stats.clone(),
                receiver,
                stop.clone(),
            );
            let spawned =
                std::thread::Builder::new().name("media-pipeline".into()).spawn(move || worker.run());
            spawned.map_err(|error| tracing::error!(%error, "the video pipeline cannot start")).ok()
        });
        if thread.is_none() {
            fanout.close();
        }
        let handle = VideoHandle { fanout, state: state_receiver, stats };
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
        FrameSubscription { watch: self.fanout.watch(request) }
    }

    /// What the display shows. A new size is told before the first frame of that size.
    pub fn state(&self) -> watch::Receiver<DisplayState> {
        self.state.clone()
    }

    /// The newest picture as it was captured; wakes a sleeping source for it.
    ///
    /// # Errors
    /// [`SnapshotError`] if there is no picture to take.
    pub async fn snapshot(&self) -> Result<Snapshot, SnapshotError> {
        Err(SnapshotError::Gone)
    }

    /// Counters.
    pub fn stats(&self) -> PipelineStats {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FrameSubscription {
    /// The next frame; `None` when the pipeline is gone. Cancellation-safe. A watcher that is too slow loses
    /// frames up to the next key frame, which it gets by itself.
    pub async fn next(&mut self) -> Option<EncodedFrame> {
        std::future::poll_fn(|context| self.watch.poll_next(context)).await
    }

    /// Changes the wish.
    pub fn update(&self, request: VideoRequest) {
        self.watch.update(request);
    }

    /// Asks for a key frame, also of a still picture.
    pub fn request_keyframe(&self) {
        self.watch.request_keyframe();
    }
}
