//! Luma and chroma of other colour spaces to BT.601 limited range, in place. Pure.

use crate::media::capture::Colours;
use crate::media::picture::I420Rows;

/// A linear map of luma and chroma in 1/128, so that everything fits 16 bits and compilers vectorise it; off by
/// less than one step.
pub(super) struct Recolour {
    /// `None` leaves luma as it is but for what chroma adds; full range has its scale.
    luma: Option<i16>,
    /// What Cb and Cr add to luma.
    luma_chroma: [i16; 2],
    cb: [i16; 2],
    cr: [i16; 2],
}

impl Recolour {
    /// The map to BT.601 limited range; `None` if there is nothing to do.
    pub(super) fn of(colours: Colours) -> Option<Self> {
        let (is_bt709, is_full) = match colours {
            Colours::Bt601 => return None,
            Colours::RgbLimited => return Some(Self::of_limited_rgb()),
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

    /// For rows that were made of red, green and blue of 16..=235 as if they were luma and chroma of 0..=255: luma is right
    /// then, and chroma, which spans the 219 steps of red and blue, is to span 224.
    fn of_limited_rgb() -> Self {
        let chroma = (224.0 / 219.0 * 128.0_f64).round() as i16;
        Self { luma: None, luma_chroma: [0; 2], cb: [chroma, 0], cr: [0, chroma] }
    }

    /// Maps rows in place; `width` and the number of rows are even.
    pub(super) fn apply(&self, rows: I420Rows<'_>, width: usize) {
        // No product or sum leaves 16 bits: |chroma| <= 128, coefficients <= 131, the scaled luma <= 255 * 110.
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
