//! The generator of `src/input/layouts`: reads xkeyboard-config and libX11's compositions through xkbcommon, and
//! proves that what is committed is what it makes. Another version of either makes other data: then it says so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use kvmdesk::input::keymap::{Function, Numbering, POSITIONS};
use kvmdesk::input::layout::Layout;
use kvmdesk::input::usage::KeyUsage;
use xkbcommon::xkb::{self, Keysym, compose};

/// Our names that are not simply xkeyboard-config's layout, with its layout and variant.
const NAMES: &[(&str, &str, &str)] = &[("us-intl", "us", "intl"), ("dvorak", "us", "dvorak")];
/// Keys that type, by usage: letters, digits, Space and signs, the keypad's signs (Num Lock leaves them alone), the
/// ISO key, and the two more of Japan and Brazil.
const KEYS: &[std::ops::RangeInclusive<u8>] =
    &[0x04..=0x27, 0x2C..=0x31, 0x33..=0x38, 0x54..=0x57, 0x64..=0x64, 0x87..=0x87, 0x89..=0x89];
/// The X11 code of a key.
fn code(usage: u8) -> u32 {
    let key = Function::Key(KeyUsage(usage));
    POSITIONS.iter().find(|p| p.function == key).and_then(|p| p.code(Numbering::Linux)).unwrap()
}

const COMPOSE: &str = "/usr/share/X11/locale/en_US.UTF-8/Compose";
const VERSION: &str = "/usr/share/pkgconfig/xkeyboard-config.pc";
/// Left Shift, AltGr and Caps Lock in X11 numbers.
const SHIFT: u32 = 50;
const ALT_GR: u32 = 108;
const CAPS_LOCK: u32 = 66;

/// What composition tables of locales and of Windows see differently: c with acute, or with cedilla.
const DISPUTED: &[(&str, char)] = &[("dead_acute", 'c'), ("dead_acute", 'C')];

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/input/layouts")
}

/// xkeyboard-config's layout and variant for one of our names.
fn source(name: &str) -> (&str, &str) {
    NAMES.iter().find(|(ours, ..)| *ours == name).map_or((name, ""), |(_, layout, variant)| (layout, variant))
}

fn keymap(name: &str) -> xkb::Keymap {
    let (layout, variant) = source(name);
    let context = xkb::Context::new(xkb::CONTEXT_NO_FLAGS);
    xkb::Keymap::new_from_names(
        &context,
        "evdev",
        "pc105",
        layout,
        variant,
        None,
        xkb::KEYMAP_COMPILE_NO_FLAGS,
    )
    .unwrap_or_else(|| panic!("xkeyboard-config has no layout {layout}({variant})"))
}

/// What a key types while some keys are down, with Caps Lock on or off.
fn types(keymap: &xkb::Keymap, key: u32, with: &[u32], is_caps_lock: bool) -> Keysym {
    let mut state = xkb::State::new(keymap);
    if is_caps_lock {
        // Japan's keyboards want Shift for it.
        for keys in [&[CAPS_LOCK][..], &[SHIFT, CAPS_LOCK]] {
            if !state.mod_name_is_active(xkb::MOD_NAME_CAPS, xkb::STATE_MODS_LOCKED) {
                for &key in keys {
                    state.update_key(key.into(), xkb::KeyDirection::Down);
                }
                for &key in keys {
                    state.update_key(key.into(), xkb::KeyDirection::Up);
                }
            }
        }
        assert!(state.mod_name_is_active(xkb::MOD_NAME_CAPS, xkb::STATE_MODS_LOCKED));
    }
    for &modifier in with {
        state.update_key(modifier.into(), xkb::KeyDirection::Down);
    }
    state.key_get_one_sym(key.into())
}

/// A keysym as it stands in the data.
fn word(sym: Keysym) -> String {
    let name = xkb::keysym_get_name(sym);
    match char::from_u32(xkb::keysym_to_utf32(sym)) {
        _ if name.starts_with("dead_") => name,
        Some(c) if !c.is_control() => char_word(c),
        _ => "none".to_owned(),
    }
}

fn char_word(c: char) -> String {
    // Blanks and what joins the character before it are unreadable as themselves.
    if c.is_whitespace() || (!c.is_alphanumeric() && !c.is_ascii() && !is_sign(c)) {
        format!("U+{:04X}", c as u32)
    } else {
        c.to_string()
    }
}

/// Signs that stand for themselves; others may be invisible or join the character before them.
fn is_sign(c: char) -> bool {
    matches!(c, '\u{a1}'..='\u{ac}' | '\u{ae}'..='\u{bf}' | '×' | '÷' | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}'
        | '\u{20a0}'..='\u{20c0}' | '\u{2100}'..='\u{23ff}' | '\u{2600}'..='\u{27bf}' | '\u{2c2}'..='\u{2df}')
}

/// The data of one layout.
fn layout_text(name: &str, version: &str) -> String {
    let keymap = keymap(name);
    let (layout, variant) = source(name);
    let variant = if variant.is_empty() { String::new() } else { format!("({variant})") };
    let mut text = format!(
        "# Keyboard layout {name}, made by generate.sh from {layout}{variant} of xkeyboard-config {version}.\n\
         # Key, Caps Lock's effect a level (x: turns Shift round, !: types something else), then what it types alone,\n\
         # with Shift, with AltGr, with both.\n"
    );
    let levels: [&[u32]; 4] = [&[], &[SHIFT], &[ALT_GR], &[SHIFT, ALT_GR]];
    for usage in KEYS.iter().cloned().flatten() {
        let key = code(usage);
        let syms = levels.map(|with| types(&keymap, key, with, false));
        let capped = levels.map(|with| types(&keymap, key, with, true));
        let mut words: Vec<String> = syms.iter().map(|sym| word(*sym)).collect();
        // Without a third level, AltGr types what the key types anyway.
        if syms[2] == syms[0] && syms[3] == syms[1] {
            words.truncate(2);
        }
        while words.last().is_some_and(|last| last == "none") {
            words.pop();
        }
        let caps: String = (0..words.len())
            .map(|at| match syms[at] {
                sym if words[at] == "none" || word(capped[at]) == word(sym) => '-',
                sym if word(capped[at ^ 1]) == word(sym) => 'x',
                _ => '!',
            })
            .collect();
        if !words.is_empty() {
            writeln!(text, "{usage:02x} {caps} {}", words.join(" ")).unwrap();
        }
    }
    text
}

/// What the dead keys of all layouts make of the keys of the layouts that have them.
fn compose_text(version: &str) -> String {
    let context = xkb::Context::new(xkb::CONTEXT_NO_FLAGS);
    let table = std::fs::read(COMPOSE).unwrap();
    let table = compose::Table::new_from_buffer(
        &context,
        table,
        "en_US.UTF-8",
        compose::FORMAT_TEXT_V1,
        compose::COMPILE_NO_FLAGS,
    )
    .unwrap();
    let mut syms: BTreeMap<String, Keysym> = BTreeMap::new();
    let mut pairs: BTreeSet<(String, String)> = BTreeSet::new();
    for name in Layout::names() {
        let keymap = keymap(name);
        let mut own = BTreeSet::new();
        for usage in KEYS.iter().cloned().flatten() {
            let key = code(usage);
            for with in [&[][..], &[SHIFT], &[ALT_GR], &[SHIFT, ALT_GR]] {
                let sym = types(&keymap, key, with, false);
                if word(sym) != "none" {
                    own.insert(word(sym));
                    syms.insert(word(sym), sym);
                }
            }
        }
        let deads: Vec<&String> = own.iter().filter(|w| w.starts_with("dead_")).collect();
        for dead in &deads {
            let bases = own.iter().filter(|w| !w.starts_with("dead_") || w == dead);
            pairs.extend(bases.map(|base| ((*dead).clone(), base.clone())));
        }
    }
    let mut lines: Vec<(bool, String, String, String)> = vec![];
    for (dead, base) in pairs {
        let mut state = compose::State::new(&table, compose::STATE_NO_FLAGS);
        state.feed(syms[&dead]);
        state.feed(syms[&base]);
        let Some(made) = state.utf8().filter(|_| state.status() == compose::Status::Composed) else {
            continue;
        };
        let mut made = made.chars();
        let (Some(c), None) = (made.next(), made.next()) else { continue };
        let is_disputed = DISPUTED.iter().any(|(d, b)| *d == dead && b.to_string() == base);
        if !c.is_control() && !is_disputed {
            lines.push((base.starts_with("dead_"), dead, base, char_word(c)));
        }
    }
    // A dead key twice comes last: systems differ in whether it types its sign once or twice.
    lines.sort();
    let mut text = format!(
        "# What dead keys make of the next key, made by generate.sh from libX11's en_US.UTF-8 ({version}) for the\n\
         # layouts beside it: dead key, next key, result.\n"
    );
    for (_, dead, base, made) in lines {
        writeln!(text, "{dead} {base} {made}").unwrap();
    }
    text
}

/// Versions of xkeyboard-config and of the compositions (length and FNV-1a of the file); `None` if not installed.
fn versions() -> Option<(String, String)> {
    let version = std::fs::read_to_string(VERSION).ok()?;
    let version = version.lines().find_map(|line| line.strip_prefix("Version: "))?.to_owned();
    let table = std::fs::read(COMPOSE).ok()?;
    let hash = table
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3));
    Some((version, format!("{} bytes, FNV-1a {hash:016x}", table.len())))
}

#[test]
fn the_committed_layouts_are_what_the_generator_makes() {
    let Some((version, compose_version)) = versions() else {
        println!("skipped: xkb-data or libx11-data is not installed");
        return;
    };
    let is_writing = std::env::var_os("KVMDESK_WRITE_LAYOUTS").is_some();
    let compare = |file: &str, version: &str, make: &dyn Fn() -> String| {
        let path = directory().join(file);
        let committed = std::fs::read_to_string(&path).unwrap();
        if is_writing {
            std::fs::write(&path, make()).unwrap();
        } else if committed.lines().next().is_some_and(|line| line.contains(version)) {
            assert_eq!(committed, make(), "{file} is not what the generator makes");
        } else {
            println!("skipped: {file} was made from another version than the installed one ({version})");
        }
    };
    for name in Layout::names() {
        compare(&format!("{name}.txt"), &format!("xkeyboard-config {version}."), &|| {
            layout_text(name, &version)
        });
    }
    compare("compose.txt", &compose_version, &|| compose_text(&compose_version));
}
