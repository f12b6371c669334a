//! The thread `media-pipeline` of one display: takes the newest frame, converts what changed, encodes if a watcher
//! has room, hands out. Sleeps while nobody watches; blocks in poll(2) only.
#![allow(clippy::disallowed_methods, reason = "an edge: frames are paced in real time")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::capture::{Source, SourceEvent, SourceState};
use super::card;
use super::change::changed_stripes;
use super::convert::convert_stripes;
use super::demand::{self, Demand};
use super::encode::encoders::Encoders;
use super::encode::{EncodeError, Encoder, FrameOrder};
use super::fanout::Fanout;
use super::picture::{I420Picture, Stripes};
use super::pipeline::PipelineStats;
use super::wake::WakeReceiver;
use crate::video::format::Resolution;
use crate::video::frame::{Codec, EncodedFrame};
use crate::video::signal::{DisplayState, SignalState};

/// The longest wait without looking around.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// After a failure of the encoder the next try waits so long.
const ENCODER_RETRY: Duration = Duration::from_secs(1);
/// How long a first key frame waits for the first live picture before it shows a card.
const PATIENCE: Duration = Duration::from_millis(150);

/// What the thread owns.
pub(super) struct Worker {
    source: Box<dyn Source>,
    max_fps: u32,
    fanout: Fanout,
    display: watch::Sender<DisplayState>,
    stats: Arc<Mutex<PipelineStats>>,
    wake: WakeReceiver,
    stop: Arc<AtomicBool>,

    picture: I420Picture,
    /// Size of the signal that `picture` was made of.
    original: Resolution,
    /// When `picture` was captured or drawn.
    captured_at: Instant,
    /// `picture` is what the source showed last, not a card.
    is_live: bool,
    /// `picture` holds something that was not encoded yet.
    is_dirty: bool,
    encoders: Arc<Encoders>,
    encoder: Option<Box<dyn Encoder>>,
    encoder_retry_at: Option<Instant>,
    next_sequence: u64,
    next_frame_at: Instant,
    /// Since when a live picture should come; `None` while asleep or without a signal.
    hoping_since: Option<Instant>,
}

/// Ends every subscription when the thread ends, for whatever reason.
struct CloseOnDrop(Fanout);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What a display shows while its source is in `state`.
pub(super) fn display_state(state: SourceState, encoders: &Encoders) -> DisplayState {
    let original_resolution = state.resolution.unwrap_or(card::DEFAULT_SIZE);
    DisplayState {
        resolution: original_resolution.to_even(),
        original_resolution,
        signal: state.signal,
        encodes: encoders.codecs(),
    }
}

impl Worker {
    pub(super) fn new(
        source: Box<dyn Source>,
        max_fps: u32,
        encoders: Arc<Encoders>,
        fanout: Fanout,
        display: watch::Sender<DisplayState>,
        stats: Arc<Mutex<PipelineStats>>,
        wake: WakeReceiver,
        stop: Arc<AtomicBool>,
    ) -> Self {
        let state = source.state();
        let shown = display_state(state, &encoders);
        let now = Instant::now();
        Self {
            source,
            max_fps,
            fanout,
            display,
            stats,
            wake,
            stop,
            picture: card::draw(shown.resolution, state.signal, None, None),
            original: shown.original_resolution,
            captured_at: now,
            is_live: false,
            is_dirty: true,
            encoders,
            encoder: None,
            encoder_retry_at: None,
            next_sequence: 0,
            next_frame_at: now,
            hoping_since: None,
        }
    }

    pub(super) fn run(mut self) {
        let _close = CloseOnDrop(self.fanout.clone());
        while !self.stop.load(Ordering::Acquire) {
            let demand = demand::merge(&self.fanout.requests(), self.max_fps);
            self.source.set_awake(demand.is_some());
            let is_hoping = demand.is_some() && self.source.state().signal == SignalState::Active;
            self.hoping_since = is_hoping.then(|| self.hoping_since.unwrap_or_else(Instant::now));
            let until = match demand {
                Some(demand) => match self.serve(demand) {
                    Some(until) => until,
                    None => continue,
                },
                None => {
                    // The next watcher needs a key frame anyway: the encoder's memory is free until then.
                    self.encoder = None;
                    Instant::now() + LONGEST_WAIT
                }
            };
            match self.source.wait(&self.wake, self.next_frame_at, until) {
                SourceEvent::Frame => self.take_frame(),
                SourceEvent::State => self.apply_state(),
                SourceEvent::Nothing => {}
            }
        }
    }

    /// Encodes what the watchers need now. `None` if it did; else until when there is nothing to do.
    fn serve(&mut self, demand: Demand) -> Option<Instant> {
        let now = Instant::now();
        let need = self.fanout.need(now);
        let latest = now + LONGEST_WAIT;
        if let Some(retry_at) = self.encoder_retry_at.filter(|at| *at > now) {
            return Some(retry_at);
        }
        let patience = self.hoping_since.map_or(now, |since| since + PATIENCE);
        if !self.is_live && now < patience {
            return Some(patience);
        }
        let has_delta = self.is_dirty && need.has_room;
        if need.is_keyframe_due || (has_delta && now >= self.next_frame_at) {
            self.encode(demand, need.is_keyframe_due, now);
            return None;
        }
        let frame_at = if has_delta { self.next_frame_at } else { latest };
        Some(latest.min(frame_at).min(need.keyframe_due_at.unwrap_or(latest)))
    }

    fn encode(&mut self, demand: Demand, wants_keyframe: bool, now: Instant) {
        match self.try_encode(demand, wants_keyframe) {
            Ok(frame) => {
                self.count(|stats| {
                    stats.encoded += 1;
                    stats.keyframes += u64::from(frame.is_keyframe);
                });
                self.is_dirty = false;
                // On schedule, so that jitter of the source costs no frame; late ones do not make the next hurry.
                let interval = demand.interval();
                self.next_frame_at = (self.next_frame_at + interval).max(now + interval / 2);
                self.fanout.publish(&frame, now);
            }
            Err(error) => {
                tracing::error!(%error, "no picture can be sent");
                self.encoder = None;
                self.encoder_retry_at = Some(now + ENCODER_RETRY);
            }
        }
    }

    fn try_encode(&mut self, demand: Demand, wants_keyframe: bool) -> Result<EncodedFrame, EncodeError> {
        let resolution = self.picture.resolution();
        if self.encoder.as_ref().is_some_and(|e| e.resolution() != resolution) {
            self.encoder = None;
        }
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            slot => slot.insert(self.encoders.open(Codec::H264, resolution)?),
        };
        let quantiser = demand::quantiser(demand.quality_percent);
        let order = FrameOrder { wants_keyframe, quantiser, bits_per_second: None };
        let encoded = encoder.encode(&self.picture, order)?;
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        Ok(EncodedFrame {
            data: encoded.data,
            codec: encoder.codec(),
            is_keyframe: encoded.is_keyframe,
            captured_at: self.captured_at,
            sequence,
            resolution,
            original_resolution: self.original,
        })
    }

    /// Brings the picture up to date with the source's newest frame.
    fn take_frame(&mut self) {
        let Some(pair) = self.source.frame() else { return };
        let frame = pair.current;
        let even = frame.resolution.to_even();
        let is_same_size = self.is_live && self.picture.resolution() == even;
        // Frames follow each other only if the picture holds the one before.
        let stripes = match pair.previous.filter(|_| is_same_size) {
            Some(previous) => changed_stripes(&frame, &previous),
            None => Stripes::all(even.height),
        };
        let is_whole = pair.previous.is_none() || !is_same_size;
        let mut is_changed = !stripes.is_empty();
        let converted = if is_whole {
            let mut fresh = I420Picture::new(even);
            convert_stripes(&frame, &stripes, &mut fresh).map(|()| {
                // After a wake-up the source has no frame before, but the picture may be the same all the same.
                is_changed = !is_same_size || fresh != self.picture;
                self.picture = fresh;
            })
        } else {
            convert_stripes(&frame, &stripes, &mut self.picture)
        };
        let captured_at = frame.captured_at;
        let original = frame.resolution;
        self.count(|stats| {
            stats.captured += 1;
            stats.unchanged += u64::from(!is_changed);
        });
        if let Err(error) = converted {
            tracing::warn!(%error, "a captured frame is not used");
            return;
        }
        self.is_live = true;
        self.original = original;
        if is_changed {
            self.is_dirty = true;
            self.captured_at = captured_at;
        }
        self.show(DisplayState {
            resolution: even,
            original_resolution: original,
            signal: SignalState::Active,
            encodes: self.encoders.codecs(),
        });
    }

    /// Draws the card of a new state; a live picture of the right size stays.
    fn apply_state(&mut self) {
        let state = self.source.state();
        let shown = display_state(state, &self.encoders);
        tracing::info!(state = state.signal.word(), size = %shown.original_resolution, "video signal");
        if state.signal != SignalState::Active || self.picture.resolution() != shown.resolution {
            self.picture = card::draw(shown.resolution, state.signal, None, None);
            self.original = shown.original_resolution;
            self.captured_at = Instant::now();
            self.is_live = false;
            // A live signal's first frame comes in a moment; until then its card is only for those who must have
            // a key frame.
            self.is_dirty = state.signal != SignalState::Active;
        }
        self.show(shown);
    }

    fn show(&self, shown: DisplayState) {
        self.display.send_if_modified(|state| std::mem::replace(state, shown) != shown);
    }

    fn count(&self, change: impl FnOnce(&mut PipelineStats)) {
        change(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
