//! The encoders that this machine may have, best first, and which of them may be used: what fails is passed over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::openh264::OpenH264;
use super::{EncodeError, Encoder};
use crate::video::format::Resolution;
use crate::video::frame::{Codec, CodecSet};

/// One way to encode.
pub trait Candidate: Send + Sync {
    /// Its name, unique: `openh264`, or the GStreamer element.
    fn name(&self) -> &'static str;

    /// What it writes.
    fn codec(&self) -> Codec;

    /// CPU for a frame, in percent of openh264's.
    fn cost(&self) -> u32;

    /// Opens one for pictures of `resolution` (even).
    ///
    /// # Errors
    /// [`EncodeError`] if it does not take the size or does not start.
    fn open(&self, resolution: Resolution) -> Result<Box<dyn Encoder>, EncodeError>;
}

/// The candidates of a machine and what is known of them.
pub struct Encoders {
    candidates: Vec<Arc<dyn Candidate>>,
    rejected: Mutex<BTreeMap<&'static str, String>>,
}

impl std::fmt::Debug for Encoders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.candidates.iter().map(|c| c.name())).finish()
    }
}

impl Encoders {
    /// Those of this machine. Nothing is opened yet.
    pub fn of_this_machine() -> Arc<Self> {
        Self::of(vec![Arc::new(OpenH264Candidate)])
    }

    /// These, best first.
    pub fn of(candidates: Vec<Arc<dyn Candidate>>) -> Arc<Self> {
        Arc::new(Self { candidates, rejected: Mutex::default() })
    }

    fn rejected(&self) -> MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.rejected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The candidate that [`Encoders::open`] would take.
    fn best(&self, codec: Codec) -> Option<&Arc<dyn Candidate>> {
        let rejected = self.rejected();
        self.candidates.iter().find(|c| c.codec() == codec && !rejected.contains_key(c.name()))
    }

    /// What can be encoded; shrinks when candidates fail.
    pub fn codecs(&self) -> CodecSet {
        Codec::ALL.into_iter().filter(|codec| self.best(*codec).is_some()).collect()
    }

    /// CPU for a frame of this codec, in percent of openh264's; `None` if it cannot be encoded.
    pub fn cost(&self, codec: Codec) -> Option<u32> {
        self.best(codec).map(|c| c.cost())
    }

    /// Opens the best encoder of a codec that works; candidates that fail are rejected on the way.
    ///
    /// # Errors
    /// [`EncodeError::Size`] if the size is impossible, [`EncodeError::None`] if nothing is left.
    pub fn open(&self, codec: Codec, resolution: Resolution) -> Result<Box<dyn Encoder>, EncodeError> {
        while let Some(candidate) = self.best(codec).cloned() {
            match candidate.open(resolution) {
                Err(error @ EncodeError::Size(_)) => return Err(error),
                Err(error) => self.reject(candidate.name(), error.to_string()),
                Ok(encoder) => return Ok(encoder),
            }
        }
        Err(EncodeError::None(codec))
    }

    /// A candidate failed in use: it is passed over from now on.
    pub fn reject(&self, name: &'static str, reason: String) {
        tracing::warn!(encoder = name, reason, "an encoder is passed over");
        self.rejected().insert(name, reason);
    }
}

struct OpenH264Candidate;

impl Candidate for OpenH264Candidate {
    fn name(&self) -> &'static str {
        "openh264"
    }

    fn codec(&self) -> Codec {
        Codec::H264
    }

    fn cost(&self) -> u32 {
        100
    }

    fn open(&self, resolution: Resolution) -> Result<Box<dyn Encoder>, EncodeError> {
        Ok(Box::new(OpenH264::open(resolution)?))
    }
}
