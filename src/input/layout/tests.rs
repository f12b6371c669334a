use super::*;

fn stroke(layout: &Layout, c: char, is_caps_lock: bool) -> Vec<(Vec<u8>, u8)> {
    let chords = layout.chords(c, is_caps_lock).unwrap_or_default();
    chords.iter().map(|c| (c.held.iter().map(|k| k.0).collect(), c.keys[0].0)).collect()
}

const SHIFT: u8 = 0xE1;
const ALT_GR: u8 = 0xE6;

#[test]
fn every_line_of_the_data_is_understood() {
    for (name, data) in LAYOUTS {
        for line in data_lines(data) {
            let strokes = key_line(line).unwrap_or_else(|| panic!("{name}: {line}"));
            assert!(!strokes.is_empty() && strokes.len() <= 4, "{name}: {line}");
        }
        let layout = Layout::by_name(name).unwrap();
        assert!(layout.characters().len() > 90, "{name}");
    }
    for line in data_lines(COMPOSITIONS) {
        assert!(composition_line(line).is_some(), "{line}");
    }
}

#[test]
fn us_types_exactly_printable_ascii_each_by_its_own_stroke() {
    let us = Layout::by_name("us").unwrap();
    let characters = us.characters();
    assert_eq!(characters, (' '..='~').collect::<Vec<_>>());
    let mut strokes: Vec<_> = characters.iter().map(|c| stroke(&us, *c, false)).collect();
    strokes.sort();
    strokes.dedup();
    assert_eq!(strokes.len(), 95);
    assert_eq!(stroke(&us, 'a', false), [(vec![], 0x04)]);
    assert_eq!(stroke(&us, 'Z', false), [(vec![SHIFT], 0x1D)]);
    assert_eq!(stroke(&us, '_', false), [(vec![SHIFT], 0x2D)]);
    assert_eq!(stroke(&us, '\\', false), [(vec![], 0x31)]);
    assert_eq!(stroke(&us, '<', false), [(vec![SHIFT], 0x36)], "US keyboards have no ISO key");
    assert_eq!(stroke(&us, '>', false), [(vec![SHIFT], 0x37)]);
    assert_eq!(stroke(&us, '\t', false), [(vec![], 0x2B)]);
    assert_eq!(us.chords('é', false), None);
}

#[test]
fn layouts_differ_as_their_keyboards_do() {
    let of = |name, c| stroke(&Layout::by_name(name).unwrap(), c, false);
    assert_eq!(of("de", 'z'), [(vec![], 0x1C)]);
    assert_eq!(of("de", '@'), [(vec![ALT_GR], 0x14)]);
    assert_eq!(of("de", '<'), [(vec![], 0x64)]);
    assert_eq!(of("pl", '<'), [(vec![SHIFT], 0x36)]);
    assert_eq!(of("gb", '|'), [(vec![SHIFT], 0x64)]);
    assert_eq!(of("cz", '\\'), [(vec![], 0x64)]);
    assert_eq!(of("fr", 'a'), [(vec![], 0x14)]);
    assert_eq!(of("fr", '1'), [(vec![SHIFT], 0x1E)]);
    assert_eq!(of("es", 'ñ'), [(vec![], 0x33)]);
    assert_eq!(of("es", 'á'), [(vec![], 0x34), (vec![], 0x04)]);
    assert_eq!(of("us-intl", '\''), [(vec![], 0x34), (vec![], 0x2C)]);
    assert_eq!(of("ru", 'Я'), [(vec![SHIFT], 0x1D)]);
    assert_eq!(of("ru", 'z'), []);
    assert_eq!(of("dvorak", 'o'), [(vec![], 0x16)]);
}

#[test]
fn caps_lock_turns_shift_round_where_it_does_on_the_target() {
    let us = Layout::by_name("us").unwrap();
    assert_eq!(stroke(&us, 'a', true), [(vec![SHIFT], 0x04)]);
    assert_eq!(stroke(&us, 'A', true), [(vec![], 0x04)]);
    assert_eq!(stroke(&us, '!', true), [(vec![SHIFT], 0x1E)]);
}

#[test]
fn line_ends_are_one_character_each() {
    let mut text = "a\r\n\n\ré";
    let mut got = vec![];
    while let Some((c, rest)) = next_character(text) {
        got.push(c);
        text = rest;
    }
    assert_eq!(got, ['a', '\n', '\n', '\r', 'é']);
}

#[test]
fn an_unknown_name_is_answered_with_what_exists() {
    let text = Layout::by_name("xx").unwrap_err().to_string();
    assert!(text.starts_with("there is no keyboard layout \"xx\"; there is: us, gb, de,"), "{text}");
}
