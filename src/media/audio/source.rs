//! Where samples come from: something that opens a capture, and the open capture.

use std::time::Instant;

use crate::media::wake::WakeReceiver;

/// A sentence about a capture device: what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PcmError(pub String);

/// A device that may be there or not.
pub trait PcmSource: Send {
    /// As configured, for people.
    fn name(&self) -> String;

    /// Whether somebody named it, so that its absence is worth a warning.
    fn is_named(&self) -> bool {
        true
    }

    /// Looks whether there is a device to open, without opening it; where that cannot be seen, there is one.
    ///
    /// # Errors
    /// There is none.
    fn look(&mut self) -> Result<(), PcmError> {
        Ok(())
    }

    /// Opens it and starts to capture.
    ///
    /// # Errors
    /// It is not there, in use, or cannot give what is asked for.
    fn open(&mut self) -> Result<Box<dyn Pcm>, PcmError>;
}

/// An open capture: 48 kHz, two channels, 16 bits. Stays on its thread.
pub trait Pcm {
    /// What was opened, for people.
    fn name(&self) -> &str;

    /// Blocks in poll(2) until samples are there, `wake` was signalled (the signal is taken), or `until`.
    ///
    /// # Errors
    /// The device is gone.
    fn wait(&mut self, wake: &WakeReceiver, until: Instant) -> Result<(), PcmError>;

    /// Adds all samples that are there, left and right in turn; does not block.
    ///
    /// # Errors
    /// The device is gone.
    fn read(&mut self, into: &mut Vec<i16>) -> Result<Fetched, PcmError>;
}

/// What came of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// Samples, or none, that follow those before.
    Samples,
    /// Samples were lost: what was waiting before does not belong to what comes now.
    Overrun,
}
