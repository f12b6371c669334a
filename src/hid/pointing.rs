//! By what the target's pointer is moved: places for the absolute device, distances for the relative one, and either of
//! them made of the other where only one is understood. Pure; [`super::report`] makes the bytes.

use std::collections::BTreeMap;

use crate::input::event::AbsolutePoint;

use super::backend::HidDevice;
use super::report::OwnerId;

/// Which pointer devices the target understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PointerMode {
    /// Both. While it reads the relative device only, as many boot menus do, places become distances.
    #[default]
    Auto,
    /// Only the absolute one: distances become places.
    Absolute,
    /// Only the relative one: places become distances.
    Relative,
}

/// What a motion was told as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Motion {
    /// A place.
    Place,
    /// A distance.
    Distance,
}

/// A screen of unknown size.
const SCREEN: (u32, u32) = (1280, 720);
/// The longest side that is believed.
const MOST_PIXELS: u32 = 16_384;
/// Further than a wanted edge, in counts: what acceleration or a lost report did wrong is set right there.
const BEYOND_EDGE: i32 = 127;

/// What is known about the target's one pointer.
#[derive(Debug)]
pub(super) struct Pointing {
    mode: PointerMode,
    /// The target reads the relative device only, it seems.
    is_absolute_deaf: bool,
    /// In the target's own pixels.
    screen: (u32, u32),
    /// The last place, and what is left of distances that were added to it, as a fraction of a step for each axis.
    position: Option<AbsolutePoint>,
    rest: (i64, i64),
    last: Motion,
    /// The pixel to which distances have brought the pointer; unknown at first and whenever reports were lost.
    counted: Option<(i32, i32)>,
    /// Who moved last, and where each owner's hand is.
    mover: Option<OwnerId>,
    places: BTreeMap<OwnerId, AbsolutePoint>,
}

impl Default for Pointing {
    fn default() -> Self {
        Self {
            mode: PointerMode::Auto,
            is_absolute_deaf: false,
            screen: SCREEN,
            position: None,
            rest: (0, 0),
            last: Motion::Place,
            counted: None,
            mover: None,
            places: BTreeMap::new(),
        }
    }
}

impl Pointing {
    pub(super) fn set_mode(&mut self, mode: PointerMode) {
        self.mode = mode;
    }

    /// The size of the target's screen, in its own pixels: one count of a distance is one pixel.
    pub(super) fn set_screen(&mut self, width: u32, height: u32) {
        let screen = (width.min(MOST_PIXELS), height.min(MOST_PIXELS));
        if screen.0 > 0 && screen.1 > 0 && self.screen != screen {
            (self.screen, self.rest, self.counted) = (screen, (0, 0), None);
        }
    }

    /// The target reads the relative device only. True if places become distances by that from now on.
    pub(super) fn set_absolute_deaf(&mut self, is_deaf: bool) -> bool {
        let is_new = is_deaf && !self.is_absolute_deaf;
        self.is_absolute_deaf = is_deaf;
        is_new && self.mode == PointerMode::Auto && self.last == Motion::Place
    }

    /// Whether [`Self::set_absolute_deaf`] said so last.
    pub(super) fn is_absolute_deaf(&self) -> bool {
        self.is_absolute_deaf
    }

    /// Whether places become distances though the user did not say so.
    pub(super) fn falls_back(&self) -> bool {
        self.mode == PointerMode::Auto && self.is_absolute_deaf
    }

    /// The device that carries such a motion.
    pub(super) fn carrier(&self, motion: Motion) -> HidDevice {
        match (self.mode, motion) {
            (PointerMode::Absolute, _) => HidDevice::Absolute,
            (PointerMode::Relative, _) | (PointerMode::Auto, Motion::Distance) => HidDevice::Relative,
            (PointerMode::Auto, Motion::Place) if self.is_absolute_deaf => HidDevice::Relative,
            (PointerMode::Auto, Motion::Place) => HidDevice::Absolute,
        }
    }

    /// The device of the last motion: buttons and wheel belong to it. Before any place was told, the absolute one would
    /// take the pointer to a corner with them.
    pub(super) fn device(&self) -> HidDevice {
        let is_unknown = self.position.is_none() && self.mode == PointerMode::Auto;
        self.carrier(if is_unknown { Motion::Distance } else { self.last })
    }

    /// The last place.
    pub(super) fn position(&self) -> Option<AbsolutePoint> {
        self.position
    }

    /// Whether the absolute device may say the place of itself.
    pub(super) fn has_absolute_place(&self) -> bool {
        let is_of_this = match self.mode {
            PointerMode::Auto => self.last == Motion::Place,
            PointerMode::Absolute => true,
            PointerMode::Relative => false,
        };
        is_of_this && self.position.is_some()
    }

    /// An owner's hand goes to a place; it is known from now on, whether or not a report says so.
    pub(super) fn go_to(&mut self, owner: OwnerId, point: AbsolutePoint) {
        let clamp = |v: u16| v.min(AbsolutePoint::MAX);
        let place = AbsolutePoint { x: clamp(point.x), y: clamp(point.y) };
        (self.position, self.rest, self.last, self.mover) = (Some(place), (0, 0), Motion::Place, Some(owner));
        self.places.insert(owner, place);
    }

    /// An owner's hand goes by a distance, clamped to the screen as targets do.
    pub(super) fn go_by(&mut self, owner: OwnerId, dx: i32, dy: i32) {
        (self.last, self.mover) = (Motion::Distance, Some(owner));
        self.places.remove(&owner);
        let (width, height) = self.screen;
        if self.mode == PointerMode::Absolute {
            let middle = AbsolutePoint { x: AbsolutePoint::MAX / 2, y: AbsolutePoint::MAX / 2 };
            let from = self.position.unwrap_or(middle);
            let (x, x_rest) = shifted(from.x, self.rest.0, dx, width);
            let (y, y_rest) = shifted(from.y, self.rest.1, dy, height);
            (self.position, self.rest) = (Some(AbsolutePoint { x, y }), (x_rest, y_rest));
        }
        if let Some((x, y)) = &mut self.counted {
            let clamp = |v: i32, size: u32| v.clamp(0, last_pixel(size));
            (*x, *y) = (clamp(x.saturating_add(dx), width), clamp(y.saturating_add(dy), height));
        }
    }

    /// The place to which the pointer has to go back before this owner clicks, because somebody else moved it.
    pub(super) fn own_place(&self, owner: OwnerId) -> Option<AbsolutePoint> {
        let place = self.places.get(&owner).copied();
        place.filter(|place| {
            self.mover != Some(owner) && (self.last == Motion::Distance || self.position != Some(*place))
        })
    }

    /// The owner's hand is nowhere any more.
    pub(super) fn forget(&mut self, owner: OwnerId) {
        self.places.remove(&owner);
    }

    /// Reports of distances were lost: nobody knows where the pointer is.
    pub(super) fn lose_count(&mut self) {
        self.counted = None;
    }

    /// Whether nobody knows where the pointer is, though its place was told.
    pub(super) fn is_lost(&self) -> bool {
        self.last == Motion::Place && self.position.is_some() && self.counted.is_none()
    }

    /// The distances to the last place, one after the other: first home to the top left corner if nobody knows where the
    /// pointer is, then from where it is, and beyond the edge if an edge is wanted.
    pub(super) fn travel(&mut self) -> Vec<(i32, i32)> {
        let Some(place) = self.position else { return vec![] };
        let (width, height) = self.screen;
        let to = place.to_pixel(width, height);
        let mut hops = vec![];
        let from = self.counted.unwrap_or_else(|| {
            // Twice the longer side, for targets that see less in a count than a pixel.
            let home = last_pixel(width).max(last_pixel(height)).saturating_add(1).saturating_mul(-2);
            hops.push((home, home));
            (0, 0)
        });
        let hop = |from: i32, to: i32, size: u32| match to {
            0 => to - from - BEYOND_EDGE,
            _ if to == last_pixel(size) => to - from + BEYOND_EDGE,
            _ => to - from,
        };
        hops.push((hop(from.0, to.0, width), hop(from.1, to.1, height)));
        self.counted = Some(to);
        hops
    }
}

fn last_pixel(size: u32) -> i32 {
    i32::try_from(size.saturating_sub(1)).unwrap_or(i32::MAX)
}

/// A coordinate `pixels` further on a screen of this size, rounded up as [`AbsolutePoint::from_pixel`] does, and what
/// that is too much, in parts of a step: as many as the last pixel's number.
fn shifted(from: u16, rest: i64, pixels: i32, size: u32) -> (u16, i64) {
    let last = i64::from(last_pixel(size).max(1));
    let parts = i64::from(from) * last + rest + i64::from(pixels) * i64::from(AbsolutePoint::MAX);
    let clamped = parts.clamp(0, i64::from(AbsolutePoint::MAX) * last);
    let rounded = (clamped + last - 1) / last;
    (rounded as u16, clamped - rounded * last)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: OwnerId = OwnerId(1);
    const B: OwnerId = OwnerId(2);

    fn pointing(mode: PointerMode, width: u32, height: u32) -> Pointing {
        let mut pointing = Pointing::default();
        pointing.set_mode(mode);
        pointing.set_screen(width, height);
        pointing
    }

    fn pixel(x: i32, y: i32) -> AbsolutePoint {
        AbsolutePoint::from_pixel(x, y, 1920, 1080)
    }

    #[test]
    fn distances_begin_at_the_corner_and_end_at_the_pixel() {
        let mut p = pointing(PointerMode::Relative, 1920, 1080);
        p.go_to(A, pixel(100, 50));
        assert_eq!(p.travel(), [(-3840, -3840), (100, 50)], "home first");
        p.go_to(A, pixel(103, 49));
        assert_eq!(p.travel(), [(3, -1)]);
        p.go_to(A, pixel(0, 1079));
        assert_eq!(p.travel(), [(-103 - 127, 1030 + 127)], "edges are met whatever went wrong before");
        p.go_by(A, -5, -9);
        p.go_to(A, pixel(1, 1070));
        assert_eq!(p.travel(), [(1, 0)], "its own distances are counted, and the edge stops them");
        p.lose_count();
        assert_eq!(p.travel(), [(-3840, -3840), (1, 1070)]);
        p.set_screen(1280, 1024);
        p.set_screen(1280, 1024);
        p.set_screen(0, 7);
        p.go_to(A, AbsolutePoint { x: 32767, y: 0 });
        assert_eq!(p.travel(), [(-2560, -2560), (1279 + 127, -127)]);
    }

    #[test]
    fn distances_become_places_and_keep_what_is_less_than_a_step() {
        let mut p = pointing(PointerMode::Absolute, 1920, 1080);
        p.go_to(A, pixel(0, 0));
        for _ in 0..1919 {
            p.go_by(A, 1, 0);
        }
        assert_eq!(p.position(), Some(pixel(1919, 0)), "no part of a step is lost on the way");
        p.go_by(A, 500, -500);
        assert_eq!(p.position(), Some(pixel(1919, 0)), "the edge stops it");
        for _ in 0..1000 {
            p.go_by(A, -1, 1);
        }
        assert_eq!(p.position().map(|at| at.to_pixel(1920, 1080)), Some((919, 1000)));
        assert_eq!(p.device(), HidDevice::Absolute);
        let mut p = pointing(PointerMode::Absolute, 1, 1);
        p.go_by(A, i32::MIN, i32::MAX);
        assert_eq!(p.position(), Some(AbsolutePoint { x: 0, y: 32767 }));
    }

    #[test]
    fn each_mode_has_its_carrier() {
        let carriers = |p: &Pointing| (p.carrier(Motion::Place), p.carrier(Motion::Distance));
        use HidDevice::{Absolute, Relative};
        assert_eq!(carriers(&pointing(PointerMode::Absolute, 9, 9)), (Absolute, Absolute));
        assert_eq!(carriers(&pointing(PointerMode::Relative, 9, 9)), (Relative, Relative));
        let mut p = pointing(PointerMode::Auto, 9, 9);
        assert_eq!(carriers(&p), (Absolute, Relative));
        assert!(p.set_absolute_deaf(true) && !p.set_absolute_deaf(true) && p.falls_back());
        assert_eq!(carriers(&p), (Relative, Relative));
        assert!(!p.set_absolute_deaf(false) && !p.falls_back());
        let mut p = pointing(PointerMode::Absolute, 9, 9);
        assert!(!p.set_absolute_deaf(true), "what the user said stays");
        assert_eq!(carriers(&p), (Absolute, Absolute));
    }

    #[test]
    fn a_hand_clicks_where_it_is() {
        let mut p = pointing(PointerMode::Auto, 1920, 1080);
        assert_eq!(p.own_place(A), None);
        p.go_to(A, pixel(5, 5));
        assert_eq!(p.own_place(A), None, "there already");
        p.go_to(B, pixel(9, 9));
        assert_eq!((p.own_place(A), p.own_place(B)), (Some(pixel(5, 5)), None));
        p.go_by(B, 1, 1);
        assert_eq!((p.own_place(A), p.own_place(B)), (Some(pixel(5, 5)), None));
        p.forget(A);
        assert_eq!(p.own_place(A), None);
    }
}
