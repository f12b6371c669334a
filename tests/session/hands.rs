//! Keys and pointer through the whole machine (session 5, 6).

use std::time::Duration;

use kvmdesk::input::event::{InputEvent, PointerButton};
use kvmdesk::input::usage::KeyUsage as K;
use kvmdesk::peer::machine::*;
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
    assert!(matches!(hands[0], InputEvent::PointerAbsolute(p) if p.x == 256 && p.y == 911));
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
