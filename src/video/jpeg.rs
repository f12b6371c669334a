//! A captured JPEG's frame around its picture: begin, size and end, looked at before a decoder is asked (ITU-T T.81
//! annex B). Grabbers deliver pictures that are cut off, of the mode before, or padded behind their end.

use super::format::Resolution;

/// How far from the end of the bytes the end of the picture may lie: drivers pad, but not without limit.
const MOST_PADDING: usize = 4096;
/// More scans than this are no captured picture but a trap for decoders.
const MOST_SCANS: usize = 64;

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;

/// Why a JPEG cannot be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JpegError {
    /// It does not begin like one.
    #[error("the bytes are no JPEG")]
    NoJpeg,
    /// Its end is missing.
    #[error("the JPEG is cut off")]
    CutOff,
    /// It has another size than the device was set to.
    #[error("the JPEG is {0} and not of the size that is set")]
    OtherSize(Resolution),
    /// A kind that no capture device makes: lossless, arithmetic, not 8 bit, not luma and chroma.
    #[error("the JPEG is of a kind that is not decoded")]
    Kind,
    /// The decoder found damage in it.
    #[error("the JPEG is damaged")]
    Damaged,
}

/// The bytes of the picture from its first to its last marker, if it is whole and has this size.
///
/// # Errors
/// [`JpegError`]; damage between the markers is for the decoder to find.
pub fn whole_picture(bytes: &[u8], size: Resolution) -> Result<&[u8], JpegError> {
    if !bytes.starts_with(&[0xff, SOI]) {
        return Err(JpegError::NoJpeg);
    }
    let tail = bytes.len().saturating_sub(MOST_PADDING);
    let end = bytes[tail..].windows(2).rposition(|pair| pair == [0xff, EOI]).ok_or(JpegError::CutOff)?;
    let picture = &bytes[..tail + end + 2];
    let header = read_header(picture)?;
    if header.size != size {
        return Err(JpegError::OtherSize(header.size));
    }
    let is_progressive = header.is_progressive;
    if is_progressive && picture.windows(2).filter(|pair| *pair == [0xff, SOS]).count() > MOST_SCANS {
        return Err(JpegError::Kind);
    }
    Ok(picture)
}

struct Header {
    size: Resolution,
    is_progressive: bool,
}

/// Walks the segments up to the first scan.
fn read_header(picture: &[u8]) -> Result<Header, JpegError> {
    let mut header = None;
    let mut rest = &picture[2..];
    loop {
        // A marker may have any number of 0xff before it.
        let fill = rest.iter().take_while(|byte| **byte == 0xff).count();
        let marker = *rest.get(fill).ok_or(JpegError::CutOff)?;
        if fill == 0 {
            return Err(JpegError::Damaged);
        }
        rest = &rest[fill + 1..];
        if marker == EOI {
            return Err(JpegError::CutOff);
        }
        // TEM and restart markers have no length.
        if marker == 1 || (0xd0..=0xd7).contains(&marker) {
            continue;
        }
        let length = usize::from(u16::from_be_bytes([byte(rest, 0)?, byte(rest, 1)?]));
        let segment = rest.get(2..length.max(2)).ok_or(JpegError::CutOff)?;
        if marker == SOS {
            return header.ok_or(JpegError::Damaged);
        }
        // Frame headers; those between them are tables (c4, c8, cc).
        if (0xc0..=0xcf).contains(&marker) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
            let number = |at: usize| {
                Ok::<_, JpegError>(u32::from(u16::from_be_bytes([
                    byte(segment, at)?,
                    byte(segment, at + 1)?,
                ])))
            };
            let (bits, components) = (byte(segment, 0)?, byte(segment, 5)?);
            if !matches!(marker, 0xc0..=0xc2) || bits != 8 || !matches!(components, 1 | 3) || header.is_some()
            {
                return Err(JpegError::Kind);
            }
            let size = Resolution::new(number(3)?, number(1)?);
            header = Some(Header { size, is_progressive: marker == 0xc2 });
        }
        rest = &rest[length.max(2)..];
    }
}

fn byte(bytes: &[u8], at: usize) -> Result<u8, JpegError> {
    bytes.get(at).copied().ok_or(JpegError::CutOff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: Resolution = Resolution::new(16, 8);

    /// The least that has the shape of a JPEG of 16x8.
    fn sample() -> Vec<u8> {
        let mut bytes =
            vec![0xff, SOI, 0xff, 0xe0, 0, 4, 1, 2, 0xff, 0xff, 0xc0, 0, 11, 8, 0, 8, 0, 16, 1, 1, 0x11, 0];
        bytes.extend([0xff, SOS, 0, 8, 1, 1, 0, 0, 63, 0, 0x12, 0x34, 0xff, EOI]);
        bytes
    }

    #[test]
    fn padding_behind_the_end_is_cut_and_size_and_kind_are_checked() {
        let good = sample();
        let mut padded = good.clone();
        padded.extend([0; 100]);
        assert_eq!(whole_picture(&padded, SIZE), Ok(&good[..]));
        assert_eq!(whole_picture(&good, Resolution::new(16, 16)), Err(JpegError::OtherSize(SIZE)));
        padded.extend([0; MOST_PADDING]);
        assert_eq!(whole_picture(&padded, SIZE), Err(JpegError::CutOff));
        for (at, value) in [(10, 0xc3), (10, 0xc9), (13, 12), (18, 4)] {
            let mut other = good.clone();
            other[at] = value;
            assert_eq!(whole_picture(&other, SIZE), Err(JpegError::Kind), "{at}");
        }
        assert_eq!(whole_picture(b"GIF89a", SIZE), Err(JpegError::NoJpeg));
        assert_eq!(whole_picture(&[], SIZE), Err(JpegError::NoJpeg));
    }

    #[test]
    fn a_picture_cut_anywhere_is_cut_off_or_no_jpeg() {
        let good = sample();
        for length in 0..good.len() {
            assert!(whole_picture(&good[..length], SIZE).is_err(), "{length}");
            let mut ended = good[..length].to_vec();
            ended.extend([0xff, EOI]);
            // Cut within the scan, or its head filled up by the marker, only the decoder can tell.
            assert_eq!(whole_picture(&ended, SIZE).is_ok(), length >= 30, "{length}");
        }
    }

    #[test]
    fn scans_without_end_are_refused() {
        let mut bytes = sample();
        bytes[10] = 0xc2;
        assert!(whole_picture(&bytes, SIZE).is_ok());
        let end = bytes.len() - 2;
        bytes.splice(end..end, [0xff, SOS].repeat(MOST_SCANS + 1));
        assert_eq!(whole_picture(&bytes, SIZE), Err(JpegError::Kind));
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), flips in proptest::collection::vec((0usize..36, any::<u8>()), 0..5)) {
            let _ = whole_picture(&bytes, SIZE);
            let mut near = sample();
            for (at, value) in flips {
                near[at] = value;
            }
            let _ = whole_picture(&near, SIZE);
            bytes.splice(0..0, near);
            let _ = whole_picture(&bytes, SIZE);
        }
    }
}
