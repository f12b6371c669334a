//! Streaming: buffers mapped into our memory, queued, filled, taken.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::time::Duration;

use v4l::v4l_sys::{
    V4L2_BUF_CAP_SUPPORTS_MMAP_CACHE_HINTS, V4L2_BUF_CAP_SUPPORTS_ORPHANED_BUFS, V4L2_BUF_FLAG_ERROR,
    V4L2_BUF_FLAG_TIMESTAMP_MASK, V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC, V4L2_MEMORY_FLAG_NON_COHERENT,
    v4l2_buffer, v4l2_exportbuffer, v4l2_memory_V4L2_MEMORY_MMAP, v4l2_plane, v4l2_requestbuffers,
};
use v4l::v4l2::vidioc;

use super::{Api, MOST_PLANES, call, zeroed};

/// A filled buffer taken from the driver.
#[derive(Debug, Clone, Copy)]
pub struct Filled {
    /// Its index.
    pub index: u32,
    /// The driver says that its content is damaged.
    pub is_damaged: bool,
    /// How long ago the driver says that it was captured, if it says so.
    pub age: Option<Duration>,
    /// Start and end of the picture in each memory plane.
    pub spans: [(usize, usize); MOST_PLANES],
}

/// A plane of a buffer, mapped for reading.
#[derive(Debug)]
pub struct Mapping {
    start: *mut libc::c_void,
    length: usize,
}

// SAFETY: the mapping is plain memory, owned by this value alone and not tied to a thread.
unsafe impl Send for Mapping {}
// SAFETY: several threads only ever read it.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// The bytes. Only to be read while the buffer is not queued: then the driver does not write to it.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: mapped with this length in `map_buffer`, unmapped in Drop only.
        unsafe { std::slice::from_raw_parts(self.start.cast::<u8>(), self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped in `map_buffer` with this length; no slice of it outlives the value.
        unsafe { libc::munmap(self.start, self.length) };
    }
}

/// The buffers that a driver gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// How many.
    pub count: u32,
    /// Whether they may outlive the stream: freed, each is gone when nobody maps or imports it any more. Kernels before
    /// 4.20 refuse to free them until then.
    pub can_be_kept: bool,
}

/// Asks for `count` buffers and returns what there is. Where the driver offers it they are cached: reading memory
/// that is not costs many times as much on ARM boards. The driver keeps the caches right when buffers change hands.
///
/// # Errors
/// What VIDIOC_REQBUFS says; EBUSY if someone else streams.
pub fn request_buffers(fd: RawFd, api: Api, count: u32) -> io::Result<Given> {
    let none = request(fd, api, 0, 0)?;
    let is_cacheable = none.capabilities & V4L2_BUF_CAP_SUPPORTS_MMAP_CACHE_HINTS != 0;
    let flags = if is_cacheable { V4L2_MEMORY_FLAG_NON_COHERENT as u8 } else { 0 };
    let can_be_kept = none.capabilities & V4L2_BUF_CAP_SUPPORTS_ORPHANED_BUFS != 0;
    request(fd, api, count, flags).map(|given| Given { count: given.count, can_be_kept })
}

/// Frees all buffers.
///
/// # Errors
/// What VIDIOC_REQBUFS says.
pub fn free_buffers(fd: RawFd, api: Api) -> io::Result<()> {
    request(fd, api, 0, 0).map(|_| ())
}

fn request(fd: RawFd, api: Api, count: u32, flags: u8) -> io::Result<v4l2_requestbuffers> {
    let memory = v4l2_memory_V4L2_MEMORY_MMAP;
    let mut wanted = v4l2_requestbuffers { count, type_: api.buffer_type(), memory, flags, ..zeroed() };
    call(fd, vidioc::VIDIOC_REQBUFS, &mut wanted).map(|()| wanted)
}

/// An ioctl on a buffer: the structure as the kernel left it, and its planes where the interface has them.
fn buffer_call(
    fd: RawFd,
    request: vidioc::_IOC_TYPE,
    api: Api,
    index: u32,
) -> io::Result<(v4l2_buffer, [v4l2_plane; MOST_PLANES])> {
    let mut planes: [v4l2_plane; MOST_PLANES] = [zeroed(); MOST_PLANES];
    let memory = v4l2_memory_V4L2_MEMORY_MMAP;
    let mut buffer = v4l2_buffer { index, type_: api.buffer_type(), memory, ..zeroed() };
    if api == Api::Multi {
        // `planes` lives through the call; the pointer is not used after it.
        buffer.m.planes = planes.as_mut_ptr();
        buffer.length = MOST_PLANES as u32;
    }
    call(fd, request, &mut buffer)?;
    Ok((buffer, planes))
}

/// Maps all planes of a buffer.
///
/// # Errors
/// What VIDIOC_QUERYBUF or mmap(2) says.
pub fn map_buffer(fd: RawFd, api: Api, index: u32) -> io::Result<Vec<Mapping>> {
    let (buffer, planes) = buffer_call(fd, vidioc::VIDIOC_QUERYBUF, api, index)?;
    let places: Vec<(u32, u32)> = match api {
        // SAFETY: for MMAP buffers of this interface the union holds the offset.
        Api::Single => vec![(unsafe { buffer.m.offset }, buffer.length)],
        Api::Multi => {
            let count = (buffer.length as usize).min(MOST_PLANES);
            // SAFETY: as above, for each plane that the kernel filled.
            planes[..count].iter().map(|p| (unsafe { p.m.mem_offset }, p.length)).collect()
        }
    };
    places.into_iter().map(|(offset, length)| map(fd, offset, length as usize)).collect()
}

fn map(fd: RawFd, offset: u32, length: usize) -> io::Result<Mapping> {
    // SAFETY: a new shared mapping chosen by the kernel; nothing of ours is replaced. The result is checked.
    let start = unsafe {
        libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ, libc::MAP_SHARED, fd, offset as libc::off_t)
    };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(Mapping { start, length })
}

/// A memory plane of a buffer as a DMABUF, which other drivers and programs can read.
///
/// # Errors
/// What VIDIOC_EXPBUF says: ENOTTY or EINVAL where the driver has none.
pub fn export(fd: RawFd, api: Api, index: u32, plane: u32) -> io::Result<OwnedFd> {
    // Drivers that import it ask for both ways, although they only read.
    let flags = (libc::O_CLOEXEC | libc::O_RDWR) as u32;
    let mut buffer = v4l2_exportbuffer { type_: api.buffer_type(), index, plane, flags, ..zeroed() };
    call(fd, vidioc::VIDIOC_EXPBUF, &mut buffer)?;
    // SAFETY: the kernel just made this descriptor for us; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(buffer.fd) })
}

/// Gives a buffer to the driver.
///
/// # Errors
/// What VIDIOC_QBUF says.
pub fn queue(fd: RawFd, api: Api, index: u32) -> io::Result<()> {
    buffer_call(fd, vidioc::VIDIOC_QBUF, api, index).map(|_| ())
}

/// Takes a filled buffer; `None` if there is none yet.
///
/// # Errors
/// What VIDIOC_DQBUF says: EIO when streaming failed for good, ENODEV when the device is gone.
pub fn dequeue(fd: RawFd, api: Api) -> io::Result<Option<Filled>> {
    let (buffer, planes) = match buffer_call(fd, vidioc::VIDIOC_DQBUF, api, 0) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        other => other?,
    };
    let mut spans = [(0, 0); MOST_PLANES];
    match api {
        Api::Single => spans[0] = (0, buffer.bytesused as usize),
        Api::Multi => {
            // `bytesused` counts the data offset in (kernel: struct v4l2_plane).
            for (span, plane) in spans.iter_mut().zip(planes.iter()) {
                *span = (plane.data_offset as usize, plane.bytesused as usize);
            }
        }
    }
    let is_damaged = buffer.flags & V4L2_BUF_FLAG_ERROR != 0;
    let is_monotonic = buffer.flags & V4L2_BUF_FLAG_TIMESTAMP_MASK == V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    #[allow(clippy::useless_conversion, reason = "on 32-bit machines the fields are shorter")]
    let (seconds, micros) = (i64::from(buffer.timestamp.tv_sec), i64::from(buffer.timestamp.tv_usec));
    let age = is_monotonic.then(|| age(seconds, micros)).flatten();
    Ok(Some(Filled { index: buffer.index, is_damaged, age, spans }))
}

/// How long ago a time of the monotonic clock was; `None` if it is not a past time of this hour.
#[allow(clippy::useless_conversion, reason = "on 32-bit machines the fields are shorter")]
fn age(seconds: i64, micros: i64) -> Option<Duration> {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes to a structure of ours.
    if unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) } != 0 {
        return None;
    }
    let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    let age = nanos(now.tv_sec.into(), now.tv_nsec.into()) - nanos(seconds, micros * 1000);
    u64::try_from(age).ok().map(Duration::from_nanos).filter(|age| *age < Duration::from_secs(3600))
}

/// Starts or stops streaming; a stop takes all buffers back.
///
/// # Errors
/// What VIDIOC_STREAMON or VIDIOC_STREAMOFF says.
pub fn stream(fd: RawFd, api: Api, is_on: bool) -> io::Result<()> {
    let mut kind = api.buffer_type() as libc::c_int;
    let request = if is_on { vidioc::VIDIOC_STREAMON } else { vidioc::VIDIOC_STREAMOFF };
    call(fd, request, &mut kind)
}
