//! The named keys of Legacy mode (reference: session 6.7).

use crate::input::usage::{ConsumerUsage, KeyUsage, SystemUsage};
use crate::wire::message::hbb::ControlKey;

use super::types::TargetOs;

/// What a named key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// A key of the keyboard page.
    Key(KeyUsage),
    /// A media key.
    Consumer(ConsumerUsage),
    /// A power key.
    System(SystemUsage),
    /// Ctrl+Alt+Del.
    CtrlAltDel,
    /// Lock the screen.
    Lock,
    /// Nothing that a keyboard has.
    Nothing,
}

/// Consumer page usages (HID Usage Tables 1.5, 15.5).
const MUTE: ConsumerUsage = ConsumerUsage(0xE2);
const VOLUME_UP: ConsumerUsage = ConsumerUsage(0xE9);
const VOLUME_DOWN: ConsumerUsage = ConsumerUsage(0xEA);

/// The modifier that a named key is.
pub fn modifier_of(key: ControlKey) -> Option<KeyUsage> {
    match named(key) {
        Named::Key(usage) => usage.is_modifier().then_some(usage),
        Named::Consumer(_) | Named::System(_) | Named::CtrlAltDel | Named::Lock | Named::Nothing => None,
    }
}

/// The chord that locks the screen of a target: key and modifiers.
pub fn lock_chord(os: TargetOs) -> (KeyUsage, Vec<KeyUsage>) {
    match os {
        TargetOs::Windows | TargetOs::Linux => (KeyUsage::L, vec![KeyUsage::LEFT_GUI]),
        TargetOs::MacOs => (KeyUsage::Q, vec![KeyUsage::LEFT_CONTROL, KeyUsage::LEFT_GUI]),
    }
}

/// The table.
pub fn named(key: ControlKey) -> Named {
    use ControlKey as C;
    use KeyUsage as K;
    let usage = match key {
        C::Alt | C::Menu | C::Option => K::LEFT_ALT,
        C::Backspace => K::BACKSPACE,
        C::CapsLock => K::CAPS_LOCK,
        C::Control => K::LEFT_CONTROL,
        C::Delete => K::DELETE_FORWARD,
        C::DownArrow => K::DOWN_ARROW,
        C::End => K::END,
        C::Escape => K::ESCAPE,
        C::F1 => K::F1,
        C::F2 => K::F2,
        C::F3 => K::F3,
        C::F4 => K::F4,
        C::F5 => K::F5,
        C::F6 => K::F6,
        C::F7 => K::F7,
        C::F8 => K::F8,
        C::F9 => K::F9,
        C::F10 => K::F10,
        C::F11 => K::F11,
        C::F12 => K::F12,
        C::Home => K::HOME,
        C::LeftArrow => K::LEFT_ARROW,
        C::Meta => K::LEFT_GUI,
        C::PageDown => K::PAGE_DOWN,
        C::PageUp => K::PAGE_UP,
        C::Return => K::RETURN_ENTER,
        C::RightArrow => K::RIGHT_ARROW,
        C::Shift => K::LEFT_SHIFT,
        C::Space => K::SPACEBAR,
        C::Tab => K::TAB,
        C::UpArrow => K::UP_ARROW,
        C::Numpad0 => K::KEYPAD_0,
        C::Numpad1 => K::KEYPAD_1,
        C::Numpad2 => K::KEYPAD_2,
        C::Numpad3 => K::KEYPAD_3,
        C::Numpad4 => K::KEYPAD_4,
        C::Numpad5 => K::KEYPAD_5,
        C::Numpad6 => K::KEYPAD_6,
        C::Numpad7 => K::KEYPAD_7,
        C::Numpad8 => K::KEYPAD_8,
        C::Numpad9 => K::KEYPAD_9,
        C::Cancel => K::CANCEL,
        C::Clear => K::CLEAR,
        C::Pause => K::PAUSE,
        C::Kana => K::INTERNATIONAL_2,
        C::Hangul => K::LANG_1,
        C::Hanja => K::LANG_2,
        C::Kanji => K::LANG_5,
        C::Convert => K::INTERNATIONAL_4,
        C::Select => K::SELECT,
        C::Execute => K::EXECUTE,
        C::Snapshot => K::PRINT_SCREEN,
        C::Insert => K::INSERT,
        C::Help => K::HELP,
        C::Separator => K::SEPARATOR,
        C::Scroll => K::SCROLL_LOCK,
        C::NumLock => K::NUM_LOCK,
        C::RWin => K::RIGHT_GUI,
        C::Apps => K::APPLICATION,
        C::Multiply => K::KEYPAD_ASTERISK,
        C::Add => K::KEYPAD_PLUS,
        C::Subtract => K::KEYPAD_MINUS,
        C::Decimal => K::KEYPAD_PERIOD,
        C::Divide => K::KEYPAD_SLASH,
        C::Equals => K::KEYPAD_EQUAL,
        C::NumpadEnter => K::KEYPAD_ENTER,
        C::RShift => K::RIGHT_SHIFT,
        C::RControl => K::RIGHT_CONTROL,
        C::RAlt => K::RIGHT_ALT,
        C::VolumeMute => return Named::Consumer(MUTE),
        C::VolumeUp => return Named::Consumer(VOLUME_UP),
        C::VolumeDown => return Named::Consumer(VOLUME_DOWN),
        C::Sleep => return Named::System(SystemUsage::Sleep),
        C::Power => return Named::System(SystemUsage::PowerDown),
        C::CtrlAltDel => return Named::CtrlAltDel,
        C::LockScreen => return Named::Lock,
        C::Unknown | C::Junja | C::Final | C::Print => return Named::Nothing,
    };
    Named::Key(usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Value and usage, as the reference's table has them.
    const TABLE: &[(i32, u8)] = &[
        (1, 0xE2),
        (2, 0x2A),
        (3, 0x39),
        (4, 0xE0),
        (5, 0x4C),
        (6, 0x51),
        (7, 0x4D),
        (8, 0x29),
        (9, 0x3A),
        (10, 0x43),
        (11, 0x44),
        (12, 0x45),
        (13, 0x3B),
        (14, 0x3C),
        (15, 0x3D),
        (16, 0x3E),
        (17, 0x3F),
        (18, 0x40),
        (19, 0x41),
        (20, 0x42),
        (21, 0x4A),
        (22, 0x50),
        (23, 0xE3),
        (24, 0xE2),
        (25, 0x4E),
        (26, 0x4B),
        (27, 0x28),
        (28, 0x4F),
        (29, 0xE1),
        (30, 0x2C),
        (31, 0x2B),
        (32, 0x52),
        (33, 0x62),
        (34, 0x59),
        (35, 0x5A),
        (36, 0x5B),
        (37, 0x5C),
        (38, 0x5D),
        (39, 0x5E),
        (40, 0x5F),
        (41, 0x60),
        (42, 0x61),
        (43, 0x9B),
        (44, 0x9C),
        (45, 0xE2),
        (46, 0x48),
        (47, 0x88),
        (48, 0x90),
        (51, 0x91),
        (52, 0x94),
        (53, 0x8A),
        (54, 0x77),
        (56, 0x74),
        (57, 0x46),
        (58, 0x49),
        (59, 0x75),
        (61, 0x9F),
        (62, 0x47),
        (63, 0x53),
        (64, 0xE7),
        (65, 0x65),
        (66, 0x55),
        (67, 0x57),
        (68, 0x56),
        (69, 0x63),
        (70, 0x54),
        (71, 0x67),
        (72, 0x58),
        (73, 0xE5),
        (74, 0xE4),
        (75, 0xE6),
    ];

    #[test]
    fn every_row() {
        for (value, usage) in TABLE {
            let key = ControlKey::try_from(*value).unwrap();
            assert_eq!(named(key), Named::Key(KeyUsage(*usage)), "{key:?}");
        }
        let keys = (0..=200).filter_map(|v| ControlKey::try_from(v).ok());
        assert_eq!(keys.filter(|k| matches!(named(*k), Named::Key(_))).count(), TABLE.len());
    }
}
