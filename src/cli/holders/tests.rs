//! On a tree of its own that looks like a kernel's.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;
use crate::config::board::Boards;
use crate::config::file;
use crate::config::settings::{self, Overrides};
use crate::hid::configfs::KernelPaths;

/// The parts of a machine below a directory.
pub(in crate::cli) struct Machine {
    dir: tempfile::TempDir,
    pub(in crate::cli) roots: Roots,
}

impl Machine {
    pub(in crate::cli) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().canonicalize().unwrap().join(name);
        let kernel = KernelPaths {
            configfs: at("config"),
            sysfs: at("sys"),
            dev: at("dev"),
            group_file: at("group"),
            run: at("run"),
        };
        let roots = Roots { kernel, proc: at("proc"), root: at("") };
        let machine = Self { dir, roots };
        for node in ["video0", "video1", "ttyUSB0", "hidg0"] {
            machine.write(&format!("dev/{node}"), "");
        }
        machine
    }

    pub(in crate::cli) fn root(&self) -> PathBuf {
        self.roots.root.clone()
    }

    pub(in crate::cli) fn write(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(in crate::cli) fn process(&self, id: u32, name: &str, cgroup: &str, open: &[&str]) {
        self.write(&format!("proc/{id}/comm"), &format!("{name}\n"));
        self.write(&format!("proc/{id}/cgroup"), cgroup);
        let fd = self.roots.proc.join(format!("{id}/fd"));
        fs::create_dir_all(&fd).unwrap();
        for (n, node) in open.iter().enumerate() {
            symlink(self.roots.kernel.dev.join(node), fd.join(n.to_string())).unwrap();
        }
    }

    pub(in crate::cli) fn port(&self, udc: &str, gadget: &str) {
        self.write(&format!("sys/class/udc/{udc}/state"), "configured\n");
        if !gadget.is_empty() {
            self.write(&format!("config/usb_gadget/{gadget}/UDC"), &format!("{udc}\n"));
        }
    }

    fn look(&self, hid: &str) -> Holders {
        let dev = self.roots.kernel.dev.display();
        let text =
            format!("[video]\ndevice = \"{dev}/by-id\"\n[hid]\n{hid}\n").replace("DEV", &dev.to_string());
        let _ = symlink("video0", self.roots.kernel.dev.join("by-id"));
        let parsed = file::parse(Path::new("x"), text).unwrap();
        let settings =
            settings::resolve(&parsed, &Boards::default(), |_| None, &Overrides::default()).unwrap();
        look(&Wanted::of(&settings, &self.roots), &self.roots)
    }

    fn sentences(&self, hid: &str) -> Vec<String> {
        let dev = format!("{}/", self.roots.kernel.dev.display());
        self.look(hid).found.iter().map(|holder| holder.sentence().replace(&dev, "")).collect()
    }
}

const GADGET: &str = "backend = \"gadget\"";
const CHIP: &str = "backend = \"ch9329\"\ndevice = \"DEV/ttyUSB0\"";

#[test]
fn one_service_with_everything_is_one_holder() {
    let machine = Machine::new();
    machine.port("a.usb", "one-kvm");
    machine.process(20, "one-kvm", "0::/system.slice/one-kvm.service\n", &["video0", "hidg0", "null"]);
    machine.process(21, "cheese", "0::/user.slice/user-1.slice/user@1.service/a.service\n", &["video1"]);
    machine.process(22, "kvmdesk", "0::/system.slice/kvmdesk.service\n", &["video0"]);
    assert_eq!(
        machine.sentences(GADGET),
        ["one-kvm.service (one-kvm, process 20) has video0 and the USB port a.usb (gadget one-kvm)"]
    );
    assert_eq!(machine.look(GADGET).found[0].gadget.as_deref(), Some("one-kvm"));
    assert_eq!(machine.sentences(CHIP), ["one-kvm.service (one-kvm, process 20) has video0"]);
}

#[test]
fn a_gadget_without_a_process_is_known_by_its_name() {
    let machine = Machine::new();
    machine.port("a.usb", "kvmd");
    machine.process(30, "ustreamer", "2:cpu:/x\n1:name=systemd:/system.slice/kvmd.service\n", &["video0"]);
    let want = [
        "kvmd.service (ustreamer, process 30) has video0",
        "kvmd-otg.service has the USB port a.usb (gadget kvmd)",
    ];
    assert_eq!(machine.sentences(GADGET), want);
    machine.write("config/usb_gadget/kvmd/UDC", "\n");
    machine.write("config/usb_gadget/g1/UDC", "a.usb\n");
    assert_eq!(
        machine.sentences(GADGET)[1],
        "a program that is not to be seen has the USB port a.usb (gadget g1)"
    );
    machine.port("b.usb", "");
    assert_eq!(machine.sentences(GADGET).len(), 1, "another port is free");
    let named = format!("{GADGET}\n[gadget]\nudc = \"a.usb\"");
    assert_eq!(machine.sentences(&named).len(), 2);
    machine.write("config/usb_gadget/g1/UDC", "\n");
    machine.write("config/usb_gadget/kvmdesk/UDC", "a.usb\n");
    assert_eq!(machine.sentences(&named).len(), 1, "it is ours");
}

#[test]
fn programs_without_a_unit_of_the_system_are_named_one_by_one() {
    let machine = Machine::new();
    machine.process(7, "minicom", "0::/user.slice/user-1.slice/session-1.scope\n", &["ttyUSB0", "ttyUSB0"]);
    machine.process(8, "ffmpeg", "0::/system.slice/docker-12ab.scope\n", &["video0", "ttyUSB0"]);
    machine.process(9, "idle", "0::/system.slice/idle.service\n", &["null"]);
    assert_eq!(
        machine.sentences(CHIP),
        ["minicom, process 7 has ttyUSB0", "ffmpeg, process 8 has ttyUSB0 and video0"]
    );
    assert!(machine.look(CHIP).found.iter().all(|holder| holder.unit.is_none()));
}

#[test]
fn what_may_not_be_seen_is_told() {
    let machine = Machine::new();
    machine.process(7, "secret", "0::/system.slice/a.service\n", &["video0"]);
    assert!(!machine.look(GADGET).is_partial);
    let fd = machine.roots.proc.join("7/fd");
    fs::set_permissions(&fd, fs::Permissions::from_mode(0o000)).unwrap();
    let is_closed = fs::read_dir(&fd).is_err();
    assert_eq!(machine.look(GADGET).is_partial, is_closed, "root sees all");
    assert_eq!(machine.look(GADGET).found.is_empty(), is_closed);
}

#[test]
fn units_are_read_from_either_kind_of_cgroups() {
    let is = |text: &str, unit: Option<&str>| assert_eq!(unit_of(text).as_deref(), unit, "{text}");
    is("0::/system.slice/one-kvm.service\n", Some("one-kvm.service"));
    is("0::/system.slice/system-kvm.slice/kvm@1.service/inner\n", Some("kvm@1.service"));
    is("9:pids:/a\n1:name=systemd:/system.slice/a\\x2db.service\n0::/\n", Some("a\\x2db.service"));
    is("0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service\n", None);
    is("0::/system.slice/docker-1.scope\n", None);
    is("0::/system.slice/-x.service\n", None);
    is("0::/system.slice/a b.service\n", None);
    is("", None);
}
