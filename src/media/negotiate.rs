//! Which watcher gets which codec: as few encoders as possible, then what most users chose, then the least CPU; a
//! second encoder of a codec only for lines that are far apart. Pure, and the same answer for the same question.

use crate::video::frame::{Codec, CodecSet};
use crate::video::request::VideoRequest;

/// Lines further apart than this do not share an encode.
const APART: u64 = 3;
/// A watcher that was set apart comes back when its line is within this of the fastest.
const TOGETHER: u64 = 2;
/// Lines above this many bits a second are all the same to us, and so is one that nothing limits.
const WIDE: u32 = 30_000_000;

/// One watcher, what it wants and where it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Names the watcher.
    pub watcher: u64,
    /// What it wants.
    pub request: VideoRequest,
    /// Its place until now.
    pub seat: Option<Seat>,
}

/// What can be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// With this.
    pub codec: Codec,
    /// CPU for a frame, in percent of openh264's.
    pub cost: u32,
}

/// A watcher's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// What it is sent.
    pub codec: Codec,
    /// It is in the codec's second lane, that of the slow lines.
    pub is_second: bool,
    /// Its line is too slow for its lane: it does not count for the lane's pace, and skips to refresh frames.
    pub is_skipping: bool,
}

/// A place for every watcher, in the order of `wishes`; `None` for one that decodes nothing on offer. A preference
/// that is not usable is ignored, the most frequent one wins (reference: session 3.6). With `allows_second` lines
/// more than three times slower than their codec's fastest get a lane of their own; without they skip.
pub fn negotiate(wishes: &[Wish], offers: &[Offer], allows_second: bool) -> Vec<Option<Seat>> {
    let chosen = choose(wishes, offers);
    let mut seats: Vec<Option<Seat>> = wishes
        .iter()
        .map(|wish| pick(wish, chosen, offers))
        .map(|codec| codec.map(|codec| Seat { codec, is_second: false, is_skipping: false }))
        .collect();
    for codec in chosen.iter() {
        let members: Vec<_> =
            (0..wishes.len()).filter(|n| seats[*n].is_some_and(|s| s.codec == codec)).collect();
        let far = slow_ones(wishes, &members, |old| old.codec == codec && (old.is_second || old.is_skipping));
        let skipping = if allows_second {
            far.iter().for_each(|n| seats[*n] = seats[*n].map(|seat| Seat { is_second: true, ..seat }));
            slow_ones(wishes, &far, |old| old.codec == codec && old.is_second && old.is_skipping)
        } else {
            far
        };
        skipping.iter().for_each(|n| seats[*n] = seats[*n].map(|seat| Seat { is_skipping: true, ..seat }));
    }
    seats
}

/// What a watcher can be sent at all.
fn usable(wish: &Wish, offers: &[Offer]) -> CodecSet {
    offers.iter().map(|offer| offer.codec).filter(|codec| wish.request.decodes.contains(*codec)).collect()
}

/// The codecs that are encoded: the fewest that give everyone something; of those sets the one that is preferred
/// by most, of those the cheapest.
fn choose(wishes: &[Wish], offers: &[Offer]) -> CodecSet {
    let usable: Vec<_> =
        wishes.iter().map(|wish| (wish, usable(wish, offers))).filter(|(_, set)| !set.is_empty()).collect();
    let sets = (0..1u32 << offers.len().min(Codec::ALL.len())).map(|bits| {
        let chosen = offers.iter().enumerate().filter(|(n, _)| bits >> n & 1 == 1);
        let (mut set, mut cost) = (CodecSet::EMPTY, 0u64);
        for (_, offer) in chosen {
            set.insert(offer.codec);
            cost += u64::from(offer.cost);
        }
        (set, cost)
    });
    let fitting = sets.filter(|(set, _)| usable.iter().all(|(_, usable)| !usable.and(*set).is_empty()));
    let best = fitting.min_by_key(|(set, cost)| {
        let pleased = usable.iter().filter(|(wish, usable)| {
            wish.request.prefers.is_some_and(|prefers| usable.and(*set).contains(prefers))
        });
        let order = set.iter().fold(0, |order, codec| order * 8 + rank(codec));
        (set.iter().count(), std::cmp::Reverse(pleased.count()), *cost, order)
    });
    best.map_or(CodecSet::EMPTY, |(set, _)| set)
}

/// Where cost decides nothing: what apps decode best comes first.
fn rank(codec: Codec) -> u32 {
    match codec {
        Codec::H264 => 0,
        Codec::H265 => 1,
        Codec::Av1 => 2,
        Codec::Vp9 => 3,
        Codec::Vp8 => 4,
    }
}

/// Which of the chosen codecs a watcher is sent: the one it prefers, else the one it has, else the cheapest.
fn pick(wish: &Wish, chosen: CodecSet, offers: &[Offer]) -> Option<Codec> {
    let choices = usable(wish, offers).and(chosen);
    let wanted = [wish.request.prefers, wish.seat.map(|seat| seat.codec)];
    if let Some(codec) = wanted.into_iter().flatten().find(|codec| choices.contains(*codec)) {
        return Some(codec);
    }
    let cheapest = offers.iter().filter(|offer| choices.contains(offer.codec));
    cheapest.min_by_key(|offer| (offer.cost, rank(offer.codec))).map(|offer| offer.codec)
}

/// Those of `members` whose lines are too slow for the fastest of them; who `was_slow` before comes back later.
fn slow_ones(wishes: &[Wish], members: &[usize], was_slow: impl Fn(Seat) -> bool) -> Vec<usize> {
    let rate = |n: usize| u64::from(wishes[n].request.bits_per_second.unwrap_or(WIDE).clamp(1, WIDE));
    let Some(fastest) = members.iter().map(|n| rate(*n)).max() else { return Vec::new() };
    let is_slow = |n: &usize| {
        let factor = if wishes[*n].seat.is_some_and(&was_slow) { TOGETHER } else { APART };
        rate(*n) * factor < fastest
    };
    members.iter().copied().filter(is_slow).collect()
}

#[cfg(test)]
mod tests;
