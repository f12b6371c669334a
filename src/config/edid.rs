//! What a receiver can be told to say of itself to the computer: EDIDs that come with kvmdesk, by name, and files.

use std::io::Read;
use std::path::Path;

use crate::video::edid::{Edid, EdidError};

/// Longest file that is read: 256 blocks of 128 bytes, each byte as `0xff, `, and comments.
const MOST_FILE: u64 = 256 * 128 * 8;

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
        return parse(hex.as_bytes()).map(Some).map_err(|why| format!("{word}: {why}"));
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
        return Err("this is no ordinary file".to_owned());
    }
    let mut bytes = vec![];
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(MOST_FILE).read_to_end(&mut bytes).map_err(unreadable)?;
    parse(&bytes).map_err(|why| why.to_string())
}

/// A file's contents: bytes, or hexadecimal text.
fn parse(file: &[u8]) -> Result<Vec<u8>, EdidError> {
    let edid = match std::str::from_utf8(file) {
        Ok(text) => Edid::from_hex(text)?,
        // The second byte of every EDID is no text.
        Err(_) => Edid::parse(file)?,
    };
    Ok(edid.bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video::format::Resolution;

    #[test]
    fn words_name_presets_files_or_nothing() {
        assert_eq!(named("keep"), Ok(None));
        assert_eq!(named("720p60").unwrap().unwrap().len(), 256);
        assert_eq!(
            named("4k").unwrap_err(),
            "`4k` is none of keep, 1080p60, 1080p50, 1080p30, 720p60, 1024x768, 1440p60, nor the path of a file"
        );
        assert_eq!(named("/dev/zero").unwrap_err(), "/dev/zero: this is no ordinary file");
        assert!(named("./not-there.hex").unwrap_err().starts_with("./not-there.hex: cannot be read ("));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("own.bin");
        let bytes = named("1080p30").unwrap().unwrap();
        let write = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            named(path.to_str().unwrap()).map_err(|why| why.rsplit_once(": ").unwrap().1.to_owned())
        };
        assert_eq!(write(&bytes).unwrap().unwrap(), bytes);
        assert_eq!(write(PRESETS[2].1.as_bytes()).unwrap().unwrap(), bytes);
        let (found, wanted) = (bytes[255] ^ 1, bytes[255]);
        let damaged = [&bytes[..255], &[found]].concat();
        let fault = format!("the checksum of block 1 is {found:02x} and should be {wanted:02x}");
        assert_eq!(write(&damaged), Err(fault));
        assert!(write(b"").is_err() && write(b"no edid").is_err() && write(&bytes[..128]).is_err());
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
            let preferred = Edid::parse(&edid).unwrap().preferred_mode().unwrap();
            let Resolution { width, height } = preferred.resolution;
            assert_eq!((width, height, (preferred.millihertz + 500) / 1000), mode, "{name}");
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
