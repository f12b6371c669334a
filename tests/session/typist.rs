//! A typist at a controller's keyboard, and the computer that is typed on: both in simulated time, with the repeats
//! that each of their systems makes of a held key.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kvmdesk::input::keymap::{Function, Numbering, POSITIONS};
use kvmdesk::input::layout::Layout;
use kvmdesk::input::usage::KeyUsage as K;

/// Numbers that repeat exactly.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// From `low` to `high`, both included.
    pub fn roll(&mut self, low: u64, high: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        low + self.0 % (high - low + 1)
    }
}

/// A US keyboard's text under a cursor at its end.
#[derive(Default)]
pub struct Sheet {
    pub text: String,
    has_shift: bool,
    keys: BTreeMap<(K, bool), char>,
}

impl Sheet {
    pub fn new() -> Self {
        let layout = Layout::default();
        let typed = (' '..='~').chain(['\n', '\t']).filter_map(|c| {
            let chord = layout.direct(c, false).or_else(|| layout.chords(c, false)?.pop())?;
            Some(((chord.keys[0], chord.held.contains(&K::LEFT_SHIFT)), c))
        });
        let mut keys: BTreeMap<_, _> = typed.collect();
        for key in [K::RETURN_ENTER, K::SPACEBAR, K::TAB] {
            keys.insert((key, true), keys[&(key, false)]);
        }
        Self { keys, ..Self::default() }
    }

    /// A key goes down or repeats.
    pub fn press(&mut self, usage: K) {
        if usage == K::LEFT_SHIFT {
            self.has_shift = true;
        } else if usage == K::BACKSPACE {
            self.text.pop();
        } else {
            let key = (usage, self.has_shift);
            self.text.push(*self.keys.get(&key).unwrap_or_else(|| panic!("{key:?} types nothing")));
        }
    }

    pub fn release(&mut self, usage: K) {
        self.has_shift &= usage != K::LEFT_SHIFT;
    }
}

/// One event of the controller's keyboard.
#[derive(Debug, Clone, Copy)]
pub struct Stroke {
    pub at: Duration,
    pub code: u32,
    pub is_down: bool,
}

/// What is typed, and what it says where it is typed.
pub struct Script {
    pub strokes: Vec<Stroke>,
    pub meant: String,
}

/// The controller's system repeats a key after half a second, 30 times a second.
const REPEAT: (u64, u64) = (500, 33);

impl Script {
    /// At least `count` characters and Backspaces at about eight a second, a key pressed before the last one is up,
    /// capitals, Backspaces and Enter; `holds`: some keys are held for seconds.
    pub fn new(count: usize, holds: bool, dice: &mut Dice) -> Self {
        let letters: Vec<K> = (K::A.0..=K::Z.0)
            .chain([K::SPACEBAR.0, K::DIGIT_7.0, K::SEMICOLON.0, K::SLASH.0])
            .map(K)
            .collect();
        let mut events: Vec<(u64, K, bool)> = vec![];
        let (mut at, mut typed) = (0, 0);
        let mut last: Option<(K, u64)> = None;
        while typed < count {
            let letter = letters[dice.roll(0, letters.len() as u64 - 1) as usize];
            let (key, is_capital, is_held) = match dice.roll(0, 99) {
                0..=5 => (K::BACKSPACE, false, false),
                6..=8 => (K::RETURN_ENTER, false, false),
                9..=18 => (letter, true, false),
                19 | 20 if holds => (letter, false, true),
                21 if holds => (K::BACKSPACE, false, true),
                _ => (letter, false, false),
            };
            // The same finger comes back only after it has left.
            if let Some((_, up_at)) = last.filter(|(before, _)| *before == key || is_capital || is_held) {
                at = at.max(up_at + 20);
            }
            if is_capital {
                events.push((at, K::LEFT_SHIFT, true));
                at += 40;
            }
            let hold = if is_held { dice.roll(700, 2000) } else { dice.roll(60, 120) };
            events.push((at, key, true));
            typed += 1;
            let mut repeat = REPEAT.0;
            while repeat < hold {
                events.push((at + repeat, key, true));
                typed += 1;
                repeat += REPEAT.1;
            }
            events.push((at + hold, key, false));
            last = Some((key, at + hold));
            if is_capital {
                events.push((at + hold + 20, K::LEFT_SHIFT, false));
            }
            at += if is_capital || is_held { hold + 60 } else { dice.roll(50, 200) };
        }
        events.sort_by_key(|(at, ..)| *at);
        let mut sheet = Sheet::new();
        for (_, key, is_down) in &events {
            if *is_down { sheet.press(*key) } else { sheet.release(*key) }
        }
        let code = |key| {
            let position = POSITIONS.iter().find(|p| p.function == Function::Key(key));
            position.and_then(|p| p.code(Numbering::Windows)).unwrap()
        };
        let strokes = events.into_iter().map(|(at, key, is_down)| Stroke {
            at: Duration::from_millis(at),
            code: code(key),
            is_down,
        });
        Self { strokes: strokes.collect(), meant: sheet.text }
    }
}

/// The kernel's keyboard as evdev shows it. The newest pressed key repeats until any key goes up (Linux,
/// `drivers/input/input.c`: 250 ms, then each 33 ms).
pub struct Evdev {
    pub sheet: Sheet,
    down: Vec<K>,
    repeats: Option<(K, Instant)>,
    /// How often a key repeated.
    pub repeated: usize,
}

impl Evdev {
    pub fn new() -> Self {
        Self { sheet: Sheet::new(), down: vec![], repeats: None, repeated: 0 }
    }

    /// A report of the boot keyboard.
    pub fn take(&mut self, report: &[u8], now: Instant) {
        self.pass(now);
        let modifiers = (0..8).filter(|bit| report[0] >> bit & 1 != 0).map(|bit| K(0xE0 + bit));
        let keys = report[2..].iter().filter(|usage| **usage > 3).map(|usage| K(*usage));
        let is_down: Vec<K> = modifiers.chain(keys).collect();
        for gone in self.down.iter().filter(|key| !is_down.contains(key)) {
            self.sheet.release(*gone);
            self.repeats = None;
        }
        for new in is_down.iter().filter(|key| !self.down.contains(key)) {
            self.sheet.press(*new);
            self.repeats = Some((*new, now + Duration::from_millis(250)));
        }
        self.down = is_down;
    }

    /// Time goes by.
    pub fn pass(&mut self, now: Instant) {
        while let Some((key, at)) = self.repeats.filter(|(_, at)| *at <= now) {
            if !key.is_modifier() {
                self.sheet.press(key);
                self.repeated += 1;
            }
            self.repeats = Some((key, at + Duration::from_millis(33)));
        }
    }
}

#[test]
fn a_late_release_repeats_a_key() {
    let start = Instant::now();
    let ms = |n| start + Duration::from_millis(n);
    let mut evdev = Evdev::new();
    evdev.take(&[2, 0, 4, 0, 0, 0, 0, 0], ms(0));
    evdev.take(&[0, 0, 4, 0, 0, 0, 0, 0], ms(10));
    evdev.take(&[0; 8], ms(600));
    assert_eq!(evdev.sheet.text, "A", "a release stops all repeats");
    evdev.take(&[0, 0, 4, 0, 0, 0, 0, 0], ms(1000));
    evdev.take(&[0; 8], ms(1249));
    assert_eq!(evdev.sheet.text, "Aa");
    evdev.take(&[0, 0, 4, 0, 0, 0, 0, 0], ms(2000));
    evdev.take(&[0; 8], ms(2283));
    evdev.pass(ms(9000));
    assert_eq!((evdev.sheet.text.as_str(), evdev.repeated), ("Aaaaa", 2));
}
