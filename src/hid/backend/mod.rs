//! Where reports go: one file behind [`HidBackend`] each, one line in [`open`]. (Contract; to be built.)

use crate::input::event::LedState;

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

/// What a write came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteOutcome {
    /// Taken.
    Written,
    /// Not now (`EAGAIN`): the host does not poll; try again later.
    Busy,
    /// The host is gone (`ESHUTDOWN`).
    HostGone,
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
}
