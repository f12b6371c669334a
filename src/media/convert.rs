//! Captured pixels to planar 4:2:0, BT.601 limited range, for any row stride; odd sizes are cut to even. Packed
//! formats go through the crate `yuv`; planar ones are copied; JPEG is decoded whole, on request at half its size. Pure:
//! writes only the rows it is told to.

use turbojpeg::ScalingFactor;
use yuv::{
    BufferStoreMut, YuvConversionMode, YuvError, YuvPackedImage, YuvPlanarImageMut, YuvRange,
    YuvStandardMatrix, bgr_to_yuv420, bgra_to_yuv420, rgb_to_yuv420, rgba_to_yuv420, uyvy422_to_yuv420,
    vyuy422_to_yuv420, yuyv422_to_yuv420, yvyu422_to_yuv420,
};

use self::recolour::Recolour;
use super::capture::{RawFrame, RawPlane};
use super::picture::{I420Picture, I420Rows, Stripes};
use crate::video::format::{PixelFormat, Resolution};
use crate::video::jpeg::JpegError;

mod jpeg;
mod recolour;

/// A frame that cannot be converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// The picture is for another size.
    #[error("the picture to convert into has another size than the frame")]
    OtherSize,
    /// A plane holds fewer rows than the frame's size needs.
    #[error("the frame is shorter than its size needs")]
    TooShort,
    /// A JPEG that cannot be shown; the picture is as it was.
    #[error(transparent)]
    Jpeg(#[from] JpegError),
}

/// The size at which a frame of `format` and `captured` can be decoded for less work: a JPEG at half of it, because its
/// decoder leaves out what only the finer pixels need, and all that follows has a quarter of the pixels. Even. Decoding
/// alone takes 0.45 to 0.6 of the whole for a desktop (115 kB at 1080p), 0.86 for one full of text (700 kB).
pub fn half_size(format: PixelFormat, captured: Resolution) -> Option<Resolution> {
    let half = Resolution::new(captured.width.div_ceil(2), captured.height.div_ceil(2)).to_even();
    (format == PixelFormat::Mjpeg && half.width > 0 && half.height > 0).then_some(half)
}

/// Converts the changed stripes of `frame` into `picture`, which has the frame's size cut to even; a JPEG also into one of
/// its [`half_size`].
///
/// # Errors
/// [`ConvertError`] if the sizes do not fit; `picture` may hold some of the stripes then.
pub fn convert_stripes(
    frame: &RawFrame<'_>,
    stripes: &Stripes,
    picture: &mut I420Picture,
) -> Result<(), ConvertError> {
    let even = frame.resolution.to_even();
    let size = picture.resolution();
    let is_half = size != even;
    if is_half && half_size(frame.format, frame.resolution) != Some(size) {
        return Err(ConvertError::OtherSize);
    }
    if frame.format == PixelFormat::Mjpeg {
        if stripes.is_empty() {
            return Ok(());
        }
        let scale = if is_half { ScalingFactor::ONE_HALF } else { ScalingFactor::ONE };
        jpeg::decode(frame.planes[0].data, frame.resolution, scale, picture)?;
        if let Some(map) = Recolour::of(frame.colours) {
            map.apply(picture.rows_mut(0, size.height), size.width as usize);
        }
        return Ok(());
    }
    for (first, count) in stripes.runs() {
        let count = count.min(even.height - first);
        convert_rows(frame, first as usize, count as usize, picture.rows_mut(first, count))?;
        if let Some(map) = Recolour::of(frame.colours).filter(|_| !frame.format.is_rgb()) {
            map.apply(picture.rows_mut(first, count), even.width as usize);
        }
    }
    Ok(())
}

fn convert_rows(
    frame: &RawFrame<'_>,
    first: usize,
    count: usize,
    into: I420Rows<'_>,
) -> Result<(), ConvertError> {
    let shapes = frame.plane_shapes();
    let width = frame.resolution.to_even().width;
    let plane = |n: usize| {
        let shape = shapes[n];
        rows_of(&frame.planes[n], first / shape.rows_per, count / shape.rows_per, shape.bytes)
    };
    let mut packed = plane(0)?;
    // `yuv` wants whole strides; only a buffer's very last row may lack the padding behind it.
    let mut tight = Vec::new();
    if packed.data.len() < count * packed.stride {
        let bytes = shapes[0].bytes;
        tight.reserve(count * bytes);
        packed.data.chunks(packed.stride).for_each(|row| tight.extend_from_slice(&row[..bytes]));
        packed = RawPlane { data: &tight, stride: bytes };
    }
    let half = width as usize / 2;
    match frame.format {
        PixelFormat::Mjpeg => Err(ConvertError::TooShort),
        PixelFormat::Yuyv => from_packed(yuyv422_to_yuv420, &packed, width, count, into),
        PixelFormat::Uyvy => from_packed(uyvy422_to_yuv420, &packed, width, count, into),
        PixelFormat::Yvyu => from_packed(yvyu422_to_yuv420, &packed, width, count, into),
        PixelFormat::Vyuy => from_packed(vyuy422_to_yuv420, &packed, width, count, into),
        PixelFormat::Bgr24 => from_rgb(bgr_to_yuv420, &packed, width, count, into),
        PixelFormat::Rgb24 => from_rgb(rgb_to_yuv420, &packed, width, count, into),
        PixelFormat::Bgrx32 => from_rgb(bgra_to_yuv420, &packed, width, count, into),
        PixelFormat::Rgbx32 => from_rgb(rgba_to_yuv420, &packed, width, count, into),
        // Seldom seen and not known to `yuv`: made to what it knows.
        PixelFormat::Xrgb32 => through_rgb(&packed, width, count, into, |[_, r, g, b]| [*r, *g, *b]),
        PixelFormat::Xbgr32 => through_rgb(&packed, width, count, into, |[_, b, g, r]| [*r, *g, *b]),
        PixelFormat::Rgb565 => through_rgb(&packed, width, count, into, from_565),
        PixelFormat::Grey => {
            copy_rows(&packed, into.y, width as usize);
            into.u.fill(128);
            into.v.fill(128);
            Ok(())
        }
        PixelFormat::Nv12 | PixelFormat::Nv21 | PixelFormat::Nv16 | PixelFormat::Nv61 => {
            copy_rows(&packed, into.y, width as usize);
            let chroma = plane(1)?;
            let is_cr_first = matches!(frame.format, PixelFormat::Nv21 | PixelFormat::Nv61);
            let (first, second) = in_order(is_cr_first, into.u, into.v);
            let mut mean = vec![0; width as usize];
            let rows = first.chunks_exact_mut(half).zip(second.chunks_exact_mut(half));
            for (n, (first, second)) in rows.enumerate() {
                if shapes[1].rows_per == 2 {
                    let start = n * chroma.stride;
                    split_pairs(&chroma.data[start..start + width as usize], first, second);
                } else {
                    mean_of_rows(&chroma, n, &mut mean);
                    split_pairs(&mean, first, second);
                }
            }
            Ok(())
        }
        PixelFormat::Nv24 => {
            copy_rows(&packed, into.y, width as usize);
            let chroma = plane(1)?;
            let rows = into.u.chunks_exact_mut(half).zip(into.v.chunks_exact_mut(half));
            let mut mean = vec![0; width as usize * 2];
            for (n, (us, vs)) in rows.enumerate() {
                mean_of_rows(&chroma, n, &mut mean);
                for ((pair, u), v) in mean.chunks_exact(4).zip(us).zip(vs) {
                    (*u, *v) = (mean_of(pair[0], pair[2]), mean_of(pair[1], pair[3]));
                }
            }
            Ok(())
        }
        PixelFormat::Yu12 | PixelFormat::Yv12 => {
            copy_rows(&packed, into.y, width as usize);
            let (first, second) = in_order(frame.format == PixelFormat::Yv12, into.u, into.v);
            copy_rows(&plane(1)?, first, half);
            copy_rows(&plane(2)?, second, half);
            Ok(())
        }
    }
}

fn from_packed(
    convert: impl Fn(&mut YuvPlanarImageMut<'_, u8>, &YuvPackedImage<'_, u8>) -> Result<(), YuvError>,
    packed: &RawPlane<'_>,
    width: u32,
    rows: usize,
    into: I420Rows<'_>,
) -> Result<(), ConvertError> {
    let source =
        YuvPackedImage { yuy: packed.data, yuy_stride: packed.stride as u32, width, height: rows as u32 };
    convert(&mut planar(into, width, rows), &source).map_err(|_| ConvertError::TooShort)
}

/// A conversion of the crate `yuv` from rows of RGB.
type FromRgb = fn(
    &mut YuvPlanarImageMut<'_, u8>,
    &[u8],
    u32,
    YuvRange,
    YuvStandardMatrix,
    YuvConversionMode,
) -> Result<(), YuvError>;

fn from_rgb(
    convert: FromRgb,
    rgb: &RawPlane<'_>,
    width: u32,
    rows: usize,
    into: I420Rows<'_>,
) -> Result<(), ConvertError> {
    let (range, matrix) = (YuvRange::Limited, YuvStandardMatrix::Bt601);
    let mode = YuvConversionMode::Balanced;
    convert(&mut planar(into, width, rows), rgb.data, rgb.stride as u32, range, matrix, mode)
        .map_err(|_| ConvertError::TooShort)
}

/// Pixels of `N` bytes, each first made to red, green and blue.
fn through_rgb<const N: usize>(
    packed: &RawPlane<'_>,
    width: u32,
    rows: usize,
    into: I420Rows<'_>,
    pixel: impl Fn(&[u8; N]) -> [u8; 3],
) -> Result<(), ConvertError> {
    let pixels = packed.data.chunks(packed.stride).flat_map(|row| row[..width as usize * N].as_chunks().0);
    let rgb: Vec<u8> = pixels.flat_map(pixel).collect();
    from_rgb(rgb_to_yuv420, &RawPlane { data: &rgb, stride: width as usize * 3 }, width, rows, into)
}

/// Five, six and five bits spread over eight, so that the largest value is 255.
pub(super) fn from_565(pixel: &[u8; 2]) -> [u8; 3] {
    let pixel = u16::from_le_bytes(*pixel);
    let (r, g, b) = (pixel >> 11, pixel >> 5 & 63, pixel & 31);
    [(r << 3 | r >> 2) as u8, (g << 2 | g >> 4) as u8, (b << 3 | b >> 2) as u8]
}

/// Cb and Cr in the order in which the format has them.
fn in_order<'a>(is_cr_first: bool, u: &'a mut [u8], v: &'a mut [u8]) -> (&'a mut [u8], &'a mut [u8]) {
    if is_cr_first { (v, u) } else { (u, v) }
}

fn mean_of(a: u8, b: u8) -> u8 {
    (u16::from(a) + u16::from(b)).div_ceil(2) as u8
}

/// The mean of rows `2 * n` and `2 * n + 1`, both there.
fn mean_of_rows(plane: &RawPlane<'_>, n: usize, into: &mut [u8]) {
    let (upper, lower) = (&plane.data[2 * n * plane.stride..], &plane.data[(2 * n + 1) * plane.stride..]);
    for ((into, a), b) in into.iter_mut().zip(upper).zip(lower) {
        *into = mean_of(*a, *b);
    }
}

/// The rows `first..first + count` of a plane, all of them really there.
fn rows_of<'a>(
    plane: &RawPlane<'a>,
    first: usize,
    count: usize,
    bytes: usize,
) -> Result<RawPlane<'a>, ConvertError> {
    if plane.stride < bytes || count == 0 {
        return Err(ConvertError::TooShort);
    }
    let start = first * plane.stride;
    let least = start + (count - 1) * plane.stride + bytes;
    if plane.data.len() < least {
        return Err(ConvertError::TooShort);
    }
    let end = (start + count * plane.stride).min(plane.data.len());
    Ok(RawPlane { data: &plane.data[start..end], stride: plane.stride })
}

fn planar(into: I420Rows<'_>, width: u32, rows: usize) -> YuvPlanarImageMut<'_, u8> {
    YuvPlanarImageMut {
        y_plane: BufferStoreMut::Borrowed(into.y),
        y_stride: width,
        u_plane: BufferStoreMut::Borrowed(into.u),
        u_stride: width / 2,
        v_plane: BufferStoreMut::Borrowed(into.v),
        v_stride: width / 2,
        width,
        height: rows as u32,
    }
}

fn copy_rows(source: &RawPlane<'_>, target: &mut [u8], width: usize) {
    for (from, to) in source.data.chunks(source.stride).zip(target.chunks_exact_mut(width)) {
        to.copy_from_slice(&from[..width]);
    }
}

/// UVUV… to U… and V…. Blocks of sixteen 16-bit words, because that is what compilers vectorise; a plain loop over
/// pairs takes twelve times as long.
fn split_pairs(source: &[u8], first: &mut [u8], second: &mut [u8]) {
    let (blocks, rest) = source.as_chunks::<32>();
    let (firsts, first_rest) = first.as_chunks_mut::<16>();
    let (seconds, second_rest) = second.as_chunks_mut::<16>();
    for ((block, first), second) in blocks.iter().zip(firsts).zip(seconds) {
        let (pairs, _) = block.as_chunks::<2>();
        let words: [u16; 16] = std::array::from_fn(|n| u16::from_le_bytes(pairs[n]));
        *first = words.map(|word| (word & 0xff) as u8);
        *second = words.map(|word| (word >> 8) as u8);
    }
    for ((pair, first), second) in rest.chunks_exact(2).zip(first_rest).zip(second_rest) {
        (*first, *second) = (pair[0], pair[1]);
    }
}

#[cfg(test)]
mod tests;
