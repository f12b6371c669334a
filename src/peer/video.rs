//! Which frames may go to the controller, and how they are wrapped (reference: session 3.1, 3.4, 3.5, 3.9).
//!
//! Guarantee: after the start, a gap, a new size or a decoder reset, nothing but a key frame of the announced size
//! goes out; until it comes it is asked for again each second.

use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::video::format::Resolution;
use crate::video::frame::{Codec, CodecSet, EncodedFrame};

/// A key frame that does not come is asked for again after this.
pub const ASK_AGAIN: Duration = Duration::from_secs(1);
/// The apps may drop the first picture of a new size: another key frame follows so much later.
pub const REPEAT_AFTER: Duration = Duration::from_millis(400);
/// Frames on their way to a controller that acknowledges them, and how long an acknowledgement may take.
const ACK_WINDOW: u32 = 4;
const ACK_LIMIT: Duration = Duration::from_secs(3);

/// What to do with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Send it.
    Send,
    /// Leave it out.
    Drop(Reason),
    /// It has another size than announced and is newer: announce its size, then send it.
    Resize,
}

/// Why a frame is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The controller does not look at this display.
    NotWatched,
    /// A key frame must come first.
    AwaitingKeyframe,
    /// The controller acknowledges frames and is behind.
    Unacknowledged,
    /// It was captured before the size changed.
    OldSize,
    /// The controller does not decode it.
    Undecodable,
}

#[derive(Debug)]
struct Stream {
    is_shown: bool,
    needs_key: bool,
    /// What the controller's decoder was built for.
    codec: Option<Codec>,
    next_sequence: Option<u64>,
    asked_at: Instant,
    /// When the announced size last changed; frames captured before it may still have the old one.
    resized_at: Option<Instant>,
    /// The next key frame is the first of a new size.
    repeats_key: bool,
    repeat_at: Option<Instant>,
}

/// The frames of one session, per display.
#[derive(Debug)]
pub struct Video {
    streams: Vec<Stream>,
    /// Frames not acknowledged and when the oldest wait began, for controllers that acknowledge.
    unacknowledged: Option<(u32, Instant)>,
    epoch: Option<Instant>,
    last_pts: i64,
    wanted: Vec<usize>,
    /// What changed about who is watched.
    shown: Vec<(usize, bool)>,
}

impl Video {
    /// Shows the first display and waits for its key frame. `acknowledges` for controllers that set
    /// `video_ack_required`.
    pub fn new(displays: usize, acknowledges: bool, now: Instant) -> Self {
        let stream = |index| Stream {
            is_shown: index == 0,
            needs_key: true,
            codec: None,
            next_sequence: None,
            asked_at: now,
            resized_at: None,
            repeats_key: false,
            repeat_at: None,
        };
        Self {
            streams: (0..displays).map(stream).collect(),
            unacknowledged: acknowledges.then_some((0, now)),
            epoch: None,
            last_pts: -1,
            wanted: vec![],
            shown: if displays > 0 { vec![(0, true)] } else { vec![] },
        }
    }

    /// Displays that are or are no longer watched, in this order; call after every input.
    pub fn take_shown(&mut self) -> Vec<(usize, bool)> {
        std::mem::take(&mut self.shown)
    }

    /// Displays of which a key frame is needed now; call after every input.
    pub fn take_wanted(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.wanted)
    }

    /// The controller or we ask for a key frame; deltas still go on until it comes.
    pub fn refresh(&mut self, index: usize) {
        if self.is_shown(index) && !self.wanted.contains(&index) {
            self.wanted.push(index);
        }
    }

    /// Whether the controller wants to see this display.
    pub fn is_shown(&self, index: usize) -> bool {
        self.streams.get(index).is_some_and(|s| s.is_shown)
    }

    /// The controller begins or ends to watch a display.
    pub fn show(&mut self, index: usize, is_shown: bool, now: Instant) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        let was_shown = std::mem::replace(&mut stream.is_shown, is_shown);
        if is_shown != was_shown {
            self.shown.push((index, is_shown));
        }
        if is_shown && !was_shown {
            self.require_key(index, now);
        }
    }

    /// Of the displays that are watched, those whose newest frame is none of `decodes` any more wait for a key frame.
    pub fn withdrawn(&mut self, decodes: CodecSet, now: Instant) {
        for index in 0..self.streams.len() {
            let codec = self.streams.get(index).and_then(|stream| stream.codec);
            if self.is_shown(index) && codec.is_some_and(|codec| !decodes.contains(codec)) {
                self.require_key(index, now);
            }
        }
    }

    /// The controller's decoder was reset, or a frame was lost: nothing but a key frame may follow.
    pub fn require_key(&mut self, index: usize, now: Instant) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        stream.needs_key = true;
        stream.asked_at = now;
        self.refresh(index);
    }

    /// Frames of a display may have been thrown away after they were admitted.
    pub fn lost(&mut self, index: usize, now: Instant) {
        if self.is_shown(index) {
            self.require_key(index, now);
        }
    }

    /// The announced size changed.
    pub fn resized(&mut self, index: usize, now: Instant) {
        self.require_key(index, now);
        if let Some(stream) = self.streams.get_mut(index) {
            stream.resized_at = Some(now);
            stream.repeats_key = true;
            stream.repeat_at = None;
        }
    }

    /// Judges a frame of a display that is announced with this size. `is_decodable`: the controller knows its codec.
    pub fn admit(
        &mut self,
        index: usize,
        frame: &EncodedFrame,
        is_decodable: bool,
        announced: Resolution,
        now: Instant,
    ) -> Admission {
        let has_room = self.has_room(now);
        let Some(stream) = self.streams.get_mut(index).filter(|s| s.is_shown) else {
            return Admission::Drop(Reason::NotWatched);
        };
        if !is_decodable {
            // A key frame in another codec will come by itself; nothing else may go before it.
            stream.needs_key = true;
            return Admission::Drop(Reason::Undecodable);
        }
        let is_gap = stream.next_sequence.is_some_and(|next| next != frame.sequence)
            || stream.codec.is_some_and(|codec| codec != frame.codec);
        stream.next_sequence = Some(frame.sequence.wrapping_add(1));
        if !frame.is_keyframe {
            let fits = frame.resolution == announced;
            if stream.needs_key {
                return Admission::Drop(Reason::AwaitingKeyframe);
            }
            if is_gap || !has_room || !fits {
                self.require_key(index, now);
                let late = if fits { Reason::Unacknowledged } else { Reason::OldSize };
                return Admission::Drop(if is_gap { Reason::AwaitingKeyframe } else { late });
            }
            return Admission::Send;
        }
        if !has_room {
            self.require_key(index, now);
            return Admission::Drop(Reason::Unacknowledged);
        }
        if frame.resolution != announced {
            let is_old = stream.resized_at.is_some_and(|at| frame.captured_at < at);
            return if is_old { Admission::Drop(Reason::OldSize) } else { Admission::Resize };
        }
        Admission::Send
    }

    /// A frame goes out: its presentation time in milliseconds, strictly increasing.
    pub fn sent(&mut self, index: usize, frame: &EncodedFrame, now: Instant) -> i64 {
        if let Some(stream) = self.streams.get_mut(index)
            && frame.is_keyframe
        {
            stream.needs_key = false;
            stream.codec = Some(frame.codec);
            self.wanted.retain(|wanted| *wanted != index);
            if std::mem::take(&mut stream.repeats_key) {
                stream.repeat_at = Some(now + REPEAT_AFTER);
            }
        }
        if let Some((count, since)) = &mut self.unacknowledged {
            if *count == 0 || *count >= ACK_WINDOW {
                (*count, *since) = (0, now);
            }
            *count += 1;
        }
        let epoch = *self.epoch.get_or_insert(frame.captured_at);
        let ms = frame.captured_at.saturating_duration_since(epoch).as_millis() as i64;
        self.last_pts = ms.max(self.last_pts + 1);
        self.last_pts
    }

    /// `Misc.video_received` came.
    pub fn acknowledged(&mut self, now: Instant) {
        if let Some((count, since)) = &mut self.unacknowledged {
            *count = count.saturating_sub(1);
            *since = now;
        }
    }

    /// Whether a controller that acknowledges has done so. A lost acknowledgement must not freeze the picture for
    /// ever.
    pub fn has_room(&self, now: Instant) -> bool {
        !self.unacknowledged.is_some_and(|(count, since)| {
            count >= ACK_WINDOW && now.saturating_duration_since(since) < ACK_LIMIT
        })
    }

    /// When [`Video::has_room`] changes by time alone.
    pub fn room_at(&self, now: Instant) -> Option<Instant> {
        let (_, since) = self.unacknowledged.filter(|(count, _)| *count >= ACK_WINDOW)?;
        Some(since + ACK_LIMIT).filter(|at| *at > now)
    }

    /// When something is due here.
    pub fn deadline(&self) -> Option<(Instant, &'static str)> {
        let shown = || self.streams.iter().filter(|s| s.is_shown);
        let again = shown().filter(|s| s.needs_key).map(|s| (s.asked_at + ASK_AGAIN, "key frame wanted"));
        let repeat = shown().filter_map(|s| Some((s.repeat_at?, "key frame repeated")));
        again.chain(repeat).min_by_key(|(at, _)| *at)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        for index in 0..self.streams.len() {
            let Some(stream) = self.streams.get_mut(index) else { continue };
            let mut is_due = false;
            if stream.repeat_at.is_some_and(|at| at <= now) {
                stream.repeat_at = None;
                is_due = true;
            }
            if stream.needs_key && stream.asked_at + ASK_AGAIN <= now {
                stream.asked_at = now;
                is_due = true;
            }
            if is_due {
                self.refresh(index);
            }
        }
    }
}

/// The bytes in front of and behind the payload of a `Message { video_frame }` with one frame in it, so that
/// the payload itself is never copied. Field numbers: reference, session 1.
pub fn wrap(display: usize, frame: &EncodedFrame, pts: i64) -> (Bytes, Bytes) {
    const MESSAGE_VIDEO_FRAME: u64 = 6;
    const FRAMES_FRAME: u64 = 1;
    const FRAME_DATA: u64 = 1;
    const FRAME_KEY: u64 = 2;
    const FRAME_PTS: u64 = 3;
    const VIDEO_DISPLAY: u64 = 14;
    let codec = match frame.codec {
        Codec::Vp9 => 6,
        Codec::H264 => 10,
        Codec::H265 => 11,
        Codec::Vp8 => 12,
        Codec::Av1 => 13,
    };
    let mut after_data = BytesMut::with_capacity(16);
    if frame.is_keyframe {
        put_varint(&mut after_data, FRAME_KEY << 3);
        put_varint(&mut after_data, 1);
    }
    if pts != 0 {
        put_varint(&mut after_data, FRAME_PTS << 3);
        put_varint(&mut after_data, pts as u64);
    }
    let mut after_frames = BytesMut::with_capacity(16);
    if display != 0 {
        put_varint(&mut after_frames, VIDEO_DISPLAY << 3);
        put_varint(&mut after_frames, display as u64);
    }
    let length = frame.data.len();
    // prost leaves an empty bytes field out.
    let data = if length == 0 { 0 } else { 1 + varint_len(length) + length };
    let one = data + after_data.len();
    let frames = 1 + varint_len(one) + one;
    let video = 1 + varint_len(frames) + frames + after_frames.len();
    let mut head = BytesMut::with_capacity(32);
    for (field, len) in [(MESSAGE_VIDEO_FRAME, video), (codec, frames), (FRAMES_FRAME, one)] {
        put_varint(&mut head, field << 3 | 2);
        put_varint(&mut head, len as u64);
    }
    if length != 0 {
        put_varint(&mut head, FRAME_DATA << 3 | 2);
        put_varint(&mut head, length as u64);
    }
    after_data.extend_from_slice(&after_frames);
    (head.freeze(), after_data.freeze())
}

fn varint_len(mut value: usize) -> usize {
    let mut len = 1;
    while value >= 0x80 {
        value >>= 7;
        len += 1;
    }
    len
}

fn put_varint(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, clippy::wildcard_enum_match_arm, reason = "tests own their clocks")]
mod tests;
