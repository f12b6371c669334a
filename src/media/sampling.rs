//! Looking less closely while nothing moves: after a second without a change only every eighth row is compared, the
//! rows in turn, so that a change of one row is seen within eight frames. Compared is with sums of the rows as they
//! were when the picture was whole, because the frame before may hold an unseen change already. Pure.

use std::time::{Duration, Instant};

use super::capture::{FramePair, RawFrame};
use super::change::changed_stripes;
use super::picture::{STRIPE_ROWS, Stripes};
use crate::video::format::{PixelFormat, Resolution};

/// A picture that stood still so long is sampled.
pub const STILL: Duration = Duration::from_secs(1);
/// So long everything is compared after a hit or an alarm.
const ALERT: Duration = Duration::from_millis(500);
/// In which order the rows of each eight are looked at: a change of four rows is seen within two frames.
const PHASES: [usize; 8] = [0, 4, 2, 6, 1, 5, 3, 7];

/// How closely the frames of a source are looked at.
#[derive(Debug, Default)]
pub struct Watchman {
    /// Since when nothing changed.
    still_since: Option<Instant>,
    /// Until then everything is compared.
    alert_until: Option<Instant>,
    /// While sampling: what the picture looked like, and the next phase.
    sampling: Option<(RowSums, usize)>,
}

impl Watchman {
    /// What changed since the last look that found something; frames must be shown in the order in which the source
    /// lent them. `None` if this frame does not follow one that was looked at: then everything is new.
    pub fn look(&mut self, pair: &FramePair<'_>, now: Instant) -> Option<Stripes> {
        let is_alert = self.alert_until.is_some_and(|until| now < until);
        if let Some((sums, phase)) = &mut self.sampling {
            if !sums.is_of_same_shape(&pair.current) {
                self.reset();
                return None;
            }
            if !is_alert && !sums.is_any_changed(&pair.current, PHASES[*phase % 8]) {
                *phase += 1;
                return Some(Stripes::none(pair.current.resolution.to_even().height));
            }
            let stripes = sums.changed(&pair.current);
            self.sampling = None;
            self.note(stripes.is_empty(), now);
            self.alert_until = self.alert_until.max(Some(now + ALERT));
            return Some(stripes);
        }
        let previous = pair.previous.as_ref()?;
        let stripes = changed_stripes(&pair.current, previous);
        self.note(stripes.is_empty(), now);
        let is_still = self.still_since.is_some_and(|since| now >= since + STILL);
        if !is_alert && is_still && has_rows(&pair.current) {
            self.sampling = Some((RowSums::of(&pair.current), 0));
        }
        Some(stripes)
    }

    /// While only some rows are looked at, the newest frame may hold more changes than were seen: looks at all of it, and
    /// compares whole frames from there on. `None` if that is done anyway.
    pub fn look_closely(&mut self, newest: &RawFrame<'_>, now: Instant) -> Option<Stripes> {
        let (sums, _) = self.sampling.take().filter(|(sums, _)| sums.is_of_same_shape(newest))?;
        let stripes = sums.changed(newest);
        self.note(stripes.is_empty(), now);
        Some(stripes)
    }

    /// Someone wants the picture as it is now: looks closely for a while.
    pub fn alert(&mut self, now: Instant) {
        self.alert_until = Some(now + ALERT);
    }

    /// The picture is not what was looked at any more.
    pub fn reset(&mut self) {
        *self = Self { alert_until: self.alert_until, ..Self::default() };
    }

    /// Whether only some rows are looked at.
    pub fn is_sampling(&self) -> bool {
        self.sampling.is_some()
    }

    fn note(&mut self, is_still: bool, now: Instant) {
        self.still_since = if is_still { self.still_since.or(Some(now)) } else { None };
    }
}

/// A 64-bit sum of every row of a frame.
#[derive(Debug)]
struct RowSums {
    format: PixelFormat,
    resolution: Resolution,
    sums: Vec<u64>,
}

impl RowSums {
    fn of(frame: &RawFrame<'_>) -> Self {
        let height = frame.resolution.to_even().height as usize;
        let sums = (0..height).map(|row| row_sum(frame, row)).collect();
        Self { format: frame.format, resolution: frame.resolution, sums }
    }

    fn is_of_same_shape(&self, frame: &RawFrame<'_>) -> bool {
        (self.format, self.resolution) == (frame.format, frame.resolution)
    }

    /// Whether one of the rows of a phase is another than it was.
    fn is_any_changed(&self, frame: &RawFrame<'_>, phase: usize) -> bool {
        let rows = self.sums.iter().enumerate().skip(phase).step_by(PHASES.len());
        rows.into_iter().any(|(row, sum)| row_sum(frame, row) != *sum)
    }

    /// The stripes that are others than they were.
    fn changed(&self, frame: &RawFrame<'_>) -> Stripes {
        let mut stripes = Stripes::none(self.sums.len() as u32);
        for (index, rows) in self.sums.chunks(STRIPE_ROWS as usize).enumerate() {
            let first = index * STRIPE_ROWS as usize;
            if rows.iter().enumerate().any(|(n, sum)| row_sum(frame, first + n) != *sum) {
                stripes.mark(index);
            }
        }
        stripes
    }
}

/// Whether the frame is made of rows that can be looked at one by one; compressed ones are not, and are short.
pub(super) fn has_rows(frame: &RawFrame<'_>) -> bool {
    frame.plane_shapes().iter().any(|shape| shape.bytes > 0)
}

/// The sum of a picture row over all planes; chroma that two rows share counts in the first of them.
fn row_sum(frame: &RawFrame<'_>, row: usize) -> u64 {
    let mut sum = 0;
    for (shape, plane) in frame.plane_shapes().iter().zip(&frame.planes) {
        if shape.bytes > 0 && row.is_multiple_of(shape.rows_per) {
            let bytes = plane.row(row / shape.rows_per, shape.bytes).unwrap_or(&[]);
            sum = mix(sum, sum_of(bytes));
        }
    }
    sum
}

/// One step of the sum: no two words end in the same sum, and every bit of the word reaches the lower half.
fn mix(sum: u64, word: u64) -> u64 {
    let product = (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ product >> 32
}

/// Eight sums side by side, so that the multiplier is always busy. A change within one of them is always seen;
/// several together hide each other once in 2^64 at the most unlucky.
fn sum_of(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let (blocks, words) = words.as_chunks::<8>();
    let mut sums = [0; 8];
    for block in blocks {
        for (sum, word) in sums.iter_mut().zip(block) {
            *sum = mix(*sum, u64::from_le_bytes(*word));
        }
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let tail = words.iter().chain([&last]).map(|word| u64::from_le_bytes(*word));
    sums.into_iter().chain(tail).fold(bytes.len() as u64, mix)
}

#[cfg(test)]
mod tests;
