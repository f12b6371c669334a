//! A lane: one encoder, its pace and its quality, shared by all watchers who are sent the same. Time is an argument.

use std::time::{Duration, Instant};

use super::budget::{Change, line_time};
use super::demand::{self, Demand};
use super::encode::encoders::Encoders;
use super::encode::{EncodeError, EncodedPicture, Encoder, FrameOrder, Shown, Way};
use super::fanout::{LaneId, Need};
use super::quality::{Quality, Work};
use crate::video::format::Resolution;
use crate::video::frame::Codec;

/// How often an encoder may be set up for another kind of line, which costs a key frame.
const SET_UP_EVERY: Duration = Duration::from_secs(10);
/// What a change may take to encode for that: sparing the line takes about twice as long, and ten pictures a second should
/// be left.
const SPARES_UP_TO: Duration = Duration::from_millis(50);

/// What was measured that long ago says nothing of what encoding takes.
const COST_HOLDS: Duration = Duration::from_secs(5);

/// One encoded stream.
pub(super) struct Lane {
    pub(super) id: LaneId,
    pub(super) codec: Codec,
    pub(super) is_second: bool,
    demand: Demand,
    line: Option<u32>,
    encoder: Option<Box<dyn Encoder>>,
    /// Nothing came out of it yet.
    is_fresh: bool,
    next_sequence: u64,
    next_frame_at: Instant,
    retry_at: Option<Instant>,
    /// When the encoder was set up for another kind of line.
    set_up_at: Option<Instant>,
    /// What changed since the last frame.
    damage: Option<Change>,
    quality: Quality,
    /// What encoding a change takes, on average, and when that was measured last.
    cost: Option<(Duration, Instant)>,
    /// When the last frame went out, and its bytes.
    last: Option<(Instant, usize)>,
}

/// What a lane is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Encode, and since when it is late.
    Now(Work, Instant),
    /// Nothing until then.
    At(Instant),
    /// Nothing until something happens.
    Never,
}

/// A frame, and what the lane did for it.
pub(super) struct Made {
    pub(super) picture: EncodedPicture,
    pub(super) work: Work,
    pub(super) quantiser: u8,
    pub(super) sequence: u64,
    pub(super) encoder: &'static str,
    pub(super) way: Way,
    is_dirty: bool,
}

/// Why there is no frame.
#[derive(Debug)]
pub(super) enum Failure {
    /// No encoder of this codec can be opened.
    NotOpened(EncodeError),
    /// The encoder failed in use; `frames` came out of it before.
    Broken { name: &'static str, error: EncodeError, frames: u64 },
}

impl Lane {
    pub(super) fn new(id: LaneId, codec: Codec, is_second: bool, now: Instant) -> Self {
        Self {
            id,
            codec,
            is_second,
            demand: Demand { fps: 1, quality_percent: 67 },
            line: None,
            encoder: None,
            is_fresh: true,
            next_sequence: 0,
            next_frame_at: now,
            retry_at: None,
            set_up_at: None,
            damage: None,
            quality: Quality::default(),
            cost: None,
            last: None,
        }
    }

    /// What its watchers want from now on, and what the slowest of their lines carries.
    pub(super) fn follow(&mut self, demand: Demand, line: Option<u32>) {
        self.demand = demand;
        if self.line != line
            && let Some((at, bytes)) = self.last
        {
            // Nobody waits for a line that is gone, or faster than it was thought to be.
            let time = line_time(line, bytes).max(demand.interval());
            self.next_frame_at = self.next_frame_at.min(at + time);
        }
        self.line = line;
    }

    /// The quantiser that the watchers wish.
    pub(super) fn wished(&self) -> u8 {
        demand::quantiser(self.demand.quality_percent)
    }

    /// No change is encoded before.
    pub(super) fn next_frame_at(&self) -> Instant {
        self.next_frame_at
    }

    /// What encoding a change takes, on average; zero while it is not known, or was not measured for long.
    pub(super) fn cost(&self, now: Instant) -> Duration {
        let fresh = self.cost.filter(|(_, at)| now < *at + COST_HOLDS);
        fresh.map_or(Duration::ZERO, |(cost, _)| cost)
    }

    /// The picture changed; true if it had changed before and was not encoded since.
    pub(super) fn mark(&mut self, change: Change) -> bool {
        let is_again = self.damage.is_some();
        if self.damage != Some(Change::Large) {
            self.damage = Some(change);
        }
        is_again
    }

    /// What there is to do.
    pub(super) fn due(&self, need: Need, now: Instant) -> Due {
        if let Some(retry_at) = self.retry_at.filter(|at| *at > now) {
            return Due::At(retry_at);
        }
        if need.is_keyframe_due {
            let work = if need.is_catch_up { Work::CatchUp } else { Work::Key };
            return Due::Now(work, self.next_frame_at.min(now));
        }
        let next = match self.damage.filter(|_| need.has_room) {
            Some(change) => Some((Work::Delta(change), self.next_frame_at)),
            None if self.damage.is_some() || !need.has_room => None,
            None => self.quality.refine_due_at().map(|at| (Work::Refine, at.max(self.next_frame_at))),
        };
        match next {
            Some((work, at)) if at <= now => Due::Now(work, at),
            next => {
                let times = [next.map(|(_, at)| at), need.keyframe_due_at];
                times.into_iter().flatten().min().map_or(Due::Never, Due::At)
            }
        }
    }

    /// Opens an encoder for pictures of this size if there is none; whether it takes them as they were captured.
    pub(super) fn prepare(&mut self, encoders: &Encoders, size: Resolution) -> Result<bool, Failure> {
        if self.encoder.as_ref().is_some_and(|e| e.resolution() != size) {
            self.encoder = None;
            self.cost = None;
        }
        self.is_fresh |= self.encoder.is_none();
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            slot => slot.insert(encoders.open(self.codec, size).map_err(Failure::NotOpened)?),
        };
        Ok(encoder.takes_captured())
    }

    /// Encodes the picture. The encoder is opened if there is none of its size.
    pub(super) fn encode(
        &mut self,
        work: Work,
        picture: Shown<'_>,
        encoders: &Encoders,
        now: Instant,
    ) -> Result<Made, Failure> {
        let resolution = picture.resolution();
        self.prepare(encoders, resolution)?;
        let is_fresh = std::mem::take(&mut self.is_fresh);
        let Some(encoder) = &mut self.encoder else {
            return Err(Failure::NotOpened(EncodeError::None(self.codec)));
        };
        // An encoder begins with a key frame, whatever for.
        let mut work = if is_fresh && work != Work::CatchUp { Work::Key } else { work };
        // Only what is large gains by it; a picture in which someone types stays as it is.
        let is_large = work == Work::Delta(Change::Large);
        let is_settled = self.set_up_at.is_some_and(|at| now < at + SET_UP_EVERY);
        let is_fast = self.cost.is_some_and(|(cost, _)| cost <= SPARES_UP_TO);
        if is_large && !is_settled && is_fast && !encoder.suits(self.line) {
            work = Work::Key;
            self.set_up_at = Some(now);
        }
        let pixels = u64::from(resolution.width) * u64::from(resolution.height);
        self.quality.follow(demand::quantiser(self.demand.quality_percent), self.line, pixels);
        let is_dirty = self.damage.is_some();
        let quantiser = self.quality.order(work, is_dirty, now);
        let order = FrameOrder {
            wants_keyframe: matches!(work, Work::Key | Work::CatchUp),
            quantiser,
            bits_per_second: self.line,
        };
        let name = encoder.name();
        let made = match picture {
            Shown::Own(picture) => encoder.encode(picture, order),
            Shown::Captured(picture) => encoder.encode_captured(picture, order),
        };
        let way = encoder.way();
        match made {
            Ok(picture) => {
                let sequence = self.next_sequence;
                self.next_sequence += 1;
                Ok(Made { picture, work, quantiser, sequence, encoder: name, way, is_dirty })
            }
            Err(error) => {
                self.encoder = None;
                let frames = if is_fresh { 0 } else { self.next_sequence };
                Err(Failure::Broken { name, error, frames })
            }
        }
    }

    /// A frame of [`Lane::encode`], begun at `start` and ready at `now`, goes out.
    pub(super) fn sent(&mut self, made: &Made, start: Instant, now: Instant) {
        let bytes = made.picture.data.len();
        self.damage = None;
        self.last = Some((now, bytes));
        // An encoder may make a key frame by itself; that says nothing of how big changes are.
        let is_own_key = made.picture.is_keyframe && made.work != Work::CatchUp;
        let work = if is_own_key { Work::Key } else { made.work };
        self.quality.took(work, made.is_dirty, made.quantiser, bytes, now);
        if matches!(made.work, Work::Delta(_)) {
            let took = now.saturating_duration_since(start);
            let cost = self.cost.map_or(took, |(cost, _)| (cost * 7 + took) / 8);
            self.cost = Some((cost, now));
        }
        // On schedule, so that jitter of the source costs no frame; late ones do not make the next hurry. And not
        // before the line has taken this one.
        let interval = self.demand.interval();
        let scheduled = (self.next_frame_at + interval).max(start + interval / 2);
        self.next_frame_at = scheduled.max(now + self.quality.budget().line_time(bytes));
    }

    /// Leaves the encoder alone until then.
    pub(super) fn rest_until(&mut self, at: Instant) {
        self.encoder = None;
        self.retry_at = Some(at);
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests own their clocks")]
mod tests;
