//! Keys and pointer through the whole machine (session 5, 6).

use std::time::Duration;

use kvmdesk::input::event::{InputEvent, PointerButton};
use kvmdesk::input::usage::KeyUsage as K;
use kvmdesk::peer::machine::*;
use kvmdesk::peer::sharing::{Claim, Hold};
use kvmdesk::wire::message::hbb;
use kvmdesk::wire::message::hbb::ControlKey as C;
use kvmdesk::wire::message::hbb::key_event::Union as Key;
use kvmdesk::wire::message::hbb::message::Union;
use kvmdesk::wire::message::hbb::misc::Union as Misc;

use super::rig::*;

fn down(usage: K) -> InputEvent {
    InputEvent::Key { usage, is_down: true }
}
fn up(usage: K) -> InputEvent {
    InputEvent::Key { usage, is_down: false }
}
fn tap(usage: K, modifiers: &[K]) -> InputEvent {
    InputEvent::Tap { usage, modifiers: modifiers.to_vec() }
}

/// The events that the official controller was seen to send to a device that says it is Windows.
#[test]
fn the_recorded_events_of_a_controller() {
    let mut rig = Rig::watching();
    rig.mouse(0, 10, 20);
    rig.mouse(5, 3, -4);
    rig.mouse(9, 0, 0);
    rig.mouse(10, 0, 0);
    rig.mouse(17, 30, 40);
    rig.mouse(18, 30, 40);
    rig.mouse(3, 0, 1);
    rig.mouse(3, 1, 0);
    let hands = rig.take_hands();
    assert!(matches!(hands[0], InputEvent::PointerAbsolute(p) if p.x == 257 && p.y == 912));
    assert_eq!(hands[1], InputEvent::PointerRelative { dx: 3, dy: -4 });
    let button = |button, is_down| InputEvent::Button { button, is_down };
    assert_eq!(hands[2..4], [button(PointerButton::Left, true), button(PointerButton::Left, false)]);
    assert_eq!(hands[4..6], [button(PointerButton::Right, true), button(PointerButton::Right, false)]);
    assert_eq!(hands[6], InputEvent::Wheel { vertical: 1, horizontal: 0 });
    assert_eq!(hands[7..], [InputEvent::Wheel { vertical: 0, horizontal: -1 }]);
    for (code, usage) in [(42, K::LEFT_SHIFT), (28, K::RETURN_ENTER), (57421, K::RIGHT_ARROW)] {
        rig.map(code, true);
        rig.map(code, false);
        assert_eq!(rig.take_hands(), [down(usage), up(usage)]);
    }
    rig.key(true, false, 2, Key::Seq("b".into()), &[]);
    rig.key(false, false, 2, Key::Chr(48), &[]);
    rig.key(true, false, 0, Key::Chr(99), &[]);
    rig.key(false, false, 0, Key::Chr(99), &[]);
    rig.key(true, false, 0, Key::ControlKey(C::F5 as i32), &[]);
    rig.key(false, false, 0, Key::ControlKey(C::F5 as i32), &[]);
    rig.key(false, true, 0, Key::ControlKey(C::Escape as i32), &[]);
    rig.key(true, false, 0, Key::ControlKey(C::CtrlAltDel as i32), &[]);
    rig.key(true, false, 0, Key::ControlKey(C::LockScreen as i32), &[]);
    assert_eq!(
        rig.take_hands(),
        [
            InputEvent::Text("b".into()),
            InputEvent::Text("c".into()),
            down(K::F5),
            up(K::F5),
            tap(K::ESCAPE, &[]),
            tap(K::DELETE_FORWARD, &[K::LEFT_CONTROL, K::LEFT_ALT]),
            tap(K::L, &[K::LEFT_GUI]),
        ]
    );
}

#[test]
fn a_scripted_phone_types_and_chords() {
    let mut rig = Rig::sealed();
    let request = hbb::LoginRequest { my_platform: "Android".into(), ..rig.login(PASSWORD) };
    rig.send(Union::LoginRequest(request));
    rig.frame(true);
    let ctrl = [C::Control as i32];
    rig.key(false, true, 0, Key::Chr('A' as u32), &[]);
    rig.key(false, true, 0, Key::Chr('c' as u32), &ctrl);
    rig.key(false, true, 0, Key::ControlKey(C::Backspace as i32), &[]);
    rig.key(false, false, 0, Key::Seq("word".into()), &[]);
    rig.key(false, true, 0, Key::ControlKey(C::Tab as i32), &[C::Alt as i32]);
    let click = hbb::MouseEvent { mask: 9, modifiers: ctrl.to_vec(), ..Default::default() };
    rig.send(Union::MouseEvent(click.clone()));
    rig.send(Union::MouseEvent(hbb::MouseEvent { mask: 10, ..click }));
    let button = |is_down| InputEvent::Button { button: PointerButton::Left, is_down };
    assert_eq!(
        rig.take_hands(),
        [
            InputEvent::Text("A".into()),
            tap(K::C, &[K::LEFT_CONTROL]),
            tap(K::BACKSPACE, &[]),
            InputEvent::Text("word".into()),
            tap(K::TAB, &[K::LEFT_ALT]),
            down(K::LEFT_CONTROL),
            button(true),
            button(false),
            up(K::LEFT_CONTROL),
        ]
    );
}

/// Trap T12: without a picture the apps inject a right click at the top left.
#[test]
fn the_pointer_sleeps_until_the_first_picture_was_seen() {
    let mut rig = Rig::open();
    rig.echoes = false;
    rig.mouse(0, 3, 3);
    rig.mouse(17, 0, 0);
    rig.frame(true);
    rig.mouse(0, 3, 3);
    assert!(rig.take_hands().is_empty(), "discarded, not queued");
    rig.map(28, true);
    rig.map(28, false);
    assert_eq!(rig.take_hands().len(), 2, "keys work");
    rig.send(Union::TestDelay(hbb::TestDelay::default()));
    rig.mouse(0, 3, 3);
    assert_eq!(rig.take_hands().len(), 1, "the echo of the ping behind the picture wakes it");
}

#[test]
fn a_pinch_on_a_track_pad_turns_the_wheel_with_control() {
    use hbb::{pointer_device_event::Union::TouchEvent, touch_event::Union::ScaleUpdate};
    let mut rig = Rig::watching();
    let pinch = |rig: &mut Rig, scale| {
        let union = Some(ScaleUpdate(hbb::TouchScaleUpdate { scale }));
        let event = TouchEvent(hbb::TouchEvent { union });
        rig.send(Union::PointerDeviceEvent(hbb::PointerDeviceEvent {
            union: Some(event),
            modifiers: vec![],
        }));
        rig.take_hands()
    };
    let turn = |vertical| InputEvent::Wheel { vertical, horizontal: 0 };
    assert_eq!(pinch(&mut rig, 250), [down(K::LEFT_CONTROL), turn(2)]);
    rig.map(28, true);
    rig.map(28, false);
    let keys = [up(K::LEFT_CONTROL), down(K::RETURN_ENTER), up(K::RETURN_ENTER)];
    assert_eq!(rig.take_hands(), keys, "a key is never with a Control that nobody pressed");
    assert_eq!(pinch(&mut rig, -120), [down(K::LEFT_CONTROL), turn(-1)]);
    assert_eq!(pinch(&mut rig, 0), [up(K::LEFT_CONTROL)]);
    assert_eq!(pinch(&mut rig, 130), [down(K::LEFT_CONTROL), turn(1)]);
    rig.echoes = false;
    rig.seconds(2);
    assert_eq!(rig.take_hands(), [InputEvent::ReleaseAll], "its end may be lost with the line");
}

#[test]
fn a_dead_line_lets_go_after_two_seconds() {
    let (shift, right) = (42, 57421);
    let mut rig = Rig::watching();
    rig.map(shift, true);
    rig.map(right, true);
    rig.seconds(60);
    assert_eq!(rig.take_hands().len(), 2, "echoes are bytes: keys may be held for long");
    rig.echoes = false;
    rig.map(right, true);
    rig.pass(Duration::from_millis(1999));
    assert!(rig.take_hands().is_empty());
    rig.pass(Duration::from_millis(1));
    assert_eq!(rig.take_hands(), [InputEvent::ReleaseAll]);
    rig.map(right, true);
    assert_eq!(
        rig.take_hands(),
        [down(K::LEFT_SHIFT), down(K::RIGHT_ARROW)],
        "a later repeat presses again, with the modifier that was not let go"
    );
    rig.map(shift, false);
    rig.map(right, false);
    assert_eq!(rig.take_hands(), [up(K::LEFT_SHIFT), up(K::RIGHT_ARROW)]);
    rig.mouse(9, 0, 0);
    rig.seconds(2);
    assert_eq!(rig.take_hands().last(), Some(&InputEvent::ReleaseAll), "buttons too");
}

/// A key that types is lifted before the computer repeats it, and its repeats are clicks until it is let go.
#[test]
fn a_key_that_types_is_held_only_while_the_line_is_proven() {
    let enter = 28;
    let mut rig = Rig::watching();
    rig.seconds(20);
    rig.seen.clear();
    rig.map(enter, true);
    rig.seconds(60);
    assert_eq!(rig.take_hands(), [down(K::RETURN_ENTER)]);
    let pings = rig.take_seen().iter().filter(|m| matches!(m, Union::TestDelay(_))).count();
    assert!((2300..=2500).contains(&pings), "{pings} pings in 60 s: one each 25 ms, and the usual");
    rig.map(enter, false);
    rig.take_hands();
    rig.seconds(1);
    rig.echoes = false;
    rig.map(enter, true);
    rig.pass(Duration::from_millis(99));
    assert_eq!(rig.take_hands(), [down(K::RETURN_ENTER)]);
    rig.pass(Duration::from_millis(1));
    assert_eq!(rig.take_hands(), [up(K::RETURN_ENTER)], "before any computer repeats it");
    rig.map(enter, true);
    assert_eq!(rig.take_hands(), [tap(K::RETURN_ENTER, &[])]);
    rig.map(enter, false);
    rig.seconds(10);
    assert_eq!(rig.take_hands(), []);
}

#[test]
fn a_key_is_held_or_clicked_as_the_settings_say() {
    for (bad_link, echoes, want) in [
        (BadLink::On, true, vec![tap(K::RETURN_ENTER, &[])]),
        (BadLink::Off, false, vec![down(K::RETURN_ENTER)]),
    ] {
        let keyboard = KeyboardSettings { bad_link, ..KeyboardSettings::default() };
        let mut rig = Rig::sealed_with(PeerSettings { keyboard, ..settings() });
        let request = rig.login(PASSWORD);
        rig.send(Union::LoginRequest(request));
        rig.seconds(3);
        rig.echoes = echoes;
        rig.pass(Duration::from_millis(500));
        rig.map(28, true);
        rig.pass(Duration::from_millis(500));
        assert_eq!(rig.take_hands(), want, "{bad_link:?}");
    }
}

#[test]
fn view_only_lets_go_and_hears_nothing() {
    let mut rig = Rig::watching();
    rig.map(28, true);
    let view_only =
        |value| Misc::Option(hbb::OptionMessage { disable_keyboard: value, ..Default::default() });
    rig.send_misc(view_only(2));
    assert_eq!(rig.take_hands().last(), Some(&InputEvent::ReleaseAll));
    rig.map(28, true);
    rig.mouse(9, 0, 0);
    assert!(rig.take_hands().is_empty());
    rig.send_misc(view_only(1));
    rig.map(28, true);
    assert_eq!(rig.take_hands(), [down(K::RETURN_ENTER)]);
}

#[test]
fn everything_goes_up_at_the_end_and_the_screen_locks_if_wished() {
    let mut rig = Rig::watching();
    rig.map(42, true);
    rig.mouse(9, 0, 0);
    rig.send_misc(Misc::Option(hbb::OptionMessage { lock_after_session_end: 2, ..Default::default() }));
    rig.take_hands();
    rig.send_misc(Misc::CloseReason(String::new()));
    assert_eq!(rig.take_hands(), [InputEvent::ReleaseAll, tap(K::L, &[K::LEFT_GUI])]);
    assert_eq!(rig.closed, Some(CloseReason::LeftByController(String::new())));
}

#[test]
fn a_remark_is_told_each_time_and_only_to_who_is_in() {
    let mut rig = Rig::sealed();
    rig.input(Input::Remark("not yet"));
    let request = rig.login(PASSWORD);
    rig.send(Union::LoginRequest(request));
    rig.input(Input::Remark("again"));
    rig.input(Input::Remark("again"));
    let told: Vec<_> = rig
        .take_seen()
        .into_iter()
        .filter_map(|m| match m {
            Union::MessageBox(notice) => Some((notice.title, notice.text)),
            _ => None,
        })
        .collect();
    assert_eq!(told, vec![("Keyboard and mouse".to_owned(), "again".to_owned()); 2]);
}

fn permissions(rig: &mut Rig) -> Vec<(i32, bool)> {
    let seen = rig.take_seen();
    let of = |union| match union {
        Union::Misc(hbb::Misc { union: Some(Misc::PermissionInfo(p)) }) => Some((p.permission, p.enabled)),
        _ => None,
    };
    seen.into_iter().filter_map(of).collect()
}

fn boxes(seen: Vec<Union>) -> Vec<String> {
    let of = |union| match union {
        Union::MessageBox(shown) => Some(shown.text),
        _ => None,
    };
    seen.into_iter().filter_map(of).collect()
}

#[test]
fn who_has_to_wait_is_told_who_holds_and_cannot_type() {
    let mut rig = Rig::watching();
    assert_eq!(rig.claims, [Claim::Join]);
    rig.map(42, true);
    rig.take_hands();
    rig.take_seen();
    let held = Hold::Theirs { holder: "ann (1)".into(), can_take: false };
    rig.input(Input::Hold(&held));
    assert_eq!(rig.take_hands(), [InputEvent::ReleaseAll], "what it held goes up");
    let seen = rig.take_seen();
    assert!(matches!(&seen[0], Union::Misc(hbb::Misc { union: Some(Misc::PermissionInfo(p)) })
        if p.permission == 0 && !p.enabled));
    assert!(boxes(seen)[0].starts_with("ann (1) holds keyboard and mouse."));
    rig.input(Input::Hold(&held));
    rig.map(28, true);
    rig.mouse(9, 0, 0);
    rig.key(true, false, 0, Key::Seq("text".into()), &[]);
    assert!(rig.take_hands().is_empty() && rig.take_seen().is_empty(), "told once");
    assert_eq!(rig.claims, [Claim::Join], "no press takes anything");
    rig.input(Input::Hold(&Hold::Theirs { holder: "bob (2)".into(), can_take: false }));
    assert!(boxes(rig.take_seen())[0].starts_with("bob (2) holds"), "and again when that is somebody else");
    rig.send_misc(Misc::Option(hbb::OptionMessage { lock_after_session_end: 2, ..Default::default() }));
    rig.input(Input::Hold(&Hold::Mine));
    let seen = rig.take_seen();
    assert_eq!(boxes(seen.clone()), ["Keyboard and mouse are yours now."]);
    assert!(matches!(&seen[0], Union::Misc(hbb::Misc { union: Some(Misc::PermissionInfo(p)) })
        if p.permission == 0 && p.enabled));
    rig.map(28, true);
    assert_eq!(rig.take_hands(), [down(K::RETURN_ENTER)]);
    rig.input(Input::Hold(&held));
    rig.take_hands();
    rig.send_misc(Misc::CloseReason(String::new()));
    assert!(rig.take_hands().is_empty(), "who did not hold does not lock the screen either");
}

#[test]
fn a_press_takes_over_and_does_nothing_else() {
    let mut rig = Rig::watching();
    rig.claims.clear();
    rig.input(Input::Hold(&Hold::Theirs { holder: "ann (1)".into(), can_take: true }));
    let seen = rig.take_seen();
    assert!(boxes(seen)[0].contains("Press a key or a mouse button"));
    rig.mouse(0, 5, 5);
    rig.mouse(10, 0, 0);
    rig.mouse(3, 0, 1);
    rig.map(28, false);
    assert!(rig.claims.is_empty(), "what nobody pressed takes nothing");
    for press in [9, 17] {
        rig.mouse(press, 0, 0);
    }
    rig.map(28, true);
    rig.key(false, true, 0, Key::ControlKey(C::Escape as i32), &[]);
    assert_eq!(rig.claims, [Claim::Take; 4]);
    assert!(rig.take_hands().iter().all(|event| *event == InputEvent::ReleaseAll));
    rig.input(Input::Hold(&Hold::Mine));
    assert!(permissions(&mut rig).is_empty() && boxes(rig.take_seen()).is_empty(), "the user knows");
    rig.map(28, false);
    rig.mouse(10, 0, 0);
    assert!(rig.take_hands().is_empty(), "the ups of what was not pressed");
    rig.mouse(9, 0, 0);
    assert_eq!(rig.take_hands().len(), 1);
}

#[test]
fn who_only_looks_wants_no_hands_and_says_so() {
    let mut rig = Rig::watching();
    let view_only =
        |value| Misc::Option(hbb::OptionMessage { disable_keyboard: value, ..Default::default() });
    rig.send_misc(view_only(2));
    rig.send_misc(view_only(2));
    rig.send_misc(view_only(1));
    assert_eq!(rig.claims, [Claim::Join, Claim::Leave, Claim::Join]);
    let mut rig = Rig::sealed();
    let mut request = rig.login(PASSWORD);
    request.option.get_or_insert_default().disable_keyboard = 2;
    rig.send(Union::LoginRequest(request));
    assert_eq!(rig.claims, [Claim::Leave]);
}
