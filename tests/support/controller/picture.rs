//! Video as a controller sees it: frames decoded with openh264 into RGB, by the rules of session 3.4.

use std::io;
use std::path::Path;
use std::time::Duration;

use kvmdesk::wire::message::hbb;
use openh264::decoder::Decoder;
use openh264::formats::YUVSource as _;

use super::{Controller, fault};

/// A decoded picture, 3 bytes a pixel, red first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Pixels a line.
    pub width: usize,
    /// Lines.
    pub height: usize,
    /// `width * height * 3` bytes.
    pub rgb: Vec<u8>,
    /// Display it came from.
    pub display: i32,
    /// Counts the decoded pictures of this connection from 1.
    pub number: u64,
    /// Whether its access unit was flagged as a key frame.
    pub is_keyframe: bool,
}

impl Picture {
    /// The colour at a place; outside is black.
    pub fn at(&self, x: usize, y: usize) -> [u8; 3] {
        let start = (y * self.width + x) * 3;
        match self.rgb.get(start..start + 3) {
            Some(p) if x < self.width => [p[0], p[1], p[2]],
            _ => [0; 3],
        }
    }

    /// The mean colour of a rectangle.
    pub fn mean(&self, x: usize, y: usize, width: usize, height: usize) -> [u8; 3] {
        let mut sum = [0u64; 3];
        for row in y..y + height {
            for column in x..x + width {
                for (s, p) in sum.iter_mut().zip(self.at(column, row)) {
                    *s += u64::from(p);
                }
            }
        }
        let n = (width * height).max(1) as u64;
        sum.map(|s| (s / n) as u8)
    }

    /// How many pixels differ from `other` by more than `tolerance` in a channel; all if the sizes differ.
    pub fn differing(&self, other: &Picture, tolerance: u8) -> usize {
        if (self.width, self.height) != (other.width, other.height) {
            return self.width * self.height;
        }
        let differs = |(a, b): (&[u8], &[u8])| a.iter().zip(b).any(|(a, b)| a.abs_diff(*b) > tolerance);
        self.rgb.chunks(3).zip(other.rgb.chunks(3)).filter(|p| differs(*p)).count()
    }
}

/// The decoder of one connection. One display is decoded: the one of the newest key frame.
pub(super) struct Screen {
    decoder: Option<Decoder>,
    picture: Option<Picture>,
    decoded: u64,
    display: i32,
    /// Bytes of H.264 that came.
    bytes: u64,
    units: u64,
    keyframes: u64,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { decoder: None, picture: None, decoded: 0, display: 0, bytes: 0, units: 0, keyframes: 0 }
    }

    pub(super) fn take(&mut self, frame: &hbb::VideoFrame) -> Result<(), String> {
        let Some(hbb::video_frame::Union::H264s(frames)) = &frame.union else {
            return Err("video that is not H.264".into());
        };
        for unit in &frames.frames {
            self.units += 1;
            self.bytes += unit.data.len() as u64;
            self.keyframes += u64::from(unit.key);
            if self.decoder.is_none() && !unit.key {
                return Err("the first frame is no key frame: an app would ban the codec".into());
            }
            if unit.key && self.display != frame.display {
                self.display = frame.display;
                self.decoder = None;
            }
            if frame.display != self.display {
                continue;
            }
            if self.decoder.is_none() {
                self.decoder = Some(Decoder::new().map_err(|e| e.to_string())?);
            }
            let Some(decoder) = &mut self.decoder else { continue };
            let yuv = decoder
                .decode(&unit.data)
                .map_err(|e| format!("unit {} does not decode: {e}", self.units))?
                .ok_or_else(|| {
                    format!("unit {} gave no picture: an app counts that as a failure", self.units)
                })?;
            let (width, height) = yuv.dimensions();
            let mut rgb = vec![0; width * height * 3];
            yuv.write_rgb8(&mut rgb);
            self.decoded += 1;
            self.picture = Some(Picture {
                width,
                height,
                rgb,
                display: frame.display,
                number: self.decoded,
                is_keyframe: unit.key,
            });
        }
        Ok(())
    }
}

pub(super) fn has_keyframe(frame: &hbb::VideoFrame) -> bool {
    match &frame.union {
        Some(hbb::video_frame::Union::H264s(f)) => f.frames.iter().any(|f| f.key),
        _ => false,
    }
}

impl Controller {
    /// The newest decoded picture.
    pub fn picture(&self) -> Option<&Picture> {
        self.screen.picture.as_ref()
    }

    /// How many access units came, and how many of them were flagged as key frames.
    pub fn frame_counts(&self) -> (u64, u64) {
        (self.screen.units, self.screen.keyframes)
    }

    /// Bytes of H.264 that came.
    pub fn video_bytes(&self) -> u64 {
        self.screen.bytes
    }

    /// Waits for a picture newer than the one now.
    ///
    /// # Errors
    /// None came, or it does not decode.
    pub fn next_picture(&mut self, timeout: Duration) -> io::Result<Picture> {
        let before = self.screen.decoded;
        self.wait_until(timeout, |c| c.screen.decoded > before)?;
        self.screen.picture.clone().ok_or_else(|| fault("no picture"))
    }

    /// Waits for a key frame that comes from now on, and gives the picture it decodes to.
    ///
    /// # Errors
    /// None came, or it does not decode.
    pub fn next_keyframe(&mut self, timeout: Duration) -> io::Result<Picture> {
        let before = self.screen.keyframes;
        self.wait_until(timeout, |c| {
            c.screen.keyframes > before && c.screen.picture.as_ref().is_some_and(|p| p.is_keyframe)
        })?;
        self.screen.picture.clone().ok_or_else(|| fault("no picture"))
    }

    /// The first picture of the session: the one that is there already, or the next.
    ///
    /// # Errors
    /// None came, or it does not decode.
    pub fn first_picture(&mut self, timeout: Duration) -> io::Result<Picture> {
        self.wait_until(timeout, |c| c.screen.picture.is_some())?;
        self.screen.picture.clone().ok_or_else(|| fault("no picture"))
    }

    /// Waits until a picture fits.
    ///
    /// # Errors
    /// None did.
    pub fn wait_for_picture(
        &mut self,
        timeout: Duration,
        mut fits: impl FnMut(&Picture) -> bool,
    ) -> io::Result<Picture> {
        let mut seen = 0;
        self.wait_until(timeout, |c| match &c.screen.picture {
            Some(p) if p.number != seen => {
                seen = p.number;
                fits(p)
            }
            _ => false,
        })?;
        self.screen.picture.clone().ok_or_else(|| fault("no picture"))
    }
}

/// Writes a picture as a PNG of stored (not compressed) blocks.
///
/// # Errors
/// The file cannot be written.
pub fn write_png(picture: &Picture, path: &Path) -> io::Result<()> {
    let mut lines = Vec::with_capacity(picture.height * (picture.width * 3 + 1));
    for line in picture.rgb.chunks(picture.width * 3) {
        lines.push(0);
        lines.extend_from_slice(line);
    }
    let mut zlib = vec![0x78, 0x01];
    let mut blocks = lines.chunks(0xFFFF).peekable();
    while let Some(block) = blocks.next() {
        zlib.push(u8::from(blocks.peek().is_none()));
        let len = block.len() as u16;
        zlib.extend_from_slice(&len.to_le_bytes());
        zlib.extend_from_slice(&(!len).to_le_bytes());
        zlib.extend_from_slice(block);
    }
    let (mut a, mut b) = (1u32, 0u32);
    for byte in &lines {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    zlib.extend_from_slice(&((b << 16) | a).to_be_bytes());
    let mut head = vec![];
    head.extend_from_slice(&(picture.width as u32).to_be_bytes());
    head.extend_from_slice(&(picture.height as u32).to_be_bytes());
    head.extend_from_slice(&[8, 2, 0, 0, 0]);
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in [(b"IHDR", &head), (b"IDAT", &zlib), (b"IEND", &vec![])] {
        out.extend_from_slice(&(data.len() as u32).to_be_bytes());
        let start = out.len();
        out.extend_from_slice(name);
        out.extend_from_slice(data);
        let sum = crc32(&out[start..]);
        out.extend_from_slice(&sum.to_be_bytes());
    }
    std::fs::write(path, out)
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |mut crc, byte| {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & 0u32.wrapping_sub(crc & 1));
        }
        crc
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_is_that_of_png() {
        assert_eq!(crc32(b"IEND"), 0xAE42_6082);
    }
}
