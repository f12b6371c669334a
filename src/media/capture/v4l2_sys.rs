//! The kernel's V4L2 calls that the crate `v4l` lacks: DV timings, source-change events, and streaming with one or
//! several planes (kernel: userspace-api/media/v4l). Thin and checked: one function a call, errno as `io::Error`.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::RawFd;

use v4l::v4l_sys::{
    V4L2_BUF_FLAG_ERROR, V4L2_EVENT_SOURCE_CHANGE, v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE,
    v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE, v4l2_buffer, v4l2_capability, v4l2_dv_timings,
    v4l2_event, v4l2_event_subscription, v4l2_fmtdesc, v4l2_format, v4l2_memory_V4L2_MEMORY_MMAP, v4l2_plane,
    v4l2_requestbuffers,
};
use v4l::v4l2::vidioc;

use crate::video::format::Resolution;

/// Most memory planes of a buffer (kernel: VIDEO_MAX_PLANES).
pub const MOST_PLANES: usize = 8;

/// Which of the two streaming interfaces a device has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// One memory plane a buffer.
    Single,
    /// Up to eight memory planes, each with its data offset.
    Multi,
}

/// A format as the driver set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DriverFormat {
    /// FourCC.
    pub fourcc: [u8; 4],
    /// Size in pixels.
    pub resolution: Resolution,
    /// Bytes a row, of each memory plane.
    pub strides: [u32; MOST_PLANES],
    /// Memory planes, 1..=8.
    pub planes: usize,
    /// Whether luma and chroma follow BT.709.
    pub is_bt709: bool,
    /// Whether luma and chroma use 0..=255.
    pub is_full_range: bool,
}

/// Timings as the receiver measured them.
#[derive(Clone, Copy)]
pub struct Timings(v4l2_dv_timings);

impl std::fmt::Debug for Timings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Timings({})", self.resolution())
    }
}

impl Timings {
    /// The active picture.
    pub fn resolution(&self) -> Resolution {
        // SAFETY: the union holds BT.656/1120 timings, the only type there is; all bit patterns are valid.
        let bt = unsafe { self.0.__bindgen_anon_1.bt };
        Resolution::new(bt.width, bt.height)
    }
}

/// A filled buffer taken from the driver.
#[derive(Debug, Clone, Copy)]
pub struct Filled {
    /// Its index.
    pub index: u32,
    /// The driver says that its content is damaged.
    pub is_damaged: bool,
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

/// One ioctl on an open descriptor; retried when a signal interrupts it.
pub(in crate::media) fn call<T>(fd: RawFd, request: vidioc::_IOC_TYPE, argument: &mut T) -> io::Result<()> {
    loop {
        // SAFETY: every caller (here and in `probe`) passes the structure that the request is defined with (its size is
        // part of the request number); it is initialised and lives through the call.
        let result = unsafe { v4l::v4l2::ioctl(fd, request, std::ptr::from_mut(argument).cast()) };
        match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// A structure of the kernel interface with all bytes zero.
pub(in crate::media) fn zeroed<T: Copy>() -> T {
    // SAFETY: used for the plain C structures of videodev2.h only, for which zero is a valid value.
    unsafe { std::mem::zeroed() }
}

const fn request(direction: u32, number: u32, size: usize) -> vidioc::_IOC_TYPE {
    ((direction << 30) | ((size as u32) << 16) | ((b'V' as u32) << 8) | number) as vidioc::_IOC_TYPE
}
const WRITE: u32 = 1;
const READ: u32 = 2;
const QUERY_DV_TIMINGS: vidioc::_IOC_TYPE = request(READ, 99, size_of::<v4l2_dv_timings>());
const S_DV_TIMINGS: vidioc::_IOC_TYPE = request(READ | WRITE, 87, size_of::<v4l2_dv_timings>());
const DQEVENT: vidioc::_IOC_TYPE = request(READ, 89, size_of::<v4l2_event>());
const SUBSCRIBE_EVENT: vidioc::_IOC_TYPE = request(WRITE, 90, size_of::<v4l2_event_subscription>());

impl Api {
    /// V4L2's number for capture buffers of this interface.
    pub fn buffer_type(self) -> u32 {
        match self {
            Self::Single => v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE,
            Self::Multi => v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE,
        }
    }
}

/// Which interface the device streams with; `None` if it does not capture video.
///
/// # Errors
/// What VIDIOC_QUERYCAP says.
pub fn api_of(fd: RawFd) -> io::Result<Option<Api>> {
    let mut capability: v4l2_capability = zeroed();
    call(fd, vidioc::VIDIOC_QUERYCAP, &mut capability)?;
    let has = |flag: u32| capability.device_caps & flag != 0;
    if !has(v4l::v4l_sys::V4L2_CAP_STREAMING) {
        return Ok(None);
    }
    let (single, multi) = (v4l::v4l_sys::V4L2_CAP_VIDEO_CAPTURE, v4l::v4l_sys::V4L2_CAP_VIDEO_CAPTURE_MPLANE);
    Ok(if has(single) { Some(Api::Single) } else { has(multi).then_some(Api::Multi) })
}

/// What is on the cable now.
///
/// # Errors
/// ENOLINK no signal, ENOLCK no lock, ERANGE out of range; ENOTTY or ENODATA where the input has no timings.
pub fn query_timings(fd: RawFd) -> io::Result<Timings> {
    let mut timings: v4l2_dv_timings = zeroed();
    call(fd, QUERY_DV_TIMINGS, &mut timings).map(|()| Timings(timings))
}

/// Sets the receiver to these timings; the format's size follows. EBUSY while buffers exist.
///
/// # Errors
/// What VIDIOC_S_DV_TIMINGS says.
pub fn set_timings(fd: RawFd, timings: &Timings) -> io::Result<()> {
    let mut timings = timings.0;
    call(fd, S_DV_TIMINGS, &mut timings)
}

/// Asks for source-change events.
///
/// # Errors
/// ENOTTY or EINVAL where the driver has none.
pub fn subscribe_source_change(fd: RawFd) -> io::Result<()> {
    let mut subscription = v4l2_event_subscription { type_: V4L2_EVENT_SOURCE_CHANGE, ..zeroed() };
    call(fd, SUBSCRIBE_EVENT, &mut subscription)
}

/// Takes all pending events; true if one was a source change.
///
/// # Errors
/// What VIDIOC_DQEVENT says, but for "there is none".
pub fn take_source_change(fd: RawFd) -> io::Result<bool> {
    let mut is_changed = false;
    loop {
        let mut event: v4l2_event = zeroed();
        match call(fd, DQEVENT, &mut event) {
            Ok(()) => is_changed |= event.type_ == V4L2_EVENT_SOURCE_CHANGE,
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EAGAIN)) => {
                return Ok(is_changed);
            }
            Err(error) => return Err(error),
        }
    }
}

/// The FourCCs that the device offers.
pub fn formats(fd: RawFd, api: Api) -> Vec<[u8; 4]> {
    let mut found = Vec::new();
    for index in 0..256 {
        let mut description = v4l2_fmtdesc { index, type_: api.buffer_type(), ..zeroed() };
        if call(fd, vidioc::VIDIOC_ENUM_FMT, &mut description).is_err() {
            break;
        }
        found.push(description.pixelformat.to_le_bytes());
    }
    found
}

/// The format that is set.
///
/// # Errors
/// What VIDIOC_G_FMT says.
pub fn get_format(fd: RawFd, api: Api) -> io::Result<DriverFormat> {
    let mut format = v4l2_format { type_: api.buffer_type(), ..zeroed() };
    call(fd, vidioc::VIDIOC_G_FMT, &mut format)?;
    Ok(read_format(&format, api))
}

/// Sets FourCC and size; the driver answers with what it made of them.
///
/// # Errors
/// What VIDIOC_S_FMT says; EBUSY while buffers exist.
pub fn set_format(fd: RawFd, api: Api, fourcc: [u8; 4], size: Resolution) -> io::Result<DriverFormat> {
    let mut format = v4l2_format { type_: api.buffer_type(), ..zeroed() };
    call(fd, vidioc::VIDIOC_G_FMT, &mut format)?;
    let code = u32::from_le_bytes(fourcc);
    match api {
        Api::Single => {
            // SAFETY: the union was filled by VIDIOC_G_FMT for this buffer type.
            let pix = unsafe { &mut format.fmt.pix };
            (pix.pixelformat, pix.width, pix.height) = (code, size.width, size.height);
            (pix.bytesperline, pix.sizeimage) = (0, 0);
        }
        Api::Multi => {
            // SAFETY: as above.
            let pix = unsafe { &mut format.fmt.pix_mp };
            (pix.pixelformat, pix.width, pix.height) = (code, size.width, size.height);
            pix.plane_fmt = zeroed();
        }
    }
    call(fd, vidioc::VIDIOC_S_FMT, &mut format)?;
    Ok(read_format(&format, api))
}

fn read_format(format: &v4l2_format, api: Api) -> DriverFormat {
    match api {
        Api::Single => {
            // SAFETY: the kernel filled the union for this buffer type; every bit pattern is valid.
            let pix = unsafe { format.fmt.pix };
            let mut strides = [0; MOST_PLANES];
            strides[0] = pix.bytesperline;
            // SAFETY: both members of the inner union are the same number.
            let encoding = unsafe { pix.__bindgen_anon_1.ycbcr_enc };
            let (is_bt709, is_full_range) = colours(pix.colorspace, encoding, pix.quantization);
            let (fourcc, planes) = (pix.pixelformat.to_le_bytes(), 1);
            let resolution = Resolution::new(pix.width, pix.height);
            DriverFormat { fourcc, resolution, strides, planes, is_bt709, is_full_range }
        }
        Api::Multi => {
            // SAFETY: as above.
            let pix = unsafe { format.fmt.pix_mp };
            let plane_formats = pix.plane_fmt;
            // SAFETY: both members of the inner union are the same number.
            let encoding = u32::from(unsafe { pix.__bindgen_anon_1.ycbcr_enc });
            let (is_bt709, is_full_range) = colours(pix.colorspace, encoding, pix.quantization.into());
            DriverFormat {
                fourcc: { pix.pixelformat }.to_le_bytes(),
                resolution: Resolution::new(pix.width, pix.height),
                strides: plane_formats.map(|plane| plane.bytesperline),
                planes: usize::from(pix.num_planes).clamp(1, MOST_PLANES),
                is_bt709,
                is_full_range,
            }
        }
    }
}

/// BT.709 or not, full range or not, by the kernel's rules for "default" (videodev2.h: V4L2_MAP_YCBCR_ENC_DEFAULT,
/// V4L2_MAP_QUANTIZATION_DEFAULT). BT.2020 counts as BT.709, which is nearer to it than BT.601.
fn colours(colorspace: u32, encoding: u32, quantization: u32) -> (bool, bool) {
    const SMPTE240M: u32 = 2;
    const REC709: u32 = 3;
    const JPEG: u32 = 7;
    const BT2020: u32 = 10;
    const DCI_P3: u32 = 12;
    let is_bt709 = match encoding {
        0 => [SMPTE240M, REC709, BT2020, DCI_P3].contains(&colorspace),
        // V4L2_YCBCR_ENC_709, XV709, BT2020, BT2020_CONST_LUM, SMPTE240M
        2 | 4 | 6 | 7 | 8 => true,
        _ => false,
    };
    (is_bt709, quantization == 1 || (quantization == 0 && colorspace == JPEG))
}

/// Asks for `count` buffers (0 frees them) and returns how many there are.
///
/// # Errors
/// What VIDIOC_REQBUFS says; EBUSY if someone else streams.
pub fn request_buffers(fd: RawFd, api: Api, count: u32) -> io::Result<u32> {
    let memory = v4l2_memory_V4L2_MEMORY_MMAP;
    let mut wanted = v4l2_requestbuffers { count, type_: api.buffer_type(), memory, ..zeroed() };
    call(fd, vidioc::VIDIOC_REQBUFS, &mut wanted).map(|()| wanted.count)
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
    Ok(Some(Filled { index: buffer.index, is_damaged, spans }))
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
