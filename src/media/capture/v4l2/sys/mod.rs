//! The kernel's V4L2 calls that the crate `v4l` lacks: here what a device is and its formats, `buffers` for streaming
//! with one or several planes, `hdmi` for DV timings, EDID and source-change events (kernel:
//! userspace-api/media/v4l). Thin and checked: one function a call, errno as `io::Error`.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::RawFd;

use v4l::v4l_sys::{
    v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE, v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE,
    v4l2_capability, v4l2_fmtdesc, v4l2_format, v4l2_streamparm,
};
use v4l::v4l2::vidioc;

use crate::video::format::Resolution;

pub mod buffers;
pub mod hdmi;

/// Most memory planes of a buffer (kernel: VIDEO_MAX_PLANES).
pub const MOST_PLANES: usize = 8;

/// V4L2_QUANTIZATION_LIM_RANGE.
const LIMITED_RANGE: u32 = 2;

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
    /// Whether it is declared that all values use 16..=235, also red, green and blue.
    pub is_limited_range: bool,
}

/// One ioctl on an open descriptor; retried when a signal interrupts it.
pub fn call<T>(fd: RawFd, request: vidioc::_IOC_TYPE, argument: &mut T) -> io::Result<()> {
    loop {
        // SAFETY: every caller (here and in `media::probe`) passes the structure that the request is defined with (its size is
        // part of the request number); it is initialised and lives through the call.
        let result = unsafe { v4l::v4l2::ioctl(fd, request, std::ptr::from_mut(argument).cast()) };
        match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// A structure of the kernel interface with all bytes zero.
pub fn zeroed<T: Copy>() -> T {
    // SAFETY: used for the plain C structures of videodev2.h only, for which zero is a valid value.
    unsafe { std::mem::zeroed() }
}

impl Api {
    /// V4L2's number for capture buffers of this interface.
    pub fn buffer_type(self) -> u32 {
        match self {
            Self::Single => v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE,
            Self::Multi => v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE,
        }
    }
}

/// What a device says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// Which interface it streams with; `None` if it does not capture video.
    pub api: Option<Api>,
    /// The driver's name.
    pub driver: String,
    /// The device's name for people.
    pub card: String,
    /// Where it is plugged in; stays the same when it comes back.
    pub bus_info: String,
}

/// What the device is.
///
/// # Errors
/// What VIDIOC_QUERYCAP says.
pub fn capability(fd: RawFd) -> io::Result<Capability> {
    let mut capability: v4l2_capability = zeroed();
    call(fd, vidioc::VIDIOC_QUERYCAP, &mut capability)?;
    let has = |flag: u32| capability.device_caps & flag != 0;
    let (single, multi) = (v4l::v4l_sys::V4L2_CAP_VIDEO_CAPTURE, v4l::v4l_sys::V4L2_CAP_VIDEO_CAPTURE_MPLANE);
    let api = match has(v4l::v4l_sys::V4L2_CAP_STREAMING) {
        true if has(single) => Some(Api::Single),
        true if has(multi) => Some(Api::Multi),
        _ => None,
    };
    let text = |bytes: &[u8]| {
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    };
    Ok(Capability {
        api,
        driver: text(&capability.driver),
        card: text(&capability.card),
        bus_info: text(&capability.bus_info),
    })
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
            // The driver's choice, not what another mode left.
            pix.field = 0;
        }
        Api::Multi => {
            // SAFETY: as above.
            let pix = unsafe { &mut format.fmt.pix_mp };
            (pix.pixelformat, pix.width, pix.height) = (code, size.width, size.height);
            pix.plane_fmt = zeroed();
            pix.field = 0;
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
            let is_limited_range = pix.quantization == LIMITED_RANGE;
            DriverFormat { fourcc, resolution, strides, planes, is_bt709, is_full_range, is_limited_range }
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
                is_limited_range: u32::from(pix.quantization) == LIMITED_RANGE,
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

/// Asks for pictures `numerator / denominator` seconds apart; gives what the driver made of it.
///
/// # Errors
/// What VIDIOC_S_PARM says; ENOTTY where there is nothing to set.
pub fn set_interval(fd: RawFd, api: Api, numerator: u32, denominator: u32) -> io::Result<(u32, u32)> {
    let mut parameters = v4l2_streamparm { type_: api.buffer_type(), ..zeroed() };
    // SAFETY: the union is for capture with this buffer type; zero is a valid value of all its members.
    let capture = unsafe { &mut parameters.parm.capture };
    (capture.timeperframe.numerator, capture.timeperframe.denominator) = (numerator, denominator);
    call(fd, vidioc::VIDIOC_S_PARM, &mut parameters)?;
    // SAFETY: as above, filled by the kernel.
    let interval = unsafe { parameters.parm.capture.timeperframe };
    Ok((interval.numerator, interval.denominator))
}
