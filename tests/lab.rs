//! A whole daemon in the hardware lab: a guest whose kernel shows it an HDMI receiver and a USB device controller, with
//! the computer at the other end of the cable. Asserts order and content; of times only that a picture is back within
//! 30 s, because all of it is emulated.
//!
//! `KVMDESK_LAB_ARCH=arm64` with `KVMDESK_LAB_PROGRAM` naming a `kvmdesk` built for it takes an ARM guest.

#[path = "lab/capture.rs"]
mod capture;
#[path = "lab/hands.rs"]
mod hands;
#[cfg(feature = "gstreamer")]
#[path = "lab/kept.rs"]
mod kept;
#[path = "lab/machine.rs"]
mod machine;
#[path = "lab/own.rs"]
mod own;
#[path = "lab/picture.rs"]
mod picture;
#[path = "lab/plan.rs"]
mod plan;
#[path = "lab/property/mod.rs"]
mod property;
#[path = "lab/recovery.rs"]
mod recovery;
#[path = "lab/long/soak.rs"]
mod soak;
#[cfg(feature = "sound")]
#[path = "lab/sound.rs"]
mod sound;
#[path = "lab/systemd/mod.rs"]
mod systemd;

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kvmdesk::config::board::Boards;

use crate::support::controller::{Controller, Options};
use machine::{Machine, PATIENCE, Recording, say};

const PASSWORD: &str = "lab password";
const CONFIG: &str = "/host/kvmdesk.toml";

/// A controller that is logged in to the guest's daemon.
struct Session<'a> {
    machine: &'a Machine,
    app: Controller,
}

impl<'a> Session<'a> {
    /// Logged in; nothing was waited for.
    fn connect(machine: &'a Machine) -> Self {
        Self::connect_as(machine, 1)
    }

    /// The same in the app's window of this number; a second one of the same number takes the first one's place.
    fn connect_as(machine: &'a Machine, window: u64) -> Self {
        let mut options = Options::with_password(PASSWORD);
        options.session_id = window;
        let mut app = Controller::connect_direct(machine.direct_address(), options).unwrap();
        app.log_in().unwrap();
        Self { machine, app }
    }

    /// Logged in and ready for input.
    fn log_in(machine: &'a Machine) -> Self {
        Self::log_in_as(machine, 1)
    }

    /// The same in the app's window of this number.
    fn log_in_as(machine: &'a Machine, window: u64) -> Self {
        let mut session = Self::connect_as(machine, window);
        // Pointer events are thrown away until the echo of the TestDelay that follows the first key frame; one before it
        // proves nothing.
        session.app.wait_until(PATIENCE, |app| app.picture().is_some()).unwrap();
        let before = session.app.delays.len();
        session.app.wait_until(PATIENCE, |app| app.delays.len() > before).unwrap();
        session
    }

    /// Runs a script in the guest while the controller goes on listening and answering.
    fn in_guest(&mut self, script: &str) -> String {
        let machine = self.machine;
        std::thread::scope(|scope| {
            let running = scope.spawn(|| machine.run(script));
            while !running.is_finished() {
                self.app.idle(Duration::from_millis(50)).unwrap();
            }
            running.join().unwrap()
        })
    }

    /// Asks until there is an answer, while the controller goes on.
    fn until<T>(&mut self, what: &str, mut ask: impl FnMut(&mut Self) -> Option<T>) -> T {
        let give_up = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = ask(self) {
                return answer;
            }
            assert!(Instant::now() < give_up, "never came: {what}");
            self.app.idle(Duration::from_millis(100)).unwrap();
        }
    }

    /// A part of `kvmdesk status --json`.
    fn status(&self, pointer: &str) -> serde_json::Value {
        let text = self.machine.run(&format!("kvmdesk status --json --config {CONFIG}"));
        let status: serde_json::Value = serde_json::from_str(&text).unwrap();
        status.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {text}")).clone()
    }
}

#[test]
fn a_board_shows_its_computer_and_types_into_it() {
    in_lab(walk_through);
}

#[test]
fn every_format_mode_and_fault_of_the_receiver_ends_in_a_right_picture() {
    in_lab(capture::walk_through);
}

#[cfg(feature = "gstreamer")]
#[test]
fn captured_pictures_go_through_an_encoder_as_they_are() {
    if std::env::var("KVMDESK_LAB_ARCH").is_ok_and(|arch| arch != "amd64")
        || cfg!(not(target_arch = "x86_64"))
    {
        return say(
            "skipped: this test takes its own program and plugins into the guest, which is another machine",
        );
    }
    let own = std::env::current_exe().unwrap();
    let more = [own.as_path(), Path::new("app"), Path::new("coreelements"), Path::new("x264")];
    in_lab_with(&more, |machine| kept::walk_through(machine, &own));
}

#[test]
fn a_machine_can_be_its_own_computer() {
    in_lab(own::walk_through);
}

#[test]
fn input_comes_back_by_itself_whatever_broke() {
    in_lab(recovery::walk_through);
}

#[test]
fn whatever_happens_nothing_sticks_and_nothing_comes_late_or_twice() {
    in_lab(property::walk_through);
}

#[cfg(feature = "sound")]
#[test]
fn a_board_with_a_sound_card_is_heard() {
    in_lab(sound::walk_through);
}

/// Boots a guest for a test; says why if there cannot be one.
fn in_lab(test: impl FnOnce(&Machine)) {
    in_lab_with(&[], test);
}

/// The same with more in it, as [`Machine::boot`] says.
fn in_lab_with(more: &[&Path], test: impl FnOnce(&Machine)) {
    // One guest at a time: two emulated ones would wait for each other's processors.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let machine = match Machine::boot(more) {
        Ok(machine) => machine,
        Err(missing) if std::env::var_os("CI").is_some_and(|v| v == "true") => {
            panic!("the lab cannot run, and CI may not skip it: {missing}")
        }
        Err(missing) => return say(&format!("skipped: {missing}")),
    };
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(&machine)));
    if let Err(failure) = outcome {
        let log = fs::read_to_string(machine.share().join("agent.log")).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(60).collect();
        say("the daemon's log, newest first:");
        tail.iter().for_each(|line| say(line));
        say(&format!("the guest's console:\n{}", machine.console()));
        std::panic::resume_unwind(failure);
    }
}

fn walk_through(machine: &Machine) {
    machine.run("lab usb; lab video 1; lab mode 640x480p59");
    check_board_profile(machine);
    install(machine);
    start(machine);

    let mut session = Session::log_in(machine);
    picture::bars_arrive(&mut session, 640, 480);
    picture::mode_change_is_followed(&mut session);
    picture::signal_states_are_followed(&mut session);
    // Still pictures from here on leave the emulated processor to the keys.
    session.in_guest("v4l2-ctl -d /dev/video0 -c osd_text_mode=2");

    let mut keyboard = Recording::start(machine, 0);
    let mut pointer = Recording::start(machine, 1);
    hands::keys_arrive(&mut session, &mut keyboard);
    hands::pointer_arrives(&mut session, &mut pointer);
    hands::caps_lock_comes_back(&mut session, &mut keyboard, ("0", ""));
    hands::cable_may_be_pulled(&mut session, &mut keyboard, &mut pointer);
    drop(session);
    stop(machine);

    // Another receiver: most real ones have the multi-planar interface, and vivid puts an offset in its plane.
    machine.run("rmmod vivid; lab video 2; lab mode 800x600p60");
    start(machine);
    let mut session = Session::log_in(machine);
    picture::bars_arrive(&mut session, 800, 600);
    drop(session);
    stop(machine);
}

/// `hw/lab` says what the guest is; here the guest is asked, and kvmdesk whether it would use just that.
fn check_board_profile(machine: &Machine) {
    let profile = Boards::default().named("lab").unwrap().profile;
    let driver = profile.capture[0].driver.as_deref().unwrap();
    let info = machine.run("v4l2-ctl -d /dev/video0 --info");
    assert!(info.contains(&format!(": {driver}\n")), "{info}");
    assert_eq!(machine.run("ls /sys/class/udc").trim(), profile.hid.udcs[0]);
    say("ok: the guest is what hw/lab/board.toml says");
}

/// The daemon's settings, with more keys for the receiver.
fn config(video: &str) -> String {
    format!(
        "board = \"lab\"\n[direct]\nlisten = \"0.0.0.0:21118\"\nallow-plaintext = true\n\
        [[target]]\nname = \"lab\"\n\
        [video]\ndevice = \"/dev/video0\"\nmax-size = \"source\"\n{video}\n\
        [log]\nlevel = \"debug\"\n"
    )
}

/// The program, its settings and password, the gadget; what packaging does on a board.
fn install(machine: &Machine) {
    fs::write(machine.share().join("kvmdesk.toml"), config("")).unwrap();
    machine.run("cp /host/kvmdesk /usr/bin/kvmdesk; chmod 755 /usr/bin/kvmdesk");
    machine.run(&format!("kvmdesk check --config {CONFIG}"));
    machine.run(&format!("kvmdesk gadget up --config {CONFIG}"));
    // udev's part, with the groups of hw/lab/udev.rules.
    machine.run("chown root:kvmdesk /dev/hidg*; chmod 660 /dev/hidg*");
    set_password(machine);
    say("ok: checked, gadget built, password set");
}

/// The daemon's directories, as systemd makes them, and the password in them.
fn set_password(machine: &Machine) {
    fs::write(machine.share().join("password"), PASSWORD).unwrap();
    machine
        .run("mkdir -p /var/lib/kvmdesk /run/kvmdesk; chown kvmdesk:kvmdesk /var/lib/kvmdesk /run/kvmdesk");
    as_daemon(machine, &format!("kvmdesk password --file /host/password --config {CONFIG}"));
}

/// Runs a script as the user that the daemon runs as.
fn as_daemon(machine: &Machine, script: &str) -> String {
    machine.run(&format!("su -s /bin/sh kvmdesk -c '{script}'"))
}

fn start(machine: &Machine) {
    launch(machine);
    // The log is copied where it survives the guest.
    machine.run("tail -F /tmp/agent.log >/host/agent.log 2>/dev/null </dev/null &");
    say("ok: the daemon runs, unprivileged");
}

/// Starts the daemon and waits until it listens.
fn launch(machine: &Machine) {
    as_daemon(
        machine,
        &format!("kvmdesk run --config {CONFIG} >>/tmp/agent.log 2>&1 </dev/null & echo $! >/tmp/agent.pid"),
    );
    machine.wait_for("netstat -ltn", |said| said.contains(":21118 "));
}

fn stop(machine: &Machine) {
    machine.run("kill -TERM $(cat /tmp/agent.pid)");
    machine.wait_for("kill -0 $(cat /tmp/agent.pid) 2>&1 || echo gone", |said| said.contains("gone"));
    machine.wait_for("netstat -ltn", |said| !said.contains(":21118 "));
    say("ok: the daemon ended when told to");
}
