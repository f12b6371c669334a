//! The pipeline thread and the handles to it. (Contract; to be built.)

use std::path::PathBuf;

use tokio::sync::watch;

use crate::video::card::TestCard;
use crate::video::frame::EncodedFrame;
use crate::video::request::VideoRequest;
use crate::video::signal::DisplayState;

/// Where pictures come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceSettings {
    /// The moving test card.
    Pattern,
    /// A V4L2 capture device.
    V4l2 {
        /// Device node, for instance `/dev/video0` or a link in `/dev/v4l/by-path`.
        device: PathBuf,
    },
}

/// The settings of one display's pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoSettings {
    /// The source.
    pub source: SourceSettings,
    /// Most frames a second that are encoded, 1..=120.
    pub max_fps: u32,
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
    _private: (),
}

/// A cloneable way to watch a display.
#[derive(Debug, Clone)]
pub struct VideoHandle {
    _private: (),
}

/// One watcher's stream of frames. Starts with a key frame (the last picture or a card, at once).
#[derive(Debug)]
pub struct FrameSubscription {
    _private: (),
}

impl Pipeline {
    /// Starts the thread. A source that cannot be opened is a state with a card, not an error.
    pub fn spawn(_settings: VideoSettings, _card: watch::Receiver<TestCard>) -> Self {
        Self { _private: () }
    }

    /// A handle for sessions.
    pub fn handle(&self) -> VideoHandle {
        VideoHandle { _private: () }
    }
}

impl VideoHandle {
    /// Begins to watch.
    pub fn subscribe(&self, _request: VideoRequest) -> FrameSubscription {
        FrameSubscription { _private: () }
    }

    /// What the display shows.
    pub fn state(&self) -> watch::Receiver<DisplayState> {
        watch::channel(DisplayState::default()).1
    }

    /// Counters.
    pub fn stats(&self) -> PipelineStats {
        PipelineStats::default()
    }
}

impl FrameSubscription {
    /// The next frame; `None` when the pipeline is gone. Cancellation-safe. A watcher that is too slow loses
    /// frames up to the next key frame, which it gets by itself.
    pub async fn next(&mut self) -> Option<EncodedFrame> {
        None
    }

    /// Changes the wish.
    pub fn update(&self, _request: VideoRequest) {}

    /// Asks for a key frame, also of a still picture.
    pub fn request_keyframe(&self) {}
}
