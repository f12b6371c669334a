//! Everything that can come between the board and its computer: input is back by itself, old input is not, and a host
//! that merely does not read is left in peace. A loop in the guest stands for `kvmdesk-gadget-repair.path`.

use std::fs;
use std::time::{Duration, Instant};

use super::hands::{key, keys, strokes};
use super::machine::{Event, Machine, PATIENCE, Recording, say};
use super::{CONFIG, Session, config, install, start, stop};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The computer's driver lets go of the interfaces and takes them again.
    DriverUnbound,
    /// The port is switched off and on.
    PortDisabled,
    /// Somebody unbinds the gadget and leaves it so.
    GadgetUnbound,
    /// The computer suspends the port, which input is to end.
    Suspended,
}

impl Cause {
    pub fn begin(self) -> &'static str {
        match self {
            Self::DriverUnbound => "lab usbhid off",
            Self::Suspended => "lab suspend on",
            Self::PortDisabled => "lab cable off",
            Self::GadgetUnbound => "lab unplug",
        }
    }

    /// What ends it, unless kvmdesk has to.
    pub fn end(self) -> Option<&'static str> {
        match self {
            Self::DriverUnbound => Some("lab usbhid on"),
            Self::PortDisabled => Some("lab cable on"),
            Self::Suspended | Self::GadgetUnbound => None,
        }
    }

    /// The kernel takes a report or two for a host that does not read just now, and nobody gets them back from it.
    fn may_keep_a_report(self) -> bool {
        matches!(self, Self::DriverUnbound | Self::Suspended)
    }
}

/// How often each comes.
const ROUNDS: usize = 3;
/// Half of the times input has to be back so soon.
pub const SOON: Duration = Duration::from_secs(30);

pub fn walk_through(machine: &Machine) {
    machine.run("lab usb; lab video 1; lab mode 640x480p59; v4l2-ctl -d /dev/video0 -c osd_text_mode=2");
    install(machine);
    machine.run(&format!("lab repairs kvmdesk gadget repair --config {CONFIG}"));
    start(machine);
    let mut session = Session::log_in(machine);
    let mut keyboard = Recording::start(machine, 0);
    expect_input(&mut session, &mut keyboard, "at first");

    for cause in [Cause::DriverUnbound, Cause::PortDisabled, Cause::GadgetUnbound] {
        outlive_all(&mut session, &mut keyboard, cause);
    }

    // What was meant is not repaired.
    session.in_guest(&format!("kvmdesk gadget down --config {CONFIG}"));
    session.until("a repair refused", |session| {
        session.app.map_click(key::B.into()).unwrap();
        session.in_guest("cat /tmp/repairs.log").contains("taken down on purpose").then_some(())
    });
    assert_eq!(machine.run("ls /sys/kernel/config/usb_gadget"), "");
    session.in_guest(&format!("kvmdesk gadget up --config {CONFIG}"));
    expect_input(&mut session, &mut keyboard, "a gadget that was taken down and built anew");
    say("ok: what was taken down on purpose stays down until it is built again");
    drop(session);
    stop(machine);
    a_gadget_is_built_as_configured(machine);
    a_suspended_computer_is_woken(machine, &mut keyboard);
}

fn outlive_all(session: &mut Session<'_>, keyboard: &mut Recording<'_>, cause: Cause) {
    let rebinds = |session: &Session<'_>| session.status("/target/hid/recovery/rebinds").as_u64().unwrap();
    let before = rebinds(session);
    let mut times: Vec<Duration> = (0..ROUNDS).map(|_| outlive(session, keyboard, cause)).collect();
    times.sort();
    let median = times[times.len() / 2];
    say(&format!("ok: {cause:?}: input is back after {:.1} s (median of {ROUNDS})", median.as_secs_f32()));
    assert!(median <= SOON, "{cause:?}: {times:?}");
    assert_eq!(rebinds(session) > before, cause == Cause::GadgetUnbound, "{cause:?}");
}

/// By input, and by `kvmdesk wake`.
fn a_suspended_computer_is_woken(machine: &Machine, keyboard: &mut Recording<'_>) {
    let waking = config("[gadget]\nwake = \"input\"");
    fs::write(machine.share().join("kvmdesk.toml"), waking).unwrap();
    machine.run(&format!("kvmdesk gadget up --config {CONFIG}"));
    start(machine);
    let mut session = Session::log_in(machine);
    expect_input(&mut session, keyboard, "a gadget that may wake");
    outlive_all(&mut session, keyboard, Cause::Suspended);

    let awake_for = "cat /sys/bus/usb/devices/1-1/power/active_duration";
    session.in_guest("lab suspend on");
    let before = session.in_guest(awake_for);
    let said = session.in_guest(&format!("kvmdesk wake --config {CONFIG}"));
    assert!(said.contains("is asked to wake up"), "{said}");
    session.until("the computer awake", |session| (session.in_guest(awake_for) != before).then_some(()));
    session.in_guest("lab suspend off");
    expect_input(&mut session, keyboard, "after waking");
    say("ok: `kvmdesk wake` wakes");
    drop(session);
    stop(machine);
}

/// A key is held while the cause comes, more is typed meanwhile. Gives the time from its end until input is back.
fn outlive(session: &mut Session<'_>, keyboard: &mut Recording<'_>, cause: Cause) -> Duration {
    // Linux suspends no keyboard with a key down.
    if cause != Cause::Suspended {
        session.app.map_key(key::A.into(), true).unwrap();
        session.until("key held", |_| keyboard.take_if(|events| keys(events).contains(&(key::A, 1))));
    }
    session.in_guest(cause.begin());
    let mut since = Instant::now();
    session.app.map_click(key::B.into()).unwrap();
    session.app.map_key(key::A.into(), false).unwrap();
    if let Some(script) = cause.end() {
        session.app.type_text("lost").unwrap();
        session
            .until("trouble is noticed", |s| (s.status("/target/hid/is_connected") == false).then_some(()));
        session.in_guest(script);
        since = Instant::now();
    }
    let seen = expect_input(session, keyboard, &format!("{cause:?}"));
    let time = since.elapsed();
    let is_old = |(code, value): (u16, i32)| match code {
        key::F1 => false,
        // It was down, and goes up.
        key::A => value != 0,
        key::B => !cause.may_keep_a_report(),
        _ => true,
    };
    let old: Vec<_> = seen.iter().copied().filter(|key| is_old(*key)).collect();
    assert!(old.is_empty(), "{cause:?}: old input {old:?} in {seen:?}");
    if cause == Cause::Suspended {
        session.in_guest("lab suspend off");
    }
    time
}

/// Presses F1 until it arrives and nothing is held; gives all keys that arrived.
fn expect_input(session: &mut Session<'_>, keyboard: &mut Recording<'_>, what: &str) -> Vec<(u16, i32)> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        session.app.map_click(key::F1.into()).unwrap();
        session.app.idle(Duration::from_millis(500)).unwrap();
        let is_whole = |events: &[Event]| {
            let seen = keys(events);
            seen.contains(&(key::F1, 0)) && strokes(&seen).held.is_empty()
        };
        if let Some(events) = keyboard.take_if(is_whole) {
            return keys(&events);
        }
        assert!(Instant::now() < give_up, "{what}: input never comes back, or something sticks");
    }
}

/// The computer's own view of a gadget that is not the usual one.
fn a_gadget_is_built_as_configured(machine: &Machine) {
    let gadget = "[gadget]\nfunctions = \"hid-only\"\nmax-speed = \"full\"\nmax-power = 98\nself-powered = true\n\
                  product = \"Plain keyboard\"\ninterval = 2\n";
    fs::write(machine.share().join("kvmdesk.toml"), config(gadget)).unwrap();
    let said = machine.run(&format!("kvmdesk gadget up --config {CONFIG} 2>&1"));
    assert!(said.contains("is built"), "{said}");
    let dir = "/sys/bus/usb/devices/1-1";
    let look = format!(
        "cd {dir} && cat speed bMaxPower bmAttributes product && cat 1-1:1.*/bInterfaceProtocol 1-1:1.*/bInterfaceSubClass"
    );
    let wanted = "12\n98mA\nc0\nPlain keyboard\n01\n02\n01\n01\n";
    machine.wait_for(&look, |seen| seen == wanted);
    // Linux 6.16 has the attribute; older kernels leave it out, and the user is told.
    let interval = machine.try_run("cat /sys/kernel/config/usb_gadget/kvmdesk/functions/*/interval").0;
    let is_set = interval == "2\n2\n";
    assert_ne!(is_set, said.contains("gadget.interval was left out"), "{interval} {said}");
    let again = machine.run(&format!("kvmdesk gadget up --config {CONFIG} 2>&1"));
    assert!(again.contains("was there already"), "{again}");
    say("ok: functions, speed, power and strings are those of the configuration");
}
