//! The computer's sound, if it is captured: one source for all displays.

use crate::media::audio::{AudioHandle, AudioSettings, WhatIsOpen};

/// Owner of the sound source.
#[derive(Debug)]
pub(super) struct Sound {
    #[cfg(feature = "sound")]
    audio: Option<crate::media::audio::worker::Audio>,
}

impl Sound {
    /// Starts the source of these settings. The device is opened when somebody listens. `opened`: of the pictures that
    /// the sound may belong to.
    #[cfg(feature = "sound")]
    pub fn start(settings: Option<AudioSettings>, opened: WhatIsOpen) -> Self {
        Self { audio: settings.map(|settings| crate::media::audio::worker::Audio::spawn(settings, opened)) }
    }

    /// There is no sound in this build; the configuration refuses to ask for it.
    #[cfg(not(feature = "sound"))]
    pub fn start(_: Option<AudioSettings>, _: WhatIsOpen) -> Self {
        Self {}
    }

    /// Ends the source and its thread.
    pub fn stop(self) {
        #[cfg(feature = "sound")]
        drop(self.audio);
    }

    /// A handle for sessions.
    pub fn handle(&self) -> Option<AudioHandle> {
        #[cfg(feature = "sound")]
        return self.audio.as_ref().map(crate::media::audio::worker::Audio::handle);
        #[cfg(not(feature = "sound"))]
        None
    }
}
