//! What a session takes from its displays: subscriptions to those that are watched, sound, screenshots.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::media::audio::AudioSubscription;
use crate::media::pipeline::{FrameSubscription, VideoHandle};
use crate::video::frame::EncodedFrame;
use crate::video::request::VideoRequest;

use super::wait::{boxed, first};

/// A picture for a screenshot comes within this, or not at all.
const SHOT_LIMIT: Duration = Duration::from_secs(10);

/// The subscriptions of one session, one a display that is watched: what nobody looks at costs nothing.
#[derive(Debug)]
pub(super) struct Pictures {
    request: VideoRequest,
    subscriptions: Vec<Option<Subscribed>>,
    /// Who is asked first, in turns: a busy display must not silence another.
    turn: usize,
}

#[derive(Debug)]
struct Subscribed {
    frames: FrameSubscription,
    is_held: bool,
}

impl Pictures {
    pub(super) fn new(displays: usize) -> Self {
        let subscriptions = (0..displays).map(|_| None).collect();
        Self { request: VideoRequest::default(), subscriptions, turn: 0 }
    }

    pub(super) fn show(&mut self, index: usize, display: &VideoHandle, is_shown: bool) {
        if let Some(slot) = self.subscriptions.get_mut(index) {
            *slot = is_shown.then(|| Subscribed { frames: display.subscribe(self.request), is_held: false });
        }
    }

    pub(super) fn update(&mut self, request: VideoRequest) {
        self.request = request;
        self.subscriptions.iter().flatten().for_each(|s| s.frames.update(request));
    }

    pub(super) fn request_keyframe(&self, index: usize) {
        if let Some(Some(subscription)) = self.subscriptions.get(index) {
            subscription.frames.request_keyframe();
        }
    }

    /// Has frames made only of displays for which `may` holds.
    pub(super) fn hold(&mut self, may: impl Fn(usize) -> bool) {
        for (index, slot) in self.subscriptions.iter_mut().enumerate() {
            let Some(subscribed) = slot else { continue };
            let is_held = !may(index);
            if subscribed.is_held != is_held {
                subscribed.is_held = is_held;
                subscribed.frames.hold(is_held);
            }
        }
    }

    /// The next frame of a display that is not held. Cancellation-safe.
    pub(super) async fn next(&mut self) -> (usize, Option<EncodedFrame>) {
        let (count, turn) = (self.subscriptions.len().max(1), self.turn);
        let mut ready: Vec<_> = self
            .subscriptions
            .iter_mut()
            .enumerate()
            .filter_map(|(index, slot)| Some((index, slot.as_mut().filter(|s| !s.is_held)?)))
            .collect();
        ready.sort_by_key(|(index, _)| (index + count - turn % count) % count);
        let (index, frame) = first(ready.into_iter().map(|(index, s)| (index, boxed(s.frames.next())))).await;
        self.turn = index + 1;
        (index, frame)
    }
}

/// The next packet of the sound that is listened to; `None` if it is gone for good, never if there is none.
pub(super) async fn next_sound(
    subscription: &mut Option<AudioSubscription>,
) -> Option<crate::audio::format::EncodedAudio> {
    match subscription {
        Some(subscription) => subscription.next().await,
        None => std::future::pending().await,
    }
}

/// A screenshot, or a sentence about why there is none.
#[derive(Debug)]
pub(super) struct Shot {
    pub(super) sid: String,
    pub(super) png: Result<Vec<u8>, String>,
}

/// Takes a screenshot in a task of its own; compressing happens off the threads that serve connections.
pub(super) fn shoot(shots: &mut JoinSet<Shot>, display: VideoHandle, sid: String) {
    shots.spawn(async move {
        let png = async {
            let snapshot = tokio::time::timeout(SHOT_LIMIT, display.snapshot())
                .await
                .map_err(|_| "no picture came in time".to_owned())?
                .map_err(|error| error.to_string())?;
            let encoding = tokio::task::spawn_blocking(move || snapshot.to_png());
            encoding.await.map_err(|_| "the picture could not be written as PNG".to_owned())
        };
        Shot { png: png.await, sid }
    });
}

/// The next screenshot; never while none is taken.
pub(super) async fn next_shot(shots: &mut JoinSet<Shot>) -> Shot {
    loop {
        match shots.join_next().await {
            Some(Ok(shot)) => return shot,
            // A task that was cut off is not there any more; its session is ending.
            Some(Err(error)) => tracing::error!(%error, "a screenshot failed"),
            None => std::future::pending().await,
        }
    }
}
