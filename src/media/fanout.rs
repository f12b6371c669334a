//! Encoded streams and their watchers: each watcher is in one lane and has a short queue, so that a slow one loses
//! frames up to its next key frame and never delays another. Pure: time is an argument, the pipeline is told through
//! a callback.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::video::frame::EncodedFrame;
use crate::video::request::VideoRequest;

/// Frames that wait for one watcher at most. The lane goes on as soon as somebody's queue is empty; the other places
/// are for those who are held up for a moment, so that not every hiccup of one costs all of them a key frame.
pub const QUEUE_FRAMES: usize = 8;
/// With so many waiting the oldest may be [`QUEUE_AGE`] old; and that is all for who skips anyway.
const QUEUE_LITTLE: usize = 2;
const QUEUE_AGE: Duration = Duration::from_millis(200);
/// Least time between key frames that watchers ask for.
const REFRESH_GAP: Duration = Duration::from_millis(100);
/// Least time between key frames for a watcher that lost frames because it is slow.
const CATCH_UP_GAP: Duration = Duration::from_secs(1);

/// The sending end; clones are the same fan-out.
#[derive(Clone)]
pub struct Fanout {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    notify: Box<dyn Fn() + Send + Sync>,
}

/// One encoded stream; never used again for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub u64);

/// Where a watcher belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The stream it gets.
    pub lane: LaneId,
    /// Nobody waits for it: it gets what it has room for, and key frames when it fell behind.
    pub is_skipping: bool,
}

#[derive(Debug, Default)]
struct State {
    watchers: BTreeMap<u64, Watcher>,
    next_watcher: u64,
    /// Counts changes of the watchers and their wishes.
    version: u64,
    /// The last key frame of each lane, and its bytes.
    keyframes: BTreeMap<LaneId, (Instant, usize)>,
    /// Some lane waits for room.
    is_starved: bool,
    is_closed: bool,
}

#[derive(Debug)]
struct Watcher {
    request: VideoRequest,
    place: Option<Place>,
    /// Frames and when they were made.
    queue: VecDeque<(EncodedFrame, Instant)>,
    step: Step,
    last_keyframe: Option<Instant>,
    /// Its line takes nothing now: no frame is made for its sake.
    is_held: bool,
    waker: Option<Waker>,
}

/// Whether a watcher's decoder can follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Every frame goes to it.
    Following,
    /// It is new or asked for a key frame; nothing else goes to it until then.
    Asked,
    /// It was too far behind; nothing goes to it until a key frame.
    Lost,
}

/// What the watchers of a lane need now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Need {
    /// Someone in step has room for a frame.
    pub has_room: bool,
    /// A key frame is due now.
    pub is_keyframe_due: bool,
    /// It is due only for someone who lost frames.
    pub is_catch_up: bool,
    /// When the next key frame becomes due, if none is due yet.
    pub keyframe_due_at: Option<Instant>,
}

/// One watcher's end; dropping it ends the watch.
pub struct Watch {
    shared: Arc<Shared>,
    watcher: u64,
}

impl std::fmt::Debug for Fanout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fanout").field("watchers", &self.shared.lock().watchers.len()).finish()
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("watcher", &self.watcher).finish()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fanout {
    /// Nobody watches yet. `notify` is called, without a lock held, when watchers need something new: it must
    /// not block.
    pub fn new(notify: impl Fn() + Send + Sync + 'static) -> Self {
        Self { shared: Arc::new(Shared { state: Mutex::default(), notify: Box::new(notify) }) }
    }

    /// Begins to watch; the first frame will be a key frame.
    pub fn watch(&self, request: VideoRequest) -> Watch {
        let mut state = self.shared.lock();
        let watcher = state.next_watcher;
        state.next_watcher += 1;
        state.version += 1;
        let new = Watcher {
            request,
            place: None,
            queue: VecDeque::new(),
            step: Step::Asked,
            last_keyframe: None,
            is_held: false,
            waker: None,
        };
        state.watchers.insert(watcher, new);
        drop(state);
        (self.shared.notify)();
        Watch { shared: self.shared.clone(), watcher }
    }

    /// Calls the pipeline for something that is none of the watchers'.
    pub fn notify(&self) {
        (self.shared.notify)();
    }

    /// Counts changes of what [`Fanout::requests`] says.
    pub fn version(&self) -> u64 {
        self.shared.lock().version
    }

    /// What each watcher wants.
    pub fn requests(&self) -> Vec<(u64, VideoRequest)> {
        self.shared.lock().watchers.iter().map(|(watcher, w)| (*watcher, w.request)).collect()
    }

    /// Gives watchers their places; `None` gets nothing. Whoever comes to another lane gets a key frame first.
    pub fn place(&self, places: impl IntoIterator<Item = (u64, Option<Place>)>) {
        let mut state = self.shared.lock();
        for (watcher, place) in places {
            let Some(watcher) = state.watchers.get_mut(&watcher) else { continue };
            let (old, new) = (watcher.place.map(|p| p.lane), place.map(|p| p.lane));
            watcher.place = place;
            if old != new {
                watcher.step = Step::Asked;
                watcher.last_keyframe = None;
            }
        }
        let State { watchers, keyframes, .. } = &mut *state;
        keyframes.retain(|lane, _| watchers.values().any(|w| w.place.is_some_and(|p| p.lane == *lane)));
    }

    /// What the watchers of a lane need at `now`.
    pub fn need(&self, lane: LaneId, now: Instant) -> Need {
        let mut state = self.shared.lock();
        let last = state.keyframes.get(&lane).copied();
        let mut need = Need::default();
        let (mut is_asked, mut is_lost, mut has_followers) = (false, false, false);
        for watcher in state.watchers.values() {
            let Some(place) = watcher.place.filter(|place| place.lane == lane) else { continue };
            let due = match watcher.step {
                Step::Asked | Step::Lost if watcher.is_held => continue,
                Step::Following if place.is_skipping => continue,
                Step::Following => {
                    has_followers = true;
                    need.has_room |= watcher.queue.is_empty() && !watcher.is_held;
                    continue;
                }
                // A watcher's first key frame waits for nothing.
                Step::Asked => watcher.last_keyframe.and(last).map(|(at, _)| at + REFRESH_GAP),
                Step::Lost if watcher.queue.is_empty() => {
                    watcher.catch_up_at(last.map_or(0, |(_, bytes)| bytes))
                }
                Step::Lost => continue,
            };
            match due {
                Some(due) if due > now => {
                    need.keyframe_due_at = Some(need.keyframe_due_at.map_or(due, |at| at.min(due)));
                }
                Some(_) | None if watcher.step == Step::Asked => is_asked = true,
                Some(_) | None => is_lost = true,
            }
        }
        need.is_keyframe_due = is_asked || is_lost;
        need.is_catch_up = is_lost && !is_asked;
        state.is_starved |= has_followers && !need.has_room;
        need
    }

    /// Hands a frame to everyone in the lane who can use it.
    pub fn publish(&self, lane: LaneId, frame: &EncodedFrame, now: Instant) {
        let mut wakers = Vec::new();
        let mut state = self.shared.lock();
        if frame.is_keyframe {
            state.keyframes.insert(lane, (now, frame.data.len()));
        }
        for watcher in state.watchers.values_mut().filter(|w| w.place.is_some_and(|p| p.lane == lane)) {
            if watcher.take(frame, now) {
                wakers.extend(watcher.waker.take());
            }
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// No frame will come any more: every watcher gets `None` behind its queue.
    pub fn close(&self) {
        let mut state = self.shared.lock();
        state.is_closed = true;
        let wakers: Vec<_> = state.watchers.values_mut().filter_map(|w| w.waker.take()).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Watcher {
    /// When a watcher that lost frames may have a key frame of so many bytes: its line has to have room for others.
    fn catch_up_at(&self, bytes: usize) -> Option<Instant> {
        let line = self.request.bits_per_second.map_or(f64::INFINITY, |line| f64::from(line.max(1)));
        let time = Duration::from_secs_f64((bytes as f64 * 12.0 / line).min(60.0));
        self.last_keyframe.map(|at| at + time.max(CATCH_UP_GAP))
    }

    /// Whether too much waits already.
    fn is_behind(&self, now: Instant) -> bool {
        let is_old = |(_, at): &(EncodedFrame, Instant)| now.saturating_duration_since(*at) > QUEUE_AGE;
        let is_skipping = self.place.is_some_and(|place| place.is_skipping);
        self.queue.len() >= QUEUE_FRAMES
            || (self.queue.len() >= QUEUE_LITTLE && (is_skipping || self.queue.front().is_some_and(is_old)))
    }

    /// Queues the frame if this watcher can use it.
    fn take(&mut self, frame: &EncodedFrame, now: Instant) -> bool {
        if !self.request.decodes.contains(frame.codec) {
            return false;
        }
        if frame.is_keyframe {
            // Nothing before a key frame is worth showing any more (reference: session 3.4).
            self.queue.clear();
            self.step = Step::Following;
            self.last_keyframe = Some(now);
        } else if self.step != Step::Following {
            return false;
        } else if self.is_behind(now) {
            self.step = Step::Lost;
            return false;
        }
        self.queue.push_back((frame.clone(), now));
        true
    }
}

impl Watch {
    /// The next frame and when it was made, `None` at the end of the stream.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<(EncodedFrame, Instant)>> {
        let mut state = self.shared.lock();
        let State { watchers, is_starved, is_closed, .. } = &mut *state;
        let Some(watcher) = watchers.get_mut(&self.watcher) else {
            return Poll::Ready(None);
        };
        let Some(frame) = watcher.queue.pop_front() else {
            if *is_closed {
                return Poll::Ready(None);
            }
            watcher.waker = Some(context.waker().clone());
            return Poll::Pending;
        };
        let is_empty = watcher.queue.is_empty();
        let has_caught_up = watcher.step == Step::Lost && is_empty;
        let is_awaited = is_empty && std::mem::take(is_starved);
        drop(state);
        if is_awaited || has_caught_up {
            (self.shared.notify)();
        }
        Poll::Ready(Some(frame))
    }

    /// Changes the wish. Frames that it does not decode any more are not handed out.
    pub fn update(&self, request: VideoRequest) {
        let mut state = self.shared.lock();
        let State { watchers, version, .. } = &mut *state;
        let Some(watcher) = watchers.get_mut(&self.watcher).filter(|w| w.request != request) else { return };
        watcher.request = request;
        watcher.queue.retain(|(frame, _)| request.decodes.contains(frame.codec));
        *version += 1;
        drop(state);
        (self.shared.notify)();
    }

    /// While held, no frame is made for this watcher's sake: what changes meanwhile is in the first one after it.
    pub fn hold(&self, is_held: bool) {
        let mut state = self.shared.lock();
        let State { watchers, is_starved, .. } = &mut *state;
        let Some(watcher) = watchers.get_mut(&self.watcher) else { return };
        watcher.is_held = is_held;
        let is_awaited = !is_held && watcher.queue.is_empty() && std::mem::take(is_starved);
        let needs_notice = is_awaited || (!is_held && watcher.step != Step::Following);
        drop(state);
        if needs_notice {
            (self.shared.notify)();
        }
    }

    /// Asks for a key frame. Requests that come before it is made, or fetched, are one request.
    pub fn request_keyframe(&self) {
        if let Some(watcher) = self.shared.lock().watchers.get_mut(&self.watcher) {
            if watcher.queue.iter().any(|(frame, _)| frame.is_keyframe) {
                return;
            }
            watcher.step = Step::Asked;
        }
        (self.shared.notify)();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.watchers.remove(&self.watcher);
        state.version += 1;
        drop(state);
        (self.shared.notify)();
    }
}

#[cfg(test)]
mod tests;
