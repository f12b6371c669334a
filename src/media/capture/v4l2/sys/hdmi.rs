//! The receiver behind the connector: DV timings, EDID, 5 V on the cable, source-change events.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::RawFd;

use v4l::v4l_sys::{
    V4L2_CID_DV_RX_POWER_PRESENT, V4L2_EVENT_SOURCE_CHANGE, V4L2_SEL_TGT_COMPOSE, V4L2_SEL_TGT_CROP,
    V4L2_SEL_TGT_CROP_DEFAULT, v4l2_control, v4l2_dv_timings, v4l2_edid, v4l2_event, v4l2_event_subscription,
    v4l2_rect, v4l2_selection,
};
use v4l::v4l2::vidioc;

use super::{Api, call, zeroed};
use crate::video::edid::BLOCK;
use crate::video::format::Resolution;

/// Most blocks that the kernel takes or gives.
const MOST_BLOCKS: u32 = 256;

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

const fn request(direction: u32, number: u32, size: usize) -> vidioc::_IOC_TYPE {
    ((direction << 30) | ((size as u32) << 16) | ((b'V' as u32) << 8) | number) as vidioc::_IOC_TYPE
}
const WRITE: u32 = 1;
const READ: u32 = 2;
const QUERY_DV_TIMINGS: vidioc::_IOC_TYPE = request(READ, 99, size_of::<v4l2_dv_timings>());
const S_DV_TIMINGS: vidioc::_IOC_TYPE = request(READ | WRITE, 87, size_of::<v4l2_dv_timings>());
const G_SELECTION: vidioc::_IOC_TYPE = request(READ | WRITE, 94, size_of::<v4l2_selection>());
const S_SELECTION: vidioc::_IOC_TYPE = request(READ | WRITE, 95, size_of::<v4l2_selection>());
const G_EDID: vidioc::_IOC_TYPE = request(READ | WRITE, 40, size_of::<v4l2_edid>());
const S_EDID: vidioc::_IOC_TYPE = request(READ | WRITE, 41, size_of::<v4l2_edid>());
const DQEVENT: vidioc::_IOC_TYPE = request(READ, 89, size_of::<v4l2_event>());
const SUBSCRIBE_EVENT: vidioc::_IOC_TYPE = request(WRITE, 90, size_of::<v4l2_event_subscription>());

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

/// Whether there are 5 V on the cable of the first input; `None` where the driver does not tell.
pub fn power_present(fd: RawFd) -> Option<bool> {
    let mut control = v4l2_control { id: V4L2_CID_DV_RX_POWER_PRESENT, value: 0 };
    call(fd, vidioc::VIDIOC_G_CTRL, &mut control).ok().map(|()| control.value & 1 != 0)
}

/// The EDID that the computer is shown; empty if there is none.
///
/// # Errors
/// What VIDIOC_G_EDID says; ENOTTY or EINVAL where the receiver has none that can be read.
pub fn get_edid(fd: RawFd) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; MOST_BLOCKS as usize * BLOCK];
    // `bytes` has room for all the blocks asked for and lives through the call.
    let mut edid = v4l2_edid { blocks: MOST_BLOCKS, edid: bytes.as_mut_ptr(), ..zeroed() };
    match call(fd, G_EDID, &mut edid) {
        Err(error) if error.raw_os_error() == Some(libc::ENODATA) => return Ok(Vec::new()),
        other => other?,
    }
    bytes.truncate(edid.blocks.min(MOST_BLOCKS) as usize * BLOCK);
    Ok(bytes)
}

/// Shows the computer this EDID, whole blocks; none at all takes it away, which is as if the cable were pulled.
///
/// # Errors
/// What VIDIOC_S_EDID says; E2BIG if the receiver has room for fewer blocks.
pub fn set_edid(fd: RawFd, bytes: &[u8]) -> io::Result<()> {
    let mut bytes = bytes.to_vec();
    let blocks = (bytes.len() / BLOCK) as u32;
    // `bytes` holds `blocks` blocks and lives through the call.
    let mut edid = v4l2_edid { blocks, edid: bytes.as_mut_ptr(), ..zeroed() };
    call(fd, S_EDID, &mut edid)
}

/// Captures the whole signal into the whole picture: cropping and composing outlive a program, and a change of mode. Most
/// devices know neither, which is no error.
pub fn reset_selection(fd: RawFd, size: Resolution) {
    let (width, height) = (size.width, size.height);
    // These calls take the single-planar type for both interfaces (kernel: vidioc-g-selection).
    let selection = |target| v4l2_selection { type_: Api::Single.buffer_type(), target, ..zeroed() };
    let mut whole = selection(V4L2_SEL_TGT_CROP_DEFAULT);
    if call(fd, G_SELECTION, &mut whole).is_ok() {
        let mut crop = v4l2_selection { r: whole.r, ..selection(V4L2_SEL_TGT_CROP) };
        let set = call(fd, S_SELECTION, &mut crop);
        tracing::debug!(width = whole.r.width, height = whole.r.height, ?set, "whole signal");
    }
    let r = v4l2_rect { left: 0, top: 0, width, height };
    let mut compose = v4l2_selection { r, ..selection(V4L2_SEL_TGT_COMPOSE) };
    if call(fd, S_SELECTION, &mut compose).is_ok() {
        tracing::debug!(width = compose.r.width, height = compose.r.height, "whole picture");
    }
}
