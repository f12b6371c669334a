//! JPEG to the planes of a picture, by libjpeg-turbo. Nothing is written before a picture is decoded without damage.

use std::cell::RefCell;

use turbojpeg::{Colorspace, Decompressor, ScalingFactor, Subsamp, YuvImage};

use super::{copy_rows, mean_of, mean_of_rows};
use crate::media::capture::RawPlane;
use crate::media::picture::{I420Picture, I420Rows};
use crate::video::format::Resolution;
use crate::video::jpeg::{JpegError, whole_picture};

/// Many grabbers leave a few bytes between the last block and the end marker; the picture is whole then.
const MOST_EXTRA_BYTES: u32 = 8;

std::thread_local! {
    /// Decoded planes, kept from frame to frame: fresh memory costs a tenth of the decoding.
    static PLANES: RefCell<Vec<u8>> = RefCell::default();
}

/// Decodes `bytes`, a JPEG of the size `size`, into all rows of `picture`, which has this size times `scale` cut to
/// even. The values stay full range.
pub(super) fn decode(
    bytes: &[u8],
    size: Resolution,
    scale: ScalingFactor,
    picture: &mut I420Picture,
) -> Result<(), JpegError> {
    let bytes = whole_picture(bytes, size)?;
    // A new one each time: it would take the tables that a picture lacks from the picture before.
    let mut decoder = Decompressor::new().map_err(|_| JpegError::Damaged)?;
    PLANES.with_borrow_mut(|planes| {
        let header = decoder.read_header(bytes).map_err(|_| JpegError::Damaged)?;
        let is_known = matches!(header.colorspace, Colorspace::YCbCr | Colorspace::Gray);
        if !is_known || header.subsamp == Subsamp::Unknown || header.is_lossless {
            return Err(JpegError::Kind);
        }
        let (width, height) = (size.width as usize, size.height as usize);
        if (header.width, header.height) != (width, height) {
            return Err(JpegError::Damaged);
        }
        decoder.set_scaling_factor(scale).map_err(|_| JpegError::Kind)?;
        let (width, height) = (scale.scale(width), scale.scale(height));
        let subsamp = header.subsamp;
        let length = turbojpeg::yuv_pixels_len(width, 1, height, subsamp).map_err(|_| JpegError::Kind)?;
        planes.resize(length, 0);
        let image = YuvImage { pixels: &mut planes[..], width, align: 1, height, subsamp };
        // With the padding that the subsampling needs at odd sizes.
        let ((luma_width, luma_height), (chroma_width, chroma_height)) = (image.y_size(), image.uv_size());
        match decoder.decompress_to_yuv(bytes, image) {
            Err(turbojpeg::Error::TurboJpegError(text)) if is_only_extra(&text) => {}
            other => other.map_err(|_| JpegError::Damaged)?,
        }
        let even = picture.resolution();
        let into = picture.rows_mut(0, even.height);
        let (luma, chroma) = planes.split_at(luma_width * luma_height);
        copy_rows(&RawPlane { data: luma, stride: luma_width }, into.y, even.width as usize);
        let I420Rows { u, v, .. } = into;
        if subsamp == Subsamp::Gray {
            u.fill(128);
            v.fill(128);
            return Ok(());
        }
        let (cb, cr) = chroma.split_at(chroma_width * chroma_height);
        for (from, to) in [(cb, u), (cr, v)] {
            halve(&RawPlane { data: from, stride: chroma_width }, subsamp, to, even.width as usize / 2);
        }
        Ok(())
    })
}

/// Whether the decoder's first complaint is that a few bytes were left over before the end.
fn is_only_extra(complaint: &str) -> bool {
    let Some((before, behind)) = complaint.split_once(" extraneous bytes before marker 0xd9") else {
        return false;
    };
    let number = before.rsplit(' ').next().and_then(|word| word.parse::<u32>().ok());
    behind.is_empty() && number.is_some_and(|number| number <= MOST_EXTRA_BYTES)
}

/// One chroma plane of any subsampling to 4:2:0, `half` samples a row.
fn halve(plane: &RawPlane<'_>, subsamp: Subsamp, into: &mut [u8], half: usize) {
    if subsamp == Subsamp::Sub2x2 {
        return copy_rows(plane, into, half);
    }
    let mut mean = vec![0; plane.stride];
    for (n, into) in into.chunks_exact_mut(half).enumerate() {
        let row: &[u8] = match subsamp.height() {
            1 => {
                mean_of_rows(plane, n, &mut mean);
                &mean
            }
            // One row for two (4:4:0) or for four (4:4:1) of the picture.
            rows => &plane.data[2 * n / rows * plane.stride..],
        };
        match subsamp.width() {
            1 => row.chunks_exact(2).zip(into).for_each(|(pair, to)| *to = mean_of(pair[0], pair[1])),
            2 => into.copy_from_slice(&row[..half]),
            _ => row.iter().flat_map(|value| [value, value]).zip(into).for_each(|(value, to)| *to = *value),
        }
    }
}

#[cfg(test)]
mod tests;
