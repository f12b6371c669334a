use super::*;

const ALL: [Numbering; 3] = [Numbering::Windows, Numbering::Linux, Numbering::MacOs];

fn key(usage: KeyUsage) -> Option<Function> {
    Some(Function::Key(usage))
}

#[test]
fn every_row_is_found_by_every_numbering_that_has_it() {
    for p in POSITIONS {
        for numbering in ALL {
            if let Some(code) =
                p.code(numbering).filter(|_| p.name != "Lang5" || numbering != Numbering::Windows)
            {
                assert_eq!(find(numbering, code), Some(p.function), "{} in {numbering:?}", p.name);
            }
        }
    }
    assert_eq!(find(Numbering::Windows, 0x76), key(KeyUsage::F24), "shared with Lang5");
    let count = |n| POSITIONS.iter().filter(|p| p.code(n).is_some()).count();
    // The reference has 132, 132 and 119 of them, the others are the raw keys of a controller on the same platform.
    assert_eq!(ALL.map(count), [132 + 23, 132 + 38, 119]);
}

/// What a keyboard of any country has: the main block with both ISO keys, Japanese and Brazilian keys, the keypad.
#[test]
fn no_key_of_a_keyboard_is_missing() {
    let has = |numbering, usage| {
        POSITIONS.iter().any(|p| p.code(numbering).is_some() && p.function == Function::Key(KeyUsage(usage)))
    };
    let pc = (0x04..=0x65).chain(0x67..=0x73).chain([0x85, 0x87, 0x88, 0x89, 0x8A, 0x8B]).chain(0x90..=0x94);
    for usage in pc.chain(0xE0..=0xE7) {
        // The ISO key beside Enter has the code of the US backslash; Pause comes from Windows with Control only.
        let is_shared = usage == 0x32;
        for numbering in [Numbering::Windows, Numbering::Linux] {
            assert!(has(numbering, usage) || is_shared, "{usage:02x} in {numbering:?}");
        }
        let is_pc_only = matches!(usage, 0x32 | 0x46..=0x48 | 0x70..=0x73 | 0x88 | 0x8A | 0x8B | 0x92..=0x94);
        assert_eq!(has(Numbering::MacOs, usage), !is_pc_only, "{usage:02x} on macOS");
    }
}

#[test]
fn the_codes_that_were_observed() {
    for (windows, linux, mac, usage) in [
        (30, 38, 0, KeyUsage::A),
        (42, 50, 56, KeyUsage::LEFT_SHIFT),
        (28, 36, 36, KeyUsage::RETURN_ENTER),
        (57421, 114, 124, KeyUsage::RIGHT_ARROW),
    ] {
        for (numbering, code) in ALL.into_iter().zip([windows, linux, mac]) {
            assert_eq!(find(numbering, code), key(usage));
        }
    }
    for nothing in [0x1FF, 0xE1_1D, u32::from(NO), u32::MAX] {
        assert_eq!(ALL.map(|n| find(n, nothing)), [None; 3]);
    }
    assert_eq!(find(Numbering::Windows, 0), None);
    assert_eq!(find(Numbering::Linux, 0), None);
    assert_eq!(find(Numbering::Linux, 172), Some(Function::Consumer(ConsumerUsage(0xCD))));
    assert_eq!(find(Numbering::Windows, 0xE05F), Some(Function::System(SystemUsage::Sleep)));
}

#[test]
fn virtual_keys_and_characters() {
    assert_eq!(from_virtual_key(0x43), key(KeyUsage::C));
    assert_eq!(from_virtual_key(0x30), key(KeyUsage::DIGIT_0));
    assert_eq!(from_virtual_key(0x7B), key(KeyUsage::F12));
    assert_eq!(from_virtual_key(0x87), key(KeyUsage::F24));
    assert_eq!(from_virtual_key(0xBE), key(KeyUsage::PERIOD));
    assert_eq!(from_virtual_key(0xAD), Some(Function::Consumer(ConsumerUsage(0xE2))));
    assert_eq!(from_virtual_key(0xB7), Some(Function::Consumer(ConsumerUsage(0x192))));
    assert_eq!(from_virtual_key(0x1234), None);
    assert_eq!(us_key('c'), Some(KeyUsage::C));
    assert_eq!(us_key('C'), Some(KeyUsage::C));
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
