//! The USB gadget's `/dev/hidgN` (kernel `f_hid`): non-blocking writes, LEDs read back.
//! The nodes are found through the gadget's configfs by what each function's report descriptor says, never by number.
//! What a write's error means was seen on Linux 6.1 and 6.12: `ESHUTDOWN` without a host, `EAGAIN` while it does not read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::hid::descriptor::{self, HidFunction};
use crate::input::event::LedState;

use super::{HidBackend, HidDevice, WriteOutcome};

/// Where the nodes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GadgetNodes {
    /// Found by a gadget's name.
    ByGadget {
        /// `configfs`, normally `/sys/kernel/config`.
        configfs: PathBuf,
        /// The gadget's name there.
        gadget: String,
        /// Where device nodes are, normally `/dev`.
        dev: PathBuf,
    },
    /// Given.
    Paths(NodePaths),
}

impl GadgetNodes {
    /// The usual places for the gadget called `gadget`.
    pub fn of_gadget(gadget: &str) -> Self {
        Self::ByGadget {
            configfs: "/sys/kernel/config".into(),
            gadget: gadget.to_owned(),
            dev: "/dev".into(),
        }
    }
}

/// The node of each function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePaths {
    /// Boot keyboard.
    pub keyboard: PathBuf,
    /// Absolute pointer.
    pub absolute: PathBuf,
    /// Relative mouse.
    pub relative: PathBuf,
    /// Media and power keys.
    pub control: PathBuf,
}

/// The backend.
#[derive(Debug)]
pub struct Gadget {
    nodes: GadgetNodes,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    keyboard: File,
    absolute: File,
    relative: File,
    control: File,
}

impl Gadget {
    /// Opens the nodes; if they are not there, the writer is told at its first write and tries again.
    pub fn new(nodes: GadgetNodes) -> Self {
        let open = Open::all(&nodes)
            .inspect_err(|error| tracing::warn!("the USB gadget is not ready: {error}"))
            .ok();
        Self { nodes, open }
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
        let mut file = match device {
            HidDevice::Keyboard => &open.keyboard,
            HidDevice::Absolute => &open.absolute,
            HidDevice::Relative => &open.relative,
            HidDevice::Consumer | HidDevice::System => &open.control,
        };
        loop {
            return match file.write(report) {
                Ok(n) if n == report.len() => Ok(WriteOutcome::Written),
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
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
        };
        Ok(Self {
            keyboard: open(&paths.keyboard)?,
            absolute: open(&paths.absolute)?,
            relative: open(&paths.relative)?,
            control: open(&paths.control)?,
        })
    }
}

fn find(nodes: &GadgetNodes) -> io::Result<NodePaths> {
    let (configfs, gadget, dev) = match nodes {
        GadgetNodes::Paths(paths) => return Ok(paths.clone()),
        GadgetNodes::ByGadget { configfs, gadget, dev } => (configfs, gadget, dev),
    };
    let functions = configfs.join("usb_gadget").join(gadget).join("functions");
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
    let node = |function: HidFunction| {
        let dir = entries
            .iter()
            .find(|dir| {
                fs::read(dir.join("report_desc")).is_ok_and(|bytes| bytes == function.report_descriptor)
            })
            .ok_or_else(|| {
                missing(&format!("the USB gadget \"{gadget}\" has no {} of ours", function.name))
            })?;
        let number = fs::read_to_string(dir.join("dev"))?;
        let (major, minor) = parse_device_number(&number)
            .ok_or_else(|| missing(&format!("{}/dev says {:?}", dir.display(), number.trim())))?;
        node_of(dev, major, minor).ok_or_else(|| {
            missing(&format!(
                "{} has no device {major}:{minor} for the {}; the gadget is not bound to a USB controller",
                dev.display(),
                function.name
            ))
        })
    };
    Ok(NodePaths {
        keyboard: node(descriptor::KEYBOARD)?,
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
        GadgetNodes::ByGadget { configfs: root.into(), gadget: "kvmdesk".into(), dev: "/dev".into() }
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
        assert_eq!(found.absolute, Path::new("/dev/zero"));
        assert_eq!(found.relative, Path::new("/dev/full"));
        assert_eq!(found.control, Path::new("/dev/urandom"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let root = tree(&[("hid.0", descriptor::KEYBOARD, "1:3")]);
        assert!(find(&nodes(root.path())).unwrap_err().to_string().contains("no absolute pointer of ours"));
        let root = tree(&[("hid.0", descriptor::KEYBOARD, "4095:77")]);
        assert!(find(&nodes(root.path())).unwrap_err().to_string().contains("not bound to a USB controller"));
        let empty = tempfile::tempdir().unwrap();
        assert!(find(&nodes(empty.path())).unwrap_err().to_string().contains("no USB gadget \"kvmdesk\""));
    }

    #[test]
    fn a_failing_node_is_an_error_and_an_unopened_one_too() {
        let full: PathBuf = "/dev/full".into();
        let paths = NodePaths {
            keyboard: full.clone(),
            absolute: full.clone(),
            relative: full,
            control: "/dev/null".into(),
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
