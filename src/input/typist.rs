//! Which keys type a character on a target: its keyboard layout first, then its system's way to enter a character by
//! its number, if the user said that there is one. Pure. What neither types is answered with `None`.

use super::layout::{Chord, Layout};
use super::usage::KeyUsage;

/// How the target takes characters by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnicodeEntry {
    /// Not at all.
    #[default]
    Off,
    /// Alt with the keypad: `0` and the decimal code in the code page of Western Europe (1252), for layouts that use
    /// it; else `+` and four hex digits, which Windows takes if the user's registry has the string
    /// `HKCU\Control Panel\Input Method\EnableHexNumpad` = `1` (up to U+FFFF).
    Windows,
    /// Ctrl+Shift+U, hex digits, Space: GTK and IBus.
    Linux,
    /// Option with four hex digits a UTF-16 unit: the input source "Unicode Hex Input", whose keys are those of "us".
    MacOs,
}

/// Turns characters into keys.
#[derive(Debug, Clone)]
pub struct Typist {
    layout: Layout,
    entry: UnicodeEntry,
}

/// Layouts whose language uses another ANSI code page than 1252 on Windows.
const OTHER_CODE_PAGE: &[&str] = &["pl", "cz", "tr", "ru", "ua", "jp", "kr"];
/// Code page 1252 from 0x80 on, where it is not Latin-1; U+0000 is unused.
const WINDOWS_1252: [char; 32] = [
    '€', '\0', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\0', 'Ž', '\0', '\0', '‘', '’', '“',
    '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\0', 'ž', 'Ÿ',
];

impl Typist {
    /// For a target with this layout.
    pub fn new(layout: Layout, entry: UnicodeEntry) -> Self {
        Self { layout, entry }
    }

    /// The layout.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What types `c` while Caps Lock is as told, in order; `None` if nothing does.
    pub fn chords(&self, c: char, is_caps_lock: bool) -> Option<Vec<Chord>> {
        let by_layout = match self.entry {
            // Windows has AltGr levels and compositions of its own; only those that it shares are safe.
            UnicodeEntry::Windows => self.layout.common_chords(c, is_caps_lock),
            UnicodeEntry::Off | UnicodeEntry::Linux | UnicodeEntry::MacOs => {
                self.layout.chords(c, is_caps_lock)
            }
        };
        if by_layout.is_some() || c.is_control() {
            return by_layout;
        }
        match self.entry {
            UnicodeEntry::Off => None,
            UnicodeEntry::Windows => self.windows(c),
            UnicodeEntry::Linux => self.linux(c, is_caps_lock),
            UnicodeEntry::MacOs => Some(vec![mac_os(c)]),
        }
    }

    fn windows(&self, c: char) -> Option<Vec<Chord>> {
        let code = u16::try_from(u32::from(c)).ok()?;
        let page_code = match c {
            '\u{a0}'..='\u{ff}' => Some(code),
            _ => {
                WINDOWS_1252.iter().position(|known| *known == c).and_then(|at| u16::try_from(0x80 + at).ok())
            }
        };
        let keys = match page_code.filter(|_| !OTHER_CODE_PAGE.contains(&self.layout.name())) {
            Some(code) => format!("0{code:03}").chars().filter_map(keypad).collect(),
            None => {
                let digit = |digit: char| {
                    let letter =
                        || self.layout.direct(digit, false).and_then(|chord| chord.keys.first().copied());
                    keypad(digit).or_else(letter).or_else(|| hex_key(digit))
                };
                [KeyUsage::KEYPAD_PLUS]
                    .into_iter()
                    .chain(format!("{code:04x}").chars().filter_map(digit))
                    .collect()
            }
        };
        Some(vec![Chord { held: vec![KeyUsage::LEFT_ALT], keys }])
    }

    fn linux(&self, c: char, is_caps_lock: bool) -> Option<Vec<Chord>> {
        let u = self.layout.direct('u', false)?.keys;
        let mut chords = vec![Chord { held: vec![KeyUsage::LEFT_CONTROL, KeyUsage::LEFT_SHIFT], keys: u }];
        for digit in format!("{:x}", u32::from(c)).chars() {
            chords.push(self.layout.direct(digit, is_caps_lock)?);
        }
        chords.push(Chord::key(KeyUsage::SPACEBAR));
        Some(chords)
    }
}

fn mac_os(c: char) -> Chord {
    let mut units = [0; 2];
    let units = c.encode_utf16(&mut units).iter().map(|unit| format!("{unit:04x}")).collect::<String>();
    Chord { held: vec![KeyUsage::LEFT_ALT], keys: units.chars().filter_map(hex_key).collect() }
}

/// The keypad's key of a decimal digit.
fn keypad(digit: char) -> Option<KeyUsage> {
    match digit.to_digit(10)? {
        0 => Some(KeyUsage::KEYPAD_0),
        digit => u8::try_from(digit - 1).ok().map(|above| KeyUsage(KeyUsage::KEYPAD_1.0 + above)),
    }
}

/// The key of a hex digit on a US keyboard.
fn hex_key(digit: char) -> Option<KeyUsage> {
    let value = u8::try_from(digit.to_digit(16)?).ok()?;
    Some(match value {
        0 => KeyUsage::DIGIT_0,
        1..=9 => KeyUsage(KeyUsage::DIGIT_1.0 + value - 1),
        _ => KeyUsage(KeyUsage::A.0 + value - 10),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typist(layout: &str, entry: UnicodeEntry) -> Typist {
        Typist::new(Layout::by_name(layout).unwrap(), entry)
    }

    /// The usages in hex: held, then clicked.
    fn keys(typist: &Typist, c: char) -> Vec<(String, String)> {
        let hex =
            |keys: &[KeyUsage]| keys.iter().map(|k| format!("{:02x}", k.0)).collect::<Vec<_>>().join(" ");
        let chords = typist.chords(c, false).unwrap_or_default();
        chords.iter().map(|chord| (hex(&chord.held), hex(&chord.keys))).collect()
    }

    fn one(held: &str, keys: &str) -> Vec<(String, String)> {
        vec![(held.into(), keys.into())]
    }

    #[test]
    fn without_entry_only_the_layout_types() {
        let us = typist("us", UnicodeEntry::Off);
        assert_eq!(us.chords('é', false), None);
        assert_eq!(keys(&us, 'a'), one("", "04"));
    }

    #[test]
    fn windows_takes_decimal_codes_of_its_code_page_and_hex_beyond() {
        let us = typist("us", UnicodeEntry::Windows);
        assert_eq!(keys(&us, 'a'), one("", "04"));
        assert_eq!(keys(&us, 'é'), one("e2", "62 5a 5b 5b"));
        assert_eq!(keys(&us, '€'), one("e2", "62 59 5a 60"));
        assert_eq!(keys(&us, 'Ÿ'), one("e2", "62 59 5d 61"));
        assert_eq!(keys(&us, 'ж'), one("e2", "57 62 5c 5b 5e"));
        assert_eq!(keys(&us, '☃'), one("e2", "57 5a 5e 62 5b"));
        assert_eq!(us.chords('😀', false), None, "not beyond U+FFFF");
        // The letter keys move with the layout; AltGr characters that only other systems have go by number.
        let fr = typist("fr", UnicodeEntry::Windows);
        assert_eq!(keys(&fr, '\u{2aa}'), one("e2", "57 62 5a 14 14"));
        assert_eq!(keys(&typist("fr", UnicodeEntry::Windows), 'Æ'), one("e2", "62 59 61 60"));
        assert_eq!(keys(&typist("fr", UnicodeEntry::Windows), '@'), one("e6", "27"));
        assert_eq!(keys(&typist("pl", UnicodeEntry::Windows), 'é'), one("e2", "57 62 62 08 61"));
    }

    #[test]
    fn linux_takes_hex_after_control_shift_u_through_the_layout() {
        let us = typist("us", UnicodeEntry::Linux);
        let want = [("e0 e1", "18"), ("", "08"), ("", "26"), ("", "2c")];
        assert_eq!(keys(&us, 'é'), want.map(|(h, k)| (h.to_owned(), k.to_owned())));
        let fr = typist("fr", UnicodeEntry::Linux);
        let want =
            [("e0 e1", "18"), ("e1", "1e"), ("", "09"), ("e1", "23"), ("e1", "27"), ("e1", "27"), ("", "2c")];
        assert_eq!(
            keys(&fr, '😀'),
            [want[0], want[1], want[2], ("e1", "23"), ("e1", "27"), ("e1", "27"), want[6]]
                .map(|(h, k)| (h.to_owned(), k.to_owned()))
        );
        assert_eq!(typist("ru", UnicodeEntry::Linux).chords('é', false), None, "no Latin letters there");
    }

    #[test]
    fn mac_os_takes_utf_16_units_with_option_held() {
        let us = typist("us", UnicodeEntry::MacOs);
        assert_eq!(keys(&us, 'é'), one("e2", "27 27 08 26"));
        assert_eq!(keys(&us, '😀'), one("e2", "07 25 20 07 07 08 27 27"));
    }

    #[test]
    fn control_characters_have_no_number() {
        for entry in [UnicodeEntry::Windows, UnicodeEntry::Linux, UnicodeEntry::MacOs] {
            assert_eq!(typist("us", entry).chords('\u{1}', false), None);
            assert!(typist("us", entry).chords('\n', false).is_some());
        }
    }
}
