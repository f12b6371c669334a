//! kvmdesk as it is installed: its package in a Debian guest with systemd, registered at a real ID server, through faults,
//! upgrades and its removal. Run by `tests/lab/long/systemd.sh`, which builds what this needs.

mod faults;
mod packages;
mod servers;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::hands::{self, key};
use super::machine::{Boot, Installed, Machine, PATIENCE, Recording, say};
use super::picture;
use super::{PASSWORD, Session};
use crate::support::controller::{Controller, Options, Server, Way};
use servers::{SERVER, Servers};

/// A guest whose clock is right and whose network is there.
const AS_USUAL: Boot<'_> = Boot { clock: "utc", is_networked: true };
/// What must not be in the journal of a service whose devices it may use.
const REFUSALS: [&str; 3] = ["Operation not permitted", "Permission denied", "os error 13"];

/// What happens, with the seconds since it began.
struct Walk {
    begun: Instant,
    guest: Installed,
    servers: Servers,
    id: String,
}

/// Says the journal's last lines if something fails: each boot writes them where they survive it.
struct Words(PathBuf);

impl Drop for Words {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = std::fs::read_to_string(&self.0).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            say(&format!("the journal, at last:\n{}", lines[lines.len().saturating_sub(60)..].join("\n")));
        }
    }
}

#[test]
#[ignore = "takes half an hour and a package; tests/lab/long/systemd.sh"]
fn an_installed_board_serves_and_recovers() {
    let guest = Installed::make().unwrap();
    for package in ["KVMDESK_DEB", "KVMDESK_DEB_LITE", "KVMDESK_DEB_BROKEN"] {
        let from = std::env::var_os(package).map(PathBuf::from).unwrap_or_else(|| panic!("no {package}"));
        std::fs::copy(from, guest.share().join(format!("{package}.deb"))).unwrap();
    }
    std::fs::write(guest.share().join("password"), PASSWORD).unwrap();
    let mut walk = Walk { begun: Instant::now(), guest, servers: Servers::start(), id: String::new() };
    let _words = Words(walk.guest.share().join("journal"));
    let machine = walk.boot(&AS_USUAL);
    walk.install(&machine);
    walk.devices_are_open_whenever_they_come(&machine);
    walk.set_up(&machine);
    let machine = walk.reboot(machine, &AS_USUAL);
    walk.serves(&machine, "after a reboot");
    walk.gadget_may_be_built_anew(&machine);
    walk.comes_back_without_a_key_down(&machine);
    walk.watchdog_ends_what_hangs(&machine);
    walk.works_on_a_full_disk(&machine);
    walk.works_in_1970(&machine);
    let machine = walk.reboot(machine, &Boot { is_networked: false, ..AS_USUAL });
    walk.waits_for_the_network(&machine);
    let machine = walk.loses_power(machine, &Boot { clock: "1970-01-01T00:00:00", ..AS_USUAL });
    walk.judge_idle(&machine, "kvmdesk", 25);
    walk.upgrades_and_goes_back(&machine);
    walk.changes_to_the_small_build(&machine);
    walk.is_purged(&machine);
    walk.ok("all of it");
}

impl Walk {
    fn ok(&self, text: impl AsRef<str>) {
        say(&format!("{:6.1} s  {}", self.begun.elapsed().as_secs_f64(), text.as_ref()));
    }

    fn boot(&self, boot: &Boot<'_>) -> Machine {
        let machine = self.guest.boot(boot);
        // Small pictures leave the emulated processor to everything else.
        machine.run("lab mode 640x480p59");
        machine
            .run("journalctl -b -f -n all -t kvmdesk -t trial -t systemd --no-pager >/host/journal 2>/dev/null </dev/null &");
        machine.wait_for("systemctl is-system-running", |said| !said.contains("starting"));
        let up = machine.run("systemd-analyze time | head -n 1; systemctl --failed --plain --no-legend");
        self.ok(format!("booted: {}", up.trim()));
        machine
    }

    fn reboot(&self, machine: Machine, boot: &Boot<'_>) -> Machine {
        machine.end("systemctl --no-block reboot");
        self.boot(boot)
    }

    /// Nothing is shut down: the board's plug is pulled.
    fn loses_power(&self, machine: Machine, boot: &Boot<'_>) -> Machine {
        drop(machine);
        self.ok("the power failed");
        let machine = self.boot(boot);
        self.ok(format!("its clock began at 1970; systemd made of it {}", machine.run("date -u").trim()));
        self.serves(&machine, "after a power failure, with a clock that began at 1970");
        machine
    }

    /// The package as it comes, on a board that has everything: it is up by itself, and its journal has no refusal.
    fn install(&self, machine: &Machine) {
        let said = machine.run("dpkg -i /host/KVMDESK_DEB.deb 2>&1");
        self.ok(format!("installed: {}", said.lines().last().unwrap_or_default()));
        self.ready(machine);
        let up = |unit: &str| machine.run(&format!("systemctl show -P ActiveState {unit}")).trim().to_owned();
        for unit in ["kvmdesk", "kvmdesk-gadget", "kvmdesk-gadget-repair.path"] {
            assert_eq!(up(unit), "active", "{unit}");
        }
        let nodes = machine.run("stat -c '%n %U:%G %a' /dev/hidg*");
        assert_eq!(nodes.lines().count(), 4, "{nodes}");
        assert!(nodes.lines().all(|line| line.ends_with(" root:kvmdesk 660")), "{nodes}");
        // The lab has nothing to be recognised by, so its board has to be named; and pictures keep their size though an
        // emulated encoder does not keep up.
        machine.run(
            "sed -i -e 's/^#board = .*/board = \"lab\"/' -e '0,/^#max-size = .*/s//max-size = \"source\"/' \
             /etc/kvmdesk/kvmdesk.toml && systemctl restart kvmdesk",
        );
        let status = self.status(machine);
        assert_eq!(status["target"]["hid"]["is_connected"], true, "{status:#}");
        assert_eq!(status["target"]["video"]["signal"], "active", "{status:#}");
        self.no_refusals(machine);
        self.ok(format!("ready, gadget built: {}", nodes.replace('\n', "; ")));
        let judged = machine.run("systemd-analyze security --no-pager kvmdesk.service | tail -n 1");
        self.ok(judged.trim());
        self.doctor(machine, "after the installation");
    }

    /// The rule `char-hidg` of DeviceAllow is made of /proc/devices when the service starts. So: without the class at the
    /// start, with a gadget that somebody else builds later, with one that kvmdesk-gadget.service builds later, and
    /// with a USB port that appears later.
    fn devices_are_open_whenever_they_come(&self, machine: &Machine) {
        machine.run("systemctl stop kvmdesk kvmdesk-gadget && rmmod usb_f_hid && ! grep hidg /proc/devices");
        machine.run(
            "systemctl mask --runtime kvmdesk-gadget 2>&1 && systemctl start kvmdesk && kvmdesk gadget up",
        );
        machine.wait_for("ls /dev/hidg*", |said| said.contains("hidg3"));
        let is_open = self.opens_hands(machine, Duration::from_secs(20));
        let notice = self.status(machine)["target"]["hid"]["notice"].clone();
        self.ok(format!(
            "a class that came after the start, without a restart: hands open: {is_open}, {notice}"
        ));
        machine.run("kvmdesk gadget down; systemctl stop kvmdesk; rmmod usb_f_hid; systemctl unmask --runtime kvmdesk-gadget 2>&1");
        machine.run("systemctl start kvmdesk");
        assert!(self.opens_hands(machine, PATIENCE), "{:#}", self.status(machine));
        self.ok("a class that came with kvmdesk-gadget.service, before the start: hands open");
        machine.run("systemctl stop kvmdesk-gadget; rmmod dummy_hcd usb_f_hid; systemctl restart kvmdesk");
        assert!(!self.opens_hands(machine, Duration::from_secs(2)));
        machine.run("modprobe dummy_hcd");
        assert!(self.opens_hands(machine, PATIENCE), "{:#}", self.status(machine));
        self.ok("a USB port that came later, by udev's wish: hands open");
    }

    /// By hand, and while nobody asked for it: the first key finds out, and those after it arrive.
    fn gadget_may_be_built_anew(&self, machine: &Machine) {
        let majors = "grep hidg /proc/devices";
        let before = machine.run(majors);
        let mut session = self.log_in(machine);
        machine.run("kvmdesk gadget rebuild");
        assert_eq!(machine.run(majors), before, "the number that DeviceAllow was made of");
        let mut keyboard = Recording::start(machine, 0);
        let mut clicks = 0;
        session.until("a key after the gadget was built anew", |session| {
            clicks += 1;
            session.app.map_click(key::A.into()).unwrap();
            keyboard.take_if(|events| hands::keys(events).contains(&(key::A, 1)))
        });
        self.no_refusals(machine);
        self.ok(format!("the gadget built anew, with a session: keys arrive within {clicks} clicks"));
    }

    /// Whether the daemon's hands come to be connected.
    fn opens_hands(&self, machine: &Machine, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        loop {
            let (text, status) = machine.try_run("kvmdesk status --json 2>/dev/null");
            let told =
                || serde_json::from_str::<Value>(&text).ok()?.pointer("/target/hid/is_connected")?.as_bool();
            if status == 0 && told() == Some(true) {
                return true;
            }
            if Instant::now() > until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    fn set_up(&mut self, machine: &Machine) {
        let said = machine.run(&format!(
            "kvmdesk setup --non-interactive --server {SERVER} --key {} --password-file /host/password --name guest \
             --target-os linux --layout us",
            self.servers.key()
        ));
        let told: Value = serde_json::from_str(&said).unwrap();
        self.id = told["id"].as_str().unwrap().to_owned();
        assert_eq!((&told["password"], &told["name"]), (&"permanent".into(), &"guest".into()), "{told:#}");
        self.ok(format!("set up: ID {}, {}", self.id, told["key_fingerprint"]));
    }

    /// Until systemd has heard READY=1.
    fn ready(&self, machine: &Machine) {
        machine.wait_for("systemctl is-active kvmdesk", |said| said == "active\n");
    }

    fn status(&self, machine: &Machine) -> Value {
        self.ready(machine);
        let text = machine.wait_for("kvmdesk status --json", |said| said.starts_with('{'));
        serde_json::from_str(&text).unwrap()
    }

    /// What the doctor does not find well.
    fn doctor(&self, machine: &Machine, when: &str) -> String {
        let (said, _) = machine.try_run("kvmdesk doctor");
        let odd = |line: &&str| line.starts_with("warn") || line.starts_with("fail");
        let odd: Vec<&str> = said.lines().filter(odd).collect();
        self.ok(format!(
            "the doctor {when}: {}",
            if odd.is_empty() { "all is well".into() } else { odd.join("; ") }
        ));
        said
    }

    fn no_refusals(&self, machine: &Machine) {
        let journal = machine.run("journalctl -b --no-pager -u kvmdesk -u kvmdesk-gadget -o cat");
        assert!(!REFUSALS.iter().any(|refusal| journal.contains(refusal)), "{journal}");
    }

    fn registered(&self, machine: &Machine) {
        machine.wait_for("kvmdesk status --json", |said| {
            serde_json::from_str::<Value>(said).is_ok_and(|s| s["target"]["server"]["is_online"] == true)
        });
    }

    /// A controller that found the board by its ID.
    fn log_in<'a>(&self, machine: &'a Machine) -> Session<'a> {
        self.registered(machine);
        let server = Server::new(SERVER, self.servers.key());
        let (mut app, way) =
            Controller::connect_by_id(&server, &self.id, Options::with_password(PASSWORD)).unwrap();
        // The guest's network is QEMU's: nobody comes in but by the relay.
        assert_eq!(way, Way::RelayedByUs);
        app.log_in().unwrap();
        assert!(app.link().is_sealed());
        let mut session = Session { machine, app };
        session.app.wait_until(PATIENCE, |app| app.picture().is_some()).unwrap();
        let before = session.app.delays.len();
        session.app.wait_until(PATIENCE, |app| app.delays.len() > before).unwrap();
        session
    }

    /// Registered, a picture, keys that reach the computer.
    fn serves(&self, machine: &Machine, when: &str) {
        let begun = Instant::now();
        let mut session = self.log_in(machine);
        let logged_in = begun.elapsed().as_secs_f64();
        picture::bars_arrive(&mut session, 640, 480);
        // The computer has its keyboard since it was plugged in.
        let mut keyboard = Recording::start(machine, 0);
        session.app.map_click(key::A.into()).unwrap();
        hands::expect_keys(&mut session, &mut keyboard, "a key", &[(key::A, 1), (key::A, 0)]);
        session.app.close().unwrap();
        self.no_refusals(machine);
        self.ok(format!("{when}: registered and logged in after {logged_in:.1} s, picture and a key"));
    }
}
