//! The USB gadget's `/dev/hidgN` (kernel `f_hid`): non-blocking writes, LEDs read back.
//! The nodes are found through the gadget's configfs by what each function's report descriptor says, never by number.
//! What a write's error means was seen on Linux 6.1 and 6.12: `ESHUTDOWN` without a host, `EAGAIN` while it does not read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::hid::configfs::repair::{self, Repair};
use crate::hid::configfs::{KernelPaths, wake_file};
use crate::hid::descriptor::{self, HidFunction};
use crate::input::event::LedState;

use super::{HidBackend, HidDevice, WriteOutcome};

/// Where the nodes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GadgetNodes {
    /// Found by a gadget's name.
    ByGadget {
        /// The gadget's name in configfs.
        gadget: String,
        /// Where the kernel shows it.
        kernel: KernelPaths,
    },
    /// Given.
    Paths(NodePaths),
}

impl GadgetNodes {
    /// The usual places for the gadget called `gadget`.
    pub fn of_gadget(gadget: &str) -> Self {
        Self::ByGadget { gadget: gadget.to_owned(), kernel: KernelPaths::default() }
    }
}

/// The node of each function; only the keyboard is always there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePaths {
    /// Boot keyboard.
    pub keyboard: PathBuf,
    /// Absolute pointer.
    pub absolute: Option<PathBuf>,
    /// Relative mouse.
    pub relative: Option<PathBuf>,
    /// Media and power keys.
    pub control: Option<PathBuf>,
}

/// The backend.
#[derive(Debug)]
pub struct Gadget {
    nodes: GadgetNodes,
    open: Option<Open>,
    /// A request for a repair lies there, as far as we know.
    has_asked: bool,
}

#[derive(Debug)]
struct Open {
    keyboard: File,
    absolute: Option<File>,
    relative: Option<File>,
    control: Option<File>,
}

impl Gadget {
    /// Opens the nodes; if they are not there, the writer is told at its first write and tries again.
    pub fn new(nodes: GadgetNodes) -> Self {
        if let GadgetNodes::ByGadget { kernel, .. } = &nodes {
            // Left by a daemon that ended: about another trouble than ours.
            repair::withdraw(kernel);
        }
        let open = Open::all(&nodes)
            .inspect_err(|error| tracing::warn!("the USB gadget is not ready: {error}"))
            .ok();
        Self { nodes, open, has_asked: false }
    }
}

/// Looks whether every node is there and may be opened, without keeping them open.
///
/// # Errors
/// A sentence about the first node that is missing or closed to us.
pub fn probe(nodes: &GadgetNodes) -> io::Result<NodePaths> {
    let paths = find(nodes)?;
    Open::paths(&paths)?;
    Ok(paths)
}

impl HidBackend for Gadget {
    fn write(&mut self, device: HidDevice, report: &[u8]) -> io::Result<WriteOutcome> {
        let open = self.open.as_ref().ok_or_else(|| io::Error::other("the /dev/hidg* nodes are not open"))?;
        let file = match device {
            HidDevice::Keyboard => Some(&open.keyboard),
            HidDevice::Absolute => open.absolute.as_ref(),
            HidDevice::Relative => open.relative.as_ref(),
            HidDevice::Consumer | HidDevice::System => open.control.as_ref(),
        };
        let Some(mut file) = file else { return Ok(WriteOutcome::NoDevice) };
        loop {
            return match file.write(report) {
                Ok(n) if n == report.len() => {
                    // The gadget works: what was asked for and not taken yet would only unplug it.
                    if let (true, GadgetNodes::ByGadget { kernel, .. }) = (self.has_asked, &self.nodes) {
                        repair::withdraw(kernel);
                        self.has_asked = false;
                    }
                    Ok(WriteOutcome::Written)
                }
                Ok(n) => Err(io::Error::other(format!("only {n} of {} bytes were taken", report.len()))),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(WriteOutcome::Busy),
                Err(error) if error.raw_os_error() == Some(libc::ESHUTDOWN) => Ok(WriteOutcome::HostGone),
                Err(error) => Err(error),
            };
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.open = None;
        self.open = Some(Open::all(&self.nodes)?);
        Ok(())
    }

    fn poll_leds(&mut self) -> Option<LedState> {
        let mut keyboard = &self.open.as_ref()?.keyboard;
        let mut last = None;
        let mut report = [0u8; 8];
        // The kernel keeps few reports; the bound is against a device that always has one.
        for _ in 0..64 {
            match keyboard.read(&mut report) {
                Ok(n) if n > 0 => last = Some(LedState::from_report(report[0])),
                Ok(_) | Err(_) => break,
            }
        }
        last
    }

    fn name(&self) -> &'static str {
        "gadget"
    }

    fn led_fd(&self) -> Option<BorrowedFd<'_>> {
        self.open.as_ref().map(|open| open.keyboard.as_fd())
    }

    fn keeps_state(&self) -> bool {
        true
    }

    fn can_repair(&self) -> bool {
        matches!(self.nodes, GadgetNodes::ByGadget { .. })
    }

    fn repair(&mut self, repair: Repair) -> io::Result<()> {
        let GadgetNodes::ByGadget { kernel, .. } = &self.nodes else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        repair::ask(repair, kernel)?;
        self.has_asked = true;
        Ok(())
    }

    fn wake(&mut self) -> io::Result<()> {
        let GadgetNodes::ByGadget { gadget, kernel } = &self.nodes else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let file = wake_file(gadget, kernel).ok_or_else(|| {
            io::Error::other(format!("the USB gadget \"{gadget}\" is not bound to a USB controller"))
        })?;
        OpenOptions::new().write(true).open(&file).and_then(|mut open| open.write_all(b"1")).map_err(
            |error| {
                let text = format!("{}: {error}; run `kvmdesk gadget up` as root", file.display());
                io::Error::new(error.kind(), text)
            },
        )
    }
}

/// Why a node cannot be opened. systemd makes numbers of `DeviceAllow=char-hidg` when the service starts, and knows none
/// if no gadget was there; then the answer is EPERM, where a node's mode would give EACCES.
fn refusal(path: &Path, error: &io::Error) -> String {
    let remedy = match error.raw_os_error() {
        Some(libc::EPERM) => {
            ", because the gadget was made by hand after kvmdesk had started: run `systemctl restart kvmdesk`"
        }
        _ => "",
    };
    format!("{}: {error}{remedy}", path.display())
}

impl Open {
    fn all(nodes: &GadgetNodes) -> io::Result<Self> {
        Self::paths(&find(nodes)?)
    }

    fn paths(paths: &NodePaths) -> io::Result<Self> {
        let open = |path: &Path| {
            OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
                .open(path)
                .map_err(|error| io::Error::new(error.kind(), refusal(path, &error)))
        };
        let open_some = |path: &Option<PathBuf>| path.as_deref().map(open).transpose();
        Ok(Self {
            keyboard: open(&paths.keyboard)?,
            absolute: open_some(&paths.absolute)?,
            relative: open_some(&paths.relative)?,
            control: open_some(&paths.control)?,
        })
    }
}

fn find(nodes: &GadgetNodes) -> io::Result<NodePaths> {
    let (gadget, kernel) = match nodes {
        GadgetNodes::Paths(paths) => return Ok(paths.clone()),
        GadgetNodes::ByGadget { gadget, kernel } => (gadget, kernel),
    };
    let functions = kernel.configfs.join("usb_gadget").join(gadget).join("functions");
    let missing = |what: &str| io::Error::new(io::ErrorKind::NotFound, what.to_owned());
    let mut entries: Vec<PathBuf> = fs::read_dir(&functions)
        .map_err(|error| {
            missing(&format!("there is no USB gadget \"{gadget}\" ({}: {error})", functions.display()))
        })?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"hid.")))
        .collect();
    entries.sort();
    let node = |function: HidFunction| -> io::Result<Option<PathBuf>> {
        let is_it = |dir: &&PathBuf| {
            fs::read(dir.join("report_desc")).is_ok_and(|bytes| bytes == function.report_descriptor)
        };
        let Some(dir) = entries.iter().find(is_it) else { return Ok(None) };
        let number = fs::read_to_string(dir.join("dev"))?;
        let (major, minor) = parse_device_number(&number)
            .ok_or_else(|| missing(&format!("{}/dev says {:?}", dir.display(), number.trim())))?;
        let node = node_of(&kernel.dev, major, minor).ok_or_else(|| {
            missing(&format!(
                "{} has no device {major}:{minor} for the {}; the gadget is not bound to a USB controller",
                kernel.dev.display(),
                function.name
            ))
        })?;
        Ok(Some(node))
    };
    Ok(NodePaths {
        keyboard: node(descriptor::KEYBOARD)?
            .ok_or_else(|| missing(&format!("the USB gadget \"{gadget}\" has no keyboard of ours")))?,
        absolute: node(descriptor::ABSOLUTE)?,
        relative: node(descriptor::RELATIVE)?,
        control: node(descriptor::CONTROL)?,
    })
}

/// `MAJOR:MINOR` of a function's `dev` attribute.
pub(crate) fn parse_device_number(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The character device with this number in `dev`.
pub(crate) fn node_of(dev: &Path, major: u32, minor: u32) -> Option<PathBuf> {
    let wanted = libc::makedev(major, minor);
    fs::read_dir(dev)
        .ok()?
        .flatten()
        .find(|entry| {
            // `DirEntry::metadata` does not follow links, which is right: nodes, not links to nodes.
            entry.metadata().is_ok_and(|meta| meta.file_type().is_char_device() && meta.rdev() == wanted)
        })
        .map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_refuses_is_told_with_its_remedy() {
        let told = |code| refusal(Path::new("/dev/hidg0"), &io::Error::from_raw_os_error(code));
        assert_eq!(told(libc::EACCES), "/dev/hidg0: Permission denied (os error 13)");
        assert!(told(libc::EPERM).ends_with(": run `systemctl restart kvmdesk`"), "{}", told(libc::EPERM));
    }

    /// A configfs tree whose functions stand in any order and have the numbers of nodes that exist everywhere.
    fn tree(functions: &[(&str, HidFunction, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, function, number) in functions {
            let dir = root.path().join("usb_gadget/kvmdesk/functions").join(name);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("report_desc"), function.report_descriptor).unwrap();
            fs::write(dir.join("dev"), format!("{number}\n")).unwrap();
        }
        root
    }

    fn nodes(root: &Path) -> GadgetNodes {
        let at = |name: &str| root.join(name);
        let kernel = KernelPaths {
            configfs: root.into(),
            sysfs: at("sys"),
            run: at("run"),
            group_file: at("group"),
            ..KernelPaths::default()
        };
        GadgetNodes::ByGadget { gadget: "kvmdesk".into(), kernel }
    }

    #[test]
    fn nodes_are_found_by_descriptor_and_number() {
        let root = tree(&[
            ("hid.3", descriptor::KEYBOARD, "1:3"),
            ("hid.2", descriptor::ABSOLUTE, "1:5"),
            ("hid.1", descriptor::RELATIVE, "1:7"),
            ("hid.0", descriptor::CONTROL, "1:9"),
        ]);
        let found = find(&nodes(root.path())).unwrap();
        assert_eq!(found.keyboard, Path::new("/dev/null"));
        assert_eq!(found.absolute.as_deref(), Some(Path::new("/dev/zero")));
        assert_eq!(found.relative.as_deref(), Some(Path::new("/dev/full")));
        assert_eq!(found.control.as_deref(), Some(Path::new("/dev/urandom")));
    }

    #[test]
    fn what_is_missing_is_named() {
        let root = tree(&[("hid.0", descriptor::RELATIVE, "1:3")]);
        assert!(find(&nodes(root.path())).unwrap_err().to_string().contains("no keyboard of ours"));
        let root = tree(&[("hid.0", descriptor::KEYBOARD, "4095:77")]);
        assert!(find(&nodes(root.path())).unwrap_err().to_string().contains("not bound to a USB controller"));
        let empty = tempfile::tempdir().unwrap();
        assert!(find(&nodes(empty.path())).unwrap_err().to_string().contains("no USB gadget \"kvmdesk\""));
    }

    #[test]
    fn a_function_that_is_not_there_takes_nothing_and_says_so() {
        let root = tree(&[("hid.0", descriptor::KEYBOARD, "1:3"), ("hid.1", descriptor::RELATIVE, "1:5")]);
        let mut gadget = Gadget::new(nodes(root.path()));
        assert_eq!(gadget.write(HidDevice::Keyboard, &[0; 8]).unwrap(), WriteOutcome::Written);
        assert_eq!(gadget.write(HidDevice::Relative, &[0; 5]).unwrap(), WriteOutcome::Written);
        for device in [HidDevice::Absolute, HidDevice::Consumer, HidDevice::System] {
            assert_eq!(gadget.write(device, &[0; 7]).unwrap(), WriteOutcome::NoDevice);
        }
    }

    #[test]
    fn a_repair_is_asked_for_once_and_taken_back_when_reports_flow() {
        let root = tree(&[("hid.0", descriptor::KEYBOARD, "1:3")]);
        let mut gadget = Gadget::new(nodes(root.path()));
        let place = root.path().join("run/kvmdesk");
        let nowhere = gadget.repair(Repair::Rebind).unwrap_err().to_string();
        assert!(nowhere.contains("kvmdesk-gadget-repair.path"), "{nowhere}");
        fs::create_dir_all(&place).unwrap();
        gadget.repair(Repair::Rebind).unwrap();
        assert_eq!(fs::read_to_string(place.join("gadget-repair")).unwrap(), "rebind");
        let untaken = gadget.repair(Repair::Rebuild).unwrap_err().to_string();
        assert!(untaken.contains("nobody took the last request"), "{untaken}");
        gadget.write(HidDevice::Keyboard, &[0; 8]).unwrap();
        assert!(!place.join("gadget-repair").exists());
    }

    #[test]
    fn waking_writes_to_the_controller_that_the_gadget_is_bound_to() {
        let root = tree(&[("hid.0", descriptor::KEYBOARD, "1:3")]);
        let mut gadget = Gadget::new(nodes(root.path()));
        assert!(gadget.wake().unwrap_err().to_string().contains("not bound"));
        fs::write(root.path().join("usb_gadget/kvmdesk/UDC"), "some.usb\n").unwrap();
        assert!(gadget.wake().unwrap_err().to_string().contains("class/udc/some.usb/srp"));
        let controller = root.path().join("sys/class/udc/some.usb");
        fs::create_dir_all(&controller).unwrap();
        fs::write(controller.join("srp"), "").unwrap();
        gadget.wake().unwrap();
        assert_eq!(fs::read_to_string(controller.join("srp")).unwrap(), "1");
    }

    #[test]
    fn a_failing_node_is_an_error_and_an_unopened_one_too() {
        let full: PathBuf = "/dev/full".into();
        let paths = NodePaths {
            keyboard: full.clone(),
            absolute: Some(full.clone()),
            relative: Some(full),
            control: Some("/dev/null".into()),
        };
        let mut gadget = Gadget::new(GadgetNodes::Paths(paths));
        assert_eq!(
            gadget.write(HidDevice::Keyboard, &[0; 8]).unwrap_err().raw_os_error(),
            Some(libc::ENOSPC)
        );
        assert_eq!(gadget.write(HidDevice::System, &[2, 0]).unwrap(), WriteOutcome::Written);
        let root = tempfile::tempdir().unwrap();
        let mut gadget = Gadget::new(nodes(root.path()));
        assert!(gadget.write(HidDevice::Keyboard, &[0; 8]).is_err());
        assert!(gadget.reopen().is_err());
        assert_eq!(gadget.poll_leds(), None);
    }
}
