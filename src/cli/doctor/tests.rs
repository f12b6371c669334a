//! Each fault on a tree of its own that looks like a kernel's, and that each is told with its remedy.

use std::fs;
use std::path::Path;

use super::sys::Space;
use super::*;
use crate::agent::status::ServerStatus;
use crate::cli::probe;
use crate::cli::probe::tests::{capture, report, v4l2};
use crate::config::board::Boards;
use crate::config::file;
use crate::config::settings::{self, Overrides};
use crate::hid::descriptor::{ABSOLUTE, CONTROL, KEYBOARD, RELATIVE};
use crate::media::capture::v4l2::V4l2Settings;
use crate::media::pipeline::SourceSettings;

/// The parts of a machine below a directory; `/dev` is the real one.
struct Machine {
    dir: tempfile::TempDir,
    roots: Roots,
}

impl Machine {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let kernel = KernelPaths {
            configfs: at("sys/kernel/config"),
            sysfs: at("sys"),
            dev: "/dev".into(),
            group_file: at("group"),
            run: at("run"),
        };
        let machine = Self { roots: Roots { kernel, proc: at("proc"), root: at("") }, dir };
        files.iter().for_each(|(name, text)| machine.write(name, text));
        machine
    }

    /// One whose gadget is well; its nodes stand in for others that every machine has.
    fn with_gadget() -> Self {
        let machine = Self::new(&[
            ("sys/class/udc/fe980000.usb/state", "configured\n"),
            ("sys/kernel/config/usb_gadget/kvmdesk/UDC", "fe980000.usb\n"),
            ("group", "root:x:0:\nkvmdesk:x:0:\n"),
            ("proc/sys/kernel/osrelease", "6.6.31+rpt-rpi-v8\n"),
        ]);
        let nodes = [(KEYBOARD, "1:3"), (ABSOLUTE, "1:5"), (RELATIVE, "1:7"), (CONTROL, "1:9")];
        for (n, (function, number)) in nodes.iter().enumerate() {
            let dir = machine.path(&format!("sys/kernel/config/usb_gadget/kvmdesk/functions/hid.{n}"));
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("report_desc"), function.report_descriptor).unwrap();
            fs::write(dir.join("dev"), number).unwrap();
        }
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn hands(&self) -> Vec<Finding> {
        hands::hands(&configured("[video]\nsource = \"pattern\"\n"), &self.roots, None)
    }
}

fn configured(text: &str) -> Settings {
    let parsed = file::parse(Path::new("x"), text.to_owned()).unwrap();
    settings::resolve(&parsed, &Boards::default(), |_| None, &Overrides::default()).unwrap()
}

#[track_caller]
fn says(findings: &[Finding], verdict: Verdict, text: &str, remedy: &str) {
    let is_it = |f: &Finding| {
        f.verdict == verdict
            && f.text.contains(text)
            && f.remedy.as_deref().map_or(remedy.is_empty(), |r| !remedy.is_empty() && r.contains(remedy))
    };
    assert!(findings.iter().any(is_it), "{findings:#?}");
}

#[track_caller]
fn is_well(findings: &[Finding]) {
    assert!(findings.iter().all(|f| f.verdict == Verdict::Ok), "{findings:#?}");
}

#[test]
fn a_gadget_that_is_well_says_so() {
    let machine = Machine::with_gadget();
    let findings = machine.hands();
    is_well(&findings);
    says(&findings, Verdict::Ok, "bound to fe980000.usb, with 4 functions", "");
    says(&findings, Verdict::Ok, "/dev/null and the others may be written by the group kvmdesk", "");
    machine
        .write("sys/kernel/debug/usb/fe980000.usb/hw_params", "op_mode : 0\nnum_dev_in_eps            : 7\n");
    machine.write("sys/class/extcon/extcon0/state", "USB=1\nUSB-HOST=0\n");
    machine.write("sys/class/usb_role/fe980000.usb-role-switch/role", "device\n");
    let findings = machine.hands();
    is_well(&findings);
    says(&findings, Verdict::Ok, "the port has 7 endpoints", "");
    says(&findings, Verdict::Ok, "VBUS", "");
    says(&findings, Verdict::Ok, "fe980000.usb-role-switch says device", "");
}

#[test]
fn each_fault_of_the_gadget_has_its_remedy() {
    let empty = Machine::new(&[("sys/class/usb_role/x.usb-role-switch/role", "host\n")]);
    says(&empty.hands(), Verdict::Fail, "x.usb-role-switch says host", "dr_mode");
    says(&empty.hands(), Verdict::Fail, "/sys/class/udc is empty", "ch9329");

    let pi = configured("board = \"raspberrypi-cm4\"\n[video]\nsource = \"pattern\"\n");
    let port = |config: &str| {
        empty.write("boot/config.txt", config);
        hands::hands(&pi, &empty.roots, None)
    };
    let lines = "boot/config.txt: dtoverlay=dwc2,dr_mode=peripheral, without otg_mode=1; then restart";
    says(&port("otg_mode=1\n"), Verdict::Fail, "/sys/class/udc is empty", lines);
    says(&port("dtoverlay=dwc2\n"), Verdict::Fail, "/sys/class/udc is empty", "has dtoverlay=dwc2 instead");
    says(&port("dtoverlay=dwc2,dr_mode=peripheral\n"), Verdict::Fail, "/sys/class/udc is empty", "restart");

    let free = Machine::new(&[("sys/class/udc/a.usb/state", "not attached\n")]);
    says(&free.hands(), Verdict::Fail, "there is no gadget kvmdesk", "`kvmdesk gadget up`");
    free.write("sys/kernel/config/usb_gadget/kvmd/UDC", "a.usb\n");
    says(&free.hands(), Verdict::Fail, "a.usb is held by the gadget kvmd", "stop the program");
    free.write("run/kvmdesk-gadget-down", "");
    says(&free.hands(), Verdict::Fail, "was taken down", "`kvmdesk gadget up`");
    let named = configured("[video]\nsource = \"pattern\"\n[gadget]\nudc = \"b.usb\"\n");
    let findings = hands::hands(&named, &free.roots, None);
    says(
        &findings,
        Verdict::Fail,
        "gadget.udc names b.usb, which is not in /sys/class/udc (there: a.usb)",
        "leave",
    );

    let machine = Machine::with_gadget();
    machine.write("sys/class/udc/fe980000.usb/state", "not attached\n");
    machine.write("sys/class/extcon/extcon0/state", "USB=0\n");
    says(&machine.hands(), Verdict::Warn, "not attached", "only charges");
    says(&machine.hands(), Verdict::Warn, "no voltage", "plugged in");
    machine.write("sys/class/udc/fe980000.usb/state", "suspended\n");
    says(&machine.hands(), Verdict::Warn, "sleeps", "`kvmdesk wake`");
    machine.write("sys/class/udc/fe980000.usb/state", "addressed\n");
    says(&machine.hands(), Verdict::Warn, "(state: addressed)", "hid-only");
    machine.write("group", "root:x:0:\n");
    says(&machine.hands(), Verdict::Warn, "may not be written by the group kvmdesk", "groupadd");
    machine.write("sys/kernel/debug/usb/fe980000.usb/ep1in/x", "");
    machine.write("sys/kernel/debug/usb/fe980000.usb/ep0in/x", "");
    machine.write("sys/kernel/debug/usb/fe980000.usb/ep1out/x", "");
    says(&machine.hands(), Verdict::Fail, "but has 1 endpoints", "hid-only");
    machine.write("proc/sys/kernel/osrelease", "5.15.0-1052-raspi\n");
    says(&machine.hands(), Verdict::Fail, "older than 5.17", "newer kernel");
    machine.write("sys/kernel/config/usb_gadget/kvmdesk/UDC", "\n");
    says(&machine.hands(), Verdict::Fail, "not bound", "rebind");
}

#[test]
fn other_hands_are_looked_at_too() {
    let machine = Machine::new(&[]);
    let chip = |device: &str| {
        let text =
            format!("[video]\nsource = \"pattern\"\n[hid]\nbackend = \"ch9329\"\ndevice = \"{device}\"\n");
        hands::hands(&configured(&text), &machine.roots, None)
    };
    is_well(&chip("/dev/null"));
    says(&chip("/nonexistent/tty"), Verdict::Fail, "/nonexistent/tty", "by-id");
    let text = "[video]\nsource = \"pattern\"\n[hid]\nbackend = \"recording\"\n";
    is_well(&hands::hands(&configured(text), &machine.roots, None));
}

#[test]
fn heat_and_power_are_judged() {
    let machine = Machine::new(&[
        ("proc/device-tree/model", "Raspberry Pi 4 Model B\0"),
        ("proc/sys/kernel/osrelease", "6.6.31\n"),
    ]);
    says(&system::board(&machine.roots), Verdict::Ok, "Raspberry Pi 4 Model B, Linux 6.6.31, ", "");
    says(&system::heat(&machine.roots), Verdict::Ok, "does not tell", "");
    machine.write("sys/class/thermal/thermal_zone0/temp", "45123\n");
    machine.write("sys/class/thermal/cooling_device0/type", "cpufreq-cpu0\n");
    machine.write("sys/class/thermal/cooling_device0/cur_state", "0\n");
    machine.write("sys/class/thermal/cooling_device0/max_state", "4\n");
    machine.write("sys/devices/platform/soc/soc:firmware/get_throttled", "0\n");
    is_well(&system::heat(&machine.roots));
    machine.write("sys/class/thermal/thermal_zone1/temp", "81000\n");
    machine.write("sys/class/thermal/cooling_device0/cur_state", "3\n");
    machine.write("sys/devices/platform/soc/soc:firmware/get_throttled", "50005\n");
    let findings = system::heat(&machine.roots);
    says(&findings, Verdict::Warn, "81 degrees", "heat sink");
    says(&findings, Verdict::Warn, "cpufreq-cpu0 is slowed down by 3 of 4 steps", "heat sink");
    says(&findings, Verdict::Warn, "voltage is too low now, the CPU is throttled now", "power supply");
    machine.write("sys/devices/platform/soc/soc:firmware/get_throttled", "80000\n");
    says(
        &system::heat(&machine.roots),
        Verdict::Warn,
        "limit is reached at some time since the start",
        "heat sink",
    );
}

#[test]
fn clock_and_disk_are_judged() {
    let year = 365 * 86_400;
    says(&[system::clock(100, Some(true))], Verdict::Warn, "never set", "timedatectl");
    says(&[system::clock(60 * year, Some(false))], Verdict::Warn, "drift", "timedatectl");
    is_well(&[system::clock(60 * year, Some(true)), system::clock(60 * year, None)]);
    let disk = |free, has_inodes, is_read_only| {
        [system::disk(Path::new("/state"), Ok(Space { free, total: 20 << 30, has_inodes, is_read_only }))]
    };
    is_well(&disk(3 << 30, true, false));
    says(&disk(3 << 30, true, false), Verdict::Ok, "3072 MiB of 20 GiB free for /state", "");
    says(&disk(5 << 20, true, false), Verdict::Warn, "5 MiB", "make room");
    says(&disk(5 << 10, true, false), Verdict::Fail, "5 KiB", "make room");
    says(&disk(3 << 30, false, false), Verdict::Fail, "no further file", "make room");
    says(&disk(3 << 30, true, true), Verdict::Fail, "read-only", "writable");
    let missing = sys::space(Path::new("/nonexistent/state")).unwrap();
    assert!(missing.total > 0, "{missing:?}");
}

#[test]
fn a_seed_file_that_was_not_taken_over_is_told() {
    let machine = Machine::new(&[]);
    assert!(system::seeds(&machine.roots).is_empty());
    machine.write("boot/firmware/kvmdesk.toml", "nonsense");
    says(
        &system::seeds(&machine.roots),
        Verdict::Warn,
        "kvmdesk-seed.service has not looked",
        "kvmdesk-seed",
    );
    machine.write("boot/firmware/kvmdesk-error.txt", "line 1 is wrong.\n\nkvmdesk runs all the same.\n");
    let told = system::seeds(&machine.roots);
    says(&told, Verdict::Warn, "kvmdesk.toml was not taken over: line 1 is wrong.", "mend it");
    assert!(!told[0].text.contains("all the same"));
}

#[test]
fn the_picture_is_judged_by_its_signal_and_its_edid() {
    let device = || capture("/nonexistent/video5", &["YUYV"]);
    let settings = |edid: Option<Vec<u8>>| {
        let mut settings = configured("[hid]\nbackend = \"recording\"\n");
        settings.displays = vec![v4l2("/nonexistent/video5")];
        if let SourceSettings::V4l2(V4l2Settings { devices }) = &mut settings.displays[0].source {
            devices[0].edid = edid;
        }
        settings
    };
    let look = |capture, edid: Option<&[u8]>| {
        picture::pictures(Some(&settings(edid.map(<[u8]>::to_vec))), &report(vec![capture]), None)
    };
    let findings = look(device(), None);
    is_well(&findings);
    says(&findings, Verdict::Ok, "YUYV 1920x1080, 30 frames a second; on the cable 1920x1080 at 59.94", "");
    says(&findings, Verdict::Ok, "the monitor \"Lab\"", "");
    let mut none = device();
    (none.signal.state, none.signal.notice, none.signal.resolution) =
        ("no-signal", "No signal: is it on?", None);
    none.edid = crate::media::probe::Edid { state: "none", bytes: 0, monitor: None, data: vec![] };
    says(&look(none.clone(), None), Verdict::Warn, "No signal: is it on?", "switch the computer on");
    says(&look(none.clone(), None), Verdict::Fail, "sees no monitor", "video.edid");
    says(&look(none, Some(&[1; 128])), Verdict::Warn, "is set when kvmdesk starts", "start kvmdesk");
    let mut set = device();
    set.edid.data = [vec![1; 128], vec![2; 128]].concat();
    is_well(&look(set.clone(), Some(&[vec![1; 128], vec![3; 128]].concat())));
    says(&look(set, Some(&[5; 256])), Verdict::Warn, "not the configured one", "did not accept");
    let mut half = device();
    half.signal.is_interlaced = true;
    says(&look(half, None), Verdict::Warn, "half-frames", "progressive");
    let absent = picture::pictures(Some(&settings(None)), &report(vec![]), None);
    says(&absent, Verdict::Fail, "/nonexistent/video5 is not there", "connect the grabber");
    // A daemon that runs knows better.
    let mut told = crate::cli::status::tests::idle();
    let mut ask = |signal: &str, notice: &str| {
        let video = &mut told.target.displays[0];
        (video.signal, video.notice) = (signal.into(), notice.into());
        picture::pictures(Some(&settings(None)), &report(vec![]), Some(&told))
    };
    says(&ask("active", ""), Verdict::Ok, "kvmdesk captures 1280x720 from /dev/video0", "");
    says(&ask("no-signal", "No signal"), Verdict::Warn, "/dev/video0: No signal", "switch the computer on");
    says(&ask("no-device", "No device"), Verdict::Fail, "is not there", "connect the grabber");
}

#[test]
fn who_has_the_devices_is_told_with_the_unit_to_stop() {
    let machine = Machine::with_gadget();
    machine.write("sys/kernel/config/usb_gadget/kvmdesk/UDC", "\n");
    machine.write("sys/kernel/config/usb_gadget/one-kvm/UDC", "fe980000.usb\n");
    let settings = configured("[video]\nsource = \"pattern\"\n");
    let look = || in_use(&holders::look(&Wanted::of(&settings, &machine.roots), &machine.roots));
    let text = "one-kvm.service has the USB port fe980000.usb (gadget one-kvm)";
    says(&[look().unwrap()], Verdict::Warn, text, "systemctl disable --now one-kvm.service");
    machine.write("sys/kernel/config/usb_gadget/one-kvm/UDC", "\n");
    machine.write("sys/kernel/config/usb_gadget/own/UDC", "fe980000.usb\n");
    says(&[look().unwrap()], Verdict::Warn, "(gadget own)", "stop that program");
    machine.write("sys/kernel/config/usb_gadget/own/UDC", "\n");
    assert_eq!(look(), None);
    let partial = Holders { is_partial: true, ..Holders::default() };
    says(&[in_use(&partial).unwrap()], Verdict::Ok, "only root sees", "");
}

#[test]
fn encoders_are_judged() {
    let mut report = report(vec![]);
    is_well(&picture::encoders(&report));
    let failed = probe::EncoderLine { state: "failed", is_chosen: false, ..report.encoders.remove(0) };
    report.encoders.push(failed);
    says(&picture::encoders(&report), Verdict::Fail, "no encoder of H.264", "`kvmdesk probe`");
    says(&picture::encoders(&report), Verdict::Warn, "one failed its self-check", "another one");
}

#[test]
fn the_server_s_ports_are_tried() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let settings =
        configured(&format!("[server]\nhost = \"127.0.0.1:{port}\"\n[video]\nsource = \"pattern\"\n"));
    let findings = server::server(&settings, None);
    says(&findings, Verdict::Ok, &format!("hbbs at 127.0.0.1 takes connections on TCP 127.0.0.1:{port}"), "");
    assert!(findings.iter().all(|f| f.verdict != Verdict::Fail), "the NAT test is no must: {findings:?}");
    drop(listener);
    says(&server::server(&settings, None), Verdict::Fail, "takes no connection", "firewall");
    assert!(server::server(&configured("[video]\nsource = \"pattern\"\n"), None).is_empty());
    let mut told = crate::cli::status::tests::idle();
    let mut registered = |is_online: bool, state: &str| {
        let server = ServerStatus { host: "a".into(), is_online, nat: "unknown".into(), state: state.into() };
        told.target.server = Some(server);
        server::server(&settings, Some(&told))
    };
    says(&registered(true, "Registered at a"), Verdict::Ok, "Registered at a", "");
    says(
        &registered(false, "It does not answer"),
        Verdict::Fail,
        "It does not answer",
        &format!("UDP port {port}"),
    );
}

#[test]
fn the_worst_counts_and_each_line_shows_what_helps() {
    let fail = Finding::fail("gadget", "a very long sentence ".repeat(8), "do this");
    let diagnosis =
        Diagnosis::of(vec![Finding::ok("board", "a board"), Finding::warn("clock", "late", "x"), fail]);
    assert_eq!(diagnosis.verdict, Verdict::Fail);
    let text = to_text(&diagnosis);
    assert!(
        text.starts_with("ok    board         a board\nwarn  clock         late\n                    -> x\n"),
        "{text}"
    );
    assert!(text.ends_with("                    -> do this\nFailed: 1, to be looked at: 1.\n"), "{text}");
    assert!(text.lines().all(|line| line.len() <= 100), "{text}");
    let json = serde_json::to_value(&diagnosis).unwrap();
    assert_eq!((&json["verdict"], &json["checks"][0]["verdict"]), (&"fail".into(), &"ok".into()));
    assert!(json["checks"][0].get("remedy").is_none());
}
