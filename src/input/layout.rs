//! Keyboard layouts of the target: which strokes type a character. Pure; a layout is a value found by name. The data
//! in `layouts/` is made from xkeyboard-config and libX11's compositions by `layouts/generate.sh`; a test compares.
//! What a layout cannot type is answered with `None`, so that the caller can say so.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::keymap;
use super::usage::KeyUsage;

/// Keys that type something together: `held` go down with the first of `keys` and up with the last; `keys` are
/// clicked one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chord {
    /// Modifiers around the keys.
    pub held: Vec<KeyUsage>,
    /// The keys, clicked in order.
    pub keys: Vec<KeyUsage>,
}

impl Chord {
    /// One key, alone.
    pub fn key(usage: KeyUsage) -> Self {
        Self { held: vec![], keys: vec![usage] }
    }
}

/// What Caps Lock does to a stroke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caps {
    /// Nothing.
    Same,
    /// Shift has to be turned round.
    TurnsShift,
    /// The stroke types something else, with and without Shift.
    Spoils,
}

/// One key with its modifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stroke {
    usage: KeyUsage,
    wants_shift: bool,
    wants_alt_gr: bool,
    caps: Caps,
}

impl Stroke {
    /// The plainest first: the main keys before the keypad, without AltGr, without Shift; with AltGr the keys that have
    /// the sign on more systems. Where a layout's own keyboards have no ISO key, systems differ about it (`<` for X11,
    /// `\` for Windows on "us"), so that it types only what no other key types without AltGr.
    fn rank(&self, layout: &str) -> (bool, bool, bool, bool, bool, KeyUsage) {
        let is_keypad = (KeyUsage::KEYPAD_SLASH..=KeyUsage::KEYPAD_PLUS).contains(&self.usage);
        let is_letter = self.usage <= KeyUsage::Z;
        let is_unusual = self.wants_alt_gr && is_letter != SIGNS_ON_LETTERS.contains(&layout);
        let is_iso = self.usage == KeyUsage::NON_US_BACKSLASH;
        (is_keypad, self.wants_alt_gr, is_iso, is_unusual, self.wants_shift, self.usage)
    }

    fn chord(self, is_caps_lock: bool) -> Option<Chord> {
        let is_turned = match self.caps {
            Caps::Spoils if is_caps_lock => return None,
            Caps::TurnsShift => is_caps_lock,
            Caps::Same | Caps::Spoils => false,
        };
        let mut held = vec![];
        if self.wants_shift != is_turned {
            held.push(KeyUsage::LEFT_SHIFT);
        }
        if self.wants_alt_gr {
            held.push(KeyUsage::RIGHT_ALT);
        }
        Some(Chord { held, keys: vec![self.usage] })
    }
}

/// Layouts whose AltGr signs are on letters on every system; elsewhere letters have them on some systems only.
const SIGNS_ON_LETTERS: &[&str] = &["cz"];

/// A dead key and what it makes of the stroke after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Composition {
    dead: &'static str,
    base: Symbol,
    result: char,
}

/// What a key types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Symbol {
    Char(char),
    /// A dead key, by its keysym's name.
    Dead(&'static str),
}

/// A keyboard layout. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Layout {
    name: &'static str,
    strokes: Arc<BTreeMap<Symbol, Vec<Stroke>>>,
    compositions: Arc<[Composition]>,
}

/// A layout name that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no keyboard layout \"{name}\"; there is: {}", Layout::names().join(", "))]
pub struct UnknownLayout {
    /// The name asked for.
    pub name: String,
}

macro_rules! layouts {
    ($($name:literal),* $(,)?) => {
        /// Every layout with its data. A new one is a name here, a line in the generator, and a run of it.
        const LAYOUTS: &[(&str, &str)] = &[$(($name, include_str!(concat!("layouts/", $name, ".txt")))),*];
    };
}
layouts!(
    "us", "gb", "de", "fr", "es", "it", "pt", "br", "se", "no", "dk", "fi", "ch", "be", "nl", "pl", "cz",
    "tr", "ru", "ua", "jp", "kr", "us-intl", "dvorak",
);
/// What dead keys make of the next key, for all layouts.
const COMPOSITIONS: &str = include_str!("layouts/compose.txt");

impl Layout {
    /// The layout called `name`.
    ///
    /// # Errors
    /// [`UnknownLayout`], whose text lists what exists.
    pub fn by_name(name: &str) -> Result<Self, UnknownLayout> {
        let found = LAYOUTS.iter().find(|(known, _)| *known == name);
        let (name, data) = *found.ok_or_else(|| UnknownLayout { name: name.to_owned() })?;
        Ok(Self::load(name, data))
    }

    fn load(name: &'static str, data: &'static str) -> Self {
        let mut strokes: BTreeMap<Symbol, Vec<Stroke>> = BTreeMap::new();
        for (symbol, stroke) in data_lines(data).flat_map(key_line).flatten() {
            strokes.entry(symbol).or_default().push(stroke);
        }
        for strokes in strokes.values_mut() {
            strokes.sort_by_key(|stroke| stroke.rank(name));
        }
        let compositions = data_lines(COMPOSITIONS).filter_map(composition_line).collect();
        Self { name, strokes: Arc::new(strokes), compositions }
    }

    /// The names of all layouts.
    pub fn names() -> Vec<&'static str> {
        LAYOUTS.iter().map(|(name, _)| *name).collect()
    }

    /// This layout's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Every character that some key types alone or with Shift or AltGr, and all that dead keys make.
    pub fn characters(&self) -> Vec<char> {
        let direct = self.strokes.keys().filter_map(|symbol| match symbol {
            Symbol::Char(c) => Some(*c),
            Symbol::Dead(_) => None,
        });
        let composed = self.compositions.iter().map(|composition| composition.result);
        let mut all: Vec<char> =
            direct.chain(composed).filter(|c| self.chords(*c, false).is_some()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// What types `c` while Caps Lock is as told; `None` if the layout has no keys for it. `\n` and `\r` are Enter,
    /// `\t` is Tab. Where Caps Lock is in the way (`é` on a French keyboard) it is clicked before and after.
    pub fn chords(&self, c: char, is_caps_lock: bool) -> Option<Vec<Chord>> {
        if let Some(chords) = self.chords_with(c, is_caps_lock) {
            return Some(chords);
        }
        let mut chords = self.chords_with(c, false).filter(|_| is_caps_lock)?;
        chords.insert(0, Chord::key(KeyUsage::CAPS_LOCK));
        chords.push(Chord::key(KeyUsage::CAPS_LOCK));
        Some(chords)
    }

    fn chords_with(&self, c: char, is_caps_lock: bool) -> Option<Vec<Chord>> {
        let control = match c {
            '\n' | '\r' => Some(KeyUsage::RETURN_ENTER),
            '\t' => Some(KeyUsage::TAB),
            '\u{8}' => Some(KeyUsage::BACKSPACE),
            '\u{1b}' => Some(KeyUsage::ESCAPE),
            '\u{7f}' => Some(KeyUsage::DELETE_FORWARD),
            _ => None,
        };
        if let Some(usage) = control {
            return Some(vec![Chord::key(usage)]);
        }
        let has_alt_gr = |chord: &Chord| chord.held.contains(&KeyUsage::RIGHT_ALT);
        let direct = self.chord(Symbol::Char(c), is_caps_lock).map(|chord| vec![chord]);
        let mut composed = self.compositions.iter().filter(|made| made.result == c).filter_map(|made| {
            let dead = self.chord(Symbol::Dead(made.dead), is_caps_lock)?;
            Some(vec![dead, self.chord(made.base, is_caps_lock)?])
        });
        match direct {
            // Systems agree more on dead keys with Space than on AltGr with them.
            Some(direct) if c.is_ascii() && has_alt_gr(&direct[0]) => {
                Some(composed.find(|chords| !chords.iter().any(has_alt_gr)).unwrap_or(direct))
            }
            Some(direct) => Some(direct),
            None => composed.next(),
        }
    }

    /// As [`Self::chords`], but only by what every system's version of this layout has in common: with AltGr ASCII and
    /// the euro sign, with dead keys ASCII letters and blanks that become European letters or signs.
    pub fn common_chords(&self, c: char, is_caps_lock: bool) -> Option<Vec<Chord>> {
        let chords = self.chords(c, is_caps_lock)?;
        let has_alt_gr = chords.iter().any(|chord| chord.held.contains(&KeyUsage::RIGHT_ALT));
        let is_common = match chords.as_slice() {
            [_] => !has_alt_gr || c.is_ascii() || c == '€',
            _ => !has_alt_gr && c <= '\u{17f}',
        };
        is_common.then_some(chords)
    }

    /// What a shortcut with `c` presses beside its own modifiers: the key that types `c`, whatever Shift that needs,
    /// and whether AltGr must be held for it. On a layout without Latin letters, and for what a layout does not type
    /// with one key, it is the key of a US keyboard, as the systems do it. Control characters 1 to 26 are their letters.
    pub fn shortcut(&self, c: char) -> Option<(KeyUsage, bool)> {
        let c = match c {
            '\x01'..='\x1a' if !matches!(c, '\t' | '\n' | '\r') => char::from(c as u8 | 0x60),
            c => c,
        };
        let is_latin = self.direct('a', false).is_some();
        let own = self.direct(c, false).filter(|_| is_latin).and_then(|chord| {
            let key = chord.keys.first().copied()?;
            Some((key, chord.held.contains(&KeyUsage::RIGHT_ALT)))
        });
        own.or_else(|| Some((keymap::us_key(c)?, false)))
    }

    /// The one chord that types `c` without a dead key.
    pub fn direct(&self, c: char, is_caps_lock: bool) -> Option<Chord> {
        self.chord(Symbol::Char(c), is_caps_lock)
    }

    fn chord(&self, symbol: Symbol, is_caps_lock: bool) -> Option<Chord> {
        self.strokes.get(&symbol)?.iter().find_map(|stroke| stroke.chord(is_caps_lock))
    }
}

/// A US keyboard.
impl Default for Layout {
    fn default() -> Self {
        let (name, data) = LAYOUTS[0];
        Self::load(name, data)
    }
}

/// Takes the first character off `text`, `\r\n` counting as one Enter, and the rest. `None` at the end of the text
/// (reference: session 6.8).
pub fn next_character(text: &str) -> Option<(char, &str)> {
    if let Some(rest) = text.strip_prefix("\r\n") {
        return Some(('\n', rest));
    }
    let c = text.chars().next()?;
    Some((c, &text[c.len_utf8()..]))
}

/// Lines that are neither empty nor remarks.
fn data_lines(data: &'static str) -> impl Iterator<Item = &'static str> {
    data.lines().filter(|line| !line.is_empty() && !line.starts_with("# "))
}

/// `usage caps level1 …`: the key in hex, what Caps Lock does to each level, and what each level types.
fn key_line(line: &'static str) -> Option<Vec<(Symbol, Stroke)>> {
    let mut words = line.split(' ');
    let usage = KeyUsage(u8::from_str_radix(words.next()?, 16).ok()?);
    let caps = words.next()?.as_bytes();
    let mut strokes = vec![];
    for (level, word) in words.enumerate() {
        let caps = match caps.get(level)? {
            b'-' => Caps::Same,
            b'x' => Caps::TurnsShift,
            b'!' => Caps::Spoils,
            _ => return None,
        };
        if let Some(symbol) = symbol(word)? {
            let (wants_shift, wants_alt_gr) = (level & 1 != 0, level & 2 != 0);
            strokes.push((symbol, Stroke { usage, wants_shift, wants_alt_gr, caps }));
        }
    }
    Some(strokes)
}

/// `dead base result`.
fn composition_line(line: &'static str) -> Option<Composition> {
    let mut words = line.split(' ');
    let dead = words.next()?;
    let base = symbol(words.next()?)??;
    let Symbol::Char(result) = symbol(words.next()?)?? else { return None };
    Some(Composition { dead, base, result })
}

/// A character itself, `U+hex`, `dead_…`, or `none`. The outer `None`: it is none of these.
fn symbol(word: &'static str) -> Option<Option<Symbol>> {
    let mut chars = word.chars();
    match (chars.next()?, chars.next()) {
        (c, None) => Some(Some(Symbol::Char(c))),
        _ if word == "none" => Some(None),
        _ if word.starts_with("dead_") => Some(Some(Symbol::Dead(word))),
        _ => {
            let code = u32::from_str_radix(word.strip_prefix("U+")?, 16).ok()?;
            Some(Some(Symbol::Char(char::from_u32(code)?)))
        }
    }
}

#[cfg(test)]
mod tests;
