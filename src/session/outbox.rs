//! What waits to go out to one controller, bounded. One queue in order, because a display switch and the frames
//! around it must not overtake each other (reference: session trap T6). On overflow video gives way: a delta frame
//! is dropped (and reported), a key frame replaces all video that waits. Control messages are always kept; too many
//! of them mean that nobody reads.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::crypto::seal::SessionKey;

/// Most video that waits, in bytes (one frame always may) and in frames.
const MOST_VIDEO_BYTES: usize = 1024 * 1024;
const MOST_VIDEO_FRAMES: usize = 8;
/// What goes out together with the frame before it, in bytes.
const SMALL: usize = 256;
/// Most sound that waits, in packets: a second of it.
const MOST_SOUND: usize = 100;
/// Most control that waits, in bytes and in messages.
const MOST_CONTROL_BYTES: usize = 1024 * 1024;
const MOST_CONTROL: usize = 4096;

/// One thing for the writer to do.
#[derive(Debug)]
pub enum Item {
    /// Send a message.
    Control(Bytes),
    /// Send a message that is given in parts.
    Video([Bytes; 3]),
    /// Send a sound packet, if it did not wait too long since this moment.
    Sound(Bytes, Instant),
    /// Send a large message.
    Bulk(Bytes),
    /// Seal from here on.
    Seal(SessionKey),
}

/// What became of a video message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It waits.
    Queued,
    /// It waits, and all video before it was thrown away.
    Replaced,
    /// It was thrown away: the next must be a key frame.
    Dropped,
}

/// Too many control messages wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overflow;

#[derive(Debug, Default)]
struct Inner {
    queue: VecDeque<Item>,
    control: usize,
    control_bytes: usize,
    frames: usize,
    video_bytes: usize,
    sound: usize,
    other_bytes: usize,
    is_closed: bool,
}

/// The queue between a session and its writer.
#[derive(Debug, Default)]
pub struct Outbox {
    inner: Mutex<Inner>,
    ready: Notify,
    drained: Notify,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a control message.
    ///
    /// # Errors
    /// [`Overflow`] when the controller reads nothing any more.
    pub fn push_control(&self, message: Bytes) -> Result<(), Overflow> {
        let mut inner = self.lock();
        if inner.control >= MOST_CONTROL || inner.control_bytes + message.len() > MOST_CONTROL_BYTES {
            return Err(Overflow);
        }
        inner.control += 1;
        inner.control_bytes += message.len();
        inner.queue.push_back(Item::Control(message));
        Ok(())
    }

    /// Queues the begin of sealing.
    pub fn push_seal(&self, key: SessionKey) {
        self.lock().queue.push_back(Item::Seal(key));
    }

    /// Queues a video message, if there is room for it.
    pub fn push_video(&self, parts: [Bytes; 3], is_keyframe: bool) -> Pushed {
        let len: usize = parts.iter().map(Bytes::len).sum();
        let mut inner = self.lock();
        let is_full = inner.frames >= MOST_VIDEO_FRAMES
            || (inner.frames > 0 && inner.video_bytes + len > MOST_VIDEO_BYTES);
        if is_full && !is_keyframe {
            return Pushed::Dropped;
        }
        if is_full {
            inner.drop_video();
        }
        inner.frames += 1;
        inner.video_bytes += len;
        inner.queue.push_back(Item::Video(parts));
        if is_full { Pushed::Replaced } else { Pushed::Queued }
    }

    /// Queues a sound packet that came at `now`; the oldest makes room.
    pub fn push_sound(&self, message: Bytes, now: Instant) {
        let mut inner = self.lock();
        if inner.sound >= MOST_SOUND {
            inner.drop_oldest_sound();
        }
        inner.sound += 1;
        inner.other_bytes += message.len();
        inner.queue.push_back(Item::Sound(message, now));
    }

    /// Queues a message beyond the bounds of control; the caller asks [`Outbox::has_bulk`] before.
    pub fn push_bulk(&self, message: Bytes) {
        let mut inner = self.lock();
        inner.other_bytes += message.len();
        inner.queue.push_back(Item::Bulk(message));
    }

    /// Tells the writer that something was pushed: once for everything that belongs together, so that it can go out
    /// together.
    pub fn wake(&self) {
        self.ready.notify_one();
    }

    /// The next thing, if it is a small control message and is there already.
    pub fn next_small(&self) -> Option<Bytes> {
        let mut inner = self.lock();
        match inner.queue.front() {
            Some(Item::Control(message)) if message.len() <= SMALL => {}
            Some(_) | None => return None,
        }
        match inner.take(&self.drained) {
            Some(Item::Control(message)) => Some(message),
            Some(_) | None => None,
        }
    }

    /// Whether a message beyond the bounds of control waits.
    pub fn has_bulk(&self) -> bool {
        self.lock().queue.iter().any(|item| matches!(item, Item::Bulk(_)))
    }

    /// Bytes that wait.
    pub fn backlog(&self) -> usize {
        let inner = self.lock();
        inner.control_bytes + inner.video_bytes + inner.other_bytes
    }

    /// Ends each time that the last thing was taken. For one waiter. Cancellation-safe.
    pub async fn drained(&self) {
        self.drained.notified().await;
    }

    /// Nothing more will come: what is large or late is thrown away, the rest still goes out.
    pub fn close(&self) {
        let mut inner = self.lock();
        inner.drop_video();
        inner.queue.retain(|item| !matches!(item, Item::Sound(..) | Item::Bulk(_)));
        (inner.sound, inner.other_bytes) = (0, 0);
        inner.is_closed = true;
        drop(inner);
        self.ready.notify_one();
    }

    /// The next thing to do; `None` when closed and empty. For one writer.
    pub async fn next(&self) -> Option<Item> {
        loop {
            {
                let mut inner = self.lock();
                if let Some(item) = inner.take(&self.drained) {
                    return Some(item);
                }
                if inner.is_closed {
                    return None;
                }
            }
            self.ready.notified().await;
        }
    }
}

impl Inner {
    fn take(&mut self, drained: &Notify) -> Option<Item> {
        let item = self.queue.pop_front()?;
        match &item {
            Item::Control(message) => {
                self.control -= 1;
                self.control_bytes -= message.len();
            }
            Item::Video(parts) => {
                self.frames -= 1;
                self.video_bytes -= parts.iter().map(Bytes::len).sum::<usize>();
            }
            Item::Sound(message, _) => {
                self.sound -= 1;
                self.other_bytes -= message.len();
            }
            Item::Bulk(message) => self.other_bytes -= message.len(),
            Item::Seal(_) => {}
        }
        if self.queue.is_empty() {
            drained.notify_one();
        }
        Some(item)
    }

    fn drop_video(&mut self) {
        self.queue.retain(|item| !matches!(item, Item::Video(_)));
        (self.frames, self.video_bytes) = (0, 0);
    }

    fn drop_oldest_sound(&mut self) {
        let oldest = self.queue.iter().position(|item| matches!(item, Item::Sound(..)));
        if let Some(Item::Sound(message, _)) = oldest.and_then(|at| self.queue.remove(at)) {
            self.sound -= 1;
            self.other_bytes -= message.len();
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests own their clocks")]
mod tests {
    use super::*;

    fn frame(len: usize) -> [Bytes; 3] {
        [Bytes::from_static(b"h"), Bytes::from(vec![7; len]), Bytes::from_static(b"t")]
    }

    async fn drain(outbox: &Outbox) -> String {
        outbox.close();
        let mut kinds = String::new();
        while let Some(item) = outbox.next().await {
            kinds.push(match item {
                Item::Control(_) => 'c',
                Item::Video(_) => 'v',
                Item::Sound(..) => 'a',
                Item::Bulk(_) => 'b',
                Item::Seal(_) => 's',
            });
        }
        kinds
    }

    #[tokio::test]
    async fn order_is_kept() {
        let outbox = Outbox::default();
        outbox.push_control(Bytes::from_static(b"a")).unwrap();
        outbox.push_seal(SessionKey::from_bytes([1; 32]));
        assert_eq!(outbox.push_video(frame(10), true), Pushed::Queued);
        outbox.push_control(Bytes::from_static(b"b")).unwrap();
        assert_eq!(outbox.backlog(), 14);
        let mut kinds = String::new();
        for _ in 0..4 {
            kinds.push(match outbox.next().await.unwrap() {
                Item::Control(_) => 'c',
                Item::Video(_) => 'v',
                Item::Sound(..) => 'a',
                Item::Bulk(_) => 'b',
                Item::Seal(_) => 's',
            });
        }
        assert_eq!(kinds, "csvc");
        assert_eq!(outbox.backlog(), 0);
        assert_eq!(drain(&outbox).await, "");
    }

    #[tokio::test]
    async fn full_of_video_deltas_are_dropped_and_a_key_frame_replaces() {
        let outbox = Outbox::default();
        assert_eq!(outbox.push_video(frame(5 << 20), true), Pushed::Queued, "one frame always may");
        assert_eq!(outbox.push_video(frame(1), false), Pushed::Dropped);
        outbox.push_control(Bytes::from_static(b"kept")).unwrap();
        assert_eq!(outbox.push_video(frame(100), true), Pushed::Replaced);
        assert_eq!(outbox.backlog(), 4 + 102);
        for _ in 1..MOST_VIDEO_FRAMES {
            assert_eq!(outbox.push_video(frame(1), false), Pushed::Queued);
        }
        assert_eq!(outbox.push_video(frame(1), false), Pushed::Dropped);
        assert_eq!(drain(&outbox).await, "c", "closing throws video away");
    }

    #[tokio::test]
    async fn a_ping_goes_out_with_its_frame() {
        let outbox = Outbox::default();
        assert_eq!(outbox.next_small(), None);
        outbox.push_video(frame(10), true);
        outbox.push_control(Bytes::from_static(b"ping")).unwrap();
        outbox.push_control(Bytes::from(vec![0; SMALL + 1])).unwrap();
        assert_eq!(outbox.next_small(), None, "order is kept");
        assert!(matches!(outbox.next().await, Some(Item::Video(_))));
        assert_eq!(outbox.next_small().as_deref(), Some(&b"ping"[..]));
        assert_eq!(outbox.next_small(), None, "not small");
        assert_eq!(outbox.backlog(), SMALL + 1);
    }

    #[tokio::test]
    async fn old_sound_makes_room_and_the_writer_knows_its_age() {
        let outbox = Outbox::default();
        let start = Instant::now();
        for n in 0..MOST_SOUND + 2 {
            outbox.push_sound(Bytes::from(vec![n as u8]), start);
        }
        assert_eq!(outbox.backlog(), MOST_SOUND);
        assert!(matches!(outbox.next().await, Some(Item::Sound(m, at)) if m[0] == 2 && at == start));
        outbox.push_bulk(Bytes::from(vec![0; 3 << 20]));
        assert!(outbox.has_bulk());
        assert_eq!(drain(&outbox).await, "", "neither delays a farewell");
        assert_eq!(outbox.backlog(), 0);
    }

    #[tokio::test]
    async fn control_is_bounded() {
        let outbox = Outbox::default();
        let mut count = 0;
        while outbox.push_control(Bytes::from_static(b"x")).is_ok() {
            count += 1;
        }
        assert_eq!(count, MOST_CONTROL);
        outbox.next().await.unwrap();
        assert_eq!(outbox.push_control(Bytes::from(vec![0; MOST_CONTROL_BYTES])), Err(Overflow));
    }

    #[tokio::test]
    async fn a_waiting_writer_wakes() {
        let outbox = std::sync::Arc::new(Outbox::default());
        let writer = tokio::spawn({
            let outbox = outbox.clone();
            async move { outbox.next().await.is_some() && outbox.next().await.is_none() }
        });
        tokio::task::yield_now().await;
        outbox.push_control(Bytes::from_static(b"a")).unwrap();
        outbox.wake();
        tokio::task::yield_now().await;
        outbox.close();
        assert!(writer.await.unwrap());
    }
}
