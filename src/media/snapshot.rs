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

impl Snapshot {
    /// As a PNG file.
    pub fn to_png(&self) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, self.resolution.width, self.resolution.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_compression(png::Compression::Fast);
        let written = encoder.write_header().and_then(|mut writer| {
            writer.write_image_data(&self.rgb)?;
            writer.finish()
        });
        if let Err(error) = written {
            tracing::error!(%error, "a picture could not be written as PNG");
            file.clear();
        }
        file
    }
}
