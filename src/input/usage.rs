//! HID usages by the names of the HID Usage Tables 1.5 (page 0x07 keyboard/keypad, 0x0C consumer, 0x01 system).

/// A usage of the keyboard/keypad page (0x07). `0xE0..=0xE7` are the modifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyUsage(pub u8);

/// A usage of the consumer page (0x0C).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConsumerUsage(pub u16);

/// The system controls of our report 2: one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum SystemUsage {
    /// System Power Down (0x81).
    PowerDown = 1,
    /// System Sleep (0x82).
    Sleep = 2,
    /// System Wake Up (0x83).
    WakeUp = 4,
}

macro_rules! usages {
    ($($(#[$m:meta])* $name:ident = $value:literal),* $(,)?) => {
        impl KeyUsage { $( #[doc = concat!("Keyboard ", stringify!($name), ".")] pub const $name: Self = Self($value); )* }
    };
}

usages! {
    A = 0x04, B = 0x05, C = 0x06, D = 0x07, E = 0x08, F = 0x09, G = 0x0A, H = 0x0B, I = 0x0C, J = 0x0D, K = 0x0E,
    L = 0x0F, M = 0x10, N = 0x11, O = 0x12, P = 0x13, Q = 0x14, R = 0x15, S = 0x16, T = 0x17, U = 0x18, V = 0x19,
    W = 0x1A, X = 0x1B, Y = 0x1C, Z = 0x1D,
    DIGIT_1 = 0x1E, DIGIT_2 = 0x1F, DIGIT_3 = 0x20, DIGIT_4 = 0x21, DIGIT_5 = 0x22, DIGIT_6 = 0x23, DIGIT_7 = 0x24,
    DIGIT_8 = 0x25, DIGIT_9 = 0x26, DIGIT_0 = 0x27,
    RETURN_ENTER = 0x28, ESCAPE = 0x29, BACKSPACE = 0x2A, TAB = 0x2B, SPACEBAR = 0x2C, MINUS = 0x2D, EQUAL = 0x2E,
    LEFT_BRACKET = 0x2F, RIGHT_BRACKET = 0x30, BACKSLASH = 0x31, NON_US_HASH = 0x32, SEMICOLON = 0x33, APOSTROPHE = 0x34,
    GRAVE_ACCENT = 0x35, COMMA = 0x36, PERIOD = 0x37, SLASH = 0x38, CAPS_LOCK = 0x39,
    F1 = 0x3A, F2 = 0x3B, F3 = 0x3C, F4 = 0x3D, F5 = 0x3E, F6 = 0x3F, F7 = 0x40, F8 = 0x41, F9 = 0x42, F10 = 0x43,
    F11 = 0x44, F12 = 0x45,
    PRINT_SCREEN = 0x46, SCROLL_LOCK = 0x47, PAUSE = 0x48, INSERT = 0x49, HOME = 0x4A, PAGE_UP = 0x4B,
    DELETE_FORWARD = 0x4C, END = 0x4D, PAGE_DOWN = 0x4E, RIGHT_ARROW = 0x4F, LEFT_ARROW = 0x50, DOWN_ARROW = 0x51,
    UP_ARROW = 0x52, NUM_LOCK = 0x53, KEYPAD_SLASH = 0x54, KEYPAD_ASTERISK = 0x55, KEYPAD_MINUS = 0x56,
    KEYPAD_PLUS = 0x57, KEYPAD_ENTER = 0x58, KEYPAD_1 = 0x59, KEYPAD_2 = 0x5A, KEYPAD_3 = 0x5B, KEYPAD_4 = 0x5C,
    KEYPAD_5 = 0x5D, KEYPAD_6 = 0x5E, KEYPAD_7 = 0x5F, KEYPAD_8 = 0x60, KEYPAD_9 = 0x61, KEYPAD_0 = 0x62,
    KEYPAD_PERIOD = 0x63, NON_US_BACKSLASH = 0x64, APPLICATION = 0x65, POWER = 0x66, KEYPAD_EQUAL = 0x67,
    F13 = 0x68, F24 = 0x73, EXECUTE = 0x74, HELP = 0x75, MENU = 0x76, SELECT = 0x77, MUTE = 0x7F, VOLUME_UP = 0x80,
    VOLUME_DOWN = 0x81, KEYPAD_COMMA = 0x85, INTERNATIONAL_1 = 0x87, INTERNATIONAL_2 = 0x88, INTERNATIONAL_3 = 0x89,
    INTERNATIONAL_4 = 0x8A, INTERNATIONAL_5 = 0x8B, LANG_1 = 0x90, LANG_2 = 0x91, LANG_3 = 0x92, LANG_4 = 0x93,
    LANG_5 = 0x94, CANCEL = 0x9B, CLEAR = 0x9C, SEPARATOR = 0x9F,
    LEFT_CONTROL = 0xE0, LEFT_SHIFT = 0xE1, LEFT_ALT = 0xE2, LEFT_GUI = 0xE3, RIGHT_CONTROL = 0xE4, RIGHT_SHIFT = 0xE5,
    RIGHT_ALT = 0xE6, RIGHT_GUI = 0xE7,
}

impl KeyUsage {
    /// Whether the key is one of the eight modifiers.
    pub fn is_modifier(self) -> bool {
        (0xE0..=0xE7).contains(&self.0)
    }

    /// Whether the key changes a text where it is pressed: what prints, Enter, Tab, Backspace and Delete.
    pub fn is_typing(self) -> bool {
        matches!(self.0, 0x04..=0x28 | 0x2A..=0x38 | 0x4C | 0x54..=0x64 | 0x67 | 0x85 | 0x87 | 0x89 | 0xB6 | 0xB7)
    }

    /// The key's bit in the modifier byte, 0 for other keys.
    pub fn modifier_bit(self) -> u8 {
        if self.is_modifier() { 1 << (self.0 - 0xE0) } else { 0 }
    }
}
