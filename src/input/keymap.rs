//! Key positions: Windows set-1 scan codes, Linux (X11, evdev + 8) codes and macOS virtual key codes to what a key of
//! our devices does, Windows virtual keys, and the US key of a character (reference: session 6.10; Windows codes
//! 0xE0xx are the extended ones; media and power keys: Microsoft's scan code translation, Linux' `hid-input.c`).

use super::event::LockKey;
use super::usage::{ConsumerUsage, KeyUsage, SystemUsage};

/// What a position does on our devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// A key of the keyboard page.
    Key(KeyUsage),
    /// A media key.
    Consumer(ConsumerUsage),
    /// A power key.
    System(SystemUsage),
}

/// Whose numbers position codes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// Set-1 scan codes, `0xE0xx` if extended.
    Windows,
    /// X11 key codes, evdev + 8.
    Linux,
    /// Virtual key codes (`kVK_*`), of which 0 is the letter A.
    MacOs,
}

/// One physical key in the numberings that controllers use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The key's name, the reference's where it has one.
    pub name: &'static str,
    /// What it does.
    pub function: Function,
    windows: u16,
    linux: u16,
    mac: u16,
}

/// A key that a numbering does not have. All but macOS' have no key 0 either.
const NO: u16 = u16::MAX;

const fn row(name: &'static str, usage: u8, windows: u16, linux: u16, mac: u16) -> Position {
    Position { name, function: Function::Key(KeyUsage(usage)), windows, linux, mac }
}

const fn media(name: &'static str, usage: u16, windows: u16, linux: u16, mac: u16) -> Position {
    Position { name, function: Function::Consumer(ConsumerUsage(usage)), windows, linux, mac }
}

const fn power(name: &'static str, usage: SystemUsage, windows: u16, linux: u16) -> Position {
    Position { name, function: Function::System(usage), windows, linux, mac: NO }
}

impl Position {
    /// The key's code in a numbering, if it has one there.
    pub fn code(&self, numbering: Numbering) -> Option<u32> {
        let code = match numbering {
            Numbering::Windows => self.windows,
            Numbering::Linux => self.linux,
            Numbering::MacOs => return (self.mac != NO).then(|| self.mac.into()),
        };
        (code != 0).then(|| code.into())
    }
}

/// Every key that has a position code. Where two share a code the first has it: F24 before Lang5. Media and power keys
/// and the last group arrive only from controllers of the platform that we announce, which send what their keyboard
/// says without a table.
pub const POSITIONS: &[Position] = &[
    row("KeyA", 0x04, 0x001E, 38, 0),
    row("KeyB", 0x05, 0x0030, 56, 11),
    row("KeyC", 0x06, 0x002E, 54, 8),
    row("KeyD", 0x07, 0x0020, 40, 2),
    row("KeyE", 0x08, 0x0012, 26, 14),
    row("KeyF", 0x09, 0x0021, 41, 3),
    row("KeyG", 0x0A, 0x0022, 42, 5),
    row("KeyH", 0x0B, 0x0023, 43, 4),
    row("KeyI", 0x0C, 0x0017, 31, 34),
    row("KeyJ", 0x0D, 0x0024, 44, 38),
    row("KeyK", 0x0E, 0x0025, 45, 40),
    row("KeyL", 0x0F, 0x0026, 46, 37),
    row("KeyM", 0x10, 0x0032, 58, 46),
    row("KeyN", 0x11, 0x0031, 57, 45),
    row("KeyO", 0x12, 0x0018, 32, 31),
    row("KeyP", 0x13, 0x0019, 33, 35),
    row("KeyQ", 0x14, 0x0010, 24, 12),
    row("KeyR", 0x15, 0x0013, 27, 15),
    row("KeyS", 0x16, 0x001F, 39, 1),
    row("KeyT", 0x17, 0x0014, 28, 17),
    row("KeyU", 0x18, 0x0016, 30, 32),
    row("KeyV", 0x19, 0x002F, 55, 9),
    row("KeyW", 0x1A, 0x0011, 25, 13),
    row("KeyX", 0x1B, 0x002D, 53, 7),
    row("KeyY", 0x1C, 0x0015, 29, 16),
    row("KeyZ", 0x1D, 0x002C, 52, 6),
    row("Num1", 0x1E, 0x0002, 10, 18),
    row("Num2", 0x1F, 0x0003, 11, 19),
    row("Num3", 0x20, 0x0004, 12, 20),
    row("Num4", 0x21, 0x0005, 13, 21),
    row("Num5", 0x22, 0x0006, 14, 23),
    row("Num6", 0x23, 0x0007, 15, 22),
    row("Num7", 0x24, 0x0008, 16, 26),
    row("Num8", 0x25, 0x0009, 17, 28),
    row("Num9", 0x26, 0x000A, 18, 25),
    row("Num0", 0x27, 0x000B, 19, 29),
    row("Return", 0x28, 0x001C, 36, 36),
    row("Escape", 0x29, 0x0001, 9, 53),
    row("Backspace", 0x2A, 0x000E, 22, 51),
    row("Tab", 0x2B, 0x000F, 23, 48),
    row("Space", 0x2C, 0x0039, 65, 49),
    row("Minus", 0x2D, 0x000C, 20, 27),
    row("Equal", 0x2E, 0x000D, 21, 24),
    row("LeftBracket", 0x2F, 0x001A, 34, 33),
    row("RightBracket", 0x30, 0x001B, 35, 30),
    row("BackSlash", 0x31, 0x002B, 51, 42),
    row("SemiColon", 0x33, 0x0027, 47, 41),
    row("Quote", 0x34, 0x0028, 48, 39),
    row("BackQuote", 0x35, 0x0029, 49, 50),
    row("Comma", 0x36, 0x0033, 59, 43),
    row("Dot", 0x37, 0x0034, 60, 47),
    row("Slash", 0x38, 0x0035, 61, 44),
    row("CapsLock", 0x39, 0x003A, 66, 57),
    row("F1", 0x3A, 0x003B, 67, 122),
    row("F2", 0x3B, 0x003C, 68, 120),
    row("F3", 0x3C, 0x003D, 69, 99),
    row("F4", 0x3D, 0x003E, 70, 118),
    row("F5", 0x3E, 0x003F, 71, 96),
    row("F6", 0x3F, 0x0040, 72, 97),
    row("F7", 0x40, 0x0041, 73, 98),
    row("F8", 0x41, 0x0042, 74, 100),
    row("F9", 0x42, 0x0043, 75, 101),
    row("F10", 0x43, 0x0044, 76, 109),
    row("F11", 0x44, 0x0057, 95, 103),
    row("F12", 0x45, 0x0058, 96, 111),
    row("PrintScreen", 0x46, 0xE037, 107, NO),
    row("ScrollLock", 0x47, 0x0046, 78, NO),
    row("Pause", 0x48, 0, 127, NO),
    row("Insert", 0x49, 0xE052, 118, 114),
    row("Home", 0x4A, 0xE047, 110, 115),
    row("PageUp", 0x4B, 0xE049, 112, 116),
    row("Delete", 0x4C, 0xE053, 119, 117),
    row("End", 0x4D, 0xE04F, 115, 119),
    row("PageDown", 0x4E, 0xE051, 117, 121),
    row("RightArrow", 0x4F, 0xE04D, 114, 124),
    row("LeftArrow", 0x50, 0xE04B, 113, 123),
    row("DownArrow", 0x51, 0xE050, 116, 125),
    row("UpArrow", 0x52, 0xE048, 111, 126),
    row("NumLock", 0x53, 0x0045, 77, 71),
    row("KpDivide", 0x54, 0xE035, 106, 75),
    row("KpMultiply", 0x55, 0x0037, 63, 67),
    row("KpMinus", 0x56, 0x004A, 82, 78),
    row("KpPlus", 0x57, 0x004E, 86, 69),
    row("KpReturn", 0x58, 0xE01C, 104, 76),
    row("Kp1", 0x59, 0x004F, 87, 83),
    row("Kp2", 0x5A, 0x0050, 88, 84),
    row("Kp3", 0x5B, 0x0051, 89, 85),
    row("Kp4", 0x5C, 0x004B, 83, 86),
    row("Kp5", 0x5D, 0x004C, 84, 87),
    row("Kp6", 0x5E, 0x004D, 85, 88),
    row("Kp7", 0x5F, 0x0047, 79, 89),
    row("Kp8", 0x60, 0x0048, 80, 91),
    row("Kp9", 0x61, 0x0049, 81, 92),
    row("Kp0", 0x62, 0x0052, 90, 82),
    row("KpDecimal", 0x63, 0x0053, 91, 65),
    row("IntlBackslash", 0x64, 0x0056, 94, 10),
    row("Apps", 0x65, 0xE05D, 135, 110),
    row("KpEqual", 0x67, 0x0059, 125, 81),
    row("F13", 0x68, 0x0064, 191, 105),
    row("F14", 0x69, 0x0065, 192, 107),
    row("F15", 0x6A, 0x0066, 193, 113),
    row("F16", 0x6B, 0x0067, 194, 106),
    row("F17", 0x6C, 0x0068, 195, 64),
    row("F18", 0x6D, 0x0069, 196, 79),
    row("F19", 0x6E, 0x006A, 197, 80),
    row("F20", 0x6F, 0x006B, 198, 90),
    row("F21", 0x70, 0x006C, 199, NO),
    row("F22", 0x71, 0x006D, 200, NO),
    row("F23", 0x72, 0x006E, 201, NO),
    row("F24", 0x73, 0x0076, 202, NO),
    media("VolumeMute", 0xE2, 0xE020, 121, 74),
    media("VolumeUp", 0xE9, 0xE030, 123, 72),
    media("VolumeDown", 0xEA, 0xE02E, 122, 73),
    row("KpComma", 0x85, 0x007E, 129, 95),
    row("IntlRo", 0x87, 0x0073, 97, 94),
    row("Kana", 0x88, 0x0080, 0, NO),
    row("KanaMode", 0x88, 0x0070, 101, NO),
    row("IntlYen", 0x89, 0x007D, 132, 93),
    row("Convert", 0x8A, 0x0079, 100, NO),
    row("NonConvert", 0x8B, 0x007B, 102, NO),
    row("Lang1", 0x90, 0x00F2, 130, 104),
    row("Lang2", 0x91, 0x00F1, 131, 102),
    row("Lang3", 0x92, 0x0078, 98, NO),
    row("Lang4", 0x93, 0x0077, 99, NO),
    row("Lang5", 0x94, 0x0076, 93, NO),
    row("ControlLeft", 0xE0, 0x001D, 37, 59),
    row("ShiftLeft", 0xE1, 0x002A, 50, 56),
    row("Alt", 0xE2, 0x0038, 64, 58),
    row("MetaLeft", 0xE3, 0xE05B, 133, 55),
    row("ControlRight", 0xE4, 0xE01D, 105, 62),
    row("ShiftRight", 0xE5, 0x0036, 62, 60),
    row("AltGr", 0xE6, 0xE038, 108, 61),
    row("MetaRight", 0xE7, 0xE05C, 134, 54),
    media("NextTrack", 0xB5, 0xE019, 171, NO),
    media("PreviousTrack", 0xB6, 0xE010, 173, NO),
    media("MediaStop", 0xB7, 0xE024, 174, NO),
    media("PlayPause", 0xCD, 0xE022, 172, NO),
    media("Record", 0xB2, 0, 175, NO),
    media("FastForward", 0xB3, 0, 216, NO),
    media("Rewind", 0xB4, 0, 176, NO),
    media("Eject", 0xB8, 0, 169, NO),
    media("BrightnessUp", 0x6F, 0, 233, NO),
    media("BrightnessDown", 0x70, 0, 232, NO),
    media("MediaSelect", 0x183, 0xE06D, 179, NO),
    media("Mail", 0x18A, 0xE06C, 163, NO),
    media("Calculator", 0x192, 0xE021, 148, NO),
    media("MyComputer", 0x194, 0xE06B, 165, NO),
    media("ScreenLock", 0x19E, 0, 160, NO),
    media("BrowserSearch", 0x221, 0xE065, 225, NO),
    media("BrowserHome", 0x223, 0xE032, 180, NO),
    media("BrowserBack", 0x224, 0xE06A, 166, NO),
    media("BrowserForward", 0x225, 0xE069, 167, NO),
    media("BrowserStop", 0x226, 0xE068, 136, NO),
    media("BrowserRefresh", 0x227, 0xE067, 181, NO),
    media("BrowserFavorites", 0x22A, 0xE066, 164, NO),
    power("Power", SystemUsage::PowerDown, 0xE05E, 124),
    power("Sleep", SystemUsage::Sleep, 0xE05F, 150),
    power("WakeUp", SystemUsage::WakeUp, 0xE063, 151),
    row("PrintScreen with Alt", 0x46, 0x0054, 0, NO),
    row("Pause with Control", 0x48, 0xE046, 0, NO),
    row("NumLock, extended", 0x53, 0xE045, 0, NO),
    row("ShiftRight, extended", 0xE5, 0xE036, 0, NO),
    row("International6", 0x8C, 0x005C, 103, NO),
    row("Open", 0x74, 0, 142, NO),
    row("Help", 0x75, 0, 146, NO),
    row("Properties", 0x76, 0, 138, NO),
    row("Front", 0x77, 0, 140, NO),
    row("Again", 0x79, 0, 137, NO),
    row("Undo", 0x7A, 0, 139, NO),
    row("Cut", 0x7B, 0, 145, NO),
    row("Copy", 0x7C, 0, 141, NO),
    row("Paste", 0x7D, 0, 143, NO),
    row("Find", 0x7E, 0, 144, NO),
    row("KpLeftParen", 0xB6, 0, 187, NO),
    row("KpRightParen", 0xB7, 0, 188, NO),
];

/// What the key with this code does. The table is searched from its begin.
pub fn find(numbering: Numbering, code: u32) -> Option<Function> {
    POSITIONS.iter().find(|p| p.code(numbering) == Some(code)).map(|p| p.function)
}

/// What a Windows virtual key does on a US keyboard (winuser.h `VK_*`).
pub fn from_virtual_key(vk: u32) -> Option<Function> {
    let nth = |first: KeyUsage, n: u32| Some(Function::Key(KeyUsage(first.0 + n as u8)));
    let media = |usage| Some(Function::Consumer(ConsumerUsage(usage)));
    match vk {
        0x41..=0x5A => nth(KeyUsage::A, vk - 0x41),
        0x31..=0x39 => nth(KeyUsage::DIGIT_1, vk - 0x31),
        0x30 => nth(KeyUsage::DIGIT_0, 0),
        0x61..=0x69 => nth(KeyUsage::KEYPAD_1, vk - 0x61),
        0x60 => nth(KeyUsage::KEYPAD_0, 0),
        0x70..=0x7B => nth(KeyUsage::F1, vk - 0x70),
        0x7C..=0x87 => nth(KeyUsage::F13, vk - 0x7C),
        0x5F => Some(Function::System(SystemUsage::Sleep)),
        0xA6..=0xB7 => media(MEDIA_VIRTUAL_KEYS[(vk - 0xA6) as usize]),
        _ => {
            let found = VIRTUAL_KEYS.iter().find(|(code, _)| u32::from(*code) == vk);
            found.map(|(_, usage)| Function::Key(*usage))
        }
    }
}

/// The consumer usages of the virtual keys from 0xA6 (browser back) to 0xB7 (launch application 2).
const MEDIA_VIRTUAL_KEYS: [u16; 18] = [
    0x224, 0x225, 0x227, 0x226, 0x221, 0x22A, 0x223, 0xE2, 0xEA, 0xE9, 0xB5, 0xB6, 0xB7, 0xCD, 0x18A, 0x183,
    0x194, 0x192,
];

const VIRTUAL_KEYS: &[(u8, KeyUsage)] = &[
    // Control is held then: the key is Pause.
    (0x03, KeyUsage::PAUSE),
    (0x08, KeyUsage::BACKSPACE),
    (0x09, KeyUsage::TAB),
    (0x0C, KeyUsage::KEYPAD_5),
    (0x0D, KeyUsage::RETURN_ENTER),
    (0x10, KeyUsage::LEFT_SHIFT),
    (0x11, KeyUsage::LEFT_CONTROL),
    (0x12, KeyUsage::LEFT_ALT),
    (0x13, KeyUsage::PAUSE),
    (0x14, KeyUsage::CAPS_LOCK),
    (0x15, KeyUsage::INTERNATIONAL_2),
    (0x19, KeyUsage::LANG_5),
    (0x1B, KeyUsage::ESCAPE),
    (0x1C, KeyUsage::INTERNATIONAL_4),
    (0x1D, KeyUsage::INTERNATIONAL_5),
    (0x20, KeyUsage::SPACEBAR),
    (0x21, KeyUsage::PAGE_UP),
    (0x22, KeyUsage::PAGE_DOWN),
    (0x23, KeyUsage::END),
    (0x24, KeyUsage::HOME),
    (0x25, KeyUsage::LEFT_ARROW),
    (0x26, KeyUsage::UP_ARROW),
    (0x27, KeyUsage::RIGHT_ARROW),
    (0x28, KeyUsage::DOWN_ARROW),
    (0x29, KeyUsage::SELECT),
    (0x2B, KeyUsage::EXECUTE),
    (0x2C, KeyUsage::PRINT_SCREEN),
    (0x2D, KeyUsage::INSERT),
    (0x2E, KeyUsage::DELETE_FORWARD),
    (0x2F, KeyUsage::HELP),
    (0x5B, KeyUsage::LEFT_GUI),
    (0x5C, KeyUsage::RIGHT_GUI),
    (0x5D, KeyUsage::APPLICATION),
    (0x6A, KeyUsage::KEYPAD_ASTERISK),
    (0x6B, KeyUsage::KEYPAD_PLUS),
    (0x6C, KeyUsage::KEYPAD_COMMA),
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
    (0xC1, KeyUsage::INTERNATIONAL_1),
    (0xC2, KeyUsage::KEYPAD_COMMA),
    (0xDB, KeyUsage::LEFT_BRACKET),
    (0xDC, KeyUsage::BACKSLASH),
    (0xDD, KeyUsage::RIGHT_BRACKET),
    (0xDE, KeyUsage::APOSTROPHE),
    (0xDF, KeyUsage::GRAVE_ACCENT),
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
mod tests;
