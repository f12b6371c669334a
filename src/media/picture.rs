//! The picture that encoders read: planar 4:2:0, BT.601 limited range, kept from frame to frame so that only
//! what changed is converted into it.

use crate::video::format::Resolution;

/// Rows that change detection and conversion take at once; even, and the height of a macroblock.
pub const STRIPE_ROWS: u32 = 16;

/// A planar 4:2:0 picture of even size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct I420Picture {
    resolution: Resolution,
    y: Vec<u8>,
    u: Vec<u8>,
    v: Vec<u8>,
}

/// Rows of the three planes of a picture, to be written.
#[derive(Debug)]
pub struct I420Rows<'a> {
    /// Luma, `width` bytes a row.
    pub y: &'a mut [u8],
    /// Cb, half as wide and high.
    pub u: &'a mut [u8],
    /// Cr, half as wide and high.
    pub v: &'a mut [u8],
}

impl I420Picture {
    /// A black picture; the size is cut to even numbers and is at least 2x2.
    pub fn new(resolution: Resolution) -> Self {
        let even = resolution.to_even();
        let resolution = Resolution::new(even.width.max(2), even.height.max(2));
        let luma = resolution.width as usize * resolution.height as usize;
        Self { resolution, y: vec![16; luma], u: vec![128; luma / 4], v: vec![128; luma / 4] }
    }

    /// Its size, even both ways.
    pub fn resolution(&self) -> Resolution {
        self.resolution
    }

    /// Luma, `width` bytes a row.
    pub fn y(&self) -> &[u8] {
        &self.y
    }

    /// Cb, `width / 2` bytes a row.
    pub fn u(&self) -> &[u8] {
        &self.u
    }

    /// Cr, `width / 2` bytes a row.
    pub fn v(&self) -> &[u8] {
        &self.v
    }

    /// Which stripes differ from another picture of the same size; all of them if it has another.
    pub fn changed_from(&self, other: &Self) -> Stripes {
        let Resolution { width, height } = self.resolution;
        if other.resolution != self.resolution {
            return Stripes::all(height);
        }
        let mut stripes = Stripes::none(height);
        let luma = width as usize * STRIPE_ROWS as usize;
        let planes =
            [(&self.y, &other.y, luma), (&self.u, &other.u, luma / 4), (&self.v, &other.v, luma / 4)];
        for (a, b, bytes) in planes {
            for (index, (a, b)) in a.chunks(bytes).zip(b.chunks(bytes)).enumerate() {
                if a != b {
                    stripes.mark(index);
                }
            }
        }
        stripes
    }

    /// The rows `first..first + count`, cut at the lower edge; `first` is cut to an even number.
    pub fn rows_mut(&mut self, first: u32, count: u32) -> I420Rows<'_> {
        let Resolution { width, height } = self.resolution;
        let first = (first & !1).min(height);
        let end = first.saturating_add(count).min(height);
        let (first, end, width) = (first as usize, end as usize, width as usize);
        I420Rows {
            y: &mut self.y[first * width..end * width],
            u: &mut self.u[first / 2 * (width / 2)..end / 2 * (width / 2)],
            v: &mut self.v[first / 2 * (width / 2)..end / 2 * (width / 2)],
        }
    }
}

/// Which 16-row stripes of a picture changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stripes {
    changed: Vec<bool>,
}

impl Stripes {
    /// Nothing changed in a picture of `height` rows.
    pub fn none(height: u32) -> Self {
        Self { changed: vec![false; height.div_ceil(STRIPE_ROWS) as usize] }
    }

    /// Everything changed.
    pub fn all(height: u32) -> Self {
        Self { changed: vec![true; height.div_ceil(STRIPE_ROWS) as usize] }
    }

    /// Marks stripe `index`; one that the picture does not have is ignored.
    pub fn mark(&mut self, index: usize) {
        if let Some(stripe) = self.changed.get_mut(index) {
            *stripe = true;
        }
    }

    /// Marks all that another set of the same picture marks.
    pub fn join(&mut self, other: &Self) {
        self.changed.iter_mut().zip(&other.changed).for_each(|(stripe, other)| *stripe |= other);
    }

    /// Whether no stripe changed.
    pub fn is_empty(&self) -> bool {
        !self.changed.contains(&true)
    }

    /// How many stripes the picture has.
    pub fn count(&self) -> usize {
        self.changed.len()
    }

    /// Runs of changed rows as (first row, number of rows), neighbours joined.
    pub fn runs(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let mut at = 0;
        std::iter::from_fn(move || {
            let first = at + self.changed.get(at..)?.iter().position(|c| *c)?;
            let length = self.changed[first..].iter().take_while(|c| **c).count();
            at = first + length;
            Some((first as u32 * STRIPE_ROWS, length as u32 * STRIPE_ROWS))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_join_neighbours_and_ignore_what_is_not_there() {
        let mut stripes = Stripes::none(100);
        assert_eq!((stripes.count(), stripes.is_empty(), stripes.runs().count()), (7, true, 0));
        for index in [0, 1, 4, 6, 7, 99] {
            stripes.mark(index);
        }
        assert_eq!(stripes.runs().collect::<Vec<_>>(), [(0, 32), (64, 16), (96, 16)]);
    }

    #[test]
    fn pictures_differ_in_the_stripes_in_which_they_differ() {
        let before = I420Picture::new(Resolution::new(6, 36));
        let mut after = before.clone();
        assert!(after.changed_from(&before).is_empty());
        after.rows_mut(34, 2).v[0] = 1;
        assert_eq!(after.changed_from(&before).runs().collect::<Vec<_>>(), [(32, 16)]);
        after.rows_mut(0, 2).y[11] = 1;
        assert_eq!(after.changed_from(&before).runs().collect::<Vec<_>>(), [(0, 16), (32, 16)]);
        assert_eq!(after.changed_from(&I420Picture::new(Resolution::new(36, 6))), Stripes::all(36));
    }

    #[test]
    fn rows_are_cut_at_the_lower_edge() {
        let mut picture = I420Picture::new(Resolution::new(7, 37));
        assert_eq!(picture.resolution(), Resolution::new(6, 36));
        let rows = picture.rows_mut(32, 16);
        assert_eq!((rows.y.len(), rows.u.len(), rows.v.len()), (24, 6, 6));
    }
}
