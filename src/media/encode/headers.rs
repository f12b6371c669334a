//! What the first bytes of an encoded frame say: whether it is a key frame, and of which size. Reads anything without
//! panicking and allocates nothing but an SPS.

use crate::video::annexb::{self, BitReader};
use crate::video::format::Resolution;
use crate::video::frame::Codec;

/// NAL unit types of H.265 (H.265 table 7-1).
pub(super) mod h265 {
    /// The largest type of an ordinary slice.
    pub const LAST_SLICE: u8 = 9;
    /// Types of slices with which decoding can begin.
    pub const RANDOM_ACCESS: std::ops::RangeInclusive<u8> = 16..=21;
    /// Video parameter set.
    pub const VPS: u8 = 32;
    /// Sequence parameter set.
    pub const SPS: u8 = 33;
    /// Picture parameter set.
    pub const PPS: u8 = 34;

    /// The type of a NAL unit.
    pub fn unit_type(unit: &[u8]) -> u8 {
        unit.first().map_or(0, |b| b >> 1 & 0x3f)
    }
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Whether it decodes without anything before it.
    pub is_keyframe: bool,
    /// The size, where the frame says it in a way that we read.
    pub resolution: Option<Resolution>,
}

/// Reads a frame's header; `None` if `data` is not one frame of the codec that we can pass on, for instance a key frame
/// without its parameter sets.
pub fn read(codec: Codec, data: &[u8]) -> Option<FrameHeader> {
    match codec {
        Codec::H264 => h264(data),
        Codec::H265 => h265(data),
        Codec::Vp8 => vp8(data),
        Codec::Vp9 => vp9(data),
        Codec::Av1 => av1(data),
    }
}

fn h264(data: &[u8]) -> Option<FrameHeader> {
    let (mut has_idr, mut has_slice, mut resolution) = (false, false, None);
    for unit in annexb::nal_units(data) {
        match annexb::unit_type(unit) {
            annexb::nal_type::IDR => has_idr = true,
            // Partitions (2 to 4) are slices as well.
            1..=4 => has_slice = true,
            annexb::nal_type::SPS => resolution = annexb::parse_sps(unit).map(|sps| sps.resolution),
            _ => {}
        }
    }
    if has_idr {
        return annexb::is_self_contained(data).then_some(FrameHeader { is_keyframe: true, resolution });
    }
    has_slice.then_some(FrameHeader { is_keyframe: false, resolution })
}

fn h265(data: &[u8]) -> Option<FrameHeader> {
    let (mut sets, mut resolution) = ([false; 3], None);
    let mut kind = None;
    for unit in annexb::nal_units(data) {
        match h265::unit_type(unit) {
            h265::VPS => sets[0] = true,
            h265::SPS => {
                sets[1] = true;
                resolution = h265_size(unit);
            }
            h265::PPS => sets[2] = true,
            // The first slice decides.
            t if kind.is_none() && h265::RANDOM_ACCESS.contains(&t) => kind = Some(true),
            t if kind.is_none() && t <= h265::LAST_SLICE => kind = Some(false),
            _ => {}
        }
    }
    match kind? {
        true => (sets == [true; 3]).then_some(FrameHeader { is_keyframe: true, resolution }),
        false => Some(FrameHeader { is_keyframe: false, resolution }),
    }
}

/// The size in a sequence parameter set (H.265, 7.3.2.2) of one temporal layer and 4:2:0.
fn h265_size(unit: &[u8]) -> Option<Resolution> {
    let payload = annexb::unescape(unit.get(2..unit.len().min(512))?);
    let mut r = BitReader::new(&payload);
    r.bits(4)?;
    if r.bits(3)? != 0 {
        return None;
    }
    r.bits(1)?;
    // Profile, tier and level.
    for _ in 0..3 {
        r.bits(32)?;
    }
    r.unsigned()?;
    if r.unsigned()? != 1 {
        return None;
    }
    let (mut width, mut height) = (r.unsigned()?, r.unsigned()?);
    if r.bits(1)? == 1 {
        let [left, right, top, bottom] = [r.unsigned()?, r.unsigned()?, r.unsigned()?, r.unsigned()?];
        width = width.checked_sub(left.checked_add(right)?.checked_mul(2)?)?;
        height = height.checked_sub(top.checked_add(bottom)?.checked_mul(2)?)?;
    }
    Some(Resolution::new(width, height))
}

/// RFC 6386, 9.1.
fn vp8(data: &[u8]) -> Option<FrameHeader> {
    if data.first()? & 1 == 1 {
        return Some(FrameHeader { is_keyframe: false, resolution: None });
    }
    if data.get(3..6)? != [0x9d, 0x01, 0x2a] {
        return None;
    }
    let side = |at: usize| Some(u32::from(u16::from_le_bytes([*data.get(at)?, *data.get(at + 1)?]) & 0x3fff));
    Some(FrameHeader { is_keyframe: true, resolution: Some(Resolution::new(side(6)?, side(8)?)) })
}

/// VP9 bitstream specification, 6.2: profile 0 only, which has no bit depth.
fn vp9(data: &[u8]) -> Option<FrameHeader> {
    let mut r = BitReader::new(data);
    if (r.bits(2)?, r.bits(2)?) != (2, 0) {
        return None;
    }
    let (shows_existing, is_delta) = (r.bits(1)? == 1, r.bits(1)? == 1);
    if shows_existing || is_delta {
        return Some(FrameHeader { is_keyframe: false, resolution: None });
    }
    r.bits(2)?;
    if r.bits(24)? != 0x49_83_42 {
        return None;
    }
    // Colour space, of which RGB (7) is not for profile 0, and range.
    if r.bits(3)? == 7 {
        return None;
    }
    r.bits(1)?;
    let resolution = Resolution::new(r.bits(16)? + 1, r.bits(16)? + 1);
    Some(FrameHeader { is_keyframe: true, resolution: Some(resolution) })
}

/// AV1 bitstream specification, 5.3: the units of one temporal unit.
fn av1(data: &[u8]) -> Option<FrameHeader> {
    let (mut rest, mut sequence, mut resolution) = (data, false, None);
    while !rest.is_empty() {
        let head = *rest.first()?;
        // Without its own size a unit cannot be told from the next.
        if head & 0x82 != 0x02 {
            return None;
        }
        let begin = 1 + usize::from(head >> 2 & 1);
        let (size, length) = leb128(rest.get(begin..)?)?;
        let payload = rest.get(begin + length..)?.get(..size)?;
        match head >> 3 & 15 {
            1 => {
                sequence = true;
                resolution = av1_size(payload);
            }
            // A frame header, alone or with its tiles: show_existing_frame, then frame_type.
            3 | 6 => {
                let bits = payload.first()? >> 5;
                let is_keyframe = bits == 0;
                return (!is_keyframe || sequence).then_some(FrameHeader { is_keyframe, resolution });
            }
            _ => {}
        }
        rest = rest.get(begin + length + size..)?;
    }
    None
}

/// The largest size in a sequence header (5.5) without timing.
fn av1_size(payload: &[u8]) -> Option<Resolution> {
    let mut r = BitReader::new(payload);
    r.bits(3)?;
    // A still picture, a reduced header, timing.
    if r.bits(3)? != 0 {
        return None;
    }
    r.bits(1)?;
    for _ in 0..=r.bits(5)? {
        r.bits(12)?;
        if r.bits(5)? > 7 {
            r.bits(1)?;
        }
    }
    let (width_bits, height_bits) = (r.bits(4)? + 1, r.bits(4)? + 1);
    Some(Resolution::new(r.bits(width_bits)? + 1, r.bits(height_bits)? + 1))
}

/// A number and how many bytes it took.
fn leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (n, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * n);
        if byte & 0x80 == 0 {
            return Some((value, n + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_frames_and_sizes_are_read() {
        let key = |w, h| Some(FrameHeader { is_keyframe: true, resolution: Some(Resolution::new(w, h)) });
        let delta = Some(FrameHeader { is_keyframe: false, resolution: None });
        let vp8 = [0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x66, 0x01];
        assert_eq!(read(Codec::Vp8, &vp8), key(640, 358));
        assert_eq!(read(Codec::Vp8, &[0x11]), delta);
        // Marker 2, profile 0, a shown key frame; sync code; colour space 2, limited; 639, 357.
        let vp9 = [0x82, 0x49, 0x83, 0x42, 0x40, 0x27, 0xf0, 0x16, 0x50];
        assert_eq!(read(Codec::Vp9, &vp9), key(640, 358));
        assert_eq!(read(Codec::Vp9, &[0x86]), delta);
        // Delimiter, then a frame that is not a key frame.
        assert_eq!(read(Codec::Av1, &[0x12, 0, 0x32, 1, 0x20]), delta);
        assert_eq!(
            read(Codec::Av1, &[0x12, 0, 0x32, 1, 0x00]),
            None,
            "a key frame needs its sequence header"
        );
    }

    #[test]
    fn nonsense_is_no_frame() {
        for codec in Codec::ALL {
            assert_eq!(read(codec, &[]), None);
            assert!(!read(codec, &[0; 40]).is_some_and(|header| header.is_keyframe), "{codec}");
            for length in 0..40 {
                let _ = read(codec, &[0xff; 40][..length]);
            }
        }
    }
}
