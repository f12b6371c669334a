//! Single steps of a frame's way against the least that they could cost: memory copied, conversion, sealing alone.

use std::hint::black_box;

use bytes::Bytes;
use serde::Serialize;

use super::clips::{Clip, Scene};
use super::clock::{self, medians};
use super::lane::Lane as _;
use super::ours::Ours;
use super::source::Source;
use crate::crypto::seal::{Sealer, SessionKey, TAG_LEN};
use crate::media::change::changed_stripes;
use crate::media::convert::convert_stripes;
use crate::media::encode::encoders;
use crate::media::picture::{I420Picture, Stripes};
use crate::net::stream::WireBuffer;
use crate::peer::video::wrap;
use crate::video::format::Resolution;
use crate::video::frame::{Codec, EncodedFrame};

/// Encoded bytes of the message that is measured.
const MESSAGE: usize = 200_000;

/// An unchanged frame.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Unchanged {
    /// Our comparison against copying the frame once.
    pub memcpy_ratio: f64,
    /// Milliseconds of our comparison.
    pub compare_ms: f64,
    /// Bytes that are sent for it.
    pub bytes: u64,
}

/// A frame that changed everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FullChange {
    /// Comparison and conversion against conversion alone, moving picture.
    pub conversion_ratio: f64,
    /// The same where each stripe differs in its last byte alone, the worst that can be.
    pub worst_ratio: f64,
    /// Milliseconds of the conversion.
    pub convert_ms: f64,
}

/// A message.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Message {
    /// Building and sealing it against sealing alone, 200 kB.
    pub seal_ratio: f64,
    /// Milliseconds of sealing.
    pub seal_ms: f64,
}

/// Measures the comparison and the conversion at `size`, `rounds` rounds.
///
/// # Errors
/// A sentence, if the size is impossible.
pub fn compare_and_convert(size: Resolution, rounds: usize) -> Result<(Unchanged, FullChange), String> {
    let mut scene = Scene::new(Clip::Scroll, size);
    let [mut frame, mut equal] = [0, 0].map(|_| Source::new(size));
    frame.draw(&mut scene, 80)?;
    equal.draw(&mut scene, 80)?;
    let encoder = encoders::openh264().open(size).map_err(|error| error.to_string())?;
    let mut lane = Ours::new(encoder, 26);
    lane.feed(&frame, None)?;
    let bytes = lane.feed(&equal, Some(&frame))?.map_or(0, |sent| sent.data.len() as u64);
    let now = clock::now();
    let (frame, equal) = (frame.raw(now), equal.raw(now));
    // Every stripe differs from the frame, and only in its last byte.
    let mut last = frame.planes[0].data.to_vec();
    for stripe in last.chunks_mut(frame.planes[0].stride * 16) {
        if let Some(byte) = stripe.last_mut() {
            *byte ^= 1;
        }
    }
    let mut late = frame;
    late.planes[0].data = &last;
    // Every row differs at an eighth of its width: a window that moves in front of a desktop.
    let mut moved = frame.planes[0].data.to_vec();
    for row in moved.chunks_mut(frame.planes[0].stride) {
        let at = row.len() / 8;
        row[at] ^= 1;
    }
    let mut moving = frame;
    moving.planes[0].data = &moved;

    let all = Stripes::all(size.height);
    let mut copy = vec![0u8; frame.planes[0].data.len()];
    let mut picture = I420Picture::new(size);
    let mut others = [0, 0].map(|_| I420Picture::new(size));
    let mut failed = None;
    let [other, worst] = &mut others;
    let mut both = |from, into: &mut I420Picture| {
        let stripes = changed_stripes(black_box(&frame), black_box(from));
        if let Err(error) = convert_stripes(&frame, &stripes, into) {
            failed = Some(error.to_string());
        }
        stripes.runs().map(|(_, rows)| rows).sum::<u32>()
    };
    let full = size.height.next_multiple_of(16);
    if [both(&moving, other), both(&late, worst)] != [full, full] {
        return Err("the pictures to convert do not differ everywhere".into());
    }
    if !changed_stripes(&frame, &equal).is_empty() {
        return Err("equal pictures differ".into());
    }
    let both = std::cell::RefCell::new(both);
    let [memcpy, compare, convert, moving_ms, worst_ms] = medians(
        rounds,
        [
            &mut || black_box(&mut copy).copy_from_slice(black_box(frame.planes[0].data)),
            &mut || drop(black_box(changed_stripes(black_box(&frame), black_box(&equal)))),
            &mut || _ = black_box(convert_stripes(black_box(&frame), &all, &mut picture)),
            &mut || _ = black_box(both.borrow_mut()(&moving, other)),
            &mut || _ = black_box(both.borrow_mut()(&late, worst)),
        ],
    );
    if let Some(reason) = failed {
        return Err(reason);
    }
    let unchanged = Unchanged { memcpy_ratio: compare / memcpy, compare_ms: compare, bytes };
    let full = FullChange {
        conversion_ratio: moving_ms / convert,
        worst_ratio: worst_ms / convert,
        convert_ms: convert,
    };
    Ok((unchanged, full))
}

/// Measures building and sealing a message, `rounds` rounds, through what the daemon's connections use.
pub fn message(size: Resolution, rounds: usize) -> Message {
    let frame = EncodedFrame {
        data: Bytes::from(
            (0..MESSAGE as u32).map(|n| super::desktop::chance(1, n, 0) as u8).collect::<Vec<_>>(),
        ),
        codec: Codec::H264,
        is_keyframe: true,
        captured_at: clock::now(),
        sequence: 0,
        resolution: size,
        original_resolution: size,
    };
    let [mut sealer, mut other] = [0, 0].map(|_| Sealer::new(SessionKey::from_bytes([7; 32])));
    let mut wire = WireBuffer::default();
    let mut alone = vec![0u8; TAG_LEN + MESSAGE];
    alone[TAG_LEN..].copy_from_slice(&frame.data);
    let [seal, message] = medians(
        rounds,
        [&mut || _ = black_box(other.seal_in_place(black_box(&mut alone))), &mut || {
            let (head, tail) = wrap(0, black_box(&frame), 40);
            let parts = [&*head, &*frame.data, &*tail];
            black_box(wire.frame(&parts, Some(&mut sealer)).map(<[u8]>::len).unwrap_or_default());
        }],
    );
    Message { seal_ratio: message / seal, seal_ms: seal }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_measured() {
        let (unchanged, full) = compare_and_convert(Resolution::new(320, 240), 3).unwrap();
        assert!(unchanged.memcpy_ratio > 0.0 && unchanged.memcpy_ratio.is_finite());
        assert!(full.conversion_ratio > 0.0 && full.worst_ratio.is_finite());
        let message = message(Resolution::new(64, 64), 3);
        assert!(message.seal_ratio > 0.0 && message.seal_ratio.is_finite(), "{message:?}");
    }
}
