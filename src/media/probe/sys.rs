//! V4L2 calls that only ask (kernel: userspace-api/media/v4l): what a device is, offers and sees.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::RawFd;

use v4l::v4l_sys::{
    V4L2_DV_INTERLACED, v4l2_dv_timings, v4l2_edid, v4l2_fmtdesc, v4l2_fract, v4l2_frmivalenum,
    v4l2_frmivaltypes_V4L2_FRMIVAL_TYPE_DISCRETE, v4l2_frmsizeenum,
    v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_DISCRETE, v4l2_input,
};
use v4l::v4l2::vidioc;

use crate::media::capture::v4l2::sys::{Api, call, zeroed};
use crate::video::format::Resolution;

/// Most entries that are asked for of any list.
const MOST: u32 = 64;
/// Bytes of an EDID block.
const EDID_BLOCK: usize = 128;
/// Most EDID blocks there can be (kernel: struct v4l2_edid).
const MOST_EDID_BLOCKS: u32 = 256;

const QUERY_DV_TIMINGS: vidioc::_IOC_TYPE =
    ((2u64 << 30) | ((size_of::<v4l2_dv_timings>() as u64) << 16) | ((b'V' as u64) << 8) | 99)
        as vidioc::_IOC_TYPE;

/// One format on offer.
#[derive(Debug)]
pub struct Offer {
    pub fourcc: [u8; 4],
    pub description: String,
}

/// The sizes of a format.
#[derive(Debug)]
pub enum Sizes {
    /// These.
    Listed(Vec<Resolution>),
    /// Anything between.
    Range(Resolution, Resolution),
}

/// Timings on the cable.
#[derive(Debug)]
pub struct Timings {
    pub resolution: Resolution,
    pub fps: f64,
    pub is_interlaced: bool,
}

/// A zero-terminated string of the kernel.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

pub fn offers(fd: RawFd, api: Api) -> Vec<Offer> {
    let mut found = vec![];
    for index in 0..MOST * 4 {
        let mut answer = v4l2_fmtdesc { index, type_: api.buffer_type(), ..zeroed() };
        if call(fd, vidioc::VIDIOC_ENUM_FMT, &mut answer).is_err() {
            break;
        }
        found
            .push(Offer { fourcc: answer.pixelformat.to_le_bytes(), description: text(&answer.description) });
    }
    found
}

pub fn sizes(fd: RawFd, fourcc: [u8; 4]) -> Sizes {
    let pixel_format = u32::from_le_bytes(fourcc);
    let mut listed = vec![];
    for index in 0..MOST {
        let mut answer = v4l2_frmsizeenum { index, pixel_format, ..zeroed() };
        if call(fd, vidioc::VIDIOC_ENUM_FRAMESIZES, &mut answer).is_err() {
            break;
        }
        if answer.type_ == v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_DISCRETE {
            // SAFETY: the type says which member the kernel filled; all bit patterns are valid.
            let size = unsafe { answer.__bindgen_anon_1.discrete };
            listed.push(Resolution::new(size.width, size.height));
        } else {
            // SAFETY: as above, for the two other types.
            let range = unsafe { answer.__bindgen_anon_1.stepwise };
            return Sizes::Range(
                Resolution::new(range.min_width, range.min_height),
                Resolution::new(range.max_width, range.max_height),
            );
        }
    }
    Sizes::Listed(listed)
}

/// Most frames a second at a size; `None` if the device does not say.
pub fn most_fps(fd: RawFd, fourcc: [u8; 4], size: Resolution) -> Option<f64> {
    let rate = |interval: v4l2_fract| f64::from(interval.denominator) / f64::from(interval.numerator.max(1));
    let mut most: Option<f64> = None;
    for index in 0..MOST {
        let mut answer = v4l2_frmivalenum {
            index,
            pixel_format: u32::from_le_bytes(fourcc),
            width: size.width,
            height: size.height,
            ..zeroed()
        };
        if call(fd, vidioc::VIDIOC_ENUM_FRAMEINTERVALS, &mut answer).is_err() {
            break;
        }
        let is_listed = answer.type_ == v4l2_frmivaltypes_V4L2_FRMIVAL_TYPE_DISCRETE;
        // SAFETY: the type says which member the kernel filled; all bit patterns are valid.
        let shortest = unsafe {
            if is_listed { answer.__bindgen_anon_1.discrete } else { answer.__bindgen_anon_1.stepwise.min }
        };
        most = Some(most.map_or(rate(shortest), |so_far| so_far.max(rate(shortest))));
        if !is_listed {
            break;
        }
    }
    most
}

/// What is on the cable now: ENOLINK, ENOLCK, ERANGE, or ENOTTY where the input has no timings.
pub fn timings(fd: RawFd) -> io::Result<Timings> {
    let mut answer: v4l2_dv_timings = zeroed();
    call(fd, QUERY_DV_TIMINGS, &mut answer)?;
    // SAFETY: BT.656/1120 timings are the only type there is; all bit patterns are valid.
    let bt = unsafe { answer.__bindgen_anon_1.bt };
    let total = |parts: [u32; 4]| parts.into_iter().map(f64::from).sum::<f64>();
    let columns = total([bt.width, bt.hfrontporch, bt.hsync, bt.hbackporch]);
    let rows = total([bt.height, bt.vfrontporch, bt.vsync, bt.vbackporch]);
    let pixels = (columns * rows).max(1.0);
    // Unaligned: the structure is packed.
    let clock = { bt.pixelclock } as f64;
    Ok(Timings {
        resolution: Resolution::new(bt.width, bt.height),
        fps: clock / pixels,
        is_interlaced: bt.interlaced & V4L2_DV_INTERLACED != 0,
    })
}

/// The number of the input that is chosen, and its name; `None` if the device does not say.
pub fn input(fd: RawFd) -> Option<(u32, String)> {
    let mut number: libc::c_int = 0;
    call(fd, vidioc::VIDIOC_G_INPUT, &mut number).ok()?;
    let index = u32::try_from(number).ok()?;
    let mut answer = v4l2_input { index, ..zeroed() };
    call(fd, vidioc::VIDIOC_ENUMINPUT, &mut answer).ok()?;
    Some((index, text(&answer.name)))
}

/// The EDID that the computer reads: ENODATA if there is none, ENOTTY or EINVAL where there cannot be one.
pub fn edid(fd: RawFd, input: u32) -> io::Result<Vec<u8>> {
    let mut question = v4l2_edid { pad: input, ..zeroed() };
    // Asked for nothing, the driver says how many blocks there are.
    call(fd, vidioc::VIDIOC_G_EDID, &mut question)?;
    let blocks = { question.blocks }.min(MOST_EDID_BLOCKS);
    let mut data = vec![0; blocks as usize * EDID_BLOCK];
    if blocks > 0 {
        let mut question = v4l2_edid { pad: input, blocks, edid: data.as_mut_ptr(), ..zeroed() };
        // `data` has room for all the blocks asked for and lives through the call.
        call(fd, vidioc::VIDIOC_G_EDID, &mut question)?;
        data.truncate({ question.blocks } as usize * EDID_BLOCK);
    }
    Ok(data)
}
