use super::*;
use crate::crypto::identity::IdentityKeyPair;
use crate::input::usage::{ConsumerUsage, SystemUsage};
use crate::peer::types::{BadLink, KeyboardSettings, LocalPointer};
use ControlKey as C;
use InputEvent::Text;
use KeyUsage as K;

const CTRL: i32 = C::Control as i32;
const SHIFT: i32 = C::Shift as i32;
const ALT: i32 = C::Alt as i32;
const CAPS: i32 = C::CapsLock as i32;
const NUM: i32 = C::NumLock as i32;

struct Phone {
    keys: Keys,
    hands: Hands,
}

fn on(announce: AnnouncedPlatform, platform: &str) -> Phone {
    typing(announce, platform, "us")
}

fn typing(announce: AnnouncedPlatform, platform: &str, layout: &str) -> Phone {
    let settings = PeerSettings {
        id: "123456789".parse().unwrap(),
        salt: String::new(),
        identity: IdentityKeyPair::from_seed(&[1; 32]),
        is_encryption_required: true,
        is_direct_plaintext_allowed: false,
        announce,
        os: TargetOs::Windows,
        hostname: String::new(),
        username: String::new(),
        local_pointer: LocalPointer::Auto,
        keyboard: KeyboardSettings { layout: Layout::by_name(layout).unwrap(), bad_link: BadLink::Auto },
    };
    Phone { keys: Keys::new(&settings, platform), hands: Hands::default() }
}

fn windows() -> Phone {
    on(AnnouncedPlatform::Windows, "Windows")
}

impl Phone {
    fn send(&mut self, mode: KeyboardMode, motion: &str, union: Union, modifiers: &[i32]) -> Vec<InputEvent> {
        let event = hbb::KeyEvent {
            down: motion == "down",
            press: motion == "press",
            modifiers: modifiers.to_vec(),
            mode: mode.into(),
            union: Some(union),
        };
        self.keys.handle(&event, &mut self.hands);
        self.hands.take()
    }
    fn map(&mut self, motion: &str, code: u32, modifiers: &[i32]) -> Vec<InputEvent> {
        self.send(KeyboardMode::Map, motion, Union::Chr(code), modifiers)
    }
    fn translate(&mut self, motion: &str, union: Union) -> Vec<InputEvent> {
        self.send(KeyboardMode::Translate, motion, union, &[])
    }
    fn legacy(&mut self, motion: &str, union: Union, modifiers: &[i32]) -> Vec<InputEvent> {
        self.send(KeyboardMode::Legacy, motion, union, modifiers)
    }
    fn named(&mut self, motion: &str, key: C, modifiers: &[i32]) -> Vec<InputEvent> {
        self.legacy(motion, Union::ControlKey(key.into()), modifiers)
    }
}

fn down(usage: K) -> InputEvent {
    InputEvent::Key { usage, is_down: true }
}
fn up(usage: K) -> InputEvent {
    InputEvent::Key { usage, is_down: false }
}
fn tap(usage: K, modifiers: &[K]) -> InputEvent {
    InputEvent::Tap { usage, modifiers: modifiers.to_vec() }
}
fn lock(lock: LockKey, is_on: bool) -> InputEvent {
    InputEvent::Lock { lock, is_on }
}
fn text(t: &str) -> InputEvent {
    Text(t.into())
}
fn chr(c: char) -> Union {
    Union::Chr(c as u32)
}

#[test]
fn every_position_of_every_numbering_does_what_its_key_does_from_every_app() {
    let platforms = [
        (AnnouncedPlatform::Windows, Numbering::Windows),
        (AnnouncedPlatform::Linux, Numbering::Linux),
        (AnnouncedPlatform::MacOs, Numbering::MacOs),
    ];
    for (announce, numbering) in platforms {
        for app in ["Windows", "Linux", "Mac OS", "Android", "iOS"] {
            let mut phone = on(announce, app);
            for p in keymap::POSITIONS {
                let Some(code) = p.code(numbering).filter(|_| p.name != "Lang5") else { continue };
                for mode in [KeyboardMode::Map, KeyboardMode::Translate] {
                    let pressed = phone.send(mode, "down", Union::Chr(code), &[]);
                    let released = phone.send(mode, "up", Union::Chr(code), &[]);
                    let (want, then) = match p.function {
                        Function::Key(usage) => (down(usage), vec![up(usage)]),
                        Function::Consumer(usage) => (InputEvent::Consumer(usage), vec![]),
                        Function::System(usage) => (InputEvent::System(usage), vec![]),
                    };
                    assert_eq!(
                        (pressed.last(), released),
                        (Some(&want), then),
                        "{} {announce:?} {app}",
                        p.name
                    );
                }
            }
        }
    }
}

#[test]
fn repeats_are_swallowed_and_stray_ups_are_nothing() {
    let mut phone = windows();
    assert_eq!(phone.map("down", 28, &[]), [down(K::RETURN_ENTER)]);
    assert_eq!(phone.map("down", 28, &[]), []);
    assert_eq!(phone.map("up", 28, &[]), [up(K::RETURN_ENTER)]);
    assert_eq!(phone.map("up", 28, &[]), []);
    assert_eq!(phone.map("down", 0x7FFF, &[]), []);
    assert_eq!(phone.map("press", 28, &[]), [tap(K::RETURN_ENTER, &[])]);
    phone.map("down", 42, &[]);
    phone.map("down", 28, &[]);
    phone.hands.release_all();
    assert_eq!(phone.hands.take(), [InputEvent::ReleaseAll]);
    assert_eq!(phone.map("down", 28, &[]), [down(K::RETURN_ENTER)], "a later repeat presses again");
    assert_eq!(phone.map("up", 42, &[]), [], "the modifier stayed up");
}

#[test]
fn locks_follow_only_the_keys_that_tell_them() {
    let mut phone = windows();
    assert_eq!(phone.map("down", 30, &[CAPS]), [lock(LockKey::CapsLock, true), down(K::A)]);
    assert_eq!(phone.map("down", 30, &[]), []);
    assert_eq!(phone.map("press", 0x27, &[]), [lock(LockKey::CapsLock, false), tap(K::SEMICOLON, &[])]);
    assert_eq!(phone.map("press", 0x02, &[CAPS]), [tap(K::DIGIT_1, &[])]);
    assert_eq!(phone.map("press", 0x4F, &[NUM]), [lock(LockKey::NumLock, true), tap(K::KEYPAD_1, &[])]);
    assert_eq!(
        phone.translate("press", Union::Chr(0x4F)),
        [lock(LockKey::NumLock, false), tap(K::KEYPAD_1, &[])]
    );
    assert_eq!(phone.translate("press", Union::Chr(30)), [tap(K::A, &[])], "Translate tells no Caps Lock");
    assert_eq!(
        phone.named("press", C::Numpad7, &[NUM]),
        [lock(LockKey::NumLock, true), tap(K::KEYPAD_7, &[])]
    );
    phone.map("down", 29, &[]);
    assert_eq!(phone.map("press", 0x2E, &[CAPS]), [tap(K::C, &[])], "Ctrl+C needs no Caps Lock");
    let mut ios = on(AnnouncedPlatform::Windows, "iOS");
    assert_eq!(ios.map("press", 0x4F, &[]), [tap(K::KEYPAD_1, &[])], "iOS never lists Num Lock");
}

#[test]
fn a_scripted_phone() {
    let mut phone = on(AnnouncedPlatform::Windows, "Android");
    assert_eq!(phone.legacy("press", chr('A'), &[]), [text("A")], "a capital without Shift");
    assert_eq!(phone.legacy("press", chr('é'), &[]), [text("é")]);
    assert_eq!(phone.legacy("press", chr('c'), &[CTRL]), [tap(K::C, &[K::LEFT_CONTROL])]);
    assert_eq!(
        phone.legacy("press", chr('C'), &[CTRL, SHIFT]),
        [tap(K::C, &[K::LEFT_CONTROL, K::LEFT_SHIFT])]
    );
    assert_eq!(phone.named("press", C::Backspace, &[]), [tap(K::BACKSPACE, &[])]);
    assert_eq!(phone.legacy("", Union::Seq("héllo\r\n".into()), &[]), [text("héllo\r\n")], "no flags at all");
    assert_eq!(phone.legacy("press", Union::Seq("()".into()), &[]), [text("()")]);
    assert_eq!(phone.legacy("down", Union::Unicode('ß' as u32), &[]), [text("ß")]);
    assert_eq!(
        phone.named("press", C::F4, &[ALT]),
        [tap(K::F4, &[K::LEFT_ALT])],
        "the key bar: a click with chosen modifiers"
    );
    assert_eq!(
        phone.named("press", C::Delete, &[CTRL, ALT, CAPS, ALT]),
        [tap(K::DELETE_FORWARD, &[K::LEFT_CONTROL, K::LEFT_ALT])],
        "lock keys are never pressed from the list"
    );
    assert!(!phone.hands.holds_anything());
}

#[test]
fn legacy_desktop_keys() {
    let mut desktop = windows();
    assert_eq!(desktop.named("down", C::Shift, &[]), [down(K::LEFT_SHIFT)]);
    assert_eq!(desktop.legacy("down", chr('B'), &[SHIFT]), [up(K::LEFT_SHIFT), text("B")]);
    assert_eq!(desktop.legacy("up", chr('b'), &[]), [], "ups may name another character");
    assert_eq!(
        desktop.named("down", C::LeftArrow, &[SHIFT]),
        [down(K::LEFT_SHIFT), down(K::LEFT_ARROW)],
        "Shift is still held for the next key"
    );
    assert_eq!(desktop.named("down", C::LeftArrow, &[SHIFT]), []);
    assert_eq!(desktop.named("up", C::LeftArrow, &[SHIFT]), [up(K::LEFT_ARROW)]);
    assert_eq!(desktop.named("down", C::Tab, &[]), [up(K::LEFT_SHIFT), down(K::TAB)], "held but not listed");
    assert_eq!(desktop.named("up", C::Shift, &[]), []);
    desktop.named("up", C::Tab, &[]);
    assert_eq!(desktop.named("down", C::Control, &[]), [down(K::LEFT_CONTROL)]);
    assert_eq!(desktop.legacy("down", chr('c'), &[CTRL]), [tap(K::C, &[])], "held already");
    assert_eq!(desktop.named("up", C::Control, &[]), [up(K::LEFT_CONTROL)]);
    assert_eq!(desktop.named("down", C::RAlt, &[]), [down(K::RIGHT_ALT)]);
    assert_eq!(
        desktop.legacy("down", chr('@'), &[ALT]),
        [up(K::RIGHT_ALT), text("@")],
        "AltGr makes characters"
    );
}

#[test]
fn translate_types_once_and_ignores_ups_of_keys_never_pressed() {
    let mut phone = windows();
    assert_eq!(phone.translate("down", Union::Seq("b".into())), [text("b")]);
    assert_eq!(phone.translate("up", Union::Chr(48)), []);
    assert_eq!(phone.map("down", 42, &[]), [down(K::LEFT_SHIFT)]);
    assert_eq!(phone.translate("down", Union::Seq("X".into())), [up(K::LEFT_SHIFT), text("X")]);
    assert_eq!(phone.translate("down", Union::Seq("Y".into())), [text("Y")]);
    assert_eq!(
        phone.translate("down", Union::Chr(0xE04D)),
        [down(K::LEFT_SHIFT), down(K::RIGHT_ARROW)],
        "Shift comes back for a position"
    );
    phone.translate("up", Union::Chr(0xE04D));
    assert_eq!(phone.map("up", 42, &[]), [up(K::LEFT_SHIFT)]);
    phone.translate("down", Union::Chr(29));
    assert_eq!(
        phone.translate("down", Union::Seq("c".into())),
        [tap(K::C, &[])],
        "Control is held: a hot key"
    );
    assert_eq!(phone.translate("down", Union::Seq("cd".into())), [up(K::LEFT_CONTROL), text("cd")]);
    assert_eq!(phone.translate("down", Union::Seq(String::new())), []);
}

#[test]
fn windows_hot_keys_go_by_the_virtual_key() {
    let mut phone = windows();
    phone.translate("down", Union::Chr(29));
    assert_eq!(phone.translate("down", Union::Win2winHotkey(0x43 << 16 | 3)), [down(K::C)]);
    assert_eq!(phone.translate("up", Union::Win2winHotkey(0x43 << 16)), [up(K::C)]);
    assert_eq!(phone.translate("down", Union::Win2winHotkey(0xFFFF_0000)), []);
}

#[test]
fn actions_and_single_clicks() {
    let mut phone = windows();
    let cad = [tap(K::DELETE_FORWARD, &[K::LEFT_CONTROL, K::LEFT_ALT])];
    assert_eq!(phone.named("down", C::CtrlAltDel, &[]), cad);
    assert_eq!(phone.named("up", C::CtrlAltDel, &[]), []);
    assert_eq!(
        phone.named("press", C::Delete, &[ALT, CTRL]),
        [tap(K::DELETE_FORWARD, &[K::LEFT_ALT, K::LEFT_CONTROL])]
    );
    assert_eq!(phone.named("down", C::LockScreen, &[]), [tap(K::L, &[K::LEFT_GUI])]);
    phone.keys.os = TargetOs::MacOs;
    assert_eq!(phone.named("down", C::LockScreen, &[]), [tap(K::Q, &[K::LEFT_CONTROL, K::LEFT_GUI])]);
    assert_eq!(phone.named("down", C::Pause, &[]), [down(K::PAUSE)]);
    assert_eq!(phone.named("down", C::VolumeUp, &[]), [InputEvent::Consumer(ConsumerUsage(0xE9))]);
    assert_eq!(phone.named("up", C::VolumeUp, &[]), []);
    assert_eq!(phone.map("down", 0xE020, &[]), [InputEvent::Consumer(ConsumerUsage(0xE2))]);
    assert_eq!(phone.map("up", 0xE020, &[]), []);
    let sleep = [InputEvent::System(SystemUsage::Sleep)];
    assert_eq!(phone.named("down", C::Sleep, &[]), sleep);
    assert_eq!(phone.named("down", C::Sleep, &[]), [], "a held power key acts once");
    assert_eq!(phone.named("up", C::Sleep, &[]), []);
    assert_eq!(phone.named("press", C::Sleep, &[]), sleep);
    assert_eq!(phone.map("down", 0xE05F, &[]), sleep);
    assert_eq!(phone.named("down", C::Junja, &[]), []);
}

/// Ctrl+Z on a German keyboard is where Y is on a US one; Ctrl+A on a French one where Q is.
#[test]
fn shortcuts_press_the_key_where_the_targets_layout_has_it() {
    let mut german = typing(AnnouncedPlatform::Windows, "Windows", "de");
    assert_eq!(german.legacy("press", chr('z'), &[CTRL]), [tap(K::Y, &[K::LEFT_CONTROL])]);
    assert_eq!(
        german.legacy("press", chr('Z'), &[CTRL, SHIFT]),
        [tap(K::Y, &[K::LEFT_CONTROL, K::LEFT_SHIFT])]
    );
    assert_eq!(german.legacy("press", chr('+'), &[CTRL]), [tap(K::RIGHT_BRACKET, &[K::LEFT_CONTROL])]);
    assert_eq!(
        german.legacy("press", chr('@'), &[CTRL]),
        [tap(K::Q, &[K::LEFT_CONTROL, K::RIGHT_ALT])],
        "not Ctrl+Q"
    );
    german.translate("down", Union::Chr(29));
    assert_eq!(german.translate("down", Union::Win2winHotkey(u32::from(b'Z') << 16 | 0x1A)), [down(K::Y)]);
    assert_eq!(german.translate("up", Union::Win2winHotkey(u32::from(b'Z') << 16)), [up(K::Y)]);
    assert_eq!(german.translate("down", Union::Win2winHotkey(0x31 << 16)), [down(K::DIGIT_1)]);
    assert_eq!(german.translate("down", Union::Seq("z".into())), [tap(K::Y, &[])]);
    let mut french = typing(AnnouncedPlatform::Linux, "Android", "fr");
    assert_eq!(french.legacy("press", chr('a'), &[CTRL]), [tap(K::Q, &[K::LEFT_CONTROL])]);
    assert_eq!(french.legacy("press", chr('\u{1}'), &[CTRL]), [tap(K::Q, &[K::LEFT_CONTROL])]);
    let mut russian = typing(AnnouncedPlatform::Linux, "Linux", "ru");
    assert_eq!(russian.legacy("press", chr('c'), &[CTRL]), [tap(K::C, &[K::LEFT_CONTROL])]);
    assert_eq!(russian.legacy("press", chr('.'), &[CTRL]), [tap(K::PERIOD, &[K::LEFT_CONTROL])]);
}

#[test]
fn on_a_bad_line_keys_that_type_are_clicked_once_a_press_and_once_a_repeat() {
    let mut phone = windows();
    phone.hands.set_line(true);
    let (enter, backspace) = (28, 0x0E);
    assert_eq!(phone.map("down", enter, &[]), [tap(K::RETURN_ENTER, &[])]);
    assert_eq!(phone.map("down", enter, &[]), [tap(K::RETURN_ENTER, &[])], "the controller's repeat");
    assert_eq!(phone.map("up", enter, &[]), []);
    assert_eq!(phone.map("down", 42, &[]), [down(K::LEFT_SHIFT)], "modifiers are held");
    assert_eq!(phone.map("down", 0x02, &[]), [tap(K::DIGIT_1, &[])]);
    assert_eq!(phone.map("down", 0xE04D, &[]), [down(K::RIGHT_ARROW)], "and so is what types nothing");
    assert_eq!(phone.named("down", C::Delete, &[SHIFT]), [tap(K::DELETE_FORWARD, &[])]);
    assert_eq!(phone.named("down", C::Numpad7, &[SHIFT, NUM])[1..], [tap(K::KEYPAD_7, &[])]);
    phone.named("up", C::Delete, &[SHIFT]);
    // A key that was down when the line became bad goes up first; one that was clicked stays clicked until its up.
    phone.hands.set_line(false);
    assert_eq!(phone.map("down", 0x02, &[]), [tap(K::DIGIT_1, &[])], "still the same press");
    phone.map("up", 0x02, &[]);
    assert_eq!(phone.map("down", 0x02, &[]), [down(K::DIGIT_1)]);
    assert_eq!(phone.map("down", backspace, &[]), [down(K::BACKSPACE)]);
    phone.hands.set_line(true);
    assert_eq!(phone.map("down", backspace, &[]), [up(K::BACKSPACE), tap(K::BACKSPACE, &[])]);
    phone.hands.lift_typing_keys();
    assert_eq!(phone.hands.take(), [up(K::DIGIT_1)]);
    phone.hands.set_line(false);
    assert_eq!(phone.map("down", 0x02, &[]), [tap(K::DIGIT_1, &[])], "its repeats are clicks");
    assert_eq!(phone.map("up", 0x02, &[]), []);
}

#[test]
fn modifiers_that_silence_lifted_are_meant_until_their_release_comes() {
    let mut phone = windows();
    phone.map("down", 42, &[]);
    phone.map("down", 29, &[]);
    phone.map("down", 28, &[]);
    phone.hands.release_for_silence();
    assert_eq!(phone.hands.take(), [InputEvent::ReleaseAll]);
    assert_eq!(phone.map("up", 29, &[]), []);
    assert_eq!(phone.map("down", 30, &[]), [down(K::LEFT_SHIFT), lock(LockKey::CapsLock, false), down(K::A)]);
    assert_eq!(phone.map("up", 28, &[]), []);
    assert_eq!(phone.map("up", 42, &[]), [up(K::LEFT_SHIFT)]);
    phone.hands.release_for_silence();
    phone.hands.take();
    assert_eq!(phone.map("down", 28, &[]), [down(K::RETURN_ENTER)]);
}
