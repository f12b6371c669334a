//! What a receiver can be told to say of itself to the computer: EDIDs that come with kvmdesk, by name, and files.

use std::io::Read;
use std::path::Path;

/// Bytes of one block (VESA E-EDID 1.3).
const BLOCK: usize = 128;
/// The fixed first bytes of every EDID.
const HEADER: [u8; 8] = [0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00];
/// Most blocks that V4L2 takes (kernel: VIDIOC_S_EDID).
const MOST_BLOCKS: usize = 256;
/// Longest file that is read: every byte as two digits and a space, with room for line ends.
const MOST_FILE: u64 = (MOST_BLOCKS * BLOCK * 4) as u64;

/// The EDIDs that come with kvmdesk: name and hexadecimal text. The name is the mode that computers prefer.
pub const PRESETS: [(&str, &str); 6] = [
    ("1080p60", include_str!("../../hw/edid/1080p60.hex")),
    ("1080p50", include_str!("../../hw/edid/1080p50.hex")),
    ("1080p30", include_str!("../../hw/edid/1080p30.hex")),
    ("720p60", include_str!("../../hw/edid/720p60.hex")),
    ("1024x768", include_str!("../../hw/edid/1024x768.hex")),
    ("1440p60", include_str!("../../hw/edid/1440p60.hex")),
];

/// The EDID of a configured word: `None` for `keep`, a preset by its name, else the file of this path (a word with a
/// `/` is one).
///
/// # Errors
/// A sentence for the user.
pub fn named(word: &str) -> Result<Option<Vec<u8>>, String> {
    if word == "keep" {
        return Ok(None);
    }
    if let Some((_, hex)) = PRESETS.iter().find(|(name, _)| *name == word) {
        return parse(hex.as_bytes()).map(Some);
    }
    if word.contains('/') {
        return read(Path::new(word)).map(Some).map_err(|why| format!("{word}: {why}"));
    }
    let names: Vec<_> = PRESETS.iter().map(|(name, _)| *name).collect();
    Err(format!("`{word}` is none of keep, {}, nor the path of a file", names.join(", ")))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |e: std::io::Error| format!("cannot be read ({e})");
    // A pipe or a device could block, or never end.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err("is no ordinary file".to_owned());
    }
    let mut bytes = vec![];
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(MOST_FILE).read_to_end(&mut bytes).map_err(unreadable)?;
    parse(&bytes)
}

/// An EDID as bytes or as hexadecimal text (spaces and line ends anywhere between bytes), checked.
///
/// # Errors
/// What is wrong with it, as words behind a name.
pub fn parse(file: &[u8]) -> Result<Vec<u8>, String> {
    let bytes = if file.starts_with(&HEADER) { file.to_vec() } else { from_hex(file)? };
    if !bytes.starts_with(&HEADER) {
        return Err("is no EDID: it does not begin with 00 ff ff ff ff ff ff 00".to_owned());
    }
    let count = bytes.len() / BLOCK;
    let said = usize::from(bytes.get(BLOCK - 2).copied().unwrap_or(0)) + 1;
    if !bytes.len().is_multiple_of(BLOCK) || count != said || count > MOST_BLOCKS {
        return Err(format!(
            "is {} bytes long, but an EDID with {} extension blocks has {}",
            bytes.len(),
            said - 1,
            said * BLOCK
        ));
    }
    for (n, block) in bytes.chunks(BLOCK).enumerate() {
        let sum = block.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        if sum != 0 {
            let last = block.last().copied().unwrap_or(0);
            let right = last.wrapping_sub(sum);
            return Err(format!(
                "has a wrong checksum in block {n}: {last:02x}, where {right:02x} would be right"
            ));
        }
    }
    Ok(bytes)
}

fn from_hex(text: &[u8]) -> Result<Vec<u8>, String> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|d| d as u8);
    text.split(u8::is_ascii_whitespace)
        .flat_map(|word| word.chunks(2))
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect::<Option<_>>()
        .ok_or_else(|| "is neither an EDID in bytes nor one in hexadecimal digits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_is_told() {
        let (_, text) = PRESETS[0];
        let good = parse(text.as_bytes()).unwrap();
        assert_eq!(parse(&good).unwrap(), good, "bytes and digits are the same");
        assert_eq!(parse(text.replace(char::is_whitespace, "").as_bytes()).unwrap(), good);
        let fault = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = good.clone();
            change(&mut bytes);
            parse(&bytes).unwrap_err()
        };
        assert!(fault(&|b| b[60] ^= 1).starts_with("has a wrong checksum in block 0: "));
        assert!(fault(&|b| b[200] ^= 1).starts_with("has a wrong checksum in block 1: "));
        assert_eq!(
            fault(&|b| b.truncate(128)),
            "is 128 bytes long, but an EDID with 1 extension blocks has 256"
        );
        assert!(fault(&|b| b.truncate(20)).starts_with("is 20 bytes long"));
        assert!(fault(&|b| b[0] = 1).starts_with("is neither"));
        assert!(parse(b"").unwrap_err().starts_with("is no EDID"));
        assert!(parse(b"00 ff f").unwrap_err().starts_with("is neither"));
    }

    #[test]
    fn words_name_presets_files_or_nothing() {
        assert_eq!(named("keep"), Ok(None));
        assert_eq!(named("720p60").unwrap().unwrap().len(), 256);
        assert_eq!(
            named("4k").unwrap_err(),
            "`4k` is none of keep, 1080p60, 1080p50, 1080p30, 720p60, 1024x768, 1440p60, nor the path of a file"
        );
        assert_eq!(named("/dev/zero").unwrap_err(), "/dev/zero: is no ordinary file");
        assert!(named("./not-there.hex").unwrap_err().starts_with("./not-there.hex: cannot be read ("));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("own.bin");
        let bytes = named("1080p30").unwrap().unwrap();
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(named(path.to_str().unwrap()).unwrap().unwrap(), bytes);
    }

    /// Width, height and rate of a detailed timing (VESA E-EDID 1.3, section 3.10.2).
    fn timing(d: &[u8]) -> (u32, u32, u32) {
        let wide = |low: u8, high: u8| u32::from(low) | u32::from(high) << 8;
        let (width, blank) = (wide(d[2], d[4] >> 4), wide(d[3], d[4] & 15));
        let (height, lost) = (wide(d[5], d[7] >> 4), wide(d[6], d[7] & 15));
        let total = (width + blank) * (height + lost);
        (width, height, (wide(d[0], d[1]) * 10_000 + total / 2) / total)
    }

    #[test]
    fn presets_prefer_the_mode_that_they_are_named_after() {
        let wanted = [
            ("1080p60", (1920, 1080, 60)),
            ("1080p50", (1920, 1080, 50)),
            ("1080p30", (1920, 1080, 30)),
            ("720p60", (1280, 720, 60)),
            ("1024x768", (1024, 768, 60)),
            ("1440p60", (2560, 1440, 60)),
        ];
        assert_eq!(wanted.map(|(name, _)| name), PRESETS.map(|(name, _)| name));
        let mut products = vec![];
        for (name, mode) in wanted {
            let edid = named(name).unwrap().unwrap();
            assert_eq!((edid.len(), edid[126]), (256, 1), "{name}: base and one extension");
            assert_eq!(timing(&edid[54..72]), mode, "{name}");
            assert!(edid[24] & 2 != 0, "{name}: the first timing is the preferred one");
            assert_eq!(&edid[108..121], b"\0\0\0\xfc\0kvmdesk\n", "{name}: the display's name");
            products.push(edid[10]);

            // CTA-861, section 7.5: tag and length, then the payload, up to where timings would begin.
            let cta = &edid[128..];
            assert_eq!((cta[0], cta[1], cta[3] & 0x40), (2, 3, 0x40), "{name}: CTA-861 with basic audio");
            let (mut at, end) = (4, usize::from(cta[2]));
            let mut blocks = vec![];
            while at < end {
                let length = usize::from(cta[at] & 31);
                blocks.push((cta[at] >> 5, &cta[at + 1..at + 1 + length]));
                at += 1 + length;
            }
            assert_eq!(at, end, "{name}");
            let (_, hdmi) = blocks.iter().find(|(tag, _)| *tag == 3).unwrap();
            assert_eq!(hdmi[..5], [3, 0x0c, 0, 0x10, 0], "{name}: HDMI, input 1");
            let clock = u32::from(edid[54]) + u32::from(edid[55]) * 256;
            assert!(u32::from(hdmi[6]) * 500 >= clock, "{name}: its TMDS clock carries its own mode");
            assert!(blocks.iter().any(|(tag, _)| *tag == 1), "{name}: sound");
        }
        // Windows keeps what it knows of a display by its product number.
        products.sort_unstable();
        products.dedup();
        assert_eq!(products.len(), PRESETS.len(), "each has a number of its own");
    }
}
