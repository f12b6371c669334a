use super::*;
use crate::wire::message::hbb::ControlKey;

struct Mouse {
    pointer: Pointer,
    hands: Hands,
    announce: AnnouncedPlatform,
    ground: Ground,
}

fn mouse(announce: AnnouncedPlatform) -> Mouse {
    let ground = Ground { left: 0, size: Resolution::new(1280, 720) };
    Mouse { pointer: Pointer::default(), hands: Hands::default(), announce, ground }
}

impl Mouse {
    fn send(&mut self, mask: i32, x: i32, y: i32) -> Vec<InputEvent> {
        self.with(mask, x, y, &[])
    }
    fn with(&mut self, mask: i32, x: i32, y: i32, modifiers: &[ControlKey]) -> Vec<InputEvent> {
        let modifiers = modifiers.iter().map(|m| (*m).into()).collect();
        let event = hbb::MouseEvent { mask, x, y, modifiers };
        self.pointer.handle(&event, self.ground, self.announce, &mut self.hands);
        self.hands.take()
    }
}

fn key(usage: KeyUsage, is_down: bool) -> InputEvent {
    InputEvent::Key { usage, is_down }
}
fn button(button: PointerButton, is_down: bool) -> InputEvent {
    InputEvent::Button { button, is_down }
}
fn wheel(vertical: i32, horizontal: i32) -> InputEvent {
    InputEvent::Wheel { vertical, horizontal }
}

#[test]
fn moves_are_scaled_by_the_announced_size_and_place() {
    let mut mouse = mouse(AnnouncedPlatform::Windows);
    let at = |x, y| InputEvent::PointerAbsolute(AbsolutePoint { x, y });
    assert_eq!(mouse.send(0, 0, 0), [at(0, 0)]);
    assert_eq!(mouse.send(0, 1280, 719), [at(32767, 32767)], "Windows sends the width itself");
    mouse.ground = Ground { left: 1280, size: Resolution::new(800, 600) };
    assert_eq!(mouse.send(0, 1280, 0), [at(0, 0)]);
    assert_eq!(mouse.send(0, 2079, 599), [at(32767, 32767)]);
    assert_eq!(mouse.send(0, i32::MIN, i32::MAX), [at(0, 32767)]);
}

#[test]
fn buttons_change_once_and_never_move() {
    let mut mouse = mouse(AnnouncedPlatform::Windows);
    for (bit, name) in [
        (1, PointerButton::Left),
        (2, PointerButton::Right),
        (4, PointerButton::Middle),
        (8, PointerButton::Back),
        (16, PointerButton::Forward),
    ] {
        assert_eq!(mouse.send(bit << 3 | 2, 5, 5), [], "a stray up");
        assert_eq!(mouse.send(bit << 3 | 1, 5, 5), [button(name, true)]);
        assert_eq!(mouse.send(bit << 3 | 1, 0, 0), []);
        assert_eq!(mouse.send(bit << 3 | 2, 0, 0), [button(name, false)]);
    }
    for nothing in [3 << 3 | 1, 32 << 3 | 1, 1, 2, 6, 7, -1, i32::MIN + 1] {
        assert_eq!(mouse.send(nothing, 1, 1), [], "{nothing}");
    }
}

#[test]
fn wheel_signs_and_track_pad_units() {
    let mut mouse_w = mouse(AnnouncedPlatform::Windows);
    assert_eq!(mouse_w.send(3, 0, 1), [wheel(1, 0)]);
    assert_eq!(mouse_w.send(3, 0, -2), [wheel(-2, 0)]);
    assert_eq!(mouse_w.send(3, 1, 0), [wheel(0, -1)], "x > 0 is left, AC Pan > 0 is right");
    assert_eq!(mouse_w.send(3, 0, 0), []);
    assert_eq!(mouse_w.send(3, i32::MIN, i32::MAX), [wheel(100, 100)]);
    assert_eq!(mouse_w.send(4, 0, 70), []);
    assert_eq!(mouse_w.send(4, 0, 70), [wheel(1, 0)]);
    assert_eq!(mouse_w.send(4, 0, 100), [wheel(1, 0)], "20 were left over");
    assert_eq!(mouse_w.send(4, -240, -1), [wheel(0, 2)]);
    let mut mouse_l = mouse(AnnouncedPlatform::Linux);
    assert_eq!(mouse_l.send(4, 0, -2), [wheel(-2, 0)], "whole notches");
}

#[test]
fn relative_moves() {
    let mut mouse = mouse(AnnouncedPlatform::Windows);
    assert_eq!(mouse.send(5, 0, 0), []);
    assert_eq!(mouse.send(5, 3, -4), [InputEvent::PointerRelative { dx: 3, dy: -4 }]);
    assert_eq!(mouse.send(5, 20_000, 0), [InputEvent::PointerRelative { dx: 10_000, dy: 0 }]);
}

#[test]
fn listed_modifiers_are_held_around() {
    let mut mouse = mouse(AnnouncedPlatform::Windows);
    let ctrl = [ControlKey::Control];
    assert_eq!(
        mouse.with(1 << 3 | 1, 0, 0, &ctrl),
        [key(KeyUsage::LEFT_CONTROL, true), button(PointerButton::Left, true)]
    );
    assert_eq!(
        mouse.with(1 << 3 | 2, 0, 0, &ctrl),
        [button(PointerButton::Left, false), key(KeyUsage::LEFT_CONTROL, false)]
    );
    assert_eq!(
        mouse.with(3, 0, 1, &ctrl),
        [key(KeyUsage::LEFT_CONTROL, true), wheel(1, 0), key(KeyUsage::LEFT_CONTROL, false)]
    );
    mouse.hands.press(KeyUsage::RIGHT_SHIFT);
    mouse.hands.take();
    assert_eq!(
        mouse.with(1 << 3 | 1, 0, 0, &[ControlKey::Shift, ControlKey::CapsLock]),
        [button(PointerButton::Left, true)],
        "held already, and lock keys are no modifiers"
    );
    mouse.send(1 << 3 | 2, 0, 0);
    assert_eq!(
        mouse.send(2 << 3 | 1, 0, 0),
        [key(KeyUsage::RIGHT_SHIFT, false), button(PointerButton::Right, true)],
        "held but not listed"
    );
}
