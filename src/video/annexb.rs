//! H.264 byte streams (ITU-T H.264, annex B): where NAL units begin, whether an access unit is decodable on its
//! own, and what a sequence parameter set says. Reads anything without panicking; allocates one SPS at most.

use super::format::Resolution;

/// NAL unit types that we look at (H.264 table 7-1).
pub mod nal_type {
    /// Slice of a picture that is not IDR.
    pub const SLICE: u8 = 1;
    /// Slice of an IDR picture.
    pub const IDR: u8 = 5;
    /// Sequence parameter set.
    pub const SPS: u8 = 7;
    /// Picture parameter set.
    pub const PPS: u8 = 8;
}

/// The NAL units of a byte stream, without start codes.
#[derive(Debug, Clone)]
pub struct NalUnits<'a> {
    rest: &'a [u8],
}

/// Splits `stream` at its 3- and 4-byte start codes; what stands before the first one is skipped.
pub fn nal_units(stream: &[u8]) -> NalUnits<'_> {
    let rest = match find_start(stream) {
        Some((_, after)) => stream.get(after..).unwrap_or_default(),
        None => &[],
    };
    NalUnits { rest }
}

/// The type of a NAL unit, 0 for an empty one.
pub fn unit_type(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |b| b & 0x1f)
}

/// First start code in `bytes`: where the unit before it ends, and where the unit behind it begins.
fn find_start(bytes: &[u8]) -> Option<(usize, usize)> {
    // The third byte of a start code is 1: any byte above rules out three places at once.
    let mut at = 0;
    loop {
        match *bytes.get(at + 2)? {
            0 => at += 1,
            1 if bytes[at..at + 2] == [0, 0] => break,
            _ => at += 3,
        }
    }
    // Zeros in front of 00 00 01 are the fourth byte of a long start code or trailing zeros, never payload.
    let zeros = bytes[..at].iter().rev().take_while(|b| **b == 0).count();
    Some((at - zeros, at + 3))
}

impl<'a> Iterator for NalUnits<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let (end, next) = find_start(self.rest).unwrap_or((self.rest.len(), self.rest.len()));
        let (unit, rest) = (self.rest.get(..end)?, self.rest.get(next..)?);
        self.rest = rest;
        Some(unit)
    }
}

/// Whether an access unit decodes without anything before it: SPS, then PPS, then IDR slices only.
pub fn is_self_contained(access_unit: &[u8]) -> bool {
    let (mut has_sps, mut has_pps, mut has_idr) = (false, false, false);
    for unit in nal_units(access_unit) {
        match unit_type(unit) {
            nal_type::SPS => has_sps = true,
            nal_type::PPS => has_pps = has_sps,
            nal_type::IDR if has_sps && has_pps => has_idr = true,
            nal_type::IDR | nal_type::SLICE => return false,
            _ => {}
        }
    }
    has_idr
}

/// Whether every start code has four bytes, the first one at the very beginning.
pub fn has_long_start_codes(stream: &[u8]) -> bool {
    stream.starts_with(&[0, 0, 0, 1]) && stream.windows(4).skip(1).all(|w| w[1..] != [0, 0, 1] || w[0] == 0)
}

/// What we read from a sequence parameter set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpsInfo {
    /// `profile_idc`: 66 Baseline, 77 Main, 100 High.
    pub profile: u8,
    /// `level_idc`, ten times the level.
    pub level: u8,
    /// Size of the decoded picture after cropping.
    pub resolution: Resolution,
    /// `pic_order_cnt_type`; 2 means that output order is decoding order.
    pub poc_type: u32,
    /// `video_full_range_flag`; false if the VUI does not say (reference: session 11, only limited range decodes).
    pub is_full_range: bool,
    /// `matrix_coefficients`; 2 (unspecified) if the VUI does not say, 6 is BT.601.
    pub matrix: u8,
}

/// Reads an SPS NAL unit (without start code); `None` for other units and for nonsense.
pub fn parse_sps(unit: &[u8]) -> Option<SpsInfo> {
    if unit_type(unit) != nal_type::SPS {
        return None;
    }
    // The fields we need lie in the first bytes; a longer unit is nonsense or an extension we do not know.
    let payload = unescape(unit.get(1..unit.len().min(512))?);
    let mut r = BitReader::new(&payload);
    let profile = r.bits(8)? as u8;
    r.bits(8)?;
    let level = r.bits(8)? as u8;
    r.unsigned()?;
    let mut chroma = 1;
    if [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135].contains(&profile) {
        chroma = r.unsigned()?;
        if chroma == 3 {
            r.bits(1)?;
        }
        r.unsigned()?;
        r.unsigned()?;
        r.bits(1)?;
        if r.bits(1)? == 1 {
            return None; // scaling lists: no encoder of ours writes them
        }
    }
    r.unsigned()?;
    let poc_type = r.unsigned()?;
    match poc_type {
        0 => drop(r.unsigned()?),
        1 => {
            r.bits(1)?;
            r.unsigned()?;
            r.unsigned()?;
            for _ in 0..r.unsigned()?.min(255) {
                r.unsigned()?;
            }
        }
        _ => {}
    }
    r.unsigned()?;
    r.bits(1)?;
    let width_mbs = r.unsigned()?.checked_add(1)?;
    let height_units = r.unsigned()?.checked_add(1)?;
    let is_progressive = r.bits(1)?;
    if is_progressive == 0 {
        r.bits(1)?;
    }
    r.bits(1)?;
    let mut crop = [0u32; 4];
    if r.bits(1)? == 1 {
        for side in &mut crop {
            *side = r.unsigned()?;
        }
    }
    let (unit_x, unit_y) = match chroma {
        0 | 3 => (1, 2 - is_progressive),
        1 => (2, 2 * (2 - is_progressive)),
        2 => (2, 2 - is_progressive),
        _ => return None,
    };
    // Cropping leaves at least one pixel (H.264 7.4.2.1.1).
    let cut = |full: u32, a: u32, b: u32, unit: u32| {
        full.checked_sub(a.checked_add(b)?.checked_mul(unit)?).filter(|left| *left > 0)
    };
    let width = cut(width_mbs.checked_mul(16)?, crop[0], crop[1], unit_x)?;
    let height =
        cut(height_units.checked_mul(16)?.checked_mul(2 - is_progressive)?, crop[2], crop[3], unit_y)?;
    let (mut is_full_range, mut matrix) = (false, 2);
    if r.bits(1)? == 1 {
        if r.bits(1)? == 1 && r.bits(8)? == 255 {
            r.bits(32)?;
        }
        if r.bits(1)? == 1 {
            r.bits(1)?;
        }
        if r.bits(1)? == 1 {
            r.bits(3)?;
            is_full_range = r.bits(1)? == 1;
            if r.bits(1)? == 1 {
                r.bits(16)?;
                matrix = r.bits(8)? as u8;
            }
        }
    }
    let resolution = Resolution::new(width, height);
    Some(SpsInfo { profile, level, resolution, poc_type, is_full_range, matrix })
}

/// Takes the emulation prevention bytes out.
pub(crate) fn unescape(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut zeros = 0;
    for &b in bytes {
        if zeros >= 2 && b == 3 {
            zeros = 0;
            continue;
        }
        zeros = if b == 0 { zeros + 1 } else { 0 };
        out.push(b);
    }
    out
}

/// Reads bit by bit, the highest one first.
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    /// At the first bit of `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next `count` bits, 32 at most; `None` at the end.
    pub(crate) fn bits(&mut self, count: u32) -> Option<u32> {
        let mut value = 0u32;
        for _ in 0..count {
            let byte = *self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    /// Unsigned Exp-Golomb (also good for skipping signed ones).
    pub(crate) fn unsigned(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bits(1)? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1u32 << zeros) - 1 + self.bits(zeros)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_are_split_at_short_and_long_start_codes() {
        let stream = [9, 0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3, 0, 0, 0, 1, 0x65, 4, 0, 5];
        let units: Vec<&[u8]> = nal_units(&stream).collect();
        assert_eq!(units, [&[0x67, 1, 2][..], &[0x68, 3], &[0x65, 4, 0, 5]]);
        assert!(is_self_contained(&stream));
        assert!(!has_long_start_codes(&stream));
        assert!(!is_self_contained(&stream[14..]), "an IDR slice alone needs its parameter sets");
        assert_eq!(nal_units(&[1, 2, 3]).count(), 0);
    }

    #[test]
    fn a_baseline_sps_of_1280x720_is_read() {
        // 1280x720, Baseline 3.1, POC type 2, no VUI: written bit by bit after H.264 7.3.2.1.1.
        let mut bits = String::new();
        for b in [66u8, 0xc0, 31] {
            bits += &format!("{b:08b}");
        }
        // sps id 0, log2 frame num 0, poc type 2, one reference, gaps no, 80 x 45 blocks, frames only,
        // direct 8x8, no cropping, no VUI, stop bit.
        bits += "1 1 011 010 0 0000001010000 00000101101 1 1 0 0 1".replace(' ', "").as_str();
        let mut unit = vec![0x67];
        for chunk in bits.as_bytes().chunks(8) {
            let text = format!("{:0<8}", std::str::from_utf8(chunk).unwrap());
            unit.push(u8::from_str_radix(&text, 2).unwrap());
        }
        let info = parse_sps(&unit).unwrap();
        assert_eq!(info.resolution, Resolution::new(1280, 720));
        assert_eq!((info.profile, info.level, info.poc_type, info.is_full_range), (66, 31, 2, false));
    }

    proptest! {
        #[test]
        fn nothing_panics_and_no_byte_is_seen_twice(bytes in proptest::collection::vec(0u8..4, 0..400)) {
            let total: usize = nal_units(&bytes).map(<[u8]>::len).sum();
            prop_assert!(total <= bytes.len());
            let _ = (is_self_contained(&bytes), has_long_start_codes(&bytes));
        }

        #[test]
        fn any_sps_is_read_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 1..80)) {
            bytes[0] = 0x67;
            let _ = parse_sps(&bytes);
        }
    }
}
