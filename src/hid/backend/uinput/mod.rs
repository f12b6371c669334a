//! The machine's own keyboard and pointers, by the kernel's uinput: for a machine that is its own target, and for
//! developers. The same four devices as the gadget has; the system sees them come and go with this backend.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use crate::input::event::LedState;

use super::{HidBackend, HidDevice, WriteOutcome};

mod events;
mod sys;

use events::{ABS_X, ABS_Y, BUTTONS, Events, LEDS, REL_HWHEEL, REL_WHEEL, REL_X, REL_Y};
use sys::Abilities;

/// Where uinput is.
pub const NODE: &str = "/dev/uinput";

/// The backend.
#[derive(Debug)]
pub struct Uinput {
    node: PathBuf,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    keyboard: File,
    absolute: File,
    relative: File,
    control: File,
    events: Events,
    /// Told at the next write.
    error: Option<io::Error>,
}

impl Uinput {
    /// Makes the devices; if that is not possible now, the writer is told at its first write and tries again. `node` is
    /// normally [`NODE`].
    pub fn new(node: &Path) -> Self {
        let open = Open::new(node)
            .inspect_err(|error| tracing::warn!("no keyboard can be made by uinput: {error}"))
            .ok();
        Self { node: node.to_owned(), open }
    }
}

/// Whether devices can be made, without making one.
///
/// # Errors
/// A sentence about why not.
pub fn probe(node: &Path) -> io::Result<()> {
    File::options().write(true).open(node).map(|_| ()).map_err(|error| named(node, &error))
}

fn named(node: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", node.display()))
}

impl Open {
    fn new(node: &Path) -> io::Result<Self> {
        let events = Events::default();
        let make = |abilities: Abilities| sys::create(node, &abilities).map_err(|error| named(node, &error));
        let pointer = |name, product, absolute, relative| Abilities {
            name,
            product,
            keys: BUTTONS.to_vec(),
            absolute,
            relative,
            leds: &[],
        };
        let keys =
            |name, product, keys, leds| Abilities { name, product, keys, absolute: &[], relative: &[], leds };
        Ok(Self {
            keyboard: make(keys("kvmdesk keyboard", 1, events.keyboard_keys(), &LEDS))?,
            absolute: make(pointer(
                "kvmdesk absolute pointer",
                2,
                &[ABS_X, ABS_Y],
                &[REL_WHEEL, REL_HWHEEL],
            ))?,
            relative: make(pointer("kvmdesk mouse", 3, &[], &[REL_X, REL_Y, REL_WHEEL, REL_HWHEEL]))?,
            control: make(keys("kvmdesk media and power keys", 4, Events::control_keys(), &[]))?,
            events,
            error: None,
        })
    }
}

impl HidBackend for Uinput {
    fn write(&mut self, device: HidDevice, report: &[u8]) -> io::Result<WriteOutcome> {
        let node = self.node.display();
        let open = self.open.as_mut().ok_or_else(|| io::Error::other(format!("{node} is not open")))?;
        if let Some(error) = open.error.take() {
            self.open = None;
            return Err(error);
        }
        let bytes = sys::to_bytes(&open.events.of(device, report));
        let mut file = match device {
            HidDevice::Keyboard => &open.keyboard,
            HidDevice::Absolute => &open.absolute,
            HidDevice::Relative => &open.relative,
            HidDevice::Consumer | HidDevice::System => &open.control,
        };
        file.write_all(&bytes)?;
        Ok(WriteOutcome::Written)
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.open = None;
        self.open = Some(Open::new(&self.node)?);
        Ok(())
    }

    fn poll_leds(&mut self) -> Option<LedState> {
        let open = self.open.as_mut().filter(|open| open.error.is_none())?;
        match sys::read(&open.keyboard) {
            Ok(told) => open.events.leds(&told),
            Err(error) => {
                open.error = Some(error);
                None
            }
        }
    }

    fn name(&self) -> &'static str {
        "uinput"
    }

    fn led_fd(&self) -> Option<BorrowedFd<'_>> {
        self.open.as_ref().filter(|open| open.error.is_none()).map(|open| open.keyboard.as_fd())
    }

    fn has_news(&mut self) -> bool {
        self.open.as_ref().is_none_or(|open| open.error.is_some())
    }

    fn advice(&self) -> &'static str {
        "Load the kernel module uinput and let kvmdesk's user write /dev/uinput"
    }
}
