#![allow(clippy::disallowed_methods, reason = "tests own their clocks")]

use std::time::Instant;

use super::*;
use crate::video::format::Resolution;

/// BT.601 limited range by the formulas of the standard (ITU-R BT.601, 8 bit).
fn to_yuv([r, g, b]: [u8; 3]) -> [u8; 3] {
    let [r, g, b] = [r, g, b].map(|c| f64::from(c) / 255.0);
    let luma = 0.299 * r + 0.587 * g + 0.114 * b;
    let byte = |x: f64| x.round().clamp(0.0, 255.0) as u8;
    [
        byte(16.0 + 219.0 * luma),
        byte(128.0 + 224.0 * (b - luma) / 1.772),
        byte(128.0 + 224.0 * (r - luma) / 1.402),
    ]
}

fn to_rgb([y, u, v]: [u8; 3]) -> [i32; 3] {
    let luma = (f64::from(y) - 16.0) / 219.0;
    let (cb, cr) = ((f64::from(u) - 128.0) / 224.0, (f64::from(v) - 128.0) / 224.0);
    let (r, b) = (luma + 1.402 * cr, luma + 1.772 * cb);
    [r, (luma - 0.299 * r - 0.114 * b) / 0.587, b].map(|c| (c * 255.0).round().clamp(0.0, 255.0) as i32)
}

/// A frame of one colour: planes with `padding` bytes behind each row, filled with rubbish.
fn planes_of(format: PixelFormat, size: Resolution, rgb: [u8; 3], padding: usize) -> Vec<(Vec<u8>, usize)> {
    let [y, u, v] = to_yuv(rgb);
    let pattern: [&[u8]; 3] = match format {
        PixelFormat::Yuyv => [&[y, u, y, v], &[], &[]],
        PixelFormat::Uyvy => [&[u, y, v, y], &[], &[]],
        PixelFormat::Bgr24 => [&[rgb[2], rgb[1], rgb[0]], &[], &[]],
        PixelFormat::Nv12 => [&[y], &[u, v], &[]],
        PixelFormat::Yu12 => [&[y], &[u], &[v]],
    };
    let shapes = crate::media::capture::plane_shapes(format, Resolution::new(size.width + 1, size.height));
    let mut planes = Vec::new();
    for (shape, pattern) in shapes.iter().zip(pattern).filter(|(s, _)| s.bytes > 0) {
        let mut data = Vec::new();
        for _ in 0..(size.height as usize).div_ceil(shape.rows_per) {
            data.extend(pattern.iter().cycle().take(shape.bytes));
            data.extend(std::iter::repeat_n(0xa5, padding));
        }
        planes.push((data, shape.bytes + padding));
    }
    planes
}

fn frame_of(format: PixelFormat, resolution: Resolution, planes: &[(Vec<u8>, usize)]) -> RawFrame<'_> {
    let plane =
        |n: usize| planes.get(n).map_or(RawPlane::EMPTY, |(data, stride)| RawPlane { data, stride: *stride });
    RawFrame {
        format,
        resolution,
        planes: [plane(0), plane(1), plane(2)],
        colours: Colours::Bt601,
        captured_at: Instant::now(),
    }
}

const FORMATS: [PixelFormat; 5] =
    [PixelFormat::Yuyv, PixelFormat::Uyvy, PixelFormat::Bgr24, PixelFormat::Nv12, PixelFormat::Yu12];

#[test]
fn pure_colours_and_greys_stay_within_three() {
    let mut colours = vec![
        [255, 0, 0],
        [0, 255, 0],
        [0, 0, 255],
        [255, 255, 0],
        [0, 255, 255],
        [255, 0, 255],
        [255, 255, 255],
    ];
    colours.extend((0..=255).step_by(15).map(|g| [g as u8; 3]));
    for format in FORMATS {
        for (size, padding) in [(Resolution::new(64, 36), 0), (Resolution::new(35, 21), 6)] {
            for rgb in &colours {
                let planes = planes_of(format, size, *rgb, padding);
                let frame = frame_of(format, size, &planes);
                let mut picture = I420Picture::new(size);
                convert_stripes(&frame, &Stripes::all(size.to_even().height), &mut picture).unwrap();
                let half = picture.resolution().width as usize / 2;
                for (n, y) in picture.y().iter().enumerate() {
                    let (column, row) = (n % (half * 2), n / (half * 2));
                    let chroma = row / 2 * half + column / 2;
                    let got = to_rgb([*y, picture.u()[chroma], picture.v()[chroma]]);
                    for (got, want) in got.iter().zip(rgb) {
                        let off = (got - i32::from(*want)).abs();
                        assert!(off <= 3, "{format:?} {size} {rgb:?} at {column},{row}: {got}");
                    }
                }
            }
        }
    }
}

#[test]
fn other_colour_spaces_come_out_as_bt601_limited() {
    let weights = |is_bt709| if is_bt709 { (0.2126, 0.0722) } else { (0.299, 0.114) };
    for (colours, is_bt709, is_full) in
        [(Colours::Bt601Full, false, true), (Colours::Bt709, true, false), (Colours::Bt709Full, true, true)]
    {
        for rgb in
            [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [255, 255, 255], [0, 0, 0], [90, 120, 200]]
        {
            let [r, g, b] = rgb.map(|c: u8| f64::from(c) / 255.0);
            let (kr, kb) = weights(is_bt709);
            let luma = kr * r + (1.0 - kr - kb) * g + kb * b;
            let (from, span, chroma) = if is_full { (0.0, 255.0, 255.0) } else { (16.0, 219.0, 224.0) };
            let byte = |x: f64| x.round().clamp(0.0, 255.0) as u8;
            let y = byte(from + span * luma);
            let u = byte(128.0 + chroma * (b - luma) / (2.0 * (1.0 - kb)));
            let v = byte(128.0 + chroma * (r - luma) / (2.0 * (1.0 - kr)));
            let size = Resolution::new(8, 4);
            let planes = [(vec![y; 32], 8), ([u, v].repeat(8), 8)];
            let frame = RawFrame { colours, ..frame_of(PixelFormat::Nv12, size, &planes) };
            let mut picture = I420Picture::new(size);
            convert_stripes(&frame, &Stripes::all(4), &mut picture).unwrap();
            let got = to_rgb([picture.y()[31], picture.u()[7], picture.v()[7]]);
            for (got, want) in got.iter().zip(rgb) {
                assert!((got - i32::from(want)).abs() <= 3, "{colours:?} {rgb:?} became {got:?}");
            }
        }
    }
}

#[test]
fn only_the_marked_stripes_are_written() {
    let size = Resolution::new(32, 50);
    for format in FORMATS {
        let planes = planes_of(format, size, [255, 255, 255], 0);
        let mut picture = I420Picture::new(size);
        let mut stripes = Stripes::none(50);
        stripes.mark(1);
        stripes.mark(3);
        convert_stripes(&frame_of(format, size, &planes), &stripes, &mut picture).unwrap();
        for (row, luma) in picture.y().chunks_exact(32).enumerate() {
            let want = if (16..32).contains(&row) || row >= 48 { 235 } else { 16 };
            assert!(luma.iter().all(|y| y.abs_diff(want) <= 1), "{format:?} row {row}");
        }
    }
}

#[test]
fn the_last_row_may_lack_its_padding() {
    let size = Resolution::new(34, 18);
    for format in FORMATS {
        let mut planes = planes_of(format, size, [200, 100, 50], 10);
        for (data, _) in &mut planes {
            data.truncate(data.len() - 10);
        }
        let mut picture = I420Picture::new(size);
        convert_stripes(&frame_of(format, size, &planes), &Stripes::all(18), &mut picture).unwrap();
        let [y, u, v] = to_yuv([200, 100, 50]);
        let last = [*picture.y().last().unwrap(), *picture.u().last().unwrap(), *picture.v().last().unwrap()];
        assert!(last.iter().zip([y, u, v]).all(|(a, b)| a.abs_diff(b) <= 1), "{format:?} {last:?}");
    }
}

#[test]
fn short_frames_and_other_sizes_are_refused() {
    let size = Resolution::new(64, 32);
    for format in FORMATS {
        let mut planes = planes_of(format, size, [1, 2, 3], 0);
        let all = Stripes::all(32);
        let mut other = I420Picture::new(Resolution::new(64, 30));
        let refused = convert_stripes(&frame_of(format, size, &planes), &all, &mut other);
        assert_eq!(refused, Err(ConvertError::OtherSize));
        let last = planes.len() - 1;
        planes[last].0.pop();
        let refused = convert_stripes(&frame_of(format, size, &planes), &all, &mut I420Picture::new(size));
        assert_eq!(refused, Err(ConvertError::TooShort), "{format:?}");
    }
}
