//! Typed text, from characters to reports, read back as a target does it: usages become evdev codes, and these become
//! characters through xkbcommon with the same layout and libX11's compositions.

use std::collections::BTreeSet;

use xkbcommon::xkb::{self, compose};

use crate::input::keymap::{Function, Numbering, POSITIONS};

use super::*;

/// A target with a keyboard layout.
struct Target {
    state: xkb::State,
    compose: compose::State,
    down: BTreeSet<u32>,
    text: String,
}

/// The X11 code of a usage.
fn code(usage: u8) -> u32 {
    let key = Function::Key(KeyUsage(usage));
    POSITIONS.iter().find(|p| p.function == key).and_then(|p| p.code(Numbering::Linux)).unwrap()
}

impl Target {
    /// `None` if xkeyboard-config or libX11's compositions are not installed.
    fn new(name: &str) -> Option<Self> {
        let (layout, variant) = match name {
            "us-intl" => ("us", "intl"),
            "dvorak" => ("us", "dvorak"),
            name => (name, ""),
        };
        let table = std::fs::read("/usr/share/X11/locale/en_US.UTF-8/Compose").ok()?;
        let context = xkb::Context::new(xkb::CONTEXT_NO_FLAGS);
        let flags = xkb::KEYMAP_COMPILE_NO_FLAGS;
        let keymap = xkb::Keymap::new_from_names(&context, "evdev", "pc105", layout, variant, None, flags)?;
        let locale = "en_US.UTF-8";
        let (format, flags) = (compose::FORMAT_TEXT_V1, compose::COMPILE_NO_FLAGS);
        let table = compose::Table::new_from_buffer(&context, table, locale, format, flags).ok()?;
        Some(Self {
            state: xkb::State::new(&keymap),
            compose: compose::State::new(&table, compose::STATE_NO_FLAGS),
            down: BTreeSet::new(),
            text: String::new(),
        })
    }

    /// Every printable character that some key types alone, with Shift, with AltGr or with both.
    fn characters(&self) -> BTreeSet<char> {
        let keymap = self.state.get_keymap();
        let mut all = BTreeSet::new();
        for with in [&[][..], &[0xE1], &[0xE6], &[0xE1, 0xE6]] {
            let mut state = xkb::State::new(&keymap);
            for modifier in with {
                state.update_key(code(*modifier).into(), xkb::KeyDirection::Down);
            }
            for code in POSITIONS.iter().filter_map(|p| p.code(Numbering::Linux)) {
                let text = state.key_get_utf8(code.into());
                all.extend(text.chars().filter(|c| !c.is_control()));
            }
        }
        all
    }

    /// One boot keyboard report, its modifiers first as the kernel reads it.
    fn take(&mut self, report: &str) {
        let bytes: Vec<u8> = (0..report.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&report[at..at + 2], 16).unwrap())
            .collect();
        let modifiers = (0..8).filter(|bit| bytes[0] & (1 << bit) != 0).map(|bit| code(0xE0 + bit));
        let keys = bytes[2..].iter().filter(|usage| **usage != 0).map(|usage| code(*usage));
        let (modifiers, keys): (BTreeSet<u32>, BTreeSet<u32>) = (modifiers.collect(), keys.collect());
        let now: BTreeSet<u32> = modifiers.union(&keys).copied().collect();
        let lifted: Vec<u32> = self.down.difference(&now).copied().collect();
        for key in lifted {
            self.state.update_key(key.into(), xkb::KeyDirection::Up);
        }
        for key in modifiers.difference(&self.down).chain(keys.difference(&self.down)) {
            let sym = self.state.key_get_one_sym((*key).into());
            if !modifiers.contains(key) {
                self.compose.feed(sym);
                match self.compose.status() {
                    compose::Status::Nothing => {
                        self.text.push_str(&xkb::keysym_to_utf8(sym).replace('\0', ""))
                    }
                    compose::Status::Composing => {}
                    compose::Status::Composed => {
                        self.text.push_str(&self.compose.utf8().unwrap_or_default());
                        self.compose.reset();
                    }
                    compose::Status::Cancelled => {
                        self.text.push_str("<cancelled>");
                        self.compose.reset();
                    }
                }
            }
            self.state.update_key((*key).into(), xkb::KeyDirection::Down);
        }
        self.down = now;
    }

    fn has_caps_lock(&self) -> bool {
        self.state.mod_name_is_active(xkb::MOD_NAME_CAPS, xkb::STATE_MODS_LOCKED)
    }
}

/// Types a text at a target whose Caps Lock is as told, with or without LED reports that tell what happens.
fn read_back(
    layout: &str,
    mut target: Target,
    text: &str,
    is_caps_lock: bool,
    has_live_leds: bool,
) -> String {
    let mut sim = Sim::typing(layout, UnicodeEntry::Off);
    if is_caps_lock {
        // Japan's keyboards want Shift for Caps Lock.
        let report = if layout == "jp" { "0200390000000000" } else { "0000390000000000" };
        target.take(report);
        target.take("0000000000000000");
        assert!(target.has_caps_lock());
    }
    sim.engine.set_leds(LedState { is_caps_lock, ..LedState::default() });
    sim.send(A, [InputEvent::Text(text.into())]);
    let mut read = 0;
    while sim.engine.sessions[&A].has_work() {
        sim.run(4);
        for at in read..sim.log.len() {
            target.take(&sim.log[at].2);
            let leds = LedState { is_caps_lock: target.has_caps_lock(), ..LedState::default() };
            if has_live_leds {
                sim.engine.set_leds(leds);
            }
        }
        read = sim.log.len();
        assert!(sim.now - sim.start < Duration::from_secs(600));
    }
    sim.run(100);
    for at in read..sim.log.len() {
        target.take(&sim.log[at].2);
    }
    assert!(target.down.is_empty(), "{layout}: everything is up in the end");
    assert_eq!(target.has_caps_lock(), is_caps_lock, "{layout}: Caps Lock is as it was");
    let typist = Typist::new(Layout::by_name(layout).unwrap(), UnicodeEntry::Off);
    let left_out: String = text.chars().filter(|c| typist.chords(*c, false).is_none()).collect();
    assert_eq!(left_out, "", "{layout}: nothing is left out");
    assert_eq!(sim.engine.health.characters_not_typed, 0, "{layout}");
    target.text
}

#[test]
fn every_character_of_every_layout_comes_out_as_itself() {
    let mut count = 0;
    for name in Layout::names() {
        let Some(target) = Target::new(name) else {
            println!("skipped: xkb-data or libx11-data is not installed");
            return;
        };
        let mut characters = target.characters();
        characters.extend(Layout::by_name(name).unwrap().characters());
        count += characters.len();
        let text: String = characters.into_iter().collect();
        for (is_caps_lock, has_live_leds) in [(false, true), (true, false), (true, true)] {
            let target = Target::new(name).unwrap();
            let got = read_back(name, target, &text, is_caps_lock, has_live_leds);
            let differs = got.chars().zip(text.chars()).find(|(got, meant)| got != meant);
            assert_eq!(got, text, "{name}, Caps Lock {is_caps_lock}: (got, meant) {differs:?}");
        }
    }
    println!("{count} characters of {} layouts", Layout::names().len());
    assert!(count > 24 * 95);
}
