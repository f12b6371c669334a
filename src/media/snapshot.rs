//! One picture for its own sake: a screenshot in the app, `kvmdesk snapshot`.

use std::time::Instant;

use crate::video::format::Resolution;
use crate::video::signal::SignalState;

/// A picture as it was captured, before any encoder.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Width x height in pixels.
    pub resolution: Resolution,
    /// Red, green, blue, one byte each, rows without gaps.
    pub rgb: Vec<u8>,
    /// When it was captured.
    pub captured_at: Instant,
}

impl Snapshot {
    /// The picture as PNG, compressed fast rather than small.
    ///
    /// # Errors
    /// The size is zero or does not fit the bytes.
    pub fn to_png(&self) -> Result<Vec<u8>, png::EncodingError> {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, self.resolution.width, self.resolution.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Fast);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.rgb)?;
        writer.finish()?;
        Ok(out)
    }
}

/// Why there is no picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The source shows nothing.
    #[error("there is no picture: {}", .0.sentence())]
    NoSignal(SignalState),
    /// The source should show something, but no frame came in time.
    #[error("no picture came in time; try again")]
    TimedOut,
    /// The pipeline ended.
    #[error("the video pipeline has ended")]
    Gone,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "any time will do")]
    fn a_png_holds_the_picture() {
        let rgb: Vec<u8> = (0..3 * 31 * 17).map(|n| (n * 7 % 256) as u8).collect();
        let mut snapshot =
            Snapshot { resolution: Resolution::new(31, 17), rgb: rgb.clone(), captured_at: Instant::now() };
        let data = snapshot.to_png().unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&data)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height, info.color_type), (31, 17, png::ColorType::Rgb));
        assert!(pixels == rgb);
        snapshot.rgb.pop();
        assert!(snapshot.to_png().is_err(), "too few bytes");
        snapshot.resolution = Resolution::new(0, 0);
        assert!(snapshot.to_png().is_err());
    }
}
