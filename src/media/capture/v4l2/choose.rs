//! Which of a device's modes are tried, in which order. Pure.

use crate::media::convert::half_size;
use crate::video::format::{PixelFormat, Resolution};

/// Fewer pictures a second than this are not worth the better colours of a raw format.
const ENOUGH: u32 = 15;
/// More than this are not asked for.
const MOST_FPS: u32 = 60;
/// Larger modes of devices that scale are not asked for.
const LARGEST: Resolution = Resolution::new(1920, 1080);
/// No picture is wider or higher, nor has more pixels than 8K: what a device says of its size decides how much memory is
/// taken for it.
const MOST: Resolution = Resolution::new(8192, 8192);
const MOST_PIXELS: u64 = 7680 * 4320;
/// Most modes that are tried.
const MOST_TRIED: usize = 64;

/// One way in which a device can deliver pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    /// How the driver calls the layout.
    pub fourcc: [u8; 4],
    /// The layout.
    pub pixels: PixelFormat,
    /// Size.
    pub size: Resolution,
    /// Time between two pictures as a fraction of a second; `None` where the driver does not tell, or where it
    /// is the computer's.
    pub interval: Option<(u32, u32)>,
}

impl Mode {
    /// Pictures a second, `None` if the driver does not tell.
    pub fn fps(&self) -> Option<u32> {
        self.interval.map(|(numerator, denominator)| denominator / numerator.max(1))
    }
}

/// The modes to try, best first. With `is_strict` the order of `formats` decides first. Without, what a picture is
/// worth does: 15 pictures a second before fewer, then size, then raw before JPEG, then the order of `formats`. One mode
/// of each FourCC and size is kept, the fastest up to 60 pictures a second.
pub fn order(modes: Vec<Mode>, formats: &[PixelFormat], is_strict: bool) -> Vec<Mode> {
    let place = |mode: &Mode| formats.iter().position(|f| *f == mode.pixels);
    let is_fitting = |size: Resolution| size.width <= LARGEST.width && size.height <= LARGEST.height;
    let has_fitting = modes.iter().any(|mode| is_fitting(mode.size));
    let mut modes: Vec<_> = modes
        .into_iter()
        .filter(|mode| place(mode).is_some() && is_sane(mode.size))
        .filter(|mode| is_fitting(mode.size) || !has_fitting)
        .enumerate()
        .collect();
    modes.sort_by_key(|(number, mode)| {
        let is_slow = mode.fps().is_some_and(|fps| fps < ENOUGH);
        let smallness = u64::MAX - area(mode.size);
        let fps = mode.fps().map_or(ENOUGH, |fps| if fps > MOST_FPS { 1 } else { fps });
        let slowness = u32::MAX - fps;
        let (place, is_jpeg) = (place(mode), mode.pixels == PixelFormat::Mjpeg);
        let by_picture = (is_slow, smallness, is_jpeg && !is_strict);
        // Several memory planes before one: then the driver says where each begins, and it is no matter of rows that it
        // may have added. The driver's own order comes last.
        let is_joined = !matches!(mode.fourcc, [b'N' | b'Y', b'M', _, _]);
        (is_strict.then_some(place), by_picture, place, slowness, is_joined, *number)
    });
    let mut kept: Vec<Mode> = Vec::new();
    for (_, mode) in modes {
        if kept.len() < MOST_TRIED && !kept.iter().any(|k| (k.fourcc, k.size) == (mode.fourcc, mode.size)) {
            kept.push(mode);
        }
    }
    kept
}

/// Whether pictures of this size are taken at all.
pub fn is_sane(size: Resolution) -> bool {
    size.fits_into(MOST) && (1..=MOST_PIXELS).contains(&area(size))
}

fn area(size: Resolution) -> u64 {
    u64::from(size.width) * u64::from(size.height)
}

/// Whether smaller modes show the whole signal: of USB grabbers it is known; where there are timings there are none, and
/// cameras may cut off the rest.
pub fn scales(driver: &str, has_timings: bool) -> bool {
    driver == "uvcvideo" && !has_timings
}

/// The mode that gives pictures of the size `wish`, or larger ones but with the fewest pixels, of the same signal as
/// `whole`, best first in `modes`. `None` if that is `whole` itself: of a JPEG as it is half of its size costs little,
/// so that only a mode of just the wished size is better.
pub fn smaller(modes: &[Mode], whole: &Mode, wish: Resolution) -> Option<Mode> {
    // One that is off by less than a hundredth is rounded, not cut or drawn out.
    let shape = |size: Resolution, other: Resolution| u64::from(size.width) * u64::from(other.height);
    let is_same_shape = |size: Resolution| {
        let (a, b) = (shape(size, whole.size), shape(whole.size, size));
        a.abs_diff(b) * 100 < a
    };
    let is_slow = |mode: &Mode| mode.fps().is_some_and(|fps| fps < ENOUGH);
    let is_halved = half_size(whole.pixels, whole.size).is_some_and(|half| wish.fits_into(half));
    let candidates = modes.iter().filter(|mode| {
        let is_enough = if is_halved { mode.size == wish } else { wish.fits_into(mode.size) };
        is_enough && area(mode.size) < area(whole.size) && is_same_shape(mode.size)
    });
    candidates.filter(|mode| is_slow(whole) || !is_slow(mode)).min_by_key(|mode| area(mode.size)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(pixels: PixelFormat, width: u32, height: u32, fps: u32) -> Mode {
        let size = Resolution::new(width, height);
        Mode { fourcc: pixels.fourcc(), pixels, size, interval: (fps > 0).then_some((1, fps)) }
    }

    fn best(modes: &[Mode], formats: &[PixelFormat], is_strict: bool) -> Mode {
        order(modes.to_vec(), formats, is_strict)[0]
    }

    /// What a cheap USB 2 stick offers.
    fn usb2_stick() -> Vec<Mode> {
        use PixelFormat::{Mjpeg, Yuyv};
        vec![
            mode(Yuyv, 1920, 1080, 5),
            mode(Yuyv, 1280, 720, 10),
            mode(Yuyv, 640, 480, 30),
            mode(Mjpeg, 1920, 1080, 10),
            mode(Mjpeg, 1920, 1080, 30),
            mode(Mjpeg, 1920, 1080, 60),
            mode(Mjpeg, 1280, 720, 120),
            mode(Mjpeg, 1280, 720, 60),
        ]
    }

    #[test]
    fn jpeg_is_taken_only_where_raw_is_too_slow() {
        let all = PixelFormat::ALL;
        assert_eq!(best(&usb2_stick(), &all, false), mode(PixelFormat::Mjpeg, 1920, 1080, 60));
        let mut usb3 = usb2_stick();
        usb3[0] = mode(PixelFormat::Yuyv, 1920, 1080, 30);
        assert_eq!(best(&usb3, &all, false), usb3[0]);
    }

    #[test]
    fn a_configured_order_comes_first_and_formats_not_in_it_are_left_out() {
        let formats = [PixelFormat::Yuyv, PixelFormat::Mjpeg];
        let ordered = order(usb2_stick(), &formats, true);
        assert_eq!(ordered[0], mode(PixelFormat::Yuyv, 640, 480, 30), "the largest that is not slow");
        assert_eq!(ordered[3], mode(PixelFormat::Mjpeg, 1920, 1080, 60));
        let only = order(usb2_stick(), &[PixelFormat::Mjpeg], true);
        assert!(only.iter().all(|m| m.pixels == PixelFormat::Mjpeg));
        assert_eq!(only.len(), 2, "one of each size, the fastest up to 60: {only:?}");
        assert_eq!(only[1], mode(PixelFormat::Mjpeg, 1280, 720, 60));
    }

    #[test]
    fn a_smaller_mode_of_the_same_shape_is_found_and_no_slow_or_needless_one() {
        use PixelFormat::{Mjpeg, Yuyv};
        let whole = mode(Mjpeg, 1920, 1080, 30);
        let modes = [
            whole,
            mode(Mjpeg, 1600, 1200, 30),
            mode(Mjpeg, 1360, 768, 30),
            mode(Mjpeg, 1280, 720, 60),
            mode(Yuyv, 1280, 720, 10),
            mode(Mjpeg, 1024, 768, 60),
            mode(Yuyv, 640, 360, 30),
        ];
        let found = |whole: &Mode, width, height| smaller(&modes, whole, Resolution::new(width, height));
        assert_eq!(found(&whole, 1280, 720), Some(modes[3]), "not the slow one, nor another shape");
        assert_eq!(found(&whole, 1300, 732), Some(modes[2]), "off by rounding alone");
        assert_eq!(found(&whole, 1000, 562), Some(modes[3]), "the fewest pixels that are enough");
        assert_eq!(found(&whole, 960, 540), None, "half of the JPEG");
        assert_eq!(found(&whole, 640, 360), Some(modes[6]), "just the size");
        assert_eq!(found(&whole, 1600, 900), None, "nothing between");
        let raw = mode(Yuyv, 1920, 1080, 30);
        assert_eq!(found(&raw, 960, 540), Some(modes[3]), "raw pictures are not halved");
        let slow = mode(Yuyv, 1920, 1080, 5);
        let slow_modes = [slow, mode(Yuyv, 1280, 720, 10)];
        assert_eq!(smaller(&slow_modes, &slow, Resolution::new(960, 540)), Some(slow_modes[1]));
        assert_eq!(smaller(&[], &whole, Resolution::new(64, 36)), None);
        let odd = mode(Yuyv, 0, 0, 30);
        assert_eq!(smaller(&[odd, odd], &odd, Resolution::new(0, 0)), None);
    }

    #[test]
    fn unknown_rates_count_as_enough_and_a_device_with_large_modes_alone_is_taken() {
        let modes = [mode(PixelFormat::Uyvy, 2560, 1440, 0), mode(PixelFormat::Nv12, 2560, 1440, 0)];
        assert_eq!(best(&modes, &PixelFormat::ALL, false), modes[1]);
        assert_eq!(order(vec![], &PixelFormat::ALL, false), []);
        let mad = [(65_535, 65_535), (65_535, 2), (8192, 8192), (0, 1080)];
        let mad = mad.map(|(width, height)| mode(PixelFormat::Mjpeg, width, height, 30));
        assert_eq!(order(mad.to_vec(), &PixelFormat::ALL, false), [], "no memory is taken for these");
        let large = mode(PixelFormat::Mjpeg, 7680, 4320, 30);
        assert_eq!(best(&[mad[0], large], &PixelFormat::ALL, false), large);
        let split = Mode { fourcc: *b"NM12", ..modes[1] };
        assert_eq!(
            best(&[modes[1], split], &PixelFormat::ALL, false),
            split,
            "several memory planes before one"
        );
    }
}
