//! Captured pictures as GStreamer's buffers, in the memory in which they lie. A buffer holds the picture until the last
//! element lets go of it.

use std::sync::Arc;

use gst_video::{VideoFormat, VideoFrameFlags, VideoMeta};
use gstreamer as gst;
use gstreamer_video as gst_video;

use super::line::failed;
use crate::media::captured::CapturedPicture;
use crate::media::encode::EncodeError;

/// Counts the buffers that are not let go of yet.
#[derive(Debug, Default)]
pub struct Readers(Arc<()>);

impl Readers {
    /// How many there are.
    pub fn count(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

/// What a buffer holds.
struct Held {
    picture: CapturedPicture,
    _reader: Arc<()>,
}

/// One memory plane of it.
struct Part(Arc<Held>, usize);

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        self.0.picture.memory().bytes(self.1)
    }
}

/// The picture where it lies.
///
/// # Errors
/// If GStreamer refuses the strides or offsets.
pub fn buffer_of(picture: &CapturedPicture, readers: &Readers) -> Result<gst::Buffer, EncodeError> {
    let held = Arc::new(Held { picture: picture.clone(), _reader: readers.0.clone() });
    let mut buffer = gst::Buffer::new();
    let writable = buffer.make_mut();
    let last = picture.places().iter().map(|place| place.memory).max().unwrap_or(0);
    (0..=last).for_each(|plane| writable.append_memory(gst::Memory::from_slice(Part(held.clone(), plane))));
    describe(picture, writable)?;
    Ok(buffer)
}

/// Says where the planes are.
fn describe(picture: &CapturedPicture, buffer: &mut gst::BufferRef) -> Result<(), EncodeError> {
    let size = picture.resolution();
    // Offsets count from the beginning of the first memory.
    let start = |memory| (0..memory).map(|plane| picture.memory().bytes(plane).len()).sum::<usize>();
    let offsets = picture.places().map(|place| start(place.memory) + place.offset);
    let strides = picture.places().map(|place| i32::try_from(place.stride).unwrap_or(i32::MAX));
    let (flags, format) = (VideoFrameFlags::empty(), VideoFormat::Nv12);
    VideoMeta::add_full(buffer, flags, format, size.width, size.height, &offsets, &strides)
        .map(|_| ())
        .map_err(|error| failed("video meta", error))
}
