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

impl Mouse {
    /// A pinch's message, through its bytes.
    fn pinch(&mut self, scale: i32, modifiers: &[ControlKey]) -> Vec<InputEvent> {
        use hbb::{pointer_device_event::Union::TouchEvent, touch_event::Union::ScaleUpdate};
        let touch = hbb::TouchEvent { union: Some(ScaleUpdate(hbb::TouchScaleUpdate { scale })) };
        let modifiers = modifiers.iter().map(|m| (*m).into()).collect();
        let event = hbb::PointerDeviceEvent { modifiers, union: Some(TouchEvent(touch)) };
        assert!(self.pointer.handle_pinch(&event, &mut self.hands));
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

#[test]
fn a_pinch_is_control_and_wheel_until_its_end() {
    let mut mouse = mouse(AnnouncedPlatform::Windows);
    let ctrl = |is_down| key(KeyUsage::LEFT_CONTROL, is_down);
    assert_eq!(mouse.pinch(0, &[]), [], "every pan ends with one");
    assert_eq!(mouse.pinch(100, &[]), []);
    assert_eq!(mouse.pinch(30, &[]), [ctrl(true), wheel(1, 0)], "spread: nearer; 10 are left over");
    assert_eq!(mouse.pinch(-250, &[]), [wheel(-2, 0)]);
    assert_eq!(mouse.send(0, 5, 5).len(), 1, "a move does not end it");
    assert_eq!(mouse.pinch(0, &[]), [ctrl(false)]);
    assert_eq!(mouse.pinch(119, &[]), [], "the next one begins anew");
    assert_eq!(mouse.pinch(i32::MAX, &[]), [ctrl(true), wheel(100, 0)]);
    assert_eq!(mouse.send(3, 0, 1), [ctrl(false), wheel(1, 0)], "the wheel itself is without Control");
    assert_eq!(mouse.pinch(0, &[]), []);
    mouse.pinch(-i32::MAX, &[]);
    let left = |is_down| button(PointerButton::Left, is_down);
    assert_eq!(mouse.send(1 << 3 | 1, 0, 0), [ctrl(false), left(true)]);
    assert_eq!(mouse.send(1 << 3 | 2, 0, 0), [left(false)]);
    mouse.hands.press(KeyUsage::RIGHT_CONTROL);
    mouse.hands.take();
    assert_eq!(mouse.pinch(120, &[ControlKey::Control]), [wheel(1, 0)], "held already");
    assert_eq!(mouse.pinch(0, &[]), [], "and by its own key");
    let pan =
        hbb::TouchEvent { union: Some(hbb::touch_event::Union::PanStart(hbb::TouchPanStart { x: 1, y: 1 })) };
    let union = Some(hbb::pointer_device_event::Union::TouchEvent(pan));
    let pan = hbb::PointerDeviceEvent { modifiers: vec![], union };
    assert!(!mouse.pointer.handle_pinch(&pan, &mut mouse.hands), "for Android only");
    assert!(!mouse.pointer.handle_pinch(&hbb::PointerDeviceEvent::default(), &mut mouse.hands));
}

#[test]
fn after_a_change_of_origin_the_move_that_no_hand_made_is_dropped() {
    let mut mouse = mouse(AnnouncedPlatform::Windows);
    mouse.ground.left = 1280;
    mouse.pointer.origin_changed();
    assert_eq!(mouse.send(0, 600, 5).len(), 1, "still from the display before, clamped");
    assert_eq!(mouse.send(0, 1280, 0), [], "dropped");
    assert_eq!(mouse.send(0, 1280, 0).len(), 1, "once");
    mouse.pointer.origin_changed();
    assert_eq!(mouse.send(0, 1281, 0).len(), 1);
    assert_eq!(mouse.send(0, 1280, 0).len(), 1, "a hand has moved there");
    mouse.pointer.origin_changed();
    mouse.send(1 << 3 | 2, 0, 0);
    assert_eq!(mouse.send(0, 1280, 0).len(), 1, "a hand was there");
}

/// What phones send (reference: session 9.3): a tap, a long press, a drag, three fingers, the ups behind a pinch.
#[test]
fn what_phones_send() {
    let mut mouse = mouse(AnnouncedPlatform::Windows);
    let (left, right) = (PointerButton::Left, PointerButton::Right);
    let script = [(0, 100, 50), (9, 0, 0), (10, 0, 0), (0, 7, 7), (17, 0, 0), (18, 0, 0)];
    let taps: Vec<InputEvent> = script.into_iter().flat_map(|(mask, x, y)| mouse.send(mask, x, y)).collect();
    assert!(
        matches!(taps[0], InputEvent::PointerAbsolute(_))
            && matches!(taps[3], InputEvent::PointerAbsolute(_))
    );
    assert_eq!(taps[1..3], [button(left, true), button(left, false)]);
    assert_eq!(taps[4..], [button(right, true), button(right, false)]);
    let drag: Vec<InputEvent> = [(9, 0, 0), (0, 8, 7), (0, 9, 7), (10, 0, 0)]
        .into_iter()
        .flat_map(|(m, x, y)| mouse.send(m, x, y))
        .collect();
    assert_eq!((drag.len(), &drag[0], &drag[3]), (4, &button(left, true), &button(left, false)));
    assert_eq!(mouse.send(3, 0, -1), [wheel(-1, 0)]);
    assert_eq!(mouse.send(10, 0, 0), [], "behind each pinch");
}
