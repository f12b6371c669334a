//! Key positions: Windows set-1 scan codes and Linux (X11, evdev + 8) codes to HID usages, Windows virtual keys,
//! and the US key of a character (reference: session 6.10; Windows codes 0xE0xx are the extended ones).

use super::event::LockKey;
use super::usage::KeyUsage;

/// One physical key in the numberings that controllers use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The key's name in the reference.
    pub name: &'static str,
    /// Keyboard/keypad page usage.
    pub usage: KeyUsage,
    /// Windows set-1 scan code, `0xE0xx` if extended; 0 = none.
    pub windows: u16,
    /// X11 key code, evdev + 8; 0 = none.
    pub linux: u16,
}

const fn row(name: &'static str, usage: u8, windows: u16, linux: u16) -> Position {
    Position { name, usage: KeyUsage(usage), windows, linux }
}

/// Every key that has a position code. F24 comes before Lang5, which shares its Windows code.
pub const POSITIONS: &[Position] = &[
    row("KeyA", 0x04, 0x001E, 38),
    row("KeyB", 0x05, 0x0030, 56),
    row("KeyC", 0x06, 0x002E, 54),
    row("KeyD", 0x07, 0x0020, 40),
    row("KeyE", 0x08, 0x0012, 26),
    row("KeyF", 0x09, 0x0021, 41),
    row("KeyG", 0x0A, 0x0022, 42),
    row("KeyH", 0x0B, 0x0023, 43),
    row("KeyI", 0x0C, 0x0017, 31),
    row("KeyJ", 0x0D, 0x0024, 44),
    row("KeyK", 0x0E, 0x0025, 45),
    row("KeyL", 0x0F, 0x0026, 46),
    row("KeyM", 0x10, 0x0032, 58),
    row("KeyN", 0x11, 0x0031, 57),
    row("KeyO", 0x12, 0x0018, 32),
    row("KeyP", 0x13, 0x0019, 33),
    row("KeyQ", 0x14, 0x0010, 24),
    row("KeyR", 0x15, 0x0013, 27),
    row("KeyS", 0x16, 0x001F, 39),
    row("KeyT", 0x17, 0x0014, 28),
    row("KeyU", 0x18, 0x0016, 30),
    row("KeyV", 0x19, 0x002F, 55),
    row("KeyW", 0x1A, 0x0011, 25),
    row("KeyX", 0x1B, 0x002D, 53),
    row("KeyY", 0x1C, 0x0015, 29),
    row("KeyZ", 0x1D, 0x002C, 52),
    row("Num1", 0x1E, 0x0002, 10),
    row("Num2", 0x1F, 0x0003, 11),
    row("Num3", 0x20, 0x0004, 12),
    row("Num4", 0x21, 0x0005, 13),
    row("Num5", 0x22, 0x0006, 14),
    row("Num6", 0x23, 0x0007, 15),
    row("Num7", 0x24, 0x0008, 16),
    row("Num8", 0x25, 0x0009, 17),
    row("Num9", 0x26, 0x000A, 18),
    row("Num0", 0x27, 0x000B, 19),
    row("Return", 0x28, 0x001C, 36),
    row("Escape", 0x29, 0x0001, 9),
    row("Backspace", 0x2A, 0x000E, 22),
    row("Tab", 0x2B, 0x000F, 23),
    row("Space", 0x2C, 0x0039, 65),
    row("Minus", 0x2D, 0x000C, 20),
    row("Equal", 0x2E, 0x000D, 21),
    row("LeftBracket", 0x2F, 0x001A, 34),
    row("RightBracket", 0x30, 0x001B, 35),
    row("BackSlash", 0x31, 0x002B, 51),
    row("SemiColon", 0x33, 0x0027, 47),
    row("Quote", 0x34, 0x0028, 48),
    row("BackQuote", 0x35, 0x0029, 49),
    row("Comma", 0x36, 0x0033, 59),
    row("Dot", 0x37, 0x0034, 60),
    row("Slash", 0x38, 0x0035, 61),
    row("CapsLock", 0x39, 0x003A, 66),
    row("F1", 0x3A, 0x003B, 67),
    row("F2", 0x3B, 0x003C, 68),
    row("F3", 0x3C, 0x003D, 69),
    row("F4", 0x3D, 0x003E, 70),
    row("F5", 0x3E, 0x003F, 71),
    row("F6", 0x3F, 0x0040, 72),
    row("F7", 0x40, 0x0041, 73),
    row("F8", 0x41, 0x0042, 74),
    row("F9", 0x42, 0x0043, 75),
    row("F10", 0x43, 0x0044, 76),
    row("F11", 0x44, 0x0057, 95),
    row("F12", 0x45, 0x0058, 96),
    row("PrintScreen", 0x46, 0xE037, 107),
    row("ScrollLock", 0x47, 0x0046, 78),
    row("Pause", 0x48, 0, 127),
    row("Insert", 0x49, 0xE052, 118),
    row("Home", 0x4A, 0xE047, 110),
    row("PageUp", 0x4B, 0xE049, 112),
    row("Delete", 0x4C, 0xE053, 119),
    row("End", 0x4D, 0xE04F, 115),
    row("PageDown", 0x4E, 0xE051, 117),
    row("RightArrow", 0x4F, 0xE04D, 114),
    row("LeftArrow", 0x50, 0xE04B, 113),
    row("DownArrow", 0x51, 0xE050, 116),
    row("UpArrow", 0x52, 0xE048, 111),
    row("NumLock", 0x53, 0x0045, 77),
    row("KpDivide", 0x54, 0xE035, 106),
    row("KpMultiply", 0x55, 0x0037, 63),
    row("KpMinus", 0x56, 0x004A, 82),
    row("KpPlus", 0x57, 0x004E, 86),
    row("KpReturn", 0x58, 0xE01C, 104),
    row("Kp1", 0x59, 0x004F, 87),
    row("Kp2", 0x5A, 0x0050, 88),
    row("Kp3", 0x5B, 0x0051, 89),
    row("Kp4", 0x5C, 0x004B, 83),
    row("Kp5", 0x5D, 0x004C, 84),
    row("Kp6", 0x5E, 0x004D, 85),
    row("Kp7", 0x5F, 0x0047, 79),
    row("Kp8", 0x60, 0x0048, 80),
    row("Kp9", 0x61, 0x0049, 81),
    row("Kp0", 0x62, 0x0052, 90),
    row("KpDecimal", 0x63, 0x0053, 91),
    row("IntlBackslash", 0x64, 0x0056, 94),
    row("Apps", 0x65, 0xE05D, 135),
    row("KpEqual", 0x67, 0x0059, 125),
    row("F13", 0x68, 0x0064, 191),
    row("F14", 0x69, 0x0065, 192),
    row("F15", 0x6A, 0x0066, 193),
    row("F16", 0x6B, 0x0067, 194),
    row("F17", 0x6C, 0x0068, 195),
    row("F18", 0x6D, 0x0069, 196),
    row("F19", 0x6E, 0x006A, 197),
    row("F20", 0x6F, 0x006B, 198),
    row("F21", 0x70, 0x006C, 199),
    row("F22", 0x71, 0x006D, 200),
    row("F23", 0x72, 0x006E, 201),
    row("F24", 0x73, 0x0076, 202),
    row("VolumeMute", 0x7F, 0xE020, 121),
    row("VolumeUp", 0x80, 0xE030, 123),
    row("VolumeDown", 0x81, 0xE02E, 122),
    row("KpComma", 0x85, 0x007E, 129),
    row("IntlRo", 0x87, 0x0073, 97),
    row("Kana", 0x88, 0x0080, 0),
    row("KanaMode", 0x88, 0x0070, 101),
    row("IntlYen", 0x89, 0x007D, 132),
    row("Convert", 0x8A, 0x0079, 100),
    row("NonConvert", 0x8B, 0x007B, 102),
    row("Lang1", 0x90, 0x00F2, 130),
    row("Lang2", 0x91, 0x00F1, 131),
    row("Lang3", 0x92, 0x0078, 98),
    row("Lang4", 0x93, 0x0077, 99),
    row("Lang5", 0x94, 0x0076, 93),
    row("ControlLeft", 0xE0, 0x001D, 37),
    row("ShiftLeft", 0xE1, 0x002A, 50),
    row("Alt", 0xE2, 0x0038, 64),
    row("MetaLeft", 0xE3, 0xE05B, 133),
    row("ControlRight", 0xE4, 0xE01D, 105),
    row("ShiftRight", 0xE5, 0x0036, 62),
    row("AltGr", 0xE6, 0xE038, 108),
    row("MetaRight", 0xE7, 0xE05C, 134),
];

/// The key of a Windows set-1 scan code (`0xE0xx` extended).
pub fn from_windows(code: u32) -> Option<KeyUsage> {
    POSITIONS.iter().find(|p| p.windows != 0 && u32::from(p.windows) == code).map(|p| p.usage)
}

/// The key of an X11 key code (evdev + 8).
pub fn from_linux(code: u32) -> Option<KeyUsage> {
    POSITIONS.iter().find(|p| p.linux != 0 && u32::from(p.linux) == code).map(|p| p.usage)
}

/// The key of a Windows virtual-key code on a US keyboard (winuser.h `VK_*`).
pub fn from_virtual_key(vk: u32) -> Option<KeyUsage> {
    let nth = |first: KeyUsage, n: u32| Some(KeyUsage(first.0 + n as u8));
    match vk {
        0x41..=0x5A => nth(KeyUsage::A, vk - 0x41),
        0x31..=0x39 => nth(KeyUsage::DIGIT_1, vk - 0x31),
        0x30 => Some(KeyUsage::DIGIT_0),
        0x61..=0x69 => nth(KeyUsage::KEYPAD_1, vk - 0x61),
        0x60 => Some(KeyUsage::KEYPAD_0),
        0x70..=0x7B => nth(KeyUsage::F1, vk - 0x70),
        0x7C..=0x87 => nth(KeyUsage::F13, vk - 0x7C),
        _ => VIRTUAL_KEYS.iter().find(|(code, _)| u32::from(*code) == vk).map(|(_, usage)| *usage),
    }
}

const VIRTUAL_KEYS: &[(u8, KeyUsage)] = &[
    (0x08, KeyUsage::BACKSPACE),
    (0x09, KeyUsage::TAB),
    (0x0D, KeyUsage::RETURN_ENTER),
    (0x10, KeyUsage::LEFT_SHIFT),
    (0x11, KeyUsage::LEFT_CONTROL),
    (0x12, KeyUsage::LEFT_ALT),
    (0x13, KeyUsage::PAUSE),
    (0x14, KeyUsage::CAPS_LOCK),
    (0x1B, KeyUsage::ESCAPE),
    (0x20, KeyUsage::SPACEBAR),
    (0x21, KeyUsage::PAGE_UP),
    (0x22, KeyUsage::PAGE_DOWN),
    (0x23, KeyUsage::END),
    (0x24, KeyUsage::HOME),
    (0x25, KeyUsage::LEFT_ARROW),
    (0x26, KeyUsage::UP_ARROW),
    (0x27, KeyUsage::RIGHT_ARROW),
    (0x28, KeyUsage::DOWN_ARROW),
    (0x2C, KeyUsage::PRINT_SCREEN),
    (0x2D, KeyUsage::INSERT),
    (0x2E, KeyUsage::DELETE_FORWARD),
    (0x5B, KeyUsage::LEFT_GUI),
    (0x5C, KeyUsage::RIGHT_GUI),
    (0x5D, KeyUsage::APPLICATION),
    (0x6A, KeyUsage::KEYPAD_ASTERISK),
    (0x6B, KeyUsage::KEYPAD_PLUS),
    (0x6D, KeyUsage::KEYPAD_MINUS),
    (0x6E, KeyUsage::KEYPAD_PERIOD),
    (0x6F, KeyUsage::KEYPAD_SLASH),
    (0x90, KeyUsage::NUM_LOCK),
    (0x91, KeyUsage::SCROLL_LOCK),
    (0xA0, KeyUsage::LEFT_SHIFT),
    (0xA1, KeyUsage::RIGHT_SHIFT),
    (0xA2, KeyUsage::LEFT_CONTROL),
    (0xA3, KeyUsage::RIGHT_CONTROL),
    (0xA4, KeyUsage::LEFT_ALT),
    (0xA5, KeyUsage::RIGHT_ALT),
    (0xBA, KeyUsage::SEMICOLON),
    (0xBB, KeyUsage::EQUAL),
    (0xBC, KeyUsage::COMMA),
    (0xBD, KeyUsage::MINUS),
    (0xBE, KeyUsage::PERIOD),
    (0xBF, KeyUsage::SLASH),
    (0xC0, KeyUsage::GRAVE_ACCENT),
    (0xDB, KeyUsage::LEFT_BRACKET),
    (0xDC, KeyUsage::BACKSLASH),
    (0xDD, KeyUsage::RIGHT_BRACKET),
    (0xDE, KeyUsage::APOSTROPHE),
    (0xE2, KeyUsage::NON_US_BACKSLASH),
];

/// Printable keys of a US keyboard: usage, plain character, character with Shift.
const US_KEYS: &[(KeyUsage, char, char)] = &[
    (KeyUsage::DIGIT_1, '1', '!'),
    (KeyUsage::DIGIT_2, '2', '@'),
    (KeyUsage::DIGIT_3, '3', '#'),
    (KeyUsage::DIGIT_4, '4', '$'),
    (KeyUsage::DIGIT_5, '5', '%'),
    (KeyUsage::DIGIT_6, '6', '^'),
    (KeyUsage::DIGIT_7, '7', '&'),
    (KeyUsage::DIGIT_8, '8', '*'),
    (KeyUsage::DIGIT_9, '9', '('),
    (KeyUsage::DIGIT_0, '0', ')'),
    (KeyUsage::MINUS, '-', '_'),
    (KeyUsage::EQUAL, '=', '+'),
    (KeyUsage::LEFT_BRACKET, '[', '{'),
    (KeyUsage::RIGHT_BRACKET, ']', '}'),
    (KeyUsage::BACKSLASH, '\\', '|'),
    (KeyUsage::SEMICOLON, ';', ':'),
    (KeyUsage::APOSTROPHE, '\'', '"'),
    (KeyUsage::GRAVE_ACCENT, '`', '~'),
    (KeyUsage::COMMA, ',', '<'),
    (KeyUsage::PERIOD, '.', '>'),
    (KeyUsage::SLASH, '/', '?'),
    (KeyUsage::SPACEBAR, ' ', ' '),
    (KeyUsage::TAB, '\t', '\t'),
    (KeyUsage::RETURN_ENTER, '\r', '\n'),
];

/// The physical key of a character on a US keyboard, whatever shift it would need: what a hot key presses
/// (reference: session 6.4). Control characters 1 to 26 are their letters.
pub fn us_key(c: char) -> Option<KeyUsage> {
    let letter = |base: u32| Some(KeyUsage(KeyUsage::A.0 + (c as u32 - base) as u8));
    if let Some((usage, ..)) = US_KEYS.iter().find(|(_, plain, shifted)| *plain == c || *shifted == c) {
        return Some(*usage);
    }
    match c {
        'a'..='z' => letter('a' as u32),
        'A'..='Z' => letter('A' as u32),
        '\x01'..='\x1a' => letter(1),
        _ => None,
    }
}

/// Which lock key's state a controller tells along with this key (reference: session 6.6): Caps Lock with the
/// letters and `[ ] ; ' , .`, Num Lock with the keypad's digits, dot and `- * / +`. Other keys say nothing.
pub fn told_lock(usage: KeyUsage) -> Option<LockKey> {
    match usage.0 {
        0x04..=0x1D | 0x2F | 0x30 | 0x33 | 0x34 | 0x36 | 0x37 => Some(LockKey::CapsLock),
        0x54..=0x57 | 0x59..=0x63 => Some(LockKey::NumLock),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_both_numberings() {
        assert_eq!(POSITIONS.len(), 133);
        for p in POSITIONS {
            if p.windows != 0 && p.name != "Lang5" {
                assert_eq!(from_windows(p.windows.into()), Some(p.usage), "{} on Windows", p.name);
            }
            if p.linux != 0 {
                assert_eq!(from_linux(p.linux.into()), Some(p.usage), "{} on Linux", p.name);
            }
        }
        assert_eq!(from_windows(0x76), Some(KeyUsage::F24), "shared with Lang5");
    }

    #[test]
    fn the_codes_that_were_observed() {
        for (windows, linux, usage) in [
            (30, 38, KeyUsage::A),
            (42, 50, KeyUsage::LEFT_SHIFT),
            (28, 36, KeyUsage::RETURN_ENTER),
            (57421, 114, KeyUsage::RIGHT_ARROW),
        ] {
            assert_eq!(from_windows(windows), Some(usage));
            assert_eq!(from_linux(linux), Some(usage));
        }
        for nothing in [0, 0x1FF, 0xE1_1D, u32::MAX] {
            assert_eq!(from_windows(nothing), None);
            assert_eq!(from_linux(nothing), None);
        }
    }

    #[test]
    fn virtual_keys_and_characters() {
        assert_eq!(from_virtual_key(0x43), Some(KeyUsage::C));
        assert_eq!(from_virtual_key(0x30), Some(KeyUsage::DIGIT_0));
        assert_eq!(from_virtual_key(0x7B), Some(KeyUsage::F12));
        assert_eq!(from_virtual_key(0x87), Some(KeyUsage::F24));
        assert_eq!(from_virtual_key(0xBE), Some(KeyUsage::PERIOD));
        assert_eq!(from_virtual_key(0x1234), None);
        assert_eq!(us_key('c'), Some(KeyUsage::C));
        assert_eq!(us_key('C'), Some(KeyUsage::C));
        assert_eq!(us_key('\u{3}'), Some(KeyUsage::C));
        assert_eq!(us_key('+'), Some(KeyUsage::EQUAL));
        assert_eq!(us_key('é'), None);
        for (c, usage) in ('a'..='z').zip(4..) {
            assert_eq!(us_key(c), Some(KeyUsage(usage)));
        }
    }

    #[test]
    fn locks_are_told_by_the_keys_of_the_reference_only() {
        let told = |lock| (0..=255).filter(|u| told_lock(KeyUsage(*u)) == Some(lock)).count();
        assert_eq!(told(LockKey::CapsLock), 26 + 6);
        assert_eq!(told(LockKey::NumLock), 11 + 4);
        assert_eq!(told_lock(KeyUsage::KEYPAD_ENTER), None);
        assert_eq!(told_lock(KeyUsage::SLASH), None);
    }
}
