//! What the HDMI input says, as states with a picture and a sentence, never as errors.

use super::format::Resolution;
use super::frame::CodecSet;

/// The state of a picture source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SignalState {
    /// The capture device is not there.
    #[default]
    NoDevice,
    /// Nothing is plugged in (no 5 V on the cable).
    NoCable,
    /// A cable, but no signal on it (`ENOLINK`).
    NoSignal,
    /// A signal that cannot be locked to (`ENOLCK`).
    NoSync,
    /// A mode the receiver cannot take (`ERANGE`).
    OutOfRange,
    /// The device says there is a signal, but no frame comes.
    Stalled,
    /// Pictures arrive.
    Active,
}

impl SignalState {
    /// What a user should read on the card and in `status`; empty for [`SignalState::Active`].
    pub fn sentence(self) -> &'static str {
        match self {
            Self::NoDevice => "No capture device: is the HDMI grabber connected to the board?",
            Self::NoCable => "No HDMI cable: is it plugged in at both ends?",
            Self::NoSignal => "No signal on HDMI: is the computer on?",
            Self::NoSync => "The HDMI signal is unstable: try another cable or a lower resolution.",
            Self::OutOfRange => "The HDMI mode is out of range: choose a lower resolution on the computer.",
            Self::Stalled => "HDMI is connected but no picture arrives: trying again.",
            Self::Active => "",
        }
    }

    /// A short word for `status` and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::NoDevice => "no-device",
            Self::NoCable => "no-cable",
            Self::NoSignal => "no-signal",
            Self::NoSync => "no-sync",
            Self::OutOfRange => "out-of-range",
            Self::Stalled => "stalled",
            Self::Active => "active",
        }
    }
}

/// What a display shows now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DisplayState {
    /// Size of the pictures being sent.
    pub resolution: Resolution,
    /// Size of the signal (the last one while there is none).
    pub original_resolution: Resolution,
    /// The source's state.
    pub signal: SignalState,
    /// What its pictures can be encoded with on this machine; changes when an encoder fails.
    pub encodes: CodecSet,
}
