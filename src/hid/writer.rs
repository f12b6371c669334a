//! The writer thread: one queue, owners per session, recovery. (Contract; to be built.)

use tokio::sync::watch;

use crate::input::event::{InputEvent, LedState};

use super::backend::HidBackend;

/// How the HID side does, for `status` and the controller.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HidHealth {
    /// Reports are being taken (or none was written yet).
    pub is_connected: bool,
    /// A sentence about what is wrong, empty when all is well.
    pub notice: String,
    /// Reports written since start.
    pub reports_written: u64,
    /// Events thrown away because the host was gone.
    pub events_discarded: u64,
}

/// The settings of a writer.
#[derive(Debug, Clone)]
pub struct HidSettings {
    /// Keyboard layout of the target for typed text; only `us` now.
    pub keyboard_layout: String,
}

/// Owner of the writer thread; dropping it lifts everything and joins.
#[derive(Debug)]
pub struct HidWriter {
    _private: (),
}

/// One session's way in; dropping it lifts whatever the session holds.
#[derive(Debug)]
pub struct HidHandle {
    _private: (),
}

/// Why an event was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the keyboard queue is full: the computer does not take input")]
pub struct QueueFull;

impl HidWriter {
    /// Starts the thread.
    pub fn spawn(_backend: Box<dyn HidBackend>, _settings: HidSettings) -> Self {
        Self { _private: () }
    }

    /// A new owner of keys and buttons.
    pub fn open_session(&self) -> HidHandle {
        HidHandle { _private: () }
    }

    /// The target's LEDs.
    pub fn leds(&self) -> watch::Receiver<LedState> {
        watch::channel(LedState::default()).1
    }

    /// Health, for status and notices.
    pub fn health(&self) -> watch::Receiver<HidHealth> {
        watch::channel(HidHealth::default()).1
    }
}

impl HidHandle {
    /// Queues an event; never blocks. Releases and pointer positions are always taken.
    ///
    /// # Errors
    /// [`QueueFull`] for presses and text while the queue is full.
    pub fn send(&self, _event: InputEvent) -> Result<(), QueueFull> {
        Ok(())
    }
}
