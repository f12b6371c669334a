//! One encoded stream, many subscriptions: a short queue for each watcher, so that a slow one loses frames up to
//! its next key frame and never delays another. Pure: time is an argument, the pipeline is told through a callback.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::video::frame::EncodedFrame;
use crate::video::request::VideoRequest;

/// Frames that wait for one watcher at most.
pub const QUEUE_FRAMES: usize = 3;
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

#[derive(Debug, Default)]
struct State {
    watchers: BTreeMap<u64, Watcher>,
    next_watcher: u64,
    last_keyframe: Option<Instant>,
    is_closed: bool,
}

#[derive(Debug)]
struct Watcher {
    request: VideoRequest,
    queue: VecDeque<EncodedFrame>,
    step: Step,
    last_keyframe: Option<Instant>,
    waker: Option<Waker>,
}

/// Whether a watcher's decoder can follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Every frame goes to it.
    Following,
    /// It is new or asked for a key frame; nothing else goes to it until then.
    Asked,
    /// Its queue was full; nothing goes to it until a key frame.
    Lost,
}

/// What the watchers need now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Need {
    /// Someone in step has room for a frame.
    pub has_room: bool,
    /// A key frame is due now.
    pub is_keyframe_due: bool,
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

    /// Changes one watcher and tells the pipeline.
    fn change(&self, watcher: u64, change: impl FnOnce(&mut Watcher)) {
        if let Some(watcher) = self.lock().watchers.get_mut(&watcher) {
            change(watcher);
        }
        (self.notify)();
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
        let new =
            Watcher { request, queue: VecDeque::new(), step: Step::Asked, last_keyframe: None, waker: None };
        state.watchers.insert(watcher, new);
        drop(state);
        (self.shared.notify)();
        Watch { shared: self.shared.clone(), watcher }
    }

    /// What each watcher wants.
    pub fn requests(&self) -> Vec<VideoRequest> {
        self.shared.lock().watchers.values().map(|w| w.request).collect()
    }

    /// What the watchers need at `now`.
    pub fn need(&self, now: Instant) -> Need {
        let state = self.shared.lock();
        let mut need = Need::default();
        for watcher in state.watchers.values() {
            let (last, gap) = match watcher.step {
                Step::Following => {
                    need.has_room |= watcher.queue.len() < QUEUE_FRAMES;
                    continue;
                }
                // A watcher's first key frame waits for nothing.
                Step::Asked => (watcher.last_keyframe.and(state.last_keyframe), REFRESH_GAP),
                Step::Lost if watcher.queue.is_empty() => (watcher.last_keyframe, CATCH_UP_GAP),
                Step::Lost => continue,
            };
            match last.map(|last| last + gap) {
                Some(due) if due > now => {
                    need.keyframe_due_at = Some(need.keyframe_due_at.map_or(due, |at| at.min(due)));
                }
                Some(_) | None => need.is_keyframe_due = true,
            }
        }
        need
    }

    /// Hands a frame to everyone who can use it.
    pub fn publish(&self, frame: &EncodedFrame, now: Instant) {
        let mut wakers = Vec::new();
        let mut state = self.shared.lock();
        if frame.is_keyframe {
            state.last_keyframe = Some(now);
        }
        for watcher in state.watchers.values_mut() {
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
    /// Queues the frame if this watcher can use it.
    fn take(&mut self, frame: &EncodedFrame, now: Instant) -> bool {
        if frame.is_keyframe {
            // Whoever asked for a refresh throws older frames away (reference: session 3.4), and so does a size
            // change. A full queue is worth less than the key frame that replaces it.
            let is_stale = self.queue.back().is_some_and(|last| last.resolution != frame.resolution);
            if self.step != Step::Following || is_stale || self.queue.len() >= QUEUE_FRAMES {
                self.queue.clear();
            }
            self.step = Step::Following;
            self.last_keyframe = Some(now);
        } else if self.step != Step::Following {
            return false;
        } else if self.queue.len() >= QUEUE_FRAMES {
            self.step = Step::Lost;
            return false;
        }
        self.queue.push_back(frame.clone());
        true
    }
}

impl Watch {
    /// The next frame, `None` at the end of the stream.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<EncodedFrame>> {
        let mut state = self.shared.lock();
        let is_closed = state.is_closed;
        let Some(watcher) = state.watchers.get_mut(&self.watcher) else {
            return Poll::Ready(None);
        };
        let was_full = watcher.queue.len() >= QUEUE_FRAMES;
        let Some(frame) = watcher.queue.pop_front() else {
            if is_closed {
                return Poll::Ready(None);
            }
            watcher.waker = Some(context.waker().clone());
            return Poll::Pending;
        };
        let has_caught_up = watcher.step == Step::Lost && watcher.queue.is_empty();
        drop(state);
        if was_full || has_caught_up {
            (self.shared.notify)();
        }
        Poll::Ready(Some(frame))
    }

    /// Changes the wish.
    pub fn update(&self, request: VideoRequest) {
        self.shared.change(self.watcher, |watcher| watcher.request = request);
    }

    /// Asks for a key frame. Requests that come before it is made are one request.
    pub fn request_keyframe(&self) {
        self.shared.change(self.watcher, |watcher| watcher.step = Step::Asked);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.lock().watchers.remove(&self.watcher);
        (self.shared.notify)();
    }
}

#[cfg(test)]
mod tests;
