//! The thread `media-pipeline` of one display: takes the newest frame, converts what changed, encodes for each lane
//! whose watchers have room, hands out. Sleeps while nobody wants pictures; blocks in poll(2) only.
#![allow(clippy::disallowed_methods, reason = "an edge: frames are paced in real time")]

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use self::lanes::Lanes;
use super::budget::Change;
use super::capture::{Source, SourceEvent, SourceState};
use super::encode::encoders::Encoders;
use super::encode::{EncodeError, Shown, Way};
use super::fanout::Fanout;
use super::lane::{Due, Failure};
use super::meters::Meters;
use super::quality::Work;
use super::screen::Screen;
use super::snapshot::{Desk, Snapshot, SnapshotError};
use super::wake::WakeReceiver;
use crate::video::frame::EncodedFrame;
use crate::video::signal::{DisplayState, SignalState};

mod lanes;

/// The longest wait without looking around.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// After a failure that another encoder cannot mend the next try waits so long.
const ENCODER_RETRY: Duration = Duration::from_secs(1);
/// An encoder that worked and fails is opened once more; if it fails again within this time, it is passed over.
const SECOND_CHANCE: Duration = Duration::from_secs(60);
/// How long a first key frame waits for the first live picture before it shows a card.
const PATIENCE: Duration = Duration::from_millis(150);
/// While nobody has room for a frame, one is looked at this often all the same.
const IDLE_LOOK: Duration = Duration::from_millis(100);

/// What the thread is made of.
pub(super) struct Parts {
    pub(super) source: Box<dyn Source>,
    pub(super) max_fps: Arc<AtomicU32>,
    pub(super) screen: Screen,
    pub(super) encoders: Arc<Encoders>,
    pub(super) fanout: Fanout,
    pub(super) display: watch::Sender<DisplayState>,
    pub(super) meters: Arc<Mutex<Meters>>,
    pub(super) desk: Arc<Desk>,
    pub(super) turns: Arc<AtomicU64>,
    pub(super) wake: WakeReceiver,
    pub(super) stop: Arc<AtomicBool>,
}

/// What the thread owns.
pub(super) struct Worker {
    parts: Parts,
    lanes: Lanes,
    /// The source's state that is shown.
    applied: SourceState,
    /// Since when a live picture should come; `None` while asleep or without a signal.
    hoping_since: Option<Instant>,
    /// The encoder that failed last, and when.
    failed: Option<(&'static str, Instant)>,
    /// Why captured frames are not used now.
    unusable: Option<String>,
}

/// Ends every subscription when the thread ends, for whatever reason.
struct CloseOnDrop(Fanout, Arc<Desk>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
        self.1.close();
    }
}

impl Worker {
    pub(super) fn new(parts: Parts) -> Self {
        let applied = parts.source.state();
        Self {
            lanes: Lanes::new(parts.max_fps.load(Ordering::Relaxed)),
            parts,
            applied,
            hoping_since: None,
            failed: None,
            unusable: None,
        }
    }

    pub(super) fn run(mut self) {
        let _close = CloseOnDrop(self.parts.fanout.clone(), self.parts.desk.clone());
        while !self.parts.stop.load(Ordering::Acquire) {
            self.parts.turns.fetch_add(1, Ordering::Relaxed);
            let now = Instant::now();
            if let Some(window) = self.meter(|meters| meters.tick(now)) {
                self.lanes.review(window, now);
                let report = self.parts.source.report();
                self.meter(|meters| meters.counts.source = report);
            }
            // Also what changed without being waited for, by waking the source or lending a frame.
            self.apply_state();
            self.seat_watchers(now);
            self.answer_late_snapshots(now);
            let snapshot_until = self.parts.desk.first_until();
            let is_wanted = !self.lanes.is_empty() || snapshot_until.is_some();
            self.parts.source.set_wish(self.parts.screen.wish());
            self.parts.source.set_awake(is_wanted);
            let is_hoping = is_wanted && self.parts.source.state().signal == SignalState::Active;
            self.hoping_since = is_hoping.then(|| self.hoping_since.unwrap_or(now));
            let Some((until, has_room)) = self.serve(now) else { continue };
            let until = snapshot_until.map_or(until, |at| at.min(until));
            // Nobody has to wait for a lane's pace with a screenshot.
            let not_before = if snapshot_until.is_some() {
                now
            } else if has_room {
                self.lanes.next_frame_at(now)
            } else {
                self.lanes.next_frame_at(now).max(now + IDLE_LOOK)
            };
            match self.parts.source.wait(&self.parts.wake, not_before, until) {
                SourceEvent::Frame => self.take_frame(),
                SourceEvent::State | SourceEvent::Nothing => {}
            }
        }
    }

    /// Gives every watcher its lane if anything changed that this depends on.
    fn seat_watchers(&mut self, now: Instant) {
        let Parts { fanout, encoders, screen, max_fps, .. } = &mut self.parts;
        self.lanes.set_max_fps(max_fps.load(Ordering::Relaxed));
        if !self.lanes.arrange(fanout, encoders, screen.size(), now) {
            return;
        }
        let lanes = self.lanes.stats();
        self.meter(|meters| meters.set_lanes(lanes));
        self.show();
    }

    /// Does the most urgent thing that the lanes need now. `None` if it did; else until when there is nothing to do, and
    /// whether anybody has room for a new picture.
    fn serve(&mut self, now: Instant) -> Option<(Instant, bool)> {
        let latest = now + LONGEST_WAIT;
        if self.lanes.is_empty() {
            return Some((latest, true));
        }
        let patience = self.hoping_since.map_or(now, |since| since + PATIENCE);
        if !self.parts.screen.is_live() && now < patience {
            return Some((patience, true));
        }
        let mut until = latest;
        if let Some(redraw_at) = self.parts.screen.redraw_at() {
            // Where drawing takes longer than until the next time, the source has to be looked at all the same.
            if redraw_at > now {
                until = until.min(redraw_at);
            } else if self.parts.screen.redraw(now) {
                self.lanes.mark(Change::Small);
            }
        }
        // Whoever is late longest comes first, so that slow encodes of one lane do not starve another.
        let mut first: Option<(usize, Work, Instant)> = None;
        let mut has_room = false;
        for (index, lane) in self.lanes.iter().enumerate() {
            let need = self.parts.fanout.need(lane.id, now);
            has_room |= need.has_room || need.is_keyframe_due || need.keyframe_due_at.is_some();
            match lane.due(need, now) {
                Due::Now(work, since) if first.is_none_or(|(.., other)| since < other) => {
                    first = Some((index, work, since));
                }
                Due::Now(..) | Due::Never => {}
                Due::At(at) => until = until.min(at),
            }
        }
        let Some((index, work, _)) = first else { return Some((until, has_room)) };
        if matches!(work, Work::Key | Work::CatchUp) {
            self.parts.screen.alert(now);
        }
        self.encode(index, work);
        None
    }

    fn encode(&mut self, index: usize, work: Work) {
        if let Some(change) = self.parts.screen.look_closely(Instant::now()) {
            self.mark(change);
        }
        let Parts { screen, encoders, fanout, meters, .. } = &mut self.parts;
        let Some(lane) = self.lanes.get_mut(index) else { return };
        let (captured_at, original_resolution) = (screen.captured_at(), screen.original());
        let takes_captured = match lane.prepare(encoders, screen.size()) {
            Ok(takes_captured) => takes_captured,
            Err(failure) => return self.fail(index, failure),
        };
        let captured = screen.captured().filter(|_| takes_captured);
        let picture = match &captured {
            Some(picture) => Shown::Captured(picture),
            None => Shown::Own(screen.picture()),
        };
        let (resolution, start) = (picture.resolution(), Instant::now());
        let made = match lane.encode(work, picture, encoders, start) {
            Ok(made) => made,
            Err(failure) => return self.fail(index, failure),
        };
        let now = Instant::now();
        let frame = EncodedFrame {
            data: made.picture.data.clone(),
            codec: lane.codec,
            is_keyframe: made.picture.is_keyframe,
            captured_at,
            sequence: made.sequence,
            resolution,
            original_resolution,
        };
        {
            let mut meters = meters.lock().unwrap_or_else(PoisonError::into_inner);
            let (bytes, took) = (frame.data.len(), now - start);
            meters.encoded(lane.id, frame.is_keyframe, bytes, took, made.encoder, made.quantiser);
            meters.counts.refinements += u64::from(made.work == Work::Refine);
            meters.counts.passed_through += u64::from(made.way != Way::Converted);
            meters.counts.handed_over += u64::from(made.way == Way::DmaBuf);
        }
        fanout.publish(lane.id, &frame, now);
        lane.sent(&made, start, now);
        if !frame.is_keyframe
            && let Some(codecs) = self.lanes.take_alternatives()
        {
            encoders.prove_soon(codecs);
        }
        self.lanes.worked(now - start);
        if matches!(made.work, Work::Delta(_)) && self.parts.screen.encoded(self.lanes.cost(now), now) {
            self.lanes.mark(Change::Large);
            self.show();
        }
    }

    /// A lane gave no frame: another encoder of its codec, another codec, or the same again later.
    fn fail(&mut self, index: usize, failure: Failure) {
        let now = Instant::now();
        let size = self.parts.screen.size();
        match failure {
            Failure::Broken { name, error, frames } => {
                self.meter(|meters| meters.counts.encoder_failures += 1);
                let is_again = self.failed.is_some_and(|(n, at)| n == name && now < at + SECOND_CHANCE);
                self.failed = Some((name, now));
                if frames > 0 && !is_again {
                    tracing::warn!(encoder = name, %error, "an encoder failed and is opened again");
                } else {
                    self.parts.encoders.reject(name, error.to_string());
                }
            }
            Failure::NotOpened(error @ EncodeError::Size(_)) => {
                tracing::error!(%error, "no picture can be sent with one of the codecs");
                self.lanes.exclude(index, size);
                self.lanes.rest(index, now + ENCODER_RETRY);
            }
            Failure::NotOpened(error) => {
                tracing::error!(%error, "no picture can be sent with one of the codecs");
                self.lanes.rest(index, now + ENCODER_RETRY);
            }
        }
    }

    /// Brings the picture up to date with the source's newest frame.
    fn take_frame(&mut self) {
        let Parts { source, screen, desk, .. } = &mut self.parts;
        let original = source.state().resolution;
        let Some(pair) = source.frame() else { return };
        // A frame that cannot be converted is no picture; the next one may be.
        if desk.first_until().is_some()
            && let Ok(snapshot) = Snapshot::of(&pair.current)
        {
            desk.take().into_iter().for_each(|waiting| waiting.answer(Ok(snapshot.clone())));
        }
        let captured_at = pair.current.captured_at;
        let result = screen.take(&pair, original.unwrap_or(pair.current.resolution), Instant::now());
        let after = captured_at.elapsed();
        let is_changed = matches!(result, Ok(Some(_)));
        self.meter(|meters| meters.captured(is_changed, after));
        match result {
            Err(error) => {
                let reason = error.to_string();
                self.parts.source.spoilt(&reason);
                // Bad frames come sixty a second.
                if self.unusable.as_ref() != Some(&reason) {
                    tracing::warn!(reason, "captured frames are not used");
                    self.unusable = Some(reason);
                }
                self.meter(|meters| meters.counts.dropped_unusable += 1);
                return;
            }
            Ok(None) => {}
            Ok(Some(change)) => self.mark(change),
        }
        self.unusable = None;
        self.show();
    }

    /// The picture changed: tells the lanes, and counts the pictures that were not encoded for this one.
    fn mark(&mut self, change: Change) {
        let (mut no_room, mut not_wanted) = (0, 0);
        let now = Instant::now();
        for lane in self.lanes.iter_mut() {
            let is_dropped = lane.mark(change);
            if is_dropped && self.parts.fanout.need(lane.id, now).has_room {
                not_wanted += 1;
            } else if is_dropped {
                no_room += 1;
            }
        }
        self.meter(|meters| {
            meters.counts.dropped_no_room += no_room;
            meters.counts.dropped_not_wanted += not_wanted;
        });
    }

    fn apply_state(&mut self) {
        let state = self.parts.source.state();
        if std::mem::replace(&mut self.applied, state) == state {
            return;
        }
        if self.parts.screen.set_state(state, Instant::now()) {
            self.lanes.mark(Change::Large);
        }
        let size = self.parts.screen.original();
        tracing::info!(state = state.signal.word(), %size, "video signal");
        self.show();
    }

    /// Tells those who waited for a picture too long, or wait for one that will not come.
    fn answer_late_snapshots(&mut self, now: Instant) {
        let Parts { source, desk, .. } = &mut self.parts;
        if desk.first_until().is_none() {
            return;
        }
        let signal = source.state().signal;
        let (late, error) = match signal {
            SignalState::Active => (desk.take_late(now), SnapshotError::TimedOut),
            // A picture that stalled may come again when the source is woken.
            SignalState::Stalled => (desk.take_late(now), SnapshotError::NoSignal(signal)),
            SignalState::NoDevice
            | SignalState::NoCable
            | SignalState::NoSignal
            | SignalState::NoSync
            | SignalState::OutOfRange => (desk.take(), SnapshotError::NoSignal(signal)),
        };
        late.into_iter().for_each(|waiting| waiting.answer(Err(error.clone())));
    }

    fn show(&self) {
        let shown = self.parts.screen.display_state(&self.parts.encoders);
        self.parts.display.send_if_modified(|state| {
            let before = std::mem::replace(state, shown);
            if before.resolution != shown.resolution {
                tracing::info!(size = %shown.resolution, captured = %shown.original_resolution, "pictures are sent at another size");
            }
            before != shown
        });
    }

    fn meter<T>(&self, change: impl FnOnce(&mut Meters) -> T) -> T {
        change(&mut self.parts.meters.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
