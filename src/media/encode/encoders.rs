//! The encoders that this machine may have, best first, and which of them may be used: each proves itself before its
//! first use, what fails is passed over for a while.
#![allow(clippy::disallowed_methods, reason = "an edge: how long something is passed over is real time")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::openh264::OpenH264;
use super::{EncodeError, Encoder, self_check, sys};
use crate::video::format::Resolution;
use crate::video::frame::{Codec, CodecSet};

/// A device may have been busy, or memory short: what failed in use gets another try after this time.
const PASSED_OVER: Duration = Duration::from_secs(600);

/// One way to encode.
pub trait Candidate: Send + Sync {
    /// Its name, unique: `openh264`, or the GStreamer element.
    fn name(&self) -> &'static str;

    /// What it writes.
    fn codec(&self) -> Codec;

    /// CPU for a frame at equal luma SSIM, in percent of openh264's.
    fn cost(&self) -> u32;

    /// Opens one for pictures of `resolution` (even).
    ///
    /// # Errors
    /// [`EncodeError`] if it does not take the size or does not start.
    fn open(&self, resolution: Resolution) -> Result<Box<dyn Encoder>, EncodeError>;

    /// Whether this machine has it at all.
    fn is_there(&self) -> bool {
        true
    }

    /// Whether it runs outside of the CPU.
    fn is_hardware(&self) -> bool {
        false
    }

    /// Whether it was never run on the device that it is for; then nothing but the self-check vouches for it.
    fn is_unproven(&self) -> bool {
        false
    }
}

/// What is known of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CandidateState {
    /// The machine does not have it.
    NotThere,
    /// It was not needed yet.
    NotTried,
    /// It passed its self-check.
    Proven {
        /// How it was checked and what was found.
        note: String,
    },
    /// It is passed over.
    Rejected {
        /// Why, as a sentence.
        reason: String,
    },
}

/// A candidate in a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CandidateReport {
    /// Its name.
    pub name: &'static str,
    /// What it writes.
    pub codec: Codec,
    /// CPU for a frame at equal luma SSIM, in percent of openh264's.
    pub cost: u32,
    /// Whether it runs outside of the CPU.
    pub is_hardware: bool,
    /// Whether it was never run on the device that it is for.
    pub is_unproven: bool,
    /// What is known of it here.
    pub state: CandidateState,
}

/// A candidate and the outcome of its self-check, which is made once.
struct Slot {
    candidate: Arc<dyn Candidate>,
    is_checked: bool,
    proof: OnceLock<Result<String, String>>,
}

/// The candidates of a machine and what is known of them.
pub struct Encoders {
    slots: Vec<Arc<Slot>>,
    /// What failed in use: why, and until when it is passed over.
    rejected: Mutex<BTreeMap<&'static str, (String, Instant)>>,
    /// Codecs that a thread was started for.
    asked: Mutex<CodecSet>,
}

impl std::fmt::Debug for Encoders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.slots.iter().map(|slot| slot.candidate.name())).finish()
    }
}

impl Slot {
    fn new(candidate: Arc<dyn Candidate>, is_checked: bool) -> Arc<Self> {
        Arc::new(Self { candidate, is_checked, proof: OnceLock::new() })
    }

    /// Checks the candidate if that was not done before; waits if another thread is at it.
    fn prove(&self) -> Result<(), String> {
        if !self.is_checked {
            return Ok(());
        }
        let proof = self.proof.get_or_init(|| {
            let proof = self_check::prove(self.candidate.as_ref());
            tracing::info!(encoder = self.candidate.name(), ?proof, "self-check of an encoder");
            proof
        });
        proof.as_ref().map(|_| ()).map_err(Clone::clone)
    }
}

impl Encoders {
    /// Those of this machine in their own order.
    pub fn of_this_machine() -> Arc<Self> {
        Self::in_order(&[])
    }

    /// Those of this machine, with the ones of these names first; a name of none is passed over. Nothing is opened yet.
    /// The outcome of self-checks is kept for the life of the process.
    pub fn in_order(first: &[String]) -> Arc<Self> {
        let mut slots = Self::slots().to_vec();
        let place = |slot: &Arc<Slot>| first.iter().position(|name| name == slot.candidate.name());
        slots.sort_by_key(|slot| place(slot).unwrap_or(first.len()));
        Self::with(slots)
    }

    /// The names of all that this build knows, whether this machine has them or not.
    pub fn names() -> Vec<&'static str> {
        let names = std::iter::once(OpenH264Candidate.name());
        #[cfg(feature = "gstreamer")]
        let names = names.chain(super::gstreamer::names());
        names.collect()
    }

    fn slots() -> &'static [Arc<Slot>] {
        static SLOTS: OnceLock<Vec<Arc<Slot>>> = OnceLock::new();
        SLOTS.get_or_init(|| {
            // Of equal cost openh264 comes first: it needs fewer bytes than x264 for the same SSIM, and no plugin.
            let mut candidates: Vec<Arc<dyn Candidate>> = vec![openh264()];
            #[cfg(feature = "gstreamer")]
            candidates.extend(super::gstreamer::candidates().map(|c| Arc::new(c) as Arc<dyn Candidate>));
            candidates.sort_by_key(|candidate| (!candidate.is_hardware(), candidate.cost()));
            candidates.into_iter().map(|candidate| Slot::new(candidate, true)).collect()
        })
    }

    /// These, best first; each proves itself before its first use.
    pub fn checked(candidates: Vec<Arc<dyn Candidate>>) -> Arc<Self> {
        Self::with(candidates.into_iter().map(|candidate| Slot::new(candidate, true)).collect())
    }

    /// These, best first, taken at their word.
    pub fn of(candidates: Vec<Arc<dyn Candidate>>) -> Arc<Self> {
        Self::with(candidates.into_iter().map(|candidate| Slot::new(candidate, false)).collect())
    }

    fn with(slots: Vec<Arc<Slot>>) -> Arc<Self> {
        Arc::new(Self { slots, rejected: Mutex::default(), asked: Mutex::new(CodecSet::EMPTY) })
    }

    /// What is passed over now.
    fn rejected(&self) -> MutexGuard<'_, BTreeMap<&'static str, (String, Instant)>> {
        let mut rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        if !rejected.is_empty() {
            let now = Instant::now();
            rejected.retain(|_, (_, until)| now < *until);
        }
        rejected
    }

    /// Those of a codec that may work, best first.
    fn usable(&self, codec: Codec) -> impl Iterator<Item = &Arc<Slot>> {
        self.slots.iter().filter(move |slot| {
            slot.candidate.codec() == codec
                && slot.candidate.is_there()
                && !matches!(slot.proof.get(), Some(Err(_)))
                && !self.rejected().contains_key(slot.candidate.name())
        })
    }

    /// What can be encoded; shrinks when candidates fail.
    pub fn codecs(&self) -> CodecSet {
        Codec::ALL.into_iter().filter(|codec| self.usable(*codec).next().is_some()).collect()
    }

    /// CPU for a frame of this codec, in percent of openh264's; `None` if it cannot be encoded.
    pub fn cost(&self, codec: Codec) -> Option<u32> {
        self.usable(codec).next().map(|slot| slot.candidate.cost())
    }

    /// Opens the best encoder of a codec that works and takes the size; candidates that fail are rejected on the way.
    /// The first time that a candidate is used it is checked before, which takes a tenth of a second.
    ///
    /// # Errors
    /// [`EncodeError::Size`] if no candidate takes the size, [`EncodeError::None`] if nothing is left.
    pub fn open(&self, codec: Codec, resolution: Resolution) -> Result<Box<dyn Encoder>, EncodeError> {
        let mut failure = EncodeError::None(codec);
        for slot in self.usable(codec) {
            match self.open_slot(slot, resolution) {
                Ok(encoder) => return Ok(encoder),
                Err(error @ EncodeError::Size(_)) => failure = error,
                Err(error) => tracing::debug!(%error, "on to the next encoder"),
            }
        }
        Err(failure)
    }

    /// Opens one encoder by its name, also one that would not be taken by itself (for measurements).
    ///
    /// # Errors
    /// [`EncodeError::Unknown`] if it is not there, else why it cannot be used.
    pub fn open_named(&self, name: &str, resolution: Resolution) -> Result<Box<dyn Encoder>, EncodeError> {
        let slot = self.slots.iter().find(|slot| slot.candidate.name() == name && slot.candidate.is_there());
        self.open_slot(slot.ok_or_else(|| EncodeError::Unknown(name.to_owned()))?, resolution)
    }

    fn open_slot(&self, slot: &Slot, resolution: Resolution) -> Result<Box<dyn Encoder>, EncodeError> {
        let name = slot.candidate.name();
        if let Err(reason) = slot.prove() {
            self.reject(name, reason.clone());
            return Err(EncodeError::Element { element: name.to_owned(), reason });
        }
        slot.candidate.open(resolution).inspect_err(|error| {
            // A size is beyond it; with others it works.
            if !matches!(error, EncodeError::Size(_)) {
                self.reject(name, error.to_string());
            }
        })
    }

    /// A candidate failed in use: it is passed over for ten minutes.
    pub fn reject(&self, name: &'static str, reason: String) {
        tracing::warn!(encoder = name, reason, "an encoder is passed over");
        self.rejected().insert(name, (reason, Instant::now() + PASSED_OVER));
    }

    /// Checks the best encoder of each of these codecs on a thread of its own that gives way to all others, so that a
    /// change to another codec need not wait for it. Returns at once; what was asked for before is not begun again.
    pub fn prove_soon(self: &Arc<Self>, codecs: CodecSet) {
        let new = {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            let new: CodecSet = codecs.iter().filter(|codec| !asked.contains(*codec)).collect();
            codecs.iter().for_each(|codec| asked.insert(codec));
            new
        };
        if new.is_empty() {
            return;
        }
        let encoders = self.clone();
        let work = move || {
            sys::give_way();
            new.iter().for_each(|codec| encoders.prove_best(codec));
            sys::give_memory_back();
        };
        if let Err(error) = std::thread::Builder::new().name("media-prove".into()).spawn(work) {
            tracing::debug!(%error, "encoders are checked when they are needed");
        }
    }

    /// Checks candidates of a codec until one works.
    fn prove_best(&self, codec: Codec) {
        let slots: Vec<_> = self.usable(codec).cloned().collect();
        for slot in slots {
            match slot.prove() {
                Ok(()) => return,
                Err(reason) => self.reject(slot.candidate.name(), reason),
            }
        }
    }

    /// Checks every candidate that is there and was not checked yet; takes a second or more.
    pub fn prove_all(&self) {
        for slot in self.slots.iter().filter(|slot| slot.candidate.is_there()) {
            if let Err(reason) = slot.prove() {
                self.reject(slot.candidate.name(), reason);
            }
        }
    }

    /// Everything that is known, best first within a codec.
    pub fn report(&self) -> Vec<CandidateReport> {
        let rejected = self.rejected();
        let state = |slot: &Slot| {
            if !slot.candidate.is_there() {
                return CandidateState::NotThere;
            }
            match (rejected.get(slot.candidate.name()), slot.proof.get()) {
                (Some((reason, _)), _) | (None, Some(Err(reason))) => {
                    CandidateState::Rejected { reason: reason.clone() }
                }
                (None, Some(Ok(note))) => CandidateState::Proven { note: note.clone() },
                (None, None) => CandidateState::NotTried,
            }
        };
        let report = self.slots.iter().map(|slot| CandidateReport {
            name: slot.candidate.name(),
            codec: slot.candidate.codec(),
            cost: slot.candidate.cost(),
            is_hardware: slot.candidate.is_hardware(),
            is_unproven: slot.candidate.is_unproven(),
            state: state(slot),
        });
        report.collect()
    }
}

/// Whether openh264 was built with its assembler; without, it takes 1.6 to 2 times the CPU. Built on x86, it needs
/// `nasm`.
pub const OPENH264_HAS_ASSEMBLER: bool = !cfg!(slow_openh264);

/// Encoders of GStreamer that are handed DMABUFs on every machine, to prove that way where no hardware is: x264 maps them,
/// and is told so by a property or not. None is one of [`Encoders::of_this_machine`], whose x264 reads captured pictures
/// behind a pointer.
#[cfg(feature = "gstreamer")]
pub fn handed_dmabufs() -> Vec<Arc<dyn Candidate>> {
    super::gstreamer::proving().map(|candidate| Arc::new(candidate) as Arc<dyn Candidate>).collect()
}

/// OpenH264, which every build has.
pub fn openh264() -> Arc<dyn Candidate> {
    Arc::new(OpenH264Candidate)
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
        if OPENH264_HAS_ASSEMBLER { 100 } else { 180 }
    }

    fn open(&self, resolution: Resolution) -> Result<Box<dyn Encoder>, EncodeError> {
        Ok(Box::new(OpenH264::open(resolution)?))
    }
}
