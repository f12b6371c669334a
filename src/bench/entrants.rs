//! Who takes part: the reference in its two kinds, and each of our encoders that works here at three quantisers.

use super::contest::Contender;
use super::ours::Ours;
use crate::media::encode::encoders::{CandidateState, Encoders};
use crate::video::format::Resolution;
use crate::video::frame::Codec;

/// The reference that ratios are told against.
pub const REFERENCE: &str = "reference, fixed quantiser";
/// The reference as desktop sharing has it by default, which lowers its quality when much changes.
pub const REFERENCE_RATE: &str = "reference, constant rate";
/// Our quantisers, on the scale of H.264, finest first.
pub const QUANTISERS: [u8; 3] = [24, 27, 30];

/// Those that are measured over every clip; the others over the session alone.
pub const EVERYWHERE: [&str; 3] = ["openh264", "x264enc", "vp9enc"];

/// The name of one of our encoders at a quantiser.
pub fn name(encoder: &str, quantiser: u8) -> String {
    format!("{encoder} at {quantiser}")
}

/// Names and codecs of our encoders that take part at this size: every one of H.264, of the other codecs the first that
/// works, or just those of `only`. Why one that is there does not take part, is in `notes`.
pub fn encoders(size: Resolution, only: &[String], notes: &mut Vec<String>) -> Vec<(&'static str, Codec)> {
    let encoders = Encoders::of_this_machine();
    let mut taken: Vec<(&'static str, Codec)> = vec![];
    for one in encoders.report() {
        let is_wanted = if only.is_empty() {
            one.codec == Codec::H264 || taken.iter().all(|(_, codec)| *codec != one.codec)
        } else {
            only.iter().any(|name| name == one.name)
        };
        if !is_wanted || one.state == CandidateState::NotThere {
            continue;
        }
        match encoders.open_named(one.name, size) {
            Ok(_) => taken.push((one.name, one.codec)),
            Err(error) => notes.push(format!("{}: {error}", one.name)),
        }
    }
    taken
}

/// All who take part.
pub fn all(size: Resolution, encoders: &[(&'static str, Codec)], notes: &mut Vec<String>) -> Vec<Contender> {
    let mut contenders = vec![];
    #[cfg(feature = "gstreamer")]
    {
        use super::reference::{self, Control, Reference};
        let off_ms = reference::plumbing(size).unwrap_or_default();
        for (name, control) in [(REFERENCE, Control::FixedQuantiser), (REFERENCE_RATE, Control::ConstantRate)]
        {
            contenders.push(Contender {
                name: name.to_owned(),
                off_ms,
                open: Box::new(move || Ok(Box::new(Reference::new(size, control)?))),
            });
        }
        notes.push(format!(
            "The reference's libvpx is driven through a GStreamer element; what that costs by itself ({off_ms:.3} ms a \
             frame) is taken off its times. Our own encoders' plumbing is not taken off."
        ));
    }
    #[cfg(not(feature = "gstreamer"))]
    notes.push(
        "This build has no GStreamer: there is no reference to compare with, only our own figures.".into(),
    );
    for (encoder, _) in encoders.iter().copied() {
        for quantiser in QUANTISERS {
            contenders.push(Contender {
                name: name(encoder, quantiser),
                off_ms: 0.0,
                open: Box::new(move || {
                    let opened = Encoders::of_this_machine().open_named(encoder, size);
                    Ok(Box::new(Ours::new(opened.map_err(|error| error.to_string())?, quantiser)))
                }),
            });
        }
    }
    contenders
}
