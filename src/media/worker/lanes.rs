//! The lanes of a pipeline: which there are, who is in which, and whether the CPU allows one more. Time is an argument.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::media::budget::Change;
use crate::media::demand;
use crate::media::encode::encoders::Encoders;
use crate::media::fanout::{Fanout, LaneId, Place};
use crate::media::lane::Lane;
use crate::media::negotiate::{Offer, Seat, Wish, negotiate};
use crate::media::pipeline::LaneStats;
use crate::video::format::Resolution;
use crate::video::frame::{Codec, CodecSet};
use crate::video::request::VideoRequest;

/// Part of the thread's time that encoding may take with a second lane of a codec; and above which it ends.
const BUSY_WITH_SECOND: f64 = 0.5;
const TOO_BUSY: f64 = 0.8;
/// A second lane, for slow lines, is reckoned with so many frames a second.
const SECOND_FPS: u32 = 15;

/// The lanes and what they were made of.
pub(super) struct Lanes {
    max_fps: u32,
    lanes: Vec<Lane>,
    next_id: u64,
    seats: BTreeMap<u64, Seat>,
    watchers: BTreeMap<LaneId, usize>,
    /// What the last arrangement depended on.
    seen: Option<(u64, [Option<u32>; 5], bool)>,
    /// Codecs that cannot do pictures of this size.
    excluded: (CodecSet, Resolution),
    /// What watchers would get if they withdrew what they have; `None` if that is the same as when it was asked for last.
    alternatives: Option<CodecSet>,
    /// Time spent encoding since the last review, and the part of the thread's time that it was on average.
    busy: Duration,
    load: f64,
    allows_second: bool,
}

impl Lanes {
    pub(super) fn new(max_fps: u32) -> Self {
        Self {
            max_fps,
            lanes: Vec::new(),
            next_id: 0,
            seats: BTreeMap::new(),
            watchers: BTreeMap::new(),
            seen: None,
            excluded: (CodecSet::EMPTY, Resolution::default()),
            alternatives: None,
            busy: Duration::ZERO,
            load: 0.0,
            allows_second: false,
        }
    }

    /// At most so many frames a second from now on.
    pub(super) fn set_max_fps(&mut self, max_fps: u32) {
        if std::mem::replace(&mut self.max_fps, max_fps) != max_fps {
            self.seen = None;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Lane> {
        self.lanes.iter_mut()
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Lane> {
        self.lanes.get_mut(index)
    }

    /// No lane encodes a change before.
    pub(super) fn next_frame_at(&self, now: Instant) -> Instant {
        self.lanes.iter().map(Lane::next_frame_at).min().unwrap_or(now)
    }

    /// What one change costs all lanes together.
    pub(super) fn cost(&self, now: Instant) -> Duration {
        self.lanes.iter().map(|lane| lane.cost(now)).sum()
    }

    /// The picture changed.
    pub(super) fn mark(&mut self, change: Change) {
        self.lanes.iter_mut().for_each(|lane| {
            lane.mark(change);
        });
    }

    /// Encoding took so long.
    pub(super) fn worked(&mut self, took: Duration) {
        self.busy += took;
    }

    /// After each window: may there be second lanes?
    pub(super) fn review(&mut self, window: Duration, now: Instant) {
        let part = std::mem::take(&mut self.busy).as_secs_f64() / window.as_secs_f64().max(0.001);
        self.load = self.load.mul_add(0.7, part * 0.3);
        self.allows_second = if self.lanes.iter().any(|lane| lane.is_second) {
            self.load < TOO_BUSY
        } else {
            // Nothing measured allows nothing.
            let dearest = self.lanes.iter().map(|lane| lane.cost(now)).max().unwrap_or_default();
            let more = dearest.as_secs_f64() * f64::from(SECOND_FPS);
            more > 0.0 && self.load + more < BUSY_WITH_SECOND
        };
    }

    /// The codec of a lane cannot do pictures of `size`.
    pub(super) fn exclude(&mut self, index: usize, size: Resolution) {
        if let Some(lane) = self.lanes.get(index) {
            if self.excluded.1 != size {
                self.excluded = (CodecSet::EMPTY, size);
            }
            self.excluded.0.insert(lane.codec);
            self.seen = None;
        }
    }

    /// Leaves a lane alone until then.
    pub(super) fn rest(&mut self, index: usize, until: Instant) {
        if let Some(lane) = self.lanes.get_mut(index) {
            lane.rest_until(until);
        }
    }

    /// Gives every watcher its lane; true if something may be different now.
    pub(super) fn arrange(
        &mut self,
        fanout: &Fanout,
        encoders: &Encoders,
        size: Resolution,
        now: Instant,
    ) -> bool {
        if !self.excluded.0.is_empty() && self.excluded.1 != size {
            self.excluded.0 = CodecSet::EMPTY;
            self.seen = None;
        }
        let costs = Codec::ALL.map(|codec| encoders.cost(codec));
        let seen = Some((fanout.version(), costs, self.allows_second));
        if self.seen == seen {
            return false;
        }
        self.seen = seen;
        let wishes: Vec<_> = fanout
            .requests()
            .into_iter()
            .map(|(watcher, request)| Wish { watcher, request, seat: self.seats.get(&watcher).copied() })
            .collect();
        let offers: Vec<_> = Codec::ALL
            .into_iter()
            .zip(costs)
            .filter(|(codec, _)| !self.excluded.0.contains(*codec))
            .filter_map(|(codec, cost)| cost.map(|cost| Offer { codec, cost }))
            .collect();
        let seats = negotiate(&wishes, &offers, self.allows_second);
        let chosen: CodecSet = seats.iter().flatten().map(|seat| seat.codec).collect();
        let others = chosen.iter().flat_map(|codec| {
            let left: Vec<_> = offers.iter().filter(|offer| offer.codec != codec).copied().collect();
            negotiate(&wishes, &left, false).into_iter().flatten().map(|seat| seat.codec)
        });
        self.alternatives = Some(others.collect());
        self.seat(fanout, &wishes, &seats, now);
        true
    }

    /// What watchers would get if they withdrew what they have, if that may have changed.
    pub(super) fn take_alternatives(&mut self) -> Option<CodecSet> {
        self.alternatives.take()
    }

    fn seat(&mut self, fanout: &Fanout, wishes: &[Wish], seats: &[Option<Seat>], now: Instant) {
        let is_in = |lane: &Lane, seat: &Seat| (lane.codec, lane.is_second) == (seat.codec, seat.is_second);
        self.lanes.retain(|lane| seats.iter().flatten().any(|seat| is_in(lane, seat)));
        for seat in seats.iter().flatten() {
            if !self.lanes.iter().any(|lane| is_in(lane, seat)) {
                let id = LaneId(self.next_id);
                self.next_id += 1;
                self.lanes.push(Lane::new(id, seat.codec, seat.is_second, now));
                tracing::debug!(codec = %seat.codec, is_second = seat.is_second, "a lane begins");
            }
        }
        let lane_of = |seat: &Seat| self.lanes.iter().find(|lane| is_in(lane, seat)).map(|lane| lane.id);
        let places: Vec<_> = wishes
            .iter()
            .zip(seats)
            .map(|(wish, seat)| {
                let place = seat
                    .as_ref()
                    .and_then(|seat| lane_of(seat).map(|lane| Place { lane, is_skipping: seat.is_skipping }));
                (wish.watcher, place)
            })
            .collect();
        fanout.place(places.iter().copied());
        self.watchers.clear();
        for (_, place) in &places {
            if let Some(place) = place {
                *self.watchers.entry(place.lane).or_default() += 1;
            }
        }
        for lane in &mut self.lanes {
            let members = wishes.iter().zip(&places);
            let pacers: Vec<&VideoRequest> = members
                .filter(|(_, (_, place))| place.is_some_and(|p| p.lane == lane.id && !p.is_skipping))
                .map(|(wish, _)| &wish.request)
                .collect();
            if let Some(demand) = demand::merge(pacers.iter().copied(), self.max_fps) {
                lane.follow(demand, pacers.iter().filter_map(|request| request.bits_per_second).min());
            }
        }
        self.seats = wishes
            .iter()
            .zip(seats)
            .filter_map(|(wish, seat)| seat.map(|seat| (wish.watcher, seat)))
            .collect();
    }

    /// For `status`.
    pub(super) fn stats(&self) -> Vec<(LaneId, LaneStats)> {
        let stats = |lane: &Lane| LaneStats {
            codec: lane.codec,
            encoder: "",
            is_second: lane.is_second,
            quantiser: 0,
            wished_quantiser: lane.wished(),
            bits_per_second: 0,
            fps: 0.0,
            watchers: self.watchers.get(&lane.id).copied().unwrap_or_default(),
        };
        self.lanes.iter().map(|lane| (lane.id, stats(lane))).collect()
    }
}
