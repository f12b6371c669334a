//! Keyboard layouts of the target: which keys type a character. Pure; a layout is a value found by name.
//! What a layout cannot type is answered with `None`, so that the caller can say so.

use super::usage::KeyUsage;

/// One press of a key, with or without Shift, that types something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stroke {
    /// The key.
    pub usage: KeyUsage,
    /// Whether Shift is held around it.
    pub wants_shift: bool,
    /// Whether Caps Lock turns Shift round for this key (letters).
    pub is_caps_affected: bool,
}

impl Stroke {
    /// Whether Shift has to be down for this stroke while Caps Lock is on or off.
    pub fn wants_shift_with(self, is_caps_lock: bool) -> bool {
        self.wants_shift != (self.is_caps_affected && is_caps_lock)
    }
}

/// A keyboard layout.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    name: &'static str,
    strokes_for: fn(char) -> Option<Stroke>,
}

/// A layout name that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no keyboard layout \"{name}\"; there is: {}", Layout::names().join(", "))]
pub struct UnknownLayout {
    /// The name asked for.
    pub name: String,
}

/// Every layout. A new one is a line here and a function from characters to strokes.
const LAYOUTS: &[Layout] = &[Layout { name: "us", strokes_for: us }];

impl Layout {
    /// The layout called `name`.
    ///
    /// # Errors
    /// [`UnknownLayout`], whose text lists what exists.
    pub fn by_name(name: &str) -> Result<Self, UnknownLayout> {
        LAYOUTS
            .iter()
            .find(|layout| layout.name == name)
            .copied()
            .ok_or_else(|| UnknownLayout { name: name.to_owned() })
    }

    /// The names of all layouts.
    pub fn names() -> Vec<&'static str> {
        LAYOUTS.iter().map(|layout| layout.name).collect()
    }

    /// This layout's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The stroke that types `c`; `None` if the layout has no key for it. `\n` and `\r` are Enter, `\t` is Tab.
    pub fn stroke(&self, c: char) -> Option<Stroke> {
        (self.strokes_for)(c)
    }

    /// Takes the first character off `text`, `\r\n` counting as one: what types it (`None`: nothing does), and
    /// the rest. `None` at the end of the text (reference: session 6.8).
    pub fn next_stroke<'a>(&self, text: &'a str) -> Option<(Option<Stroke>, &'a str)> {
        if let Some(rest) = text.strip_prefix("\r\n") {
            return Some((self.stroke('\n'), rest));
        }
        let c = text.chars().next()?;
        Some((self.stroke(c), &text[c.len_utf8()..]))
    }
}

/// US ASCII on the ANSI keyboard.
fn us(c: char) -> Option<Stroke> {
    /// Keys with their plain and shifted character.
    const KEYS: &[(KeyUsage, char, char)] = &[
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
    ];
    let plain = |usage| Some(Stroke { usage, wants_shift: false, is_caps_affected: false });
    match c {
        'a'..='z' | 'A'..='Z' => {
            let offset = c.to_ascii_lowercase() as u8 - b'a';
            Some(Stroke {
                usage: KeyUsage(KeyUsage::A.0 + offset),
                wants_shift: c.is_ascii_uppercase(),
                is_caps_affected: true,
            })
        }
        ' ' => plain(KeyUsage::SPACEBAR),
        '\n' | '\r' => plain(KeyUsage::RETURN_ENTER),
        '\t' => plain(KeyUsage::TAB),
        '\u{8}' => plain(KeyUsage::BACKSPACE),
        '\u{1b}' => plain(KeyUsage::ESCAPE),
        '\u{7f}' => plain(KeyUsage::DELETE_FORWARD),
        _ => KEYS.iter().find(|(_, a, b)| c == *a || c == *b).map(|&(usage, a, _)| Stroke {
            usage,
            wants_shift: c != a,
            is_caps_affected: false,
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn us_types_all_of_printable_ascii_each_by_its_own_stroke() {
        let us = Layout::by_name("us").unwrap();
        let strokes: BTreeSet<_> =
            (' '..='~').map(|c| us.stroke(c).unwrap()).map(|s| (s.usage, s.wants_shift)).collect();
        assert_eq!(strokes.len(), 95);
        let is = |c, usage, wants_shift| {
            let s = us.stroke(c).unwrap();
            assert_eq!((s.usage, s.wants_shift), (usage, wants_shift), "{c:?}");
        };
        is('a', KeyUsage::A, false);
        is('Z', KeyUsage::Z, true);
        is('"', KeyUsage::APOSTROPHE, true);
        is('_', KeyUsage::MINUS, true);
        is('\\', KeyUsage::BACKSLASH, false);
        is('\t', KeyUsage::TAB, false);
    }

    #[test]
    fn line_ends_are_one_enter_each_and_foreign_characters_are_told() {
        let us = Layout::by_name("us").unwrap();
        let mut text = "a\r\n\n\ré";
        let mut got = vec![];
        while let Some((stroke, rest)) = us.next_stroke(text) {
            got.push(stroke.map(|s| s.usage));
            text = rest;
        }
        let enter = Some(KeyUsage::RETURN_ENTER);
        assert_eq!(got, [Some(KeyUsage::A), enter, enter, enter, None]);
    }

    #[test]
    fn caps_lock_turns_shift_round_for_letters_only() {
        let us = Layout::by_name("us").unwrap();
        let shift = |c, caps| us.stroke(c).unwrap().wants_shift_with(caps);
        assert!(shift('a', true) && !shift('A', true) && !shift('1', true) && shift('!', true));
        assert!(!shift('a', false) && shift('A', false));
    }

    #[test]
    fn an_unknown_name_is_answered_with_what_exists() {
        assert_eq!(
            Layout::by_name("xx").unwrap_err().to_string(),
            "there is no keyboard layout \"xx\"; there is: us"
        );
    }
}
