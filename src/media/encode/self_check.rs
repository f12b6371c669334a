//! Proof that an encoder works: a few pictures are encoded, decoded and compared before it is used the first time.

use super::decode;
use super::encoders::Candidate;
use super::headers::{self, FrameHeader};
use super::{EncodeError, EncodedPicture, Encoder, FrameOrder};
use crate::media::picture::I420Picture;
use crate::video::format::Resolution;

/// Size of the check's pictures: large enough for every hardware, and not a multiple of 16, so that cropping shows.
const SIZE: Resolution = Resolution::new(640, 360);
/// How far a decoded colour may be off, of 255.
const TOLERANCE: u8 = 12;
const FINE: u8 = 18;
const COARSE: u8 = 30;
/// Colours of the picture's fields as Y, Cb, Cr: white, red, green, blue, yellow, black, grey, brown (BT.601).
const COLOURS: [[u8; 3]; 8] = [
    [235, 128, 128],
    [81, 90, 240],
    [145, 54, 34],
    [41, 240, 110],
    [210, 16, 146],
    [16, 128, 128],
    [126, 128, 128],
    [107, 94, 171],
];

/// Checks a candidate. What was found besides, in words.
///
/// # Errors
/// What is wrong with it, as a sentence for users.
pub(super) fn prove(candidate: &dyn Candidate) -> Result<String, String> {
    let mut encoder = candidate.open(SIZE).map_err(|error| error.to_string())?;
    let mut decoder = decode::open(candidate.codec());
    // Every picture differs, so that one that comes too late is found out by its colours.
    let mut check = |n: usize, wants_keyframe: bool, quantiser: u8| {
        let encoded = encode(encoder.as_mut(), n, wants_keyframe, quantiser).map_err(|e| e.to_string())?;
        let header = headers::read(candidate.codec(), &encoded.data)
            .ok_or_else(|| format!("frame {n} of the check is not one frame of {}", candidate.codec()))?;
        if header.is_keyframe != encoded.is_keyframe {
            return Err(format!("frame {n} of the check is not the kind of frame that it is said to be"));
        }
        if header.resolution.is_some_and(|size| size != SIZE) {
            return Err(format!("frame {n} of the check has another size than the picture"));
        }
        if let Some(decoder) = &mut decoder {
            let decoded = decoder.decode(&encoded.data).map_err(|e| e.to_string())?;
            compare(n, &decoded)?;
        }
        Ok(header)
    };
    expect_keyframe(true, check(0, false, FINE)?, "the first frame is not a key frame")?;
    expect_keyframe(false, check(1, false, FINE)?, "every frame is a key frame")?;
    expect_keyframe(true, check(2, true, FINE)?, "no key frame came when one was asked for")?;
    expect_keyframe(false, check(3, false, FINE)?, "it goes on making key frames")?;
    let is_costly = check(4, false, COARSE)?.is_keyframe;
    check(5, false, FINE)?;
    let mut note = match &decoder {
        Some(decoder) => format!("checked by decoding with {}", decoder.name()),
        None => "checked without a decoder".to_owned(),
    };
    if is_costly {
        note += "; a change of quality costs a key frame";
    }
    Ok(note)
}

fn expect_keyframe(wanted: bool, header: FrameHeader, complaint: &str) -> Result<(), String> {
    if header.is_keyframe == wanted { Ok(()) } else { Err(complaint.to_owned()) }
}

fn encode(
    encoder: &mut dyn Encoder,
    n: usize,
    wants_keyframe: bool,
    quantiser: u8,
) -> Result<EncodedPicture, EncodeError> {
    encoder.encode(&picture(n), FrameOrder { wants_keyframe, quantiser, bits_per_second: None })
}

/// The fields side by side, moved on by one for every frame.
fn picture(n: usize) -> I420Picture {
    let mut picture = I420Picture::new(SIZE);
    let rows = picture.rows_mut(0, SIZE.height);
    let width = SIZE.width as usize;
    for (component, (plane, width)) in
        [(rows.y, width), (rows.u, width / 2), (rows.v, width / 2)].into_iter().enumerate()
    {
        for row in plane.chunks_exact_mut(width) {
            for (field, pixels) in row.chunks_exact_mut(width / COLOURS.len()).enumerate() {
                pixels.fill(COLOURS[(field + n) % COLOURS.len()][component]);
            }
        }
    }
    picture
}

/// Compares the middles of the fields.
fn compare(n: usize, decoded: &I420Picture) -> Result<(), String> {
    if decoded.resolution() != SIZE {
        return Err(format!("a picture of {SIZE} came back as {}", decoded.resolution()));
    }
    let (width, field) = (SIZE.width as usize, SIZE.width as usize / COLOURS.len());
    for row in [8, SIZE.height as usize / 2, SIZE.height as usize - 8] {
        for at in 0..COLOURS.len() {
            let column = at * field + field / 2;
            let chroma = row / 2 * (width / 2) + column / 2;
            let got = [decoded.y()[row * width + column], decoded.u()[chroma], decoded.v()[chroma]];
            let wanted = COLOURS[(at + n) % COLOURS.len()];
            if got.iter().zip(wanted).any(|(got, wanted)| got.abs_diff(wanted) > TOLERANCE) {
                return Err(format!("frame {n} of the check has the colour {got:?} in place of {wanted:?}"));
            }
        }
    }
    Ok(())
}
