//! Captured pixels to planar 4:2:0, BT.601 limited range, for any row stride; odd sizes are cut to even. Packed
//! formats go through the crate `yuv`; planar ones are copied. Pure: writes only the rows it is told to.

use yuv::{
    BufferStoreMut, YuvConversionMode, YuvPackedImage, YuvPlanarImageMut, YuvRange, YuvStandardMatrix,
    bgr_to_yuv420, uyvy422_to_yuv420, yuyv422_to_yuv420,
};

use super::capture::{Colours, RawFrame, RawPlane};
use super::picture::{I420Picture, I420Rows, Stripes};
use crate::video::format::PixelFormat;

/// A frame that cannot be converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// The picture is for another size.
    #[error("the picture to convert into has another size than the frame")]
    OtherSize,
    /// A plane holds fewer rows than the frame's size needs.
    #[error("the frame is shorter than its size needs")]
    TooShort,
}

/// Converts the changed stripes of `frame` into `picture`.
///
/// # Errors
/// [`ConvertError`] if the sizes do not fit; `picture` may hold some of the stripes then.
pub fn convert_stripes(
    frame: &RawFrame<'_>,
    stripes: &Stripes,
    picture: &mut I420Picture,
) -> Result<(), ConvertError> {
    let even = frame.resolution.to_even();
    if even != picture.resolution() {
        return Err(ConvertError::OtherSize);
    }
    for (first, count) in stripes.runs() {
        let count = count.min(even.height - first);
        convert_rows(frame, first as usize, count as usize, picture.rows_mut(first, count))?;
        if let Some(map) = Recolour::of(frame.colours).filter(|_| frame.format != PixelFormat::Bgr24) {
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
    match frame.format {
        PixelFormat::Yuyv | PixelFormat::Uyvy => {
            let source = YuvPackedImage {
                yuy: packed.data,
                yuy_stride: packed.stride as u32,
                width,
                height: count as u32,
            };
            let mut target = planar(into, width, count);
            if frame.format == PixelFormat::Uyvy {
                uyvy422_to_yuv420(&mut target, &source)
            } else {
                yuyv422_to_yuv420(&mut target, &source)
            }
            .map_err(|_| ConvertError::TooShort)
        }
        PixelFormat::Bgr24 => bgr_to_yuv420(
            &mut planar(into, width, count),
            packed.data,
            packed.stride as u32,
            YuvRange::Limited,
            YuvStandardMatrix::Bt601,
            YuvConversionMode::Balanced,
        )
        .map_err(|_| ConvertError::TooShort),
        PixelFormat::Nv12 => {
            copy_rows(&packed, into.y, width as usize);
            let chroma = plane(1)?;
            let half = width as usize / 2;
            let rows = into.u.chunks_exact_mut(half).zip(into.v.chunks_exact_mut(half));
            for (source, (u, v)) in chroma.data.chunks(chroma.stride).zip(rows) {
                split_pairs(&source[..width as usize], u, v);
            }
            Ok(())
        }
        PixelFormat::Yu12 => {
            copy_rows(&packed, into.y, width as usize);
            copy_rows(&plane(1)?, into.u, width as usize / 2);
            copy_rows(&plane(2)?, into.v, width as usize / 2);
            Ok(())
        }
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

/// UVUV… to U… and V…. Two loops over 16-bit words, because that is what compilers vectorise.
fn split_pairs(source: &[u8], u: &mut [u8], v: &mut [u8]) {
    for (pair, u) in source.chunks_exact(2).zip(u.iter_mut()) {
        *u = (u16::from_le_bytes([pair[0], pair[1]]) & 0xff) as u8;
    }
    for (pair, v) in source.chunks_exact(2).zip(v.iter_mut()) {
        *v = (u16::from_le_bytes([pair[0], pair[1]]) >> 8) as u8;
    }
}

/// A linear map of luma and chroma in 1/128, so that everything fits 16 bits and compilers vectorise it; off by
/// less than one step.
struct Recolour {
    /// `None` leaves luma as it is but for what chroma adds; full range has its scale.
    luma: Option<i16>,
    /// What Cb and Cr add to luma.
    luma_chroma: [i16; 2],
    cb: [i16; 2],
    cr: [i16; 2],
}

impl Recolour {
    /// The map to BT.601 limited range; `None` if there is nothing to do.
    fn of(colours: Colours) -> Option<Self> {
        let (is_bt709, is_full) = match colours {
            Colours::Bt601 => return None,
            Colours::Bt601Full => (false, true),
            Colours::Bt709 => (true, false),
            Colours::Bt709Full => (true, true),
        };
        // From BT.709 to BT.601 (both ITU-R), for values of which luma spans 219 steps and chroma 224.
        let (y, cb, cr) = if is_bt709 {
            ([0.101_579, 0.196_076], [0.989_854, -0.110_653], [-0.072_453, 0.983_398])
        } else {
            ([0.0, 0.0], [1.0, 0.0], [0.0, 1.0])
        };
        let fixed = |part: f64| (part * 128.0).round() as i16;
        let chroma = if is_full { 224.0 / 255.0 } else { 1.0 };
        let scaled = |pair: [f64; 2]| pair.map(|part| fixed(part * chroma));
        let luma = is_full.then(|| fixed(219.0 / 255.0));
        Some(Self { luma, luma_chroma: scaled(y), cb: scaled(cb), cr: scaled(cr) })
    }

    /// Maps rows in place; `width` and the number of rows are even.
    fn apply(&self, rows: I420Rows<'_>, width: usize) {
        // No product or sum leaves 16 bits: |chroma| <= 128, coefficients <= 128, the scaled luma <= 255 * 110.
        let byte = |fixed: i16, offset: i16| ((fixed.wrapping_add(64) >> 7) + offset).clamp(0, 255) as u8;
        let mix = |[a, b]: [i16; 2], cb: i16, cr: i16| a.wrapping_mul(cb).wrapping_add(b.wrapping_mul(cr));
        let mut adds = vec![0i16; width];
        let chroma = rows.u.chunks_exact_mut(width / 2).zip(rows.v.chunks_exact_mut(width / 2));
        for (luma, (us, vs)) in rows.y.chunks_exact_mut(2 * width).zip(chroma) {
            for ((u, v), adds) in us.iter_mut().zip(vs.iter_mut()).zip(adds.chunks_exact_mut(2)) {
                let (cb, cr) = (i16::from(*u) - 128, i16::from(*v) - 128);
                let add = mix(self.luma_chroma, cb, cr);
                (adds[0], adds[1]) = (add, add);
                *u = byte(mix(self.cb, cb, cr), 128);
                *v = byte(mix(self.cr, cb, cr), 128);
            }
            for row in luma.chunks_exact_mut(width) {
                if let Some(scale) = self.luma {
                    for (y, add) in row.iter_mut().zip(&adds) {
                        *y = byte(i16::from(*y).wrapping_mul(scale).wrapping_add(*add), 16);
                    }
                } else {
                    for (y, add) in row.iter_mut().zip(&adds) {
                        *y = byte(*add, i16::from(*y));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
