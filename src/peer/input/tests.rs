use super::*;
use crate::input::usage::{ConsumerUsage, SystemUsage};
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
    Phone { keys: Keys::new(announce, TargetOs::Windows, platform), hands: Hands::default() }
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
fn every_position_of_both_numberings_goes_down_and_up() {
    for p in keymap::POSITIONS {
        if control::consumer_of(p.usage).is_some() || p.name == "Lang5" {
            continue;
        }
        for (announce, code) in [(AnnouncedPlatform::Windows, p.windows), (AnnouncedPlatform::Linux, p.linux)]
        {
            if code != 0 {
                let mut phone = on(announce, "Linux");
                let pressed = phone.map("down", code.into(), &[]);
                assert_eq!(pressed.last(), Some(&down(p.usage)), "{}", p.name);
                assert_eq!(phone.map("up", code.into(), &[]), [up(p.usage)], "{}", p.name);
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
    assert_eq!(phone.named("down", C::Sleep, &[]), [InputEvent::System(SystemUsage::Sleep)]);
    assert_eq!(phone.named("down", C::Junja, &[]), []);
}
