//! Change detection: which 16-row stripes of a frame differ from the frame before. Exact, and no more than one
//! read of both; padding behind the rows is not looked at.

use super::capture::{RawFrame, RawPlane};
use super::picture::{STRIPE_ROWS, Stripes};
use crate::video::format::PixelFormat;

/// The stripes that differ. Frames that cannot be compared (other size or format) differ everywhere.
pub fn changed_stripes(current: &RawFrame<'_>, previous: &RawFrame<'_>) -> Stripes {
    let height = current.resolution.to_even().height;
    if (current.format, current.resolution) != (previous.format, previous.resolution) {
        return Stripes::all(height);
    }
    if current.format == PixelFormat::Mjpeg {
        let is_equal = current.planes[0].data == previous.planes[0].data;
        return if is_equal { Stripes::none(height) } else { Stripes::all(height) };
    }
    let shapes = current.plane_shapes();
    let mut stripes = Stripes::none(height);
    for index in 0..stripes.count() {
        let first = index * STRIPE_ROWS as usize;
        let rows = (STRIPE_ROWS as usize).min(height as usize - first);
        let is_equal = shapes.iter().zip(&current.planes).zip(&previous.planes).all(|((shape, a), b)| {
            shape.bytes == 0
                || are_rows_equal(a, b, first / shape.rows_per, rows / shape.rows_per, shape.bytes)
        });
        if !is_equal {
            stripes.mark(index);
        }
    }
    stripes
}

fn are_rows_equal(a: &RawPlane<'_>, b: &RawPlane<'_>, first: usize, rows: usize, bytes: usize) -> bool {
    if a.stride == bytes && b.stride == bytes {
        let range = first * bytes..(first + rows) * bytes;
        return match (a.data.get(range.clone()), b.data.get(range)) {
            (Some(a), Some(b)) => a == b,
            _ => false,
        };
    }
    (first..first + rows).all(|row| match (a.row(row, bytes), b.row(row, bytes)) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    })
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests own their clocks")]
mod tests {
    use super::*;
    use crate::media::capture::Colours;
    use crate::video::format::{PixelFormat, Resolution};
    use std::time::Instant;

    fn yuyv(data: &[u8], stride: usize) -> RawFrame<'_> {
        RawFrame {
            format: PixelFormat::Yuyv,
            resolution: Resolution::new(8, 40),
            planes: [RawPlane { data, stride }, RawPlane::EMPTY, RawPlane::EMPTY],
            colours: Colours::Bt601,
            captured_at: Instant::now(),
        }
    }

    fn changed(a: &RawFrame<'_>, b: &RawFrame<'_>) -> Vec<(u32, u32)> {
        changed_stripes(a, b).runs().collect()
    }

    #[test]
    fn one_byte_marks_one_stripe_and_padding_marks_none() {
        for stride in [16, 20] {
            let before = vec![7u8; stride * 40];
            let mut after = before.clone();
            assert_eq!(changed(&yuyv(&after, stride), &yuyv(&before, stride)), []);
            if stride > 16 {
                after[stride * 3 + 17] ^= 1;
                assert_eq!(changed(&yuyv(&after, stride), &yuyv(&before, stride)), []);
            }
            after[stride * 39 + 15] ^= 1;
            assert_eq!(changed(&yuyv(&after, stride), &yuyv(&before, stride)), [(32, 16)]);
            after[0] ^= 1;
            assert_eq!(changed(&yuyv(&after, stride), &yuyv(&before, stride)), [(0, 16), (32, 16)]);
        }
    }

    #[test]
    fn chroma_of_nv12_counts() {
        let (luma, before) = (vec![1u8; 8 * 40], vec![2u8; 8 * 20]);
        let mut after = before.clone();
        after[8 * 8] ^= 1;
        let nv12 = |chroma| RawFrame {
            format: PixelFormat::Nv12,
            planes: [
                RawPlane { data: &luma, stride: 8 },
                RawPlane { data: chroma, stride: 8 },
                RawPlane::EMPTY,
            ],
            ..yuyv(&luma, 8)
        };
        assert_eq!(changed(&nv12(&after), &nv12(&before)), [(16, 16)]);
        assert_eq!(changed(&nv12(&before), &yuyv(&luma, 8)).len(), 1, "another format differs everywhere");
    }
}
