#![allow(clippy::disallowed_methods, reason = "tests own their clocks")]

use std::time::Instant;

use super::*;
use crate::media::capture::Colours;
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

pub(super) fn to_rgb([y, u, v]: [u8; 3]) -> [i32; 3] {
    let luma = (f64::from(y) - 16.0) / 219.0;
    let (cb, cr) = ((f64::from(u) - 128.0) / 224.0, (f64::from(v) - 128.0) / 224.0);
    let (r, b) = (luma + 1.402 * cr, luma + 1.772 * cb);
    [r, (luma - 0.299 * r - 0.114 * b) / 0.587, b].map(|c| (c * 255.0).round().clamp(0.0, 255.0) as i32)
}

/// The 16 bits of a colour (kernel: pixfmt-rgb, RGBP).
fn to_565([r, g, b]: [u8; 3]) -> [u8; 2] {
    let part = |value: u8, most: u32| ((u32::from(value) * most + 127) / 255) as u16;
    (part(r, 31) << 11 | part(g, 63) << 5 | part(b, 31)).to_le_bytes()
}

/// The nearest colour that a format has.
fn shown_by(format: PixelFormat, rgb: [u8; 3]) -> [u8; 3] {
    if format != PixelFormat::Rgb565 {
        return rgb;
    }
    let pixel = u16::from_le_bytes(to_565(rgb));
    [(pixel >> 11, 31), (pixel >> 5 & 63, 63), (pixel & 31, 31)]
        .map(|(part, most)| (f64::from(part * 255) / f64::from(most)).round() as u8)
}

/// A frame of one colour: planes with `padding` bytes behind each row, filled with rubbish.
fn planes_of(format: PixelFormat, size: Resolution, rgb: [u8; 3], padding: usize) -> Vec<(Vec<u8>, usize)> {
    let [y, u, v] = to_yuv(rgb);
    let pattern: [&[u8]; 3] = match format {
        PixelFormat::Yuyv => [&[y, u, y, v], &[], &[]],
        PixelFormat::Yvyu => [&[y, v, y, u], &[], &[]],
        PixelFormat::Vyuy => [&[v, y, u, y], &[], &[]],
        PixelFormat::Rgb24 => [&rgb, &[], &[]],
        PixelFormat::Bgrx32 => [&[rgb[2], rgb[1], rgb[0], 0x77], &[], &[]],
        PixelFormat::Rgbx32 => [&[rgb[0], rgb[1], rgb[2], 0x77], &[], &[]],
        PixelFormat::Xrgb32 => [&[0x77, rgb[0], rgb[1], rgb[2]], &[], &[]],
        PixelFormat::Xbgr32 => [&[0x77, rgb[2], rgb[1], rgb[0]], &[], &[]],
        PixelFormat::Rgb565 => [&to_565(rgb), &[], &[]],
        PixelFormat::Grey => [&[y], &[], &[]],
        PixelFormat::Nv21 | PixelFormat::Nv61 => [&[y], &[v, u], &[]],
        PixelFormat::Nv16 | PixelFormat::Nv24 => [&[y], &[u, v], &[]],
        PixelFormat::Yv12 => [&[y], &[v], &[u]],
        PixelFormat::Uyvy => [&[u, y, v, y], &[], &[]],
        PixelFormat::Bgr24 => [&[rgb[2], rgb[1], rgb[0]], &[], &[]],
        PixelFormat::Nv12 => [&[y], &[u, v], &[]],
        PixelFormat::Yu12 => [&[y], &[u], &[v]],
        PixelFormat::Mjpeg => unreachable!("has tests of its own"),
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

/// All that have rows.
const FORMATS: [PixelFormat; 19] = {
    let mut formats = [PixelFormat::Nv12; 19];
    let (mut from, mut to) = (0, 0);
    while from < 20 {
        if !matches!(PixelFormat::ALL[from], PixelFormat::Mjpeg) {
            formats[to] = PixelFormat::ALL[from];
            to += 1;
        }
        from += 1;
    }
    formats
};

/// Pure colours, a mixed one, and greys.
fn colours() -> Vec<[u8; 3]> {
    let mut colours = vec![
        [255, 0, 0],
        [0, 255, 0],
        [0, 0, 255],
        [255, 255, 0],
        [0, 255, 255],
        [255, 0, 255],
        [90, 120, 200],
    ];
    colours.extend((0..=255).step_by(15).map(|g| [g as u8; 3]));
    colours
}

#[test]
fn pure_colours_and_greys_stay_within_three() {
    let colours = colours();
    for format in FORMATS {
        for (size, padding) in [(Resolution::new(64, 36), 0), (Resolution::new(35, 21), 6)] {
            let grey_only = format == PixelFormat::Grey;
            for rgb in colours.iter().filter(|rgb| !grey_only || (rgb[0] == rgb[1] && rgb[1] == rgb[2])) {
                let planes = planes_of(format, size, *rgb, padding);
                let frame = frame_of(format, size, &planes);
                let mut picture = I420Picture::new(size);
                convert_stripes(&frame, &Stripes::all(size.to_even().height), &mut picture).unwrap();
                let half = picture.resolution().width as usize / 2;
                for (n, y) in picture.y().iter().enumerate() {
                    let (column, row) = (n % (half * 2), n / (half * 2));
                    let chroma = row / 2 * half + column / 2;
                    let got = to_rgb([*y, picture.u()[chroma], picture.v()[chroma]]);
                    for (got, want) in got.iter().zip(shown_by(format, *rgb)) {
                        let off = (got - i32::from(want)).abs();
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
fn limited_rgb_comes_out_as_it_was_meant() {
    for format in FORMATS.into_iter().filter(|format| format.is_rgb()) {
        for rgb in &colours() {
            let limited = rgb.map(|c| (16.0 + f64::from(c) * 219.0 / 255.0).round() as u8);
            // What RGB565 cannot say is no fault of the conversion.
            let want = shown_by(format, limited).map(|c| (f64::from(c) - 16.0) * 255.0 / 219.0);
            let size = Resolution::new(34, 6);
            let planes = planes_of(format, size, limited, 6);
            let frame = RawFrame { colours: Colours::RgbLimited, ..frame_of(format, size, &planes) };
            let mut picture = I420Picture::new(size);
            convert_stripes(&frame, &Stripes::all(6), &mut picture).unwrap();
            for at in [0, 16] {
                let got = to_rgb([picture.y()[at], picture.u()[at / 2], picture.v()[at / 2]]);
                for (got, want) in got.iter().zip(want) {
                    let off = (f64::from(*got) - want.clamp(0.0, 255.0)).abs();
                    assert!(off <= 3.0, "{format:?} {rgb:?} became {got:?}");
                }
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
        let [y, mut u, mut v] = to_yuv(shown_by(format, [200, 100, 50]));
        if format == PixelFormat::Grey {
            (u, v) = (128, 128);
        }
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

#[test]
fn every_chroma_sample_lands_in_its_place() {
    for width in [2usize, 14, 16, 32, 34, 66, 130] {
        let size = Resolution::new(width as u32, 4);
        // Two rows of different chroma, so that a wrong row, place or order of Cb and Cr shows.
        let pairs = |row: usize, n: usize| [(row * 40 + n) as u8, (100 + row * 40 + n) as u8];
        let luma = (vec![50; width * 4], width);
        let half = width / 2;
        let rows: Vec<u8> = (0..2).flat_map(|row| (0..half).flat_map(move |n| pairs(row, n))).collect();
        let doubled: Vec<u8> = rows.chunks(width).flat_map(|row| row.repeat(2)).collect();
        for (format, chroma) in [
            (PixelFormat::Nv12, &rows),
            (PixelFormat::Nv21, &rows),
            (PixelFormat::Nv16, &doubled),
            (PixelFormat::Nv61, &doubled),
        ] {
            let planes = [luma.clone(), (chroma.clone(), width)];
            let mut picture = I420Picture::new(size);
            convert_stripes(&frame_of(format, size, &planes), &Stripes::all(4), &mut picture).unwrap();
            let is_cr_first = matches!(format, PixelFormat::Nv21 | PixelFormat::Nv61);
            let (first, second) =
                if is_cr_first { (picture.v(), picture.u()) } else { (picture.u(), picture.v()) };
            for at in 0..half * 2 {
                let want = pairs(at / half, at % half);
                assert_eq!([first[at], second[at]], want, "{format:?} {width} at {at}");
            }
        }
    }
}

#[test]
fn chroma_of_full_width_and_height_is_averaged() {
    // 2x2 pixels of NV24: Cb 10, 20, 30, 40 and Cr 200, 202, 204, 206.
    let planes = [(vec![50; 4], 2), (vec![10, 200, 20, 202, 30, 204, 40, 206], 4)];
    let size = Resolution::new(2, 2);
    let mut picture = I420Picture::new(size);
    convert_stripes(&frame_of(PixelFormat::Nv24, size, &planes), &Stripes::all(2), &mut picture).unwrap();
    assert_eq!((picture.u(), picture.v()), (&[25][..], &[203][..]));
}
