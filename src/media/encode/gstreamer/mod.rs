//! GStreamer's encoders, one row of `table` each. The library is started when the first encoder is asked for; looking
//! a row up reads the registry and loads no plugin.

mod changeable;
mod decoder;
mod element;
mod encoder;
mod handing;
mod layout;
mod line;
mod table;
mod trial;

use std::sync::{Arc, OnceLock};

use gstreamer as gst;

pub(super) use decoder::decoder;
use encoder::GstEncoder;
use table::Row;

use super::encoders::Candidate;
use super::{EncodeError, Encoder};
use crate::video::format::Resolution;
use crate::video::frame::Codec;

/// Starts the library once; `false` if it does not start.
fn is_started() -> bool {
    static STARTED: OnceLock<bool> = OnceLock::new();
    *STARTED.get_or_init(|| match gst::init() {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%error, "GStreamer does not start: its encoders are left out");
            false
        }
    })
}

/// Whether the registry has an element of this name.
fn has_element(name: &str) -> bool {
    is_started() && gst::ElementFactory::find(name).is_some()
}

/// Every row, there or not.
pub(super) fn candidates() -> impl Iterator<Item = GstCandidate> {
    table::TABLE.iter().map(GstCandidate::new)
}

/// Rows that take DMABUFs without hardware.
pub(super) fn proving() -> impl Iterator<Item = GstCandidate> {
    table::PROVING.iter().map(GstCandidate::new)
}

/// The name of every row; does not start GStreamer.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    table::TABLE.iter().map(|row| row.element)
}

/// A row as a candidate.
pub(super) struct GstCandidate {
    row: &'static Row,
    is_there: bool,
    refusal: Refusal,
}

/// Set when captured pictures are not handed to a row's element any more, for the life of the process.
type Refusal = Arc<OnceLock<()>>;

impl GstCandidate {
    fn new(row: &'static Row) -> Self {
        Self { row, is_there: has_element(row.element), refusal: Refusal::default() }
    }
}

impl Candidate for GstCandidate {
    fn name(&self) -> &'static str {
        self.row.element
    }

    fn codec(&self) -> Codec {
        self.row.codec
    }

    fn cost(&self) -> u32 {
        self.row.cost
    }

    fn is_there(&self) -> bool {
        self.is_there
    }

    fn is_hardware(&self) -> bool {
        self.row.is_hardware
    }

    fn is_unproven(&self) -> bool {
        self.row.is_unproven
    }

    fn open(&self, resolution: Resolution) -> Result<Box<dyn Encoder>, EncodeError> {
        Ok(Box::new(GstEncoder::open(self.row, resolution, self.refusal.clone())?))
    }
}
