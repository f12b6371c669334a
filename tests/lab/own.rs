//! The board as its own computer: the daemon's keyboard and pointers by uinput, read at the nodes that the kernel makes.

use std::fs;

use kvmdesk::wire::message::hbb::ControlKey;

use super::hands::{self, expect_keys, key};
use super::machine::{Event, Machine, Recording, say};
use super::{Session, set_password, start, stop};

const SETTINGS: &str = "[direct]\nlisten = \"0.0.0.0:21118\"\nallow-plaintext = true\n\
    [video]\nsource = \"pattern\"\nmax-size = \"source\"\n[hid]\nbackend = \"uinput\"\n[log]\nlevel = \"debug\"\n";
const EV_REL: u16 = 2;

/// Without uinput a sentence; when it comes keys, pointers, media keys and LEDs; nothing is left in the end.
pub fn walk_through(machine: &Machine) {
    fs::write(machine.share().join("kvmdesk.toml"), SETTINGS).unwrap();
    machine.run("cp /host/kvmdesk /usr/bin/kvmdesk; chmod 755 /usr/bin/kvmdesk");
    set_password(machine);
    start(machine);
    let session = Session::log_in(machine);
    assert_eq!(session.status("/target/hid/backend"), "uinput");
    let notice = session.status("/target/hid/notice").to_string();
    assert!(notice.contains("Load the kernel module uinput"), "{notice}");
    drop(session);
    say("ok: without uinput there is a sentence");

    machine.run("lab own");
    let mut keyboard = Recording::start_own(machine, "keyboard");
    let mut pointer = Recording::start_own(machine, "pointer");
    let mut mouse = Recording::start_own(machine, "mouse");
    let mut media = Recording::start_own(machine, "keys");
    let mut session = Session::log_in(machine);
    hands::keys_arrive(&mut session, &mut keyboard);
    hands::pointer_arrives(&mut session, &mut pointer);
    hands::caps_lock_comes_back(&mut session, &mut keyboard, ("uinput", "keyboard"));

    session.app.move_by(-3, 200).unwrap();
    let sums = |events: &[Event]| {
        let sum = |code| events.iter().filter(|e| e.0 == EV_REL && e.1 == code).map(|e| e.2).sum::<i32>();
        (sum(0), sum(1))
    };
    session.until("a distance", |_| mouse.take_if(|events| sums(events) == (-3, 200)));
    say("ok: distances");
    session.app.control_click(ControlKey::VolumeUp, &[]).unwrap();
    expect_keys(&mut session, &mut media, "a media key", &[(115, 1), (115, 0)]);

    session.app.map_key(key::LEFT_CTRL.into(), true).unwrap();
    expect_keys(&mut session, &mut keyboard, "a key is held", &[(key::LEFT_CTRL, 1)]);
    stop(machine);
    let up = format!("1 {} 0\n", key::LEFT_CTRL);
    machine.wait_for("tail -n 4 /tmp/events.uinputkeyboard", |events| events.contains(&up));
    machine.wait_for("cat /sys/class/input/event*/device/name", |names| !names.contains("kvmdesk"));
    say("ok: the devices go with the daemon");
}
