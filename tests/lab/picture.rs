//! What the controller sees of the guest's HDMI receiver.
#![allow(clippy::wildcard_enum_match_arm, reason = "one arm of a big union is looked at")]

use kvmdesk::wire::message::hbb;

use super::Session;
use super::machine::{PATIENCE, say};
use crate::support::controller::{Picture, Union};

/// vivid's colour bars from left to right: white to black at 75 % (its test pattern 0).
const BARS: [[u8; 3]; 8] = [
    [191, 191, 191],
    [191, 191, 0],
    [0, 191, 191],
    [0, 191, 0],
    [191, 0, 191],
    [191, 0, 0],
    [0, 0, 191],
    [0, 0, 0],
];

/// Two neighbouring bars differ by 190 in a channel; encoding costs about 5.
const TOLERANCE: u8 = 20;

/// Whether the picture shows the bars. Looked at in the lower half: vivid writes text into the upper one.
pub fn shows_bars(picture: &Picture) -> bool {
    let bar = picture.width / 8;
    BARS.iter().enumerate().all(|(number, wanted)| {
        let seen = picture.mean(number * bar + bar / 2 - 4, picture.height * 3 / 4, 8, 8);
        seen.iter().zip(wanted).all(|(seen, wanted)| seen.abs_diff(*wanted) <= TOLERANCE)
    })
}

fn colours(picture: &Picture) -> String {
    let bar = picture.width / 8;
    let seen: Vec<_> =
        (0..8).map(|n| picture.mean(n * bar + bar / 2 - 4, picture.height * 3 / 4, 8, 8)).collect();
    format!("{}x{} {seen:?}", picture.width, picture.height)
}

/// The picture has the announced size, is vivid's, and goes on moving.
pub fn bars_arrive(session: &mut Session<'_>, width: usize, height: usize) {
    let fits = |p: &Picture| (p.width, p.height) == (width, height) && shows_bars(p);
    let picture = session.app.wait_for_picture(PATIENCE, fits);
    let picture = picture.unwrap_or_else(|e| panic!("{e}; saw {:?}", session.app.picture().map(colours)));
    let announced = session.app.peer_info.as_ref().unwrap().displays[0].clone();
    assert_eq!((announced.width, announced.height), (width as i32, height as i32), "announced size");
    say(&format!("ok: bars of {}", colours(&picture)));
    // The text in it counts frames.
    let next = session.app.next_picture(PATIENCE).unwrap();
    assert!(shows_bars(&next));
    say("ok: pictures go on");
}

/// Takes the announcement of a size out of what came; SwitchDisplay has to come before the picture.
fn announced(session: &mut Session<'_>, width: i32, height: i32) -> hbb::SwitchDisplay {
    session
        .app
        .wait_for(PATIENCE, |message| match message {
            Union::Misc(hbb::Misc { union: Some(hbb::misc::Union::SwitchDisplay(s)) })
                if (s.width, s.height) == (width, height) =>
            {
                Some(s.clone())
            }
            _ => None,
        })
        .unwrap_or_else(|e| panic!("no SwitchDisplay to {width}x{height}: {e}"))
}

/// Another mode is announced, then shown, beginning with a key frame.
pub fn mode_change_is_followed(session: &mut Session<'_>) {
    for (mode, width, height) in [("1024x768p60", 1024, 768), ("640x480p59", 640, 480)] {
        session.app.inbox.clear();
        session.app.order.clear();
        session.in_guest(&format!("lab mode {mode}"));
        let switch = announced(session, width, height);
        if let Some(original) = switch.original_resolution {
            assert_eq!((original.width, original.height), (width, height), "original resolution");
        }
        let size = (width as usize, height as usize);
        let fits = |p: &Picture| (p.width, p.height) == size && shows_bars(p);
        let picture = session.app.wait_for_picture(PATIENCE, fits);
        let picture = picture.unwrap_or_else(|e| panic!("{e}; saw {:?}", session.app.picture().map(colours)));
        let order = &session.app.order;
        let switched = order.iter().position(|kind| *kind == "misc.switch_display").unwrap();
        assert!(order[switched..].contains(&"key"), "a key frame follows the announcement: {order:?}");
        say(&format!("ok: {mode} is followed, {}", colours(&picture)));
    }
}

/// A signal that goes is said in a picture; one that comes back is shown.
pub fn signal_states_are_followed(session: &mut Session<'_>) {
    for state in ["none", "nolock", "range", "stalled"] {
        session.in_guest(&format!("lab signal {state}"));
        let card = session.app.wait_for_picture(PATIENCE, |p| !shows_bars(p));
        let card = card.unwrap_or_else(|e| panic!("signal {state}: the bars stay: {e}"));
        let first = card.at(0, 0);
        assert!(card.rgb.chunks(3).any(|p| p != first), "signal {state}: the card is empty");
        session.in_guest("lab signal ok");
        let back = session.app.wait_for_picture(PATIENCE, shows_bars);
        back.unwrap_or_else(|e| {
            panic!("after signal {state}: {e}; saw {:?}", session.app.picture().map(colours))
        });
        say(&format!("ok: signal {state} gives a card, and the bars come back"));
    }
}
