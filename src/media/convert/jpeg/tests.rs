#![allow(clippy::disallowed_methods, reason = "tests own their clocks")]

use std::time::Instant;

use proptest::prelude::*;
use turbojpeg::{Compressor, Image, PixelFormat as Pixels};

use super::*;

const SOS: u8 = 0xda;
const EOI: u8 = 0xd9;
use crate::media::capture::{Colours, RawFrame};
use crate::media::convert::tests::to_rgb;
use crate::media::convert::{ConvertError, convert_stripes, half_size};
use crate::media::picture::Stripes;
use crate::video::format::PixelFormat;

const SUBSAMPLINGS: [Subsamp; 7] = [
    Subsamp::Sub2x2,
    Subsamp::Sub2x1,
    Subsamp::None,
    Subsamp::Gray,
    Subsamp::Sub1x2,
    Subsamp::Sub4x1,
    Subsamp::Sub1x4,
];

fn encode(rgb: &[u8], size: Resolution, set: impl Fn(&mut Compressor)) -> Vec<u8> {
    let (width, height) = (size.width as usize, size.height as usize);
    let mut compressor = Compressor::new().unwrap();
    compressor.set_quality(95).unwrap();
    set(&mut compressor);
    let image = Image { pixels: rgb, width, pitch: width * 3, height, format: Pixels::RGB };
    compressor.compress_to_vec(image).unwrap()
}

/// A picture with something in every block.
fn textured(size: Resolution) -> Vec<u8> {
    let at = |x: u32, y: u32| [(x * 7 + y) as u8, ((y * 5) ^ x) as u8, (x + y * 3) as u8];
    (0..size.height).flat_map(|y| (0..size.width).flat_map(move |x| at(x, y))).collect()
}

fn frame(data: &[u8], resolution: Resolution) -> RawFrame<'_> {
    RawFrame {
        format: PixelFormat::Mjpeg,
        resolution,
        planes: [RawPlane { data, stride: 0 }, RawPlane::EMPTY, RawPlane::EMPTY],
        colours: Colours::Bt601Full,
        captured_at: Instant::now(),
    }
}

fn convert(data: &[u8], size: Resolution, picture: &mut I420Picture) -> Result<(), ConvertError> {
    convert_stripes(&frame(data, size), &Stripes::all(size.to_even().height), picture)
}

/// A picture that shows whether it was written to.
fn marked(size: Resolution) -> I420Picture {
    let mut picture = I420Picture::new(size);
    let rows = picture.rows_mut(0, size.height);
    rows.y.fill(7);
    rows.u.fill(8);
    rows.v.fill(9);
    picture
}

#[test]
fn pure_colours_and_greys_stay_within_three() {
    let mut colours = vec![
        [255, 0, 0],
        [0, 255, 0],
        [0, 0, 255],
        [255, 255, 0],
        [0, 255, 255],
        [255, 0, 255],
        [191, 0, 191],
    ];
    let greys: Vec<_> = (0..=255).step_by(15).map(|g| [g as u8; 3]).collect();
    colours.extend(&greys);
    for size in [Resolution::new(64, 36), Resolution::new(35, 21)] {
        for subsamp in SUBSAMPLINGS {
            let colours = if subsamp == Subsamp::Gray { &greys } else { &colours };
            for rgb in colours {
                let pixels = rgb.repeat((size.width * size.height) as usize);
                let data = encode(&pixels, size, |c| c.set_subsamp(subsamp).unwrap());
                let mut picture = marked(size);
                convert(&data, size, &mut picture).unwrap();
                let half = picture.resolution().width as usize / 2;
                for (n, y) in picture.y().iter().enumerate() {
                    let (column, row) = (n % (half * 2), n / (half * 2));
                    let chroma = row / 2 * half + column / 2;
                    let got = to_rgb([*y, picture.u()[chroma], picture.v()[chroma]]);
                    let off = got.iter().zip(rgb).map(|(got, want)| (got - i32::from(*want)).abs()).max();
                    assert!(off <= Some(3), "{subsamp:?} {size} {rgb:?} at {column},{row}: {got:?}");
                }
            }
        }
    }
}

#[test]
fn every_subsampling_puts_colours_in_their_places() {
    // Quarters of different colours, blocks whole: no wrong row, column or plane goes unseen.
    let size = Resolution::new(128, 128);
    let quarters = [[[200, 30, 30], [30, 200, 30]], [[30, 30, 200], [200, 200, 30]]];
    let at = |x: usize, y: usize| -> [u8; 3] { quarters[y / 64][x / 64] };
    let pixels: Vec<u8> = (0..128).flat_map(|y| (0..128).flat_map(move |x| at(x, y))).collect();
    for subsamp in SUBSAMPLINGS.into_iter().filter(|s| *s != Subsamp::Gray) {
        let data = encode(&pixels, size, |c| c.set_subsamp(subsamp).unwrap());
        let mut picture = marked(size);
        convert(&data, size, &mut picture).unwrap();
        for (x, y) in [(2, 2), (60, 60), (66, 2), (126, 60), (2, 66), (60, 126), (66, 66), (126, 126)] {
            let chroma = y / 2 * 64 + x / 2;
            let got = to_rgb([picture.y()[y * 128 + x], picture.u()[chroma], picture.v()[chroma]]);
            let off = got.iter().zip(at(x, y)).map(|(got, want)| (got - i32::from(want)).abs()).max();
            assert!(off <= Some(4), "{subsamp:?} at {x},{y}: {got:?}");
        }
    }
}

/// A smooth picture with an edge of brightness and of colour across it.
fn smooth(size: Resolution) -> Vec<u8> {
    let at = |x: u32, y: u32| {
        let wave = |n: u32, span: u32| (40 + n % span * 150 / span) as u8;
        let is_right = x > size.width / 3;
        [wave(x + y, 97), if is_right { 200 } else { 60 }, wave(x * 2 + 3 * y, 131)]
    };
    (0..size.height).flat_map(|y| (0..size.width).flat_map(move |x| at(x, y))).collect()
}

/// The mean of each 2x2 samples.
fn boxed(plane: &[u8], width: usize) -> Vec<u8> {
    let pairs = plane.chunks_exact(width * 2).flat_map(|rows| {
        let (upper, lower) = rows.split_at(width);
        upper.chunks_exact(2).zip(lower.chunks_exact(2))
    });
    let sum = |pair: &[u8]| u32::from(pair[0]) + u32::from(pair[1]);
    pairs.map(|(a, b)| ((sum(a) + sum(b) + 2) / 4) as u8).collect()
}

#[test]
fn half_the_size_is_the_whole_scaled_down() {
    for size in [Resolution::new(160, 96), Resolution::new(164, 100), Resolution::new(640, 360)] {
        for subsamp in SUBSAMPLINGS {
            let data = encode(&smooth(size), size, |c| c.set_subsamp(subsamp).unwrap());
            let (mut whole, half) = (marked(size), half_size(PixelFormat::Mjpeg, size).unwrap());
            assert_eq!(half, Resolution::new(size.width / 2, size.height / 2));
            convert(&data, size, &mut whole).unwrap();
            let mut small = marked(half);
            convert(&data, size, &mut small).unwrap();
            let planes = [
                (whole.y(), small.y(), size.width),
                (whole.u(), small.u(), size.width / 2),
                (whole.v(), small.v(), size.width / 2),
            ];
            for (n, (whole, small, width)) in planes.into_iter().enumerate() {
                let off = boxed(whole, width as usize)
                    .iter()
                    .zip(small)
                    .map(|(a, b)| a.abs_diff(*b))
                    .collect::<Vec<_>>();
                let mean = off.iter().map(|off| f64::from(*off)).sum::<f64>() / off.len() as f64;
                let most = off.iter().max();
                // These have fewer samples of colour than the small picture: half of few is fewer.
                let is_coarse = n > 0 && matches!(subsamp, Subsamp::Sub4x1 | Subsamp::Sub1x4);
                let is_near = if is_coarse { mean <= 6.0 } else { most <= Some(&2) };
                assert!(is_near, "{subsamp:?} {size} plane {n}: mean {mean}, most {most:?}");
            }
        }
    }
}

#[test]
fn half_of_an_odd_size_keeps_every_colour_in_its_place() {
    // Columns and rows that only padding fills come last and must not be taken for picture.
    for (width, height) in [(161, 97), (162, 98), (163, 99), (166, 90), (1366 / 8, 768 / 8), (3, 9), (9, 3)] {
        let size = Resolution::new(width, height);
        let half = half_size(PixelFormat::Mjpeg, size).unwrap();
        assert_eq!(half, Resolution::new(width.div_ceil(2), height.div_ceil(2)).to_even());
        for subsamp in SUBSAMPLINGS {
            let rgb = if subsamp == Subsamp::Gray { [90; 3] } else { [30, 90, 200] };
            let pixels = rgb.repeat((width * height) as usize);
            let data = encode(&pixels, size, |c| c.set_subsamp(subsamp).unwrap());
            let mut small = marked(half);
            convert(&data, size, &mut small).unwrap();
            let columns = half.width as usize;
            for (n, y) in small.y().iter().enumerate() {
                let chroma = n / columns / 2 * (columns / 2) + n % columns / 2;
                let got = to_rgb([*y, small.u()[chroma], small.v()[chroma]]);
                let off = got.iter().zip(rgb).map(|(got, want)| (got - i32::from(want)).abs()).max();
                assert!(off <= Some(3), "{subsamp:?} {size} at {n}: {got:?}");
            }
        }
    }
}

#[test]
fn half_is_for_jpegs_and_nothing_smaller() {
    let size = Resolution::new(64, 48);
    assert_eq!(half_size(PixelFormat::Yuyv, size), None);
    assert_eq!(half_size(PixelFormat::Mjpeg, Resolution::new(2, 2)), None);
    let data = encode(&smooth(size), size, |_| ());
    for other in [Resolution::new(32, 22), Resolution::new(16, 12), Resolution::new(128, 96)] {
        assert_eq!(convert(&data, size, &mut marked(other)), Err(ConvertError::OtherSize), "{other}");
    }
    let mut small = marked(Resolution::new(32, 24));
    let damaged = convert(&data[..data.len() / 2], size, &mut small);
    assert!(damaged.is_err() && small == marked(Resolution::new(32, 24)), "as it was");
}

#[test]
fn progressive_scans_and_missing_tables_are_decoded() {
    let size = Resolution::new(64, 48);
    let pixels = textured(size);
    let baseline = encode(&pixels, size, |_| ());
    let mut wanted = marked(size);
    convert(&baseline, size, &mut wanted).unwrap();

    let progressive = encode(&pixels, size, |c| c.set_progressive(true).unwrap());
    let mut picture = marked(size);
    convert(&progressive, size, &mut picture).unwrap();
    assert_eq!(picture, wanted, "progressive");

    // USB cameras leave the standard Huffman tables out.
    let mut bare = baseline.clone();
    while let Some(at) = bare.windows(2).position(|pair| pair == [0xff, 0xc4]) {
        let length = usize::from(u16::from_be_bytes([bare[at + 2], bare[at + 3]]));
        bare.drain(at..at + 2 + length);
    }
    assert!(bare.len() < baseline.len());
    let mut picture = marked(size);
    convert(&bare, size, &mut picture).unwrap();
    assert_eq!(picture, wanted, "without Huffman tables");
}

#[test]
fn restart_markers_are_decoded() {
    // Two MCUs of one grey level each, DC difference 0, restart interval 1: all bits are written here by hand.
    let size = Resolution::new(16, 8);
    let plain = encode(&[128; 16 * 8 * 3], size, |c| c.set_subsamp(Subsamp::Gray).unwrap());
    let scan = plain.windows(2).position(|pair| pair == [0xff, SOS]).unwrap();
    let length = usize::from(u16::from_be_bytes([plain[scan + 2], plain[scan + 3]]));
    let mut data = plain[..scan].to_vec();
    data.extend([0xff, 0xdd, 0, 4, 0, 1]);
    data.extend(&plain[scan..scan + 2 + length]);
    // Luma DC category 0 is `00`, end of block is `1010` (T.81 tables K.3 and K.5), then ones to the byte's end.
    data.extend([0b0010_1011, 0xff, 0xd0, 0b0010_1011, 0xff, EOI]);
    let mut picture = marked(size);
    convert(&data, size, &mut picture).unwrap();
    assert!(picture.y().iter().all(|y| y.abs_diff(126) <= 1), "{:?}", picture.y());
    // The same with the marker's number wrong is damage.
    let marker = data.len() - 4;
    assert_eq!(data[marker], 0xd0);
    data[marker] = 0xd5;
    assert_eq!(convert(&data, size, &mut marked(size)), Err(ConvertError::Jpeg(JpegError::Damaged)));
}

#[test]
fn cut_damaged_and_other_pictures_leave_the_picture_alone() {
    let size = Resolution::new(96, 64);
    let data = encode(&textured(size), size, |_| ());
    let untouched = marked(size);
    let mut picture = untouched.clone();
    for cut in (0..data.len()).step_by(13).chain(data.len() - 3..data.len()) {
        let fault = convert(&data[..cut], size, &mut picture);
        assert!(fault.is_err(), "cut at {cut}");
        // The same with an end put behind it, as a driver does that fills up the buffer.
        let mut ended = data[..cut].to_vec();
        ended.extend([0xff, EOI, 0, 0]);
        let fault = convert(&ended, size, &mut picture);
        // All of the picture may be there but the end marker.
        assert!(fault.is_err() || cut >= data.len() - 10, "cut at {cut} and ended");
        if cut < data.len() - 10 {
            assert_eq!(picture, untouched, "cut at {cut}");
        }
    }
    let mut picture = untouched.clone();
    // A picture of the mode before, and one whose middle is missing.
    let other = Resolution::new(64, 64);
    let small = encode(&textured(other), other, |_| ());
    assert_eq!(convert(&small, size, &mut picture), Err(ConvertError::Jpeg(JpegError::OtherSize(other))));
    let middle = data.len() / 2;
    let mut holed = data.clone();
    holed.drain(middle..middle + 400);
    assert_eq!(convert(&holed, size, &mut picture), Err(ConvertError::Jpeg(JpegError::Damaged)));
    let arithmetic = encode(&textured(size), size, |c| {
        let _ = c.set_arithmetic(true);
    });
    if arithmetic.windows(2).any(|pair| pair == [0xff, 0xc9]) {
        assert_eq!(convert(&arithmetic, size, &mut picture), Err(ConvertError::Jpeg(JpegError::Kind)));
    }
    let rgb = encode(&textured(size), size, |c| {
        c.set_subsamp(Subsamp::None).unwrap();
        c.set_colorspace(Colorspace::RGB).unwrap();
    });
    assert_eq!(convert(&rgb, size, &mut picture), Err(ConvertError::Jpeg(JpegError::Kind)));
    assert_eq!(picture, untouched);
}

#[test]
fn a_few_bytes_before_the_end_are_forgiven_and_many_are_not() {
    let size = Resolution::new(96, 64);
    let data = encode(&textured(size), size, |_| ());
    let mut wanted = marked(size);
    convert(&data, size, &mut wanted).unwrap();
    for (extra, is_fine) in [(0, true), (1, true), (4, true), (8, true), (40, false), (200, false)] {
        let mut padded = data[..data.len() - 2].to_vec();
        padded.extend(std::iter::repeat_n(0x55, extra));
        padded.extend([0xff, EOI]);
        let mut picture = marked(size);
        let is_done = convert(&padded, size, &mut picture).is_ok();
        assert_eq!((is_done, picture == wanted), (is_fine, is_fine), "{extra} bytes");
    }
}

#[test]
fn equal_bytes_are_not_decoded() {
    let size = Resolution::new(16, 16);
    let data = encode(&textured(size), size, |_| ());
    let again = data.clone();
    let same = crate::media::change::changed_stripes(&frame(&again, size), &frame(&data, size));
    assert!(same.is_empty());
    let mut picture = marked(size);
    convert_stripes(&frame(b"not even a JPEG", size), &same, &mut picture).unwrap();
    assert_eq!(picture, marked(size));
    let other = encode(&[9; 16 * 16 * 3], size, |_| ());
    let differs = crate::media::change::changed_stripes(&frame(&other, size), &frame(&data, size));
    assert_eq!(differs, Stripes::all(16));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn damage_of_any_kind_gives_a_picture_or_none(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
        kind in 0..3usize,
    ) {
        let size = Resolution::new(47, 33);
        let mut data = encode(&textured(size), size, |c| match kind {
            0 => c.set_subsamp(Subsamp::Sub2x1).unwrap(),
            1 => c.set_progressive(true).unwrap(),
            _ => c.set_subsamp(Subsamp::None).unwrap(),
        });
        for (at, value) in flips {
            let at = at.index(data.len());
            data[at] = value;
        }
        if let Some(cut) = cut {
            data.truncate(cut.index(data.len()));
            data.extend([0xff, EOI]);
        }
        for size_of_picture in [size, half_size(PixelFormat::Mjpeg, size).unwrap()] {
            let mut picture = marked(size_of_picture);
            if convert(&data, size, &mut picture).is_err() {
                prop_assert_eq!(picture, marked(size_of_picture));
            }
        }
    }
}
