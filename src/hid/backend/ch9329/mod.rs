//! The CH9329: a serial chip that is the computer's USB keyboard and mouse. The conversation is `chip`, pure; here is
//! the line it is held on, inside the writer's thread, which sleeps in `poll(2)` for its bytes and its deadlines.
#![allow(clippy::disallowed_methods, reason = "an edge: the chip's deadlines are measured here")]

use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Instant;

use crate::input::event::LedState;

use super::{HidBackend, HidDevice, WriteOutcome};

pub mod chip;
pub mod frame;
#[cfg(test)]
pub mod line;
mod port;
pub mod reports;

use chip::{Baud, Chip, Order};
use port::Port;

/// Bytes read at once, and how often in a row: a line that never ends must not hold the thread.
const READ: (usize, usize) = (256, 16);

/// Where the chip is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ch9329Settings {
    /// The serial device.
    pub device: PathBuf,
    /// The baud rate it has, or is to have.
    pub baud: Baud,
}

/// The backend.
#[derive(Debug)]
pub struct Ch9329 {
    settings: Ch9329Settings,
    open: Option<Open>,
    has_read: bool,
}

#[derive(Debug)]
struct Open {
    port: Port,
    chip: Chip,
    /// The line failed; told at the next write.
    error: Option<io::Error>,
}

impl Ch9329 {
    /// Opens the line and looks for the chip; if there is none, the writer is told at its first write and tries again.
    pub fn new(settings: Ch9329Settings) -> Self {
        let open = Open::new(&settings)
            .inspect_err(|error| tracing::warn!("the CH9329's serial line is not ready: {error}"))
            .ok();
        Self { settings, open, has_read: false }
    }
}

impl Open {
    fn new(settings: &Ch9329Settings) -> io::Result<Self> {
        let port = Port::open(&settings.device)?;
        let mut open = Self { port, chip: Chip::new(settings.baud, Instant::now()), error: None };
        open.obey()?;
        Ok(open)
    }

    /// Does what the chip's machine orders.
    fn obey(&mut self) -> io::Result<()> {
        while let Some(order) = self.chip.poll_order() {
            match order {
                Order::SetBaud(rate) => self.port.set_baud(rate)?,
                Order::Send(bytes) => self.port.write(&bytes)?,
            }
        }
        Ok(())
    }

    /// Reads, does what is due, sends. Whether something was read.
    fn attend(&mut self) -> io::Result<bool> {
        let mut bytes = [0; READ.0];
        let mut has_read = false;
        for _ in 0..READ.1 {
            match self.port.read(&mut bytes)? {
                0 => break,
                n => self.chip.handle_bytes(&bytes[..n], Instant::now()),
            }
            has_read = true;
        }
        self.chip.handle_timeout(Instant::now());
        self.obey()?;
        Ok(has_read)
    }
}

impl HidBackend for Ch9329 {
    fn write(&mut self, device: HidDevice, report: &[u8]) -> io::Result<WriteOutcome> {
        let open = self.open.as_mut().ok_or_else(|| {
            io::Error::other(format!("the serial line {} is not open", self.settings.device.display()))
        })?;
        if let Some(error) = open.error.take() {
            self.open = None;
            return Err(error);
        }
        let Some(command) = reports::command(device, report) else {
            tracing::warn!(device = device.name(), "the CH9329 has no such key");
            return Ok(WriteOutcome::Written);
        };
        let outcome = open.chip.offer(command, Instant::now()).map_err(io::Error::other)?;
        open.obey()?;
        Ok(outcome)
    }

    fn reopen(&mut self) -> io::Result<()> {
        // Only the computer was gone: the line is as good as it was.
        if self.open.as_ref().is_some_and(|open| open.error.is_none() && open.chip.is_working()) {
            return Ok(());
        }
        self.open = None;
        self.open = Some(Open::new(&self.settings)?);
        Ok(())
    }

    fn poll_leds(&mut self) -> Option<LedState> {
        let open = self.open.as_mut().filter(|open| open.error.is_none())?;
        match open.attend() {
            Ok(has_read) => self.has_read |= has_read,
            Err(error) => open.error = Some(error),
        }
        open.chip.take_leds()
    }

    fn name(&self) -> &'static str {
        "ch9329"
    }

    fn led_fd(&self) -> Option<BorrowedFd<'_>> {
        self.open.as_ref().filter(|open| open.error.is_none()).map(|open| open.port.as_fd())
    }

    fn keeps_state(&self) -> bool {
        true
    }

    fn has_read(&mut self) -> bool {
        std::mem::take(&mut self.has_read)
    }

    fn has_news(&mut self) -> bool {
        self.open.as_mut().is_some_and(|open| open.error.is_some() || open.chip.take_news())
    }

    fn deadline(&self) -> Option<Instant> {
        self.open.as_ref().filter(|open| open.error.is_none()).and_then(|open| open.chip.deadline())
    }

    fn advice(&self) -> &'static str {
        "Check `device` of [hid] in kvmdesk's configuration and the chip's wiring"
    }
}
