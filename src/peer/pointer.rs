//! Mouse and pinch messages to input events (reference: session 5).

use std::collections::BTreeMap;

use crate::input::event::{AbsolutePoint, InputEvent, PointerButton};
use crate::input::usage::KeyUsage;
use crate::video::format::Resolution;
use crate::wire::message::hbb;

use super::hands::{Hands, Listed};
use super::types::AnnouncedPlatform;

/// Most notches or counts that one message may ask for.
const MOST_NOTCHES: i32 = 100;
const MOST_COUNTS: i32 = 10_000;
/// Track-pad units a notch, for controllers that think we are Windows; also thousandths of a pinch's scale a notch.
const UNITS_A_NOTCH: i32 = 120;

/// One controller's pointer.
#[derive(Debug, Default)]
pub struct Pointer {
    /// Track-pad distance that is no whole notch yet.
    rest: (i32, i32),
    /// Modifiers pressed only because a button's event listed them; they go up after the button.
    borrowed: BTreeMap<PointerButton, Vec<KeyUsage>>,
    /// A pinch's scale that is no whole notch yet.
    pinch: i32,
    /// Control is down only because of a pinch.
    is_pinching: bool,
    /// The display's origin has just changed: the apps may move there by themselves (reference: session 5.2).
    may_stray: bool,
}

/// The display that the pointer moves on.
#[derive(Debug, Clone, Copy)]
pub struct Ground {
    /// Left edge in the virtual desktop, in pixels.
    pub left: i32,
    /// Announced size.
    pub size: Resolution,
}

impl Pointer {
    /// Takes one message; false if it means nothing.
    pub fn handle(
        &mut self,
        event: &hbb::MouseEvent,
        ground: Ground,
        announce: AnnouncedPlatform,
        hands: &mut Hands,
    ) -> bool {
        let listed = Listed::new(&event.modifiers);
        let buttons = event.mask >> 3;
        let kind = event.mask & 7;
        if matches!(kind, 1..=4) {
            self.end_pinch(hands);
        }
        if kind != 0 {
            self.may_stray = false;
        }
        match kind {
            0 => {
                let x = event.x.saturating_sub(ground.left);
                if self.is_stray((x, event.y), ground.size) {
                    return true;
                }
                let point = AbsolutePoint::from_pixel(x, event.y, ground.size.width, ground.size.height);
                hands.emit(InputEvent::PointerAbsolute(point));
            }
            // Button messages carry 0,0, which is no position (trap T9).
            1 => match button(buttons) {
                Some(button) => self.button_down(button, &listed, hands),
                None => return false,
            },
            2 => match button(buttons) {
                Some(button) => {
                    hands.button(button, false);
                    for usage in self.borrowed.remove(&button).unwrap_or_default() {
                        hands.release(usage);
                    }
                }
                None => return false,
            },
            3 => wheel(event.x, event.y, &listed, hands),
            4 => {
                let unit = match announce {
                    AnnouncedPlatform::Windows | AnnouncedPlatform::MacOs => UNITS_A_NOTCH,
                    AnnouncedPlatform::Linux => 1,
                };
                let limit = MOST_NOTCHES * unit;
                self.rest.0 = self.rest.0.saturating_add(event.x).clamp(-limit, limit);
                self.rest.1 = self.rest.1.saturating_add(event.y).clamp(-limit, limit);
                let (x, y) = (self.rest.0 / unit, self.rest.1 / unit);
                self.rest = (self.rest.0 % unit, self.rest.1 % unit);
                wheel(x, y, &listed, hands);
            }
            5 => {
                let clamp = |v: i32| v.clamp(-MOST_COUNTS, MOST_COUNTS);
                let (dx, dy) = (clamp(event.x), clamp(event.y));
                // A zero delta only marks the begin of relative mode.
                if (dx, dy) != (0, 0) {
                    hands.emit(InputEvent::PointerRelative { dx, dy });
                }
            }
            _ => return false,
        }
        true
    }

    /// Takes one event of a pinch on a desktop's track-pad: Control with the wheel, until the scale 0 that ends it.
    /// False for what means nothing (pans are for Android only).
    pub fn handle_pinch(&mut self, event: &hbb::PointerDeviceEvent, hands: &mut Hands) -> bool {
        use hbb::{pointer_device_event::Union::TouchEvent, touch_event::Union::ScaleUpdate};
        let Some(TouchEvent(hbb::TouchEvent { union: Some(ScaleUpdate(update)) })) = &event.union else {
            return false;
        };
        if update.scale == 0 {
            self.end_pinch(hands);
            return true;
        }
        let limit = MOST_NOTCHES * UNITS_A_NOTCH;
        self.pinch = self.pinch.saturating_add(update.scale).clamp(-limit, limit);
        let notches = self.pinch / UNITS_A_NOTCH;
        self.pinch %= UNITS_A_NOTCH;
        if notches != 0 {
            if !hands.is_held(KeyUsage::LEFT_CONTROL) && !hands.is_held(KeyUsage::RIGHT_CONTROL) {
                hands.press(KeyUsage::LEFT_CONTROL);
                self.is_pinching = true;
            }
            wheel(0, notches, &Listed::new(&event.modifiers), hands);
        }
        true
    }

    /// A pinch is over: by its own end, or because keys, buttons or the wheel follow that are not to be with Control.
    pub fn end_pinch(&mut self, hands: &mut Hands) {
        self.pinch = 0;
        if std::mem::take(&mut self.is_pinching) {
            hands.release(KeyUsage::LEFT_CONTROL);
        }
    }

    /// The origin of the display that hands act on has changed.
    pub fn origin_changed(&mut self) {
        self.may_stray = true;
    }

    /// Whether a move is the one to the exact origin that no hand made. What still comes from the place of the display
    /// before tells nothing about it.
    fn is_stray(&mut self, (x, y): (i32, i32), size: Resolution) -> bool {
        let is_on = |at: i32, size: u32| u32::try_from(at).is_ok_and(|at| at <= size);
        if !self.may_stray || !is_on(x, size.width) || !is_on(y, size.height) {
            return false;
        }
        self.may_stray = false;
        (x, y) == (0, 0)
    }

    /// Forgets what was borrowed, because everything was let go.
    pub fn reset(&mut self) {
        *self = Self { may_stray: self.may_stray, ..Self::default() };
    }

    fn button_down(&mut self, button: PointerButton, listed: &Listed, hands: &mut Hands) {
        hands.resume(|k| listed.modifiers.contains(&super::hands::left(k)));
        hands.drop_unlisted(listed);
        let missing = hands.missing(listed);
        for usage in &missing {
            hands.press(*usage);
        }
        if !missing.is_empty() {
            self.borrowed.entry(button).or_default().extend(missing);
        }
        hands.button(button, true);
    }
}

/// Wheel notches: y > 0 is up, x > 0 is left.
fn wheel(x: i32, y: i32, listed: &Listed, hands: &mut Hands) {
    let clamp = |v: i32| v.clamp(-MOST_NOTCHES, MOST_NOTCHES);
    let (vertical, horizontal) = (clamp(y), -clamp(x));
    if (vertical, horizontal) == (0, 0) {
        return;
    }
    let missing = hands.missing(listed);
    for usage in &missing {
        hands.press(*usage);
    }
    hands.emit(InputEvent::Wheel { vertical, horizontal });
    for usage in missing {
        hands.release(usage);
    }
}

/// Whether a message presses a button.
pub fn is_press(event: &hbb::MouseEvent) -> bool {
    event.mask & 7 == 1 && button(event.mask >> 3).is_some()
}

/// Exactly one bit is a button; combinations are nothing.
fn button(bits: i32) -> Option<PointerButton> {
    match bits {
        1 => Some(PointerButton::Left),
        2 => Some(PointerButton::Right),
        4 => Some(PointerButton::Middle),
        8 => Some(PointerButton::Back),
        16 => Some(PointerButton::Forward),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, clippy::wildcard_enum_match_arm, reason = "tests own their clocks")]
mod tests;
