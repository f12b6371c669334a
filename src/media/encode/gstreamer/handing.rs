//! Captured pictures as GStreamer's buffers, in the memory in which they lie: by a pointer, or as DMABUF. A buffer holds
//! the picture until the last element lets go of it.
#![allow(unsafe_code)]

use std::sync::Arc;

use gst_allocators::DmaBufAllocator;
use gst_allocators::prelude::*;
use gst_video::{VideoFormat, VideoFrameFlags, VideoMeta};
use gstreamer as gst;
use gstreamer_allocators as gst_allocators;
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

/// How many memory planes a picture has.
fn planes(picture: &CapturedPicture) -> usize {
    1 + picture.places().iter().map(|place| place.memory).max().unwrap_or(0)
}

/// Whether its source exports all of it.
pub fn has_dmabuf(picture: &CapturedPicture) -> bool {
    (0..planes(picture)).all(|plane| picture.memory().dmabuf(plane).is_some())
}

/// The picture behind a pointer.
///
/// # Errors
/// If GStreamer refuses the strides or offsets.
pub fn in_place(picture: &CapturedPicture, readers: &Readers) -> Result<gst::Buffer, EncodeError> {
    let held = Arc::new(Held { picture: picture.clone(), _reader: readers.0.clone() });
    let mut buffer = gst::Buffer::new();
    let writable = buffer.make_mut();
    (0..planes(picture))
        .for_each(|plane| writable.append_memory(gst::Memory::from_slice(Part(held.clone(), plane))));
    describe(picture, writable)?;
    Ok(buffer)
}

/// The picture as DMABUF.
///
/// # Errors
/// If its source has none, the process has no descriptor left, or GStreamer refuses the strides or offsets.
pub fn as_dmabuf(picture: &CapturedPicture, readers: &Readers) -> Result<gst::Buffer, EncodeError> {
    let fail = |error: &dyn ToString| failed("dmabuf", error.to_string());
    let allocator = DmaBufAllocator::new();
    let mut buffer = gst::Buffer::new();
    let writable = buffer.make_mut();
    for plane in 0..planes(picture) {
        let memory = picture.memory();
        let descriptor = memory.dmabuf(plane).ok_or_else(|| fail(&"the capture has none"))?;
        let descriptor = descriptor.try_clone_to_owned().map_err(|error| fail(&error))?;
        // SAFETY: the descriptor is a copy that the new memory owns and closes; it is of `bytes(plane).len()` bytes, as
        // the mapping of the same buffer is.
        let memory = unsafe { allocator.alloc_dmabuf(descriptor, memory.bytes(plane).len()) };
        writable.append_memory(memory.map_err(|error| fail(&error))?);
    }
    describe(picture, writable)?;
    // The kernel's memory would stay anyway, but not what is in it: the source must not use it again before.
    gst::ParentBufferMeta::add(writable, &in_place(picture, readers)?);
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
