//! What arrives at the guest's computer of the controller's keys and pointer.

use std::time::{Duration, Instant};

use kvmdesk::wire::message::hbb::ControlKey;

use super::Session;
use super::machine::{Event, PATIENCE, Recording, say};
use crate::support::controller::button;

const EV_KEY: u16 = 1;
const EV_REL: u16 = 2;
const EV_ABS: u16 = 3;
const AUTOREPEAT: i32 = 2;

/// evdev key codes; those of the main block are also the set-1 scan codes that a Windows target is sent.
pub mod key {
    pub const ESC: u16 = 1;
    pub const LEFT_CTRL: u16 = 29;
    pub const A: u16 = 30;
    pub const LEFT_SHIFT: u16 = 42;
    pub const B: u16 = 48;
    pub const CAPS_LOCK: u16 = 58;
    pub const F1: u16 = 59;
}

/// Key events without the repetitions that the computer makes itself.
fn keys(events: &[Event]) -> Vec<(u16, i32)> {
    let is_key = |e: &&Event| e.0 == EV_KEY && e.2 != AUTOREPEAT;
    events.iter().filter(is_key).map(|&(_, code, value)| (code, value)).collect()
}

/// Waits for exactly these key events.
pub fn expect_keys(session: &mut Session<'_>, from: &mut Recording<'_>, what: &str, wanted: &[(u16, i32)]) {
    let events = session.until(what, |_| from.take_if(|events| keys(events).len() >= wanted.len()));
    assert_eq!(keys(&events), wanted, "{what}");
    say(&format!("ok: {what}"));
}

/// A key, a chord, text.
pub fn keys_arrive(session: &mut Session<'_>, keyboard: &mut Recording<'_>) {
    session.app.map_click(key::A.into()).unwrap();
    expect_keys(session, keyboard, "a key", &[(key::A, 1), (key::A, 0)]);

    let chord = [key::LEFT_CTRL, key::LEFT_SHIFT, key::ESC];
    for code in chord {
        session.app.map_key(code.into(), true).unwrap();
    }
    for code in chord.into_iter().rev() {
        session.app.map_key(code.into(), false).unwrap();
    }
    let down = chord.into_iter().map(|code| (code, 1));
    let up = chord.into_iter().rev().map(|code| (code, 0));
    expect_keys(session, keyboard, "a chord", &down.chain(up).collect::<Vec<_>>());

    // "H" and "!" need Shift, "l" comes twice; how long Shift stays down is the typist's choice.
    session.app.type_text("Hello 7!").unwrap();
    let wanted =
        [(35, true), (18, false), (38, false), (38, false), (24, false), (57, false), (8, false), (2, true)];
    let is_done = |events: &[Event]| {
        let strokes = strokes(&keys(events));
        strokes.typed.len() >= wanted.len() && strokes.held.is_empty()
    };
    let events = session.until("text", |_| keyboard.take_if(is_done));
    assert_eq!(strokes(&keys(&events)).typed, wanted, "text: {events:?}");
    say("ok: text");
}

/// Key events as a typist's strokes.
struct Strokes {
    /// Keys other than Shift that went down, with whether Shift was down.
    typed: Vec<(u16, bool)>,
    /// Keys that are down at the end.
    held: Vec<u16>,
}

fn strokes(keys: &[(u16, i32)]) -> Strokes {
    let mut strokes = Strokes { typed: vec![], held: vec![] };
    for &(code, value) in keys {
        if value == 0 {
            strokes.held.retain(|held| *held != code);
            continue;
        }
        if code != key::LEFT_SHIFT {
            strokes.typed.push((code, strokes.held.contains(&key::LEFT_SHIFT)));
        }
        strokes.held.push(code);
    }
    strokes
}

/// Positions in the corners and the centre, five buttons, the wheel both ways.
pub fn pointer_arrives(session: &mut Session<'_>, pointer: &mut Recording<'_>) {
    let (width, height) = session.app.picture().map(|p| (p.width as i32, p.height as i32)).unwrap();
    // evdev tells a coordinate only when it changes, so the place is kept; no place is on an axis of the one before.
    let mut place = (0, 0);
    let places = [
        ("centre", width / 2, height / 2),
        ("top left", 0, 0),
        ("bottom right", width - 1, height - 1),
        ("centre again", width / 2, height / 2),
        ("top right", width - 1, 0),
        ("bottom left", 0, height - 1),
    ];
    for (name, x, y) in places {
        session.app.move_to(x, y).unwrap();
        let wanted = (x * 32767 / (width - 1), y * 32767 / (height - 1));
        let step_on = |(mut x, mut y): (i32, i32), events: &[Event]| {
            for event in events {
                match *event {
                    (EV_ABS, 0, value) => x = value,
                    (EV_ABS, 1, value) => y = value,
                    _ => {}
                }
            }
            (x, y)
        };
        let is_there = |(x, y): (i32, i32)| (x - wanted.0).abs() <= 1 && (y - wanted.1).abs() <= 1;
        let events = session.until(name, |_| pointer.take_if(|events| is_there(step_on(place, events))));
        place = step_on(place, &events);
        assert!(events.iter().all(|e| e.0 == EV_ABS), "{name}: nothing but positions: {events:?}");
    }
    say("ok: positions in the corners and the centre");

    let buttons = [
        (button::LEFT, 272),
        (button::RIGHT, 273),
        (button::MIDDLE, 274),
        (button::BACK, 275),
        (button::FORWARD, 276),
    ];
    for (mask, code) in buttons {
        session.app.click(mask).unwrap();
        expect_keys(session, pointer, &format!("button {mask}"), &[(code, 1), (code, 0)]);
    }

    // REL_WHEEL (8): up is positive; REL_HWHEEL (6): right is positive, the app's left.
    for (name, x, y, code, wanted) in
        [("up", 0, 1, 8, 1), ("down", 0, -1, 8, -1), ("left", 1, 0, 6, -1), ("right", -1, 0, 6, 1)]
    {
        session.app.wheel(x, y).unwrap();
        let turns = |events: &[Event]| -> Vec<(u16, i32)> {
            let is_turn = |e: &&Event| e.0 == EV_REL && (e.1 == 8 || e.1 == 6);
            events.iter().filter(is_turn).map(|e| (e.1, e.2)).collect()
        };
        let events = session.until(name, |_| pointer.take_if(|events| !turns(events).is_empty()));
        assert_eq!(turns(&events), [(code, wanted)], "wheel {name}");
    }
    say("ok: the wheel in four directions");
}

/// The computer lights Caps Lock: it is seen, and a lock state that the controller tells is acted on.
/// `function` and `name` say which keyboard the computer lights.
pub fn caps_lock_comes_back(
    session: &mut Session<'_>,
    keyboard: &mut Recording<'_>,
    (function, name): (&str, &str),
) {
    let is_lit = |session: &Session<'_>| session.status("/target/hid/leds").to_string().contains("aps");
    assert!(!is_lit(session), "Caps Lock is dark at first");
    session.in_guest(&format!("lab led {function} 1 1 {name}"));
    wait_for(session, "Caps Lock lit", |session| is_lit(session));
    say("ok: the computer's Caps Lock is seen");

    // The controller's own Caps Lock is off (it lists none): the computer's has to go off first.
    session.app.map_click(key::B.into()).unwrap();
    let wanted = [(key::CAPS_LOCK, 1), (key::CAPS_LOCK, 0), (key::B, 1), (key::B, 0)];
    expect_keys(session, keyboard, "a differing lock state is set right first", &wanted);
    session.in_guest(&format!("lab led {function} 1 0 {name}"));
    wait_for(session, "Caps Lock dark", |session| !is_lit(session));
    say("ok: Caps Lock going dark is seen");
}

fn wait_for(session: &mut Session<'_>, what: &str, holds: impl Fn(&Session<'_>) -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !holds(session) {
        assert!(Instant::now() < give_up, "never came: {what}");
        session.app.idle(Duration::from_millis(200)).unwrap();
    }
}

/// The cable is pulled while a key is down, more is typed, the cable comes back: nothing sticks, nothing old comes.
pub fn cable_may_be_pulled(
    session: &mut Session<'_>,
    keyboard: &mut Recording<'_>,
    pointer: &mut Recording<'_>,
) {
    session.app.map_key(key::LEFT_CTRL.into(), true).unwrap();
    session.until("key held", |_| keyboard.take_if(|events| keys(events) == [(key::LEFT_CTRL, 1)]));
    session.in_guest("lab cable off");
    session.app.map_click(key::B.into()).unwrap();
    session.app.type_text("lost").unwrap();
    session.app.control_click(ControlKey::Return, &[]).unwrap();
    session.app.map_key(key::LEFT_CTRL.into(), false).unwrap();
    wait_for(session, "the lost computer is noticed", |s| s.status("/target/hid/is_connected") == false);
    say("ok: a pulled cable is noticed");

    session.in_guest("lab cable on");
    session.until("the computer's keyboard again", |_| (keyboard.relistened() == 1).then_some(()));
    session.until("the computer's pointer again", |_| (pointer.relistened() == 1).then_some(()));
    // Until the daemon knows that the computer is back it throws away what is typed, so it is typed more than once.
    let give_up = Instant::now() + PATIENCE;
    let events = loop {
        session.app.map_click(key::F1.into()).unwrap();
        session.app.idle(Duration::from_secs(1)).unwrap();
        let is_whole = |events: &[Event]| {
            let seen = keys(events);
            seen.contains(&(key::F1, 0)) && strokes(&seen).held.is_empty()
        };
        if let Some(events) = keyboard.take_if(is_whole) {
            break events;
        }
        assert!(Instant::now() < give_up, "typing never works again, or something sticks");
    };
    let seen = keys(&events);
    let old: Vec<_> = seen.iter().filter(|(code, _)| *code != key::F1).collect();
    assert!(
        old.iter().all(|(code, value)| (*code, *value) == (key::LEFT_CTRL, 0)),
        "nothing old comes: {seen:?}"
    );
    say("ok: typing works again, nothing sticks");
}
