//! What a display tells the computer it can show: EDID 1.3 and 1.4 with extension blocks (VESA E-EDID). Pure; only
//! what is needed to check a block of bytes before a receiver gets it, and to name it.

use super::format::Resolution;

/// Bytes of a block.
pub const BLOCK: usize = 128;
/// Most blocks that V4L2 takes (kernel: VIDIOC_S_EDID).
const MOST_BLOCKS: usize = 256;
const HEADER: [u8; 8] = [0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0];
/// The four 18-byte descriptors of the first block.
const DESCRIPTORS: [usize; 4] = [54, 72, 90, 108];

/// Why bytes are no EDID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EdidError {
    /// Not a whole number of blocks, none, or too many.
    #[error("an EDID is one or more blocks of 128 bytes, and this has {0} bytes")]
    Length(usize),
    /// The first eight bytes are not those of an EDID.
    #[error("this does not begin with the bytes 00 ff ff ff ff ff ff 00 of an EDID")]
    Header,
    /// A block's bytes do not add up to 0.
    #[error("the checksum of block {block} is {found:02x} and should be {wanted:02x}")]
    Checksum {
        /// From 0.
        block: usize,
        /// Its last byte.
        found: u8,
        /// What it should be.
        wanted: u8,
    },
    /// The first block tells another number of extensions than there are.
    #[error("the first block announces {announced} more blocks and {present} follow")]
    Blocks {
        /// Byte 126.
        announced: usize,
        /// What is there.
        present: usize,
    },
    /// Neither a hexadecimal digit nor white space nor a comment.
    #[error("line {0} holds something that is no hexadecimal byte")]
    Hex(usize),
}

/// A preferred mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EdidMode {
    /// The active picture.
    pub resolution: Resolution,
    /// Pictures a second in thousandths; 0 if the blanking makes no sense.
    pub millihertz: u32,
}

/// A checked EDID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edid {
    bytes: Vec<u8>,
}

impl Edid {
    /// Checks length, header, block count and the checksum of every block.
    ///
    /// # Errors
    /// [`EdidError`] says what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, EdidError> {
        let (blocks, rest) = bytes.as_chunks::<BLOCK>();
        if blocks.is_empty() || blocks.len() > MOST_BLOCKS || !rest.is_empty() {
            return Err(EdidError::Length(bytes.len()));
        }
        if blocks[0][..8] != HEADER {
            return Err(EdidError::Header);
        }
        for (block, bytes) in blocks.iter().enumerate() {
            let wanted = checksum(bytes);
            let found = bytes[BLOCK - 1];
            if found != wanted {
                return Err(EdidError::Checksum { block, found, wanted });
            }
        }
        let (announced, present) = (usize::from(blocks[0][126]), blocks.len() - 1);
        if announced != present {
            return Err(EdidError::Blocks { announced, present });
        }
        Ok(Self { bytes: bytes.to_vec() })
    }

    /// The same from hexadecimal text: pairs of digits with or without white space (also `0x`, commas) between
    /// them; what follows a `#` is a comment.
    ///
    /// # Errors
    /// [`EdidError::Hex`] names the line; else as [`Edid::parse`].
    pub fn from_hex(text: &str) -> Result<Self, EdidError> {
        let mut bytes = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            for word in line.split(|c: char| c.is_whitespace() || c == ',').filter(|w| !w.is_empty()) {
                let digits = word.strip_prefix("0x").unwrap_or(word);
                let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
                let mut read = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
                if !rest.is_empty() || !read.all(|byte| byte.map(|byte| bytes.push(byte)).is_some()) {
                    return Err(EdidError::Hex(number + 1));
                }
            }
        }
        Self::parse(&bytes)
    }

    /// All blocks.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many blocks of 128 bytes, 1..=256.
    pub fn blocks(&self) -> usize {
        self.bytes.len() / BLOCK
    }

    /// The first detailed timing, which is the preferred mode; `None` if there is none.
    pub fn preferred_mode(&self) -> Option<EdidMode> {
        let timing = &self.bytes[DESCRIPTORS[0]..DESCRIPTORS[0] + 18];
        let clock = u64::from(u16::from_le_bytes([timing[0], timing[1]])) * 10_000;
        if clock == 0 {
            return None;
        }
        // Active and blank pixels or lines: eight low bits each, the high four in one byte.
        let pair = |at: usize| {
            let high = u32::from(timing[at + 2]);
            (u32::from(timing[at]) | (high >> 4) << 8, u32::from(timing[at + 1]) | (high & 15) << 8)
        };
        let ((width, blank_width), (height, blank_height)) = (pair(2), pair(5));
        let is_interlaced = timing[17] & 0x80 != 0;
        let total = u64::from(width + blank_width) * u64::from(height + blank_height);
        let millihertz = (clock * 1000).checked_div(total).unwrap_or(0);
        let lines = if is_interlaced { height * 2 } else { height };
        (width > 0 && height > 0).then(|| EdidMode {
            resolution: Resolution::new(width, lines),
            millihertz: u32::try_from(millihertz).unwrap_or(0),
        })
    }

    /// The display's name (descriptor 0xfc), without control characters; `None` if it has none.
    pub fn name(&self) -> Option<String> {
        let descriptors = DESCRIPTORS.iter().map(|at| &self.bytes[*at..*at + 18]);
        let text = descriptors.into_iter().find(|d| d[..5] == [0, 0, 0, 0xfc, 0])?;
        let name: String = text[5..].iter().take_while(|c| **c != b'\n').map(|c| char::from(*c)).collect();
        let name: String = name.trim().chars().filter(|c| c.is_ascii() && !c.is_control()).collect();
        (!name.is_empty()).then_some(name)
    }
}

/// The last byte that a block should have.
fn checksum(block: &[u8; BLOCK]) -> u8 {
    block[..BLOCK - 1].iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte))
}

fn digit(character: u8) -> Option<u8> {
    char::from(character).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 1920x1080 at 60 Hz (CTA-861 mode 16: 148.5 MHz, 2200x1125), named "kvmdesk", with `extensions` empty blocks.
    fn sample(extensions: u8) -> Vec<u8> {
        let mut bytes = vec![0; BLOCK * (1 + usize::from(extensions))];
        bytes[..8].copy_from_slice(&HEADER);
        bytes[54..62].copy_from_slice(&[0x02, 0x3a, 0x80, 0x18, 0x71, 0x38, 0x2d, 0x40]);
        bytes[72..77].copy_from_slice(&[0, 0, 0, 0xfc, 0]);
        bytes[77..90].copy_from_slice(b"kvmdesk\n     ");
        bytes[126] = extensions;
        for block in bytes.as_chunks_mut::<BLOCK>().0 {
            block[BLOCK - 1] = checksum(block);
        }
        bytes
    }

    #[test]
    fn a_good_one_tells_its_mode_and_name() {
        for extensions in [0, 1, 3] {
            let edid = Edid::parse(&sample(extensions)).unwrap();
            let mode = edid.preferred_mode().unwrap();
            assert_eq!((mode.resolution, mode.millihertz), (Resolution::new(1920, 1080), 60_000));
            assert_eq!(
                (edid.name().as_deref(), edid.blocks()),
                (Some("kvmdesk"), 1 + usize::from(extensions))
            );
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let good = sample(1);
        assert_eq!(Edid::parse(&good[..200]), Err(EdidError::Length(200)));
        assert_eq!(Edid::parse(&[]), Err(EdidError::Length(0)));
        assert_eq!(Edid::parse(&good[..BLOCK]), Err(EdidError::Blocks { announced: 1, present: 0 }));
        let mut bad = good.clone();
        bad[200] ^= 4;
        let found = good[255];
        assert_eq!(
            Edid::parse(&bad),
            Err(EdidError::Checksum { block: 1, found, wanted: found.wrapping_sub(4) })
        );
        bad = good;
        bad[0] = 1;
        assert_eq!(Edid::parse(&bad), Err(EdidError::Header));
    }

    #[test]
    fn text_is_read_as_people_write_it() {
        let bytes = sample(0);
        let plain: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let spaced: String = bytes
            .chunks(16)
            .flat_map(|row| row.iter().map(|b| format!("{b:02X} ")).chain(["# row\n".into()]))
            .collect();
        let c_like: String = bytes.iter().map(|b| format!("0x{b:02x}, ")).collect();
        for text in [&plain, &spaced, &c_like] {
            assert_eq!(Edid::from_hex(text).unwrap().bytes(), bytes);
        }
        assert_eq!(Edid::from_hex("00 ff\n\nzz"), Err(EdidError::Hex(3)));
        assert_eq!(Edid::from_hex("00 f"), Err(EdidError::Hex(1)));
        assert_eq!(Edid::from_hex("# nothing\n"), Err(EdidError::Length(0)));
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), is_whole: bool, text: String) {
            let _ = Edid::from_hex(&text);
            if is_whole {
                bytes.resize(BLOCK, 0);
                bytes[..8].copy_from_slice(&HEADER);
                bytes[126] = 0;
                let block = bytes.as_chunks_mut::<BLOCK>().0;
                block[0][BLOCK - 1] = checksum(&block[0]);
            }
            match Edid::parse(&bytes) {
                Ok(edid) => {
                    let _ = (edid.preferred_mode(), edid.name());
                }
                Err(_) => prop_assert!(!is_whole),
            }
        }
    }
}
