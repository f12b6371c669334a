//! Proof that an element makes the right pictures of captured memory that is handed to it: what comes out of its first ones
//! is decoded and compared with what the CPU reads there, before anyone gets it.

use crate::media::captured::CapturedPicture;
use crate::media::encode::converted;
use crate::media::encode::decode::{self, Decoder};
use crate::media::picture::I420Picture;
use crate::video::frame::Codec;

/// So many pictures have to be right that are not all alike where rows or planes are taken from a wrong place.
const PICTURES: u32 = 3;
/// A picture shows that much when its luma is off its mean by this on average, of 255.
const CONTRAST: u64 = 16;
/// So much may be off on average in any picture: the coarsest quantiser costs less where there is no contrast.
const OFF: u64 = 8;
/// One pixel of so many is looked at; no picture repeats itself in steps of a prime number.
const STEP: usize = 7;

/// A trial that is not over.
pub struct Trial {
    decoder: Box<dyn Decoder>,
    left: u32,
}

impl Trial {
    /// Begins with the next frame, which has to be a key frame.
    ///
    /// # Errors
    /// If this machine cannot decode what it writes.
    pub fn new(codec: Codec) -> Result<Self, String> {
        let decoder =
            decode::open(codec).ok_or_else(|| format!("nothing here decodes {codec} to prove it"))?;
        Ok(Self { decoder, left: PICTURES })
    }

    /// The next frame, and the picture that was handed over for it; `None` if it was made of others. True if enough was
    /// right.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn judge(&mut self, handed: Option<&CapturedPicture>, frame: &[u8]) -> Result<bool, String> {
        let decoded = self.decoder.decode(frame).map_err(|error| error.to_string())?;
        let Some(handed) = handed else { return Ok(false) };
        let wanted = converted(handed).map_err(|error| error.to_string())?;
        self.left -= u32::from(compare(&wanted, &decoded)? && self.left > 0);
        Ok(self.left == 0)
    }
}

/// Whether the picture proves something.
fn compare(wanted: &I420Picture, got: &I420Picture) -> Result<bool, String> {
    if wanted.resolution() != got.resolution() {
        return Err(format!("a picture of {} came out as {}", wanted.resolution(), got.resolution()));
    }
    let planes = [(wanted.y(), got.y()), (wanted.u(), got.u()), (wanted.v(), got.v())];
    for (wanted, got) in planes {
        let off = mean(wanted.iter().zip(got).step_by(STEP).map(|(a, b)| a.abs_diff(*b)));
        if off > OFF.max(contrast(wanted) / 2) {
            return Err("what it makes of captured pictures is not what they show".to_owned());
        }
    }
    Ok(contrast(wanted.y()) >= CONTRAST)
}

/// How far the values are off their mean, on average.
fn contrast(plane: &[u8]) -> u64 {
    let middle = mean(plane.iter().step_by(STEP).copied()) as u8;
    mean(plane.iter().step_by(STEP).map(|value| value.abs_diff(middle)))
}

fn mean(values: impl Iterator<Item = u8>) -> u64 {
    let (sum, count) = values.fold((0, 0), |(sum, count), value| (sum + u64::from(value), count + 1));
    sum / u64::max(count, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video::format::Resolution;

    const SIZE: Resolution = Resolution::new(64, 48);

    /// Slanted stripes of black and `luma`, shifted by so many pixels.
    fn stripes(luma: u8, shift: usize) -> I420Picture {
        let mut picture = I420Picture::new(SIZE);
        let rows = picture.rows_mut(0, SIZE.height);
        for (n, row) in rows.y.chunks_mut(SIZE.width as usize).enumerate() {
            for (x, value) in row.iter_mut().enumerate() {
                *value = if (x + n + shift) % 16 < 8 { luma } else { 16 };
            }
        }
        rows.u.fill(90);
        rows.v.fill(160);
        picture
    }

    #[test]
    fn coarse_is_right_and_elsewhere_is_wrong() {
        let mut coarse = stripes(230, 0);
        coarse.rows_mut(0, SIZE.height).y.iter_mut().for_each(|value| *value ^= 7);
        assert_eq!(compare(&stripes(235, 0), &coarse), Ok(true));
        assert!(compare(&stripes(235, 0), &stripes(235, 8)).is_err());
        assert_eq!(compare(&stripes(24, 0), &stripes(24, 8)), Ok(false), "it shows too little");
        let mut other = stripes(235, 0);
        other.rows_mut(0, SIZE.height).u.fill(160);
        assert!(compare(&stripes(235, 0), &other).is_err(), "chroma counts");
        assert!(compare(&stripes(235, 0), &I420Picture::new(Resolution::new(64, 46))).is_err());
    }
}
