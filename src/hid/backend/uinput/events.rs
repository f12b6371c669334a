//! Our reports as the events that a Linux system makes of them (kernel: include/uapi/linux/input-event-codes.h). Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::hid::backend::HidDevice;
use crate::input::event::LedState;
use crate::input::keymap::{Function, Numbering, POSITIONS};

pub(super) const EV_KEY: u16 = 1;
pub(super) const EV_REL: u16 = 2;
pub(super) const EV_ABS: u16 = 3;
pub(super) const EV_LED: u16 = 0x11;
pub(super) const EV_REP: u16 = 0x14;

pub(super) const REL_X: u16 = 0;
pub(super) const REL_Y: u16 = 1;
pub(super) const REL_HWHEEL: u16 = 6;
pub(super) const REL_WHEEL: u16 = 8;
pub(super) const ABS_X: u16 = 0;
pub(super) const ABS_Y: u16 = 1;
/// Left, right, middle, side (back), extra (forward): the bits of our reports in their order.
pub(super) const BUTTONS: [u16; 5] = [0x110, 0x111, 0x112, 0x113, 0x114];
/// Num, Caps and Scroll Lock.
pub(super) const LEDS: [u16; 3] = [0, 1, 2];

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) kind: u16,
    pub(super) code: u16,
    pub(super) value: i32,
}

/// Ends what belongs together.
pub(super) const SYN_REPORT: Event = Event { kind: 0, code: 0, value: 0 };

/// X11 counts from here.
const X11_OFFSET: u32 = 8;
/// Usages that no X11 code of the keymap stands for: Kana, execute, help, select, cancel, clear, separator.
const OTHERS: [(u8, u16); 7] =
    [(0x88, 93), (0x74, 134), (0x75, 138), (0x77, 353), (0x9B, 223), (0x9C, 355), (0x9F, 121)];
/// Media keys: consumer usage and key.
const MEDIA: [(u16, u16); 26] = [
    (0x6F, 225),
    (0x70, 224),
    (0xB0, 207),
    (0xB1, 201),
    (0xB2, 167),
    (0xB3, 208),
    (0xB4, 168),
    (0xB5, 163),
    (0xB6, 165),
    (0xB7, 166),
    (0xB8, 161),
    (0xCD, 164),
    (0xE2, 113),
    (0xE9, 115),
    (0xEA, 114),
    (0x183, 171),
    (0x18A, 155),
    (0x192, 140),
    (0x194, 144),
    (0x19E, 152),
    (0x221, 217),
    (0x223, 172),
    (0x224, 158),
    (0x225, 159),
    (0x226, 128),
    (0x227, 173),
];
/// Power down, sleep, wake up: the bits of our report in their order.
const POWER: [u16; 3] = [116, 142, 143];

/// The reports of all devices so far, as far as events say what changed.
#[derive(Debug)]
pub(super) struct Events {
    codes: BTreeMap<u8, u16>,
    keyboard: BTreeSet<u16>,
    control: BTreeSet<u16>,
    absolute: u8,
    relative: u8,
    leds: LedState,
}

impl Default for Events {
    fn default() -> Self {
        let mut codes = BTreeMap::from(OTHERS);
        for position in POSITIONS {
            if let (Function::Key(usage), Some(x11)) = (position.function, position.code(Numbering::Linux)) {
                codes.entry(usage.0).or_insert((x11 - X11_OFFSET) as u16);
            }
        }
        Self {
            codes,
            keyboard: BTreeSet::new(),
            control: BTreeSet::new(),
            absolute: 0,
            relative: 0,
            leds: LedState::default(),
        }
    }
}

impl Events {
    /// The keys that the keyboard has.
    pub(super) fn keyboard_keys(&self) -> Vec<u16> {
        self.codes.values().copied().collect()
    }

    /// The keys that the device for media and power keys has.
    pub(super) fn control_keys() -> Vec<u16> {
        MEDIA.into_iter().map(|(_, key)| key).chain(POWER).collect()
    }

    /// What a report changes, its end included; nothing if nothing changes.
    pub(super) fn of(&mut self, device: HidDevice, report: &[u8]) -> Vec<Event> {
        let mut events = match (device, report) {
            (HidDevice::Keyboard, [modifiers, _, places @ ..]) => {
                let held = self.keys(*modifiers, places);
                let mut events = changes(&mut self.keyboard, held);
                // A key is with the modifiers of its own report.
                events.sort_by_key(|event| !self.is_modifier(event.code));
                events
            }
            (HidDevice::Absolute, [buttons, xl, xh, yl, yh, wheel, pan]) => {
                let place = |code, low, high| Event {
                    kind: EV_ABS,
                    code,
                    value: i32::from(u16::from_le_bytes([low, high])),
                };
                let places = [place(ABS_X, *xl, *xh), place(ABS_Y, *yl, *yh)];
                let buttons = pressed(std::mem::replace(&mut self.absolute, *buttons), *buttons);
                places.into_iter().chain(buttons).chain(turned(*wheel, *pan)).collect()
            }
            (HidDevice::Relative, [buttons, dx, dy, wheel, pan]) => {
                let moved = distances([(REL_X, *dx), (REL_Y, *dy)]);
                let buttons = pressed(std::mem::replace(&mut self.relative, *buttons), *buttons);
                moved.chain(buttons).chain(turned(*wheel, *pan)).collect()
            }
            (HidDevice::Consumer, [_, low, high]) => {
                let usage = u16::from_le_bytes([*low, *high]);
                let key = MEDIA.into_iter().find(|(known, _)| *known == usage).map(|(_, key)| key);
                let power = self.control.iter().copied().filter(|key| POWER.contains(key));
                let held = power.chain(key).collect();
                changes(&mut self.control, held)
            }
            (HidDevice::System, [_, bits]) => {
                let media = self.control.iter().copied().filter(|key| !POWER.contains(key));
                let power = POWER.into_iter().enumerate().filter(|(n, _)| bits & (1 << n) != 0);
                let held = media.chain(power.map(|(_, key)| key)).collect();
                changes(&mut self.control, held)
            }
            _ => vec![],
        };
        if !events.is_empty() {
            events.push(SYN_REPORT);
        }
        events
    }

    fn keys(&self, modifiers: u8, places: &[u8]) -> BTreeSet<u16> {
        let modifiers = (0..8u8).filter(|n| modifiers & (1 << n) != 0).map(|n| 0xE0 + n);
        let code = |usage: u8| self.codes.get(&usage).copied();
        // More keys than places: the report tells nothing about them (HID 1.11 appendix C).
        let is_over = places.iter().all(|usage| *usage == 1);
        let kept = self.keyboard.iter().copied().filter(|key| is_over && !self.is_modifier(*key));
        modifiers.chain(places.iter().copied()).filter_map(code).chain(kept).collect()
    }

    fn is_modifier(&self, key: u16) -> bool {
        (0xE0..=0xE7).any(|usage| self.codes.get(&usage) == Some(&key))
    }

    /// What the system told the keyboard about its LEDs.
    pub(super) fn leds(&mut self, told: &[Event]) -> Option<LedState> {
        let mut has_told = false;
        for event in told.iter().filter(|event| event.kind == EV_LED) {
            let is_on = event.value != 0;
            match event.code {
                0 => self.leds.is_num_lock = is_on,
                1 => self.leds.is_caps_lock = is_on,
                2 => self.leds.is_scroll_lock = is_on,
                _ => continue,
            }
            has_told = true;
        }
        has_told.then_some(self.leds)
    }
}

/// Keys that went up, then those that went down.
fn changes(before: &mut BTreeSet<u16>, now: BTreeSet<u16>) -> Vec<Event> {
    let key = |code: &u16, is_down: bool| Event { kind: EV_KEY, code: *code, value: i32::from(is_down) };
    let up = before.difference(&now).map(|code| key(code, false));
    let events = up.chain(now.difference(before).map(|code| key(code, true))).collect();
    *before = now;
    events
}

fn pressed(before: u8, now: u8) -> impl Iterator<Item = Event> {
    let changed = before ^ now;
    let changes = BUTTONS.into_iter().enumerate().filter(move |(n, _)| changed & (1 << n) != 0);
    changes.map(move |(n, code)| Event { kind: EV_KEY, code, value: i32::from(now & (1 << n) != 0) })
}

fn turned(wheel: u8, pan: u8) -> impl Iterator<Item = Event> {
    distances([(REL_WHEEL, wheel), (REL_HWHEEL, pan)])
}

fn distances(by: [(u16, u8); 2]) -> impl Iterator<Item = Event> {
    let moved = by.into_iter().filter(|(_, by)| *by != 0);
    moved.map(|(code, by)| Event { kind: EV_REL, code, value: i32::from(by as i8) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::usage::KeyUsage;

    fn told(events: &mut Events, device: HidDevice, report: &[u8]) -> Vec<(u16, u16, i32)> {
        let told = events.of(device, report);
        let (last, told) = told.split_last().map_or((SYN_REPORT, &[][..]), |(last, told)| (*last, told));
        assert_eq!(last, SYN_REPORT);
        told.iter().map(|event| (event.kind, event.code, event.value)).collect()
    }

    #[test]
    fn keys_go_down_and_up_once() {
        let mut events = Events::default();
        let mut keys = |report: [u8; 8]| told(&mut events, HidDevice::Keyboard, &report);
        assert_eq!(keys([2, 0, 4, 0, 0, 0, 0, 0]), [(1, 42, 1), (1, 30, 1)]);
        assert_eq!(keys([2, 0, 4, 0, 0, 0, 0, 0]), []);
        assert_eq!(keys([0, 0, 4, 5, 0, 0, 0, 0]), [(1, 42, 0), (1, 48, 1)]);
        assert_eq!(keys([1, 0, 1, 1, 1, 1, 1, 1]), [(1, 29, 1)], "too many keys: those stay as they are");
        assert_eq!(keys([0; 8]), [(1, 29, 0), (1, 30, 0), (1, 48, 0)]);
        assert_eq!(keys([0, 0, 0xA5, 0, 0, 0, 0, 0]), [], "no such key");
    }

    #[test]
    fn pointers_move_press_and_turn() {
        let mut events = Events::default();
        let absolute = told(&mut events, HidDevice::Absolute, &[0x11, 0x34, 0x12, 0xFF, 0x7F, 0xFF, 2]);
        let place = [(3, 0, 0x1234), (3, 1, 32767)];
        assert_eq!(absolute[..2], place);
        assert_eq!(absolute[2..], [(1, 0x110, 1), (1, 0x114, 1), (2, 8, -1), (2, 6, 2)]);
        let absolute = told(&mut events, HidDevice::Absolute, &[0, 0x34, 0x12, 0xFF, 0x7F, 0, 0]);
        assert_eq!(absolute[2..], [(1, 0x110, 0), (1, 0x114, 0)]);
        assert_eq!(
            told(&mut events, HidDevice::Relative, &[2, 0x81, 0, 0, 0]),
            [(2, 0, -127), (1, 0x111, 1)]
        );
        assert_eq!(
            told(&mut events, HidDevice::Relative, &[0, 0, 5, 1, 0]),
            [(2, 1, 5), (1, 0x111, 0), (2, 8, 1)]
        );
    }

    #[test]
    fn media_and_power_keys_share_a_device() {
        let mut events = Events::default();
        assert_eq!(told(&mut events, HidDevice::Consumer, &[1, 0xE9, 0]), [(1, 115, 1)]);
        assert_eq!(told(&mut events, HidDevice::System, &[2, 2]), [(1, 142, 1)]);
        assert_eq!(told(&mut events, HidDevice::Consumer, &[1, 0, 0]), [(1, 115, 0)]);
        assert_eq!(told(&mut events, HidDevice::System, &[2, 0]), [(1, 142, 0)]);
        assert_eq!(told(&mut events, HidDevice::Consumer, &[1, 0x34, 0x12]), []);
        let keys = Events::control_keys();
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "no key twice");
    }

    #[test]
    fn every_key_of_the_keymap_has_a_code() {
        let events = Events::default();
        let usages = POSITIONS.iter().filter_map(|position| match position.function {
            Function::Key(usage) => Some(usage.0),
            Function::Consumer(_) | Function::System(_) => None,
        });
        let missing: BTreeSet<u8> = usages.filter(|usage| !events.codes.contains_key(usage)).collect();
        assert_eq!(missing, BTreeSet::new());
        assert_eq!(events.codes[&KeyUsage::A.0], 30);
        assert_eq!(events.codes[&KeyUsage::RIGHT_GUI.0], 126);
    }

    #[test]
    fn leds_are_remembered() {
        let mut events = Events::default();
        let led = |code, value| Event { kind: EV_LED, code, value };
        assert_eq!(events.leds(&[SYN_REPORT]), None);
        assert_eq!(events.leds(&[led(1, 1), SYN_REPORT]), Some(LedState::from_report(2)));
        assert_eq!(events.leds(&[led(0, 1), led(7, 1)]), Some(LedState::from_report(3)));
        assert_eq!(events.leds(&[led(1, 0)]), Some(LedState::from_report(1)));
    }
}
