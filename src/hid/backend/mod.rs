//! Where reports go: one file behind [`HidBackend`] each, one arm in [`open`].

use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Instant;

use crate::hid::configfs::repair::Repair;
use crate::input::event::LedState;

pub mod ch9329;
pub mod gadget;
pub mod recording;
pub mod uinput;

/// Which report a device of ours takes. `Consumer` and `System` share one USB function (report IDs 1 and 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HidDevice {
    /// 8 bytes: modifiers, 0, six usages (boot keyboard).
    Keyboard,
    /// 7 bytes: buttons, X u16, Y u16, wheel i8, AC Pan i8.
    Absolute,
    /// 5 bytes: buttons, dX i8, dY i8, wheel i8, AC Pan i8 (boot mouse in front).
    Relative,
    /// 3 bytes: `01`, u16 consumer usage.
    Consumer,
    /// 2 bytes: `02`, u8 system bits.
    System,
}

impl HidDevice {
    /// The name in recordings and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keyboard => "keyboard",
            Self::Absolute => "absolute",
            Self::Relative => "relative",
            Self::Consumer => "consumer",
            Self::System => "system",
        }
    }
}

/// What a write came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteOutcome {
    /// Taken.
    Written,
    /// Not now (`EAGAIN`): the host does not poll; try again later.
    Busy,
    /// Not now: it is still being looked for whether there is a device that works; try again soon.
    Unknown,
    /// The host is gone (`ESHUTDOWN`).
    HostGone,
    /// The backend has no such device, as it is set up now.
    NoDevice,
}

/// A way to deliver reports. Never blocks.
pub trait HidBackend: Send {
    /// Writes one report.
    ///
    /// # Errors
    /// A device that failed in use: it is closed and opened anew by the writer.
    fn write(&mut self, device: HidDevice, report: &[u8]) -> std::io::Result<WriteOutcome>;
    /// Closes and opens everything anew.
    ///
    /// # Errors
    /// A device that cannot be opened now.
    fn reopen(&mut self) -> std::io::Result<()>;
    /// The last LED report since the previous call, if one came. Never blocks.
    fn poll_leds(&mut self) -> Option<LedState>;
    /// Short name for `status` and logs.
    fn name(&self) -> &'static str;
    /// What becomes readable when a LED report comes, so that the writer need not ask in turns.
    fn led_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    /// Whether the last [`Self::poll_leds`] read something, be it a LED report or not. For backends whose descriptor
    /// brings more than LED reports.
    fn has_read(&mut self) -> bool {
        false
    }
    /// Whether, without any write, it was noticed that the host or the device went; the writer then writes to learn.
    fn has_news(&mut self) -> bool {
        false
    }
    /// When [`Self::poll_leds`] wants to be called though nothing is readable.
    fn deadline(&self) -> Option<Instant> {
        None
    }
    /// What a user can do when the device fails; a sentence without its end.
    fn advice(&self) -> &'static str {
        "Run `kvmdesk gadget up` as root"
    }
    /// Whether [`Self::repair`] can do something.
    fn can_repair(&self) -> bool {
        false
    }
    /// Asks for the gadget to be bound or built anew, without waiting for it.
    ///
    /// # Errors
    /// Nobody can be asked; a sentence about what to do.
    fn repair(&mut self, repair: Repair) -> std::io::Result<()> {
        let _ = repair;
        Err(std::io::ErrorKind::Unsupported.into())
    }
    /// Wakes a host that sleeps, as far as can be told.
    ///
    /// # Errors
    /// There is no way to; a sentence about what to do.
    fn wake(&mut self) -> std::io::Result<()> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
    /// Whether the target may still see down what an earlier process pressed; the writer then lifts all first.
    fn keeps_state(&self) -> bool {
        false
    }
}

/// Which backend, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackendSettings {
    /// The USB gadget's `/dev/hidgN`.
    Gadget(gadget::GadgetNodes),
    /// A CH9329 on a serial line.
    Ch9329(ch9329::Ch9329Settings),
    /// JSON lines into a file (appended), or nowhere.
    Recording {
        /// The file; `None` discards the reports.
        file: Option<PathBuf>,
    },
    /// This machine's own input, by the uinput of this node.
    Uinput(PathBuf),
}

/// A backend that could not be opened at all.
#[derive(Debug, thiserror::Error)]
#[error(
    "the HID log {path} cannot be written: {source}. Name a file in a directory that exists and is writable"
)]
pub struct OpenError {
    path: String,
    source: std::io::Error,
}

/// Opens a backend. Gadget nodes, a serial line or a uinput that are missing now are no error: the writer says so in its health and tries
/// again until they are there; [`gadget::probe`] is for looking beforehand.
///
/// # Errors
/// [`OpenError`]: a recording file that cannot be written.
pub fn open(settings: &BackendSettings) -> Result<Box<dyn HidBackend>, OpenError> {
    match settings {
        BackendSettings::Gadget(nodes) => Ok(Box::new(gadget::Gadget::new(nodes.clone()))),
        BackendSettings::Ch9329(settings) => Ok(Box::new(ch9329::Ch9329::new(settings.clone()))),
        BackendSettings::Uinput(node) => Ok(Box::new(uinput::Uinput::new(node))),
        BackendSettings::Recording { file: None } => Ok(Box::new(recording::Recording::discarding())),
        BackendSettings::Recording { file: Some(path) } => recording::Recording::to_file(path)
            .map(|backend| Box::new(backend) as Box<dyn HidBackend>)
            .map_err(|source| OpenError { path: path.display().to_string(), source }),
    }
}
